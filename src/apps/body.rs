//! A body as it came → its bytes, unpacked. In: bytes under the limit, and `Content-Encoding` (RFC 9110, section 8.4). Out: at most
//! as many bytes again as the limit says: a small body cannot become a large one, in memory or in time.

use std::io::Read;

use bytes::Bytes;
use flate2::read::{MultiGzDecoder, ZlibDecoder};

use crate::outcome::Outcome;

/// zstd's window is memory that the sender asks for; 1 MiB holds any body that is let in (RFC 8878, section 3.1.1.1.2).
const ZSTD_WINDOW_LOG: u32 = 20;

/// Unpacks a body. Takes a few milliseconds at most, which is what `limit_bytes` of output cost.
///
/// # Errors
/// `beacon.encoding`, `beacon.too_large`, `beacon.malformed`, with the reason.
pub fn unpack(
    body: Bytes,
    encoding: Option<&str>,
    limit_bytes: usize,
) -> Result<Bytes, (Outcome, String)> {
    let encoding = encoding.unwrap_or_default().trim();
    let is = |name: &str| encoding.eq_ignore_ascii_case(name);
    if encoding.is_empty() || is("identity") {
        return Ok(body);
    }
    if is("gzip") || is("x-gzip") {
        read(MultiGzDecoder::new(&body[..]), limit_bytes)
    } else if is("deflate") {
        read(ZlibDecoder::new(&body[..]), limit_bytes)
    } else if is("zstd") {
        let mut decoder = zstd::Decoder::with_buffer(&body[..]).map_err(|e| broken(&e))?;
        decoder
            .window_log_max(ZSTD_WINDOW_LOG)
            .map_err(|e| broken(&e))?;
        read(decoder, limit_bytes)
    } else {
        Err((
            Outcome::BeaconEncoding,
            "send gzip, deflate, zstd or plain".into(),
        ))
    }
}

fn read(from: impl Read, limit_bytes: usize) -> Result<Bytes, (Outcome, String)> {
    let mut bytes = Vec::with_capacity(limit_bytes.min(16 << 10));
    from.take(limit_bytes as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| broken(&e))?;
    if bytes.len() > limit_bytes {
        return Err((
            Outcome::BeaconTooLarge,
            format!("more than {limit_bytes} bytes unpacked"),
        ));
    }
    Ok(bytes.into())
}

fn broken(error: &std::io::Error) -> (Outcome, String) {
    (
        Outcome::BeaconMalformed,
        format!("cannot be unpacked: {error}"),
    )
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::{GzEncoder, ZlibEncoder};
    use proptest::prelude::*;

    use super::*;

    fn gzip(bytes: &[u8]) -> Bytes {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap().into()
    }

    #[test]
    fn each_encoding_is_unpacked_and_bounded() {
        let text = vec![b'a'; 1_000];
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
        zlib.write_all(&text).unwrap();
        for (packed, name) in [
            (gzip(&text), "gzip"),
            (zlib.finish().unwrap().into(), "deflate"),
            (zstd::encode_all(&text[..], 3).unwrap().into(), "zstd"),
            (Bytes::from(text.clone()), "identity"),
        ] {
            assert_eq!(
                unpack(packed.clone(), Some(name), 1_000).unwrap(),
                text,
                "{name}"
            );
            if name != "identity" {
                assert_eq!(
                    unpack(packed.clone(), Some(name), 999).unwrap_err().0,
                    Outcome::BeaconTooLarge
                );
                let cut = packed.slice(..packed.len() - 1);
                assert_eq!(
                    unpack(cut, Some(name), 1_000).unwrap_err().0,
                    Outcome::BeaconMalformed,
                    "{name}"
                );
            }
        }
        assert_eq!(
            unpack(Bytes::new(), Some("br"), 9).unwrap_err().0,
            Outcome::BeaconEncoding
        );
    }

    /// 64 MiB of zeros in 64 KiB: a bomb is never unpacked beyond the limit.
    #[test]
    fn a_bomb_costs_no_more_than_the_limit() {
        let zeros = vec![0; 64 << 20];
        for (bomb, name) in [
            (gzip(&zeros), "gzip"),
            (zstd::encode_all(&zeros[..], 19).unwrap().into(), "zstd"),
        ] {
            let (outcome, _) = unpack(bomb, Some(name), 1 << 20).unwrap_err();
            // zstd may refuse the window already.
            assert!(
                matches!(outcome, Outcome::BeaconTooLarge | Outcome::BeaconMalformed),
                "{name}"
            );
        }
    }

    proptest! {
        #[test]
        fn unpacking_is_total(bytes in proptest::collection::vec(any::<u8>(), 0..200), name in "gzip|deflate|zstd") {
            drop(unpack(bytes.into(), Some(&name), 1_000));
        }
    }
}
