//! Style and script: two files, named by their hash, so that browsers keep them for good.

use std::sync::LazyLock;

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{CACHE_CONTROL, HeaderValue};
use hyper::http::request::Parts;

use super::reply::{compressed, guarded};
use crate::route::{Reply, problem, typed};

const STYLE: &str = concat!(
    include_str!("../../dashboards/web/ground.css"),
    include_str!("../../dashboards/web/dashboard.css"),
);
const ICON: &str = include_str!("../../dashboards/web/icon.svg");
const SCRIPT: &str = include_str!("../../dashboards/web/dashboard.js");

static STYLE_PATH: LazyLock<String> = LazyLock::new(|| path("dashboard", STYLE, "css"));
static ICON_PATH: LazyLock<String> = LazyLock::new(|| path("icon", ICON, "svg"));
static SCRIPT_PATH: LazyLock<String> = LazyLock::new(|| path("dashboard", SCRIPT, "js"));

fn path(name: &str, text: &str, ending: &str) -> String {
    let hash = blake3::hash(text.as_bytes()).to_hex();
    format!("/static/{name}-{}.{ending}", &hash[..12])
}

/// Where the style is.
pub(super) fn style_path() -> &'static str {
    &STYLE_PATH
}

/// Where the icon is.
pub(super) fn icon_path() -> &'static str {
    &ICON_PATH
}

/// Where the script is.
pub(super) fn script_path() -> &'static str {
    &SCRIPT_PATH
}

/// Answers `/static/<name>`.
pub(super) fn answer(name: &str, head: &Parts) -> Reply {
    let is_at = |path: &str| path.strip_prefix("/static/") == Some(name);
    let (media_type, text) = if is_at(&STYLE_PATH) {
        ("text/css; charset=utf-8", STYLE)
    } else if is_at(&ICON_PATH) {
        ("image/svg+xml", ICON)
    } else if is_at(&SCRIPT_PATH) {
        ("text/javascript; charset=utf-8", SCRIPT)
    } else {
        return problem(StatusCode::NOT_FOUND, None, "no such file");
    };
    let mut reply = typed(StatusCode::OK, media_type, Bytes::new());
    compressed(&mut reply, text.as_bytes(), head);
    guarded(&mut reply);
    reply.headers_mut().insert(
        CACHE_CONTROL,
        HeaderValue::from_static("public, max-age=31536000, immutable"),
    );
    reply
}
