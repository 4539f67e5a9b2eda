//! Who may talk at the same time. When there is no room left, whoever sat longest goes: a sender needs a second, and somebody who
//! holds many seats, or sits on one, is in nobody's way.

use std::{
    collections::VecDeque,
    net::{IpAddr, Ipv6Addr},
};
use tokio::task::{AbortHandle, Id};

/// So many conversations at once.
const ALL: usize = 256;
/// And with one peer.
const OF_ONE: usize = 16;

/// The conversations that go on, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Seats(VecDeque<(IpAddr, AbortHandle)>);

impl Seats {
    /// Ends the conversation that went on longest, of this peer or of all, where there is no seat for one more.
    pub(super) fn make_room(&mut self, peer: IpAddr) {
        let peer = network(peer);
        let of_one = self.0.iter().filter(|(who, _)| *who == peer).count() >= OF_ONE;
        let oldest = if of_one { self.0.iter().position(|(who, _)| *who == peer) } else { (self.0.len() >= ALL).then_some(0) };
        if let Some((_, talk)) = oldest.and_then(|at| self.0.remove(at)) {
            talk.abort();
        }
    }

    /// A conversation with this peer begins.
    pub(super) fn take(&mut self, peer: IpAddr, talk: AbortHandle) {
        self.0.push_back((network(peer), talk));
    }

    /// A conversation has ended.
    pub(super) fn leave(&mut self, talk: Id) {
        self.0.retain(|(_, other)| other.id() != talk);
    }
}

/// Whose address it is: of IPv6 one customer has a whole /64 at least.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from(u128::from(v6) & !u128::from(u64::MAX)).into(),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;
    use tokio::task::JoinSet;

    #[test]
    fn whoever_sat_longest_goes() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let (mut seats, mut talks) = (Seats::default(), JoinSet::new());
            let mut come = |seats: &mut Seats, peer: &str| {
                let peer = peer.parse().expect("an address");
                seats.make_room(peer);
                let talk = talks.spawn(pending::<()>());
                let id = talk.id();
                seats.take(peer, talk);
                id
            };
            let first = come(&mut seats, "192.0.2.1");
            for _ in 0..OF_ONE {
                come(&mut seats, "2001:db8::1");
            }
            come(&mut seats, "2001:db8::2");
            assert_eq!(seats.0.len(), 1 + OF_ONE, "one network has its share");
            come(&mut seats, "::ffff:192.0.2.1");
            assert_eq!(seats.0.iter().filter(|(who, _)| who.is_ipv4()).count(), 2);
            for n in seats.0.len()..ALL {
                come(&mut seats, &format!("198.51.{}.{}", n / 256, n % 256));
            }
            assert!(seats.0.iter().any(|(_, talk)| talk.id() == first));
            come(&mut seats, "203.0.113.1");
            assert_eq!(seats.0.len(), ALL);
            assert!(!seats.0.iter().any(|(_, talk)| talk.id() == first), "the oldest of all");
            let last = come(&mut seats, "203.0.113.2");
            seats.leave(last);
            assert_eq!(seats.0.len(), ALL - 1);
        });
    }
}
