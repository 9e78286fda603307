//! Notes on a day, and segments: filters that have a name.
//!
//! Comes in: a form. Goes out: a row of `dashboard_marks`, and the way back to the page. Promises that a change is on
//! disk when it is answered, and that a form of a page elsewhere changes nothing. Loses nothing: a removal is a row, too.

use clickhouse::Row;
use hyper::StatusCode;
use hyper::header::{HOST, HeaderName, HeaderValue, LOCATION, ORIGIN};
use hyper::http::request::Parts;
use jiff::Timestamp;
use jiff::civil::Date;
use serde::Deserialize;
use serde_json::Value;
use url::form_urlencoded;

use super::ask::Asker;
use crate::access::refusal;
use crate::config::Site;
use crate::route::{Reply, problem, typed};
use crate::salts::period::{date_of, local_day};
use crate::secret::random_bytes;
use crate::stats::{QueryError, literal};

/// Longest text (bytes).
const MAX_TEXT: usize = 300;

/// A row of the table is gone after this.
const LIFE_DAYS: u16 = 1_825;

/// A note or a segment.
#[derive(Clone, Debug, Row, Deserialize)]
pub(super) struct Mark {
    pub(super) mark: u64,
    pub(super) kind: String,
    /// Days since 1970-01-01.
    pub(super) day: u16,
    pub(super) name: String,
    pub(super) filters: String,
}

impl Mark {
    /// The filters of a segment; none where they are no JSON any more.
    pub(super) fn filters(&self) -> Vec<Value> {
        serde_json::from_str(&self.filters).unwrap_or_default()
    }
}

/// All marks of a site that are not removed.
///
/// # Errors
/// As the query API.
pub(super) async fn read(asker: &Asker<'_>, site: &Site) -> Result<Vec<Mark>, QueryError> {
    let id = literal(site.id.as_str());
    // What the newest row of each says; a removed one is left out behind that.
    let sql = format!(
        "SELECT mark, toString(kind) AS kind, day, name, filters FROM (\
         SELECT * FROM dashboard_marks WHERE site = {id} ORDER BY changed DESC LIMIT 1 BY mark) \
         WHERE NOT is_removed ORDER BY day, name LIMIT 500"
    );
    asker.rows(&sql).await
}

/// A change that a form asks for, read and not made yet.
#[derive(Debug)]
pub struct Planned {
    mark: u64,
    sql: String,
    back: String,
    /// The site it is about.
    pub site: String,
    /// What it does, in the words of `access_log`: nothing of what was written.
    pub what: String,
}

/// Reads a form.
pub(super) fn read_form(
    site: &Site,
    head: &Parts,
    form: &[u8],
    now: Timestamp,
) -> Result<Planned, Box<Reply>> {
    if !is_own(head) {
        let reason = "the form was sent by another page";
        let refusal = problem(StatusCode::FORBIDDEN, None, reason);
        return Err(Box::new(refusal::foreign(refusal)));
    }
    let mut change = Change::default();
    for (key, value) in form_urlencoded::parse(form) {
        let text = || value.trim().to_owned();
        match &*key {
            "do" => change.is_removal = value == "remove",
            "kind" => change.kind = text(),
            "mark" => change.mark = value.parse().ok(),
            "day" => change.day = value.parse().ok(),
            "name" => change.name = text(),
            "filters" => change.filters = text(),
            "back" => change.back = text(),
            _ => {}
        }
    }
    let day = local_day(now, &site.time_zone);
    let (mark, sql) = match change.row(site, day, now.as_millisecond()) {
        Ok(row) => row,
        Err(reason) => {
            return Err(Box::new(refusal::told(
                problem(StatusCode::BAD_REQUEST, None, reason),
                "A note or segment needs a name, of 300 bytes at most. Nothing was kept: open the page and write it again.",
                "En note eller et segment skal have et navn på højst 300 byte. Intet blev gemt: åbn siden, og skriv den igen.",
            )));
        }
    };
    let plain = format!("/d/{}", site.id);
    let deed = if change.is_removal { "remove" } else { "add" };
    Ok(Planned {
        mark,
        sql,
        back: match change.back.starts_with(&plain) {
            true => change.back,
            false => plain,
        },
        site: site.id.to_string(),
        what: format!("{} {deed}", change.kind),
    })
}

/// Makes a change.
pub(super) async fn make(asker: &Asker<'_>, planned: &Planned) -> Reply {
    let Planned {
        mark, sql, back, ..
    } = planned;
    let written = asker
        .client
        .query_raw(sql)
        .with_setting("async_insert", "0")
        .execute()
        .await;
    if let Err(error) = written {
        tracing::warn!(%error, mark, "a mark could not be kept");
        return problem(
            StatusCode::SERVICE_UNAVAILABLE,
            None,
            "it could not be kept; try again",
        );
    }
    let mut reply = typed(StatusCode::SEE_OTHER, "text/plain", bytes::Bytes::new());
    if let Ok(back) = HeaderValue::from_str(back) {
        reply.headers_mut().insert(LOCATION, back);
    }
    reply
}

#[derive(Debug, Default)]
struct Change {
    is_removal: bool,
    kind: String,
    mark: Option<u64>,
    day: Option<Date>,
    name: String,
    filters: String,
    back: String,
}

impl Change {
    fn row(&self, site: &Site, today: u16, now_ms: i64) -> Result<(u64, String), &'static str> {
        let kind = match self.kind.as_str() {
            kind @ ("note" | "segment") => kind,
            _ => return Err("kind must be note or segment"),
        };
        let mark = match (self.is_removal, self.mark) {
            (true, Some(mark)) => mark,
            (true, None) => return Err("mark must say which"),
            (false, _) => u64::from_le_bytes(random_bytes()),
        };
        if !self.is_removal {
            if self.name.is_empty() || self.name.len() > MAX_TEXT {
                return Err("name must be text of at most 300 bytes");
            }
            let filters: Option<Vec<Value>> = serde_json::from_str(&self.filters).ok();
            if kind == "segment" && (filters.is_none() || self.filters.len() > 8_000) {
                return Err("filters must be a list as the query API takes it");
            }
        }
        let day = self.day.unwrap_or(date_of(today));
        let filters = if kind == "segment" {
            self.filters.as_str()
        } else {
            ""
        };
        let sql = format!(
            "INSERT INTO dashboard_marks (site, mark, kind, day, name, filters, is_removed, changed, expires) \
             SELECT {}, {mark}, '{kind}', toDate('{day}'), {}, {}, {}, \
             fromUnixTimestamp64Milli(toInt64({now_ms}), 'UTC'), toDate('{}')",
            literal(site.id.as_str()),
            literal(&self.name),
            literal(filters),
            self.is_removal,
            date_of(today.saturating_add(LIFE_DAYS)),
        );
        Ok((mark, sql))
    }
}

/// Tells whether a form comes from a page of this listener. (Fetch Metadata; HTML, "Origin" of form submissions)
fn is_own(head: &Parts) -> bool {
    let header = |name: &HeaderName| head.headers.get(name).and_then(|value| value.to_str().ok());
    let site = HeaderName::from_static("sec-fetch-site");
    if header(&site).is_some_and(|site| site != "same-origin" && site != "none") {
        return false;
    }
    match (header(&ORIGIN), header(&HOST)) {
        (Some(origin), Some(host)) => origin
            .split_once("://")
            .is_some_and(|(_, from)| from == host),
        (Some(_), None) => false,
        (None, _) => true,
    }
}
