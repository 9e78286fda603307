//! The gate before the admin listener: from a request to a [`Viewer`], or a refusal.
//!
//! Comes in: the head of a request and its peer's address. Goes out: who that is and what they may see. In this order:
//! the `Host` must be a name of ours (against DNS rebinding), then `Authorization: Bearer` (API keys, and the operator's
//! commands), then what `access.mode` says (the proxy's header, the session's cookie, or nobody is asked), then a
//! shared link's cookie. Requests that may change something must come from our own pages.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper::header::{
    AUTHORIZATION, CACHE_CONTROL, HOST, HeaderName, HeaderValue, ORIGIN, SET_COOKIE,
};
use hyper::header::{LOCATION, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};
use ipnet::IpNet;
use subtle::ConstantTimeEq;
use thiserror::Error;
use url::form_urlencoded;
use zeroize::Zeroizing;

use super::book::{Book, Reach, Role, Scope, name_of};
pub use super::log::{Action, detail_of};
use super::log::{Line, append};
use super::password::Passwords;
use super::session::Sessions;
use super::store::{BookStore, StoreError};
use super::throttle::Throttle;
use super::ticket::{Fresh, Kind, Shown, fresh};
use crate::clock::SharedClock;
use crate::config::settings::Mode;
use crate::config::{Access, Config, SiteId, Sites};
use crate::metrics::Metrics;
use crate::route::{Reply, cookie, header, problem, typed};
use crate::secret::{self, Secret, SecretError};
use crate::spool::{AppendError, Spool};

static SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
static SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
static CROSS_ORIGIN_RESOURCE_POLICY: HeaderName =
    HeaderName::from_static("cross-origin-resource-policy");

/// How long a set-up link holds: a day after the start that printed it.
const SETUP_MS: i64 = 86_400_000;

/// Why there can be no gate.
#[derive(Debug, Error)]
#[allow(missing_docs)]
pub enum GateError {
    #[error(transparent)]
    Book(#[from] StoreError),
    #[error(transparent)]
    Key(#[from] SecretError),
}

/// How a viewer came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The words are those of `access_log.via`.
pub enum Via {
    Key,
    Link,
    Open,
    Operator,
    Proxy,
    Session,
}

impl Via {
    fn name(self) -> &'static str {
        match self {
            Via::Key => "key",
            Via::Link => "link",
            Via::Open => "open",
            Via::Operator => "operator",
            Via::Proxy => "proxy",
            Via::Session => "session",
        }
    }
}

/// Somebody who may look, and at what. There is no other way to one than [`Gate::admit`].
#[derive(Clone)]
pub struct Viewer {
    name: String,
    via: Via,
    role: Role,
    reach: Reach,
    /// What a key may do; none where everything of the role.
    scopes: Option<std::collections::BTreeSet<Scope>>,
    /// What the forms of this viewer carry.
    form: String,
    /// A new session id to set, in its cookie.
    cookie: Option<HeaderValue>,
}

impl std::fmt::Debug for Viewer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Viewer({} by {})", self.name, self.via.name())
    }
}

impl Viewer {
    fn new(name: &str, via: Via, role: Role, reach: Reach) -> Viewer {
        Viewer {
            name: name.to_owned(),
            via,
            role,
            reach,
            scopes: None,
            form: String::new(),
            cookie: None,
        }
    }

    /// Returns the name of the user, key or link; empty for the operator and where nobody is asked.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns how they came in.
    pub fn via(&self) -> Via {
        self.via
    }

    /// Tells whether they may change who may look.
    pub fn is_admin(&self) -> bool {
        self.role == Role::Admin
    }

    /// Tells whether `site` is one they may see.
    pub fn may_see(&self, site: &SiteId) -> bool {
        self.reach.has(site.as_str())
    }

    /// Returns the sites they may see. Hand this on, and the others do not exist.
    pub fn sites(&self, all: &Sites) -> Sites {
        match self.reach {
            Reach::All => all.clone(),
            Reach::Sites(_) => all.only(|site| self.may_see(site)),
        }
    }

    /// Tells whether they may do what `scope` says.
    pub fn may(&self, scope: Scope) -> bool {
        match &self.scopes {
            Some(scopes) => scopes.contains(&scope),
            None => scope != Scope::Rights || self.role == Role::Admin,
        }
    }

