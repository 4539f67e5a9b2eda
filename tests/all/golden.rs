//! Facts become plans: a hand-written file a host, with its configuration above and the plan below. `MXSEAL_GOLDEN=write`
//! writes what is planned today; read the diff before you keep it.

use mxseal::{
    certificate::{Certificate, Digest, KeyType},
    change::{Change, Content, Edit, Image, Meta, Raw, Receipt, Want},
    facts::{
        Answer, ConfigFile, Deployment, DomainFacts, Facts, ForeignLineage, Here, Host, Known, Lineage, LineageKey, MxFacts, NameFacts,
        Security, Server, Tlsa, Version,
    },
    finding::Finding,
    intent::{Intent, KeyTypes},
    moment::Moment,
    mta::{config::ConfigText, profile::Profile},
    name::DnsName,
    plan::{Errand, Plan, Refusal, Stage, plan, undo},
    view::{EndpointView, Judged, Offer, Probe, Reply, TlsView, Wire},
};
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    path::{Path, PathBuf},
};

mod adopted;
mod dane;
mod served;
mod told;

const NOW: Moment = Moment(1_800_000_000);
const DAY: u64 = 86_400;
const LIVE: &str = "/etc/mxseal/live/mx1.example.org.pem";

fn name(text: &str) -> DnsName {
    text.parse().expect("a name")
}

fn leaf(spki: &str, key_type: KeyType, names: &[&str], from: u64, until: u64) -> Certificate {
    Certificate {
        digest: Digest::of(spki.as_bytes()),
        spki: Digest(spki.repeat(64 / spki.len())),
        spki_sha512: spki.repeat(128 / spki.len()),
        key_type,
        serial: format!("5e{spki}"),
        authority: String::new(),
        names: names.iter().map(ToString::to_string).collect(),
        issuer: "Test CA".into(),
        self_signed: false,
        not_before: Moment(from),
        not_after: Moment(until),
        client_auth: false,
    }
}

fn image(bytes: &[u8]) -> Image {
    Image { digest: Digest::of(bytes), meta: Meta { uid: 0, gid: 0, mode: 0o644, xattrs: BTreeMap::new() } }
}

fn bundle() -> Digest {
    Digest::of(b"bundle")
}

fn lineage(types: &[KeyType], deployment: Deployment) -> Lineage {
    let key = |t: &KeyType| {
        let spki = if *t == KeyType::Ecdsa { "ec" } else { "a5" };
        let leaf = leaf(spki, *t, &["mx1.example.org"], NOW.0 - 10 * DAY, NOW.0 + 80 * DAY);
        LineageKey { key_type: *t, spki: leaf.spki.clone(), leaf: Some(leaf), bundle: Some(Digest::of(b"bundle of one")), window: None }
    };
    Lineage {
        directory: "https://ca.test/dir".into(),
        keys: types.iter().map(key).collect(),
        bundle: Some(bundle()),
        deployment,
        ..Lineage::begun(name("mx1.example.org"), LIVE.into())
    }
}

fn foreign(key: &str, spki: &str, key_type: KeyType, names: &[&str], trusted: bool) -> ForeignLineage {
    ForeignLineage {
        keeper: "file".into(),
        chain: key.replace("key", "cert").into(),
        key: key.into(),
        leaf: leaf(spki, key_type, names, NOW.0 - DAY, NOW.0 + 300 * DAY),
        trusted,
        in_use: true,
        kept: None,
    }
}

fn intent() -> Intent {
    Intent {
        domains: vec![],
        mx: vec![],
        key_types: None,
        directory: Some("https://ca.test/dir".into()),
        acme_profile: None,
        live_dir: "/etc/mxseal/live".into(),
        ..Intent::default()
    }
}

fn answer<T>(records: Vec<T>) -> Known<Answer<T>> {
    Known::seen(Answer { records, security: Security::Secure, ttl: 3600 }, "dns")
}

