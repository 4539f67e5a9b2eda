//! Asking. A baseline has one conversation with an address after the other, a proof has its short ones four at a time;
//! different addresses are asked at the same time.

use super::{Proved, proof, proof_probes};
use crate::{
    certificate::KeyType,
    change::{Expect, Want},
    claims::Claims,
    finding::Finding,
    smtp::converse,
    view::{EndpointView, Offer, Probe},
    world::{Net, now},
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::{sync::Semaphore, task::JoinSet, time::sleep};

/// A server tells its processes of a reload by signal and does not wait for them: whoever asks at once meets old ones, and
/// new ones that wait a second for an old one's answer. They are gone 10 to 50 ms after the command.
const SETTLE: Duration = Duration::from_millis(100);

/// Pauses before a proof that failed is tried again: a process from before the reload may take one more connection, and
/// a server that restarts needs a moment. A server that does not take the change costs their sum.
const AGAIN: [Duration; 2] = [Duration::from_millis(300), Duration::from_millis(1000)];

/// And more of them where nothing is broken: on a busy machine a server takes seconds to see the signal, and counts
/// conversations for a while that have ended.
const PATIENCE: [Duration; 2] = [Duration::from_millis(2000), Duration::from_millis(4000)];

/// What a server shows that goes on as before, or has too many guests.
const UNMOVED: [&str; 3] = ["wire-not-ours", "wire-not-former", "wire-refused"];

/// Between two looks at a server that notices new files by itself, after seconds.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// Short conversations with one address at the same time: they meet more than one process of the server, and a server
/// that greets late (postscreen) costs less.
const AT_ONCE: usize = 4;

/// And with all addresses together: a server that takes twenty at the same time (Exim's default) has room for senders,
/// however many addresses it listens on.
const AT_ONCE_IN_ALL: usize = 8;

/// And where it had too many: a busy one counts guests that left a while ago.
const AT_ONCE_WHEN_BUSY: usize = 2;

/// What such a server can take of us: each address may have a process that still waits for the end of an old hello.
const ROOM: usize = 16;

/// Has the conversations, `limit` for each, and gives what was seen, in the order of the probes.
///
/// An address where nobody answers, that turns us away or lets us wait in vain, is not asked again: its other probes are left out. Where two probes of an address
/// differ in the offer and the first showed an RSA certificate, the one for RSA asks for ECDSA instead.
pub async fn observe(net: &Net, probes: &[Probe], limit: Duration) -> Vec<EndpointView> {
    ask(net, probes, limit, true, &[], AT_ONCE_IN_ALL).await
}

/// Asks after the activation until the expectations are met or stay unmet; gives the last views beside the verdict. A
/// listener that lets us wait costs one `limit`: it is not asked again, unless it let us wait so in the baseline.
///
/// # Errors
/// The findings that say what is not as promised.
pub async fn prove(
    net: &Net,
    expect: &[Expect],
    baseline: &[EndpointView],
    claims: &Claims,
    limit: Duration,
) -> (Vec<EndpointView>, Result<Proved, Vec<Finding>>) {
    // What stays is asked as in the baseline, once, whatever number of names it has.
    let again = |place: usize, e: &Expect| !matches!(e.want, Want::Ours(_)) && expect[..place].iter().any(|other| other.addr == e.addr);
    let each = expect.iter().enumerate().filter(|(place, e)| !again(*place, e));
    let probes: Vec<Probe> = each.flat_map(|(_, e)| proof_probes(e, baseline)).collect();
    let slow: Vec<Probe> = baseline.iter().filter(|v| hung(v, limit)).map(|v| v.probe.clone()).collect();
    let mut pauses = AGAIN.iter().map(|pause| (pause, false)).chain(PATIENCE.iter().map(|pause| (pause, true)));
    let mut at_once = AT_ONCE_IN_ALL;
    sleep(SETTLE).await;
    loop {
        let seen = ask(net, &probes, limit, false, &slow, at_once).await;
        let verdict = proof(expect, baseline, &seen, claims, now());
        let hangs = seen.iter().any(|v| hung(v, limit) && !slow.contains(&v.probe));
        let Err(faults) = &verdict else { return (seen, verdict) };
        if faults.iter().any(|f| f.id == "wire-refused") {
            at_once = AT_ONCE_WHEN_BUSY;
        }
        let unmoved = faults.iter().all(|f| UNMOVED.contains(&f.id.as_str()));
        match pauses.next() {
            Some((pause, patient)) if !hangs && (unmoved || !patient) => sleep(*pause).await,
            _ => return (seen, verdict),
        }
    }
}

/// Waits until a listener that shall present ours does so, for a server that notices new files by itself: at most `within`.
/// `false` where it goes on to present something else; one that presents nothing is not waited for.
pub async fn noticed(net: &Net, expect: &[Expect], within: Duration, limit: Duration) -> bool {
    let shown = expect.iter().find_map(|e| match &e.want {
        Want::Ours(presented) => Some((e, presented)),
        Want::Unchanged | Want::Former(_) => None,
    });
    let Some((one, presented)) = shown else { return true };
    let probe = Probe { postmaster_of: None, ..super::probes_for(one).swap_remove(0) };
    let until = tokio::time::Instant::now() + within;
    loop {
        let view = converse(net, &probe, limit).await;
        let Some(leaf) = view.leaf() else { return true };
        if presented.iter().any(|p| p.serial == leaf.serial) {
            return true;
        }
        if tokio::time::Instant::now() >= until {
            return false;
        }
        sleep(LOOK_AGAIN).await;
    }
}

/// Whether a conversation ended because its time was up.
fn hung(view: &EndpointView, limit: Duration) -> bool {
    view.broke.is_some() && Duration::from_millis(view.took_ms) >= limit
}

async fn ask(net: &Net, probes: &[Probe], limit: Duration, other_type: bool, slow: &[Probe], at_once: usize) -> Vec<EndpointView> {
    let mut by_address: BTreeMap<_, Vec<(usize, Probe)>> = BTreeMap::new();
    for (place, probe) in probes.iter().enumerate() {
        by_address.entry(probe.addr).or_default().push((place, probe.clone()));
    }
    let mut tasks = JoinSet::new();
    let turns = Arc::new(Semaphore::new(ROOM.saturating_sub(by_address.len()).clamp(2, at_once)));
    for (_, probes) in by_address {
        tasks.spawn(one_address(net.clone(), probes, limit, other_type, slow.to_vec(), turns.clone()));
    }
    let mut views: Vec<(usize, EndpointView)> = tasks.join_all().await.into_iter().flatten().collect();
    views.sort_by_key(|(place, _)| *place);
    views.into_iter().map(|(_, view)| view).collect()
}

async fn one_address(
    net: Net,
    probes: Vec<(usize, Probe)>,
    limit: Duration,
    other_type: bool,
    slow: Vec<Probe>,
    turns: Arc<Semaphore>,
) -> Vec<(usize, EndpointView)> {
    let enough = |view: &EndpointView| view.silent() || view.turned_away() || hung(view, limit) && !slow.contains(&view.probe);
    let (whole, short): (Vec<_>, Vec<_>) = probes.into_iter().partition(|(_, p)| p.postmaster_of.is_some() || other_type);
    let mut views: Vec<(usize, EndpointView)> = Vec::new();
    for (place, mut probe) in whole {
        let shown = views.first().and_then(|(_, first)| first.leaf()).map(|leaf| leaf.key_type);
        if other_type && probe.offer == Offer::Rsa && shown == Some(KeyType::Rsa) {
            probe.offer = Offer::Ecdsa;
        }
        let turn = turns.acquire().await;
        let view = converse(&net, &probe, limit).await;
        drop(turn);
        let enough = enough(&view);
        views.push((place, view));
        if enough {
            return views;
        }
    }
    for some in short.chunks(AT_ONCE) {
        let mut tasks = JoinSet::new();
        for (place, probe) in some.iter().cloned() {
            let (net, turns) = (net.clone(), turns.clone());
            tasks.spawn(async move {
                let _turn = turns.acquire().await;
                (place, converse(&net, &probe, limit).await)
            });
        }
        views.extend(tasks.join_all().await);
        if views.iter().any(|(_, view)| enough(view)) {
            break;
        }
    }
    views
}