    /// Tells whether they may tell the collector what to do: admins, and no key.
    pub fn may_order(&self) -> bool {
        self.role == Role::Admin && self.scopes.is_none()
    }

    /// Returns what every form of theirs must carry as `form`, see [`Viewer::is_own_form`].
    pub fn form(&self) -> &str {
        &self.form
    }

    /// Tells whether a form was one of theirs; takes as long either way. Without a session there is no such form.
    pub fn is_own_form(&self, shown: &str) -> bool {
        !self.form.is_empty() && bool::from(shown.as_bytes().ct_eq(self.form.as_bytes()))
    }

    /// Finishes a reply to them: never cached, never embedded elsewhere, with the session's new id if it has one.
    pub fn dress(&self, reply: &mut Reply) {
        let headers = reply.headers_mut();
        headers
            .entry(CACHE_CONTROL)
            .or_insert(HeaderValue::from_static("no-store"));
        headers
            .entry(X_CONTENT_TYPE_OPTIONS)
            .or_insert(HeaderValue::from_static("nosniff"));
        headers.insert(
            CROSS_ORIGIN_RESOURCE_POLICY.clone(),
            HeaderValue::from_static("same-origin"),
        );
        if let Some(cookie) = &self.cookie {
            headers.append(SET_COOKIE, cookie.clone());
        }
    }
}

/// The gate.
pub struct Gate {
    pub(super) rules: Access,
    pub(super) trusted_proxies: Vec<IpNet>,
    pub(super) body_timeout: std::time::Duration,
    pub(super) book: Arc<BookStore>,
    pub(super) sessions: Sessions,
    pub(super) throttle: Throttle,
    pub(super) passwords: Passwords,
    pub(super) metrics: Metrics,
    pub(super) browsers: Secret,
    pub(super) forms: Secret,
    operator: Zeroizing<String>,
    setup: Option<(Fresh, i64)>,
    clock: SharedClock,
    spool: Spool,
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Gate")
    }
}

impl Gate {
    /// Opens users and keys of the data directory. Blocking.
    ///
    /// # Errors
    /// [`GateError`]; without a sound book nobody would be kept out.
    pub fn open(
        config: &Config,
        clock: SharedClock,
        spool: Spool,
        metrics: Metrics,
    ) -> Result<Gate, GateError> {
        let book = BookStore::open(&config.directory)?;
        let key = secret::load_or_create(&key_file(&config.directory))?;
        let now_ms = clock.now().as_millisecond();
        let needs_setup = config.access.mode == Mode::Password && book.now().has_no_admin();
        Ok(Gate {
            rules: config.access.clone(),
            trusted_proxies: config.server.trusted_proxies.clone(),
            body_timeout: config.server.body_timeout,
            book: Arc::new(book),
            sessions: Sessions::new(config.access.session_idle, config.access.session_life),
            throttle: Throttle::new(),
            passwords: Passwords::new(),
            metrics,
            browsers: key.derive("brine access browsers v1"),
            forms: Secret::random(),
            operator: bearer_of(&key),
            setup: needs_setup.then(|| (fresh(Kind::Invitation), now_ms + SETUP_MS)),
            clock,
            spool,
        })
    }

    /// Returns the path of the set-up link, where nobody can sign in yet.
    pub fn setup_path(&self) -> Option<String> {
        let (made, _) = self.setup.as_ref()?;
        Some(format!("/welcome/{}", &*made.text))
    }

    /// Tells whether `text` is the set-up link's, and it still holds: until somebody has used it.
    pub(super) fn is_setup(&self, text: &str, book: &Book) -> bool {
        let Some((made, until_ms)) = &self.setup else {
            return false;
        };
        let shown = Shown::read(Kind::Invitation, text);
        let is_it = shown.is_some_and(|shown| shown.is(&made.hash));
        is_it && book.has_no_admin() && self.now_ms() < *until_ms
    }

    /// Tells whether nobody is asked who they are.
    pub fn is_open(&self) -> bool {
        self.rules.mode == Mode::Open
    }