/// A host with one address, one domain and one MX name, and these configuration files.
fn host(profile: &Profile, version: &str, files: &[(String, String)]) -> Facts {
    let files: Vec<ConfigFile> = files
        .iter()
        .map(|(path, text)| ConfigFile {
            path: path.into(),
            real: path.into(),
            image: image(text.as_bytes()),
            text: ConfigText::of(text.clone().into()),
        })
        .collect();
    let version = Version::from(version.to_owned());
    let known = [("pid_file_path", "/run/exim.pid"), ("exim_user", "exim"), ("exim_group", "exim"), ("config_file", "/etc/exim/configure")];
    let defaults = match profile.id.as_str() {
        "postfix" => BTreeMap::new(),
        _ => known.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
    };
    let understood = profile.dialect.understand(&version, &files, &defaults).expect("an understandable configuration");
    let server = Server {
        profile: profile.id.clone(),
        version,
        config_dir: profile.recognise.config_dir_default.clone(),
        instances: vec![],
        running: Known::seen(true, "postfix status"),
        files,
        defaults,
        hostname: understood.hostname,
        receives_for: understood.receives_for,
        services: understood.services,
    };
    let host = Host {
        hostname: "mx1".into(),
        addresses: vec!["192.0.2.25".parse().expect("an address")],
        os: "Debian".into(),
        root: true,
        clock_off: Known::seen(0, "test"),
    };
    Facts {
        server: Known::seen(server, "test"),
        domains: vec![DomainFacts {
            domain: name("example.org"),
            mx: answer(vec![(10, name("mx1.example.org"))]),
            mta_sts: answer(vec![]),
            tls_rpt: answer(vec![]),
            policy_host: answer(vec![]),
        }],
        mx_hosts: vec![MxFacts {
            name: name("mx1.example.org"),
            addresses: answer(vec!["192.0.2.25".parse().expect("an address")]),
            here: Known::seen(Here::Yes, "dns"),
            tlsa: answer(vec![]),
            caa: answer(vec![]),
        }],
        groups: BTreeMap::from([("Debian-exim".to_owned(), 115), ("exim".to_owned(), 93)]),
        ..Facts::unseen(host, NOW)
    }
}

/// A fixture: `== file` heads a configuration file, `== plan` the expected plan.
fn sections(text: &str) -> (Vec<(String, String)>, String) {
    let mut files = Vec::new();
    let mut expected = String::new();
    for section in text.split("== ").skip(1) {
        let (head, body) = section.split_once('\n').expect("a head");
        if head == "plan" {
            expected = body.to_owned();
        } else {
            files.push((head.to_owned(), body.to_owned()));
        }
    }
    (files, expected)
}

fn case(fixture: &str, profile: &str, version: &str, tweak: impl FnOnce(&mut Facts, &mut Intent)) -> Result<Plan, Refusal> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/all/fixtures/plan").join(format!("{fixture}.txt"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let (files, expected) = sections(&text);
    let profile = Profile::built_in().expect("profiles").into_iter().find(|p| p.id == profile).expect("the profile");
    let (mut facts, mut intent) = (host(&profile, version, &files), intent());
    tweak(&mut facts, &mut intent);
    let planned = plan(&facts, &intent, &profile);
    let got = planned.as_ref().map_or_else(|e| format!("refused: {e}\n"), |p| rendered(p, &facts));
    if std::env::var("MXSEAL_GOLDEN").as_deref() == Ok("write") {
        let head = text.split("== plan\n").next().expect("a head");
        std::fs::write(&path, format!("{head}== plan\n{got}")).expect("a fixture");
    } else if got != expected {
        let diff = similar::TextDiff::from_lines(&expected, &got);
        panic!("{} is planned otherwise (- expected, + planned):\n{}", path.display(), diff.unified_diff().context_radius(2));
    }
    // The same plan comes from the facts that another machine wrote down.
    let json = serde_json::to_string(&facts.clone().shared()).expect("json");
    let there = plan(&serde_json::from_str(&json).expect("facts"), &intent, &profile);
    assert_eq!(planned.clone().map(without_bytes), there.map(without_bytes), "from JSON");
    if let Ok(Plan { next: Some(Stage::Change(change)), .. }) = &planned {
        undone(change, &facts, &profile);
        done(change, facts, &intent, &profile);
    }
    planned
}

