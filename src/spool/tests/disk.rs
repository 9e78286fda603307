//! A simulated disk: what is not synced may vanish or tear at a crash, and calls fail on cue.
//!
//! Modelled after what Linux file systems do:
//! - writes and cuts are seen at once and survive a crash only once `sync_data` succeeded; of the
//!   unsynced ones a prefix survives, the last of it perhaps in part;
//! - names likewise, per directory, with `sync_dir`;
//! - a failed `sync_data` drops the unsynced writes from the list of what later syncs make durable:
//!   they stay visible, and whether they are on the disk shows only after a crash.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use super::super::fs::{DirEntry, Filesystem, Lock, SpoolFile};

/// Kinds of calls that can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    Create,
    Write,
    SyncData,
    SyncDir,
    Rename,
    Remove,
}

/// What happens at a call.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    /// The call fails; of a write, half is done.
    Error(io::ErrorKind),
    /// The power goes: this and every later call of the running spool fails.
    PowerCut,
}

/// The disk, which outlives the spools that use it.
#[derive(Clone, Default)]
pub(super) struct SimDisk(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    files: BTreeMap<PathBuf, FileId>,
    durable_files: BTreeMap<PathBuf, FileId>,
    /// Changes of names not synced yet, in order.
    name_changes: Vec<NameChange>,
    contents: BTreeMap<FileId, Content>,
    next_file: FileId,
    /// Handles of an earlier epoch are dead.
    epoch: u64,
    locked: bool,
    dark: bool,
    faults: Vec<(Call, usize, Fault)>,
    /// Faults that stay until [`SimDisk::mend`].
    broken: Vec<(Call, io::ErrorKind)>,
    free_bytes: Option<u64>,
}

type FileId = u64;

/// Names set or removed at once: a rename survives a crash wholly or not at all.
#[derive(Clone)]
struct NameChange(Vec<(PathBuf, Option<FileId>)>);

#[derive(Clone, Default)]
struct Content {
    seen: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Change>,
    /// Changes whose sync failed: on the disk or not, nobody knows before a crash.
    doubtful: Vec<Change>,
}

#[derive(Clone)]
enum Change {
    Write { offset: u64, bytes: Vec<u8> },
    Cut(u64),
}

impl Change {
    fn apply(&self, to: &mut Vec<u8>) {
        match self {
            Self::Write { offset, bytes } => {
                let end = *offset as usize + bytes.len();
                if to.len() < end {
                    to.resize(end, 0);
                }
                to[*offset as usize..end].copy_from_slice(bytes);
            }
            Self::Cut(length) => to.resize(*length as usize, 0),
        }
    }

    /// False for a write that a cut to `length` takes back for good.
    fn starts_before(&self, length: u64) -> bool {
        match self {
            Self::Write { offset, .. } => *offset < length,
            Self::Cut(_) => true,
        }
    }

    /// The first `n` bytes of a write.
    fn torn(&self, n: usize) -> Option<Self> {
        match self {
            Self::Write { offset, bytes } => {
                let bytes = bytes[..n.min(bytes.len())].to_vec();
                Some(Self::Write {
                    offset: *offset,
                    bytes,
                })
            }
            Self::Cut(_) => None,
        }
    }
}

impl SimDisk {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The file system for the next spool.
    pub(super) fn mount(&self) -> Arc<dyn Filesystem> {
        let epoch = self.inner().epoch;
        Arc::new(SimFs {
            disk: self.clone(),
            epoch,
        })
    }

    /// Makes the `nth` next call of a kind (from 0) fail.
    pub(super) fn fail(&self, call: Call, nth: usize, fault: Fault) {
        self.inner().faults.push((call, nth, fault));
    }

    /// Makes all calls of a kind fail until mended.
    pub(super) fn break_down(&self, call: Call, kind: io::ErrorKind) {
        self.inner().broken.push((call, kind));
    }

    /// Ends all faults.
    pub(super) fn mend(&self) {
        let mut inner = self.inner();
        inner.broken.clear();
        inner.faults.clear();
    }

    /// Blocks every call until the guard is dropped.
    pub(super) fn stall(&self) -> impl Drop {
        self.inner()
    }

    pub(super) fn set_free_bytes(&self, bytes: u64) {
        self.inner().free_bytes = Some(bytes);
    }

    /// Ends the process that uses the disk: everything written is there, synced or not.
    pub(super) fn kill(&self) {
        let mut inner = self.inner();
        inner.epoch += 1;
        inner.locked = false;
        inner.dark = false;
        inner.faults.clear();
        inner.broken.clear();
    }

