//! `brine rights`: what a visitor asked for by mail, done by the running brine.
//!
//! Comes in: what the visitor sent, receipts and perhaps the consent token, in any text. Goes out: what was found or
//! done. It asks the admin listener, so that spool, quarantine and ClickHouse are all reached, as by `/my-data`;
//! `requests` gets the same rows, with `operator` as channel. Whoever sends receipts has the key; check that you
//! answer to the address they came from.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use clap::{Args, ValueEnum};
use hyper::StatusCode;
use serde_json::{Value, json};

use super::running::{Listener, Running};
use crate::config::settings::Environment;
use crate::consent::token::TOKEN_CHARS;
use crate::rights::receipt::RECEIPT_CHARS;

/// How long an erasure may take here; it goes on without us.
const PATIENCE: Duration = Duration::from_secs(300);

/// `brine rights`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct RightsArgs {
    /// What the visitor asked for.
    #[arg(value_enum)]
    action: Action,
    /// The site's id or domain.
    #[arg(long, value_name = "SITE")]
    site: String,
    /// A receipt; may be given again.
    #[arg(long = "receipt", value_name = "RECEIPT")]
    receipts: Vec<String>,
    /// The consent token.
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,
    /// A file with receipts and token in it, in any form; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// The visitor's id, where the sender names its own (`vid`). Make sure first that it is theirs.
    #[arg(long, value_name = "ID")]
    vid: Option<String>,
    #[command(flatten)]
    running: Running,
}

const EXAMPLES: &str = "\
Examples:
  brine rights find --site portal --file my-receipts.txt
  brine rights export --site portal --file mail.txt > answer.json
  brine rights erase --site portal --receipt AQ... --receipt AQ...

Arguments are visible to other users of this machine while the command runs; prefer --file.";

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum Action {
    /// Say what is stored, by day.
    Find,
    /// Print all of it as JSON.
    Export,
    /// Keep it, but count it no more.
    Restrict,
    /// Count it again.
    Unrestrict,
    /// Delete it, and check that.
    Erase,
}

pub(super) fn run(args: &RightsArgs, environment: &Environment) -> anyhow::Result<ExitCode> {
    let body = request(args)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let brine = args.running.find(environment)?;
    let answer = runtime.block_on(answer(&brine, body))?;
    let text = match args.action {
        Action::Export => format!("{answer:#}\n"),
        Action::Find => found(&answer),
        Action::Restrict | Action::Unrestrict | Action::Erase => done(&answer),
    };
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(match answer["done"].as_bool() {
        Some(true) => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

fn request(args: &RightsArgs) -> anyhow::Result<Value> {
    let (mut receipts, mut token) = (args.receipts.clone(), args.token.clone());
    if let Some(path) = &args.file {
        let text = read(path)?;
        for word in text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_')) {
            match word.len() {
                RECEIPT_CHARS => receipts.push(word.to_owned()),
                TOKEN_CHARS => token = Some(word.to_owned()),
                _ => {}
            }
        }
    }
    ensure!(
        !receipts.is_empty() || token.is_some() || args.vid.is_some(),
        "nothing to find anything by: give --receipt, --token, --file or --vid"
    );
    let action = match args.action {
        Action::Find | Action::Export => "see",
        Action::Restrict => "restrict",
        Action::Unrestrict => "unrestrict",
        Action::Erase => "erase",
    };
    Ok(json!({
        "site": args.site, "action": action, "token": token, "receipts": receipts, "vid": args.vid,
    }))
}

fn read(path: &Path) -> anyhow::Result<String> {
    if path == Path::new("-") {
        let mut text = String::new();
        if io::stdin().is_terminal() {
            eprintln!("Paste what the visitor sent, then end with Ctrl-D.");
        }
        io::stdin().read_to_string(&mut text)?;
        return Ok(text);
    }
    let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Asks, and asks again while an erasure is under way.
async fn answer(brine: &Listener, body: Value) -> anyhow::Result<Value> {
    let started = Instant::now();
    let (site, mut body) = (body["site"].clone(), body);
    loop {
        let (status, answer) = brine.post("/api/v1/rights", &body).await?;
        match status {
            StatusCode::OK => return Ok(answer),
            StatusCode::ACCEPTED if answer["action"] != "erase" => return Ok(answer),
            StatusCode::ACCEPTED if started.elapsed() > PATIENCE => return Ok(answer),
            StatusCode::ACCEPTED => {
                tokio::time::sleep(Duration::from_secs(1)).await;
                body = json!({ "site": site, "action": "status", "request": answer["request"] });
            }
            _ => {
                let text = |key: &str| answer[key].as_str().unwrap_or("?").to_owned();
                bail!("{} ({})", text("detail"), text("outcome"));
            }
        }
    }
}

fn found(answer: &Value) -> String {
    let mut text = String::new();
    let days = answer["days"].as_array().map_or(&[][..], Vec::as_slice);
    for day in days {
        let note = match day["restricted"].as_bool() {
            Some(true) => "  restricted",
            _ => "",
        };
        writeln!(
            text,
            "{}  {}  {:>6} events{note}",
            day["day"].as_str().unwrap_or("?"),
            day["site"].as_str().unwrap_or("?"),
            day["events"]
        )
        .unwrap_or_default();
    }
    let history = answer["consent"]["history"].as_array();
    for step in history.into_iter().flatten() {
        writeln!(
            text,
            "{}  consent: {}, policy {}, by {}",
            step["at"].as_str().unwrap_or("?"),
            step["choice"].as_str().unwrap_or("?"),
            step["policy"],
            step["source"].as_str().unwrap_or("?")
        )
        .unwrap_or_default();
    }
    writeln!(text, "{} events in all.", answer["rows"]).unwrap_or_default();
    text + &closing(answer)
}

fn done(answer: &Value) -> String {
    let note = |key: &str| answer[key].as_str().map(|text| format!("{text}\n"));
    let head = match answer["done"].as_bool() {
        Some(true) => format!(
            "{}: {} events.\n",
            answer["action"].as_str().unwrap_or("done"),
            answer["rows"]
        ),
        _ => "Not done yet.\n".to_owned(),
    };
    [
        head,
        note("verified").unwrap_or_default(),
        note("note").unwrap_or_default(),
        closing(answer),
    ]
    .concat()
}

/// What the visitor must be told besides.
fn closing(answer: &Value) -> String {
    let mut text = String::new();
    let refused = answer["receipts"]["refused"].as_array();
    for one in refused.into_iter().flatten() {
        let place = one["place"].as_u64().unwrap_or(0) + 1;
        let reason = one["reason"].as_str().unwrap_or("?");
        writeln!(text, "Receipt {place} opens nothing: {reason}.").unwrap_or_default();
    }
    if let Some(before) = answer["unlinkable"]["before"].as_str() {
        writeln!(
            text,
            "Events from before {before} can be found by their receipts alone; without one nobody can tell whose they were."
        )
        .unwrap_or_default();
    }
    text
}
