//! Exim as Debian configures it: answers to its questions, and macros that its template asks for. A macro that is set twice is
//! fatal, so one that is there is edited in place.

mod wanted;

pub(super) use wanted::{is_ours, wanted};

use super::{
    lines::Unreadable,
    lines::{Logical, Restored, words},
    main_cf::{self, Entry},
    settings::MACROS,
    understood::Understood,
};
use crate::{
    change::SettingChange,
    facts::{ConfigFile, Effective, Known, Origin, Role, Service},
    name::DnsName,
};
use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
};

/// Every macro of a file, in order.
pub(super) fn read(path: &Path, bytes: &[u8]) -> Result<Vec<Entry>, Unreadable> {
    let all = each(bytes);
    match all.iter().find(|(e, conditional)| *conditional && MACROS.contains(&e.name.as_str())) {
        Some((e, _)) => {
            let why = "this macro is set under a condition; set it without one, or set TLS up by hand".to_owned();
            Err(Unreadable { path: path.to_owned(), line: e.line, why })
        }
        None => Ok(all.into_iter().map(|(e, _)| e).collect()),
    }
}

/// Every macro, with whether it stands under a condition.
fn each(bytes: &[u8]) -> Vec<(Entry, bool)> {
    let (mut found, mut conditions) = (Vec::new(), 0_usize);
    let (mut at, mut open): (usize, Option<Logical>) = (0, None);
    for (number, text) in bytes.split_inclusive(|b| *b == b'\n').enumerate() {
        let part = at..at + text.len();
        at = part.end;
        let trimmed = text.trim_ascii();
        let goes_on = trimmed.ends_with(b"\\");
        let mut whole = match open.take() {
            Some(whole) => whole,
            None if trimmed.is_empty() || trimmed.starts_with(b"#") => continue,
            None => Logical { line: number + 1, parts: Vec::new() },
        };
        whole.parts.push(part);
        if goes_on {
            open = Some(whole);
            continue;
        }
        let body = &bytes[whole.span()];
        if trimmed.starts_with(b".if") {
            conditions += 1;
        } else if trimmed.starts_with(b".endif") {
            conditions = conditions.saturating_sub(1);
        }
        let Some(equals) = body.iter().position(|b| *b == b'=').filter(|_| body.first().is_some_and(u8::is_ascii_uppercase)) else {
            continue;
        };
        let name = words(&body[..equals]);
        let value_at = whole.span().start + equals + 1 + usize::from(body.get(equals + 1) == Some(&b'='));
        let rest = &bytes[value_at..whole.span().end];
        let lead = rest.len() - rest.trim_ascii_start().len();
        let value_at = (value_at + lead).min(whole.parts[0].end - usize::from(bytes[whole.parts[0].clone()].ends_with(b"\n")));
        let value =
            words(&rest.split(|b| *b == b'\n').flat_map(|l| l.trim_ascii().strip_suffix(b"\\").unwrap_or(l)).copied().collect::<Vec<_>>());
        found.push((Entry { name, value, line: whole.line, at: whole, value_at }, conditions > 0));
    }
    found
}

pub(super) fn set(path: &Path, bytes: &[u8], name: &str, value: &str, why: &str) -> Result<(Vec<u8>, Option<SettingChange>), Unreadable> {
    let plain = value.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._-".contains(&b));
    if !plain {
        let why = format!("the value of {name} would be expanded by Exim; choose a path of letters, digits, `/`, `.`, `_` and `-`");
        return Err(Unreadable { path: path.to_owned(), line: 0, why });
    }
    Ok(main_cf::set_in(&read(path, bytes)?, bytes, name, value, why))
}

pub(super) fn restore(bytes: &[u8], change: &SettingChange) -> Restored {
    main_cf::restore_in(&each(bytes).into_iter().map(|(e, _)| e).collect::<Vec<_>>(), bytes, change)
}

/// The file whose macros count, by the layout that the admin chose.
pub(crate) fn macros_file(files: &[ConfigFile]) -> &'static str {
    if answer(files, "dc_use_split_config").is_some_and(|(v, _)| v == "true") { "000_mxseal" } else { "exim4.conf.localmacros" }
}

/// One answer of `update-exim4.conf.conf`: shell syntax, single or double quotes or none.
fn answer(files: &[ConfigFile], name: &str) -> Option<(String, Origin)> {
    let file = files.iter().find(|f| f.path.file_name().is_some_and(|n| n == "update-exim4.conf.conf"))?;
    // Facts of another host write blanks around the sign.
    let text = words_by_line(&file.text.0.0);
    let (number, value) =
        text.iter().enumerate().rev().find_map(|(n, l)| Some((n, l.strip_prefix(name)?.trim_start().strip_prefix('=')?.trim_start())))?;
    Some((value.trim_matches(['\'', '"']).to_owned(), Origin::File { path: file.path.clone(), line: number + 1 }))
}

