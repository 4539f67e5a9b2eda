//! What is due at `_mta-sts` for a policy that is kept, as one exchange of the zone. Pure.

use super::{Data, Exchange, KeptPolicy, Ours, Record, Step, TTL, Text};
use crate::{
    facts::Whereabouts,
    finding::{Finding, Remedy, Subject, Verdict},
    moment::Moment,
    policy::mta_sts::StsRecord,
};

/// The exchange that the next step of a policy wants; `None` where it wants none. `texts` stand at the name now.
///
/// # Errors
/// A finding: a record that mxseal did not put there would have to go.
pub fn record_due(kept: &KeptPolicy, texts: &[Text], at: &Whereabouts, ours: &Ours, now: Moment) -> Result<Option<Exchange>, Box<Finding>> {
    let record = |text: &str| Record { owner: at.owner.clone(), ttl: TTL, data: Data::Txt(text.to_owned()) };
    let new = match kept.step(now) {
        Step::Announce(new) => Some(new.text()),
        Step::Withdraw => None,
        Step::Serve | Step::Wait { .. } | Step::Close | Step::Stands => return Ok(None),
    };
    let there = texts.iter().map(Text::as_str);
    let old: Vec<Record> = there.filter(|t| StsRecord::is(t) && new.as_deref() != Some(*t)).map(record).collect();
    if let Some(other) = old.iter().find(|r| !ours.has(r)) {
        let says = format!("the record `{other}` would have to go, and mxseal did not put it there");
        let next = match &new {
            Some(new) => format!("put `{}` in its place where it was put", record(new)),
            None => "take it away where it was put".to_owned(),
        };
        let subject = Subject::Domain(at.owner.clone());
        return Err(Box::new(Finding::new("dns-left-to-you", Verdict::Warn, subject, says).remedy(Remedy::Do(next))));
    }
    Ok(Some(Exchange { zone: at.zone.clone(), add: new.as_deref().map(record).into_iter().collect(), remove: old }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        facts::{Answer, Known, Security},
        name::DnsName,
        policy::{
            Fetched,
            sts_policy::{Mode, MxPattern, StsPolicy},
        },
        publish::PolicyHost,
    };

    fn name(text: &str) -> DnsName {
        text.parse().expect("a name")
    }

    fn texts(texts: &[&str]) -> Vec<Text> {
        texts.iter().map(|t| (*t).into()).collect()
    }

    /// What is kept of a policy in this mode, after `served` was seen with these texts.
    fn kept(mode: Mode, served: bool, texts: &[Text]) -> KeptPolicy {
        let policy = StsPolicy { mode, mx: vec![MxPattern::of(name("mx.a.example"))], max_age: 86400 };
        let seen = Fetched::from_all(policy.text().as_bytes());
        let answer = Known::seen(Answer { records: texts.to_vec(), security: Security::Insecure, ttl: 60 }, "test");
        KeptPolicy::new(name("a.example"), policy, PolicyHost::None, Moment(0)).seen(
            served.then_some(&seen),
            &answer,
            &Known::unknown("test"),
            Moment(1),
        )
    }

    #[test]
    fn the_record_follows_the_file_and_nobody_elses_goes() {
        let at = Whereabouts { owner: name("_mta-sts.a.example"), zone: name("a.example") };
        let mine = "v=STSv1; id=before;";
        let mut ours = Ours::default();
        let record = |text: &str| Record { owner: at.owner.clone(), ttl: TTL, data: Data::Txt(text.to_owned()) };
        let left = kept(Mode::None, true, &[]).policy.record().text();
        ours.note(&at.zone, &[record(mine), record(&left)], Moment(1));
        for (what, mode, served, there, expected) in [
            ("not served", Mode::Testing, false, texts(&[]), Some(None)),
            ("the first", Mode::Testing, true, texts(&[]), Some(Some((1, 0)))),
            ("beside another text", Mode::Testing, true, texts(&["anything"]), Some(Some((1, 0)))),
            ("in place of ours", Mode::Enforce, true, texts(&[mine]), Some(Some((1, 1)))),
            ("in place of theirs", Mode::Enforce, true, texts(&["v=STSv1; id=theirs;"]), None),
            ("of both", Mode::Enforce, true, texts(&[mine, "v=STSv1; id=theirs;"]), None),
            ("left, and nobody believes", Mode::None, true, texts(&[&left]), Some(Some((0, 1)))),
            ("left and gone", Mode::None, true, texts(&[]), Some(None)),
        ] {
            let due = record_due(&kept(mode, served, &there), &there, &at, &ours, Moment(2));
            let sizes = due.as_ref().ok().map(|e| e.as_ref().map(|e| (e.add.len(), e.remove.len())));
            assert_eq!(sizes, expected, "{what}: {due:?}");
        }
    }
}
