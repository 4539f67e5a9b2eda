//! A rehearsal on a copy of this host's Exim: it shows everything and changes nothing, with every fault.

use crate::{
    exim::{ALL, MADE_UP, configuration},
    lab::{
        host::{Host, Server, differences},
        internet::Internet,
        process::wait_for,
        setup::outcome,
    },
    rehearse::{proved, rehearse},
};
use clap::ValueEnum as _;
use mxseal::rehearsal::Fault;
use std::time::Duration;

/// A booted host whose server has come to rest.
fn quiet_host(internet: &Internet, server: Server) -> Host {
    let host = internet.mail_host_with(server);
    // It may have been started twice.
    wait_for("the first look at the queue", Duration::from_secs(20), || {
        let log = host.mail_log();
        log.rfind("End queue run") > log.rfind("daemon started")
    });
    host
}

fn daemons(host: &Host) -> String {
    host.ok(&["sh", "-c", "cat /proc/[0-9]*/comm | grep -c '^exim4$' || true"]).trim().to_owned()
}

#[test]
fn everything_is_shown_and_nothing_is_changed() {
    for server in ALL {
        let internet = Internet::start();
        let host = quiet_host(&internet, server);
        let (before, log) = (configuration(&host), host.mail_log());
        let shown = outcome(&rehearse(&host, &[]), 0);
        assert_eq!((&shown["outcome"], &shown["host"]["unchanged"]), (&"proved".into(), &true.into()), "{server:?}: {shown:#}");
        let diff = shown["plan"]["diff"].as_str().expect("a diff");
        let file = "/etc/mxseal/live/mx1.example.test.ecdsa.pem : /etc/mxseal/live/mx1.example.test.rsa.pem";
        assert!(diff.contains(file) && !diff.contains("queue_only"), "{server:?}: {diff}");
        assert!(proved(&shown).contains(&("198.18.0.25:25".to_owned(), "ours".to_owned())), "{server:?}: {shown:#}");
        assert_eq!(differences(&before, &configuration(&host)), Vec::<String>::new(), "{server:?}");
        assert_eq!((host.mail_log(), daemons(&host).as_str()), (log, "1"), "{server:?}: the live server heard nothing");
        assert!(!host.path("/var/lib/mxseal").exists() && !host.path("/run/mxseal").exists(), "{server:?}");
        assert!(internet.s_client(&[]).contains(MADE_UP), "{server:?}");

        // Also where the server is stopped.
        if server == Server::EximSplit {
            host.ok(&["systemctl", "stop", "exim4"]);
            wait_for("the end of Exim", Duration::from_secs(20), || daemons(&host) == "0");
            host.ok(&["rm", "-rf", "/run/exim4"]);
            assert_eq!(outcome(&rehearse(&host, &[]), 0)["outcome"], "proved");
            assert_eq!(daemons(&host), "0");
        }
    }
}

#[test]
fn with_every_fault_it_ends_as_promised() {
    let internet = Internet::start();
    let host = quiet_host(&internet, Server::Exim);
    let before = configuration(&host);
    let faults: Vec<String> = Fault::value_variants().iter().map(|f| f.name()).collect();
    assert!(faults.len() >= 10, "{faults:?}");
    for some in faults.chunks(3) {
        std::thread::scope(|scope| {
            let run = |fault: &String| {
                let shown = outcome(&rehearse(&host, &["--fault", fault]), 0);
                assert_eq!((&shown["outcome"], &shown["host"]["unchanged"]), (&"recovered".into(), &true.into()), "{fault}: {shown:#}");
            };
            for fault in some {
                scope.spawn(move || run(fault));
            }
        });
    }
    assert_eq!(differences(&before, &configuration(&host)), Vec::<String>::new());
    assert_eq!(daemons(&host), "1");
    assert!(internet.s_client(&[]).contains(MADE_UP));
}
