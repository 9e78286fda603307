//! Gets the engine library, once.
//!
//! In: a cache directory. Out: `<cache>/brine/engine/<version>/libchdb.so`, whose bytes are the
//! pinned ones. The library is published as an npm package; npm brings its own proxy and registry
//! settings, so npm does the download. Promised: nothing is found at the final path that was not
//! checked, however the fetch ends: it is unpacked beside it and renamed.

use std::{
    ffi::OsString,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, BufReader, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use flate2::read::GzDecoder;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use rustix::fs::{FlockOperation, flock, statvfs};
use sha2::{Digest, Sha256, Sha512};

use super::{ENGINE_VERSION, LibraryError};

/// The package with the library for x86-64 Linux with glibc, the platform that is tested.
const PACKAGE: &str = "@chdb/lib-linux-x64-gnu";

/// Size of its tarball, in bytes.
const TARBALL_BYTES: u64 = 177_817_999;

/// SHA-512 of the tarball, in base64, as the registry publishes it for this version.
const TARBALL_SHA512: &str =
    "XP97mMqnc5tZpKQywR8N7cLTsHNiTmHr30pC5mzo3jWmukjKn2IBa60c2B/gWUNcuFjOMjWoorQICCqBVj5wpw==";

/// SHA-256 of the library in it, in hexadecimal.
const LIBRARY_SHA256: &str = "36ad4e999882821ef13cf2d0f52c93f48e6ee1b4498b35a201c23ce4b8d15bf5";

/// Room needed while fetching: npm's copy, the tarball, the library.
const ROOM_BYTES: u64 = 2 * TARBALL_BYTES + 570_000_000;

/// The file in the tarball that is wanted.
const MEMBER: &str = "package/libchdb.so";

/// Why the library was not fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// Nothing is published for this machine.
    #[error(
        "no engine for this platform: tested is linux on x86-64 with glibc; name a library of your own in BRINE_ENGINE_LIB, or use a ClickHouse server"
    )]
    Platform,
    /// npm is not installed.
    #[error(
        "npm is needed to fetch the engine and was not found: install node with npm, or name the library in BRINE_ENGINE_LIB"
    )]
    NoNpm,
    /// npm reached no registry.
    #[error("npm reached no registry, is there a network? npm says: {said}")]
    NoNetwork {
        /// The beginning of what npm said.
        said: String,
    },
    /// npm failed for a reason of its own.
    #[error("npm could not fetch the engine: {said}")]
    Npm {
        /// The beginning of what npm said.
        said: String,
    },
    /// What came is not what is pinned.
    #[error("{what} has hash {found}, expected {expected}: not used; a proxy may have changed it")]
    WrongHash {
        /// Tarball or library.
        what: &'static str,
        /// Its hash.
        found: String,
        /// The pinned one.
        expected: &'static str,
    },
    /// Not enough space.
    #[error("disk full: fetching the engine needs {} MB in {path}", ROOM_BYTES / 1_000_000)]
    DiskFull {
        /// Where.
        path: String,
    },
    /// The tarball does not hold the library.
    #[error("the engine's package holds no {MEMBER}")]
    NoMember,
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file or directory.
        path: String,
        /// The reason.
        source: io::Error,
    },
}

fn io_at(path: &Path) -> impl Fn(io::Error) -> FetchError + '_ {
    move |source| match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => FetchError::DiskFull {
            path: path.display().to_string(),
        },
        _ => FetchError::Io {
            path: path.display().to_string(),
            source,
        },
    }
}

/// Looks a variable of the environment up.
pub type Environment<'e> = &'e dyn Fn(&str) -> Option<OsString>;

