//! A certificate that another program keeps: adopted where that is said, and never renewed twice.

use super::*;
use mxseal::{
    change::Command,
    facts::{Kept, Reader, Source},
    finding::Verdict,
    intent::Existing,
};

const CHAIN: &str = "/etc/letsencrypt/live/mx1.example.org/fullchain.pem";

/// What certbot keeps, not in use.
fn by_certbot(spki: &str, key_type: KeyType, names: &[&str]) -> ForeignLineage {
    ForeignLineage {
        keeper: "certbot".into(),
        chain: CHAIN.replace("mx1.example.org", &format!("mx1.example.org-{key_type}")).into(),
        in_use: false,
        kept: Some(Kept { name: format!("mx1.example.org-{key_type}"), renewed_by: Some("certbot.timer".into()), keeps_key: Some(false) }),
        ..foreign("/privkey", spki, key_type, names, true)
    }
}

fn adopts(facts: &mut Facts, intent: &mut Intent) {
    facts.foreign = vec![
        snakeoil(),
        by_certbot("e1", KeyType::Ecdsa, &["mx1.example.org", "www.example.org"]),
        by_certbot("a1", KeyType::Rsa, &["mx1.example.org"]),
    ];
    intent.existing = Some(Existing::Adopt);
    intent.take_in = Command(["/usr/bin/mxseal", "renew"].map(ToOwned::to_owned).to_vec());
}

fn held(tweak: impl FnOnce(&mut Facts, &mut Intent)) -> Vec<String> {
    planned(|f, i| {
        adopts(f, i);
        tweak(f, i);
    })
    .held
    .into_iter()
    .map(|f| f.id)
    .collect()
}

fn planned(tweak: impl FnOnce(&mut Facts, &mut Intent)) -> Plan {
    let profile = Profile::built_in().expect("profiles").remove(0);
    let files =
        [("/etc/postfix/main.cf".to_owned(), STOCK_MAIN.to_owned()), ("/etc/postfix/master.cf".to_owned(), STOCK_MASTER.to_owned())];
    let (mut facts, mut intent) = (host(&profile, "3.7.11", &files), intent());
    tweak(&mut facts, &mut intent);
    plan(&facts, &intent, &profile).expect("a plan")
}

#[test]
fn what_certbot_keeps_is_taken_in_and_a_hook_comes_with_the_change() {
    let plan = case("adopt-certbot", "postfix", "3.7.11", adopts).expect("a plan");
    assert!(matches!(plan.next, Some(Stage::Errand(Errand::Adopt(_)))), "{plan:?}");
    let hook = plan.later[0].edits.iter().find(|e| e.settings.is_empty()).expect("a hook");
    assert!(hook.becomes.as_ref().is_some_and(|t| t.meta.mode == 0o755));
}

#[test]
fn what_stands_stays_without_a_flag_and_without_an_order() {
    let lies = |f: &mut Facts| {
        let mut ours = lineage(BOTH, Deployment::Proved);
        ours.keys.iter_mut().zip(&f.foreign[1..]).for_each(|(key, kept)| key.leaf = Some(kept.leaf.clone()));
        let source = |f: &ForeignLineage| Source {
            key_type: f.leaf.key_type,
            keeper: f.keeper.clone(),
            name: f.kept.as_ref().expect("kept").name.clone(),
            chain: f.chain.clone(),
            key: f.key.clone(),
        };
        ours.adopted = f.foreign[1..].iter().map(source).collect();
        f.lineages = vec![ours];
    };
    let next = |tweak: &dyn Fn(&mut Facts, &mut Intent)| {
        let plan = planned(|f, i| {
            adopts(f, i);
            lies(f);
            i.existing = None;
            tweak(f, i);
        });
        (plan.next, plan.held.into_iter().map(|f| f.id).collect::<Vec<_>>())
    };
    assert!(matches!(next(&|_, _| {}).0, Some(Stage::Change(_))), "what was taken in is put in place");
    assert!(matches!(next(&|f, _| f.foreign[1].leaf.digest = Digest::of(b"new")).0, Some(Stage::Errand(Errand::Adopt(_)))), "renewed");
    let due = |f: &mut Facts, _: &mut Intent| f.now = Moment(f.foreign[1].leaf.not_after.0 - DAY);
    assert!(!matches!(next(&due).0, Some(Stage::Errand(Errand::Obtain(_)))), "what others keep is not ordered");
    assert_eq!(next(&|f, _| f.foreign.truncate(1)).1, ["adopt-nothing"], "gone");
    let (ours, _) = next(&|_, i| i.existing = Some(Existing::TakeOver));
    assert!(matches!(ours, Some(Stage::Errand(Errand::Obtain(_)))), "{ours:?}");
}

