//! Which rules the last run went by, so that days changed while brine was down are noticed at its start.
//!
//! Comes in: the configuration's days, holds and sites. Goes out: whether they are those of the last run that left
//! nothing. On disk is a hash of their text, never read for anything else: where another version writes the text another
//! way, the job runs once more than it had to.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::collector::Live;
use crate::secret;

/// What a run goes by, to be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct InForce(blake3::Hash);

impl InForce {
    pub(super) fn of(live: &Live) -> InForce {
        let sites = live.sites.iter();
        let sites: Vec<_> = sites
            .map(|site| (site.id.as_str(), site.keep, site.legal_hold.is_some()))
            .collect();
        InForce(blake3::hash(
            format!("{:?}", (&live.retention, sites)).as_bytes(),
        ))
    }
}

/// The file that remembers them.
#[derive(Clone, Debug)]
pub(super) struct LastRules {
    path: PathBuf,
}

impl LastRules {
    pub(super) fn at(path: &Path) -> LastRules {
        LastRules {
            path: path.to_owned(),
        }
    }

    /// Returns the rules of the last run; none where there is no file, or nothing readable in it. Blocking.
    pub(super) fn read(&self) -> Option<InForce> {
        let text = fs::read_to_string(&self.path).ok()?;
        blake3::Hash::from_hex(text.trim()).ok().map(InForce)
    }

    /// Remembers the rules of a run. Blocking.
    ///
    /// # Errors
    /// I/O errors; the job then runs once more at the next start.
    pub(super) fn write(&self, rules: InForce) -> io::Result<()> {
        secret::write_private(&self.path, rules.0.to_hex().as_bytes())
    }
}
