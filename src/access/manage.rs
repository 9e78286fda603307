//! The pages of those who are in: their account; for admins users, API keys and shared links.
//!
//! Comes in: a viewer and a form. Goes out: the page, with what was made shown once. Each change leaves a row in
//! `access_log`. Admins alone see more than their account; to others those pages do not exist.

use std::collections::BTreeSet;
use std::net::IpAddr;

use hyper::StatusCode;
use hyper::header::SET_COOKIE;
use hyper::http::request::Parts;
use jiff::Timestamp;

use super::book::{Book, BookError, Reach, Role, Scope};
use super::gate::{Action, Gate, Via, Viewer, see_other};
use super::http::{Form, begin, change, chosen, keep_language, language_of};
use super::page::{self, Account, Frame, TicketLine, Tickets, UserLine, Users};
use super::throttle::By;
use crate::config::{SiteId, Sites};
use crate::policy::language::Language;
use crate::route::{Reply, cookie, problem};

/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;

/// Longest life of a key or link, in days.
const MAX_DAYS: i64 = 730;

pub(super) fn owns(path: &str) -> bool {
    matches!(path, "/account" | "/users" | "/keys" | "/links")
}

/// What a request led to, for the page that follows it.
#[derive(Default)]
struct Told {
    done: String,
    fault: String,
    fresh: String,
    fresh_for: String,
}

impl Told {
    fn fault(fault: impl Into<String>) -> Told {
        Told {
            fault: fault.into(),
            ..Told::default()
        }
    }

    fn done(done: impl Into<String>) -> Told {
        Told {
            done: done.into(),
            ..Told::default()
        }
    }
}

pub(super) async fn answer(
    gate: &Gate,
    sites: &Sites,
    head: &Parts,
    form: Option<Form>,
    peer: IpAddr,
) -> Reply {
    let viewer = match gate.admit(head, peer).await {
        Ok(viewer) => viewer,
        Err(reply) => return *reply,
    };
    let path = head.uri.path();
    let is_person = matches!(viewer.via(), Via::Session | Via::Proxy | Via::Open);
    let may_see = is_person && (path == "/account" || viewer.is_admin());
    if !may_see {
        return problem(StatusCode::NOT_FOUND, None, "no such path");
    }
    if form
        .as_ref()
        .is_some_and(|form| !viewer.is_own_form(form.text("form")))
    {
        let reason = "this form is not of your session; open the page anew";
        return problem(StatusCode::FORBIDDEN, None, reason);
    }
    let reply = match path {
        "/account" => account(gate, head, &viewer, form.as_ref()).await,
        "/users" => users(gate, sites, head, &viewer, form.as_ref()).await,
        "/keys" => keys(gate, sites, head, &viewer, form.as_ref()).await,
        _ => links(gate, sites, head, &viewer, form.as_ref()).await,
    };
    let mut reply = keep_language(head, reply);
    viewer.dress(&mut reply);
    reply
}

/// Ends the session, by a form of its own: a link elsewhere could sign people out.
pub(super) async fn sign_out(gate: &Gate, head: &Parts, form: &Form, peer: IpAddr) -> Reply {
    let viewer = match gate.admit(head, peer).await {
        Ok(viewer) if viewer.via() == Via::Session => viewer,
        _ => return see_other("/login"),
    };
    if !viewer.is_own_form(form.text("form")) {
        let reason = "this form is not of your session; open the page anew";
        return problem(StatusCode::FORBIDDEN, None, reason);
    }
    if let Some(id) = cookie(&head.headers, gate.cookie_name("session")) {
        gate.sessions.end(id, gate.now_ms());
    }
    gate.note(&viewer, Action::SignOut, "", "").await;
    let mut reply = see_other("/login");
    if let Some(cookie) = gate.set_cookie("session", "", Some(0)) {
        reply.headers_mut().append(SET_COOKIE, cookie);
    }
    reply
}

