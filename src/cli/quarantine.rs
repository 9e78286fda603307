//! `brine quarantine`: what was set aside on its way to ClickHouse, put back or deleted by the running brine.
//!
//! Comes in: an action. Goes out: the files with their reasons, or what was done. It asks the admin listener: the running
//! brine alone may move files in its spool, and knows whether an erasure is under way.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::running::Running;
use crate::config::settings::Environment;

/// `brine quarantine`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct QuarantineArgs {
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
  brine quarantine list --config brine.toml        what lies there, and why
  brine quarantine replay --config brine.toml      after the cause is mended: all of it on its way to ClickHouse again
  brine quarantine drop FILE --config brine.toml   for good";

#[derive(Debug, Subcommand)]
enum Action {
    /// List the files, and why each is there.
    List,
    /// Send all records that are sound to ClickHouse again, each once. What it refuses again comes back here.
    Replay,
    /// Delete a file for good.
    Drop {
        /// Its name, as listed.
        file: String,
    },
}

pub(super) fn run(args: &QuarantineArgs, environment: &Environment) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let brine = args.running.find(environment)?;
    let body = match &args.action {
        Action::List => json!({ "action": "list" }),
        Action::Replay => json!({ "action": "replay" }),
        Action::Drop { file } => json!({ "action": "drop", "file": file }),
    };
    let answer = runtime.block_on(brine.ask("/api/v1/quarantine", &body))?;
    let text = match args.action {
        _ if args.json => format!("{answer:#}\n"),
        Action::List => listed(&answer),
        Action::Replay => replayed(&answer),
        Action::Drop { .. } => "Deleted.\n".to_owned(),
    };
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn listed(answer: &Value) -> String {
    let files = answer["files"].as_array().map_or(&[][..], Vec::as_slice);
    if files.is_empty() {
        return "Nothing is set aside.\n".to_owned();
    }
    let mut text = String::new();
    for file in files {
        let word = |key: &str| file[key].as_str().unwrap_or("-").to_owned();
        let note = match file["can_be_replayed"].as_bool() {
            Some(true) => "",
            _ => "  (damaged: cannot be replayed)",
        };
        writeln!(
            text,
            "{}  {} bytes, of {}{note}",
            word("file"),
            file["bytes"],
            word("since")
        )
        .unwrap_or_default();
        for line in word("reason").lines() {
            writeln!(text, "    {line}").unwrap_or_default();
        }
    }
    text
}

fn replayed(answer: &Value) -> String {
    let mut text = format!(
        "{} records of {} files are on their way to ClickHouse again.\n",
        answer["records"], answer["files"]
    );
    if answer["damaged"] != 0 {
        writeln!(text, "{} are damaged; their bytes stay.", answer["damaged"]).unwrap_or_default();
    }
    text
}