/// A plan without the bytes of configuration files, which shared facts do not hold.
fn without_bytes(mut plan: Plan) -> Plan {
    let (mut in_change, mut change) = (Vec::new(), None);
    if let Some(Stage::Change(next)) = &mut plan.next {
        next.id = String::new();
        next.config.clear();
        in_change = std::mem::take(&mut next.edits);
        change = Some(next);
    }
    for edit in in_change.iter_mut().chain(plan.later.iter_mut().flat_map(|l| &mut l.edits)).filter(|e| !e.settings.is_empty()) {
        edit.was = None;
        edit.becomes = None;
        for setting in &mut edit.settings {
            (setting.was, setting.becomes) = (None, None);
        }
    }
    if let Some(change) = change {
        change.edits = in_change;
    }
    plan
}

fn edits(plan: &Plan) -> Vec<&Edit> {
    let next = match &plan.next {
        Some(Stage::Change(change)) => change.edits.iter().collect(),
        _ => vec![],
    };
    next.into_iter().chain(plan.later.iter().flat_map(|o| &o.edits)).collect()
}

/// The files and images of a host after a change.
fn after(change: &Change, facts: &Facts) -> (Vec<ConfigFile>, BTreeMap<PathBuf, Image>) {
    let mut files = facts.config_files();
    let mut live = facts.live.clone();
    for edit in &change.edits {
        let target = edit.becomes.as_ref().expect("a target");
        let image = Image { digest: target.content.digest(), meta: target.meta.clone() };
        match &target.content {
            Content::Stored { .. } => drop(live.insert(edit.path.clone(), image)),
            Content::Text(Raw(bytes)) => {
                let place = files.iter().position(|f| f.real == edit.path);
                files.retain(|f| f.real != edit.path);
                files.insert(
                    place.unwrap_or(0),
                    ConfigFile { path: edit.path.clone(), real: edit.path.clone(), image, text: ConfigText::of(bytes.clone()) },
                );
            }
        }
    }
    (files, live)
}

/// Every file of a host by its path.
fn current(files: &[ConfigFile], live: &BTreeMap<PathBuf, Image>) -> BTreeMap<PathBuf, ConfigFile> {
    let file = |(path, image): (&PathBuf, &Image)| ConfigFile {
        path: path.clone(),
        real: path.clone(),
        image: image.clone(),
        text: ConfigText::of(vec![]),
    };
    live.iter().map(file).chain(files.iter().cloned()).map(|f| (f.real.clone(), f)).collect()
}

/// Undo of the change, with nothing else changed, gives back every byte.
fn undone(change: &Change, facts: &Facts, profile: &Profile) {
    let (files, live) = after(change, facts);
    let receipt = Receipt { id: change.id.clone(), change: change.clone(), proved: NOW, baseline: vec![], unproved: false };
    let back = undo(&receipt, &[], &current(&files, &live), NOW, profile).expect("a way back");
    assert_eq!(back.notes, []);
    let Some(Stage::Change(back)) = back.next else { panic!("nothing to undo") };
    for edit in change.edits.iter().filter(|e| !e.settings.is_empty()) {
        let undoing = back.edits.iter().find(|e| e.path == edit.path).expect("every file goes back");
        let digest = |e: &Edit| e.becomes.as_ref().map(|t| t.content.digest());
        assert_eq!(digest(undoing), edit.was.as_ref().map(|i| i.digest.clone()), "{}", edit.path.display());
        assert_eq!(undoing.was.as_ref().map(|i| i.digest.clone()), digest(edit));
    }
    assert!(back.prove.iter().all(|e| matches!(e.want, Want::Former(_))) && back.undoes.as_deref() == Some(&change.id));
}

/// After the change and its proof the host is a good one: nothing is left to plan.
fn done(change: &Change, mut facts: Facts, intent: &Intent, profile: &Profile) {
    let (files, live) = after(change, &facts);
    facts.live = live;
    facts.lineages.iter_mut().for_each(|l| l.deployment = Deployment::Proved);
    if let Known::Seen { value, .. } = &mut facts.server {
        value.services = profile.dialect.understand(&value.version, &files, &value.defaults).expect("understood").services;
        value.files = files;
    }
    let again = plan(&facts, intent, profile).expect("a plan");
    assert_eq!((again.next, again.later, again.held), (None, vec![], vec![]), "planning again after the change");
}

