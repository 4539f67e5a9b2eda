//! The judge of one proof: each conversation after the change against what was promised and what was before. Pure.

use super::probes::{ENOUGH, same};
use crate::{
    change::{Expect, Presented, Want},
    claims::Claims,
    facts::Known,
    finding::{Finding, Remedy, Subject, Verdict},
    moment::Moment,
    view::{EndpointView, Judged, Offer, TlsView},
};

/// Keywords of EHLO that senders use for mail; fewer of them after than before is a loss. STARTTLS is judged by itself.
const CAPABILITIES: [&str; 5] = ["8BITMIME", "SMTPUTF8", "CHUNKING", "DSN", "PIPELINING"];
/// Lines of evidence in one finding.
const EVIDENCE: usize = 4;

/// Collects faults, which fail a proof, and notes, which do not.
pub(super) struct Court<'a> {
    claims: &'a Claims,
    now: Moment,
    pub(super) faults: Vec<Finding>,
    pub(super) notes: Vec<Finding>,
}

impl<'a> Court<'a> {
    pub(super) const fn new(claims: &'a Claims, now: Moment) -> Self {
        Self { claims, now, faults: Vec::new(), notes: Vec::new() }
    }

    /// A listener that shall present our certificates, on every connection.
    pub(super) fn ours(&mut self, expect: &Expect, presented: &[Presented], before: &[&EndpointView], after: &[&EndpointView]) {
        let (plain, special): (Vec<&EndpointView>, Vec<_>) = after.iter().partition(|v| v.probe.offer == Offer::Any);
        for view in plain.into_iter().chain(special) {
            // What goes wrong with every hello goes wrong with the special ones too, and is said once.
            if view.probe.offer != Offer::Any && self.faults.iter().any(|f| f.subject == subject(expect) && f.id != "key-type-dropped") {
                break;
            }
            let then = same(before, &view.probe);
            let Some(tls) = view.tls.value() else {
                if throttled(view) && after.iter().filter_map(|v| v.leaf()).any(|leaf| presented.iter().any(|p| p.spki == leaf.spki)) {
                    merge(&mut self.notes, asked_too_often(view));
                    continue;
                }
                self.without_tls(view, before, Some(presented));
                continue;
            };
            if view.probe.offer == Offer::Legacy {
                continue;
            }
            self.certificate(expect, expect.asked_by(&view.probe, presented), view, tls);
            self.conversation(view, then);
        }
        let key_missing =
            presented.iter().chain(&expect.unnamed).find(|p| !after.iter().filter_map(|v| v.leaf()).any(|leaf| leaf.spki == p.spki));
        if self.faults.iter().any(|f| f.subject == subject(expect)) {
            return;
        }
        if after.iter().any(|v| throttled(v)) {
            // What it showed before it had enough was right.
        } else if let Some(missing) = key_missing {
            let says = format!("the {} certificate was never presented", missing.key_type);
            self.fault(
                Finding::new("wire-not-ours", Verdict::Fail, subject(expect), says)
                    .seen(format!("expected serial {}", missing.serial))
                    .means("senders that take this key type alone cannot verify the host"),
            );
        } else if after.len() < ENOUGH {
            let says = format!("{} conversations were had, and {ENOUGH} are needed", after.len());
            self.fault(
                Finding::new("proof-too-small", Verdict::Unknown, subject(expect), says)
                    .means("a process from before the change may still answer unseen"),
            );
        }
    }

    /// A listener that shall present what it did before a change that is taken back, and on no connection what that brought.
    pub(super) fn former(&mut self, expect: &Expect, brought: &[Presented], before: &[&EndpointView], after: &[&EndpointView]) {
        let mut gone = true;
        for (view, tls) in after.iter().filter_map(|v| Some((v, v.tls.value()?))) {
            if tls.chain.first().is_some_and(|leaf| brought.iter().any(|p| p.spki == leaf.spki)) {
                gone = false;
                let says = "it still presents the certificate of the change that was taken back";
                self.fault(
                    Finding::new("wire-not-former", Verdict::Fail, subject(expect), says)
                        .seen(format!("{}: {}", asked(view), leaf_line(tls)))
                        .means("what the server runs on and what its files say differ")
                        .remedy(server_log()),
                );
            }
        }
        if gone {
            self.unchanged(expect, before, after);
        }
    }

