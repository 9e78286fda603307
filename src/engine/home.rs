//! The engine's directory: who may open it, and where things are in it.
//!
//! ```text
//! <data>/engine.lock   held while an engine runs here
//! <data>/engine.key    the key clients present, 0600
//! <data>/run/engine.sock   0600 in a directory 0700
//! <data>/config/       generated, see config.rs
//! <data>/store/        ClickHouse's own files; the only place SQL can reach
//! ```
//!
//! In: a directory. Out: a lock, a key, paths. Promised: two engines never share a directory, and a
//! key that others could read is refused rather than used.

use std::{
    fmt,
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use rustix::fs::{FlockOperation, flock};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::config::{self, Limits};
use crate::secret::{self, Secret};

/// Longest path of a unix socket on Linux (`sun_path` without its NUL).
const SOCKET_PATH_BYTES: usize = 107;

/// How often a held lock is tried.
const LOCK_AGAIN: Duration = Duration::from_millis(50);

/// How long a process may take from letting go of our lock to its end: the kernel frees up to a few
/// gigabytes of it.
const LEAVING: Duration = Duration::from_secs(5);

/// Why the engine's directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// Another engine runs here.
    #[error("data directory {path} is in use by another brine engine")]
    Locked {
        /// The directory.
        path: String,
    },
    /// The key can be read by others.
    #[error(
        "key file {path} has mode {mode:o}, must be 600: others may have read it, so delete it and restart"
    )]
    KeyTooOpen {
        /// The file.
        path: String,
        /// Its permission bits.
        mode: u32,
    },
    /// The key file is not what brine wrote.
    #[error("key file {path} holds no key of brine: delete it and restart")]
    KeyMalformed {
        /// The file.
        path: String,
    },
    /// The socket's path does not fit into a socket address.
    #[error(
        "socket path {path} is longer than {SOCKET_PATH_BYTES} bytes: use a shorter data directory or name a socket"
    )]
    SocketTooLong {
        /// The path.
        path: String,
    },
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: String,
        /// The reason.
        source: io::Error,
    },
}

fn io_at(path: &Path) -> impl FnOnce(io::Error) -> HomeError + '_ {
    move |source| HomeError::Io {
        path: path.display().to_string(),
        source,
    }
}

/// 256 random bits in URL-safe base64, as clients present them.
#[derive(Clone)]
pub struct Key(Zeroizing<String>);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(hidden)")
    }
}

impl Key {
    /// Reads the key of the engine that lives in `data`.
    ///
    /// # Errors
    /// [`HomeError`] if there is none yet, or others could read it.
    pub fn read(data: &Path) -> Result<Self, HomeError> {
        let path = data.join("engine.key");
        let mode = fs::metadata(&path)
            .map_err(io_at(&path))?
            .permissions()
            .mode()
            & 0o777;
        if mode & 0o077 != 0 {
            return Err(HomeError::KeyTooOpen {
                path: path.display().to_string(),
                mode,
            });
        }
        let text = Zeroizing::new(fs::read_to_string(&path).map_err(io_at(&path))?);
        let key = Zeroizing::new(text.trim().to_owned());
        match BASE64_URL_SAFE_NO_PAD.decode(key.as_bytes()) {
            Ok(bytes) if bytes.len() == 32 => Ok(Self(key)),
            _ => Err(HomeError::KeyMalformed {
                path: path.display().to_string(),
            }),
        }
    }

    /// Returns the key for a request header.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Compares in constant time.
    #[must_use]
    pub fn matches(&self, presented: &[u8]) -> bool {
        self.0.as_bytes().ct_eq(presented).into()
    }

    fn create(data: &Path) -> Result<(), HomeError> {
        let path = data.join("engine.key");
        let mut text = Zeroizing::new(BASE64_URL_SAFE_NO_PAD.encode(Secret::random().expose()));
        text.push('\n');
        secret::write_private(&path, text.as_bytes()).map_err(io_at(&path))
    }
}

/// Returns where the engine in `data` listens unless told otherwise.
#[must_use]
pub fn default_socket(data: &Path) -> PathBuf {
    data.join("run").join("engine.sock")
}

/// An opened engine directory. The lock is held until this is dropped.
#[derive(Debug)]
pub struct Home {
    /// The engine's own files, absolute.
    pub store: PathBuf,
    /// Where the generated configuration is, absolute.
    pub config_dir: PathBuf,
    /// Where it listens, absolute.
    pub socket: PathBuf,
    /// What clients must present.
    pub key: Key,
    lock: File,
}