fn rendered(plan: &Plan, facts: &Facts) -> String {
    let mut out = String::new();
    match &plan.next {
        None => out.push_str("next: nothing\n"),
        Some(Stage::Errand(Errand::Obtain(o))) => {
            let names: Vec<_> = o.names.iter().map(DnsName::as_str).collect();
            let _ = writeln!(out, "next: obtain {} at {}\n  names: {}", o.lineage, o.directory, names.join(" "));
            for key in &o.keys {
                let reuse =
                    key.reuse.as_ref().map_or_else(String::new, |(path, spki)| format!(", kept: {} {}", path.display(), spki.short()));
                let _ = writeln!(out, "  key: {}{reuse}", key.key_type);
            }
        }
        Some(Stage::Errand(Errand::Adopt(a))) => {
            let names: Vec<_> = a.names.iter().map(DnsName::as_str).collect();
            let _ = writeln!(out, "next: adopt {}\n  names: {}", a.lineage, names.join(" "));
            for s in &a.sources {
                let _ = writeln!(out, "  {} of {}: {} {}", s.name, s.keeper, s.key_type, s.chain.display());
            }
        }
        Some(Stage::Change(c)) => {
            let _ = writeln!(out, "next: change {} ({})", c.id.split('-').next().unwrap_or_default(), c.why);
            change_edits(&mut out, &c.edits, facts);
            for command in c.check.iter().chain(&c.activate) {
                let _ = writeln!(out, "  run: {command}");
            }
            for e in &c.prove {
                let want = match &e.want {
                    Want::Ours(all) => all.iter().map(|p| p.key_type.to_string()).collect::<Vec<_>>().join("+"),
                    Want::Unchanged | Want::Former(_) => "unchanged".into(),
                };
                let domain = e.domain.as_ref().map_or("-", DnsName::as_str);
                let _ = writeln!(out, "  prove: {} {:?} {} {domain}: {want}", e.addr, e.wire, e.name);
            }
        }
        Some(Stage::Wait { what, .. }) => drop(writeln!(out, "next: wait for {what}")),
    }
    for later in &plan.later {
        let _ = writeln!(out, "later: {}", later.says);
        change_edits(&mut out, &later.edits, facts);
    }
    let finding = |out: &mut String, kind: &str, f: &Finding| {
        let remedy = if f.remedy == Default::default() { String::new() } else { format!(" -> {}", f.remedy) };
        let _ = writeln!(out, "{kind}: {} {} {}: {}{remedy}", f.id, f.verdict, f.subject, f.says);
    };
    plan.held.iter().for_each(|f| finding(&mut out, "held", f));
    plan.notes.iter().for_each(|f| finding(&mut out, "note", f));
    assert!(plan.held.iter().chain(&plan.notes).all(|f| mxseal::topics::topic(&f.id).is_some()), "every finding has its topic");
    out
}

fn change_edits(out: &mut String, edits: &[Edit], facts: &Facts) {
    for edit in edits {
        let target = edit.becomes.as_ref().expect("a target");
        let how = if edit.was.is_some() { "edit" } else { "make" };
        let meta = &target.meta;
        let lock = edit.edit_lock.as_ref().map_or_else(String::new, |l| format!(", lock {}", l.display()));
        let _ = writeln!(out, "  {how} {} ({}:{} {:04o}{lock})", edit.path.display(), meta.uid, meta.gid, meta.mode);
        match &target.content {
            Content::Stored { secret, .. } => drop(writeln!(out, "    from the store, secret: {secret}")),
            Content::Text(Raw(bytes)) => {
                let files = facts.config_files();
                let before = files.iter().find(|f| f.real == edit.path).map_or(&[][..], |f| &f.text.0.0);
                let (before, after) = (String::from_utf8_lossy(before), String::from_utf8_lossy(bytes));
                let diff = similar::TextDiff::from_lines(&before, &after);
                for change in diff.iter_all_changes().filter(|c| c.tag() != similar::ChangeTag::Equal) {
                    let _ = writeln!(out, "    {}{}", change.tag(), change.to_string().trim_end_matches('\n'));
                }
                for setting in &edit.settings {
                    assert!(setting.why.ends_with('.'), "{}: {:?}", setting.name, setting.why);
                    assert!(mxseal::topics::topic(&setting.name).is_some(), "{} has no topic", setting.name);
                }
            }
        }
    }
}

