//! Ports for the lab's servers.

use std::{
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    sync::atomic::{AtomicU32, Ordering},
};

/// Below those that the kernel gives to outgoing connections (ip_local_port_range): so nobody takes one between here and
/// the server's start, or while a server is down for a moment.
const RANGE: std::ops::Range<u32> = 10_000..32_000;

/// A port on loopback that nobody uses, neither with TCP nor with UDP, and that is given out once.
pub fn free_port() -> SocketAddr {
    free_port_of(Ipv4Addr::LOCALHOST)
}

/// The same on an address of this host.
pub fn free_port_of(host: Ipv4Addr) -> SocketAddr {
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    // Two runs of the tests side by side begin apart.
    let begin = std::process::id().wrapping_mul(7919);
    let taken = std::env::temp_dir().join("mxseal-lab-ports");
    fs::create_dir_all(&taken).expect("a folder for the ports that are given out");
    let free = |_| {
        let step = begin.wrapping_add(GIVEN.fetch_add(1, Ordering::Relaxed)) % (RANGE.end - RANGE.start);
        let addr = SocketAddr::from((host, u16::try_from(RANGE.start + step).expect("a port")));
        let file = File::create(taken.join(addr.to_string())).expect("a file of a port");
        let free = file.try_lock().is_ok() && TcpListener::bind(addr).is_ok() && UdpSocket::bind(addr).is_ok();
        free.then(|| {
            // Locked until this process ends: what is down for a moment is not free for another run.
            std::mem::forget(file);
            addr
        })
    };
    RANGE.into_iter().find_map(free).expect("a free port")
}
