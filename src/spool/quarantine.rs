//! What could not be read, or what the store refused: kept aside, counted, and put back on request.
//!
//! In: segments, or single records of them, with a reason. Out: files in `quarantine/`, each with a
//! text beside it, and on [`replay`] new segments. Moving is done so that a crash at any point
//! leaves each record in one place; doing it again after a crash changes nothing.
//!
//! | name | what | replayed |
//! |---|---|---|
//! | `<incarnation>-<segment>-<created>.seg` | a whole segment | yes |
//! | the same, `.records.seg` | single records of it, under their old indexes | yes |
//! | the same, `.<offset>.damaged` | bytes that fail their checksum | no: evidence |
//! | the same, `.tail` | a tail cut off after a crash, never acknowledged | no: evidence |
//! | `.unreadable` | a file without a single sound record | no: evidence |
//!
//! `<created>` is in milliseconds since 1970: what is older than retention must be dropped here too.

pub(super) mod erase;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::error::SegmentError;
use super::fs::{DRAFT, Filesystem, SpoolFile, remove_if_present, replace};
use super::identity::Identity;
use super::reader::{Damage, ReadError, SegmentReader};
use super::record::{FRAME_HEADER_BYTES, Record, SegmentId, record_header};
use super::segment::{self, COPY_BYTES, Header, OpenSegment, ParsedHeader};
use super::state::{Entry, Shared};

/// Records are put into groups of about this size when they are written anew.
const GROUP_BYTES: usize = 64 << 10;

/// One file in quarantine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuarantinedFile {
    /// File name in `quarantine/`.
    pub name: String,
    /// Its bytes.
    pub bytes: u64,
    /// When its segment was created, milliseconds since 1970 UTC, if the name tells.
    pub created_unix_ms: Option<i64>,
    /// Whether a replay puts its records back.
    pub replayable: bool,
    /// Why it is here.
    pub reason: String,
}

/// What a call put aside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SetAside {
    /// Sound records, which a replay puts back.
    pub records: u32,
    /// Records whose bytes are damaged.
    pub damaged: u32,
}

/// Why records leave the quarantine for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// Their visitor asked for it.
    Request,
    /// Their time is over.
    Retention,
}

impl Removal {
    /// Returns its word in metrics.
    pub fn word(self) -> &'static str {
        match self {
            Removal::Request => "request",
            Removal::Retention => "retention",
        }
    }

    /// Returns what stands beside a file that was written anew.
    fn reason(self) -> &'static str {
        match self {
            Removal::Request => "records erased on their visitor's request",
            Removal::Retention => "records purged: their retention is over",
        }
    }
}

/// What an erasure took out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Erased {
    /// Sound records.
    pub records: u64,
    /// Files of damaged bytes.
    pub files: u64,
}

/// What a replay put back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Files emptied.
    pub files: usize,
    /// Records now in new segments.
    pub records: u64,
    /// Records found damaged; their bytes stay in quarantine.
    pub damaged: u64,
}

/// In the name of a file that is being replayed, before the id that its records get.
const REPLAY: &str = ".replay-";

/// The quarantine directory of the spool in `dir`.
pub(super) fn directory(dir: &Path) -> PathBuf {
    dir.join("quarantine")
}

