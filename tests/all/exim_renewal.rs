//! Renewal on booted hosts with Exim: nobody is turned away for it, because the daemon notices new files by itself.

use crate::{
    exim::{ALL, configuration},
    lab::{
        host::{Host, Server, differences},
        internet::Internet,
        load::{self, Load},
        renewal::{ids, renew, served},
        setup::{assert_verifiable, contents, outcome, setup},
    },
};

const RSA: &[&str] = &["-tls1_2", "-cipher", "aRSA"];

/// How often the daemon was told to read its configuration again.
fn told(host: &Host) -> usize {
    host.mail_log().matches("SIGHUP received").count()
}

/// A file of the configuration that setup has not written.
const fn theirs(server: Server) -> &'static str {
    match server {
        Server::EximSplit => "/etc/exim4/conf.d/main/02_exim4-config_options",
        Server::EximOwn => "/etc/exim4/exim4.conf",
        _ => "/etc/exim4/exim4.conf.template",
    }
}

#[test]
fn what_is_due_is_renewed_and_nobody_is_turned_away() {
    for server in ALL {
        let internet = Internet::start();
        let host = internet.mail_host_with(server);
        let before = configuration(&host);
        let one_key = server == Server::EximOwn;
        outcome(&setup(&host, if one_key { &["--key-type", "rsa"] } else { &[] }), 0);
        let state = || [contents(&host.tree("/etc/mxseal")), configuration(&host)].into_iter().flatten().collect();
        let (stands, signals) = (state(), told(&host));
        assert_eq!(renew(&host, &[], 0)["outcome"], "nothing-to-do", "{server:?}");

        let (old, load) = ([served(&internet, &[]), served(&internet, RSA)], Load::gentle(&internet.net));
        let done = renew(&host, &["--force"], 0);
        let sent = load.finish(100);
        assert_eq!(done["outcome"], "proved", "{server:?}: {done:#}");
        assert_eq!(sent.complaints, Vec::<String>::new(), "{server:?}: the port never closes");
        eprintln!("{server:?}: {} messages through a renewal, {} found it crowded", sent.accepted, sent.refused);
        assert_eq!(load::delivered(&host), (sent.accepted, sent.accepted), "{server:?}: every accepted message is delivered once");
        assert_eq!(told(&host), signals, "{server:?}: {}", host.mail_log());
        if !one_key {
            assert_verifiable(&internet);
        }
        for (old, new) in old.iter().zip([served(&internet, &[]), served(&internet, RSA)]) {
            assert!(new.0 != old.0 && new.1 == old.1, "{server:?}: another certificate of the same key");
        }
        let foreign: Vec<_> = differences(&stands, &state()).into_iter().filter(|d| !d.starts_with("live/")).collect();
        assert_eq!(foreign, Vec::<String>::new(), "{server:?}: nothing but key and chain");
        assert_eq!(renew(&host, &[], 0)["outcome"], "nothing-to-do", "{server:?}");

        // An edit that nobody has proved is not activated, and the certificate is renewed all the same.
        let (file, old) = (theirs(server), served(&internet, RSA));
        let proved = host.read(file);
        host.write(file, format!("# half finished\n{proved}"));
        let done = renew(&host, &["--force"], 1);
        assert!(done["outcome"] == "proved" && ids(&done).contains(&"drift"), "{server:?}: {done:#}");
        assert_ne!(served(&internet, RSA).0, old.0, "{server:?}");
        assert_eq!(told(&host), signals, "{server:?}");
        assert_eq!(renew(&host, &["--reload"], 0)["outcome"], "proved", "{server:?}");
        assert!(told(&host) > signals, "{server:?}");
        assert_eq!(ids(&renew(&host, &[], 0)), Vec::<&str>::new(), "{server:?}");

        host.write(file, proved);
        outcome(&host.run(&["mxseal", "undo", "--json", "--yes"]), 0);
        assert_eq!(differences(&before, &configuration(&host)), Vec::<String>::new(), "{server:?}");
    }
}

/// Where the daemon does not notice in time it is told after all.
#[test]
fn a_server_that_does_not_notice_is_told() {
    let internet = Internet::start();
    let host = internet.mail_host_with(Server::EximOwn);
    let hasty = include_str!("../../mta-profiles/exim.toml").replace("notices-ms = 8000", "notices-ms = 1");
    host.ok(&["mkdir", "-p", "/etc/mxseal/mta-profiles"]);
    host.write("/etc/mxseal/mta-profiles/exim.toml", hasty);
    outcome(&setup(&host, &[]), 0);
    let (signals, old) = (told(&host), served(&internet, &[]));
    assert_eq!(renew(&host, &["--force"], 0)["outcome"], "proved");
    assert_ne!(served(&internet, &[]).0, old.0);
    assert_eq!(told(&host), signals + 1, "{}", host.mail_log());
}
