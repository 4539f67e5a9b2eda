//! Serving what another program keeps: no order, and no second renewal of the same certificate. Its files are read and never
//! written; a hook of ours among its own tells us of a renewal.

use super::{
    keys::{self, Keys},
    tlsa::{self, Told},
};
use crate::{
    certificate::{Certificate, KeyType},
    change::{Content, Edit, Meta, Raw, Target},
    facts::{Facts, ForeignLineage, Kept, Lineage, Reader, Source},
    finding::{Finding, Remedy, Subject, Verdict},
    intent::{Existing, Intent},
    maintain,
    moment::Moment,
    mta::{
        companion::Companion,
        profile::{Holds, Profile},
    },
    name::DnsName,
    plan::{Adopt, KeyChoice},
};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// certbot runs every program in this folder after each renewal that brought something (certbot(1), `renew`).
pub const CERTBOT_HOOK: &str = "/etc/letsencrypt/renewal-hooks/deploy/mxseal";

/// What is served as others keep it, ECDSA first.
pub(super) struct Adoption<'a> {
    kept: Vec<(&'a ForeignLineage, &'a Kept)>,
}

/// The certificates to adopt; `None` where that is not wished, neither now nor by a change that stands. None of them may be
/// fit.
pub(super) fn wished<'a>(facts: &'a Facts, intent: &Intent, profile: &Profile, mx: &[DnsName]) -> Option<Adoption<'a>> {
    let lineage = facts.lineages.iter().find(|l| mx.first() == Some(&l.name));
    match intent.existing {
        Some(Existing::Adopt) => {}
        None if lineage.is_some_and(|l| !l.adopted.is_empty()) => {}
        _ => return None,
    }
    let both = facts.server.value().is_some_and(|s| profile.holds(&s.version) != Holds::One);
    let types = keys::types(intent, both, &keys::served(facts));
    let before = lineage.map(|l| l.adopted.as_slice()).unwrap_or_default();
    let best = |key_type: &KeyType| {
        let fit = adoptable(facts, mx).filter(|(f, _)| f.leaf.key_type == *key_type);
        // What is served goes on being served; else what somebody renews, and what lasts.
        fit.max_by_key(|(f, kept)| (before.iter().any(|s| s.chain == f.chain), kept.renewed_by.is_some(), f.in_use, f.leaf.not_after))
    };
    Some(Adoption { kept: types.iter().filter_map(best).collect() })
}

/// Certificates of other programs that could be served as they are: verifiable, for every MX name, and no TLSA record speaks
/// against their keys.
pub fn adoptable<'a>(facts: &'a Facts, mx: &[DnsName]) -> impl Iterator<Item = (&'a ForeignLineage, &'a Kept)> {
    let fit = move |f: &&ForeignLineage| {
        let told = |name| tlsa::told(facts, name).is_none_or(|told| told.allows(facts, &(&f.leaf).into()));
        f.trusted && f.leaf.not_after > facts.now && mx.iter().all(|name| f.leaf.covers(name) && told(name))
    };
    facts.foreign.iter().filter(fit).filter_map(|f| Some((f, f.kept.as_ref()?))).collect::<Vec<_>>().into_iter()
}

