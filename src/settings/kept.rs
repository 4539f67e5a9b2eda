//! What was answered, kept in `mxseal.toml`. Only bytes that must change do: comments, order and line ends stay.

use super::{KEYS, Settings, Unusable, parse};
use std::{fmt::Write as _, ops::Range, path::Path};
use toml_edit::{Document, Item, Table};

const HEAD: &str = "# What was answered to mxseal setup. Edit it as you like: comments and order stay.\n\
                    # Keys have the names of the flags, and a flag wins. See mxseal.toml(5).\n";

/// The text of the file with `wishes` in it; `None` where it says all of them already. What is not wished stays as it is.
///
/// # Errors
/// When the file is no settings file.
pub fn kept(path: &Path, before: Option<&str>, wishes: &Settings) -> Result<Option<String>, Unusable> {
    let text = before.unwrap_or(HEAD);
    let was = parse(path, text)?;
    let Ok(document) = Document::parse(text) else { return Ok(None) };
    let (mut spliced, mut added): (Vec<(Range<usize>, String)>, String) = (Vec::new(), String::new());
    let end = if text.contains("\r\n") { "\r\n" } else { "\n" };
    for (key, about) in KEYS {
        let Some(value) = wishes.value(key) else { continue };
        if was.value(key).as_ref().map(ToString::to_string) == Some(value.to_string()) {
            continue;
        }
        match document.get(key).and_then(Item::span) {
            Some(span) => spliced.push((span, value.to_string())),
            None => drop(write!(added, "{end}# {about}{end}{key} = {value}{end}")),
        }
    }
    if spliced.is_empty() && added.is_empty() {
        return Ok(None);
    }
    let mut text = text.to_owned();
    spliced.sort_by_key(|(span, _)| span.start);
    for (span, value) in spliced.into_iter().rev() {
        text.replace_range(span, &value);
    }
    if added.is_empty() {
        return Ok(Some(text));
    }
    // What stands below the head of a table belongs to that table.
    let at = Document::parse(text.as_str()).ok().and_then(|d| first_table(d.as_table())).map_or(text.len(), |head| above(&text, head));
    if at == text.len() && !text.is_empty() && !text.ends_with('\n') {
        added.insert_str(0, end);
    } else if at < text.len() {
        added.push_str(end);
    }
    text.insert_str(at.min(text.len()), &added);
    Ok(Some(text))
}

/// Where the head of the first table begins.
fn first_table(table: &Table) -> Option<usize> {
    let heads = table.iter().filter_map(|(_, item)| match item {
        Item::Table(below) if !below.is_dotted() => {
            let own = below.span().filter(|_| !below.is_implicit()).map(|span| span.start);
            own.into_iter().chain(first_table(below)).min()
        }
        _ => None,
    });
    heads.min()
}

