//! The admin listener: dashboard, metrics, health, queries, visitors' requests by mail. Loopback by default.

mod live;
mod quarantine;

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use hyper::http::request::Parts;
use hyper::{Method, Request, StatusCode};
use serde_json::json;
use tokio::sync::watch;

use crate::access::book::Scope;
use crate::access::gate::{Action, Gate, Via, Viewer, detail_of, is_refresh};
use crate::access::http as access;
use crate::access::refusal;
use crate::collector::Collector;
use crate::dashboard::{self, Dashboard, Reader};
use crate::retention::{self, Retention};
use crate::rights;
use crate::rights::desk::Rights;
use crate::route::body::{self, Fault, Limits};
use crate::route::flow::{Broken, Piece, ReplyBody, Source};
use crate::route::{self, Reply, not_allowed, plain, problem, ready, typed};
use crate::run::maintain::record_salts;
use crate::salts::order::{self, Order};
use crate::stats::export::{Export, Format, export};
use crate::stats::request::MAX_BODY;
use crate::stats::{QueryError, schema};
use crate::store::Store;

/// Rows there are on all pages of an answer.
static BRINE_TOTAL_ROWS: HeaderName = HeaderName::from_static("brine-total-rows");

/// What the admin listener answers from.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Admin {
    pub collector: Arc<Collector>,
    pub store: Store,
    pub rights: Arc<Rights>,
    pub gate: Arc<Gate>,
    pub retention: Arc<Retention>,
    pub dashboard: Arc<Dashboard>,
    pub shutdown: watch::Receiver<bool>,
}

impl Admin {
    /// Answers one request.
    ///
    /// # Errors
    /// Never: whatever happens has a reply.
    pub async fn answer(
        self,
        request: Request<Incoming>,
        peer: IpAddr,
    ) -> Result<Reply, Infallible> {
        let (head, body) = request.into_parts();
        let reply = self.reply(&head, body, peer).await;
        Ok(refusal::for_reader(&head, reply))
    }

    async fn reply(&self, head: &Parts, mut body: Incoming, peer: IpAddr) -> Reply {
        match (&head.method, head.uri.path()) {
            (&Method::GET | &Method::HEAD, "/metrics") => typed(
                StatusCode::OK,
                "text/plain; version=0.0.4; charset=utf-8",
                Bytes::from(self.collector.metrics.expose()),
            ),
            (&Method::GET | &Method::HEAD, "/health") => plain(StatusCode::OK, "alive\n"),
            (&Method::GET | &Method::HEAD, "/ready") => ready(&self.collector),
            (_, "/metrics" | "/health" | "/ready") => not_allowed("GET"),
            (_, path) if access::owns(path) => {
                let sites = &self.collector.live.load_full().sites;
                access::answer(&self.gate, sites, head, body, peer).await
            }
            _ => match self.gate.admit(head, peer).await {
                Ok(viewer) => {
                    let mut reply = self.inside(&viewer, head, body, peer).await;
                    viewer.dress(&mut reply);
                    reply
                }
                Err(reply) => {
                    body::discard(head, &mut body, self.limits().time).await;
                    *reply
                }
            },
        }
    }

    /// Answers somebody who may look.
    async fn inside(&self, viewer: &Viewer, head: &Parts, body: Incoming, peer: IpAddr) -> Reply {
        match (&head.method, head.uri.path()) {
            (&Method::POST, "/api/v1/query") => self.query(viewer, head, body).await,
            (&Method::POST, "/api/v1/rights") => self.rights(viewer, head, body).await,
            (&Method::POST, "/api/v1/salts") => self.salts(viewer, head, body).await,
            (&Method::POST, "/api/v1/retention") => self.retention(viewer, head, body).await,
            (&Method::POST, "/api/v1/quarantine") => self.quarantine(viewer, head, body).await,
            (&Method::GET | &Method::HEAD, "/api/v1/query/schema.json") => {
                route::json(StatusCode::OK, &schema::schema())
            }
            (
                _,
                "/api/v1/query" | "/api/v1/rights" | "/api/v1/salts" | "/api/v1/retention"
                | "/api/v1/quarantine",
            ) => not_allowed("POST"),
            (&Method::GET | &Method::HEAD, _) => match self.page(viewer, head, peer).await {
                Some(page) => page,
                None => problem(StatusCode::NOT_FOUND, None, "no such path"),
            },
            (&Method::POST, path) if path.starts_with("/d/") => {
                self.change(viewer, head, body).await
            }
            _ => problem(StatusCode::NOT_FOUND, None, "no such path"),
        }
    }

