//! The pages of those who are in: their account; and the way to those for admins.
//!
//! Comes in: a viewer and a form. Goes out: the page, with what was made shown once. Each change leaves a row in
//! `access_log`. Admins alone see more than their account; to others those pages do not exist.

use std::net::IpAddr;

use hyper::StatusCode;
use hyper::header::SET_COOKIE;
use hyper::http::request::Parts;

use super::gate::{Action, Gate, Via, Viewer, see_other};
use super::http::{Form, begin, change, chosen, keep_language, language_of};
use super::page::{self, Account, Frame};
use super::refusal;
use super::throttle::By;
use super::tickets::{keys, links};
use super::users::users;
use crate::config::Sites;
use crate::policy::language::Language;
use crate::route::{Reply, cookie, problem};

pub(super) fn owns(path: &str) -> bool {
    matches!(path, "/account" | "/users" | "/keys" | "/links")
}

/// What a request led to, for the page that follows it.
#[derive(Default)]
pub(super) struct Told {
    pub(super) done: String,
    pub(super) fault: String,
    pub(super) fresh: String,
    pub(super) fresh_for: String,
}

impl Told {
    pub(super) fn fault(fault: impl Into<String>) -> Told {
        Told {
            fault: fault.into(),
            ..Told::default()
        }
    }

    pub(super) fn done(done: impl Into<String>) -> Told {
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
        return refusal::stale(problem(StatusCode::FORBIDDEN, None, reason));
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
        return refusal::stale(problem(StatusCode::FORBIDDEN, None, reason));
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

pub(super) fn frame(
    head: &Parts,
    viewer: &Viewer,
    title: (&'static str, &'static str),
    told: &Told,
) -> Frame {
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

pub(super) fn status_of(told: &Told) -> StatusCode {
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
            "password" if gate.has_passwords() => {
                match new_password(gate, head, viewer, form).await {
                    Ok(reply) => return reply,
                    Err(fault) => told = Told::fault(fault),
                }
            }
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
            _ => {
                told = Told::fault(language.pick(
                    "There is no such change; choose one of those below.",
                    "Den ændring findes ikke; vælg en af dem nedenfor.",
                ));
            }
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
        sites: sites_text(
            language,
            &user.map_or_else(|| "*".into(), |user| user.reach.text()),
        ),
        has_session: is_session,
        has_password: is_session && gate.has_passwords(),
        n_sessions,
    };
    page::reply(status_of(&told), language, &page)
}

/// A reach in words.
pub(super) fn sites_text(language: Language, reach: &str) -> String {
    match reach {
        "*" => language.pick("all", "alle").to_owned(),
        reach => reach.replace(',', ", "),
    }
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
