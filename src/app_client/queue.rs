//! Events on the device's disk: one JSON text a line, appended and synced one by one, rewritten as a whole when some leave.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde_json::Value;

const FILE: &str = "queue.jsonl";

/// The queue of one client.
#[derive(Debug)]
pub struct Queue {
    directory: PathBuf,
    file: File,
    events: VecDeque<Value>,
}

impl Queue {
    /// Opens the queue in `directory`. A line that a crash cut short was never taken, and is dropped.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn open(directory: &Path) -> io::Result<Queue> {
        let bytes = match fs::read(directory.join(FILE)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        let lines = bytes.split_inclusive(|byte| *byte == b'\n');
        let events = lines
            .filter(|line| line.ends_with(b"\n"))
            .filter_map(|line| serde_json::from_slice(line).ok())
            .collect();
        let mut queue = Queue {
            file: appending(directory)?,
            directory: directory.to_owned(),
            events,
        };
        queue.rewrite()?;
        Ok(queue)
    }

    /// Returns how many events wait.
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Returns whether none does.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Appends; on the disk when it returns.
    ///
    /// # Errors
    /// What the operating system says; the event is not taken then.
    pub fn push(&mut self, event: Value) -> io::Result<()> {
        let line = format!("{event}\n");
        if let Err(error) = self
            .file
            .write_all(line.as_bytes())
            .and_then(|()| self.file.sync_data())
        {
            // Half a line must not run into the next one.
            self.rewrite()?;
            return Err(error);
        }
        self.events.push_back(event);
        Ok(())
    }

    /// Returns the oldest events: at most `n`, and of so many bytes; one at least, where there is one.
    pub fn front(&self, n: usize, n_bytes: usize) -> Vec<&Value> {
        let mut total = 0;
        let fits = |event: &&Value| {
            total += event.to_string().len();
            total <= n_bytes
        };
        let front: Vec<&Value> = self.events.iter().take(n).take_while(fits).collect();
        match front.is_empty() {
            true => self.events.iter().take(1).collect(),
            false => front,
        }
    }

    /// Returns how many of the oldest are `so`.
    pub fn count_front(&self, so: impl Fn(&Value) -> bool) -> usize {
        self.events.iter().take_while(|event| so(event)).count()
    }

    /// Drops the `n` oldest, on the disk, too.
    ///
    /// # Errors
    /// What the operating system says; they may come back with the next start then, and count once all the same.
    pub fn drop_front(&mut self, n: usize) -> io::Result<()> {
        self.events.drain(..n.min(self.events.len()));
        self.rewrite()
    }

    /// Drops all.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn clear(&mut self) -> io::Result<()> {
        self.events.clear();
        self.rewrite()
    }

    fn rewrite(&mut self) -> io::Result<()> {
        let mut text = String::new();
        for event in &self.events {
            text.push_str(&event.to_string());
            text.push('\n');
        }
        let written = write_whole(&self.directory, FILE, text.as_bytes());
        // Whatever failed behind it, the name may be of the new file: nothing more may be written into the old one.
        self.file = appending(&self.directory)?;
        written
    }
}

fn appending(directory: &Path) -> io::Result<File> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(directory.join(FILE))
}

/// Replaces a file as a whole; durable when it returns.
pub(super) fn write_whole(directory: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let new = directory.join(format!("{name}.new"));
    let mut file = File::create(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&new, directory.join(name))?;
    // Windows has no directories to sync, and needs none: its renames are journalled.
    match cfg!(unix) {
        true => File::open(directory)?.sync_all(),
        false => Ok(()),
    }
}
