//! `mxseal` as a person meets it on a terminal: whole screens, the questions and the ways out of them.

use crate::lab::{
    host::{Host, Server, differences},
    internet::{DIRECTORY, Internet},
    process::wait_for,
    setup::{SNAKE_OIL, assert_verifiable, contents},
    terminal::{Terminal, lines},
};
use std::time::Duration;

const APPLY: &str = "? more [n]:";
const TERMS: &str = "Do you agree to them? [y/N]";
const ADDRESS: &str = "E-mail address for the CA [none]:";
const KEEP: &str = "for the next run? [Y/n]";

const TELL: &str = "What to tell them (tls-rpt, mta-sts; or nothing) [tls-rpt mta-sts]:";

const SERVES: &str = "Who serves it (builtin, snippet, export, none) [builtin]:";

/// The flags that the lab's CA needs, and no answer.
fn lab() -> String {
    format!("--acme-directory {DIRECTORY} --acme-ca-file /root/api-ca.pem --trust-anchor /root/root.pem")
}

/// The same where senders are told nothing, and nobody is asked about that.
fn flags() -> String {
    format!("{} --tell nothing", lab())
}

/// `mxseal setup` on a terminal of the host.
fn setup(host: &Host, more: &str) -> Terminal {
    Terminal::start(|argv| host.command(argv), &format!("mxseal setup {} {more}", flags()))
}

