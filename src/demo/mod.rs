//! `brine demo`: a small site that asks for consent and then sends beacons.
//!
//! Comes in: a path. Goes out: a file of the demo, or nothing. It asks by brine's own banner, and its pages
//! keep nothing on the device by themselves.

pub mod traffic;

use std::path::Path;

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{CONTENT_SECURITY_POLICY, HeaderValue};

use crate::route::{Reply, typed};

/// Settings of the demo: the reference deployment, whose portal also answers to this machine's names.
pub const SETTINGS: &str = concat!(
    include_str!("../config/reference.toml"),
    "\n# The demo's own page.\n"
);

const STYLE: &str = concat!(
    include_str!("../../dashboards/web/ground.css"),
    include_str!("demo.css"),
);

/// Returns the demo's file for `path`, if it has one.
pub fn file(path: &str) -> Option<Reply> {
    let (media_type, text) = match path {
        "/" | "/products" | "/products/portal" | "/contact" => {
            ("text/html; charset=utf-8", include_str!("page.html"))
        }
        "/demo.css" => ("text/css; charset=utf-8", STYLE),
        "/demo.svg" => ("image/svg+xml", include_str!("demo.svg")),
        "/demo.js" => ("text/javascript; charset=utf-8", include_str!("demo.js")),
        _ => return None,
    };
    let mut reply = typed(
        StatusCode::OK,
        media_type,
        Bytes::from_static(text.as_bytes()),
    );
    // What a site with a strict policy would send: the tracker needs nothing more.
    reply.headers_mut().insert(
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'self'"),
    );
    Some(reply)
}

/// The file in a directory that a demo has made. Without it a directory is somebody else's: a demo would open it to everybody,
/// end the salts of its sites, and `--fresh` would delete it.
pub const MARKER: &str = "brine.demo";

/// Tells whether a brine has worked in the directory before: anything but the lock and the demo's own mark is there.
///
/// # Errors
/// Those of reading the directory.
pub fn is_used(data: &Path) -> std::io::Result<bool> {
    for entry in std::fs::read_dir(data)? {
        let name = entry?.file_name();
        if name != "brine.lock" && name != MARKER {
            return Ok(true);
        }
    }
    Ok(false)
}
