//! Arguments, environment, log, exit code; everything else is in the library.

use std::io::{self, IsTerminal};
use std::process::ExitCode;

use brine::cli::{self, Cli};
use brine::config::settings::Environment;
use clap::Parser;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let cli = Cli::parse();
    // The one place that reads the environment; names that are not text cannot be ours.
    let environment: Environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    log(&environment);
    match cli::run(cli, &environment) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("brine: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Text for people, JSON for machines; never an address, a user agent, an id or a body.
fn log(environment: &Environment) {
    let filter = environment
        .get("BRINE_LOG")
        .map_or("info,hyper=warn", String::as_str);
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr);
    if io::stderr().is_terminal() {
        log.compact().init();
    } else {
        log.json().init();
    }
}
