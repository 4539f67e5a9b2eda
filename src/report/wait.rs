//! A wait as a table that is written over while it goes on; where there is no terminal, as a line each time that a server says
//! something new.

use super::{Style, Terminal};
use crate::{
    facts::Security,
    publish::wait::{Outlook, Says, View, Who},
};
use console::Term;
use std::{io::IsTerminal as _, time::Duration};

/// Shows views as they come, on standard error.
#[derive(Debug)]
pub struct Waiting {
    term: Option<Term>,
    style: Style,
    quiet: bool,
    drawn: usize,
    shown: Vec<String>,
}

impl Waiting {
    /// A table where a person looks at a terminal, lines otherwise, and nothing when `quiet`.
    #[must_use]
    pub fn new(quiet: bool) -> Self {
        let style = Style::of_stderr();
        let term = (!style.plain && std::io::stderr().is_terminal()).then(Term::stderr);
        Self { term, style, quiet, drawn: 0, shown: Vec::new() }
    }

    /// The views of a round, and how long the wait goes on at most.
    pub fn show(&mut self, views: &[View], outlook: Outlook, left: Duration) {
        if self.quiet {
            return;
        }
        let rows = rows(views);
        match &self.term {
            Some(term) => {
                let mut lines = table(&rows, self.style.width);
                lines.push(cut(&last_line(outlook, left), self.style.width));
                let _ = term.clear_last_lines(self.drawn);
                self.drawn = lines.len();
                lines.iter().for_each(|line| drop(term.write_line(line)));
                if outlook == Outlook::Done || left.is_zero() {
                    rows.iter().for_each(|row| Terminal::note(&format!("  {row}\n")));
                }
            }
            None => {
                for row in rows.iter().filter(|row| !self.shown.contains(row)) {
                    Terminal::complain(&format!("  {row}"));
                }
                self.shown = rows;
            }
        }
    }
}

fn table(rows: &[String], width: usize) -> Vec<String> {
    rows.iter().map(|row| cut(&format!("  {row}"), width)).collect()
}

/// A line that is written over must be one line.
fn cut(line: &str, width: usize) -> String {
    if line.chars().count() < width { line.to_owned() } else { line.chars().take(width.saturating_sub(2)).chain(['…']).collect() }
}

fn last_line(outlook: Outlook, left: Duration) -> String {
    match outlook {
        Outlook::Done => "  Everybody who was asked has it.".to_owned(),
        Outlook::Untold => "  All name servers have it; a resolver does not answer.".to_owned(),
        Outlook::Authorities => format!("  Waiting for the name servers, {} more; Ctrl-C is safe.", time(left)),
        Outlook::Resolvers => format!("  Waiting for the resolvers, {} more; Ctrl-C is safe.", time(left)),
    }
}

/// What the servers say, in columns as wide as they need be; of several zones, with the zone.
fn rows(views: &[View]) -> Vec<String> {
    let several = views.iter().any(|v| v.zone != views[0].zone);
    let who = |v: &View| if several { format!("{}: {}", v.zone, v.who) } else { v.who.to_string() };
    let width = views.iter().map(|v| who(v).chars().count()).max().unwrap_or(0);
    views.iter().map(|v| format!("{:<width$}  {}", who(v), said(v))).collect()
}

/// What one server says. What may be cut off on a narrow terminal comes last.
fn said(view: &View) -> String {
    let serial = format!("{:<11}", view.serial.map_or_else(|| "-".to_owned(), |s| s.to_string()));
    let says = match &view.says {
        Says::NotAsked => "asked when all name servers have it".to_owned(),
        Says::NoRoute => "cannot be reached from here".to_owned(),
        Says::Silent(why) => format!("no answer: {}", why.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>()),
        Says::Seen { right, of, ttl, security } => {
            let signed = match (security, &view.who) {
                (_, Who::Authority(..)) => "",
                (Security::Unknown, _) => ", not known whether signed",
                (Security::Secure, _) => ", signed",
                (Security::Insecure, _) => ", not signed",
                (Security::Bogus, _) => ", signatures wrong",
            };
            let keeps = match (right == of, &view.who) {
                (true, _) => format!(", TTL {ttl}"),
                (false, Who::Authority(..)) => String::new(),
                (false, _) => format!(", asks again within {}", time(Duration::from_secs((*ttl).into()))),
            };
            format!("{right} of {of}{signed}{keeps}")
        }
    };
    format!("{serial} {says}")
}

/// As people say it.
fn time(left: Duration) -> String {
    match left.as_secs() {
        s @ 0..=119 => format!("{s} s"),
        s @ 120..=7199 => format!("{} min", s / 60),
        s => format!("{} h", s / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_view_is_a_line() {
        let local = Who::Local(([127, 0, 0, 1], 53).into());
        let ns = Who::Authority("ns1.example.org".parse().expect("a name"), ([192, 0, 2, 53], 53).into());
        let seen = |right, ttl, security| Says::Seen { right, of: 2, ttl, security };
        let view = |zone: &str, who: &Who, serial, says| View { who: who.clone(), zone: zone.parse().expect("a name"), serial, says };
        for (who, serial, says, expected) in [
            (&ns, Some(2_026_112_201), seen(2, 3600, Security::Unknown), "ns1.example.org 192.0.2.53  2026112201  2 of 2, TTL 3600"),
            (&ns, Some(7), seen(1, 60, Security::Unknown), "ns1.example.org 192.0.2.53  7           1 of 2"),
            (&local, None, Says::NotAsked, "this host's resolver 127.0.0.1  -           asked when all name servers have it"),
            (
                &local,
                None,
                seen(0, 600, Security::Insecure),
                "this host's resolver 127.0.0.1  -           0 of 2, not signed, asks again within 10 min",
            ),
            (&local, None, seen(2, 60, Security::Secure), "this host's resolver 127.0.0.1  -           2 of 2, signed, TTL 60"),
            (
                &local,
                None,
                seen(2, 60, Security::Unknown),
                "this host's resolver 127.0.0.1  -           2 of 2, not known whether signed, TTL 60",
            ),
            (&local, None, Says::Silent("a\u{1b}b".into()), "this host's resolver 127.0.0.1  -           no answer: a b"),
        ] {
            assert_eq!(rows(&[view("example.org", who, serial, says)]), [expected]);
        }
        assert_eq!(rows(&[]), Vec::<String>::new());
        let two = [view("a.example", &ns, Some(7), Says::NoRoute), view("b.test", &local, None, Says::NotAsked)];
        assert_eq!(
            rows(&two),
            [
                "a.example: ns1.example.org 192.0.2.53   7           cannot be reached from here",
                "b.test: this host's resolver 127.0.0.1  -           asked when all name servers have it"
            ]
        );
        assert_eq!(table(&["a".repeat(90)], 80)[0].chars().count(), 79);
        assert_eq!(
            [time(Duration::from_secs(119)), time(Duration::from_secs(7199)), time(Duration::from_secs(7200))],
            ["119 s", "119 min", "2 h"]
        );
    }
}
