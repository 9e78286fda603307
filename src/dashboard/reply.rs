//! From a text to a reply: headers that every page has, and compression.

use std::io::Write;

use askama::Template;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http_body_util::Full;
use hyper::StatusCode;
use hyper::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE,
    CONTENT_SECURITY_POLICY, HeaderValue, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
};
use hyper::http::request::Parts;

use crate::policy::language::Language;
use crate::route::{Reply, typed};

/// Nothing from elsewhere, nothing inline; forms and the script's own requests go to this listener.
const SECURITY_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; \
     form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
);

/// Replies with a page.
pub(super) fn page(
    status: StatusCode,
    page: &impl Template,
    language: Language,
    head: &Parts,
) -> Reply {
    // The template writes texts into memory; there is nothing that could fail.
    let text = page.render().expect("a page renders");
    let mut reply = typed(status, "text/html; charset=utf-8", Bytes::new());
    compressed(&mut reply, text.as_bytes(), head);
    let headers = reply.headers_mut();
    headers.insert(CONTENT_LANGUAGE, HeaderValue::from_static(language.tag()));
    headers.append(VARY, HeaderValue::from_static("accept-language"));
    guarded(&mut reply);
    reply
}

/// Replies with a file to be saved.
pub(super) fn download(text: &str, name: &str, head: &Parts) -> Reply {
    let mut reply = typed(StatusCode::OK, "text/csv; charset=utf-8", Bytes::new());
    compressed(&mut reply, text.as_bytes(), head);
    let name: String = name
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
        .collect();
    // Letters, digits and a few signs in quotes are a valid header value.
    if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")) {
        reply.headers_mut().insert(CONTENT_DISPOSITION, value);
    }
    guarded(&mut reply);
    reply
}

/// Numbers are for who asked, and for now: nothing between here and the reader keeps them.
pub(super) fn guarded(reply: &mut Reply) {
    let headers = reply.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, SECURITY_POLICY);
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
}

/// Puts the text into the reply, by gzip where the reader takes it (RFC 9110, section 12.5.3).
pub(super) fn compressed(reply: &mut Reply, text: &[u8], head: &Parts) {
    let accepted = head.headers.get(ACCEPT_ENCODING);
    let accepts = accepted
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| {
            value
                .split(',')
                .any(|coding| coding.trim().starts_with("gzip"))
        });
    let headers = reply.headers_mut();
    headers.append(VARY, HeaderValue::from_static("accept-encoding"));
    if !accepts {
        *reply.body_mut() = Full::new(Bytes::copy_from_slice(text));
        return;
    }
    let mut encoder = GzEncoder::new(Vec::with_capacity(text.len() / 4), Compression::new(5));
    // Writing to memory cannot fail.
    let written = encoder.write_all(text).and_then(|()| encoder.finish());
    match written {
        Ok(bytes) => {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            *reply.body_mut() = Full::new(Bytes::from(bytes));
        }
        Err(_) => *reply.body_mut() = Full::new(Bytes::copy_from_slice(text)),
    }
}