fn words_by_line(bytes: &[u8]) -> Vec<String> {
    bytes.split(|b| *b == b'\n').map(words).collect()
}

pub(super) fn understand(files: &[ConfigFile]) -> Result<Understood, Unreadable> {
    let counts = macros_file(files);
    let mut settings = BTreeMap::new();
    if let Some(file) = files.iter().find(|f| f.path.file_name().is_some_and(|n| n == counts)) {
        for e in read(&file.path, &file.text.0.0)?.into_iter().filter(|e| MACROS.contains(&e.name.as_str())) {
            settings.insert(e.name, Effective { value: e.value, from: Origin::File { path: file.path.clone(), line: e.line } });
        }
    }
    let (interfaces, from) = answer(files, "dc_local_interfaces").unwrap_or((String::new(), Origin::Default));
    let mut listens: Vec<SocketAddr> = Vec::new();
    for word in interfaces.split([';', ' ']).map(str::trim).filter(|w| !w.is_empty()) {
        let with_port = word.rsplit_once('.').filter(|(a, _)| a.parse::<IpAddr>().is_ok());
        if let Some((ip, port)) = with_port {
            listens.extend(ip.parse::<IpAddr>().ok().zip(port.parse().ok()).map(|(ip, port)| SocketAddr::new(ip, port)));
        } else {
            listens.extend(word.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 25)));
        }
    }
    if listens.is_empty() {
        listens = vec![SocketAddr::from((Ipv4Addr::UNSPECIFIED, 25)), SocketAddr::from((Ipv6Addr::UNSPECIFIED, 25))];
    }
    let at = match &from {
        Origin::File { path, line } | Origin::Service { path, line } => (path.clone(), *line),
        Origin::Default => (files.first().map(|f| f.path.clone()).unwrap_or_default(), 0),
    };
    let service = Service { name: "exim4".into(), at, program: "exim4".into(), listens, role: Role::Mx, chroot: false, settings };
    let domains: Vec<DnsName> = answer(files, "dc_other_hostnames")
        .map(|(v, _)| v.split([':', ';', ' ']).filter_map(|w| w.trim().parse().ok()).filter(|n: &DnsName| n.parent().is_some()).collect())
        .unwrap_or_default();
    let receives_for =
        if domains.is_empty() { Known::unknown("dc_other_hostnames names no domain") } else { Known::seen(domains, "dc_other_hostnames") };
    Ok(Understood { services: vec![service], hostname: Known::unknown("Exim takes the name of the host"), receives_for })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mta::postfix::tests::file;

    #[test]
    fn macros_are_edited_in_place() {
        let path = Path::new("exim4.conf.localmacros");
        for (before, after) in [
            ("", "M = /x\n"),
            ("# c\nA = b\n", "# c\nA = b\nM = /x\n"),
            ("M=/old\nA = b\n", "M=/x\nA = b\n"),
            ("M = /old\\\n  /older\nA = b", "M = /x\nA = b"),
            ("M ==  /old\n", "M ==  /x\n"),
        ] {
            let (got, change) = set(path, before.as_bytes(), "M", "/x", "why").expect("an edit");
            assert_eq!(String::from_utf8_lossy(&got), after, "{before:?}");
            assert_eq!(restore(&got, &change.expect("a change")), Restored::Done(before.into()), "{before:?}");
        }
        assert!(set(path, b"", "M", "/x${run{/bin/sh}}", "why").is_err());
        assert!(read(path, b".ifdef A\nMAIN_TLS_ENABLE = yes\n.endif\n").is_err());
    }

    #[test]
    fn answers_of_debian_are_read() {
        let conf = "dc_other_hostnames='example.org : example.net'\ndc_local_interfaces='192.0.2.1 ; 2001:db8::1;127.0.0.1.587'\ndc_use_split_config='true'\n";
        let files = [file("/etc/exim4/update-exim4.conf.conf", conf), file("/etc/exim4/conf.d/main/000_mxseal", "MAIN_TLS_ENABLE = yes\n")];
        let got = understand(&files).expect("understood");
        let listens: Vec<_> = got.services[0].listens.iter().map(ToString::to_string).collect();
        assert_eq!(listens, ["192.0.2.1:25", "[2001:db8::1]:25", "127.0.0.1:587"]);
        assert!(got.services[0].settings.contains_key("MAIN_TLS_ENABLE"));
        assert_eq!(got.receives_for.value().map(Vec::len), Some(2));
    }
}
