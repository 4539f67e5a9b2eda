//! What stands in front of a CA's API: it ends TLS, passes requests on, and misbehaves as it is told. Ends with its value.

use super::pebble::{Pebble, api_certificate};
use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

/// What happens to one request.
#[derive(Clone, Copy, Debug)]
pub enum Fate {
    /// It is passed on, and so is the answer.
    Pass,
    /// Nothing is passed on; the connection ends.
    Cut,
    /// It is passed on, and the connection ends instead of an answer.
    Lose,
    /// A page of HTML with this status, and `Retry-After` where given.
    Page(u16, Option<&'static str>),
    /// Passed on; the answer says that it is two days later than it is.
    Tomorrow,
    /// Passed on; the answer is kept.
    Keep,
    /// Passed on; what was kept is answered: a CA that has one pending order of the same names, and no more.
    Again,
    /// Passed on; the answer, the directory, says how the CA calls itself in CAA records.
    CalledInCaa(&'static str),
}

/// A front end; its thread ends with the value.
pub struct Front {
    /// The directory URL behind it.
    pub directory: String,
    /// The CA of its certificate, as a PEM file.
    pub api_ca: PathBuf,
    /// Method and path of every request.
    pub requests: Arc<Mutex<Vec<String>>>,
    end: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
    _dir: tempfile::TempDir,
}

impl Front {
    /// Before `pebble`; the n-th request (from 0) has the fate that `fate` says. The certificate is valid from and to
    /// these years.
    pub fn start(pebble: &Pebble, years: (i32, i32), fate: impl Fn(usize, &str) -> Fate + Send + Sync + 'static) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let api_ca = api_certificate(dir.path(), years);
        let server = server_config(dir.path());
        let client = client_config(&pebble.api_ca);
        let (end, ended) = tokio::sync::oneshot::channel();
        let (tell, told) = std::sync::mpsc::channel();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (behind, seen) = (pebble.addr, requests.clone());
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
                tell.send(listener.local_addr().expect("an address")).expect("a listener");
                let work = accept(listener, server, client, behind, Arc::new(fate), seen);
                tokio::select! { () = work => {}, _ = ended => {} }
            });
        });
        let addr: SocketAddr = told.recv().expect("a front end");
        let directory = format!("https://localhost:{}/dir", addr.port());
        Self { directory, api_ca, requests, end: Some(end), thread: Some(thread), _dir: dir }
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        let _ = self.end.take().map(|e| e.send(()));
        let _ = self.thread.take().map(std::thread::JoinHandle::join);
    }
}

type Fates = Arc<dyn Fn(usize, &str) -> Fate + Send + Sync>;

async fn accept(
    listener: tokio::net::TcpListener,
    server: Arc<rustls::ServerConfig>,
    client: Arc<rustls::ClientConfig>,
    behind: SocketAddr,
    fate: Fates,
    seen: Arc<Mutex<Vec<String>>>,
) {
    let count = Arc::new(AtomicUsize::new(0));
    let kept: Arc<Mutex<Option<(header::HeaderValue, Bytes)>>> = Arc::default();
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        let acceptor = tokio_rustls::TlsAcceptor::from(server.clone());
        let (client, fate, count, seen, kept) = (client.clone(), fate.clone(), count.clone(), seen.clone(), kept.clone());
        tokio::spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let service = service_fn(move |request: Request<Incoming>| {
                let (client, fate, count, seen, kept) = (client.clone(), fate.clone(), count.clone(), seen.clone(), kept.clone());
                async move {
                    let line = format!("{} {}", request.method(), request.uri().path());
                    let fate = fate(count.fetch_add(1, Ordering::SeqCst), &line);
                    seen.lock().expect("a lock").push(line);
                    let cut = || std::io::Error::other("cut");
                    match fate {
                        Fate::Cut => Err(cut()),
                        Fate::Page(status, after) => {
                            let mut page = Response::new(Full::from("<html><h1>We'll be back</h1></html>"));
                            *page.status_mut() = StatusCode::from_u16(status).expect("a status");
                            if let Some(after) = after {
                                page.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static(after));
                            }
                            Ok(page)
                        }
                        Fate::Pass => pass(client, behind, request).await,
                        Fate::Lose => pass(client, behind, request).await.and(Err(cut())),
                        Fate::Keep => {
                            let (parts, body) = pass(client, behind, request).await?.into_parts();
                            let body = body.collect().await.expect("bytes").to_bytes();
                            *kept.lock().expect("a lock") = Some((parts.headers[header::LOCATION].clone(), body.clone()));
                            Ok(Response::from_parts(parts, Full::new(body)))
                        }
                        Fate::Again => {
                            let (mut parts, _) = pass(client, behind, request).await?.into_parts();
                            let (location, body) = kept.lock().expect("a lock").clone().expect("an answer");
                            parts.headers.insert(header::LOCATION, location);
                            parts.headers.remove(header::CONTENT_LENGTH);
                            Ok(Response::from_parts(parts, Full::new(body)))
                        }
                        Fate::CalledInCaa(name) => {
                            let answer = pass(client, behind, request).await?;
                            let body = answer.into_body().collect().await.expect("bytes").to_bytes();
                            let mut directory: serde_json::Value = serde_json::from_slice(&body).expect("a directory");
                            directory["meta"]["caaIdentities"] = serde_json::json!([name]);
                            Ok(Response::new(Full::from(directory.to_string())))
                        }
                        Fate::Tomorrow => {
                            let mut answer = pass(client, behind, request).await?;
                            let then = std::time::SystemTime::now() + std::time::Duration::from_secs(2 * 86_400);
                            let then = time::OffsetDateTime::from(then);
                            let text = then.format(&time::format_description::well_known::Rfc2822).expect("a date").replace("+0000", "GMT");
                            answer.headers_mut().insert(header::DATE, text.parse().expect("a header"));
                            Ok(answer)
                        }
                    }
                }
            });
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn pass(client: Arc<rustls::ClientConfig>, behind: SocketAddr, request: Request<Incoming>) -> std::io::Result<Response<Full<Bytes>>> {
    let other = |e: hyper::Error| std::io::Error::other(e);
    let tcp = tokio::net::TcpStream::connect(behind).await?;
    let tls = tokio_rustls::TlsConnector::from(client).connect("localhost".try_into().expect("a name"), tcp).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(tls)).await.map_err(other)?;
    tokio::spawn(connection);
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(other)?.to_bytes();
    let answer = sender.send_request(Request::from_parts(parts, Full::new(body))).await.map_err(other)?;
    let (parts, body) = answer.into_parts();
    Ok(Response::from_parts(parts, Full::new(body.collect().await.map_err(other)?.to_bytes())))
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn server_config(dir: &Path) -> Arc<rustls::ServerConfig> {
    let chain = vec![CertificateDer::from_pem_file(dir.join("api.crt")).expect("a certificate")];
    let key = PrivateKeyDer::from_pem_file(dir.join("api.key")).expect("a key");
    let builder = rustls::ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().expect("versions");
    Arc::new(builder.with_no_client_auth().with_single_cert(chain, key).expect("a server"))
}

fn client_config(api_ca: &Path) -> Arc<rustls::ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(api_ca).expect("a root")).expect("a root");
    let builder = rustls::ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().expect("versions");
    Arc::new(builder.with_root_certificates(roots).with_no_client_auth())
}
