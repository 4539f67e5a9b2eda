//! Ctrl-C: a last word before it ends us.

use nix::sys::signal::{SigSet, Signal, raise};
use std::thread;

/// From now on SIGINT and SIGTERM end this process as ever, after `last` was called. Commands that we start are ended by
/// them as before: a new process begins with none of them blocked.
///
/// To be called before there is a second thread. Without it, and where it cannot be arranged, they end us silently.
pub fn before_an_interrupt(last: impl Fn() + Send + 'static) {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGINT);
    signals.add(Signal::SIGTERM);
    if signals.thread_block().is_err() {
        return;
    }
    thread::spawn(move || {
        let Ok(signal) = signals.wait() else { return };
        last();
        let _ = signals.thread_unblock();
        let _ = raise(signal);
        #[expect(clippy::exit, reason = "whoever started us may have told us to ignore it, as a shell does with what runs beside it")]
        std::process::exit(128 + signal as i32);
    });
}