    /// A form of the dashboard: of people, and of their own session.
    async fn change(&self, viewer: &Viewer, head: &Parts, body: Incoming) -> Reply {
        let form = match body::read(head, body, body::FORM, self.limits()).await {
            Ok(form) => form,
            Err(fault) => return problem(fault.status(), None, &fault.detail()),
        };
        let token = url::form_urlencoded::parse(&form).find(|(key, _)| key == "form");
        let is_own = match viewer.via() {
            Via::Operator => true,
            Via::Open | Via::Proxy | Via::Session => {
                viewer.is_own_form(token.as_ref().map_or("", |(_, token)| token))
            }
            // A key reads, and a link that was shared shows.
            Via::Key | Via::Link => false,
        };
        if !is_own {
            let reason = "this form is not of your session; open the page anew";
            return refusal::stale(problem(StatusCode::FORBIDDEN, None, reason));
        }
        let live = self.collector.live.load_full();
        let sites = viewer.sites(&live.sites);
        let planned = match self.dashboard.planned(&sites, head, &form) {
            Some(Ok(planned)) => planned,
            Some(Err(reply)) => return *reply,
            None => return problem(StatusCode::NOT_FOUND, None, "no such path"),
        };
        let (site, what) = (&planned.site, &planned.what);
        match self.gate.looked(viewer, Action::Changed, site, what).await {
            Ok(()) => self.dashboard.make(&sites, &planned).await,
            Err(reply) => *reply,
        }
    }

    /// A page of the dashboard, if the path is one. The look is recorded before it is answered; the live figure is
    /// part of the page that shows it.
    async fn page(&self, viewer: &Viewer, head: &Parts, peer: IpAddr) -> Option<Reply> {
        // A key that may take tables away need not look at anything else.
        let scope = match head.uri.path().ends_with(".csv") {
            true => Scope::Export,
            false => Scope::Query,
        };
        if !viewer.may(scope) {
            return Some(lacks(scope));
        }
        let live = self.collector.live.load_full();
        let sites = viewer.sites(&live.sites);
        let reader = Reader {
            form: match viewer.via() {
                Via::Open | Via::Proxy | Via::Session => Some(viewer.form().to_owned()),
                Via::Operator => Some(String::new()),
                Via::Key | Via::Link => None,
            },
            has_account: matches!(viewer.via(), Via::Proxy | Via::Session),
            may_share: viewer.is_admin()
                && matches!(viewer.via(), Via::Open | Via::Proxy | Via::Session),
        };
        let watched = dashboard::watched(head.uri.path());
        let watched = watched.and_then(|id| sites.iter().find(|site| site.id.as_str() == id));
        if let Some(site) = watched {
            if let Err(reply) = self.gate.watched(viewer, site.id.as_str()).await {
                return Some(*reply);
            }
            if head.method == Method::GET
                && let Some(slot) = self.gate.open_live(viewer)
            {
                return Some(live::reply(self, viewer, head, peer, site.clone(), slot));
            }
        }
        if let Some((site, page)) = dashboard::looked_at(head.uri.path()) {
            let action = match page.ends_with(".csv") {
                true => Action::Export,
                false => Action::Dashboard,
            };
            // Only what exists for them is a look at something.
            let site = sites.iter().find(|known| known.id.as_str() == site);
            let site = site.map_or("", |site| site.id.as_str());
            // The page of the last half hour asks for itself every ten seconds, and is one look.
            let looked = match is_refresh(head) && action == Action::Dashboard {
                true => self.gate.watched(viewer, site).await,
                false => self.gate.looked(viewer, action, site, page).await,
            };
            if let Err(reply) = looked {
                return Some(*reply);
            }
        }
        self.dashboard.answer(&sites, reader, head).await
    }

    async fn read_json(&self, head: &Parts, body: Incoming) -> Result<Bytes, Fault> {
        body::read(head, body, body::JSON, self.limits()).await
    }

    fn limits(&self) -> Limits {
        Limits {
            bytes: MAX_BODY,
            time: self.collector.config.server.body_timeout,
        }
    }

