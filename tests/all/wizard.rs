//! `mxseal` as a person meets it on a terminal: whole screens, the questions and the ways out of them.

use crate::lab::{
    host::{Host, differences},
    internet::{DIRECTORY, Internet},
    setup::{SNAKE_OIL, assert_verifiable, contents},
    terminal::{Terminal, golden},
};

const APPLY: &str = "? more [n]:";
const TERMS: &str = "Do you agree to them? [y/N]";
const ADDRESS: &str = "E-mail address for the CA [none]:";
const KEEP: &str = "for the next run? [Y/n]";

/// The flags that the lab's CA needs, and no answer.
fn flags() -> String {
    format!("--acme-directory {DIRECTORY} --acme-ca-file /root/api-ca.pem --trust-anchor /root/root.pem")
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
    golden("facts", &session.answer(TERMS, "\x03"));
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
    assert!(code == 1 && seen.contains("declined: nothing was changed"), "{seen}");
    untouched("who leaves changes nothing");

    // More on a question, a wrong answer, a way back; looking closer, and printing only.
    let mut session = setup(&host, "");
    session.answer(TERMS, "?\n");
    golden("more", &session.answer(TERMS, "b\n"));
    let shown = session.answer(TERMS, "y\n");
    assert!(shown.contains("this is the first question"), "{shown}");
    session.answer(ADDRESS, "postmaster\n");
    let shown = session.answer(ADDRESS, "b\n");
    assert!(shown.contains("this is no mail address"), "{shown}");
    session.answer("Do you agree to them? [Y/n]", "\n");
    session.answer(ADDRESS, "\n");
    golden("plan", &session.answer(APPLY, "maybe\n"));
    let shown = session.answer(APPLY, "?\n");
    assert!(shown.contains("please type y, n, d or p"), "{shown}");
    golden("apply", &session.answer(APPLY, "d\n"));
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
    assert!(code == 1 && seen.contains("nothing was changed") && !seen.contains(TERMS), "{seen}");
    let mut session = setup(&host, "");
    session.answer(APPLY, "\x03");
    assert_eq!(session.end().0, 130);
    let mut session = setup(&host, "");
    session.answer(APPLY, "\x04");
    assert_eq!(session.end().0, 1);
    untouched("a no");

    let mut session = setup(&host, "");
    session.answer(APPLY, "y\n");
    golden("end", &session.answer(KEEP, "y\n"));
    let (code, seen) = session.end();
    assert!(code == 0, "{seen}");
    assert_verifiable(&internet);
}
