//! `brine salts`: look after the salts of a running brine, and the seed that many collectors share.
//!
//! Comes in: an action. Goes out: how the salts are, or what was done. `status`, `rotate` and `destroy` ask the admin
//! listener, since a salt stands in the running brine's memory as well as in its file; `destroy --stopped` works on the
//! files of a brine that does not run, under its lock. `seed` and `export` write what a collector is started with; a
//! seed goes to a file of the owner's alone, never to a terminal or through the admin listener.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, ensure};
use clap::{Args, Subcommand};
use jiff::civil::Date;
use serde_json::{Value, json};

use super::running::Running;
use crate::clock;
use crate::config::settings::Environment;
use crate::config::{Config, load};
use crate::run::lock_directory;
use crate::salts::chain::{self, Link, Seed};
use crate::salts::period::{day_number, local_day};
use crate::salts::{Keeper, Keeping, wrap};
use crate::secret::{Secret, write_private};

/// A new seed's chain starts so many days back: the weeks and months that have begun are in it, so that collectors
/// agree at once whatever their rotation.
const DAYS_BACK: u16 = 31;

/// `brine salts`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct SaltsArgs {
    #[command(subcommand)]
    action: Action,
}

const EXAMPLES: &str = "\
Examples:
  brine salts status --config brine.toml
  brine salts rotate --site portal --config brine.toml   after a leak: from now on another salt
  brine salts destroy --config brine.toml                 and nothing of before can be linked any more
  brine salts destroy --stopped --config brine.toml       a collector that is taken out of service
  brine salts seed /run/brine/salts.seed                  for the seed_file of each of several collectors
  brine salts export state.seed --config brine.toml       for a collector that joins them";

#[derive(Debug, Subcommand)]
enum Action {
    /// Say which salts live, and until when.
    Status(Running),
    /// Replace the present salt at once; who is here now is counted anew.
    Rotate(Which),
    /// Destroy all living salts at once, those of the grace included.
    Destroy {
        #[command(flatten)]
        which: Which,
        /// brine does not run: destroy its files, the chain's state included.
        #[arg(long)]
        stopped: bool,
    },
    /// Write a new seed for several collectors.
    Seed {
        /// The file to write, for you alone (0600); it must not exist.
        file: PathBuf,
        /// First date of the new chain; a date to come replaces the running chain on that day. Default: 31 days ago.
        #[arg(long, value_name = "DATE")]
        from: Option<Date>,
    },
    /// Write this collector's state of the chain, for another one to join with.
    Export {
        /// The file to write, for you alone (0600); it must not exist.
        file: PathBuf,
        /// The configuration file of the collector here.
        #[arg(long, env = "BRINE_CONFIG", value_name = "FILE")]
        config: PathBuf,
    },
}

#[derive(Debug, Args)]
struct Which {
    /// The site's id or domain; without it all sites.
    #[arg(long, value_name = "SITE")]
    site: Option<String>,
    #[command(flatten)]
    running: Running,
}

