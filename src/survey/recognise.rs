//! Which of the known mail servers is the one that receives here.

use super::{
    Wants,
    tools::{answer, run},
};
use crate::{
    facts::{Known, PortOwner, Version},
    mta::profile::{Filling, Profile},
    world::Look,
};
use std::{collections::BTreeMap, net::SocketAddr, path::Path};

/// Whether a profile is for what is installed here; else why not, as a sentence.
pub(super) fn fits(look: &dyn Look, profile: &Profile) -> Result<(), String> {
    let programs = &profile.recognise.programs;
    if !programs.iter().any(|p| look.identity(p).is_ok()) {
        let missing: Vec<_> = programs.iter().map(|p| p.display().to_string()).collect();
        return Err(format!("{} is not installed: there is no {}", profile.title, missing.join(" and no ")));
    }
    is_meant(look, profile)?;
    is_of_the_version(look, profile)
}

/// Whether its version is within the profile's limits; one that cannot be asked does not speak against it.
fn is_of_the_version(look: &dyn Look, profile: &Profile) -> Result<(), String> {
    let rules = &profile.recognise;
    if rules.since.is_none() && rules.until.is_none() {
        return Ok(());
    }
    let Ok(version) = answer(look, &rules.version, &rules.config_dir_default).map(Version::from) else { return Ok(()) };
    match (&rules.since, &rules.until) {
        (Some(since), _) if version < *since => {
            let why = rules.too_old.as_ref().map_or_else(String::new, |why| format!(": {why}"));
            Err(format!("{} {version} is installed, and this is for {since} and newer{why}", profile.title))
        }
        (_, Some(until)) if version >= *until => {
            Err(format!("{} {version} is installed, and this is for versions before {until}", profile.title))
        }
        _ => Ok(()),
    }
}

/// Whether everything that tells it from its relatives is so; what cannot be asked does not speak against it.
fn is_meant(look: &dyn Look, profile: &Profile) -> Result<(), String> {
    let nothing = BTreeMap::new();
    for says in &profile.recognise.only_where {
        let (what, said) = match (&says.file, &says.command) {
            (Some(file), _) => (format!("{} of {}", says.name, file.display()), Some(shell_value(look, file, &says.name))),
            (None, Some(argv)) => {
                let command = argv.fill(Filling::new(&profile.recognise.config_dir_default, &nothing));
                let word = run(look, &command).ok().map(|o| o.stdout.split_whitespace().next().unwrap_or_default().to_owned());
                (format!("`{command}`"), word)
            }
            (None, None) => continue,
        };
        let fits = said.as_ref().is_none_or(|s| says.is.as_ref().is_none_or(|is| is == s))
            && says.is_not.as_ref().is_none_or(|not| said.as_ref().is_some_and(|s| s != not));
        if !fits {
            return Err(format!("{} is not what is configured here: {what} is {:?}", profile.title, said.unwrap_or_default()));
        }
    }
    Ok(())
}

/// The last value of a name in a file of shell assignments, quotes taken off; empty where there is none.
fn shell_value(look: &dyn Look, file: &Path, name: &str) -> String {
    let text = look.read(file).ok().flatten().map(|(bytes, _)| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let mut values = text.lines().filter_map(|l| l.trim().strip_prefix(name)?.strip_prefix('='));
    values.next_back().map(|v| v.trim_matches(['\'', '"']).to_owned()).unwrap_or_default()
}

pub(super) fn recognise<'a>(
    look: &dyn Look,
    profiles: &'a [Profile],
    wants: &Wants,
    owners: &BTreeMap<SocketAddr, Known<PortOwner>>,
) -> Result<&'a Profile, String> {
    let known = || profiles.iter().map(|p| p.id.as_str()).collect::<Vec<_>>().join(", ");
    if let Some(id) = &wants.mta {
        let profile = profiles.iter().find(|p| p.id == *id);
        let profile = profile.ok_or_else(|| format!("no mail server called {id:?} is known; --mta takes one of: {}", known()))?;
        return fits(look, profile).map(|()| profile);
    }
    let found: Vec<&Profile> = profiles.iter().filter(|p| fits(look, p).is_ok()).collect();
    let on_25: Vec<&PortOwner> = owners.iter().filter(|(a, _)| a.port() == 25).filter_map(|(_, o)| o.value()).collect();
    let receiving: Vec<&Profile> =
        found.iter().copied().filter(|p| on_25.iter().any(|o| !o.elsewhere && p.recognise.processes.contains(&o.program))).collect();
    let stranger = on_25.iter().find(|o| o.elsewhere || !profiles.iter().any(|p| p.recognise.processes.contains(&o.program)));
    // One that is known, and not for what is installed here, such as an old version.
    let unfit = on_25.iter().find_map(|owner| {
        let profile = profiles.iter().find(|p| p.recognise.processes.contains(&owner.program))?;
        let why = fits(look, profile).err()?;
        Some(format!("port 25 belongs to {} (pid {}), and {why}", owner.program, owner.pid))
    });
    match (found.as_slice(), receiving.as_slice(), stranger) {
        (_, [one], _) => Ok(one),
        (_, [], Some(owner)) if owner.elsewhere => Err(format!(
            "port 25 belongs to {} (pid {}), which serves it from another filesystem, such as a container: run mxseal there",
            owner.program, owner.pid
        )),
        (_, [], Some(owner)) => Err(format!(
            "port 25 belongs to {} (pid {}), a mail server that mxseal does not know; it knows: {}",
            owner.program,
            owner.pid,
            known()
        )),
        (_, [], None) if unfit.is_some() => Err(unfit.unwrap_or_default()),
        ([], ..) => Err(format!("no mail server that mxseal knows is installed; it knows: {}", known())),
        ([one], ..) => Ok(one),
        (several, ..) => Err(format!(
            "more than one mail server is installed ({}) and none alone listens on port 25; name one with --mta",
            several.iter().map(|p| p.id.as_str()).collect::<Vec<_>>().join(", ")
        )),
    }
}