    /// A listener that shall be as it was.
    pub(super) fn unchanged(&mut self, expect: &Expect, before: &[&EndpointView], after: &[&EndpointView]) {
        if before.is_empty() {
            self.fault(
                Finding::new("proof-too-small", Verdict::Unknown, subject(expect), "it was not looked at before the change")
                    .means("nobody can tell whether it is as it was"),
            );
        }
        for then in before.iter().filter(|v| !v.silent()) {
            let Some(view) = same(after, &then.probe) else {
                if !after.iter().any(|v| v.silent() || v.turned_away()) {
                    let says = "it was not looked at after the change";
                    self.fault(Finding::new("proof-too-small", Verdict::Unknown, subject(expect), says).seen(asked(then)));
                }
                continue;
            };
            // Who does not talk to us offers nothing.
            if view.silent() || view.turned_away() && !then.turned_away() {
                self.without_tls(view, before, None);
                continue;
            }
            match (then.tls.value(), view.tls.value()) {
                (Some(_), None) => self.without_tls(view, before, None),
                (None, Some(now)) if view.probe.offer == Offer::Any => self.fault(
                    Finding::new("wire-changed", Verdict::Fail, subject(expect), "it gives TLS where it gave none before the change")
                        .seen(format!("{}: {}", asked(view), leaf_line(now))),
                ),
                (Some(old), Some(now)) if matches!(expect.want, Want::Former(_)) && old.chain.first() != now.chain.first() => {
                    let says = "it presents another certificate than before the change: that one was renewed or replaced since";
                    let renewed = Finding::new("wire-renewed", Verdict::Pass, subject(expect), says)
                        .seen(format!("{}: {}", asked(view), leaf_line(now)))
                        .seen(format!("before: {}", leaf_line(old)));
                    merge(&mut self.notes, renewed);
                }
                (old, Some(now)) if old.and_then(|tls| tls.chain.first()).map(|c| &c.digest) != now.chain.first().map(|c| &c.digest) => {
                    self.fault(
                        Finding::new(
                            "wire-changed",
                            Verdict::Fail,
                            subject(expect),
                            "it presents another certificate than before, and the change was not to touch it",
                        )
                        .seen(format!("{}: {}", asked(view), leaf_line(now)))
                        .seen(format!("before: {}", old.map_or_else(|| "no certificate of this key type".into(), leaf_line)))
                        .means("mail programs that know this service by another name or key refuse to connect")
                        .remedy(Remedy::Do(
                            "Give this service its own setting for the certificate, and an empty one for what now overrides it.".into(),
                        )),
                    );
                }
                _ => {}
            }
            if view.tls.value().is_some() || then.tls.value().is_none() {
                self.conversation(view, Some(then));
            }
        }
    }

    /// Why is there no TLS, and is that a loss? `presented` is `None` where nothing is to be ours.
    fn without_tls(&mut self, view: &EndpointView, before: &[&EndpointView], presented: Option<&[Presented]>) {
        let had = match view.probe.offer.key_type() {
            Some(key_type) => before.iter().filter_map(|v| v.leaf()).any(|leaf| leaf.key_type == key_type),
            None => same(before, &view.probe).is_some_and(|v| v.tls.value().is_some()),
        };
        let fail = |id, says: &str| {
            Finding::new(id, Verdict::Fail, Subject::Address(view.probe.addr), says).seen(format!("{}: {}", asked(view), what_broke(view)))
        };
        let in_clear = "senders that may deliver in clear do; those that must verify keep the mail and try again";
        if view.silent() {
            let all = "no mail arrives here; senders try again for days";
            return self.fault(fail("wire-silent", "nobody answers any more").means(all).remedy(server_log()));
        }
        if view.turned_away() {
            let means = match !before.is_empty() && before.iter().all(|v| v.turned_away()) {
                true => "it did so before the change: from this host nobody can tell what it presents",
                false => "no mail arrives here",
            };
            return self.fault(fail("wire-refused", "the server turns us away").means(means).remedy(server_log()));
        }
        if view.probe.wire.begins_in_clear() {
            match &view.starttls {
                None if view.broke.is_some() => {
                    return self.fault(fail("dialogue-broke", "the conversation ends early").means("mail arrives late or never"));
                }
                None => return self.fault(fail("starttls-gone", "STARTTLS is not offered").means(in_clear).remedy(server_log())),
                Some(reply) if reply.code != 220 => {
                    let says = "STARTTLS is offered and then refused";
                    return self.fault(fail("starttls-refused", says).means(in_clear).remedy(server_log()));
                }
                Some(_) => {}
            }
        }
        let Some(key_type) = view.probe.offer.key_type() else {
            if view.probe.offer == Offer::Any {
                let says = "the TLS handshake fails";
                self.fault(fail("handshake-failed", says).means(in_clear).remedy(server_log()));
            } else if had {
                self.fault(
                    fail("legacy-tls-gone", "an old sender got TLS before the change and gets none now")
                        .means("old mail servers deliver in clear from now on")
                        .remedy(Remedy::Do("Leave the protocol floor and the cipher list of port 25 as they were.".into())),
                );
            }
            return;
        };
        let dropped = format!("clients that take {key_type} certificates alone got TLS before the change and get none now");
        let lost = "such senders deliver in clear, or not at all";
        match presented {
            Some(ours) if ours.iter().any(|p| p.key_type == key_type) && !had => {
                self.fault(
                    fail("handshake-failed", &format!("the {key_type} certificate is not served")).means(in_clear).remedy(server_log()),
                );
            }
            Some(ours) if had && !ours.iter().any(|p| p.key_type == key_type) => {
                let note = Finding { verdict: Verdict::Warn, ..fail("key-type-dropped", &dropped).means(lost) };
                merge(&mut self.notes, note);
            }
            _ if had => self.fault(fail("key-type-dropped", &dropped).means(lost).remedy(server_log())),
            _ => {}
        }
    }

