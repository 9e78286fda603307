//! The visitor's language: the primary subtag, nothing finer.
//!
//! In: an `Accept-Language` header (RFC 9110 section 12.5.4) or one explicit tag (`navigator.language`,
//! an app's locale). Out: the primary language subtag of BCP 47 in lower case. A whole list of
//! preferences with weights is close to a fingerprint; its first entry's first part is not.

/// A primary language subtag of two or three letters, such as `da`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Language {
    letters: [u8; 3],
    len: u8,
}

impl Language {
    /// The subtag in lower case.
    pub fn as_str(&self) -> &str {
        let letters = &self.letters[..usize::from(self.len)];
        std::str::from_utf8(letters).expect("only ASCII letters are ever put in")
    }
}

/// Returns the language a visitor likes best, or `None` if the text names none.
///
/// An explicit tag wins over the header; both hyphen and underscore divide (`da-DK`, `da_DK`). In a
/// header the highest weight wins, the first of equals; `*` and `q=0` name no language.
pub fn language(explicit: Option<&str>, accept_language: Option<&str>) -> Option<Language> {
    explicit
        .and_then(primary_subtag)
        .or_else(|| accept_language.and_then(preferred))
}

/// Ranges that are looked at; browsers send up to about ten.
const MAX_RANGES: usize = 20;

fn preferred(header: &str) -> Option<Language> {
    let mut best: Option<(u16, Language)> = None;
    for range in header.split(',').take(MAX_RANGES) {
        let mut parts = range.split(';');
        let Some(language) = parts.next().and_then(primary_subtag) else {
            continue;
        };
        let weight = parts
            .find_map(|part| part.trim().strip_prefix("q=").map(thousandths))
            .unwrap_or(1_000);
        if weight > best.map_or(0, |(heaviest, _)| heaviest) {
            best = Some((weight, language));
        }
    }
    best.map(|(_, language)| language)
}

/// A weight in thousandths, the precision RFC 9110 gives it; nonsense weighs nothing.
fn thousandths(weight: &str) -> u16 {
    match weight.trim().as_bytes() {
        [b'1'] | [b'1', b'.', ..] => 1_000,
        [b'0', b'.', fraction @ ..] => {
            let digits = fraction.iter().take(3).take_while(|b| b.is_ascii_digit());
            digits
                .zip([100, 10, 1])
                .map(|(digit, unit)| u16::from(digit - b'0') * unit)
                .sum()
        }
        _ => 0,
    }
}

fn primary_subtag(tag: &str) -> Option<Language> {
    let subtag = tag.trim().split(['-', '_']).next()?.as_bytes();
    if !(2..=3).contains(&subtag.len()) || !subtag.iter().all(u8::is_ascii_alphabetic) {
        return None;
    }
    let mut letters = [0; 3];
    for (letter, byte) in letters.iter_mut().zip(subtag) {
        *letter = byte.to_ascii_lowercase();
    }
    Some(Language {
        letters,
        len: subtag.len() as u8,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_heaviest_range_gives_its_primary_subtag() {
        for (header, expected) in [
            ("da-DK,da;q=0.9,en;q=0.8", "da"),
            ("en;q=0.5, DA;q=0.7", "da"),
            ("fil-PH", "fil"),
            ("*, nb", "nb"),
            ("en;q=0, sv;q=0.001", "sv"),
            ("x-klingon, de", "de"),
        ] {
            assert_eq!(
                language(None, Some(header)).unwrap().as_str(),
                expected,
                "{header}"
            );
        }
        for header in ["", "*", "en;q=0", "en;q=7", "english", "d1", "æø"] {
            assert_eq!(language(None, Some(header)), None, "{header}");
        }
    }

    #[test]
    fn an_explicit_tag_wins() {
        assert_eq!(language(Some("da_DK"), Some("en")).unwrap().as_str(), "da");
        assert_eq!(language(Some("?"), Some("en")).unwrap().as_str(), "en");
    }
}
