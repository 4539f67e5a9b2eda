//! `mxseal serve`: the policy host. Needs no root: systemd opens the port, and hands over what is served.

use super::{Trouble, door};
use crate::{
    cli::{Global, Serve},
    serve::serve,
    world::{Store, listener_on_stdin},
};
use std::path::PathBuf;
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
};

pub(super) async fn run(args: &Serve, global: &Global) -> Result<u8, Trouble> {
    let file = args.file.clone().or_else(handed_over).unwrap_or_else(|| Store::at(&global.state_dir).path(door::SERVED));
    let mut listeners = Vec::new();
    if let Some(given) = listener_on_stdin().and_then(|l| l.map(TcpListener::from_std).transpose()).map_err(Trouble::human)? {
        listeners.push(given);
    }
    for at in &args.listen {
        let wrong = |e| Trouble::human(format!("--listen {at}: {e}"));
        listeners.push(TcpListener::bind(at).await.map_err(wrong)?);
    }
    if listeners.is_empty() {
        return Err(Trouble::usage("there is no socket to serve on: mxseal-policy.socket gives one, or name an address with --listen"));
    }
    let hear = |kind| signal(kind).map_err(Trouble::human);
    let (mut term, mut int) = (hear(SignalKind::terminate())?, hear(SignalKind::interrupt())?);
    serve(listeners, &file, told_to_end(&mut term, &mut int)).await.map_err(|e| Trouble::human(e).about("policy-host-unservable"))?;
    Ok(0)
}

async fn told_to_end(term: &mut Signal, int: &mut Signal) {
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
}

/// What systemd hands over (systemd.exec(5), `LoadCredential=`).
fn handed_over() -> Option<PathBuf> {
    std::env::var_os("CREDENTIALS_DIRECTORY").map(|dir| PathBuf::from(dir).join("served"))
}
