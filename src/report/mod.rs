//! `brine report`: one finished day, week or month of a site, to be sent by e-mail.
//!
//! Comes in: a site, a period, the present. Goes out: HTML that mail programs show and that prints on two pages, or
//! CSV. The numbers are the query API's own ([`crate::stats`]), small rows hidden alike; the report adds nothing to
//! them and holds no script, no image and no link to anywhere: opening it tells nobody.
//!
//! Only periods that are over are reported, by the site's midnight, so that a second run says the same.

pub mod csv;
pub mod html;
mod words;

use clickhouse::Client;
use jiff::civil::{Date, Weekday};
use jiff::{Timestamp, ToSpan};
use serde_json::{Value, json};

use crate::config::{Site, Sites, settings};
use crate::salts::period::{date_of, local_day};
use crate::stats::{self, QueryError};

/// How much is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Period {
    /// Yesterday.
    Day,
    /// Monday to Sunday, the last that is over.
    Week,
    /// The last calendar month that is over.
    Month,
}

impl Period {
    /// Returns the first and the last date of the latest such period that is over at `now` where `site` is.
    pub fn dates(self, site: &Site, now: Timestamp) -> (Date, Date) {
        let today = date_of(local_day(now, &site.time_zone));
        let before = |date: Date, days: i64| date.checked_sub(days.days()).unwrap_or(date);
        match self {
            Period::Day => (before(today, 1), before(today, 1)),
            Period::Week => {
                let monday = before(today, i64::from(today.weekday().since(Weekday::Monday)));
                (before(monday, 7), before(monday, 1))
            }
            Period::Month => {
                let last = before(today.first_of_month(), 1);
                (last.first_of_month(), last)
            }
        }
    }
}

/// The languages a report is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Language {
    Danish,
    English,
}

/// A report, counted.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Report {
    pub site: String,
    /// Its id, as in the configuration.
    pub site_id: String,
    pub first: Date,
    pub last: Date,
    /// The numbers at the top.
    pub headline: Vec<Headline>,
    pub sections: Vec<Section>,
    /// Yes and no in the period.
    pub grants: u64,
    pub denials: u64,
    /// Rows with fewer visitors are not shown.
    pub k: u64,
    /// How many salts the period spans: whoever comes under several is counted under each.
    pub n_salts: u64,
}

/// A number and how it was before.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Headline {
    pub metric: &'static str,
    pub value: Option<f64>,
    pub before: Option<f64>,
}

/// A table.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Section {
    pub dimension: &'static str,
    pub metrics: &'static [&'static str],
    pub rows: Vec<(String, Vec<Option<f64>>)>,
}

const HEADLINE: [&str; 7] = [
    "visitors",
    "visits",
    "pageviews",
    "views_per_visit",
    "bounce_rate",
    "visit_duration",
    "engagement_time",
];

/// Dimension, metrics, most rows.
const SECTIONS: [(&str, &[&str], u32); 8] = [
    ("time:day", &["visitors", "visits", "pageviews"], 31),
    ("event:page", &["visitors", "pageviews"], 10),
    ("visit:entry_page", &["visitors", "bounce_rate"], 5),
    ("visit:source", &["visitors", "visits"], 10),
    ("visit:utm_campaign", &["visitors", "visits"], 5),
    ("visit:country", &["visitors"], 8),
    ("visit:device", &["visitors"], 5),
    ("event:name", &["visitors", "events"], 10),
];

/// Counts a report.
///
/// # Errors
/// As [`stats::answer()`].
pub async fn count(
    client: &Client,
    sites: &Sites,
    limits: &settings::Query,
    site: &Site,
    period: Period,
    now: Timestamp,
) -> Result<Report, QueryError> {
    let (first, last) = period.dates(site, now);
    let ask = async |mut query: Value| {
        query["site_id"] = site.id.as_str().into();
        query["date_range"] = json!([first.to_string(), last.to_string()]);
        let body = query.to_string();
        let answer = stats::answer(client, sites, limits, body.as_bytes(), now).await?;
        Ok::<Value, QueryError>(answer.to_json())
    };
    let top = ask(json!({
        "metrics": HEADLINE,
        "include": { "comparisons": { "mode": "previous_period" } },
    }))
    .await?;
    let row = &top["results"][0];
    let headline = HEADLINE
        .iter()
        .enumerate()
        .map(|(n, metric)| Headline {
            metric,
            value: row["metrics"][n].as_f64(),
            before: row["comparison"]["metrics"][n].as_f64(),
        })
        .collect();
    let mut sections = Vec::new();
    for (dimension, metrics, limit) in SECTIONS {
        let order = if dimension == "time:day" {
            json!([[dimension, "asc"]])
        } else {
            json!([[metrics[0], "desc"]])
        };
        let answer = ask(json!({
            "metrics": metrics,
            "dimensions": [dimension],
            "order_by": order,
            "pagination": { "limit": limit },
        }))
        .await?;
        sections.push(Section {
            dimension,
            metrics,
            rows: rows_of(&answer),
        });
    }
    let meta = &top["meta"];
    Ok(Report {
        site: site.name.clone(),
        site_id: site.id.to_string(),
        first,
        last,
        headline,
        sections,
        grants: meta["consent"]["grants"].as_u64().unwrap_or(0),
        denials: meta["consent"]["denials"].as_u64().unwrap_or(0),
        k: meta["k"].as_u64().unwrap_or(0),
        n_salts: match &meta["salts"] {
            Value::Array(salts) => salts.len() as u64,
            salts => salts.as_u64().unwrap_or(0),
        },
    })
}

fn rows_of(answer: &Value) -> Vec<(String, Vec<Option<f64>>)> {
    let rows = answer["results"].as_array().map_or(&[][..], Vec::as_slice);
    rows.iter()
        .map(|row| {
            let name = row["dimensions"][0].as_str().unwrap_or_default().to_owned();
            let values = row["metrics"].as_array().map_or(&[][..], Vec::as_slice);
            (name, values.iter().map(Value::as_f64).collect())
        })
        .collect()
}

#[cfg(test)]
mod tests;
