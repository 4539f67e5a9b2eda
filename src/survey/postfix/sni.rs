//! The names in Postfix's tables of certificates by name, where a table can be read without asking it for a key.

use crate::{
    facts::Service,
    mta::postfix::sni::{inline, tables},
    world::Look,
};
use std::{collections::BTreeMap, path::Path};
use zeroize::Zeroizing;

/// Kinds of tables that are built from a text file of the same path, or are one (postmap(1)).
const FROM_TEXT: [&str; 7] = ["btree", "cdb", "dbm", "hash", "lmdb", "sdbm", "texthash"];

/// Names by table; a table of another kind, or whose text is gone, is left out: the wire still shows what it does.
pub(in crate::survey) fn names(look: &dyn Look, services: &[Service]) -> BTreeMap<String, Vec<String>> {
    let values = services.iter().filter_map(|s| s.settings.get("tls_server_sni_maps")).map(|e| e.value.as_str());
    values.flat_map(tables).filter_map(|table| Some((table.to_owned(), read(look, table)?))).collect()
}

fn read(look: &dyn Look, table: &str) -> Option<Vec<String>> {
    match table.split_once(':')? {
        ("inline", pairs) => Some(inline(pairs).into_iter().map(|(name, _)| name).collect()),
        (kind, path) if FROM_TEXT.contains(&kind) => {
            let (bytes, _) = look.read(Path::new(path)).ok()??;
            Some(keys(&String::from_utf8_lossy(&Zeroizing::new(bytes))))
        }
        _ => None,
    }
}

/// The first word of each line; indented lines go on, `#` begins a comment (postmap(1)).
fn keys(text: &str) -> Vec<String> {
    let lines = text.lines().filter(|l| !l.starts_with(['#', ' ', '\t']));
    lines.filter_map(|l| l.split_whitespace().next()).map(ToOwned::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::Meta;

    struct OneFile(&'static str);

    impl Look for OneFile {
        fn read(&self, path: &Path) -> std::io::Result<Option<(Vec<u8>, Meta)>> {
            let meta = Meta { uid: 0, gid: 0, mode: 0o600, xattrs: BTreeMap::new() };
            Ok((path == Path::new("/etc/postfix/sni")).then(|| (self.0.into(), meta)))
        }

        fn run(&self, command: &crate::change::Command, _: std::time::Duration) -> Result<crate::world::Output, crate::world::Failure> {
            panic!("nothing is run to read a table, and not {command}")
        }
    }

    #[test]
    fn the_names_of_a_table_are_read() {
        let text = "# ours\nmx1.example.org /k.pem\n  /c.pem\n.example.net\t/n.pem\n\n";
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
            let got: Vec<_> = tables(value).into_iter().filter_map(|t| Some((t, read(&OneFile(text), t)?))).collect();
            let expected: Vec<_> = expected.into_iter().map(|(t, names)| (t, names.iter().map(ToString::to_string).collect())).collect();
            assert_eq!(got, expected, "{value}");
        }
    }
}
