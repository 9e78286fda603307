//! A MAC address as an app reports it → one form, or the reason why it is none that tells devices apart.
//!
//! In: any bytes. Out: a [`Mac`]. Total over byte strings: whatever comes has an answer, and nothing panics. Accepted
//! are the notations of RFC 9542 and of network vendors, in any case and with spaces around: `00:1b:44:11:3a:b7`,
//! `00-1B-44-11-3A-B7`, `001b.4411.3ab7` (also with `:` or `-`), `001b44113ab7`; within one address one kind of separator.
//!
//! Not identifying, and refused: zero, broadcast and multicast addresses, and `02:00:00:00:00:00`, which Android since 6 and
//! iOS since 7 give to every app. Locally administered addresses (IEEE 802, second-lowest bit of the first byte) are made up
//! by the system, a new one a network or a day: they are told apart, so that nobody counts them as devices.
//!
//! A MAC address is 46 bits, half of them a vendor's: an unkeyed hash of it is undone within seconds. It is hashed under
//! the salt alone ([`crate::pseudonym`]), and a hash that the app made of it beforehand is treated as if it were the address.

use std::fmt;

/// A MAC address of one device, in one form. No `Debug` of its bytes, no `Display`: it goes into a hash and nowhere else.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Mac([u8; 6]);

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mac(hidden)")
    }
}

/// Why a text names no device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)] // The message says it.
pub enum MacFault {
    #[error("not a MAC address")]
    Malformed,
    #[error("all zero")]
    Zero,
    #[error("the broadcast address")]
    Broadcast,
    #[error("a multicast address")]
    Multicast,
    #[error("the constant that mobile systems give to every app")]
    Constant,
    #[error("locally administered: made up by the system, and no device's")]
    Randomised,
}

impl MacFault {
    /// Every fault.
    pub const ALL: [MacFault; 6] = [
        MacFault::Malformed,
        MacFault::Zero,
        MacFault::Broadcast,
        MacFault::Multicast,
        MacFault::Constant,
        MacFault::Randomised,
    ];

    /// Returns its name in replies and metrics; never respelt.
    pub fn name(self) -> &'static str {
        match self {
            MacFault::Malformed => "malformed",
            MacFault::Zero => "zero",
            MacFault::Broadcast => "broadcast",
            MacFault::Multicast => "multicast",
            MacFault::Constant => "constant",
            MacFault::Randomised => "randomised",
        }
    }
}

impl Mac {
    /// Reads one.
    ///
    /// # Errors
    /// [`MacFault`]; the event is kept, without a device.
    pub fn read(text: &[u8]) -> Result<Mac, MacFault> {
        let bytes = digits(text.trim_ascii()).ok_or(MacFault::Malformed)?;
        match bytes {
            [0, 0, 0, 0, 0, 0] => Err(MacFault::Zero),
            [0xff, 0xff, 0xff, 0xff, 0xff, 0xff] => Err(MacFault::Broadcast),
            [2, 0, 0, 0, 0, 0] => Err(MacFault::Constant),
            [first, ..] if first & 1 == 1 => Err(MacFault::Multicast),
            [first, ..] if first & 2 == 2 => Err(MacFault::Randomised),
            _ => Ok(Mac(bytes)),
        }
    }

    /// Returns the bytes, for hashing.
    pub(crate) fn expose(&self) -> &[u8; 6] {
        &self.0
    }
}

/// The six bytes of twelve hexadecimal digits, bare or in equal groups joined by one separator.
fn digits(text: &[u8]) -> Option<[u8; 6]> {
    let (group, separator) = match text.len() {
        12 => (12, None),
        14 => (4, Some(*text.get(4)?)),
        17 => (2, Some(*text.get(2)?)),
        _ => return None,
    };
    let is_usual = match separator {
        None => true,
        Some(b':' | b'-') => true,
        Some(b'.') => group == 4,
        Some(_) => false,
    };
    if !is_usual {
        return None;
    }
    let mut bytes = [0u8; 6];
    let mut n = 0;
    for (at, &byte) in text.iter().enumerate() {
        if separator.is_some() && at % (group + 1) == group {
            if Some(byte) != separator {
                return None;
            }
            continue;
        }
        let digit = char::from(byte).to_digit(16)? as u8;
        let place = bytes.get_mut(n / 2)?;
        *place = *place << 4 | digit;
        n += 1;
    }
    (n == 12).then_some(bytes)
}

