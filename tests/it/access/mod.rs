//! README, "Who may look": through the real binary, as browsers, programs and attackers meet it.

mod elsewhere;
mod kept;
mod seeing;
mod signing_in;
mod watching;

use hyper::Method;
use serde_json::json;

use crate::support::{Answer, Brine};

/// 2026-11-25T12:00:00Z.
pub(super) const NOON: i64 = 1_795_608_000_000;
pub(super) const MINUTE: i64 = 60_000;

pub(super) fn ask(site: &str) -> String {
    json!({ "site_id": site, "metrics": ["visitors"], "date_range": "7d" }).to_string()
}

pub(super) async fn query_as(brine: &Brine, bearer: &str, site: &str) -> Answer {
    let bearer = format!("Bearer {bearer}");
    let headers = [
        ("content-type", "application/json"),
        ("authorization", bearer.as_str()),
    ];
    brine
        .admin(Method::POST, "/api/v1/query", &headers, &ask(site))
        .await
}

pub(super) fn location(answer: &Answer) -> &str {
    answer
        .headers
        .get("location")
        .map_or("", |value| value.to_str().unwrap())
}