/// Returns the cache directory: `XDG_CACHE_HOME`, or `.cache` in `HOME` (XDG Base Directory
/// Specification).
///
/// # Errors
/// [`LibraryError::Homeless`] if neither is set.
pub fn cache_dir(environment: Environment<'_>) -> Result<PathBuf, LibraryError> {
    let path = |name| {
        environment(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    path("XDG_CACHE_HOME")
        .filter(|dir| dir.is_absolute())
        .or_else(|| path("HOME").map(|home| home.join(".cache")))
        .ok_or(LibraryError::Homeless)
}

/// Returns where the library is, or would be: `BRINE_ENGINE_LIB`, or what [`fetch`] makes.
///
/// # Errors
/// [`LibraryError::Homeless`] if the environment says nothing.
pub fn library_path(environment: Environment<'_>) -> Result<PathBuf, LibraryError> {
    match environment("BRINE_ENGINE_LIB").filter(|value| !value.is_empty()) {
        Some(path) => Ok(path.into()),
        None => Ok(library_in(&cache_dir(environment)?)),
    }
}

/// Returns where [`fetch`] puts the library.
#[must_use]
pub fn library_in(cache: &Path) -> PathBuf {
    engine_dir(cache).join(ENGINE_VERSION).join("libchdb.so")
}

fn engine_dir(cache: &Path) -> PathBuf {
    cache.join("brine").join("engine")
}

/// Fetches the library into `cache` unless it is there, whole, and returns its path. Several at
/// once wait for the first.
///
/// # Errors
/// [`FetchError`], each for the operator to mend; nothing is left behind.
pub fn fetch(cache: &Path) -> Result<PathBuf, FetchError> {
    let library = library_in(cache);
    let dir = engine_dir(cache);
    DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(&dir)
        .map_err(io_at(&dir))?;
    let lock_path = dir.join("fetch.lock");
    let lock = File::create(&lock_path).map_err(io_at(&lock_path))?;
    flock(&lock, FlockOperation::LockExclusive).map_err(|errno| io_at(&lock_path)(errno.into()))?;
    if library.exists() {
        let found = sha256(&library)?;
        if found == LIBRARY_SHA256 {
            return Ok(library);
        }
        tracing::warn!(path = %library.display(), "engine library is damaged and is fetched again");
    }
    if !cfg!(all(
        target_os = "linux",
        target_arch = "x86_64",
        target_env = "gnu"
    )) {
        return Err(FetchError::Platform);
    }
    let scratch = Scratch::new(&dir)?;
    let tarball = download(&scratch)?;
    install(&tarball, &scratch, &dir)?;
    Ok(library)
}

/// A directory that goes when the fetch does. On the same file system as its parent, so that a
/// rename is enough.
struct Scratch(PathBuf);

impl Scratch {
    /// Under the lock, so what an earlier fetch left behind can go.
    fn new(dir: &Path) -> Result<Self, FetchError> {
        let path = dir.join("fetching");
        remove(&path)?;
        let statistics = statvfs(dir).map_err(|errno| io_at(dir)(errno.into()))?;
        if statistics.f_bavail.saturating_mul(statistics.f_frsize) < ROOM_BYTES {
            return Err(FetchError::DiskFull {
                path: dir.display().to_string(),
            });
        }
        DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .map_err(io_at(&path))?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed now is removed by the next fetch.
        remove(&self.0).ok();
    }
}

fn remove(path: &Path) -> Result<(), FetchError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_at(path)(error)),
        _ => Ok(()),
    }
}

