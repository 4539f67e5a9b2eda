//! Postfix without its doze: each of its programs waits two seconds with a main.cf that is younger than that. Somebody sets the
//! file's time back as soon as it changes, for tests that go through many changes and are about something else.

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};
use std::{
    fs::File,
    path::Path,
    sync::Arc,
    thread::JoinHandle,
    time::{Duration, SystemTime},
};

/// While it lives, nobody dozes.
pub struct Awake {
    changes: Arc<Inotify>,
    folder: WatchDescriptor,
    watcher: Option<JoinHandle<()>>,
}

impl Awake {
    /// Watches a configuration directory.
    pub fn over(etc: &Path) -> Self {
        let changes = Arc::new(Inotify::init(InitFlags::IN_CLOEXEC).expect("inotify"));
        let what = AddWatchFlags::IN_MOVED_TO | AddWatchFlags::IN_CREATE | AddWatchFlags::IN_CLOSE_WRITE;
        let folder = changes.add_watch(etc, what).expect("a configuration directory");
        let (seen, main) = (changes.clone(), etc.join("main.cf"));
        let watcher = std::thread::spawn(move || {
            while let Ok(events) = seen.read_events() {
                if events.iter().any(|event| event.mask.contains(AddWatchFlags::IN_IGNORED)) {
                    return;
                }
                if events.iter().any(|event| event.name.as_deref() == main.file_name()) {
                    age(&main);
                }
            }
        });
        Self { changes, folder, watcher: Some(watcher) }
    }
}

impl Drop for Awake {
    fn drop(&mut self) {
        // Which is told to the watcher.
        let _ = self.changes.rm_watch(self.folder);
        let _ = self.watcher.take().map(JoinHandle::join);
    }
}

/// What is old stays as it is. Opened for reading, so that this is no change of its own.
fn age(main: &Path) {
    let Ok(file) = File::open(main) else { return };
    let now = SystemTime::now();
    if file.metadata().and_then(|about| about.modified()).is_ok_and(|at| at + Duration::from_secs(5) > now) {
        let _ = file.set_modified(now - Duration::from_secs(60));
    }
}
