//! A private CA: Pebble with its own API certificate, and pebble-challtestsrv as the DNS that it asks, all on loopback
//! and on ports of their own. Ends with its value.

use super::{
    ports::free_port,
    process::{Daemon, wait_for},
};
use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};

/// Debian's Pebble: no profiles, no renewal information; a certificate lives five years.
pub const PEBBLE: &str = "/usr/bin/pebble";

/// The key id and the secret (base64url) of the one external account that an EAB Pebble knows.
pub const EAB: (&str, &str) = ("kid-1", "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W");

/// First and last year of an API certificate that is good.
pub const YEARS: (i32, i32) = (2000, 4000);

/// A name that every Pebble of the lab refuses.
pub const BLOCKED: &str = "blocked.example.test";

/// A newer Pebble with profiles, renewal information, empty subjects and serverAuth-only leaves.
pub fn new_pebble() -> PathBuf {
    std::env::var_os("MXSEAL_PEBBLE_NEW").map_or_else(|| "/opt/pebble-new/usr/bin/pebble".into(), PathBuf::from)
}

/// What kind of CA.
#[derive(Clone, Debug)]
pub struct Options {
    /// The program: [`PEBBLE`] or [`new_pebble`].
    pub binary: PathBuf,
    /// Accounts need an external binding ([`EAB`]).
    pub eab: bool,
    /// Percent of good nonces that are refused.
    pub nonce_reject: u8,
    /// Percent of orders that reuse a valid authorization.
    pub authz_reuse: u8,
    /// Validation sleeps up to 15 s, as a busy CA does.
    pub slow: bool,
    /// Where it looks for http-01 answers; a free port when `None`.
    pub http_port: Option<u16>,
    /// The resolver that it asks; our own challtestsrv (every name is 127.0.0.1) when `None`.
    pub dns: Option<SocketAddr>,
    /// A names' IPv6 address in our challtestsrv; empty for none.
    pub ipv6: &'static str,
}

impl Default for Options {
    fn default() -> Self {
        Self { binary: PEBBLE.into(), eab: false, nonce_reject: 0, authz_reuse: 0, slow: false, http_port: None, dns: None, ipv6: "" }
    }
}

/// A running CA.
pub struct Pebble {
    server: Daemon,
    _dns: Option<Daemon>,
    /// The directory URL.
    pub directory: String,
    /// Where it listens.
    pub addr: SocketAddr,
    /// The CA of its API, as a PEM file.
    pub api_ca: PathBuf,
    /// Where it looks for http-01 answers.
    pub http_port: u16,
    /// Where it looks for tls-alpn-01 answers.
    pub tls_port: u16,
    /// The resolver that it asks.
    pub dns: SocketAddr,
    management: SocketAddr,
    dns_management: SocketAddr,
    _dir: tempfile::TempDir,
}

