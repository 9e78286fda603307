//! E-mail, IP and MAC addresses and UUIDs, recognised from a start position.
//!
//! Each recogniser looks at a bounded stretch, so that no text makes the whole quadratic.

use std::net::Ipv6Addr;
use std::ops::Range;

/// Finds all e-mail addresses, in order and disjoint. An at sign is `@`, `%40` or `%2540`.
///
/// RFC 5322 allows more than this in a local part; `/`, `?`, `=` and `&` separate things in the
/// texts seen here and end it. Addresses glued to each other become one span.
pub(super) fn emails(text: &str) -> Vec<Range<usize>> {
    let bytes = text.as_bytes();
    let mut spans: Vec<Range<usize>> = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let sign = match bytes[at] {
            b'@' => 1,
            b'%' if bytes[at..].starts_with(b"%40") => 3,
            b'%' if bytes[at..].starts_with(b"%2540") => 5,
            _ => {
                at += 1;
                continue;
            }
        };
        // Forwards first: `%40` is made of characters that a local part may hold, and a row of them
        // would be walked back again and again.
        let Some(end) = domain(bytes, at + sign) else {
            at += sign;
            continue;
        };
        let floor = spans.last().map_or(0, |span| span.end);
        let mut start = at;
        while start > floor && is_local(bytes[start - 1]) {
            start -= 1;
        }
        if start < at {
            spans.push(start..end);
        } else if let Some(last) = spans.last_mut()
            && last.end == at
        {
            last.end = end;
        }
        at = end;
    }
    spans
}

fn is_local(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte >= 0x80 || b".!#$%'*+^_`{|}~-".contains(&byte)
}

/// End of a domain with a dot and, after some dot, two letters: `18.2.0` is a version, not a domain.
fn domain(bytes: &[u8], start: usize) -> Option<usize> {
    let is_name = |b: u8| b.is_ascii_alphanumeric() || b >= 0x80;
    let mut end = start;
    while end < bytes.len() && (is_name(bytes[end]) || bytes[end] == b'.' || bytes[end] == b'-') {
        end += 1;
    }
    while end > start && !is_name(bytes[end - 1]) {
        end -= 1;
    }
    let is_letter = |b: u8| b.is_ascii_alphabetic() || b >= 0x80;
    let named = bytes[start..end]
        .windows(3)
        .any(|w| w[0] == b'.' && is_letter(w[1]) && is_letter(w[2]));
    (named && is_name(bytes[start])).then_some(end)
}

/// End of four dotted numbers of 0 to 255, and of further ones glued to them.
pub(super) fn ipv4(bytes: &[u8], start: usize) -> Option<usize> {
    let mut end = octet(bytes, start)?;
    for _ in 0..3 {
        end = dotted(bytes, end)?;
    }
    while let Some(next) = dotted(bytes, end) {
        end = next;
    }
    Some(end)
}

fn dotted(bytes: &[u8], at: usize) -> Option<usize> {
    if bytes.get(at) == Some(&b'.') {
        octet(bytes, at + 1)
    } else {
        None
    }
}

fn octet(bytes: &[u8], start: usize) -> Option<usize> {
    let n_digits = bytes[start..]
        .iter()
        .take(4)
        .take_while(|b| b.is_ascii_digit())
        .count();
    let digits = &bytes[start..start + n_digits];
    let value = digits
        .iter()
        .fold(0u32, |value, digit| value * 10 + u32::from(digit - b'0'));
    (1..=3).contains(&n_digits).then_some(())?;
    (value <= 255).then_some(start + n_digits)
}

/// End of an IPv6 address, or of eight and more hex groups that are too many for one.
pub(super) fn ipv6(bytes: &[u8], start: usize) -> Option<usize> {
    // The longest spelling, with an embedded IPv4 address, has 45 characters.
    const LONGEST: usize = 64;
    let stretch = &bytes[start..bytes.len().min(start + LONGEST)];
    let n = stretch
        .iter()
        .take_while(|b| b.is_ascii_hexdigit() || b":.".contains(b))
        .count();
    if stretch[..n].iter().filter(|b| **b == b':').count() < 2
        || !stretch[..n].iter().any(u8::is_ascii_hexdigit)
    {
        return None;
    }
    if n == LONGEST {
        return Some(start + n);
    }
    if bytes.get(start + n).is_some_and(u8::is_ascii_alphanumeric) {
        return None;
    }
    let mut text = std::str::from_utf8(&stretch[..n]).ok()?;
    text = text.trim_end_matches('.');
    if !text.ends_with("::") {
        text = text.trim_end_matches(':');
    }
    let too_many = text
        .split(':')
        .filter(|g| (1..=4).contains(&g.len()))
        .count()
        >= 8;
    (too_many || text.parse::<Ipv6Addr>().is_ok()).then_some(start + text.len())
}

/// End of a MAC address, in every notation that `apps::mac` reads but the bare one, which is a token: hex pairs joined by one
/// kind of separator, or three groups of four. Words such as `dead-beef-cafe` have no digit, and stay.
pub(super) fn mac(bytes: &[u8], start: usize) -> Option<usize> {
    let pair = |at: usize| is_hex(bytes, at, 2);
    if !pair(start) {
        return None;
    }
    let has_digit = |end: usize| bytes[start..end].iter().any(u8::is_ascii_digit);
    let separator = *bytes.get(start + 2)?;
    if matches!(separator, b':' | b'-' | b' ') {
        let mut n_pairs = 1;
        let mut end = start + 2;
        while bytes.get(end) == Some(&separator) && pair(end + 1) {
            n_pairs += 1;
            end += 3;
        }
        let is_one = n_pairs >= 6 && ends_word(bytes, end);
        return (is_one && (separator != b' ' || has_digit(end))).then_some(end);
    }
    let separator = *bytes.get(start + 4)?;
    let joined = |at: usize| bytes.get(at) == Some(&separator);
    let quad = |at: usize| is_hex(bytes, at, 4);
    let end = start + 14;
    let is_grouped = matches!(separator, b'.' | b':' | b'-')
        && quad(start)
        && quad(start + 5)
        && joined(start + 9)
        && quad(start + 10)
        && ends_word(bytes, end)
        // An IPv6 address goes on.
        && bytes.get(end) != Some(&b':');
    (is_grouped && (separator == b'.' || has_digit(end))).then_some(end)
}

/// End of a UUID in the spelling of RFC 9562, of any version and variant.
pub(super) fn uuid(bytes: &[u8], start: usize) -> Option<usize> {
    let mut at = start;
    for (index, n_hex) in [8, 4, 4, 4, 12].into_iter().enumerate() {
        if index > 0 {
            (bytes.get(at) == Some(&b'-')).then_some(())?;
            at += 1;
        }
        is_hex(bytes, at, n_hex).then_some(())?;
        at += n_hex;
    }
    ends_word(bytes, at).then_some(at)
}

fn is_hex(bytes: &[u8], at: usize, n: usize) -> bool {
    bytes
        .get(at..at + n)
        .is_some_and(|part| part.iter().all(u8::is_ascii_hexdigit))
}

fn ends_word(bytes: &[u8], at: usize) -> bool {
    !bytes.get(at).is_some_and(u8::is_ascii_alphanumeric)
}
