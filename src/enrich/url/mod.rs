//! The address of a page, reduced to what may be stored.
//!
//! In: the `url` of a beacon, as the page saw it. Out: host name, path, the query parameters the
//! site named, campaign parameters and whether an advertisement was clicked. Parsing is that of the
//! WHATWG URL standard, so brine and the browser agree about what is host and what is path.
//!
//! Promised: user name, password, port and fragment are gone; every query parameter that was not
//! named is gone; paths and values went through [`mask`](super::mask::mask). Scrubbing the result
//! again changes nothing. May be lost: what follows the first 512 bytes of a path, path parameters
//! (`;jsessionid=…`), the difference between percent-encoded and plain characters.
//!
//! Host names of the operator's own pages are kept, addresses included; the host of a *referrer* is someone else's and is
//! masked (see [`super::referrer`]), and so is that of a page that an app shows ([`PageUrl::mask_host`]).

pub(crate) mod address;

use std::borrow::Cow;
use std::net::IpAddr;

use compact_str::CompactString;
use url::form_urlencoded;

use self::address::Address;
use super::mask;
use super::referrer::masked_host;

/// Longest address that is read, in bytes. The limit of Plausible's events API, which the wire follows.
pub const URL_MAX_BYTES: usize = 2_000;
/// Longest stored path, in bytes.
pub const PATH_MAX_BYTES: usize = 512;
/// Longest stored query, in bytes; a parameter that would pass it is dropped whole.
pub const QUERY_MAX_BYTES: usize = 512;
/// Longest stored value of a campaign parameter, in bytes.
pub const UTM_MAX_BYTES: usize = 200;

/// Why an address is refused. The text of the address is never part of the message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UrlError {
    /// Longer than [`URL_MAX_BYTES`]. Nothing was cut: half a secret is hard to recognise.
    #[error("url: {bytes} bytes, at most {URL_MAX_BYTES} are read")]
    TooLong {
        /// Length received.
        bytes: usize,
    },
    /// Not an absolute URL.
    #[error("url: {0}")]
    Malformed(#[from] url::ParseError),
    /// Neither `http`, `https` nor `app`: a local file, a browser extension, a data URL.
    #[error("url: scheme is not http, https or app")]
    Scheme,
}

/// What a site wants to keep of its addresses.
#[derive(Clone, Debug, Default)]
pub struct UrlRules {
    /// Query parameters that are part of a page's identity.
    pub query: QueryAllowList,
    /// The site routes by fragment (`/#/users`): a fragment that starts with `/` or `!/` is then a part
    /// of the path. Other fragments are anchors and always dropped.
    pub hash_routing: bool,
}

/// Names of query parameters that are kept; matched exactly, as they are written in the address.
#[derive(Clone, Debug, Default)]
pub struct QueryAllowList(Vec<String>);

/// Why a parameter cannot be put on the list.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QueryNameError {
    /// Empty, longer than 64 bytes, or with characters other than letters, digits, `_`, `-`, `.`, `[`, `]`.
    #[error("not a name of 1 to 64 letters, digits or _-.[]")]
    NotAName(String),
    /// Click ids name a single click of a single person, and are read for their presence only.
    #[error("an advertiser's click id is never kept")]
    ClickId(String),
}

impl QueryNameError {
    /// Returns the name as written.
    pub fn name(&self) -> &str {
        match self {
            Self::NotAName(name) | Self::ClickId(name) => name,
        }
    }
}

impl QueryAllowList {
    /// Checks and collects the names.
    ///
    /// # Errors
    /// [`QueryNameError`] for the first name that is no name, or is a click id.
    pub fn new<N: Into<String>>(
        names: impl IntoIterator<Item = N>,
    ) -> Result<Self, QueryNameError> {
        let mut list = Vec::new();
        for name in names.into_iter().map(Into::into) {
            let is_part = |b: u8| b.is_ascii_alphanumeric() || b"_-.[]".contains(&b);
            if !(1..=64).contains(&name.len()) || !name.bytes().all(is_part) {
                return Err(QueryNameError::NotAName(name));
            }
            if PaidClick::of(&name).is_some() || OTHER_CLICK_IDS.contains(&name.as_str()) {
                return Err(QueryNameError::ClickId(name));
            }
            list.push(name);
        }
        list.sort_unstable();
        list.dedup();
        Ok(Self(list))
    }

    fn holds(&self, name: &str) -> bool {
        self.0
            .binary_search_by(|kept| kept.as_str().cmp(name))
            .is_ok()
    }
}

/// An address as it is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PageUrl {
    /// Lower case, IDNA (punycode), without `www.`, port and trailing dot; empty for `app:///screen`.
    pub hostname: CompactString,
    /// Starts with `/`; readable (`/søgning`), only `%`, `?`, `#`, `\`, quotes, spaces and control
    /// characters stay percent-encoded. At most [`PATH_MAX_BYTES`].
    pub path: CompactString,
    /// The kept parameters as `name=value&…`, in the order of the address, encoded like the path and
    /// `&`, `=`, `+` as well. Empty if none. At most [`QUERY_MAX_BYTES`].
    pub query: CompactString,
}

