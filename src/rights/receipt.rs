//! The receipt: what a visitor keeps to find their own events of one period again.
//!
//! ```text
//! byte  0      format, 1
//!       1..5   site, first 32 bits of a keyed hash of its id
//!       5..7   first local date of the period   (days since 1970-01-01, big endian)
//!       7..9   first local date after it
//!       9..17  the visitor's pseudonym of that site and period
//!      17..33  keyed BLAKE3 of bytes 0..17 and the site's id, first 128 bits
//! ```
//! as unpadded URL-safe base64 (RFC 4648, section 5), 44 characters. **Receipts are kept on devices for as long
//! as events are: never edit this layout, add a format.**
//!
//! brine keeps none. Only who holds the receipts of several periods can tell that these were one visitor. A
//! receipt names one pseudonym, so it opens nobody else's events; whoever has it can use it, as with any key.

use std::fmt;
use std::ops::Range;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq;

use crate::secret::Secret;

const FORMAT: u8 = 1;
const BYTES: usize = 33;
const MAC_AT: usize = 17;
/// Characters of a receipt as text.
pub const RECEIPT_CHARS: usize = 44;

/// What a genuine receipt says.
#[derive(Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Local dates it covers, as days since 1970-01-01.
    pub days: Range<u16>,
    /// The visitor's pseudonym on those days.
    pub visitor: u64,
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Receipt(hidden)")
    }
}

/// Why a receipt is not genuine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReceiptFault {
    /// Not 44 characters of canonical base64, or an unknown format.
    Malformed,
    /// Genuine or not: it names another site.
    OtherSite,
    /// The MAC does not fit.
    Forged,
}

impl ReceiptFault {
    /// Returns the stable code.
    pub fn code(self) -> &'static str {
        match self {
            ReceiptFault::Malformed => "receipt.malformed",
            ReceiptFault::OtherSite => "receipt.other_site",
            ReceiptFault::Forged => "receipt.forged",
        }
    }
}

/// Issues and verifies receipts under one secret key.
#[derive(Clone, Debug)]
pub struct Receipts {
    mac_key: Secret,
    site_key: Secret,
}

impl Receipts {
    /// Derives the working keys from the collector's consent key.
    pub fn new(key: &Secret) -> Receipts {
        Receipts {
            mac_key: key.derive("brine 2026-11-22 receipt mac v1"),
            site_key: key.derive("brine 2026-11-22 receipt site v1"),
        }
    }

    /// Issues the receipt of a visitor for one site and period.
    pub fn issue(&self, site: &str, receipt: &Receipt) -> String {
        let mut bytes = [0; BYTES];
        bytes[0] = FORMAT;
        bytes[1..5].copy_from_slice(&self.site_tag(site));
        bytes[5..7].copy_from_slice(&receipt.days.start.to_be_bytes());
        bytes[7..9].copy_from_slice(&receipt.days.end.to_be_bytes());
        bytes[9..MAC_AT].copy_from_slice(&receipt.visitor.to_be_bytes());
        let mac = self.mac(&bytes[..MAC_AT], site);
        bytes[MAC_AT..].copy_from_slice(&mac);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Verifies that `text` was issued here, and for which of `sites`, by its place.
    ///
    /// # Errors
    /// [`ReceiptFault`]; nothing can be found with it.
    pub fn verify<'s>(
        &self,
        text: &str,
        sites: impl IntoIterator<Item = &'s str>,
    ) -> Result<(usize, Receipt), ReceiptFault> {
        let mut bytes = [0; BYTES];
        if text.len() != RECEIPT_CHARS {
            return Err(ReceiptFault::Malformed);
        }
        // 33 bytes fill 44 characters exactly: one text a receipt.
        match URL_SAFE_NO_PAD.decode_slice(text, &mut bytes) {
            Ok(BYTES) if bytes[0] == FORMAT => {}
            _ => return Err(ReceiptFault::Malformed),
        }
        for (place, site) in sites.into_iter().enumerate() {
            if bytes[1..5] != self.site_tag(site) {
                continue;
            }
            // The MAC covers the site's full id; a tag that two sites share by chance is no way in.
            let mac = self.mac(&bytes[..MAC_AT], site);
            return match bool::from(mac.ct_eq(&bytes[MAC_AT..])) {
                true => Ok((place, read(&bytes))),
                false => Err(ReceiptFault::Forged),
            };
        }
        Err(ReceiptFault::OtherSite)
    }

