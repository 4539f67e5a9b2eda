//! A bare ClientHello of TLS 1.0 (RFC 2246 §7.4.1.2), as an old sender says it: does it still get TLS?

use super::reply::Fault;
use crate::{
    facts::Known,
    view::{Probe, TlsView},
};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// What senders of the 2000s offer, with forward secrecy first: number and name of each suite.
const SUITES: &[(u16, &str)] = &[
    (0xc014, "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA"),
    (0xc013, "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA"),
    (0xc00a, "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA"),
    (0xc009, "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA"),
    (0x0039, "TLS_DHE_RSA_WITH_AES_256_CBC_SHA"),
    (0x0033, "TLS_DHE_RSA_WITH_AES_128_CBC_SHA"),
    (0x0035, "TLS_RSA_WITH_AES_256_CBC_SHA"),
    (0x002f, "TLS_RSA_WITH_AES_128_CBC_SHA"),
    (0x000a, "TLS_RSA_WITH_3DES_EDE_CBC_SHA"),
    (0x0005, "TLS_RSA_WITH_RC4_128_SHA"),
];

/// The longest answer that is read: TLSPlaintext (RFC 2246 §6.2.1).
const RECORD: usize = 1 << 14;

/// Says the old hello and gives what was agreed; no session follows.
pub(super) async fn old_hello(mut stream: impl AsyncRead + AsyncWrite + Unpin, probe: &Probe) -> Result<TlsView, Fault> {
    let refused = |why: String| Fault::Handshake { why, hello_to_blame: false };
    stream.write_all(&client_hello(probe.sni.then(|| probe.name.as_str()))).await?;
    stream.flush().await?;
    let mut head = [0; 5];
    stream.read_exact(&mut head).await.map_err(|_| Fault::Closed)?;
    let length = usize::from(u16::from_be_bytes([head[3], head[4]]));
    if length > RECORD || !matches!(head[0], 21 | 22) {
        return Err(refused("the answer to a TLS 1.0 hello is no TLS".into()));
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.map_err(|_| Fault::Closed)?;
    let (version, suite) = match (head[0], body.as_slice()) {
        (21, [_, alert, ..]) => return Err(refused(format!("the server refused a TLS 1.0 hello with alert {}", alert_name(*alert)))),
        (22, hello) => server_hello(hello).ok_or_else(|| refused("the answer to a TLS 1.0 hello is damaged".into()))?,
        _ => return Err(refused("the answer to a TLS 1.0 hello is damaged".into())),
    };
    Ok(TlsView {
        protocol: match version {
            0x0301 => "TLS1.0".into(),
            0x0300 => "SSL3.0".into(),
            other => format!("{other:#06x}"),
        },
        suite: SUITES.iter().find(|(n, _)| *n == suite).map_or_else(|| format!("{suite:#06x}"), |(_, name)| (*name).to_owned()),
        group: String::new(),
        chain: Vec::new(),
        trusted: Known::unknown("the old hello ends before the certificate"),
        named: Known::unknown("the old hello ends before the certificate"),
    })
}

/// Version and suite of a ServerHello.
fn server_hello(body: &[u8]) -> Option<(u16, u16)> {
    let two = |at: usize| Some(u16::from_be_bytes([*body.get(at)?, *body.get(at + 1)?]));
    if *body.first()? != 2 {
        return None;
    }
    let session = usize::from(*body.get(38)?);
    Some((two(4)?, two(39 + session)?))
}

fn client_hello(sni: Option<&str>) -> Vec<u8> {
    let mut extensions = Vec::new();
    if let Some(name) = sni {
        // RFC 6066 §3: a list of one host_name.
        let entry = [&[0][..], &sized(name.as_bytes())].concat();
        extensions.extend(extension(0, &sized(&entry)));
    }
    // RFC 4492 §5.1: curves x25519, P-256, P-384, P-521; uncompressed points. RFC 5746 §3.2: renegotiation_info.
    extensions.extend(extension(10, &sized(&[0, 29, 0, 23, 0, 24, 0, 25])));
    extensions.extend(extension(11, &[1, 0]));
    extensions.extend(extension(0xff01, &[0]));
    let suites: Vec<u8> = SUITES.iter().flat_map(|(number, _)| number.to_be_bytes()).collect();
    // A fixed random is enough: no key is ever derived from it.
    let body = [&[3, 1][..], &[0x6d; 32], &[0], &sized(&suites), &[1, 0], &sized(&extensions)].concat();
    let handshake = [&[1, 0][..], &sized(&body)].concat();
    [&[22, 3, 1][..], &sized(&handshake)].concat()
}

fn extension(kind: u16, body: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &sized(body)].concat()
}

/// The bytes after their length in two bytes.
fn sized(bytes: &[u8]) -> Vec<u8> {
    [&u16::try_from(bytes.len()).unwrap_or(u16::MAX).to_be_bytes()[..], bytes].concat()
}

/// Number and name of an alert (RFC 5246 §7.2).
fn alert_name(alert: u8) -> String {
    let name = match alert {
        40 => "handshake failure",
        47 => "illegal parameter",
        50 => "decode error",
        70 => "protocol version",
        71 => "insufficient security",
        80 => "internal error",
        112 => "unrecognised name",
        _ => return alert.to_string(),
    };
    format!("{alert} ({name})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_agree() {
        let hello = client_hello(Some("mx.example.org"));
        let two = |at: usize| usize::from(u16::from_be_bytes([hello[at], hello[at + 1]]));
        assert_eq!((two(3), two(7)), (hello.len() - 5, hello.len() - 9));
        assert_eq!(two(44), SUITES.len() * 2);
        assert!(client_hello(None).len() < hello.len());
    }

    #[test]
    fn server_hellos() {
        let mut good = vec![2, 0, 0, 42, 3, 1];
        good.extend([7; 32]);
        good.extend([2, 9, 9, 0xc0, 0x14, 0]);
        assert_eq!(server_hello(&good), Some((0x0301, 0xc014)));
        for cut in 0..good.len() - 1 {
            assert_eq!(server_hello(&good[..cut]), None, "cut at {cut}");
        }
    }
}
