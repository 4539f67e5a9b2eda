//! Was the promise kept? What was seen after a change against what it promised and what was seen before. Pure.

use super::court::Court;
use crate::{
    change::{Change, Expect, Want},
    claims::Claims,
    facts::Service,
    finding::{Finding, Remedy, Subject, Verdict},
    moment::Moment,
    view::EndpointView,
};
use std::{collections::BTreeSet, net::SocketAddr};

/// That the wire showed what a change promised. Made here alone; a change stands only with it.
#[derive(Debug)]
pub struct Proof {
    at: Moment,
    shown: Vec<Shown>,
}

/// What one listener showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The listener.
    pub addr: SocketAddr,
    /// Conversations that it answered.
    pub connections: usize,
    /// Serial numbers of the certificates that it presented.
    pub serials: Vec<String>,
}

impl Proof {
    /// A change that promises nothing on the wire is proved by that; `None` where it promises something.
    #[must_use]
    pub fn of_no_promise(change: &Change, now: Moment) -> Option<Self> {
        change.prove.is_empty().then_some(Self { at: now, shown: Vec::new() })
    }

    /// When it was shown.
    #[must_use]
    pub const fn at(&self) -> Moment {
        self.at
    }

    /// What each listener showed.
    #[must_use]
    pub fn shown(&self) -> &[Shown] {
        &self.shown
    }
}

/// A proof, and what the admin should know all the same.
#[derive(Debug)]
pub struct Proved {
    /// The proof.
    pub proof: Proof,
    /// Warnings and unknowns; none of them is a reason to go back.
    pub notes: Vec<Finding>,
}

/// Judges what was seen after the activation (`now_seen`) against expectations and baseline.
///
/// A chain that is unknown here is a note, never a failure: an old binary must not undo a good renewal. A listener that
/// did not answer before is not blamed on the change, but where a certificate shall be ours, one listener at least has to
/// show it.
///
/// # Errors
/// One finding an address and kind of fault; then the change has to be put back.
pub fn proof(
    expect: &[Expect],
    baseline: &[EndpointView],
    now_seen: &[EndpointView],
    claims: &Claims,
    now: Moment,
) -> Result<Proved, Vec<Finding>> {
    let mut court = Court::new(claims, now);
    let mut shown = Vec::new();
    let mut ours_shown = false;
    for one in expect {
        let before: Vec<_> = baseline.iter().filter(|v| v.probe.addr == one.addr).collect();
        // One address may serve several names; what is unchanged is asked as it was before.
        let same_name = |v: &&EndpointView| !matches!(one.want, Want::Ours(_)) || v.probe.name == one.name;
        let after: Vec<_> = now_seen.iter().filter(|v| v.probe.addr == one.addr).filter(same_name).collect();
        let was_silent = !before.is_empty() && before.iter().all(|v| v.silent());
        if was_silent && !after.is_empty() && after.iter().all(|v| v.silent()) {
            court.notes.push(
                Finding::new(
                    "wire-silent-before",
                    Verdict::Unknown,
                    Subject::Address(one.addr),
                    "nobody answers here, and nobody did before the change",
                )
                .means("what this listener will present is not known")
                .remedy(Remedy::Do("Start the service, or close the port, and run the check again.".into())),
            );
            continue;
        }
        match &one.want {
            Want::Ours(presented) => {
                ours_shown = true;
                court.ours(one, presented, &before, &after);
            }
            Want::Unchanged | Want::Former => court.unchanged(one, &before, &after),
        }
        let serials: BTreeSet<_> = after.iter().filter_map(|v| v.leaf()).map(|leaf| leaf.serial.clone()).collect();
        shown.push(Shown { addr: one.addr, connections: after.len(), serials: serials.into_iter().collect() });
    }
    let ours_promised = expect.iter().any(|e| matches!(e.want, Want::Ours(_)));
    if expect.is_empty() || ours_promised && !ours_shown {
        court.faults.push(
            Finding::new("proof-impossible", Verdict::Unknown, Subject::Host, "no listener answers that could show the new certificate")
                .means("nobody can tell whether the change works")
                .remedy(Remedy::Do("Start the mail server, then run the command again.".into())),
        );
    }
    if court.faults.is_empty() { Ok(Proved { proof: Proof { at: now, shown }, notes: court.notes }) } else { Err(court.faults) }
}

/// Rule for a listener behind postscreen: what our own address is shown is not what a stranger is shown. `None` where a
/// service is none of these.
#[must_use]
pub fn behind_postscreen(service: &Service, addr: SocketAddr) -> Option<Finding> {
    (service.program == "postscreen").then(|| {
        Finding::new(
            "wire-exempt",
            Verdict::Unknown,
            Subject::Address(addr),
            "postscreen stands before this listener and may let our own address pass untested",
        )
        .means("strangers may be served by tlsproxy, with settings of its own: what they are shown was not seen from here")
        .remedy(Remedy::Do("Run the check from a host that postscreen does not exempt.".into()))
    })
}
