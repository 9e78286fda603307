//! Rows as CSV (RFC 4180): one line a row, dimensions first.
//!
//! Comes in: rows of an answer or export. Goes out: text whose figures stand with the decimals of their metric and a point.
//! Promises that a spreadsheet runs nothing of what visitors sent. Loses: `meta`; JSON has it.

use std::borrow::Cow;

use super::answer::{Answer, AnswerRow};
use super::metric::Metric;

/// Writes a text so that no spreadsheet runs it: what begins like a formula gets an apostrophe, also behind a semicolon or a
/// tab. Danish spreadsheets part cells there, and quotes within such a cell hold nothing together.
pub(crate) fn guarded(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 1);
    let mut begins = true;
    for c in text.chars() {
        if begins && matches!(c, '=' | '+' | '-' | '@' | '\t' | '\r') {
            out.push('\'');
        }
        out.push(c);
        begins = matches!(c, ';' | '\t' | '\r' | '\n') || (begins && matches!(c, ' ' | '"'));
    }
    out
}

/// Writes a cell, in quotes where it must be.
pub(crate) fn quoted(cell: &str) -> Cow<'_, str> {
    match cell.contains([',', ';', '\t', '"', '\n', '\r']) {
        true => Cow::Owned(format!("\"{}\"", cell.replace('"', "\"\""))),
        false => Cow::Borrowed(cell),
    }
}

/// Writes one line.
pub(super) fn line(out: &mut String, cells: &[String]) {
    for (i, cell) in cells.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        out.push_str(&quoted(cell));
    }
    out.push_str("\r\n");
}

/// Returns a row's cells.
pub(super) fn cells(metrics: &[Metric], row: &AnswerRow) -> Vec<String> {
    // A visitor may have sent it.
    let texts = row.dimensions.iter().map(|text| guarded(text));
    texts.chain(figures(metrics, row, "")).collect()
}

/// Returns the names of the columns.
pub fn header(answer: &Answer) -> Vec<String> {
    let metrics = answer.metrics.iter().map(|metric| metric.name().to_owned());
    answer.dimensions.iter().cloned().chain(metrics).collect()
}

/// Returns a row's figures; `none` stands where one is withheld or has nothing to divide by.
pub fn figures(metrics: &[Metric], row: &AnswerRow, none: &str) -> Vec<String> {
    let figure = |(metric, value): (&Metric, &Option<f64>)| match value {
        None => none.to_owned(),
        Some(value) => {
            let digits = usize::try_from(metric.decimals()).unwrap_or(0);
            let unit = if metric.is_money() {
                format!(" {}", row.currency)
            } else {
                String::new()
            };
            format!("{value:.digits$}{unit}")
        }
    };
    metrics.iter().zip(&row.metrics).map(figure).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_cell_begins_like_a_formula_wherever_a_spreadsheet_parts_it(text in "[a=+@;, \t\"\n-]{0,12}") {
            let written = quoted(&guarded(&text)).into_owned();
            for separators in [[';', '\n'], ['\t', '\n']] {
                for cell in written.split(separators) {
                    let begins = cell.trim_start_matches(['"', ' ']);
                    prop_assert!(!begins.starts_with(['=', '+', '-', '@']), "{:?} in {:?}", cell, written);
                }
            }
        }
    }

    #[test]
    fn csv_runs_nothing_in_a_spreadsheet() {
        let row = |text: &str, value| AnswerRow::new(vec![text.into()], vec![value, Some(2.5)]);
        let metrics = [Metric::Visitors, Metric::ViewsPerVisit];
        let mut text = String::new();
        for row in [row("=1+\"1\"\u{1b}[31m", Some(7.0)), row("(other)", None)] {
            line(&mut text, &cells(&metrics, &row));
        }
        assert!(
            text.contains("\"'=1+\"\"1\"\"\u{1b}[31m\",7,2.50\r\n"),
            "{text}"
        );
        assert!(text.contains("(other),,2.50\r\n"), "{text}");
    }
}
