//! `/policy` and what belongs to it: the policy as a page and as JSON, its former versions, `/.well-known/gpc.json`.
//!
//! Comes in: a request's head. Goes out: a reply; nothing about who asked is looked at but the language that they
//! prefer, and nothing is stored. The page needs no script, and loads nothing: its style is part of it, allowed by
//! its hash in the Content-Security-Policy.
//!
//! | path | |
//! |---|---|
//! | `/policy`, `/policy.json` | the current policy; `?site=` of one site (or its group), else of all |
//! | `/policy/versions` | every edition ever published, with what changed |
//! | `/policy/3?site=portal` | version 3 as it was last worded; `/policy/3.1` a certain revision |
//! | `/.well-known/gpc.json` | whether Global Privacy Control is honoured |
//!
//! `?lang=en\|da` wins over `Accept-Language`; `.json` at the end, or `Accept: application/json`, gives JSON.

mod reply;
mod versions;

use std::net::IpAddr;

use hyper::StatusCode;
use hyper::header::{ACCEPT, ACCEPT_LANGUAGE, HOST, RETRY_AFTER};
use hyper::http::request::Parts;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use self::reply::{Page, json_reply, page_reply};
use super::document::{Document, Entry};
use super::language::Language;
use super::{Edition, History, Policy};
use crate::collector::Live;
use crate::route::{Reply, problem};

/// What is asked for, besides the path.
struct Ask {
    language: Language,
    wants_json: bool,
    site: Option<String>,
    scope: Option<String>,
}

/// There is no such site, scope or version.
struct Unknown;

impl Unknown {
    /// Says so in the reader's language, with the way to what there is.
    fn reply(self, ask: &Ask, head: &Parts) -> Reply {
        if ask.wants_json {
            return problem(
                StatusCode::NOT_FOUND,
                None,
                "no such site, scope or version",
            );
        }
        let language = ask.language;
        let document = Document::new(
            language.pick("There is no such policy", "Den politik findes ikke"),
            language.pick(
                "The site or the version in the address is not known here.",
                "Webstedet eller versionen i adressen kendes ikke her.",
            ),
        );
        let current = Entry::to(
            "",
            language.pick("The current policy", "Den gældende politik"),
            ask.href("/policy", None, language),
        );
        let page = Page {
            edition: vec![current, versions_link(ask, None)],
            ..Page::new(ask, head.uri.path(), None, &document)
        };
        let mut reply = page_reply(&page, head);
        *reply.status_mut() = StatusCode::NOT_FOUND;
        reply
    }
}

/// Answers a request below `/policy`, or none where the path is not one of ours. `address` is the client's, already
/// cut: reading is free, but not without bound.
pub async fn answer(live: &Live, head: &Parts, address: IpAddr) -> Option<Reply> {
    let path = head.uri.path();
    let (path, is_json) = match path.strip_suffix(".json") {
        Some(path) => (path, true),
        None => (path, false),
    };
    let rest = path.strip_prefix("/policy")?;
    if let Err(wait) = live.limiter.beacon(address) {
        let mut reply = problem(StatusCode::TOO_MANY_REQUESTS, None, "wait a little");
        reply
            .headers_mut()
            .insert(RETRY_AFTER, (wait.as_secs() + 1).into());
        return Some(reply);
    }
    let ask = read(head, is_json);
    let reply = match rest {
        "" | "/" => current(live, &ask, head),
        "/versions" => versions::list(live, &ask, None, head),
        edition => {
            let (version, revision) = numbers(edition.strip_prefix('/')?)?;
            former(live, &ask, version, revision, head).await
        }
    };
    Some(reply)
}

/// Answers `/.well-known/gpc.json` (Global Privacy Control, section 3.3 of the W3C draft): whether the sites
/// concerned honour it, and since when that is so. The host of the request says which, where it is one of theirs.
pub fn gpc(live: &Live, head: &Parts) -> Reply {
    let host = head.headers.get(HOST).and_then(|host| host.to_str().ok());
    let host = host.map(|host| host.rsplit_once(':').map_or(host, |(name, _)| name));
    let own = host.and_then(|host| live.sites.iter().find(|site| site.owns_host(host)));
    let sites: Vec<_> = match own {
        Some(site) => vec![site],
        None => live.sites.iter().collect(),
    };
    let is_honoured = sites.iter().all(|site| site.honour_gpc);
    let since = sites
        .iter()
        .filter_map(|site| live.policy.scopes.get(&site.scope))
        .filter_map(honoured_since)
        .max()
        .unwrap_or(Timestamp::UNIX_EPOCH);
    let value = serde_json::json!({ "gpc": is_honoured, "lastUpdate": date(since) });
    json_reply(&value, head)
}