fn frame(head: &Parts, viewer: &Viewer, title: (&'static str, &'static str), told: &Told) -> Frame {
    let language = language_of(head);
    let name = match viewer.via() {
        Via::Open => language.pick(
            "everybody (access.mode = open)",
            "alle (access.mode = open)",
        ),
        _ => viewer.name(),
    };
    Frame {
        language,
        title: language.pick(title.0, title.1),
        path: head.uri.path().to_owned(),
        name: name.to_owned(),
        is_admin: viewer.is_admin(),
        fault: told.fault.clone(),
        done: told.done.clone(),
    }
}

fn status_of(told: &Told) -> StatusCode {
    match told.fault.is_empty() {
        true => StatusCode::OK,
        false => StatusCode::UNPROCESSABLE_ENTITY,
    }
}

async fn account(gate: &Gate, head: &Parts, viewer: &Viewer, form: Option<&Form>) -> Reply {
    let language = language_of(head);
    let is_session = viewer.via() == Via::Session;
    let mut told = Told::default();
    if let (Some(form), true) = (form, is_session) {
        match form.text("do") {
            "password" => match new_password(gate, head, viewer, form).await {
                Ok(reply) => return reply,
                Err(fault) => told = Told::fault(fault),
            },
            "end" => {
                let name = viewer.name().to_owned();
                let ended = change(gate, move |book| book.end_sessions(&name)).await;
                gate.note(viewer, Action::Changed, "", "signed out everywhere")
                    .await;
                return match ended {
                    Ok(()) => see_other("/login"),
                    Err(reply) => *reply,
                };
            }
            _ => told = Told::fault("?"),
        }
    }
    let book = gate.book_now().await;
    let user = book.users.get(viewer.name());
    let n_sessions = user.map_or(0, |user| {
        gate.sessions
            .n_of(viewer.name(), &user.epoch, gate.now_ms())
    });
    let page = Account {
        frame: frame(head, viewer, ("Account", "Konto"), &told),
        form: viewer.form().to_owned(),
        role: role_text(language, viewer.is_admin()),
        sites: user.map_or_else(|| "*".into(), |user| user.reach.text()),
        has_password: is_session,
        n_sessions,
    };
    page::reply(status_of(&told), language, &page)
}

fn role_text(language: Language, is_admin: bool) -> &'static str {
    match is_admin {
        true => language.pick("admin", "administrator"),
        false => language.pick("viewer", "læser"),
    }
}

/// Changes the viewer's own password; every session ends, and this browser gets a new one.
async fn new_password(
    gate: &Gate,
    head: &Parts,
    viewer: &Viewer,
    form: &Form,
) -> Result<Reply, String> {
    let language = language_of(head);
    let name = viewer.name().to_owned();
    let counted: [(By, &[u8]); 1] = [(By::Browser, viewer.form().as_bytes())];
    let busy = || {
        language
            .pick("Please try again later.", "Prøv igen senere.")
            .to_owned()
    };
    gate.throttle
        .take(&counted, gate.now_ms())
        .map_err(|_| busy())?;
    let book = gate.book_now().await;
    let phc = book
        .users
        .get(&name)
        .and_then(|user| user.password.as_deref());
    let is_right = gate
        .passwords
        .is_right(phc, form.typed("old"))
        .await
        .map_err(|_| busy())?;
    if !is_right {
        let wrong = (
            "The present password is wrong.",
            "Den nuværende adgangskode er forkert.",
        );
        return Err(language.pick(wrong.0, wrong.1).to_owned());
    }
    gate.throttle.give_back(&counted);
    chosen(&name, form, language).map_err(str::to_owned)?;
    let phc = gate
        .passwords
        .hash(form.typed("password"))
        .await
        .map_err(|_| busy())?;
    let user = name.clone();
    let changed = change(gate, move |book| {
        book.set_password(&user, phc)?;
        Ok(book.user(&user)?.epoch.clone())
    });
    match changed.await {
        Ok(epoch) => {
            gate.note(viewer, Action::Changed, "", "own password").await;
            Ok(begin(gate, head, &name, &epoch, "/account"))
        }
        Err(reply) => Ok(*reply),
    }
}

