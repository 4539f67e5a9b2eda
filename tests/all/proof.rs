//! A change stands only if the wire proves it: a private Postfix, broken in each way that its own check lets pass.

use crate::lab::{
    authority::{Authority, Issued, self_signed},
    postfix::Postfix,
};
use mxseal::{
    certificate::{Digest, KeyType},
    change::{Expect, Want},
    check::{ENOUGH, Proved, as_it_was, observe, probes_for, prove},
    claims::{Claim, Claims},
    facts::Known,
    finding::{Finding, Subject},
    moment::Moment,
    view::{EndpointView, Judged, Offer, Wire},
};
use std::time::{Duration, Instant};

const MX: &str = "mx.example.test";

/// A Postfix with a self-signed RSA certificate, its baseline, and new certificates of both key types beside it.
struct Scene {
    postfix: Postfix,
    authority: Authority,
    ecdsa: Issued,
    rsa: Issued,
    expect: Vec<Expect>,
    before: Vec<EndpointView>,
    claims: Claims,
}

impl Scene {
    /// `mx` (postscreen where it is among the services) shall be ours, every other service as it was. `$dir` in the options is the configuration directory.
    fn new(main: &str, services: &[(&str, &str)]) -> Self {
        let mut postfix = Postfix::new(MX);
        let etc = postfix.etc().display().to_string();
        let old = self_signed(&[MX], KeyType::Rsa, false);
        std::fs::write(postfix.etc().join("old.key"), &old.key).unwrap();
        std::fs::write(postfix.etc().join("old.pem"), &old.chain).unwrap();
        let default = "smtpd_tls_security_level = may\nsmtpd_tls_cert_file = $dir/old.pem\nsmtpd_tls_key_file = $dir/old.key";
        postfix = postfix.main(&if main.is_empty() { default } else { main }.replace("$dir", &etc));
        for (name, options) in services {
            let program = if *name == "mx" { "postscreen" } else { "smtpd" };
            postfix = postfix.service(name, program, &options.replace("$dir", &etc));
        }
        let postfix = postfix.start();
        let authority = Authority::new();
        let (ecdsa, rsa) = (authority.issue(&[MX], KeyType::Ecdsa), authority.issue(&[MX], KeyType::Rsa));
        std::fs::write(postfix.etc().join("new.pem"), format!("{}{}", ecdsa.bundle, rsa.bundle)).unwrap();
        let want = |name: &str| match name {
            "mx" | "submissions" => Want::Ours(vec![ecdsa.presented.clone(), rsa.presented.clone()]),
            _ => Want::Unchanged,
        };
        let expect: Vec<Expect> = services
            .iter()
            .map(|(name, _)| *name)
            .filter(|name| *name != "mx")
            .chain(["mx"])
            .map(|name| Expect {
                addr: postfix.addr(name),
                wire: if name == "submissions" { Wire::Implicit } else { Wire::StartTls },
                name: MX.parse().unwrap(),
                domain: Some("example.test".parse().unwrap()),
                want: want(name),
                unnamed: vec![],
            })
            .collect();
        let probes: Vec<_> = expect.iter().flat_map(probes_for).collect();
        let before = wait(observe(&authority.net(), &probes, Duration::from_secs(10)));
        Self { postfix, authority, ecdsa, rsa, expect, before, claims: Claims::default() }
    }

    /// Changes main.cf, reloads, and proves.
    fn change(&self, lines: &str) -> Result<Proved, Vec<Finding>> {
        self.set(lines);
        self.postfix.reload();
        self.prove(Duration::from_secs(10))
    }

    fn set(&self, lines: &str) {
        self.postfix.set(&lines.replace("$dir", &self.postfix.etc().display().to_string()));
    }

    fn prove(&self, limit: Duration) -> Result<Proved, Vec<Finding>> {
        wait(prove(&self.authority.net(), &self.expect, &self.before, &self.claims, limit)).1
    }

    fn subject(&self, service: &str) -> Subject {
        Subject::Address(self.postfix.addr(service))
    }

