#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mxseal_fuzz::kept::keys(bytes));
