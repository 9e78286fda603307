//! Bytes of a record and of the frame around a group of records.
//!
//! In: kind and payload. Out: bytes for the segment file, and back again, checked. A checksum that
//! matches means the bytes are the ones that were written: it is seeded with the spool's random
//! incarnation, so that a payload cannot contain bytes that pass for a record or a frame.
//!
//! **On-disk layout: never edit, only add a version** (see the table in the module doc of
//! [`spool`](super)). Segments written by an older brine must stay readable.

use std::fmt;

/// What a payload is. The spool carries it along and never looks inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RecordKind(pub u8);

/// One record read back from a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Place in the segment, from 0; the same at every reading.
    pub index: u32,
    /// The kind given to `append`.
    pub kind: RecordKind,
    /// The bytes given to `append`.
    pub payload: Vec<u8>,
}

/// Number of a segment: grows by creation, starts at 1, below 2^48, never used twice in a directory.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentId(pub(super) u64);

impl SegmentId {
    /// Takes a number that [`as_u64`](SegmentId::as_u64) gave.
    pub fn from_u64(number: u64) -> SegmentId {
        SegmentId(number)
    }

    /// Returns the number, 1 to 2^48 - 1.
    pub fn as_u64(self) -> u64 {
        self.0
    }
}

impl fmt::Display for SegmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:012x}", self.0)
    }
}

impl fmt::Debug for SegmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SegmentId({self})")
    }
}

/// Largest payload of one record. Events are a few hundred bytes; the bound keeps the memory of a
/// reader known and makes a damaged length field easy to tell.
pub const MAX_PAYLOAD_BYTES: usize = 1 << 20;

/// Length, checksum and kind that stand before each payload.
pub(super) const RECORD_HEADER_BYTES: usize = 9;

/// Turns an incarnation into the start value of every checksum of that spool.
pub(super) fn seed(incarnation: u64) -> u32 {
    crc32c::crc32c(&incarnation.to_le_bytes())
}

/// Returns the bytes that stand before `payload`, which is at most [`MAX_PAYLOAD_BYTES`] long.
pub(super) fn record_header(
    seed: u32,
    kind: RecordKind,
    payload: &[u8],
) -> [u8; RECORD_HEADER_BYTES] {
    let length = (payload.len() as u32).to_le_bytes();
    let mut header = [0; RECORD_HEADER_BYTES];
    header[..4].copy_from_slice(&length);
    header[4..8].copy_from_slice(&checksum(seed, &length, kind, payload).to_le_bytes());
    header[8] = kind.0;
    header
}

/// A record header as found: a claim until [`RecordHeader::matches`] has seen the payload.
#[derive(Clone, Copy)]
pub(super) struct RecordHeader {
    pub(super) payload_bytes: usize,
    pub(super) kind: RecordKind,
    checksum: u32,
}

impl RecordHeader {
    pub(super) fn parse(bytes: &[u8; RECORD_HEADER_BYTES]) -> Self {
        Self {
            payload_bytes: u32_at(bytes, 0) as usize,
            checksum: u32_at(bytes, 4),
            kind: RecordKind(bytes[8]),
        }
    }

    /// True if the claimed length is one that `append` would have let in.
    pub(super) fn is_plausible(&self) -> bool {
        self.payload_bytes <= MAX_PAYLOAD_BYTES
    }

    pub(super) fn matches(&self, seed: u32, payload: &[u8]) -> bool {
        let length = (self.payload_bytes as u32).to_le_bytes();
        self.checksum == checksum(seed, &length, self.kind, payload)
    }
}

/// The checksum covers length and kind as well: a record is never read under another kind.
fn checksum(seed: u32, length: &[u8; 4], kind: RecordKind, payload: &[u8]) -> u32 {
    let head = [kind.0, length[0], length[1], length[2], length[3]];
    crc32c::crc32c_append(crc32c::crc32c_append(seed, &head), payload)
}

