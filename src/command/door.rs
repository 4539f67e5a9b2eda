//! Where the policy host of this machine takes what it serves from, which is also how it answers a CA.

use super::place::Site;
use crate::{
    apply,
    change::Command,
    facts::Known,
    plan::Door,
    survey,
    world::{Look as _, Machine},
};

/// What is served, in the Store; the service is handed a copy.
pub(super) const SERVED: &str = "policy-host/served.json";

/// How the policy host is told what to show a CA, where it has the port.
pub(super) fn door(site: &Site) -> Option<Door> {
    let file = site.store.path(SERVED);
    Machine.identity(&file).ok()?;
    let owners = survey::port_owners(&Machine, site.net.tls_port);
    let has_it = |program: &str| owners.iter().filter_map(Known::value).any(|owner| owner.program == program);
    let reload = match apply::policy_host_reload(&Machine, &site.store) {
        Some(reload) if has_it("systemd") || has_it("mxseal") => reload,
        // It looks at its file by itself.
        _ if has_it("mxseal") => Command::default(),
        _ => return None,
    };
    Some(Door { file, reload })
}
