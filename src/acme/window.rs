//! When the CA suggests to renew (RFC 9773 §4): a question without an account, so a plain GET. What it says is kept with the
//! certificate; where it says nothing usable, the lifetime tells.

use super::{
    Say,
    account::Directory,
    bad_news::{Trouble, said},
    lineage,
    transport::Transport,
    watched,
};
use crate::{
    facts::{Lineage, LineageKey, Window},
    moment::Moment,
    report::observer::Nobody,
    world::{self, Net, Store},
};
use http::Method;
use serde_json::Value;
use std::time::Duration;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// The whole question takes no longer.
const AT_MOST: Duration = Duration::from_secs(60);
/// Asked again no earlier, whatever the CA wishes (RFC 9773 §4.3.2 wants bounds on both sides).
const SOONEST: Duration = Duration::from_secs(60);
/// ... and no later.
const LATEST: Duration = Duration::from_secs(86_400);
/// Where it says no time.
const USUAL: Duration = Duration::from_secs(6 * 3600);

/// Asks for the window of every certificate of `lineage` that may be asked for by now, and keeps what is told. A CA that knows
/// no windows is asked for nothing.
///
/// # Errors
/// When the CA cannot be reached or answers as none should; what was told before stays.
pub async fn ask_windows(net: &Net, store: &Store, lineage: &Lineage) -> Result<Lineage, Trouble> {
    let now = world::now();
    let mut asked = lineage.clone();
    if asked.keys.iter().all(|k| name(k, now).is_none()) {
        return Ok(asked);
    }
    watched(&Nobody, AT_MOST, async |say: &Say| {
        let transport = Transport::new(net, Duration::from_secs(5), say.clone())?;
        let Some(url) = Directory::fetch(&transport, &lineage.directory).await?.renewal_info else { return Ok(()) };
        for key in &mut asked.keys {
            let Some(name) = name(key, now) else { continue };
            let url = format!("{url}/{name}");
            let answer = transport.look(Method::GET, &url).await?;
            let broken = |says: &str| Trouble::Broken { url: said(&url), says: says.to_owned() };
            if !answer.status().is_success() {
                return Err(broken(&format!("it answers {}", answer.status())));
            }
            let again = now.after(transport.retry_after().unwrap_or(USUAL).clamp(SOONEST, LATEST));
            key.window = Some(read_window(answer.body(), again).ok_or_else(|| broken("it suggests no window"))?);
        }
        Ok(())
    })
    .await?;
    if asked != *lineage {
        lineage::save(store, &asked)?;
    }
    Ok(asked)
}

/// How the CA calls the certificate, where it may be asked by now.
fn name(key: &LineageKey, now: Moment) -> Option<String> {
    let rests = key.window.as_ref().is_some_and(|w| now < w.again);
    key.leaf.as_ref().filter(|_| !rests)?.renewal_id()
}

/// The window that a CA suggests (RFC 9773 §4.2), which need not be asked for before `again`; `None` where the body holds none.
#[must_use]
pub fn read_window(body: &[u8], again: Moment) -> Option<Window> {
    let value: Value = serde_json::from_slice(body).ok()?;
    let moment = |name: &str| {
        let at = OffsetDateTime::parse(value["suggestedWindow"][name].as_str()?, &Rfc3339).ok()?;
        Some(Moment(u64::try_from(at.unix_timestamp()).ok()?))
    };
    let (start, end) = (moment("start")?, moment("end")?);
    Some(Window { start, end, explanation: value["explanationURL"].as_str().map(said), again })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_read() {
        let read = |text: &str| read_window(text.as_bytes(), Moment(7));
        let whole = r#"{"suggestedWindow":{"start":"2026-01-02T04:00:00Z","end":"2026-01-03T04:00:00.5+01:00"},"explanationURL":"https://ca.example/why"}"#;
        let window = read(whole).expect("a window");
        assert_eq!((window.start.to_string(), window.end.to_string()), ("2026-01-02T04:00:00Z".into(), "2026-01-03T03:00:00Z".into()));
        assert_eq!((window.explanation.as_deref(), window.again), (Some("https://ca.example/why"), Moment(7)));
        for none in [
            "",
            "[]",
            "{}",
            r#"{"suggestedWindow":{"start":"soon","end":"later"}}"#,
            r#"{"suggestedWindow":{"start":"1969-01-01T00:00:00Z"}}"#,
        ] {
            assert_eq!(read(none), None, "{none}");
        }
    }
}
