//! `brine retention`: what is purged when, done by the running brine, and the proof of it.
//!
//! Comes in: what the operator wants to know or have done. Goes out: text for people, or JSON (`--json`). It asks the
//! admin listener of the running brine, which alone reaches spool, quarantine and ClickHouse together.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::running::{Listener, Running};
use crate::config::settings::Environment;
use crate::retention::certificate;

const PATH: &str = "/api/v1/retention";

/// `brine retention`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct RetentionArgs {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    running: Running,
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  brine retention plan --days 30               what goes now, and within a month
  brine retention run --dry-run                the same, of now alone
  brine retention run                          purge what is due, check, record
  brine retention verify                       exit code 0: nothing expired is on the disk; 3: something is; 1: cannot tell
  brine retention history --site portal
  brine retention certificate --site portal --month 2026-11 > portal-2026-11.txt
  brine retention certificate --check portal-2026-11.txt --key 'MCow…'";

#[derive(Debug, Subcommand)]
enum Action {
    /// Say what goes, by site and table, and when.
    Plan {
        /// How far to look ahead.
        #[arg(long, default_value_t = 30, value_name = "DAYS")]
        days: u16,
    },
    /// Purge what is due, check that it is gone, and record both.
    Run {
        /// Say what would go, and change nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// Look for anything that must be gone and is there.
    Verify,
    /// List runs and purges, newest first.
    History {
        /// Only purges of this site.
        #[arg(long, value_name = "SITE")]
        site: Option<String>,
        /// How many of each.
        #[arg(long, default_value_t = 50, value_name = "N")]
        limit: u32,
    },
    /// Print a signed statement for a month, or check one.
    Certificate {
        /// The site's id or domain.
        #[arg(
            long,
            value_name = "SITE",
            required_unless_present = "check",
            requires = "month"
        )]
        site: Option<String>,
        /// The month.
        #[arg(long, value_name = "YYYY-MM")]
        month: Option<String>,
        /// Check this one instead; needs no running brine if --key is given.
        #[arg(long, value_name = "FILE", conflicts_with = "site")]
        check: Option<PathBuf>,
        /// The public key that you know brine by (`brine retention key`, asked once and filed).
        #[arg(long, value_name = "KEY", requires = "check")]
        key: Option<String>,
    },
    /// Print the public key that certificates are checked with.
    Key,
}

pub(super) fn run(args: &RetentionArgs, environment: &Environment) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let ask = |body: Value| -> anyhow::Result<Value> {
        let brine = args.running.find(environment)?;
        runtime.block_on(brine.ask(PATH, &body))
    };
    let (answer, text, code) = match &args.action {
        Action::Plan { days } => {
            let answer = ask(json!({ "action": "plan", "days": days }))?;
            let text = planned(&answer);
            (answer, text, ExitCode::SUCCESS)
        }
        Action::Run { dry_run: true } => {
            let answer = ask(json!({ "action": "plan", "days": 0 }))?;
            let text = planned(&answer) + "Nothing was changed.\n";
            (answer, text, ExitCode::SUCCESS)
        }
        Action::Run { dry_run: false } => {
            let answer = runtime.block_on(run_with_progress(&args.running.find(environment)?))?;
            let text = format!(
                "{} rows went in {} purges; {} days were counted anew.\n{}",
                answer["rows"],
                answer["purges"],
                answer["days_counted"],
                checked(&answer)
            );
            let code = code(&answer);
            (answer, text, code)
        }
        Action::Verify => {
            let answer = ask(json!({ "action": "verify" }))?;
            let (text, code) = (checked(&answer), code(&answer));
            (answer, text, code)
        }
        Action::History { site, limit } => {
            let answer = ask(json!({ "action": "history", "site": site, "limit": limit }))?;
            let text = history(&answer);
            (answer, text, ExitCode::SUCCESS)
        }
        Action::Certificate {
            check: Some(file),
            key,
            ..
        } => {
            let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
            let key = match key {
                Some(key) => key.clone(),
                None => {
                    let answer = ask(json!({ "action": "key" }))
                        .context("give the public key with --key, or name the running brine")?;
                    answer["public_key"].as_str().unwrap_or_default().to_owned()
                }
            };
            certificate::check(&text, &key)?;
            let said =
                "The certificate holds: signed by this key, and unchanged since.\n".to_owned();
            (json!({ "holds": true }), said, ExitCode::SUCCESS)
        }
        Action::Certificate { site, month, .. } => {
            let body = json!({ "action": "certificate", "site": site, "month": month });
            let answer = ask(body)?;
            let text = answer["certificate"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            (answer, text, ExitCode::SUCCESS)
        }
        Action::Key => {
            let answer = ask(json!({ "action": "key" }))?;
            let text = format!("{}\n", answer["public_key"].as_str().unwrap_or_default());
            (answer, text, ExitCode::SUCCESS)
        }
    };
    let mut out = io::stdout().lock();
    match args.json {
        true => writeln!(out, "{answer:#}")?,
        false => out.write_all(text.as_bytes())?,
    }
    out.flush()?;
    Ok(code)
}