impl Adoption<'_> {
    /// The certificates.
    pub(super) fn leaves(&self) -> Vec<&Certificate> {
        self.kept.iter().map(|(f, _)| &f.leaf).collect()
    }

    fn sources(&self) -> Vec<Source> {
        let source = |(f, kept): &(&ForeignLineage, &Kept)| Source {
            key_type: f.leaf.key_type,
            keeper: f.keeper.clone(),
            name: kept.name.clone(),
            chain: f.chain.clone(),
            key: f.key.clone(),
        };
        self.kept.iter().map(source).collect()
    }

    /// What is to be taken in.
    pub(super) fn errand(&self, lineage: DnsName, names: Vec<DnsName>, live: PathBuf) -> Adopt {
        Adopt { lineage, names, sources: self.sources(), live }
    }

    /// Whether the lineage holds just what lies there.
    pub(super) fn is_in(&self, lineage: &Lineage) -> bool {
        let held: Vec<_> = lineage.keys.iter().filter_map(|k| k.leaf.as_ref()).map(|leaf| &leaf.digest).collect();
        lineage.adopted == self.sources() && held == self.kept.iter().map(|(f, _)| &f.leaf.digest).collect::<Vec<_>>()
    }

    /// Their keys, and what stands against serving them alone.
    pub(super) fn keys(&self, facts: &Facts, intent: &Intent, names: &[DnsName], mx: &[DnsName]) -> Keys {
        let choice = |(f, _): &(&ForeignLineage, _)| KeyChoice { key_type: f.leaf.key_type, reuse: None, replaces: None };
        let choices: Vec<KeyChoice> = self.kept.iter().map(choice).collect();
        let mut held = Vec::new();
        if self.kept.is_empty() {
            held.push(nothing(facts, intent, mx));
        }
        let has = |key_type: &KeyType| choices.iter().any(|c| c.key_type == *key_type);
        let dropped: Vec<String> = keys::served(facts).iter().filter(|t| !has(t)).map(ToString::to_string).collect();
        if let Some((first, kept)) = self.kept.first()
            && intent.key_types.is_none()
            && !dropped.is_empty()
        {
            let dropped = dropped.join(", ");
            held.push(
                Finding::new(
                    "key-type-would-drop",
                    Verdict::Fail,
                    Subject::Host,
                    format!("{} keeps no certificate of type {dropped}, and today one is served", first.keeper),
                )
                .means(format!("clients that speak only {dropped} would get no TLS"))
                .remedy(Remedy::Do(match first.keeper.as_str() {
                    "certbot" => format!(
                        "get one beside it with `certbot certonly --key-type {dropped} --cert-name {}-{dropped} -d {}`, or serve what there is with --key-type {}, or order both with --take-over",
                        kept.name,
                        mx.iter().map(DnsName::as_str).collect::<Vec<_>>().join(","),
                        first.leaf.key_type
                    ),
                    _ => format!("serve what there is with --key-type {}, or order both with --take-over", first.leaf.key_type),
                })),
            );
        }
        for (f, kept) in &self.kept {
            let missing: Vec<&str> = names.iter().filter(|n| !f.leaf.covers(n)).map(DnsName::as_str).collect();
            if !missing.is_empty() {
                held.push(
                    Finding::new(
                        "adopt-names",
                        Verdict::Fail,
                        at(f),
                        format!("the certificate in use also holds {}, and the one that {} keeps does not", missing.join(", "), f.keeper),
                    )
                    .means("mail programs that use that name would refuse the server")
                    .remedy(Remedy::Do(format!("add it to the certificate {} of {}, or order one with --take-over", kept.name, f.keeper))),
                );
            }
        }
        let unknown = mx.iter().filter_map(|name| tlsa::unknown(facts, name)).collect();
        Keys { choices, held, unknown, notes: self.notes(facts, mx) }
    }

    /// What the admin should know of whoever keeps them.
    fn notes(&self, facts: &Facts, mx: &[DnsName]) -> Vec<Finding> {
        let told = mx.iter().any(|name| tlsa::told(facts, name).is_some());
        let mut notes = Vec::new();
        for (f, kept) in &self.kept {
            if kept.renewed_by.is_none() {
                notes.push(
                    Finding::new(
                        "adopt-not-renewed",
                        Verdict::Warn,
                        at(f),
                        format!("nothing was found that lets {} renew {}", f.keeper, kept.name),
                    )
                    .means(format!("it ends on {}, and mxseal does not order in its keeper's place", f.leaf.not_after.day()))
                    .remedy(Remedy::Do(format!("let a timer or cron run {}", renews(&f.keeper)))),
                );
            }
            if told && kept.keeps_key != Some(true) {
                notes.push(
                    Finding::new(
                        "adopt-new-key",
                        Verdict::Warn,
                        at(f),
                        format!("{} may make a new key when it renews {}", f.keeper, kept.name),
                    )
                    .means(
                        "TLSA records name the key of today: a renewed certificate with another key is not served until a record names it",
                    )
                    .remedy(match f.keeper.as_str() {
                        "certbot" => Remedy::Command(format!("certbot reconfigure --cert-name {} --reuse-key", kept.name)),
                        _ => Remedy::Do(format!("tell {} to keep its key", f.keeper)),
                    }),
                );
            }
        }
        notes
    }

    /// How each keeper tells us of a renewal, where that is no file of ours: one line, which the admin runs.
    pub(super) fn told_by(&self, intent: &Intent) -> Vec<Finding> {
        let others = self.kept.iter().filter(|(f, _)| f.keeper != "certbot");
        let line = |(f, kept): &(&ForeignLineage, &Kept)| {
            let call = command_line(intent);
            let remedy = match f.keeper.as_str() {
                "acme.sh" => Remedy::Command(format!("{} --reloadcmd {}", acme_sh(f, kept, "--install-cert"), quoted(&call))),
                "lego" => Remedy::Do(format!("add to the line that runs `lego renew`: --renew-hook {}", quoted(&call))),
                _ => Remedy::Do(format!("add to deploy_cert of the hook script that /etc/dehydrated/config names: {call}")),
            };
            Finding::new(
                "adopt-hook",
                Verdict::Pass,
                at(f),
                format!("{} can tell mxseal at once when it has renewed {}", f.keeper, kept.name),
            )
            .means("without it the timer takes the renewed files in, within hours")
            .remedy(remedy)
        };
        others.map(line).collect()
    }

    /// Our hook among certbot's, where it is not there yet.
    pub(super) fn hook(&self, facts: &Facts, intent: &Intent) -> Option<Edit> {
        let of_certbot = self.kept.iter().filter(|(f, _)| f.keeper == "certbot");
        let ours: Vec<String> = of_certbot.filter_map(|(f, _)| Some(quoted(&f.chain.parent()?.display().to_string()))).collect();
        if ours.is_empty() || intent.take_in.0.is_empty() {
            return None;
        }
        let text = format!(
            "#!/bin/sh\n# Puts what certbot renewed before the mail server, and proves it on the wire. mxseal undo removes it.\n\
             case $RENEWED_LINEAGE in {}) exec {} ;; esac\n",
            ours.join(" | "),
            command_line(intent)
        );
        let was = facts.hooks.get(Path::new(CERTBOT_HOOK)).cloned();
        let content = Content::Text(Raw(text.into_bytes()));
        let meta = Meta { uid: 0, gid: 0, mode: 0o755, xattrs: BTreeMap::new() };
        let lies = was.as_ref().is_some_and(|w| w.digest == content.digest() && w.meta.mode == meta.mode);
        let becomes = Some(Target { content, meta });
        (!lies).then_some(Edit { path: CERTBOT_HOOK.into(), was, becomes, edit_lock: None, settings: Vec::new() })
    }
}

