//! The consent token: the one thing kept on the visitor's device.
//!
//! ```text
//! byte  0      format, 1
//!       1      purposes, a bit each
//!       2..4   policy version            (big endian, as all numbers)
//!       4..6   day of issue              (days since 1970-01-01 UTC)
//!       6..8   last day of validity
//!       8..12  scope: site or site group, first 32 bits of a keyed hash of its name
//!      12..28  128 random bits
//!      28..44  keyed BLAKE3 of bytes 0..28 and the scope's full name, first 128 bits
//! ```
//! as unpadded URL-safe base64 (RFC 4648, section 5), 59 characters. **Tokens live for months on
//! devices we do not control: never edit this layout, add a format.**
//!
//! A token is verified without a look-up. It is proof of consent, visitor id (its random bits) and the
//! key to the visitor's rights in one.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq;

use crate::secret::Secret;

const FORMAT: u8 = 1;
const BYTES: usize = 44;
const MAC_AT: usize = 28;
/// Characters of a token as text.
pub const TOKEN_CHARS: usize = 59;

/// What a visitor may consent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// This pipeline.
    Measurement,
    /// Remembering preferences; never recorded by brine.
    Functional,
}

impl Purpose {
    /// Returns the purpose of that name.
    pub fn named(name: &str) -> Option<Purpose> {
        match name {
            "measurement" => Some(Purpose::Measurement),
            "functional" => Some(Purpose::Functional),
            _ => None,
        }
    }

    /// Returns its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Purpose::Measurement => "measurement",
            Purpose::Functional => "functional",
        }
    }
}

/// A set of purposes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purposes(u8);

impl Purposes {
    const KNOWN: [Purpose; 2] = [Purpose::Measurement, Purpose::Functional];

    /// Returns the set with `purpose` in it.
    pub fn with(self, purpose: Purpose) -> Purposes {
        Purposes(self.0 | Self::bit(purpose))
    }

    /// Tells whether `purpose` is in the set.
    pub fn has(self, purpose: Purpose) -> bool {
        self.0 & Self::bit(purpose) != 0
    }

    /// Returns the names, in a fixed order.
    pub fn names(self) -> Vec<&'static str> {
        Self::KNOWN
            .into_iter()
            .filter(|p| self.has(*p))
            .map(Purpose::name)
            .collect()
    }

    fn bit(purpose: Purpose) -> u8 {
        match purpose {
            Purpose::Measurement => 1,
            Purpose::Functional => 2,
        }
    }
}

/// What a genuine token says. Whether it still holds is for [`super::gate`] to tell.
#[derive(Clone)]
pub struct Token {
    /// What was consented to.
    pub purposes: Purposes,
    /// Policy the visitor was shown.
    pub policy_version: u16,
    /// Days since 1970-01-01 UTC.
    pub issued_day: u16,
    /// Last valid day, days since 1970-01-01 UTC.
    pub last_day: u16,
    random: [u8; 16],
    ledger: LedgerId,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(hidden)")
    }
}

impl Token {
    /// Returns the random bits: the visitor's id, before it is hashed.
    pub fn visitor_bits(&self) -> &[u8; 16] {
        &self.random
    }

    /// Returns the key of this consent in ledger and revocation set.
    pub fn ledger(&self) -> LedgerId {
        self.ledger
    }
}

/// Key of a consent in the ledger: a keyed hash of the token's random bits that no event carries:
/// no key joins ledger and events.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct LedgerId(pub u128);

impl fmt::Debug for LedgerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LedgerId(hidden)")
    }
}

/// Why a token is not genuine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenFault {
    /// Not 59 characters of canonical base64, or an unknown format.
    Malformed,
    /// Genuine or not: it names another scope.
    OtherScope,
    /// The MAC does not fit.
    Forged,
}

/// Issues and verifies tokens under one secret key.
#[derive(Clone, Debug)]
pub struct Mint {
    mac_key: Secret,
    scope_key: Secret,
    ledger_key: Secret,
}

impl Mint {
    /// Derives the working keys from the collector's consent key.
    pub fn new(key: &Secret) -> Mint {
        Mint {
            mac_key: key.derive("brine 2026-11-22 consent token mac v1"),
            scope_key: key.derive("brine 2026-11-22 consent token scope v1"),
            ledger_key: key.derive("brine 2026-11-22 consent ledger id v1"),
        }
    }

    /// Issues a token; `random` is 128 fresh bits.
    pub fn issue(
        &self,
        scope: &str,
        purposes: Purposes,
        policy_version: u16,
        days: std::ops::RangeInclusive<u16>,
        random: [u8; 16],
    ) -> (String, Token) {
        let mut bytes = [0; BYTES];
        bytes[0] = FORMAT;
        bytes[1] = purposes.0;
        bytes[2..4].copy_from_slice(&policy_version.to_be_bytes());
        bytes[4..6].copy_from_slice(&days.start().to_be_bytes());
        bytes[6..8].copy_from_slice(&days.end().to_be_bytes());
        bytes[8..12].copy_from_slice(&self.scope_tag(scope));
        bytes[12..MAC_AT].copy_from_slice(&random);
        let mac = self.mac(&bytes[..MAC_AT], scope);
        bytes[MAC_AT..].copy_from_slice(&mac);
        (URL_SAFE_NO_PAD.encode(bytes), self.read(&bytes))
    }

