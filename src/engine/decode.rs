//! Takes request bodies out of their compression.
//!
//! In: a body and its codings: `Content-Encoding` (gzip, zstd, LZ4 frame) and, inside of it,
//! ClickHouse's own compressed blocks (`decompress=1`). Out: plain bytes, a block at a time.
//! Promised: a body that is cut anywhere inside a compressed unit is an error, also where the HTTP
//! body itself ended properly.

use std::io::{self, BufRead, Read};

use bytes::Bytes;
use cityhash_rs::cityhash_102_128;
use flate2::bufread::GzDecoder;
use lz4_flex::{block, frame::FrameDecoder};

use super::body::BodyReader;

/// Largest compressed block that is taken in, before and after decompression. Clients send 1 MiB
/// and less; ClickHouse itself allows 1 GiB, which is a quarter of the memory of the machines brine
/// is meant for.
const BLOCK_BYTES: u32 = 64 << 20;

/// Bytes before a block's data: method, compressed size with these nine, decompressed size.
pub(super) const BLOCK_HEADER_BYTES: usize = 9;

/// Method bytes of ClickHouse's blocks (`CompressionMethodByte`).
pub(super) mod method {
    pub(crate) const NONE: u8 = 0x02;
    pub(crate) const LZ4: u8 = 0x82;
    pub(crate) const ZSTD: u8 = 0x90;
}

/// A `Content-Encoding` brine speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Coding {
    /// As it is.
    #[default]
    Identity,
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
    /// The LZ4 frame format, which clients call `lz4`.
    Lz4,
}

impl Coding {
    /// Returns the coding of a header's token, `None` if brine does not speak it.
    #[must_use]
    pub fn parse(token: &str) -> Option<Self> {
        match token.trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Some(Self::Identity),
            "gzip" | "x-gzip" => Some(Self::Gzip),
            "zstd" => Some(Self::Zstd),
            "lz4" => Some(Self::Lz4),
            _ => None,
        }
    }

    /// Returns the token, `None` for [`Self::Identity`], which needs no header.
    #[must_use]
    pub fn token(self) -> Option<&'static str> {
        match self {
            Self::Identity => None,
            Self::Gzip => Some("gzip"),
            Self::Zstd => Some("zstd"),
            Self::Lz4 => Some("lz4"),
        }
    }
}

/// A request's data, decompressed.
pub(super) struct Data {
    stage: Stage,
    // Decompressed by `Blocks`, not yet handed out.
    block: Vec<u8>,
    at: usize,
    blocks: bool,
}

struct Stage {
    decoder: Decoder,
    between: bool,
}

enum Decoder {
    Identity(BodyReader),
    Gzip(Members),
    Zstd(Box<zstd::stream::read::Decoder<'static, BodyReader>>),
    Lz4(Box<FrameDecoder<Endless<BodyReader>>>),
}

impl Data {
    /// Reads `body` through `coding`, then through ClickHouse's blocks if `blocks`.
    pub(super) fn new(body: BodyReader, coding: Coding, blocks: bool) -> io::Result<Self> {
        let decoder = match coding {
            Coding::Identity => Decoder::Identity(body),
            Coding::Gzip => Decoder::Gzip(Members::Between(body)),
            Coding::Zstd => {
                Decoder::Zstd(Box::new(zstd::stream::read::Decoder::with_buffer(body)?))
            }
            Coding::Lz4 => Decoder::Lz4(Box::new(FrameDecoder::new(Endless(body)))),
        };
        let stage = Stage {
            decoder,
            between: true,
        };
        Ok(Self {
            stage,
            block: Vec::new(),
            at: 0,
            blocks,
        })
    }

