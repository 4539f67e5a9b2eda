//! A certificate for each name that a client sends (Exim specification, `tls_in_sni`). The client's word is only compared with
//! names that are written down: no path is made of it, it is no key of a lookup, and no word of it can make the expansion
//! fail. Whoever sends another name, or none, is shown the last.

/// The value of `tls_certificate`: for each name its list of files, and the list for all others.
pub(super) fn written(by_name: &[(String, String)], others: &str) -> String {
    let one = |rest: String, (name, files): &(String, String)| format!("${{if eqi{{$tls_in_sni}}{{{name}}}{{{files}}}{{{rest}}}}}");
    by_name.iter().rev().fold(others.to_owned(), one)
}

/// A value that [`written`] wrote; `None` for every other.
pub(super) fn read(value: &str) -> Option<(Vec<(String, String)>, String)> {
    let (mut by_name, mut rest) = (Vec::new(), value);
    while let Some(after) = rest.strip_prefix("${if eqi{$tls_in_sni}{") {
        let (name, after) = after.split_once("}{")?;
        let (files, after) = after.split_once("}{")?;
        by_name.push((name.to_owned(), files.to_owned()));
        rest = after.strip_suffix("}}")?;
    }
    let parts = by_name.iter().flat_map(|(name, files)| [name.as_str(), files.as_str()]).chain([rest]);
    (!by_name.is_empty() && parts.clone().all(|part| !part.contains(['{', '}', '$', '\\']))).then(|| (by_name.clone(), rest.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let pair = |name: &str, files: &str| (name.to_owned(), files.to_owned());
        let by_name = vec![pair("mx2.example.org", "/l/2.ecdsa.pem : /l/2.rsa.pem"), pair("mx3.example.org", "/l/3.pem")];
        let value = written(&by_name, "/l/1.pem");
        assert_eq!(
            value,
            "${if eqi{$tls_in_sni}{mx2.example.org}{/l/2.ecdsa.pem : /l/2.rsa.pem}{${if eqi{$tls_in_sni}{mx3.example.org}{/l/3.pem}{/l/1.pem}}}}"
        );
        assert_eq!(read(&value), Some((by_name, "/l/1.pem".to_owned())));
        assert_eq!(written(&[], "/l/1.pem"), "/l/1.pem");
        for other in [
            "/l/1.pem",
            "${if eqi{$tls_in_sni}{a}{/a}{/b}",
            "${if eqi{$tls_in_sni}{$h_subject:}{/a}{/b}}",
            "${if eqi{$tls_in_sni}{a}{/a}{${run{/bin/sh}}}}",
            "${lookup{$tls_in_sni}lsearch{/etc/certs}}",
        ] {
            assert_eq!(read(other), None, "{other}");
        }
    }
}
