//! From the certificate's file to the edits of the configuration files.

use super::{names::Names, planned::Planned};
use crate::{
    change::{Content, Edit, Meta, Raw, Target},
    facts::{ConfigFile, Server, Service},
    finding::Finding,
    mta::{dialect::Unreadable, profile::Profile, wanted::Aim},
};
use std::{collections::BTreeMap, path::PathBuf};

/// The edits, and the services as they will be.
pub(super) struct Configured {
    pub(super) edits: Vec<Edit>,
    pub(super) after: Vec<Service>,
    pub(super) notes: Vec<Finding>,
}

impl Configured {
    /// Whether a service will present what `live` holds, and nothing else.
    pub(super) fn is_ours(&self, profile: &Profile, name: &str, live: &[PathBuf]) -> bool {
        self.after.iter().rfind(|s| s.name == name).is_some_and(|s| profile.dialect.is_ours(s, live))
    }
}

/// The edits that make the server serve these certificates, the first where no name is sent; none where it does so already.
pub(super) fn configure(server: &Server, profile: &Profile, names: &Names, planned: &[Planned<'_>]) -> Result<Configured, Unreadable> {
    let first = planned.first();
    let types: Vec<_> = first.iter().flat_map(|p| &p.keys.choices).map(|k| k.key_type).collect();
    let named = planned.iter().filter(|_| planned.len() > 1);
    let by_name: Vec<_> = named.flat_map(|p| p.mx.iter().map(|name| (name.clone(), p.live.clone()))).collect();
    let live = first.map_or(&[][..], |p| &p.live);
    let aim = Aim { live, by_name: &by_name, types: &types, names_are_left_out: !names.left_out.is_empty(), mx: &names.mx };
    let wanted = profile.dialect.wanted(server, profile, &aim)?;
    let mut files = server.files.clone();
    let mut edits = Vec::new();
    for (path, wishes) in &wanted.wishes {
        let file = files.iter_mut().find(|f| f.path == *path);
        let before = file.as_ref().map_or(&[][..], |f| &f.text.0.0);
        let (bytes, settings) = profile.dialect.edit(path, before, wishes)?;
        if settings.is_empty() {
            continue;
        }
        let edit_lock =
            profile.files.iter().find(|f| f.path.path(server) == *path).and_then(|f| f.edit_lock.as_ref()).map(|lock| lock.path(server));
        let (real, was) = file.as_ref().map_or((path.clone(), None), |f| (f.real.clone(), Some(f.image.clone())));
        let meta = was.as_ref().map_or(Meta { uid: 0, gid: 0, mode: 0o644, xattrs: BTreeMap::new() }, |i| i.meta.clone());
        let target = Target { content: Content::Text(Raw(bytes.clone())), meta };
        match file {
            Some(file) => file.text.0.0 = bytes,
            // What it sets must be there before the others ask for it.
            None => files.insert(0, ConfigFile::new(path.clone(), bytes)),
        }
        edits.push(Edit { path: real, was, becomes: Some(target), edit_lock, settings });
    }
    let after = profile.dialect.understand(&server.version, &files, &server.defaults)?.services;
    Ok(Configured { edits, after, notes: wanted.notes })
}
