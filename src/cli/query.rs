//! `brine query`: the query API's numbers as a table, CSV or JSON, beside a running brine.
//!
//! The arguments become the same JSON that `POST /api/v1/query` takes, so that both count alike.

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::{Context, anyhow};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::{DataArgs, sql};
use crate::clock;
use crate::config::settings::{Environment, Settings};
use crate::config::{Config, load};
use crate::demo;
use crate::stats::csv::{figures, header};
use crate::stats::{self, Answer, export};

/// `brine query`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct QueryArgs {
    /// The site's id or domain.
    site: String,
    /// What to count.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "visitors,visits,pageviews",
        value_name = "NAMES"
    )]
    metrics: Vec<String>,
    /// What to divide it by.
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    dimensions: Vec<String>,
    /// First date or instant.
    #[arg(long, requires = "to", conflicts_with = "range", value_name = "DATE")]
    from: Option<String>,
    /// Last date or instant.
    #[arg(long, requires = "from", value_name = "DATE")]
    to: Option<String>,
    /// Range that ends today: day, 7d, 28d, month, 6mo, year, all, ...
    #[arg(long, default_value = "28d", value_name = "RANGE")]
    range: String,
    /// Dimension, operator and value, as 'event:page is /a'; several must all hold.
    #[arg(long = "filter", value_name = "FILTER")]
    filters: Vec<String>,
    /// Metric or dimension to order by, with asc or desc, as 'visitors desc'.
    #[arg(long = "order", value_name = "ORDER")]
    orders: Vec<String>,
    /// Most rows; up to 1000000 as CSV or JSON, which are written while they are read.
    #[arg(long, default_value_t = 100, value_name = "N")]
    limit: u64,
    /// Rows to leave out first.
    #[arg(long, default_value_t = 0, value_name = "N")]
    offset: u64,
    #[command(flatten)]
    data: DataArgs,
    /// How to print it.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

const EXAMPLES: &str = "\
Examples:
  brine query portal --dimensions time:day --range 7d
  brine query portal --metrics visitors,bounce_rate --dimensions visit:source --from 2026-11-01 --to 2026-11-30
  brine query portal --dimensions event:page --filter 'visit:country is DK' --filter 'event:page contains /docs'";

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// Comma-separated, RFC 4180.
    Csv,
    /// What the query API answers.
    Json,
    /// For people.
    Table,
}

