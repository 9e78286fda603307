//! The command line: what brine can be told to do.

mod access;
mod collectors;
mod config;
mod os_user;
mod policy;
mod quarantine;
mod query;
mod report;
mod retention;
mod rights;
mod running;
mod salts;
mod serve;
mod sql;
mod tracker;
mod typed;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use zeroize::Zeroizing;

use crate::access::gate::operator_bearer;
use crate::config::settings::Environment;
use crate::demo::traffic::MOST_DAYS;
use crate::engine;

/// Privacy-first traffic measurement: consenting visitors only, exactly once.
#[derive(Debug, Parser)]
#[command(name = "brine", version, about, after_help = EXAMPLES)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  brine demo                                   try it: a demo site, the engine, everything on loopback
  brine demo --fresh --days 30                 the same with a month of made-up visits to look at
  brine config init > brine.toml               a configuration to start from, every key explained
  brine serve --config brine.toml              the real thing
  brine users add anna --role admin --config brine.toml   let somebody in
  brine tracker --config brine.toml            the scripts, and the line to paste
  brine policy diff brine.toml planned.toml     what a change of the configuration means for consents
  brine sql \"SELECT count() FROM events\"       read-only SQL, beside a running brine
  brine query portal --metrics visitors,pageviews --dimensions event:page --from 2026-11-01 --to 2026-11-30";

#[derive(Debug, Subcommand)]
enum Command {
    /// Try it: a demo site on loopback, with the embedded engine.
    Demo(DemoArgs),
    /// Collect, store, answer.
    Serve(ServeArgs),
    /// Run a read-only SQL query beside a running brine.
    Sql(SqlArgs),
    /// Count visitors, visits and events of a site.
    Query(query::QueryArgs),
    /// Write the last day, week or month of a site as a report to send by e-mail.
    Report(report::ReportArgs),
    /// List the scripts and print what to paste into a site's pages.
    Tracker(tracker::TrackerArgs),
    /// Do what a visitor asked for by mail: find, export, restrict or erase their events.
    Rights(rights::RightsArgs),
    /// Look after the salts of a running brine; make or pass on the seed of many collectors.
    Salts(salts::SaltsArgs),
    /// Who may look: people, with roles and passwords.
    Users(access::UsersArgs),
    /// Who may look: programs, with API keys by site and scope.
    Keys(access::KeysArgs),
    /// Who may look: whoever has a read-only link, until it expires.
    Links(access::LinksArgs),
    /// Make a key by which a server may report for a site's visitors, and its hash for the configuration.
    SiteKey,
    /// Who stores in a ClickHouse that several collectors share.
    Collectors(collectors::CollectorsArgs),
    /// Look at what was set aside on its way to ClickHouse; put it back, or delete it.
    Quarantine(quarantine::QuarantineArgs),
    /// Purge what has had its time, and prove it.
    Retention(retention::RetentionArgs),
    /// Check, show or start a configuration.
    Config(ConfigArgs),
    /// The public policy: what it says, its versions, what a change means for consents, the record of processing.
    Policy(policy::PolicyArgs),
    /// The embedded ClickHouse engine (brine serve starts it by itself).
    Engine(engine::cli::EngineArgs),
}

/// `brine demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Where the demo keeps its files.
    #[arg(long, default_value = "./brine-data", value_name = "DIR")]
    data: PathBuf,
    /// Public listener: the demo site and the beacons.
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDR:PORT")]
    listen: SocketAddr,
    /// Admin listener: metrics and queries.
    #[arg(long, default_value = "127.0.0.1:8081", value_name = "ADDR:PORT")]
    admin: SocketAddr,
    /// Delete an earlier demo's files first.
    #[arg(long)]
    fresh: bool,
    /// Begin with so many days of made-up visits to all six sites; a few seconds for a month.
    #[arg(long, default_value_t = 0, value_name = "N", value_parser = clap::value_parser!(u16).range(0..=i64::from(MOST_DAYS)))]
    days: u16,
    /// Another seed makes other visits up; the same one the same.
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// Make up so many times the visits (0.01 to 100).
    #[arg(long, default_value_t = 1.0, value_name = "FACTOR", value_parser = scale)]
    scale: f64,
}

fn scale(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(factor) if (0.01..=100.0).contains(&factor) => Ok(factor),
        _ => Err("must be a number from 0.01 to 100".into()),
    }
}

/// `brine serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Configuration file.
    #[arg(long, env = "BRINE_CONFIG", value_name = "FILE")]
    config: PathBuf,
}

/// Which brine's data a command is about.
#[derive(Debug, Args)]
pub struct DataArgs {
    /// Its data directory.
    #[arg(long, value_name = "DIR", conflicts_with = "config")]
    data: Option<PathBuf>,
    /// Its configuration file.
    #[arg(long, env = "BRINE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
}

/// `brine sql`.
#[derive(Debug, Args)]
pub struct SqlArgs {
    /// One statement; it cannot change anything.
    sql: String,
    #[command(flatten)]
    data: DataArgs,
    /// ClickHouse output format: PrettyCompact, TSV, CSV, JSON, JSONEachRow, ...
    #[arg(long, default_value = "PrettyCompact")]
    format: String,
}

/// `brine config`.
#[derive(Debug, Args)]
pub struct ConfigArgs {
    #[command(subcommand)]
    action: ConfigAction,
}

#[derive(Debug, Subcommand)]
enum ConfigAction {
    /// Check a file and the environment; name every fault.
    Check(ServeArgs),
    /// Print what is in effect, file, environment and defaults together.
    Show(ServeArgs),
    /// Print the reference configuration.
    Init,
}

/// Returns what opens the admin listener of the brine whose data directory this is.
fn bearer_of_operator(data: &Path) -> anyhow::Result<Zeroizing<String>> {
    operator_bearer(data).with_context(|| {
        format!(
            "{} has no key for the admin listener; name the data directory with --data or the file with --config",
            data.display()
        )
    })
}

/// Does what the command line says.
///
/// # Errors
/// Anything that kept it from that, with the chain of causes.
pub fn run(cli: Cli, environment: &Environment) -> anyhow::Result<ExitCode> {
    match cli.command {
        Command::Demo(args) => serve::demo(&args, environment),
        Command::Serve(args) => serve::serve(&args, environment),
        Command::Sql(args) => sql::run(&args, environment),
        Command::Query(args) => query::run(&args, environment),
        Command::Report(args) => report::run(&args, environment),
        Command::Tracker(args) => tracker::run(&args, environment),
        Command::Rights(args) => rights::run(&args, environment),
        Command::Salts(args) => salts::run(&args, environment),
        Command::Users(args) => access::users(&args, environment),
        Command::Keys(args) => access::keys(&args, environment),
        Command::Links(args) => access::links(&args, environment),
        Command::SiteKey => config::site_key(),
        Command::Collectors(args) => collectors::run(&args, environment),
        Command::Quarantine(args) => quarantine::run(&args, environment),
        Command::Retention(args) => retention::run(&args, environment),
        Command::Config(args) => config::run(&args.action, environment),
        Command::Policy(args) => policy::run(&args, environment),
        Command::Engine(args) => engine::cli::run(args),
    }
}