async fn users(
    gate: &Gate,
    sites: &Sites,
    head: &Parts,
    viewer: &Viewer,
    form: Option<&Form>,
) -> Reply {
    let language = language_of(head);
    let told = match form {
        Some(form) => change_users(gate, sites, head, viewer, form).await,
        None => Told::default(),
    };
    let book = gate.book_now().await;
    let now_ms = gate.now_ms();
    let lines = book.users.iter().map(|(name, user)| UserLine {
        name: name.clone(),
        is_admin: user.role == Role::Admin,
        sites: user.reach.text(),
        password: match (&user.password, &user.invitation) {
            (Some(_), _) => language.pick("set", "valgt"),
            (None, Some(one)) if now_ms < one.expires_ms => language.pick("invited", "inviteret"),
            _ => language.pick("none", "ingen"),
        },
    });
    let page = Users {
        frame: frame(head, viewer, ("Users", "Brugere"), &told),
        form: viewer.form().to_owned(),
        users: lines.collect(),
        all_sites: ids(sites).join(","),
        fresh: told.fresh.clone(),
        fresh_for: told.fresh_for.clone(),
    };
    page::reply(status_of(&told), language, &page)
}

fn ids(sites: &Sites) -> Vec<String> {
    sites.iter().map(|site| site.id.to_string()).collect()
}

/// Reads a list of sites as people write it; each must be configured.
fn reach_of(sites: &Sites, text: &str) -> Result<Reach, String> {
    let names: BTreeSet<&str> = text
        .split([',', ' '])
        .filter(|name| !name.is_empty())
        .collect();
    let known = |name: &&&str| **name == "*" || is_site(sites, name);
    match names.iter().find(|name| !known(name)) {
        Some(name) => Err(format!("{name}?")),
        None => Ok(Reach::of(names)),
    }
}

fn is_site(sites: &Sites, name: &str) -> bool {
    SiteId::new(name).is_some_and(|id| sites.iter().any(|site| site.id == id))
}

async fn change_users(
    gate: &Gate,
    sites: &Sites,
    head: &Parts,
    viewer: &Viewer,
    form: &Form,
) -> Told {
    let language = language_of(head);
    let what = form.text("do").to_owned();
    let name = form.text("name").trim().to_lowercase();
    let role = match form.text("role") {
        "admin" => Role::Admin,
        _ => Role::Viewer,
    };
    let reach = match reach_of(sites, form.text("sites")) {
        Ok(reach) => reach,
        Err(unknown) => {
            let text = language.pick("There is no such site: ", "Der er intet websted: ");
            return Told::fault(format!("{text}{unknown}"));
        }
    };
    let (by, now_ms) = (viewer.name().to_owned(), gate.now_ms());
    let (user, deed, reach_text) = (name.clone(), what.clone(), reach.text());
    let keeps_admin = viewer.via() == Via::Session;
    let store = gate.book.clone();
    let changed = tokio::task::spawn_blocking(move || {
        store.change(|book| {
            let made = match deed.as_str() {
                "add" => {
                    book.add_user(&user, role, reach, (&by, now_ms))?;
                    Some(book.invite(&user, now_ms)?)
                }
                "invite" => Some(book.invite(&user, now_ms)?),
                "role" => book.set_role(&user, role, reach).map(|()| None)?,
                "remove" => book.remove_user(&user).map(|()| None)?,
                _ => return Err(BookError::Unknown(deed.clone())),
            };
            if keeps_admin && book.has_no_admin() {
                return Err(BookError::LastAdmin);
            }
            Ok(made)
        })
    });
    let made = match changed.await {
        Ok(Ok(made)) => made,
        Ok(Err(error)) => return Told::fault(said(language, &error)),
        Err(error) => {
            tracing::error!(%error, "a task ended badly");
            return Told::fault("500");
        }
    };
    let detail = match what.as_str() {
        "add" | "role" => format!("user {what}: {name}, {}, {reach_text}", role.name()),
        _ => format!("user {what}: {name}"),
    };
    gate.note(viewer, Action::Changed, "", &detail).await;
    match made {
        Some(made) => Told {
            fresh: gate.address(head, &format!("/welcome/{}", &*made.text)),
            fresh_for: name,
            ..Told::default()
        },
        None => Told::done(language.pick("Done.", "Gemt.")),
    }
}

