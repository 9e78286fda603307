//! Matomo's tracking API: `/matomo.php` and `/piwik.php`, for its SDKs on iOS, Android, .NET, Flutter, PHP, Java and others.
//!
//! Follows Matomo's reference "Tracking HTTP API". Parameters come in the query, in a form, or (bulk) as `{"requests": ["?…", …]}`.
//! matomo.js posts an empty form with everything in the query. At most 500 requests a bulk.
//!
//! | parameters | become |
//! |---|---|
//! | `url`; without it `action_name` | a page or screen view; its path is the page |
//! | `e_c e_a e_n e_v` | event `<category>: <action>` with properties `name`, `value` |
//! | `link`, `download` | `Outbound Link: Click`, `File Download`, with `url` |
//! | `search search_cat search_count` | `Site Search` with `term`, `category`, `results` |
//! | `idgoal`, `revenue` | `Goal <id>`; for 0 `Purchase` with an order's number `ec_id`, else `Cart Update`, whose amount nobody has paid; the amount in the site's `matomo_currency` |
//! | `c_n c_p c_i` | `Content Impression`, or `Content Interaction` where `c_i` is given, with `content`, `piece` |
//! | `ping=1` | `engagement`, which lengthens the visit and counts as nothing else |
//! | `dimensionN`, `cvar`, `_cvar` | properties |
//! | `urlref`, `lang`, `ua` | referrer, language, browser and system |
//! | `cdt` | when it happened, up to 72 hours ago; with an offset or `Z`, else in UTC. In the future: when it arrived |
//! | `uid`, `cid`, `_id` | the visitor, hashed under the day's salt; not looked at where a consent token comes along |
//! | `cip` | the visitor's address, with the site's key as `token_auth`; else dropped. With the key and without `cip` the address is nobody's |
//! | `consent` | `1`: the sender's word, for sites with `trust_sender_consent`; or our token, also as `brine_consent` or cookie; `0`: a no for this event, whatever the cookie says |
//!
//! Everything else is dropped unread: `res`, which is the screen's and not the window's; plug-ins, titles, local time, visit counters, performance, orders' items.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::Deserialize;
use url::form_urlencoded;

use super::{Translated, cut, id_of, lenient_status, site_of, worth_retrying};
use crate::apps::wire::{WireVisitor, screen_url};
use crate::apps::{MAX_EVENTS, reported};
use crate::beacon::wire::{Amount, Props, Text, Wire, WireRevenue};
use crate::beacon::{MAX_NAME, MAX_PROP_NAME, MAX_PROPS, Refused, malformed};
use crate::client::Client;
use crate::collector::delivery::Delivered;
use crate::collector::{Collector, Ended, Live, UnansweredBatch, ended};
use crate::config::Site;
use crate::consent::Claimed;
use crate::enrich::action::{FILE_DOWNLOAD, OUTBOUND_LINK, value_of};
use crate::enrich::mask::mask_cut;
use crate::event_ids::SINGLE_SLOTS;
use crate::metrics::NO_SITE;
use crate::outcome::Outcome;
use crate::route::{GIF, Reply, annotate, empty, json, problem, typed};

/// What is put into a cart, which may still be left there.
const CART_UPDATE: &str = "Cart Update";

/// Bulk requests as written.
#[derive(Deserialize)]
struct Bulk<'a> {
    #[serde(borrow)]
    requests: Vec<Text<'a>>,
    #[serde(borrow, default)]
    token_auth: Option<Text<'a>>,
}

/// Parameters of one query; of one given twice the last counts, as in PHP.
type Parameters<'a> = BTreeMap<Cow<'a, str>, Cow<'a, str>>;

/// One request's parameters, and those that it shares with others of its bulk.
#[derive(Clone, Copy)]
struct Given<'a> {
    own: &'a Parameters<'a>,
    shared: &'a Parameters<'a>,
}

impl<'a> Given<'a> {
    /// What JavaScript makes of a parameter that was not given is none either.
    fn get(self, name: &str) -> Option<&'a str> {
        let value = self.own.get(name).or_else(|| self.shared.get(name))?;
        Some(value.as_ref()).filter(|value| !matches!(*value, "" | "undefined" | "null"))
    }

    /// All, by name; a shared one that the request gives itself comes once.
    fn all(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let shared = self.shared.iter();
        let shared = shared.filter(move |(name, _)| !self.own.contains_key(*name));
        let both = shared.chain(self.own);
        both.map(|(name, value)| (name.as_ref(), value.as_ref()))
    }
}

