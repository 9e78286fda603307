use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::config::{REFERENCE, load};
use crate::stats::period::Asked;
use crate::stats::request;

fn sql(more: &Value) -> String {
    let (_, config) = load::from_text(REFERENCE, "reference", &Default::default()).unwrap();
    let mut body = json!({
        "site_id": "portal", "metrics": ["visitors"], "date_range": ["2026-11-01", "2026-11-30"],
    });
    for (key, value) in more.as_object().unwrap() {
        body[key] = value.clone();
    }
    let body = body.to_string();
    let now = Timestamp::UNIX_EPOCH;
    let query = request::parse(body.as_bytes(), &config.sites, now).unwrap();
    let Asked::Known(range) = query.asked else {
        panic!("a known range")
    };
    let (query, k, limit, offset) = (&query, 5, 10, 0);
    let plan = &Plan::events(None);
    Counting {
        query,
        range,
        plan,
        k,
        limit,
        offset,
    }
    .sql()
}

#[test]
fn events_are_read_once_unless_events_and_visits_are_both_asked_about() {
    for (more, n_reads, groups) in [
        (json!({}), 1, ""),
        (json!({ "dimensions": ["time:day"] }), 1, ""),
        (json!({ "dimensions": ["event:page"] }), 1, ""),
        (json!({ "metrics": ["bounce_rate"] }), 1, "GROUP BY visit)"),
        (
            json!({ "dimensions": ["visit:source"] }),
            1,
            "GROUP BY visit)",
        ),
        (
            json!({ "dimensions": ["event:page", "visit:source"] }),
            2,
            "GROUP BY visit)",
        ),
        (
            json!({ "dimensions": ["event:page"], "metrics": ["visit_duration"] }),
            2,
            "GROUP BY k0, visit)",
        ),
    ] {
        let sql = sql(&more);
        assert_eq!(sql.matches("FROM events").count(), n_reads, "{sql}");
        assert!(sql.contains(groups), "{sql}");
        assert_eq!(
            sql.replace("GROUP BY visitor", "")
                .contains("GROUP BY visit"),
            groups.contains("visit)"),
            "{sql}"
        );
    }
}

#[test]
fn only_the_sites_own_days_are_read() {
    let days = "site = 'portal' AND day BETWEEN '2026-11-01' AND '2026-11-30'";
    let filters = json!([
        ["has_done", ["is", "event:page", ["/a"]]],
        ["is", "visit:os", ["x"]]
    ]);
    for dimension in ["event:page", "visit:source", "time:hour"] {
        let sql = sql(&json!({ "dimensions": [dimension], "filters": filters }));
        assert_eq!(
            sql.matches("FROM events").count(),
            sql.matches(days).count(),
            "{sql}"
        );
    }
}

/// What is left of a statement when its literals are taken out.
fn bare(sql: &str) -> String {
    sql.split('\'').step_by(2).collect()
}

proptest! {
    #[test]
    fn no_text_changes_a_statement_outside_its_literals(text in "\\PC{1,40}|.{1,40}") {
        let with = |text: &str| sql(&json!({
            "dimensions": [format!("event:props:{text}")],
            "filters": [
                ["is", "event:page", [text]],
                ["contains", "visit:source", [text], { "case_sensitive": false }],
                ["has_done", ["is", "event:goal", [text]]],
                ["matches", format!("event:props:{text}"), [regex::escape(text)]],
            ],
        }));
        prop_assert_eq!(bare(&with(&text)), bare(&with("plain")));
    }
}
