//! `brine engine` and `brine engine fetch`.
//!
//! In: arguments. Out: an exit code. Nothing else: what they do is in [`super::child`] and
//! [`super::fetch`].

use std::{ffi::OsString, io::IsTerminal, net::SocketAddr, path::PathBuf, process::ExitCode};

use clap::{Args, Subcommand};
use tracing_subscriber::EnvFilter;

use super::{
    child::{self, ChildSettings},
    config::Limits,
    fetch,
};

/// Arguments of `brine engine`.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct EngineArgs {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    run: RunArgs,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// Get the engine library: once, checked against a pinned hash
    Fetch(FetchArgs),
}

#[derive(Args, Debug)]
struct FetchArgs {
    /// Directory for downloads [default: $XDG_CACHE_HOME or ~/.cache]
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
}

#[derive(Args, Debug)]
struct RunArgs {
    /// Data directory; made if missing
    #[arg(long, value_name = "DIR", required = true)]
    data: Option<PathBuf>,
    /// Unix socket to listen on [default: DIR/run/engine.sock]
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// TCP address to listen on as well; loopback only
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// The engine library [default: where `brine engine fetch` puts it]
    #[arg(long, value_name = "PATH", env = "BRINE_ENGINE_LIB")]
    lib: Option<PathBuf>,
    /// Memory of all statements and caches, in bytes
    #[arg(long, value_name = "N", default_value_t = Limits::default().memory_bytes)]
    memory_bytes: u64,
    /// Memory of one statement, in bytes
    #[arg(long, value_name = "N", default_value_t = Limits::default().query_memory_bytes)]
    query_memory_bytes: u64,
    /// Threads of one statement
    #[arg(long, value_name = "N", default_value_t = Limits::default().query_threads)]
    query_threads: u32,
    /// Statements at once
    #[arg(long, value_name = "N", default_value_t = Limits::default().queries)]
    queries: usize,
    /// Connections at once
    #[arg(long, value_name = "N", default_value_t = Limits::default().connections)]
    connections: usize,
    /// Seconds a statement may run, 0 for no limit
    #[arg(long, value_name = "N", default_value_t = Limits::default().query_seconds)]
    query_seconds: u32,
    /// End when standard input does, and log for a parent
    #[arg(long, hide = true)]
    supervised: bool,
}

/// Runs the command. Must be called before any thread is started, a runtime's included (see
/// [`child::run`]).
///
/// # Errors
/// What keeps the engine from running, for one line on standard error.
pub fn run(args: EngineArgs) -> anyhow::Result<ExitCode> {
    match args.action {
        Some(Action::Fetch(args)) => {
            let cache = args
                .cache
                .map_or_else(|| fetch::cache_dir(&environment), Ok)?;
            let library = fetch::fetch(&cache)?;
            println!("{}", library.display());
            Ok(ExitCode::SUCCESS)
        }
        None => run_child(args.run),
    }
}

fn run_child(args: RunArgs) -> anyhow::Result<ExitCode> {
    log_to_stderr(args.supervised);
    let settings = ChildSettings {
        // clap has made sure that it is given.
        data: args.data.unwrap_or_default(),
        socket: args.socket,
        listen: args.listen,
        library: args
            .lib
            .map_or_else(|| fetch::library_path(&environment), Ok)?,
        limits: Limits {
            memory_bytes: args.memory_bytes,
            query_memory_bytes: args.query_memory_bytes,
            query_threads: args.query_threads,
            queries: args.queries,
            connections: args.connections,
            query_seconds: args.query_seconds,
        },
        supervised: args.supervised,
    };
    let Err(error) = child::run(&settings);
    if settings.supervised {
        // The parent tells the operator; what is on standard error does not get that far.
        println!("{} {error}", child::FAILED);
    }
    Err(error.into())
}

/// A parent reads JSON; people read text. A subscriber that is installed already stays.
fn log_to_stderr(supervised: bool) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    // An error means that there is a subscriber, which is as good.
    drop(if supervised {
        builder.json().try_init()
    } else {
        builder.try_init()
    });
}

fn environment(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}
