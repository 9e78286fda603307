//! `/keys` and `/links`: an admin makes API keys and shared links, each shown once, and revokes them.

use std::collections::BTreeSet;

use hyper::http::request::Parts;
use jiff::Timestamp;

use super::book::{Book, BookError, Scope};
use super::gate::{Action, Gate, Viewer};
use super::http::{Form, language_of};
use super::manage::{Told, frame, sites_text, status_of};
use super::page::{self, TicketLine, Tickets};
use super::users::{broken, ids, is_site, no_such, reach_of, said};
use crate::config::Sites;
use crate::dashboard;
use crate::policy::language::Language;
use crate::route::Reply;

/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;

/// Longest life of a key or link made here, in days.
const MAX_DAYS: i64 = 730;

fn day(ms: i64) -> String {
    let at = Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX);
    at.to_zoned(jiff::tz::TimeZone::UTC).date().to_string()
}

/// When something ends that was made for so many days.
fn end_of(form: &Form, now_ms: i64) -> Option<i64> {
    let days: i64 = form.text("days").parse().ok()?;
    (1..=MAX_DAYS)
        .contains(&days)
        .then(|| now_ms + days * DAY_MS)
}

/// Says how long a new one may live, where a form says something else.
fn wrong_days(gate: &Gate, form: &Form, language: Language) -> Option<Told> {
    let is_wrong = form.text("do") == "add" && end_of(form, gate.now_ms()).is_none();
    is_wrong.then(|| {
        Told::fault(language.pick(
            format!("Choose 1 to {MAX_DAYS} days."),
            format!("Vælg 1 til {MAX_DAYS} dage."),
        ))
    })
}

pub(super) async fn keys(
    gate: &Gate,
    sites: &Sites,
    head: &Parts,
    viewer: &Viewer,
    form: Option<&Form>,
) -> Reply {
    let language = language_of(head);
    let told = match form {
        Some(form) => change_keys(gate, sites, head, viewer, form).await,
        None => Told::default(),
    };
    let book = gate.book_now().await;
    let lines = book.keys.iter().map(|key| TicketLine {
        id: key.id.clone(),
        name: key.name.clone(),
        sites: sites_text(language, &key.reach.text()),
        scopes: scopes_text(&key.scopes).replace(',', ", "),
        ends: key.expires_ms.map_or_else(String::new, day),
        by: key.added_by.clone(),
    });
    let page = Tickets {
        frame: frame(head, viewer, ("API keys", "API-nøgler"), &told),
        form: viewer.form().to_owned(),
        caption: language.pick("Programs that may ask", "Programmer, der må spørge"),
        empty: language.pick(
            "No keys yet. Each program that may ask for numbers will stand here, with its sites and the day its key \
             ends; make the first one below.",
            "Ingen nøgler endnu. Her kommer hvert program, der må spørge efter tal, til at stå med websteder og \
             nøglens udløbsdag. Opret den første nedenfor.",
        ),
        add_title: language.pick("A new key", "En ny nøgle"),
        has_scopes: true,
        lines: lines.collect(),
        sites: ids(sites),
        all_sites: ids(sites).join(","),
        site: String::new(),
        view: String::new(),
        fresh: told.fresh.clone(),
    };
    page::reply(status_of(&told), language, &page)
}

fn scopes_text(scopes: &BTreeSet<Scope>) -> String {
    let names: Vec<&str> = scopes.iter().map(|scope| scope.name()).collect();
    names.join(",")
}

async fn change_keys(
    gate: &Gate,
    sites: &Sites,
    head: &Parts,
    viewer: &Viewer,
    form: &Form,
) -> Told {
    let language = language_of(head);
    let reach = match reach_of(sites, form.text("sites")) {
        Ok(reach) => reach,
        Err(unknown) => return Told::fault(no_such(sites, &unknown, language)),
    };
    if let Some(fault) = wrong_days(gate, form, language) {
        return fault;
    }
    let scopes: BTreeSet<Scope> = form
        .texts("scope")
        .filter_map(|name| match name {
            "export" => Some(Scope::Export),
            "query" => Some(Scope::Query),
            "rights" => Some(Scope::Rights),
            _ => None,
        })
        .collect();
    let ends = end_of(form, gate.now_ms());
    let scopes_told = scopes_text(&scopes);
    made(gate, head, viewer, form, "key", move |book, name, by| {
        let ends = ends.ok_or(BookError::Unknown("day".into()))?;
        let detail = format!("{}, {scopes_told}", reach.text());
        let made = book.add_key(name, reach, scopes, Some(ends), by)?;
        Ok((made.text.to_string(), detail))
    })
    .await
}