/// The place above a table's head, and above the comments that are about it.
fn above(text: &str, head: usize) -> usize {
    let mut at = text[..head].rfind('\n').map_or(0, |end| end + 1);
    while let Some(line) = text[..at].lines().next_back().filter(|line| line.trim_start().starts_with('#')) {
        at = text[..at].trim_end_matches(['\r', '\n']).len() - line.len();
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intent::KeyTypes;

    const PATH: &str = "/etc/mxseal/mxseal.toml";

    fn after(before: Option<&str>, wishes: &Settings) -> Option<String> {
        kept(Path::new(PATH), before, wishes).expect("settings")
    }

    fn wishes() -> Settings {
        Settings {
            mx: vec!["mx1.example.org".parse().expect("a name"), "mx2.example.org".parse().expect("a name")],
            email: Some("post@example.org".into()),
            agree_tos: true,
            webroot: Some("/srv/www".into()),
            key_type: Some(KeyTypes::Rsa),
            resolver: Some(([127, 0, 0, 1], 53).into()),
            ..Settings::default()
        }
    }

    #[test]
    fn a_new_file_explains_itself_and_is_read_again() {
        let new = after(None, &wishes()).expect("a file");
        let expected = format!(
            "{HEAD}\n# MX names of this host. Without it, those in DNS that point here.\nmx = [\"mx1.example.org\", \"mx2.example.org\"]\n\n\
             # Address that the CA may write to; \"\" gives it none.\nemail = \"post@example.org\"\n\n\
             # The CA's terms of service are agreed to.\nagree-tos = true\n\n\
             # Directory that a web server serves on port 80 of every name.\nwebroot = \"/srv/www\"\n\n\
             # Key types to serve: \"both\", \"ecdsa\" or \"rsa\".\nkey-type = \"rsa\"\n\n\
             # DNS resolver to ask, with a port where it is not 53. Without it, those of /etc/resolv.conf.\nresolver = \"127.0.0.1\"\n"
        );
        assert_eq!(new, expected);
        assert_eq!(parse(Path::new(PATH), &new).expect("settings"), wishes());
        assert_eq!(after(Some(&new), &wishes()), None, "nothing to change");
        assert_eq!(after(None, &Settings::default()), None, "nothing to say");
    }

    #[test]
    fn a_hand_written_file_keeps_its_hand() {
        for (what, before, expected) in [
            (
                "comments, order, quotes and blanks",
                "# mine\nkey-type='ecdsa'   # old clients?\n\n\n  email = 'post@example.org' # me\n# the end\n",
                Some("# mine\nkey-type=\"rsa\"   # old clients?\n\n\n  email = 'post@example.org' # me\n# the end\n"),
            ),
            ("line ends", "email = 'a@example.org'\r\nkey-type = 'rsa'\r\n", Some("email = \"post@example.org\"\r\nkey-type = 'rsa'\r\n")),
            (
                "a table",
                "key-type = 'ecdsa'\n\n# ours\n[zone.'a.example']\nhook = 'x'\n",
                Some(
                    "key-type = \"rsa\"\n\n\n# Address that the CA may write to; \"\" gives it none.\nemail = \"post@example.org\"\n\n\
                     # ours\n[zone.'a.example']\nhook = 'x'\n",
                ),
            ),
            ("no last line end", "key-type = 'ecdsa'\nemail = 'post@example.org'", Some("key-type = \"rsa\"\nemail = 'post@example.org'")),
            ("nothing new", "key-type = \"rsa\"\nemail = '''post@example.org'''\n", None),
            (
                "a quoted key",
                "\"email\" = 'b@example.org'\nkey-type = 'rsa'\n",
                Some("\"email\" = \"post@example.org\"\nkey-type = 'rsa'\n"),
            ),
        ] {
            let some = Settings { email: wishes().email, key_type: wishes().key_type, ..Settings::default() };
            assert_eq!(after(Some(before), &some).as_deref(), expected, "{what}");
        }
        let list = "mx = [ # both\n  'mx1.example.org', # first\n  'mx2.example.org',\n]\n";
        let mx = Settings { mx: wishes().mx, ..Settings::default() };
        assert_eq!(after(Some(list), &mx), None, "the same names in another dress");
        let fewer = Settings { mx: wishes().mx[..1].to_vec(), agree_tos: true, ..Settings::default() };
        assert_eq!(
            after(Some(list), &fewer).as_deref(),
            Some("mx = [\"mx1.example.org\"]\n\n# The CA's terms of service are agreed to.\nagree-tos = true\n")
        );
    }

    #[test]
    fn a_file_beside_the_settings_is_the_same_by_its_whole_path() {
        let whole = Settings { webroot: Some("/etc/mxseal/www".into()), ..Settings::default() };
        assert_eq!(after(Some("webroot = 'www'\n"), &whole), None);
        let other = Settings { webroot: Some("/srv/www".into()), ..Settings::default() };
        assert_eq!(after(Some("webroot = 'www'\n"), &other).as_deref(), Some("webroot = \"/srv/www\"\n"));
    }
}
