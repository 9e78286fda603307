//! Salts on the disk: one small file each, in a directory for nobody else.
//!
//! Comes in: names and salts. Goes out: files 0600 in a directory 0700, whole or not at all, durable when a function
//! returns; or their destruction: overwritten with random bytes, fsynced, unlinked, the directory fsynced. Promises
//! that files others could read are refused, and that with a wrapping key none is in the clear. On SSDs and
//! copy-on-write file systems an overwrite may leave old blocks behind (README, "Salts"): that is what the key is for.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::SaltError;
use super::wrap::{self, SEALED_BYTES};
use crate::secret::{self, SECRET_BYTES, Secret, SecretError, random_bytes};

/// The directory, and the key its files are sealed with.
#[derive(Debug)]
pub(super) struct Files {
    directory: PathBuf,
    key: Option<Secret>,
}

/// What a file turned out to be.
pub(super) enum Found {
    Secret(Secret),
    /// Sealed with a key that is gone.
    Lost,
}

impl Files {
    /// Opens `directory`, made 0700 if missing.
    pub(super) fn open(directory: &Path, key: Option<Secret>) -> Result<Files, SaltError> {
        let io_error = |source| SaltError::Io {
            path: directory.to_owned(),
            source,
        };
        if !directory.exists() {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(directory)
                .map_err(io_error)?;
        }
        let mode = fs::metadata(directory)
            .map_err(io_error)?
            .permissions()
            .mode()
            & 0o777;
        if mode & 0o077 != 0 {
            return Err(SaltError::TooWide {
                path: directory.to_owned(),
                mode,
            });
        }
        Ok(Files {
            directory: directory.to_owned(),
            key,
        })
    }

    pub(super) fn is_sealed(&self) -> bool {
        self.key.is_some()
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Returns the names in the directory; what a crash left half-made is destroyed (nothing was hashed with it).
    pub(super) fn names(&self) -> Result<Vec<String>, SaltError> {
        let io_error = |source| SaltError::Io {
            path: self.directory.clone(),
            source,
        };
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.directory).map_err(io_error)? {
            let path = entry.map_err(io_error)?.path();
            if path.extension().is_some_and(|e| e == "new") {
                destroy(&path).map_err(io_error)?;
            } else if let Some(name) = path.file_name().and_then(|name| name.to_str()) {
                names.push(name.to_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    /// Reads a salt. One that stands in the clear although there is a key is sealed on the way.
    pub(super) fn read(&self, name: &str) -> Result<Found, SaltError> {
        let path = self.path(name);
        let io_error = |source| SaltError::Io {
            path: path.clone(),
            source,
        };
        let mut file = File::open(&path).map_err(io_error)?;
        let metadata = file.metadata().map_err(io_error)?;
        let mode = metadata.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(SecretError::TooWide { path, mode }.into());
        }
        match (usize::try_from(metadata.len()), &self.key) {
            (Ok(SECRET_BYTES), None) => Secret::fill(|page| file.read_exact(page))
                .map(Found::Secret)
                .map_err(io_error),
            (Ok(SECRET_BYTES), Some(_)) => {
                let salt = Secret::fill(|page| file.read_exact(page)).map_err(io_error)?;
                // The clear file is held open, so that its own blocks are what is overwritten after it was replaced.
                let clear = OpenOptions::new()
                    .write(true)
                    .open(&path)
                    .map_err(io_error)?;
                self.write(name, &salt)?;
                overwrite(clear, SECRET_BYTES).map_err(io_error)?;
                Ok(Found::Secret(salt))
            }
            (Ok(SEALED_BYTES), key) => {
                let mut bytes = Zeroizing::new(Vec::with_capacity(SEALED_BYTES));
                file.read_to_end(&mut bytes).map_err(io_error)?;
                if !wrap::is_sealed(&bytes) {
                    return Err(length(path, bytes.len()));
                }
                let Some(key) = key else {
                    return Err(SaltError::NoKey { path });
                };
                Ok(wrap::open(key, name, &bytes).map_or(Found::Lost, Found::Secret))
            }
            (found, _) => Err(length(path, found.unwrap_or(usize::MAX))),
        }
    }

    /// Writes a salt, sealed where there is a key. Whole or not at all; durable when it returns.
    pub(super) fn write(&self, name: &str, salt: &Secret) -> Result<(), SaltError> {
        let path = self.path(name);
        match &self.key {
            Some(key) => secret::write_private(&path, &wrap::seal(key, name, salt)),
            None => secret::write_private(&path, salt.expose()),
        }
        .map_err(|source| SaltError::Io { path, source })
    }

    /// Overwrites, fsyncs, unlinks, fsyncs the directory. A file that is gone already is no error.
    pub(super) fn destroy(&self, name: &str) -> Result<(), SaltError> {
        let path = self.path(name);
        destroy(&path).map_err(|source| SaltError::Io { path, source })
    }
}

fn length(path: PathBuf, found: usize) -> SaltError {
    SecretError::Length { path, found }.into()
}

/// Overwrites the file at `path` with random bytes, fsyncs it, unlinks it, fsyncs its directory.
pub(super) fn destroy(path: &Path) -> io::Result<()> {
    let file = match OpenOptions::new().write(true).open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(e),
    };
    let n_bytes = file.metadata()?.len();
    overwrite(file, usize::try_from(n_bytes).unwrap_or(SEALED_BYTES))?;
    fs::remove_file(path)?;
    match path.parent() {
        Some(directory) => File::open(directory)?.sync_all(),
        None => Ok(()),
    }
}

fn overwrite(mut file: File, n_bytes: usize) -> io::Result<()> {
    file.seek(SeekFrom::Start(0))?;
    for _ in 0..n_bytes.div_ceil(SECRET_BYTES).clamp(1, 64) {
        file.write_all(&random_bytes::<SECRET_BYTES>())?;
    }
    file.sync_all()
}
