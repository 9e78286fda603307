//! Links that open something: an invitation and the set-up link once, a shared link until it expires.

use hyper::StatusCode;
use hyper::header::SET_COOKIE;
use hyper::http::request::Parts;

use super::book::{BookError, Reach, Role, name_of};
use super::gate::{Action, Gate, see_other};
use super::http::{
    Form, STALE, begin, change, chosen, frame, is_proven, keep_language, language_of, proof,
};
use super::page::{self, Message, Welcome};
use super::store::StoreError;
use super::users::said;
use crate::dashboard;
use crate::route::Reply;

/// Follows an invitation, or the set-up link: shows the form, then sets the password and signs in.
pub(super) async fn welcome(gate: &Gate, head: &Parts, form: Option<&Form>) -> Reply {
    let shown = head
        .uri
        .path()
        .strip_prefix("/welcome/")
        .unwrap_or_default();
    let book = gate.book_now().await;
    let is_setup = gate.is_setup(shown, &book);
    let invited = book.invited(shown, gate.now_ms()).map(str::to_owned);
    if !is_setup && invited.is_none() {
        return gone(
            head,
            (
                "This link has been used, is replaced by a newer one, or has expired.",
                "Linket er brugt, erstattet af et nyere eller udløbet.",
            ),
            ("/login", "Sign in", "Log ind"),
        );
    }
    let language = language_of(head);
    let render = |fault: &str, name: String, status| {
        let (cookie, form) = proof(gate, head);
        let title = match is_setup {
            true => ("Set up brine", "Sæt brine op"),
            false => ("Welcome", "Velkommen"),
        };
        let page = Welcome {
            frame: frame(head, title, fault),
            form,
            name,
            is_setup,
        };
        let mut reply = page::reply(status, language, &page);
        if let Some(cookie) = cookie {
            reply.headers_mut().append(SET_COOKIE, cookie);
        }
        keep_language(head, reply)
    };
    let Some(form) = form else {
        return render("", invited.unwrap_or_default(), StatusCode::OK);
    };
    let name = match &invited {
        Some(name) => name.clone(),
        None => match name_of(form.text("name")) {
            Ok(name) => name,
            Err(error) => {
                let fault = said(language, &StoreError::Refused(error));
                return render(&fault, String::new(), StatusCode::UNPROCESSABLE_ENTITY);
            }
        },
    };
    if !is_proven(gate, head, form) {
        return render(language.pick(STALE.0, STALE.1), name, StatusCode::FORBIDDEN);
    }
    if let Err(fault) = chosen(&name, form, language) {
        return render(fault, name, StatusCode::UNPROCESSABLE_ENTITY);
    }
    let Ok(phc) = gate.passwords.hash(form.typed("password")).await else {
        let busy = language.pick(
            "Too many sign-ins at once. Please try again.",
            "For mange logger ind på én gang. Prøv igen.",
        );
        return render(busy, name, StatusCode::SERVICE_UNAVAILABLE);
    };
    let (text, now_ms, user) = (shown.to_owned(), gate.now_ms(), name.clone());
    // Asked again under the lock: of two at once, one opens.
    let changed = change(gate, move |book| {
        match is_setup {
            true if book.has_no_admin() => {
                if !book.users.contains_key(&user) {
                    book.add_user(&user, Role::Admin, Reach::All, ("set-up link", now_ms))?;
                }
                book.set_role(&user, Role::Admin, Reach::All)?;
            }
            false if book.invited(&text, now_ms) == Some(user.as_str()) => {}
            _ => return Err(BookError::Unknown("invitation".into())),
        }
        book.set_password(&user, phc)?;
        Ok(book.user(&user)?.epoch.clone())
    });
    match changed.await {
        Ok(epoch) => {
            let detail = if is_setup {
                "set up"
            } else {
                "password chosen"
            };
            gate.note_of(&name, Action::Changed, detail).await;
            gate.note_of(&name, Action::SignIn, "").await;
            gate.metrics.sign_ins.with_label_values(&["in"]).inc();
            begin(gate, head, &name, &epoch, "/")
        }
        Err(reply) => *reply,
    }
}

/// Opens a shared link: its cookie lets the browser look at one site, as long as the link lives.
pub(super) async fn share(gate: &Gate, head: &Parts) -> Reply {
    let shown = head.uri.path().strip_prefix("/share/").unwrap_or_default();
    let book = gate.book_now().await;
    let now_ms = gate.now_ms();
    let link = book.link(shown).filter(|link| now_ms < link.expires_ms);
    let Some(link) = link else {
        return gone(
            head,
            (
                "This shared link has expired, or there is no such link. Ask whoever sent it for a new one.",
                "Det delte link er udløbet eller findes ikke. Bed afsenderen om et nyt.",
            ),
            ("", "", ""),
        );
    };
    // What stands behind `?` is the view that was shared: period, tabs, filters. Whoever has the link may choose all of that.
    let query = head.uri.query().unwrap_or_default();
    let mut reply = see_other(&dashboard::address_of(&link.site, query));
    let age_s = (link.expires_ms - now_ms) / 1_000;
    if let Some(cookie) = gate.set_cookie("link", shown, Some(age_s)) {
        reply.headers_mut().append(SET_COOKIE, cookie);
    }
    reply
}

fn gone(
    head: &Parts,
    text: (&'static str, &'static str),
    link: (&'static str, &'static str, &'static str),
) -> Reply {
    let language = language_of(head);
    let page = Message {
        frame: frame(head, ("This link opens nothing", "Linket åbner intet"), ""),
        text: language.pick(text.0, text.1).to_owned(),
        href: link.0.to_owned(),
        link: language.pick(link.1, link.2),
    };
    keep_language(head, page::reply(StatusCode::GONE, language, &page))
}