    /// Counts. A client that leaves drops this future, and with it the statement in ClickHouse.
    async fn query(&self, viewer: &Viewer, head: &Parts, body: Incoming) -> Reply {
        let accept = head.headers.get(ACCEPT);
        let wants_csv = accept.is_some_and(|accept| accept.as_bytes().starts_with(b"text/csv"));
        let (scope, action) = match wants_csv {
            true => (Scope::Export, Action::Export),
            false => (Scope::Query, Action::Query),
        };
        if !viewer.may(scope) {
            return lacks(scope);
        }
        let body = match self.read_json(head, body).await {
            Ok(body) => body,
            Err(fault) => return problem(fault.status(), None, &fault.detail()),
        };
        let live = self.collector.live.load_full();
        let limits = &self.collector.config.query;
        let now = self.collector.clock.now();
        // What they may not see does not exist.
        let sites = viewer.sites(&live.sites);
        let (asked, detail) = asked(&body);
        let (format, media_type) = match wants_csv {
            true => (Format::Csv, "text/csv; charset=utf-8"),
            false => (Format::Json, "application/json"),
        };
        match export(&self.store.client, &sites, limits, &body, now, format).await {
            Ok(export) => {
                let site = sites.find(&asked).map_or("", |site| site.id.as_str());
                let looked = self.gate.looked(viewer, action, site, &detail).await;
                if let Err(reply) = looked {
                    return *reply;
                }
                let mut reply = typed(StatusCode::OK, media_type, Bytes::new());
                let headers = reply.headers_mut();
                headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
                headers.insert(&BRINE_TOTAL_ROWS, export.n_rows().into());
                *reply.body_mut() = ReplyBody::flowing(Written(export));
                reply
            }
            Err(error) => query_problem(&error),
        }
    }

    /// Says how the salts are, or does to them what an operator asked for.
    async fn salts(&self, viewer: &Viewer, head: &Parts, body: Incoming) -> Reply {
        if !viewer.may_order() {
            return problem(StatusCode::FORBIDDEN, None, "salts are for admins");
        }
        let body = match self.read_json(head, body).await {
            Ok(body) => body,
            Err(fault) => return problem(fault.status(), None, &fault.detail()),
        };
        match serde_json::from_slice(&body) {
            Ok(order) => self.obey(viewer, order).await,
            Err(error) => problem(StatusCode::BAD_REQUEST, None, &error.to_string()),
        }
    }

    async fn obey(&self, viewer: &Viewer, order: Order) -> Reply {
        let live = self.collector.live.load_full();
        let site = match order.site.as_deref().map(|name| live.sites.find(name)) {
            Some(None) => return problem(StatusCode::NOT_FOUND, None, "no such site"),
            Some(Some(site)) => Some(site.id.clone()),
            None => None,
        };
        let detail = match order.action {
            order::Action::Status => "",
            order::Action::Rotate => "salts rotate",
            order::Action::Destroy => "salts destroy",
        };
        if !detail.is_empty() {
            let site = site.as_ref().map_or("", |site| site.as_str());
            let noted = self
                .gate
                .looked(viewer, Action::Changed, site, detail)
                .await;
            if let Err(reply) = noted {
                return *reply;
            }
        }
        let (here, sites) = (self.collector.clone(), live.clone());
        let done = tokio::task::spawn_blocking(move || {
            let mut records = Vec::new();
            let now = here.clock.now();
            let is_meant = |id: &str| site.as_ref().is_none_or(|site| site.as_str() == id);
            let result = match order.action {
                order::Action::Status => Ok(()),
                action => here
                    .salts
                    .obey(action, &sites.sites, &is_meant, now, &mut records),
            };
            (records, result, here.salts.report(&sites.sites, now))
        });
        let Ok((records, result, report)) = done.await else {
            return problem(StatusCode::INTERNAL_SERVER_ERROR, None, "the task failed");
        };
        record_salts(&self.collector, &records).await;
        if let Err(error) = result {
            let detail = format!("{:#}", anyhow::Error::new(error));
            return problem(StatusCode::INTERNAL_SERVER_ERROR, None, &detail);
        }
        let n_destroyed = records.iter().filter(|r| r.step == "destroyed").count();
        let mut body = json!(report);
        body["destroyed"] = n_destroyed.into();
        body["created"] = (records.len() - n_destroyed).into();
        route::json(StatusCode::OK, &body)
    }

    /// Says what is purged when, and does it. A client that leaves a run drops it; the next one goes on with it.
    async fn retention(&self, viewer: &Viewer, head: &Parts, body: Incoming) -> Reply {
        if !viewer.may_order() {
            return problem(StatusCode::FORBIDDEN, None, "retention is for admins");
        }
        match self.read_json(head, body).await {
            Ok(body) => {
                if retention::http::changes(&body) {
                    let noted = self
                        .gate
                        .looked(viewer, Action::Changed, "", "retention run");
                    if let Err(reply) = noted.await {
                        return *reply;
                    }
                }
                retention::http::answer(&self.retention, &body).await
            }
            Err(fault) => problem(fault.status(), None, &fault.detail()),
        }
    }