#[test]
fn questions_are_answered_on_a_terminal() {
    let internet = Internet::start();
    let host = internet.mail_host();
    let tree = || contents(&host.tree("/etc/postfix"));
    let before = tree();
    let untouched = |what: &str| {
        assert_eq!(differences(&before, &tree()), Vec::<String>::new(), "{what}");
        assert!(internet.s_client(&[]).contains(SNAKE_OIL), "{what}");
    };

    // Leaving: Ctrl-C and Ctrl-D at the first question, a no to the terms.
    let mut session = setup(&host, "");
    session.golden("facts", TERMS);
    session.answer(TERMS, "\x03");
    let (code, seen) = session.end();
    assert!(code == 130 && seen.contains("Stopped: nothing was changed."), "{seen}");
    // So too where whoever started it had told it to ignore Ctrl-C.
    let deaf = format!("env --ignore-signal=INT mxseal setup {}", flags());
    let mut session = Terminal::start(|argv| host.command(argv), &deaf);
    session.answer(TERMS, "\x03");
    let (code, seen) = session.end();
    assert!(code == 130 && seen.contains("Stopped: nothing was changed."), "{seen}");
    let mut session = setup(&host, "");
    session.answer(TERMS, "\x04");
    let (code, seen) = session.end();
    assert!(code == 1 && seen.contains("no answer came (the input ended); nothing was changed"), "{seen}");
    let mut session = setup(&host, "");
    session.answer(TERMS, "\n");
    let (code, seen) = session.end();
    assert!(code == 1 && seen.contains("without its terms agreed to"), "{seen}");
    let mut session = setup(&host, "");
    session.answer(TERMS, "q\n");
    let (code, seen) = session.end();
    assert!(code == 1 && seen.contains("\nNothing was changed.") && !seen.contains("declined"), "{seen}");
    untouched("who leaves changes nothing");

    // More on a question, a wrong answer, a way back; looking closer, and printing only.
    let mut session = setup(&host, "");
    session.answer(TERMS, "?\n");
    session.golden("more", TERMS);
    session.answer(TERMS, "b\n");
    let shown = session.answer(TERMS, "y\n");
    assert!(shown.contains("this is the first question"), "{shown}");
    session.answer(ADDRESS, "postmaster\n");
    let shown = session.answer(ADDRESS, "b\n");
    assert!(shown.contains("this is no mail address"), "{shown}");
    session.answer("Do you agree to them? [Y/n]", "\n");
    session.answer(ADDRESS, "\n");
    session.golden("plan", APPLY);
    session.answer(APPLY, "maybe\n");
    let shown = session.answer(APPLY, "?\n");
    assert!(shown.contains("please type y, n, d or p"), "{shown}");
    session.golden("apply", APPLY);
    session.answer(APPLY, "d\n");
    let whole = session.answer(APPLY, "p\n");
    assert!(whole.contains("mydestination = "), "lines far from the change: {whole}");
    let (code, seen) = session.end();
    assert!(code == 0 && seen.contains("+smtpd_tls_chain_files = /etc/mxseal/live/mx1.example.test.pem"), "{seen}");
    untouched("printing");
    assert!(host.path("/etc/mxseal/live/mx1.example.test.pem").exists());

    // With an account, one question is left.
    let mut session = setup(&host, "");
    session.answer(APPLY, "n\n");
    let (code, seen) = session.end();
    assert!(code == 1 && seen.contains("\nNothing was changed.") && !seen.contains(TERMS), "{seen}");
    let mut session = setup(&host, "");
    session.answer(APPLY, "\x03");
    assert_eq!(session.end().0, 130);
    let mut session = setup(&host, "");
    session.answer(APPLY, "\x04");
    assert_eq!(session.end().0, 1);
    untouched("a no");

    // What senders are told is asked last; the way back leads past it.
    let mut session = Terminal::start(|argv| host.command(argv), &format!("mxseal setup {}", lab()));
    let shown = session.answer(TELL, "?\n");
    assert!(shown.contains(TELL), "{shown}");
    session.answer(TELL, "everything\n");
    session.answer(TELL, "dane tls-rpt\n");
    let shown = lines(&session.answer(APPLY, "b\n")).join(" ");
    assert!(shown.contains("senders can be told") && shown.contains("tell-planned"), "{shown}");
    session.answer("[dane tls-rpt]:", "\n");
    session.answer(APPLY, "n\n");
    assert_eq!(session.end().0, 1);
    untouched("a no after it");

    // Where the name of a policy host leads here, somebody has to serve the policy that is begun.
    internet.dns.set("example.test", "mta-sts", "A", 60, &["198.18.0.25"]);
    let mut session = Terminal::start(|argv| host.command(argv), &format!("mxseal setup {}", lab()));
    session.answer(TELL, "\n");
    let shown = session.answer(SERVES, "?\n");
    assert!(lines(&shown).join(" ").contains("begun for example.test"), "{shown}");
    session.answer(SERVES, "nginx\n");
    let shown = session.answer(SERVES, "\n");
    assert!(shown.contains("is none of them"), "{shown}");
    let shown = lines(&session.answer(APPLY, "b\n")).join(" ").split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(shown.contains("mxseal serves it on port 443, with a certificate of its own for mta-sts.example.test"), "{shown}");
    session.answer(SERVES, "b\n");
    session.answer("[tls-rpt mta-sts]:", "tls-rpt\n");
    let shown = session.answer(APPLY, "n\n");
    assert!(!shown.contains("policy-planned"), "{shown}");
    assert_eq!(session.end().0, 1);
    internet.dns.set("example.test", "mta-sts", "A", 60, &[]);
    untouched("a no after that");

    let mut session = setup(&host, "");
    session.answer(APPLY, "y\n");
    session.golden("end", KEEP);
    session.answer(KEEP, "y\n");
    let (code, seen) = session.end();
    assert!(code == 0, "{seen}");
    assert_verifiable(&internet);
}

