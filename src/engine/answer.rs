//! What goes into a statement beside its text, and what comes out of the engine.
//!
//! Plain data, so that everything but `ffi` can be read without knowing C.

/// What the engine's own parser says of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Analysis {
    /// Executable statements in the text; 0 if it did not parse.
    pub statements: u32,
    /// What the statement would do.
    pub class: Class,
}

/// `chdb_query_class`, ascending by how far the effects reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Leaves no trace.
    Read,
    /// Changes a database.
    Write,
    /// Changes something beside the databases: users, functions, named collections.
    Global,
    /// Changes a session, or is none of a client's business.
    Control,
    /// Did not parse.
    Unknown,
}

/// Counts of one answer.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counts {
    /// Seconds the engine worked on it.
    pub elapsed_s: f64,
    /// Rows read from storage.
    pub read_rows: u64,
    /// Bytes read from storage.
    pub read_bytes: u64,
    /// Rows written, those that deduplication swallowed included.
    pub written_rows: u64,
    /// Bytes written, likewise.
    pub written_bytes: u64,
    /// Rows in the answer.
    pub result_rows: u64,
    /// Bytes of the answer in memory, before formatting.
    pub result_bytes: u64,
}

/// The bytes of an answer, or of one chunk of it, and its counts.
#[derive(Debug, Default)]
pub struct Answer {
    /// Formatted by the engine.
    pub bytes: Vec<u8>,
    /// What it took.
    pub counts: Counts,
}

/// Values for `{name:Type}` placeholders, bound by the engine and never pasted into the text.
#[derive(Clone, Debug, Default)]
pub struct Params(Vec<(Vec<u8>, Vec<u8>)>);

impl Params {
    /// Adds a value; of two with one name the later wins.
    pub fn push(&mut self, name: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        self.0.push((name.into(), value.into()));
    }

    /// Returns names and values in the order they were added.
    #[must_use]
    pub fn pairs(&self) -> &[(Vec<u8>, Vec<u8>)] {
        &self.0
    }

    /// Returns how many values there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