    /// Verifies that `text` was issued here for `scope`.
    ///
    /// # Errors
    /// [`TokenFault`]; the visitor has to be asked anew.
    pub fn verify(&self, text: &str, scope: &str) -> Result<Token, TokenFault> {
        let mut bytes = [0; BYTES];
        if text.len() != TOKEN_CHARS {
            return Err(TokenFault::Malformed);
        }
        // The engine refuses padding, foreign alphabets and non-zero trailing bits: one text a token.
        match URL_SAFE_NO_PAD.decode_slice(text, &mut bytes) {
            Ok(BYTES) if bytes[0] == FORMAT => {}
            _ => return Err(TokenFault::Malformed),
        }
        let mac = self.mac(&bytes[..MAC_AT], scope);
        if bool::from(mac.ct_eq(&bytes[MAC_AT..])) {
            return Ok(self.read(&bytes));
        }
        // The MAC covers the scope's full name; the tag only tells which refusal to count.
        if bytes[8..12] == self.scope_tag(scope) {
            Err(TokenFault::Forged)
        } else {
            Err(TokenFault::OtherScope)
        }
    }

    fn read(&self, bytes: &[u8; BYTES]) -> Token {
        let number = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
        let mut random = [0; 16];
        random.copy_from_slice(&bytes[12..MAC_AT]);
        let hash = blake3::keyed_hash(self.ledger_key.expose(), &random);
        let mut ledger = [0; 16];
        ledger.copy_from_slice(&hash.as_bytes()[..16]);
        Token {
            purposes: Purposes(bytes[1]),
            policy_version: number(2),
            issued_day: number(4),
            last_day: number(6),
            random,
            ledger: LedgerId(u128::from_be_bytes(ledger)),
        }
    }

    fn mac(&self, body: &[u8], scope: &str) -> [u8; 16] {
        // The body has a fixed length, so the scope behind it cannot be confused with it.
        let mut hasher = blake3::Hasher::new_keyed(self.mac_key.expose());
        hasher.update(body).update(scope.as_bytes());
        let mut mac = [0; 16];
        mac.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        mac
    }

    fn scope_tag(&self, scope: &str) -> [u8; 4] {
        let hash = blake3::keyed_hash(self.scope_key.expose(), scope.as_bytes());
        let mut tag = [0; 4];
        tag.copy_from_slice(&hash.as_bytes()[..4]);
        tag
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn mint() -> Mint {
        Mint::new(&Secret::from_bytes([7; 32]))
    }

    fn token(random: [u8; 16]) -> String {
        mint()
            .issue(
                "portal",
                Purposes::default().with(Purpose::Measurement),
                3,
                20_000..=20_180,
                random,
            )
            .0
    }

    #[test]
    fn a_token_says_what_was_consented_to() {
        let token = mint().verify(&token([9; 16]), "portal").unwrap();
        assert!(
            token.purposes.has(Purpose::Measurement) && !token.purposes.has(Purpose::Functional)
        );
        assert_eq!(
            (token.policy_version, token.issued_day, token.last_day),
            (3, 20_000, 20_180)
        );
        assert_eq!(token.visitor_bits(), &[9; 16]);
        assert_eq!(
            format!("{token:?} {:?}", token.ledger()),
            "Token(hidden) LedgerId(hidden)"
        );
    }

    #[test]
    fn every_single_bit_flip_and_every_truncation_is_refused() {
        let text = token([9; 16]);
        let bytes = URL_SAFE_NO_PAD.decode(&text).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let forged = URL_SAFE_NO_PAD.encode(&flipped);
            assert!(mint().verify(&forged, "portal").is_err(), "bit {bit}");
        }
        for length in 0..text.len() {
            assert_eq!(
                mint().verify(&text[..length], "portal").unwrap_err(),
                TokenFault::Malformed
            );
        }
    }

    #[test]
    fn another_site_another_key_and_another_spelling_are_refused() {
        let text = token([9; 16]);
        assert_eq!(
            mint().verify(&text, "pernexus").unwrap_err(),
            TokenFault::OtherScope
        );
        let other = Mint::new(&Secret::from_bytes([8; 32]));
        assert!(other.verify(&text, "portal").is_err());
        // 44 bytes end in a character with two unused bits: only one spelling may be accepted.
        let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let accepted = alphabet
            .chars()
            .filter(|last| {
                mint()
                    .verify(&format!("{}{last}", &text[..58]), "portal")
                    .is_ok()
            })
            .count();
        assert_eq!(accepted, 1);
        assert!(mint().verify(&format!("{text}="), "portal").is_err());
        let foreign = text.replace('-', "+").replace('_', "/");
        assert_eq!(mint().verify(&foreign, "portal").is_ok(), foreign == text);
    }

    proptest! {
        #[test]
        fn only_what_was_issued_is_accepted(text in "[A-Za-z0-9_=+/-]{0,80}") {
            prop_assert!(mint().verify(&text, "portal").is_err());
        }

        #[test]
        fn the_parser_never_panics(text in any::<String>()) {
            prop_assert!(mint().verify(&text, "portal").is_err());
        }

        #[test]
        fn what_was_issued_is_accepted(random in any::<[u8; 16]>()) {
            let text = token(random);
            prop_assert_eq!(text.len(), TOKEN_CHARS);
            let verified = mint().verify(&text, "portal").expect("genuine");
            prop_assert_eq!(verified.visitor_bits(), &random);
        }
    }
}
