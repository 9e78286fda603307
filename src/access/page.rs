//! The pages of who may look, rendered on the server: they work without script, load their own style and nothing else.

use askama::Template;
use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{
    CACHE_CONTROL, CONTENT_LANGUAGE, CONTENT_SECURITY_POLICY, HeaderValue, REFERRER_POLICY, VARY,
    X_CONTENT_TYPE_OPTIONS,
};

use crate::policy::language::Language;
use crate::route::{Reply, typed};

/// The style, at `/access.css`.
pub(super) const STYLE: &str = concat!(
    include_str!("../../dashboards/web/ground.css"),
    include_str!("../../dashboards/web/text.css"),
    include_str!("../../dashboards/web/access/access.css"),
);

/// Our own style and forms that go to ourselves; no script, no picture, no frame around it.
const SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; \
                               frame-ancestors 'none'";

/// What stands around every page.
#[derive(Debug, Default)]
pub(super) struct Frame {
    pub(super) language: Language,
    pub(super) title: &'static str,
    pub(super) path: String,
    /// Who is signed in; empty where nobody is.
    pub(super) name: String,
    pub(super) is_admin: bool,
    /// What went wrong; empty where nothing did.
    pub(super) fault: String,
    /// What was done; empty where nothing was.
    pub(super) done: String,
}

/// A page of the navigation.
pub(super) struct Place {
    path: &'static str,
    title: &'static str,
}

impl Frame {
    pub(super) fn say(&self, en: &'static str, da: &'static str) -> &'static str {
        self.language.pick(en, da)
    }

    fn places(&self) -> Vec<Place> {
        let all = [
            ("/account", self.say("Account", "Konto"), false),
            ("/users", self.say("Users", "Brugere"), true),
            ("/keys", self.say("API keys", "API-nøgler"), true),
            ("/links", self.say("Shared links", "Delte links"), true),
        ];
        let seen = all
            .into_iter()
            .filter(|(_, _, for_admins)| !for_admins || self.is_admin);
        seen.map(|(path, title, _)| Place { path, title }).collect()
    }
}

#[derive(Template)]
#[template(path = "login.html", config = "src/access/askama.toml")]
pub(super) struct Login {
    pub(super) frame: Frame,
    pub(super) form: String,
    pub(super) next: String,
    /// Where one signs in instead, by OpenID Connect; empty: here.
    pub(super) provider: String,
    pub(super) way: String,
}

#[derive(Template)]
#[template(path = "welcome.html", config = "src/access/askama.toml")]
pub(super) struct Welcome {
    pub(super) frame: Frame,
    pub(super) form: String,
    pub(super) name: String,
    pub(super) is_setup: bool,
}

#[derive(Template)]
#[template(path = "message.html", config = "src/access/askama.toml")]
pub(super) struct Message {
    pub(super) frame: Frame,
    pub(super) text: String,
    pub(super) href: String,
    pub(super) link: &'static str,
}

#[derive(Template)]
#[template(path = "account.html", config = "src/access/askama.toml")]
pub(super) struct Account {
    pub(super) frame: Frame,
    pub(super) form: String,
    pub(super) role: &'static str,
    pub(super) sites: String,
    pub(super) has_session: bool,
    pub(super) has_password: bool,
    pub(super) n_sessions: usize,
}

pub(super) struct UserLine {
    pub(super) name: String,
    pub(super) is_admin: bool,
    pub(super) sites: String,
    pub(super) password: &'static str,
}

#[derive(Template)]
#[template(path = "users.html", config = "src/access/askama.toml")]
pub(super) struct Users {
    pub(super) frame: Frame,
    pub(super) form: String,
    pub(super) users: Vec<UserLine>,
    pub(super) all_sites: String,
    /// Not where somebody else says who they are.
    pub(super) has_passwords: bool,
    /// A link just made, and for whom.
    pub(super) fresh: String,
    pub(super) fresh_for: String,
}

pub(super) struct TicketLine {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) sites: String,
    pub(super) scopes: String,
    pub(super) ends: String,
    pub(super) by: String,
}

#[derive(Template)]
#[template(path = "tickets.html", config = "src/access/askama.toml")]
pub(super) struct Tickets {
    pub(super) frame: Frame,
    pub(super) form: String,
    pub(super) caption: &'static str,
    /// Said where there are no lines: what they would be, and how the first is made.
    pub(super) empty: &'static str,
    pub(super) add_title: &'static str,
    pub(super) has_scopes: bool,
    pub(super) lines: Vec<TicketLine>,
    pub(super) sites: Vec<String>,
    pub(super) all_sites: String,
    /// The site and view that a link shall show, as the dashboard's address has it.
    pub(super) site: String,
    pub(super) view: String,
    /// What was just made.
    pub(super) fresh: String,
}

/// A page as a reply.
pub(super) fn reply(status: StatusCode, language: Language, page: &impl Template) -> Reply {
    // Templates write texts into memory; there is nothing that could fail.
    let text = page.render().expect("a page renders");
    let mut reply = typed(status, "text/html; charset=utf-8", Bytes::from(text));
    let headers = reply.headers_mut();
    let set = [
        (CONTENT_SECURITY_POLICY, SECURITY_POLICY),
        (CACHE_CONTROL, "no-store"),
        // Not no-referrer: browsers would then hide the origin of our own forms from us.
        (REFERRER_POLICY, "same-origin"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (VARY, "accept-language, cookie"),
        (CONTENT_LANGUAGE, language.tag()),
    ];
    for (name, value) in set {
        headers.insert(name, HeaderValue::from_static(value));
    }
    reply
}

/// The style as a reply.
pub(super) fn style() -> Reply {
    let mut reply = typed(
        StatusCode::OK,
        "text/css; charset=utf-8",
        Bytes::from_static(STYLE.as_bytes()),
    );
    let headers = reply.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("max-age=300"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    reply
}
