//! What admins do between setup and undo, and what makes a change fail where the server's own check finds nothing: on a
//! real Postfix, by the whole program.

use crate::lab::{
    odd::{OLD, Odd, Paused, SMTP, V4, V6, ended, images},
    postfix::Postfix,
    process::{run, wait_for},
};
use serde_json::Value;
use std::{
    fs,
    process::Stdio,
    time::{Duration, Instant},
};

/// The ids of the findings of a document, with the sentences.
fn findings(document: &Value) -> Vec<(String, String)> {
    let text = |f: &Value, key: &str| f[key].as_str().unwrap_or_default().to_owned();
    document["findings"].as_array().into_iter().flatten().map(|f| (text(f, "id"), f.to_string())).collect()
}

fn has(document: &Value, id: &str, words: &str) -> bool {
    findings(document).iter().any(|(i, text)| i == id && text.contains(words))
}

/// A host with its own certificate that was set up.
fn set_up(odd: &Odd) -> (Postfix, String, String) {
    let mut postfix = odd.host(OLD, SMTP);
    let before = postfix.read_config("main.cf");
    odd.launch(&mut postfix);
    let (served, _) = odd.seen(V4, &[]);
    ended(&odd.setup(&postfix, &[]), 0).unwrap();
    odd.verified(V4).unwrap();
    (postfix, before, served)
}

fn postconf(postfix: &Postfix, setting: &str) {
    run(&mut postfix.command("postconf", &["-e", setting]));
    postfix.age("main.cf");
}

#[test]
fn undo_keeps_what_the_admin_did_since() {
    let mut odd = Odd::new();

    let (postfix, before, served) = set_up(&odd);
    // Less is offered than on the day of the setup. Nobody can tell that from undo's own fault: it is taken back, and the host
    // serves what it did a moment ago.
    let standing = postfix.read_config("main.cf");
    postconf(&postfix, "smtpd_discard_ehlo_keywords = 8bitmime");
    postfix.reload();
    let done = ended(&odd.undo(), 1).unwrap();
    assert!(done["outcome"] == "put-back" && has(&done, "capability-gone", "8BITMIME"), "{done:#}");
    assert!(!done["findings"].to_string().contains("wire-"), "{done:#}");
    postfix.write_config("main.cf", &standing);
    postfix.reload();

    postconf(&postfix, "message_size_limit = 12345678");
    postfix.reload();
    let done = ended(&odd.undo(), 0).unwrap();
    assert_eq!(done["outcome"], "proved", "{done:#}");
    assert_eq!(postfix.read_config("main.cf"), before + "message_size_limit = 12345678\n");
    assert_eq!(odd.seen(V4, &[]).0, served);
    drop(postfix);

    let (postfix, before, served) = set_up(&odd);
    postconf(&postfix, "smtpd_tls_loglevel = 2");
    let done = ended(&odd.undo(), 0).unwrap();
    assert_eq!(done["outcome"], "unproved", "{done:#}");
    assert!(has(&done, "undo-conflict", "smtpd_tls_loglevel"), "{done:#}");
    assert_eq!(postfix.read_config("main.cf"), before + "smtpd_tls_loglevel = 2\n");
    // A process from before the reload may take one more client.
    wait_for("the old certificate", Duration::from_secs(20), || odd.seen(V4, &[]).0 == served);
    drop(postfix);

    let (postfix, before, _) = set_up(&odd);
    let theirs = format!("smtpd_tls_chain_files = {}\n", postfix.etc().join("both.pem").display());
    postconf(&postfix, theirs.trim_end());
    let done = ended(&odd.undo(), 0).unwrap();
    assert!(has(&done, "undo-conflict", "smtpd_tls_chain_files"), "{done:#}");
    assert_eq!(postfix.read_config("main.cf"), before + &theirs);
    drop(postfix);

    // Neither a resolver nor the CA is needed.
    let (postfix, before, served) = set_up(&odd);
    let resolver = format!("/etc/netns/{}/resolv.conf", odd.internet.net.namespace("mx1"));
    let alive = fs::read_to_string(&resolver).unwrap();
    fs::write(&resolver, "nameserver 198.18.0.99\n").unwrap();
    odd.internet.stop_ca();
    let began = Instant::now();
    ended(&odd.undo(), 0).unwrap();
    eprintln!("undone without a resolver in {:.1?}", began.elapsed());
    fs::write(&resolver, alive).unwrap();
    assert_eq!(postfix.read_config("main.cf"), before);
    assert_eq!(odd.seen(V4, &[]).0, served);
}

#[test]
fn undo_needs_no_working_server() {
    let odd = Odd::new();

    let (postfix, before, served) = set_up(&odd);
    let broken = "this is no setting\n";
    postfix.write_config("main.cf", &(postfix.read_config("main.cf") + broken));
    let done = ended(&odd.undo(), 1).unwrap();
    assert!(has(&done, "undo-not-activated", "this is no setting"), "{done:#}");
    assert_eq!(postfix.read_config("main.cf"), before.clone() + broken);
    postfix.write_config("main.cf", &before);
    postfix.reload();
    wait_for("the old certificate", Duration::from_secs(20), || odd.seen(V4, &[]).0 == served);
    drop(postfix);

    let (mut postfix, _, served) = set_up(&odd);
    let etc = images(&postfix);
    postfix.stop();
    let done = ended(&odd.undo(), 1).unwrap();
    assert!(has(&done, "undo-not-activated", "does not run"), "{done:#}");
    assert_ne!(images(&postfix), etc);
    odd.launch(&mut postfix);
    assert_eq!(odd.seen(V4, &[]).0, served);
}