/// Lists what is in quarantine, oldest name first.
pub(super) fn list(fs: &dyn Filesystem, dir: &Path) -> io::Result<Vec<QuarantinedFile>> {
    let directory = directory(dir);
    let mut files = Vec::new();
    for entry in fs.list(&directory)? {
        if entry.name.ends_with(".txt") || entry.name.ends_with(DRAFT) {
            continue;
        }
        files.push(QuarantinedFile {
            created_unix_ms: entry.name.get(30..).and_then(leading_number),
            replayable: entry.name.ends_with(".seg"),
            reason: read_text(fs, &reason_path(&directory, &entry.name))?,
            name: entry.name,
            bytes: entry.bytes,
        });
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(files)
}

/// Removes a file and its reason. `name` is one that [`list`] gave.
pub(super) fn remove(fs: &dyn Filesystem, dir: &Path, name: &str) -> io::Result<()> {
    let directory = directory(dir);
    if !fs.list(&directory)?.iter().any(|entry| entry.name == name) {
        return Err(io::Error::new(
            io::ErrorKind::NotFound,
            format!("no file {name:?}"),
        ));
    }
    fs.remove(&directory.join(name))?;
    remove_if_present(fs, &reason_path(&directory, name))?;
    fs.sync_dir(&directory)
}

/// Moves a whole segment file. The caller has taken care of a tail that does not belong to it.
pub(super) fn move_segment(
    fs: &dyn Filesystem,
    dir: &Path,
    header: &Header,
    extension: &str,
    reason: &str,
) -> io::Result<()> {
    let directory = directory(dir);
    let name = format!("{}.{extension}", stem(header));
    explain(fs, &directory, &name, reason)?;
    let target = directory.join(&name);
    match fs.rename(&segment::path(dir, header.id), &target) {
        // An earlier call came this far.
        Err(error) if error.kind() == io::ErrorKind::NotFound && fs.open(&target).is_ok() => {}
        renamed => renamed?,
    }
    // The new name first: after a crash in between there are two names, never none.
    fs.sync_dir(&directory)?;
    fs.sync_dir(dir)
}

/// A stretch of a segment that nothing can vouch for.
pub(super) struct Evidence<'a> {
    pub(super) header: &'a Header,
    pub(super) bytes: Range<u64>,
    pub(super) extension: &'a str,
    pub(super) reason: &'a str,
}

/// Copies such a stretch from the segment's `file`, unless it is all zeros.
pub(super) fn keep_evidence(
    fs: &dyn Filesystem,
    dir: &Path,
    file: &dyn SpoolFile,
    evidence: Evidence<'_>,
) -> io::Result<()> {
    let Evidence {
        header,
        bytes,
        extension,
        reason,
    } = evidence;
    let directory = directory(dir);
    let name = format!("{}.{extension}", stem(header));
    let draft = directory.join(format!("{name}.{DRAFT}"));
    remove_if_present(fs, &draft)?;
    let copy = fs.create(&draft)?;
    let (mut buffer, mut at, mut blank) = (Vec::new(), bytes.start, true);
    while at < bytes.end {
        buffer.resize((bytes.end - at).min(COPY_BYTES) as usize, 0);
        let n = file.read_at(&mut buffer, at)?;
        if n == 0 {
            break;
        }
        blank &= buffer[..n].iter().all(|byte| *byte == 0);
        copy.write_all_at(&buffer[..n], at - bytes.start)?;
        at += n as u64;
    }
    if blank {
        fs.remove(&draft)?;
        return Ok(());
    }
    copy.sync_data()?;
    explain(fs, &directory, &name, reason)?;
    fs.rename(&draft, &directory.join(&name))?;
    fs.sync_dir(&directory)
}

