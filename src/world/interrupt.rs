//! Ctrl-C: what stands elsewhere is taken back, and a last word is said, before it ends us.

use nix::sys::signal::{SigSet, Signal, raise};
use std::{
    sync::{Condvar, Mutex, PoisonError},
    thread,
    time::Duration,
};
use tokio::sync::Notify;

/// What is to be taken back first has this long; a second interrupt does not wait for it.
const LIMIT: Duration = Duration::from_secs(60);

#[derive(Debug)]
struct State {
    holds: usize,
    came: bool,
}

static STATE: Mutex<State> = Mutex::new(State { holds: 0, came: false });
static LET_GO: Condvar = Condvar::new();
static BELL: Notify = Notify::const_new();

/// While it lives an interrupt is heard, and does not end us.
#[derive(Debug)]
pub struct Hold(());

/// From now on an interrupt waits for what has to be taken back first.
#[must_use]
pub fn hold_interrupts() -> Hold {
    STATE.lock().unwrap_or_else(PoisonError::into_inner).holds += 1;
    Hold(())
}

impl Hold {
    /// Until somebody interrupts.
    pub async fn interrupted(&self) {
        loop {
            let bell = BELL.notified();
            if came() {
                return;
            }
            bell.await;
        }
    }

    /// Everything is taken back: where somebody has interrupted, this is the end.
    pub async fn end(self) {
        if came() {
            // Whoever watches hears first what was said last.
            tokio::task::yield_now().await;
            drop(self);
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        STATE.lock().unwrap_or_else(PoisonError::into_inner).holds -= 1;
        LET_GO.notify_all();
    }
}

fn came() -> bool {
    STATE.lock().unwrap_or_else(PoisonError::into_inner).came
}

/// Waits for whoever holds.
fn wait_for_holds() {
    let mut state = STATE.lock().unwrap_or_else(PoisonError::into_inner);
    state.came = true;
    BELL.notify_waiters();
    drop(LET_GO.wait_timeout_while(state, LIMIT, |state| state.holds > 0));
}

/// From now on SIGINT and SIGTERM end this process as ever, after whoever holds them let go and `last` was called, which is told the
/// exit status as a shell counts it. Commands that we
/// start are ended by them as before: a new process begins with none of them blocked.
///
/// To be called before there is a second thread. Without it, and where it cannot be arranged, they end us silently.
pub fn before_an_interrupt(last: impl Fn(u8) + Send + 'static) {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGINT);
    signals.add(Signal::SIGTERM);
    if signals.thread_block().is_err() {
        return;
    }
    thread::spawn(move || {
        let Ok(signal) = signals.wait() else { return };
        // The next one ends us at once.
        let _ = signals.thread_unblock();
        wait_for_holds();
        let status = 128 + signal as i32;
        last(u8::try_from(status).unwrap_or(u8::MAX));
        let _ = raise(signal);
        #[expect(clippy::exit, reason = "whoever started us may have told us to ignore it, as a shell does with what runs beside it")]
        std::process::exit(status);
    });
}
