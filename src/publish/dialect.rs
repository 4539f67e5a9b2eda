//! Records in the words of whoever takes them: a zone file, `nsupdate`, a web panel, a tool that keeps DNS as code.

use super::{Data, State, TTL, Wanted};
use crate::name::DnsName;
use std::{collections::BTreeMap, fmt::Write as _};

/// The form of the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Lines of a zone file (RFC 1035 §5).
    Zone,
    /// The same, with TLSA and CAA as unknown types, for servers that are older than these (RFC 3597 §5).
    Generic,
    /// Commands of nsupdate(1) or knsupdate(1): for each zone one update, all or nothing (RFC 2136).
    Nsupdate,
    /// The fields of a web form: the name without the zone, values without quotes.
    Panel,
    /// A value of Terraform's language, for the resources of any provider.
    Terraform,
    /// JavaScript of dnscontrol.
    Dnscontrol,
    /// A file of octoDNS for each zone.
    Octodns,
}

impl Dialect {
    /// The records in this form. Where nothing is to be told, nothing is.
    #[must_use]
    pub fn text(self, records: &[&Wanted]) -> String {
        let write = match self {
            Self::Zone => zone,
            Self::Generic => generic,
            Self::Nsupdate => nsupdate,
            Self::Panel => panel,
            Self::Terraform => terraform,
            Self::Dnscontrol => dnscontrol,
            Self::Octodns => octodns,
        };
        if records.is_empty() { String::new() } else { write(records) }
    }
}

/// Why, and what it takes the place of, as comments.
fn comments(mark: &str, record: &Wanted) -> String {
    let mut out = format!("{mark} {}: {}\n", record.need, one_line(&record.why));
    if let State::Instead { old, .. } = &record.state {
        for data in old {
            let _ = writeln!(out, "{mark} in place of: {} {data}", data.kind());
        }
    }
    out
}

/// Text from the network stays in its comment.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn zone(records: &[&Wanted]) -> String {
    records.iter().map(|r| format!("{}{}\n", comments(";", r), r.line())).collect()
}

fn generic(records: &[&Wanted]) -> String {
    let line = |r: &&Wanted| {
        let unknown = match &r.data {
            Data::Tlsa(tlsa) => Some((52, tlsa.generic())),
            Data::Caa(caa) => {
                let bytes = [&[caa.flags, u8::try_from(caa.tag.len()).unwrap_or(0)], caa.tag.as_bytes(), caa.value.as_bytes()].concat();
                Some((257, format!("\\# {} {}", bytes.len(), data_encoding::HEXLOWER.encode(&bytes))))
            }
            Data::Cname(_) | Data::Txt(_) => None,
        };
        let line = unknown.map_or_else(|| r.line(), |(number, data)| format!("{} {TTL} IN TYPE{number} {data}", r.at().absolute()));
        format!("{}{line}\n", comments(";", r))
    };
    records.iter().map(line).collect()
}

/// In an update what was read must still hold: what is replaced is there, and where there was nothing there is nothing.
fn nsupdate(records: &[&Wanted]) -> String {
    let mut out = String::new();
    for (zone, of_zone) in by_zone(records) {
        if let Some(zone) = zone {
            let _ = writeln!(out, "zone {}", zone.absolute());
        }
        let (mut before, mut update) = (String::new(), String::new());
        for r in of_zone {
            let (owner, kind) = (r.at().absolute(), r.data.kind());
            match &r.state {
                // A condition names the whole set, and what goes is named as it stands (RFC 2136 §2.4.2 and §2.5.4).
                State::Instead { old, set } => {
                    for text in set {
                        let _ = writeln!(before, "prereq yxrrset {owner} IN TXT {text}");
                    }
                    for text in set.iter().filter(|t| old.contains(&Data::Txt(t.as_str().to_owned()))) {
                        let _ = writeln!(update, "update delete {owner} TXT {text}");
                    }
                }
                // A name that has another record cannot have this one (RFC 1034 §3.6.2).
                State::Missing if kind == "CNAME" => {
                    let _ = writeln!(before, "prereq nxdomain {owner}");
                }
                State::Missing | State::Right => {
                    let _ = writeln!(before, "prereq nxrrset {owner} IN CNAME");
                }
            }
            let _ = write!(update, "{}", comments(";", r));
            let _ = writeln!(update, "update add {owner} {TTL} {kind} {}", r.data);
        }
        let mut seen = Vec::new();
        for line in before.lines() {
            if !seen.contains(&line) {
                seen.push(line);
                let _ = writeln!(out, "{line}");
            }
        }
        let _ = writeln!(out, "{update}send");
    }
    out
}

fn panel(records: &[&Wanted]) -> String {
    let mut out = String::new();
    for (zone, of_zone) in by_zone(records) {
        if let Some(zone) = zone {
            let _ = writeln!(out, "Zone {zone}\n");
        }
        for r in of_zone {
            let mut field = |name: &str, value: &str| {
                let _ = writeln!(out, "  {name:<10}  {value}");
            };
            field("Name", &relative(r));
            field("Type", r.data.kind());
            match &r.data {
                Data::Cname(target) => field("Target", target.as_str()),
                Data::Txt(text) => field("Value", text),
                Data::Tlsa(tlsa) => {
                    field("Usage", &tlsa.usage.to_string());
                    field("Selector", &tlsa.selector.to_string());
                    field("Matching", &tlsa.matching.to_string());
                    field("Data", &tlsa.data);
                }
                Data::Caa(caa) => {
                    field("Flags", &caa.flags.to_string());
                    field("Tag", &caa.tag);
                    field("Value", &caa.value);
                }
            }
            field("TTL", &TTL.to_string());
            if let State::Instead { old, .. } = &r.state {
                for data in old {
                    field("Instead of", &data.to_string());
                }
            }
            field("Why", &format!("{}: {}", r.need, one_line(&r.why)));
            out.push('\n');
        }
    }
    out
}