/// Copies the records at `indexes` into the one file for single records of this segment. Those
/// already in it stay: doing the same again changes nothing.
pub(super) fn copy_records(
    shared: &Shared,
    entry: &Entry,
    indexes: &[u32],
    reason: &str,
) -> io::Result<SetAside> {
    let (fs, dir) = (shared.fs.as_ref(), shared.dir.as_path());
    let directory = directory(dir);
    let wanted: BTreeSet<u32> = indexes.iter().copied().collect();
    let name = records_name(&entry.header);
    let path = directory.join(&name);
    let mut set_aside = SetAside::default();

    let mut kept = BTreeMap::new();
    if let Some(file) = open_if_present(fs, &path)? {
        for item in SegmentReader::new(file, entry.header, u64::MAX, None)? {
            match item {
                Ok(record) => drop(kept.insert(record.index, record)),
                Err(ReadError::Damage(_)) => {}
                Err(ReadError::Io { source, .. }) => return Err(source),
            }
        }
    }
    let source = segment::path(dir, entry.header.id);
    let reader = SegmentReader::new(
        fs.open(&source)?,
        entry.header,
        entry.length,
        Some(entry.n_records),
    )?;
    for item in reader {
        match item {
            Ok(record) if wanted.contains(&record.index) => {
                set_aside.records += 1;
                kept.insert(record.index, record);
            }
            Ok(_) => {}
            Err(ReadError::Damage(damage)) => {
                let hit = wanted.range(damage.indexes.clone()).count() as u32;
                if hit > 0 {
                    set_aside.damaged += hit;
                    keep_damage(fs, dir, &entry.header, &*fs.open(&source)?, &damage)?;
                }
            }
            Err(ReadError::Io { source, .. }) => return Err(source),
        }
    }
    if set_aside.records > 0 {
        let draft = directory.join(format!("{name}.{DRAFT}"));
        remove_if_present(fs, &draft)?;
        let mut copy = OpenSegment::create(fs, &draft, entry.header)?;
        let mut groups = Groups::new(entry.header.seed());
        for (index, record) in &kept {
            if *index != copy.n_records + groups.n_records {
                groups.flush(&mut copy)?;
                copy.n_records = *index;
            }
            groups.push(record, &mut copy)?;
        }
        groups.flush(&mut copy)?;
        copy.seal()?;
        explain(fs, &directory, &name, reason)?;
        fs.rename(&draft, &path)?;
        fs.sync_dir(&directory)?;
    }
    Ok(set_aside)
}

/// Returns which records of a segment have been copied there.
pub(super) fn copied(shared: &Shared, header: Header) -> io::Result<BTreeSet<u32>> {
    let path = directory(&shared.dir).join(records_name(&header));
    let Some(file) = open_if_present(shared.fs.as_ref(), &path)? else {
        return Ok(BTreeSet::new());
    };
    let mut indexes = BTreeSet::new();
    for item in SegmentReader::new(file, header, u64::MAX, None)? {
        match item {
            Ok(record) => drop(indexes.insert(record.index)),
            Err(ReadError::Damage(_)) => {}
            Err(ReadError::Io { source, .. }) => return Err(source),
        }
    }
    Ok(indexes)
}

/// The one file for single records of a segment.
fn records_name(header: &Header) -> String {
    format!("{}.records.seg", stem(header))
}

/// Tells whether a replay was cut short by the disk: its records are in a place where nobody looks, until the next start.
pub(super) fn has_half_replayed(fs: &dyn Filesystem, dir: &Path) -> io::Result<bool> {
    let files = fs.list(&directory(dir))?;
    Ok(files.iter().any(|entry| entry.name.contains(REPLAY)))
}

/// Puts the records of all replayable files back, as new segments. Runs on the writer's thread,
/// after the open segment was sealed, so that segments still appear in the order of their ids.
///
/// A crash cannot double or lose a record: the file is first renamed to tell the id its records will
/// get (`.replay-<id>`). The new segment is not shown to readers before that file is gone. At the
/// next start [`settle_replays`] sees from the presence of the segment whether it was finished.
pub(super) fn replay(shared: &Shared, identity: &mut Identity) -> Result<Replayed, SegmentError> {
    let _moves = shared.lock_moves();
    let result = replay_files(shared, identity);
    let measured = total_bytes(shared.fs.as_ref(), &shared.dir);
    if let Ok(bytes) = measured {
        shared.lock().quarantine_bytes = bytes;
    }
    result.map_err(SegmentError::Quarantine)
}