/// Whether what a keeper renewed may take the place of what is served: no TLSA record speaks against its key.
///
/// # Errors
/// What stands against it; what is served stays then.
pub fn may_be_served(facts: &Facts, mx: &[DnsName], found: &ForeignLineage) -> Result<(), Vec<Finding>> {
    let unknown = mx.iter().filter_map(|name| tlsa::unknown(facts, name));
    let told: Vec<Told<'_>> =
        mx.iter().filter_map(|name| tlsa::told(facts, name)).filter(|t| !t.allows(facts, &(&found.leaf).into())).collect();
    let held = told.iter().map(|t| {
        let says = format!("{} renewed the certificate with a new key, which TLSA records of {} do not name", found.keeper, t.name);
        Finding::new("adopt-new-key", Verdict::Fail, at(found), says)
            .means(format!("it is not served, because DANE senders would defer their mail (RFC 7672); what is served stays. {}", t.then()))
            .remedy(Remedy::Record(t.record(&found.leaf.spki)))
    });
    let against: Vec<Finding> = unknown.chain(held).collect();
    if against.is_empty() { Ok(()) } else { Err(against) }
}

/// What should have been renewed by its keeper by now, and was not.
#[must_use]
pub fn overdue(lineage: &Lineage, now: Moment) -> Vec<Finding> {
    let late =
        |s: &&Source| lineage.keys.iter().any(|k| k.key_type == s.key_type && k.leaf.as_ref().is_some_and(|l| maintain::is_late(l, now)));
    let finding = |s: &Source| {
        let until = lineage.keys.iter().filter(|k| k.key_type == s.key_type).find_map(|k| k.leaf.as_ref()).map(|l| l.not_after.day());
        let says = format!("{} has not renewed {}, which ends on {}", s.keeper, s.name, until.unwrap_or_default());
        Finding::new("adopt-overdue", Verdict::Fail, Subject::File { path: s.chain.clone(), line: 0 }, says)
            .means("after that day no sender can verify this host; mxseal does not order in its keeper's place")
            .remedy(Remedy::Do(format!(
                "see why {} does not renew it, or order one of our own: mxseal setup --take-over",
                renews(&s.keeper)
            )))
    };
    lineage.adopted.iter().filter(late).map(finding).collect()
}

