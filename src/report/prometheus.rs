//! What a monitoring system reads: the text format of Prometheus, for the textfile collector.

use crate::{
    maintain::{Observed, Run},
    moment::Moment,
};
use std::{collections::BTreeMap, fmt::Write as _};

/// The metrics. What is not known is left out, so that a rule on its absence sees it.
#[must_use]
pub fn metrics(observed: Option<&Observed>, run: Option<&Run>, proved: Option<Moment>) -> String {
    let mut out = String::new();
    let mut served: BTreeMap<String, u64> = BTreeMap::new();
    let mut seen: BTreeMap<String, u64> = BTreeMap::new();
    for (view, leaf) in observed.into_iter().flat_map(Observed::served) {
        // Addresses, DNS names and key types hold nothing that a label would have to hide.
        let labels = format!("address=\"{}\",name=\"{}\",key_type=\"{}\"", view.probe.addr, view.probe.name, leaf.key_type);
        let end = served.entry(labels).or_insert(leaf.not_after.0);
        *end = leaf.not_after.0.min(*end);
        let at = seen.entry(format!("address=\"{}\"", view.probe.addr)).or_default();
        *at = view.taken.0.max(*at);
    }
    let mut family = |name: &str, help: &str, values: Vec<(String, u64)>| {
        if !values.is_empty() {
            let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} gauge");
        }
        for (labels, value) in values {
            let labels = if labels.is_empty() { labels } else { format!("{{{labels}}}") };
            let _ = writeln!(out, "{name}{labels} {value}");
        }
    };
    let one = |value: Option<u64>| value.map(|v| (String::new(), v)).into_iter().collect::<Vec<_>>();
    family("mxseal_served_not_after_seconds", "End of the certificate that a listener presents.", served.into_iter().collect());
    family("mxseal_served_seen_seconds", "When a listener was last asked what it presents.", seen.into_iter().collect());
    let ended = run.filter(|r| r.ended.is_some());
    family("mxseal_last_run_seconds", "End of the last run of mxseal renew.", one(ended.and_then(|r| r.ended).map(|m| m.0)));
    family("mxseal_last_run_exit_status", "Its exit status: 0 is fine.", one(ended.map(|r| u64::from(r.exit))));
    family("mxseal_last_proof_seconds", "When the wire last proved a change.", one(proved.map(|m| m.0)));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_left_out() {
        assert_eq!(metrics(None, None, None), "");
        let run = Run { began: Moment(5), ended: Some(Moment(7)), exit: 1, ..Run::default() };
        assert_eq!(
            metrics(None, Some(&run), Some(Moment(3))),
            "# HELP mxseal_last_run_seconds End of the last run of mxseal renew.\n# TYPE mxseal_last_run_seconds gauge\n\
             mxseal_last_run_seconds 7\n# HELP mxseal_last_run_exit_status Its exit status: 0 is fine.\n\
             # TYPE mxseal_last_run_exit_status gauge\nmxseal_last_run_exit_status 1\n\
             # HELP mxseal_last_proof_seconds When the wire last proved a change.\n# TYPE mxseal_last_proof_seconds gauge\n\
             mxseal_last_proof_seconds 3\n"
        );
        assert_eq!(metrics(None, Some(&Run { ended: None, ..run }), None), "", "it died");
    }
}
