//! Puts answers into the compression the client asked for.
//!
//! In: chunks of an answer. Out: bytes to send, complete after each chunk, so that what the engine
//! has computed reaches the client while the rest is on its way. The sinks are vectors: no encoder
//! can be stopped half-way by a client that is gone (an error inside lz4_flex's encoder panics when
//! it is dropped).

use std::io::{self, Write};

use flate2::write::GzEncoder;
use lz4_flex::{block, frame::FrameEncoder};

use super::decode::{BLOCK_HEADER_BYTES, Coding, block_checksum, method};

/// How much is compressed at once: bounds the memory of an answer whatever the engine's chunks are.
const STEP_BYTES: usize = 256 << 10;

/// zstd's level for answers: a step above its default costs more time than the loopback saves.
const ZSTD_LEVEL: i32 = 1;

/// The way an answer goes out.
pub(super) enum Encoder {
    Identity,
    /// ClickHouse's own blocks (`compress=1`).
    Blocks,
    Gzip(GzEncoder<Vec<u8>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
    Lz4(Box<FrameEncoder<Vec<u8>>>),
}

impl Encoder {
    pub(super) fn new(coding: Coding, blocks: bool) -> io::Result<Self> {
        Ok(match coding {
            _ if blocks => Self::Blocks,
            Coding::Identity => Self::Identity,
            Coding::Gzip => Self::Gzip(GzEncoder::new(Vec::new(), flate2::Compression::fast())),
            Coding::Zstd => Self::Zstd(zstd::stream::write::Encoder::new(Vec::new(), ZSTD_LEVEL)?),
            Coding::Lz4 => Self::Lz4(Box::new(FrameEncoder::new(Vec::new()))),
        })
    }

    /// Encodes `data` in steps and hands each step's bytes to `send`, until that refuses.
    pub(super) fn encode<E: From<io::Error>>(
        &mut self,
        data: &[u8],
        mut send: impl FnMut(Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        for step in data.chunks(STEP_BYTES) {
            let bytes = self.step(step)?;
            if !bytes.is_empty() {
                send(bytes)?;
            }
        }
        Ok(())
    }

    fn step(&mut self, data: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            Self::Identity => Ok(data.to_vec()),
            Self::Blocks => Ok(compress_block(data)),
            Self::Gzip(encoder) => {
                encoder.write_all(data)?;
                encoder.flush()?;
                Ok(std::mem::take(encoder.get_mut()))
            }
            Self::Zstd(encoder) => {
                encoder.write_all(data)?;
                encoder.flush()?;
                Ok(std::mem::take(encoder.get_mut()))
            }
            Self::Lz4(encoder) => {
                encoder.write_all(data)?;
                encoder.flush()?;
                Ok(std::mem::take(encoder.get_mut()))
            }
        }
    }

    /// Returns the bytes that close the compressed stream.
    pub(super) fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Self::Identity | Self::Blocks => Ok(Vec::new()),
            Self::Gzip(encoder) => encoder.finish(),
            Self::Zstd(encoder) => encoder.finish(),
            Self::Lz4(encoder) => encoder.finish().map_err(io::Error::from),
        }
    }
}

/// One of ClickHouse's compressed blocks: checksum, method, sizes, LZ4 data.
fn compress_block(data: &[u8]) -> Vec<u8> {
    let packed = block::compress(data);
    let size = |n_bytes: usize| u32::try_from(n_bytes).unwrap_or(u32::MAX).to_le_bytes();
    let mut bytes = vec![0; 16];
    bytes.push(method::LZ4);
    // Both fit: a step is far below 4 GiB, and LZ4 grows data by less than one part in 250.
    bytes.extend_from_slice(&size(packed.len() + BLOCK_HEADER_BYTES));
    bytes.extend_from_slice(&size(data.len()));
    bytes.extend_from_slice(&packed);
    let checksum = block_checksum(&bytes[16..]);
    bytes[..16].copy_from_slice(&checksum);
    bytes
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use proptest::prelude::*;

    use super::{
        super::{body::BodyReader, decode::Data},
        *,
    };

    const WAYS: [(Coding, bool); 5] = [
        (Coding::Identity, false),
        (Coding::Identity, true),
        (Coding::Gzip, false),
        (Coding::Zstd, false),
        (Coding::Lz4, false),
    ];

    fn encoded(way: (Coding, bool), chunks: &[&[u8]]) -> Vec<u8> {
        let mut encoder = Encoder::new(way.0, way.1).unwrap();
        let mut bytes = Vec::new();
        for chunk in chunks {
            let keep = |step: Vec<u8>| {
                bytes.extend(step);
                io::Result::Ok(())
            };
            encoder.encode(chunk, keep).unwrap();
        }
        bytes.extend(encoder.finish().unwrap());
        bytes
    }

    fn decoded((coding, blocks): (Coding, bool), bytes: &[u8]) -> io::Result<Vec<u8>> {
        let body = BodyReader::full(bytes.to_vec().into());
        let mut plain = Vec::new();
        Data::new(body, coding, blocks)?
            .read_to_end(&mut plain)
            .map(|_| plain)
    }

    proptest! {
        #[test]
        fn every_way_gives_back_what_went_in(data in proptest::collection::vec(any::<u8>(), 0..5000), at in 0_usize..5000) {
            let (a, b) = data.split_at(at.min(data.len()));
            for way in WAYS {
                prop_assert_eq!(&decoded(way, &encoded(way, &[a, b])).unwrap(), &data);
            }
        }
    }

    #[test]
    fn body_cut_anywhere_inside_its_compression_is_an_error() {
        let data: Vec<u8> = (0..3000_u32)
            .flat_map(|n| (n % 251).to_le_bytes())
            .collect();
        for way in &WAYS[1..] {
            let whole = encoded(*way, &[&data[..5000], &data[5000..]]);
            for end in 1..whole.len() {
                let cut = decoded(*way, &whole[..end]);
                // A cut between two of ClickHouse's blocks cannot be told from an end; HTTP must.
                let boundary = way.1 && cut.as_ref().is_ok_and(|plain| plain.len() == 5000);
                assert!(
                    boundary || cut.is_err(),
                    "{way:?} cut at {end} of {}",
                    whole.len()
                );
            }
        }
    }

    #[test]
    fn concatenated_frames_are_one_body() {
        for way in [WAYS[2], WAYS[3], WAYS[4]] {
            let twice = [encoded(way, &[b"one"]), encoded(way, &[b"two"])].concat();
            assert_eq!(decoded(way, &twice).unwrap(), b"onetwo");
        }
    }

    #[test]
    fn damaged_block_is_refused_by_its_checksum() {
        let mut bytes = encoded(
            WAYS[1],
            &[b"some data that compresses, data that compresses"],
        );
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        assert!(decoded(WAYS[1], &bytes).is_err());
    }

    #[test]
    fn block_that_claims_gigabytes_is_refused_before_they_are_allocated() {
        let mut bytes = encoded(WAYS[1], &[b"abc"]);
        bytes[21..25].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(decoded(WAYS[1], &bytes).is_err());
    }
}
