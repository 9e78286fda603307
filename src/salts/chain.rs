//! The chain: many collectors derive the same salts without talking, forwards only.
//!
//! Comes in: one seed, which the operator puts beside each collector once. Goes out: for each date a state, and from
//! the state the salts of the periods that start on that date.
//!
//! ```text
//! state(d+1)            = BLAKE3 derive_key("… next state", state(d))
//! salt(site, period d)  = BLAKE3 derive_key("… salt", state(d) ‖ len‖site)
//! ```
//!
//! **Promises.** Collectors with the same state of the same date have the same salts ever after. Whoever has a state
//! has the salts of that date and all later ones, and nothing before: to get state(d) or a salt of d from state(d+1),
//! a preimage of BLAKE3 in its key-derivation mode over 256 unknown bits would have to be found. (A salt of d tells
//! nothing of state(d), for the same reason, and nothing of another salt: the two contexts and the length-prefixed site
//! give inputs that never meet.) A [`Link`] has therefore a way on, and none back.
//!
//! A collector keeps one state: that of the day after the last date it has salts for. So the state never leads to a
//! salt that lives or has lived here; those that live stand in files of their own and die as all salts do.
//!
//! **May lose.** The state, with its file or its key: then this collector has random salts of its own (its visitors are
//! counted beside the others') and says so until it is given a seed again. A clock far ahead drives the state forward for
//! good; after it is put right, the collector is alone until the date it had jumped to.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use zeroize::Zeroizing;

use super::files::{self, Files, Found};
use super::period::{date_of, day_number};
use super::{SaltError, wrap};
use crate::config::settings::Rotation;
use crate::secret::Secret;

/// A chain is not walked further than this at once: a state so old, or a clock so far ahead, is a fault to be looked at.
const MOST_DAYS: u16 = 800;

/// First word of a seed file.
const SEED_MAGIC: &str = "brine-chain-1";

/// A seed file is shorter than this.
const SEED_BYTES: u64 = 256;

/// The state of one date. It knows the way on and none back.
#[derive(Clone, Debug)]
pub struct Link {
    state: Secret,
}

impl Link {
    /// Starts a chain from a seed's 256 bits.
    pub fn of(seed: Secret) -> Link {
        Link { state: seed }
    }

    /// Returns the state of the next date. Nothing leads back from it.
    #[must_use]
    pub fn next(&self) -> Link {
        Link {
            state: self.state.derive("brine 2026-11-24 salt chain: next state"),
        }
    }

    /// Returns the salt of `site` for the period that starts on this date: a day's is another one than that of the week that
    /// begins with it.
    pub fn salt(&self, site: &str, rotation: Rotation) -> Secret {
        let mut of = vec![site.as_bytes()];
        if rotation != Rotation::Day {
            of.push(rotation.name().as_bytes());
        }
        self.state
            .derive_for("brine 2026-11-24 salt chain: salt", &of)
    }

    /// Returns the bytes, for the file they live in and for a seed.
    pub fn expose(&self) -> &[u8; 32] {
        self.state.expose()
    }
}

/// A seed: a state and its date.
#[derive(Debug)]
pub struct Seed {
    /// The date whose state it is, as a day number.
    pub day: u16,
    /// The state.
    pub link: Link,
}

impl Seed {
    /// Returns the text of its file: `brine-chain-1 <date> <64 hexadecimal digits>`.
    pub fn text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(128));
        text.push_str(SEED_MAGIC);
        text.push(' ');
        text.push_str(&date_of(self.day).to_string());
        text.push(' ');
        for byte in self.link.expose() {
            for digit in [byte >> 4, byte & 15] {
                text.push(char::from_digit(u32::from(digit), 16).unwrap_or('?'));
            }
        }
        text.push('\n');
        text
    }

    fn parse(text: &[u8]) -> Option<Seed> {
        let mut words = text
            .split(|byte| byte.is_ascii_whitespace())
            .filter(|word| !word.is_empty());
        if words.next()? != SEED_MAGIC.as_bytes() {
            return None;
        }
        let date = std::str::from_utf8(words.next()?).ok()?.parse().ok()?;
        let state = wrap::of_hex(words.next()?)?;
        words.next().is_none().then(|| Seed {
            day: day_number(date),
            link: Link::of(state),
        })
    }

    /// Reads a seed file; none there is no fault.
    pub(super) fn read(path: &Path) -> Result<Option<Seed>, SaltError> {
        let fault = |source| SaltError::Io {
            path: path.to_owned(),
            source,
        };
        let file = match File::open(path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(fault(e)),
        };
        let mode = file.metadata().map_err(fault)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            let path = path.to_owned();
            return Err(crate::secret::SecretError::TooWide { path, mode }.into());
        }
        let mut text = Zeroizing::new(Vec::with_capacity(SEED_BYTES as usize));
        file.take(SEED_BYTES)
            .read_to_end(&mut text)
            .map_err(fault)?;
        match Seed::parse(&text) {
            Some(seed) => Ok(Some(seed)),
            None => Err(SaltError::Seed {
                path: path.to_owned(),
            }),
        }
    }
}

/// The states a collector holds: the present one, and seeds whose date is still to come.
#[derive(Debug, Default)]
pub(super) struct Chain {
    links: BTreeMap<u16, Link>,
}

fn chain_name(day: u16) -> String {
    format!("chain@{}.state", date_of(day))
}

fn seed_name(day: u16) -> String {
    format!("seed@{}.state", date_of(day))
}

