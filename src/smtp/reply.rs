//! Replies of a server that may be broken or hostile (RFC 5321 §4.2), read within bounds.

use crate::view::Reply;
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// Bytes in a line. RFC 5321 §4.5.3.1.5 says 512; servers send more.
const LINE: usize = 4096;
/// Lines in a reply.
const LINES: usize = 100;
/// Bytes in all that one side of a TLS handshake may send.
const BYTES: usize = 1 << 16;

/// Why a conversation ended early. Its text is followed by where: "… after EHLO".
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("the connection failed: {0},")]
    Connect(io::Error),
    #[error("the connection broke: {0},")]
    Lost(#[from] io::Error),
    #[error("the server closed the connection")]
    Closed,
    #[error("the server sent a line of more than {LINE} bytes")]
    LongLine,
    #[error("the server sent a reply of more than {LINES} lines")]
    ManyLines,
    #[error("the server sent more than {BYTES} bytes")]
    ManyBytes,
    #[error("the server sent {0:?}, which is no reply of this protocol,")]
    Garbage(String),
    #[error("the server sent more in clear together with its 220, which a man in the middle could have put there (command injection),")]
    Injected,
    #[error("the server answered {} {}", .0.code, .0.lines.join(" / "))]
    Refused(Reply),
    #[error("the TLS handshake failed: {why}")]
    Handshake { why: String, hello_to_blame: bool },
}

/// One side of a conversation.
pub(super) struct Talk<S> {
    stream: S,
    buffer: Vec<u8>,
    left: usize,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Talk<S> {
    pub(super) const fn new(stream: S) -> Self {
        Self { stream, buffer: Vec::new(), left: BYTES }
    }

    /// Sends a command and reads the reply.
    pub(super) async fn ask(&mut self, command: &str) -> Result<Reply, Fault> {
        self.stream.write_all(format!("{command}\r\n").as_bytes()).await?;
        self.stream.flush().await?;
        self.reply().await
    }

    /// The next reply.
    pub(super) async fn reply(&mut self) -> Result<Reply, Fault> {
        let mut reply = Reply { code: 0, lines: Vec::new() };
        loop {
            let line = self.line().await?;
            let Some((code, text, more)) = parse(&line) else { return Err(Fault::Garbage(line.chars().take(80).collect())) };
            if reply.lines.is_empty() {
                reply.code = code;
            } else if code != reply.code {
                return Err(Fault::Garbage(line.chars().take(80).collect()));
            }
            if reply.lines.len() == LINES {
                return Err(Fault::ManyLines);
            }
            reply.lines.push(text.to_owned());
            if !more {
                return Ok(reply);
            }
        }
    }

    /// The stream again, for the handshake, where nothing more was sent in clear: what is left in our buffer would be
    /// taken for an answer inside TLS (RFC 3207 §6, CVE-2011-0411).
    pub(super) fn into_stream(self) -> Result<S, Fault> {
        if self.buffer.is_empty() { Ok(self.stream) } else { Err(Fault::Injected) }
    }

    /// Sends a line and reads none.
    pub(super) async fn tell(&mut self, command: &str) -> Result<(), Fault> {
        self.stream.write_all(format!("{command}\r\n").as_bytes()).await?;
        Ok(self.stream.flush().await?)
    }

    /// The next line.
    pub(super) async fn line(&mut self) -> Result<String, Fault> {
        loop {
            if let Some(end) = self.buffer.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                let text = String::from_utf8_lossy(&line);
                return Ok(text.trim_end_matches(['\r', '\n']).chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect());
            }
            if self.buffer.len() >= LINE {
                return Err(Fault::LongLine);
            }
            let mut chunk = [0; 1024];
            let n = self.stream.read(&mut chunk).await?;
            if n == 0 {
                return Err(Fault::Closed);
            }
            self.left = self.left.checked_sub(n).ok_or(Fault::ManyBytes)?;
            self.buffer.extend_from_slice(&chunk[..n]);
        }
    }
}

/// Code, text and whether another line follows; `None` where it is no reply line.
fn parse(line: &str) -> Option<(u16, &str, bool)> {
    let (code, rest) = line.split_at_checked(3)?;
    let code = code.bytes().all(|b| b.is_ascii_digit()).then(|| code.parse().ok())??;
    match rest.as_bytes().first() {
        _ if !(200..600).contains(&code) => None,
        None => Some((code, "", false)),
        Some(b' ') => Some((code, &rest[1..], false)),
        Some(b'-') => Some((code, &rest[1..], true)),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn any_line_is_a_reply_or_none(line in r"([0-9]{0,4}[ -]?)?[\PC\r\u{0}]{0,20}", bytes: Vec<u8>) {
            let _ = (parse(&line), parse(&String::from_utf8_lossy(&bytes)));
        }
    }

    #[test]
    fn reply_lines() {
        for (line, expected) in [
            ("250 fine", Some((250, "fine", false))),
            ("250-STARTTLS", Some((250, "STARTTLS", true))),
            ("250", Some((250, "", false))),
            ("2500 no", None),
            ("199 no", None),
            ("+50 no", None),
            ("HTTP/1.1 400", None),
            ("éé", None),
            ("", None),
        ] {
            assert_eq!(parse(line), expected, "{line}");
        }
    }
}
