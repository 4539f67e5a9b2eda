//! Where the daemon listens: `local_interfaces` with `daemon_smtp_ports`, or what its command line says instead (Exim
//! specification, chapter 13).

use super::list;
use crate::mta::understood::PROCESS;
use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

/// Each port with its addresses, and whether TLS begins with the first byte there.
pub(super) fn ports(answers: &BTreeMap<String, String>) -> Vec<(u16, Vec<SocketAddr>, bool)> {
    let answer = |name: &str| answers.get(name).map_or("", String::as_str);
    let mut interfaces = list(answer("local_interfaces"));
    let mut ports = list(answer("daemon_smtp_ports"));
    let process = option(answers, "-oX").map(list).unwrap_or_default();
    let (addresses, numbers): (Vec<String>, Vec<String>) = process.into_iter().partition(|item| item.contains(['.', ':']));
    if !addresses.is_empty() {
        interfaces = addresses;
    }
    if !numbers.is_empty() {
        ports = numbers;
    }
    let mut ports: Vec<u16> = ports.iter().filter_map(|p| number(p)).collect();
    if ports.is_empty() {
        ports.push(25);
    }
    let mut addrs: Vec<SocketAddr> = Vec::new();
    for item in &interfaces {
        match address(item) {
            Some((ip, Some(port))) => addrs.push(SocketAddr::new(ip, port)),
            Some((ip, None)) => addrs.extend(ports.iter().map(|port| SocketAddr::new(ip, *port))),
            None => {}
        }
    }
    if interfaces.is_empty() {
        let all = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
        addrs.extend(ports.iter().flat_map(|port| all.map(|ip| SocketAddr::new(ip, *port))));
    }
    let on_connect: Vec<u16> = list(answer("tls_on_connect_ports")).iter().filter_map(|p| number(p)).collect();
    let mut by_port: BTreeMap<u16, Vec<SocketAddr>> = BTreeMap::new();
    for addr in addrs {
        by_port.entry(addr.port()).or_default().push(addr);
    }
    by_port.into_iter().map(|(port, addrs)| (port, addrs, on_connect.contains(&port))).collect()
}

/// The word behind an option in the daemon's command line.
pub(super) fn option<'a>(answers: &'a BTreeMap<String, String>, name: &str) -> Option<&'a str> {
    let mut words = answers.get(PROCESS)?.split('\n');
    words.find(|w| *w == name).and_then(|_| words.next())
}

fn number(text: &str) -> Option<u16> {
    Some(match text {
        "smtp" => 25,
        "submission" => 587,
        "submissions" | "smtps" | "ssmtp" | "urd" => 465,
        number => number.parse().ok()?,
    })
}

/// `192.0.2.1`, `192.0.2.1.26`, `[192.0.2.1]:26`, `2001:db8::1`, `2001:db8::1.26` or `[2001:db8::1]:26`.
fn address(text: &str) -> Option<(IpAddr, Option<u16>)> {
    if let Some((ip, rest)) = text.strip_prefix('[').and_then(|t| t.split_once(']')) {
        return Some((ip.parse().ok()?, rest.strip_prefix(':').and_then(number)));
    }
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Some((ip, None));
    }
    // Exim writes the address of all as `::0`.
    let (ip, port) = text.rsplit_once('.')?;
    Some((ip.parse().ok()?, Some(number(port)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_comes_before_the_configuration() {
        for (interfaces, ports_said, process, want) in [
            ("<; ::0 ; 0.0.0.0", "smtp", "", "[::]:25 0.0.0.0:25"),
            ("", "", "", "0.0.0.0:25 [::]:25"),
            ("192.0.2.1 : 127.0.0.1.587", "25", "", "192.0.2.1:25 127.0.0.1:587"),
            ("<; [2001:db8::1]:26;2001:db8::2", "25", "", "[2001:db8::2]:25 [2001:db8::1]:26"),
            ("192.0.2.1", "25", "/usr/sbin/exim4\n-bd\n-oX\n25:587", "192.0.2.1:25 192.0.2.1:587"),
            ("192.0.2.1", "25", "exim\n-bd\n-oX\n127.0.0.1.2525", "127.0.0.1:2525"),
        ] {
            let answers = [("local_interfaces", interfaces), ("daemon_smtp_ports", ports_said), (PROCESS, process)];
            let answers = answers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
            let got: Vec<String> = ports(&answers).iter().flat_map(|(_, a, _)| a).map(ToString::to_string).collect();
            assert_eq!(got.join(" "), want, "{interfaces} {ports_said} {process}");
        }
    }
}
