//! The domains that the server receives for, as far as they are written down: lists in its settings, files of names, and
//! the text sources of simple tables. A table that only the server can ask stays unknown, and says so.

use crate::{facts::Known, mta::config::named, name::DnsName, world::Look};
use std::{collections::BTreeSet, path::Path};

/// The settings of Postfix that name the domains it receives for (ADDRESS_CLASS_README).
pub(super) const DOMAIN_SETTINGS: [&str; 4] = ["mydestination", "relay_domains", "virtual_mailbox_domains", "virtual_alias_domains"];

/// Tables whose source is a text file of the same name (DATABASE_README).
const TEXT_TABLES: [&str; 7] = ["hash", "btree", "texthash", "lmdb", "cdb", "dbm", "sdbm"];

/// Domains that are written down, and the reasons why others may be missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Received {
    pub(super) domains: BTreeSet<DnsName>,
    pub(super) missing: Vec<String>,
}

impl Received {
    /// All of them, or why not all.
    pub(super) fn known(&self, at: &str) -> Known<Vec<DnsName>> {
        if self.missing.is_empty() {
            Known::seen(self.domains.iter().cloned().collect(), at)
        } else {
            Known::unknown(format!("{}; name the domains with --domain", self.missing.join("; ")))
        }
    }
}

/// Reads the values of [`DOMAIN_SETTINGS`], every `$name` in them replaced already.
pub(super) fn received<'a>(look: &dyn Look, settings: impl IntoIterator<Item = (&'a str, &'a str)>) -> Received {
    let mut all = Received::default();
    for (setting, value) in settings {
        for item in items(value) {
            one(look, setting, &item, &mut all);
        }
    }
    all
}

fn one(look: &dyn Look, setting: &str, item: &str, all: &mut Received) {
    let (path, is_table) = if item.starts_with('/') {
        (item, false)
    } else if let Some((kind, path)) = item.strip_prefix("proxy:").unwrap_or(item).split_once(':') {
        if !TEXT_TABLES.contains(&kind) {
            all.missing.push(format!("{setting} is kept in {}, which only the mail server can ask", named(item)));
            return;
        }
        (path, true)
    } else {
        // `!name` takes a name out, `.name` means its subdomains, `[address]` is an address: no mail domain of its own.
        all.domains.extend(domain(item));
        return;
    };
    match look.read(Path::new(path)) {
        Ok(Some((bytes, _))) => {
            let text = String::from_utf8_lossy(&bytes);
            if is_table {
                all.domains.extend(table_keys(&text).filter_map(domain));
            } else {
                for item in text.lines().filter(|l| !l.starts_with('#')).flat_map(items) {
                    all.domains.extend(domain(&item));
                }
            }
        }
        Ok(None) => all.missing.push(format!("{setting} names {path}, which does not exist")),
        Err(e) => all.missing.push(format!("{setting} names {path}, which cannot be read: {e}")),
    }
}

/// The elements of a list: separated by commas and white space, a group in braces is one.
fn items(value: &str) -> Vec<String> {
    let (mut found, mut item, mut depth) = (Vec::new(), String::new(), 0_usize);
    for c in value.chars() {
        match c {
            ',' | ' ' | '\t' | '\r' | '\n' if depth == 0 => found.push(std::mem::take(&mut item)),
            _ => {
                match c {
                    '{' => depth += 1,
                    '}' => depth = depth.saturating_sub(1),
                    _ => {}
                }
                item.push(c);
            }
        }
    }
    found.push(item);
    found.retain(|i| !i.is_empty());
    found
}

/// The keys of a table's source (postmap(1)): the first word of each line that is no comment and no continuation.
fn table_keys(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|l| !l.starts_with(['#', ' ', '\t'])).filter_map(|l| l.split_whitespace().next())
}

/// A mail domain of the world: names without a dot and `localhost` are this host's own business.
fn domain(item: &str) -> Option<DnsName> {
    let name: DnsName = item.parse().ok()?;
    let local = !name.as_str().contains('.') || name.as_str().starts_with("localhost.") || name.as_str().ends_with(".localhost");
    (!local && !item.ends_with('.')).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::Machine;

    fn read(settings: &[(&str, &str)]) -> (Vec<String>, Vec<String>) {
        let all = received(&Machine, settings.iter().copied());
        (all.domains.iter().map(ToString::to_string).collect(), all.missing)
    }

    #[test]
    fn lists_are_read_as_postfix_splits_them() {
        for (value, expected) in [
            ("", vec![]),
            ("mx.example.org, vm, localhost.localdomain, , localhost", vec!["mx.example.org"]),
            ("Example.ORG\texample.net\n  example.com", vec!["example.com", "example.net", "example.org"]),
            ("!example.org .example.net [192.0.2.1] ok.example", vec!["ok.example"]),
            ("*", vec![]),
        ] {
            assert_eq!(read(&[("mydestination", value)]).0, expected, "{value:?}");
        }
    }

    #[test]
    fn text_sources_of_tables_are_read_and_others_are_said() {
        let dir = tempfile::tempdir().unwrap();
        let table = dir.path().join("virtual");
        std::fs::write(&table, "# comment\nexample.org anything\n  continued example.com\nuser@example.net elsewhere\nexample.net x\n")
            .unwrap();
        let plain = dir.path().join("domains");
        std::fs::write(&plain, "one.example, two.example\n# no.example\n").unwrap();
        let of = |t: &str, p: &Path| format!("{t}{}", p.display());

        let (domains, missing) = read(&[("virtual_alias_domains", &of("hash:", &table)), ("mydestination", &of("", &plain))]);
        assert_eq!(domains, ["example.net", "example.org", "one.example", "two.example"]);
        assert_eq!(missing, Vec::<String>::new());

        for bad in ["mysql:/etc/postfix/domains.cf", "proxy:ldap:/x", "inline:{ {a.example=x} }", "hash:/nowhere/at/all", "pcre:/x"] {
            let (_, missing) = read(&[("virtual_mailbox_domains", bad), ("mydestination", "a.example")]);
            assert_eq!(missing.len(), 1, "{bad}");
            assert!(missing[0].contains("virtual_mailbox_domains"), "{missing:?}");
        }
    }
}
