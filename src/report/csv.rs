//! The report as CSV (RFC 4180): one line a number, for spreadsheets and scripts.

use std::fmt::Write as _;

use super::Report;
use crate::stats::csv::{guarded, quoted};

/// Writes it: `site,first,last,dimension,value,metric,number,before`. A number that is withheld is empty.
pub fn csv(report: &Report) -> String {
    let mut text = String::from("site,first,last,dimension,value,metric,number,before\r\n");
    let mut line = |dimension: &str, value: &str, metric: &str, number: Option<f64>, before| {
        let shown = |number: Option<f64>| number.map_or_else(String::new, |n| n.to_string());
        write!(
            text,
            "{},{},{},{dimension},{},{metric},{},{}\r\n",
            report.site_id,
            report.first,
            report.last,
            quoted(&guarded(value)),
            shown(number),
            shown(before)
        )
        .expect("writing to memory cannot fail");
    };
    for top in &report.headline {
        line("", "", top.metric, top.value, top.before);
    }
    for section in &report.sections {
        for (name, values) in &section.rows {
            for (metric, value) in section.metrics.iter().zip(values) {
                line(section.dimension, name, metric, *value, None);
            }
        }
    }
    line("consent", "", "grants", Some(report.grants as f64), None);
    line("consent", "", "denials", Some(report.denials as f64), None);
    text
}