/// Says why the book was not changed. Faults of the disk stand in the log.
fn said(language: Language, error: &super::store::StoreError) -> String {
    use super::store::StoreError;
    let StoreError::Refused(refused) = error else {
        let reason = error.to_string();
        tracing::error!(reason, "who may look cannot be changed");
        return language
            .pick("It could not be written.", "Det kunne ikke gemmes.")
            .to_owned();
    };
    match refused {
        BookError::LastAdmin => language
            .pick(
                "The last admin who can sign in stays one.",
                "Den sidste administrator, der kan logge ind, forbliver administrator.",
            )
            .to_owned(),
        BookError::Taken(name) => {
            format!("{name}: {}", language.pick("is there already.", "findes allerede."))
        }
        BookError::Unknown(name) => {
            format!("{name}: {}", language.pick("is not there.", "findes ikke."))
        }
        BookError::Name => language
            .pick(
                "A name is 1 to 64 letters, digits, and . _ - @ +, beginning with a letter or digit.",
                "Et navn er 1 til 64 bogstaver, tal og . _ - @ + og begynder med et bogstav eller tal.",
            )
            .to_owned(),
        BookError::NoSite => language.pick("Name at least one site.", "Angiv mindst ét websted.").to_owned(),
        BookError::NoScope => language.pick("Choose at least one.", "Vælg mindst én.").to_owned(),
        BookError::Full => language.pick("There are too many.", "Der er for mange.").to_owned(),
    }
}

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

async fn keys(
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
        sites: key.reach.text(),
        scopes: scopes_text(&key.scopes),
        ends: key.expires_ms.map_or_else(String::new, day),
        by: key.added_by.clone(),
    });
    let page = Tickets {
        frame: frame(head, viewer, ("API keys", "API-nøgler"), &told),
        form: viewer.form().to_owned(),
        caption: language.pick("Programs that may ask", "Programmer, der må spørge"),
        add_title: language.pick("A new key", "En ny nøgle"),
        has_scopes: true,
        lines: lines.collect(),
        sites: ids(sites),
        all_sites: ids(sites).join(","),
        fresh: told.fresh.clone(),
    };
    page::reply(status_of(&told), language, &page)
}

pub(super) fn scopes_text(scopes: &BTreeSet<Scope>) -> String {
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
        Err(unknown) => {
            let text = language.pick("There is no such site: ", "Der er intet websted: ");
            return Told::fault(format!("{text}{unknown}"));
        }
    };
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

async fn links(
    gate: &Gate,
    sites: &Sites,
    head: &Parts,
    viewer: &Viewer,
    form: Option<&Form>,
) -> Reply {
    let language = language_of(head);
    let told = match form {
        Some(form) => {
            let (site, ends) = (form.text("site").to_owned(), end_of(form, gate.now_ms()));
            let is_known = is_site(sites, &site);
            let made = made(gate, head, viewer, form, "link", move |book, name, by| {
                let ends = ends.ok_or(BookError::Unknown("day".into()))?;
                if !is_known {
                    return Err(BookError::Unknown(site));
                }
                let made = book.add_link(name, &site, ends, by)?;
                Ok((format!("/share/{}", &*made.text), site))
            });
            made.await
        }
        None => Told::default(),
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
        add_title: language.pick("A new link", "Et nyt link"),
        has_scopes: false,
        lines: lines.collect(),
        sites: ids(sites),
        all_sites: String::new(),
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
            Told::fault("500")
        }
    }
}
