//! What the whole program promises to the admin of Exim, on booted hosts: Debian's configuration in one file, in many files,
//! and a file of the admin's own.

use crate::lab::{
    host::{Host, Server, differences, text},
    internet::Internet,
    setup::{VERIFIED, assert_verifiable, contents, outcome, setup},
};

const ALL: [Server; 3] = [Server::Exim, Server::EximSplit, Server::EximOwn];

/// What Exim makes up where no certificate is configured.
const MADE_UP: &str = "O = Exim Developers";

/// Configuration and what is generated of it, each file with content, owner and mode.
fn configuration(host: &Host) -> std::collections::BTreeMap<std::path::PathBuf, (String, u32, (u32, u32))> {
    let mut all = contents(&host.tree("/etc/exim4"));
    all.extend(contents(&host.tree("/var/lib/exim4")).into_iter().map(|(path, e)| (std::path::Path::new("generated").join(path), e)));
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
        outcome(&host.run(&["mxseal", "status", "--json", "--trust-anchor", "/root/root.pem"]), 0);

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
