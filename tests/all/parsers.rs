//! Whatever strangers write, reading it ends in peace: what is right is changed a little, thousands of times. A failure names its
//! seed and its input; `MXSEAL_SEED` begins with that one. What once went wrong lies among the samples, and is read first.

#[path = "../../fuzz/src/lib.rs"]
mod readers;

use readers::{Reader, admins, kept, peers, records};
use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

/// A small generator (xorshift64*): the same numbers for the same seed, everywhere.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(limit.max(1)).expect("small")).expect("small")
    }
}

/// What parsers stumble over.
const TOKENS: &[&[u8]] = &[
    b"\0",
    b"\r\n",
    b"\n",
    b"\n ",
    b"\t",
    b"\"",
    b"\\",
    b"\\\n",
    b"{",
    b"}",
    b"(",
    b")",
    b"$",
    b"${",
    b"${run{x}}",
    b"#",
    b";",
    b":",
    b"=",
    b",",
    b"..",
    b"*",
    b"-",
    b"4294967296",
    b"18446744073709551616",
    b"-1",
    b"\xff\xfe",
    b"\xc3",
    b"\xe2\x80\xae",
    b"%n",
    b"0x",
    b"@",
    b"!",
    b"'",
    b".include /",
    b".ifdef A\n",
    b"begin acl\n",
];

fn changed(samples: &[Vec<u8>], chance: &mut Chance) -> Vec<u8> {
    let mut bytes = samples[chance.below(samples.len())].clone();
    for _ in 0..=chance.below(6) {
        let (at, other) = (chance.below(bytes.len() + 1), chance.below(bytes.len() + 1));
        let (from, to) = (at.min(other), at.max(other).min(at.min(other) + 200));
        match chance.below(7) {
            0 if at < bytes.len() => bytes[at] ^= 1 << chance.below(8),
            1 => drop(bytes.drain(from..to)),
            2 => {
                let piece = bytes[from..to].to_vec();
                bytes.splice(at..at, piece);
            }
            3 => bytes.truncate(at),
            4 => {
                let sample = &samples[chance.below(samples.len())];
                let cut = chance.below(sample.len() + 1);
                bytes.splice(at..at, sample[cut..].iter().copied());
            }
            _ => drop(bytes.splice(at..at, TOKENS[chance.below(TOKENS.len())].iter().copied())),
        }
        bytes.truncate(20_000);
    }
    bytes
}

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

fn samples(of: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = fuzz().join("seeds").join(of);
    let files = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut all: Vec<_> = files.map(|file| file.unwrap().path()).map(|path| (path.clone(), fs::read(path).unwrap())).collect();
    all.sort();
    all
}

fn in_peace(readers: &[Reader], rounds: u64) {
    let first = std::env::var("MXSEAL_SEED").ok().map(|s| s.parse().expect("MXSEAL_SEED is a number"));
    let begin = first.unwrap_or_else(|| u64::from(std::process::id()) << 20);
    for (name, read) in readers {
        let samples = samples(name);
        for (path, sample) in &samples {
            assert!(catch_unwind(AssertUnwindSafe(|| read(sample))).is_ok(), "{}", path.display());
        }
        let samples: Vec<Vec<u8>> = samples.into_iter().map(|(_, sample)| sample).collect();
        for seed in begin..begin + rounds {
            // A generator of nothing but zeros stays there.
            let bytes = changed(&samples, &mut Chance(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1));
            let ended = catch_unwind(AssertUnwindSafe(|| read(&bytes)));
            assert!(ended.is_ok(), "{name}: MXSEAL_SEED={seed}: {:?}", String::from_utf8_lossy(&bytes));
        }
    }
}

#[test]
fn what_dns_and_the_web_say() {
    in_peace(records::READERS, 1500);
}

#[test]
fn what_admins_write() {
    in_peace(admins::READERS, 1500);
}

#[test]
fn what_lies_in_our_own_directory() {
    in_peace(kept::READERS, 500);
}

#[test]
fn what_peers_say() {
    in_peace(peers::READERS, 150);
}

#[test]
fn every_reader_has_a_target_and_samples() {
    let manifest = fs::read_to_string(fuzz().join("Cargo.toml")).unwrap();
    let mut targets: Vec<&str> = manifest.lines().filter_map(|l| l.strip_prefix("name = \"")?.strip_suffix('"')).skip(1).collect();
    let mut readers: Vec<&str> = readers::all().map(|(name, _)| *name).collect();
    targets.sort_unstable();
    readers.sort_unstable();
    assert_eq!(targets, readers);
    for name in readers {
        let target = fs::read_to_string(fuzz().join("fuzz_targets").join(format!("{name}.rs"))).unwrap();
        assert!(target.contains("mxseal_fuzz::") && !samples(name).is_empty(), "{name}");
    }
}
