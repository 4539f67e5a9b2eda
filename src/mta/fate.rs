//! What became of one message, from what mail servers log of it: pure.

/// Where mail servers log that do not log to the journal.
pub const LOGS: [&str; 4] = ["/var/log/exim4/mainlog", "/var/log/exim/main.log", "/var/log/mail.log", "/var/log/maillog"];

/// How far a message came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Delivered, or handed on to the server that it is for; the line that says so.
    Delivered(String),
    /// Tried again later.
    Waits(String),
    /// Given up.
    Refused(String),
    /// The log does not say.
    Unknown,
}

/// A fate with the line that says so.
type Says = fn(String) -> Fate;

/// Words of a line, and what they say of a recipient: Postfix, Exim, Sendmail, OpenSMTPD, which wrote quotes until 7.3.
const WORDS: &[(&str, Says)] = &[
    ("status=sent", Fate::Delivered),
    (" => ", Fate::Delivered),
    ("stat=Sent", Fate::Delivered),
    ("result=\"Ok\"", Fate::Delivered),
    ("result=Ok ", Fate::Delivered),
    ("status=deferred", Fate::Waits),
    (" == ", Fate::Waits),
    ("stat=Deferred", Fate::Waits),
    ("result=\"TempFail\"", Fate::Waits),
    ("result=TempFail ", Fate::Waits),
    ("status=bounced", Fate::Refused),
    ("status=expired", Fate::Refused),
    (" ** ", Fate::Refused),
    ("stat=User unknown", Fate::Refused),
    ("stat=Service unavailable", Fate::Refused),
    ("result=\"PermFail\"", Fate::Refused),
    ("result=PermFail ", Fate::Refused),
];

/// What the log says of the message with this id, that went to `to`; its last word counts. OpenSMTPD does not log ids of
/// messages, so there every message to `to` counts: the log should begin shortly before.
#[must_use]
pub fn fate(log: &str, message_id: &str, to: &str) -> Fate {
    let queued: Vec<&str> = log.lines().filter(|l| l.contains(message_id)).filter_map(queue_id).collect();
    let ours = |line: &&str| {
        let words = || line.split([' ', ':']);
        words().any(|w| queued.contains(&w)) || (line.contains(" delivery evpid=") && line.contains(&format!("to=<{to}>")))
    };
    let said = |line: &str| WORDS.iter().find(|(word, _)| line.contains(word)).map(|(_, fate)| fate(line.trim().to_owned()));
    log.lines().filter(ours).filter_map(said).next_back().unwrap_or(Fate::Unknown)
}

/// The queue id in a line that tells a message's id: before `<=` (Exim), else before the first colon behind the program's name.
fn queue_id(line: &str) -> Option<&str> {
    match line.split_once(" <= ") {
        Some((before, _)) => before.split(' ').next_back(),
        None => line.split([' ', ':']).take_while(|w| !w.contains('=')).filter(|w| w.len() > 4 && !w.contains(['/', '['])).last(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_server_says_it_in_its_way() {
        let ours = "mxseal.1@mx.example";
        for (what, log, expected) in [
            (
                "Postfix in the journal",
                "4AB12: message-id=<mxseal.1@mx.example>\n4AB99: to=<a@b>, status=bounced (x)\n\
                 4AB12: to=<postmaster@example.test>, relay=local, status=sent (delivered to file)\n4AB12: removed",
                Fate::Delivered("4AB12: to=<postmaster@example.test>, relay=local, status=sent (delivered to file)".into()),
            ),
            (
                "Postfix in a file",
                "Nov 22 10:00:00 mx postfix/cleanup[7]: 3XyZ12345: message-id=<mxseal.1@mx.example>\n\
                 Nov 22 10:00:00 mx postfix/smtp[8]: 3XyZ12345: to=<a@b.example>, relay=none, status=deferred (timed out)",
                Fate::Waits("Nov 22 10:00:00 mx postfix/smtp[8]: 3XyZ12345: to=<a@b.example>, relay=none, status=deferred (timed out)".into()),
            ),
            (
                "Exim",
                "2026-11-22 10:00:00 1vMabc-000001-2B <= p@example.test U=root P=local S=600 id=mxseal.1@mx.example\n\
                 2026-11-22 10:00:00 1vMabc-000001-2B ** nobody@example.test: Unrouteable address",
                Fate::Refused("2026-11-22 10:00:00 1vMabc-000001-2B ** nobody@example.test: Unrouteable address".into()),
            ),
            (
                "Sendmail, from the submission queue to the daemon",
                "Nov 22 sendmail[1]: 5AMA001: from=<p@e>, size=3, msgid=<mxseal.1@mx.example>, relay=root@localhost\n\
                 Nov 22 sm-mta[2]: 5AMA002: from=<p@e>, size=3, msgid=<mxseal.1@mx.example>\n\
                 Nov 22 sendmail[1]: 5AMA001: to=a, mailer=relay, stat=Sent (5AMA002 Message accepted for delivery)\n\
                 Nov 22 sm-mta[3]: 5AMA002: to=a, mailer=local, stat=Deferred: full",
                Fate::Waits("Nov 22 sm-mta[3]: 5AMA002: to=a, mailer=local, stat=Deferred: full".into()),
            ),
            (
                "OpenSMTPD",
                "Nov 22 smtpd[1]: 12ab mda delivery evpid=77 from=<p@e> to=<postmaster@example.test> rcpt=<-> user=root delay=0s result=\"Ok\" stat=\"Delivered\"",
                Fate::Delivered(
                    "Nov 22 smtpd[1]: 12ab mda delivery evpid=77 from=<p@e> to=<postmaster@example.test> rcpt=<-> user=root delay=0s result=\"Ok\" stat=\"Delivered\""
                        .into(),
                ),
            ),
            (
                "a newer OpenSMTPD",
                "12ab mda delivery evpid=77 from=<p@e> to=<postmaster@example.test> rcpt=<-> user=root delay=0s result=TempFail stat=Error",
                Fate::Waits(
                    "12ab mda delivery evpid=77 from=<p@e> to=<postmaster@example.test> rcpt=<-> user=root delay=0s result=TempFail stat=Error"
                        .into(),
                ),
            ),
            ("another message", "4AB12: message-id=<other@mx.example>\n4AB12: to=<a@b>, status=sent (x)", Fate::Unknown),
            ("taken over and no more", "4AB12: message-id=<mxseal.1@mx.example>\n4AB12: from=<p@e>, size=3, nrcpt=1 (queue active)", Fate::Unknown),
        ] {
            assert_eq!(fate(log, ours, "postmaster@example.test"), expected, "{what}");
        }
    }
}
