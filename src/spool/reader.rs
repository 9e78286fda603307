//! Reads a sealed segment, record by record, in bounded memory.
//!
//! In: a file and the length and record count known of it. Out: its records in order, and a
//! [`Damage`] for each stretch that cannot be vouched for: never a wrong record, never a silent gap.
//! What follows damage is read where the framing allows: the next record if the length held, else
//! the next group.

use std::io;
use std::ops::Range;

use super::fs::SpoolFile;
use super::record::{
    FRAME_HEADER_BYTES, FRAME_MAGIC, Frame, FrameKind, MAX_PAYLOAD_BYTES, RECORD_HEADER_BYTES,
    Record, RecordHeader, SegmentId,
};
use super::segment::{HEADER_BYTES, Header};

/// Least amount fetched from the file at once: a few hundred records per system call.
const WINDOW_BYTES: usize = 64 << 10;

/// A stretch of a segment that cannot be read as it was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "segment {segment}: records {} to {} (bytes {} to {}): {reason}",
    indexes.start, indexes.end, bytes.start, bytes.end
)]
pub struct Damage {
    /// The segment.
    pub segment: SegmentId,
    /// The records lost to it; empty if only framing was hit.
    pub indexes: Range<u32>,
    /// Where in the file.
    pub bytes: Range<u64>,
    /// What was wrong.
    pub reason: DamageReason,
}

/// How damage showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DamageReason {
    /// A record's checksum, or a length that leads out of its group.
    #[error("record fails its checksum")]
    Record,
    /// A group's header.
    #[error("group header fails its checksum")]
    Group,
    /// The file ends before its last record.
    #[error("file ends early")]
    Truncated,
}

/// Why the reader could not give the next record.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The caller should quarantine these records and read on.
    #[error(transparent)]
    Damage(#[from] Damage),
    /// The disk failed. Nothing follows; the caller should read the segment again later.
    #[error("segment {segment} cannot be read: {source}")]
    Io {
        /// The segment.
        segment: SegmentId,
        /// The error of the operating system.
        source: io::Error,
    },
}

/// Iterator over the records of one segment. Holds at most one record and a window of 64 KiB.
pub struct SegmentReader {
    header: Header,
    seed: u32,
    window: Window,
    place: Place,
    /// Index the next record will have.
    next_index: u32,
    /// Records the segment is known to hold; unknown only to recovery.
    n_records: Option<u32>,
    /// The last frame that was met, whatever became of its records.
    last_frame: FrameSpan,
}

/// Where a frame lies, for recovery to cut before or after.
#[derive(Clone, Copy)]
pub(super) struct FrameSpan {
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) first_index: u32,
    pub(super) end_index: u32,
    pub(super) kind: FrameKind,
}

enum Place {
    /// Before a frame.
    Between(u64),
    /// Inside a group, before the record at the offset.
    Inside {
        offset: u64,
        end: u64,
        end_index: u32,
    },
    Done,
}

impl SegmentReader {
    /// Reads the first `length` bytes of `file`, or fewer if it turns out shorter.
    pub(super) fn new(
        file: Box<dyn SpoolFile>,
        header: Header,
        length: u64,
        n_records: Option<u32>,
    ) -> io::Result<Self> {
        let length = file.size()?.min(length);
        let start = HEADER_BYTES as u64;
        Ok(Self {
            header,
            seed: header.seed(),
            window: Window {
                file,
                length,
                start: 0,
                bytes: Vec::new(),
            },
            place: Place::Between(start),
            next_index: 0,
            n_records,
            last_frame: FrameSpan {
                start,
                end: start,
                first_index: 0,
                end_index: 0,
                kind: FrameKind::Group,
            },
        })
    }

    /// Returns where the last frame met so far lies; an empty span after the header if none was.
    pub(super) fn last_frame(&self) -> FrameSpan {
        self.last_frame
    }

    /// Returns the bytes of the segment that are there.
    pub(super) fn length(&self) -> u64 {
        self.window.length
    }

    /// Returns the incarnation the segment was written under. Batch ids are made of this one, not
    /// of the spool's, which is another if the identity file was lost in between.
    pub fn incarnation(&self) -> u64 {
        self.header.incarnation
    }

