//! Personal data that strays into paths, property values, campaign names and event names.
//!
//! In: any text. Out: the same text with fixed words where something personal or secret stood.
//! Promised: `mask` is idempotent, never lengthens a text, never panics, and the classes below do
//! not come out. May be lost: an ordinary text that looks like one of the classes.
//!
//! | word | what it replaces | what stays |
//! |---|---|---|
//! | `:email` | `local@domain.tld`, also with `%40`, `%2540` or U+FF20, any script | `react@18.2.0`, `@name` |
//! | `:ip` | four dotted numbers up to 255 (a four-part version such as `1.2.3.4` too), IPv6 of at least two colons | `131.0.6778.86` |
//! | `:mac` | six or more hex pairs joined by `:`, `-` or spaces, `hhhh.hhhh.hhhh`, and with `-` or `:` if there is a digit | `dead-beef-cafe` |
//! | `:uuid` | 8-4-4-4-12 hex | |
//! | `:number` | a run of 7 or more digits, `20240115` included; 8 or more digits in groups of two and more (phones, CPR numbers `DDMMYY-XXXX`, coordinates), from 7 after a `+` | dates `2024-01-15` and `15-01-2024`, year ranges `2023-2024`, ids up to six digits |
//! | `:token` | JWTs; hex of 12 or more; letter-and-digit runs that no word looks like (see [`token`]) | slugs, camel case names, ids under 12 |
//!
//! Names of people cannot be told from other words: a site that puts them into paths must say so in
//! its own rules. The CPR form is the one of the Danish civil registration act; the MAC and EUI-64
//! forms are those of RFC 9542.

mod address;
mod number;
pub mod token;

use std::borrow::Cow;

/// Stands where an e-mail address stood.
pub const EMAIL: &str = ":email";
/// Stands where an IPv4 or IPv6 address stood.
pub const IP: &str = ":ip";
/// Stands where a MAC address stood.
pub const MAC: &str = ":mac";
/// Stands where a UUID stood.
pub const UUID: &str = ":uuid";
/// Stands where a long or phone-like number stood.
pub const NUMBER: &str = ":number";
/// Stands where a token stood.
pub const TOKEN: &str = ":token";

/// What a recogniser says about the bytes from a position on.
enum Finding {
    /// Replace up to `end` by `word`.
    Mask { end: usize, word: &'static str },
    /// Known to be harmless up to here: a date, a range of years.
    Keep { end: usize },
}

/// Replaces everything the module's table names. Borrows when nothing had to be replaced.
///
/// A replacement can free a neighbour that was hidden by being glued to it (a MAC address right
/// before an IP address), so passes follow each other until one finds nothing. That comes soon: each
/// pass makes the text shorter, or as short with fewer digits and at signs.
pub fn mask(text: &str) -> Cow<'_, str> {
    // As it stands, too: a digit of another script right before an address would make another number of it.
    let as_written = mask_alike(text);
    if let Some(folded) = folded(&as_written) {
        let masked = mask_alike(&folded);
        if masked != folded {
            return Cow::Owned(masked.into_owned());
        }
    }
    as_written
}

/// The text with ASCII in the place of other digits and at signs; none where it has no such.
fn folded(text: &str) -> Option<String> {
    if text.is_ascii() {
        return None;
    }
    let fold = |c: char| match c {
        '\u{ff20}' | '\u{fe6b}' => '@',
        // Full-width, Arabic-Indic, extended Arabic-Indic, Devanagari and Bengali digits.
        '\u{ff10}'..='\u{ff19}' => digit(c, 0xff10),
        '\u{660}'..='\u{669}' => digit(c, 0x660),
        '\u{6f0}'..='\u{6f9}' => digit(c, 0x6f0),
        '\u{966}'..='\u{96f}' => digit(c, 0x966),
        '\u{9e6}'..='\u{9ef}' => digit(c, 0x9e6),
        _ => c,
    };
    let is_other = |c: char| fold(c) != c;
    text.contains(is_other)
        .then(|| text.chars().map(fold).collect())
}

fn digit(c: char, zero: u32) -> char {
    char::from_digit(c as u32 - zero, 10).unwrap_or(c)
}

/// Masks where digits and at signs are ASCII.
fn mask_alike(text: &str) -> Cow<'_, str> {
    let mut masked = pass(text);
    while let Cow::Owned(before) = &masked
        && let Cow::Owned(after) = pass(before)
        && after != *before
    {
        masked = Cow::Owned(after);
    }
    masked
}

/// Replaces from left to right, once.
fn pass(text: &str) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    let look = Look::at(bytes);
    if !look.is_needed() {
        return Cow::Borrowed(text);
    }
    let mut emails = if look.has_at {
        address::emails(text)
    } else {
        Vec::new()
    }
    .into_iter();
    let mut email = emails.next();
    let mut masked = Masked {
        text,
        out: None,
        copied: 0,
    };
    let mut at = 0;
    while at < bytes.len() {
        let limit = email.as_ref().map_or(bytes.len(), |span| span.start);
        if at == limit {
            let end = email.as_ref().map_or(bytes.len(), |span| span.end);
            masked.replace(at, end, EMAIL);
            at = end;
            email = emails.next();
            continue;
        }
        // Recognisers do not see the coming e-mail address, and so cannot swallow half of it.
        match find(&bytes[..limit], at, &look) {
            Some(Finding::Mask { end, word }) => {
                let phone = word == NUMBER && at > masked.copied && bytes[at - 1] == b'+';
                masked.replace(if phone { at - 1 } else { at }, end, word);
                at = end;
            }
            Some(Finding::Keep { end }) => at = end,
            None => at += 1,
        }
    }
    masked.finish()
}

