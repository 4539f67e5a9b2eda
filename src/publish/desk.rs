//! Whoever keeps a policy list takes domains at a desk on the web: the documented API of the one that the EFF had. Every answer
//! is an envelope of JSON with a status, a message and what was asked for; the HTTP status is the same.

use super::fetch;
use crate::{name::DnsName, policy::policy_list::ListPolicy, world::Net};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;
use std::{collections::BTreeMap, fmt};

/// No answer is larger, in bytes.
const LARGEST: usize = 1 << 20;

/// The desk at one address.
#[derive(Clone, Copy, Debug)]
pub struct Desk<'a> {
    /// The network.
    pub net: &'a Net,
    /// The URL below which `/api/` lies.
    pub url: &'a str,
}

/// How far a domain got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It was never asked for.
    Unknown,
    /// It was asked for; the domain's postmaster has not confirmed it.
    Unvalidated,
    /// It waits for its time.
    Queued,
    /// It is on the list.
    #[serde(alias = "enforce")]
    Added,
    /// It was asked for, and did not stay good.
    Failed,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "was never asked for",
            Self::Unvalidated => "was asked for, and waits for the word of its postmaster",
            Self::Queued => "is confirmed, and waits for its time",
            Self::Added => "is on the list",
            Self::Failed => "was asked for, and did not stay good meanwhile",
        })
    }
}

/// What the list's own checker found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scan {
    /// Whether it would take the domain.
    pub good: bool,
    /// Everything that it has against it, in its words, with the MX host where it is about one.
    pub against: Vec<String>,
}

/// Why there is no answer to go on with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It could not be asked, or not as the API is documented.
    #[error("{0}")]
    Untold(String),
    /// It asks to wait.
    #[error("{0}; try again later")]
    Later(String),
    /// It says no.
    #[error("the list's keeper refuses: {0}")]
    No(String),
}

#[derive(Deserialize)]
struct Envelope {
    #[serde(default)]
    message: String,
    #[serde(default)]
    response: Value,
}

impl Desk<'_> {
    /// How far a domain got.
    ///
    /// # Errors
    /// When there is no answer, or it cannot be read.
    pub async fn state(&self, domain: &DnsName) -> Result<State, Refused> {
        match self.ask("GET", &format!("/api/queue?domain={domain}"), &[]).await? {
            (404, _) => Ok(State::Unknown),
            (_, envelope) => state(&envelope.response).ok_or_else(|| unreadable("the state of the domain")),
        }
    }

    /// Lets the list's own checker look at the domain now: what is queued must have been looked at.
    ///
    /// # Errors
    /// As [`state`](Self::state).
    pub async fn scan(&self, domain: &DnsName) -> Result<Scan, Refused> {
        let (_, envelope) = self.ask("POST", "/api/scan", &[("domain", domain.as_str())]).await?;
        scan(&envelope.response).ok_or_else(|| unreadable("what its checker found"))
    }

    /// Asks for a domain to be taken, as its entry says, or by its MTA-STS policy; its own words.
    ///
    /// # Errors
    /// As [`state`](Self::state), or it says no.
    pub async fn queue(&self, domain: &DnsName, entry: &ListPolicy, by_policy: bool, email: &str, weeks: u8) -> Result<String, Refused> {
        let (weeks, names) = (weeks.to_string(), entry.mxs.iter().map(ToString::to_string).collect::<Vec<_>>());
        let mut form = vec![("domain", domain.as_str()), ("email", email), ("weeks", &weeks)];
        if by_policy {
            form.push(("mta-sts", "on"));
        } else {
            form.extend(names.iter().map(|name| ("hostnames", name.as_str())));
        }
        self.ask("POST", "/api/queue", &form).await.map(|(_, envelope)| words(&envelope))
    }

    /// Gives back the token of the letter to the postmaster; the domain that it was for.
    ///
    /// # Errors
    /// As [`queue`](Self::queue).
    pub async fn validate(&self, token: &str) -> Result<String, Refused> {
        self.ask("POST", "/api/validate", &[("token", token)]).await.map(|(_, envelope)| words(&envelope))
    }

    /// One request and its envelope: status 200, or 404 of a GET.
    async fn ask(&self, method: &str, path: &str, form: &[(&str, &str)]) -> Result<(u16, Envelope), Refused> {
        let url = format!("{}{path}", self.url.trim_end_matches('/'));
        let body = Bytes::from(form.iter().map(|(key, value)| format!("{key}={}", quoted(value))).collect::<Vec<_>>().join("&"));
        let (status, body) = fetch::exchange(self.net, method, &url, body, LARGEST).await.map_err(Refused::Untold)?;
        let envelope = serde_json::from_slice::<Envelope>(&body);
        match (status, envelope) {
            (429 | 500.., envelope) => {
                let said = envelope.map(|e| words(&e)).unwrap_or_default();
                Err(Refused::Later(format!("{url} answers {status} {said}").trim_end().to_owned()))
            }
            (_, Err(e)) => Err(Refused::Untold(format!(
                "{url} answers {status}, and not as the API of a list is documented ({e}): see the key api of [list] in mxseal.toml"
            ))),
            (200, Ok(envelope)) => Ok((status, envelope)),
            (404, Ok(envelope)) if method == "GET" => Ok((status, envelope)),
            (_, Ok(envelope)) => Err(Refused::No(format!("{} ({status})", words(&envelope)))),
        }
    }
}

