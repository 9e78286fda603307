//! Signing in and out over HTTP: forms, cookies, links.
//!
//! | path | |
//! |---|---|
//! | `/login`, `/logout` | name and password; a form each |
//! | `/oidc/start`, `/oidc/callback` | to an OpenID provider and back, in mode `oidc`: see `super::oidc` |
//! | `/welcome/<invitation>` | choose a password, once; also the set-up link of a first start |
//! | `/share/<link>` | a shared link: look at one site until it expires |
//! | `/account`, `/users`, `/keys`, `/links` | see `super::manage` |
//!
//! Every form carries a proof that it is of this browser: the session's own, or, before there is one, the keyed hash of a
//! cookie (OWASP, "signed double-submit cookie"). Nothing that a client names is used as an address elsewhere.

use std::collections::BTreeMap;
use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use hyper::body::Incoming;
use hyper::header::{ACCEPT_LANGUAGE, RETRY_AFTER, SET_COOKIE};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};
use subtle::ConstantTimeEq;
use url::form_urlencoded;
use zeroize::Zeroizing;

use super::book::{BookError, name_of};
use super::gate::{Action, Gate, encoded, see_other};
use super::invite::{share, welcome};
use super::manage;
use super::page::{self, Frame, Login};
use super::password;
use super::refusal;
use super::session::new_id;
use super::store::StoreError;
use super::throttle::By;
use crate::client::Client;
use crate::config::Sites;
use crate::config::settings::Mode;
use crate::policy::language::Language;
use crate::route::body::{self, Limits};
use crate::route::{Reply, cookie, header, not_allowed, problem};

/// Bytes of a form; the longest password in percent-encoding fits three times.
const MAX_FORM: usize = 16 * 1_024;

/// How long a browser is known again after its last sign-in.
const BROWSER_S: i64 = 180 * 86_400;

/// A form's fields, wiped when dropped.
pub(super) struct Form(BTreeMap<String, Vec<Zeroizing<String>>>);

impl Form {
    /// Returns a field's text; empty where there is none.
    pub(super) fn text(&self, name: &str) -> &str {
        let first = self.0.get(name).and_then(|values| values.first());
        first.map_or("", |value| value.as_str())
    }

    /// Returns all texts of a field.
    pub(super) fn texts(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.get(name).into_iter().flatten().map(|v| v.as_str())
    }

    pub(super) fn typed(&self, name: &str) -> password::Typed {
        Zeroizing::new(self.text(name).to_owned())
    }
}

/// Tells whether a path belongs to these pages.
pub fn owns(path: &str) -> bool {
    matches!(
        path,
        "/access.css"
            | "/login"
            | "/logout"
            | "/account"
            | "/users"
            | "/keys"
            | "/links"
            | "/oidc/start"
            | "/oidc/callback"
    ) || path.starts_with("/welcome/")
        || path.starts_with("/share/")
}

/// Answers a path that is [`owns`]ed.
pub async fn answer(
    gate: &Gate,
    sites: &Sites,
    head: &Parts,
    body: Incoming,
    peer: IpAddr,
) -> Reply {
    let path = head.uri.path();
    // The style is the same for everybody, and so is the refusal of a name that is not ours.
    if let (Err(reply), true) = (gate.check_host(head), path != "/access.css") {
        return *reply;
    }
    let form = match head.method {
        Method::GET | Method::HEAD => None,
        Method::POST => match read_form(gate, head, body).await {
            Ok(form) => Some(form),
            Err(reply) => return *reply,
        },
        _ => return not_allowed("GET, POST"),
    };
    let is_known = !matches!(path, "/access.css") && gate.rules.mode == Mode::Password;
    match (path, form) {
        ("/access.css", None) => page::style(),
        ("/login", None) if gate.has_sign_in() => {
            login_page(gate, head, next_of(head), "", StatusCode::OK)
        }
        ("/login", Some(form)) if is_known => sign_in(gate, head, &form, peer).await,
        ("/login", Some(_)) if gate.has_sign_in() => not_allowed("GET"),
        ("/login", _) => see_other("/"),
        #[cfg(feature = "oidc")]
        ("/oidc/start", None) => super::oidc::start(gate, head).await,
        #[cfg(feature = "oidc")]
        ("/oidc/callback", None) => super::oidc::callback(gate, head, peer).await,
        ("/logout", Some(form)) => manage::sign_out(gate, head, &form, peer).await,
        ("/logout" | "/access.css", _) => not_allowed("POST"),
        (_, form) if path.starts_with("/welcome/") && is_known => {
            welcome(gate, head, form.as_ref()).await
        }
        (_, None) if path.starts_with("/share/") => share(gate, head).await,
        (_, form) if manage::owns(path) => manage::answer(gate, sites, head, form, peer).await,
        _ => problem(StatusCode::NOT_FOUND, None, "no such path"),
    }
}

