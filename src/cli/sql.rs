//! `brine sql`: one read-only statement, beside a running brine or alone.

use std::io::{self, Write};
use std::process::ExitCode;

use super::{DataArgs, SqlArgs};
use crate::config::settings::Environment;
use crate::config::{Place, load};
use crate::engine;

pub(super) fn run(args: &SqlArgs, environment: &Environment) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let source = source(&args.data, environment)?;
        let mut answer = engine::connect::read_only(&source, &args.sql, &args.format).await?;
        let mut out = io::stdout().lock();
        while let Some(chunk) = answer.next().await? {
            out.write_all(&chunk)?;
        }
        out.flush()?;
        Ok(ExitCode::SUCCESS)
    })
}

/// Where a command finds ClickHouse.
pub(super) fn source(args: &DataArgs, environment: &Environment) -> anyhow::Result<engine::connect::Source> {
    if let Some(path) = &args.config {
        let (_, config) = load::from_file(path, environment)?;
        return Ok(match config.store.place {
            Place::Embedded { .. } => {
                engine::connect::Source::embedded(&config.directory, &config.store.database)
            }
            Place::Server { url, user, password_file } => {
                let password = password_file.map(std::fs::read_to_string).transpose()?.unwrap_or_default();
                engine::connect::Source::server(&url, &user, password.trim_end(), &config.store.database)
            }
        });
    }
    let data = args.data.clone().unwrap_or_else(|| "./brine-data".into());
    anyhow::ensure!(data.exists(), "{} does not exist; name the data directory with --data", data.display());
    Ok(engine::connect::Source::embedded(&data, "brine"))
}
