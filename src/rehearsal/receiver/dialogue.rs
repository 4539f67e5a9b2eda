//! One conversation of the stand-in (RFC 5321, RFC 3207): everything up to the message, which it never takes.

use super::planned::{Desk, Planned};
use crate::{mta::postfix::Level, view::Wire};
use std::{io, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

/// The longest line of a command, in bytes (RFC 5321 §4.5.3.1.4 says 512).
const LINE: usize = 2048;
/// So many commands, and the conversation ends.
const COMMANDS: usize = 100;
/// How long the other side may be silent.
const SILENCE: Duration = Duration::from_secs(60);

/// Why a plain conversation ended.
enum End {
    Over,
    /// STARTTLS was agreed to.
    Secure,
}

/// Serves one connection to its end.
pub(super) async fn serve(stream: TcpStream, desk: Desk, planned: Arc<Planned>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let none = || io::Error::other("there is no certificate to serve");
    let acceptor = || desk.tls.as_ref().map(|config| TlsAcceptor::from(config.clone())).map_err(|_| none());
    let stream = if desk.wire == Wire::Implicit {
        timeout(SILENCE, acceptor()?.accept(stream)).await??
    } else {
        let mut plain = BufReader::new(stream);
        greet(&mut plain, &planned).await?;
        match talk(&mut plain, &desk, &planned, false).await? {
            End::Over => return Ok(()),
            // What came before the handshake was not protected by it (RFC 3207 §4.2).
            End::Secure if !plain.buffer().is_empty() => return Ok(()),
            End::Secure => {}
        }
        let stream = timeout(SILENCE, acceptor()?.accept(plain.into_inner())).await??;
        let mut secure = BufReader::new(stream);
        talk(&mut secure, &desk, &planned, true).await?;
        return secure.get_mut().shutdown().await;
    };
    let mut secure = BufReader::new(stream);
    greet(&mut secure, &planned).await?;
    talk(&mut secure, &desk, &planned, true).await?;
    secure.get_mut().shutdown().await
}

async fn greet<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut BufReader<S>, planned: &Planned) -> io::Result<()> {
    say(stream, &format!("220 {} ESMTP mxseal stand-in\r\n", planned.hostname)).await
}

async fn say<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut BufReader<S>, reply: &str) -> io::Result<()> {
    stream.get_mut().write_all(reply.as_bytes()).await?;
    stream.get_mut().flush().await
}

async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut BufReader<S>,
    desk: &Desk,
    planned: &Planned,
    secure: bool,
) -> io::Result<End> {
    for _ in 0..COMMANDS {
        let Some(line) = line(stream).await? else { return Ok(End::Over) };
        let (verb, rest) = line.split_once(' ').unwrap_or((&line, ""));
        let offers = !secure && desk.level != Level::None;
        let reply = match verb.to_ascii_uppercase().as_str() {
            "EHLO" => {
                let tls = if offers { "250-STARTTLS\r\n" } else { "" };
                format!("250-{}\r\n{tls}250-8BITMIME\r\n250 ENHANCEDSTATUSCODES\r\n", planned.hostname)
            }
            "HELO" => format!("250 {}\r\n", planned.hostname),
            "STARTTLS" if offers && desk.tls.is_ok() => {
                say(stream, "220 2.0.0 Ready to start TLS\r\n").await?;
                return Ok(End::Secure);
            }
            "STARTTLS" if offers => "454 4.7.0 TLS not available due to local problem\r\n".into(),
            "RSET" | "NOOP" => "250 2.0.0 Ok\r\n".into(),
            "QUIT" => {
                say(stream, "221 2.0.0 Bye\r\n").await?;
                return Ok(End::Over);
            }
            "MAIL" | "RCPT" if !secure && desk.level == Level::Encrypt => "530 5.7.0 Must issue a STARTTLS command first\r\n".into(),
            "MAIL" => "250 2.1.0 Ok\r\n".into(),
            "RCPT" if takes(planned, rest) => "250 2.1.5 Ok\r\n".into(),
            "RCPT" => "554 5.7.1 Relay access denied\r\n".into(),
            "DATA" => "554 5.5.1 A stand-in takes no message\r\n".into(),
            _ => "502 5.5.2 Error: command not recognized\r\n".into(),
        };
        say(stream, &reply).await?;
    }
    say(stream, "421 4.7.0 Too many commands\r\n").await?;
    Ok(End::Over)
}

/// Whether a recipient, as in `TO:<postmaster@example.org>`, is of a domain that mail is taken for.
fn takes(planned: &Planned, recipient: &str) -> bool {
    let address = recipient.split(['<', '>']).nth(1).unwrap_or_default();
    let domain = address.rsplit_once('@').and_then(|(_, domain)| domain.parse().ok());
    domain.is_some_and(|domain| planned.domains.contains(&domain))
}

/// The next line; none where the other side is gone or too long-winded.
async fn line<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut BufReader<S>) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    while line.len() < LINE {
        match timeout(SILENCE, stream.read_u8()).await? {
            Ok(b'\n') => return Ok(Some(String::from_utf8_lossy(&line).trim_end().to_owned())),
            Ok(byte) => line.push(byte),
            Err(_) => return Ok(None),
        }
    }
    Ok(None)
}
