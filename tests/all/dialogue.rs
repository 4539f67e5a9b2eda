//! Odd and hostile servers, each a short script in `dialogues/`: `S:` the server says (lines up to the next `C:` in one
//! packet; `{text*n}` repeats), `C:` what a line of ours must begin with, `BYTES` waits for anything, `DRIP ms` sends
//! byte by byte, `HANG` waits until we go, `CLOSE` ends, `AGAIN` plays the same for the next connection, `=` what the
//! view must hold (`-` for nothing).

use crate::lab::{authority::net_with, ports::free_port};
use mxseal::{
    smtp::converse,
    view::{EndpointView, Offer, Probe, Wire},
};
use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::Path,
    thread,
    time::{Duration, Instant},
};

#[test]
fn odd_servers() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/all/dialogues");
    let mut scripts: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    scripts.sort();
    assert!(scripts.len() >= 15, "scripts are missing");
    for script in scripts {
        play(&script.file_stem().unwrap().to_string_lossy(), &std::fs::read_to_string(&script).unwrap());
    }
}

#[test]
fn a_port_that_nobody_has() {
    let view = ask(free_port(), Offer::Any, Duration::from_secs(2));
    assert!(view.broke.as_deref().is_some_and(|b| b.contains("Connection refused")), "{view:?}");
    assert!(view.greeting.value().is_none() && view.tls.value().is_none());
}

#[test]
fn the_old_hello_reads_its_answer() {
    // Alert 70; nonsense; a record that claims more than it may.
    for (answer, expected) in
        [(&[21, 3, 1, 0, 2, 2, 70][..], "alert 70 (protocol version)"), (b"250 hello", "no TLS"), (&[22, 3, 1, 0xff, 0xff], "no TLS")]
    {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let addr = listener.local_addr().unwrap();
        let server = thread::spawn(move || {
            let (mut peer, _) = listener.accept().unwrap();
            peer.write_all(b"220 hi\r\n").unwrap();
            let mut lines = BufReader::new(peer.try_clone().unwrap());
            let mut line = String::new();
            lines.read_line(&mut line).unwrap();
            peer.write_all(b"250-hi\r\n250 STARTTLS\r\n").unwrap();
            lines.read_line(&mut line).unwrap();
            peer.write_all(b"220 go\r\n").unwrap();
            let _ = lines.read(&mut [0; 4096]);
            peer.write_all(answer).unwrap();
        });
        let view = ask(addr, Offer::Legacy, Duration::from_secs(2));
        server.join().unwrap();
        assert!(view.broke.as_deref().is_some_and(|b| b.contains(expected)), "{expected}: {view:?}");
    }
}

fn ask(addr: SocketAddr, offer: Offer, limit: Duration) -> EndpointView {
    let name: mxseal::name::DnsName = "mx.example.test".parse().unwrap();
    let probe = Probe { addr, wire: Wire::StartTls, name, sni: true, offer, postmaster_of: Some("example.test".parse().unwrap()) };
    let net = net_with(rustls::RootCertStore::empty());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(converse(&net, &probe, limit))
}

fn play(name: &str, script: &str) {
    let (wanted, acts): (Vec<&str>, Vec<&str>) =
        script.lines().filter(|l| !l.is_empty() && !l.starts_with('#')).partition(|l| l.starts_with('='));
    let wanted: Vec<(&str, &str)> = wanted.iter().map(|l| l[1..].trim().split_once(": ").unwrap()).collect();
    let limit = wanted.iter().find(|(key, _)| *key == "limit").map_or(5.0, |(_, v)| v.parse().unwrap());
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let addr = listener.local_addr().unwrap();
    let acts: Vec<String> = acts.iter().map(ToString::to_string).collect();
    let server = thread::spawn(move || {
        serve(listener.accept().unwrap().0, &acts);
        let mut connections = 1;
        if acts.iter().any(|a| a == "AGAIN") {
            serve(listener.accept().unwrap().0, &acts);
            connections = 2;
        }
        connections
    });
    let began = Instant::now();
    let view = ask(addr, Offer::Any, Duration::from_secs_f32(limit));
    assert!(began.elapsed() < Duration::from_secs_f32(limit + 20.0), "{name}: took {:?}", began.elapsed());
    let connections = server.join().unwrap_or_else(|_| panic!("{name}: the script was not followed: {view:#?}"));
    for (key, expected) in wanted {
        let seen = match key {
            "limit" => continue,
            "connections" => connections.to_string(),
            "broke" => view.broke.clone().unwrap_or_else(|| "-".into()),
            "tls" => format!("{:?}", view.tls),
            "greeting" => format!("{:?}", view.greeting).replace("\\u{fffd}", "\u{fffd}"),
            "steps" => view.steps.iter().map(|(verb, code)| format!("{verb} {code}")).collect::<Vec<_>>().join(", "),
            other => panic!("{name}: what is {other}?"),
        };
        assert!(seen.contains(expected), "{name}: {key} should hold {expected:?} and is {seen:?}");
    }
}

fn serve(mut peer: TcpStream, acts: &[String]) {
    let mut lines = BufReader::new(peer.try_clone().unwrap());
    let mut say = Vec::new();
    let mut drip = None;
    for act in acts {
        if let Some(text) = act.strip_prefix("S: ") {
            say.extend(expand(text));
            continue;
        }
        send(&mut peer, &mut say, drip);
        match act.split_once(' ').unwrap_or((act, "")) {
            ("C:", expected) => {
                let mut line = String::new();
                lines.read_line(&mut line).unwrap();
                assert!(line.starts_with(expected), "{line:?} is not {expected:?}");
            }
            ("BYTES", _) => assert!(lines.read(&mut [0; 4096]).unwrap() > 0),
            ("DRIP", ms) => drip = Some(Duration::from_millis(ms.parse().unwrap())),
            ("HANG", _) => while lines.read(&mut [0; 64]).is_ok_and(|n| n > 0) {},
            ("CLOSE", _) => return,
            ("AGAIN", _) => {}
            (other, _) => panic!("what is {other}?"),
        }
    }
    send(&mut peer, &mut say, drip);
}

fn send(peer: &mut TcpStream, say: &mut Vec<u8>, drip: Option<Duration>) {
    match drip {
        None => {
            let _ = peer.write_all(say);
        }
        Some(pause) => {
            for byte in say.iter() {
                if peer.write_all(&[*byte]).is_err() {
                    break;
                }
                thread::sleep(pause);
            }
        }
    }
    say.clear();
}

fn expand(text: &str) -> Vec<u8> {
    let text = text.replace("\\r", "\r").replace("\\n", "\n").replace("\\e", "\u{1b}");
    match text.split_once('{').and_then(|(before, rest)| Some((before, rest.split_once('*')?))) {
        Some((before, (what, times))) => format!("{before}{}\r\n", what.repeat(times.trim_end_matches('}').parse().unwrap())).into_bytes(),
        None => format!("{text}\r\n").into_bytes(),
    }
}
