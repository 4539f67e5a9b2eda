//! What of a main section may leave the host: conditions, what decides about TLS, and the macros in it. Everything else is
//! emptied, and nothing of the drivers below is kept.

use super::lines::{Line, OPTIONS, lines};
use std::fmt::Write as _;

/// The text with foreign values replaced by `hidden`, in the same lines; `None` where it does not look like Exim's.
pub(in crate::mta) fn redacted(bytes: &[u8], hidden: &str) -> Option<String> {
    let all = lines(bytes);
    let ours = |name: &str| name.starts_with("MAIN_TLS_") || OPTIONS.contains(&name);
    let is_exim = |line: &Line| match line {
        Line::Directive(_) | Line::Begin(_) => true,
        Line::Entry(entry, _) => ours(&entry.name),
        Line::Other => false,
    };
    if !all.iter().any(|(_, line)| is_exim(line)) {
        return None;
    }
    let entries = || all.iter().filter_map(|(_, line)| if let Line::Entry(entry, _) = line { Some(entry) } else { None });
    let mut kept: Vec<&str> = entries().map(|e| e.name.as_str()).filter(|n| ours(n)).collect();
    loop {
        let values: String = entries().filter(|e| kept.contains(&e.name.as_str())).map(|e| format!("{} ", e.value)).collect();
        let is_macro = |n: &str| n.starts_with(|c: char| c.is_ascii_uppercase());
        let more: Vec<&str> =
            entries().map(|e| e.name.as_str()).filter(|n| is_macro(n) && !kept.contains(n) && values.contains(n)).collect();
        if more.is_empty() {
            break;
        }
        kept.extend(more);
    }
    let (mut out, mut number) = (String::new(), 1);
    let fill = |out: &mut String, number: &mut usize, until: usize| {
        while *number < until {
            out.push_str("#\n");
            *number += 1;
        }
    };
    for (at, line) in &all {
        fill(&mut out, &mut number, *at);
        let _ = match line {
            Line::Directive(text) | Line::Begin(text) => writeln!(out, "{text}"),
            Line::Entry(e, again) => {
                let sign = if *again { "==" } else { "=" };
                let value = if kept.contains(&e.name.as_str()) || e.value.is_empty() { e.value.as_str() } else { hidden };
                writeln!(out, "{} {sign} {value}", e.name)
            }
            Line::Other => writeln!(out, "#"),
        };
        number += 1;
    }
    fill(&mut out, &mut number, bytes.split_inclusive(|b| *b == b'\n').count() + 1);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_stay_and_what_decides_about_tls_is_read_again() {
        let text = "# hunter2\nDIR = /etc/x\nPASS = hunter2\n.ifdef PASS\ntls_certificate = DIR/a : \\\n  /b\n.endif\nhide mysql_servers = x/hunter2\ndomainlist a = hunter2\nbegin authenticators\nplain:\n  server_prompts = hunter2\n";
        let got = redacted(text.as_bytes(), "hidden").expect("Exim's");
        assert_eq!(
            got,
            "#\nDIR = /etc/x\nPASS = hidden\n.ifdef PASS\ntls_certificate = DIR/a : /b\n#\n.endif\nmysql_servers = hidden\n#\nbegin authenticators\n#\n#\n"
        );
        assert_eq!(redacted(b"myhostname = a\nsmtp inet n - y - - smtpd\n", "hidden"), None);
    }
}