/// A conversation that went well, or (without a chain) in clear.
fn view(addr: &str, sni: bool, offer: Offer, chain: &[Certificate], trusted: bool) -> EndpointView {
    let tls = TlsView {
        protocol: "TLS1.3".into(),
        suite: String::new(),
        group: String::new(),
        chain: chain.to_vec(),
        trusted: Known::seen(if trusted { Judged::Good } else { Judged::Bad("self-signed".into()) }, "test"),
        named: Known::unknown("test"),
    };
    let addr = addr.parse().expect("an address");
    let probe = Probe { addr, wire: Wire::StartTls, name: name("mx1.example.org"), sni, offer, postmaster_of: None };
    EndpointView {
        answered: true,
        greeting: Known::seen(Reply { code: 220, lines: vec![] }, "test"),
        tls: if chain.is_empty() { Known::unknown("STARTTLS was not offered") } else { Known::seen(tls, "test") },
        ..EndpointView::begun(probe, NOW)
    }
}

fn tlsa(usage: u8, selector: u8, spki: &str) -> Tlsa {
    Tlsa { usage, selector, matching: 1, data: spki.repeat(64 / spki.len()) }
}

const BOTH: &[KeyType] = &[KeyType::Ecdsa, KeyType::Rsa];

fn issued(facts: &mut Facts) {
    facts.lineages = vec![lineage(BOTH, Deployment::Issued)];
}

fn snakeoil() -> ForeignLineage {
    foreign("/etc/ssl/private/ssl-cert-snakeoil.key", "50", KeyType::Rsa, &["mx1"], false)
}

#[test]
fn stock_debian_orders_first() {
    case("stock-debian-order", "postfix", "3.7.11", |f, _| f.foreign = vec![snakeoil()]).expect("a plan");
}

#[test]
fn stock_debian_then_changes() {
    case("stock-debian-change", "postfix", "3.7.11", |f, _| issued(f)).expect("a plan");
}

/// The next stage on a stock host whose certificate is issued, after a tweak.
fn stage(tweak: impl FnOnce(&mut Facts, &mut Intent)) -> Option<Stage> {
    let profile = Profile::built_in().expect("profiles").remove(0);
    let files =
        [("/etc/postfix/main.cf".to_owned(), STOCK_MAIN.to_owned()), ("/etc/postfix/master.cf".to_owned(), STOCK_MASTER.to_owned())];
    let (mut facts, mut intent) = (host(&profile, "3.7.11", &files), intent());
    issued(&mut facts);
    tweak(&mut facts, &mut intent);
    plan(&facts, &intent, &profile).expect("a plan").next
}

#[test]
fn a_certificate_is_ordered_only_where_there_is_no_good_one() {
    let orders = |what: &str, tweak: &dyn Fn(&mut Facts, &mut Intent), want: bool| {
        assert_eq!(matches!(stage(tweak), Some(Stage::Errand(_))), want, "{what}");
    };
    for (left, life, want) in [(29, 90, true), (31, 90, false), (14, 45, true), (16, 45, false), (2, 6, true), (4, 6, false)] {
        orders(
            &format!("{left} of {life} days left"),
            &|f, _| {
                for leaf in f.lineages[0].keys.iter_mut().filter_map(|k| k.leaf.as_mut()) {
                    (leaf.not_after, leaf.not_before) = (Moment(NOW.0 + left * DAY), Moment(NOW.0 + left * DAY - life * DAY));
                }
            },
            want,
        );
    }
    orders("as it is", &|_, _| {}, false);
    orders("staging", &|_, i| i.directory = Some("https://staging.test/dir".into()), true);
    orders("no CA named", &|_, i| i.directory = None, false);
    orders("a profile kept", &|f, _| f.lineages[0].acme_profile = Some("shortlived".into()), false);
    orders("another profile", &|_, i| i.acme_profile = Some("shortlived".into()), true);
    orders(
        "a further name",
        &|f, _| {
            let mx2 = MxFacts { name: name("mx2.example.org"), ..f.mx_hosts[0].clone() };
            f.mx_hosts.push(mx2);
        },
        true,
    );
    orders("one key type less by flag", &|_, i| i.key_types = Some(KeyTypes::Rsa), true);
    orders("not yet issued", &|f, _| f.lineages[0].bundle = None, true);
}

