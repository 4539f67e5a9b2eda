//! The TXT record at `_mta-sts.DOMAIN` (RFC 8461 §3.1): it says that there is a policy, and by another id that it changed.

use super::{Published, Reading, Remarks, fields};

const VERSION: &str = "v=STSv1";
const SECTION: &str = "RFC 8461 section 3.1";

/// The record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StsRecord {
    /// One to 32 letters and digits; senders fetch the policy again when it is another than the one they know.
    pub id: String,
}

impl StsRecord {
    /// Reads one text, the strings of the TXT record put together.
    #[must_use]
    pub fn read(text: &str) -> Reading<Self> {
        let mut remarks = Remarks::default();
        let mut id: Option<&str> = None;
        if !fields::begins(text, VERSION) {
            remarks.fail(0, SECTION, format!("it does not begin with {VERSION:?} and a semicolon, so senders discard it"));
            return Reading { value: None, remarks: remarks.0 };
        }
        for (name, value) in fields::fields(text, VERSION, SECTION, &mut remarks) {
            match name {
                "id" if id.is_some() => remarks.warn(0, "RFC 8461 section 3.2", "there is more than one id: the first counts"),
                "id" => {
                    id = Some(value);
                    if !is_id(value) {
                        remarks.fail(0, SECTION, format!("the id {value:?} is not 1 to 32 letters and digits"));
                    }
                }
                _ if !fields::is_value(value) => remarks.fail(0, SECTION, format!("the value of {name} is empty or holds what it may not")),
                _ => {}
            }
        }
        if id.is_none() {
            remarks.fail(0, SECTION, "there is no id");
        }
        Reading { value: id.map(|id| Self { id: id.to_owned() }), remarks: remarks.0 }
    }

    /// What the TXT records at `_mta-sts.DOMAIN` come to.
    #[must_use]
    pub fn published<S: AsRef<str>>(texts: &[S]) -> Published<Self> {
        Published::of(texts, Self::is, Self::read)
    }

    /// Whether a text is such a record at all, right or wrong.
    #[must_use]
    pub fn is(text: &str) -> bool {
        fields::begins(text, VERSION)
    }

    /// The text to publish.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{VERSION}; id={};", self.id)
    }
}

fn is_id(id: &str) -> bool {
    (1..=32).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::chance::Chance;

    fn verdict(text: &str) -> &'static str {
        StsRecord::published(&[text.to_owned()]).verdict()
    }

    #[test]
    fn every_case_has_its_verdict() {
        let long = |n: usize| format!("v=STSv1; id={}", "a".repeat(n));
        let table = [
            // RFC 8461 §3.1, the grammar.
            ("v=STSv1; id=20160831085700Z;".to_owned(), "ok"),
            ("v=STSv1;id=1".into(), "ok"),
            ("v=STSv1; id=1".into(), "ok"),
            ("v=STSv1;\t id=1 \t; ".into(), "ok"),
            ("v=STSv1; id=1; foo=bar".into(), "ok"),
            ("v=STSv1; foo=bar; id=1;".into(), "ok"),
            (long(32), "ok"),
            // Grammar and prose disagree (erratum 6285).
            ("v=STSv1 ; id=a".into(), "warn"),
            // §3.2, the last paragraph: the first counts.
            ("v=STSv1; id=a; id=b".into(), "warn"),
            // It does not begin with "v=STSv1;".
            ("V=STSv1; id=a".into(), "none"),
            ("v=stsv1; id=a".into(), "none"),
            ("v=STSv10; id=a".into(), "none"),
            ("v=STSv2; id=a".into(), "none"),
            ("id=a; v=STSv1".into(), "none"),
            (" v=STSv1; id=a".into(), "none"),
            ("\"v=STSv1; id=a\"".into(), "none"),
            ("v=STSv1\\; id=a".into(), "none"),
            ("v=STSv1, id=a".into(), "none"),
            ("v=STSv1".into(), "none"),
            ("v=spf1 mx -all".into(), "none"),
            ("".into(), "none"),
            // The id.
            ("v=STSv1;".into(), "invalid"),
            ("v=STSv1; ID=a".into(), "invalid"),
            ("v=STSv1; id=".into(), "invalid"),
            (long(33), "invalid"),
            ("v=STSv1; id=2024-01-01".into(), "invalid"),
            ("v=STSv1; id=12:00".into(), "invalid"),
            ("v=STSv1; id=a b".into(), "invalid"),
            ("v=STSv1; id=\u{e4}".into(), "invalid"),
            ("v=STSv1; id:a".into(), "invalid"),
            // Fields.
            ("v=STSv1;; id=a".into(), "invalid"),
            ("v=STSv1; id=a;;".into(), "invalid"),
            ("v=STSv1; id=a; x=".into(), "invalid"),
            ("v=STSv1; id=a; x=b c".into(), "invalid"),
            ("v=STSv1; id=a; x=b=c".into(), "invalid"),
            ("v=STSv1; id=a; _x=b".into(), "invalid"),
            ("v=STSv1; id=a ".into(), "invalid"),
        ];
        for (text, expected) in table {
            assert_eq!(verdict(&text), expected, "{text:?}");
        }
    }

    #[test]
    fn several_records_are_none_and_others_are_not_looked_at() {
        let of = |texts: &[&str]| StsRecord::published(&texts.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>());
        assert_eq!(of(&["v=STSv1; id=a", "v=STSv1; id=b"]), Published::Several(2));
        assert_eq!(of(&["v=STSv1; id=a", "v=STSv2; id=b", "verify=x"]).strict(), Some(&StsRecord { id: "a".into() }));
        assert_eq!(of(&[]), Published::Absent);
    }

    #[test]
    fn any_bytes_are_read_and_what_is_understood_is_printed_as_it_reads() {
        let mut chance = Chance::new();
        for _ in 0..20_000 {
            let text = chance.text(&["v=STSv1", ";", " ", "\t", "id=", "a1", "x=", "=", "\u{fc}", "v=", "\0", "id"], 12);
            let whole = format!("{}{text}", if chance.below(2) == 0 { "v=STSv1;" } else { "" });
            if let Some(record) = StsRecord::read(&whole).strict() {
                assert_eq!(StsRecord::read(&record.text()).strict(), Some(record), "{whole:?}");
            }
        }
    }
}
