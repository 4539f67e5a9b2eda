//! Postfix's tables, where they can be read without asking them (DATABASE_README, postmap(1)).

use super::sni::{SNI, inline, tables};
use crate::{facts::Service, mta::understood::ReadFile};
use std::{collections::BTreeMap, path::Path};
use zeroize::Zeroizing;

/// Kinds of tables that are built from a text file of the same path, or are one.
pub(super) const TEXT_TABLES: [&str; 7] = ["btree", "cdb", "dbm", "hash", "lmdb", "sdbm", "texthash"];

/// The keys of a table's source: the first word of each line that is no comment and goes not on from the one before.
pub(super) fn keys(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|l| !l.starts_with(['#', ' ', '\t'])).filter_map(|l| l.split_whitespace().next())
}

/// The names in the tables of certificates by name, by table; one of another kind, or whose text is gone, is left out: the wire
/// still shows what it does.
pub(in crate::mta) fn names_by_table(services: &[Service], read: ReadFile<'_>) -> BTreeMap<String, Vec<String>> {
    let values = services.iter().filter_map(|s| s.settings.get(SNI)).map(|e| e.value.as_str());
    values.flat_map(tables).filter_map(|table| Some((table.to_owned(), names(table, read)?))).collect()
}

fn names(table: &str, read: ReadFile<'_>) -> Option<Vec<String>> {
    match table.split_once(':')? {
        ("inline", pairs) => Some(inline(pairs).into_iter().map(|(name, _)| name).collect()),
        (kind, path) if TEXT_TABLES.contains(&kind) => {
            let bytes = Zeroizing::new(read(Path::new(path)).ok()??);
            Some(keys(&String::from_utf8_lossy(&bytes)).map(ToOwned::to_owned).collect())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_a_table_are_read() {
        let text = "# ours\nmx1.example.org /k.pem\n  /c.pem\n.example.net\t/n.pem\n\n";
        let one = |path: &Path| Ok((path == Path::new("/etc/postfix/sni")).then(|| text.into()));
        let file: &[&str] = &["mx1.example.org", ".example.net"];
        for (value, expected) in [
            ("hash:/etc/postfix/sni", vec![("hash:/etc/postfix/sni", file)]),
            ("lmdb:/gone, texthash:/etc/postfix/sni", vec![("texthash:/etc/postfix/sni", file)]),
            ("pcre:/etc/postfix/sni", vec![]),
            (
                "inline:{a.example=/a.pem, {b.example = /k.pem /c.pem}}",
                vec![("inline:{a.example=/a.pem, {b.example = /k.pem /c.pem}}", &["a.example", "b.example"][..])],
            ),
            ("", vec![]),
        ] {
            let got: Vec<_> = tables(value).into_iter().filter_map(|t| Some((t, names(t, &one)?))).collect();
            let expected: Vec<_> = expected.into_iter().map(|(t, names)| (t, names.iter().map(ToString::to_string).collect())).collect();
            assert_eq!(got, expected, "{value}");
        }
    }
}