/// The servers between which [`find`] could not choose: several, and no stranger on port 25.
pub(super) fn candidates(
    look: &dyn Look,
    profiles: &[Profile],
    wants: &Wants,
    owners: &BTreeMap<SocketAddr, Known<PortOwner>>,
) -> Vec<String> {
    let installed: Vec<&Profile> = profiles.iter().filter(|p| fits(look, p).is_ok()).collect();
    let strange = |o: &PortOwner| o.elsewhere || !installed.iter().any(|p| p.recognise.processes.contains(&o.program));
    let stranger = owners.iter().filter(|(a, _)| a.port() == 25).filter_map(|(_, o)| o.value()).any(strange);
    if wants.mta.is_some() || stranger || recognise(look, profiles, wants, owners).is_ok() {
        return Vec::new();
    }
    installed.iter().map(|p| p.id.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{change::Command, world::Output};
    use std::time::Duration;

    /// A machine on which only these programs exist.
    struct Only(&'static [&'static str]);

    impl Look for Only {
        fn read(&self, _: &Path) -> std::io::Result<Option<(Vec<u8>, crate::change::Meta)>> {
            Ok(None)
        }

        fn run(&self, command: &Command, limit: Duration) -> Result<Output, crate::world::Failure> {
            Err(crate::world::Failure::Deadline { command: command.to_string(), limit })
        }

        fn identity(&self, path: &Path) -> std::io::Result<(u64, u64)> {
            if self.0.iter().any(|p| Path::new(p) == path) { Ok((1, 1)) } else { Err(std::io::ErrorKind::NotFound.into()) }
        }
    }

    #[test]
    fn the_server_that_receives_is_recognised() {
        const POSTFIX: &str = "/usr/sbin/postconf";
        const EXIM: &str = "/usr/sbin/update-exim4.conf";
        let profiles = Profile::built_in().unwrap();
        for (installed, on_25, named, expected) in [
            (&[POSTFIX][..], None, None, Ok("postfix")),
            (&[POSTFIX], Some(("master", false)), None, Ok("postfix")),
            (&[POSTFIX, EXIM], Some(("master", false)), None, Ok("postfix")),
            (&[POSTFIX, EXIM], Some(("exim4", false)), None, Ok("exim-debian")),
            (&[POSTFIX, EXIM], None, None, Err("more than one mail server is installed (postfix, exim-debian)")),
            (&[POSTFIX, EXIM], None, Some("exim-debian"), Ok("exim-debian")),
            (&[EXIM], None, Some("postfix"), Err("Postfix is not installed: there is no /usr/sbin/postconf")),
            (&[POSTFIX], None, Some("qmail"), Err("no mail server called \"qmail\" is known; --mta takes one of: postfix, exim-debian")),
            (&[], None, None, Err("no mail server that mxseal knows is installed")),
            (&[], Some(("qmail", false)), None, Err("port 25 belongs to qmail (pid 7), a mail server that mxseal does not know")),
            (&[POSTFIX], Some(("qmail", false)), None, Err("port 25 belongs to qmail (pid 7), a mail server that mxseal does not know")),
            (&[POSTFIX], Some(("smtpd", false)), None, Err("port 25 belongs to smtpd (pid 7), and OpenSMTPD is not installed")),
            (&[POSTFIX], Some(("docker-proxy", true)), None, Err("from another filesystem")),
            (&[POSTFIX], Some(("master", true)), None, Err("from another filesystem")),
            (&[POSTFIX], Some(("master", true)), Some("postfix"), Ok("postfix")),
        ] {
            let wants = Wants { mta: named.map(ToOwned::to_owned), ..Wants::default() };
            let owner = |(program, elsewhere): (&str, bool)| PortOwner { pid: 7, program: program.into(), elsewhere, webroot: None };
            let owners = on_25.map(|o| (([0, 0, 0, 0], 25).into(), Known::seen(owner(o), "/proc"))).into_iter().collect();
            let got = recognise(&Only(installed), &profiles, &wants, &owners).map(|p| p.id.as_str());
            let both = candidates(&Only(installed), &profiles, &wants, &owners);
            assert_eq!(both.len(), if got.as_ref().is_err_and(|why| why.contains("name one with --mta")) { 2 } else { 0 }, "{both:?}");
            match (&got, expected) {
                (Ok(id), Ok(wanted)) => assert_eq!(*id, wanted),
                (Err(why), Err(part)) => assert!(why.contains(part), "{why}"),
                _ => panic!("{installed:?} {on_25:?} {named:?}: {got:?}"),
            }
        }
    }
}