    /// Says what is set aside in the spool, puts it back, or deletes it.
    async fn quarantine(&self, viewer: &Viewer, head: &Parts, body: Incoming) -> Reply {
        if !viewer.may_order() {
            return problem(StatusCode::FORBIDDEN, None, "the quarantine is for admins");
        }
        match self.read_json(head, body).await {
            Ok(body) => {
                if let Some(change) = quarantine::change(&body) {
                    let noted = self.gate.looked(viewer, Action::Changed, "", change);
                    if let Err(reply) = noted.await {
                        return *reply;
                    }
                }
                quarantine::answer(&self.collector.spool, &self.rights, &body).await
            }
            Err(fault) => problem(fault.status(), None, &fault.detail()),
        }
    }

    /// Does what a visitor asked for by mail.
    async fn rights(&self, viewer: &Viewer, head: &Parts, body: Incoming) -> Reply {
        if !viewer.may(Scope::Rights) {
            return lacks(Scope::Rights);
        }
        match self.read_json(head, body).await {
            Ok(body) => {
                let (asked, action) = asked_right(&body);
                let live = self.collector.live.load_full();
                let site = live.sites.find(&asked);
                if site.is_some_and(|site| !viewer.may_see(&site.id)) {
                    return problem(StatusCode::NOT_FOUND, None, "no such site");
                }
                // What is done is done to all sites that share the consent.
                let shares = |other: &crate::config::Site| {
                    site.is_some_and(|site| site.scope == other.scope)
                };
                let is_whole = live
                    .sites
                    .iter()
                    .all(|other| !shares(other) || viewer.may_see(&other.id));
                if !is_whole {
                    let reason = "requests are about all sites of a group, and not all of this one's are yours";
                    return problem(StatusCode::FORBIDDEN, None, reason);
                }
                let site = site.map_or("", |site| site.id.as_str());
                match self
                    .gate
                    .looked(viewer, Action::Rights, site, &action)
                    .await
                {
                    Ok(()) => rights::http::operator(&self.rights, &body).await,
                    Err(reply) => *reply,
                }
            }
            Err(fault) => problem(fault.status(), None, &fault.detail()),
        }
    }
}

/// An export as the body of a reply. What fails half-way cuts the connection, so that a part does not pass for the whole.
struct Written(Export);

impl Source for Written {
    fn piece(&mut self) -> Piece<'_> {
        Box::pin(async {
            match self.0.piece().await {
                Ok(piece) => piece.map(|text| Ok(Bytes::from(text))),
                Err(error) => {
                    let source = std::error::Error::source(&error).map(ToString::to_string);
                    tracing::warn!(source, "an export broke off: {error}");
                    Some(Err(Broken))
                }
            }
        })
    }
}

/// A key may not do what it asks for.
fn lacks(scope: Scope) -> Reply {
    let reason = format!("this needs an API key with the scope {}", scope.name());
    problem(StatusCode::FORBIDDEN, None, &reason)
}

/// The site a query is about, and what `access_log` keeps of it.
fn asked(body: &[u8]) -> (String, String) {
    let query: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let site = query["site_id"].as_str().unwrap_or_default().to_owned();
    (site, detail_of(&query))
}

/// The same of a visitor's request: its action, and nothing of who asked.
fn asked_right(body: &[u8]) -> (String, String) {
    let wire: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |key: &str| wire[key].as_str().unwrap_or_default().to_owned();
    let action = match text("action") {
        word if word.len() <= 20 && word.bytes().all(|b| b.is_ascii_lowercase()) => word,
        _ => String::new(),
    };
    (text("site"), action)
}

/// Returns what a status is for each error of a query.
pub(crate) fn status_of(error: &QueryError) -> StatusCode {
    match error {
        QueryError::BadRequest(_) => StatusCode::BAD_REQUEST,
        QueryError::UnknownSite => StatusCode::NOT_FOUND,
        QueryError::TooExpensive { .. } => StatusCode::UNPROCESSABLE_ENTITY,
        QueryError::Unavailable { .. } => StatusCode::SERVICE_UNAVAILABLE,
        QueryError::Failed { .. } => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// RFC 9457; a refused query has `key`, `value` and `reason` besides.
pub(crate) fn query_problem(error: &QueryError) -> Reply {
    let status = status_of(error);
    if error.is_ours() {
        let source = std::error::Error::source(error).map(ToString::to_string);
        tracing::warn!(status = status.as_u16(), source, "{error}");
    }
    let mut body = json!({
        "type": "about:blank",
        "title": status.canonical_reason(),
        "status": status.as_u16(),
        "detail": error.to_string(),
    });
    if let QueryError::BadRequest(refusal) = error {
        body["key"] = refusal.key.as_str().into();
        body["value"] = refusal.value.as_str().into();
        body["reason"] = refusal.reason.as_str().into();
    }
    let mut reply = route::json(status, &body);
    let headers = reply.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/problem+json"),
    );
    if error.is_retryable() {
        headers.insert(RETRY_AFTER, HeaderValue::from_static("5"));
    }
    reply
}