/// What came, and from where.
pub(crate) struct Request<'a> {
    pub(crate) query: &'a str,
    /// Unpacked; empty for GET.
    pub(crate) body: &'a [u8],
    pub(crate) origin: Option<&'a str>,
    pub(crate) cookie: Option<&'a str>,
    pub(crate) client: Client,
}

impl Collector {
    /// Answers one request of Matomo's wire.
    pub(crate) async fn matomo(&self, request: Request<'_>) -> Reply {
        let live = self.live.load_full();
        let now = self.clock.now();
        let body = String::from_utf8_lossy(request.body);
        if body.trim_start().starts_with('{') {
            return self.matomo_bulk(&live, &request, &body, now).await;
        }
        let mut parameters = parse(request.query);
        parameters.extend(parse(&body));
        let wants_picture = parameters
            .get("send_image")
            .is_none_or(|wanted| wanted != "0");
        let given = Given {
            own: &parameters,
            shared: &Parameters::new(),
        };
        let translated = translate(&live, &request, given, None, now);
        let passed = translated.and_then(|it| self.let_in_translated(&live, it, now));
        let site = match &passed {
            Ok(passed) => Some(passed.consented.beacon().site.clone()),
            Err(refused) => refused.site.clone(),
        };
        let Delivered { mut ends, .. } =
            self.deliver(&live, vec![passed], SINGLE_SLOTS, false).await;
        let Some(end) = ends.pop() else {
            // One in, one out.
            return empty(StatusCode::NO_CONTENT);
        };
        let ended = ended(
            Refused::because(end.outcome, site.as_ref(), end.detail),
            request.origin,
        );
        let mut reply = match lenient_status(end.outcome) {
            // Nothing is ever stored for a picture's sake; some clients insist on one.
            StatusCode::OK if wants_picture => {
                typed(StatusCode::OK, "image/gif", Bytes::from_static(GIF))
            }
            StatusCode::OK => empty(StatusCode::NO_CONTENT),
            status => problem(status, Some(end.outcome), &ended.detail),
        };
        annotate(&mut reply, &ended, request.origin);
        reply
    }

    async fn matomo_bulk(
        &self,
        live: &Live,
        request: &Request<'_>,
        body: &str,
        now: Timestamp,
    ) -> Reply {
        let bulk: Bulk<'_> = match serde_json::from_str::<Bulk<'_>>(body) {
            Ok(bulk) if (1..=MAX_EVENTS).contains(&bulk.requests.len()) => bulk,
            Ok(_) => return self.refuse_bulk("requests: must be 1 to 500", request.origin),
            Err(error) => return self.refuse_bulk(&error.to_string(), request.origin),
        };
        let key = bulk.token_auth.as_ref().map(|key| key.0.as_ref());
        let shared = parse(request.query);
        let pass = |text: &Text<'_>| {
            let query = text
                .0
                .split_once('?')
                .map_or(text.0.as_ref(), |(_, query)| query);
            let given = Given {
                own: &parse(query),
                shared: &shared,
            };
            let translated = translate(live, request, given, key, now)?;
            self.let_in_translated(live, translated, now)
        };
        let passed: Vec<_> = bulk.requests.iter().map(pass).collect();
        let site = passed.iter().find_map(|passed| match passed {
            Ok(passed) => Some(passed.consented.beacon().site.clone()),
            Err(refused) => refused.site.clone(),
        });
        let n_requests = passed.len();
        // Their clients do not number their events; a batch that is sent again counts again.
        let name = site.as_ref().map_or(NO_SITE, |site| site.id.as_str());
        let unanswered = UnansweredBatch::begin(self, name);
        let Delivered { ends, .. } = self.deliver(live, passed, SINGLE_SLOTS, false).await;
        let n_tracked = ends
            .iter()
            .filter(|end| end.outcome == Outcome::Accepted)
            .count();
        let outcome = crate::apps::outcome_of(&ends);
        unanswered.end(outcome);
        let ended = ended(Refused::because(outcome, site.as_ref(), ""), request.origin);
        if let Some(outcome) = worth_retrying(&ends).filter(|_| n_tracked == 0) {
            let mut reply = bulk_reply(lenient_status(outcome), "error", 0, n_requests);
            annotate(&mut reply, &ended, request.origin);
            return reply;
        }
        // What was taken would be counted twice if all were sent again, so a mixed bulk is a success.
        let mut reply = bulk_reply(StatusCode::OK, "success", n_tracked, n_requests - n_tracked);
        annotate(&mut reply, &ended, request.origin);
        reply.headers_mut().remove(RETRY_AFTER);
        reply
    }

    fn refuse_bulk(&self, detail: &str, origin: Option<&str>) -> Reply {
        self.count_batch(NO_SITE, Outcome::BeaconMalformed);
        let ended: Ended = ended(
            Refused::because(Outcome::BeaconMalformed, None, detail),
            origin,
        );
        let mut reply = problem(StatusCode::BAD_REQUEST, Some(ended.outcome), detail);
        annotate(&mut reply, &ended, origin);
        reply
    }
}