/// Runs the job, with a bar where somebody looks.
async fn run_with_progress(brine: &Listener) -> anyhow::Result<Value> {
    let body = json!({ "action": "run" });
    let run = brine.ask(PATH, &body);
    tokio::pin!(run);
    let is_watched = io::stderr().is_terminal();
    loop {
        tokio::select! {
            answer = &mut run => {
                if is_watched {
                    eprint!("\r\x1b[K");
                }
                return answer;
            }
            () = tokio::time::sleep(Duration::from_millis(250)), if is_watched => {
                // A status that cannot be had is no reason to stop.
                if let Ok(status) = brine.ask(PATH, &json!({ "action": "status" })).await {
                    eprint!("\r\x1b[K{}", bar(&status));
                }
            }
        }
    }
}

fn bar(status: &Value) -> String {
    let number = |key: &str| status[key].as_u64().unwrap_or(0);
    let (done, of) = (number("done"), number("of").max(1));
    let filled = (done.min(of) * 30 / of) as usize;
    format!(
        "[{}{}] {done}/{of} {}",
        "#".repeat(filled),
        " ".repeat(30 - filled),
        status["what"].as_str().unwrap_or_default()
    )
}

fn code(answer: &Value) -> ExitCode {
    match answer["findings"].as_array() {
        Some(findings) if findings.is_empty() => ExitCode::SUCCESS,
        Some(_) => ExitCode::from(3),
        None => ExitCode::FAILURE,
    }
}

fn texts<'a>(answer: &'a Value, key: &str) -> impl Iterator<Item = &'a str> {
    let list = answer[key].as_array().map_or(&[][..], Vec::as_slice);
    list.iter().filter_map(Value::as_str)
}

fn checked(answer: &Value) -> String {
    let mut text = String::new();
    for finding in texts(answer, "findings") {
        writeln!(text, "STILL THERE  {finding}").unwrap_or_default();
    }
    if texts(answer, "findings").next().is_none() {
        text.push_str("Nothing expired is on the disk.\n");
    }
    for note in texts(answer, "notes") {
        writeln!(text, "{note}").unwrap_or_default();
    }
    for site in texts(answer, "held").filter(|_| answer["notes"].is_null()) {
        writeln!(text, "{site}: under legal hold, nothing of it is purged").unwrap_or_default();
    }
    text + &removed(answer)
}

fn removed(answer: &Value) -> String {
    let removed = answer["removed"].as_array().map_or(&[][..], Vec::as_slice);
    let line = |one: &Value| {
        format!(
            "{} is not in the configuration any more: all its data goes on {}\n",
            one["site"].as_str().unwrap_or("?"),
            one["due"].as_str().unwrap_or("?")
        )
    };
    removed.iter().map(line).collect()
}

fn planned(answer: &Value) -> String {
    let mut text = String::new();
    let of = |key: &str| answer[key].as_array().map_or(&[][..], Vec::as_slice);
    let word = |due: &Value, key: &str| due[key].as_str().unwrap_or("?").to_owned();
    for (key, head) in [("now", "now"), ("soon", "")] {
        for due in of(key) {
            let when = if head.is_empty() {
                format!("from {}", word(due, "due"))
            } else {
                head.to_owned()
            };
            let site = match word(due, "site") {
                site if site.is_empty() => "-".to_owned(),
                site => site,
            };
            writeln!(
                text,
                "{when:<15} {site:<16} {:<13} {:<10} {:>12} rows {:>14} bytes  of {} to {}",
                word(due, "table"),
                word(due, "rule"),
                due["rows"],
                due["bytes"],
                word(due, "first_day"),
                word(due, "last_day"),
            )
            .unwrap_or_default();
        }
    }
    if of("now").is_empty() {
        text.push_str("Nothing is due now.\n");
    }
    for site in texts(answer, "held") {
        writeln!(text, "{site}: under legal hold, nothing of it is purged").unwrap_or_default();
    }
    text + &removed(answer)
}

fn history(answer: &Value) -> String {
    let mut text = String::new();
    let of = |key: &str| answer[key].as_array().map_or(&[][..], Vec::as_slice);
    let word = |row: &Value, key: &str| row[key].as_str().unwrap_or("?").to_owned();
    for run in of("runs") {
        let n = run["findings"].as_array().map_or(0, Vec::len);
        let check = match n {
            0 => "nothing left".to_owned(),
            n => format!("{n} FINDINGS"),
        };
        writeln!(
            text,
            "{}  run by {:<8}  {:>12} rows  {:>4} purges  {check}",
            word(run, "began"),
            word(run, "started_by"),
            run["rows"],
            run["purges"]
        )
        .unwrap_or_default();
        for finding in texts(run, "findings") {
            writeln!(text, "    {finding}").unwrap_or_default();
        }
    }
    for purge in of("purges") {
        writeln!(
            text,
            "{}  {:<16} {:<13} {:<10} {:>12} rows {:>14} bytes  of {} to {}",
            word(purge, "ts"),
            word(purge, "site"),
            word(purge, "table"),
            word(purge, "rule"),
            purge["rows"],
            purge["bytes"],
            word(purge, "first_day"),
            word(purge, "last_day"),
        )
        .unwrap_or_default();
    }
    if text.is_empty() {
        text.push_str("No run yet.\n");
    }
    text
}
