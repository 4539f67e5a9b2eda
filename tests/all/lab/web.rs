//! A web server on loopback whose files a test chooses.

use super::authority::Issued;
use mxseal::certificate::pem_certificates;
use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener},
    sync::{Arc, Mutex},
};

/// Media type and bytes, by path.
pub type Web = BTreeMap<String, (&'static str, Vec<u8>)>;

/// A server that answers until the test ends.
pub struct Served {
    at: SocketAddr,
    files: Arc<Mutex<Web>>,
}

impl Served {
    /// Its port.
    pub fn port(&self) -> u16 {
        self.at.port()
    }

    /// Other files from now on.
    pub fn show(&self, files: Web) {
        *self.files.lock().unwrap() = files;
    }
}

/// Serves these files by TLS; each connection is one request, and what is not there is answered 404.
pub fn serve(at: SocketAddr, issued: &Issued, files: Web) -> Served {
    serve_on(TcpListener::bind(at).unwrap(), issued, files)
}

/// The same on a port that is open already.
pub fn serve_on(listener: TcpListener, issued: &Issued, files: Web) -> Served {
    let served = Served { at: listener.local_addr().unwrap(), files: Arc::new(Mutex::new(files)) };
    let files = served.files.clone();
    serve_by(listener, issued, move |request, _| {
        let found = files.lock().unwrap().get(request.split(' ').nth(1).unwrap_or_default()).cloned();
        match found {
            Some((media, body)) => ("200 OK".to_owned(), media, body),
            None => ("404 Not Found".to_owned(), "text/plain", Vec::new()),
        }
    });
    served
}

/// Answers by TLS with status, media type and body, from method and path, and from what was sent; each connection is one request.
pub fn serve_by(listener: TcpListener, issued: &Issued, answer: impl Fn(&str, &str) -> (String, &'static str, Vec<u8>) + Send + 'static) {
    let chain = pem_certificates(issued.chain.as_bytes()).unwrap().into_iter().map(Into::into).collect();
    let key = rcgen::KeyPair::from_pem(&issued.key).unwrap().serialize_der();
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(key).into();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let tls = Arc::new(tls.with_no_client_auth().with_single_cert(chain, key).unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut stream = rustls::StreamOwned::new(rustls::ServerConnection::new(tls.clone()).unwrap(), stream);
            let (mut heard, mut byte) = (Vec::new(), [0]);
            while !heard.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n == 1) {
                heard.push(byte[0]);
            }
            let head = String::from_utf8_lossy(&heard).into_owned();
            let length = head.lines().find_map(|l| l.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
            let mut sent = vec![0; length.unwrap_or(0)];
            if stream.read_exact(&mut sent).is_err() {
                continue;
            }
            let request = head.lines().next().and_then(|l| l.rsplit_once(' ')).map(|(request, _)| request).unwrap_or_default();
            let (status, media, body) = answer(request, &String::from_utf8_lossy(&sent));
            let head = format!("HTTP/1.1 {status}\r\nContent-Type: {media}\r\nContent-Length: {}\r\n\r\n", body.len());
            let _ = stream.write_all(&[head.as_bytes(), &body].concat());
            let _ = stream.flush();
        }
    });
}
