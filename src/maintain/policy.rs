//! What is due for a policy that is kept, so that nobody has to remember it: a step that is left to a human, or the end of a trial.

use crate::{
    finding::{Finding, Remedy, Subject, Verdict},
    moment::Moment,
    policy::sts_policy::Mode,
    publish::{KeptPolicy, Step, TRIAL, record_line},
};
use std::time::Duration;

/// Whoever has just said what is wished needs no word of what is left to do.
const GRACE: Duration = Duration::from_secs(86_400);

/// What a human should know of the policy now. Whether it shall bind is nobody else's decision: reports of senders are not read
/// here, and none is no evidence.
#[must_use]
pub fn policy_due(kept: &KeptPolicy, now: Moment) -> Option<Finding> {
    let domain = &kept.domain;
    let verb = match kept.policy.mode {
        Mode::None => "leave".to_owned(),
        mode => mode.to_string(),
    };
    let finding = |verdict, says: String| {
        let id = if verdict == Verdict::Pass { "policy-tried" } else { "policy-due" };
        Finding::new(id, verdict, Subject::Domain(domain.clone()), says)
    };
    let again = Remedy::Command(format!("mxseal policy {verb} {domain}"));
    Some(match kept.step(now) {
        Step::Serve | Step::Announce(_) if now < kept.since.after(GRACE) => return None,
        Step::Serve => finding(Verdict::Warn, format!("the policy of {domain} is not served as it is kept"))
            .means("senders fetch another one or none, and go by what they knew before")
            .remedy(Remedy::Command(format!("mxseal policy show --domain {domain}"))),
        Step::Announce(_) => finding(Verdict::Warn, format!("the policy of {domain} is served, and its record does not say so yet"))
            .seen(format!("to publish: {}", record_line(kept)))
            .means("senders that know the policy before do not look for this one")
            .remedy(again),
        Step::Withdraw => {
            finding(Verdict::Warn, format!("nobody can believe in the policy of {domain} any more: its record can go")).remedy(again)
        }
        Step::Close => finding(Verdict::Warn, format!("the policy of {domain} is forgotten: what serves it can go")).remedy(again),
        Step::Stands if kept.policy.mode == Mode::Testing => {
            let tried = kept.served.max(kept.announced).filter(|since| since.after(TRIAL) <= now)?;
            finding(Verdict::Pass, format!("the policy of {domain} has been tried since {}, and can be made to bind", tried.day()))
                .means("until then senders deliver where it is not kept; that no reports came is no evidence that it is kept")
                .remedy(Remedy::Command(format!("mxseal policy enforce {domain}")))
        }
        Step::Stands | Step::Wait { .. } => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        name::DnsName,
        policy::sts_policy::{MxPattern, StsPolicy},
        publish::PolicyHost,
    };

    #[test]
    fn what_is_left_to_a_human_is_told_when_it_is_due() {
        let name: DnsName = "a.example".parse().expect("a name");
        let day = |n: u64| Moment(n * 86_400);
        let kept = |mode, served: Option<u64>, announced: Option<u64>, withdrawn: Option<u64>| {
            let policy = StsPolicy { mode, mx: vec![MxPattern::of(name.clone())], max_age: 86_400 };
            let new = KeptPolicy::new(name.clone(), policy, PolicyHost::None, day(0));
            KeptPolicy { served: served.map(day), announced: announced.map(day), withdrawn: withdrawn.map(day), ..new }
        };
        for (what, kept, on, expected) in [
            ("just wished", kept(Mode::Enforce, None, None, None), 0, None),
            ("not served", kept(Mode::Enforce, None, None, None), 1, Some(("policy-due", "policy show --domain a.example"))),
            ("not announced", kept(Mode::Enforce, Some(1), None, None), 1, Some(("policy-due", "policy enforce a.example"))),
            ("stands", kept(Mode::Enforce, Some(1), Some(1), None), 90, None),
            ("a young trial", kept(Mode::Testing, Some(0), Some(1), None), 14, None),
            ("tried", kept(Mode::Testing, Some(0), Some(1), None), 15, Some(("policy-tried", "policy enforce a.example"))),
            ("left", kept(Mode::None, Some(1), Some(1), None), 2, Some(("policy-due", "policy leave a.example"))),
            ("withdrawn", kept(Mode::None, Some(1), None, Some(2)), 3, Some(("policy-due", "policy leave a.example"))),
        ] {
            let due = policy_due(&kept, day(on));
            let remedy = |f: &Finding| if let Remedy::Command(words) = &f.remedy { words.clone() } else { String::new() };
            let said = due.as_ref().map(|f| (f.id.as_str(), remedy(f)));
            assert_eq!(said, expected.map(|(id, words)| (id, format!("mxseal {words}"))), "{what}");
            assert!(due.is_none_or(|f| crate::topics::topic(&f.id).is_some() && (f.verdict == Verdict::Pass) == (f.id == "policy-tried")));
        }
    }
}