/// What an address asks for by this name.
pub(super) fn asked(head: &Parts, name: &str) -> Option<String> {
    let query = head.uri.query().unwrap_or_default();
    let found = form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name);
    found.map(|(_, value)| value.into_owned())
}

/// The language of a page: asked for, else chosen before, else what the browser prefers.
pub(super) fn language_of(head: &Parts) -> Language {
    asked(head, "lang")
        .and_then(|tag| Language::named(&tag))
        .or_else(|| Language::named(cookie(&head.headers, "brine_lang")?))
        .or_else(|| Language::accepted(header(head, &ACCEPT_LANGUAGE)?))
        .unwrap_or_default()
}

/// Finishes a page: a language that was asked for by name is kept.
pub(super) fn keep_language(head: &Parts, mut reply: Reply) -> Reply {
    if let Some(language) = asked(head, "lang").and_then(|tag| Language::named(&tag)) {
        let tag = language.tag();
        let kept = format!("brine_lang={tag}; Path=/; HttpOnly; SameSite=Lax; Max-Age=31536000");
        if let Ok(kept) = kept.parse() {
            reply.headers_mut().append(SET_COOKIE, kept);
        }
    }
    reply
}

async fn read_form(gate: &Gate, head: &Parts, body: Incoming) -> Result<Form, Box<Reply>> {
    let limits = Limits {
        bytes: MAX_FORM,
        time: gate.body_timeout,
    };
    let body = body::read(head, body, body::FORM, limits).await;
    let body = body.map_err(|fault| Box::new(problem(fault.status(), None, &fault.detail())))?;
    if !gate.is_own_page(head) {
        let reason = "this form does not come from a page of this listener";
        let refusal = problem(StatusCode::FORBIDDEN, None, reason);
        return Err(Box::new(refusal::foreign(refusal)));
    }
    let body = Zeroizing::new(body.to_vec());
    let mut form: BTreeMap<String, Vec<Zeroizing<String>>> = BTreeMap::new();
    for (name, value) in form_urlencoded::parse(&body) {
        let value = Zeroizing::new(value.into_owned());
        form.entry(name.into_owned()).or_default().push(value);
    }
    Ok(Form(form))
}

/// Where to go after signing in: a path of ours, or home. `//host` and `/\host` are other hosts to a browser.
pub(super) fn local_path(next: &str) -> &str {
    let mut bytes = next.bytes();
    let is_path = bytes.next() == Some(b'/') && !matches!(bytes.next(), Some(b'/' | b'\\'));
    let is_plain = next.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
    let is_ours = is_path && is_plain && next.len() <= 2_000;
    if is_ours && !matches!(next, "/login" | "/logout") {
        next
    } else {
        "/"
    }
}

pub(super) fn next_of(head: &Parts) -> String {
    asked(head, "next").map_or_else(|| "/".into(), |next| local_path(&next).to_owned())
}

pub(super) fn frame(head: &Parts, title: (&'static str, &'static str), fault: &str) -> Frame {
    let language = language_of(head);
    Frame {
        language,
        title: language.pick(title.0, title.1),
        path: head.uri.path().to_owned(),
        fault: fault.to_owned(),
        ..Frame::default()
    }
}

/// A proof for a form before there is a session: the cookie's value, and what the form carries.
pub(super) fn proof(gate: &Gate, head: &Parts) -> (Option<hyper::header::HeaderValue>, String) {
    let known = cookie(&head.headers, gate.cookie_name("form")).filter(|id| id.len() == 43);
    match known {
        Some(id) => (None, gate.form_of(&format!("form {id}"))),
        None => {
            let id = new_id();
            let form = gate.form_of(&format!("form {}", &*id));
            (gate.set_cookie("form", &id, None), form)
        }
    }
}

pub(super) fn is_proven(gate: &Gate, head: &Parts, form: &Form) -> bool {
    let Some(id) = cookie(&head.headers, gate.cookie_name("form")) else {
        return false;
    };
    let expected = gate.form_of(&format!("form {id}"));
    form.text("form")
        .as_bytes()
        .ct_eq(expected.as_bytes())
        .into()
}