/// Tells which state a file name means: whether it is a seed's, and its date.
pub(super) fn parse_name(name: &str) -> Option<(bool, u16)> {
    let (kind, date) = name.strip_suffix(".state")?.split_once('@')?;
    let is_seed = match kind {
        "chain" => false,
        "seed" => true,
        _ => return None,
    };
    Some((is_seed, day_number(date.parse().ok()?)))
}

impl Chain {
    /// Reads the states among `names`, and destroys what a crash left of earlier ones. Returns whether one was lost
    /// with its key.
    pub(super) fn open(files: &Files, names: &[String]) -> Result<(Chain, bool), SaltError> {
        let states: Vec<(bool, u16)> = names.iter().filter_map(|name| parse_name(name)).collect();
        let present = states
            .iter()
            .filter(|(is_seed, _)| !is_seed)
            .map(|(_, day)| *day)
            .max();
        let (mut chain, mut is_lost) = (Chain::default(), false);
        for (is_seed, day) in states {
            let name = if is_seed {
                seed_name(day)
            } else {
                chain_name(day)
            };
            // A walk writes the new state before it destroys the old ones: those are what is left over.
            let is_old =
                present.is_some_and(|present| day < present || (is_seed && day == present));
            if is_old {
                files.destroy(&name)?;
                continue;
            }
            match files.read(&name)? {
                Found::Secret(state) => {
                    chain.links.insert(day, Link::of(state));
                }
                Found::Lost => {
                    is_lost = true;
                    files.destroy(&name)?;
                }
            }
        }
        Ok((chain, is_lost))
    }

    /// Returns the date of the present state.
    pub(super) fn position(&self) -> Option<u16> {
        self.links.keys().next().copied()
    }

    /// Returns the dates of seeds that are to take over later.
    pub(super) fn awaited(&self) -> impl Iterator<Item = u16> {
        self.links.keys().skip(1).copied()
    }

    /// Takes over a seed. One of a date to come waits for it; any other is the state from now on.
    pub(super) fn adopt(&mut self, files: &Files, seed: Seed) -> Result<(), SaltError> {
        files.write(&seed_name(seed.day), &seed.link.state)?;
        let replaced: Vec<u16> = match self.position() {
            Some(position) if seed.day > position => vec![seed.day],
            _ => self.position().into_iter().collect(),
        };
        for day in replaced {
            files.destroy(&chain_name(day))?;
            if day != seed.day {
                files.destroy(&seed_name(day))?;
            }
            self.links.remove(&day);
        }
        self.links.insert(seed.day, seed.link);
        Ok(())
    }

    /// Walks to the day after `target`, handing each date on the way and its state to `each`, and forgets them.
    /// Does nothing where the state is past `target` already.
    pub(super) fn walk(
        &mut self,
        files: &Files,
        target: u16,
        mut each: impl FnMut(u16, &Link) -> Result<(), SaltError>,
    ) -> Result<(), SaltError> {
        let Some(start) = self.position().filter(|start| *start <= target) else {
            return Ok(());
        };
        if target - start > MOST_DAYS {
            return Err(SaltError::TooFar {
                from: date_of(start),
                to: date_of(target),
            });
        }
        let mut link = self.links[&start].clone();
        for day in start..=target {
            if let Some(seeded) = self.links.get(&day) {
                link = seeded.clone();
            }
            each(day, &link)?;
            link = link.next();
        }
        let after = target.saturating_add(1);
        // A seed of that very date takes over; otherwise the new state is on the disk before the old ones go.
        if let Entry::Vacant(free) = self.links.entry(after) {
            files.write(&chain_name(after), &link.state)?;
            free.insert(link);
        }
        let passed: Vec<u16> = self.links.range(..after).map(|(day, _)| *day).collect();
        for day in passed {
            self.forget(files, day)?;
        }
        Ok(())
    }

    /// Destroys all states.
    pub(super) fn destroy(&mut self, files: &Files) -> Result<(), SaltError> {
        while let Some(day) = self.position() {
            self.forget(files, day)?;
        }
        Ok(())
    }

    /// Destroys the state of a date. One that the disk keeps is kept in mind, too, and the next tick tries again.
    fn forget(&mut self, files: &Files, day: u16) -> Result<(), SaltError> {
        files.destroy(&chain_name(day))?;
        files.destroy(&seed_name(day))?;
        self.links.remove(&day);
        Ok(())
    }
}

/// Destroys a seed file; it must be possible, or the past stays computable.
pub(super) fn destroy_seed(path: &Path) -> Result<(), SaltError> {
    let fault = |source| SaltError::Io {
        path: path.to_owned(),
        source,
    };
    files::destroy(path).map_err(fault)
}

/// Returns the present state of the chain in `directory`, as a seed for another collector. Reads alone.
///
/// # Errors
/// [`SaltError`]: no chain there, or not readable with `key`.
pub fn export(directory: &Path, key: Option<Secret>) -> Result<Seed, SaltError> {
    let files = Files::open(directory, key)?;
    let fault = |source| SaltError::Io {
        path: directory.to_owned(),
        source,
    };
    let mut newest: Option<(u16, String)> = None;
    for entry in fs::read_dir(directory).map_err(fault)? {
        let name = entry.map_err(fault)?.file_name();
        if let Some(name) = name.to_str()
            && let Some((false, day)) = parse_name(name)
            && newest.as_ref().is_none_or(|(before, _)| *before < day)
        {
            newest = Some((day, name.to_owned()));
        }
    }
    let no_chain = || SaltError::NoChain {
        path: directory.to_owned(),
    };
    let (day, name) = newest.ok_or_else(no_chain)?;
    match files.read(&name)? {
        Found::Secret(state) => Ok(Seed {
            day,
            link: Link::of(state),
        }),
        Found::Lost => Err(no_chain()),
    }
}
