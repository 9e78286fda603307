//! `GET /pixel.gif?n&u&d&r…`: a page view from a page without script. The consent comes as a cookie.

use jiff::Timestamp;
use url::form_urlencoded;

use super::wire::{Text, Wire};
use super::{Beacon, Refused, from_wire, malformed};
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
) -> Result<Beacon, Refused> {
    let mut wire = Wire {
        n: Text("pageview".into()),
        u: Text(referer.unwrap_or_default().into()),
        d: Text::default(),
        r: None,
        p: super::wire::Props::default(),
        revenue: None,
        i: None,
        sd: None,
        e: None,
        w: None,
        c: None,
        vid: None,
        s: None,
        id: None,
        rv: None,
        wv: None,
        rc: None,
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
    from_wire(wire, None, client, sites, received)
}
