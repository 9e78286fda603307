//! Beacons as their senders write them.

use std::borrow::Cow;
use std::net::IpAddr;

use hyper::HeaderMap;
use hyper::header::{ACCEPT_LANGUAGE, HeaderName, HeaderValue, USER_AGENT};
use serde::Serialize;

use crate::client::Client;

/// The JSON of one beacon; keys as in README, "Wire".
#[derive(Debug, Default, Serialize)]
pub struct Body {
    pub(super) n: Cow<'static, str>,
    pub(super) u: String,
    pub(super) d: &'static str,
    /// The consent: filled in when it is sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub c: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) s: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) w: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) r: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) e: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sd: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) wv: Option<Vitals>,
    #[serde(skip_serializing_if = "Props::is_empty")]
    pub(super) props: Props,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) revenue: Option<Revenue>,
}

/// Properties, in order.
#[derive(Debug, Default)]
pub(super) struct Props(pub(super) Vec<(&'static str, &'static str)>);

impl Props {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Props {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().copied())
    }
}

#[derive(Debug, Serialize)]
pub(super) struct Vitals {
    pub(super) lcp: u32,
    pub(super) fcp: u32,
    pub(super) ttfb: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) inp: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cls: Option<f64>,
}

#[derive(Debug, Serialize)]
pub(super) struct Revenue {
    pub(super) amount: f64,
    pub(super) currency: &'static str,
}

/// What a request says about its sender.
#[derive(Debug)]
pub struct Head {
    pub(super) user_agent: String,
    pub(super) languages: &'static str,
    pub(super) address: IpAddr,
    /// The browser says `Sec-GPC: 1`.
    pub(super) is_private: bool,
    /// The page's origin; apps have none.
    pub origin: Option<String>,
    /// What an app tells of itself and its device; browsers tell nothing.
    pub app: Option<AppHead>,
}

/// The device of a batch; keys as in README, "Apps".
#[derive(Debug, Serialize)]
pub struct AppHead {
    pub(super) install_id: String,
    pub(super) platform: &'static str,
    pub(super) app_version: String,
    pub(super) locale: &'static str,
}

/// A batch of one event, as an app sends it that is online.
#[derive(Serialize)]
struct Batch<'a> {
    site: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    consent: Option<&'a str>,
    device: &'a AppHead,
    events: [&'a Body; 1],
}

impl Head {
    /// Returns the bytes of a beacon, as the sender would write them.
    pub fn bytes(&self, body: &Body) -> Vec<u8> {
        let written = match &self.app {
            None => serde_json::to_vec(body),
            Some(device) => serde_json::to_vec(&Batch {
                site: body.d,
                consent: body.c.as_deref(),
                device,
                events: [body],
            }),
        };
        // Structs of texts and numbers always serialize.
        written.expect("a body is plain data")
    }

    /// Reads it as the listener would.
    pub fn client(&self) -> Client {
        static SEC_GPC: HeaderName = HeaderName::from_static("sec-gpc");
        let mut headers = HeaderMap::with_capacity(3);
        let mut set = |name: &HeaderName, value: &str| {
            // Made up here, of printable ASCII.
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        };
        set(&USER_AGENT, &self.user_agent);
        set(&ACCEPT_LANGUAGE, self.languages);
        if self.is_private {
            set(&SEC_GPC, "1");
        }
        Client::read(&headers, self.address, &[])
    }
}
