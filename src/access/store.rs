//! The book on disk: one file, 0600, replaced as a whole.
//!
//! Comes in: changes, from a running brine and from commands beside it. Goes out: the book as it is now. A writer
//! holds `access.lock` (flock) from reading to replacing, so that no change is lost; a reader looks at the file's
//! inode, size and times before each request and reads it anew when one of them differs: a user who was removed by a
//! command is out with their next request. A file that is damaged, or that others can read, is refused: at start
//! brine does not run; later what was read last stays in force, and the log says so.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use thiserror::Error;

use super::book::{Book, BookError, FORMAT};
use crate::secret::write_private;

/// Why the book cannot be read or changed.
#[derive(Debug, Error)]
pub enum StoreError {
    /// A file cannot be read or written; the operator checks path, rights and free space.
    #[error("{path}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Others than the owner may read it: `chmod 600`, and think of its hashes as known.
    #[error("{path} has mode {mode:04o}; it must be 0600", path = path.display())]
    TooWide {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It is not what brine wrote. Restore it, or move it away and start over by a new set-up link.
    #[error("{path} is damaged: {reason}", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The change itself is not possible.
    #[error(transparent)]
    Refused(#[from] BookError),
}

/// Which file it was that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

#[derive(Debug)]
struct Read {
    stamp: Option<Stamp>,
    book: Arc<Book>,
}

/// The file and what was read from it last.
#[derive(Debug)]
pub struct BookStore {
    path: PathBuf,
    lock: PathBuf,
    read: ArcSwap<Read>,
}

impl BookStore {
    /// Reads the book of a data directory; none is an empty one. Blocking.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open(data: &Path) -> Result<BookStore, StoreError> {
        let path = data.join("access.json");
        let read = ArcSwap::from_pointee(read(&path)?);
        Ok(BookStore {
            lock: data.join("access.lock"),
            path,
            read,
        })
    }

    /// Returns the book as it is now. Blocking, for as long as a stat(2) takes where nothing has changed.
    pub fn now(&self) -> Arc<Book> {
        let last = self.read.load();
        if stamp(&self.path).ok() != Some(last.stamp) {
            match read(&self.path) {
                Ok(read) => self.read.store(Arc::new(read)),
                Err(error) => {
                    let reason = anyhow::Error::new(error);
                    tracing::error!(
                        reason = format!("{reason:#}"),
                        "who may look cannot be read anew"
                    );
                }
            }
        }
        self.read.load().book.clone()
    }

    /// Changes the book; durable when this returns. Blocking.
    ///
    /// # Errors
    /// [`StoreError`]; nothing has changed then.
    pub fn change<T>(
        &self,
        change: impl FnOnce(&mut Book) -> Result<T, BookError>,
    ) -> Result<T, StoreError> {
        let io_error = |path: &Path, source| StoreError::Io {
            path: path.to_owned(),
            source,
        };
        let lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&self.lock)
            .map_err(|e| io_error(&self.lock, e))?;
        lock.lock().map_err(|e| io_error(&self.lock, e))?;
        let mut book = Book::clone(&read(&self.path)?.book);
        let result = change(&mut book)?;
        // Plain data always has a JSON form.
        let text = serde_json::to_vec_pretty(&book).expect("a book is JSON");
        write_private(&self.path, &text).map_err(|e| io_error(&self.path, e))?;
        self.read.store(Arc::new(read(&self.path)?));
        Ok(result)
    }
}

fn stamp(path: &Path) -> io::Result<Option<Stamp>> {
    match fs::metadata(path) {
        Ok(found) => Ok(Some(stamp_of(&found))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn stamp_of(found: &fs::Metadata) -> Stamp {
    Stamp {
        inode: found.ino(),
        size: found.size(),
        changed: (found.ctime(), found.ctime_nsec()),
    }
}

fn read(path: &Path) -> Result<Read, StoreError> {
    let io_error = |source| StoreError::Io {
        path: path.to_owned(),
        source,
    };
    let damaged = |reason: String| StoreError::Damaged {
        path: path.to_owned(),
        reason,
    };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(Read {
                stamp: None,
                book: Arc::default(),
            });
        }
        Err(error) => return Err(io_error(error)),
    };
    // Of the open file, so that stamp and content are of one.
    let found = file.metadata().map_err(io_error)?;
    let mode = found.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(StoreError::TooWide {
            path: path.to_owned(),
            mode,
        });
    }
    let text = io::read_to_string(file).map_err(io_error)?;
    // The parser's message may quote what it met; its place is enough.
    let book: Book = serde_json::from_str(&text)
        .map_err(|e| damaged(format!("line {} column {}", e.line(), e.column())))?;
    if book.format != FORMAT {
        return Err(damaged(format!(
            "format {} is of another brine",
            book.format
        )));
    }
    Ok(Read {
        stamp: Some(stamp_of(&found)),
        book: Arc::new(book),
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::super::book::{Reach, Role};
    use super::*;

    fn add(store: &BookStore, name: &str) -> Result<String, StoreError> {
        store.change(|book| book.add_user(name, Role::Admin, Reach::All, ("test", 0)))
    }

    #[test]
    fn a_change_beside_is_seen_at_once_and_none_is_lost() {
        let directory = tempfile::tempdir().unwrap();
        let running = BookStore::open(directory.path()).unwrap();
        assert!(running.now().users.is_empty());
        std::thread::scope(|scope| {
            for worker in 0..4 {
                let path = directory.path();
                scope.spawn(move || {
                    let beside = BookStore::open(path).unwrap();
                    for n in 0..10 {
                        add(&beside, &format!("u{worker}-{n}")).unwrap();
                    }
                });
            }
        });
        assert_eq!(running.now().users.len(), 40);
        assert!(add(&running, "u0-0").is_err());
        let mode = fs::metadata(directory.path().join("access.json")).unwrap();
        assert_eq!(mode.mode() & 0o777, 0o600);
    }

    #[test]
    fn a_damaged_or_widely_readable_book_is_refused_and_the_last_one_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("access.json");
        let store = BookStore::open(directory.path()).unwrap();
        add(&store, "anna").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let error = BookStore::open(directory.path()).unwrap_err().to_string();
        assert!(error.contains("0644"), "{error}");
        assert_eq!(store.now().users.len(), 1);
        write_private(&path, b"{\"format\":1,\"users\":{\"hidden\":7}}").unwrap();
        let error = BookStore::open(directory.path()).unwrap_err().to_string();
        assert!(
            error.contains("damaged") && !error.contains("hidden"),
            "{error}"
        );
        assert_eq!(store.now().users.len(), 1);
        assert!(
            add(&store, "bo").is_err(),
            "a damaged book is not written over"
        );
        fs::remove_file(&path).unwrap();
        assert!(store.now().users.is_empty(), "moved away: nobody may look");
    }
}