/// The page on which one signs in, or from which one goes where that is done.
pub(super) fn login_page(
    gate: &Gate,
    head: &Parts,
    next: String,
    fault: &str,
    status: StatusCode,
) -> Reply {
    let (cookie, form) = proof(gate, head);
    let oidc = gate.rules.oidc.as_ref();
    // Whoever was not let in may be somebody else there.
    let again = match fault.is_empty() {
        true => "",
        false => "&again=1",
    };
    let page = Login {
        provider: oidc.map(|oidc| oidc.host.clone()).unwrap_or_default(),
        way: format!("/oidc/start?{}{again}", encoded("next", &next)),
        frame: Frame {
            path: "/login".into(),
            ..frame(head, ("Sign in", "Log ind"), fault)
        },
        form,
        next,
    };
    let mut reply = page::reply(status, page.frame.language, &page);
    if let Some(cookie) = cookie {
        reply.headers_mut().append(SET_COOKIE, cookie);
    }
    keep_language(head, reply)
}

/// What tells a form that was opened too long ago, or elsewhere.
pub(super) const STALE: (&str, &str) = (
    "This page was open too long. Please try again.",
    "Siden har været åben for længe. Prøv igen.",
);

async fn sign_in(gate: &Gate, head: &Parts, form: &Form, peer: IpAddr) -> Reply {
    let language = language_of(head);
    let next = local_path(form.text("next")).to_owned();
    let again = |fault: (&'static str, &'static str), status| {
        login_page(
            gate,
            head,
            next.clone(),
            language.pick(fault.0, fault.1),
            status,
        )
    };
    if !is_proven(gate, head, form) {
        return again(STALE, StatusCode::FORBIDDEN);
    }
    let name = name_of(form.text("name")).unwrap_or_default();
    let address = Client::read(&head.headers, peer, &gate.trusted_proxies).address;
    let address = address.to_string();
    let browser = known_browser(gate, head, &name);
    let counted: Vec<(By, &[u8])> = match &browser {
        Some(browser) => vec![(By::Browser, browser.as_bytes())],
        None => vec![
            (By::Address, address.as_bytes()),
            (By::Account, name.as_bytes()),
        ],
    };
    let now_ms = gate.now_ms();
    if let Err(wait) = gate.throttle.take(&counted, now_ms) {
        gate.metrics
            .sign_ins
            .with_label_values(&["throttled"])
            .inc();
        let mut reply = again(
            (
                "Too many tries. Please wait a little; browsers you have signed in with before are not held up.",
                "For mange forsøg. Vent lidt; browsere, du har logget ind med før, berøres ikke.",
            ),
            StatusCode::TOO_MANY_REQUESTS,
        );
        let seconds = wait.as_secs() + 1;
        reply.headers_mut().insert(RETRY_AFTER, seconds.into());
        return reply;
    }
    let book = gate.book_now().await;
    let user = book.users.get(&name);
    let phc = user.and_then(|user| user.password.as_deref());
    let typed = form.typed("password");
    let is_right = match typed.len() <= password::MAX_BYTES {
        true => gate.passwords.is_right(phc, typed).await,
        false => gate.passwords.is_right(None, Zeroizing::default()).await,
    };
    match (is_right, user) {
        (Err(_), _) => {
            gate.throttle.give_back(&counted);
            let mut reply = again(
                (
                    "Too many sign-ins at once. Please try again.",
                    "For mange logger ind på én gang. Prøv igen.",
                ),
                StatusCode::SERVICE_UNAVAILABLE,
            );
            reply.headers_mut().insert(RETRY_AFTER, 5.into());
            reply
        }
        (Ok(true), Some(user)) => {
            gate.throttle.give_back(&counted);
            gate.metrics.sign_ins.with_label_values(&["in"]).inc();
            gate.note_of(&name, Action::SignIn, "").await;
            begin(gate, head, &name, &user.epoch, &next)
        }
        _ => {
            gate.metrics.sign_ins.with_label_values(&["refused"]).inc();
            // A name that nobody has may be a password in the wrong field: it is not written down.
            let who = if user.is_some() { name.as_str() } else { "" };
            gate.note_of(who, Action::Refused, "sign_in").await;
            again(
                (
                    "Name or password is wrong.",
                    "Navn eller adgangskode er forkert.",
                ),
                StatusCode::UNAUTHORIZED,
            )
        }
    }
}