    /// Returns when the segment was created, milliseconds since 1970 UTC.
    pub fn created_unix_ms(&self) -> i64 {
        self.header.created_unix_ms
    }

    #[cfg(test)]
    pub(super) fn window_capacity(&self) -> usize {
        self.window.bytes.capacity()
    }

    fn step(&mut self) -> io::Result<Option<Result<Record, Damage>>> {
        loop {
            match self.place {
                Place::Between(offset) => {
                    if let Some(damage) = self.enter_frame(offset)? {
                        return Ok(Some(Err(damage)));
                    }
                }
                Place::Inside {
                    offset,
                    end,
                    end_index,
                } => {
                    if self.next_index == end_index {
                        self.leave_group(end);
                        continue;
                    }
                    return self.take_record(offset, end, end_index).map(Some);
                }
                Place::Done => return Ok(None),
            }
        }
    }

    /// Moves on from between two frames; returns the damage that was met on the way.
    fn enter_frame(&mut self, offset: u64) -> io::Result<Option<Damage>> {
        let Some((at, frame)) = self.find_frame(offset)? else {
            self.place = Place::Done;
            let missing = self.next_index..self.n_records.unwrap_or(self.next_index);
            let rest = offset..self.window.length.max(offset);
            if missing.is_empty() && rest.is_empty() {
                return Ok(None);
            }
            let reason = if rest.is_empty() {
                DamageReason::Truncated
            } else {
                DamageReason::Group
            };
            return Ok(Some(self.damage(missing, rest, reason)));
        };
        let gap = self.next_index..frame.first_index;
        self.next_index = frame.first_index;
        let body = at + FRAME_HEADER_BYTES as u64;
        let end = body + u64::from(frame.body_bytes);
        self.last_frame = FrameSpan {
            start: at,
            end,
            first_index: frame.first_index,
            end_index: frame.end_index(),
            kind: frame.kind,
        };
        self.place = match frame.kind {
            FrameKind::Group => Place::Inside {
                offset: body,
                end,
                end_index: frame.end_index(),
            },
            FrameKind::Seal => Place::Done,
        };
        Ok((at > offset || !gap.is_empty())
            .then(|| self.damage(gap, offset..at, DamageReason::Group)))
    }

    /// Finds the first frame header at or after `offset` that continues this segment. The seeded
    /// checksum makes a chance hit inside a payload as good as impossible.
    fn find_frame(&mut self, offset: u64) -> io::Result<Option<(u64, Frame)>> {
        let mut at = offset;
        while let Some(bytes) = self.window.array::<FRAME_HEADER_BYTES>(at)? {
            match Frame::parse(self.seed, &bytes) {
                Some(frame) if frame.first_index >= self.next_index => {
                    return Ok(Some((at, frame)));
                }
                _ => {}
            }
            at = match self.window.find(&FRAME_MAGIC, at + 1)? {
                Some(at) => at,
                None => break,
            };
        }
        Ok(None)
    }

    fn take_record(
        &mut self,
        offset: u64,
        end: u64,
        end_index: u32,
    ) -> io::Result<Result<Record, Damage>> {
        let index = self.next_index;
        if let Some((header, next)) = self.record_at(offset, end)? {
            let payload = self
                .window
                .slice(offset + RECORD_HEADER_BYTES as u64, next)?;
            let sound = payload.filter(|payload| header.matches(self.seed, payload));
            if let Some(payload) = sound {
                let record = Record {
                    index,
                    kind: header.kind,
                    payload: payload.to_vec(),
                };
                self.next_index += 1;
                self.place = Place::Inside {
                    offset: next,
                    end,
                    end_index,
                };
                return Ok(Ok(record));
            }
            // The length may be part of the damage. It held if a sound record, or the group's end
            // after its last record, stands where it leads.
            let last = index + 1 == end_index;
            if (last && next == end) || (!last && self.is_sound(next, end)?) {
                self.next_index += 1;
                self.place = Place::Inside {
                    offset: next,
                    end,
                    end_index,
                };
                return Ok(Err(self.damage(
                    index..index + 1,
                    offset..next,
                    DamageReason::Record,
                )));
            }
        }
        let reached = end.min(self.window.length);
        let reason = if reached < end {
            DamageReason::Truncated
        } else {
            DamageReason::Record
        };
        self.next_index = end_index;
        self.leave_group(end);
        Ok(Err(self.damage(
            index..end_index,
            offset..reached.max(offset),
            reason,
        )))
    }