impl Home {
    /// Opens `data`, creating what is missing, takes the lock and writes the configuration. An
    /// engine whose parent was killed needs a moment to end: the lock is waited for, as long as
    /// `patience`.
    ///
    /// # Errors
    /// [`HomeError`]; none of them heals by itself.
    pub fn open(
        data: &Path,
        socket: Option<&Path>,
        limits: &Limits,
        patience: Duration,
    ) -> Result<Self, HomeError> {
        private_dir(data)?;
        let data = data.canonicalize().map_err(io_at(data))?;
        let lock = lock(&data, patience)?;
        if !data.join("engine.key").exists() {
            Key::create(&data)?;
        }
        let key = Key::read(&data)?;
        let socket = socket.map_or_else(|| default_socket(&data), Path::to_owned);
        let socket = std::path::absolute(&socket).map_err(io_at(&socket))?;
        if socket.as_os_str().len() > SOCKET_PATH_BYTES {
            return Err(HomeError::SocketTooLong {
                path: socket.display().to_string(),
            });
        }
        let (store, config_dir) = (data.join("store"), data.join("config"));
        for dir in [&store, &config_dir] {
            private_dir(dir)?;
        }
        let (server, users) = (config_dir.join("config.xml"), config_dir.join("users.xml"));
        fs::write(&users, config::users(limits)).map_err(io_at(&users))?;
        fs::write(&server, config::server(limits, &store, &users)).map_err(io_at(&server))?;
        Ok(Self {
            store,
            config_dir,
            socket,
            key,
            lock,
        })
    }

    /// Binds the unix socket: 0600, in a directory that is made 0700 if it is made here.
    ///
    /// # Errors
    /// [`HomeError::Io`], for instance if a directory of others stands in the way.
    pub fn bind(&self) -> Result<std::os::unix::net::UnixListener, HomeError> {
        let path = &self.socket;
        if let Some(dir) = path.parent() {
            private_dir(dir)?;
        }
        // We hold the lock, so a socket left here belongs to an engine that is gone.
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(io_at(path)(error));
            }
            _ => {}
        }
        let listener = std::os::unix::net::UnixListener::bind(path).map_err(io_at(path))?;
        fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(io_at(path))?;
        listener.set_nonblocking(true).map_err(io_at(path))?;
        Ok(listener)
    }

    /// Returns what the first connection of the engine is opened with.
    #[must_use]
    pub fn engine_arguments(&self) -> Vec<String> {
        vec![
            format!("--path={}", self.store.display()),
            format!(
                "--config-file={}",
                self.config_dir.join("config.xml").display()
            ),
        ]
    }

    /// Returns the lock's file, to be kept open for as long as the engine runs.
    #[must_use]
    pub fn lock(&self) -> &File {
        &self.lock
    }
}

/// Makes `dir` and its missing parents with mode 0700; leaves the mode of an existing one alone.
fn private_dir(dir: &Path) -> Result<(), HomeError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(io_at(dir))
}

fn lock(data: &Path, patience: Duration) -> Result<File, HomeError> {
    let path = data.join("engine.lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(io_at(&path))?;
    take(&file, &path, data, patience)?;
    // ClickHouse has a lock of its own. A process that exits lets go of its files one after the
    // other, ours before that one: whoever still holds it is on its way out.
    let path = data.join("store").join("status");
    match File::open(&path) {
        // Free again when it is closed, right here.
        Ok(status) => take(&status, &path, data, LEAVING)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(io_at(&path)(error)),
    }
    Ok(file)
}

/// Takes the lock of a file that the engine in `data` holds while it runs.
fn take(file: &File, path: &Path, data: &Path, mut patience: Duration) -> Result<(), HomeError> {
    loop {
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(()),
            Err(rustix::io::Errno::WOULDBLOCK) if patience.is_zero() => {
                return Err(HomeError::Locked {
                    path: data.display().to_string(),
                });
            }
            Err(rustix::io::Errno::WOULDBLOCK) => {
                std::thread::sleep(LOCK_AGAIN.min(patience));
                patience = patience.saturating_sub(LOCK_AGAIN);
            }
            Err(errno) => return Err(io_at(path)(errno.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn second_engine_is_told_that_the_directory_is_in_use() {
        let dir = tempfile::tempdir().unwrap();
        let first = Home::open(dir.path(), None, &Limits::default(), Duration::ZERO).unwrap();
        let second = Home::open(dir.path(), None, &Limits::default(), Duration::ZERO).unwrap_err();
        assert!(matches!(second, HomeError::Locked { .. }), "{second}");
        drop(first);
        Home::open(dir.path(), None, &Limits::default(), Duration::ZERO).unwrap();
    }

    #[test]
    fn key_is_private_kept_and_never_shown() {
        let dir = tempfile::tempdir().unwrap();
        let key = Home::open(dir.path(), None, &Limits::default(), Duration::ZERO)
            .unwrap()
            .key;
        let path = dir.path().join("engine.key");
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert!(
            Key::read(dir.path())
                .unwrap()
                .matches(key.expose().as_bytes())
        );
        assert!(!format!("{key:?}").contains(key.expose()));
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(
            Key::read(dir.path()),
            Err(HomeError::KeyTooOpen { mode: 0o640, .. })
        ));
    }

    #[test]
    fn socket_path_that_does_not_fit_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let long = dir.path().join("x".repeat(100));
        let error = Home::open(&long, None, &Limits::default(), Duration::ZERO).unwrap_err();
        assert!(matches!(error, HomeError::SocketTooLong { .. }), "{error}");
    }
}
