//! The body of `POST /api/events` (README, "Apps").
//!
//! Events are read one by one out of the body, so that one that cannot be read is refused by itself. Their keys are those of
//! `POST /api/event`, long or short; unknown keys are ignored there as here.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::beacon::wire::{Props, Text, Wire, WireRevenue, WireVisit, WireVitals};

/// A batch as written, borrowed from the body.
#[derive(Debug, Deserialize)]
pub(super) struct WireBatch<'a> {
    #[serde(borrow, alias = "d", alias = "domain")]
    pub(super) site: Text<'a>,
    /// Milliseconds since 1970 by the sender's clock.
    #[serde(default)]
    pub(super) sent_at: Option<f64>,
    #[serde(borrow, alias = "c", default)]
    pub(super) consent: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) device: WireDevice<'a>,
    #[serde(borrow, default)]
    pub(super) visitor: Option<WireVisitor<'a>>,
    #[serde(alias = "rc", default)]
    pub(super) receipts: bool,
    #[serde(borrow)]
    pub(super) events: Vec<&'a RawValue>,
}

/// The device and the app on it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct WireDevice<'a> {
    #[serde(borrow)]
    pub(super) install_id: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) mac: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) mac_hash: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) platform: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) app_version: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) os: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) model_class: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) locale: Option<Text<'a>>,
}

impl WireDevice<'_> {
    /// Tells whether anything was said.
    pub(super) fn is_empty(&self) -> bool {
        let said = [
            &self.mac,
            &self.mac_hash,
            &self.platform,
            &self.app_version,
            &self.os,
            &self.model_class,
            &self.locale,
        ];
        said.into_iter().all(Option::is_none)
    }
}

/// Whom a server reports for; with the site's key alone.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct WireVisitor<'a> {
    #[serde(borrow)]
    pub(crate) address: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) user_agent: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) accept_language: Option<Text<'a>>,
    pub(crate) gpc: bool,
    pub(crate) dnt: bool,
}

/// One event of a batch.
#[derive(Debug, Deserialize)]
pub(super) struct WireEvent<'a> {
    #[serde(borrow, alias = "n", default)]
    name: Option<Text<'a>>,
    #[serde(borrow, alias = "u", default)]
    url: Option<Text<'a>>,
    #[serde(borrow, default)]
    screen: Option<Text<'a>>,
    #[serde(default)]
    pub(super) ts: Option<f64>,
    #[serde(borrow, default)]
    id: Option<Text<'a>>,
    #[serde(borrow, alias = "r", default)]
    referrer: Option<Text<'a>>,
    #[serde(alias = "p", alias = "m", alias = "meta", default)]
    props: Props,
    #[serde(alias = "$", default)]
    revenue: Option<WireRevenue>,
    #[serde(alias = "i", default)]
    interactive: Option<bool>,
    #[serde(alias = "e", default)]
    engagement_ms: Option<f64>,
    #[serde(alias = "sd", default)]
    scroll_depth: Option<f64>,
    #[serde(borrow, alias = "s", default)]
    visit: Option<WireVisit<'a>>,
    #[serde(borrow, alias = "rv", default)]
    days_since_last: Option<Text<'a>>,
    #[serde(alias = "w", default)]
    width: Option<f64>,
    #[serde(alias = "wv", default)]
    vitals: Option<WireVitals>,
}

impl<'a> WireEvent<'a> {
    /// Returns it as a single event would be written. A screen is a page of the app; an event without a name a view of it.
    pub(super) fn into_wire(self, site: &str, install_id: Option<&Text<'a>>) -> Wire<'a> {
        let url = match (self.url, self.screen) {
            (Some(url), _) => url,
            (None, Some(Text(screen))) => Text(screen_url(site, &screen).into()),
            (None, None) => Text(screen_url(site, "").into()),
        };
        Wire {
            n: self.name.unwrap_or(Text("pageview".into())),
            u: url,
            r: self.referrer,
            p: self.props,
            revenue: self.revenue,
            i: self.interactive,
            sd: self.scroll_depth,
            e: self.engagement_ms,
            w: self.width,
            vid: install_id.cloned(),
            s: self.visit,
            id: self.id,
            rv: self.days_since_last,
            wv: self.vitals,
            ..Wire::default()
        }
    }
}

/// A screen's address. What would end a path is part of its name.
pub(crate) fn screen_url(site: &str, screen: &str) -> String {
    let screen = screen.trim_start_matches('/');
    let mut url = String::with_capacity(7 + site.len() + screen.len());
    url.push_str("app://");
    url.push_str(site);
    url.push('/');
    let mut rest = screen;
    while let Some(at) = rest.find(['?', '#']) {
        url.push_str(&rest[..at]);
        url.push_str(if rest.as_bytes()[at] == b'?' {
            "%3F"
        } else {
            "%23"
        });
        rest = &rest[at + 1..];
    }
    url.push_str(rest);
    url
}