/// Begins a session: always under a new id, and the one shown before ends.
pub(super) fn begin(gate: &Gate, head: &Parts, name: &str, epoch: &str, next: &str) -> Reply {
    let now_ms = gate.now_ms();
    if let Some(before) = cookie(&head.headers, gate.cookie_name("session")) {
        gate.sessions.end(before, now_ms);
    }
    let id = gate.sessions.begin(name, epoch, now_ms);
    let n_sessions = i64::try_from(gate.sessions.len()).unwrap_or(i64::MAX);
    gate.metrics.sessions.set(n_sessions);
    let mut reply = see_other(next);
    let browser = browser_cookie(gate, if gate.has_passwords() { name } else { "" });
    let cookies = [
        gate.set_cookie("session", &id, None),
        gate.set_cookie("browser", &browser, Some(BROWSER_S)),
    ];
    for cookie in cookies.into_iter().flatten() {
        reply.headers_mut().append(SET_COOKIE, cookie);
    }
    reply
}

/// What tells a browser that a user has signed in with: a random number and its MAC with the user's name; without one where
/// it is known only afterwards who signs in.
fn browser_cookie(gate: &Gate, name: &str) -> String {
    let number = new_id();
    let mac = browser_mac(gate, name, &number);
    format!("{}.{mac}", &*number)
}

fn browser_mac(gate: &Gate, name: &str, number: &str) -> String {
    let mut hasher = blake3::Hasher::new_keyed(gate.browsers.expose());
    // The number has one length: no two pairs give one input.
    hasher.update(number.as_bytes()).update(name.as_bytes());
    URL_SAFE_NO_PAD.encode(hasher.finalize().as_bytes())
}

pub(super) fn known_browser(gate: &Gate, head: &Parts, name: &str) -> Option<String> {
    let shown = cookie(&head.headers, gate.cookie_name("browser"))?;
    let (number, mac) = shown.split_once('.')?;
    let expected = browser_mac(gate, name, number);
    let is_ours = number.len() == 43 && bool::from(mac.as_bytes().ct_eq(expected.as_bytes()));
    is_ours.then(|| number.to_owned())
}

/// Checks a password that was typed twice.
pub(super) fn chosen(name: &str, form: &Form, language: Language) -> Result<(), &'static str> {
    if form.text("password") != form.text("again") {
        return Err(language.pick(
            "The two passwords are not the same.",
            "De to adgangskoder er ikke ens.",
        ));
    }
    password::check(name, form.text("password")).map_err(|weak| match weak {
        password::Weak::Short => language.pick(
            "The password is too short: at least 12 characters.",
            "Adgangskoden er for kort: mindst 12 tegn.",
        ),
        password::Weak::Long => language.pick(
            "The password is too long: at most 1,024 bytes.",
            "Adgangskoden er for lang: højst 1.024 byte.",
        ),
        password::Weak::Obvious => language.pick(
            "That password is too easy to guess.",
            "Den adgangskode er for let at gætte.",
        ),
    })
}

/// Changes the book, off the runtime.
///
/// # Errors
/// The reply that says why not.
pub(super) async fn change<T: Send + 'static>(
    gate: &Gate,
    change: impl FnOnce(&mut super::book::Book) -> Result<T, BookError> + Send + 'static,
) -> Result<T, Box<Reply>> {
    let store = gate.book.clone();
    let changed = tokio::task::spawn_blocking(move || store.change(change)).await;
    match changed {
        Ok(Ok(result)) => Ok(result),
        Ok(Err(StoreError::Refused(error))) => Err(Box::new(problem(
            StatusCode::CONFLICT,
            None,
            &error.to_string(),
        ))),
        Ok(Err(error)) => {
            let reason = anyhow::Error::new(error);
            tracing::error!(
                reason = format!("{reason:#}"),
                "who may look cannot be changed"
            );
            let reason = "the change could not be written";
            Err(Box::new(problem(
                StatusCode::INTERNAL_SERVER_ERROR,
                None,
                reason,
            )))
        }
        Err(error) => {
            tracing::error!(%error, "a task ended badly");
            let reason = "the change could not be written";
            Err(Box::new(problem(
                StatusCode::INTERNAL_SERVER_ERROR,
                None,
                reason,
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signing_in_leads_nowhere_else() {
        for next in [
            "https://evil.test/",
            "//evil.test",
            "/\\evil.test",
            "\\/evil.test",
            "/a\\..\\b",
            "javascript:alert(1)",
            "/a\r\nset-cookie: x=y",
            "/\t/evil.test",
            " /a",
            "",
            "/logout",
        ] {
            assert_eq!(local_path(next), "/", "{next:?}");
        }
        for next in ["/", "/d/portal?range=7d&f=is,event:page,/a", "/users"] {
            assert_eq!(local_path(next), next);
        }
    }
}
