//! Whoever sits on the path between a sender and the MX host, and receives in its place. What it read is kept.

use super::{
    authority::self_signed,
    internet::SENDER,
    net::{Net, v4, v6},
    process::run,
};
use mxseal::certificate::{KeyType, pem_certificates};
use rustls::pki_types::PrivatePkcs8KeyDer;
use std::{
    io::{self, Read, Write},
    net::{IpAddr, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

/// The attacker's place.
const ATTACKER: &str = "attacker";
const PLACE: u8 = 66;
/// The MX host's.
const MX: u8 = 25;

/// What is done to a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attack {
    /// STARTTLS is not offered.
    Strip,
    /// STARTTLS is offered, with a certificate of the same name that nobody vouches for.
    Impersonate,
}

/// The attacker; harmless until an attack begins.
pub struct Attacker<'a> {
    net: &'a Net,
    state: Arc<Mutex<State>>,
}

struct State {
    attack: Attack,
    conversations: usize,
    read: String,
}

/// An attack; it ends with its value.
pub struct Under<'a, 'b>(&'a Attacker<'b>);

impl<'a> Attacker<'a> {
    /// Its place, which must be plugged in: see [`plug`].
    pub fn new(net: &'a Net) -> Self {
        // It has the addresses of the MX host, and tells nobody.
        run(net.command(ATTACKER, "sysctl").args(["-qw", "net.ipv4.conf.all.arp_ignore=1"]));
        run(net.command(ATTACKER, "ip").args(["addr", "add", &format!("{}/32", v4(MX)), "dev", "lo"]));
        run(net.command(ATTACKER, "ip").args(["addr", "add", &format!("{}/128", v6(MX)), "dev", "lo", "nodad"]));
        let state = Arc::new(Mutex::new(State { attack: Attack::Strip, conversations: 0, read: String::new() }));
        let issued = self_signed(&["mx1.example.test"], KeyType::Ecdsa, false);
        let chain = pem_certificates(issued.chain.as_bytes()).unwrap().into_iter().map(Into::into).collect();
        let key = PrivatePkcs8KeyDer::from(rcgen::KeyPair::from_pem(&issued.key).unwrap().serialize_der());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let tls = Arc::new(tls.with_no_client_auth().with_single_cert(chain, key.into()).unwrap());
        for address in [v4(MX), v6(MX)].map(|a| a.parse::<IpAddr>().unwrap()) {
            let listener = net.listen(ATTACKER, (address, 25).into());
            let (state, tls) = (state.clone(), tls.clone());
            thread::spawn(move || {
                for stream in listener.incoming().map_while(Result::ok) {
                    let (state, tls) = (state.clone(), tls.clone());
                    thread::spawn(move || receive(stream, &state, tls));
                }
            });
        }
        Self { net, state }
    }

    /// From now on the sender's way to the MX host ends here, and what was read before is forgotten.
    pub fn begins(&self, attack: Attack) -> Under<'_, 'a> {
        *self.state.lock().unwrap() = State { attack, conversations: 0, read: String::new() };
        self.route("add");
        Under(self)
    }

    fn route(&self, verb: &str) {
        for (to, via) in [(v4(MX), v4(PLACE)), (v6(MX), v6(PLACE))] {
            run(self.net.command(SENDER, "ip").args(["route", verb, &to, "via", &via]));
        }
    }
}

/// Gives the attacker its place on the wire.
pub fn plug(net: &mut Net) {
    net.plug(ATTACKER, PLACE);
}

impl Under<'_, '_> {
    /// How many conversations were had.
    pub fn conversations(&self) -> usize {
        self.0.state.lock().unwrap().conversations
    }

    /// Every message that was read.
    pub fn read(&self) -> String {
        self.0.state.lock().unwrap().read.clone()
    }
}

impl Drop for Under<'_, '_> {
    fn drop(&mut self) {
        self.0.route("del");
    }
}

fn receive(mut tcp: TcpStream, state: &Mutex<State>, tls: Arc<rustls::ServerConfig>) {
    let _ = tcp.set_read_timeout(Some(Duration::from_secs(60)));
    let attack = {
        let mut state = state.lock().unwrap();
        state.conversations += 1;
        state.attack
    };
    let greeted = tcp.write_all(b"220 mx1.example.test ESMTP\r\n");
    if greeted.is_ok() && converse(&mut tcp, attack == Attack::Impersonate, state).unwrap_or(false) {
        let connection = rustls::ServerConnection::new(tls).expect("a server");
        let _ = converse(&mut rustls::StreamOwned::new(connection, tcp), false, state);
    }
}

/// Until the end, or until TLS begins: then true.
fn converse(stream: &mut (impl Read + Write), starttls: bool, state: &Mutex<State>) -> io::Result<bool> {
    loop {
        let said = line(stream)?.to_ascii_uppercase();
        let answer = match said.split([' ', ':']).next().unwrap_or_default() {
            "EHLO" if starttls => "250-mx1.example.test\r\n250-STARTTLS\r\n250 8BITMIME\r\n",
            "EHLO" => "250-mx1.example.test\r\n250 8BITMIME\r\n",
            "STARTTLS" if starttls => {
                stream.write_all(b"220 go\r\n")?;
                return Ok(true);
            }
            "DATA" => {
                stream.write_all(b"354 go\r\n")?;
                loop {
                    let line = line(stream)?;
                    if line == "." {
                        break;
                    }
                    state.lock().unwrap().read += &format!("{line}\n");
                }
                "250 taken\r\n"
            }
            "HELO" | "MAIL" | "RCPT" | "RSET" | "NOOP" => "250 fine\r\n",
            "QUIT" => {
                stream.write_all(b"221 bye\r\n")?;
                return Ok(false);
            }
            _ => "502 no\r\n",
        };
        stream.write_all(answer.as_bytes())?;
        stream.flush()?;
    }
}

fn line(stream: &mut impl Read) -> io::Result<String> {
    let (mut line, mut byte) = (Vec::new(), [0]);
    while !line.ends_with(b"\n") {
        stream.read_exact(&mut byte)?;
        line.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
}