fn replay_files(shared: &Shared, identity: &mut Identity) -> io::Result<Replayed> {
    let (fs, dir) = (shared.fs.as_ref(), shared.dir.as_path());
    let directory = directory(dir);
    let mut replayed = Replayed::default();
    // One whose segment is still to be delivered may get more records, and may be delivered itself.
    let under_way: BTreeSet<String> = {
        let state = shared.lock();
        let sealed = state.sealed.values();
        sealed.map(|entry| records_name(&entry.header)).collect()
    };
    let is_meant = |file: &QuarantinedFile| file.replayable && !under_way.contains(&file.name);
    for file in list(fs, dir)?.into_iter().filter(is_meant) {
        let id = identity.take_id(fs)?;
        let marked = directory.join(format!("{}{REPLAY}{id}", file.name));
        fs.rename(&directory.join(&file.name), &marked)?;
        fs.sync_dir(&directory)?;

        let header = Header {
            key_id: 0,
            incarnation: shared.incarnation,
            id,
            // As old as it was: retention counts from when the records were made.
            created_unix_ms: file
                .created_unix_ms
                .unwrap_or_else(|| shared.clock.unix_ms()),
        };
        let sealed = match rewrite(shared, &marked, &file.name, header, &mut replayed) {
            Ok(sealed) => sealed,
            Err(error) => {
                // Back to where it was, if the segment is surely not in place; else the next start sees to it.
                let path = segment::path(dir, id);
                remove_if_present(fs, &path.with_extension(DRAFT))?;
                if open_if_present(fs, &path)?.is_none() {
                    fs.rename(&marked, &directory.join(&file.name))?;
                    fs.sync_dir(&directory)?;
                }
                return Err(error);
            }
        };
        fs.remove(&marked)?;
        // Not shown before the old name is gone for good: after a power cut there would be both.
        if let Err(error) = fs.sync_dir(&directory) {
            shared.lock().half_replayed = true;
            return Err(error);
        }
        let tidied = remove_if_present(fs, &reason_path(&directory, &file.name))
            .and_then(|()| fs.sync_dir(&directory));
        replayed.files += 1;
        if let Some(entry) = sealed {
            let mut state = shared.lock();
            state.bytes += entry.length;
            state.sealed.insert(id, entry);
            state.newest = id;
            drop(state);
            shared.announce_change();
        }
        tidied?;
    }
    Ok(replayed)
}

/// Writes the sound records of a quarantined file into segment `header.id`, which is durable under
/// its name on return; `None` if there was none.
fn rewrite(
    shared: &Shared,
    marked: &Path,
    name: &str,
    header: Header,
    replayed: &mut Replayed,
) -> io::Result<Option<Entry>> {
    let (fs, dir) = (shared.fs.as_ref(), shared.dir.as_path());
    let old = header_of(fs, marked, name)?;
    let path = segment::path(dir, header.id);
    let draft = path.with_extension(DRAFT);
    let mut open = OpenSegment::create(fs, &draft, header)?;
    let mut groups = Groups::new(header.seed());
    for item in SegmentReader::new(fs.open(marked)?, old, u64::MAX, None)? {
        match item {
            Ok(record) => groups.push(&record, &mut open)?,
            // Only a gap between single records.
            Err(ReadError::Damage(damage)) if damage.bytes.is_empty() => {}
            Err(ReadError::Damage(damage)) => {
                replayed.damaged += damage.indexes.len() as u64;
                keep_damage(fs, dir, &old, &*fs.open(marked)?, &damage)?;
            }
            Err(ReadError::Io { source, .. }) => return Err(source),
        }
    }
    groups.flush(&mut open)?;
    if open.n_records == 0 {
        fs.remove(&draft)?;
        return Ok(None);
    }
    open.seal()?;
    fs.rename(&draft, &path)?;
    fs.sync_dir(dir)?;
    replayed.records += u64::from(open.n_records);
    Ok(Some(Entry {
        header,
        length: open.length,
        n_records: open.n_records,
    }))
}

/// Finishes or undoes replays that a crash interrupted.
pub(super) fn settle_replays(fs: &dyn Filesystem, dir: &Path) -> io::Result<()> {
    let directory = directory(dir);
    let segments: BTreeSet<String> = fs.list(dir)?.into_iter().map(|entry| entry.name).collect();
    for entry in fs.list(&directory)? {
        let path = directory.join(&entry.name);
        if entry.name.ends_with(DRAFT) {
            fs.remove(&path)?;
        }
        let Some((name, id)) = entry.name.split_once(REPLAY) else {
            continue;
        };
        if segments.contains(&format!("{id}.seg")) {
            fs.remove(&path)?;
            remove_if_present(fs, &reason_path(&directory, name))?;
        } else {
            fs.rename(&path, &directory.join(name))?;
        }
    }
    fs.sync_dir(&directory)
}

