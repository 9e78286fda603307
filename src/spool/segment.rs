//! A segment file: its name, its header, and the one that is being written.
//!
//! In: groups of encoded records. Out: a file whose every group is durable before its records are
//! acknowledged, and which ends, once sealed, with a frame that says how many records it holds.
//! Layout: module doc of [`spool`](super).

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::fs::{Filesystem, SpoolFile};
use super::record::{self, FRAME_HEADER_BYTES, Frame, FrameKind, SegmentId, u32_at, u64_at};

/// Version of the segment layout written, and the newest one read.
pub(super) const VERSION: u16 = 1;
const MAGIC: [u8; 8] = *b"brineseg";
pub(super) const HEADER_BYTES: usize = 48;
/// Copies go through a buffer of this size.
pub(super) const COPY_BYTES: u64 = 64 << 10;
const EXTENSION: &str = ".seg";

/// Returns the path of segment `id` in `dir`.
pub(super) fn path(dir: &Path, id: SegmentId) -> PathBuf {
    dir.join(format!("{id}{EXTENSION}"))
}

/// Returns the id if `name` is that of a segment file.
pub(super) fn id_of(name: &str) -> Option<SegmentId> {
    let digits = name.strip_suffix(EXTENSION)?;
    let id = u64::from_str_radix(digits, 16).ok()?;
    // The round trip refuses other spellings of the same number.
    (id != 0 && format!("{:012x}", id) == digits).then_some(SegmentId(id))
}

/// The first bytes of a segment file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Key the payloads are encrypted with; 0: none. No other value is written yet.
    pub(super) key_id: u32,
    pub(super) incarnation: u64,
    pub(super) id: SegmentId,
    /// Milliseconds since 1970 UTC: when the first record was about to be written.
    pub(super) created_unix_ms: i64,
}

/// What the first bytes of a file turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ParsedHeader {
    Sound(Header),
    /// Written by a newer brine.
    Version(u16),
    Damaged,
}

impl Header {
    pub(super) fn seed(&self) -> u32 {
        record::seed(self.incarnation)
    }

    pub(super) fn to_bytes(self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..10].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.key_id.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.incarnation.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.id.0.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.created_unix_ms.to_le_bytes());
        let checksum = crc32c::crc32c(&bytes[..44]);
        bytes[44..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// The place of magic, version and checksum is the same in every version, so that a newer
    /// layout is told from a damaged one.
    pub(super) fn parse(bytes: &[u8; HEADER_BYTES]) -> ParsedHeader {
        if bytes[..8] != MAGIC || u32_at(bytes, 44) != crc32c::crc32c(&bytes[..44]) {
            return ParsedHeader::Damaged;
        }
        let version = u16::from_le_bytes([bytes[8], bytes[9]]);
        if version != VERSION {
            return ParsedHeader::Version(version);
        }
        ParsedHeader::Sound(Self {
            key_id: u32_at(bytes, 12),
            incarnation: u64_at(bytes, 16),
            id: SegmentId(u64_at(bytes, 24)),
            created_unix_ms: u64_at(bytes, 32) as i64,
        })
    }

    /// Reads the header of `file`; a file shorter than a header counts as damaged.
    pub(super) fn read(file: &dyn SpoolFile) -> io::Result<ParsedHeader> {
        let mut bytes = [0; HEADER_BYTES];
        if file.read_at(&mut bytes, 0)? < HEADER_BYTES {
            return Ok(ParsedHeader::Damaged);
        }
        Ok(Self::parse(&bytes))
    }
}

/// Returns the number of records if the last frame of the `length` bytes is a seal.
pub(super) fn sealed_records(
    file: &dyn SpoolFile,
    seed: u32,
    length: u64,
) -> io::Result<Option<u32>> {
    let Some(at) = length.checked_sub(FRAME_HEADER_BYTES as u64) else {
        return Ok(None);
    };
    let mut bytes = [0; FRAME_HEADER_BYTES];
    if at < HEADER_BYTES as u64 || file.read_at(&mut bytes, at)? < FRAME_HEADER_BYTES {
        return Ok(None);
    }
    Ok(match Frame::parse(seed, &bytes) {
        Some(Frame {
            kind: FrameKind::Seal,
            first_index,
            ..
        }) => Some(first_index),
        _ => None,
    })
}

/// The segment that takes new groups. Owned by the writer thread (and by whoever builds a segment
/// from quarantine); readers see it only when it is complete.
pub(super) struct OpenSegment {
    pub(super) header: Header,
    /// Bytes that are durable. Whatever lies behind them is not part of the segment.
    pub(super) length: u64,
    /// Records in those bytes.
    pub(super) n_records: u32,
    file: Box<dyn SpoolFile>,
}