#[test]
fn a_server_that_did_not_read_its_files_is_activated_again() {
    let seen = |f: &mut Facts, spki: &str| {
        f.views = vec![view("192.0.2.25:25", true, Offer::Any, &[leaf(spki, KeyType::Ecdsa, &["mx1.example.org"], 0, u64::MAX)], false)];
    };
    let good = |f: &mut Facts| {
        let mut image = image(b"bundle");
        image.meta.mode = 0o600;
        f.live.insert(LIVE.into(), image);
        let Known::Seen { value, .. } = &mut f.server else { panic!("a server") };
        let text = format!("{STOCK_MAIN}smtpd_tls_chain_files = {LIVE}\nsmtpd_tls_loglevel = 1\n");
        value.files[0].text = ConfigText::of(text.into());
        let profile = Profile::built_in().expect("profiles").remove(0);
        value.services = profile.dialect.understand(&value.version, &value.files, &value.defaults).expect("understood").services;
    };
    let presents = |spki: &str| {
        stage(|f, _| {
            good(f);
            seen(f, spki);
        })
    };
    assert_eq!(presents("ec"), None);
    let Some(Stage::Change(change)) = presents("50") else { panic!("an activation") };
    assert!(change.edits.is_empty() && !change.activate.is_empty() && !change.prove.is_empty());
}

#[test]
fn submission_keeps_its_own_certificate() {
    case("submission-own-certificate", "postfix", "3.7.11", |f, _| issued(f)).expect("a plan");
}

#[test]
fn two_mx_addresses_keep_their_certificates_apart() {
    case("two-mx-addresses", "postfix", "3.7.11", |f, _| issued(f)).expect("a plan");
}

#[test]
fn the_only_mx_service_gets_it_even_with_an_own_one() {
    case("mx-own-certificate", "postfix", "3.7.11", |f, _| issued(f)).expect("a plan");
}

#[test]
fn no_tls_becomes_may_and_enforcing_services_stay_so() {
    case("no-tls", "postfix", "3.7.11", |f, _| issued(f)).expect("a plan");
}

#[test]
fn legacy_switches_count() {
    case("legacy-switches", "postfix", "3.7.11", |f, _| issued(f)).expect("a plan");
}

#[test]
fn encrypt_on_port_25_is_kept() {
    case("encrypt-on-25", "postfix", "3.7.11", |f, _| issued(f)).expect("a plan");
}

#[test]
fn postfix_3_3_gets_certificate_and_key() {
    case("postfix-3.3", "postfix", "3.3.1", |f, _| f.lineages = vec![lineage(&[KeyType::Rsa], Deployment::Issued)]).expect("a plan");
}

#[test]
fn postfix_3_3_drops_no_key_type_unasked() {
    case("postfix-3.3-ecdsa", "postfix", "3.3.1", |f, _| {
        f.foreign = vec![snakeoil(), foreign("/etc/ssl/ec.key", "ee", KeyType::Ecdsa, &["mx1"], false)];
    })
    .expect("a plan");
}

#[test]
fn a_good_host_gets_the_empty_plan() {
    let plan = case("good-host", "postfix", "3.7.11", |f, _| {
        f.lineages = vec![lineage(BOTH, Deployment::Proved)];
        let mut image = image(b"bundle");
        image.meta.mode = 0o600;
        f.live.insert(LIVE.into(), image);
    });
    assert_eq!(plan.expect("a plan"), Plan::default());
}

#[test]
fn behind_postscreen_strangers_get_it_too() {
    case("postscreen", "postfix", "3.7.11", |f, _| issued(f)).expect("a plan");
}

#[test]
fn names_of_the_replaced_certificate_stay() {
    case("replaced-names", "postfix", "3.7.11", |f, _| {
        f.foreign =
            vec![foreign("/etc/le/key.pem", "1e", KeyType::Ecdsa, &["mx1.example.org", "imap.example.org", "old.example.org"], true)];
        f.other_names = vec![
            NameFacts { name: name("imap.example.org"), here: Known::seen(Here::Yes, "dns") },
            NameFacts { name: name("old.example.org"), here: Known::seen(Here::No, "dns") },
        ];
        issued(f);
        for key in &mut f.lineages[0].keys {
            key.leaf.as_mut().expect("a leaf").names.push("imap.example.org".into());
        }
    })
    .expect("a plan");
}

