//! What a CA is told where nobody is asked.

use super::{door, place::Site};
use crate::{
    acme::Wishes,
    plan::{self, Obtain, Rungs},
    settings::Settings,
    survey,
    world::Machine,
};

/// What the CA is told: an account is there, and what the admin answered is in the settings.
pub(super) fn wishes(site: &Site, settings: &Settings, order: &Obtain) -> Wishes {
    let names = order.names.iter().cloned().collect();
    let [port80, port443] = &survey::doors(&Machine, &site.net, &names);
    // What is wrong with a way is said where it would be gone.
    let publishers = settings.publishers().unwrap_or_default();
    let (asked, webroot, publisher) = (settings.challenge, settings.webroot.as_deref(), publishers.any());
    let (challenge, _) = plan::ladder(&Rungs { asked, webroot, port80, port443, policy_host: door::door(site).as_ref(), publisher });
    Wishes { agree_tos: settings.agree_tos, challenge, publishers, ..Wishes::default() }
}