    fn baseline(&self, service: &str, offer: Offer) -> &EndpointView {
        self.before.iter().find(|v| v.probe.addr == self.postfix.addr(service) && v.probe.offer == offer).unwrap()
    }
}

const OURS: &str = "smtpd_tls_chain_files = $dir/new.pem";

fn wait<T>(of: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(of)
}

/// The proof failed with these findings and no other, each of which has its paragraph.
fn fails(verdict: Result<Proved, Vec<Finding>>, expected: &[(&str, &Subject)]) -> Vec<Finding> {
    let faults = verdict.expect_err("this must not be proved");
    let seen: Vec<_> = faults.iter().map(|f| (f.id.as_str(), &f.subject)).collect();
    assert_eq!(seen, expected, "{faults:#?}");
    assert!(faults.iter().all(|f| mxseal::topics::topic(&f.id).is_some()));
    faults
}

fn passes(verdict: Result<Proved, Vec<Finding>>) -> Proved {
    verdict.unwrap_or_else(|faults| panic!("{faults:#?}"))
}

#[test]
fn the_private_postfix_starts_reloads_and_stops() {
    let mut postfix = Postfix::new(MX).service("submission", "smtpd", "").start();
    postfix.reload();
    let master = format!("/proc/{}/stat", postfix.pid().unwrap());
    postfix.stop();
    // Not by its port, which another test may have taken meanwhile.
    assert!(std::fs::read_to_string(master).map_or(true, |stat| stat.contains(") Z ")));
    postfix.launch();
}

#[test]
fn ours_on_every_connection_is_a_proof() {
    let scene = Scene::new("", &[("submissions", "-o smtpd_tls_wrappermode=yes")]);
    let first = scene.baseline("mx", Offer::Any);
    assert_eq!((&first.broke, first.steps.len()), (&None, 5), "{first:#?}");
    let tls = first.tls.value().unwrap();
    assert_eq!((tls.protocol.as_str(), tls.group.is_empty()), ("TLS1.3", false));
    assert!(matches!(tls.trusted.value(), Some(Judged::Bad(why)) if why.contains("self-signed")), "{tls:?}");
    assert_eq!(tls.named.value(), Some(&Judged::Good));
    assert_eq!(scene.before.len(), 8, "four conversations an address");

    scene.set(OURS);
    scene.postfix.reload();
    let began = Instant::now();
    let (views, verdict) = wait(prove(&scene.authority.net(), &scene.expect, &scene.before, &scene.claims, Duration::from_secs(10)));
    eprintln!("proved two listeners in {:?}, {:?}", began.elapsed(), views.iter().map(|v| v.took_ms).collect::<Vec<_>>());
    let proved = passes(verdict);
    assert!(proved.notes.is_empty(), "{:#?}", proved.notes);
    for shown in proved.proof.shown() {
        assert!(shown.connections >= ENOUGH && shown.serials.len() == 2, "{shown:?}");
    }
    let back = as_it_was(&scene.expect);
    let (_, verdict) = wait(prove(&scene.authority.net(), &back, &scene.before, &scene.claims, Duration::from_secs(10)));
    let (submissions, mx) = (scene.subject("submissions"), scene.subject("mx"));
    fails(verdict, &[("wire-not-former", &submissions), ("wire-not-former", &mx)]);
}

#[test]
fn an_untouched_server_is_as_it_was() {
    let mut scene = Scene::new("", &[("submission", "-o smtpd_tls_security_level=encrypt")]);
    scene.expect = as_it_was(&scene.expect);
    scene.postfix.reload();
    passes(scene.prove(Duration::from_secs(10)));
}

#[test]
fn a_host_without_tls_gets_it() {
    let scene = Scene::new("smtpd_tls_security_level = none", &[]);
    assert!(scene.before.iter().all(|v| v.tls.value().is_none() && v.broke.is_none() && v.steps.len() == 4), "{:#?}", scene.before);
    passes(scene.change(&format!("{OURS}\nsmtpd_tls_security_level = may")));
}

