//! `access_log`: who looked at or exported what, and when.
//!
//! Comes in: a viewer and what they are about to be shown. Goes out: a record that is durable in the spool; the batch
//! step brings it to ClickHouse. Nothing is shown that could not be recorded. Of a query its metrics, dimensions
//! and range are kept, never its filters (what they name may have come from a visitor) and nothing of its answer.

use serde_json::Value;

use crate::event::{self, AccessRecord, kind};
use crate::salts::period;
use crate::spool::{AppendError, RecordKind, Spool, always};

/// Most bytes of a detail.
const MAX_DETAIL: usize = 500;

/// What somebody did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Action {
    Changed,
    Dashboard,
    Export,
    Query,
    Realtime,
    Refused,
    Rights,
    SignIn,
    SignOut,
}

impl Action {
    /// Returns the word in the log.
    pub fn name(self) -> &'static str {
        match self {
            Action::Changed => "changed",
            Action::Dashboard => "dashboard",
            Action::Export => "export",
            Action::Query => "query",
            Action::Realtime => "realtime",
            Action::Refused => "refused",
            Action::Rights => "rights",
            Action::SignIn => "sign_in",
            Action::SignOut => "sign_out",
        }
    }
}

/// Writes one row's worth.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line<'a> {
    pub(super) who: &'a str,
    pub(super) via: &'a str,
    pub(super) action: Action,
    pub(super) site: &'a str,
    pub(super) detail: &'a str,
}

pub(super) async fn append(
    spool: &Spool,
    line: Line<'_>,
    now: jiff::Timestamp,
    log_days: u16,
) -> Result<(), AppendError> {
    let today = period::day_number(now.to_zoned(jiff::tz::TimeZone::UTC).date());
    let record = AccessRecord {
        ts_ms: now.as_millisecond(),
        who: line.who.to_owned(),
        via: line.via.to_owned(),
        action: line.action.name().to_owned(),
        site: line.site.to_owned(),
        detail: plain(line.detail),
        expires: today.saturating_add(log_days),
    };
    let payload = event::encode(&record);
    spool
        .append(RecordKind(kind::ACCESS), &payload, always)
        .await?;
    Ok(())
}

/// Control signs out, and no more than a line's worth.
fn plain(text: &str) -> String {
    let text: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    text[..text.floor_char_boundary(MAX_DETAIL)].to_owned()
}

/// Says what a query asks for: metrics, dimensions, range. Its filters are left out.
pub fn detail_of(query: &Value) -> String {
    let list = |key: &str| -> String {
        let names = query[key].as_array().map_or(&[][..], Vec::as_slice);
        let names = names.iter().filter_map(Value::as_str);
        names.collect::<Vec<_>>().join(",")
    };
    let range = match &query["date_range"] {
        Value::String(name) => name.clone(),
        Value::Array(_) => list("date_range").replace(',', ".."),
        _ => String::new(),
    };
    let by = match list("dimensions") {
        names if names.is_empty() => String::new(),
        names => format!(" by {names}"),
    };
    format!("{}{by}, {range}", list("metrics"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_query_is_told_without_its_filters() {
        let query = json!({
            "site_id": "portal", "metrics": ["visitors", "visits"], "dimensions": ["event:page"],
            "date_range": ["2026-11-01", "2026-11-30"],
            "filters": [["is", "event:page", ["/from-a-visitor"]]],
        });
        assert_eq!(
            detail_of(&query),
            "visitors,visits by event:page, 2026-11-01..2026-11-30"
        );
        assert_eq!(detail_of(&json!([1])), ", ");
        assert_eq!(plain("a\r\nb\u{1b}"), "a  b ");
    }
}
