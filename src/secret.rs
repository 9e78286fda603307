//! Secrets in memory and in files: 256 random bits, wiped when dropped, never printed.
//!
//! Key files are 0600 and refused if wider, so that a careless copy is noticed at start, not at a leak.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use thiserror::Error;
use zeroize::Zeroizing;

/// Bytes of a secret.
pub const SECRET_BYTES: usize = 32;

/// 256 secret bits. `Debug` hides them; there is no `Display`, no `Serialize`, no comparison.
#[derive(Clone)]
pub struct Secret(Zeroizing<[u8; SECRET_BYTES]>);

impl Secret {
    /// Takes random bits from the operating system.
    ///
    /// # Panics
    /// Where the operating system has no random source; without one no promise of brine holds.
    pub fn random() -> Secret {
        Secret::from_bytes(random_bytes())
    }

    /// Wraps existing bytes.
    pub fn from_bytes(bytes: [u8; SECRET_BYTES]) -> Secret {
        Secret(Zeroizing::new(bytes))
    }

    /// Derives a key for another use; `context` is hard-coded, global and unique
    /// (BLAKE3, "derive_key").
    pub fn derive(&self, context: &str) -> Secret {
        Secret::from_bytes(blake3::derive_key(context, &self.0[..]))
    }

    /// Returns the bytes, for hashing and for the file they live in.
    pub fn expose(&self) -> &[u8; SECRET_BYTES] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(hidden)")
    }
}

/// Returns `N` random bytes from the operating system.
///
/// # Panics
/// As [`Secret::random`].
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // getrandom(2) fails only where the kernel offers no random source at all.
    getrandom::fill(&mut bytes).expect("the operating system has a random source");
    bytes
}

/// Why a key file is not usable.
#[derive(Debug, Error)]
pub enum SecretError {
    /// The file cannot be read or made; the operator checks path, rights and free space.
    #[error("key file {path}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Others than the owner may read it: `chmod 600`, and think of the key as known.
    #[error("key file {path} has mode {mode:04o}; it must be 0600", path = path.display())]
    TooWide {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It does not hold exactly 32 bytes.
    #[error("key file {path} has {found} bytes instead of 32", path = path.display())]
    Length {
        /// The file.
        path: PathBuf,
        /// Bytes found.
        found: usize,
    },
}

/// Reads the key at `path`, or makes one at first start.
///
/// # Errors
/// [`SecretError`]. A damaged or too widely readable file is never replaced: what it protects would be lost.
pub fn load_or_create(path: &Path) -> Result<Secret, SecretError> {
    let io_error = |source| SecretError::Io {
        path: path.to_owned(),
        source,
    };
    match File::open(path) {
        Ok(file) => read_private(path, file),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            let secret = Secret::random();
            write_private(path, secret.expose()).map_err(io_error)?;
            Ok(secret)
        }
        Err(e) => Err(io_error(e)),
    }
}

/// Reads the key at `path`; makes none.
///
/// # Errors
/// As [`load_or_create`], and where there is none.
pub fn load(path: &Path) -> Result<Secret, SecretError> {
    let opened = File::open(path).map_err(|source| SecretError::Io {
        path: path.to_owned(),
        source,
    });
    read_private(path, opened?)
}

fn read_private(path: &Path, mut file: File) -> Result<Secret, SecretError> {
    let io_error = |source| SecretError::Io {
        path: path.to_owned(),
        source,
    };
    let mode = file.metadata().map_err(io_error)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(SecretError::TooWide {
            path: path.to_owned(),
            mode,
        });
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(SECRET_BYTES + 1));
    Read::by_ref(&mut file)
        .take(SECRET_BYTES as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(io_error)?;
    match <[u8; SECRET_BYTES]>::try_from(&bytes[..]) {
        Ok(array) => Ok(Secret::from_bytes(array)),
        Err(_) => Err(SecretError::Length {
            path: path.to_owned(),
            found: bytes.len(),
        }),
    }
}

/// Writes `bytes` to a new 0600 file at `path`: whole or not at all, durable when it returns.
///
/// # Errors
/// What the operating system said; `path` is untouched then.
pub fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let directory = path
        .parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let temporary = directory.join(name);
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)?;
    // One that a crash left behind may have been made with another mode.
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_and_a_widely_readable_one_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        let made = load_or_create(&path).unwrap();
        assert_eq!(load_or_create(&path).unwrap().expose(), made.expose());
        assert_eq!(format!("{made:?}"), "Secret(hidden)");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(
            load_or_create(&path)
                .unwrap_err()
                .to_string()
                .contains("0640")
        );
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, b"short").unwrap();
        assert!(
            load_or_create(&path)
                .unwrap_err()
                .to_string()
                .contains("5 bytes")
        );
    }
}