    /// Returns the header of the record at `offset` and where the next one starts, if its length
    /// stays inside the group.
    fn record_at(&mut self, offset: u64, end: u64) -> io::Result<Option<(RecordHeader, u64)>> {
        let Some(bytes) = self.window.array::<RECORD_HEADER_BYTES>(offset)? else {
            return Ok(None);
        };
        let header = RecordHeader::parse(&bytes);
        let next = offset + (RECORD_HEADER_BYTES + header.payload_bytes) as u64;
        Ok((header.is_plausible() && next <= end).then_some((header, next)))
    }

    fn is_sound(&mut self, offset: u64, end: u64) -> io::Result<bool> {
        let Some((header, next)) = self.record_at(offset, end)? else {
            return Ok(false);
        };
        let payload = self
            .window
            .slice(offset + RECORD_HEADER_BYTES as u64, next)?;
        Ok(payload.is_some_and(|payload| header.matches(self.seed, payload)))
    }

    fn leave_group(&mut self, end: u64) {
        self.place = Place::Between(end);
    }

    fn damage(&self, indexes: Range<u32>, bytes: Range<u64>, reason: DamageReason) -> Damage {
        Damage {
            segment: self.header.id,
            indexes,
            bytes,
            reason,
        }
    }
}

impl Iterator for SegmentReader {
    type Item = Result<Record, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.step() {
            Ok(item) => item.map(|item| item.map_err(ReadError::Damage)),
            Err(source) => {
                self.place = Place::Done;
                Some(Err(ReadError::Io {
                    segment: self.header.id,
                    source,
                }))
            }
        }
    }
}

/// The part of the file that is in memory.
struct Window {
    file: Box<dyn SpoolFile>,
    /// Bytes of the file that belong to the segment.
    length: u64,
    start: u64,
    bytes: Vec<u8>,
}

impl Window {
    /// Returns the bytes from `start` to `end`, or `None` if the segment does not reach that far.
    fn slice(&mut self, start: u64, end: u64) -> io::Result<Option<&[u8]>> {
        if end > self.length {
            return Ok(None);
        }
        if start < self.start || end > self.start + self.bytes.len() as u64 {
            // `end - start` is at most one record: callers ask for a header or a payload.
            let want = ((end - start) as usize).max(WINDOW_BYTES);
            self.bytes
                .resize(want.min((self.length - start) as usize), 0);
            let n = self.file.read_at(&mut self.bytes, start)?;
            self.bytes.truncate(n);
            self.start = start;
            if self.bytes.capacity() > 2 * (MAX_PAYLOAD_BYTES + WINDOW_BYTES) {
                self.bytes.shrink_to(WINDOW_BYTES);
            }
        }
        let from = (start - self.start) as usize;
        Ok(self.bytes.get(from..from + (end - start) as usize))
    }

    fn array<const N: usize>(&mut self, start: u64) -> io::Result<Option<[u8; N]>> {
        let slice = self.slice(start, start + N as u64)?;
        Ok(slice.map(|slice| {
            let mut array = [0; N];
            array.copy_from_slice(slice);
            array
        }))
    }

    /// Returns the offset of the next occurrence of `needle` at or after `from`.
    fn find(&mut self, needle: &[u8; 4], mut from: u64) -> io::Result<Option<u64>> {
        while from + needle.len() as u64 <= self.length {
            let end = (from + WINDOW_BYTES as u64).min(self.length);
            let Some(slice) = self.slice(from, end)? else {
                return Ok(None);
            };
            if let Some(at) = slice
                .windows(needle.len())
                .position(|bytes| bytes == needle)
            {
                return Ok(Some(from + at as u64));
            }
            // The last bytes stay: the needle may lie across the edge.
            from = end - needle.len() as u64 + 1;
        }
        Ok(None)
    }
}