impl PageUrl {
    /// Masks the host, which is not one of the site's own: an app may show the page of a router, of an intranet, or anything
    /// under a name that it made up.
    pub fn mask_host(&mut self) {
        let host = decode_fully(&self.hostname);
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        self.hostname = match bare.parse::<IpAddr>() {
            Ok(_) => CompactString::const_new(mask::IP),
            Err(_) => CompactString::from(masked_host(bare)),
        };
    }
}

/// Campaign parameters, masked, each at most [`UTM_MAX_BYTES`]; empty where absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Utm {
    /// `utm_source`; without it `source`, then `ref`, as Plausible reads them.
    pub source: CompactString,
    /// `utm_medium`.
    pub medium: CompactString,
    /// `utm_campaign`.
    pub campaign: CompactString,
    /// `utm_term`.
    pub term: CompactString,
    /// `utm_content`.
    pub content: CompactString,
}

/// An advertisement was clicked, known by the click id the network added. The id itself is dropped.
/// `fbclid` and its like are no evidence: those networks mark unpaid clicks as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PaidClick {
    /// `gclid`, `gbraid`, `wbraid`: Google Ads.
    Google,
    /// `dclid`: Google's display network.
    GoogleDisplay,
    /// `msclkid`: Microsoft Advertising.
    Microsoft,
}

/// Click ids that prove nothing, and must not be kept either.
const OTHER_CLICK_IDS: [&str; 9] = [
    "fbclid",
    "ttclid",
    "twclid",
    "li_fat_id",
    "igshid",
    "yclid",
    "mc_eid",
    "_hsenc",
    "vero_id",
];

impl PaidClick {
    fn of(parameter: &str) -> Option<Self> {
        match parameter {
            "gclid" | "gbraid" | "wbraid" => Some(Self::Google),
            "dclid" => Some(Self::GoogleDisplay),
            "msclkid" => Some(Self::Microsoft),
            _ => None,
        }
    }
}

/// What one address says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scrubbed {
    /// Where the visitor was.
    pub page: PageUrl,
    /// The campaign that led there.
    pub utm: Utm,
    /// The advertisement that led there.
    pub click: Option<PaidClick>,
}

/// Reads an address and keeps what the rules allow.
///
/// # Errors
/// [`UrlError`]; the beacon is malformed and should be refused.
pub fn scrub(url: &str, rules: &UrlRules) -> Result<Scrubbed, UrlError> {
    if url.len() > URL_MAX_BYTES {
        return Err(UrlError::TooLong { bytes: url.len() });
    }
    let url = Address::read(url)?;
    if !matches!(url.scheme(), "http" | "https" | "app") {
        return Err(UrlError::Scheme);
    }
    let mut scrubbed = Scrubbed::default();
    scrubbed.page.hostname = hostname(url.host().unwrap_or_default()).into();
    let is_nameless = scrubbed.page.hostname.is_empty() && url.scheme() != "app";
    // An empty last label is no name either, and reads as another one when written again.
    if is_nameless || scrubbed.page.hostname.ends_with('.') {
        return Err(UrlError::Malformed(url::ParseError::EmptyHost));
    }
    scrubbed.page.path = scrub_path(url.path(), route_of(&url, rules));
    if let Some(query) = url.query() {
        read_query(query, rules, &mut scrubbed);
    }
    Ok(scrubbed)
}

/// The fragment where it is a route; its own query is as private as the other one.
fn route_of<'a>(url: &'a Address<'_>, rules: &UrlRules) -> Option<&'a str> {
    let fragment = url.fragment().filter(|_| rules.hash_routing)?;
    let is_route = fragment.starts_with('/') || fragment.starts_with("!/");
    is_route.then(|| fragment.split(['?', '#']).next().unwrap_or_default())
}

/// Lower case, without trailing dot and `www.`; `www.dk` itself stays.
pub(crate) fn hostname(host: &str) -> Cow<'_, str> {
    let mut name = host.strip_suffix('.').unwrap_or(host);
    while let Some((label, rest)) = name.split_once('.')
        && label.eq_ignore_ascii_case("www")
        && rest.contains('.')
    {
        name = rest;
    }
    if name.bytes().any(|b| b.is_ascii_uppercase()) {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    }
}

/// Decodes, masks, encodes and cuts a path; `route` follows after a `#`.
pub(super) fn scrub_path(path: &str, route: Option<&str>) -> CompactString {
    let mut stored = scrub_uncut(path, route);
    // Cutting can leave a new match or half an escape behind, so the cut path is scrubbed again. That
    // makes nothing longer: a route that was cut down to its mark is dropped, not begun anew.
    while stored.len() > PATH_MAX_BYTES {
        let cut = &stored[..stored.floor_char_boundary(PATH_MAX_BYTES)];
        let whole = match cut.rfind('%') {
            Some(escape) if cut.len() - escape < 3 => &cut[..escape],
            _ => cut,
        };
        stored = match whole.split_once('#') {
            Some((path, "" | "!")) => scrub_uncut(path, None),
            Some((path, route)) => scrub_uncut(path, Some(route)),
            None => scrub_uncut(whole, None),
        };
    }
    stored
}

