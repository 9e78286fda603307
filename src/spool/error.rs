//! What can go wrong, each kind told apart.
//!
//! Nothing here knows HTTP: status and `Retry-After` are the route's choice.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::record::SegmentId;

/// Why a record was not appended. In every case but one the record is not in the spool and will not
/// turn up: see [`Failed`](AppendError::Failed).
#[derive(Clone, Debug, thiserror::Error)]
pub enum AppendError {
    /// There is no room. The sender should come back later.
    #[error("spool is full: {0}")]
    Full(FullCause),
    /// The disk failed while the record was written. It is cut off before this is answered. Only if
    /// the disk refuses the cut as well, and the process ends before it succeeds, may the record be
    /// found (once) at the next start. The sender should come back later.
    #[error("spool cannot write: {0}")]
    Failed(Arc<io::Error>),
    /// [`close`](super::Spool::close) has begun.
    #[error("spool is closed")]
    Closed,
    /// The caller's own last check said no.
    #[error("refused by the caller's last check")]
    Refused,
    /// A fault of the caller: no retry will help.
    #[error("{bytes} bytes do not fit the limit of {limit_bytes} for one append")]
    TooLarge {
        /// Size of the largest payload, or of all records with their headers.
        bytes: usize,
        /// The limit that it broke.
        limit_bytes: usize,
    },
}

impl AppendError {
    /// True if the same append may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Full(_) | Self::Failed(_) | Self::Closed => true,
            Self::Refused | Self::TooLarge { .. } => false,
        }
    }

    /// True if the operator should look: the disk or its settings are at fault, not the sender.
    pub fn is_ours(&self) -> bool {
        match self {
            Self::Full(_) | Self::Failed(_) => true,
            Self::Closed | Self::Refused | Self::TooLarge { .. } => false,
        }
    }

    /// Sorts an error of the operating system: no space is "full", whatever call said it.
    pub(super) fn from_io(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::Full(FullCause::Disk)
            }
            _ => Self::Failed(Arc::new(error)),
        }
    }
}

/// Which bound was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FullCause {
    /// Records arrive faster than the disk commits them.
    #[error("write buffer (buffer_bytes) is full")]
    Buffer,
    /// Segments and quarantine together.
    #[error("size limit (max_bytes) is reached")]
    Limit,
    /// The file system has less free space than must stay free.
    #[error("free space is below the reserve (reserve_bytes)")]
    Reserve,
    /// The operating system said so (ENOSPC, EDQUOT).
    #[error("no space left on the file system")]
    Disk,
}

/// Why a spool could not be opened. Nothing was changed on disk by a refused open, except that a
/// recovery under way may have been left half done; it continues at the next open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Two collectors must not share a directory: give each its own.
    #[error("spool directory {} is in use by process {}", dir.display(), pid_text(*pid))]
    Locked {
        /// The directory.
        dir: PathBuf,
        /// Who has it, if the lock file tells.
        pid: Option<u32>,
    },
    /// A newer brine wrote it: start that one, or let it drain the spool first.
    #[error("{} has format version {found}; this brine reads up to {supported}", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Version found.
        found: u16,
        /// Newest version known.
        supported: u16,
    },
    /// A setting makes no sense.
    #[error("{key} = {value}: {reason}")]
    Settings {
        /// Name of the setting.
        key: &'static str,
        /// Its value.
        value: u64,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The operating system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
}

fn pid_text(pid: Option<u32>) -> String {
    pid.map_or_else(|| "(unknown)".to_owned(), |pid| pid.to_string())
}

/// Why a segment could not be read, released, quarantined or replayed.
#[derive(Debug, thiserror::Error)]
pub enum SegmentError {
    /// Released or quarantined already, or not sealed yet. Nothing is left to do.
    #[error("segment {0} is not among the sealed segments")]
    Unknown(SegmentId),
    /// The operating system refused; the call may be repeated.
    #[error("segment {segment}: {source}")]
    Io {
        /// The segment.
        segment: SegmentId,
        /// The error of the operating system.
        source: io::Error,
    },
    /// A quarantined file or its directory; the call may be repeated.
    #[error("quarantine: {0}")]
    Quarantine(#[source] io::Error),
    /// The spool is closed and moves nothing any more.
    #[error("spool is closed")]
    Closed,
}
