//! `dashboards/grafana`: every panel's SQL runs on the real schema and counts as the query API does. Grafana itself is
//! not run: what it would do with the files (macros, variables) is done here by hand, as its ClickHouse data source
//! documents it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::demo::Demo;

/// Local midnight of 2026-11-22 in Copenhagen, and the demo's present.
const FROM_S: i64 = 1_795_302_000;
const TO_S: i64 = 1_795_534_200;
const RANGE: [&str; 4] = ["--from", "2026-11-22", "--to", "2026-11-24"];

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("dashboards/grafana")
}

fn dashboards() -> Vec<(String, Value)> {
    ["visits.json", "operations.json"]
        .map(|name| {
            let text = std::fs::read_to_string(directory().join("brine").join(name))
                .unwrap_or_else(|e| panic!("{name}: {e}"));
            let json = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{name}: {e}"));
            (name.to_owned(), json)
        })
        .into()
}

fn list<'a>(value: &'a Value, what: &str) -> &'a [Value] {
    value
        .as_array()
        .unwrap_or_else(|| panic!("{what} is a list"))
}

fn text<'a>(value: &'a Value, what: &str) -> &'a str {
    value
        .as_str()
        .unwrap_or_else(|| panic!("{what} is a text: {value}"))
}

/// Every text anywhere in a JSON value.
fn texts<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::String(text) => found.push(text),
        Value::Array(items) => items.iter().for_each(|item| texts(item, found)),
        Value::Object(fields) => fields.values().for_each(|field| texts(field, found)),
        _ => {}
    }
}

/// Names of the variables that a text uses (`$name`, `${name}`, `${name:format}`), macros left out.
fn variables(text: &str) -> BTreeSet<String> {
    text.split('$')
        .skip(1)
        .map(|rest| rest.strip_prefix('{').unwrap_or(rest))
        .map(|rest| {
            rest.chars()
                .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
                .collect::<String>()
        })
        .filter(|name| !name.is_empty() && !name.starts_with("__"))
        .collect()
}

/// Expands what Grafana expands; anything that is left over is a fault.
fn expand(sql: &str, site: &str) -> String {
    let instant = |seconds: i64| format!("toDateTime({seconds})");
    let expanded = sql
        .replace("$__fromTime", &instant(FROM_S))
        .replace("$__toTime", &instant(TO_S))
        .replace("${site:singlequote}", &format!("'{site}'"))
        .replace("${tz:singlequote}", "'Europe/Copenhagen'");
    assert!(!expanded.contains('$'), "not expanded: {expanded}");
    expanded
}

#[test]
fn the_dashboards_are_whole_and_ask_within_limits() {
    let mut uids = BTreeSet::new();
    for (name, dashboard) in dashboards() {
        let uid = text(&dashboard["uid"], "uid");
        assert!(uid.len() <= 40 && uids.insert(uid.to_owned()), "{uid}");
        assert!(dashboard["id"].is_null() && dashboard["__inputs"].is_null());
        assert_eq!(dashboard["editable"], false);
        let declared: BTreeSet<String> = list(&dashboard["templating"]["list"], "variables")
            .iter()
            .map(|variable| text(&variable["name"], "a variable's name").to_owned())
            .collect();
        let mut all = Vec::new();
        texts(&dashboard, &mut all);
        for used in all.iter().flat_map(|text| variables(text)) {
            assert!(declared.contains(&used), "{name}: ${used} is not declared");
        }

        let mut ids = BTreeSet::new();
        let mut taken = BTreeSet::new();
        for panel in list(&dashboard["panels"], "panels") {
            let title = text(&panel["title"], "title");
            assert!(ids.insert(panel["id"].as_u64().expect("an id")), "{title}");
            let side = |key: &str| panel["gridPos"][key].as_u64().expect("a number");
            let (x, y, w, h) = (side("x"), side("y"), side("w"), side("h"));
            assert!(
                x + w <= 24 && w > 0 && h > 0,
                "{name}: {title} is off the grid"
            );
            for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
                assert!(taken.insert(cell), "{name}: {title} lies on another panel");
            }
            for target in list(&panel["targets"], "targets") {
                assert_eq!(target["datasource"], panel["datasource"], "{title}");
                let Some(sql) = target["rawSql"].as_str() else {
                    continue;
                };
                // Who is counted: one site, not those who restricted their events; and small rows hidden.
                if name == "visits.json" && sql.contains("FROM events") {
                    assert!(sql.contains("site = ${site:singlequote}"), "{title}: {sql}");
                    assert!(
                        sql.contains("NOT IN (SELECT visitor FROM restrictions"),
                        "{title}"
                    );
                }
                let is_breakdown = name == "visits.json" && panel["type"] == "table";
                let is_protected =
                    sql.contains("visitors >= 5") || sql.contains("uniqExact(visitor) >= 5");
                assert!(!is_breakdown || is_protected, "{title} shows small rows");
            }
        }
    }
}

