//! A request for a script → the script.
//!
//! Comes in: a path and a request's headers. Goes out: the script, compressed where the browser takes gzip;
//! 304 where it has the same already; 404 that says which version there is. `/brine.js` and
//! `/brine/<name>.js` are the present version, asked about again after an hour. `/brine.<hash>.js` and
//! `/brine/<name>.<hash>.js` never change: browsers keep them for a year without asking.

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{
    ACCEPT_ENCODING, ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_ENCODING, ETAG, HeaderMap,
    HeaderValue, IF_NONE_MATCH, VARY,
};

use super::{Script, scripts};
use crate::route::{Reply, problem, typed};

const MEDIA_TYPE: &str = "text/javascript; charset=utf-8";
const FOR_AN_HOUR: HeaderValue = HeaderValue::from_static("public, max-age=3600");
const FOR_GOOD: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

/// Tells whether `path` is a script's, of this version or another.
pub fn owns(path: &str) -> bool {
    ["/brine.", "/brine/"]
        .iter()
        .any(|front| path.starts_with(front))
        && path.ends_with(".js")
}

/// Answers a request for the script at `path`.
pub fn script(path: &str, headers: &HeaderMap) -> Reply {
    let found = scripts().iter().find_map(|script| {
        let caching = match path {
            path if path == script.path() => FOR_AN_HOUR,
            path if path == script.pinned_path() => FOR_GOOD,
            _ => return None,
        };
        Some((script, caching))
    });
    let Some((script, caching)) = found else {
        return missing(path);
    };
    let is_gzip = accepts_gzip(headers);
    let tag = tag(script, is_gzip);
    let is_known = headers
        .get_all(IF_NONE_MATCH)
        .iter()
        .any(|sent| lists(sent, &tag));
    let (status, body) = match (is_known, is_gzip) {
        (true, _) => (StatusCode::NOT_MODIFIED, Bytes::new()),
        (false, true) => (StatusCode::OK, script.gzip.clone()),
        (false, false) => (StatusCode::OK, script.plain.clone()),
    };
    let mut reply = typed(status, MEDIA_TYPE, body);
    let headers = reply.headers_mut();
    if is_gzip && !is_known {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    headers.insert(ETAG, tag);
    headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
    headers.insert(CACHE_CONTROL, caching);
    // Subresource Integrity reads scripts of other origins only with CORS.
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    reply
}

/// Says what there is instead. Not to be kept: while collectors are upgraded one by one, another one may have
/// the version that this one lacks.
fn missing(path: &str) -> Reply {
    let same_name = |script: &&Script| {
        let front = script.pinned_path();
        let front = front
            .strip_suffix(&format!("{}.js", script.hash))
            .unwrap_or(&front);
        path.strip_prefix(front)
            .and_then(|rest| rest.strip_suffix(".js"))
            .is_some_and(|hash| hash.len() == script.hash.len())
    };
    let detail = match scripts().iter().find(same_name) {
        Some(script) => format!(
            "this is not the version of {} that is served here, which is {} with integrity {}",
            script.path(),
            script.pinned_path(),
            script.integrity
        ),
        None => "no script of this name; `brine tracker` lists them".to_owned(),
    };
    let mut reply = problem(StatusCode::NOT_FOUND, None, &detail);
    let headers = reply.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    reply
}

/// A validator for each representation (RFC 9110, section 8.8.3.3).
fn tag(script: &Script, is_gzip: bool) -> HeaderValue {
    let mark = if is_gzip { "-gzip" } else { "" };
    // Hexadecimal digits and letters in quotes are a valid header value.
    HeaderValue::from_str(&format!("\"{}{mark}\"", script.hash)).expect("digits and quotes")
}

/// Tells whether `If-None-Match` lists the tag; a proxy may have made it a weak one, which compares the same
/// here (RFC 9110, section 13.1.2).
fn lists(sent: &HeaderValue, tag: &HeaderValue) -> bool {
    let (Ok(sent), Ok(tag)) = (sent.to_str(), tag.to_str()) else {
        return false;
    };
    sent.split(',')
        .map(|one| one.trim())
        .any(|one| one.strip_prefix("W/").unwrap_or(one) == tag)
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
    use hyper::body::Body;
    use hyper::header::CONTENT_TYPE;

    use super::*;

    fn ask(path: &str, sent: &[(&'static str, &str)]) -> Reply {
        let headers = sent
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect();
        script(path, &headers)
    }

    #[test]
    fn a_browser_gets_what_it_can_read_and_only_when_it_changed() {
        let plain = ask("/brine.js", &[]);
        assert_eq!(plain.headers()[CONTENT_TYPE], MEDIA_TYPE);
        assert!(!plain.headers().contains_key(CONTENT_ENCODING));
        let packed = ask("/brine.js", &[("accept-encoding", "br, gzip;q=0.8")]);
        assert_eq!(packed.headers()[CONTENT_ENCODING], "gzip");
        assert_ne!(packed.headers()[ETAG], plain.headers()[ETAG]);
        let unpacked = ask("/brine.js", &[("accept-encoding", "br, gzip;q=0")]);
        assert!(!unpacked.headers().contains_key(CONTENT_ENCODING));
        let tag = packed.headers()[ETAG].to_str().unwrap();
        for known in [tag.to_owned(), format!("\"other\", W/{tag}")] {
            let sent = [
                ("accept-encoding", "gzip"),
                ("if-none-match", known.as_str()),
            ];
            let again = ask("/brine.js", &sent);
            assert_eq!(again.status(), StatusCode::NOT_MODIFIED, "{known}");
            assert_eq!(again.body().size_hint().exact(), Some(0));
        }
    }

    #[test]
    fn a_path_with_the_hash_is_kept_for_good_and_one_without_for_an_hour() {
        for script in scripts() {
            let named = ask(&script.path(), &[]);
            assert_eq!(named.headers()[CACHE_CONTROL], FOR_AN_HOUR);
            let pinned = ask(&script.pinned_path(), &[]);
            assert_eq!(pinned.status(), StatusCode::OK);
            assert_eq!(pinned.headers()[CACHE_CONTROL], FOR_GOOD);
            assert_eq!(pinned.headers()[ETAG], named.headers()[ETAG]);
            assert!(owns(&script.path()) && owns(&script.pinned_path()));
        }
    }

    #[test]
    fn an_old_hash_is_told_which_version_there_is() {
        for path in [
            "/brine.0123456789abcdef.js",
            "/brine/none.js",
            "/brine/.js",
            "/brine..js",
        ] {
            assert!(owns(path));
            let reply = ask(path, &[]);
            assert_eq!(reply.status(), StatusCode::NOT_FOUND, "{path}");
            assert_eq!(reply.headers()[CACHE_CONTROL], "no-store");
        }
        for path in ["/", "/brine", "/brine.json", "/brinejs", "/brine/"] {
            assert!(!owns(path), "{path}");
        }
    }
}
