//! What is done with a directory before it is used.
//!
//! In: whatever an earlier run left, orderly or not. Out: sealed segments only, each with its length
//! and record count, durable as they stand; everything that had to go is counted in [`Recovery`].
//! Only the last segment is read as a whole, and its end written again: the others end in a seal that
//! was durable before the next one was begun, or the identity file says where they end.
//!
//! May cut: the last group of the last segment, if it fails a checksum. A write that a crash tore
//! and a group that rotted on the disk since cannot be told apart there, so the bytes are kept as
//! evidence.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::error::OpenError;
use super::fs::{DRAFT, DirEntry, Filesystem, SpoolFile};
use super::identity::{self, Cut, Found, Identity};
use super::quarantine::{self, Evidence};
use super::reader::{ReadError, SegmentReader};
use super::record::{FrameKind, SegmentId};
use super::segment::{self, HEADER_BYTES, Header, OpenSegment, ParsedHeader};
use super::state::Entry;
use super::stats::Recovery;

/// A directory ready to be used.
pub(super) struct Recovered {
    pub(super) identity: Identity,
    pub(super) sealed: BTreeMap<SegmentId, Entry>,
    pub(super) report: Recovery,
}

/// Brings `dir` into order. The caller holds its lock. May be repeated after a crash in it.
pub(super) fn recover(fs: &dyn Filesystem, dir: &Path) -> Result<Recovered, OpenError> {
    let found =
        Identity::load(fs, dir).map_err(|source| io_error("read identity in", dir, source))?;
    if let Found::Version(version) = found {
        return Err(version_error(
            dir.join("identity"),
            version,
            identity::VERSION,
        ));
    }
    let listed = fs
        .list(dir)
        .map_err(|source| io_error("list", dir, source))?;
    let headers = read_headers(fs, dir, &listed)?;
    prepare(fs, dir, &listed).map_err(|source| io_error("tidy", dir, source))?;

    let mut report = Recovery::default();
    let last = headers.keys().next_back().copied();
    let identity = match found {
        Found::Sound(mut identity) => {
            if let Some(last) = last {
                identity.skip(last);
            }
            Ok(identity)
        }
        Found::Absent | Found::Damaged | Found::Version(_) => {
            report.new_incarnation = last.is_some() || matches!(found, Found::Damaged);
            Identity::create(fs, dir, last)
        }
    };
    let identity = identity.map_err(|source| io_error("write identity in", dir, source))?;

    let mut recovery = Run {
        fs,
        dir,
        identity,
        sealed: BTreeMap::new(),
        report,
    };
    for (id, header) in headers {
        let path = segment::path(dir, id);
        recovery
            .segment(id, header, Some(id) == last)
            .map_err(|source| io_error("recover", &path, source))?;
    }
    recovery
        .finish()
        .map_err(|source| io_error("write identity in", dir, source))
}

/// Reads all headers before anything is changed: a version from the future refuses the directory.
fn read_headers(
    fs: &dyn Filesystem,
    dir: &Path,
    listed: &[DirEntry],
) -> Result<BTreeMap<SegmentId, Option<Header>>, OpenError> {
    let mut headers = BTreeMap::new();
    for id in listed
        .iter()
        .filter_map(|entry| segment::id_of(&entry.name))
    {
        let path = segment::path(dir, id);
        let parsed = fs.open(&path).and_then(|file| Header::read(&*file));
        match parsed.map_err(|source| io_error("read", &path, source))? {
            ParsedHeader::Version(found) => {
                return Err(version_error(path, found, segment::VERSION));
            }
            ParsedHeader::Sound(header) if header.id == id => headers.insert(id, Some(header)),
            ParsedHeader::Sound(_) | ParsedHeader::Damaged => headers.insert(id, None),
        };
    }
    Ok(headers)
}

/// Removes what was not finished.
fn prepare(fs: &dyn Filesystem, dir: &Path, listed: &[DirEntry]) -> io::Result<()> {
    fs.create_dir(&quarantine::directory(dir))?;
    fs.sync_dir(dir)?;
    for entry in listed.iter().filter(|entry| entry.name.ends_with(DRAFT)) {
        fs.remove(&dir.join(&entry.name))?;
    }
    quarantine::settle_replays(fs, dir)
}

struct Run<'a> {
    fs: &'a dyn Filesystem,
    dir: &'a Path,
    identity: Identity,
    sealed: BTreeMap<SegmentId, Entry>,
    report: Recovery,
}

