//! The disk as the spool sees it.
//!
//! In: paths, bytes, offsets. Out: what the operating system answered, unchanged: errors are the
//! caller's to interpret. [`Disk`] is the real one; tests put a simulated one in its place, in which
//! unsynced data vanishes at a crash and calls fail on cue. This is the only file of the spool that
//! calls `std::fs`.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock, statvfs};

/// Directory operations. None is durable until [`sync_dir`](Filesystem::sync_dir) has returned.
pub trait Filesystem: Send + Sync + 'static {
    /// Makes the directory and its parents, readable by this user only; existing ones are left as
    /// they are.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;
    /// Lists the regular files of a directory, in no order.
    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>>;
    /// Creates a file for reading and writing; `AlreadyExists` if there is one.
    fn create(&self, path: &Path) -> io::Result<Box<dyn SpoolFile>>;
    /// Opens a file for reading and writing.
    fn open(&self, path: &Path) -> io::Result<Box<dyn SpoolFile>>;
    /// Renames a file, replacing what has the new name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Unlinks a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes creations, renames and removals in the directory durable (fsync of the directory).
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Returns the bytes an unprivileged process may still allocate (statvfs `f_bavail`).
    fn free_bytes(&self, dir: &Path) -> io::Result<u64>;
    /// Takes the single-writer lock, or tells who holds it.
    fn lock(&self, path: &Path) -> io::Result<Lock>;
}

/// An open file. Methods take `&self`: one thread writes, several may read.
pub trait SpoolFile: Send + Sync {
    /// Returns the length in bytes.
    fn size(&self) -> io::Result<u64>;
    /// Fills `buffer` from `offset` as far as the file reaches; returns the bytes read.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes all of `bytes` at `offset`. After an error any part of them may be in the file.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Cuts the file to `length` bytes.
    fn truncate(&self, length: u64) -> io::Result<()>;
    /// Makes everything written so far durable (fdatasync). After an error the kernel may have
    /// dropped the unwritten pages: what was written since the last success is lost, and a later
    /// success says nothing about it.
    fn sync_data(&self) -> io::Result<()>;
}

/// A file in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    /// File name without directory. Names that are not UTF-8 are not ours and are left out.
    pub name: String,
    /// Length in bytes.
    pub bytes: u64,
}

/// Answer to [`Filesystem::lock`].
pub enum Lock {
    /// Ours until the guard is dropped or the process ends.
    Acquired(Box<dyn Send + Sync>),
    /// Another process has it; its id, if the lock file tells.
    Held(Option<u32>),
}

/// Replaces the file `path` by one holding `bytes`: wholly or not at all, durable on return.
pub(super) fn replace(fs: &dyn Filesystem, path: &Path, bytes: &[u8]) -> io::Result<()> {
    // A name of its own: `path` with other endings may be a draft of someone else.
    let mut draft = path.as_os_str().to_owned();
    draft.push(".new.");
    draft.push(DRAFT);
    let draft = PathBuf::from(draft);
    remove_if_present(fs, &draft)?;
    let file = fs.create(&draft)?;
    file.write_all_at(bytes, 0)?;
    file.sync_data()?;
    fs.rename(&draft, path)?;
    fs.sync_dir(path.parent().unwrap_or(Path::new(".")))
}

/// Extension of files that are not finished; whatever carries it at the start is removed.
pub(super) const DRAFT: &str = "draft";

/// Unlinks a file that may be gone already.
pub(super) fn remove_if_present(fs: &dyn Filesystem, path: &Path) -> io::Result<()> {
    match fs.remove(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The file system of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disk;

impl Filesystem for Disk {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            if let (true, Ok(name)) = (metadata.is_file(), entry.file_name().into_string()) {
                entries.push(DirEntry {
                    name,
                    bytes: metadata.len(),
                });
            }
        }
        Ok(entries)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn SpoolFile>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        Ok(Box::new(file))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn SpoolFile>> {
        Ok(Box::new(
            OpenOptions::new().read(true).write(true).open(path)?,
        ))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        let status = statvfs(dir)?;
        Ok(status.f_bavail.saturating_mul(status.f_frsize))
    }

    fn lock(&self, path: &Path) -> io::Result<Lock> {
        // Not truncated on open: before the lock is ours, the pid in it is another's.
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                file.set_len(0)?;
                writeln!(file, "{}", std::process::id())?;
                Ok(Lock::Acquired(Box::new(file)))
            }
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let pid = fs::read_to_string(path)?.trim().parse().ok();
                Ok(Lock::Held(pid))
            }
            Err(errno) => Err(errno.into()),
        }
    }
}

impl SpoolFile for File {
    fn size(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match FileExt::read_at(self, &mut buffer[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        FileExt::write_all_at(self, bytes, offset)
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }

    fn sync_data(&self) -> io::Result<()> {
        File::sync_data(self)
    }
}
