//! From a document to a reply: HTML with its headers, or JSON.

use std::sync::LazyLock;

use askama::Template;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_LANGUAGE, CONTENT_SECURITY_POLICY, ETAG,
    HeaderValue, IF_NONE_MATCH, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
};
use hyper::http::request::Parts;
use sha2::{Digest, Sha256};

use super::Ask;
use crate::policy::document::{Block, Document, Entry};
use crate::policy::language::Language;
use crate::route::{Reply, typed};

const STYLE: &str = concat!(
    include_str!("../../../dashboards/web/ground.css"),
    include_str!("../../../dashboards/web/text.css"),
    include_str!("../page.css"),
);

/// Nothing may be loaded, nothing may run; the page's own style is known by its hash (CSP Level 3, section 2.3.1).
static SECURITY_POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let hash = STANDARD.encode(Sha256::digest(STYLE));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    // Base64 and these words are a valid header value.
    HeaderValue::from_str(&policy).expect("ASCII")
});

/// The page around a document.
#[derive(Template)]
#[template(path = "page.html", config = "src/policy/askama.toml")]
pub(super) struct Page<'a> {
    pub(super) language: Language,
    pub(super) languages: Vec<Other>,
    pub(super) document: &'a Document,
    /// Whose page it is.
    pub(super) owner: &'a str,
    /// Why this is not the policy in force; empty where it is.
    pub(super) notice: String,
    /// Where the one in force is.
    pub(super) current: Option<String>,
    /// Version, date, and where the others are.
    pub(super) edition: Vec<Entry>,
    pub(super) style: &'static str,
}

/// The same page in a language.
pub(super) struct Other {
    language: Language,
    name: &'static str,
    href: String,
}

impl<'a> Page<'a> {
    pub(super) fn new(
        ask: &Ask,
        path: &str,
        scope: Option<&str>,
        document: &'a Document,
    ) -> Page<'a> {
        let languages = Language::ALL.map(|language| Other {
            language,
            name: language.pick("English", "Dansk"),
            href: ask.href(path, scope, language),
        });
        Page {
            language: ask.language,
            languages: languages.into(),
            document,
            owner: "",
            notice: String::new(),
            current: None,
            edition: Vec::new(),
            style: STYLE,
        }
    }

    fn say(&self, en: &'static str, da: &'static str) -> &'static str {
        self.language.pick(en, da)
    }
}

/// Replies with a page, or with 304 where the browser has it already.
pub(super) fn page_reply(page: &Page<'_>, head: &Parts) -> Reply {
    // The template writes texts into memory; there is nothing that could fail.
    let text = page.render().expect("a page renders");
    let mut reply = validated("text/html; charset=utf-8", text.into_bytes(), head);
    let headers = reply.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, SECURITY_POLICY.clone());
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(
        CONTENT_LANGUAGE,
        HeaderValue::from_static(page.language.tag()),
    );
    reply
}

/// Replies with JSON that any page may read: it is public.
pub(super) fn json_reply(value: &serde_json::Value, head: &Parts) -> Reply {
    let mut reply = validated("application/json", value.to_string().into_bytes(), head);
    reply
        .headers_mut()
        .insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    reply
}

/// Caches must ask each time: a material change is in force at once. (RFC 9110, section 13.1.2)
fn validated(media_type: &'static str, body: Vec<u8>, head: &Parts) -> Reply {
    let tag = format!("\"{}\"", &blake3::hash(&body).to_hex()[..16]);
    // Hexadecimal digits in quotes are a valid header value.
    let tag = HeaderValue::from_str(&tag).expect("digits and quotes");
    let is_known = head.headers.get(IF_NONE_MATCH) == Some(&tag);
    let mut reply = match is_known {
        true => typed(StatusCode::NOT_MODIFIED, media_type, Bytes::new()),
        false => typed(StatusCode::OK, media_type, Bytes::from(body)),
    };
    let headers = reply.headers_mut();
    headers.insert(ETAG, tag);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(
        VARY,
        HeaderValue::from_static("accept, accept-language, host"),
    );
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    reply
}
