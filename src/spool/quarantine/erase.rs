//! Erasure in quarantine: the one way in which records leave a file that others stay in.
//!
//! In: which records are to go. Out: the same files without them, replaced as a whole, so that a crash leaves
//! the old file or the new one. Damaged bytes cannot be told apart: a file that holds one of the marks goes.

use std::io;

use aho_corasick::AhoCorasick;

use super::{
    Erased, Groups, Removal, directory, explain, has_half_replayed, header_of, keep_damage, list,
    reason_path, remove,
};
use crate::spool::fs::{DRAFT, Filesystem, remove_if_present};
use crate::spool::reader::{ReadError, SegmentReader};
use crate::spool::record::Record;
use crate::spool::segment::{COPY_BYTES, OpenSegment};
use crate::spool::state::Shared;

/// Takes out every record that `is_erased` names, and every damaged file with one of `marks` in it. Doing it
/// again finds nothing more.
pub(in crate::spool) fn erase(
    shared: &Shared,
    why: Removal,
    is_erased: &dyn Fn(&Record) -> bool,
    marks: &[Vec<u8>],
) -> io::Result<Erased> {
    let (fs, dir) = (shared.fs.as_ref(), shared.dir.as_path());
    if shared.lock().half_replayed || has_half_replayed(fs, dir)? {
        return Err(io::Error::other(
            "a replay was cut short by the disk; it is put right at the next start of brine",
        ));
    }
    let mut erased = Erased::default();
    for file in list(fs, dir)?.into_iter().filter(|file| file.replayable) {
        erased.records += rewrite(shared, why, &file.name, is_erased)?;
    }
    // Listed anew: rewriting may have set damaged bytes of a segment apart.
    let search = AhoCorasick::new(marks).map_err(io::Error::other)?;
    for file in list(fs, dir)?.into_iter().filter(|file| !file.replayable) {
        if holds(fs, &directory(dir).join(&file.name), &search)? {
            remove(fs, dir, &file.name)?;
            erased.files += 1;
        }
    }
    Ok(erased)
}

/// Counts sound records, and changes nothing.
pub(in crate::spool) fn count(
    shared: &Shared,
    is_meant: &dyn Fn(&Record) -> bool,
) -> io::Result<u64> {
    let (fs, dir) = (shared.fs.as_ref(), shared.dir.as_path());
    let mut n = 0;
    for file in list(fs, dir)?.into_iter().filter(|file| file.replayable) {
        let path = directory(dir).join(&file.name);
        let header = header_of(fs, &path, &file.name)?;
        let records = SegmentReader::new(fs.open(&path)?, header, u64::MAX, None)?;
        n += records.flatten().filter(is_meant).count() as u64;
    }
    Ok(n)
}

/// Writes the file anew without the erased records, and returns how many those were.
fn rewrite(
    shared: &Shared,
    why: Removal,
    name: &str,
    is_erased: &dyn Fn(&Record) -> bool,
) -> io::Result<u64> {
    let (fs, dir) = (shared.fs.as_ref(), shared.dir.as_path());
    let directory = directory(dir);
    let path = directory.join(name);
    let header = header_of(fs, &path, name)?;
    let (mut kept, mut damaged, mut n_erased) = (Vec::new(), Vec::new(), 0);
    for item in SegmentReader::new(fs.open(&path)?, header, u64::MAX, None)? {
        match item {
            Ok(record) if is_erased(&record) => n_erased += 1,
            Ok(record) => kept.push(record),
            Err(ReadError::Damage(damage)) if damage.bytes.is_empty() => {}
            Err(ReadError::Damage(damage)) => damaged.push(damage),
            Err(ReadError::Io { source, .. }) => return Err(source),
        }
    }
    if n_erased == 0 {
        return Ok(0);
    }
    for damage in &damaged {
        keep_damage(fs, dir, &header, &*fs.open(&path)?, damage)?;
    }
    if kept.is_empty() {
        fs.remove(&path)?;
        remove_if_present(fs, &reason_path(&directory, name))?;
        fs.sync_dir(&directory)?;
        return Ok(n_erased);
    }
    let draft = directory.join(format!("{name}.{DRAFT}"));
    remove_if_present(fs, &draft)?;
    let mut copy = OpenSegment::create(fs, &draft, header)?;
    let mut groups = Groups::new(header.seed());
    for record in &kept {
        if record.index != copy.n_records + groups.n_records {
            groups.flush(&mut copy)?;
            copy.n_records = record.index;
        }
        groups.push(record, &mut copy)?;
    }
    groups.flush(&mut copy)?;
    copy.seal()?;
    explain(fs, &directory, name, why.reason())?;
    fs.rename(&draft, &path)?;
    fs.sync_dir(&directory)?;
    Ok(n_erased)
}

/// Looks through a file piece by piece; marks over an edge are found since pieces overlap.
fn holds(fs: &dyn Filesystem, path: &std::path::Path, search: &AhoCorasick) -> io::Result<bool> {
    const OVERLAP: usize = 32;
    let file = fs.open(path)?;
    let (mut buffer, mut at) = (vec![0; COPY_BYTES as usize], 0);
    loop {
        let n = file.read_at(&mut buffer, at)?;
        if search.is_match(&buffer[..n]) {
            return Ok(true);
        }
        if n < buffer.len() {
            return Ok(false);
        }
        at += (n - OVERLAP) as u64;
    }
}
