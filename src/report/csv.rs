//! The report as CSV (RFC 4180): one line a number, for spreadsheets and scripts.

use std::fmt::Write as _;

use super::Report;

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
            field(value),
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

/// Quotes where it must, and keeps spreadsheets from running what a page's address says (a leading `=`, `+`, `-` or
/// `@` is a formula to them).
fn field(value: &str) -> String {
    let guard = if value.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        "'"
    } else {
        ""
    };
    if guard.is_empty() && !value.contains(['"', ',', '\r', '\n']) {
        return value.to_owned();
    }
    format!("\"{guard}{}\"", value.replace('"', "\"\""))
}
