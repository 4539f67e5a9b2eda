//! Before an order: whether CAA records of its names let this CA issue (RFC 8659). A refusal would count against the CA's limits;
//! what cannot be seen from here is left to the CA.

use super::Trouble;
use crate::{
    dns::Resolver,
    facts::Known,
    intent::ChallengeType,
    name::DnsName,
    policy::caa::{Caa, permits},
    world::Net,
};
use std::time::Duration;

/// All names together are not asked about for longer.
const LIMIT: Duration = Duration::from_secs(10);

/// Asks for the records that govern each name, where the CA says how records name it (RFC 8555 §9.7.6).
///
/// # Errors
/// The first name for which nobody that this CA calls itself may issue.
pub(super) async fn check(net: &Net, identities: &[String], names: &[DnsName], method: ChallengeType) -> Result<(), Trouble> {
    let (false, Ok(resolver)) = (identities.is_empty(), Resolver::new(net)) else { return Ok(()) };
    let asked: Vec<_> = names.iter().map(|name| (name, resolver.caa(name))).collect();
    let look = async {
        for (name, governing) in asked {
            let Known::Seen { value, .. } = governing.await else { continue };
            judge(name, &value.records, identities, method)?;
        }
        Ok(())
    };
    tokio::time::timeout(LIMIT, look).await.unwrap_or(Ok(()))
}

fn judge(name: &DnsName, governing: &[String], identities: &[String], method: ChallengeType) -> Result<(), Trouble> {
    let Ok(records) = governing.iter().map(|text| text.parse()).collect::<Result<Vec<Caa>, _>>() else { return Ok(()) };
    if identities.iter().any(|ca| permits(&records, ca, method.name())) {
        return Ok(());
    }
    let add = identities.first().map(|ca| Caa::issue(ca, &[]).to_string()).unwrap_or_default();
    Err(Trouble::Caa { name: name.clone(), governing: governing.to_vec(), add, method })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topics::Explained as _;

    #[test]
    fn what_records_forbid_is_said_before_the_order() {
        let us = ["ca.example".to_owned(), "ca.test".to_owned()];
        let name: DnsName = "mx.example.org".parse().expect("a name");
        for (governing, permitted) in [
            (&[][..], true),
            (&["0 issue \"ca.test\""], true),
            (&["0 issue \"other.example\"", "0 issue \"ca.example\""], true),
            (&["0 issue \"other.example\""], false),
            (&["0 issue \"ca.example; validationmethods=dns-01\""], false),
            // Nobody here can read it; the CA can.
            (&["0 issue \"unfinished"], true),
        ] {
            let governing: Vec<String> = governing.iter().map(|&text| text.to_owned()).collect();
            let judged = judge(&name, &governing, &us, ChallengeType::Http01);
            assert_eq!(judged.is_ok(), permitted, "{governing:?}");
            if let Err(trouble) = judged {
                let says = trouble.to_string();
                assert!(says.contains("mx.example.org") && says.contains(&governing[0]), "{says}");
                assert!(says.contains("0 issue \"ca.example\"") && trouble.topic() == "challenge-caa", "{says}");
            }
        }
    }
}
