//! `brine report`: a finished day, week or month of a site, for cron to send.

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::anyhow;
use clap::{Args, ValueEnum};

use super::{DataArgs, query, sql};
use crate::clock;
use crate::config::settings::Environment;
use crate::report::{self, Language, Period, csv, html};

/// `brine report`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ReportArgs {
    /// The site's id or domain.
    #[arg(long)]
    site: String,
    /// The latest one that is over, by the site's midnight.
    #[arg(long, value_enum, default_value_t = Span::Week)]
    period: Span,
    /// How to write it.
    #[arg(long, value_enum, default_value_t = Format::Html)]
    format: Format,
    /// Language of the HTML.
    #[arg(long, value_enum, default_value_t = Tongue::En)]
    language: Tongue,
    #[command(flatten)]
    data: DataArgs,
}

const EXAMPLES: &str = "\
Examples:
  brine report --site portal --config /etc/brine/brine.toml > week.html
  brine report --site portal --period month --format csv > month.csv
  (printf 'Subject: Visits\\nMIME-Version: 1.0\\nContent-Type: text/html; charset=utf-8\\n\\n'; brine report --site portal) | sendmail team@example.test";

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Span {
    Day,
    Week,
    Month,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// For mail programs, and for printing.
    Html,
    /// One line a number.
    Csv,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Tongue {
    /// English.
    En,
    /// Danish.
    Da,
}

pub(super) fn run(args: &ReportArgs, environment: &Environment) -> anyhow::Result<ExitCode> {
    let config = query::config(&args.data, environment)?;
    let site = config
        .sites
        .find(&args.site)
        .ok_or_else(|| anyhow!("no site has the id or domain {}", args.site))?;
    let period = match args.period {
        Span::Day => Period::Day,
        Span::Week => Period::Week,
        Span::Month => Period::Month,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let report = runtime.block_on(async {
        let client = sql::client(&args.data, environment)?;
        let now = clock::of_environment(environment).now();
        let counting = report::count(&client, &config.sites, &config.query, site, period, now);
        anyhow::Ok(counting.await?)
    })?;
    let text = match (args.format, args.language) {
        (Format::Csv, _) => csv::csv(&report),
        (Format::Html, Tongue::En) => html::html(&report, Language::English)?,
        (Format::Html, Tongue::Da) => html::html(&report, Language::Danish)?,
    };
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}
