//! From a text to a reply: headers that every page has, and compression.

use std::io::Write;

use askama::Template;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::StatusCode;
use hyper::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE,
    CONTENT_SECURITY_POLICY, HeaderValue, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
};
use hyper::http::request::Parts;

use crate::policy::language::Language;
use crate::route::flow::{Broken, Piece, ReplyBody, Source};
use crate::route::{Reply, typed};
use crate::stats::export::Export;

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
    headers.append(VARY, HeaderValue::from_static("accept-language, cookie"));
    guarded(&mut reply);
    reply
}

/// Replies with a file to be saved.
pub(super) fn download(export: Export, name: &str, head: &Parts) -> Reply {
    let mut reply = typed(StatusCode::OK, "text/csv; charset=utf-8", Bytes::new());
    let is_compressed = accepts_gzip(head);
    let headers = reply.headers_mut();
    headers.append(VARY, HeaderValue::from_static("accept-encoding"));
    if is_compressed {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    *reply.body_mut() = ReplyBody::flowing(Download {
        export,
        encoder: is_compressed.then(|| GzEncoder::new(Vec::new(), Compression::new(5))),
    });
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
    let headers = reply.headers_mut();
    headers.append(VARY, HeaderValue::from_static("accept-encoding"));
    if !accepts_gzip(head) {
        *reply.body_mut() = Bytes::copy_from_slice(text).into();
        return;
    }
    let mut encoder = GzEncoder::new(Vec::with_capacity(text.len() / 4), Compression::new(5));
    // Writing to memory cannot fail.
    let written = encoder.write_all(text).and_then(|()| encoder.finish());
    match written {
        Ok(bytes) => {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            *reply.body_mut() = Bytes::from(bytes).into();
        }
        Err(_) => *reply.body_mut() = Bytes::copy_from_slice(text).into(),
    }
}

fn accepts_gzip(head: &Parts) -> bool {
    let accepted = head.headers.get(ACCEPT_ENCODING);
    let accepted = accepted.and_then(|value| value.to_str().ok());
    accepted.is_some_and(|value| {
        value
            .split(',')
            .any(|coding| coding.trim().starts_with("gzip"))
    })
}

/// An export on its way to a file.
struct Download {
    export: Export,
    encoder: Option<GzEncoder<Vec<u8>>>,
}

impl Download {
    async fn next(&mut self) -> Result<Option<Bytes>, Broken> {
        loop {
            let piece = self.export.piece().await.map_err(|error| {
                tracing::warn!("an export broke off: {error}");
                Broken
            })?;
            let Some(encoder) = &mut self.encoder else {
                return Ok(piece.map(Bytes::from));
            };
            let Some(text) = piece else {
                let last = self.encoder.take().map(GzEncoder::finish).transpose();
                return last.map(|last| last.map(Bytes::from)).map_err(|_| Broken);
            };
            encoder.write_all(text.as_bytes()).map_err(|_| Broken)?;
            let ready = std::mem::take(encoder.get_mut());
            if !ready.is_empty() {
                return Ok(Some(ready.into()));
            }
        }
    }
}

impl Source for Download {
    fn piece(&mut self) -> Piece<'_> {
        Box::pin(async { self.next().await.transpose() })
    }
}