/// A hash that an app made of its MAC address: 16 to 64 bytes as hexadecimal digits or base64, in one form. Case counts in
/// base64 alone.
///
/// # Errors
/// [`MacFault::Malformed`].
pub(crate) fn read_hash(text: &str) -> Result<Vec<u8>, MacFault> {
    let text = text.trim();
    let is_hex = text.len().is_multiple_of(2) && text.bytes().all(|b| b.is_ascii_hexdigit());
    if is_hex && (32..=128).contains(&text.len()) {
        return Ok(text.to_ascii_lowercase().into_bytes());
    }
    let bare = text.trim_end_matches('=');
    let is_base64 = |b: u8| b.is_ascii_alphanumeric() || b"+/-_".contains(&b);
    if (22..=86).contains(&bare.len()) && bare.bytes().all(is_base64) {
        // Both alphabets of RFC 4648 are one form.
        return Ok(bare.replace('+', "-").replace('/', "_").into_bytes());
    }
    Err(MacFault::Malformed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_usual_notation_is_one_form() {
        let one = Mac::read(b"00:1b:44:11:3a:b7").unwrap();
        for text in [
            "00-1B-44-11-3A-B7",
            "001b.4411.3ab7",
            "001B-4411-3AB7",
            "001b:4411:3ab7",
            "001b44113ab7",
            "001B44113AB7",
            " 00:1b:44:11:3A:b7\n",
        ] {
            assert_eq!(Mac::read(text.as_bytes()), Ok(one), "{text}");
        }
        assert_eq!(format!("{one:?}"), "Mac(hidden)");
    }

    #[test]
    fn what_tells_no_device_apart_is_refused_by_name() {
        for (text, fault) in [
            ("00:00:00:00:00:00", MacFault::Zero),
            ("ffff.ffff.ffff", MacFault::Broadcast),
            ("01:00:5e:00:00:fb", MacFault::Multicast),
            ("33-33-00-00-00-01", MacFault::Multicast),
            ("02:00:00:00:00:00", MacFault::Constant),
            ("02:00:00:00:00:01", MacFault::Randomised),
            ("DA:A1:19:00:00:01", MacFault::Randomised),
            ("", MacFault::Malformed),
            ("00:1b:44:11:3a", MacFault::Malformed),
            ("00:1b:44:11:3a:b7:00", MacFault::Malformed),
            ("00:1b-44:11:3a:b7", MacFault::Malformed),
            ("00.1b.44.11.3a.b7", MacFault::Malformed),
            ("00 1b 44 11 3a b7", MacFault::Malformed),
            ("0:1b:44:11:3a:b7x", MacFault::Malformed),
            ("001b44113abg", MacFault::Malformed),
            ("00:1b:44:ff:fe:11:3a:b7", MacFault::Malformed),
        ] {
            assert_eq!(Mac::read(text.as_bytes()), Err(fault), "{text}");
        }
        let names: std::collections::HashSet<_> = MacFault::ALL.iter().map(|f| f.name()).collect();
        assert_eq!(names.len(), MacFault::ALL.len());
    }

    #[test]
    fn a_hash_is_one_form_too() {
        let hex = "0123456789abcdef0123456789ABCDEF";
        assert_eq!(read_hash(hex), read_hash(&hex.to_lowercase()));
        assert_eq!(
            read_hash("ab+/ab+/ab+/ab+/ab+/ab=="),
            read_hash("ab-_ab-_ab-_ab-_ab-_ab")
        );
        for none in [
            "",
            "0123",
            "001b44113ab7",
            "00:1b:44:11:3a:b7",
            &"a".repeat(129),
            "ab cd ab cd ab cd ab cd ab cd",
        ] {
            assert_eq!(read_hash(none), Err(MacFault::Malformed), "{none}");
        }
    }

    proptest! {
        #[test]
        fn reading_is_total_over_byte_strings(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            if let Ok(mac) = Mac::read(&bytes) {
                prop_assert_eq!(mac.0[0] & 3, 0);
            }
        }

        #[test]
        fn near_misses_are_read_too(text in "[0-9a-fA-F:.g -]{0,20}") {
            // As above, where it is likelier to be taken for one.
            let digits = text.bytes().filter(u8::is_ascii_hexdigit).count();
            prop_assert!(Mac::read(text.as_bytes()).is_err() || digits == 12);
            prop_assert!(read_hash(&text).is_err() || digits == text.trim().len() || text.len() >= 22);
        }

        #[test]
        fn printed_in_any_notation_it_reads_as_itself(mut bytes: [u8; 6], notation in 0..6usize, upper: bool) {
            bytes[0] &= !3;
            prop_assume!(bytes != [0; 6]);
            let hex: Vec<String> = bytes.iter().map(|b| format!("{b:02x}")).collect();
            let fours: Vec<String> = hex.chunks(2).map(|pair| pair.concat()).collect();
            let mut text = match notation {
                0 => hex.join(":"),
                1 => hex.join("-"),
                2 => hex.concat(),
                3 => fours.join("."),
                4 => fours.join(":"),
                _ => fours.join("-"),
            };
            if upper {
                text.make_ascii_uppercase();
            }
            prop_assert_eq!(Mac::read(text.as_bytes()), Ok(Mac(bytes)));
        }

        #[test]
        fn no_spelling_of_a_mac_survives_the_mask(mut bytes: [u8; 6], upper: bool) {
            bytes[0] &= !3;
            let hex: Vec<String> = bytes.iter().map(|b| format!("{b:02x}")).collect();
            let fours: Vec<String> = hex.chunks(2).map(|pair| pair.concat()).collect();
            for mut text in [hex.join(":"), hex.join("-"), fours.join("."), hex.concat()] {
                if upper {
                    text.make_ascii_uppercase();
                }
                let page = format!("/device/{text}/state");
                let masked = crate::enrich::mask::mask(&page);
                prop_assert!(!masked.contains(&text), "{} in {}", text, masked);
            }
        }
    }
}
