//! What the admin is written: plain text, that a person reads on a telephone.

use super::{Style, text::findings};
use crate::{
    certificate::Certificate,
    finding::{Finding, Remedy, Verdict},
    maintain::{News, Told},
    moment::Moment,
};
use std::fmt::Write as _;
use time::{OffsetDateTime, format_description::well_known::Rfc2822};

/// A letter to the admin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// The MX name that it is about.
    pub about: String,
    /// The address that it is from.
    pub from: String,
    /// The address that it is to.
    pub to: String,
    /// When it is written.
    pub at: Moment,
    /// Its Message-ID without brackets. A letter that a kill repeats has the same.
    pub id: String,
    /// Its subject.
    pub subject: String,
    /// Its text.
    pub body: String,
}

impl Letter {
    /// As a message (RFC 5322), lines ended as local programs do. Machines do not answer it (RFC 3834 §5).
    #[must_use]
    pub fn message(&self) -> String {
        let date = i64::try_from(self.at.0).ok().and_then(|s| OffsetDateTime::from_unix_timestamp(s).ok());
        let date = date.and_then(|d| d.format(&Rfc2822).ok()).unwrap_or_default();
        let Self { about, from, to, id, subject, body, .. } = self;
        format!(
            "From: \"mxseal on {about}\" <{from}>\nTo: <{to}>\nSubject: {subject}\nDate: {date}\nMessage-ID: <{id}>\n\
             Auto-Submitted: auto-generated\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n\
             Content-Transfer-Encoding: 8bit\n\n{body}"
        )
    }
}

/// Subject and text of an alarm: previously, now, and the next command. `served` is the certificate that ends first.
#[must_use]
pub fn alarm(about: &str, why: News, told: &Told, now: &[Finding], served: Option<&Certificate>, at: Moment) -> (String, String) {
    let worst = now.iter().find(|f| f.verdict == Verdict::Fail).or_else(|| now.first());
    let days = served.map(|leaf| leaf.not_after.since(at).as_secs() / 86_400);
    let subject = match (why, worst, days) {
        (News::Well, ..) => "all is well again".to_owned(),
        (News::Nearer, _, Some(0)) => "the certificate ends within a day".to_owned(),
        (News::Nearer, _, Some(days)) => format!("the certificate ends in {days} days"),
        (_, Some(worst), _) => format!("needs you: {}", worst.id),
        (_, None, _) => "needs you".to_owned(),
    };
    let mut body = format!("{about}, {at}\n\nNow\n");
    body.push_str(&situation(now));
    if why == News::Nearer {
        let _ = writeln!(body, "\nThis is as it was on {}, and the end of the certificate has come nearer.", told.at.day());
    } else {
        body.push_str(if told.at == Moment::default() { "\nPreviously\n" } else { "\nPreviously, as told on " });
        if told.at != Moment::default() {
            let _ = writeln!(body, "{}", told.at.day());
        }
        body.push_str(&situation(&told.findings));
    }
    if let (Some(leaf), Some(days)) = (served, days) {
        let _ = writeln!(body, "\nThe certificate that is served ends on {}, in {days} days.", leaf.not_after.day());
    }
    if why != News::Well {
        let next = match worst.map(|f| &f.remedy) {
            Some(Remedy::Command(command)) => command.clone(),
            Some(Remedy::Do(what)) => format!("{what}\n  mxseal status --live"),
            _ => "mxseal status --live".to_owned(),
        };
        let _ = writeln!(body, "\nNext\n  {next}\n\nWhat an [id] means: mxseal explain ID");
    }
    (format!("[mxseal] {about}: {subject}"), body)
}

fn situation(all: &[Finding]) -> String {
    if all.is_empty() { "  all is well\n".to_owned() } else { findings(Style { width: 76, ..Style::default() }, all) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Subject;

    const AT: Moment = Moment(1_800_000_000);

    #[test]
    fn an_alarm_says_previously_now_and_what_next() {
        let drift = Finding::new("drift", Verdict::Warn, Subject::Host, "the configuration changed")
            .remedy(Remedy::Command("mxseal renew --reload".into()));
        let told = Told { at: Moment(AT.0 - 86_400), findings: Vec::new(), near: 0 };
        let (subject, body) = alarm("mx.example.org", News::Changed, &told, std::slice::from_ref(&drift), None, AT);
        assert_eq!(subject, "[mxseal] mx.example.org: needs you: drift");
        assert_eq!(
            body,
            "mx.example.org, 2027-01-15T08:00:00Z\n\nNow\n  warn    the configuration changed [drift]\n          next: run: mxseal renew --reload\n\n\
             Previously, as told on 2027-01-14\n  all is well\n\nNext\n  mxseal renew --reload\n\nWhat an [id] means: mxseal explain ID\n"
        );
        let told = Told { findings: vec![drift], ..told };
        let (subject, body) = alarm("mx.example.org", News::Well, &told, &[], None, AT);
        assert_eq!(subject, "[mxseal] mx.example.org: all is well again");
        assert!(body.contains("Now\n  all is well\n\nPreviously, as told on 2027-01-14\n  warn ") && !body.contains("\nNext"), "{body}");
    }

    #[test]
    fn a_letter_is_a_message() {
        let letter = Letter {
            about: "mx.example.org".into(),
            from: "postmaster@example.org".into(),
            to: "admin@example.net".into(),
            at: AT,
            id: "mxseal.1@mx.example.org".into(),
            subject: "[mxseal] mx.example.org: needs you".into(),
            body: "Now\n".into(),
        };
        let message = letter.message();
        let (head, body) = message.split_once("\n\n").expect("an empty line");
        assert_eq!(body, "Now\n");
        for line in [
            "From: \"mxseal on mx.example.org\" <postmaster@example.org>",
            "To: <admin@example.net>",
            "Date: Fri, 15 Jan 2027 08:00:00 +0000",
            "Message-ID: <mxseal.1@mx.example.org>",
            "Auto-Submitted: auto-generated",
        ] {
            assert!(head.lines().any(|l| l == line), "{line} in {head}");
        }
    }
}
