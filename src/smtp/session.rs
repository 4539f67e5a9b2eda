//! The dialogue, over any stream, recorded as it went.

use super::{
    client_hello::old_hello,
    prompt::Prompt,
    reply::{Fault, Talk},
    verifier::Witness,
};
use crate::{
    certificate::Certificate,
    facts::Known,
    name::DnsName,
    view::{EndpointView, Offer, Probe, Reply, TlsView, Wire},
    world::{Net, now},
};
use rustls::{AlertDescription, ProtocolVersion, pki_types::ServerName};
use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// Has one conversation and gives what was seen; it takes `limit` at most. What went wrong is in the view.
///
/// A hello with post-quantum key exchange fills two packets, and some middleboxes lose the second: where a handshake
/// breaks in a way that fits, it is tried once more without, and where that goes well the view says so (`at` of
/// [`EndpointView::tls`]).
pub async fn converse(net: &Net, probe: &Probe, limit: Duration) -> EndpointView {
    let began = Instant::now();
    let post_quantum = probe.offer == Offer::Any;
    let mut first = attempt(net, probe, post_quantum, limit).await;
    if let Some(why) = first.blame_hello.take().filter(|_| post_quantum) {
        let mut again = attempt(net, probe, false, limit.saturating_sub(began.elapsed())).await;
        if let Known::Seen { at, .. } = &mut again.view.tls {
            at.push_str(", without post-quantum key exchange; with it, ");
            at.push_str(&why);
            first = again;
        }
    }
    first.view.took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    first.view
}

/// One connection.
pub(super) struct Attempt {
    pub(super) view: EndpointView,
    /// What we wait for, to end a sentence.
    pub(super) stage: &'static str,
    until: Instant,
    post_quantum: bool,
    blame_hello: Option<String>,
}

async fn attempt(net: &Net, probe: &Probe, post_quantum: bool, limit: Duration) -> Attempt {
    let view = EndpointView::begun(probe.clone(), now());
    let mut attempt = Attempt { view, stage: "while connecting", until: Instant::now() + limit, post_quantum, blame_hello: None };
    let broke = match timeout(limit, attempt.run(net)).await {
        Ok(Ok(())) => None,
        Ok(Err(fault @ Fault::Handshake { .. })) => {
            let said = fault.to_string();
            if let Fault::Handshake { why, hello_to_blame: true } = fault {
                attempt.blame_hello = Some(why);
            }
            Some(said)
        }
        Ok(Err(fault)) => Some(format!("{fault} {}", attempt.stage)),
        Err(_) => Some(format!("nothing came within {} s {}", limit.as_secs_f32(), attempt.stage)),
    };
    if let Some(why) = &broke {
        if attempt.view.greeting.value().is_none() {
            attempt.view.greeting = Known::unknown(why.clone());
        }
        if attempt.view.tls.value().is_none() {
            attempt.view.tls = Known::unknown(why.clone());
        }
    }
    attempt.view.broke = broke;
    attempt
}

impl Attempt {
    async fn run(&mut self, net: &Net) -> Result<(), Fault> {
        let addr = self.view.probe.addr;
        let tcp = Prompt::connect(addr).await.map_err(Fault::Connect)?;
        let helo = our_name(tcp.local_addr()?);
        match self.view.probe.wire {
            Wire::StartTls => {
                let mut talk = Talk::new(tcp);
                self.greet(&mut talk).await?;
                self.ehlo(&mut talk, &helo).await?;
                if !self.view.offers.iter().any(|o| o == "STARTTLS") {
                    self.view.tls = Known::unknown("STARTTLS is not offered");
                    return self.errand(&mut talk).await;
                }
                self.stage = "after STARTTLS";
                let reply = talk.ask("STARTTLS").await?;
                self.view.starttls = Some(reply.clone());
                if reply.code != 220 {
                    let _ = talk.ask("QUIT").await;
                    return Err(Fault::Refused(reply));
                }
                let tcp = talk.into_stream()?;
                if let Some(tls) = self.secure(net, tcp).await? {
                    let mut talk = Talk::new(tls);
                    self.stage = "after EHLO inside TLS";
                    let reply = talk.ask(&format!("EHLO {helo}")).await?;
                    self.step("EHLO", &reply)?;
                    self.errand(&mut talk).await?;
                }
            }
            Wire::Imap | Wire::Imaps | Wire::Pop3 | Wire::Pop3s => self.mail_access(net, tcp).await?,
            Wire::Implicit => {
                if let Some(tls) = self.secure(net, tcp).await? {
                    let mut talk = Talk::new(tls);
                    self.greet(&mut talk).await?;
                    self.ehlo(&mut talk, &helo).await?;
                    self.view.steps.push(("EHLO".into(), 250));
                    self.errand(&mut talk).await?;
                }
            }
        }
        Ok(())
    }

