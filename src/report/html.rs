//! The report as HTML: tables and inline styles, which is what mail programs keep, and rules for printing.

use askama::Template;

use super::words::{self, Words};
use super::{Language, Report};
use crate::dashboard;
use crate::policy::language;

/// Writes it. Every text from outside (pages, sources, names of events) is escaped by the template.
///
/// # Errors
/// Never in practice: the template writes to memory.
pub fn html(report: &Report, language: Language) -> Result<String, askama::Error> {
    let words = words::words(language);
    let most = |rows: &[(String, Vec<Option<f64>>)]| {
        rows.iter()
            .filter_map(|(_, values)| *values.first()?)
            .fold(1.0, f64::max)
    };
    Page {
        words,
        site: &report.site,
        dates: if report.first == report.last {
            report.first.to_string()
        } else {
            format!("{} – {}", report.first, report.last)
        },
        tops: report
            .headline
            .iter()
            .map(|top| Top {
                name: words::metric(top.metric, language),
                value: words::value(top.metric, top.value, language),
                before: words::value(top.metric, top.before, language),
                change: change(top.value, top.before, language),
            })
            .collect(),
        sections: report
            .sections
            .iter()
            .map(|section| Table {
                heading: words::section(section.dimension, language),
                is_days: section.dimension == "time:day",
                metrics: section
                    .metrics
                    .iter()
                    .map(|metric| words::metric(metric, language))
                    .collect(),
                rows: section
                    .rows
                    .iter()
                    .map(|(name, values)| Row {
                        name: named(section.dimension, name, language),
                        width: values
                            .first()
                            .copied()
                            .flatten()
                            .map_or(0, |value| (100.0 * value / most(&section.rows)) as u32),
                        values: section
                            .metrics
                            .iter()
                            .zip(values)
                            .map(|(metric, value)| words::value(metric, *value, language))
                            .collect(),
                    })
                    .collect(),
            })
            .collect(),
        grants: words::decimal(report.grants as f64, 0, language),
        denials: words::decimal(report.denials as f64, 0, language),
        k: report.k,
        n_salts: report.n_salts,
    }
    .render()
}

/// What the store keeps as a code, in the words of the dashboard.
fn named(dimension: &str, value: &str, language: Language) -> String {
    let language = match language {
        Language::Danish => language::Language::Da,
        Language::English => language::Language::En,
    };
    dashboard::in_words(dimension, value, language)
}

fn change(now: Option<f64>, before: Option<f64>, language: Language) -> String {
    match (now, before) {
        (Some(now), Some(before)) if before > 0.0 => {
            let percent = 100.0 * (now - before) / before;
            let sign = if percent > 0.0 { "+" } else { "" };
            format!("{sign}{} %", words::decimal(percent, 0, language))
        }
        _ => String::new(),
    }
}

#[derive(Template)]
#[template(path = "report.html", config = "src/report/askama.toml")]
struct Page<'a> {
    words: Words,
    site: &'a str,
    dates: String,
    tops: Vec<Top>,
    sections: Vec<Table>,
    grants: String,
    denials: String,
    k: u64,
    n_salts: u64,
}

struct Top {
    name: &'static str,
    value: String,
    before: String,
    change: String,
}

struct Table {
    heading: &'static str,
    /// Its rows are dates, which are not broken.
    is_days: bool,
    metrics: Vec<&'static str>,
    rows: Vec<Row>,
}

struct Row {
    name: String,
    /// Percent of the longest bar.
    width: u32,
    values: Vec<String>,
}