    /// Says who sent a request.
    ///
    /// # Errors
    /// The reply that refuses it: 421 for a name that is not ours, 401 or the way to the sign-in page, 403.
    pub async fn admit(&self, head: &Parts, peer: IpAddr) -> Result<Viewer, Box<Reply>> {
        self.check_host(head)?;
        let book = self.book_now().await;
        let viewer = self.known(head, peer, &book);
        let Some(viewer) = viewer else {
            return Err(Box::new(self.refused(head)));
        };
        let is_ambient = !matches!(viewer.via, Via::Key | Via::Operator);
        let changes = !matches!(head.method, Method::GET | Method::HEAD);
        if is_ambient && changes && !self.is_own_page(head) {
            let reason = "this request does not come from a page of this listener";
            return Err(Box::new(problem(StatusCode::FORBIDDEN, None, reason)));
        }
        Ok(viewer)
    }

    /// Records a look before it is answered.
    ///
    /// # Errors
    /// The reply that goes out instead: what cannot be recorded is not shown.
    pub async fn looked(
        &self,
        viewer: &Viewer,
        action: Action,
        site: &str,
        detail: &str,
    ) -> Result<(), Box<Reply>> {
        let written = self.write(viewer, action, site, detail).await;
        written.map_err(|error| {
            tracing::error!(%error, "a look cannot be recorded, and is not answered");
            let reason = "who looks is recorded first, and that is not possible now";
            Box::new(problem(StatusCode::SERVICE_UNAVAILABLE, None, reason))
        })
    }

    /// Records what is done already, or must not fail for want of a record.
    pub(super) async fn note(&self, viewer: &Viewer, action: Action, site: &str, detail: &str) {
        if let Err(error) = self.write(viewer, action, site, detail).await {
            tracing::error!(%error, action = action.name(), "access_log lacks a row");
        }
    }

    /// The same of somebody who is not in.
    pub(super) async fn note_of(&self, who: &str, action: Action, detail: &str) {
        let viewer = Viewer::new(who, Via::Session, Role::Viewer, Reach::of([]));
        self.note(&viewer, action, "", detail).await;
    }

    async fn write(
        &self,
        viewer: &Viewer,
        action: Action,
        site: &str,
        detail: &str,
    ) -> Result<(), AppendError> {
        let line = Line {
            who: &viewer.name,
            via: viewer.via.name(),
            action,
            site,
            detail,
        };
        let written = append(&self.spool, line, self.clock.now(), self.rules.log_days).await;
        if written.is_err() {
            self.metrics.access_unrecorded.inc();
        }
        written
    }

    /// The book as it is now; a stat(2), off the runtime.
    pub(super) async fn book_now(&self) -> Arc<Book> {
        let store = self.book.clone();
        let read = tokio::task::spawn_blocking(move || store.now());
        // A reader that panicked has a book of nobody: refuse.
        read.await.unwrap_or_default()
    }

    pub(super) fn now_ms(&self) -> i64 {
        self.clock.now().as_millisecond()
    }

    fn known(&self, head: &Parts, peer: IpAddr, book: &Book) -> Option<Viewer> {
        if let Some(bearer) = header(head, &AUTHORIZATION) {
            // Whoever says so is a program; the cookies of a browser do not count beside it.
            return self.bearer(bearer, book);
        }
        let person = match self.rules.mode {
            Mode::Open => Some(Viewer {
                form: self.form_of("open"),
                ..Viewer::new("", Via::Open, Role::Admin, Reach::All)
            }),
            Mode::Proxy => self.proxied(head, peer, book),
            Mode::Password => self.signed_in(head, book),
        };
        person.or_else(|| self.linked(head, book))
    }

    fn bearer(&self, header: &str, book: &Book) -> Option<Viewer> {
        let (scheme, shown) = header.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let shown = shown.trim();
        if bool::from(shown.as_bytes().ct_eq(self.operator.as_bytes())) {
            return Some(Viewer::new("", Via::Operator, Role::Admin, Reach::All));
        }
        let key = book.key(shown, self.now_ms())?;
        Some(Viewer {
            scopes: Some(key.scopes.clone()),
            ..Viewer::new(&key.name, Via::Key, Role::Viewer, key.reach.clone())
        })
    }

