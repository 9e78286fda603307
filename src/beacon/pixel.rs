//! `GET /pixel.gif?n&u&d&r…`: a page view from a page without script. The consent comes as `c` or as a cookie.

use std::sync::Arc;

use jiff::Timestamp;
use url::form_urlencoded;

use super::wire::{Text, Wire};
use super::{Beacon, Refused, from_wire, malformed, site_of};
use crate::client::Client;
use crate::config::Sites;

/// Parses the query of a pixel; `n` defaults to `pageview`, `u` to the `Referer` of the request, which
/// for an image is the page that shows it.
///
/// # Errors
/// As [`super::from_body`].
pub fn from_query(
    query: &str,
    referer: Option<&str>,
    client: Client,
    sites: &Sites,
    received: Timestamp,
) -> Result<Box<Beacon>, Refused> {
    let mut wire = Wire {
        n: Text("pageview".into()),
        u: Text(referer.unwrap_or_default().into()),
        ..Wire::default()
    };
    for (key, value) in form_urlencoded::parse(query.as_bytes()) {
        match key.as_ref() {
            "n" | "name" => wire.n = Text(value),
            "u" | "url" => wire.u = Text(value),
            "d" | "domain" => wire.d = Text(value),
            "r" | "referrer" => wire.r = Some(Text(value)),
            "c" => wire.c = Some(Text(value)),
            _ => {}
        }
    }
    if wire.d.0.is_empty() {
        return Err(malformed(None, "d: the site is missing"));
    }
    let site = site_of(&wire.d.0, None, sites)?.clone();
    from_wire(wire, &site, Arc::new(client), received)
}
