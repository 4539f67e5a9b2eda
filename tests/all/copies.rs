//! A rehearsal on a copy of this host's OpenSMTPD or Sendmail: it shows everything and changes nothing.

use crate::{
    lab::{
        host::{Host, Server, differences},
        internet::Internet,
        setup::{contents, outcome},
    },
    rehearse::{proved, rehearse},
};

/// The files of the server and whatever it takes, with owner and mode, and how many processes of it there are.
fn state(host: &Host, etc: &str, queue: &str, process: &str) -> (Vec<String>, String) {
    let all = [etc, queue].map(|dir| contents(&host.tree(dir)));
    let count = format!("cat /proc/[0-9]*/comm | grep -c '^{process}' || true");
    (all.iter().map(|tree| format!("{tree:#?}")).collect(), host.ok(&["sh", "-c", &count]))
}

fn is_shown_and_changes_nothing(server: Server, [etc, queue, process]: [&str; 3], expected: &[&str]) {
    let internet = Internet::start();
    let host = internet.mail_host_with(server);
    let before = state(&host, etc, queue, process);
    let whole = host.tree("/etc");
    let shown = outcome(&rehearse(&host, &[]), 0);
    assert_eq!((&shown["outcome"], &shown["host"]["unchanged"]), (&"proved".into(), &true.into()), "{shown:#}");
    let diff = shown["plan"]["diff"].as_str().expect("a diff");
    for line in expected {
        assert!(diff.contains(line), "{line}: {diff}");
    }
    for ours in ["198.18.0.25:25", "[fd00::25]:25"] {
        assert!(proved(&shown).contains(&(ours.to_owned(), "ours".to_owned())), "{shown:#}");
    }
    // The faults that are the server's: it goes on as before, or ends; and our own end between change and proof.
    std::thread::scope(|scope| {
        for fault in ["reload-ignored", "server-dies", "killed"] {
            let host = &host;
            scope.spawn(move || {
                let shown = outcome(&rehearse(host, &["--fault", fault]), 0);
                assert_eq!((&shown["outcome"], &shown["host"]["unchanged"]), (&"recovered".into(), &true.into()), "{fault}: {shown:#}");
            });
        }
    });
    assert_eq!(differences(&whole, &host.tree("/etc")), Vec::<String>::new());
    assert_eq!(state(&host, etc, queue, process), before);
    assert!(!host.path("/var/lib/mxseal").exists() && !host.path("/run/mxseal").exists());
    assert!(!internet.s_client(&[]).contains("BEGIN CERTIFICATE"), "still no TLS");
}

#[test]
fn of_opensmtpd_everything_is_shown_and_nothing_is_changed() {
    is_shown_and_changes_nothing(
        Server::OpenSmtpd,
        ["/etc", "/var/spool/smtpd", "smtpd"],
        &["+pki mx1.example.test cert \"/etc/mxseal/live/mx1.example.test.pem\"", "+listen on 0.0.0.0 tls pki mx1.example.test"],
    );
}

#[test]
fn of_sendmail_everything_is_shown_and_nothing_is_changed() {
    is_shown_and_changes_nothing(
        Server::Sendmail,
        ["/etc/mail", "/var/spool/mqueue", "sendmail"],
        &[
            "+O ServerCertFile=/etc/mxseal/live/mx1.example.test.ecdsa.pem,/etc/mxseal/live/mx1.example.test.rsa.pem",
            "+define(`confSERVER_CERT', ",
        ],
    );
}