impl Run<'_> {
    fn segment(&mut self, id: SegmentId, sound: Option<Header>, last: bool) -> io::Result<()> {
        let file = self.fs.open(&segment::path(self.dir, id))?;
        let size = file.size()?;
        // With a damaged header the rest may still be sound: its checksums tell, under the
        // incarnation this directory has.
        let header = sound.unwrap_or(Header {
            key_id: 0,
            incarnation: self.identity.incarnation,
            id,
            created_unix_ms: 0,
        });
        if let Some(cut) = self.identity.cuts.get(&id).copied() {
            return self.abandoned(file, header, size, cut);
        }
        if last && size <= HEADER_BYTES as u64 {
            // The header is durable before the first group is written: no record was acknowledged.
            self.report.torn_bytes += size;
            return self.remove(id);
        }
        let sealed = segment::sealed_records(&*file, header.seed(), size)?;
        if let (Some(n_records), false) = (sealed, last) {
            self.keep(Entry {
                header,
                length: size,
                n_records,
            });
            return Ok(());
        }
        let end = scan(self.fs.open(&segment::path(self.dir, id))?, header)?;
        if end.n_frames == 0 && (sound.is_none() || !last) {
            self.report.quarantined += 1;
            let reason = format!("segment {id}: not a single group is readable");
            return quarantine::move_segment(self.fs, self.dir, &header, "unreadable", &reason);
        }
        if !last {
            // It was sealed before the next one was begun: its end is damaged, and the reader will
            // say so.
            self.keep(Entry {
                header,
                length: size,
                n_records: end.n_records,
            });
            return Ok(());
        }
        self.last_segment(file, header, size, end)
    }

    /// The last segment: unless the spool was closed in order, its end may be torn.
    fn last_segment(
        &mut self,
        file: Box<dyn SpoolFile>,
        header: Header,
        size: u64,
        end: ScannedEnd,
    ) -> io::Result<()> {
        if end.length < size {
            self.report.torn_tails += 1;
            self.report.torn_bytes += size - end.length;
            let reason = format!(
                "bytes {} to {size} of segment {}: last group fails its checksum, write torn by a \
                 crash (never acknowledged) or damaged since",
                end.length, header.id
            );
            let evidence = Evidence {
                header: &header,
                bytes: end.length..size,
                extension: "tail",
                reason: &reason,
            };
            quarantine::keep_evidence(self.fs, self.dir, &*file, evidence)?;
        }
        if end.n_records == 0 {
            return self.remove(header.id);
        }
        let mut open = OpenSegment::resume(file, header, end.length, end.n_records);
        open.cut_tail()?;
        // The last frame may never have been synced, or its sync failed and the process ended before
        // it could be cut off. What is read may then be in the page cache alone, and marked as
        // clean: it has to be written again for a sync to mean anything.
        open.write_again(end.last_frame.clone())?;
        if end.sealed {
            open.sync()?
        } else {
            open.seal()?
        }
        self.keep(Entry {
            header,
            length: open.length,
            n_records: open.n_records,
        });
        Ok(())
    }

    /// A segment the writer gave up: what lies behind the cut was answered as failed.
    fn abandoned(
        &mut self,
        file: Box<dyn SpoolFile>,
        header: Header,
        size: u64,
        cut: Cut,
    ) -> io::Result<()> {
        self.report.failed_bytes += size.saturating_sub(cut.length);
        if cut.n_records == 0 {
            return self.remove(header.id);
        }
        if size < cut.length {
            self.keep(Entry {
                header,
                length: cut.length,
                n_records: cut.n_records,
            });
            return Ok(());
        }
        let mut open = OpenSegment::resume(file, header, cut.length, cut.n_records);
        open.cut_tail()?;
        open.seal()?;
        self.keep(Entry {
            header,
            length: open.length,
            n_records: open.n_records,
        });
        Ok(())
    }

    fn keep(&mut self, entry: Entry) {
        self.report.segments += 1;
        self.report.records += u64::from(entry.n_records);
        self.report.last = Some(entry.header.id);
        self.sealed.insert(entry.header.id, entry);
    }

    fn remove(&mut self, id: SegmentId) -> io::Result<()> {
        self.fs.remove(&segment::path(self.dir, id))?;
        self.fs.sync_dir(self.dir)
    }

    /// Forgets cuts that are done with: those segments are sealed now, or gone.
    fn finish(mut self) -> io::Result<Recovered> {
        let before = self.identity.cuts.len();
        let sealed = &self.sealed;
        self.identity.cuts.retain(|id, cut| {
            sealed
                .get(id)
                .is_some_and(|entry| entry.length == cut.length)
        });
        if self.identity.cuts.len() < before {
            self.identity.store(self.fs)?;
        }
        Ok(Recovered {
            identity: self.identity,
            sealed: self.sealed,
            report: self.report,
        })
    }
}

/// Where an unsealed segment ends.
struct ScannedEnd {
    length: u64,
    n_records: u32,
    n_frames: usize,
    /// The last frame, if it is part of the segment.
    last_frame: Range<u64>,
    sealed: bool,
}

/// Reads a whole segment. Damage that is followed by another frame is damage in the middle and
/// stays, to be reported by the reader; damage at the end is the torn tail.
fn scan(file: Box<dyn SpoolFile>, header: Header) -> io::Result<ScannedEnd> {
    let mut reader = SegmentReader::new(file, header, u64::MAX, None)?;
    let mut last_damage = None;
    for item in reader.by_ref() {
        match item {
            Ok(_) => {}
            Err(ReadError::Damage(damage)) => last_damage = Some(damage.bytes.start),
            Err(ReadError::Io { source, .. }) => return Err(source),
        }
    }
    let frame = reader.last_frame();
    let n_frames = usize::from(frame.end > frame.start);
    let inside = |at: u64| frame.start < at && at < frame.end;
    let (length, n_records) = if last_damage.is_some_and(inside) || frame.end > reader.length() {
        (frame.start, frame.first_index)
    } else {
        (frame.end, frame.end_index)
    };
    let sealed = n_frames > 0 && frame.kind == FrameKind::Seal;
    Ok(ScannedEnd {
        length,
        n_records,
        n_frames,
        last_frame: frame.start.min(length)..length,
        sealed,
    })
}

fn version_error(path: PathBuf, found: u16, supported: u16) -> OpenError {
    OpenError::Version {
        path,
        found,
        supported,
    }
}

pub(super) fn io_error(action: &'static str, path: &Path, source: io::Error) -> OpenError {
    OpenError::Io {
        action,
        path: path.to_owned(),
        source,
    }
}
