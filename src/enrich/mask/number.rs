//! Long numbers: account and customer numbers, phones, civil registration numbers, coordinates.

use super::{Finding, NUMBER};

/// Shortest unbroken run of digits that is masked. Six digits still hold short ids and `DDMMYY`
/// alone; eight is a Danish phone number, and seven leaves no room beneath it.
pub(super) const LONG_RUN: usize = 7;
/// Digits in all from which groups count as one number: eight digits are a Danish phone number.
const LONG_IN_GROUPS: usize = 8;

/// Judges the digits that start at `start`, together with the groups that follow after separators ([`separator`]). The caller takes a `+` before them along.
pub(super) fn number(bytes: &[u8], start: usize) -> Option<Finding> {
    let international = start > 0 && bytes[start - 1] == b'+';
    let mut groups = Groups::default();
    let mut end = groups.take(bytes, start);
    // A lone first digit is a list number or a version, unless a country code.
    if end - start > 1 || international {
        while let Some(next) = group_after(bytes, end) {
            end = groups.take(bytes, next);
            // A date keeps no more than itself: what follows is judged from there, and not looked at twice.
            if groups.n == 3 && groups.date_end().is_some() && !international {
                break;
            }
        }
    }
    if !international {
        if let Some(end) = groups.date_end() {
            return Some(Finding::Keep { end });
        }
        if groups.n > 1 && groups.all_years {
            return Some(Finding::Keep { end });
        }
    }
    let least = if groups.n > 1 && !international {
        LONG_IN_GROUPS
    } else {
        LONG_RUN
    };
    (groups.n_digits >= least).then_some(Finding::Mask { end, word: NUMBER })
}

/// Start of a next group of two or more digits behind one to three separators, as in `12) 34` and `12 - 34`.
fn group_after(bytes: &[u8], end: usize) -> Option<usize> {
    let mut start = end + separator(&bytes[end..])?;
    for _ in 1..3 {
        start += separator(&bytes[start..]).unwrap_or(0);
    }
    let pair = bytes.get(start..start + 2)?;
    pair.iter().all(u8::is_ascii_digit).then_some(start)
}

/// Length of a separator within a number: hyphens, underscores, points, spaces and brackets, and the spaces and dashes that typesetters
/// put in their place (U+00A0, U+2007, U+2009, U+202F, U+2010 to U+2015).
fn separator(bytes: &[u8]) -> Option<usize> {
    match *bytes {
        [b'-' | b'_' | b'.' | b' ' | b'(' | b')', ..] => Some(1),
        [0xc2, 0xa0, ..] => Some(2),
        [0xe2, 0x80, 0x87 | 0x89 | 0xaf | 0x90..=0x95, ..] => Some(3),
        _ => None,
    }
}

/// What is remembered of the groups: enough to know a date or a range of years.
#[derive(Default)]
struct Groups {
    n: usize,
    n_digits: usize,
    all_years: bool,
    /// Value and number of digits of the first three, and where the third ends.
    first: [(u32, usize); 3],
    third_end: usize,
}

impl Groups {
    fn take(&mut self, bytes: &[u8], start: usize) -> usize {
        let n_digits = bytes[start..]
            .iter()
            .take_while(|b| b.is_ascii_digit())
            .count();
        let end = start + n_digits;
        // Longer groups cannot be a part of a date; their value does not matter.
        let value = bytes[start..end]
            .iter()
            .take(4)
            .fold(0, |value, digit| value * 10 + u32::from(digit - b'0'));
        self.all_years = is_year((value, n_digits)) && (self.n == 0 || self.all_years);
        if let Some(slot) = self.first.get_mut(self.n) {
            *slot = (value, n_digits);
        }
        self.n += 1;
        self.n_digits += n_digits;
        if self.n == 3 {
            self.third_end = end;
        }
        end
    }

    /// Where a leading date ends: year-month-day or day-month-year.
    fn date_end(&self) -> Option<usize> {
        let [a, b, c] = self.first;
        let is_date =
            is_year(a) && is_month(b) && is_day(c) || is_day(a) && is_month(b) && is_year(c);
        (self.n >= 3 && is_date).then_some(self.third_end)
    }
}

fn is_year((value, n_digits): (u32, usize)) -> bool {
    n_digits == 4 && (1900..2100).contains(&value)
}

fn is_month((value, n_digits): (u32, usize)) -> bool {
    n_digits == 2 && (1..=12).contains(&value)
}

fn is_day((value, n_digits): (u32, usize)) -> bool {
    n_digits == 2 && (1..=31).contains(&value)
}
