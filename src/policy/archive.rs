//! Every version ever published, as plain files.
//!
//! ```text
//! <directory>/<scope>/00003.00001.json     version 3, its first cosmetic revision
//! ```
//! A scope is a site's id, or `group.` and a group's name. A file is written once, whole, fsynced with its directory,
//! and never touched again: it appears by a hard link, which fails where the name is taken, so that two collectors on
//! one directory cannot give one number to two contents.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::Edition;
use crate::secret::random_bytes;

/// The layout of an [`Edition`] that this brine writes.
pub const FORMAT: u8 = 1;

/// Why the archive cannot be used.
#[derive(Debug, Error)]
pub enum ArchiveError {
    /// A file or directory cannot be read or written; the operator checks path, rights and free space. The file
    /// system must have hard links.
    #[error("policy archive {path}", path = path.display())]
    Io {
        /// What was touched.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A file is not what brine wrote. Restore it from a copy: its number is used, and what it said is owed to those
    /// who said yes to it.
    #[error("policy archive {path} is damaged: {reason}", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// There is no number left for a further one.
    #[error("the policy of {scope} has reached version or revision 65535")]
    Exhausted {
        /// The scope.
        scope: String,
    },
}

/// The directory.
#[derive(Clone, Debug)]
pub struct Archive {
    directory: PathBuf,
}

impl Archive {
    /// Opens `directory`, made 0700 if missing.
    ///
    /// # Errors
    /// [`ArchiveError::Io`].
    pub fn open(directory: &Path) -> Result<Archive, ArchiveError> {
        make_directory(directory)?;
        Ok(Archive {
            directory: directory.to_owned(),
        })
    }

    /// Looks at `directory` without making it: what a command beside a running brine does.
    pub fn at(directory: &Path) -> Archive {
        Archive {
            directory: directory.to_owned(),
        }
    }

    /// Returns the scopes that something was ever published for.
    ///
    /// # Errors
    /// [`ArchiveError::Io`].
    pub fn scopes(&self) -> Result<BTreeSet<String>, ArchiveError> {
        let names = names(&self.directory)?;
        Ok(names
            .iter()
            .filter(|name| !name.starts_with('.'))
            .map(|name| scope_of(name))
            .collect())
    }

    /// Returns all editions of `scope`, oldest first.
    ///
    /// # Errors
    /// [`ArchiveError`].
    pub fn editions(&self, scope: &str) -> Result<Vec<Edition>, ArchiveError> {
        self.numbers(scope)?
            .into_iter()
            .map(|(version, revision)| self.read(scope, version, revision))
            .collect()
    }

    /// Returns the latest edition of `scope`, if there is any.
    ///
    /// # Errors
    /// [`ArchiveError`].
    pub fn latest(&self, scope: &str) -> Result<Option<Edition>, ArchiveError> {
        match self.numbers(scope)?.last() {
            Some((version, revision)) => self.read(scope, *version, *revision).map(Some),
            None => Ok(None),
        }
    }

    /// Returns one edition.
    ///
    /// # Errors
    /// [`ArchiveError`]; also where there is none.
    pub fn read(&self, scope: &str, version: u16, revision: u16) -> Result<Edition, ArchiveError> {
        let path = self.folder(scope).join(name(version, revision));
        let text = fs::read_to_string(&path).map_err(io_error(&path))?;
        let damaged = |reason: String| ArchiveError::Damaged {
            path: path.clone(),
            reason,
        };
        let edition: Edition =
            serde_json::from_str(&text).map_err(|error| damaged(error.to_string()))?;
        if edition.format > FORMAT {
            return Err(damaged(format!(
                "format {} is of a later brine",
                edition.format
            )));
        }
        let told = (edition.scope.as_str(), edition.version, edition.revision);
        if told != (scope, version, revision) {
            return Err(damaged(format!(
                "it says {} {}.{}",
                edition.scope, edition.version, edition.revision
            )));
        }
        Ok(edition)
    }

    /// Adds an edition, durable when this returns. Returns false where its number is taken already.
    ///
    /// # Errors
    /// [`ArchiveError::Io`].
    pub fn add(&self, edition: &Edition) -> Result<bool, ArchiveError> {
        let folder = self.folder(&edition.scope);
        if !folder.exists() {
            make_directory(&folder)?;
            sync(&self.directory)?;
        }
        let path = folder.join(name(edition.version, edition.revision));
        // Not the process id: on a shared directory two machines may have the same.
        let unique = u64::from_ne_bytes(random_bytes());
        let temporary = folder.join(format!(".{unique:016x}.new"));
        // A struct of texts and numbers always has a JSON form.
        let text = serde_json::to_string_pretty(edition).expect("an edition is JSON");
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)
            .map_err(io_error(&temporary))?;
        file.write_all(text.as_bytes())
            .and_then(|()| file.sync_all())
            .map_err(io_error(&temporary))?;
        let linked = fs::hard_link(&temporary, &path);
        fs::remove_file(&temporary).map_err(io_error(&temporary))?;
        match linked {
            Ok(()) => sync(&folder).map(|()| true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(io_error(&path)(error)),
        }
    }

    /// Versions and revisions of a scope, in order.
    fn numbers(&self, scope: &str) -> Result<BTreeSet<(u16, u16)>, ArchiveError> {
        let names = names(&self.folder(scope))?;
        Ok(names.iter().filter_map(|name| parse(name)).collect())
    }

    fn folder(&self, scope: &str) -> PathBuf {
        self.directory.join(scope.replacen(':', ".", 1))
    }
}

fn name(version: u16, revision: u16) -> String {
    format!("{version:05}.{revision:05}.json")
}

fn parse(name: &str) -> Option<(u16, u16)> {
    let (version, revision) = name.strip_suffix(".json")?.split_once('.')?;
    Some((version.parse().ok()?, revision.parse().ok()?))
}

fn scope_of(folder: &str) -> String {
    folder.replacen('.', ":", 1)
}

/// Names in a directory; none where it does not exist.
fn names(directory: &Path) -> Result<Vec<String>, ArchiveError> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(io_error(directory)(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(io_error(directory))?;
        names.extend(entry.file_name().into_string());
    }
    Ok(names)
}

fn make_directory(directory: &Path) -> Result<(), ArchiveError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(io_error(directory))
}

fn sync(directory: &Path) -> Result<(), ArchiveError> {
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(io_error(directory))
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> ArchiveError + use<> {
    let path = path.to_owned();
    move |source| ArchiveError::Io { path, source }
}
