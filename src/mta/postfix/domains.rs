//! The domains that the server receives for, as far as they are written down: lists in its settings, files of names, and
//! the text sources of simple tables. A table that only the server can ask stays unknown, and says so.

use super::tables::{TEXT_TABLES, keys};
use crate::{
    mta::{
        config::named,
        understood::{ReadFile, Received},
    },
    name::DnsName,
};
use std::{collections::BTreeMap, path::Path};

/// The settings of Postfix that name the domains it receives for (ADDRESS_CLASS_README).
const DOMAIN_SETTINGS: [&str; 4] = ["mydestination", "relay_domains", "virtual_mailbox_domains", "virtual_alias_domains"];

/// Reads those of the values that name domains, every `$name` in them replaced already.
pub(in crate::mta) fn received(values: &BTreeMap<String, String>, read: ReadFile<'_>) -> Received {
    let mut all = Received::default();
    for setting in DOMAIN_SETTINGS {
        for item in items(values.get(setting).map_or("", String::as_str)) {
            one(read, setting, &item, &mut all);
        }
    }
    all
}

fn one(read: ReadFile<'_>, setting: &str, item: &str, all: &mut Received) {
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
    match read(Path::new(path)) {
        Ok(Some(bytes)) => {
            let text = String::from_utf8_lossy(&bytes);
            if is_table {
                all.domains.extend(keys(&text).filter_map(domain));
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

/// A mail domain of the world: names without a dot and `localhost` are this host's own business.
fn domain(item: &str) -> Option<DnsName> {
    let name: DnsName = item.parse().ok()?;
    let local = !name.as_str().contains('.') || name.as_str().starts_with("localhost.") || name.as_str().ends_with(".localhost");
    (!local && !item.ends_with('.')).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "# comment\nexample.org anything\n  continued example.com\nuser@example.net elsewhere\nexample.net x\n";
    const PLAIN: &str = "one.example, two.example\n# no.example\n";

    fn read(settings: &[(&str, &str)]) -> (Vec<String>, Vec<String>) {
        let values = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let file = |path: &Path| match path.to_str() {
            Some("/etc/virtual") => Ok(Some(TABLE.into())),
            Some("/etc/domains") => Ok(Some(PLAIN.into())),
            _ => Ok(None),
        };
        let all = received(&values, &file);
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
        let (domains, missing) = read(&[("virtual_alias_domains", "hash:/etc/virtual"), ("mydestination", "/etc/domains")]);
        assert_eq!(domains, ["example.net", "example.org", "one.example", "two.example"]);
        assert_eq!(missing, Vec::<String>::new());

        for bad in ["mysql:/etc/postfix/domains.cf", "proxy:ldap:/x", "inline:{ {a.example=x} }", "hash:/nowhere/at/all", "pcre:/x"] {
            let (_, missing) = read(&[("virtual_mailbox_domains", bad), ("mydestination", "a.example")]);
            assert_eq!(missing.len(), 1, "{bad}");
            assert!(missing[0].contains("virtual_mailbox_domains"), "{missing:?}");
        }
    }
}
