//! Tokens: session ids, API keys, signed links, JWTs. Told from words by how they are spelt.
//!
//! A run of letters and digits is a token if it is
//! - hex of 12 or more characters (all digits: left to the number rule),
//! - 12 or more with four separate clusters of digits between letters, 16 or more with three, 20 or
//!   more with two,
//! - 20 or more in which either case has at least a third of the letters,
//! - 48 or more of whatever kind.
//!
//! A run that also holds `-` and `_` (base64url, nanoid) is a token from 20 characters on, if it has
//! both cases and digits and at least one irregularity in eight characters: a capital inside a word,
//! or digits between two letters. Slugs in title case and product names have few of them.
//! The catch rates of the usual generators are measured in the tests.

/// No rule of this module applies below this length.
pub(super) const SHORTEST: usize = 12;

/// Characters of base64url.
pub(super) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

/// End of the token that starts with the word at `start`, if there is one.
pub(super) fn token(bytes: &[u8], start: usize) -> Option<usize> {
    let word_end = run_end(bytes, start, |b| b.is_ascii_alphanumeric());
    let begins = start == 0 || !is_token_byte(bytes[start - 1]);
    if begins {
        let end = run_end(bytes, start, is_token_byte);
        if bytes[start..end].starts_with(b"eyJ") && end - start >= SHORTEST {
            return Some(jwt_end(bytes, end));
        }
        if end - start >= 20 && Spelling::of(&bytes[start..end]).is_irregular() {
            return Some(padding_end(bytes, end));
        }
    }
    let word = &bytes[start..word_end];
    if word.len() < SHORTEST {
        return None;
    }
    let spelling = Spelling::of(word);
    (spelling.is_token_word()).then(|| padding_end(bytes, word_end))
}

fn run_end(bytes: &[u8], start: usize, is_part: impl Fn(u8) -> bool) -> usize {
    bytes[start..]
        .iter()
        .position(|b| !is_part(*b))
        .map_or(bytes.len(), |n| start + n)
}

/// A JWT (RFC 7519) is three base64url parts joined by dots, an encrypted one has five.
fn jwt_end(bytes: &[u8], first_end: usize) -> usize {
    let mut end = first_end;
    while bytes.get(end) == Some(&b'.') && bytes.get(end + 1).is_some_and(|b| is_token_byte(*b)) {
        end = run_end(bytes, end + 1, is_token_byte);
    }
    end
}

fn padding_end(bytes: &[u8], end: usize) -> usize {
    end + bytes[end..]
        .iter()
        .take(2)
        .take_while(|b| **b == b'=')
        .count()
}

/// Counts over one run.
#[derive(Default)]
struct Spelling {
    len: usize,
    n_lower: usize,
    n_upper: usize,
    n_digits: usize,
    n_hex: usize,
    n_digit_clusters: usize,
    /// A capital after a small letter, or digits with letters directly on both sides.
    n_irregular: usize,
}

impl Spelling {
    fn of(run: &[u8]) -> Self {
        let mut spelling = Self {
            len: run.len(),
            ..Self::default()
        };
        let mut before = b'-';
        let mut digits_after_letter = false;
        for &byte in run {
            spelling.n_lower += usize::from(byte.is_ascii_lowercase());
            spelling.n_upper += usize::from(byte.is_ascii_uppercase());
            spelling.n_hex += usize::from(byte.is_ascii_hexdigit());
            if byte.is_ascii_digit() {
                spelling.n_digits += 1;
                if !before.is_ascii_digit() {
                    spelling.n_digit_clusters += 1;
                    digits_after_letter = before.is_ascii_alphabetic();
                }
            } else if byte.is_ascii_alphabetic() {
                let ends_inner_digits = before.is_ascii_digit() && digits_after_letter;
                let inner_capital = byte.is_ascii_uppercase() && before.is_ascii_lowercase();
                spelling.n_irregular += usize::from(ends_inner_digits || inner_capital);
            }
            before = byte;
        }
        spelling
    }

    fn is_irregular(&self) -> bool {
        let mixed = self.n_lower > 0 && self.n_upper > 0 && self.n_digits > 0;
        mixed && self.n_irregular >= 3.max(self.len / 8)
    }

    fn is_token_word(&self) -> bool {
        let n_letters = self.n_lower + self.n_upper;
        if n_letters == 0 {
            return false;
        }
        let by_digits = match self.len {
            0..SHORTEST => false,
            SHORTEST..16 => self.n_digit_clusters >= 4,
            16..20 => self.n_digit_clusters >= 3,
            _ => self.n_digit_clusters >= 2,
        };
        let by_case = self.len >= 20 && self.n_lower.min(self.n_upper) * 3 >= n_letters;
        self.n_hex == self.len || by_digits || by_case || self.len >= 48
    }
}
