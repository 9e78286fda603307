//! Signing in by OpenID Connect: to the provider and back (OpenID Connect Core 1.0, section 3.1, with PKCE of RFC 7636).
//!
//! | path | |
//! |---|---|
//! | `/oidc/start?next=` | sends the browser to the provider |
//! | `/oidc/callback` | the provider sends it back; the name it vouches for must be a user's here |
//!
//! A sign-in under way is one cookie of ten minutes, and nothing in memory that a flood could fill: state, nonce and
//! verifier are keyed hashes of it. A callback counts in the browser that began it, once.

use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper::StatusCode;
use hyper::header::{HeaderValue, LOCATION, RETRY_AFTER, SET_COOKIE};
use hyper::http::request::Parts;
use subtle::ConstantTimeEq;

use super::book::name_of;
use super::gate::{Action, Gate, see_other};
use super::http::{asked, begin, known_browser, language_of, local_path, login_page, next_of};
use super::provider::{Attempt, Fault};
use super::session::new_id;
use super::throttle::By;
use crate::client::Client;
use crate::config::settings::OidcClaim;
use crate::policy::language::Language;
use crate::route::{Reply, cookie};

/// How long somebody may take at the provider.
const LIFE_S: i64 = 600;

/// Sends the browser to the provider.
pub(super) async fn start(gate: &Gate, head: &Parts) -> Reply {
    let Some(provider) = &gate.provider else {
        return see_other("/");
    };
    let next = next_of(head);
    let until_ms = gate.now_ms() + LIFE_S * 1_000;
    let kept = format!(
        "{}.{until_ms}.{}",
        &*new_id(),
        URL_SAFE_NO_PAD.encode(&next)
    );
    let way = provider
        .way(&attempt(gate, &kept), asked(head, "again").is_some())
        .await;
    let way = way.map(|way| HeaderValue::from_str(&way));
    match way {
        Ok(Ok(way)) => {
            let mut reply = see_other("/");
            reply.headers_mut().insert(LOCATION, way);
            if let Some(cookie) = gate.set_cookie("sign_on", &kept, Some(LIFE_S)) {
                reply.headers_mut().append(SET_COOKIE, cookie);
            }
            reply
        }
        Ok(Err(_)) => {
            let fault = Fault::Unbelieved("its address cannot stand in a header".into());
            failed(gate, head, next, &fault).await
        }
        Err(fault) => failed(gate, head, next, &fault).await,
    }
}

/// Takes the browser back, and begins a session.
pub(super) async fn callback(gate: &Gate, head: &Parts, peer: IpAddr) -> Reply {
    let (Some(provider), Some(rules)) = (&gate.provider, &gate.rules.oidc) else {
        return see_other("/");
    };
    let language = language_of(head);
    let kept = cookie(&head.headers, gate.cookie_name("sign_on")).unwrap_or_default();
    let attempt = attempt(gate, kept);
    let Some(next) = next_in(kept, gate.now_ms()) else {
        return stale(gate, head, language);
    };
    let state = asked(head, "state").unwrap_or_default();
    if !bool::from(state.as_bytes().ct_eq(attempt.state.as_bytes())) {
        return stale(gate, head, language);
    }
    let address = Client::read(&head.headers, peer, &gate.trusted_proxies).address;
    let address = address.to_string();
    let browser = known_browser(gate, head, "");
    let counted: [(By, &[u8]); 1] = match &browser {
        Some(browser) => [(By::Browser, browser.as_bytes())],
        None => [(By::Address, address.as_bytes())],
    };
    if let Err(wait) = gate.throttle.take(&counted, gate.now_ms()) {
        let throttled = gate.metrics.sign_ins.with_label_values(&["throttled"]);
        throttled.inc();
        let fault = language.pick(
            "Too many tries. Please wait a little.",
            "For mange forsøg. Vent lidt.",
        );
        let mut reply = login_page(gate, head, next, fault, StatusCode::TOO_MANY_REQUESTS);
        let seconds = wait.as_secs() + 1;
        reply.headers_mut().insert(RETRY_AFTER, seconds.into());
        return over(gate, reply);
    }
    // RFC 9207: of several providers one could pass a code on to another.
    let issuer = asked(head, "iss").unwrap_or_default();
    let code = asked(head, "code").unwrap_or_default();
    if code.is_empty() || !(issuer.is_empty() || issuer == rules.issuer) {
        let fault = language.pick(
            "You were not signed in there. Please try again.",
            "Du blev ikke logget ind dér. Prøv igen.",
        );
        return refused(gate, head, next, fault.to_owned()).await;
    }
    let vouched = match provider.name(code, &attempt).await {
        Ok(vouched) => vouched,
        Err(fault) => {
            if matches!(fault, Fault::Away(_)) {
                gate.throttle.give_back(&counted);
            }
            return over(gate, failed(gate, head, next, &fault).await);
        }
    };
    let name = name_here(rules.claim, &vouched).unwrap_or_default();
    let book = gate.book_now().await;
    let Some(user) = book.users.get(&name) else {
        let fault = language.pick(
            format!(
                "You are signed in at {} as {vouched}, and nobody by that name may look here. Ask whoever runs brine to add you.",
                rules.host
            ),
            format!(
                "Du er logget ind hos {} som {vouched}, og ingen med det navn må se tallene her. Bed den, der driver brine, om \
                 at tilføje dig.",
                rules.host
            ),
        );
        return refused(gate, head, next, fault).await;
    };
    gate.throttle.give_back(&counted);
    gate.metrics.sign_ins.with_label_values(&["in"]).inc();
    gate.note_of(&name, Action::SignIn, "").await;
    over(gate, begin(gate, head, &name, &user.epoch, &next))
}