    /// The proxy's word, from the proxy alone, and one word only: of two headers one may be the client's own.
    fn proxied(&self, head: &Parts, peer: IpAddr, book: &Book) -> Option<Viewer> {
        let peer = peer.to_canonical();
        let is_proxy = self.trusted_proxies.iter().any(|net| net.contains(&peer));
        let mut named = head.headers.get_all(&self.rules.proxy_header).iter();
        let (Some(name), None, true) = (named.next(), named.next(), is_proxy) else {
            return None;
        };
        let name = name_of(std::str::from_utf8(name.as_bytes()).ok()?).ok()?;
        let user = book.users.get(&name)?;
        Some(Viewer {
            form: self.form_of(&name),
            ..Viewer::new(&name, Via::Proxy, user.role, user.reach.clone())
        })
    }

    fn signed_in(&self, head: &Parts, book: &Book) -> Option<Viewer> {
        let id = cookie(&head.headers, self.cookie_name("session"))?;
        let found = self.sessions.find(id, self.now_ms())?;
        let Some(user) = book
            .users
            .get(&found.user)
            .filter(|u| u.epoch == found.epoch)
        else {
            // Removed, or the password is another one now.
            self.sessions.end(id, self.now_ms());
            return None;
        };
        let rotated = found.rotated.as_ref();
        Some(Viewer {
            form: found.form,
            cookie: rotated.and_then(|id| self.set_cookie("session", id, None)),
            ..Viewer::new(&found.user, Via::Session, user.role, user.reach.clone())
        })
    }

    fn linked(&self, head: &Parts, book: &Book) -> Option<Viewer> {
        let shown = cookie(&head.headers, self.cookie_name("link"))?;
        let link = book.link(shown)?;
        let reach = Reach::of([link.site.as_str()]);
        (self.now_ms() < link.expires_ms)
            .then(|| Viewer::new(&link.name, Via::Link, Role::Viewer, reach))
    }

    /// What forms carry where there is no session that could keep it; it ends with this run.
    pub(super) fn form_of(&self, who: &str) -> String {
        let hash = blake3::keyed_hash(self.forms.expose(), who.as_bytes());
        URL_SAFE_NO_PAD.encode(hash.as_bytes())
    }

    /// A page elsewhere can have its own name point to this machine (DNS rebinding); a browser then takes that page
    /// for one of ours. But it says the name: only ours, `localhost`, and addresses in digits are answered.
    pub(super) fn check_host(&self, head: &Parts) -> Result<(), Box<Reply>> {
        let host = header(head, &HOST).unwrap_or_default();
        let is_ours = self
            .rules
            .authority()
            .is_some_and(|own| own.eq_ignore_ascii_case(host));
        // In these modes whoever reaches the listener may be somebody: nothing but the very names.
        let is_strict = self.rules.mode != Mode::Password;
        if is_ours || is_local(host, is_strict) {
            return Ok(());
        }
        let reason = "this listener does not go by that name; see access.url in the configuration";
        Err(Box::new(problem(
            StatusCode::MISDIRECTED_REQUEST,
            None,
            reason,
        )))
    }

    /// Tells whether the browser says that one of our own pages sent this. One that says nothing is no browser of this
    /// decade; forms have their own proof besides.
    pub(super) fn is_own_page(&self, head: &Parts) -> bool {
        if let Some(site) = header(head, &SEC_FETCH_SITE) {
            return matches!(site, "same-origin" | "none");
        }
        match header(head, &ORIGIN) {
            None => true,
            Some(origin) => {
                let authority = origin.split_once("://").map(|(_, authority)| authority);
                authority.is_some() && authority == header(head, &HOST)
            }
        }
    }

    fn refused(&self, head: &Parts) -> Reply {
        let is_page = !head.uri.path().starts_with("/api/")
            && head.method == Method::GET
            && header(head, &SEC_FETCH_MODE).is_none_or(|mode| mode == "navigate")
            && !head.headers.contains_key(AUTHORIZATION);
        if is_page && self.rules.mode == Mode::Password {
            let next = head.uri.path_and_query().map_or("/", |path| path.as_str());
            return see_other(&format!("/login?{}", encoded("next", next)));
        }
        if self.rules.mode == Mode::Proxy && !head.headers.contains_key(AUTHORIZATION) {
            let reason =
                "come by way of the proxy, as a user that this brine knows (`brine users add`)";
            return problem(StatusCode::FORBIDDEN, None, reason);
        }
        let mut reply = problem(
            StatusCode::UNAUTHORIZED,
            None,
            "sign in, or send Authorization: Bearer with an API key",
        );
        reply
            .headers_mut()
            .insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        reply
    }

