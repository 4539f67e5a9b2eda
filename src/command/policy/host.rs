//! Who serves a policy, and that it is kept and served from now on.

use super::{
    super::{Trouble, place::Site, policy_host},
    seen::Seen,
};
use crate::{
    facts::DomainFacts,
    finding::Finding,
    publish::{KeptPolicy, PolicyHost, ServedBy, WebServer, policies, policy_file, told},
    report::Progress,
    settings::Settings,
    survey,
    world::{self, Hands as _, Machine},
};

/// Where the file is written for a web server, where nobody says.
const EXPORT_DIR: &str = "/var/www/mta-sts";

/// Who serves it: as is said, else as before, else nobody new where somebody does already, else as the settings say, else we do.
pub(super) fn chosen(
    said: &Settings,
    kept: Option<&KeptPolicy>,
    written: &Settings,
    seen: &Seen,
    about: &DomainFacts,
) -> Result<PolicyHost, Trouble> {
    let served = || seen.sight.policies.get(&about.domain).is_some_and(|p| p.reading().is_some());
    let by = match (said.policy_host, kept) {
        (None, Some(kept)) => return Ok(kept.host.clone()),
        (Some(by), _) => by,
        (None, None) if served() => ServedBy::None,
        (None, None) => written.policy_host.unwrap_or(ServedBy::Builtin),
    };
    let wishes = said.clone().over(written.clone());
    let dir = wishes.export_dir.unwrap_or_else(|| EXPORT_DIR.into());
    Ok(match by {
        ServedBy::Builtin => match policy_host::taken() {
            Some(taken) => return Err(taken),
            None => PolicyHost::Builtin,
        },
        ServedBy::Snippet => PolicyHost::Snippet { server: wishes.web_server.map_or_else(listening, Ok)?, dir },
        ServedBy::Export => PolicyHost::Export { dir },
        ServedBy::None => PolicyHost::None,
    })
}

/// The web server that has the port.
fn listening() -> Result<WebServer, Trouble> {
    let owners = survey::port_owners(&Machine, 443);
    let mut known = owners.iter().filter_map(|o| WebServer::of(&o.value()?.program));
    let unknown = || Trouble::usage("say which web server the site is for: --web-server nginx, apache or caddy");
    known.next().ok_or_else(unknown)
}

/// Keeps the policy from now on, and lets senders have it as far as that is ours to do: what they see then, and what went wrong.
/// Whoever dies on the way has promised too much rather than kept too little.
pub(super) async fn enact(
    site: &Site,
    settings: &Settings,
    new: KeptPolicy,
    seen: Seen,
    progress: &Progress,
) -> Result<(Seen, KeptPolicy, Vec<Finding>), Trouble> {
    let now = world::now();
    told::tell(&site.store, now, |claims| claims.tell_policy(&new.domain, Some(&new.policy), now)).map_err(Trouble::state)?;
    policies::save(&site.store, &new).map_err(Trouble::state)?;
    let findings = carry(site, settings, &new, progress).await?;
    let seen = Seen::look(site, seen.facts).await;
    let new = seen.keep(site, new)?;
    Ok((seen, new, findings))
}

/// Lets it be served, as far as that is ours to do.
async fn carry(site: &Site, settings: &Settings, new: &KeptPolicy, progress: &Progress) -> Result<Vec<Finding>, Trouble> {
    match &new.host {
        PolicyHost::Builtin => {
            let all = policies::all(&site.store).map_err(Trouble::state)?;
            policy_host::keep(site, settings, &all, true, progress).await
        }
        PolicyHost::Snippet { dir, .. } | PolicyHost::Export { dir } => {
            let file = policy_file(dir, &new.domain);
            let wrong = |e: std::io::Error| Trouble::human(format!("{}: {e}", file.display())).about("policy-host-unservable");
            let missing: Vec<_> = file.ancestors().skip(1).take_while(|dir| !dir.is_dir()).collect();
            for dir in missing.into_iter().rev() {
                Machine.make_dir(dir).map_err(wrong)?;
            }
            world::put_file(&file, new.policy.text().as_bytes()).map_err(wrong)?;
            Ok(Vec::new())
        }
        PolicyHost::None => Ok(Vec::new()),
    }
}