/// Bytes of a frame header.
pub(super) const FRAME_HEADER_BYTES: usize = 24;
/// The first bytes of every frame; a reader that lost its way looks for them.
pub(super) const FRAME_MAGIC: [u8; 4] = *b"brGR";

/// The two things a segment holds after its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FrameKind {
    /// Records that were committed with one fdatasync.
    Group,
    /// End of a sealed segment; `first_index` is the number of records in it.
    Seal,
}

/// Header of a frame: how far it reaches and which records it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) kind: FrameKind,
    /// Bytes after this header that belong to the frame.
    pub(super) body_bytes: u32,
    pub(super) first_index: u32,
    pub(super) n_records: u32,
}

impl Frame {
    pub(super) fn seal(n_records: u32) -> Self {
        Self {
            kind: FrameKind::Seal,
            body_bytes: 0,
            first_index: n_records,
            n_records: 0,
        }
    }

    pub(super) fn to_bytes(self, seed: u32) -> [u8; FRAME_HEADER_BYTES] {
        let mut bytes = [0; FRAME_HEADER_BYTES];
        bytes[..4].copy_from_slice(&FRAME_MAGIC);
        bytes[4] = match self.kind {
            FrameKind::Group => 1,
            FrameKind::Seal => 2,
        };
        bytes[8..12].copy_from_slice(&self.body_bytes.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.first_index.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.n_records.to_le_bytes());
        let checksum = crc32c::crc32c_append(seed, &bytes[..20]);
        bytes[20..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Returns `None` if the bytes are not a frame header of this spool.
    pub(super) fn parse(seed: u32, bytes: &[u8; FRAME_HEADER_BYTES]) -> Option<Self> {
        let sound = bytes[..4] == FRAME_MAGIC
            && u32_at(bytes, 20) == crc32c::crc32c_append(seed, &bytes[..20]);
        let kind = match bytes[4] {
            1 => FrameKind::Group,
            2 => FrameKind::Seal,
            _ => return None,
        };
        sound.then(|| Self {
            kind,
            body_bytes: u32_at(bytes, 8),
            first_index: u32_at(bytes, 12),
            n_records: u32_at(bytes, 16),
        })
    }

    /// First index after the records of this frame.
    pub(super) fn end_index(&self) -> u32 {
        self.first_index.saturating_add(self.n_records)
    }
}

/// Reads four bytes at a place the caller knows to be inside `bytes`.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

/// Reads eight bytes at a place the caller knows to be inside `bytes`.
pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn record_checksum_covers_length_kind_payload_and_incarnation() {
        let payload = b"an event";
        let header = record_header(seed(7), RecordKind(1), payload);
        let parsed = RecordHeader::parse(&header);
        assert!(parsed.matches(seed(7), payload));
        assert!(!parsed.matches(seed(8), payload), "another incarnation");
        assert!(!parsed.matches(seed(7), b"an Event"), "another payload");
        assert!(
            !RecordHeader {
                kind: RecordKind(2),
                ..parsed
            }
            .matches(seed(7), payload)
        );
        assert!(
            !RecordHeader {
                payload_bytes: 9,
                ..parsed
            }
            .matches(seed(7), payload)
        );
    }

    #[test]
    fn zeros_are_neither_record_nor_frame() {
        let record = RecordHeader::parse(&[0; RECORD_HEADER_BYTES]);
        for incarnation in 0..1000 {
            assert!(!record.matches(seed(incarnation), b""));
            assert_eq!(
                Frame::parse(seed(incarnation), &[0; FRAME_HEADER_BYTES]),
                None
            );
        }
    }

    #[test]
    fn frame_reads_back_and_any_flipped_bit_shows() {
        let frame = Frame {
            kind: FrameKind::Group,
            body_bytes: 500,
            first_index: 9,
            n_records: 3,
        };
        let bytes = frame.to_bytes(seed(1));
        assert_eq!(Frame::parse(seed(1), &bytes), Some(frame));
        for bit in 0..FRAME_HEADER_BYTES * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Frame::parse(seed(1), &flipped), None, "bit {bit}");
        }
    }
}