fn unreadable(what: &str) -> Refused {
    Refused::Untold(format!("{what} cannot be read in the answer"))
}

/// The message, or the answer where that is a text.
fn words(envelope: &Envelope) -> String {
    clean(envelope.response.as_str().filter(|text| !text.is_empty()).unwrap_or(&envelope.message))
}

/// Text of the network for a reader: one line, no control characters, at most 400 characters.
fn clean(text: &str) -> String {
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(400).collect();
    clean.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The state in an answer; `None` where it holds none that is documented.
#[must_use]
pub fn state(response: &Value) -> Option<State> {
    serde_json::from_value(response.get("state")?.clone()).ok()
}

/// The answer of a scan: status 0 is success, 1 a warning; the domain's and those of every MX host, check by check. `None` where it
/// is no such answer.
#[must_use]
pub fn scan(response: &Value) -> Option<Scan> {
    let data = response.get("scandata")?;
    let status = data.get("status")?.as_u64()?;
    let mut against = Vec::new();
    against.extend(data.get("message").and_then(Value::as_str).filter(|m| !m.is_empty()).map(clean));
    let hosts: BTreeMap<String, Value> = data.get("results").and_then(|r| serde_json::from_value(r.clone()).ok()).unwrap_or_default();
    for (host, result) in &hosts {
        let checks = result.get("checks").and_then(Value::as_object).into_iter().flatten();
        let bad = checks.filter(|(_, check)| check.get("status").and_then(Value::as_u64) != Some(0));
        let said =
            bad.flat_map(|(_, check)| check.get("messages").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str));
        against.extend(said.map(|text| format!("{}: {}", clean(host).trim_end_matches('.'), clean(text))));
    }
    // What is queued must be without any fault.
    Some(Scan { good: status == 0, against })
}

/// A value of a form (application/x-www-form-urlencoded).
fn quoted(text: &str) -> String {
    let one = |b: u8| match b {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(b).to_string(),
        _ => format!("%{b:02X}"),
    };
    text.bytes().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn answers_are_read_as_documented() {
        for (word, expected) in [
            ("unknown", Some(State::Unknown)),
            ("unvalidated", Some(State::Unvalidated)),
            ("queued", Some(State::Queued)),
            ("added", Some(State::Added)),
            ("enforce", Some(State::Added)),
            ("failed", Some(State::Failed)),
            ("else", None),
        ] {
            assert_eq!(state(&json!({ "domain": "example.org", "state": word })), expected, "{word}");
        }
        let leaf = |status: u64, says: &[&str]| json!({ "name": "starttls", "status": status, "messages": says });
        let host = |checks: Value| json!({ "name": "hostnames", "status": 0, "checks": checks });
        let of = |status: u64, results: Value| json!({ "domain": "example.org", "scandata": { "status": status, "results": results } });
        let good = of(0, json!({ "mx.example.org.": host(json!({ "starttls": leaf(0, &[]) })) }));
        assert_eq!(scan(&good), Some(Scan { good: true, against: vec![] }));
        let bad = of(2, json!({ "mx.example.org.": host(json!({ "starttls": leaf(2, &["Failure: Server does\u{1b}[31m not"]) })) }));
        let says = "mx.example.org: Failure: Server does [31m not".to_owned();
        assert_eq!(scan(&bad), Some(Scan { good: false, against: vec![says] }));
        assert_eq!(scan(&of(1, Value::Null)), Some(Scan::default()), "a warning keeps it out, too");
        assert_eq!(scan(&json!({ "scandata": [] })), None);
    }

    proptest::proptest! {
        #[test]
        fn any_answer_is_read_in_peace(
            text in r#"(\{|\}|\[|\]|:|,|"scandata"|"status"|"state"|"results"|"checks"|"messages"|"queued"|"mx\."|[0-9]|null|\\u0007){0,40}"#,
            fault in r#"[\PC\r\n\u{0}\u{1b}]{0,500}"#,
        ) {
            let value = serde_json::from_str::<Value>(&text).unwrap_or(Value::Null);
            let _ = (state(&value), scan(&value));
            let said = json!({ "scandata": { "status": 2, "results": { &fault: { "checks": { "x": { "status": 2, "messages": [&fault] } } } } } });
            let scan = scan(&said).expect("a scan");
            proptest::prop_assert!(scan.against.iter().all(|s| !s.contains(char::is_control) && s.chars().count() <= 802));
        }
    }

    #[test]
    fn a_form_holds_nothing_but_its_values() {
        assert_eq!(quoted(".mx-1.example.org"), ".mx-1.example.org");
        assert_eq!(quoted("a b&c=ä+@"), "a%20b%26c%3D%C3%A4%2B%40");
    }
}