impl Pebble {
    /// Starts one and waits until it answers.
    pub fn start(options: &Options) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let api_ca = api_certificate(dir.path(), YEARS);
        let (acme, management, tls, dns_management) = (free_port(), free_port(), free_port(), free_port());
        let http_port = options.http_port.unwrap_or_else(|| free_port().port());
        let (dns, server) = match options.dns {
            Some(dns) => (dns, None),
            None => {
                let dns = free_port();
                let mut command = Command::new("/usr/bin/pebble-challtestsrv");
                command.args(["-dns01", &dns.to_string(), "-management", &dns_management.to_string()]);
                command.args(["-http01", "", "-https01", "", "-tlsalpn01", "", "-defaultIPv4", "127.0.0.1", "-defaultIPv6", options.ipv6]);
                let server = Daemon::start(&mut command, &dir.path().join("dns.log"));
                wait_for("pebble-challtestsrv", Duration::from_secs(10), || TcpStream::connect(dns_management).is_ok());
                (dns, Some(server))
            }
        };
        let config = dir.path().join("pebble.json");
        let value = serde_json::json!({"pebble": {
            "listenAddress": acme.to_string(), "managementListenAddress": management.to_string(),
            "certificate": dir.path().join("api.crt"), "privateKey": dir.path().join("api.key"),
            "httpPort": http_port, "tlsPort": tls.port(), "ocspResponderURL": "",
            "externalAccountBindingRequired": options.eab, "externalAccountMACKeys": {EAB.0: EAB.1},
            "domainBlocklist": [BLOCKED], "certificateValidityPeriod": 157_766_400, "retryAfter": {"authz": 1, "order": 1},
            "profiles": {
                "default": {"description": "ninety days", "validityPeriod": 7_776_000},
                "shortlived": {"description": "six days", "validityPeriod": 518_400}
            }
        }});
        std::fs::write(&config, value.to_string()).expect("a configuration");
        let mut command = Command::new(&options.binary);
        command.args(["-strict=true", "-config"]).arg(&config).args(["-dnsserver", &dns.to_string()]);
        command.env("PEBBLE_WFE_NONCEREJECT", options.nonce_reject.to_string());
        command.env("PEBBLE_AUTHZREUSE", options.authz_reuse.to_string());
        if !options.slow {
            command.env("PEBBLE_VA_NOSLEEP", "1");
        }
        let server_of_dns = server;
        let server = Daemon::start(&mut command, &dir.path().join("pebble.log"));
        wait_for("pebble", Duration::from_secs(10), || TcpStream::connect(acme).is_ok() && TcpStream::connect(management).is_ok());
        Self {
            server,
            _dns: server_of_dns,
            directory: format!("https://localhost:{}/dir", acme.port()),
            addr: acme,
            api_ca,
            http_port,
            tls_port: tls.port(),
            dns,
            management,
            dns_management,
            _dir: dir,
        }
    }

    /// The root that its certificates end in: another one at every start.
    pub fn root_pem(&self) -> String {
        let body = self.manage("GET /roots/0", "");
        assert!(body.contains("BEGIN CERTIFICATE"), "no root in {body}");
        body
    }

    /// What the newer Pebble suggests from now on for one of its certificates (PEM), as JSON.
    pub fn suggest(&self, certificate: &str, window: &serde_json::Value) {
        let body = serde_json::json!({"certificate": certificate, "ariResponse": window.to_string()});
        self.manage("POST /set-renewal-info/", &body.to_string());
    }

    /// The body of an answer of its management.
    fn manage(&self, request: &str, body: &str) -> String {
        let mut roots = rustls::RootCertStore::empty();
        for der in mxseal::certificate::pem_certificates(&std::fs::read(&self.api_ca).expect("our file")).expect("PEM") {
            roots.add(der.into()).expect("a root");
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = "localhost".try_into().expect("a name");
        let tls = rustls::ClientConnection::new(Arc::new(config), name).expect("a client");
        let tcp = TcpStream::connect(self.management).expect("Pebble's management port");
        let mut stream = rustls::StreamOwned::new(tls, tcp);
        write!(stream, "{request} HTTP/1.0\r\nHost: localhost\r\nUser-Agent: lab\r\nContent-Length: {}\r\n\r\n{body}", body.len())
            .expect("a request");
        let mut answer = String::new();
        // Pebble closes without a TLS close_notify.
        let _ = stream.read_to_string(&mut answer);
        let (head, body) = answer.split_once("\r\n\r\n").expect("an HTTP answer");
        assert!(head.contains(" 200 "), "{request}: {answer}");
        body.to_owned()
    }

    /// Tells the DNS server of the lab something: `add-a` with `{"host": "mx.example.test.", "addresses": ["127.0.0.2"]}`.
    pub fn tell_dns(&self, what: &str, value: &serde_json::Value) {
        let body = value.to_string();
        let mut stream = TcpStream::connect(self.dns_management).expect("challtestsrv's management port");
        let length = body.len();
        write!(stream, "POST /{what} HTTP/1.0\r\nContent-Length: {length}\r\n\r\n{body}").expect("a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        assert!(answer.contains(" 200 "), "{what}: {answer}");
    }

    /// Everything that Pebble logged.
    pub fn log(&self) -> String {
        self.server.log()
    }

    /// How many orders it took.
    pub fn orders(&self) -> usize {
        self.log().matches("Added order ").count()
    }

    /// How many certificates it issued.
    pub fn issued(&self) -> usize {
        self.log().matches("Issued certificate serial").count()
    }
}

/// A CA and a certificate of it for `localhost` and 127.0.0.1, valid from and to these years, as `api.crt` and `api.key`;
/// gives the CA's file.
pub fn api_certificate(dir: &Path, years: (i32, i32)) -> PathBuf {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
    let mut params = CertificateParams::new(Vec::new()).expect("parameters");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "lab API CA");
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a CA");
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).expect("parameters");
    params.not_before = rcgen::date_time_ymd(years.0, 1, 1);
    params.not_after = rcgen::date_time_ymd(years.1, 1, 1);
    let leaf = params.signed_by(&key, &ca).expect("a certificate");
    std::fs::write(dir.join("api.crt"), leaf.pem()).expect("api.crt");
    std::fs::write(dir.join("api.key"), key.serialize_pem()).expect("api.key");
    let file = dir.join("api-ca.crt");
    std::fs::write(&file, ca.pem()).expect("api-ca.crt");
    file
}
