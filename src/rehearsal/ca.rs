//! The made-up certificate authority: RFC 8555 over TLS on a loopback port, http-01 alone. It looks at names through the
//! made-up DNS, checks every signature and nonce, and issues through an intermediate; its roots are of this rehearsal only.

mod desk;
mod issuer;
mod look;
mod request;

use super::{Fault, aside::Aside};
use crate::world::{Net, RootKeys};
use bytes::Bytes;
use desk::{Desk, Look};
use http::{Request, Response, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use issuer::{Issuer, of_the_api};
use look::{Seen, look};
use request::Problem;
use rustls::{RootCertStore, ServerConfig, pki_types::PrivateKeyDer};
use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{net::TcpStream, sync::Notify};
use tokio_rustls::TlsAcceptor;

/// No request is larger, in bytes.
const REQUEST: usize = 64 << 10;
/// One connection lives no longer.
const CONNECTION: Duration = Duration::from_secs(600);
/// How long a slow CA takes to look.
const SLOW: Duration = Duration::from_secs(10);

/// Issues until it is dropped.
pub struct Ca {
    /// Its directory's URL: what `--acme-directory` gets.
    pub directory: String,
    /// The root that its certificates end in, as PEM.
    pub root: String,
    /// The root of its API's certificate, as PEM: what `--acme-ca-file` gets.
    pub api_root: String,
    net: Net,
    _aside: Aside,
}

struct Authority {
    desk: Mutex<Desk>,
    net: Net,
    fault: Option<Fault>,
    gone: Notify,
}

impl Ca {
    /// Starts on a free port of 127.0.0.1. It asks `resolver` for addresses and expects http-01 answers on `http_port`.
    ///
    /// # Errors
    /// When no port can be opened or no key made.
    pub fn start(resolver: SocketAddr, http_port: u16, fault: Option<Fault>) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let base = format!("https://{}", listener.local_addr()?);
        let issuer = Issuer::new().map_err(io::Error::other)?;
        let (certificate, key, api_root) = of_the_api().map_err(io::Error::other)?;
        let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(io::Error::other)?;
        let tls = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|c| c.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key))
            .map_err(io::Error::other)?;
        let (verdict_roots, api_roots) = (only(issuer.root.der())?, only(api_root.der())?);
        let net = Net { resolver: Some(resolver), verdict_roots, api_roots, dns_roots: RootKeys::default(), http_port, tls_port: 443 };
        let (directory, root) = (format!("{base}/directory"), issuer.root.pem());
        let authority = Authority { desk: Mutex::new(Desk::new(base, issuer, fault)), net: net.clone(), fault, gone: Notify::new() };
        let aside = Aside::run("rehearsal ca", serve(listener, TlsAcceptor::from(Arc::new(tls)), Arc::new(authority)))?;
        Ok(Self { directory, root, api_root: api_root.pem(), net, _aside: aside })
    }

    /// The network of those who ask the same resolver, believe in this CA and in nobody else.
    #[must_use]
    pub fn net(&self) -> Net {
        self.net.clone()
    }
}

fn only(root: &rustls::pki_types::CertificateDer<'static>) -> io::Result<Arc<RootCertStore>> {
    let mut roots = RootCertStore::empty();
    roots.add(root.clone()).map_err(io::Error::other)?;
    Ok(Arc::new(roots))
}

/// Accepts until the CA goes away; its connections end with it.
async fn serve(listener: TcpListener, tls: TlsAcceptor, authority: Arc<Authority>) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
    loop {
        tokio::select! {
            () = authority.gone.notified() => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => drop(tokio::spawn(tokio::time::timeout(CONNECTION, talk(stream, tls.clone(), authority.clone())))),
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }
}

async fn talk(stream: TcpStream, tls: TlsAcceptor, authority: Arc<Authority>) {
    let Ok(stream) = tls.accept(stream).await else { return };
    let service = service_fn(move |request| answer(authority.clone(), request));
    // A connection that breaks is the other side's business.
    let _ = http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(authority: Arc<Authority>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, io::Error> {
    let (head, body) = request.into_parts();
    let body = Limited::new(body, REQUEST).collect().await.map_err(io::Error::other)?.to_bytes();
    if authority.fault == Some(Fault::CaVanishes) && head.uri.path().starts_with("/challenge/") {
        authority.gone.notify_one();
        return Err(io::Error::other("the certificate authority went away"));
    }
    let (answer, nonce) = {
        let mut desk = authority.desk.lock().unwrap_or_else(PoisonError::into_inner);
        (desk.answer(&head.method, head.uri.path(), &body), desk.nonce())
    };
    if let Some(asked) = answer.look {
        tokio::spawn(validate(authority, asked));
    }
    let mut response = Response::builder().status(answer.status).header("replay-nonce", nonce).header(header::CACHE_CONTROL, "no-store");
    for (name, value) in answer.headers {
        response = response.header(name, value);
    }
    response.body(Full::new(answer.body.into())).map_err(io::Error::other)
}

async fn validate(authority: Arc<Authority>, asked: Look) {
    let Look { authorization, name, token, expected } = asked;
    let seen = match authority.fault {
        Some(Fault::CaCannotReach) => {
            let why =
                format!("Fetching http://{name}/.well-known/acme-challenge/{token}: Timeout during connect (likely firewall problem)");
            Seen { address: None, verdict: Err(Problem::new(400, "connection", why)) }
        }
        fault => {
            if fault == Some(Fault::CaSlow) {
                tokio::time::sleep(SLOW).await;
            }
            look(&authority.net, &name, &token, &expected).await
        }
    };
    authority.desk.lock().unwrap_or_else(PoisonError::into_inner).seen(authorization, seen.address, seen.verdict);
}
