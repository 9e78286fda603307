//! The gate before the admin listener: from a request to a [`Viewer`], or a refusal.
//!
//! Comes in: the head of a request and its peer's address. Goes out: who that is and what they may see. In this order:
//! the `Host` must be a name of ours (against DNS rebinding), then `Authorization: Bearer` (API keys, and the operator's
//! commands), then what `access.mode` says (the proxy's header, the session's cookie, or nobody is asked), then a
//! shared link's cookie. Requests that may change something must come from our own pages.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper::header::{AUTHORIZATION, CACHE_CONTROL, HeaderName, HeaderValue};
use hyper::header::{LOCATION, WWW_AUTHENTICATE};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};
use ipnet::IpNet;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use subtle::ConstantTimeEq;
use thiserror::Error;
use tokio::sync::watch;
use url::form_urlencoded;
use zeroize::Zeroizing;

use super::book::{Book, Change, Reach, Role, Scope, name_of};
use super::live::{Live, Slot};
pub use super::log::{Action, detail_of};
use super::log::{Line, append};
use super::manage;
use super::password::Passwords;
use super::refusal;
use super::session::Sessions;
use super::store::{BookStore, StoreError};
use super::throttle::Throttle;
use super::ticket::{Fresh, Kind, Shown, fresh};
pub use super::viewer::{Via, Viewer};
use crate::clock::SharedClock;
use crate::config::settings::Mode;
use crate::config::{Access, Config};
use crate::dashboard;
use crate::metrics::Metrics;
use crate::route::{Reply, cookie, header, problem, typed};
use crate::salts::period::day_number;
use crate::secret::{self, Secret, SecretError};
use crate::shutdown;
use crate::spool::{AppendError, Spool};

pub(super) static SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

/// How long a set-up link holds: a day after the start that printed it.
const SETUP_MS: i64 = 86_400_000;

/// How long a command's change waits at most until it is brought to `access_log`, while brine runs.
const UNLOGGED_PAUSE: std::time::Duration = std::time::Duration::from_secs(1);