fn bulk_reply(status: StatusCode, word: &str, n_tracked: usize, n_invalid: usize) -> Reply {
    let body = serde_json::json!({ "status": word, "tracked": n_tracked, "invalid": n_invalid });
    let mut reply = json(status, &body);
    reply
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    reply
}

fn parse(query: &str) -> Parameters<'_> {
    form_urlencoded::parse(query.trim().as_bytes()).collect()
}

/// Reads one request's parameters.
fn translate<'a>(
    live: &Live,
    request: &Request<'a>,
    given: Given<'a>,
    key: Option<&str>,
    now: Timestamp,
) -> Result<Translated<'a>, Refused> {
    let get = |name: &str| given.get(name);
    let id = get("idsite").unwrap_or_default();
    let site = site_of(&live.sites, id, request.origin, |site| &site.matomo_id)?;
    if get("rec") != Some("1") {
        return Err(malformed(Some(site), "rec=1 is missing"));
    }
    let consent = get("brine_consent").or_else(|| get("consent").filter(|text| text.len() > 1));
    // A no for this event is heard whatever the cookie says.
    let claimed = match (consent.or(request.cookie), get("consent")) {
        (_, Some("0")) => Claimed::Token(None),
        (Some(token), _) => Claimed::Token(Some(token)),
        (None, Some("1")) => Claimed::Word,
        (None, _) => Claimed::Token(None),
    };
    let client = client_of(request, site, given, key);
    let client = Arc::new(client.map_err(|detail| malformed(Some(site), detail))?);
    let at = match get("cdt") {
        None => None,
        Some(text) => {
            let at = time_of(text).ok_or_else(|| malformed(Some(site), "cdt: not a time"))?;
            // There is no word of when it was sent, by which a clock that is ahead could be corrected.
            Some(at.min(now))
        }
    };
    Ok(Translated {
        wire: wire_of(site, given),
        site: site.clone(),
        client,
        claimed,
        at,
    })
}

/// Whose event it is. Only with the site's key may a sender say more than its own request shows.
fn client_of(
    request: &Request<'_>,
    site: &Site,
    given: Given<'_>,
    key: Option<&str>,
) -> Result<Client, &'static str> {
    let sent = request.client.clone();
    let get = |name: &str| given.get(name);
    let has_key = key
        .or_else(|| get("token_auth"))
        .is_some_and(|key| site.has_key(key));
    let text = |name: &str| get(name).map(|text| Text(text.into()));
    let said = WireVisitor {
        address: text("cip"),
        user_agent: text("ua"),
        accept_language: text("lang"),
        ..WireVisitor::default()
    };
    if has_key {
        return reported(Some(&said), sent).map_err(|_| "cip: not an IP address");
    }
    let cut_to = |name: &str, bytes: usize| get(name).map(|text| cut(text, bytes).to_owned());
    Ok(Client {
        user_agent: cut_to("ua", 512).unwrap_or(sent.user_agent),
        accept_language: cut_to("lang", 128).map_or(sent.accept_language, Into::into),
        is_server: false,
        ..sent
    })
}

