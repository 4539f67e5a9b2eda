//! The policy host: MTA-STS policies over HTTPS and nothing else (RFC 8461 §3.3). One path, one file of what is served, no state
//! between requests, and a bound for everything that a stranger can make it spend: seats, time, bytes.

mod answer;
mod seats;
mod site;

pub use site::{ACME_TLS, Served, ServedHost, Unservable};

use crate::{
    moment::Moment,
    report::Terminal,
    world::{Look as _, Machine},
};
use answer::answer;
use http::Request;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use seats::Seats;
use site::Site;
use std::{convert::Infallible, future::Future, io, net::SocketAddr, path::Path, sync::Arc, time::Duration};
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpStream},
    sync::mpsc::{Sender, channel},
    task::JoinSet,
    time::{interval, sleep, timeout},
};
use tokio_rustls::TlsAcceptor;

/// Somebody who connects says something within this time.
const FIRST_BYTE: Duration = Duration::from_secs(3);
/// A handshake is over within this.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// The head of the request has come within this.
const HEAD: Duration = Duration::from_secs(5);
/// A conversation is over within this, the answer read.
const WHOLE: Duration = Duration::from_secs(12);
/// No head of a request is larger, in bytes (hyper's least).
const HEAD_BYTES: usize = 8192;
/// How often the file is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// Another file in its place is served by then, without a word to the service.
pub const NOTICED: Duration = Duration::from_secs(3);
/// Conversations that are left when we are told to end get this long.
const FAREWELL: Duration = Duration::from_secs(2);

/// Serves what `file` says on these sockets until `end`; another file in its place is served within a second, and one that
/// cannot be served is told and passed over.
///
/// # Errors
/// When the file cannot be served at the start.
pub async fn serve(listeners: Vec<TcpListener>, file: &Path, end: impl Future<Output = ()>) -> Result<(), Unservable> {
    let mut mark = mark(file);
    let mut site = Arc::new(Site::read(file)?);
    Terminal::say(&format!("serving {}", site.told()));
    let (sender, mut receiver) = channel(1);
    let mut doors: JoinSet<()> = listeners.into_iter().map(|listener| door(listener, sender.clone())).collect();
    let (mut seats, mut talks, mut looks) = (Seats::default(), JoinSet::new(), interval(LOOK));
    tokio::pin!(end);
    loop {
        tokio::select! {
            () = &mut end => break,
            Some((stream, peer)) = receiver.recv() => {
                seats.make_room(peer.ip());
                let talk = talks.spawn(converse(stream, site.clone()));
                seats.take(peer.ip(), talk);
            }
            Some(ended) = talks.join_next_with_id() => seats.leave(ended.map_or_else(|e| e.id(), |(id, ())| id)),
            _ = looks.tick() => {
                let now = self::mark(file);
                if now != mark {
                    mark = now;
                    match Site::read(file) {
                        Ok(new) => {
                            site = Arc::new(new);
                            Terminal::say(&format!("from now on serving {}", site.told()));
                        }
                        Err(why) => Terminal::say(&format!("{why}; what was served before is served on")),
                    }
                }
            }
        }
    }
    doors.shutdown().await;
    let _ = timeout(FAREWELL, async { while talks.join_next().await.is_some() {} }).await;
    Ok(())
}

/// What tells one file from another in its place.
fn mark(file: &Path) -> Option<((u64, u64), Moment)> {
    Some((Machine.identity(file).ok()?, Machine.changed(file).ok()?.0))
}

/// Lets in who connects, one at a time.
async fn door(listener: TcpListener, inside: Sender<(TcpStream, SocketAddr)>) {
    loop {
        match listener.accept().await {
            Ok(came) => {
                if inside.send(came).await.is_err() {
                    return;
                }
            }
            // Out of descriptors, mostly: others must end first.
            Err(_) => sleep(Duration::from_millis(50)).await,
        }
    }
}

/// One conversation, from the first byte to the last. Whoever does not come along is left.
async fn converse(stream: TcpStream, site: Arc<Site>) {
    let _ = timeout(WHOLE, exchange(stream, &site)).await;
}

async fn exchange(stream: TcpStream, site: &Site) -> io::Result<()> {
    timeout(FIRST_BYTE, stream.readable()).await??;
    stream.set_nodelay(true)?;
    let mut stream = timeout(HANDSHAKE, TlsAcceptor::from(site.tls.clone()).accept(stream)).await??;
    // The handshake was the whole answer.
    if stream.get_ref().1.alpn_protocol() == Some(ACME_TLS) {
        return stream.shutdown().await;
    }
    let host = stream.get_ref().1.server_name().map(str::to_ascii_lowercase).unwrap_or_default();
    let policy = site.policy(&host);
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = answer(request.method(), request.uri(), request.headers(), &host, policy.as_ref());
        async move { Ok::<_, Infallible>(answer) }
    });
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEAD).keep_alive(false).max_buf_size(HEAD_BYTES);
    server.serve_connection(TokioIo::new(stream), service).await.map_err(io::Error::other)
}