    fn certificate(&mut self, expect: &Expect, presented: &[Presented], view: &EndpointView, tls: &TlsView) {
        let Some(leaf) = tls.chain.first() else { return };
        let fits = |p: &&Presented| p.spki == leaf.spki && p.serial == leaf.serial;
        if !presented.iter().any(|p| fits(&p)) {
            let wanted: Vec<_> = presented.iter().map(|p| format!("{} serial {}", p.key_type, p.serial)).collect();
            return self.fault(
                Finding::new("wire-not-ours", Verdict::Fail, subject(expect), "another certificate is presented than the new one")
                    .seen(format!("{}: {}", asked(view), leaf_line(tls)))
                    .seen(format!("expected: {}", wanted.join(" or ")))
                    .means("senders that verify see the old certificate")
                    .remedy(Remedy::Do(
                        "Look whether the server took its configuration again, and for a setting of this service that comes after ours."
                            .into(),
                    )),
            );
        }
        let of_another = !view.probe.sni && !expect.unnamed.is_empty();
        if !of_another && !leaf.covers(&expect.name) {
            self.fault(
                Finding::new("name-not-covered", Verdict::Fail, subject(expect), format!("the certificate does not cover {}", expect.name))
                    .seen(format!("it covers {}", leaf.names.join(", ")))
                    .means("senders that verify refuse to deliver"),
            );
        }
        if let Some(Judged::Bad(why)) = tls.trusted.value() {
            let note = Finding::new("chain-unknown", Verdict::Warn, subject(expect), "its chain, as the CA issued it, is not trusted here")
                .seen(why.clone())
                .means("senders with the same roots as this host cannot verify it")
                .remedy(Remedy::Do(
                    "With a private CA, name its root with --trust-anchor; else see whether this host's roots are current.".into(),
                ));
            merge(&mut self.notes, note);
        }
        if !of_another && !self.claims.broken_by(&expect.name, &leaf.spki, self.now).is_empty() {
            self.fault(
                Finding::new("claim-broken", Verdict::Fail, subject(expect), "this key is not among those that TLSA records promise")
                    .seen(format!("{}: SPKI {}", asked(view), leaf.spki))
                    .means("DANE senders keep the mail until key and records agree (RFC 7672)"),
            );
        }
    }

