//! Umami's wire: `POST /api/send`, for `@umami/node` and its browser script.
//!
//! `{"type":"event","payload":{website, url, hostname, name?, data?, referrer?, language?, screen?, tag?}}`, as Umami's
//! "Sending stats" documents it. Without `name` it is a page view. `performance` becomes web vitals. `identify` is a profile of a
//! person, which brine does not keep: it is refused (`filter.kind`). The reply has the keys of Umami's, empty: `cache` would be a
//! visitor's id.
//!
//! Umami's wire knows no consent. Ours comes as `payload.consent`, or as the cookie; `"consent": true` is the sender's word, for
//! sites with `trust_sender_consent`.

use std::borrow::Cow;
use std::sync::Arc;

use hyper::StatusCode;
use serde::Deserialize;

use super::{Translated, cut, id_of, lenient_status, site_of};
use crate::beacon::wire::{Props, Text, Wire, WireVitals};
use crate::beacon::{MAX_NAME, MAX_PROP_NAME, MAX_PROPS, Refused, malformed};
use crate::client::Client;
use crate::collector::delivery::Delivered;
use crate::collector::{Collector, Live, ended};
use crate::consent::Claimed;
use crate::enrich::action::{WEB_VITALS, value_of};
use crate::enrich::mask::mask_cut;
use crate::event_ids::SINGLE_SLOTS;
use crate::outcome::Outcome;
use crate::route::{Reply, annotate, json, problem};

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(rename = "type", borrow, default)]
    kind: Option<Text<'a>>,
    #[serde(borrow)]
    payload: Payload<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Payload<'a> {
    #[serde(borrow)]
    website: Text<'a>,
    #[serde(borrow)]
    url: Option<Text<'a>>,
    #[serde(borrow)]
    hostname: Option<Text<'a>>,
    #[serde(borrow)]
    referrer: Option<Text<'a>>,
    #[serde(borrow)]
    language: Option<Text<'a>>,
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    tag: Option<Text<'a>>,
    #[serde(borrow)]
    id: Option<Text<'a>>,
    data: serde_json::Map<String, serde_json::Value>,
    consent: Option<Consent>,
    #[serde(flatten)]
    vitals: WireVitals,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Consent {
    Word(bool),
    Token(String),
}

impl Collector {
    /// Answers one message of Umami's wire.
    pub(crate) async fn umami(
        &self,
        body: &[u8],
        origin: Option<&str>,
        cookie: Option<&str>,
        client: Client,
    ) -> Reply {
        let live = self.live.load_full();
        let now = self.clock.now();
        let text = String::from_utf8_lossy(body);
        let message = serde_json::from_str::<Message<'_>>(&text);
        let passed = match &message {
            Ok(message) => translate(&live, message, origin, cookie, client)
                .and_then(|translated| self.let_in_translated(&live, translated, now)),
            Err(error) => Err(malformed(None, error.to_string())),
        };
        let site = match &passed {
            Ok(passed) => Some(passed.consented.beacon().site.clone()),
            Err(refused) => refused.site.clone(),
        };
        let Delivered { ends, .. } = self.deliver(&live, vec![passed], SINGLE_SLOTS, false).await;
        let (outcome, detail) = ends
            .into_iter()
            .next()
            .map_or((Outcome::SpoolFailed, String::new()), |end| {
                (end.outcome, end.detail)
            });
        let ended = ended(Refused::because(outcome, site.as_ref(), detail), origin);
        let mut reply = match lenient_status(outcome) {
            StatusCode::OK if site.is_none() => {
                problem(StatusCode::BAD_REQUEST, Some(outcome), &ended.detail)
            }
            StatusCode::OK if outcome == Outcome::FilterBot => {
                json(StatusCode::OK, &serde_json::json!({ "beep": "boop" }))
            }
            StatusCode::OK => {
                let body = serde_json::json!({ "cache": "", "sessionId": "", "visitId": "" });
                json(StatusCode::OK, &body)
            }
            status => problem(status, Some(outcome), &ended.detail),
        };
        annotate(&mut reply, &ended, origin);
        reply
    }
}

fn translate<'a>(
    live: &Live,
    message: &'a Message<'a>,
    origin: Option<&str>,
    cookie: Option<&'a str>,
    client: Client,
) -> Result<Translated<'a>, Refused> {
    let payload = &message.payload;
    let site = site_of(&live.sites, payload.website.0.as_ref(), origin, |site| {
        &site.umami_id
    })?;
    let get = |text: &'a Option<Text<'a>>| {
        text.as_ref()
            .map(|text| text.0.as_ref())
            .filter(|text| !text.is_empty())
    };
    let name = match get(&message.kind).unwrap_or("event") {
        "event" => get(&payload.name).unwrap_or("pageview"),
        "performance" => WEB_VITALS,
        "identify" => return Err(Refused::plain(Outcome::FilterKind, site)),
        _ => {
            return Err(malformed(
                Some(site),
                "type: must be event, performance or identify",
            ));
        }
    };
    let claimed = match (&payload.consent, cookie) {
        (Some(Consent::Token(token)), _) => Claimed::Token(Some(token)),
        // A no for this event is heard whatever the cookie says.
        (Some(Consent::Word(false)), _) => Claimed::Token(None),
        (_, Some(cookie)) => Claimed::Token(Some(cookie)),
        (Some(Consent::Word(true)), None) => Claimed::Word,
        (None, None) => Claimed::Token(None),
    };
    let mut props = Vec::new();
    let tag = get(&payload.tag).map(|tag| ("tag".to_owned(), value_of("tag", tag).into_string()));
    let data = payload.data.iter().filter_map(|(key, value)| {
        let value = match value {
            // Masked before it is cut: half an e-mail address is still one.
            serde_json::Value::String(text) => value_of(key, text).into_string(),
            serde_json::Value::Bool(_) | serde_json::Value::Number(_) => value.to_string(),
            // What is nested is no property.
            _ => return None,
        };
        Some((mask_cut(key, MAX_PROP_NAME).into_owned(), value))
    });
    props.extend(
        tag.into_iter()
            .chain(data)
            .filter(|(key, _)| !key.is_empty())
            .take(MAX_PROPS),
    );
    let path = get(&payload.url).unwrap_or("/");
    let url = if path.contains("://") {
        Cow::Borrowed(path)
    } else {
        let host = get(&payload.hostname)
            .map_or(site.domains.first().map_or("", String::as_str), |host| host);
        let slash = if path.starts_with('/') { "" } else { "/" };
        let scheme = if host.is_empty() { "app" } else { "https" };
        let host = if host.is_empty() {
            site.id.as_str()
        } else {
            host
        };
        Cow::Owned(format!("{scheme}://{host}{slash}{path}"))
    };
    let is_vitals = name == WEB_VITALS;
    Ok(Translated {
        client: Arc::new(Client {
            accept_language: get(&payload.language)
                .map_or(client.accept_language, |text| cut(text, 128).into()),
            ..client
        }),
        wire: Wire {
            n: Text(mask_cut(name, MAX_NAME)),
            u: Text(url),
            r: get(&payload.referrer).map(|text| Text(text.into())),
            p: Props(props),
            vid: get(&payload.id)
                .and_then(id_of)
                .map(|text| Text(text.into())),
            wv: is_vitals.then_some(payload.vitals),
            ..Wire::default()
        },
        site: site.clone(),
        claimed,
        at: None,
    })
}