/// Ctrl-C while the CA lets us wait, in the middle of the change, and at the proof.
#[test]
fn an_interrupt_leaves_the_host_whole() {
    let internet = Internet::start();
    let host = internet.mail_host();
    let tree = || contents(&host.tree("/etc/postfix"));
    let before = tree();

    let mut session = setup(&host, "--no-email");
    session.answer(TERMS, "y\n");
    session.until(APPLY);
    internet.hang_ca(true);
    session.answer(APPLY, "y\n");
    session.answer("ask https://acme.test/dir", "\x03");
    let (code, seen) = session.end();
    internet.hang_ca(false);
    assert!(code == 130 && seen.contains("Stopped: nothing was changed. `mxseal setup` goes on from here."), "{seen}");
    assert_eq!(differences(&before, &tree()), Vec::<String>::new());

    for (at, questions) in [("change the configuration and activate it", 1), ("prove it on every listening address", 0)] {
        let mut session = setup(&host, "--no-email");
        if questions > 0 {
            session.answer(TERMS, "y\n");
        }
        let main = host.read("/etc/postfix/main.cf");
        session.answer(APPLY, "y\n");
        wait_for("the change", Duration::from_secs(60), || host.read("/etc/postfix/main.cf") != main);
        session.answer(at, "\x03");
        let (code, seen) = session.end();
        assert!(code == 130 && seen.contains("Stopped in the middle of the change"), "{at}: {seen}");
        wait_for("the guard", Duration::from_secs(60), || {
            let status = host.run(&["mxseal", "status", "--json"]);
            serde_json::from_slice::<serde_json::Value>(&status.stdout).is_ok_and(|document| document["open"].is_null())
        });
        assert_eq!(differences(&before, &tree()), Vec::<String>::new(), "{at}");
        wait_for("the old certificate", Duration::from_secs(30), || internet.s_client(&[]).contains(SNAKE_OIL));
    }
}

