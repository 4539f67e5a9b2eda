//! How a change can end, in the words that the admin reads.

use crate::{topics::Explained, world::Failure};
use std::{fmt, io, path::PathBuf};

/// A change that did not happen: why, and whether everything is as before.
#[derive(Debug)]
pub struct Undone {
    /// What went wrong first.
    pub cause: Failure,
    /// Whether everything is as before; if not, what stands in the way.
    pub put_back: Result<(), Stuck>,
}

/// What recovery found and did.
#[derive(Debug)]
pub enum Recovered {
    /// It was proved: it stands, and what was left beside the files is gone.
    Finished {
        /// The id of the change.
        id: String,
    },
    /// It was not proved, somebody else changed a file after us, and the admin removed the original: it is kept as it is.
    Kept {
        /// The id of the change.
        id: String,
    },
    /// It was not proved: every file is as before.
    Restored {
        /// The id of the change.
        id: String,
        /// Whether the server goes on as before too.
        server: Result<Told, Failure>,
    },
}

/// What the server knows of files that were put back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// It serves them, or never saw the others.
    Serves,
    /// It does not run, as at boot: it reads them when it starts.
    NotRunning,
}

/// A file that somebody else changed after us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The file.
    pub path: PathBuf,
    /// Its original, kept beside it.
    pub original: PathBuf,
}

/// Why a change could not be ended. The journal stays, and the next run tries again, except for [`Stuck::Server`].
#[derive(Debug, thiserror::Error)]
pub enum Stuck {
    /// The journal cannot be read.
    #[error("the journal of an open change cannot be read: {0}")]
    Journal(#[source] io::Error),
    /// Another run is at work on the same configuration.
    #[error("another mxseal is at work on {}; wait for its end, then run `mxseal recover`", .0.display())]
    Busy(PathBuf),
    /// A file operation failed.
    #[error("{0}; the host is between two states: run `mxseal recover` once the reason is gone")]
    Files(#[source] Failure),
    /// Somebody else changed files after us.
    #[error(
        "change {id} was not put back, because after it somebody else changed {}; {}; then run `mxseal recover`",
        named(files),
        ways(files)
    )]
    Conflict {
        /// The id of the change.
        id: String,
        /// The files.
        files: Vec<Conflict>,
    },
    /// The files are as before; the server could not be told.
    #[error("the files are as before, but the server may still run on the new ones: {0}")]
    Server(#[source] Failure),
}

impl Explained for Stuck {
    fn topic(&self) -> &'static str {
        match self {
            Self::Journal(_) => "journal-unreadable",
            Self::Busy(_) => "run-busy",
            Self::Files(_) => "change-stuck",
            Self::Conflict { .. } => "change-conflict",
            Self::Server(_) => "server-untold",
        }
    }
}

impl Explained for Undone {
    fn topic(&self) -> &'static str {
        match (&self.put_back, &self.cause) {
            (Err(stuck), _) => stuck.topic(),
            (Ok(()), Failure::Drift(_)) => "file-changed-since",
            (Ok(()), _) => "change-undone",
        }
    }
}

impl fmt::Display for Undone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.put_back {
            Ok(()) => write!(f, "{}\nEverything on this host is as before.", self.cause),
            Err(stuck) => write!(f, "{}\n{stuck}", self.cause),
        }
    }
}

impl std::error::Error for Undone {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.cause)
    }
}

impl fmt::Display for Recovered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Finished { id } => write!(f, "change {id} was proved before it was interrupted: it stands, and is finished now"),
            Self::Kept { id } => {
                write!(f, "change {id} was not proved and is kept, because its originals were removed; run `mxseal status`")
            }
            Self::Restored { id, server: Ok(Told::Serves) } => {
                write!(f, "change {id} was interrupted before it was proved: every file is as before")
            }
            Self::Restored { id, server: Ok(Told::NotRunning) } => write!(
                f,
                "change {id} was interrupted before it was proved: every file is as before, and the mail server, which does not run, \
                 will read them when it starts"
            ),
            Self::Restored { id, server: Err(e) } => write!(
                f,
                "change {id} was interrupted before it was proved: every file is as before, but the server could not be told: {e}"
            ),
        }
    }
}

fn named(files: &[Conflict]) -> String {
    files.iter().map(|c| c.path.display().to_string()).collect::<Vec<_>>().join(", ")
}

fn ways(files: &[Conflict]) -> String {
    let each = |verb: &str, both: bool| {
        files
            .iter()
            .map(|c| {
                if both {
                    format!("{verb} {} {}", c.original.display(), c.path.display())
                } else {
                    format!("{verb} {}", c.original.display())
                }
            })
            .collect::<Vec<_>>()
            .join(" && ")
    };
    format!("to return to the originals: {}; to keep the change and theirs: {}", each("mv", true), each("rm", false))
}
