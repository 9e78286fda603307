//! What the kernel lets the engine's process touch, whatever SQL asks for.
//!
//! In: the engine's directories and its library. Out: a process that can read and write nothing
//! else, open no TCP connection and bind no port (Landlock, Linux 5.13 and 6.7). Needed because
//! grants have gaps: in libchdb 26.7.3 the scalar function `file` reads any path without a grant,
//! and hides in the text of a column default (`format('JSONEachRow', 'a String DEFAULT file(…)',
//! …)`), where no filter of statements can find it for sure.
//!
//! May be lost: on a kernel without Landlock there are two walls instead of three, and a warning
//! says so.

use std::path::Path;

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset,
    RulesetAttr, RulesetCreatedAttr, RulesetError, RulesetStatus,
};

/// Newest interface version whose rights are asked for; an older kernel enforces what it knows.
const WANTED: ABI = ABI::V5;

/// Read to load the library, to size caches and pools, and to know time zones.
const READABLE: [&str; 14] = [
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/timezone",
    "/usr/share/zoneinfo",
    "/proc",
    "/sys/fs/cgroup",
    "/sys/devices/system",
    "/sys/block",
    "/dev/urandom",
    "/dev/random",
];

/// How far the kernel went along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sealed {
    /// Everything asked for is enforced.
    Fully,
    /// The kernel is older than what was asked for.
    Partly,
    /// The kernel knows no Landlock, or it is switched off.
    NotAtAll,
}

/// Seals the calling thread, and all threads and processes it starts from now on, for good.
///
/// Must run before any other thread is started: the threads that exist are not sealed.
///
/// # Errors
/// A [`RulesetError`] if the kernel knows Landlock but refuses the rules.
pub fn seal(store: &Path, config: &Path, library: &Path) -> Result<Sealed, RulesetError> {
    let ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(WANTED))?
        // Nothing is allowed back, so there is no TCP at all; the listeners are bound already.
        .handle_access(AccessNet::from_all(WANTED))?;
    let mut rules = ruleset.create()?;
    // Without the right to execute: `executable()` finds no program to run.
    let write = AccessFs::from_all(WANTED) & !AccessFs::Execute;
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let mut allow = |path: &Path, access| -> Result<(), RulesetError> {
        // What does not exist needs no rule.
        if let Ok(fd) = PathFd::new(path) {
            let access = if path.is_dir() {
                access
            } else {
                access & AccessFs::from_file(WANTED)
            };
            (&mut rules).add_rule(PathBeneath::new(fd, access))?;
        }
        Ok(())
    };
    allow(store, write)?;
    allow(Path::new("/dev/null"), write)?;
    for path in [config, library]
        .into_iter()
        .chain(READABLE.iter().map(Path::new))
    {
        allow(path, read)?;
    }
    Ok(match rules.restrict_self()?.ruleset {
        RulesetStatus::FullyEnforced => Sealed::Fully,
        RulesetStatus::PartiallyEnforced => Sealed::Partly,
        RulesetStatus::NotEnforced => Sealed::NotAtAll,
    })
}
