//! The resolver's answers against a real validating resolver.

use crate::lab::dns::{Dns, Signed};

#[test]
fn lab_starts() {
    let dns = Dns::start(&[
        ("example.test", "@ MX 10 mx\nmx A 192.0.2.25\n", Signed::Yes),
        ("plain.test", "@ MX 10 mx\nmx A 192.0.2.25\n", Signed::No),
        ("bogus.test", "@ MX 10 mx\nmx A 192.0.2.25\n", Signed::Wrong),
    ]);
    dns.set("example.test", "_25._tcp.mx", "TLSA", 60, &["3 1 1 0000000000000000000000000000000000000000000000000000000000000000"]);
}