#[test]
fn a_reload_that_is_ignored() {
    let scene = Scene::new("", &[]);
    scene.set(OURS);
    let faults = fails(scene.prove(Duration::from_secs(10)), &[("wire-not-ours", &scene.subject("mx"))]);
    let evidence = faults[0].evidence.join("\n");
    // With or without SNI is chance: a process that Postfix starts after the edit reads it without being told.
    assert!(evidence.contains(&scene.ecdsa.presented.serial) && evidence.contains("SNI: rsa serial"), "{evidence}");
}

#[test]
fn an_sni_table_that_keeps_the_old_certificate() {
    let scene = Scene::new("", &[]);
    let etc = scene.postfix.etc();
    let old = ["old.key", "old.pem"].map(|name| etc.join(name).display().to_string()).join(" ");
    std::fs::write(etc.join("sni"), format!("{MX} {old}\n")).unwrap();
    crate::lab::process::run(
        std::process::Command::new("postmap")
            .args(["-c".as_ref(), etc.as_os_str(), "-F".as_ref()])
            .arg(format!("hash:{}", etc.join("sni").display())),
    );
    let verdict = scene.change(&format!("{OURS}\ntls_server_sni_maps = hash:$dir/sni"));
    let faults = fails(verdict, &[("wire-not-ours", &scene.subject("mx"))]);
    assert!(!faults[0].evidence.iter().any(|e| e.contains("without SNI")), "{faults:#?}");
}

#[test]
fn a_chain_file_that_is_missing() {
    let scene = Scene::new("", &[]);
    let faults = fails(scene.change("smtpd_tls_chain_files = $dir/nowhere.pem"), &[("handshake-failed", &scene.subject("mx"))]);
    assert!(faults[0].evidence[0].contains("HandshakeFailure"), "{faults:#?}");
}

#[test]
fn a_key_that_belongs_to_another_certificate() {
    let scene = Scene::new("", &[]);
    std::fs::write(scene.postfix.etc().join("mixed.pem"), format!("{}{}", scene.rsa.key, scene.ecdsa.chain)).unwrap();
    let faults = fails(scene.change("smtpd_tls_chain_files = $dir/mixed.pem"), &[("starttls-refused", &scene.subject("mx"))]);
    assert!(faults[0].evidence[0].contains("454 4.7.0"), "{faults:#?}");
}

#[test]
fn a_level_that_kills_smtpd() {
    let scene = Scene::new("", &[]);
    scene.set(&format!("{OURS}\nsmtpd_tls_security_level = mayy"));
    scene.postfix.reload();
    fails(scene.prove(Duration::from_secs(4)), &[("wire-silent", &scene.subject("mx"))]);
}

#[test]
fn a_submission_service_that_changes_with_the_mx() {
    let own = "-o smtpd_tls_security_level=encrypt -o smtpd_tls_cert_file=$dir/old.pem -o smtpd_tls_key_file=$dir/old.key";
    let scene = Scene::new("", &[("submission", own)]);
    let faults = fails(scene.change(OURS), &[("wire-changed", &scene.subject("submission"))]);
    assert!(faults[0].remedy.to_string().contains("its own setting"), "{faults:#?}");

    // The line that keeps its certificate makes the same change a proof.
    let master = scene.postfix.read_config("master.cf").replace("encrypt -o", "encrypt -o smtpd_tls_chain_files= -o");
    scene.postfix.write_config("master.cf", &master);
    scene.postfix.reload();
    passes(scene.prove(Duration::from_secs(10)));
}

#[test]
fn the_rsa_certificate_is_dropped() {
    let mut scene = Scene::new("", &[]);
    std::fs::write(scene.postfix.etc().join("ecdsa.pem"), &scene.ecdsa.bundle).unwrap();
    fails(scene.change("smtpd_tls_chain_files = $dir/ecdsa.pem"), &[("key-type-dropped", &scene.subject("mx"))]);

    // Asked for by flag it is a note.
    scene.expect[0].want = Want::Ours(vec![scene.ecdsa.presented.clone()]);
    let proved = passes(scene.prove(Duration::from_secs(10)));
    assert_eq!(proved.notes.iter().map(|n| n.id.as_str()).collect::<Vec<_>>(), ["key-type-dropped"]);
}