/// Has npm download the package. npm reports no progress; its cache, private to this fetch, grows.
fn download(scratch: &Scratch) -> Result<PathBuf, FetchError> {
    let cache = scratch.0.join("npm");
    let spec = format!("{PACKAGE}@{ENGINE_VERSION}");
    let mut npm = Command::new("npm")
        .args([
            "pack",
            &spec,
            "--loglevel=error",
            "--no-progress",
            "--pack-destination",
        ])
        .arg(&scratch.0)
        .arg("--cache")
        .arg(&cache)
        .current_dir(&scratch.0)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => FetchError::NoNpm,
            _ => io_at(Path::new("npm"))(error),
        })?;
    let stderr = npm.stderr.take();
    // Read while npm runs: a full pipe would stop it.
    let said = thread::spawn(move || hear(stderr));
    let bar = ProgressBar::with_draw_target(Some(TARBALL_BYTES), ProgressDrawTarget::stderr());
    let template = "engine {version} {wide_bar} {bytes}/{total_bytes} {eta}";
    let template = template.replace("{version}", ENGINE_VERSION);
    if let Ok(style) = ProgressStyle::with_template(&template) {
        bar.set_style(style);
    }
    let status = loop {
        match npm.try_wait().map_err(io_at(Path::new("npm")))? {
            Some(status) => break status,
            None => {
                bar.set_position(size_of_dir(&cache).min(TARBALL_BYTES));
                thread::sleep(Duration::from_millis(100));
            }
        }
    };
    bar.finish_and_clear();
    if !status.success() {
        return Err(npm_error(&said.join().unwrap_or_default(), &scratch.0));
    }
    let is_tarball = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "tgz");
    let entries = fs::read_dir(&scratch.0).map_err(io_at(&scratch.0))?;
    entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(is_tarball)
        .ok_or(FetchError::NoMember)
}

/// What npm says; its errors begin with a code and the reason.
fn hear(stderr: Option<impl Read>) -> String {
    let mut text = Vec::new();
    if let Some(stderr) = stderr {
        // What cannot be read is not quoted; the exit code tells of the failure.
        stderr.take(64 << 10).read_to_end(&mut text).ok();
    }
    String::from_utf8_lossy(&text).into_owned()
}

fn npm_error(said: &str, scratch: &Path) -> FetchError {
    // npm's words for what the operating system says; the last two are its own.
    const NETWORK: [&str; 7] = [
        "ENOTFOUND",
        "EAI_AGAIN",
        "ECONNREFUSED",
        "ECONNRESET",
        "ETIMEDOUT",
        "ENETUNREACH",
        "ERR_SOCKET_TIMEOUT",
    ];
    let is = |word: &&str| said.contains(*word);
    let (is_full, is_network) = (is(&"ENOSPC"), NETWORK.iter().any(is));
    let lines = said
        .lines()
        .map(|line| line.trim_start_matches("npm").trim())
        .take(4);
    let said = lines.collect::<Vec<_>>().join("; ");
    if is_full {
        FetchError::DiskFull {
            path: scratch.display().to_string(),
        }
    } else if is_network {
        FetchError::NoNetwork { said }
    } else {
        FetchError::Npm { said }
    }
}

fn size_of_dir(dir: &Path) -> u64 {
    // npm moves files about while this looks; what has gone counts nothing.
    let Ok(entries) = fs::read_dir(dir) else {
        return 0;
    };
    entries
        .filter_map(|entry| entry.ok())
        .map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => size_of_dir(&entry.path()),
            _ => entry.metadata().map_or(0, |metadata| metadata.len()),
        })
        .sum()
}

/// Checks the tarball, unpacks the library, checks it, and moves it to its place.
fn install(tarball: &Path, scratch: &Scratch, dir: &Path) -> Result<(), FetchError> {
    let mut sha512 = Sha512::new();
    let mut file = File::open(tarball).map_err(io_at(tarball))?;
    copy(&mut file, |bytes| {
        sha512.update(bytes);
        Ok(())
    })
    .map_err(io_at(tarball))?;
    let found = BASE64_STANDARD.encode(sha512.finalize());
    if found != TARBALL_SHA512 {
        return Err(FetchError::WrongHash {
            what: "the engine's package",
            found,
            expected: TARBALL_SHA512,
        });
    }
    let unpacked = scratch.0.join("unpacked");
    DirBuilder::new()
        .mode(0o755)
        .create(&unpacked)
        .map_err(io_at(&unpacked))?;
    let found = unpack(tarball, &unpacked.join("libchdb.so"))?;
    if found != LIBRARY_SHA256 {
        return Err(FetchError::WrongHash {
            what: "the engine library",
            found,
            expected: LIBRARY_SHA256,
        });
    }
    let home = dir.join(ENGINE_VERSION);
    // A damaged one, or one that is half deleted.
    remove(&home)?;
    fs::rename(&unpacked, &home).map_err(io_at(&home))?;
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(io_at(dir))
}

