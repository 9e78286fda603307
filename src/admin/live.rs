//! A live figure: server-sent events over one connection, as long as its viewer may look.
//!
//! Comes in: a viewer who was let in. Goes out: an event every few seconds. Promises that it ends within a second or so of
//! a sign-out, a removal, a revocation or an expiry, and at once when brine closes; that it keeps no session alive; and
//! that nothing of it is left when the reader leaves.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{CACHE_CONTROL, HeaderValue};
use hyper::http::request::Parts;
use tokio::time::Instant;

use super::Admin;
use crate::access::gate::{Via, Viewer};
use crate::access::live::Slot;
use crate::config::Site;
use crate::route::flow::{Piece, ReplyBody, Source};
use crate::route::{Reply, typed};
use crate::shutdown;

/// Between two events.
const PAUSE: Duration = Duration::from_secs(5);

/// Between two looks at whether the viewer may still look.
const LOOK: Duration = Duration::from_millis(500);

/// How long the word of a proxy holds; the browser then comes back by way of it.
const PROXY_LIFE: Duration = Duration::from_secs(300);

pub(super) fn reply(
    admin: &Admin,
    viewer: &Viewer,
    head: &Parts,
    peer: IpAddr,
    site: Arc<Site>,
    slot: Slot,
) -> Reply {
    let mut reply = typed(StatusCode::OK, "text/event-stream", Bytes::new());
    let headers = reply.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let begun = Instant::now();
    *reply.body_mut() = ReplyBody::flowing(Figures {
        admin: admin.clone(),
        viewer: viewer.clone(),
        head: head.clone(),
        peer,
        site,
        begun,
        due: begun,
        _slot: slot,
    });
    reply
}

struct Figures {
    admin: Admin,
    viewer: Viewer,
    head: Parts,
    peer: IpAddr,
    site: Arc<Site>,
    begun: Instant,
    due: Instant,
    _slot: Slot,
}

impl Figures {
    async fn next(&mut self) -> Option<Bytes> {
        let mut closing = self.admin.shutdown.clone();
        while Instant::now() < self.due {
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = shutdown::asked(&mut closing) => return None,
            }
            if !self.may_still().await {
                return None;
            }
        }
        self.due = Instant::now() + PAUSE;
        let sites = self.admin.collector.live.load_full();
        let dashboard = &self.admin.dashboard;
        let event = dashboard.live_event(&sites.sites, &self.site, &self.head);
        tokio::select! {
            event = event => Some(Bytes::from(event)),
            () = shutdown::asked(&mut closing) => None,
        }
    }

    async fn may_still(&self) -> bool {
        if self.viewer.via() == Via::Proxy && self.begun.elapsed() > PROXY_LIFE {
            return false;
        }
        let site = self.site.id.as_str();
        let gate = &self.admin.gate;
        gate.may_still(&self.viewer, &self.head, self.peer, site)
            .await
    }
}

impl Source for Figures {
    fn piece(&mut self) -> Piece<'_> {
        Box::pin(async { self.next().await.map(Ok) })
    }
}