fn terraform(records: &[&Wanted]) -> String {
    let mut out = String::from("locals {\n  mxseal_records = [\n");
    for r in records {
        for line in comments("#", r).lines() {
            let _ = writeln!(out, "    {line}");
        }
        let zone = r.zone().map_or_else(|| "null".to_owned(), |z| hcl(z.as_str()));
        let value = match &r.data {
            Data::Txt(text) => text.clone(),
            other => other.to_string(),
        };
        let _ = writeln!(
            out,
            "    {{ zone = {zone}, name = {}, type = {}, ttl = {TTL}, value = {} }},",
            hcl(&relative(r)),
            hcl(r.data.kind()),
            hcl(&value)
        );
    }
    out.push_str("  ]\n}\n");
    out
}

/// A string of Terraform's language, in which `${` and `%{` begin templates.
fn hcl(text: &str) -> String {
    json(text).replace("${", "$${").replace("%{", "%%{")
}

fn json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn dnscontrol(records: &[&Wanted]) -> String {
    let mut out = String::new();
    for (zone, of_zone) in by_zone(records) {
        let name = zone.map_or_else(|| "ZONE".to_owned(), ToString::to_string);
        let _ = writeln!(out, "D_EXTEND({},", json(&name));
        for r in of_zone {
            for line in comments("//", r).lines() {
                let _ = writeln!(out, "  {line}");
            }
            let (kind, owner) = (r.data.kind(), json(&relative(r)));
            let arguments = match &r.data {
                Data::Cname(target) => json(&target.absolute()),
                Data::Txt(text) => json(text),
                Data::Tlsa(t) => format!("{}, {}, {}, {}", t.usage, t.selector, t.matching, json(&t.data)),
                Data::Caa(caa) => {
                    format!("{}, {}{}", json(&caa.tag), json(&caa.value), if caa.flags & 128 == 0 { "" } else { ", CAA_CRITICAL" })
                }
            };
            let _ = writeln!(out, "  {kind}({owner}, {arguments}, TTL({TTL})),");
        }
        // END lets the line above keep its comma.
        out.push_str("END);\n");
    }
    out
}

/// One document a zone; the values of an owner and type stand together, as the file wants them. A semicolon in a TXT is
/// escaped there.
fn octodns(records: &[&Wanted]) -> String {
    let mut out = String::new();
    for (zone, of_zone) in by_zone(records) {
        let _ = writeln!(out, "---\n# {}", zone.map_or_else(|| "the zone of".to_owned(), |z| format!("{z}.yaml")));
        let mut names: BTreeMap<String, BTreeMap<&str, Vec<&Wanted>>> = BTreeMap::new();
        for r in of_zone {
            let name = relative(r);
            names.entry(if name == "@" { String::new() } else { name }).or_default().entry(r.data.kind()).or_default().push(r);
        }
        for (name, kinds) in names {
            let _ = writeln!(out, "{}:", yaml(&name));
            for (kind, all) in kinds {
                for line in all.iter().flat_map(|r| comments("#", r).lines().map(ToOwned::to_owned).collect::<Vec<_>>()) {
                    let _ = writeln!(out, "  {line}");
                }
                let _ = writeln!(out, "  - type: {kind}\n    ttl: {TTL}");
                out.push_str(if kind == "CNAME" { "    value:" } else { "    values:\n" });
                for r in all {
                    let _ = match &r.data {
                        Data::Cname(target) => writeln!(out, " {}", yaml(&target.absolute())),
                        Data::Txt(text) => writeln!(out, "      - {}", yaml(&text.replace(';', "\\;"))),
                        Data::Tlsa(t) => writeln!(
                            out,
                            "      - certificate_usage: {}\n        selector: {}\n        matching_type: {}\n        certificate_association_data: {}",
                            t.usage,
                            t.selector,
                            t.matching,
                            yaml(&t.data)
                        ),
                        Data::Caa(caa) => writeln!(
                            out,
                            "      - flags: {}\n        tag: {}\n        value: {}",
                            caa.flags,
                            yaml(&caa.tag),
                            yaml(&caa.value.replace(';', "\\;"))
                        ),
                    };
                }
            }
        }
    }
    out
}

/// In single quotes nothing is special but the quote itself (YAML 1.2 §7.3.2).
fn yaml(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// The records of each zone, in their order; those of an unknown zone last.
fn by_zone<'a>(records: &[&'a Wanted]) -> Vec<(Option<&'a DnsName>, Vec<&'a Wanted>)> {
    let mut zones: Vec<(Option<&DnsName>, Vec<&Wanted>)> = Vec::new();
    for &r in records {
        match zones.iter_mut().find(|(zone, _)| *zone == r.zone()) {
            Some((_, all)) => all.push(r),
            None => zones.push((r.zone(), vec![r])),
        }
    }
    zones.sort_by_key(|(zone, _)| zone.is_none());
    zones
}

/// The name below its zone, `@` for the zone itself; the whole name with its final dot where the zone is unknown.
fn relative(r: &Wanted) -> String {
    let owner = r.at();
    match r.zone() {
        Some(zone) if zone == owner => "@".to_owned(),
        Some(zone) => owner.as_str().strip_suffix(&format!(".{zone}")).map_or_else(|| owner.absolute(), ToOwned::to_owned),
        None => owner.absolute(),
    }
}
