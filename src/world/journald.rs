//! A line in the journal with fields of its own, by the native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL).

use std::{io, os::unix::net::UnixDatagram, path::Path, time::Duration};

/// Where journald listens.
const SOCKET: &str = "/run/systemd/journal/socket";
/// Longer values are cut: a datagram has an end.
const LONGEST: usize = 8192;

/// Writes one entry, where journald runs. What it does not take within a second is lost.
///
/// # Errors
/// When nobody listens, or it is busy.
pub fn journal(fields: &[(&str, &str)]) -> io::Result<()> {
    send(Path::new(SOCKET), fields)
}

fn send(socket: &Path, fields: &[(&str, &str)]) -> io::Result<()> {
    let sender = UnixDatagram::unbound()?;
    sender.set_write_timeout(Some(Duration::from_secs(1)))?;
    sender.send_to(&datagram(fields), socket).map(drop)
}

fn datagram(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in fields {
        let value = &value.as_bytes()[..value.len().min(LONGEST)];
        bytes.extend(name.as_bytes());
        // What has lines of its own is preceded by its length.
        if value.contains(&b'\n') {
            bytes.push(b'\n');
            bytes.extend(u64::try_from(value.len()).unwrap_or(0).to_le_bytes());
        } else {
            bytes.push(b'=');
        }
        bytes.extend(value);
        bytes.push(b'\n');
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_a_datagram() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("socket");
        assert!(send(&path, &[("MESSAGE", "nobody listens")]).is_err());
        let journald = UnixDatagram::bind(&path).expect("a socket");
        send(&path, &[("MESSAGE", "one"), ("TEXT", "a\nb"), ("PRIORITY", "3")]).expect("sent");
        let mut bytes = [0; 100];
        let n = journald.recv(&mut bytes).expect("an entry");
        assert_eq!(bytes[..n], *b"MESSAGE=one\nTEXT\n\x03\0\0\0\0\0\0\0a\nb\nPRIORITY=3\n");
        assert_eq!(datagram(&[("A", &"ä".repeat(LONGEST))]).len(), LONGEST + 3);
    }
}
