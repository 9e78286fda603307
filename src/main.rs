//! Arguments, configuration, exit code.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the embedded engine, or fetch it
    Engine(brine::engine::cli::EngineArgs),
}

fn main() -> ExitCode {
    let Command::Engine(args) = Arguments::parse().command;
    match brine::engine::cli::run(args) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("brine: {error:#}");
            ExitCode::FAILURE
        }
    }
}