    /// Cuts the power. `chance` decides what of the unsynced survives.
    pub(super) fn crash(&self, mut chance: impl FnMut(usize) -> usize) {
        self.kill();
        let mut inner = self.inner();
        for content in inner.contents.values_mut() {
            let mut disk = std::mem::take(&mut content.durable);
            // Doubtful changes come before unsynced ones, each reaches the disk or does not.
            for change in &std::mem::take(&mut content.doubtful) {
                if chance(2) == 0 {
                    change.apply(&mut disk);
                }
            }
            let unsynced = std::mem::take(&mut content.unsynced);
            let kept = chance(unsynced.len() + 1);
            for change in &unsynced[..kept] {
                change.apply(&mut disk);
            }
            if let Some(Change::Write { bytes, .. }) = unsynced.get(kept) {
                let n = chance(bytes.len() + 1);
                if let Some(torn) = unsynced[kept].torn(n) {
                    torn.apply(&mut disk);
                }
            }
            content.seen.clone_from(&disk);
            content.durable = disk;
        }
        let changes = std::mem::take(&mut inner.name_changes);
        let kept = chance(changes.len() + 1);
        let mut files = std::mem::take(&mut inner.durable_files);
        for change in &changes[..kept] {
            change.apply(&mut files);
        }
        inner.files.clone_from(&files);
        inner.durable_files = files;
    }

    /// Names that match, in order.
    pub(super) fn names(&self, ending: &str) -> Vec<PathBuf> {
        let inner = self.inner();
        inner
            .files
            .keys()
            .filter(|path| path.to_string_lossy().ends_with(ending))
            .cloned()
            .collect()
    }

    /// Changes a file's bytes on the disk.
    pub(super) fn edit(&self, path: &Path, edit: impl FnOnce(&mut Vec<u8>)) {
        let mut inner = self.inner();
        let id = inner.files[path];
        let content = inner
            .contents
            .get_mut(&id)
            .expect("named files have contents");
        edit(&mut content.seen);
        content.durable.clone_from(&content.seen);
        content.unsynced.clear();
    }

    /// False after a power cut until `crash`.
    pub(super) fn has_power(&self) -> bool {
        !self.inner().dark
    }

    /// True if these bytes are in a file of the quarantine.
    pub(super) fn quarantine_has(&self, needle: &[u8]) -> bool {
        let inner = self.inner();
        inner.files.iter().any(|(path, id)| {
            path.to_string_lossy().contains("quarantine/")
                && inner.contents[id]
                    .seen
                    .windows(needle.len())
                    .any(|bytes| bytes == needle)
        })
    }

    /// All bytes of all files, to look for what must not be there.
    pub(super) fn contains(&self, needle: &[u8]) -> bool {
        let inner = self.inner();
        inner.files.values().any(|id| {
            inner.contents[id]
                .seen
                .windows(needle.len())
                .any(|bytes| bytes == needle)
        })
    }
}

impl NameChange {
    fn apply(&self, files: &mut BTreeMap<PathBuf, FileId>) {
        for (path, file) in &self.0 {
            match file {
                Some(file) => files.insert(path.clone(), *file),
                None => files.remove(path),
            };
        }
    }

    fn touches(&self, dir: &Path) -> bool {
        self.0.iter().any(|(path, _)| path.parent() == Some(dir))
    }
}

impl Inner {
    fn change_names(&mut self, names: Vec<(PathBuf, Option<FileId>)>) {
        let change = NameChange(names);
        change.apply(&mut self.files);
        self.name_changes.push(change);
    }

    fn check(&mut self, epoch: u64, call: Call) -> io::Result<()> {
        self.alive(epoch)?;
        if let Some((_, kind)) = self.broken.iter().find(|(broken, _)| *broken == call) {
            return Err((*kind).into());
        }
        let mut hit = None;
        self.faults.retain_mut(|(on, nth, fault)| match *nth {
            _ if *on != call => true,
            0 => {
                hit = Some(*fault);
                false
            }
            _ => {
                *nth -= 1;
                true
            }
        });
        match hit {
            None => Ok(()),
            Some(Fault::Error(kind)) => Err(kind.into()),
            Some(Fault::PowerCut) => {
                self.epoch += 1;
                self.dark = true;
                Err(io::Error::other("power cut"))
            }
        }
    }

    fn alive(&self, epoch: u64) -> io::Result<()> {
        if epoch == self.epoch {
            Ok(())
        } else {
            Err(io::Error::other("power cut"))
        }
    }
}

struct SimFs {
    disk: SimDisk,
    epoch: u64,
}

struct SimFile {
    disk: SimDisk,
    epoch: u64,
    id: FileId,
}

