//! A thread of its own for a part of the made-up world. What is rehearsed blocks now and then, as a transaction does while
//! it waits for the mail server; the world around it goes on meanwhile, as it would outside.

use std::{
    io,
    thread::{self, JoinHandle},
};
use tokio::sync::oneshot;

/// Work on a runtime of its own; ends with this value.
#[derive(Debug)]
pub(super) struct Aside {
    /// Dropped to end the work.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Aside {
    /// Starts `work`; whatever it spawned ends with it.
    ///
    /// # Errors
    /// When the system gives no thread or no runtime.
    pub(super) fn run(name: &str, work: impl Future<Output = ()> + Send + 'static) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel::<()>();
        let until_stopped = async move {
            tokio::select! {
                () = work => {}
                _ = stopped => {}
            }
        };
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || runtime.block_on(until_stopped))?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