/// Where we order ourselves, our hook among certbot's has nothing to tell any more.
pub(super) fn no_hook(facts: &Facts) -> Option<Edit> {
    let was = facts.hooks.get(Path::new(CERTBOT_HOOK))?.clone();
    Some(Edit { path: CERTBOT_HOOK.into(), was: Some(was), becomes: None, edit_lock: None, settings: Vec::new() })
}

/// Certificates that other programs go on renewing although the mail server does not read them any more.
pub(super) fn left_behind(facts: &Facts, lineage: Option<&Lineage>, mx: &[DnsName]) -> Vec<Finding> {
    let served = |f: &ForeignLineage| {
        let adopted = lineage.is_some_and(|l| l.adopted.iter().any(|s| s.chain == f.chain));
        let copied = facts.foreign.iter().any(|u| u.in_use && u.leaf.digest == f.leaf.digest);
        adopted || copied || mx.iter().all(|name| f.leaf.covers(name))
    };
    let one = |(f, kept): (&ForeignLineage, &Kept)| {
        Finding::new(
            "renewed-elsewhere",
            Verdict::Pass,
            at(f),
            format!("{} goes on renewing {}, which this mail server does not read then", f.keeper, kept.name),
        )
        .means("that does no harm; its files are left as they are")
        .remedy(match facts.readers.iter().find(|r| r.file == f.chain || r.file == f.key) {
            Some(reader) => Remedy::Do(format!("let it go on: {} reads them ({}:{})", reader.program, reader.at.0.display(), reader.at.1)),
            None => ends(f, kept),
        })
    };
    let renewed = facts.foreign.iter().filter_map(|f| Some((f, f.kept.as_ref().filter(|k| k.renewed_by.is_some())?)));
    renewed.filter(|(f, _)| served(f)).map(one).collect()
}

/// Other services that read a certificate which the mail server reads no more: they go on presenting it.
pub(super) fn read_by_others(facts: &Facts, intent: &Intent) -> Vec<Finding> {
    let companion = |r: &Reader| Companion::of(&r.at.0).map(|known| known.id);
    let switched = |r: &&Reader| companion(r).is_some_and(|id| intent.with.iter().any(|with| with == id));
    let one = |f: &ForeignLineage| {
        // Examples of packages name the distribution's certificate, which nobody can verify anyway.
        let matters = |r: &&Reader| !f.leaf.self_signed || companion(r).is_some();
        let readers: Vec<_> = facts.readers.iter().filter(|r| r.file == f.chain && !switched(r)).filter(matters).collect();
        let mut programs: Vec<&str> = readers.iter().map(|r| r.program.as_str()).collect();
        programs.dedup();
        let (first, who) = (programs.first()?, programs.join(", "));
        let renewed = f.kept.as_ref().and_then(|k| k.renewed_by.as_ref());
        let verdict = if renewed.is_some() || f.leaf.self_signed { Verdict::Pass } else { Verdict::Warn };
        let says = format!("the certificate in use is read by {who} too, which goes on with it");
        let line = |r: &&Reader| format!("{}: {}:{} {}", r.program, r.at.0.display(), r.at.1, r.setting);
        let finding = readers.iter().map(line).fold(Finding::new("read-by-others", verdict, at(f), says), Finding::seen);
        let finding = finding.means(match renewed {
            Some(job) => format!("{job} goes on renewing it there; mxseal changes nothing of {who}"),
            None if f.leaf.self_signed => format!("nobody can verify it there; mxseal changes nothing of {who}"),
            None => format!("it ends on {}, and nothing was found that renews it", f.leaf.not_after.day()),
        });
        Some(match readers.iter().find_map(|r| companion(r)) {
            Some(id) => finding.remedy(Remedy::Command(format!("mxseal setup --with {id}"))),
            None if verdict == Verdict::Warn => {
                finding.remedy(Remedy::Do(format!("give {first} a certificate of its own before that day")))
            }
            None => finding,
        })
    };
    facts.foreign.iter().filter(|f| f.in_use).filter_map(one).collect()
}