    /// Codes and capabilities as before, to its end.
    fn conversation(&mut self, view: &EndpointView, then: Option<&EndpointView>) {
        let at = Subject::Address(view.probe.addr);
        if let Some(why) = view.broke.as_ref().filter(|_| then.is_none_or(|v| v.broke.is_none())) {
            self.fault(
                Finding::new("dialogue-broke", Verdict::Fail, at.clone(), "the conversation ends early")
                    .seen(format!("{}: {why}", asked(view)))
                    .means("mail arrives late or never"),
            );
        }
        let Some(then) = then else { return };
        for (verb, code) in &then.steps {
            let Some((_, now)) = view.steps.iter().find(|(v, _)| v == verb) else {
                if view.broke.is_none() && view.probe.postmaster_of == then.probe.postmaster_of {
                    let says = format!("{verb} was answered {code} before the change, and the conversation does not get there now");
                    self.fault(Finding::new("dialogue-changed", Verdict::Fail, at.clone(), says).seen(steps_line(view)));
                }
                continue;
            };
            let grown_friendly = (400..500).contains(code) && *now < 400;
            if now != code && !grown_friendly && view.probe.postmaster_of == then.probe.postmaster_of {
                let says = format!("{verb} was answered {code} before the change and is answered {now} now");
                self.fault(
                    Finding::new("dialogue-changed", Verdict::Fail, at.clone(), says)
                        .seen(steps_line(view))
                        .means("mail that arrived before is delayed or refused")
                        .remedy(server_log()),
                );
            } else if verb == "RCPT" && (400..500).contains(now) {
                let says = format!("mail to postmaster is answered {now}, as before the change");
                let note = Finding::new("wire-tempfail", Verdict::Unknown, at.clone(), says)
                    .means("our address is tested like a stranger's (greylisting and the like): acceptance itself was not seen");
                merge(&mut self.notes, note);
            }
        }
        let has = |v: &EndpointView, word| v.offers.iter().any(|o| o.split(' ').next() == Some(word));
        for word in CAPABILITIES.into_iter().filter(|word| has(then, word) && !has(view, word)) {
            let says = format!("{word} is not offered any more");
            self.fault(
                Finding::new("capability-gone", Verdict::Fail, at.clone(), says).means("some mail comes back that was taken before"),
            );
        }
    }

    fn fault(&mut self, finding: Finding) {
        merge(&mut self.faults, finding);
    }
}

/// One finding an address and kind: twenty connections that fail alike are one fault with some evidence.
fn merge(into: &mut Vec<Finding>, new: Finding) {
    match into.iter_mut().find(|f| (&f.id, &f.subject, &f.says) == (&new.id, &new.subject, &new.says)) {
        None => into.push(new),
        Some(old) => {
            for line in new.evidence {
                if old.evidence.len() < EVIDENCE && !old.evidence.contains(&line) {
                    old.evidence.push(line);
                }
            }
        }
    }
}

const fn subject(expect: &Expect) -> Subject {
    Subject::Address(expect.addr)
}

/// A server that counts connections has enough of this host's (RFC 5321 §3.8: 421 and the end).
fn throttled(view: &EndpointView) -> bool {
    view.greeting.value().is_some_and(|greeting| greeting.code == 421)
}

fn asked_too_often(view: &EndpointView) -> Finding {
    let says = "the server turns this host away, for it came often; what it presented until then is right";
    Finding::new("wire-throttled", Verdict::Warn, Subject::Address(view.probe.addr), says)
        .seen(format!("{}: {}", asked(view), what_broke(view)))
        .means("a process from before the change, or the certificate of the other key type, may be unseen")
        .remedy(Remedy::Do("exempt this host's own addresses from the limit, then mxseal setup looks again".into()))
}

fn server_log() -> Remedy {
    Remedy::Do("Read the mail server's log of this minute: it names the file or setting at fault.".into())
}

/// How we asked, to begin a line of evidence.
fn asked(view: &EndpointView) -> String {
    let sni = if view.probe.sni { "with SNI" } else { "without SNI" };
    match view.probe.offer {
        Offer::Any => sni.to_owned(),
        Offer::Rsa => format!("{sni}, RSA alone"),
        Offer::Ecdsa => format!("{sni}, ECDSA alone"),
        Offer::Legacy => format!("{sni}, TLS 1.0"),
    }
}

fn leaf_line(tls: &TlsView) -> String {
    tls.chain.first().map_or_else(|| "no certificate".into(), |c| format!("{} serial {} from {}", c.key_type, c.serial, c.issuer))
}

fn steps_line(view: &EndpointView) -> String {
    let steps: Vec<_> = view.steps.iter().map(|(verb, code)| format!("{verb} {code}")).collect();
    format!("{}: {}", asked(view), steps.join(", "))
}

fn what_broke(view: &EndpointView) -> String {
    match (&view.broke, &view.tls) {
        (Some(why), _) | (None, Known::Unknown { why }) => why.clone(),
        (None, _) => "the conversation went to its end".into(),
    }
}