fn scrub_uncut(path: &str, route: Option<&str>) -> CompactString {
    let mut stored = scrub_segments(path);
    if let Some(route) = route {
        let (mark, route) = route
            .strip_prefix('!')
            .map_or(("#", route), |route| ("#!", route));
        stored.push_str(mark);
        stored.push_str(&scrub_segments(route));
    }
    stored
}

fn scrub_segments(path: &str) -> CompactString {
    let decoded = decode_fully(path);
    let tidy = tidy_segments(&decoded);
    let masked = mask::mask(&tidy);
    let mut stored = CompactString::with_capacity(masked.len() + 1);
    if !masked.starts_with('/') {
        stored.push('/');
    }
    encode(&masked, |c| matches!(c, '?' | '#'), &mut stored);
    stored
}

/// Drops path parameters, and dot segments that only appeared by decoding.
fn tidy_segments(path: &str) -> Cow<'_, str> {
    let is_plain = !path.contains(';') && !path.contains("/.");
    if is_plain {
        return Cow::Borrowed(path);
    }
    let segments = path
        .split('/')
        .map(|s| s.split(';').next().unwrap_or_default());
    let kept: Vec<&str> = segments.filter(|s| *s != "." && *s != "..").collect();
    Cow::Owned(kept.join("/"))
}

/// Decodes percent escapes until none is left, so that double encoding hides nothing: `%2540` is an
/// at sign like `%40`. One pass: a finished escape is replaced at once and may finish another.
fn decode_fully(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let mut decoded: Vec<u8> = Vec::with_capacity(text.len());
    for &byte in text.as_bytes() {
        decoded.push(byte);
        while let [.., b'%', high, low] = decoded[..]
            && let (Some(high), Some(low)) = (hex(high), hex(low))
        {
            decoded.truncate(decoded.len() - 3);
            decoded.push(high << 4 | low);
        }
    }
    match String::from_utf8(decoded) {
        Ok(text) => Cow::Owned(text),
        Err(e) => Cow::Owned(String::from_utf8_lossy(e.as_bytes()).into_owned()),
    }
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

/// Escapes what would change meaning or layout when the text is read as an address again.
fn encode(text: &str, is_special: impl Fn(char) -> bool, out: &mut CompactString) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let is_safe = |c: char| {
        !(c.is_control()
            || c.is_whitespace()
            || matches!(c, '%' | '\\' | '"' | '<' | '>' | '`' | '{' | '}')
            || is_special(c))
    };
    let mut bytes = [0; 4];
    let mut rest = text;
    while let Some((at, c)) = rest.char_indices().find(|(_, c)| !is_safe(*c)) {
        out.push_str(&rest[..at]);
        rest = &rest[at + c.len_utf8()..];
        for &byte in c.encode_utf8(&mut bytes).as_bytes() {
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
    out.push_str(rest);
}

/// Sorts the parameters into campaign, click and kept ones; the others end here.
fn read_query(query: &str, rules: &UrlRules, scrubbed: &mut Scrubbed) {
    let mut source = Cow::Borrowed("");
    let mut referral = Cow::Borrowed("");
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        if value.is_empty() {
            continue;
        }
        match &*name {
            "utm_source" => scrubbed.utm.source = utm_value(&value),
            "utm_medium" => scrubbed.utm.medium = utm_value(&value),
            "utm_campaign" => scrubbed.utm.campaign = utm_value(&value),
            "utm_term" => scrubbed.utm.term = utm_value(&value),
            "utm_content" => scrubbed.utm.content = utm_value(&value),
            "source" => source = value.clone(),
            "ref" => referral = value.clone(),
            _ => {
                if let Some(click) = PaidClick::of(&name) {
                    scrubbed.click = Some(click);
                }
            }
        }
        if rules.query.holds(&name) {
            keep_parameter(&name, &value, &mut scrubbed.page.query);
        }
    }
    if scrubbed.utm.source.is_empty() {
        let fallback = if source.is_empty() { referral } else { source };
        scrubbed.utm.source = utm_value(&fallback);
    }
}

fn keep_parameter(name: &str, value: &str, query: &mut CompactString) {
    let before = query.len();
    if before > 0 {
        query.push('&');
    }
    query.push_str(name);
    query.push('=');
    let special = |c| matches!(c, '&' | '=' | '+' | '#' | ';');
    encode(&mask::mask(&decode_fully(value)), special, query);
    if query.len() > QUERY_MAX_BYTES {
        query.truncate(before);
    }
}

fn utm_value(value: &str) -> CompactString {
    mask::mask_cut(decode_fully(value).trim(), UTM_MAX_BYTES).into()
}

#[cfg(test)]
mod tests;