    async fn greet<S: AsyncRead + AsyncWrite + Unpin>(&mut self, talk: &mut Talk<S>) -> Result<(), Fault> {
        self.stage = "instead of a greeting";
        let reply = talk.reply().await?;
        self.view.answered = true;
        self.view.greeting = Known::seen(reply.clone(), self.view.probe.addr.to_string());
        if reply.code == 220 {
            return Ok(());
        }
        let _ = talk.ask("QUIT").await;
        Err(Fault::Refused(reply))
    }

    async fn ehlo<S: AsyncRead + AsyncWrite + Unpin>(&mut self, talk: &mut Talk<S>, helo: &str) -> Result<(), Fault> {
        self.stage = "after EHLO";
        let reply = talk.ask(&format!("EHLO {helo}")).await?;
        if reply.code != 250 {
            let _ = talk.ask("QUIT").await;
            return Err(Fault::Refused(reply));
        }
        self.view.offers = reply.lines.iter().skip(1).map(|line| keyword_upper(line)).collect();
        Ok(())
    }

    /// MAIL, RCPT, RSET where a domain is given, and QUIT. A refused sender or recipient is a finding, not an end.
    async fn errand<S: AsyncRead + AsyncWrite + Unpin>(&mut self, talk: &mut Talk<S>) -> Result<(), Fault> {
        if let Some(domain) = self.view.probe.postmaster_of.clone() {
            self.stage = "after MAIL";
            let mail = talk.ask("MAIL FROM:<>").await?;
            self.step("MAIL", &mail)?;
            if mail.code == 250 {
                self.stage = "after RCPT";
                let reply = talk.ask(&format!("RCPT TO:<postmaster@{domain}>")).await?;
                self.step("RCPT", &reply)?;
            }
            self.stage = "after RSET";
            let reply = talk.ask("RSET").await?;
            self.step("RSET", &reply)?;
        }
        self.stage = "after QUIT";
        let reply = talk.ask("QUIT").await?;
        self.step("QUIT", &reply)
    }

    /// Notes a reply; 421 says that the server closes (RFC 5321 §3.8).
    fn step(&mut self, verb: &str, reply: &Reply) -> Result<(), Fault> {
        self.view.steps.push((verb.to_owned(), reply.code));
        if reply.code == 421 || verb == "EHLO" && reply.code != 250 { Err(Fault::Refused(reply.clone())) } else { Ok(()) }
    }

