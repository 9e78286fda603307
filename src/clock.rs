//! Time as an argument: the only place that reads a clock.
//!
//! Comes in: nothing, or the steps a test dictates. Goes out: the instant everything else reasons
//! about. Promises that no other module asks the operating system for the time of day, so that months
//! of salts and retention can be lived through in seconds.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::{fmt, fs};

use jiff::Timestamp;

use crate::config::settings::Environment;

/// A source of the present instant.
pub trait Clock: Send + Sync + fmt::Debug {
    /// Returns the present instant (UTC, nanosecond field, usually microsecond truth).
    fn now(&self) -> Timestamp;

    /// Tells whether it is the operating system's, and not one that a test or a demo dictates.
    fn is_of_the_system(&self) -> bool {
        false
    }
}

/// A clock shared by all tasks.
pub type SharedClock = Arc<dyn Clock>;

/// The operating system's wall clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods)] // The one permitted reader of the wall clock.
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn is_of_the_system(&self) -> bool {
        true
    }
}

/// Names, in debug builds alone, a file with the present in milliseconds since 1970 UTC: whole months of salts and
/// retention are then lived through in seconds by the real binary. A release build does not know it: whoever could
/// set its clock back could keep a salt alive.
pub const FILE_VARIABLE: &str = "BRINE_CLOCK_FILE";

/// Returns the clock a command is to live by: the system's, but for [`FILE_VARIABLE`].
pub fn of_environment(environment: &Environment) -> SharedClock {
    if cfg!(debug_assertions)
        && let Some(path) = environment.get(FILE_VARIABLE)
    {
        tracing::warn!(path, "time is read from a file: for tests alone");
        return Arc::new(FileClock { path: path.into() });
    }
    Arc::new(SystemClock)
}

/// A clock whose time another process writes into a file, by replacing it.
#[derive(Debug)]
struct FileClock {
    path: PathBuf,
}

impl Clock for FileClock {
    fn now(&self) -> Timestamp {
        // For tests alone: a file that is missing or no number is the test's fault, and ends it.
        let text = fs::read_to_string(&self.path).expect("the clock's file can be read");
        let milliseconds = text.trim().parse().expect("it holds milliseconds");
        Timestamp::from_millisecond(milliseconds).expect("of a year jiff knows")
    }
}

/// A clock that stands still until told otherwise, forwards or backwards.
#[derive(Debug)]
pub struct ManualClock {
    milliseconds: AtomicI64,
}

impl ManualClock {
    /// Starts a clock that shows `start`, cut to whole milliseconds.
    pub fn starting_at(start: Timestamp) -> Self {
        Self {
            milliseconds: AtomicI64::new(start.as_millisecond()),
        }
    }

    /// Shows `instant` from now on.
    pub fn set(&self, instant: Timestamp) {
        self.milliseconds
            .store(instant.as_millisecond(), Ordering::SeqCst);
    }

    /// Moves by `milliseconds`; a negative number is a clock set back.
    pub fn advance_ms(&self, milliseconds: i64) {
        self.milliseconds.fetch_add(milliseconds, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        // A test that steps beyond the years jiff can express (-9999 to 9999) has lost its way;
        // standing at the last instant makes that visible instead of wrapping round.
        Timestamp::from_millisecond(self.milliseconds.load(Ordering::SeqCst))
            .unwrap_or(Timestamp::MAX)
    }
}
