//! `brine collectors`: who stores in a ClickHouse that several share, and who is gone for good.
//!
//! Comes in: a configuration that names the ClickHouse. Goes out: the collectors that have entered themselves there, and
//! how many requests wait for each; or one of them taken out. It needs no running brine: the one in question is dead.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail, ensure};
use clap::{Args, Subcommand};

use super::sql;
use crate::config::load;
use crate::config::settings::Environment;
use crate::rights::rows::Rows;
use crate::store::Store;

/// `brine collectors`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct CollectorsArgs {
    #[command(subcommand)]
    action: Action,
    /// A configuration file with `store.url`.
    #[arg(long, global = true, env = "BRINE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  brine collectors list --config brine.toml
  brine collectors forget 9f1c6a0be2d74583 --config brine.toml   its disk is gone: erasures wait for it no longer";

#[derive(Debug, Subcommand)]
enum Action {
    /// List them, and how many requests wait for each.
    List,
    /// Take one out whose data directory is gone for good. Events in its spool would outlive erasures that no longer wait for it.
    Forget {
        /// As listed: 16 hexadecimal digits.
        #[arg(value_parser = incarnation)]
        collector: u64,
    },
}

fn incarnation(text: &str) -> Result<u64, String> {
    match u64::from_str_radix(text, 16) {
        Ok(number) if text.len() == 16 => Ok(number),
        _ => Err("16 hexadecimal digits, as brine collectors list prints them".into()),
    }
}

pub(super) fn run(args: &CollectorsArgs, environment: &Environment) -> anyhow::Result<ExitCode> {
    let path = args
        .config
        .as_ref()
        .context("name the configuration file with --config")?;
    let (_, config) = load::from_file(path, environment)?;
    ensure!(
        config.store.is_shared(),
        "{} names no store.url: an embedded engine has one collector, and nobody waits for it",
        path.display()
    );
    let rows = Rows::new(Store {
        client: sql::client_of(&config)?,
        database: config.store.database,
        timeout: config.store.timeout,
        engine: None,
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let known = rows.collectors().await?;
        match &args.action {
            Action::List if known.is_empty() => println!("No collector has entered itself here yet."),
            Action::List => {
                let mut text = String::new();
                let (id, host, started) = ("collector", "host", "last started, UTC");
                writeln!(text, "{id:16}  {host:24}  {started:19}  requests that wait for it")?;
                for one in &known {
                    let waiting = rows.calls(one.incarnation).await?.len();
                    let (id, host, started) = (one.incarnation, &one.host, &one.started);
                    writeln!(text, "{id:016x}  {host:24}  {started:19}  {waiting}")?;
                }
                print!("{text}");
            }
            Action::Forget { collector } => {
                let Some(one) = known.iter().find(|one| one.incarnation == *collector) else {
                    bail!("no collector {collector:016x} is known here; brine collectors list names those that are");
                };
                rows.forget(*collector).await?;
                println!(
                    "Forgotten: {one}. Nobody waits for it any more. If it starts again it enters itself anew, and brings \
                     what its spool holds, also what was erased meanwhile."
                );
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}