#[test]
fn exim_of_debian_gets_macros() {
    let issued = |f: &mut Facts, _: &mut Intent| f.lineages = vec![lineage(BOTH, Deployment::Issued)];
    case("exim-debian", "exim-debian", "4.96", issued).expect("a plan");
    // Where somebody wrote the options into the template they are edited there.
    case("exim-debian-options", "exim-debian", "4.96", issued).expect("a plan");
}

#[test]
fn exim_of_debian_without_any_macro() {
    let issued = |f: &mut Facts, _: &mut Intent| f.lineages = vec![lineage(BOTH, Deployment::Issued)];
    case("exim-debian-stock", "exim-debian", "4.96", issued).expect("a plan");
    case("exim-debian-split", "exim-debian-split", "4.96", issued).expect("a plan");
}

#[test]
fn exim_of_upstream_is_edited_before_its_drivers() {
    let rsa = |f: &mut Facts, _: &mut Intent| f.lineages = vec![lineage(&[KeyType::Rsa], Deployment::Issued)];
    case("exim-upstream", "exim", "4.98", |f, _| f.lineages = vec![lineage(BOTH, Deployment::Issued)]).expect("a plan");
    // One key type where the version takes no list.
    case("exim-upstream-old", "exim", "4.86", rsa).expect("a plan");
    case("exim-refused", "exim", "4.98", rsa).expect_err("a refusal");
}

#[test]
fn names_that_do_not_point_here_are_refused_unless_named() {
    let behind_nat = |f: &mut Facts| f.mx_hosts[0].here = Known::unknown("203.0.113.1 is no address of this host");
    let e = case("not-here", "postfix", "3.7.11", |f, _| behind_nat(f)).expect_err("a refusal");
    assert!(matches!(e, Refusal::NotHere(_)));
    case("not-here-named", "postfix", "3.7.11", |f, i| {
        behind_nat(f);
        i.mx = vec![name("mx1.example.org")];
        i.key_types = Some(KeyTypes::Rsa);
    })
    .expect("a plan");
}

#[test]
fn undo_names_conflicts_and_keeps_the_rest() {
    let profile = Profile::built_in().expect("profiles").remove(0);
    let files =
        [("/etc/postfix/main.cf".to_owned(), STOCK_MAIN.to_owned()), ("/etc/postfix/master.cf".to_owned(), STOCK_MASTER.to_owned())];
    let mut facts = host(&profile, "3.7.11", &files);
    issued(&mut facts);
    let Some(Stage::Change(change)) = plan(&facts, &intent(), &profile).expect("a plan").next else { panic!("a change") };
    let receipt = Receipt { id: change.id.clone(), change: *change.clone(), proved: NOW, baseline: vec![], unproved: false };
    let (mut files, live) = after(&change, &facts);
    let main = files.iter_mut().find(|f| f.path.ends_with("main.cf")).expect("main.cf");
    let text = String::from_utf8(main.text.0.0.clone()).expect("text");
    // The admin changed one of our settings, added another and broke a line.
    main.text =
        ConfigText::of(format!("# mine\n{}broken line\nx = y\n", text.replace("smtpd_tls_loglevel = 1", "smtpd_tls_loglevel = 2")).into());
    let back = undo(&receipt, &[], &current(&files, &live), NOW, &profile).expect("a plan");
    let ids: Vec<_> = back.notes.iter().map(|f| f.id.as_str()).collect();
    assert_eq!(ids, ["undo-conflict"]);
    let Some(Stage::Change(back)) = back.next else { panic!("a change") };
    let Some(Content::Text(Raw(bytes))) = back.edits[0].becomes.as_ref().map(|t| t.content.clone()) else { panic!("text") };
    assert_eq!(String::from_utf8(bytes).expect("text"), format!("# mine\n{STOCK_MAIN}smtpd_tls_loglevel = 2\nbroken line\nx = y\n"));
    assert_eq!(back.edits.len(), 1, "the file that a kept setting may name stays");
}

const STOCK_MAIN: &str =
    "myhostname = mx1.example.org\nmydestination = example.org\nsmtpd_tls_cert_file=/c\nsmtpd_tls_security_level=may\n";
const STOCK_MASTER: &str = "smtp      inet  n       -       y       -       -       smtpd\n";
