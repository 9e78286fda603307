//! The embedded engine: real ClickHouse in a child process, spoken to over ClickHouse's own HTTP
//! interface.
//!
//! ```text
//!   brine serve                                   brine engine (child)
//!   supervise ── starts, watches, restarts ─────▶ child: locks the data directory, seals itself off
//!   connect   ── HTTP over a unix socket ───────▶ http ─ auth ─ request ─ statement ─ work ─ ffi ─ libchdb
//! ```
//!
//! In: HTTP requests with SQL and data, as the official clients send them. Out: formatted answers,
//! exceptions with ClickHouse's codes. The rest of brine sees a URL and a key, the same as for a
//! ClickHouse server.
//!
//! # Promised
//! - An INSERT whose body ends without its proper end commits nothing: end of body is a message of
//!   its own ([`body`]), and whatever else happens to the connection cancels the insert. This holds
//!   for data that fits one block (1,048,449 rows, 256 MB); larger inserts are committed block by
//!   block, as on a server.
//! - An INSERT that was answered with success survives `kill -9` and a power cut: see the
//!   `merge_tree` settings in [`config`].
//! - A statement reaches files, networks or programs outside the data directory by no way we know:
//!   explicit grants, a filter of statements ([`admission`]) and, below them, the kernel
//!   ([`sandbox`]).
//! - Without the key nothing is answered but `/ping`.
//!
//! # Not promised
//! - Exactly once: that is the sender's work (count by `batch_id`, then resend), for which
//!   [`supervise::EngineHandle::ensure_attempts_dead`] gives the one thing that only the engine can
//!   say.
//! - Users and roles by SQL, `system.query_log`, the native protocol: libchdb has none of them.

// In the parent: getting the library, keeping the child, talking to it.
pub mod cli;
pub mod connect;
pub mod fetch;
mod process;
mod relay;
pub mod supervise;

// In the child: its start.
pub mod child;
pub mod config;
pub mod home;
pub mod sandbox;

// A request's way in.
pub mod body;
mod decode;
pub mod http;
mod multipart;
pub mod registry;
pub mod request;
mod session;

// A statement's work.
pub mod admission;
mod prepare;
pub mod statement;
mod work;

// The library itself.
pub mod answer;
mod exception;
pub mod ffi;

// An answer's way out.
mod encode;
pub mod formats;
mod reply;

pub use exception::Exception;

/// The libchdb this tree was built and tested against, as npm names it.
pub const ENGINE_VERSION: &str = "26.7.3-stable.1";

/// The only major.minor whose C interface [`ffi`] declares.
pub const TESTED_SERIES: &str = "26.7";

/// Why the engine library cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LibraryError {
    /// No library where it was looked for.
    #[error(
        "engine library not found at {path}: run `brine engine fetch`, or name one in BRINE_ENGINE_LIB"
    )]
    Missing {
        /// Where it was looked for.
        path: String,
    },
    /// Neither an override nor a cache directory can be derived from the environment.
    #[error(
        "no cache directory: neither XDG_CACHE_HOME nor HOME is set; name the library in BRINE_ENGINE_LIB"
    )]
    Homeless,
    /// The dynamic linker refused it.
    #[error("engine library {path} cannot be loaded: {source}")]
    Unloadable {
        /// The file.
        path: String,
        /// What the dynamic linker says.
        source: libloading::Error,
    },
    /// Another release than the one whose interface is declared here.
    #[error(
        "engine library {path} is version {version}, tested is {TESTED_SERIES}.x: run `brine engine fetch`"
    )]
    Untested {
        /// The file.
        path: String,
        /// What it says of itself.
        version: String,
    },
    /// The engine did not start or accept a connection; it gives no reason.
    #[error("the engine refused to start: its data may be damaged, or the disk full")]
    NoConnection,
}