    fn mac(&self, body: &[u8], site: &str) -> [u8; 16] {
        // The body has a fixed length, so the id behind it cannot be confused with it.
        let mut hasher = blake3::Hasher::new_keyed(self.mac_key.expose());
        hasher.update(body).update(site.as_bytes());
        let mut mac = [0; 16];
        mac.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        mac
    }

    fn site_tag(&self, site: &str) -> [u8; 4] {
        let hash = blake3::keyed_hash(self.site_key.expose(), site.as_bytes());
        let mut tag = [0; 4];
        tag.copy_from_slice(&hash.as_bytes()[..4]);
        tag
    }
}

fn read(bytes: &[u8; BYTES]) -> Receipt {
    let day = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
    let mut visitor = [0; 8];
    visitor.copy_from_slice(&bytes[9..MAC_AT]);
    Receipt {
        days: day(5)..day(7),
        visitor: u64::from_be_bytes(visitor),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SITES: [&str; 2] = ["portal", "pernexus"];

    fn receipts() -> Receipts {
        Receipts::new(&Secret::from_bytes([7; 32]))
    }

    fn receipt() -> Receipt {
        Receipt {
            days: 20_000..20_001,
            visitor: 0x0123_4567_89ab_cdef,
        }
    }

    #[test]
    fn a_receipt_says_which_site_days_and_pseudonym() {
        let text = receipts().issue("pernexus", &receipt());
        assert_eq!(text.len(), RECEIPT_CHARS);
        assert_eq!(receipts().verify(&text, SITES), Ok((1, receipt())));
        assert_eq!(format!("{:?}", receipt()), "Receipt(hidden)");
    }

    #[test]
    fn every_single_bit_flip_and_every_truncation_is_refused() {
        let text = receipts().issue("portal", &receipt());
        let bytes = URL_SAFE_NO_PAD.decode(&text).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let forged = URL_SAFE_NO_PAD.encode(&flipped);
            assert!(receipts().verify(&forged, SITES).is_err(), "bit {bit}");
        }
        for length in 0..text.len() {
            let cut = receipts().verify(&text[..length], SITES);
            assert_eq!(cut, Err(ReceiptFault::Malformed));
        }
    }

    #[test]
    fn another_site_another_key_and_another_use_of_the_key_are_refused() {
        let text = receipts().issue("portal", &receipt());
        let elsewhere = receipts().verify(&text, ["pernexus"]);
        assert_eq!(elsewhere, Err(ReceiptFault::OtherSite));
        let other = Receipts::new(&Secret::from_bytes([8; 32]));
        assert!(other.verify(&text, SITES).is_err());
        for changed in [
            format!("{text}="),
            format!(" {text}"),
            text.replace(['-', '_'], "+"),
        ] {
            let is_same = changed == text;
            assert_eq!(receipts().verify(&changed, SITES).is_ok(), is_same);
        }
    }

    proptest! {
        #[test]
        fn only_what_was_issued_is_accepted(text in "[A-Za-z0-9_=+/-]{0,60}") {
            prop_assert!(receipts().verify(&text, SITES).is_err());
        }

        #[test]
        fn the_parser_never_panics(text in any::<String>()) {
            prop_assert!(receipts().verify(&text, SITES).is_err());
        }

        #[test]
        fn what_was_issued_is_accepted(first in any::<u16>(), after in any::<u16>(), visitor in any::<u64>()) {
            let issued = Receipt { days: first..after, visitor };
            let text = receipts().issue("portal", &issued);
            prop_assert_eq!(receipts().verify(&text, SITES), Ok((0, issued)));
        }
    }
}