/// The first edition since which a scope has answered as it does now.
fn honoured_since(history: &History) -> Option<Timestamp> {
    let now = history.editions.last()?.honours_gpc;
    let same = history
        .editions
        .iter()
        .rev()
        .take_while(|edition| edition.honours_gpc == now);
    same.last().map(|edition| edition.published)
}

fn read(head: &Parts, is_json: bool) -> Ask {
    let header = |name| head.headers.get(name).and_then(|value| value.to_str().ok());
    let mut ask = Ask {
        language: header(ACCEPT_LANGUAGE)
            .and_then(Language::accepted)
            .unwrap_or_default(),
        // A browser accepts anything, but names HTML.
        wants_json: is_json
            || header(ACCEPT)
                .is_some_and(|a| a.contains("application/json") && !a.contains("text/html")),
        site: None,
        scope: None,
    };
    let query = head.uri.query().unwrap_or_default();
    for (key, value) in url::form_urlencoded::parse(query.as_bytes()) {
        match &*key {
            "lang" => ask.language = Language::named(&value).unwrap_or(ask.language),
            "site" => ask.site = Some(value.into_owned()),
            "scope" => ask.scope = Some(value.into_owned()),
            _ => {}
        }
    }
    ask
}

/// `3` or `3.1`.
fn numbers(text: &str) -> Option<(u16, Option<u16>)> {
    let number = |text: &str| {
        let is_plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        is_plain.then(|| text.parse().ok()).flatten()
    };
    match text.split_once('.') {
        Some((version, revision)) => Some((number(version)?, Some(number(revision)?))),
        None => Some((number(text)?, None)),
    }
}

impl Ask {
    /// The scope asked for; none for all of them.
    ///
    /// # Errors
    /// There is no such site.
    fn scope<'a>(&self, live: &'a Live) -> Result<Option<(&'a str, &'a History)>, Unknown> {
        let name = match (&self.scope, &self.site) {
            (Some(scope), _) => scope.clone(),
            (None, Some(site)) => live.sites.find(site).ok_or(Unknown)?.scope.clone(),
            (None, None) => return Ok(only(&live.policy)),
        };
        let found = live.policy.scopes.get_key_value(&name);
        let (name, history) = found.ok_or(Unknown)?;
        Ok(Some((name.as_str(), history)))
    }

    /// The address of a page, in this language or another.
    fn href(&self, path: &str, scope: Option<&str>, language: Language) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        if let Some(scope) = scope {
            query.append_pair("scope", scope);
        }
        query.append_pair("lang", language.tag());
        format!("{path}?{}", query.finish())
    }
}

/// Where there is one scope alone, nobody has to name it.
fn only(policy: &Policy) -> Option<(&str, &History)> {
    let mut configured = policy.scopes.iter().filter(|(_, h)| h.is_configured);
    match (configured.next(), configured.next()) {
        (Some((name, history)), None) => Some((name, history)),
        _ => None,
    }
}

fn current(live: &Live, ask: &Ask, head: &Parts) -> Reply {
    let policy = &live.policy;
    match ask.scope(live) {
        Err(unknown) => unknown.reply(ask, head),
        Ok(Some((scope, history))) => one(ask, scope, history, &history.latest, head),
        Ok(None) if ask.wants_json => {
            let scopes: Vec<_> = policy
                .scopes
                .values()
                .filter(|history| history.is_configured)
                .map(|history| &history.latest)
                .collect();
            json_reply(
                &serde_json::json!({ "current": true, "policies": scopes }),
                head,
            )
        }
        Ok(None) => {
            let last = policy.scopes.values().filter(|h| h.is_configured);
            let last = last.map(|history| history.latest.published).max();
            let mut edition = Vec::new();
            if let Some(last) = last {
                edition.push(changed_on(last, ask.language));
            }
            edition.push(versions_link(ask, None));
            edition.push(json_link(ask, "/policy", None));
            page_reply(
                &Page {
                    owner: owner(policy),
                    edition,
                    ..Page::new(ask, "/policy", None, policy.whole.in_language(ask.language))
                },
                head,
            )
        }
    }
}