/// Writes the library out of the tarball and returns its SHA-256.
fn unpack(tarball: &Path, to: &Path) -> Result<String, FetchError> {
    let file = File::open(tarball).map_err(io_at(tarball))?;
    let mut archive = tar::Archive::new(GzDecoder::new(BufReader::new(file)));
    for entry in archive.entries().map_err(io_at(tarball))? {
        let mut entry = entry.map_err(io_at(tarball))?;
        if entry.path_bytes() != MEMBER.as_bytes() {
            continue;
        }
        let mut options = OpenOptions::new();
        let mut library = options
            .write(true)
            .create_new(true)
            .mode(0o755)
            .open(to)
            .map_err(io_at(to))?;
        let mut hash = Sha256::new();
        copy(&mut entry, |bytes| {
            hash.update(bytes);
            library.write_all(bytes)
        })
        .and_then(|()| library.sync_all())
        .map_err(io_at(to))?;
        return Ok(hex(&hash.finalize()));
    }
    Err(FetchError::NoMember)
}

fn sha256(path: &Path) -> Result<String, FetchError> {
    let mut hash = Sha256::new();
    let mut file = File::open(path).map_err(io_at(path))?;
    copy(&mut file, |bytes| {
        hash.update(bytes);
        Ok(())
    })
    .map_err(io_at(path))?;
    Ok(hex(&hash.finalize()))
}

fn copy(from: &mut impl Read, mut to: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    let mut buffer = vec![0; 1 << 20];
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(()),
            n_bytes => to(&buffer[..n_bytes])?,
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment<'v>(pairs: &'v [(&'v str, &'v str)]) -> impl Fn(&str) -> Option<OsString> + 'v {
        move |name| {
            pairs
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| OsString::from(value))
        }
    }

    #[test]
    fn override_comes_before_the_cache_and_the_cache_before_home() {
        let all = [
            ("BRINE_ENGINE_LIB", "/l.so"),
            ("XDG_CACHE_HOME", "/x"),
            ("HOME", "/h"),
        ];
        let path = |from: usize| {
            library_path(&environment(&all[from..])).map(|path| path.display().to_string())
        };
        assert_eq!(path(0).unwrap(), "/l.so");
        assert_eq!(
            path(1).unwrap(),
            format!("/x/brine/engine/{ENGINE_VERSION}/libchdb.so")
        );
        assert_eq!(
            path(2).unwrap(),
            format!("/h/.cache/brine/engine/{ENGINE_VERSION}/libchdb.so")
        );
        assert!(matches!(path(3), Err(LibraryError::Homeless)));
    }

    #[test]
    fn package_with_another_hash_is_not_unpacked() {
        let dir = tempfile::tempdir().unwrap();
        let scratch = Scratch(dir.path().join("fetching"));
        fs::create_dir(&scratch.0).unwrap();
        let tarball = scratch.0.join("package.tgz");
        fs::write(&tarball, b"not the package").unwrap();
        let error = install(&tarball, &scratch, dir.path()).unwrap_err();
        assert!(matches!(error, FetchError::WrongHash { .. }), "{error}");
        assert!(!dir.path().join(ENGINE_VERSION).exists());
    }

    #[test]
    fn npm_without_a_network_is_told_from_other_failures() {
        let dir = Path::new("/c");
        let refused = "error code ECONNREFUSED; error connect";
        assert!(matches!(
            npm_error(refused, dir),
            FetchError::NoNetwork { .. }
        ));
        assert!(matches!(
            npm_error("error code ENOSPC", dir),
            FetchError::DiskFull { .. }
        ));
        assert!(matches!(
            npm_error("error code E404", dir),
            FetchError::Npm { .. }
        ));
    }
}
