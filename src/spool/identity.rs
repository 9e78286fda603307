//! The file `identity`: what a spool directory remembers although its segments come and go.
//!
//! In: the directory. Out: the incarnation (random, made once), the first segment id that was never
//! used, and the lengths at which abandoned segments end. It is text, replaced as a whole by rename,
//! and every replacement is durable before it is relied on.
//!
//! ```text
//! brine spool 1
//! incarnation 9f1c6a0be2d74583
//! next 1025
//! cut 17 8192 40
//! crc 0a1b2c3d
//! ```

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::fs::{self, Filesystem};
use super::record::SegmentId;

/// Version of the file and of the directory's layout.
pub(super) const VERSION: u16 = 1;
const NAME: &str = "identity";
/// Ids are reserved ahead so that making a segment does not rewrite this file; at most this many are
/// skipped by a restart, of 2^48.
const RESERVE: u64 = 1024;
/// Larger than any sane number of `cut` lines; a bigger file is not ours.
const MAX_BYTES: u64 = 16 << 20;

/// Where an abandoned segment ends: what lies behind was answered as failed and must not come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    pub(super) length: u64,
    pub(super) n_records: u32,
}

/// The contents of the file, and where it is.
pub(super) struct Identity {
    path: PathBuf,
    pub(super) incarnation: u64,
    next_id: u64,
    reserved: u64,
    pub(super) cuts: BTreeMap<SegmentId, Cut>,
}

/// What was found at the start.
pub(super) enum Found {
    Sound(Identity),
    Absent,
    Damaged,
    Version(u16),
}

impl Identity {
    /// Reads the file of `dir`.
    pub(super) fn load(disk: &dyn Filesystem, dir: &Path) -> io::Result<Found> {
        let path = dir.join(NAME);
        let file = match disk.open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Absent),
            Err(error) => return Err(error),
        };
        let mut bytes = vec![0; file.size()?.min(MAX_BYTES) as usize];
        let n = file.read_at(&mut bytes, 0)?;
        Ok(parse(path, &bytes[..n]))
    }

    /// Makes a new one under a random incarnation, whose ids start after `used`.
    pub(super) fn create(
        disk: &dyn Filesystem,
        dir: &Path,
        used: Option<SegmentId>,
    ) -> io::Result<Self> {
        let mut identity = Self {
            path: dir.join(NAME),
            incarnation: getrandom::u64().map_err(io::Error::other)?,
            next_id: 1,
            reserved: 1,
            cuts: BTreeMap::new(),
        };
        if let Some(used) = used {
            identity.skip(used);
        }
        identity.store(disk)?;
        Ok(identity)
    }

    /// Returns an id that was never returned before, in this process or an earlier one.
    pub(super) fn take_id(&mut self, disk: &dyn Filesystem) -> io::Result<SegmentId> {
        if self.next_id >= self.reserved {
            let before = self.reserved;
            self.reserved = self.next_id + RESERVE;
            if let Err(error) = self.store(disk) {
                self.reserved = before;
                return Err(error);
            }
        }
        let id = SegmentId(self.next_id);
        self.next_id += 1;
        Ok(id)
    }

    /// Returns the highest id that may ever have been taken.
    pub(super) fn newest(&self) -> SegmentId {
        SegmentId(self.next_id - 1)
    }

    /// Makes sure that ids continue after `used`.
    pub(super) fn skip(&mut self, used: SegmentId) {
        self.next_id = self.next_id.max(used.0 + 1);
        self.reserved = self.reserved.max(self.next_id);
    }

    /// Replaces the file; durable when this returns.
    pub(super) fn store(&self, disk: &dyn Filesystem) -> io::Result<()> {
        let mut text = format!(
            "brine spool {VERSION}\nincarnation {:016x}\nnext {}\n",
            self.incarnation, self.reserved
        );
        for (id, cut) in &self.cuts {
            text.push_str(&format!("cut {} {} {}\n", id.0, cut.length, cut.n_records));
        }
        let checksum = crc32c::crc32c(text.as_bytes());
        text.push_str(&format!("crc {checksum:08x}\n"));
        fs::replace(disk, &self.path, text.as_bytes())
    }
}

fn parse(path: PathBuf, bytes: &[u8]) -> Found {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return Found::Damaged;
    };
    // The version comes before the checksum: a newer layout may check itself in another way.
    let version = text
        .lines()
        .next()
        .and_then(|line| line.strip_prefix("brine spool "));
    match version.and_then(|version| version.parse().ok()) {
        Some(VERSION) => {}
        Some(other) => return Found::Version(other),
        None => return Found::Damaged,
    }
    match fields(path, text) {
        Some(identity) => Found::Sound(identity),
        None => Found::Damaged,
    }
}

fn fields(path: PathBuf, text: &str) -> Option<Identity> {
    let end = text.rfind("crc ")?;
    let checksum = u32::from_str_radix(text[end + 4..].trim_end(), 16).ok()?;
    if checksum != crc32c::crc32c(&text.as_bytes()[..end]) {
        return None;
    }
    let (mut incarnation, mut next, mut cuts) = (None, None, BTreeMap::new());
    for line in text[..end].lines().skip(1) {
        let mut words = line.split(' ');
        match words.next()? {
            "incarnation" => incarnation = Some(u64::from_str_radix(words.next()?, 16).ok()?),
            "next" => next = Some(words.next()?.parse().ok()?),
            "cut" => {
                let id = SegmentId(words.next()?.parse().ok()?);
                let length = words.next()?.parse().ok()?;
                let n_records = words.next()?.parse().ok()?;
                cuts.insert(id, Cut { length, n_records });
            }
            _ => return None,
        }
    }
    let next = next?;
    Some(Identity {
        path,
        incarnation: incarnation?,
        next_id: next,
        reserved: next,
        cuts,
    })
}