impl OpenSegment {
    /// Creates the file; its header is durable when this returns. The name is durable only after
    /// the caller has synced the directory.
    pub(super) fn create(fs: &dyn Filesystem, path: &Path, header: Header) -> io::Result<Self> {
        let file = fs.create(path)?;
        file.write_all_at(&header.to_bytes(), 0)?;
        file.sync_data()?;
        Ok(Self {
            header,
            length: HEADER_BYTES as u64,
            n_records: 0,
            file,
        })
    }

    /// Opens a file that recovery has scanned, to cut and to seal it.
    pub(super) fn resume(
        file: Box<dyn SpoolFile>,
        header: Header,
        length: u64,
        n_records: u32,
    ) -> Self {
        Self {
            header,
            length,
            n_records,
            file,
        }
    }

    /// Writes one group and waits until it is durable; returns the index of its first record.
    ///
    /// After an error the segment must be abandoned: neither its tail nor a later sync of the same
    /// file can be trusted.
    pub(super) fn commit(&mut self, bytes: &mut [u8], n_records: u32) -> io::Result<u32> {
        let first_index = self.n_records;
        self.write(bytes, n_records)?;
        if let Err(error) = self.file.sync_data() {
            self.length -= bytes.len() as u64;
            self.n_records = first_index;
            return Err(error);
        }
        Ok(first_index)
    }

    /// Writes one group, durable only after the next `commit` or `seal`. `bytes` starts with room
    /// for a frame header, which is filled in here, so that a group is one write.
    pub(super) fn write(&mut self, bytes: &mut [u8], n_records: u32) -> io::Result<()> {
        let frame = Frame {
            kind: FrameKind::Group,
            body_bytes: (bytes.len() - FRAME_HEADER_BYTES) as u32,
            first_index: self.n_records,
            n_records,
        };
        bytes[..FRAME_HEADER_BYTES].copy_from_slice(&frame.to_bytes(self.header.seed()));
        self.file.write_all_at(bytes, self.length)?;
        self.length += bytes.len() as u64;
        self.n_records += n_records;
        Ok(())
    }

    /// Writes the closing frame and waits until it is durable.
    pub(super) fn seal(&mut self) -> io::Result<()> {
        let frame = Frame::seal(self.n_records).to_bytes(self.header.seed());
        self.file.write_all_at(&frame, self.length)?;
        self.file.sync_data()?;
        self.length += frame.len() as u64;
        Ok(())
    }

    /// Writes a stretch of the segment as it reads now.
    pub(super) fn write_again(&self, bytes: Range<u64>) -> io::Result<()> {
        let mut buffer = vec![0; (bytes.end - bytes.start).min(COPY_BYTES) as usize];
        let mut at = bytes.start;
        while at < bytes.end {
            let n = ((bytes.end - at) as usize).min(buffer.len());
            let n = self.file.read_at(&mut buffer[..n], at)?;
            if n == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.file.write_all_at(&buffer[..n], at)?;
            at += n as u64;
        }
        Ok(())
    }

    /// Waits until everything written is durable.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Cuts off whatever lies behind the durable length. Durable after the next `seal`.
    pub(super) fn cut_tail(&self) -> io::Result<()> {
        self.file.truncate(self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            key_id: 0,
            incarnation: 77,
            id: SegmentId(5),
            created_unix_ms: 1_790_000_000_000,
        }
    }

    #[test]
    fn header_reads_back_and_any_flipped_bit_shows() {
        let bytes = header().to_bytes();
        assert_eq!(Header::parse(&bytes), ParsedHeader::Sound(header()));
        for bit in 0..HEADER_BYTES * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Header::parse(&flipped), ParsedHeader::Damaged, "bit {bit}");
        }
    }

    #[test]
    fn header_of_the_future_is_named() {
        let mut bytes = header().to_bytes();
        bytes[8] = 9;
        let checksum = crc32c::crc32c(&bytes[..44]);
        bytes[44..].copy_from_slice(&checksum.to_le_bytes());
        assert_eq!(Header::parse(&bytes), ParsedHeader::Version(9));
    }

    #[test]
    fn only_our_spelling_is_a_segment_name() {
        assert_eq!(id_of("00000000001f.seg"), Some(SegmentId(31)));
        for name in [
            "1f.seg",
            "00000000001F.seg",
            "000000000000.seg",
            "00000000001f.txt",
            "lock",
        ] {
            assert_eq!(id_of(name), None, "{name}");
        }
    }
}
