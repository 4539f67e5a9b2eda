//! Sockets that others opened for us.

use socket2::SockRef;
use std::{io, net::TcpListener, os::fd::AsFd as _};

/// The socket that systemd opened and gave us as standard input (systemd.exec(5), `StandardInput=socket`): so that nobody has to
/// be root to listen there, and who connects while we restart waits. `None` where standard input is something else.
///
/// # Errors
/// When it is such a socket and cannot be used.
pub fn listener_on_stdin() -> io::Result<Option<TcpListener>> {
    let stdin = io::stdin();
    // Of anything that is no socket the question itself fails.
    if !SockRef::from(&stdin).is_listener().unwrap_or(false) {
        return Ok(None);
    }
    let listener = TcpListener::from(stdin.as_fd().try_clone_to_owned()?);
    listener.set_nonblocking(true)?;
    Ok(Some(listener))
}