pub(super) async fn links(
    gate: &Gate,
    sites: &Sites,
    head: &Parts,
    viewer: &Viewer,
    form: Option<&Form>,
) -> Reply {
    let language = language_of(head);
    let refused = form.and_then(|form| wrong_days(gate, form, language));
    let told = match (refused, form) {
        (Some(refused), _) => refused,
        (None, Some(form)) => {
            let (site, ends) = (form.text("site").to_owned(), end_of(form, gate.now_ms()));
            let view = form.text("view").to_owned();
            let is_known = is_site(sites, &site);
            let made = made(gate, head, viewer, form, "link", move |book, name, by| {
                let ends = ends.ok_or(BookError::Unknown("day".into()))?;
                if !is_known {
                    return Err(BookError::Unknown(site));
                }
                let made = book.add_link(name, &site, ends, by)?;
                let address = dashboard::address_of(&site, &view);
                let view = address.split_once('?');
                let view = view.map_or_else(String::new, |(_, view)| format!("?{view}"));
                Ok((format!("/share/{}{view}", &*made.text), site))
            });
            made.await
        }
        (None, None) => Told::default(),
    };
    let query = head.uri.query().unwrap_or_default();
    let asked = |name: &str| {
        let mut pairs = url::form_urlencoded::parse(query.as_bytes());
        let found = pairs.find(|(key, _)| key == name);
        found.map_or_else(String::new, |(_, value)| value.into_owned())
    };
    let book = gate.book_now().await;
    let lines = book.links.iter().map(|link| TicketLine {
        id: link.id.clone(),
        name: link.name.clone(),
        sites: link.site.clone(),
        scopes: String::new(),
        ends: day(link.expires_ms),
        by: link.added_by.clone(),
    });
    let page = Tickets {
        frame: frame(head, viewer, ("Shared links", "Delte links"), &told),
        form: viewer.form().to_owned(),
        caption: language.pick(
            "Whoever has such a link may look at the site's dashboard, and change nothing",
            "Den, der har et sådant link, må se webstedets tal og kan intet ændre",
        ),
        empty: language.pick(
            "No shared links yet. Each link that shows a site to whoever has it will stand here until it ends; make the \
             first one below, or at the foot of a site's page by “Share this view by a link”.",
            "Ingen delte links endnu. Her kommer hvert link, der viser et websted til den, der har det, til at stå, \
             indtil det udløber. Opret det første nedenfor, eller nederst på et websteds side med “Del denne visning \
             med et link”.",
        ),
        add_title: language.pick("A new link", "Et nyt link"),
        has_scopes: false,
        lines: lines.collect(),
        sites: ids(sites),
        all_sites: String::new(),
        site: asked("site"),
        view: asked("view"),
        fresh: told.fresh.clone(),
    };
    page::reply(status_of(&told), language, &page)
}

/// Makes or revokes a key or link; what was made is shown once.
async fn made(
    gate: &Gate,
    head: &Parts,
    viewer: &Viewer,
    form: &Form,
    kind: &'static str,
    add: impl FnOnce(&mut Book, &str, (&str, i64)) -> Result<(String, String), BookError>
    + Send
    + 'static,
) -> Told {
    let language = language_of(head);
    let (name, id) = (form.text("name").to_owned(), form.text("id").to_owned());
    let (by, now_ms) = (viewer.name().to_owned(), gate.now_ms());
    let is_added = form.text("do") == "add";
    let store = gate.book.clone();
    let changed = tokio::task::spawn_blocking(move || {
        store.change(|book| match is_added {
            true => {
                let (text, detail) = add(book, &name, (&by, now_ms))?;
                Ok((text, format!("{kind} add: {}, {detail}", name.trim())))
            }
            false => {
                let name = match kind {
                    "key" => book.revoke_key(&id)?,
                    _ => book.revoke_link(&id)?,
                };
                Ok((String::new(), format!("{kind} revoke: {name}")))
            }
        })
    });
    match changed.await {
        Ok(Ok((text, detail))) => {
            gate.note(viewer, Action::Changed, "", &detail).await;
            let fresh = match text.starts_with('/') {
                true => gate.address(head, &text),
                false => text,
            };
            Told {
                fresh,
                done: language.pick("Done.", "Gemt.").to_owned(),
                ..Told::default()
            }
        }
        Ok(Err(error)) => Told::fault(said(language, &error)),
        Err(error) => {
            tracing::error!(%error, "a task ended badly");
            Told::fault(broken(language))
        }
    }
}