/// `1700000000`, `2026-11-24 11:00:00+0100` (Android's SDK), `2026-11-24T10:00:00.123Z` (Flutter's), or
/// `2026-11-24 10:00:00` in UTC (iOS's).
fn time_of(text: &str) -> Option<Timestamp> {
    if let Ok(seconds) = text.parse::<i64>() {
        return Timestamp::from_second(seconds).ok();
    }
    if let Ok(at) = text.parse() {
        return Some(at);
    }
    let civil: DateTime = text.parse().ok()?;
    civil
        .to_zoned(TimeZone::UTC)
        .ok()
        .map(|zoned| zoned.timestamp())
}

fn wire_of<'a>(site: &Site, given: Given<'a>) -> Wire<'a> {
    let get = |name: &str| given.get(name);
    let mut props: Vec<(String, String)> = Vec::new();
    let mut add = |name: &str, value: Option<&str>| {
        if let Some(value) = value
            && props.len() < MAX_PROPS
            && !name.is_empty()
        {
            // Masked before it is cut: half an e-mail address is still one.
            props.push((
                mask_cut(name, MAX_PROP_NAME).into_owned(),
                value_of(name, value).into_string(),
            ));
        }
    };
    let mut is_interactive = true;
    let name: Cow<'a, str> = if get("ping") == Some("1") {
        "engagement".into()
    } else if let Some(category) = get("e_c") {
        add("name", get("e_n"));
        add("value", get("e_v"));
        format!("{category}: {}", get("e_a").unwrap_or_default()).into()
    } else if let Some(link) = get("link") {
        add("url", Some(link));
        OUTBOUND_LINK.into()
    } else if let Some(file) = get("download") {
        add("url", Some(file));
        FILE_DOWNLOAD.into()
    } else if let Some(term) = get("search") {
        add("term", Some(term));
        add("category", get("search_cat"));
        add("results", get("search_count"));
        "Site Search".into()
    } else if let Some(goal) = get("idgoal") {
        match (goal, get("ec_id")) {
            ("0", Some(_)) => "Purchase".into(),
            ("0", None) => CART_UPDATE.into(),
            _ => format!("Goal {goal}").into(),
        }
    } else if let Some(content) = get("c_n") {
        add("content", Some(content));
        add("piece", get("c_p"));
        is_interactive = get("c_i").is_some();
        if is_interactive {
            "Content Interaction".into()
        } else {
            "Content Impression".into()
        }
    } else {
        "pageview".into()
    };
    for (key, value) in given.all() {
        let number = key.strip_prefix("dimension").unwrap_or_default();
        if !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()) && !value.is_empty() {
            add(key, Some(value));
        }
    }
    for variables in ["_cvar", "cvar"] {
        let pairs: BTreeMap<String, (String, String)> = get(variables)
            .and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_default();
        for (name, value) in pairs.values() {
            add(name, Some(value));
        }
    }
    let amount = get("revenue")
        .and_then(|text| text.parse().ok())
        .filter(|_| get("idgoal").is_some() && name != CART_UPDATE);
    let revenue = amount
        .filter(|_| !site.matomo_currency.is_empty())
        .map(|amount| WireRevenue {
            amount: Amount::Number(amount),
            currency: site.matomo_currency.clone(),
        });
    let visitor = [get("uid"), get("cid"), get("_id")]
        .into_iter()
        .flatten()
        .find_map(id_of);
    let url = match (get("url"), get("action_name")) {
        (Some(url), _) => Cow::Borrowed(url),
        // An app that knows no addresses names its screens: `Screen / Orders`.
        (None, Some(name)) => screen_url(site.id.as_str(), &name.replace(" / ", "/")).into(),
        (None, None) => screen_url(site.id.as_str(), "").into(),
    };
    Wire {
        n: Text(match name {
            Cow::Borrowed(name) => mask_cut(name, MAX_NAME),
            Cow::Owned(name) => Cow::Owned(mask_cut(&name, MAX_NAME).into_owned()),
        }),
        u: Text(url),
        r: get("urlref").map(|text| Text(text.into())),
        p: Props(props),
        revenue,
        i: Some(is_interactive),
        vid: visitor.map(|text| Text(text.into())),
        ..Wire::default()
    }
}