pub(super) fn run(args: &SaltsArgs, environment: &Environment) -> anyhow::Result<ExitCode> {
    let text = match &args.action {
        Action::Status(place) => {
            let answer = ask(place, &json!({ "action": "status" }), environment)?;
            shown(&answer)
        }
        Action::Rotate(which) => order(which, "rotate", environment)?,
        Action::Destroy { which, stopped } if *stopped => destroy_stopped(which, environment)?,
        Action::Destroy { which, .. } => order(which, "destroy", environment)?,
        Action::Seed { file, from } => {
            let today = local_day(
                clock::of_environment(environment).now(),
                &jiff::tz::TimeZone::UTC,
            );
            let seed = Seed {
                day: from.map_or(today.saturating_sub(DAYS_BACK), day_number),
                link: Link::of(Secret::random()),
            };
            written(file, &seed)?
        }
        Action::Export { file, config } => {
            let config = load::from_file(config, environment)?.1;
            ensure!(
                config.salts.seed_file.is_some(),
                "salts.chain is false: there is nothing to share"
            );
            let key = key(&config, environment)?;
            written(file, &chain::export(&config.salts.directory, key)?)?
        }
    };
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn key(config: &Config, environment: &Environment) -> anyhow::Result<Option<Secret>> {
    match &config.salts.key {
        Some(place) => Ok(Some(wrap::load(place, environment)?)),
        None => Ok(None),
    }
}

fn written(file: &Path, seed: &Seed) -> anyhow::Result<String> {
    ensure!(!file.exists(), "{} exists already", file.display());
    write_private(file, seed.text().as_bytes()).with_context(|| file.display().to_string())?;
    Ok(format!(
        "{}: a chain from {} on. Whoever has it can compute every salt since: copy it to each collector's \
         salts.seed_file, which is destroyed once taken over, and destroy every other copy.\n",
        file.display(),
        crate::salts::period::date_of(seed.day)
    ))
}

fn destroy_stopped(which: &Which, environment: &Environment) -> anyhow::Result<String> {
    ensure!(
        which.site.is_none(),
        "--stopped destroys the salts of all sites"
    );
    let path = which.running.config();
    let config = load::from_file(path.context("--stopped needs --config")?, environment)?.1;
    let _lock = lock_directory(&config.directory)?;
    let keeping = Keeping {
        key: key(&config, environment)?,
        seed_file: None,
    };
    let keeper = Keeper::open(&config.salts.directory, keeping)?;
    let records = keeper.destroy_all(clock::of_environment(environment).now())?;
    let mut text = String::new();
    for record in &records {
        let date = crate::salts::period::date_of(record.period);
        writeln!(text, "{}  {date}  destroyed: {}", record.site, record.how)?;
    }
    writeln!(
        text,
        "{} salts and every state of a chain are destroyed. No brine runs to record it: keep this.",
        records.len()
    )?;
    Ok(text)
}

fn order(which: &Which, action: &str, environment: &Environment) -> anyhow::Result<String> {
    let body = json!({ "action": action, "site": which.site });
    let answer = ask(&which.running, &body, environment)?;
    Ok(format!(
        "{} destroyed, {} made.\n{}",
        answer["destroyed"],
        answer["created"],
        shown(&answer)
    ))
}

fn ask(brine: &Running, body: &Value, environment: &Environment) -> anyhow::Result<Value> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let brine = brine.find(environment)?;
    runtime.block_on(brine.ask("/api/v1/salts", body))
}

fn shown(answer: &Value) -> String {
    let mut text = String::new();
    let word = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    for salt in answer["salts"].as_array().into_iter().flatten() {
        let line = format!(
            "{:<12} {}  {:<8}  {:<6}  destroyed at {}",
            word(&salt["site"]),
            word(&salt["period"]),
            word(&salt["state"]),
            word(&salt["origin"]),
            word(&salt["destroyed_at"])
        );
        text.push_str(&line);
        text.push('\n');
    }
    text.push_str(match answer["is_sealed"].as_bool() {
        Some(true) => "Files are sealed with your key.\n",
        _ => "Files are not sealed (salts.key_file and its kin).\n",
    });
    match answer["unlocked"].as_u64() {
        Some(0) => text.push_str("All secrets are locked in memory.\n"),
        n => text.push_str(&format!(
            "{} secrets could not be locked in memory.\n",
            n.unwrap_or(0)
        )),
    }
    let chain = &answer["chain"];
    if chain.is_object() {
        text.push_str(&match chain["from"].as_str() {
            Some(date) => format!("The chain leads from {date} on.\n"),
            None => "There is no chain: give this collector a seed.\n".to_owned(),
        });
        for date in chain["reseeded"].as_array().into_iter().flatten() {
            text.push_str(&format!("A new seed takes over on {}.\n", word(date)));
        }
    }
    text
}
