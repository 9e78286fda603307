//! `/brine.js`: the tracker, and what serves it.

use std::sync::LazyLock;

use bytes::Bytes;
use hyper::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, ETAG, HeaderValue, IF_NONE_MATCH,
};
use hyper::StatusCode;
use hyper::http::request::Parts;

use crate::route::{Reply, typed};

/// The tracker's source, served as it is written.
pub const SOURCE: &str = include_str!("brine.js");

static TAG: LazyLock<HeaderValue> = LazyLock::new(|| {
    let tag = format!("\"{}\"", &blake3::hash(SOURCE.as_bytes()).to_hex()[..16]);
    // Hexadecimal digits in quotes are a valid header value.
    HeaderValue::from_str(&tag).unwrap_or(HeaderValue::from_static("\"0\""))
});

/// Serves the tracker; browsers ask again after an hour and get 304 while it is the same.
pub fn script(head: &Parts) -> Reply {
    let is_known = head.headers.get(IF_NONE_MATCH) == Some(&*TAG);
    let mut reply = if is_known {
        typed(StatusCode::NOT_MODIFIED, "text/javascript; charset=utf-8", Bytes::new())
    } else {
        typed(StatusCode::OK, "text/javascript; charset=utf-8", Bytes::from_static(SOURCE.as_bytes()))
    };
    let headers = reply.headers_mut();
    headers.insert(ETAG, TAG.clone());
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=3600"));
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    reply
}
