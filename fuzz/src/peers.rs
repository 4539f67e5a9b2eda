//! What peers say while they are connected: mail servers, certificate authorities, keepers of lists, and whoever asks our policy host.

use super::Reader;
use mxseal::{
    acme,
    moment::Moment,
    publish::desk,
    serve::{Served, ServedHost, serve},
    smtp::converse,
    view::{Offer, Probe, Wire},
    world::Net,
};
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use std::{
    cell::OnceCell,
    collections::BTreeMap,
    fs,
    future::pending,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    runtime::{Builder, Runtime},
    time::timeout,
};
use tokio_rustls::TlsConnector;

pub const READERS: &[Reader] =
    &[("ca_problem", problem), ("ca_window", window), ("desk", answer), ("mail_server", mail_server), ("policy_host", policy_host)];

/// Long enough for a machine that is busy; nobody waits that long who is answered.
const LIMIT: Duration = Duration::from_secs(20);
/// A server that waits for us while we wait for it goes on after this.
const PAUSE: Duration = Duration::from_millis(3);
const HOST: &str = "mta-sts.example.org";

pub fn problem(bytes: &[u8]) {
    let names = ["mx.example.org".to_owned(), "example.org".to_owned()];
    for refusal in acme::Refusal::read(bytes, &names, 80) {
        let said = refusal.to_string();
        assert!(!said.contains(char::is_control), "nothing of it moves a terminal: {said:?}");
    }
}

pub fn window(bytes: &[u8]) {
    let _ = acme::read_window(bytes, Moment(7));
}

pub fn answer(bytes: &[u8]) {
    let Ok(value) = serde_json::from_slice(bytes) else { return };
    let _ = desk::state(&value);
    for said in desk::scan(&value).map(|scan| scan.against).unwrap_or_default() {
        assert!(!said.contains(char::is_control), "nothing of it moves a terminal: {said:?}");
    }
}

/// What a thread needs to meet somebody: a port that stays, so that none run out.
struct Meeting {
    runtime: Runtime,
    listener: TcpListener,
    addr: SocketAddr,
}

impl Meeting {
    fn new() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("a socket");
        let addr = listener.local_addr().expect("an address");
        Self { runtime, listener, addr }
    }

    fn listener(&self) -> tokio::net::TcpListener {
        tokio::net::TcpListener::from_std(self.listener.try_clone().expect("a descriptor")).expect("a socket")
    }
}

/// The first byte says how we come; what the server says follows, piece by piece: the next when it was told something, or soon.
pub fn mail_server(bytes: &[u8]) {
    thread_local! {
        static MEETING: (Meeting, Net) = (Meeting::new(), Net::of_this_host(None, &[""; 0], &[""; 0]).expect("roots"));
    }
    let Some((how, said)) = bytes.split_first() else { return };
    let wires = [Wire::StartTls, Wire::Implicit, Wire::Imap, Wire::Imaps, Wire::Pop3, Wire::Pop3s];
    let wire = wires[usize::from(how.wrapping_sub(b'0')) % wires.len()];
    let offer = if how & 0x40 == 0 { Offer::Rsa } else { Offer::Legacy };
    MEETING.with(|(meeting, net)| {
        let name: mxseal::name::DnsName = "mx.example.org".parse().expect("a name");
        let probe = Probe { addr: meeting.addr, wire, name, sni: true, offer, postmaster_of: Some("example.org".parse().expect("a name")) };
        meeting.runtime.block_on(async {
            let listener = meeting.listener();
            let says = async {
                let (mut stream, _) = listener.accept().await.expect("a client");
                let mut heard = [0; 4096];
                for piece in said.split(|b| *b == 0) {
                    let told = async { stream.write_all(piece).await.is_ok() && matches!(stream.read(&mut heard).await, Ok(1..)) };
                    if timeout(PAUSE, told).await == Ok(false) {
                        break;
                    }
                }
            };
            let (view, ()) = tokio::join!(converse(net, &probe, LIMIT), says);
            assert!(!view.broke.unwrap_or_default().contains(char::is_control), "nothing of it moves a terminal");
        });
    });
}

/// What the policy host is sent: as the first bytes of a connection, or inside TLS where a `t` comes first.
pub fn policy_host(bytes: &[u8]) {
    thread_local! {
        static SITE: OnceCell<Site> = const { OnceCell::new() };
    }
    SITE.with(|site| {
        let site = site.get_or_init(Site::new);
        site.meeting.runtime.block_on(async {
            let heard = async {
                let mut stream = TcpStream::connect(site.meeting.addr).await.expect("a connection");
                let mut heard = Vec::new();
                let _ = match bytes.strip_prefix(b"t") {
                    None => talk(&mut stream, bytes, &mut heard).await,
                    Some(request) => {
                        let name = ServerName::try_from(HOST).expect("a name");
                        let mut tls = TlsConnector::from(site.tls.clone()).connect(name, stream).await.expect("TLS");
                        let talked = talk(&mut tls, request, &mut heard).await;
                        assert!(heard.is_empty() || heard.starts_with(b"HTTP/1."), "{:?}", String::from_utf8_lossy(&heard));
                        talked
                    }
                };
            };
            timeout(LIMIT, heard).await.expect("an end of the conversation");
        });
    });
}

async fn talk<S: AsyncReadExt + AsyncWriteExt + Unpin>(stream: &mut S, says: &[u8], heard: &mut Vec<u8>) -> std::io::Result<()> {
    stream.write_all(says).await?;
    stream.shutdown().await?;
    stream.read_to_end(heard).await.map(drop)
}

struct Site {
    meeting: Meeting,
    tls: Arc<ClientConfig>,
    _dir: tempfile::TempDir,
}

impl Site {
    fn new() -> Self {
        let key = rcgen::KeyPair::generate().expect("a key");
        let certificate = rcgen::CertificateParams::new([HOST.to_owned()]).expect("a name").self_signed(&key).expect("a certificate");
        let dir = tempfile::tempdir().expect("a folder");
        let host = ServedHost {
            policy: "version: STSv1\nmode: none\nmax_age: 0\n".to_owned(),
            bundle: format!("{}{}", key.serialize_pem(), certificate.pem()),
        };
        let served = Served::new(BTreeMap::from([(HOST.parse().expect("a name"), host)]));
        let file = dir.path().join("served.json");
        fs::write(&file, serde_json::to_vec(&served).expect("JSON")).expect("a file");
        let mut roots = RootCertStore::empty();
        roots.add(certificate.der().clone()).expect("a root");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().expect("TLS");
        let tls = Arc::new(tls.with_root_certificates(roots).with_no_client_auth());
        let meeting = Meeting::new();
        let listener = meeting.runtime.block_on(async { meeting.listener() });
        meeting.runtime.spawn(async move { serve(vec![listener], &file, pending()).await });
        Self { meeting, tls, _dir: dir }
    }
}