/// What ends a renewal and deletes nothing.
fn ends(f: &ForeignLineage, kept: &Kept) -> Remedy {
    let name = &kept.name;
    match f.keeper.as_str() {
        "certbot" => {
            let conf = format!("/etc/letsencrypt/renewal/{name}.conf");
            Remedy::Do(format!("where nothing else reads it, `mv {conf} {conf}.off` ends its renewal and keeps its files"))
        }
        "acme.sh" => {
            let command = acme_sh(f, kept, "--remove");
            Remedy::Do(format!("where nothing else reads it, `{command}` ends its renewal and keeps its files"))
        }
        "dehydrated" => Remedy::Do(format!("where nothing else reads it, take the line of {name} out of /etc/dehydrated/domains.txt")),
        _ => Remedy::Do(format!("where nothing else reads it, take {name} out of the line that runs `{} renew`", f.keeper)),
    }
}

/// The command line of acme.sh that does something with a certificate.
fn acme_sh(f: &ForeignLineage, kept: &Kept, does: &str) -> String {
    let home = f.chain.ancestors().nth(2).unwrap_or(Path::new("/root/.acme.sh")).display().to_string();
    let ecc = if f.chain.parent().is_some_and(|dir| dir.to_string_lossy().ends_with("_ecc")) { " --ecc" } else { "" };
    format!("{home}/acme.sh --home {home} {does} -d {}{ecc}", kept.name)
}

/// Nothing that others keep can be served: what there is, and why it is not fit.
fn nothing(facts: &Facts, intent: &Intent, mx: &[DnsName]) -> Finding {
    let all = mx.iter().map(DnsName::as_str).collect::<Vec<_>>().join(", ");
    let says = match intent.key_types {
        Some(wish) => format!(
            "no program keeps a certificate for {all} with a key of type {} that could be served",
            wish.list().iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ")
        ),
        None => format!("no program that mxseal knows keeps a certificate for {all} that could be served"),
    };
    let mut finding = Finding::new("adopt-nothing", Verdict::Fail, Subject::Host, says);
    for (f, _) in facts.foreign.iter().filter_map(|f| Some((f, f.kept.as_ref()?))) {
        let told: Vec<Told<'_>> = mx.iter().filter_map(|name| tlsa::told(facts, name)).collect();
        let why = if f.leaf.not_after <= facts.now {
            format!("has ended on {}", f.leaf.not_after.day())
        } else if let Some(name) = mx.iter().find(|name| !f.leaf.covers(name)) {
            format!("does not hold {name}")
        } else if !f.trusted {
            "ends in no root that senders trust".to_owned()
        } else if told.iter().any(|t| !t.allows(facts, &(&f.leaf).into())) {
            "has a key that no TLSA record names".to_owned()
        } else {
            format!("has a key of type {}", f.leaf.key_type)
        };
        finding = finding.seen(format!("{} ({}) {why}", f.chain.display(), f.keeper));
    }
    finding.means("nothing is changed").remedy(Remedy::Do("let mxseal order one itself: mxseal setup --take-over".into()))
}

fn at(f: &ForeignLineage) -> Subject {
    Subject::File { path: f.chain.clone(), line: 0 }
}

/// What runs the renewals of a program.
fn renews(keeper: &str) -> &'static str {
    match keeper {
        "certbot" => "`certbot renew`",
        "acme.sh" => "`acme.sh --cron`",
        "dehydrated" => "`dehydrated --cron`",
        _ => "`lego renew`",
    }
}

/// The command line that takes a renewal in, as a shell reads it.
fn command_line(intent: &Intent) -> String {
    if intent.take_in.0.is_empty() {
        return "mxseal renew".to_owned();
    }
    intent.take_in.0.iter().map(|word| word_of(word)).collect::<Vec<_>>().join(" ")
}

/// A word of a shell, in quotes where it needs them.
fn word_of(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._+-=".contains(c);
    if word.chars().all(plain) { word.to_owned() } else { quoted(word) }
}

fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}