/// Returns the bytes of all files in quarantine, reasons included.
pub(super) fn total_bytes(fs: &dyn Filesystem, dir: &Path) -> io::Result<u64> {
    Ok(fs
        .list(&directory(dir))?
        .iter()
        .map(|entry| entry.bytes)
        .sum())
}

fn keep_damage(
    fs: &dyn Filesystem,
    dir: &Path,
    header: &Header,
    file: &dyn SpoolFile,
    damage: &Damage,
) -> io::Result<()> {
    let extension = format!("{}.damaged", damage.bytes.start);
    let reason = damage.to_string();
    let bytes = damage.bytes.clone();
    let evidence = Evidence {
        header,
        bytes,
        extension: &extension,
        reason: &reason,
    };
    keep_evidence(fs, dir, file, evidence)
}

/// Records on their way into a segment that is built as a whole.
struct Groups {
    seed: u32,
    bytes: Vec<u8>,
    n_records: u32,
}

impl Groups {
    fn new(seed: u32) -> Self {
        Self {
            seed,
            bytes: vec![0; FRAME_HEADER_BYTES],
            n_records: 0,
        }
    }

    fn push(&mut self, record: &Record, into: &mut OpenSegment) -> io::Result<()> {
        self.bytes
            .extend_from_slice(&record_header(self.seed, record.kind, &record.payload));
        self.bytes.extend_from_slice(&record.payload);
        self.n_records += 1;
        if self.bytes.len() >= GROUP_BYTES {
            self.flush(into)
        } else {
            Ok(())
        }
    }

    fn flush(&mut self, into: &mut OpenSegment) -> io::Result<()> {
        if self.n_records > 0 {
            into.write(&mut self.bytes, self.n_records)?;
            self.bytes.truncate(FRAME_HEADER_BYTES);
            self.n_records = 0;
        }
        Ok(())
    }
}

/// Returns the header of a quarantined segment; from its name if the bytes are damaged.
fn header_of(fs: &dyn Filesystem, path: &Path, name: &str) -> io::Result<Header> {
    if let ParsedHeader::Sound(header) = Header::read(&*fs.open(path)?)? {
        return Ok(header);
    }
    let mut parts = name.split(['-', '.']);
    let mut hex = || {
        parts
            .next()
            .and_then(|part| u64::from_str_radix(part, 16).ok())
    };
    match (hex(), hex()) {
        (Some(incarnation), Some(id)) => Ok(Header {
            key_id: 0,
            incarnation,
            id: SegmentId(id),
            created_unix_ms: 0,
        }),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("{name}: not our name"),
        )),
    }
}

fn stem(header: &Header) -> String {
    format!(
        "{:016x}-{}-{}",
        header.incarnation, header.id, header.created_unix_ms
    )
}

fn leading_number(text: &str) -> Option<i64> {
    text.split('.').next()?.parse().ok()
}

fn reason_path(directory: &Path, name: &str) -> PathBuf {
    directory.join(format!("{name}.txt"))
}

/// Adds a line to the text beside `name`, unless it is there already.
fn explain(fs: &dyn Filesystem, directory: &Path, name: &str, reason: &str) -> io::Result<()> {
    let path = reason_path(directory, name);
    let mut text = read_text(fs, &path)?;
    if !text.lines().any(|line| line == reason) {
        text.push_str(reason);
        text.push('\n');
        replace(fs, &path, text.as_bytes())?;
    }
    Ok(())
}

fn read_text(fs: &dyn Filesystem, path: &Path) -> io::Result<String> {
    let Some(file) = open_if_present(fs, path)? else {
        return Ok(String::new());
    };
    let mut bytes = vec![0; file.size()?.min(COPY_BYTES) as usize];
    let n = file.read_at(&mut bytes, 0)?;
    bytes.truncate(n);
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn open_if_present(fs: &dyn Filesystem, path: &Path) -> io::Result<Option<Box<dyn SpoolFile>>> {
    match fs.open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