impl Filesystem for SimFs {
    fn create_dir(&self, _: &Path) -> io::Result<()> {
        self.disk.inner().alive(self.epoch)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        let inner = self.disk.inner();
        inner.alive(self.epoch)?;
        let in_dir = inner
            .files
            .iter()
            .filter(|(path, _)| path.parent() == Some(dir));
        Ok(in_dir
            .map(|(path, id)| DirEntry {
                name: path
                    .file_name()
                    .unwrap_or_default()
                    .to_string_lossy()
                    .into_owned(),
                bytes: inner.contents[id].seen.len() as u64,
            })
            .collect())
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn SpoolFile>> {
        let mut inner = self.disk.inner();
        inner.check(self.epoch, Call::Create)?;
        if inner.files.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let id = inner.next_file;
        inner.next_file += 1;
        inner.contents.insert(id, Content::default());
        inner.change_names(vec![(path.to_owned(), Some(id))]);
        Ok(Box::new(SimFile {
            disk: self.disk.clone(),
            epoch: self.epoch,
            id,
        }))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn SpoolFile>> {
        let inner = self.disk.inner();
        inner.alive(self.epoch)?;
        let id = *inner.files.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(SimFile {
            disk: self.disk.clone(),
            epoch: self.epoch,
            id,
        }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut inner = self.disk.inner();
        inner.check(self.epoch, Call::Rename)?;
        let id = *inner.files.get(from).ok_or(io::ErrorKind::NotFound)?;
        inner.change_names(vec![(from.to_owned(), None), (to.to_owned(), Some(id))]);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.disk.inner();
        inner.check(self.epoch, Call::Remove)?;
        if !inner.files.contains_key(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        inner.change_names(vec![(path.to_owned(), None)]);
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut inner = self.disk.inner();
        inner.check(self.epoch, Call::SyncDir)?;
        let changes = std::mem::take(&mut inner.name_changes);
        let (synced, rest): (Vec<_>, _) =
            changes.into_iter().partition(|change| change.touches(dir));
        for change in synced {
            change.apply(&mut inner.durable_files);
        }
        inner.name_changes = rest;
        Ok(())
    }

    fn free_bytes(&self, _: &Path) -> io::Result<u64> {
        Ok(self.disk.inner().free_bytes.unwrap_or(u64::MAX))
    }

    fn lock(&self, _: &Path) -> io::Result<Lock> {
        let mut inner = self.disk.inner();
        inner.alive(self.epoch)?;
        if inner.locked {
            return Ok(Lock::Held(None));
        }
        inner.locked = true;
        Ok(Lock::Acquired(Box::new(SimLock {
            disk: self.disk.clone(),
            epoch: self.epoch,
        })))
    }
}

struct SimLock {
    disk: SimDisk,
    epoch: u64,
}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut inner = self.disk.inner();
        if inner.epoch == self.epoch {
            inner.locked = false;
        }
    }
}

impl SimFile {
    fn change(&self, inner: &mut Inner, change: Change) {
        let content = inner
            .contents
            .get_mut(&self.id)
            .expect("open files have contents");
        change.apply(&mut content.seen);
        content.unsynced.push(change);
    }
}

impl SpoolFile for SimFile {
    fn size(&self) -> io::Result<u64> {
        let inner = self.disk.inner();
        inner.alive(self.epoch)?;
        Ok(inner.contents[&self.id].seen.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let inner = self.disk.inner();
        inner.alive(self.epoch)?;
        let bytes = inner.contents[&self.id]
            .seen
            .get(offset as usize..)
            .unwrap_or_default();
        let n = bytes.len().min(buffer.len());
        buffer[..n].copy_from_slice(&bytes[..n]);
        Ok(n)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut inner = self.disk.inner();
        inner.alive(self.epoch)?;
        let checked = inner.check(self.epoch, Call::Write);
        let done = if checked.is_ok() {
            bytes
        } else {
            &bytes[..bytes.len() / 2]
        };
        self.change(
            &mut inner,
            Change::Write {
                offset,
                bytes: done.to_vec(),
            },
        );
        checked
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        let mut inner = self.disk.inner();
        inner.check(self.epoch, Call::Write)?;
        self.change(&mut inner, Change::Cut(length));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut inner = self.disk.inner();
        inner.alive(self.epoch)?;
        let checked = inner.check(self.epoch, Call::SyncData);
        let dead = self.epoch != inner.epoch;
        let content = inner
            .contents
            .get_mut(&self.id)
            .expect("open files have contents");
        let changes = std::mem::take(&mut content.unsynced);
        match checked {
            Ok(()) => {
                for change in changes {
                    change.apply(&mut content.durable);
                    if let Change::Cut(length) = change {
                        content
                            .doubtful
                            .retain(|doubtful| doubtful.starts_before(length));
                    }
                }
                Ok(())
            }
            Err(error) => {
                if dead {
                    content.unsynced = changes;
                } else {
                    content.doubtful.extend(changes);
                }
                Err(error)
            }
        }
    }
}
