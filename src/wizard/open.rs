//! Which questions about this host are open: what survey could not see, and nobody said. Pure, but for a look whether a
//! proposed directory exists.

use super::question::{Id, Question};
use crate::{
    facts::{Facts, Here, Known, Server},
    intent::{ChallengeType, Existing},
    name::DnsName,
    plan::{Errand, Plan, Refusal, Stage, adoptable},
    settings::Settings,
};
use std::{collections::BTreeSet, path::Path};

/// Directories that web servers serve where nobody changed it.
const WEBROOTS: [&str; 3] = ["/var/www/html", "/usr/share/nginx/html", "/srv/www/htdocs"];

/// The open questions in the order in which they are asked; an answer may close others, or open new ones.
#[must_use]
pub fn open(facts: &Facts, planned: &Result<Plan, Refusal>, given: &Settings) -> Vec<Question> {
    let Some(server) = facts.server.value() else {
        return which_server(facts, given).into_iter().collect();
    };
    [
        which_instance(facts, server, given),
        which_domains(facts, server, planned, given),
        which_mx(facts, server, planned, given),
        which_certificate(facts, planned, given),
        which_key(facts, planned, given),
        which_webroot(facts, planned, given),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn which_server(facts: &Facts, given: &Settings) -> Option<Question> {
    let first = facts.candidates.first().filter(|_| given.mta.is_none())?;
    let why = "More than one mail server is installed, and none of them alone listens on port 25.";
    let asks = format!("Mail server that receives from other servers ({})", facts.candidates.join(", "));
    Some(Question::new(Id::Mta, why, asks).or(Some(first)).of(&facts.candidates))
}

/// Several instances where not exactly one listens on port 25.
fn which_instance(facts: &Facts, server: &Server, given: &Settings) -> Option<Question> {
    let enabled: Vec<_> = server.instances.iter().filter(|i| i.enabled).map(|i| i.config_dir.display()).collect();
    let on_25 = facts.listeners.iter().filter(|l| l.addr.port() == 25).filter_map(|l| l.owner.value());
    let receiving: BTreeSet<u32> = on_25.map(|o| o.pid).collect();
    if given.mta_config.is_some() || enabled.len() < 2 || receiving.len() == 1 {
        return None;
    }
    let several = if receiving.is_empty() { "none of them listens on port 25" } else { "more than one of them listens on port 25" };
    let why = format!("{} instances of the mail server are enabled, and {several}.", enabled.len());
    let asks = "Configuration directory of the instance that is meant";
    Some(Question::new(Id::MtaConfig, why, asks).or(Some(server.config_dir.display())).of(enabled))
}

fn which_domains(facts: &Facts, server: &Server, planned: &Result<Plan, Refusal>, given: &Settings) -> Option<Question> {
    if !given.domain.is_empty() || !given.mx.is_empty() {
        return None;
    }
    let found = facts.domains.iter().map(|d| d.domain.to_string()).collect::<Vec<_>>();
    let why = match &server.receives_for {
        Known::Unknown { why } => format!("Not all of the mail domains are known: {}.", why.split("; name").next().unwrap_or(why)),
        Known::Seen { .. } if found.is_empty() => "No mail domain is written in the mail server's configuration.".to_owned(),
        Known::Seen { .. } => return None,
    };
    // A good host needs no answer.
    if matches!(planned, Ok(plan) if plan.next.is_none() && plan.held.is_empty()) {
        return None;
    }
    let parent = server.hostname.value().and_then(|name| name.as_str().split_once('.')).map(|(_, parent)| parent.to_owned());
    let default = if found.is_empty() { parent.filter(|p| p.contains('.')) } else { Some(found.join(" ")) };
    Some(Question::new(Id::Domain, why, "Domains for which this host receives mail").or(default))
}

fn which_mx(facts: &Facts, server: &Server, planned: &Result<Plan, Refusal>, given: &Settings) -> Option<Question> {
    let why = match planned {
        Err(Refusal::NoMx(why)) if given.mx.is_empty() => format!("DNS shows no MX record of its domains ({why})."),
        Err(Refusal::NotHere(why)) if given.mx.is_empty() => {
            format!("DNS shows no MX name at an address of this host ({why}). Behind NAT that is to be expected.")
        }
        _ => return None,
    };
    let whole = |name: &&DnsName| name.as_str().contains('.');
    let own = server.hostname.value().filter(whole);
    let unknown = facts.mx_hosts.iter().find(|m| m.here.value() != Some(&Here::No)).map(|m| &m.name);
    let listed = own.filter(|own| facts.mx_hosts.iter().any(|m| m.name == **own));
    let default = listed.or(unknown).or(own);
    Some(Question::new(Id::Mx, why, "MX name of this host").or(default))
}

/// Somebody keeps a certificate that could be served, and nobody said what becomes of it. Only an order is worth the question.
fn which_certificate(facts: &Facts, planned: &Result<Plan, Refusal>, given: &Settings) -> Option<Question> {
    let plan = planned.as_ref().ok().filter(|_| given.existing.is_none())?;
    let Some(Stage::Errand(Errand::Obtain(order))) = &plan.next else { return None };
    // A lineage of our own is renewed, whatever others keep.
    let own = facts.lineages.iter().any(|l| l.name == order.lineage && l.bundle.is_some());
    let mx: Vec<DnsName> = order.names.iter().filter(|n| facts.mx_hosts.iter().any(|m| m.name == **n)).cloned().collect();
    let fit: Vec<_> = adoptable(facts, if mx.is_empty() { &order.names } else { &mx }).collect();
    let (first, kept) = *fit.iter().max_by_key(|(f, kept)| (kept.renewed_by.is_some(), f.in_use)).filter(|_| !own)?;
    let types: BTreeSet<String> = fit.iter().map(|(f, _)| f.leaf.key_type.to_string()).collect();
    let all = order.keys.iter().all(|key| types.contains(&key.key_type.to_string()));
    let renewed = match &kept.renewed_by {
        Some(job) => format!("{job} renews it"),
        None => "nothing was found that renews it".to_owned(),
    };
    let types = types.into_iter().collect::<Vec<_>>().join(" and ");
    let why = format!("{} keeps a certificate for this host ({types}, until {}), and {renewed}.", first.keeper, first.leaf.not_after.day());
    // With one key type alone some senders would lose TLS.
    let default = if all && kept.renewed_by.is_some() { "adopt" } else { "take-over" };
    let asks = "Serve that one and leave its renewal there, or order one of our own (adopt, take-over)";
    Some(Question::new(Id::Existing, why, asks).or(Some(default)).of(["adopt", "take-over"]))
}

fn which_key(facts: &Facts, planned: &Result<Plan, Refusal>, given: &Settings) -> Option<Question> {
    let plan = planned.as_ref().ok()?;
    let doubtful = plan.held.iter().find(|f| f.id == "key-type-would-drop")?;
    if given.key_type.is_some() {
        return None;
    }
    let why = format!("{}.", doubtful.says);
    let mx: Vec<DnsName> = facts.mx_hosts.iter().filter(|m| m.here.value() == Some(&Here::Yes)).map(|m| m.name.clone()).collect();
    let kept: BTreeSet<String> = adoptable(facts, &mx).map(|(f, _)| f.leaf.key_type.to_string()).collect();
    if let (Some(Existing::Adopt), Some(only), 1) = (given.existing, kept.first(), kept.len()) {
        let asks = format!("Serve {only} alone (b goes back, to one of our own with both)");
        return Some(Question::new(Id::KeyType, why, asks).or(Some(only)).of([only]));
    }
    Some(Question::new(Id::KeyType, why, "Key type to serve (ecdsa, rsa)").or(Some("rsa")).of(["ecdsa", "rsa"]))
}

/// A web server on port 80 whose files do not say plainly what it serves. Only an order needs it.
fn which_webroot(facts: &Facts, planned: &Result<Plan, Refusal>, given: &Settings) -> Option<Question> {
    let plan = planned.as_ref().ok()?;
    let otherwise = match given.challenge {
        None => facts.port443.value().is_some_and(|owner| owner.pid == 0),
        Some(asked) => asked != ChallengeType::Http01,
    };
    if !matches!(plan.next, Some(Stage::Errand(Errand::Obtain(_)))) || given.webroot.is_some() || otherwise {
        return None;
    }
    let who = match &facts.port80 {
        Known::Seen { value, .. } if value.pid == 0 || value.webroot.is_some() => return None,
        Known::Seen { value, .. } => format!("{} (pid {})", value.program, value.pid),
        Known::Unknown { .. } => "A program that cannot be seen from here".to_owned(),
    };
    let why = format!("{who} has port 80, where the CA must find an answer, and does not say plainly which directory it serves.");
    let default = WEBROOTS.into_iter().find(|dir| Path::new(dir).is_dir()).unwrap_or("again");
    Some(Question::new(Id::Webroot, why, "Directory that it serves (or stop it, and type again)").or(Some(default)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        facts::{Answer, DomainFacts, Host, Instance, Listener, MxFacts, PortOwner, Security, Version},
        finding::{Finding, Subject, Verdict},
        moment::Moment,
        plan::Obtain,
    };
    use std::collections::BTreeMap;

    fn server() -> Server {
        Server {
            profile: "postfix".into(),
            version: Version::default(),
            config_dir: "/etc/postfix".into(),
            instances: vec![],
            running: Known::seen(true, "test"),
            files: vec![],
            defaults: BTreeMap::new(),
            hostname: Known::seen("mx1.example.org".parse().unwrap(), "test"),
            receives_for: Known::seen(vec![], "test"),
            services: vec![],
        }
    }

    fn facts(server: Known<Server>) -> Facts {
        let host = Host { hostname: "mx1".into(), addresses: vec![], os: String::new(), root: true, clock_off: Known::unknown("test") };
        Facts {
            server,
            domains: vec![DomainFacts {
                domain: "example.org".parse().unwrap(),
                mx: Known::unknown("test"),
                mta_sts: Known::unknown("test"),
                tls_rpt: Known::unknown("test"),
                policy_host: Known::unknown("test"),
            }],
            port80: owner(0, "", None),
            ..Facts::unseen(host, Moment(0))
        }
    }

    fn owner(pid: u32, program: &str, webroot: Option<&str>) -> Known<PortOwner> {
        Known::seen(PortOwner { pid, program: program.into(), elsewhere: false, webroot: webroot.map(Into::into) }, "test")
    }

    fn order() -> Result<Plan, Refusal> {
        let order = Obtain {
            lineage: "mx1.example.org".parse().unwrap(),
            names: vec![],
            keys: vec![],
            directory: String::new(),
            acme_profile: None,
            live: "/etc/mxseal/live/x.pem".into(),
        };
        Ok(Plan { next: Some(Stage::Errand(Errand::Obtain(order))), ..Plan::default() })
    }

    fn mx(name: &str, here: Known<Here>) -> MxFacts {
        let none = || Answer { records: vec![], security: Security::Unknown, ttl: 0 };
        let addresses = Known::seen(Answer { records: vec![], security: Security::Unknown, ttl: 0 }, "test");
        let tlsa = Known::seen(Answer { records: vec![], ..Answer { records: vec![], security: Security::Unknown, ttl: 0 } }, "test");
        MxFacts { name: name.parse().unwrap(), addresses, here, tlsa, caa: Known::seen(none(), "test") }
    }

    type Case = (&'static str, fn(&mut Facts, &mut Result<Plan, Refusal>), &'static [(Id, Option<&'static str>)]);

    #[test]
    fn only_what_could_not_be_measured_is_open() {
        fn of(facts: &mut Facts) -> &mut Server {
            let Known::Seen { value, .. } = &mut facts.server else { panic!("a server") };
            value
        }
        let cases: &[Case] = &[
            ("a stock host", |_, _| {}, &[]),
            (
                "an unknown table",
                |f, _| of(f).receives_for = Known::unknown("x is in y; name the domains with --domain"),
                &[(Id::Domain, Some("example.org"))],
            ),
            (
                "a good host with one",
                |f, p| {
                    of(f).receives_for = Known::unknown("x");
                    *p = Ok(Plan::default());
                },
                &[],
            ),
            ("no domain", |f, _| f.domains.clear(), &[(Id::Domain, Some("example.org"))]),
            ("no MX", |_, p| *p = Err(Refusal::NoMx("example.org".into())), &[(Id::Mx, Some("mx1.example.org"))]),
            (
                "NAT",
                |f, p| {
                    f.mx_hosts = vec![mx("away.example", Known::seen(Here::No, "")), mx("nat.example", Known::unknown(""))];
                    *p = Err(Refusal::NotHere("why".into()));
                },
                &[(Id::Mx, Some("nat.example"))],
            ),
            (
                "NAT, own name",
                |f, p| {
                    f.mx_hosts = vec![mx("nat.example", Known::unknown("")), mx("mx1.example.org", Known::seen(Here::No, ""))];
                    *p = Err(Refusal::NotHere("why".into()));
                },
                &[(Id::Mx, Some("mx1.example.org"))],
            ),
            ("nginx, readable", |f, _| f.port80 = owner(1, "nginx", Some("/srv")), &[]),
            ("something on port 80", |f, _| f.port80 = owner(1, "java", None), &[(Id::Webroot, None)]),
            (
                "something on port 80 alone",
                |f, _| {
                    f.port80 = owner(1, "java", None);
                    f.port443 = owner(0, "", None);
                },
                &[],
            ),
            (
                "port 80 without an order",
                |f, p| {
                    f.port80 = owner(1, "java", None);
                    *p = Ok(Plan::default());
                },
                &[],
            ),
            (
                "an old server with two keys",
                |_, p| {
                    *p = Ok(Plan {
                        held: vec![Finding::new("key-type-would-drop", Verdict::Fail, Subject::Host, "old")],
                        ..Plan::default()
                    });
                },
                &[(Id::KeyType, Some("rsa"))],
            ),
            (
                "two instances, one on 25",
                |f, _| {
                    instances(of(f));
                    f.listeners = vec![listens(7)];
                },
                &[],
            ),
            (
                "two instances, both on 25",
                |f, _| {
                    instances(of(f));
                    f.listeners = vec![listens(7), listens(8)];
                },
                &[(Id::MtaConfig, Some("/etc/postfix"))],
            ),
            ("two instances, none on 25", |f, _| instances(of(f)), &[(Id::MtaConfig, Some("/etc/postfix"))]),
            (
                "two servers",
                |f, _| {
                    f.server = Known::unknown("two");
                    f.candidates = vec!["postfix".into(), "exim-debian".into()];
                },
                &[(Id::Mta, Some("postfix"))],
            ),
            ("none", |f, _| f.server = Known::unknown("none"), &[]),
        ];
        for (case, tweak, wanted) in cases {
            let (mut facts, mut planned) = (facts(Known::seen(server(), "test")), order());
            tweak(&mut facts, &mut planned);
            let open = open(&facts, &planned, &Settings::default());
            let got: Vec<_> = open.iter().map(|q| (q.id, q.default.as_deref())).collect();
            let same = got.len() == wanted.len() && got.iter().zip(*wanted).all(|(g, w)| g.0 == w.0 && (w.1.is_none() || g.1 == w.1));
            assert!(same, "{case}: {got:?}");
            assert!(open.iter().all(|q| q.why.ends_with('.') && q.default.is_some()), "{case}: {open:?}");
        }
    }

    fn instances(server: &mut Server) {
        let one = |dir: &str| Instance { name: dir.into(), config_dir: dir.into(), enabled: true };
        server.instances = vec![one("/etc/postfix"), one("/etc/postfix-in")];
    }

    fn listens(pid: u32) -> Listener {
        Listener { addr: ([0, 0, 0, 0], 25).into(), owner: owner(pid, "master", None), service: None }
    }

    #[test]
    fn what_was_given_is_not_asked() {
        let given = Settings {
            mta: Some("postfix".into()),
            mta_config: Some("/etc/postfix".into()),
            domain: vec!["example.org".parse().unwrap()],
            mx: vec!["mx1.example.org".parse().unwrap()],
            webroot: Some("/srv".into()),
            key_type: Some(crate::intent::KeyTypes::Rsa),
            ..Settings::default()
        };
        let mut server = server();
        instances(&mut server);
        server.receives_for = Known::unknown("x");
        let mut seen = facts(Known::seen(server, "test"));
        seen.port80 = owner(1, "java", None);
        assert_eq!(open(&seen, &order(), &given), []);
        assert_eq!(open(&seen, &Err(Refusal::NotHere(String::new())), &given), []);
        let mut unseen = facts(Known::unknown("two"));
        unseen.candidates = vec!["postfix".into()];
        assert_eq!(open(&unseen, &order(), &given), []);
    }

    #[test]
    fn what_others_keep_is_asked_about_where_an_order_would_come_instead() {
        use crate::{
            certificate::{Certificate, Digest, KeyType},
            facts::{ForeignLineage, Kept},
        };
        let kept = |key_type, renewed_by: Option<&str>| ForeignLineage {
            keeper: "certbot".into(),
            chain: "/etc/letsencrypt/live/mx1.example.org/fullchain.pem".into(),
            key: "/etc/letsencrypt/live/mx1.example.org/privkey.pem".into(),
            leaf: Certificate {
                digest: Digest::of(b"leaf"),
                spki: Digest::of(b"key"),
                spki_sha512: String::new(),
                key_type,
                serial: "01".into(),
                authority: String::new(),
                names: vec!["mx1.example.org".into()],
                issuer: String::new(),
                self_signed: false,
                not_before: Moment(0),
                not_after: Moment(9_000_000),
                client_auth: false,
            },
            trusted: true,
            in_use: false,
            kept: Some(Kept { name: "mx1.example.org".into(), renewed_by: renewed_by.map(Into::into), keeps_key: None }),
        };
        let asked = |foreign: Vec<ForeignLineage>, given: &Settings| {
            let mut facts = facts(Known::seen(server(), "test"));
            facts.foreign = foreign;
            let mut planned = order();
            if let Ok(Plan { next: Some(Stage::Errand(Errand::Obtain(order))), .. }) = &mut planned {
                order.names = vec![order.lineage.clone()];
                order.keys =
                    [KeyType::Ecdsa, KeyType::Rsa].map(|key_type| crate::plan::KeyChoice { key_type, reuse: None, replaces: None }).into();
            }
            open(&facts, &planned, given).into_iter().map(|q| (q.id, q.default.unwrap_or_default())).collect::<Vec<_>>()
        };
        let (ecdsa, rsa) = (kept(KeyType::Ecdsa, Some("certbot.timer")), kept(KeyType::Rsa, Some("certbot.timer")));
        let is = |default: &str| vec![(Id::Existing, default.to_owned())];
        assert_eq!(asked(vec![ecdsa.clone(), rsa], &Settings::default()), is("adopt"));
        assert_eq!(asked(vec![ecdsa.clone()], &Settings::default()), is("take-over"), "RSA would be lost");
        assert_eq!(asked(vec![kept(KeyType::Ecdsa, None)], &Settings::default()), is("take-over"), "nobody renews it");
        assert_eq!(asked(vec![ForeignLineage { trusted: false, ..ecdsa.clone() }], &Settings::default()), []);
        assert_eq!(asked(vec![ecdsa], &Settings { existing: Some(Existing::TakeOver), ..Settings::default() }), []);
    }
}
