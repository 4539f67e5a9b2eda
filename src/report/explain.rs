//! The catalogue on a terminal.

use super::{Style, wrap::hang};
use crate::topics::{FAMILIES, Topic};

/// One topic: what it means, how to see it, where it is written.
#[must_use]
pub fn topic_page(style: Style, topic: &Topic) -> String {
    let mut out = String::new();
    hang(&mut out, "", &format!("{}: {}", topic.id, topic.title), style.width);
    out.push('\n');
    hang(&mut out, "  ", topic.text, style.width);
    out.push('\n');
    // To be pasted: in one line each.
    hang(&mut out, "  By hand  ", topic.see, usize::MAX);
    hang(&mut out, "  Written  ", topic.reference, style.width);
    out
}

/// Every id with its title.
#[must_use]
pub fn catalogue_page(style: Style) -> String {
    let mut out = String::new();
    let longest = FAMILIES.iter().flat_map(|f| f.topics).map(|t| t.id.len()).max().unwrap_or(0);
    for family in FAMILIES {
        if !out.is_empty() {
            out.push('\n');
        }
        hang(&mut out, "", family.title, style.width);
        for topic in family.topics {
            hang(&mut out, &format!("  {:<longest$}  ", topic.id), topic.title, style.width);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topics::{all, topic};

    #[test]
    fn a_topic_fills_a_page() {
        let page = topic_page(Style::default(), topic("starttls-gone").expect("a topic"));
        assert_eq!(
            page,
            "starttls-gone: STARTTLS is not offered\n\n  The server does not offer STARTTLS. Everyone between sender and server can\n  \
             read the mail, and senders that must verify keep it.\n\n  By hand  posttls-finger \"[mx.example.org]\"\n  Written  RFC 3207 section 4; \
             RFC 7672 section 2.2; RFC 8461 section 4.2;\n           postconf(5) smtpd_tls_security_level\n"
        );
    }

    #[test]
    fn nothing_but_what_is_pasted_is_wider_than_the_terminal() {
        let narrow = |text: &str| text.lines().filter(|l| l.chars().count() > 80).map(ToOwned::to_owned).collect::<Vec<_>>();
        assert_eq!(narrow(&catalogue_page(Style::default())), Vec::<String>::new());
        assert_eq!(
            catalogue_page(Style::default()).lines().filter(|l| l.starts_with("  ") && !l.starts_with("   ")).count(),
            all().count()
        );
        for topic in all() {
            let page = topic_page(Style::default(), topic);
            assert!(narrow(&page).iter().all(|l| topic.see.contains(l.trim_start_matches("  By hand  ").trim())), "{page}");
        }
    }
}
