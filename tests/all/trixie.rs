//! The main job on Debian 13: Postfix 3.10, and Exim 4.98 with Debian's configuration in one file and in many. `tests/run debian13` runs it.

use crate::{
    exim::configuration,
    lab::{
        host::{Host, Server, differences},
        internet::Internet,
        renewal::{renew, served},
        setup::{VERIFIED, assert_verifiable, contents, outcome, setup},
    },
    rehearse::rehearse,
};
use std::{collections::BTreeMap, path::PathBuf};

fn configured(host: &Host, server: Server) -> BTreeMap<PathBuf, (String, u32, (u32, u32))> {
    if server == Server::Postfix { contents(&host.tree(host.etc())) } else { configuration(host) }
}

/// A rehearsal, setup, a renewal, status, a second setup, and undo of every byte.
fn there_and_back(server: Server, version: &[&str], expected: &str) {
    let internet = Internet::start();
    let host = internet.trixie_host(server);
    let says = host.ok(version);
    assert!(says.contains(expected), "{server:?}: {says}");
    let before = configured(&host, server);

    let shown = outcome(&rehearse(&host, &[]), 0);
    assert_eq!((&shown["outcome"], &shown["host"]["unchanged"]), (&"proved".into(), &true.into()), "{server:?}: {shown:#}");
    assert_eq!(differences(&before, &configured(&host, server)), Vec::<String>::new(), "{server:?}: a rehearsal");

    let done = outcome(&setup(&host, &[]), 0);
    assert_eq!(done["outcome"], "proved", "{server:?}: {done:#}");
    assert_verifiable(&internet);
    let old = served(&internet, &[]);
    let done = renew(&host, &["--force"], 0);
    assert_eq!(done["outcome"], "proved", "{server:?}: {done:#}");
    let new = served(&internet, &[]);
    assert!(new.0 != old.0 && new.1 == old.1, "{server:?}: another certificate of the same key");
    let status = outcome(&host.run(&["mxseal", "status", "--json", "--trust-anchor", "/root/root.pem"]), 0);
    assert!(status["changes"][0]["installed"].to_string().contains("/etc/mxseal/live/mx1.example.test"), "{server:?}: {status:#}");
    let again = outcome(&setup(&host, &[]), 0);
    assert_eq!(again["outcome"], "nothing-to-do", "{server:?}: {again:#}");

    outcome(&host.run(&["mxseal", "undo", "--json", "--non-interactive", "--yes"]), 0);
    assert_eq!(differences(&before, &configured(&host, server)), Vec::<String>::new(), "{server:?}");
    assert!(!internet.s_client(&[]).contains(VERIFIED), "{server:?}");
}

#[test]
#[ignore = "fetches Debian 13: tests/run debian13"]
fn postfix_there_and_back() {
    there_and_back(Server::Postfix, &["postconf", "-dh", "mail_version"], "3.10.");
}

#[test]
#[ignore = "fetches Debian 13: tests/run debian13"]
fn exim_there_and_back() {
    for server in [Server::Exim, Server::EximSplit] {
        there_and_back(server, &["exim4", "-bV"], "version 4.98");
    }
}