pub(super) fn run(args: &QueryArgs, environment: &Environment) -> anyhow::Result<ExitCode> {
    let config = config(&args.data, environment)?;
    let body = body(args)?.to_string();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let format = match args.format {
        Format::Csv => Some(export::Format::Csv),
        Format::Json => Some(export::Format::Json),
        Format::Table => None,
    };
    let mut out = io::stdout().lock();
    runtime.block_on(async {
        let client = sql::client(&args.data, environment)?;
        let now = clock::of_environment(environment).now();
        let (sites, limits) = (&config.sites, &config.query);
        let Some(format) = format else {
            let answer = stats::answer(&client, sites, limits, body.as_bytes(), now).await?;
            return anyhow::Ok(out.write_all(table(&answer).as_bytes())?);
        };
        let mut export =
            export::export(&client, sites, limits, body.as_bytes(), now, format).await?;
        while let Some(piece) = export.piece().await? {
            out.write_all(piece.as_bytes())?;
        }
        Ok(())
    })?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// Sites and limits: of the configuration, or, for a bare data directory, those of the demo.
pub(super) fn config(args: &DataArgs, environment: &Environment) -> anyhow::Result<Config> {
    if let Some(path) = &args.config {
        return Ok(load::from_file(path, environment)?.1);
    }
    let settings: Settings = toml::from_str(demo::SETTINGS)?;
    Config::check(&settings).map_err(|faults| load::LoadError::Faults { faults }.into())
}

fn body(args: &QueryArgs) -> anyhow::Result<Value> {
    let range = match (&args.from, &args.to) {
        (Some(from), Some(to)) => json!([from, to]),
        _ => json!(args.range),
    };
    let filters: Result<Vec<Value>, _> = args.filters.iter().map(|text| filter(text)).collect();
    let orders: Vec<Value> = args
        .orders
        .iter()
        .map(|order| order.split_whitespace().collect::<Vec<_>>().into())
        .collect();
    Ok(json!({
        "site_id": args.site,
        "metrics": args.metrics,
        "dimensions": args.dimensions,
        "date_range": range,
        "filters": filters?,
        "order_by": orders,
        "pagination": { "limit": args.limit, "offset": args.offset },
    }))
}

/// Reads `event:page is /a`; the value is the rest of the text, spaces and all.
fn filter(text: &str) -> anyhow::Result<Value> {
    let parts = text
        .trim_start()
        .split_once(' ')
        .and_then(|(dimension, rest)| {
            let (operator, value) = rest.trim_start().split_once(' ')?;
            Some(json!([operator, dimension, [value]]))
        });
    parts.with_context(|| {
        anyhow!("--filter {text:?}: write DIMENSION OPERATOR VALUE, as 'event:page is /a'")
    })
}

fn table(answer: &Answer) -> String {
    let n_dimensions = answer.dimensions.len();
    let mut lines: Vec<Vec<String>> = vec![header(answer)];
    lines.extend(answer.rows.iter().map(|row| {
        let texts = row.dimensions.iter().map(|text| printable(text));
        texts.chain(figures(&answer.metrics, row, "-")).collect()
    }));
    let n_columns = n_dimensions + answer.metrics.len();
    let widths: Vec<usize> = (0..n_columns)
        .map(|i| {
            lines
                .iter()
                .map(|line| line[i].chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let mut out = String::new();
    for line in &lines {
        let cells = line.iter().zip(&widths).enumerate();
        let cells = cells.map(|(i, (cell, &width))| match i < n_dimensions {
            true => format!("{cell:<width$}"),
            false => format!("{cell:>width$}"),
        });
        out.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        out.push('\n');
    }
    out.push_str(&footer(answer));
    out
}

/// Paths and properties come from visitors: nothing of theirs may command a terminal, or turn its line
/// around.
fn printable(text: &str) -> String {
    let shown = |c: char| match c {
        '"' | '\'' | '\\' => c.to_string(),
        c => c.escape_debug().to_string(),
    };
    text.chars().map(shown).collect()
}

fn footer(answer: &Answer) -> String {
    let mut notes = Vec::new();
    if answer.n_suppressed > 0 {
        notes.push(format!(
            "{} small row(s) folded or hidden (fewer than {} visitors, or needed to hide those)",
            answer.n_suppressed, answer.k
        ));
    }
    notes.extend(answer.warnings.iter().cloned());
    let consent = answer.meta.get("consent");
    if let Some(coverage) = consent.and_then(|consent| consent["coverage"].as_f64()) {
        notes.push(format!(
            "{:.1} % of those who chose in this range said yes",
            100.0 * coverage
        ));
    }
    match answer.meta.get("newest_event").and_then(Value::as_str) {
        Some(newest) => notes.push(format!("newest event {newest}")),
        None => notes.push("no event yet".into()),
    }
    notes.iter().map(|note| format!("# {note}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::answer::AnswerRow;
    use crate::stats::metric::Metric;

    fn answer() -> Answer {
        let row = |text: &str, value| AnswerRow::new(vec![text.into()], vec![value, Some(2.5)]);
        Answer::new(
            vec!["event:page".into()],
            vec![Metric::Visitors, Metric::ViewsPerVisit],
            vec![
                row("/a", Some(1_200.0)),
                row("=1+\"1\"\u{1b}[31m", Some(7.0)),
                row("(other)", None),
            ],
        )
    }

    #[test]
    fn a_table_lines_numbers_up_on_the_right_and_escapes_control_signs() {
        let text = table(&answer());
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "event:page        visitors  views_per_visit");
        assert_eq!(lines[1], "/a                    1200             2.50");
        assert_eq!(lines[2], "=1+\"1\"\\u{1b}[31m         7             2.50");
        assert_eq!(lines[3], "(other)                  -             2.50");
        assert!(!text.contains('\u{1b}'));
    }

    #[test]
    fn a_filter_is_three_words_the_last_of_which_may_hold_spaces() {
        assert_eq!(
            filter("event:page is /a b").unwrap(),
            json!(["is", "event:page", ["/a b"]])
        );
        assert!(filter("event:page").is_err());
    }
}