#[test]
fn what_is_not_fit_is_not_adopted() {
    let no_rsa = |f: &mut Facts| drop(f.foreign.pop());
    for (case, got, wanted) in [
        ("fit", held(|_, _| {}), &[][..]),
        ("RSA is served today", held(|f, _| no_rsa(f)), &["key-type-would-drop"]),
        ("and a flag says so", held(|f, i| (no_rsa(f), i.key_types = Some(KeyTypes::Ecdsa)).1), &[]),
        ("no root", held(|f, _| f.foreign.iter_mut().for_each(|k| k.trusted = false)), &["adopt-nothing"]),
        ("another name", held(|f, _| f.foreign.iter_mut().for_each(|k| k.leaf.names = vec!["x.example".into()])), &["adopt-nothing"]),
        ("ended", held(|f, _| f.foreign.iter_mut().for_each(|k| k.leaf.not_after = f.now)), &["adopt-nothing"]),
        ("nobody's", held(|f, _| f.foreign.iter_mut().for_each(|k| k.kept = None)), &["adopt-nothing"]),
        ("TLSA names none", held(|f, _| f.mx_hosts[0].tlsa = answer(vec![tlsa(3, 1, "11")])), &["adopt-nothing"]),
        ("TLSA names one", held(|f, _| f.mx_hosts[0].tlsa = answer(vec![tlsa(3, 1, "e1")])), &["key-type-would-drop"]),
        ("TLSA is unknown", held(|f, _| f.mx_hosts[0].tlsa = Known::unknown("no answer")), &["tlsa-unknown"]),
    ] {
        assert_eq!(got, wanted, "{case}");
    }
    let plan = planned(|f, i| {
        adopts(f, i);
        f.foreign[1].kept.as_mut().expect("kept").renewed_by = None;
        f.mx_hosts[0].tlsa = answer(vec![tlsa(3, 1, "e1"), tlsa(3, 1, "a1")]);
    });
    let notes: Vec<&str> = plan.notes.iter().map(|f| f.id.as_str()).collect();
    assert!(notes.contains(&"adopt-not-renewed") && notes.contains(&"adopt-new-key"), "{notes:?}");
}

#[test]
fn a_program_whose_hook_is_no_file_is_told_by_one_line() {
    for (keeper, chain, line) in [
        (
            "acme.sh",
            "/root/.acme.sh/mx1.example.org_ecc/fullchain.cer",
            "/root/.acme.sh/acme.sh --home /root/.acme.sh --install-cert -d mx1.example.org --ecc --reloadcmd '/usr/bin/mxseal renew'",
        ),
        ("lego", "/root/.lego/certificates/mx1.example.org.crt", "--renew-hook '/usr/bin/mxseal renew'"),
        ("dehydrated", "/var/lib/dehydrated/certs/mx1.example.org/fullchain.pem", "/usr/bin/mxseal renew"),
    ] {
        let plan = planned(|f, i| {
            adopts(f, i);
            f.foreign.pop();
            i.key_types = Some(KeyTypes::Ecdsa);
            (f.foreign[1].keeper, f.foreign[1].chain) = (keeper.into(), chain.into());
            f.foreign[1].kept.as_mut().expect("kept").name = "mx1.example.org".into();
        });
        assert!(plan.later[0].edits.iter().all(|e| !e.settings.is_empty()), "{keeper}: no file of ours");
        let note = plan.notes.iter().find(|f| f.id == "adopt-hook").expect("a line");
        assert!(note.remedy.to_string().contains(line), "{}", note.remedy);
    }
}

#[test]
fn a_service_that_reads_what_the_mail_server_read_is_named() {
    let notes = |renewed_by: Option<&str>| {
        let plan = planned(|f, i| {
            adopts(f, i);
            i.existing = Some(Existing::TakeOver);
            f.foreign[1].in_use = true;
            f.foreign[1].kept.as_mut().expect("kept").renewed_by = renewed_by.map(Into::into);
            let at = ("/etc/dovecot/conf.d/10-ssl.conf".into(), 12);
            f.readers = vec![Reader { program: "Dovecot".into(), at, setting: "ssl_cert".into(), file: f.foreign[1].chain.clone() }];
        });
        let of = |id: &str| plan.notes.iter().find(|f| f.id == id).cloned();
        (of("read-by-others").expect("a note"), of("renewed-elsewhere"))
    };
    let (read, renewed) = notes(Some("certbot.timer"));
    assert_eq!(read.verdict, Verdict::Pass);
    assert!(read.evidence[0].contains("/etc/dovecot/conf.d/10-ssl.conf:12 ssl_cert"), "{read:?}");
    assert!(renewed.expect("a note").remedy.to_string().contains("Dovecot reads them"));
    assert_eq!(notes(None).0.verdict, Verdict::Warn);
}
