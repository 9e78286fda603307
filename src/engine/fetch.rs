//! Gets the engine library.
//!
//! In: a cache directory. Out: `<cache>/brine/engine/<version>/libchdb.so`, or a reason.
use super::{ENGINE_VERSION, LibraryError};
use std::path::{Path, PathBuf};
/// c
pub fn cache_dir() -> Result<PathBuf, LibraryError> {
    let from = |name| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    from("XDG_CACHE_HOME")
        .or_else(|| from("HOME").map(|home| home.join(".cache")))
        .ok_or(LibraryError::Homeless)
}
/// l
pub fn library_path() -> Result<PathBuf, LibraryError> {
    Ok(library_in(&cache_dir()?))
}
/// i
pub fn library_in(cache: &Path) -> PathBuf {
    cache
        .join("brine/engine")
        .join(ENGINE_VERSION)
        .join("libchdb.so")
}
/// f
pub fn fetch(cache: &Path) -> anyhow::Result<PathBuf> {
    Ok(library_in(cache))
}
