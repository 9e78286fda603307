//! The admin listener: metrics, health, queries. Loopback by default.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::{Method, Request, StatusCode};

use crate::collector::Collector;
use crate::route::{Reply, not_allowed, plain, problem, ready, typed};
use crate::store::Store;

/// What the admin listener answers from.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Admin {
    pub collector: Arc<Collector>,
    pub store: Store,
}

impl Admin {
    /// Answers one request.
    ///
    /// # Errors
    /// Never: whatever happens has a reply.
    pub async fn answer(self, request: Request<Incoming>) -> Result<Reply, Infallible> {
        let (head, _body) = request.into_parts();
        Ok(match (&head.method, head.uri.path()) {
            (&Method::GET | &Method::HEAD, "/metrics") => typed(
                StatusCode::OK,
                "text/plain; version=0.0.4; charset=utf-8",
                Bytes::from(self.collector.metrics.expose()),
            ),
            (&Method::GET | &Method::HEAD, "/health") => plain(StatusCode::OK, "alive\n"),
            (&Method::GET | &Method::HEAD, "/ready") => ready(&self.collector),
            (_, "/metrics" | "/health" | "/ready") => not_allowed("GET"),
            _ => problem(StatusCode::NOT_FOUND, None, "no such path"),
        })
    }
}