/// A screen reader, a terminal without colours, a narrow one; a run that is recorded and replayed, and its log.
#[test]
fn every_terminal_and_none_is_served() {
    let internet = Internet::start();
    let host = internet.mail_host();
    let colour = |seen: &str| seen.contains("\x1b[3");

    // Without a verb, for an ear. The lab's CA is in the settings.
    host.ok(&["mkdir", "-p", "/etc/mxseal"]);
    let lab = format!("acme-directory = '{DIRECTORY}'\nacme-ca-file = ['/root/api-ca.pem']\ntrust-anchor = ['/root/root.pem']\n");
    host.write("/etc/mxseal/mxseal.toml", &lab);
    let mut session = Terminal::start(|argv| host.command(argv), "mxseal --plain");
    session.golden("plain", TERMS);
    let shown = session.answer(TERMS, "q\n");
    assert!(!shown.contains('\x1b') && !shown.contains("...") && !shown.contains('·'), "{shown}");
    assert_eq!(session.end().0, 1);
    let mut session = Terminal::start(|argv| host.command(argv), "NO_COLOR=1 mxseal");
    assert!(!session.answer(TERMS, "q\n").contains('\x1b'));
    session.end();
    assert_eq!(host.run(&["mxseal"]).status.code(), Some(2), "without a terminal it is a misuse");

    // What could not be seen is asked, and an answer is looked at: an MX name that DNS does not show, a port that is taken.
    host.ok(&[
        "sh",
        "-c",
        "for port in 443 80; do openssl s_server -accept $port -nocert >/dev/null 2>&1 </dev/null & echo $!; done >/tmp/web.pid",
    ]);
    let taken = || host.ok(&["ss", "-Hltn", "sport", "=", ":80"]).contains(":80");
    wait_for("port 80", Duration::from_secs(20), taken);
    let mut session = setup(&host, "--domain sender.test");
    let shown = session.answer("MX name of this host [mx1.example.test]:", "\n");
    assert!(lines(&shown).join(" ").contains("sender.test points elsewhere"), "{shown}");
    let shown = session.answer("Directory that it serves (or stop it, and type again) [", "b\n");
    let said = lines(&shown).join(" ").split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains("this host, as you say") && said.contains("openssl (pid "), "{shown}");
    session.answer("MX name of this host [mx1.example.test]:", "\n");
    session.until("Directory that it serves");
    host.ok(&["sh", "-c", "kill $(cat /tmp/web.pid)"]);
    wait_for("port 80 to be free", Duration::from_secs(20), || !taken());
    session.answer("Directory that it serves (or stop it, and type again) [", "again\n");
    let shown = session.answer(TERMS, "q\n");
    assert!(shown.contains("Port 80       free"), "{shown}");
    session.end();

    // A terminal that becomes narrow meanwhile. Its answers are recorded.
    let mut session = setup(&host, "--answers /root/answers.toml");
    assert!(colour(&session.until(TERMS)));
    host.ok(&["sh", "-c", "stty -F $(cat /tmp/tty) cols 50"]);
    session.answer(TERMS, "y\n");
    session.answer(ADDRESS, "?\n");
    let shown = session.answer(ADDRESS, "post@example.test\n");
    assert!(lines(&shown).iter().all(|l| l.chars().count() <= 50), "{shown}");
    session.answer(APPLY, "d\n");
    session.answer(APPLY, "p\n");
    let (code, seen) = session.end();
    assert!(code == 0, "{seen}");
    let recorded = host.read("/root/answers.toml");
    assert!(recorded.contains("email = \"post@example.test\"") && recorded.contains("agree-tos = true"), "{recorded}");

    // The log says what the screen said, but for lines of configuration that are nobody's business.
    let log = seen.lines().find_map(|l| l.trim_end().strip_prefix("The log of this run: ")).expect("a log").to_owned();
    assert_eq!(host.ok(&["stat", "-c", "%a %u", &log]), "600 0\n");
    let text = host.read(&log);
    for said in [
        "What is here",
        "Do you agree to them? [y/N] y",
        "post@example.test",
        "Get a certificate",
        "+smtpd_tls_chain_files",
        "Make the change above by hand",
    ] {
        assert!(text.contains(said), "no {said:?} in {text}");
    }
    assert!(seen.contains("mydestination = ") && !text.contains("mydestination = ") && !text.contains('\x1b'), "{text}");

    // Replayed elsewhere: nothing is asked. What is missing is named, with its flag.
    let replay = |more: &str| Terminal::start(|argv| host.command(argv), &format!("mxseal setup --state-dir /root/state --answers {more}"));
    let mut session = replay("/root/answers.toml");
    let shown = session.answer(APPLY, "n\n");
    assert!(!shown.contains(TERMS) && !shown.contains(ADDRESS), "{shown}");
    session.end();
    host.write("/root/answers.toml", "agree-tos = true\n");
    let (code, seen) = replay("/root/answers.toml --yes").end();
    let said = seen.replace("\r\n", " ");
    assert!(
        code == 2 && said.contains("/root/answers.toml does not answer everything") && said.contains(ADDRESS.split(' ').next().unwrap()),
        "{seen}"
    );
    assert!(said.contains("--email ADDRESS or --no-email"), "{seen}");
}

/// A host to look at by hand: `cargo test --test all by_hand -- --ignored --nocapture` says how to enter it; it ends with the
/// file `done` in its root. `MXSEAL_LAB_SERVER` names another mail server than Postfix.
#[test]
#[ignore = "for a person: it waits"]
fn by_hand() {
    let internet = Internet::start();
    let host = internet.mail_host_with(match std::env::var("MXSEAL_LAB_SERVER").as_deref() {
        Ok("exim") => Server::Exim,
        Ok("exim-split") => Server::EximSplit,
        Ok("opensmtpd") => Server::OpenSmtpd,
        Ok("sendmail") => Server::Sendmail,
        _ => Server::Postfix,
    });
    let lab = format!("acme-directory = '{DIRECTORY}'\nacme-ca-file = ['/root/api-ca.pem']\ntrust-anchor = ['/root/root.pem']\n");
    host.ok(&["mkdir", "-p", "/etc/mxseal"]);
    host.write("/etc/mxseal/mxseal.toml", lab);
    eprintln!("{:?}", host.command(&["bash", "-l"]));
    while !host.path("/done").exists() {
        std::thread::sleep(Duration::from_millis(200));
    }
}
