//! Was the promise kept? What was seen after a change against what it promised and what was seen before. Pure.

use super::court::Court;
use crate::{
    change::{Change, Expect, Want},
    claims::Claims,
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
    last_resort: bool,
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
        change.prove.is_empty().then_some(Self { at: now, shown: Vec::new(), last_resort: false })
    }

    /// A renewal that the wire has not shown stands all the same, where the files before it would be worse; `None` for every
    /// other change.
    #[must_use]
    pub fn of_last_resort(change: &Change, now: Moment) -> Option<Self> {
        change.renews.is_some().then_some(Self { at: now, shown: Vec::new(), last_resort: true })
    }

    /// Nothing was shown, and it stands all the same.
    #[must_use]
    pub const fn is_last_resort(&self) -> bool {
        self.last_resort
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
            Want::Former(brought) => court.former(one, brought, &before, &after),
            Want::Unchanged => court.unchanged(one, &before, &after),
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
    if court.faults.is_empty() {
        Ok(Proved { proof: Proof { at: now, shown, last_resort: false }, notes: court.notes })
    } else {
        Err(court.faults)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        certificate::{Certificate, Digest, KeyType},
        change::Presented,
        check::{probes_for, proof_probes},
        facts::Known,
        name::DnsName,
        topics,
        view::{Judged, Offer, Probe, Reply, TlsView, Wire},
    };

    fn name() -> DnsName {
        "mx.example.test".parse().expect("a name")
    }

    fn leaf(serial: &str, key_type: KeyType) -> Certificate {
        Certificate {
            digest: Digest::of(serial.as_bytes()),
            spki: Digest::of(format!("key {serial}").as_bytes()),
            spki_sha512: String::new(),
            key_type,
            serial: serial.into(),
            authority: String::new(),
            names: vec!["mx.example.test".into()],
            issuer: "lab".into(),
            self_signed: false,
            not_before: Moment(0),
            not_after: Moment(1 << 40),
            client_auth: false,
        }
    }

    fn expect(want: Want) -> Expect {
        Expect { addr: ([127, 0, 0, 1], 25).into(), wire: Wire::StartTls, name: name(), domain: Some(name()), want, unnamed: Vec::new() }
    }

    fn ours() -> Expect {
        let presented = |serial: &str, key_type| Presented { key_type, spki: leaf(serial, key_type).spki, serial: serial.into() };
        expect(Want::Ours(vec![presented("e1", KeyType::Ecdsa), presented("a1", KeyType::Rsa)]))
    }

    /// A server with one certificate a key type, where nothing is odd.
    fn answer(probe: &Probe, generation: u8) -> EndpointView {
        let key_type = probe.offer.key_type().unwrap_or(KeyType::Ecdsa);
        let serial = format!("{}{generation}", if key_type == KeyType::Rsa { "a" } else { "e" });
        let chain = if probe.offer == Offer::Legacy { vec![] } else { vec![leaf(&serial, key_type)] };
        let good = || Known::seen(Judged::Good, "handshake");
        let tls = TlsView { protocol: "TLS1.3".into(), suite: String::new(), group: String::new(), chain, trusted: good(), named: good() };
        let verbs: &[(&str, u16)] = match (probe.offer, &probe.postmaster_of) {
            (Offer::Legacy, _) => &[],
            (_, None) => &[("EHLO", 250), ("QUIT", 221)],
            _ => &[("EHLO", 250), ("MAIL", 250), ("RCPT", 250), ("RSET", 250), ("QUIT", 221)],
        };
        let reply = |code| Reply { code, lines: vec!["lab".into()] };
        EndpointView {
            probe: probe.clone(),
            taken: Moment(5),
            took_ms: 1,
            answered: true,
            greeting: Known::seen(reply(220), "lab"),
            offers: ["STARTTLS", "8BITMIME", "SIZE 100"].map(Into::into).to_vec(),
            starttls: Some(reply(220)),
            tls: Known::seen(tls, "lab"),
            steps: verbs.iter().map(|(verb, code)| ((*verb).to_owned(), *code)).collect(),
            broke: None,
        }
    }

    fn seen(expect: &Expect) -> (Vec<EndpointView>, Vec<EndpointView>) {
        let before: Vec<_> = probes_for(expect).iter().map(|p| answer(p, 0)).collect();
        let generation = u8::from(expect.want != Want::Unchanged);
        let after = proof_probes(expect, &before).iter().map(|p| answer(p, generation)).collect();
        (before, after)
    }

    fn silence(view: &mut EndpointView) {
        view.answered = false;
        view.greeting = Known::unknown("nothing came");
        view.tls = Known::unknown("nothing came");
        view.steps.clear();
        view.broke = Some("nothing came".into());
    }

    fn code(view: &mut EndpointView, verb: &str, code: u16) {
        for step in view.steps.iter_mut().filter(|(v, _)| v == verb) {
            step.1 = code;
        }
    }

    fn no_tls(view: &mut EndpointView) {
        view.tls = Known::unknown("the handshake failed");
        view.broke = Some("the handshake failed".into());
        view.steps.clear();
    }

    type Views = Vec<EndpointView>;
    type Row = (&'static str, bool, fn(&mut Views, &mut Views), &'static [&'static str], &'static [&'static str]);

    #[test]
    fn verdicts() {
        // What happened; whether the listener is ours; how the views differ from a good proof; ids of faults, then of notes.
        let table: &[Row] = &[
            ("all is well", true, |_, _| (), &[], &[]),
            ("as it was", false, |_, _| (), &[], &[]),
            ("one old process in twenty", true, |_, a| a[15] = answer(&a[15].probe, 0), &["wire-not-ours"], &[]),
            ("the renewed key with an old serial", true, |_, a| leaf_of(&mut a[7]).serial = "e9".into(), &["wire-not-ours"], &[]),
            ("too few", true, |_, a| a.truncate(19), &["proof-too-small"], &[]),
            ("RSA never asked", true, |_, a| a.retain(|v| v.probe.offer != Offer::Rsa), &["wire-not-ours"], &[]),
            ("not asked at all", true, |_, a| a.clear(), &["wire-not-ours"], &[]),
            ("not asked again", false, |_, a| a.truncate(2), &["proof-too-small"], &[]),
            ("no baseline", true, |b, _| b.clear(), &[], &[]),
            ("no baseline of what stays", false, |b, _| b.clear(), &["proof-too-small"], &[]),
            ("other name", true, |_, a| leaf_of(&mut a[0]).names = vec!["mail.test".into()], &["name-not-covered"], &[]),
            (
                "unknown root",
                true,
                |_, a| {
                    let Known::Seen { value, .. } = &mut a[0].tls else { return };
                    value.trusted = Known::seen(Judged::Bad("the chain ends in no root known here".into()), "lab");
                },
                &[],
                &["chain-unknown"],
            ),
            ("recipient refused", true, |_, a| code(&mut a[0], "RCPT", 550), &["dialogue-changed"], &[]),
            ("recipient delayed", true, |_, a| code(&mut a[1], "RCPT", 450), &["dialogue-changed"], &[]),
            ("refused on the unchanged", false, |_, a| code(&mut a[0], "MAIL", 530), &["dialogue-changed"], &[]),
            ("refusal that ends", true, |b, _| code(&mut b[0], "RCPT", 550), &["dialogue-changed"], &[]),
            ("greylisting that ends", true, |b, _| code(&mut b[0], "RCPT", 450), &[], &[]),
            (
                "greylisting that goes on",
                true,
                |b, a| {
                    code(&mut b[0], "RCPT", 450);
                    code(&mut a[0], "RCPT", 450);
                },
                &[],
                &["wire-tempfail"],
            ),
            ("a step is left out", true, |_, a| drop(a[0].steps.remove(2)), &["dialogue-changed"], &[]),
            ("breaks after TLS", true, |_, a| a[12].broke = Some("421 after EHLO".into()), &["dialogue-broke"], &[]),
            ("less is offered", true, |_, a| drop(a[0].offers.remove(1)), &["capability-gone"], &[]),
            ("SIZE may change", true, |_, a| a[0].offers[2] = "SIZE 5".into(), &[], &[]),
            ("an old sender loses TLS", true, |_, a| no_tls(&mut a[3]), &["legacy-tls-gone"], &[]),
            ("an old sender loses TLS elsewhere", false, |_, a| no_tls(&mut a[3]), &["legacy-tls-gone"], &[]),
            (
                "an old sender never had TLS",
                true,
                |b, a| {
                    no_tls(&mut b[3]);
                    no_tls(&mut a[3]);
                },
                &[],
                &[],
            ),
            ("RSA gone", true, |_, a| a.iter_mut().filter(|v| v.probe.offer == Offer::Rsa).for_each(no_tls), &["key-type-dropped"], &[]),
            ("RSA gone elsewhere", false, |_, a| no_tls(&mut a[2]), &["key-type-dropped"], &[]),
            ("no handshake", true, |_, a| a.iter_mut().for_each(no_tls), &["handshake-failed"], &[]),
            ("another certificate elsewhere", false, |_, a| a[1] = answer(&a[1].probe, 7), &["wire-changed"], &[]),
            (
                "turned away where no TLS was",
                false,
                |b, a| {
                    no_tls(&mut b[2]);
                    no_tls(&mut a[2]);
                    a[2].greeting = Known::seen(Reply { code: 421, lines: vec!["too many".into()] }, "lab");
                    a[2].offers.clear();
                },
                &["wire-refused"],
                &[],
            ),
            ("TLS where none was", false, |b, _| no_tls(&mut b[0]), &["wire-changed"], &[]),
            ("silent now", true, |_, a| a.iter_mut().for_each(silence), &["wire-silent"], &[]),
            ("silent elsewhere now", false, |_, a| a.iter_mut().for_each(silence), &["wire-silent"], &[]),
            (
                "silent before and now",
                false,
                |b, a| {
                    b.iter_mut().for_each(silence);
                    a.iter_mut().for_each(silence);
                },
                &[],
                &["wire-silent-before"],
            ),
            (
                "ours was and is silent",
                true,
                |b, a| {
                    b.iter_mut().for_each(silence);
                    a.iter_mut().for_each(silence);
                },
                &["proof-impossible"],
                &[],
            ),
            ("silent before, good now", true, |b, _| b.iter_mut().for_each(silence), &[], &[]),
            (
                "turned away",
                true,
                |_, a| {
                    let turned = Known::seen(Reply { code: 554, lines: vec!["no".into()] }, "lab");
                    a[0] = EndpointView { greeting: turned, tls: Known::unknown("554"), starttls: None, ..a[0].clone() };
                },
                &["wire-refused"],
                &[],
            ),
            (
                "STARTTLS gone",
                true,
                |_, a| a.iter_mut().for_each(|v| (v.starttls, v.tls) = (None, Known::unknown("STARTTLS is not offered"))),
                &["starttls-gone"],
                &[],
            ),
        ];
        for (what, is_ours, bend, faults, notes) in table {
            let expect = if *is_ours { ours() } else { expect(Want::Unchanged) };
            let (mut before, mut after) = seen(&expect);
            bend(&mut before, &mut after);
            let ids = |found: &[Finding]| found.iter().map(|f| f.id.clone()).collect::<Vec<_>>();
            match proof(&[expect], &before, &after, &Claims::default(), Moment(9)) {
                Ok(proved) => {
                    assert!(faults.is_empty(), "{what}: is proved");
                    assert_eq!(ids(&proved.notes), *notes, "{what}");
                }
                Err(found) => {
                    assert_eq!(ids(&found), *faults, "{what}: {found:#?}");
                    assert!(found.iter().all(|f| topics::topic(&f.id).is_some()), "{what}");
                }
            }
        }
    }

    #[test]
    fn names_of_one_address_may_differ() {
        let other: DnsName = "mx2.example.test".parse().expect("a name");
        let expects = [expect(Want::Unchanged), Expect { name: other.clone(), ..expect(Want::Unchanged) }];
        let by_name = |p: &Probe| answer(p, u8::from(p.sni && p.name == other));
        let before: Vec<_> = expects.iter().flat_map(probes_for).map(|p| by_name(&p)).collect();
        let after: Vec<_> = proof_probes(&expects[0], &before).iter().map(by_name).collect();
        assert_eq!(after.len(), 8);
        assert!(proof(&expects, &before, &after, &Claims::default(), Moment(9)).is_ok());
        let mixed: Vec<_> = after.iter().map(|v| answer(&v.probe, 0)).collect();
        assert!(proof(&expects, &before, &mixed, &Claims::default(), Moment(9)).is_err());
    }

    /// Where a certificate is for one name alone, who sends none is shown that of another name; and nobody else is.
    #[test]
    fn who_sends_no_name_is_shown_the_first() {
        let other: DnsName = "mx2.example.test".parse().expect("a name");
        let Want::Ours(first) = ours().want else { panic!("ours") };
        let second: Vec<_> = first.iter().map(|p| Presented { serial: p.serial.replace('1', "2"), ..p.clone() }).collect();
        let second: Vec<_> = second.iter().map(|p| Presented { spki: leaf(&p.serial, p.key_type).spki, ..p.clone() }).collect();
        let one = Expect { name: other.clone(), want: Want::Ours(second), unnamed: first, ..ours() };
        let before: Vec<_> = probes_for(&one).iter().map(|p| answer(p, 0)).collect();
        let probes = proof_probes(&one, &before);
        let judged = |by_name: &dyn Fn(&Probe) -> u8| {
            let named = |p: &Probe| {
                let mut view = answer(p, by_name(p));
                if p.offer != Offer::Legacy && by_name(p) == 2 {
                    leaf_of(&mut view).names = vec![other.to_string()];
                }
                view
            };
            let after: Vec<_> = probes.iter().map(named).collect();
            proof(std::slice::from_ref(&one), &before, &after, &Claims::default(), Moment(9)).err().map(|faults| faults[0].id.clone())
        };
        assert_eq!(judged(&|p| if p.sni { 2 } else { 1 }), None);
        for wrong in [&|_: &Probe| 1, &|_: &Probe| 2] as [&dyn Fn(&Probe) -> u8; 2] {
            assert_eq!(judged(wrong).as_deref(), Some("wire-not-ours"));
        }
    }

    #[test]
    fn a_plan_that_expects_nothing_is_not_proved_by_looking() {
        assert!(proof(&[], &[], &[], &Claims::default(), Moment(9)).is_err());
    }

    fn leaf_of(view: &mut EndpointView) -> &mut Certificate {
        match &mut view.tls {
            Known::Seen { value, .. } => &mut value.chain[0],
            Known::Unknown { why } => panic!("{why}"),
        }
    }
}
