//! Data files the operator may name: pattern, crawler, referrer, spam and geo files.
//!
//! In: a path. Out: its bytes, text or YAML value. Promised: a file larger than the caller's bound
//! is refused before it is read, so a wrong path (a log, a disk image) cannot eat the memory.
//! This is the one place of enrichment and filter that touches the file system.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::de::DeserializeOwned;

/// Largest pattern or list file that is read, in bytes. The biggest one in use (crawlers) has 0.5 MB.
pub const LIST_MAX_BYTES: u64 = 16 << 20;

/// Why a data file could not be used. The configuration names the path, so the operator may see it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataFileError {
    /// The file is absent or cannot be read; fix the path or its permissions.
    #[error("data file {path}: cannot be read")]
    Read {
        /// The path as configured.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The file is larger than anything this setting can mean.
    #[error("data file {path}: larger than {max_bytes} bytes")]
    TooLarge {
        /// The path as configured.
        path: PathBuf,
        /// The bound that was passed.
        max_bytes: u64,
    },
    /// The content is not what this setting needs.
    #[error("data file {path}: {reason}")]
    Content {
        /// The path as configured.
        path: PathBuf,
        /// What was expected, or where parsing stopped.
        reason: String,
    },
}

impl DataFileError {
    /// Builds a [`DataFileError::Content`].
    pub(crate) fn content(path: &Path, reason: impl ToString) -> Self {
        Self::Content {
            path: path.to_owned(),
            reason: reason.to_string(),
        }
    }
}

/// Size and modification time: enough to notice that a file was replaced, also on network file
/// systems and container mounts that deliver no change notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    bytes: u64,
    modified: Option<SystemTime>,
}

/// Reads the stamp of a file without reading its content.
///
/// # Errors
/// [`DataFileError::Read`] if the file is absent or not accessible.
pub fn stamp(path: &Path) -> Result<Stamp, DataFileError> {
    let meta = std::fs::metadata(path).map_err(|source| DataFileError::Read {
        path: path.to_owned(),
        source,
    })?;
    Ok(Stamp {
        bytes: meta.len(),
        modified: meta.modified().ok(),
    })
}

/// Reads a whole file of at most `max_bytes` bytes.
///
/// # Errors
/// [`DataFileError::Read`] if it cannot be opened or read, [`DataFileError::TooLarge`] if there is
/// more to read than `max_bytes`, whatever size the file claimed when it was opened.
pub fn bytes(path: &Path, max_bytes: u64) -> Result<Vec<u8>, DataFileError> {
    let read = |source| DataFileError::Read {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(read)?;
    let mut content = Vec::new();
    file.take(max_bytes.saturating_add(1))
        .read_to_end(&mut content)
        .map_err(read)?;
    if content.len() as u64 > max_bytes {
        return Err(DataFileError::TooLarge {
            path: path.to_owned(),
            max_bytes,
        });
    }
    Ok(content)
}

/// Reads a UTF-8 text file of at most [`LIST_MAX_BYTES`].
///
/// # Errors
/// Those of [`bytes()`], and [`DataFileError::Content`] if the text is not UTF-8.
pub fn text(path: &Path) -> Result<String, DataFileError> {
    let content = bytes(path, LIST_MAX_BYTES)?;
    String::from_utf8(content).map_err(|e| DataFileError::content(path, e.utf8_error()))
}

/// Reads a YAML file of at most [`LIST_MAX_BYTES`] into `T`.
///
/// # Errors
/// Those of [`text()`], and [`DataFileError::Content`] with line and column if it does not fit `T`.
pub fn yaml<T: DeserializeOwned>(path: &Path) -> Result<T, DataFileError> {
    serde_yaml_ng::from_str(&text(path)?).map_err(|e| DataFileError::content(path, e))
}

/// Finds a file of the public test data, or says that the test is skipped.
///
/// The data is no part of the tree: it is looked for at `BRINE_TEST_DATA`, then beside the tree.
#[cfg(test)]
pub(crate) fn test_data(name: &str) -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let dir = std::env::var_os("BRINE_TEST_DATA").map_or_else(beside, PathBuf::from);
    let path = dir.join(name);
    if path.exists() {
        return Some(path);
    }
    println!("skipped: test data {name} is not there; set BRINE_TEST_DATA to its directory");
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_over_the_bound_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("list.txt");
        std::fs::write(&path, b"12345").unwrap();
        assert_eq!(bytes(&path, 5).unwrap(), b"12345");
        assert!(matches!(
            bytes(&path, 4),
            Err(DataFileError::TooLarge { max_bytes: 4, .. })
        ));
    }

    #[test]
    fn an_absent_or_foreign_file_is_named_with_its_reason() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("list.yml");
        assert!(matches!(text(&path), Err(DataFileError::Read { .. })));
        std::fs::write(&path, b"\xff\xfe").unwrap();
        assert!(text(&path).unwrap_err().to_string().contains("utf-8"));
        std::fs::write(&path, b"- a\n- b\n").unwrap();
        assert_eq!(yaml::<Vec<String>>(&path).unwrap(), ["a", "b"]);
        let wrong = yaml::<Vec<u32>>(&path).unwrap_err().to_string();
        assert!(
            wrong.contains("list.yml") && wrong.contains("invalid type"),
            "{wrong}"
        );
    }
}