/// Setup ends with 1 and these findings, and everything is as before.
fn put_back(odd: &Odd, main: &str, master: &str, id: &str, words: &str) {
    let mut postfix = odd.host(main, master);
    odd.launch(&mut postfix);
    let (before, served) = (images(&postfix), odd.seen(V4, &[]).0);
    let began = Instant::now();
    let done = ended(&odd.setup(&postfix, &[]), 1).unwrap();
    eprintln!("{id}: put back, all in {:.1?}", began.elapsed());
    assert_eq!(done["outcome"], "put-back", "{done:#}");
    assert!(has(&done, id, words), "{done:#}");
    assert_eq!(images(&postfix), before);
    assert_eq!(odd.seen(V4, &[]).0, served);
}

#[test]
fn what_the_servers_check_does_not_see_is_put_back() {
    let odd = Odd::new();
    // One of the two addresses cannot take the new key type.
    put_back(
        &odd,
        OLD,
        "198.18.0.25:25 inet n - y - - smtpd\n[fd00::25]:25 inet n - y - - smtpd -o smtpd_tls_protocols=TLSv1.2 -o smtpd_tls_ciphers=high -o smtpd_tls_exclude_ciphers=aECDSA\n",
        "handshake-failed",
        "fd00::25",
    );

    // Its lock file names a process that is gone: nobody could tell it to read its files again.
    let mut postfix = odd.host(OLD, SMTP);
    odd.launch(&mut postfix);
    fs::write(postfix.dir().join("spool/pid/master.pid"), "4194303\n").unwrap();
    let (before, served) = (images(&postfix), odd.seen(V4, &[]).0);
    let done = ended(&odd.setup(&postfix, &[]), 1).unwrap();
    assert!(done["error"].as_str().is_some_and(|e| e.contains("Postfix does not run")), "{done:#}");
    assert_eq!(images(&postfix), before);
    assert_eq!(odd.seen(V4, &[]).0, served);
}

/// A server that stands still just when it shall take its new configuration.
#[test]
fn a_server_that_hangs_costs_seconds() {
    let odd = Odd::new();
    let mut postfix = odd.host(OLD, SMTP);
    odd.launch(&mut postfix);
    let (before, served) = (images(&postfix), odd.seen(V4, &[]).0);
    let main = fs::read(postfix.etc().join("main.cf")).unwrap();
    let same = || fs::read(postfix.etc().join("main.cf")).unwrap() == main;
    let (mut paused, mut swapped, mut back) = (None, None, None);
    std::thread::scope(|scope| {
        let setup = scope.spawn(|| odd.setup(&postfix, &[]));
        wait_for("the change", Duration::from_secs(90), || setup.is_finished() || !same());
        swapped = Some(Instant::now());
        paused = postfix.pid().map(Paused::new);
        wait_for("the change to be put back", Duration::from_secs(120), || setup.is_finished() || same());
        back = swapped.map(|s| s.elapsed());
        let done = ended(&setup.join().unwrap(), 1).unwrap();
        assert!(has(&done, "wire-silent", "") || has(&done, "wire-not-ours", ""), "{done:#}");
    });
    eprintln!("put back {:.1?} after the swap", back.unwrap());
    assert!(back.unwrap() < Duration::from_secs(40), "a silent listener must not cost several rounds: {back:?}");
    assert_eq!(images(&postfix), before);
    drop(paused);
    wait_for("the old certificate", Duration::from_secs(20), || odd.seen(V4, &[]).0 == served && odd.seen(V6, &[]).0 == served);
}

/// A port where nothing can be shown from here: the change does not stand on hope.
#[test]
fn a_port_behind_a_proxy_is_not_changed_unproved() {
    let odd = Odd::new();
    let mut postfix = odd.host(&format!("{OLD}smtpd_upstream_proxy_protocol = haproxy\n"), SMTP);
    odd.launch(&mut postfix);
    let before = images(&postfix);
    let began = Instant::now();
    let done = ended(&odd.setup(&postfix, &[]), 1).unwrap();
    eprintln!("not proved behind a proxy, all in {:.1?}", began.elapsed());
    assert!(has(&done, "wire-refused", "did so before"), "{done:#}");
    assert!(began.elapsed() < Duration::from_secs(120), "each refusal takes five seconds: {:?}", began.elapsed());
    assert_eq!(images(&postfix), before);
}

#[test]
fn a_configuration_that_cannot_be_written_is_refused() {
    let odd = Odd::new();
    let mut postfix = odd.host(OLD, SMTP);
    odd.launch(&mut postfix);
    let (before, served) = (images(&postfix), odd.seen(V4, &[]).0);
    let mut verb = odd.setup_command(&postfix, &[]);
    let words: Vec<_> = std::iter::once(verb.get_program().to_owned()).chain(verb.get_args().map(ToOwned::to_owned)).collect();
    let mut shell = std::process::Command::new("unshare");
    let script = "d=$1; shift; mount --bind \"$d\" \"$d\" && mount -o remount,bind,ro \"$d\" && exec \"$@\"";
    shell.args(["-m", "--propagation", "private", "sh", "-c", script, "sh"]).arg(postfix.etc()).args(words);
    verb = shell;
    let done = ended(&verb.stdin(Stdio::null()).output().unwrap(), 1).unwrap();
    let said = done["error"].as_str().unwrap_or_default();
    assert!(said.contains("Read-only file system") && said.contains("as before"), "{done:#}");
    assert_eq!(images(&postfix), before);
    assert_eq!(odd.seen(V4, &[]).0, served);
}