    /// Reads and checks the next of ClickHouse's blocks; `false` at the end of the body.
    fn next_block(&mut self) -> io::Result<bool> {
        let mut head = [0_u8; 16 + BLOCK_HEADER_BYTES];
        let first = self.stage.read(&mut head)?;
        if first == 0 {
            return Ok(false);
        }
        self.stage.read_exact(&mut head[first..])?;
        let (checksum, header) = head.split_at(16);
        let number = |at: usize| {
            u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
        };
        let (packed, plain) = (number(1), number(5));
        if !(9..=BLOCK_BYTES).contains(&packed) || plain > BLOCK_BYTES {
            return Err(bad("the sizes of a compressed block are out of range"));
        }
        let mut bytes = header.to_vec();
        bytes.resize(packed as usize, 0);
        self.stage.read_exact(&mut bytes[BLOCK_HEADER_BYTES..])?;
        if block_checksum(&bytes) != checksum {
            return Err(bad("the checksum of a compressed block does not match"));
        }
        self.block.clear();
        self.block.resize(plain as usize, 0);
        self.at = 0;
        let data = &bytes[BLOCK_HEADER_BYTES..];
        let n_bytes = match header[0] {
            method::NONE if data.len() == self.block.len() => {
                self.block.copy_from_slice(data);
                data.len()
            }
            method::LZ4 => block::decompress_into(data, &mut self.block)
                .map_err(|_| bad("a compressed block is damaged"))?,
            method::ZSTD => zstd::bulk::decompress_to_buffer(data, &mut self.block[..])?,
            _ => return Err(bad("a compressed block is of an unknown kind")),
        };
        if n_bytes != self.block.len() {
            return Err(bad("a compressed block is shorter than it says"));
        }
        Ok(true)
    }
}

impl Read for Data {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !self.blocks {
            return self.stage.read(buffer);
        }
        while self.at == self.block.len() {
            if !self.next_block()? {
                return Ok(0);
            }
        }
        let n_bytes = buffer.len().min(self.block.len() - self.at);
        buffer[..n_bytes].copy_from_slice(&self.block[self.at..self.at + n_bytes]);
        self.at += n_bytes;
        Ok(n_bytes)
    }
}

impl Stage {
    fn body(&mut self) -> &mut BodyReader {
        match &mut self.decoder {
            Decoder::Identity(body) => body,
            Decoder::Gzip(Members::Between(body)) => body,
            Decoder::Gzip(Members::Inside(decoder)) => &mut decoder.get_mut().0,
            Decoder::Zstd(decoder) => decoder.get_mut(),
            Decoder::Lz4(decoder) => &mut decoder.get_mut().0,
        }
    }
}

impl Read for Stage {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            // Between compressed units, and only there, the body may end. This also waits for the
            // body to say so: what a decoder takes for the end is not enough.
            if self.between && self.body().fill_buf()?.is_empty() {
                return Ok(0);
            }
            let n_bytes = match &mut self.decoder {
                Decoder::Identity(body) => return body.read(buffer),
                Decoder::Gzip(members) => members.read(buffer)?,
                Decoder::Zstd(decoder) => decoder.read(buffer)?,
                Decoder::Lz4(decoder) => decoder.read(buffer)?,
            };
            self.between = n_bytes == 0;
            if n_bytes > 0 {
                return Ok(n_bytes);
            }
        }
    }
}

/// A gzip file is a row of members (RFC 1952 section 2.2). flate2's own loop over them takes a
/// header that is cut off for an end; its decoder of one member reads the header when it is made.
enum Members {
    Between(BodyReader),
    Inside(Box<GzDecoder<Endless<BodyReader>>>),
}

impl Read for Members {
    /// Called between members only if there is another one.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let none = || BodyReader::full(Bytes::new());
        if let Self::Between(body) = self {
            let body = std::mem::replace(body, none());
            *self = Self::Inside(Box::new(GzDecoder::new(Endless(body))));
        }
        let Self::Inside(decoder) = self else {
            return Ok(0);
        };
        let n_bytes = decoder.read(buffer)?;
        if n_bytes == 0 {
            let body = std::mem::replace(&mut decoder.get_mut().0, none());
            *self = Self::Between(body);
        }
        Ok(n_bytes)
    }
}

/// Makes the end of a body an error, for decoders that find an end where none may be: lz4_flex
/// takes one where a block should begin for the end of the frame. With this they never see one.
struct Endless<R>(R);

impl<R: BufRead> BufRead for Endless<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        match self.0.fill_buf()? {
            [] => Err(bad("the compressed body is cut off")),
            bytes => Ok(bytes),
        }
    }

    fn consume(&mut self, amount: usize) {
        self.0.consume(amount);
    }
}

impl<R: Read> Read for Endless<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer)? {
            0 if !buffer.is_empty() => Err(bad("the compressed body is cut off")),
            n_bytes => Ok(n_bytes),
        }
    }
}

/// The checksum in front of a block, over its header and data (CityHash 1.0.2, high half first).
pub(super) fn block_checksum(bytes: &[u8]) -> [u8; 16] {
    cityhash_102_128(bytes).rotate_right(64).to_le_bytes()
}

fn bad(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
