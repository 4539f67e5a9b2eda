//! What the world was told, kept in the Store. It is written before the world is told, so that whoever dies in between has
//! promised too much rather than kept too little.

use super::{Data, Exchange, Sheet, TTL};
use crate::{
    claims::Claims,
    facts::{Facts, Here, Security, Tlsa},
    moment::Moment,
    world::Store,
};
use serde::{Deserialize, Serialize};
use std::io;

const KEPT: &str = "claims.json";
/// The format that this version writes.
const VERSION: u16 = 1;

#[derive(Serialize, Deserialize)]
struct Kept {
    version: u16,
    claims: Claims,
}

/// The claims that are kept; none where nothing was ever told.
///
/// # Errors
/// When they cannot be read, or another release wrote them: then nobody knows what is promised, and nothing may be changed.
pub fn claims(store: &Store) -> io::Result<Claims> {
    Ok(store.load_format::<Kept>(KEPT, VERSION)?.map(|kept| kept.claims).unwrap_or_default())
}

/// Changes the claims: to be called before the world is told.
///
/// # Errors
/// When they cannot be read or written; then the world must not be told.
pub fn tell(store: &Store, now: Moment, what: impl FnOnce(&mut Claims)) -> io::Result<Claims> {
    let before = claims(store)?;
    let mut claims = before.clone();
    what(&mut claims);
    claims.forget_past(now);
    if claims != before {
        store.save(KEPT, &Kept { version: VERSION, claims: claims.clone() })?;
    }
    Ok(claims)
}

/// Takes in what DNS says of this host's MX names, whoever published it: what the world believes binds us whoever told it. An answer
/// that is forged, or did not come, says nothing.
///
/// # Errors
/// As [`tell`].
pub fn see(store: &Store, facts: &Facts) -> io::Result<Claims> {
    let ours = facts.mx_hosts.iter().filter(|m| m.here.value() != Some(&Here::No));
    tell(store, facts.now, |claims| {
        for mx in ours {
            if let Some(answer) = mx.tlsa.value().filter(|a| a.security != Security::Bogus) {
                claims.see_tlsa(&mx.name, &answer.records, answer.ttl, facts.now);
            }
        }
    })
}

/// Takes in the keys that the records of an exchange name for each MX name, beside those that DNS names already.
pub fn promise_keys(claims: &mut Claims, facts: &Facts, sheet: &Sheet, exchange: &Exchange) {
    for mx in &facts.mx_hosts {
        let Ok(owner) = mx.name.under("_25._tcp") else { continue };
        let new = sheet.wanted.iter().filter(|w| w.owner == owner && exchange.add.iter().any(|r| r.owner == *w.at() && r.data == w.data));
        let mut keys: Vec<Tlsa> = new.filter_map(|w| if let Data::Tlsa(tlsa) = &w.data { Some(tlsa.clone()) } else { None }).collect();
        if keys.is_empty() {
            continue;
        }
        let there = mx.tlsa.value();
        let ttl = there.map_or(TTL, |a| a.ttl.max(TTL));
        keys.extend(there.into_iter().flat_map(|a| a.records.clone()));
        claims.see_tlsa(&mx.name, &keys, ttl, facts.now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::Digest;

    #[test]
    fn what_is_told_is_kept_and_another_release_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let store = Store::open(dir.path().join("state")).expect("a store");
        assert_eq!(claims(&store).expect("none"), Claims::default());
        let mx = "mx.example.org".parse().expect("a name");
        let told = tell(&store, Moment(5), |c| c.tell_tlsa(&mx, &[Digest::of(b"key")], 60, Moment(5))).expect("told");
        assert_eq!((told.0.len(), claims(&store).expect("kept")), (1, told));
        tell(&store, Moment(6), |c| c.tell_tlsa(&mx, &[], 60, Moment(6))).expect("withdrawn");
        assert_eq!(tell(&store, Moment(10 * 86400), |_| {}).expect("past"), Claims::default());
        store.save(KEPT, &serde_json::json!({ "version": 2, "claims": "something else" })).expect("written");
        assert!(claims(&store).expect_err("another release").to_string().contains("format 2"));
        assert!(tell(&store, Moment(7), |_| {}).is_err(), "nothing is told that cannot be kept");
    }
}