/// The recognisers that may start at `at`, most specific first.
fn find(bytes: &[u8], at: usize, look: &Look) -> Option<Finding> {
    let byte = bytes[at];
    let before = if at == 0 { None } else { Some(bytes[at - 1]) };
    let starts_word = !before.is_some_and(|b| b.is_ascii_alphanumeric());
    let masked = |end, word| Some(Finding::Mask { end, word });
    if starts_word && (byte.is_ascii_hexdigit() || byte == b':') {
        if look.mac()
            && let Some(end) = address::mac(bytes, at)
        {
            return masked(end, MAC);
        }
        if look.ipv6()
            && let Some(end) = address::ipv6(bytes, at)
        {
            return masked(end, IP);
        }
        if look.uuid()
            && let Some(end) = address::uuid(bytes, at)
        {
            return masked(end, UUID);
        }
    }
    if starts_word
        && look.token()
        && byte.is_ascii_alphanumeric()
        && let Some(end) = token::token(bytes, at)
    {
        return masked(end, TOKEN);
    }
    if byte.is_ascii_digit() && !before.is_some_and(|b| b.is_ascii_digit()) {
        if look.ipv4()
            && let Some(end) = address::ipv4(bytes, at)
        {
            return masked(end, IP);
        }
        if look.number() {
            return number::number(bytes, at);
        }
    }
    None
}

/// Counts from one pass over the bytes. Each recogniser needs a few characters of some kind; where
/// there are too few in the whole text it is not asked, and most texts are not looked at again.
#[derive(Default)]
struct Look {
    has_at: bool,
    has_upper: bool,
    n_digits: usize,
    n_colons: usize,
    n_dots: usize,
    n_hyphens: usize,
    n_spaces: usize,
    longest_word: usize,
    longest_run: usize,
}

impl Look {
    fn at(bytes: &[u8]) -> Self {
        let mut look = Self::default();
        let (mut word, mut run) = (0, 0);
        for &byte in bytes {
            match byte {
                b'0'..=b'9' => look.n_digits += 1,
                b'A'..=b'Z' => look.has_upper = true,
                b'a'..=b'z' => {}
                _ => {
                    // `%40` is an at sign too; the recogniser looks closer.
                    look.has_at |= byte == b'@' || byte == b'%';
                    look.n_colons += usize::from(byte == b':');
                    look.n_dots += usize::from(byte == b'.');
                    look.n_hyphens += usize::from(byte == b'-');
                    look.n_spaces += usize::from(byte == b' ');
                    look.longest_word = look.longest_word.max(word);
                    word = 0;
                    if byte == b'-' || byte == b'_' {
                        run += 1;
                    } else {
                        look.longest_run = look.longest_run.max(run);
                        run = 0;
                    }
                    continue;
                }
            }
            word += 1;
            run += 1;
        }
        look.longest_word = look.longest_word.max(word);
        look.longest_run = look.longest_run.max(run);
        look
    }

    fn is_needed(&self) -> bool {
        self.has_at || self.mac() || self.ipv6() || self.token() || self.ipv4() || self.number()
    }

    fn mac(&self) -> bool {
        self.n_colons >= 2 || self.n_hyphens >= 2 || self.n_dots >= 2 || self.n_spaces >= 5
    }

    fn ipv6(&self) -> bool {
        self.n_colons >= 2
    }

    fn uuid(&self) -> bool {
        self.longest_run >= 36
    }

    /// Words are judged from twelve characters on; runs with hyphens only if they hold capitals.
    fn token(&self) -> bool {
        self.longest_word >= token::SHORTEST
            || (self.longest_run >= token::SHORTEST && self.has_upper)
    }

    fn ipv4(&self) -> bool {
        self.n_dots >= 3 && self.n_digits >= 4
    }

    fn number(&self) -> bool {
        self.n_digits >= number::LONG_RUN
    }
}

/// The text under construction; allocates at the first replacement only.
struct Masked<'a> {
    text: &'a str,
    out: Option<String>,
    copied: usize,
}

impl<'a> Masked<'a> {
    fn replace(&mut self, start: usize, end: usize, word: &str) {
        let out = self
            .out
            .get_or_insert_with(|| String::with_capacity(self.text.len()));
        out.push_str(&self.text[self.copied..start]);
        out.push_str(word);
        self.copied = end;
    }

    fn finish(self) -> Cow<'a, str> {
        match self.out {
            None => Cow::Borrowed(self.text),
            Some(mut out) => {
                out.push_str(&self.text[self.copied..]);
                Cow::Owned(out)
            }
        }
    }
}

/// Masks, then cuts to `max_bytes` at a character boundary, for stored values of bounded length.
/// Cutting comes second, because half an e-mail address is still one; a cut can make a new match
/// (`1.2.3.400` becomes `1.2.3.40`), therefore the loop. It ends: masking never lengthens.
pub fn mask_cut(text: &str, max_bytes: usize) -> Cow<'_, str> {
    let mut masked = mask(text);
    while masked.len() > max_bytes {
        let cut = mask(&masked[..masked.floor_char_boundary(max_bytes)]).into_owned();
        masked = Cow::Owned(cut);
    }
    masked
}

#[cfg(test)]
mod tests;
