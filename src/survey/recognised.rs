//! Which of the known mail servers are here, and why the others are not.

use super::{
    Wants,
    recognise::{fits, recognise},
    sockets,
};
use crate::{
    facts::{Known, PortOwner},
    mta::profile::Profile,
    world::Look,
};

/// Whether a profile is for this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recognised {
    /// Its id.
    pub profile: String,
    /// It is for what is installed here, and may be named.
    pub fits: bool,
    /// Why, as part of a sentence.
    pub why: String,
}

/// Each profile in its order, and the id of the one that would be worked on; else why none is, as a sentence.
pub fn recognised(look: &dyn Look, profiles: &[Profile], mta: Option<&str>) -> (Vec<Recognised>, Result<String, String>) {
    let owners = sockets::owners(look, &sockets::listening(look));
    let on_25: Vec<&Known<PortOwner>> = owners.iter().filter(|(addr, _)| addr.port() == 25).map(|(_, owner)| owner).collect();
    let judged = |profile: &Profile| {
        let (fits, why) = match fits(look, profile) {
            Ok(()) => (true, receives(profile, &on_25)),
            Err(why) => (false, why),
        };
        Recognised { profile: profile.id.clone(), fits, why }
    };
    let wants = Wants { mta: mta.map(ToOwned::to_owned), ..Wants::default() };
    let chosen = recognise(look, profiles, &wants, &owners).map(|profile| profile.id.clone());
    (profiles.iter().map(judged).collect(), chosen)
}

/// What it has to do with port 25.
fn receives(profile: &Profile, on_25: &[&Known<PortOwner>]) -> String {
    let seen: Vec<&PortOwner> = on_25.iter().filter_map(|owner| owner.value()).collect();
    let unseen = on_25.iter().find_map(|owner| match owner {
        Known::Unknown { why } => Some(why),
        Known::Seen { .. } => None,
    });
    match (seen.iter().find(|o| !o.elsewhere && profile.recognise.processes.contains(&o.program)), seen.first(), unseen) {
        (Some(owner), ..) => format!("it receives on port 25 (pid {})", owner.pid),
        (None, Some(other), _) => format!("it is installed, but port 25 belongs to {} (pid {})", other.program, other.pid),
        (None, None, Some(why)) => format!("it is installed; who receives on port 25 was not seen: {why}"),
        (None, None, None) => "it is installed, but nothing listens on port 25".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_receives_is_told() {
        let profile = Profile::built_in().unwrap().into_iter().find(|p| p.id == "postfix").unwrap();
        let owner =
            |program: &str, elsewhere| Known::seen(PortOwner { pid: 7, program: program.into(), elsewhere, webroot: None }, "/proc");
        for (on_25, says) in [
            (vec![], "nothing listens on port 25"),
            (vec![owner("master", false)], "it receives on port 25 (pid 7)"),
            (vec![owner("exim4", false), owner("master", false)], "it receives on port 25 (pid 7)"),
            (vec![owner("exim4", false)], "but port 25 belongs to exim4 (pid 7)"),
            (vec![owner("master", true)], "but port 25 belongs to master (pid 7)"),
            (vec![Known::unknown("only root may")], "was not seen: only root may"),
        ] {
            let said = receives(&profile, &on_25.iter().collect::<Vec<_>>());
            assert!(said.contains(says), "{said}");
        }
    }
}
