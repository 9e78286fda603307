//! The country of an address and, where a site asks for it, region and city.
//!
//! In: an IP address and MMDB files of the operator's choice (MaxMind, DB-IP, IPinfo and their like; no
//! file is part of brine). Out: a [`Place`]. The address is looked at and forgotten.
//!
//! Two shapes of record are read: the nested one of GeoIP2 (`country.iso_code`) and the flat one of
//! others (`country_code`, or `country` as a text). Which one a file has is found out when it is opened.
//!
//! Promised: a file is used only after every record in it has been walked, so a torn download never
//! replaces a good file; a look-up never fails, it finds or it does not. May be lost: nothing but
//! precision. Files go stale; their age is exposed because nobody notices otherwise.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;

use crate::enrich::data_file::{self, DataFileError, Stamp};
use database::Database;

mod database;

/// Largest file that is read, in bytes; it is held in memory whole. City files have 60 to 150 MB.
const GEO_MAX_BYTES: u64 = 512 << 20;

/// Where somebody is, as finely as was asked for; empty parts are unknown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The country.
    pub country: Country,
    /// ISO 3166-2 code of the first-level region (`GB-ENG`), or its name where the file has no code.
    pub region: String,
    /// English name of the city.
    pub city: String,
}

/// ISO 3166-1 alpha-2 in upper case, or unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Country([u8; 2]);

impl Country {
    /// Checks a code; anything but two ASCII letters is unknown.
    pub fn new(code: &str) -> Self {
        match *code.as_bytes() {
            [a, b] if a.is_ascii_alphabetic() && b.is_ascii_alphabetic() => {
                Self([a.to_ascii_uppercase(), b.to_ascii_uppercase()])
            }
            _ => Self::default(),
        }
    }

    /// The code, empty if unknown.
    pub fn as_str(&self) -> &str {
        match self.0 {
            [0, 0] => "",
            _ => std::str::from_utf8(&self.0).expect("only ASCII letters are ever put in"),
        }
    }
}

/// How finely a site wants its visitors placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GeoDetail {
    /// The country and nothing else.
    CountryOnly,
    /// Region and city too; few visitors share a small city, so this is the site's deliberate choice.
    WithCity,
}

/// The files in use. Share behind an `Arc`; look-ups never wait for a reload.
#[derive(Debug, Default)]
pub struct Geo {
    country: Option<GeoFile>,
    city: Option<GeoFile>,
}

impl Geo {
    /// Opens and checks the files that are named. Without any, nobody is placed anywhere.
    ///
    /// Blocks while reading; a city file takes some seconds.
    ///
    /// # Errors
    /// [`DataFileError`] if a file cannot be read, is damaged, or holds no countries.
    pub fn open(country: Option<PathBuf>, city: Option<PathBuf>) -> Result<Self, DataFileError> {
        let open = |path: Option<PathBuf>| path.map(GeoFile::open).transpose();
        Ok(Self {
            country: open(country)?,
            city: open(city)?,
        })
    }

    /// Places an address. The city file is asked where city is wanted, the country file otherwise; each
    /// stands in for the other where only one is there.
    pub fn lookup(&self, address: IpAddr, detail: GeoDetail) -> Place {
        let file = match detail {
            GeoDetail::CountryOnly => self.country.as_ref().or(self.city.as_ref()),
            GeoDetail::WithCity => self.city.as_ref().or(self.country.as_ref()),
        };
        file.map_or_else(Place::default, |file| {
            file.database.load().place(address.to_canonical(), detail)
        })
    }

    /// The files, for reloading them and for showing their age.
    pub fn files(&self) -> impl Iterator<Item = &GeoFile> {
        self.country.iter().chain(&self.city)
    }
}

/// One file and what is known about it.
#[derive(Debug)]
pub struct GeoFile {
    path: PathBuf,
    database: ArcSwap<Database>,
    /// Stamp of the file that was last looked at, used or refused.
    seen: Mutex<Stamp>,
}

impl GeoFile {
    fn open(path: PathBuf) -> Result<Self, DataFileError> {
        // The stamp is older than the content: a file replaced in between is read once more.
        let stamp = data_file::stamp(&path)?;
        let database = read(&path)?;
        Ok(Self {
            path,
            database: ArcSwap::from_pointee(database),
            seen: Mutex::new(stamp),
        })
    }

    /// The path as configured.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// When the file in use was built, in seconds since 1970, as its maker says.
    pub fn build_epoch_s(&self) -> u64 {
        self.database.load().build_epoch_s()
    }

    /// Age of the file in use; zero if it claims to be from the future.
    pub fn age(&self, now: SystemTime) -> Duration {
        let built = UNIX_EPOCH + Duration::from_secs(self.build_epoch_s().min(u64::from(u32::MAX)));
        now.duration_since(built).unwrap_or_default()
    }

    /// Takes up a replaced file: true if there was one and it is now in use.
    ///
    /// Blocks while reading and checking: call it from a thread that may, every half minute and on
    /// SIGHUP. Look-ups go on with the old file meanwhile.
    ///
    /// # Errors
    /// [`DataFileError`] if the new file is refused, with the reason; the old one stays in use. A refused
    /// file is reported once and looked at again when it changes; an absent one is reported each time.
    pub fn reload_if_changed(&self) -> Result<bool, DataFileError> {
        let stamp = data_file::stamp(&self.path)?;
        {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            if *seen == stamp {
                return Ok(false);
            }
            *seen = stamp;
        }
        self.database.store(Arc::new(read(&self.path)?));
        Ok(true)
    }
}

fn read(path: &Path) -> Result<Database, DataFileError> {
    let content = data_file::bytes(path, GEO_MAX_BYTES)?;
    Database::new(content).map_err(|e| DataFileError::content(path, e))
}

#[cfg(test)]
mod tests;