    /// The handshake; `None` where the offer ends with it.
    pub(super) async fn secure(&mut self, net: &Net, tcp: Prompt) -> Result<Option<TlsStream<Prompt>>, Fault> {
        self.stage = "during the TLS handshake";
        let at = self.view.probe.addr.to_string();
        if self.view.probe.offer == Offer::Legacy {
            let agreed = old_hello(tcp, &self.view.probe).await;
            self.view.answered |= matches!(agreed, Ok(_) | Err(Fault::Handshake { .. } | Fault::Closed));
            self.view.tls = Known::seen(agreed?, at);
            return Ok(None);
        }
        let broken = |why: String, hello_to_blame| Fault::Handshake { why, hello_to_blame };
        let (config, witness) =
            Witness::client(&self.view.probe, &net.verdict_roots, self.post_quantum).map_err(|e| broken(e.to_string(), false))?;
        // A name that TLS does not take is not sent; the witness judges it all the same.
        let name = ServerName::try_from(self.view.probe.name.as_str().to_owned())
            .unwrap_or_else(|_| ServerName::IpAddress(IpAddr::into(self.view.probe.addr.ip())));
        let left = self.until.saturating_duration_since(Instant::now());
        let patience = if self.post_quantum { left / 2 } else { left };
        let tls = match timeout(patience, TlsConnector::from(Arc::new(config)).connect(name, tcp)).await {
            Ok(Ok(tls)) => tls,
            Ok(Err(e)) => {
                // Some close without a word where they cannot agree to a hello that offers little.
                let closed = self.view.probe.offer != Offer::Any && e.kind() == io::ErrorKind::UnexpectedEof;
                self.view.answered |= closed || e.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>()).is_some();
                return Err(handshake_fault(&e));
            }
            Err(_) => return Err(broken(format!("no answer to our hello within {:.0} s", patience.as_secs_f32()), true)),
        };
        self.view.answered = true;
        let session = tls.get_ref().1;
        let presented = session.peer_certificates().unwrap_or_default();
        let mut chain = Vec::new();
        for (depth, der) in presented.iter().enumerate() {
            match Certificate::read(der) {
                Ok(certificate) => chain.push(certificate),
                Err(e) if depth == 0 => return Err(broken(format!("the server's certificate is {e}"), false)),
                Err(_) => {}
            }
        }
        let testimony = witness.testimony().ok_or_else(|| broken("the server showed no certificate".into(), false))?;
        let view = TlsView {
            protocol: match session.protocol_version() {
                Some(ProtocolVersion::TLSv1_3) => "TLS1.3".into(),
                Some(ProtocolVersion::TLSv1_2) => "TLS1.2".into(),
                other => format!("{other:?}"),
            },
            suite: session
                .negotiated_cipher_suite()
                .and_then(|s| s.suite().as_str())
                .map(|s| s.replacen("TLS13_", "TLS_", 1))
                .unwrap_or_default(),
            group: session.negotiated_key_exchange_group().map(|g| format!("{:?}", g.name())).unwrap_or_default(),
            chain,
            trusted: testimony.trusted,
            named: testimony.named,
        };
        self.view.tls = Known::seen(view, at);
        Ok(Some(tls))
    }
}

/// What broke a handshake, in words, and whether a hello that was too large may be the cause.
fn handshake_fault(error: &io::Error) -> Fault {
    let (why, hello_to_blame) = match error.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::AlertReceived(alert @ (AlertDescription::HandshakeFailure | AlertDescription::InsufficientSecurity))) => (
            format!(
                "the server agrees to nothing that we offer ({alert:?}): no certificate of this key type, none that it could load, or old ciphers alone"
            ),
            false,
        ),
        Some(rustls::Error::AlertReceived(alert @ (AlertDescription::DecodeError | AlertDescription::IllegalParameter))) => {
            (format!("the server did not understand our hello (alert {alert:?})"), true)
        }
        Some(rustls::Error::AlertReceived(alert)) => (format!("the server sent the alert {alert:?}"), false),
        Some(rustls::Error::InvalidCertificate(rustls::CertificateError::BadSignature)) => {
            ("the server does not hold the key of the certificate that it shows".into(), false)
        }
        Some(rustls::Error::InvalidMessage(_)) => ("the server answered with something other than TLS".into(), false),
        Some(other) => (other.to_string(), false),
        // What we had sent meanwhile decides which of both the kernel says.
        None if matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset) => {
            ("the server closed the connection".into(), true)
        }
        None => (error.to_string(), true),
    };
    Fault::Handshake { why, hello_to_blame }
}

/// Our name in EHLO: the host's, where it is a full one, else the address that we speak from (RFC 5321 §4.1.3).
fn our_name(local: SocketAddr) -> String {
    let host = nix::unistd::gethostname().ok().and_then(|n| n.into_string().ok()).and_then(|n| n.parse::<DnsName>().ok());
    match (host, local.ip().to_canonical()) {
        (Some(name), _) if name.parent().is_some() => name.to_string(),
        (_, IpAddr::V4(v4)) => format!("[{v4}]"),
        (_, IpAddr::V6(v6)) => format!("[IPv6:{v6}]"),
    }
}

/// A capability with its keyword in capitals, its arguments as they are.
fn keyword_upper(line: &str) -> String {
    line.split_once(' ').map_or_else(|| line.to_ascii_uppercase(), |(word, rest)| format!("{} {rest}", word.to_ascii_uppercase()))
}
