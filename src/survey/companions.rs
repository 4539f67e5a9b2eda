//! Services beside the mail server that could present the same certificate: what they read now, and where they listen.

use super::{certificates, readers, sockets::Socket};
use crate::{
    certificate::Digest,
    change::Image,
    facts::{Companion, ConfigFile, Known, PortOwner},
    moment::Moment,
    mta::{companion::COMPANIONS, config::ConfigText},
    world::Look,
};
use rustls::RootCertStore;
use std::{collections::BTreeMap, net::SocketAddr, path::Path};

/// A companion's folders go no deeper.
const DEPTH: usize = 3;

/// Those that are installed and name a certificate.
pub(super) fn find(
    look: &dyn Look,
    sockets: &[Socket],
    owners: &BTreeMap<SocketAddr, Known<PortOwner>>,
    roots: &RootCertStore,
    now: Moment,
) -> Vec<Companion> {
    let one = |known: &'static crate::mta::companion::Companion| {
        let (mut files, mut config, mut chain, mut key) = (Vec::new(), BTreeMap::new(), None, None);
        for path in readers::files(look, Path::new(known.folder), DEPTH) {
            let Ok(Some((bytes, meta))) = look.read(&path) else { continue };
            let real = look.real(&path).unwrap_or_else(|_| path.clone());
            let image = Image { digest: Digest::of(&bytes), meta };
            // Lists of users and their passwords lie there too, and change every day.
            if path.extension().is_some_and(|e| e == "conf") {
                config.insert(real.clone(), image.digest.clone());
            }
            let [its_chain, its_key] = known.names(&bytes);
            if its_chain.is_none() && its_key.is_none() {
                continue;
            }
            chain = its_chain.or(chain);
            key = its_key.or(key);
            files.push(ConfigFile { path, real, image, text: ConfigText::of(bytes) });
        }
        let chain = chain?;
        let key = key.unwrap_or_else(|| chain.clone());
        let reads = certificates::read(look, &chain, &key, "file", true, roots, now);
        let holds =
            |addr: &SocketAddr| owners.get(addr).and_then(Known::value).is_some_and(|o| known.processes.contains(&o.program.as_str()));
        let at = |s: &Socket| Some((s.addr, known.ports.iter().find(|(port, _)| *port == s.addr.port())?.1));
        let listens = sockets.iter().filter(|s| holds(&s.addr)).filter_map(at).collect();
        Some(Companion { id: known.id.to_owned(), files, config, reads, listens })
    };
    COMPANIONS.iter().filter_map(one).collect()
}