/// The name here of whom the provider vouches for. Two people there must not be one here: capitals are let go of in
/// ASCII and in e-mail addresses alone, which mail systems take for the same; other names have to be spelt as here.
fn name_here(claim: OidcClaim, vouched: &str) -> Option<String> {
    let spelt = match claim {
        OidcClaim::Email => vouched.to_ascii_lowercase(),
        OidcClaim::PreferredUsername | OidcClaim::Sub => vouched.to_owned(),
    };
    name_of(&spelt).ok().filter(|name| *name == spelt)
}

/// The numbers of a sign-in, of its cookie.
fn attempt(gate: &Gate, kept: &str) -> Attempt {
    let number = |what: &str| gate.form_of(&format!("oidc {what} {kept}"));
    Attempt {
        state: number("state"),
        nonce: number("nonce"),
        verifier: number("verifier"),
    }
}

/// Where a sign-in leads; none once its time is over. Whether it is one of ours, the state tells.
fn next_in(kept: &str, now_ms: i64) -> Option<String> {
    let mut parts = kept.split('.');
    let (_, until_ms, next) = (parts.next()?, parts.next()?, parts.next()?);
    let until_ms: i64 = until_ms.parse().ok()?;
    let next = String::from_utf8(URL_SAFE_NO_PAD.decode(next).ok()?).ok()?;
    (now_ms < until_ms).then(|| local_path(&next).to_owned())
}

/// Ends the sign-in that the cookie is of: a callback counts once.
fn over(gate: &Gate, mut reply: Reply) -> Reply {
    if let Some(cookie) = gate.set_cookie("sign_on", "", Some(0)) {
        reply.headers_mut().append(SET_COOKIE, cookie);
    }
    reply
}

/// A callback of another browser, of another sign-in, or too late.
fn stale(gate: &Gate, head: &Parts, language: Language) -> Reply {
    gate.metrics.sign_ins.with_label_values(&["refused"]).inc();
    let fault = language.pick(
        "This sign-in was not begun in this browser, or is over. Please try again.",
        "Dette login blev ikke begyndt i denne browser eller er slut. Prøv igen.",
    );
    login_page(gate, head, "/".into(), fault, StatusCode::FORBIDDEN)
}

/// Whoever came back may not look.
async fn refused(gate: &Gate, head: &Parts, next: String, fault: String) -> Reply {
    gate.metrics.sign_ins.with_label_values(&["refused"]).inc();
    // Who it is stands in no log: nobody here knows them.
    gate.note_of("", Action::Refused, "sign_in").await;
    over(
        gate,
        login_page(gate, head, next, &fault, StatusCode::FORBIDDEN),
    )
}

/// Nobody can tell who it is.
async fn failed(gate: &Gate, head: &Parts, next: String, fault: &Fault) -> Reply {
    let language = language_of(head);
    tracing::warn!(%fault, "a sign-in did not come about");
    let (word, status, text) = match fault {
        Fault::Away(_) => (
            "failed",
            StatusCode::SERVICE_UNAVAILABLE,
            language.pick(
                "It cannot be asked at present who you are. Please try again in a moment.",
                "Det kan lige nu ikke undersøges, hvem du er. Prøv igen om lidt.",
            ),
        ),
        Fault::Unbelieved(_) | Fault::Unnamed(_) => (
            "refused",
            StatusCode::FORBIDDEN,
            language.pick(
                "What was said of you there is not enough here. Tell whoever runs brine: the log says what is missing.",
                "Det, der blev sagt om dig dér, er ikke nok her. Sig det til den, der driver brine: loggen siger, hvad der mangler.",
            ),
        ),
    };
    gate.metrics.sign_ins.with_label_values(&[word]).inc();
    if word == "refused" {
        gate.note_of("", Action::Refused, "sign_in").await;
    }
    login_page(gate, head, next, text, status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_people_at_the_provider_are_never_one_here() {
        use OidcClaim::{Email, PreferredUsername, Sub};
        for (claim, vouched, name) in [
            (Email, "Anna@Example.test", Some("anna@example.test")),
            // U+212A is lower-cased to k, U+0130 to i and a dot.
            (Email, "\u{212a}im@example.test", None),
            (Email, "\u{130}da@example.test", None),
            (Email, " anna@example.test", None),
            (PreferredUsername, "anna", Some("anna")),
            (PreferredUsername, "Anna", None),
            (PreferredUsername, "\u{212a}im", None),
            (
                Sub,
                "0b7f2c9e-51aa-4c0e-9d7e-2f6a1c3b4d5e",
                Some("0b7f2c9e-51aa-4c0e-9d7e-2f6a1c3b4d5e"),
            ),
            (Sub, "AbC", None),
            (Sub, "auth0|abc", None),
            (Sub, "", None),
        ] {
            assert_eq!(name_here(claim, vouched).as_deref(), name, "{vouched:?}");
        }
    }
}
