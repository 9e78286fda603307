//! `/users`: an admin lets people in and out.

use std::collections::BTreeSet;

use hyper::http::request::Parts;

use super::book::{BookError, Reach, Role};
use super::gate::{Action, Gate, Via, Viewer};
use super::http::{Form, language_of};
use super::manage::{Told, frame, status_of};
use super::page::{self, UserLine, Users};
use super::store::StoreError;
use crate::config::{SiteId, Sites};
use crate::policy::language::Language;
use crate::route::Reply;

pub(super) async fn users(
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
        has_passwords: gate.has_passwords(),
        fresh: told.fresh.clone(),
        fresh_for: told.fresh_for.clone(),
    };
    page::reply(status_of(&told), language, &page)
}

pub(super) fn ids(sites: &Sites) -> Vec<String> {
    sites.iter().map(|site| site.id.to_string()).collect()
}

/// Reads a list of sites as people write it; each must be configured.
pub(super) fn reach_of(sites: &Sites, text: &str) -> Result<Reach, String> {
    let names: BTreeSet<&str> = text
        .split([',', ' '])
        .filter(|name| !name.is_empty())
        .collect();
    let known = |name: &&&str| **name == "*" || is_site(sites, name);
    match names.iter().find(|name| !known(name)) {
        Some(name) => Err((*name).to_owned()),
        None => Ok(Reach::of(names)),
    }
}

/// Says that a site is not configured, and which are.
pub(super) fn no_such(sites: &Sites, name: &str, language: Language) -> String {
    let known = ids(sites).join(", ");
    language.pick(
        format!("There is no site {name}. Choose from {known}."),
        format!("Der er intet websted {name}. Vælg blandt {known}."),
    )
}

pub(super) fn is_site(sites: &Sites, name: &str) -> bool {
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
        Err(unknown) => return Told::fault(no_such(sites, &unknown, language)),
    };
    let (by, now_ms) = (viewer.name().to_owned(), gate.now_ms());
    let (user, deed, reach_text) = (name.clone(), what.clone(), reach.text());
    let (keeps_admin, has_passwords) = (viewer.via() != Via::Open, gate.has_passwords());
    let store = gate.book.clone();
    let changed = tokio::task::spawn_blocking(move || {
        store.change(|book| {
            let made = match deed.as_str() {
                "add" => {
                    book.add_user(&user, role, reach, (&by, now_ms))?;
                    match has_passwords {
                        true => Some(book.invite(&user, now_ms)?),
                        false => None,
                    }
                }
                "invite" if has_passwords => Some(book.invite(&user, now_ms)?),
                "role" => book.set_role(&user, role, reach).map(|()| None)?,
                "remove" => book.remove_user(&user).map(|()| None)?,
                _ => return Err(BookError::Unknown(deed.clone())),
            };
            let has_none = match has_passwords {
                true => book.has_no_admin(),
                false => book.names_no_admin(),
            };
            if keeps_admin && has_none {
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
            return Told::fault(broken(language));
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

/// Says that the fault is not the reader's.
pub(super) fn broken(language: Language) -> &'static str {
    language.pick(
        "It could not be written. Try again; if it stays so, tell whoever runs brine: the log says why.",
        "Det kunne ikke gemmes. Prøv igen; bliver det ved, så sig det til den, der driver brine: loggen siger hvorfor.",
    )
}

/// Says why the book was not changed. Faults of the disk stand in the log.
pub(super) fn said(language: Language, error: &StoreError) -> String {
    let StoreError::Refused(refused) = error else {
        let reason = error.to_string();
        tracing::error!(reason, "who may look cannot be changed");
        return broken(language).to_owned();
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
