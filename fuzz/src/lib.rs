//! Every reader of bytes that others wrote: admins, other programs, name servers, peers, and whoever reached our own directory. Each
//! ends in peace whatever it is given, and keeps what it promises of what it understood.
//!
//! One list for two uses: `cargo test parsers::` gives each a bounded number of inputs, and `cargo +nightly fuzz run NAME` as many as
//! one has time for. `fuzz_targets/` has a file a reader, `seeds/` a folder a reader: what is right, and what once went wrong.

pub mod admins;
pub mod kept;
pub mod peers;
pub mod records;

/// A reader, by the name of its target and of the folder of its seeds.
pub type Reader = (&'static str, fn(&[u8]));

/// All of them.
pub fn all() -> impl Iterator<Item = &'static Reader> {
    [admins::READERS, kept::READERS, peers::READERS, records::READERS].into_iter().flatten()
}

/// The bytes as text, as the readers of text are given them.
fn text(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}