/// The number in the SQL is the default of `query.k`.
#[test]
fn small_rows_are_those_of_the_query_api() {
    assert!(brine::config::REFERENCE.contains("\nk = 5 "));
}

#[test]
fn provisioning_names_what_the_dashboards_ask_for() {
    let read = |path: &str| std::fs::read_to_string(directory().join(path)).expect("it is there");
    let sources = read("provisioning/datasources/brine.yaml");
    for kind in ["grafana-clickhouse-datasource", "prometheus"] {
        assert!(sources.contains(&format!("type: {kind}\n")), "{kind}");
    }
    assert!(read("provisioning/dashboards/brine.yaml").contains("allowUiUpdates: false"));
    let reader = read("reader.sql");
    assert!(reader.contains("readonly = 1"));
    for (name, dashboard) in dashboards() {
        for panel in list(&dashboard["panels"], "panels") {
            for sql in list(&panel["targets"], "targets")
                .iter()
                .filter_map(|t| t["rawSql"].as_str())
            {
                for table in sql
                    .split("FROM ")
                    .skip(1)
                    .filter(|rest| !rest.trim_start().starts_with('('))
                {
                    let table: String = table
                        .chars()
                        .take_while(|c| c.is_ascii_lowercase() || *c == '_')
                        .collect();
                    assert!(
                        reader.contains(&format!("GRANT SELECT ON brine.{table} TO grafana;")),
                        "{name}: {table} is not granted"
                    );
                }
            }
        }
    }
}

/// A table of names and numbers.
type Numbers = BTreeMap<String, Vec<f64>>;

/// Asks the query API's own counting.
fn counted(demo: &Demo, site: &str, metrics: &str, dimension: Option<&str>) -> Numbers {
    let mut arguments = vec![
        "query",
        site,
        "--metrics",
        metrics,
        "--format",
        "json",
        "--limit",
        "10000",
    ];
    arguments.extend(RANGE);
    if let Some(dimension) = dimension {
        arguments.extend(["--dimensions", dimension]);
    }
    let answer: Value = serde_json::from_str(&demo.command(&arguments)).expect("JSON");
    list(&answer["results"], "results")
        .iter()
        .map(|row| {
            let name = row["dimensions"][0].as_str().unwrap_or_default().to_owned();
            let values = list(&row["metrics"], "metrics")
                .iter()
                .map(|v| v.as_f64().unwrap_or(-1.0));
            (name, values.collect())
        })
        .filter(|(name, _)| name != "(other)")
        .collect()
}

#[test]
fn every_panel_counts_what_the_query_api_counts() {
    let demo = Demo::start(&["--days", "2", "--scale", "0.08"]);
    let mut n_compared = 0;
    for (file, dashboard) in dashboards() {
        for panel in list(&dashboard["panels"], "panels") {
            let title = text(&panel["title"], "title");
            for target in list(&panel["targets"], "targets") {
                let Some(sql) = target["rawSql"].as_str() else {
                    continue;
                };
                for site in ["portal", "ios"] {
                    let statement = expand(sql, site);
                    let rows = demo.sql_as("TSVWithNamesAndTypes", &statement);
                    let [names, types, rows @ ..] = &rows[..] else {
                        panic!("{title}: no answer");
                    };
                    for name in names {
                        let is_id =
                            ["visitor", "visit", "device_id", "ledger"].contains(&name.as_str());
                        assert!(!is_id, "{file}: {title} shows {name}");
                    }
                    let is_number = |kind: &String| {
                        ["UInt", "Int", "Float", "Nullable(Float"]
                            .iter()
                            .any(|k| kind.starts_with(k))
                    };
                    if target["format"] == 0 {
                        assert!(
                            names[0] == "time" && types[0].starts_with("DateTime"),
                            "{title}: {names:?} {types:?}"
                        );
                        assert!(types[1..].iter().all(is_number), "{title}: {types:?}");
                        let times: Vec<&String> = rows.iter().map(|row| &row[0]).collect();
                        assert!(
                            times.is_sorted() && (site != "portal" || !times.is_empty()),
                            "{title}: {times:?}"
                        );
                    }
                    if file == "visits.json" {
                        n_compared += usize::from(compare(&demo, title, site, rows));
                    }
                }
            }
        }
    }
    assert!(n_compared >= 30, "only {n_compared} panels were compared");
}

