//! An address, taken apart: by a look at its bytes where it is plain, by the parser of the WHATWG URL standard otherwise.
//!
//! In: the text of an address. Out: scheme, host, path, query and fragment, as that parser gives them. Nearly all addresses
//! that browsers send are plain: `http` or `https` (or `app`), a host of lower-case letters, digits and hyphens, and ASCII
//! that the parser would leave as it is. Those are read in one pass, without a copy.
//!
//! Promised: what is plain, the parser takes as well, and says the same about. Whatever might be rewritten goes the long
//! way: upper case, IDNA, anything that could be an IPv4 address, ports, user names, dot segments, backslashes, characters
//! that get escaped, tabs and spaces, which get dropped.

use url::{Host, Url};

/// An address that can be asked for its parts.
#[derive(Debug)]
pub(crate) enum Address<'a> {
    Plain(Plain<'a>),
    Parsed(Url),
}

/// The parts of an address that needs no parser.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Plain<'a> {
    scheme: &'static str,
    host: &'a str,
    path: &'a str,
    query: Option<&'a str>,
    fragment: Option<&'a str>,
}

impl<'a> Address<'a> {
    /// Takes `text` apart.
    ///
    /// # Errors
    /// What the parser says of something that is no absolute URL.
    pub(crate) fn read(text: &'a str) -> Result<Address<'a>, url::ParseError> {
        match Plain::read(text) {
            Some(plain) => Ok(Address::Plain(plain)),
            None => Url::parse(text).map(Address::Parsed),
        }
    }

    pub(crate) fn scheme(&self) -> &str {
        match self {
            Address::Plain(plain) => plain.scheme,
            Address::Parsed(url) => url.scheme(),
        }
    }

    pub(crate) fn host(&self) -> Option<&str> {
        match self {
            Address::Plain(plain) => Some(plain.host),
            Address::Parsed(url) => url.host_str(),
        }
    }

    /// Tells whether the host is a name, not an IP address.
    pub(crate) fn has_name(&self) -> bool {
        match self {
            Address::Plain(_) => true,
            Address::Parsed(url) => matches!(url.host(), Some(Host::Domain(_))),
        }
    }

    pub(crate) fn path(&self) -> &str {
        match self {
            Address::Plain(plain) => plain.path,
            Address::Parsed(url) => url.path(),
        }
    }

    pub(crate) fn query(&self) -> Option<&str> {
        match self {
            Address::Plain(plain) => plain.query,
            Address::Parsed(url) => url.query(),
        }
    }

    pub(crate) fn fragment(&self) -> Option<&str> {
        match self {
            Address::Plain(plain) => plain.fragment,
            Address::Parsed(url) => url.fragment(),
        }
    }
}

impl<'a> Plain<'a> {
    /// Reads an address that is plain; `None` says nothing about others.
    fn read(text: &'a str) -> Option<Plain<'a>> {
        const SCHEMES: [&str; 3] = ["https", "http", "app"];
        let (scheme, rest) = SCHEMES.into_iter().find_map(|scheme| {
            let rest = text.strip_prefix(scheme)?.strip_prefix("://")?;
            Some((scheme, rest))
        })?;
        let (host, rest) = taken(rest, HOST);
        if !is_plain_host(host) {
            return None;
        }
        let (path, rest) = taken(rest, PATH);
        let path = match path {
            // The parser gives a web address a path, and others none.
            "" if scheme != "app" => "/",
            _ if path.starts_with('/') && !has_dot_segment(path) => path,
            _ => return None,
        };
        let (query, rest) = part(rest, '?', QUERY);
        let (fragment, rest) = part(rest, '#', FRAGMENT);
        rest.is_empty().then_some(Plain {
            scheme,
            host,
            path,
            query,
            fragment,
        })
    }
}

/// Labels that IDNA leaves alone, the last of which no IPv4 address can end in (WHATWG URL, "ends in a number").
fn is_plain_host(host: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && !label.starts_with("xn--")
    };
    let last = host.rsplit('.').next().unwrap_or_default();
    host.len() <= 253
        && last.starts_with(|c: char| c.is_ascii_lowercase())
        && host.split('.').all(is_label)
}

/// A dot segment, plain or escaped, or what merely looks like one.
fn has_dot_segment(path: &str) -> bool {
    let bytes = path.as_bytes();
    bytes.windows(2).any(|pair| pair == b"/.")
        || bytes
            .windows(3)
            .any(|escape| matches!(escape, [b'%', b'2', b'e' | b'E']))
}

/// Splits off the bytes of a class.
fn taken(text: &str, class: u8) -> (&str, &str) {
    let is_other = |byte: &u8| CLASSES[usize::from(*byte)] & class == 0;
    let end = text.as_bytes().iter().position(is_other);
    // All classes are ASCII: where one ends, a character begins.
    text.split_at(end.unwrap_or(text.len()))
}

/// Splits off what follows `mark`, if the text starts with it.
fn part(text: &str, mark: char, class: u8) -> (Option<&str>, &str) {
    match text.strip_prefix(mark) {
        None => (None, text),
        Some(rest) => {
            let (part, rest) = taken(rest, class);
            (Some(part), rest)
        }
    }
}

const HOST: u8 = 1;
/// What the parser neither escapes nor takes for a separator.
const PATH: u8 = 2;
/// Escaped or not, it reads the same when the parameters are decoded.
const QUERY: u8 = 4;
const FRAGMENT: u8 = 8;

const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0x21;
    while byte < 0x7f {
        let b = byte as u8;
        let is_host = matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.');
        let is_path = b.is_ascii_alphanumeric()
            || matches!(
                b,
                b'/' | b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'&' | b'\''
            )
            || matches!(
                b,
                b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' | b':' | b'@' | b'%'
            );
        let is_query = is_path || matches!(b, b'?' | b'[' | b']' | b'|' | b'{' | b'}' | b'^');
        let is_fragment = is_path || matches!(b, b'?' | b'#');
        classes[byte] = ((is_host as u8) * HOST)
            | ((is_path as u8) * PATH)
            | ((is_query as u8) * QUERY)
            | ((is_fragment as u8) * FRAGMENT);
        byte += 1;
    }
    classes
};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::select;
    use url::form_urlencoded;

    use super::*;

    /// What the parser says, in the same words; `None` where it refuses, or sees a port or a user.
    fn parsed(text: &str) -> Option<(Url, Vec<(String, String)>)> {
        let url = Url::parse(text).ok()?;
        let pairs = url.query_pairs().into_owned().collect();
        let is_bare = url.port().is_none() && url.username().is_empty() && url.password().is_none();
        is_bare.then_some((url, pairs))
    }

    fn agrees(text: &str) -> Result<(), TestCaseError> {
        let Some(plain) = Plain::read(text) else {
            return Ok(());
        };
        let Some((url, pairs)) = parsed(text) else {
            return Err(TestCaseError::fail(format!("only one reads {text:?}")));
        };
        prop_assert_eq!(plain.scheme, url.scheme(), "{}", text);
        prop_assert_eq!(Some(plain.host), url.host_str(), "{}", text);
        prop_assert!(matches!(url.host(), Some(Host::Domain(_))), "{}", text);
        prop_assert_eq!(plain.path, url.path(), "{}", text);
        prop_assert_eq!(plain.fragment, url.fragment(), "{}", text);
        prop_assert_eq!(plain.query.is_some(), url.query().is_some(), "{}", text);
        let query = plain.query.unwrap_or_default().as_bytes();
        let plain_pairs: Vec<_> = form_urlencoded::parse(query).into_owned().collect();
        prop_assert_eq!(plain_pairs, pairs, "{}", text);
        Ok(())
    }

    #[test]
    fn what_browsers_send_is_plain() {
        for text in [
            "https://portal.example.test/products/7/item-3?utm_source=news",
            "https://www.google.com/",
            "https://example.dk",
            "http://example.dk?a=b#c",
            "https://example.dk/s%C3%B8gning/a%20b?q=r%C3%B8d+gr%C3%B8d&a[]=1#/route?x",
            "https://localhost/a//b/:id/@me/a;b=c",
            "https://a.b-c.d3/x'y(z)*!",
            "app://windows/orders/3/item-1",
        ] {
            assert!(Plain::read(text).is_some(), "{text}");
            agrees(text).unwrap();
        }
    }

    #[test]
    fn what_might_be_rewritten_is_left_to_the_parser() {
        for text in [
            "",
            "https:",
            "https://",
            "https:///a",
            "https:example.dk/",
            "HTTPS://example.dk/",
            "ftp://example.dk/",
            "https://Example.dk/",
            "https://example.dk:8443/",
            "https://example.dk:/",
            "https://jens@example.dk/",
            "https://jens:secret@example.dk/",
            "https://127.0.0.1/",
            "https://0x7f.1/",
            "https://a.0x7f/",
            "https://a.1/",
            "https://1/",
            "https://1./",
            "https://[::1]/",
            "https://example.dk./",
            "https://.example.dk/",
            "https://a..dk/",
            "https://-a.dk/",
            "https://xn--blbr-roah.dk/",
            "https://blåbær.dk/",
            "https://ex%61mple.dk/",
            "https://ex_ample.dk/",
            "https://example.dk\\a",
            "https://example.dk/a\\b",
            "https://example.dk/a/../b",
            "https://example.dk/./a",
            "https://example.dk/a/%2e%2E/b",
            "https://example.dk/.%2e/b",
            "https://example.dk/søgning",
            "https://example.dk/a b",
            "https://example.dk/a\tb",
            "https://example.dk/\n",
            " https://example.dk/",
            "https://example.dk/ ",
            "https://example.dk/{a}",
            "https://example.dk/\"",
            "https://example.dk/?a\tb",
            "https://example.dk/#a<b",
            "app://portal",
            "app:///start",
            "app://Portal/a",
        ] {
            assert_eq!(Plain::read(text), None, "{text}");
        }
    }

    fn piece() -> impl Strategy<Value = String> {
        let usual = select(vec![
            "https://",
            "http://",
            "app://",
            "HTTP://",
            "https:",
            "//",
            "/",
            "?",
            "#",
            ":",
            "@",
            ".",
            "..",
            "/./",
            "/../",
            "%2e",
            "%2E",
            "%2f",
            "%C3%B8",
            "%",
            "\\",
            "\t",
            "\n",
            " ",
            "www.",
            "example",
            "Example",
            ".dk",
            ".com",
            "localhost",
            "xn--",
            "xn--blbr-roah",
            "0x7f",
            "127",
            "1",
            "0",
            "-",
            "_",
            "ø",
            "å",
            "[",
            "]",
            "::1",
            ":8080",
            ":443",
            ":80",
            "a=b",
            "&",
            "+",
            "utm_source=news",
            "'",
            "\"",
            "<",
            "^",
            "|",
            "`",
            "{",
            "\u{0}",
            "\u{ad}",
            "\u{7f}",
        ])
        .prop_map(str::to_owned);
        prop_oneof![
            6 => usual,
            2 => "[a-z0-9.-]{1,8}",
            1 => any::<char>().prop_map(String::from),
            1 => "[ -~]{1,4}",
        ]
    }

    /// Pieces that parsers trip over, behind what most addresses begin with, so that many are plain.
    fn address() -> impl Strategy<Value = String> {
        let start = select(vec![
            "",
            "https://",
            "http://",
            "app://",
            "https://example.dk",
            "https://a.example.dk/",
            "https://example.dk/a/b",
            "app://portal/a",
            "https://example.dk/a?b=c",
            "https://example.dk/a?b=c#",
        ]);
        (start, proptest::collection::vec(piece(), 0..7))
            .prop_map(|(start, pieces)| start.to_owned() + &pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(50_000) })]

        #[test]
        fn short_and_long_way_say_the_same(text in address()) {
            agrees(&text)?;
        }

        #[test]
        fn any_single_byte_anywhere_is_no_trap(at in 0usize..44, byte in 0u8..128) {
            let text = "https://a1.example.dk/a/b-c.html?d=e&f=g#h/ij";
            let mut changed = text.as_bytes().to_vec();
            changed[at] = byte;
            let changed = String::from_utf8(changed).unwrap();
            agrees(&changed)?;
            agrees(&format!("{}{}", &text[..at], &changed[at..]))?;
            let inserted = format!("{}{}{}", &text[..at], char::from(byte), &text[at..]);
            agrees(&inserted)?;
        }
    }
}