/// Why there can be no gate.
#[derive(Debug, Error)]
#[allow(missing_docs)]
pub enum GateError {
    #[error(transparent)]
    Book(#[from] StoreError),
    #[error(transparent)]
    Key(#[from] SecretError),
    #[cfg(feature = "oidc")]
    #[error(transparent)]
    Oidc(#[from] super::provider::SetUpError),
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
    #[cfg(feature = "oidc")]
    pub(super) provider: Option<super::provider::Provider>,
    operator: Zeroizing<String>,
    setup: Option<(Fresh, i64)>,
    clock: SharedClock,
    spool: Spool,
    live: Arc<Live>,
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
            #[cfg(feature = "oidc")]
            provider: super::provider::Provider::of(&config.access)?,
            operator: bearer_of(&key),
            setup: needs_setup.then(|| (fresh(Kind::Invitation), now_ms + SETUP_MS)),
            clock,
            spool,
            live: Arc::default(),
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

    /// Tells whether people sign in here, and have sessions.
    pub(super) fn has_sign_in(&self) -> bool {
        matches!(self.rules.mode, Mode::Password | Mode::Oidc)
    }

    /// Tells whether people have passwords here: others are known by somebody else's word.
    pub(super) fn has_passwords(&self) -> bool {
        matches!(self.rules.mode, Mode::Password | Mode::Open)
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
        let Some(viewer) = viewer.filter(|viewer| !self.needs_sign_in(viewer, head)) else {
            return Err(Box::new(self.refused(head)));
        };
        let is_ambient = !matches!(viewer.via, Via::Key | Via::Operator);
        let changes = !matches!(head.method, Method::GET | Method::HEAD);
        if is_ambient && changes && !self.is_own_page(head) {
            let reason = "this request does not come from a page of this listener";
            let refusal = problem(StatusCode::FORBIDDEN, None, reason);
            return Err(Box::new(refusal::foreign(refusal)));
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
            Box::new(refusal::told(
                problem(StatusCode::SERVICE_UNAVAILABLE, None, reason),
                "Who looks is recorded before anything is shown, and that is not possible now. Try again in a moment; if it \
                 stays so, tell whoever runs brine: its spool takes nothing, and the log says why.",
                "Det noteres, hvem der ser tallene, før noget vises, og det er ikke muligt nu. Prøv igen om lidt; bliver det \
                 ved, så sig det til den, der driver brine: dens spool tager intet imod, og loggen siger hvorfor.",
            ))
        })
    }

    /// Records that a viewer watches the live figure of a site: once a session, site and day, and not with each figure.
    ///
    /// # Errors
    /// As [`Gate::looked`].
    pub async fn watched(&self, viewer: &Viewer, site: &str) -> Result<(), Box<Reply>> {
        let today = day_number(self.clock.now().to_zoned(TimeZone::UTC).date());
        if self.live.is_told(who(viewer), site, today) {
            return Ok(());
        }
        // Remembered once it is written, and not sooner; whoever asks meanwhile waits for that.
        let _turn = self.live.telling.lock().await;
        if !self.live.is_told(who(viewer), site, today) {
            self.looked(viewer, Action::Realtime, site, "").await?;
            self.live.tell(who(viewer), site, today);
        }
        Ok(())
    }

    /// Tells whether a link was shown where only an account could open anything: its cookie must not hide the way there.
    fn needs_sign_in(&self, viewer: &Viewer, head: &Parts) -> bool {
        let path = head.uri.path();
        let is_beyond = manage::owns(path)
            || dashboard::site_of(path).is_some_and(|site| !viewer.reach.has(site));
        viewer.via == Via::Link && self.has_sign_in() && is_beyond
    }

    /// Lets a viewer hold one more connection for a live figure, if they have not too many.
    pub fn open_live(&self, viewer: &Viewer) -> Option<Slot> {
        self.live.open(who(viewer), viewer.via == Via::Session)
    }

    /// Tells whether a viewer who was let in may still look at `site`: not signed out, removed, revoked or expired since.
    /// `head` is that of the request they were let in with.
    pub async fn may_still(&self, viewer: &Viewer, head: &Parts, peer: IpAddr, site: &str) -> bool {
        let book = self.book_now().await;
        let now = match viewer.via {
            Via::Open => return true,
            Via::Session => {
                let epoch = self.sessions.epoch_of(&viewer.form, self.now_ms());
                let user = book.users.get(&viewer.name);
                return match (epoch, user) {
                    (Some(epoch), Some(user)) => user.epoch == epoch && user.reach.has(site),
                    _ => false,
                };
            }
            Via::Proxy => self.proxied(head, peer, &book),
            Via::Link => self.linked(head, &book),
            Via::Key | Via::Operator => {
                header(head, &AUTHORIZATION).and_then(|bearer| self.bearer(bearer, &book))
            }
        };
        now.is_some_and(|now| now.may(Scope::Query) && now.reach.has(site))
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

    /// Brings what commands beside brine have changed to `access_log`, until shutdown; each is struck off the book once it
    /// is durable. A kill between the two leaves its row twice, never none.
    pub async fn keep_log(self: Arc<Gate>, mut shutdown: watch::Receiver<bool>) {
        let mut was_late = false;
        loop {
            let book = self.book_now().await;
            if !book.unlogged.is_empty() {
                let written = self.bring(&book.unlogged).await;
                if let (Err(error), false) = (&written, was_late) {
                    tracing::error!(%error, "changes of who may look wait for access_log");
                }
                was_late = written.is_err();
            }
            tokio::select! {
                () = tokio::time::sleep(UNLOGGED_PAUSE) => {}
                () = shutdown::asked(&mut shutdown) => return,
            }
        }
    }

    async fn bring(&self, changes: &[Change]) -> anyhow::Result<()> {
        for change in changes {
            let line = Line {
                who: &change.who,
                via: Via::Operator.name(),
                action: Action::Changed,
                site: "",
                detail: &change.what,
            };
            let at = Timestamp::from_millisecond(change.at_ms).unwrap_or(self.clock.now());
            append(&self.spool, line, at, self.rules.log_days).await?;
        }
        let (store, done) = (self.book.clone(), changes.to_vec());
        let struck = tokio::task::spawn_blocking(move || {
            store.change(|book| {
                book.unlogged.retain(|change| !done.contains(change));
                Ok(())
            })
        });
        Ok(struck.await??)
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
        if let Some(bearer) = header(head, &AUTHORIZATION).filter(|said| is_ours(said)) {
            // Whoever says so is a program; the cookies of a browser do not count beside it.
            return self.bearer(bearer, book);
        }
        let person = match self.rules.mode {
            Mode::Open => Some(Viewer {
                form: self.form_of("open"),
                ..Viewer::new("", Via::Open, Role::Admin, Reach::All)
            }),
            Mode::Proxy => self.proxied(head, peer, book),
            Mode::Password | Mode::Oidc => self.signed_in(head, book),
        };
        let Some(person) = person else {
            return self.linked(head, book);
        };
        // Whoever is signed in and was sent a link of a site that is not one of theirs is let in by the link, to that.
        let site = dashboard::site_of(head.uri.path());
        let is_by_link = |link: &Viewer| {
            site.is_some_and(|site| link.reach.has(site) && !person.reach.has(site))
        };
        match self.linked(head, book).filter(is_by_link) {
            Some(link) => Some(Viewer {
                cookie: person.cookie,
                ..link
            }),
            None => Some(person),
        }
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
        // Letters beyond ASCII as they are: two people may differ in nothing but how these fold.
        let spelt = std::str::from_utf8(name.as_bytes()).ok()?;
        let spelt = spelt.trim().to_ascii_lowercase();
        let name = name_of(&spelt).ok().filter(|name| *name == spelt)?;
        let user = book.users.get(&name)?;
        Some(Viewer {
            form: self.form_of(&name),
            ..Viewer::new(&name, Via::Proxy, user.role, user.reach.clone())
        })
    }

    fn signed_in(&self, head: &Parts, book: &Book) -> Option<Viewer> {
        let id = cookie(&head.headers, self.cookie_name("session"))?;
        let found = self.sessions.find(id, is_use(head), self.now_ms());
        let n_sessions = i64::try_from(self.sessions.len()).unwrap_or(i64::MAX);
        self.metrics.sessions.set(n_sessions);
        let found = found?;
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

    fn refused(&self, head: &Parts) -> Reply {
        let is_page = !head.uri.path().starts_with("/api/")
            && head.method == Method::GET
            && header(head, &SEC_FETCH_MODE).is_none_or(|mode| mode == "navigate")
            && !is_program(head);
        if is_page && self.has_sign_in() {
            let next = head.uri.path_and_query().map_or("/", |path| path.as_str());
            return see_other(&format!("/login?{}", encoded("next", next)));
        }
        if self.rules.mode == Mode::Proxy && !is_program(head) {
            let reason =
                "come by way of the proxy, as a user that this brine knows (`brine users add`)";
            return refusal::told(
                problem(StatusCode::FORBIDDEN, None, reason),
                "People come in here by way of the proxy before brine, and it has named nobody whom brine knows. Come by the \
                 proxy's address, or ask whoever runs brine to add you (brine users add).",
                "Her kommer man ind gennem den proxy, der står foran brine, og den har ikke nævnt nogen, som brine kender. \
                 Brug proxyens adresse, eller bed den, der driver brine, om at tilføje dig (brine users add).",
            );
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
}

/// Tells whether an `Authorization` header has one of brine's own tokens. Proxies pass on what they were shown themselves.
fn is_ours(said: &str) -> bool {
    let is_bearer = |(scheme, _): &(&str, &str)| scheme.eq_ignore_ascii_case("bearer");
    let shown = said.split_once(' ').filter(is_bearer);
    shown.is_some_and(|(_, shown)| shown.trim_start().starts_with("brine_"))
}

/// Tells whether a program asks, which no page is shown to.
fn is_program(head: &Parts) -> bool {
    let scheme = header(head, &AUTHORIZATION).and_then(|said| said.split(' ').next());
    scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("bearer"))
}

/// Tells whether somebody uses their session: not where a page that lies open asks for the next figure, or for its style.
fn is_use(head: &Parts) -> bool {
    let path = head.uri.path();
    let is_live = dashboard::watched(path).is_some() || is_refresh(head);
    !(is_live || path.starts_with("/static/"))
}

/// Tells whether the page of the last half hour, which lies open, asks for itself anew. It says so, and whoever says it of that
/// page without need shortens their own session.
pub fn is_refresh(head: &Parts) -> bool {
    let query = head.uri.query().unwrap_or_default();
    let is_live = query.split('&').any(|pair| pair == "period=30m");
    is_live && head.headers.contains_key("brine-refresh")
}

/// Names a session, or everybody who has come in by the same key or link; not by what opens anything.
fn who(viewer: &Viewer) -> blake3::Hash {
    blake3::hash(format!("{} {} {}", viewer.via.name(), viewer.name, viewer.form).as_bytes())
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