/// Compares a panel with the query API, where that counts the same. Returns whether it does.
fn compare(demo: &Demo, title: &str, site: &str, rows: &[Vec<String>]) -> bool {
    let number = |text: &String| text.parse::<f64>().unwrap_or(-1.0);
    let headline = [
        ("Visitors", "visitors"),
        ("Visits", "visits"),
        ("Page views", "pageviews"),
        ("Views per visit", "views_per_visit"),
        ("Bounce rate", "bounce_rate"),
        ("Visit duration", "visit_duration"),
    ];
    if let Some((_, metric)) = headline.iter().find(|(name, _)| *name == title) {
        let expected = counted(demo, site, metric, None);
        assert_eq!(number(&rows[0][0]), expected[""][0], "{title} of {site}");
        return true;
    }
    let by_day = match title {
        "Day by day" => "visitors,visits,pageviews",
        "Web vitals, 75th percentile" => "lcp,inp",
        _ => "",
    };
    if !by_day.is_empty() {
        let mut expected = counted(demo, site, by_day, Some("time:day"));
        // A day without a figure is no row of the panel.
        expected.retain(|_, values| values.iter().any(|value| *value >= 0.0));
        let found: Numbers = rows
            .iter()
            .map(|row| {
                (
                    row[0][..10].to_owned(),
                    row[1..].iter().map(number).collect(),
                )
            })
            .filter(|(_, values): &(_, Vec<f64>)| values.iter().any(|value| *value >= 0.0))
            .collect();
        assert_eq!(found, expected, "{title} of {site}");
        return true;
    }
    let breakdown = match title {
        "Pages" => ("event:page", "visitors,pageviews"),
        "Entry pages" => ("visit:entry_page", "visitors,visits"),
        "Sources" => ("visit:source", "visitors,visits"),
        "Channels" => ("visit:channel", "visitors,visits"),
        "Campaigns" => ("visit:utm_campaign", "visitors,visits"),
        "Countries" => ("visit:country", "visitors,visits"),
        "Devices" => ("visit:device", "visitors,visits"),
        "Browsers" => ("visit:browser", "visitors,visits"),
        "Systems" => ("visit:os", "visitors,visits"),
        "Languages" => ("visit:language", "visitors,visits"),
        "App versions" => ("visit:app_version", "visitors,visits"),
        "Days since the last visit" => ("visit:days_since_last", "visitors,visits"),
        "Events" => ("event:name", "visitors,events"),
        _ => return false,
    };
    let mut expected = counted(demo, site, breakdown.1, Some(breakdown.0));
    if title == "Events" {
        // The panel has what visitors did besides looking at pages.
        expected.retain(|name, _| !["pageview", "engagement", "web_vitals"].contains(&&**name));
    }
    let found: Numbers = rows
        .iter()
        .map(|row| {
            let name = if row[0].is_empty() {
                "(not set)"
            } else {
                &row[0]
            };
            (name.to_owned(), row[1..].iter().map(number).collect())
        })
        .collect();
    assert!(
        found.len() <= 20 && (found.len() == 20 || found.len() == expected.len()),
        "{title} of {site}: {found:?}\n{expected:?}"
    );
    for (name, values) in &found {
        assert_eq!(
            Some(values),
            expected.get(name),
            "{title} of {site}: {name}"
        );
    }
    true
}
