//! `/brine.js`: the tracker, and what serves it.
//!
//! Comes in: a request's head. Goes out: `brine.js` without its comments and indentation (a reader of
//! the source needs them, a phone does not), compressed where the browser takes gzip. The text is
//! otherwise as written: names are not shortened, so that what runs can be read in the browser.

use std::io::Write;
use std::sync::LazyLock;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::StatusCode;
use hyper::header::{
    ACCEPT_ENCODING, ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_ENCODING, ETAG, HeaderMap,
    HeaderValue, IF_NONE_MATCH, VARY,
};
use hyper::http::request::Parts;

use crate::route::{Reply, typed};

const MEDIA_TYPE: &str = "text/javascript; charset=utf-8";

/// One representation of the script: its bytes and their validator (RFC 9110, section 8.8.3).
struct Served {
    bytes: Bytes,
    tag: HeaderValue,
}

static PLAIN: LazyLock<Served> =
    LazyLock::new(|| served(Bytes::from(bare(include_str!("brine.js")).into_bytes())));
static GZIP: LazyLock<Served> = LazyLock::new(|| served(gzip(&PLAIN.bytes)));

/// Serves the tracker; browsers ask again after an hour and get 304 while it is the same.
pub fn script(head: &Parts) -> Reply {
    let is_gzip = accepts_gzip(&head.headers);
    let served = if is_gzip { &*GZIP } else { &*PLAIN };
    let is_known = head.headers.get(IF_NONE_MATCH) == Some(&served.tag);
    let (status, body) = match is_known {
        true => (StatusCode::NOT_MODIFIED, Bytes::new()),
        false => (StatusCode::OK, served.bytes.clone()),
    };
    let mut reply = typed(status, MEDIA_TYPE, body);
    let headers = reply.headers_mut();
    if is_gzip && !is_known {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    headers.insert(ETAG, served.tag.clone());
    headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
    headers.insert(
        CACHE_CONTROL,
        HeaderValue::from_static("public, max-age=3600"),
    );
    // Subresource Integrity reads scripts of other origins only with CORS.
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    reply
}

/// Drops comment lines and indentation. Only whole `//` lines: telling a comment from a string within a
/// line would need a parser, and a test sees to it that the source has no text over several lines.
fn bare(source: &str) -> String {
    let is_code = |line: &&str| !line.is_empty() && !line.starts_with("//");
    source
        .lines()
        .map(str::trim)
        .filter(is_code)
        .flat_map(|line| [line, "\n"])
        .collect()
}

fn gzip(bytes: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    // Writing to memory cannot fail.
    encoder
        .write_all(bytes)
        .and_then(|()| encoder.finish())
        .expect("a vector takes every byte")
        .into()
}

fn served(bytes: Bytes) -> Served {
    let tag = format!("\"{}\"", &blake3::hash(&bytes).to_hex()[..16]);
    // Hexadecimal digits in quotes are a valid header value.
    let tag = HeaderValue::from_str(&tag).expect("digits and quotes");
    Served { bytes, tag }
}

/// Tells whether gzip is among the accepted encodings (RFC 9110, section 12.5.3). `*` alone is left out:
/// every browser names gzip.
fn accepts_gzip(headers: &HeaderMap) -> bool {
    headers
        .get_all(ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|coding| {
            let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
            let is_refused = weight
                .trim()
                .strip_prefix("q=")
                .is_some_and(|q| q.parse() == Ok(0.0));
            name.trim().eq_ignore_ascii_case("gzip") && !is_refused
        })
}

#[cfg(test)]
mod tests {
    use hyper::Request;
    use hyper::body::Body;
    use hyper::header::CONTENT_TYPE;

    use super::*;

    fn ask(headers: &[(&str, &str)]) -> Reply {
        let mut request = Request::get("/brine.js");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        script(&request.body(()).unwrap().into_parts().0)
    }

    /// The size that README states.
    #[test]
    fn the_tracker_is_at_most_2500_bytes_gzipped() {
        let n_bytes = GZIP.bytes.len();
        println!("brine.js: {} bytes, {n_bytes} gzipped", PLAIN.bytes.len());
        assert!(n_bytes <= 2_500, "brine.js has {n_bytes} bytes gzipped");
    }

    #[test]
    fn only_comments_and_indentation_are_dropped() {
        let source = "// What it is.\n(() => {\n  // Why.\n  f(\"a // b\");\n\n})();\n";
        assert_eq!(bare(source), "(() => {\nf(\"a // b\");\n})();\n");
        // A template or an escaped line end would let text span lines, and lose its indentation; a block
        // comment would stay.
        let written = include_str!("brine.js");
        for mark in ["`", "\\\n", "/*"] {
            assert!(!written.contains(mark), "{mark:?}");
        }
    }

    #[test]
    fn a_browser_gets_what_it_can_read_and_only_when_it_changed() {
        let plain = ask(&[]);
        assert_eq!(plain.headers()[CONTENT_TYPE], MEDIA_TYPE);
        assert!(!plain.headers().contains_key(CONTENT_ENCODING));
        let packed = ask(&[("accept-encoding", "br, gzip;q=0.8")]);
        assert_eq!(packed.headers()[CONTENT_ENCODING], "gzip");
        assert_ne!(packed.headers()[ETAG], plain.headers()[ETAG]);
        assert!(
            !ask(&[("accept-encoding", "br, gzip;q=0")])
                .headers()
                .contains_key(CONTENT_ENCODING)
        );
        let tag = packed.headers()[ETAG].to_str().unwrap();
        let again = ask(&[("accept-encoding", "gzip"), ("if-none-match", tag)]);
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(again.body().size_hint().exact(), Some(0));
    }
}