#[test]
fn postmaster_was_accepted_and_is_refused() {
    let scene = Scene::new("", &[]);
    let faults =
        fails(scene.change(&format!("{OURS}\nsmtpd_recipient_restrictions = reject")), &[("dialogue-changed", &scene.subject("mx"))]);
    assert!(faults[0].says.contains("RCPT was answered 250 before the change and is answered 554 now"), "{faults:#?}");
}

#[test]
fn old_senders_lose_tls() {
    let scene = Scene::new("", &[]);
    let old = scene.baseline("mx", Offer::Legacy);
    assert_eq!(old.tls.value().map(|t| t.protocol.as_str()), Some("TLS1.0"), "{old:#?}");
    fails(scene.change(&format!("{OURS}\nsmtpd_tls_protocols = >=TLSv1.2")), &[("legacy-tls-gone", &scene.subject("mx"))]);
}

#[test]
fn starttls_goes() {
    let scene = Scene::new("", &[]);
    fails(scene.change(&format!("{OURS}\nsmtpd_tls_security_level = none")), &[("starttls-gone", &scene.subject("mx"))]);
}

#[test]
fn a_root_that_is_unknown_here_is_no_reason_to_go_back() {
    let mut scene = Scene::new("", &[]);
    scene.authority = Authority::new();
    let proved = passes(scene.change(OURS));
    let notes: Vec<_> = proved.notes.iter().map(|n| (n.id.as_str(), n.evidence.join(" "))).collect();
    assert!(matches!(notes.as_slice(), [("chain-unknown", why)] if why.contains("lab intermediate")), "{notes:?}");
}

#[test]
fn tlsa_records_promise_another_key() {
    let mut scene = Scene::new("", &[]);
    let spki = vec![scene.ecdsa.presented.spki.clone(), Digest::of(b"the next key")];
    scene.claims = Claims(vec![Claim::Tlsa { mx: MX.parse().unwrap(), spki, ttl: 3600, seen: Moment(0), until: None }]);
    let faults = fails(scene.change(OURS), &[("claim-broken", &scene.subject("mx"))]);
    assert!(faults[0].evidence[0].contains(&scene.rsa.presented.spki.0), "{faults:#?}");
}

#[test]
fn postscreen_lets_our_address_pass() {
    let scene = Scene::new("", &[("mx", "")]);
    let proved = passes(scene.change(OURS));
    assert!(proved.notes.is_empty(), "{:#?}", proved.notes);
}

#[test]
fn postscreen_tests_our_address_like_a_strangers() {
    let main = "smtpd_tls_security_level = may\nsmtpd_tls_cert_file = $dir/old.pem\nsmtpd_tls_key_file = $dir/old.key\n\
                postscreen_access_list =\npostscreen_bare_newline_enable = yes\npostscreen_greet_wait = 1s\npostscreen_cache_map =";
    let scene = Scene::new(main, &[("mx", "")]);
    assert_eq!(scene.before[0].steps[2], ("RCPT".into(), 450), "{:#?}", scene.before[0]);
    let proved = passes(scene.change(OURS));
    assert_eq!(proved.notes.iter().map(|n| n.id.as_str()).collect::<Vec<_>>(), ["wire-tempfail"]);
}

#[test]
fn a_server_that_is_down() {
    let mut scene = Scene::new("", &[("submission", "")]);
    scene.postfix.stop();
    let down = scene.prove(Duration::from_secs(10));
    fails(down, &[("wire-silent", &scene.subject("submission")), ("wire-silent", &scene.subject("mx"))]);
    // Down before and after: not blamed on the change, and yet no proof.
    for view in &mut scene.before {
        view.answered = false;
        view.greeting = Known::unknown("down");
    }
    fails(scene.prove(Duration::from_secs(10)), &[("proof-impossible", &Subject::Host)]);
}
