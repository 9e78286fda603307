//! What was made up, beside the data: so that nobody takes it for real, and no second start makes it up again.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Fill, TrafficError};
use crate::secret::write_private;

/// The file `demo.json` of a data directory.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Record {
    /// Says what this is to whoever opens it.
    pub note: String,
    pub days: u16,
    pub seed: u64,
    pub scale: f64,
    /// First local date, and the moment it ends at (RFC 3339).
    pub first_day: String,
    pub until: String,
    /// False while it is under way: an end before its time leaves days half filled.
    pub is_complete: bool,
    /// Beacons by site and outcome, as they were meant to end.
    pub beacons: BTreeMap<String, BTreeMap<String, u64>>,
    /// Consent choices by site: `grant`, `deny`, `withdraw`.
    pub choices: BTreeMap<String, BTreeMap<String, u64>>,
}

/// Written into each record.
const NOTE: &str = "brine demo made these visits up; nobody real is in them";

impl Record {
    /// Begins the record of a fill.
    pub fn of(fill: &Fill, first_day: String, until: String) -> Record {
        Record {
            note: NOTE.into(),
            days: fill.days,
            seed: fill.seed,
            scale: fill.scale,
            first_day,
            until,
            ..Record::default()
        }
    }

    /// Counts a beacon.
    pub fn count_beacon(&mut self, site: &str, outcome: &str) {
        count(&mut self.beacons, site, outcome);
    }

    /// Counts a consent choice.
    pub fn count_choice(&mut self, site: &str, choice: &str) {
        count(&mut self.choices, site, choice);
    }

    /// Returns how many beacons were meant to end as `outcome`, all sites together.
    pub fn n_beacons(&self, outcome: &str) -> u64 {
        self.beacons
            .values()
            .filter_map(|by_outcome| by_outcome.get(outcome))
            .sum()
    }

    /// Returns how many beacons there were in all.
    pub fn n_all(&self) -> u64 {
        self.beacons.values().flat_map(BTreeMap::values).sum()
    }

    /// Reads the record of a data directory, if it has one.
    ///
    /// # Errors
    /// [`TrafficError::Record`]: it is there and cannot be read.
    pub fn read(data: &Path) -> Result<Option<Record>, TrafficError> {
        let path = path(data);
        match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text)
                .map(Some)
                .map_err(|error| fault(path, &error)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(fault(path, &error)),
        }
    }

    /// Writes it, durably.
    ///
    /// # Errors
    /// [`TrafficError::Record`].
    pub fn write(&self, data: &Path) -> Result<(), TrafficError> {
        let path = path(data);
        // A struct of texts and numbers always serializes.
        let text = serde_json::to_vec_pretty(self).expect("a record is plain data");
        write_private(&path, &text).map_err(|error| fault(path, &error))
    }
}

fn count(table: &mut BTreeMap<String, BTreeMap<String, u64>>, site: &str, word: &str) {
    if !table.contains_key(site) {
        table.insert(site.to_owned(), BTreeMap::new());
    }
    if let Some(words) = table.get_mut(site) {
        match words.get_mut(word) {
            Some(n) => *n += 1,
            None => {
                words.insert(word.to_owned(), 1);
            }
        }
    }
}

fn path(data: &Path) -> PathBuf {
    data.join("demo.json")
}

fn fault(path: PathBuf, error: &dyn std::fmt::Display) -> TrafficError {
    TrafficError::Record {
        path,
        reason: error.to_string(),
    }
}
