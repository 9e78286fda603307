//! Secrets in memory and in files: 256 random bits in a page of their own, wiped when dropped, never printed.
//!
//! **In memory** a secret is one anonymous page: locked (mlock(2): never swapped), left out of core dumps
//! (MADV_DONTDUMP), not inherited by children (MADV_DONTFORK, which goes further than MADV_WIPEONFORK: a child
//! does not even have the address), overwritten with zeros before it is unmapped. Clones share the page, so that the
//! bits stand in one place however often they are passed on. What computes with them works inside of
//! [`leaving_no_trace`], which clears the stack that hashing left its key words on. Where a lock is refused
//! (RLIMIT_MEMLOCK), brine goes on and counts it ([`unlocked`]).
//!
//! **In files** keys are 0600 and refused if wider, so that a careless copy is noticed at start, not at a leak.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::hint::black_box;
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use memmap2::{Advice, MmapMut};
use thiserror::Error;
use zeroize::Zeroize;

/// Bytes of a secret.
pub const SECRET_BYTES: usize = 32;

/// Secrets alive whose page could not be locked.
static UNLOCKED: AtomicUsize = AtomicUsize::new(0);

/// Returns how many living secrets the system may write to swap, because RLIMIT_MEMLOCK forbade to lock them.
pub fn unlocked() -> usize {
    UNLOCKED.load(Ordering::Relaxed)
}

/// 256 secret bits. `Debug` hides them; there is no `Display`, no `Serialize`, no comparison. A clone is the same
/// memory again.
#[derive(Clone)]
pub struct Secret(Arc<Page>);

/// The memory of one secret.
struct Page {
    bytes: MmapMut,
    is_locked: bool,
}

impl Page {
    fn new() -> Page {
        // Fails only where the process may have no further memory at all; an allocation would end it just so.
        let bytes = MmapMut::map_anon(SECRET_BYTES).expect("one page of memory can be had");
        let is_locked = bytes.lock().is_ok();
        if !is_locked && UNLOCKED.fetch_add(1, Ordering::Relaxed) == 0 {
            tracing::warn!(
                "memory of keys and salts cannot be locked; raise RLIMIT_MEMLOCK (systemd: LimitMEMLOCK)"
            );
        }
        for (advice, what) in [
            (Advice::DontDump, "MADV_DONTDUMP"),
            (Advice::DontFork, "MADV_DONTFORK"),
        ] {
            if let Err(error) = bytes.advise(advice) {
                // Core dumps are off for the whole process, and children exec at once: a second fence is missing.
                tracing::warn!(%error, what, "memory of a secret");
            }
        }
        Page { bytes, is_locked }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        self.bytes[..].zeroize();
        if !self.is_locked {
            UNLOCKED.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Tells whether a secret's memory is still there, without keeping it there.
#[derive(Debug)]
pub struct Trace(Weak<Page>);

impl Trace {
    /// Returns true once every holder has dropped the secret, and its memory is wiped.
    pub fn is_wiped(&self) -> bool {
        self.0.strong_count() == 0
    }
}

impl Secret {
    /// Takes random bits from the operating system.
    ///
    /// # Panics
    /// Where the operating system has no random source; without one no promise of brine holds.
    pub fn random() -> Secret {
        // getrandom(2) fails only where the kernel offers no random source at all.
        Secret::fill(getrandom::fill).expect("the operating system has a random source")
    }

    /// Lets `write` put the bits where they will stay: no copy of them is left elsewhere.
    ///
    /// # Errors
    /// What `write` says; the memory is wiped then.
    pub fn fill<E>(write: impl FnOnce(&mut [u8]) -> Result<(), E>) -> Result<Secret, E> {
        let mut page = Page::new();
        write(&mut page.bytes[..SECRET_BYTES])?;
        Ok(Secret(Arc::new(page)))
    }

    /// Takes over existing bytes, and wipes what it was given. A caller's own copy is the caller's to wipe.
    pub fn from_bytes(mut bytes: [u8; SECRET_BYTES]) -> Secret {
        let mut page = Page::new();
        page.bytes[..SECRET_BYTES].copy_from_slice(&bytes);
        bytes.zeroize();
        Secret(Arc::new(page))
    }

    /// Derives a key for another use; `context` is hard-coded, global and unique
    /// (BLAKE3, "derive_key").
    pub fn derive(&self, context: &str) -> Secret {
        self.derive_for(context, &[])
    }

    /// The same for one of many: each of `fields` is hashed in with its length before it.
    pub fn derive_for(&self, context: &str, fields: &[&[u8]]) -> Secret {
        let mut page = Page::new();
        leaving_no_trace::<16_384, _>(|| {
            let mut hasher = blake3::Hasher::new_derive_key(context);
            hasher.update(self.expose());
            for field in fields {
                hasher
                    .update(&(field.len() as u64).to_le_bytes())
                    .update(field);
            }
            hasher.finalize_xof().fill(&mut page.bytes[..SECRET_BYTES]);
        });
        Secret(Arc::new(page))
    }

    /// Returns the bytes, for hashing and for the file they live in.
    pub fn expose(&self) -> &[u8; SECRET_BYTES] {
        self.0
            .bytes
            .first_chunk()
            .expect("a page holds a secret: it was made so long")
    }

    /// Returns what tells when the last holder is gone.
    pub fn trace(&self) -> Trace {
        Trace(Arc::downgrade(&self.0))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(hidden)")
    }
}

/// Runs `work`, which computes with a secret, and overwrites the `DEPTH` bytes of stack that it may have used.
/// Hash functions leave their key there, in frames that nobody clears: a dump of the process would have it long
/// after the key is destroyed. What `work` returns must be no secret.
#[inline]
pub fn leaving_no_trace<const DEPTH: usize, R>(work: impl FnOnce() -> R) -> R {
    // Both have their frame at the same place: right below this one.
    let result = apart(work);
    burn::<DEPTH>();
    result
}

#[inline(never)]
fn apart<R>(work: impl FnOnce() -> R) -> R {
    work()
}

#[inline(never)]
fn burn<const DEPTH: usize>() {
    let zeros = [0_u8; DEPTH];
    black_box(&zeros);
}

/// Returns `N` random bytes from the operating system, for ids and nonces.
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
    read_private(path, open_private(path)?)
}

/// Opens a file that nobody but its owner may read.
///
/// # Errors
/// [`SecretError`], also where others may.
pub fn open_private(path: &Path) -> Result<File, SecretError> {
    let opened = File::open(path).map_err(|source| SecretError::Io {
        path: path.to_owned(),
        source,
    });
    let file = opened?;
    expect_private(path, &file)?;
    Ok(file)
}

fn expect_private(path: &Path, file: &File) -> Result<(), SecretError> {
    let metadata = file.metadata().map_err(|source| SecretError::Io {
        path: path.to_owned(),
        source,
    });
    let mode = metadata?.permissions().mode() & 0o777;
    match mode & 0o077 {
        0 => Ok(()),
        _ => Err(SecretError::TooWide {
            path: path.to_owned(),
            mode,
        }),
    }
}

fn read_private(path: &Path, mut file: File) -> Result<Secret, SecretError> {
    let io_error = |source| SecretError::Io {
        path: path.to_owned(),
        source,
    };
    expect_private(path, &file)?;
    let found = file.metadata().map_err(io_error)?.len();
    if found != SECRET_BYTES as u64 {
        return Err(SecretError::Length {
            path: path.to_owned(),
            found: usize::try_from(found).unwrap_or(usize::MAX),
        });
    }
    Secret::fill(|bytes| file.read_exact(bytes)).map_err(io_error)
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