async fn former(
    live: &Live,
    ask: &Ask,
    version: u16,
    revision: Option<u16>,
    head: &Parts,
) -> Reply {
    let (scope, history) = match ask.scope(live) {
        Err(unknown) => return unknown.reply(ask, head),
        // Which of several sites is meant is for the reader to say.
        Ok(None) => return versions::list(live, ask, Some(version), head),
        Ok(Some(found)) => found,
    };
    let summary =
        history.editions.iter().rev().find(|e| {
            e.version == version && revision.is_none_or(|revision| revision == e.revision)
        });
    let Some(summary) = summary else {
        return Unknown.reply(ask, head);
    };
    let latest = &history.latest;
    if (summary.version, summary.revision) == (latest.version, latest.revision) {
        return one(ask, scope, history, latest, head);
    }
    let archive = live.policy.archive.clone();
    let (name, version, revision) = (scope.to_owned(), summary.version, summary.revision);
    let read = tokio::task::spawn_blocking(move || archive.read(&name, version, revision));
    match read.await {
        Ok(Ok(edition)) => one(ask, scope, history, &edition, head),
        Ok(Err(error)) => {
            tracing::error!(%error, "a former policy cannot be shown");
            problem(StatusCode::INTERNAL_SERVER_ERROR, None, "it cannot be read")
        }
        Err(error) => {
            tracing::error!(%error, "policy task");
            problem(StatusCode::INTERNAL_SERVER_ERROR, None, "it cannot be read")
        }
    }
}

/// One edition of one scope.
fn one(ask: &Ask, scope: &str, history: &History, edition: &Edition, head: &Parts) -> Reply {
    let latest = &history.latest;
    let is_latest = (edition.version, edition.revision) == (latest.version, latest.revision);
    let is_current = is_latest && history.is_configured;
    if ask.wants_json {
        let mut value = serde_json::json!({ "current": is_current });
        if let (Some(into), Ok(serde_json::Value::Object(edition))) =
            (value.as_object_mut(), serde_json::to_value(edition))
        {
            into.extend(edition);
        }
        return json_reply(&value, head);
    }
    let language = ask.language;
    let number = shown(edition.version, edition.revision);
    let path = if is_latest {
        "/policy".to_owned()
    } else {
        format!("/policy/{number}")
    };
    let notice = match (is_current, is_latest) {
        (true, _) => "",
        (false, true) => language.pick(
            "This policy is of a site that is no longer measured.",
            "Denne politik gælder et websted, der ikke længere måles.",
        ),
        (false, false) => language.pick(
            "This is a former version.",
            "Dette er en tidligere version.",
        ),
    };
    let page = Page {
        owner: &edition.statement.controller.name,
        notice: notice.to_owned(),
        current: (!is_latest).then(|| ask.href("/policy", Some(scope), language)),
        edition: vec![
            Entry::new(language.pick("Version", "Version"), number.clone()),
            changed_on(edition.published, language),
            versions_link(ask, Some(scope)),
            json_link(ask, &format!("/policy/{number}"), Some(scope)),
        ],
        ..Page::new(ask, &path, Some(scope), document(edition, language))
    };
    page_reply(&page, head)
}

/// Whose measurement it is: the controller is the same for all that is configured.
fn owner(policy: &Policy) -> &str {
    let mut configured = policy.scopes.values().filter(|h| h.is_configured);
    let history = configured.next();
    history.map_or("", |history| &history.latest.statement.controller.name)
}

fn document(edition: &Edition, language: Language) -> &Document {
    edition.documents.in_language(language)
}

/// `3`, or `3.1` once it was worded anew.
fn shown(version: u16, revision: u16) -> String {
    match revision {
        0 => version.to_string(),
        revision => format!("{version}.{revision}"),
    }
}

fn changed_on(published: Timestamp, language: Language) -> Entry {
    let term = language.pick("Last changed", "Senest ændret");
    Entry::new(term, long_date(published, language))
}

fn versions_link(ask: &Ask, scope: Option<&str>) -> Entry {
    Entry::to(
        "",
        ask.language.pick("All versions", "Alle versioner"),
        ask.href("/policy/versions", scope, ask.language),
    )
}

fn json_link(ask: &Ask, path: &str, scope: Option<&str>) -> Entry {
    let path = format!("{path}.json");
    Entry::to("", "JSON", ask.href(&path, scope, ask.language))
}

/// The date in UTC: sites in several time zones share a page.
fn date(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).date().to_string()
}

fn long_date(at: Timestamp, language: Language) -> String {
    const MONTHS: [(&str, &str); 12] = [
        ("January", "januar"),
        ("February", "februar"),
        ("March", "marts"),
        ("April", "april"),
        ("May", "maj"),
        ("June", "juni"),
        ("July", "juli"),
        ("August", "august"),
        ("September", "september"),
        ("October", "oktober"),
        ("November", "november"),
        ("December", "december"),
    ];
    let day = at.to_zoned(TimeZone::UTC).date();
    // Months are from 1 to 12.
    let (en, da) = MONTHS[usize::from(day.month().unsigned_abs()) - 1];
    match language {
        Language::En => format!("{} {en} {}", day.day(), day.year()),
        Language::Da => format!("{}. {da} {}", day.day(), day.year()),
    }
}
