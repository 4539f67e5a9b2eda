//! What the whole program promises to the admin of Exim, on booted hosts: Debian's configuration in one file, in many files,
//! and a file of the admin's own.

use crate::lab::{
    host::{Host, Server, differences, text},
    internet::Internet,
    load::{self, Load},
    setup::{VERIFIED, assert_a_kill_is_put_back, assert_put_back, assert_verifiable, contents, outcome, setup},
};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

pub const ALL: [Server; 3] = [Server::Exim, Server::EximSplit, Server::EximOwn];

/// What Exim makes up where no certificate is configured.
pub const MADE_UP: &str = "O = Exim Developers";

/// Configuration and what is generated of it, each file with content, owner and mode.
pub fn configuration(host: &Host) -> BTreeMap<PathBuf, (String, u32, (u32, u32))> {
    let mut all = contents(&host.tree("/etc/exim4"));
    all.extend(contents(&host.tree("/var/lib/exim4")).into_iter().map(|(path, e)| (Path::new("generated").join(path), e)));
    all
}

#[test]
fn setup_is_proved_and_undo_puts_every_byte_back() {
    for server in ALL {
        let internet = Internet::start();
        let host = internet.mail_host_with(server);
        let before = configuration(&host);
        assert!(internet.s_client(&[]).contains(MADE_UP), "{server:?}: {}", internet.s_client(&[]));

        let done = outcome(&setup(&host, &[]), 0);
        assert_eq!(done["outcome"], "proved", "{server:?}: {done:#}");
        assert_verifiable(&internet);
        let log = internet.sender("may").send("root@example.test");
        assert!(log.contains("Trusted TLS connection established to mx1.example.test") && log.contains("status=sent"), "{server:?}: {log}");
        for key in ["ecdsa", "rsa"] {
            let file = format!("/etc/mxseal/live/mx1.example.test.{key}.pem");
            assert_eq!(host.ok(&["stat", "-c", "%U:%G %a", &file]).trim(), "root:Debian-exim 640");
        }
        let status = outcome(&host.run(&["mxseal", "status", "--json", "--trust-anchor", "/root/root.pem"]), 0);
        let files: Vec<_> = ["ecdsa", "rsa"].iter().map(|key| format!("/etc/mxseal/live/mx1.example.test.{key}.pem")).collect();
        assert_eq!(status["changes"][0]["installed"], serde_json::json!(files), "{status:#}");
        assert!(text(&host.run(&["mxseal", "status"])).contains(&files[1]));

        let (changed, orders) = (configuration(&host), internet.ca_log());
        let again = outcome(&setup(&host, &[]), 0);
        assert_eq!(again["outcome"], "nothing-to-do", "{server:?}: {again:#}");
        assert_eq!((differences(&changed, &configuration(&host)), internet.ca_log()), (vec![], orders), "{server:?}: a second setup");

        outcome(&host.run(&["mxseal", "undo", "--json", "--non-interactive", "--yes"]), 0);
        assert_eq!(differences(&before, &configuration(&host)), Vec::<String>::new(), "{server:?}");
        let seen = internet.s_client(&[]);
        assert!(seen.contains(MADE_UP) && !seen.contains(VERIFIED), "{server:?}: {seen}");
    }
}

#[test]
fn a_survey_tells_what_is_there() {
    for (server, profile) in [(Server::Exim, "exim-debian"), (Server::EximSplit, "exim-debian-split"), (Server::EximOwn, "exim")] {
        let internet = Internet::start();
        let host = internet.mail_host_with(server);
        let facts = host.run(&["mxseal", "survey", "--json"]);
        let facts: serde_json::Value = serde_json::from_slice(&facts.stdout).unwrap_or_else(|e| panic!("{e}: {}", text(&facts)));
        let seen = &facts["server"]["seen"]["value"];
        assert_eq!(seen["profile"], profile, "{facts:#}");
        assert_eq!(seen["running"]["seen"]["value"], true, "{seen:#}");
        assert_eq!(seen["services"][0]["listens"], serde_json::json!(["[::]:25", "0.0.0.0:25"]), "{seen:#}");
        assert!(seen["receives_for"].to_string().contains("example.test"), "{seen:#}");
    }
}

/// Every message that was accepted while setup and undo ran is delivered. Exim closes its port for a moment when it reads its
/// configuration again, as the plan says: senders come again.
#[test]
fn mail_flows_through_setup_and_undo() {
    let messages = std::env::var("MXSEAL_LOAD").map_or(400, |n| n.parse().expect("MXSEAL_LOAD is a number"));
    let internet = Internet::start();
    let host = internet.mail_host_with(Server::Exim);
    let load = Load::patient(&internet.net);
    let mut rounds = 0;
    while rounds == 0 || load.accepted() < messages {
        let done = outcome(&setup(&host, &[]), 0);
        assert!(done["findings"].to_string().contains("activation-gap"), "{done:#}");
        assert_verifiable(&internet);
        outcome(&host.run(&["mxseal", "undo", "--json", "--non-interactive", "--yes"]), 0);
        rounds += 1;
    }
    let sent = load.finish(messages);
    assert_eq!(sent.complaints, Vec::<String>::new());
    assert_eq!(load::delivered(&host), (sent.accepted, sent.accepted), "every accepted message is delivered once");
    eprintln!("{} messages delivered through {rounds} x setup and undo, {} refused for the moment", sent.accepted, sent.refused);
}

/// SIGKILL once the configuration is changed and not yet proved: the guard puts it back with nobody's help.
#[test]
fn a_kill_in_the_middle_leaves_the_host_as_it_was() {
    for server in [Server::EximSplit, Server::EximOwn] {
        let internet = Internet::start();
        let host = internet.mail_host_with(server);
        assert_a_kill_is_put_back(&internet, &host, configuration, MADE_UP);
        assert_verifiable(&internet);
    }
}

/// Each of these ends with a sentence, and with the host as it was.
#[test]
fn what_cannot_work_is_put_back() {
    let internet = Internet::start();
    let host = internet.mail_host_with(Server::Exim);
    let check = |prepare: &[&str], words: &str, mend: &[&str]| {
        assert_put_back(&host, configuration, prepare, words, mend);
        assert!(internet.s_client(&[]).contains(MADE_UP), "{words}");
    };
    let template = "/etc/exim4/exim4.conf.template";
    // The generator refuses what the admin left half done, before anything live is touched.
    check(&["sed", "-i", "1i nonsense_option = 1", template], "nonsense_option", &["sed", "-i", "1d", template]);
    // Exim's user cannot enter the folder of the key.
    check(&["install", "-d", "-m", "700", "/etc/mxseal"], "test -r /etc/mxseal/live", &["chmod", "755", "/etc/mxseal"]);
    // The daemon is told, and does not listen.
    host.ok(&["cp", "/bin/true", "/usr/local/sbin/pkill"]);
    check(&["chmod", "755", "/usr/local/sbin/pkill"], "put-back", &["rm", "/usr/local/sbin/pkill"]);
    outcome(&setup(&host, &[]), 0);
    assert_verifiable(&internet);
}