    /// Returns the whole address of a path: what is handed to somebody else.
    pub(super) fn address(&self, head: &Parts, path: &str) -> String {
        match &self.rules.url {
            Some(url) => format!("{}{path}", url.as_str().trim_end_matches('/')),
            None => format!("http://{}{path}", header(head, &HOST).unwrap_or_default()),
        }
    }

    /// The name of a cookie. By https its prefix keeps other hosts of the domain from setting it
    /// (RFC 6265bis, section 4.1.3.2).
    pub(super) fn cookie_name(&self, what: &str) -> &'static str {
        match (self.rules.is_https(), what) {
            (true, "session") => "__Host-brine_session",
            (true, "link") => "__Host-brine_link",
            (true, "browser") => "__Host-brine_browser",
            (true, _) => "__Host-brine_form",
            (false, "session") => "brine_session",
            (false, "link") => "brine_link",
            (false, "browser") => "brine_browser",
            (false, _) => "brine_form",
        }
    }

    /// A cookie that no script reads and no other site sends along with anything but a link. Without an age it ends
    /// with the browser.
    pub(super) fn set_cookie(
        &self,
        what: &str,
        value: &str,
        age_s: Option<i64>,
    ) -> Option<HeaderValue> {
        let secure = if self.rules.is_https() {
            "; Secure"
        } else {
            ""
        };
        let age = age_s.map_or_else(String::new, |age_s| format!("; Max-Age={age_s}"));
        let name = self.cookie_name(what);
        let text = format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax{secure}{age}");
        let mut value = HeaderValue::from_str(&text).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

/// Tells whether a `Host` is this machine's own, whatever its port. An address in digits cannot be rebound: the page
/// of another origin has another one in its address bar.
fn is_local(host: &str, is_strict: bool) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    if name.eq_ignore_ascii_case("localhost") {
        return true;
    }
    let address = name
        .parse::<Ipv4Addr>()
        .map(IpAddr::V4)
        .or_else(|_| name.parse::<Ipv6Addr>().map(IpAddr::V6));
    address.is_ok_and(|address| !is_strict || address.is_loopback())
}

pub(super) fn encoded(key: &str, value: &str) -> String {
    form_urlencoded::Serializer::new(String::new())
        .append_pair(key, value)
        .finish()
}

/// Sends the browser on, by GET (RFC 9110, section 15.4.4).
pub(crate) fn see_other(path: &str) -> Reply {
    let mut reply = typed(
        StatusCode::SEE_OTHER,
        "text/plain; charset=utf-8",
        bytes::Bytes::new(),
    );
    let headers = reply.headers_mut();
    // Only what is a path of ours, and printable, comes here.
    if let Ok(path) = HeaderValue::from_str(path) {
        headers.insert(LOCATION, path);
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    reply
}

fn key_file(data: &Path) -> std::path::PathBuf {
    data.join("access.key")
}

fn bearer_of(key: &Secret) -> Zeroizing<String> {
    let derived = key.derive("brine access operator v1");
    let text = URL_SAFE_NO_PAD.encode(derived.expose());
    Zeroizing::new(format!("brine_op_{text}"))
}

/// Returns what commands beside a running brine show: whoever can read its data directory is its operator. Blocking.
///
/// # Errors
/// [`SecretError`], also where no brine has run there yet.
pub fn operator_bearer(data: &Path) -> Result<Zeroizing<String>, SecretError> {
    Ok(bearer_of(&secret::load(&key_file(data))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_cannot_be_rebound_are_local() {
        for host in [
            "localhost",
            "LOCALHOST:8081",
            "127.0.0.1:1",
            "[::1]:8081",
            "127.9.9.9",
        ] {
            assert!(is_local(host, true), "{host}");
        }
        for host in [
            "",
            "evil.test",
            "localhost.evil.test",
            "127.0.0.1.evil.test:8081",
            "10.0.0.7:8081",
            "0x7f000001",
            "[fe80::1]",
        ] {
            assert!(!is_local(host, true), "{host}");
        }
        assert!(is_local("10.0.0.7:8081", false));
        assert!(!is_local("10.0.0.7.evil.test", false));
    }
}
