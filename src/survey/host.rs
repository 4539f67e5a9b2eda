//! The machine itself: its name, its addresses, its system.

use super::clock::clock;
use crate::{facts::Host, world::Look};
use nix::{ifaddrs::getifaddrs, sys::socket::SockaddrStorage};
use std::{net::IpAddr, path::Path};

pub(super) fn host(look: &dyn Look) -> Host {
    Host {
        hostname: nix::unistd::gethostname().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default(),
        addresses: addresses(),
        os: look
            .read(Path::new("/etc/os-release"))
            .ok()
            .flatten()
            .and_then(|(bytes, _)| pretty_name(&String::from_utf8_lossy(&bytes)))
            .unwrap_or_default(),
        root: nix::unistd::geteuid().is_root(),
        clock_off: clock(look),
    }
}

/// The addresses of each interface, a line `interface address` each, link-local ones left out.
pub(super) fn interfaces() -> String {
    let one = |i: nix::ifaddrs::InterfaceAddress| Some((i.interface_name, i.address.as_ref().and_then(ip)?));
    let all = getifaddrs().into_iter().flatten().filter_map(one).filter(|(_, a)| !link_local(a));
    all.map(|(name, address)| format!("{name} {address}\n")).collect()
}

/// The addresses of the interfaces, loopback and link-local left out.
fn addresses() -> Vec<IpAddr> {
    let mut found: Vec<IpAddr> = getifaddrs()
        .into_iter()
        .flatten()
        .filter_map(|i| i.address.as_ref().and_then(ip))
        .filter(|a| !a.is_loopback() && !link_local(a))
        .collect();
    found.sort();
    found.dedup();
    found
}

fn ip(address: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|a| IpAddr::V4(a.ip()));
    v4.or_else(|| address.as_sockaddr_in6().map(|a| IpAddr::V6(a.ip())))
}

const fn link_local(a: &IpAddr) -> bool {
    match a {
        IpAddr::V4(a) => a.is_link_local(),
        IpAddr::V6(a) => a.is_unicast_link_local(),
    }
}

/// An address that the world cannot reach by itself: private (RFC 1918), shared (RFC 6598), unique local (RFC 4193),
/// loopback or link-local.
pub(super) const fn private(a: &IpAddr) -> bool {
    match a {
        IpAddr::V4(a) => {
            let [first, second, ..] = a.octets();
            a.is_private() || a.is_loopback() || a.is_link_local() || (first == 100 && second & 0xc0 == 64)
        }
        IpAddr::V6(a) => a.is_unique_local() || a.is_unicast_link_local() || a.is_loopback(),
    }
}

/// `PRETTY_NAME` of os-release(5).
fn pretty_name(text: &str) -> Option<String> {
    text.lines().find_map(|l| l.strip_prefix("PRETTY_NAME=")).map(|v| v.trim_matches(['"', '\'']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_world_cannot_reach_is_private() {
        for (text, expected) in [
            ("10.1.2.3", true),
            ("172.31.0.1", true),
            ("172.32.0.1", false),
            ("100.64.0.1", true),
            ("100.128.0.1", false),
            ("198.18.0.25", false),
            ("127.0.1.1", true),
            ("169.254.1.1", true),
            ("fd00::1", true),
            ("fe80::1", true),
            ("::1", true),
            ("2001:db8::1", false),
        ] {
            assert_eq!(private(&text.parse().unwrap()), expected, "{text}");
        }
    }

    #[test]
    fn os_release_is_read() {
        assert_eq!(pretty_name("NAME=x\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n").unwrap(), "Debian GNU/Linux 12 (bookworm)");
        assert_eq!(pretty_name("NAME=x\n"), None);
    }
}
