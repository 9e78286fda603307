//! `brine sql`: one read-only statement, beside a running brine.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;

use super::{DataArgs, SqlArgs};
use crate::config::settings::Environment;
use crate::config::{Config, Place, load};
use crate::engine::connect;
use crate::engine::home::{Key, default_socket};
use crate::run::engine_directory;

pub(super) fn run(args: &SqlArgs, environment: &Environment) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let client = client(&args.data, environment)?;
        // The client reads `?` as a placeholder.
        let query = client
            .query(&args.sql.replace('?', "??"))
            .with_setting("readonly", "1");
        let mut answer = query.fetch_bytes(&args.format)?;
        let mut out = io::stdout().lock();
        while let Some(chunk) = answer.next().await? {
            out.write_all(&chunk)?;
        }
        out.flush()?;
        Ok(ExitCode::SUCCESS)
    })
}

/// Finds the ClickHouse of a data directory or a configuration.
pub(super) fn client(
    args: &DataArgs,
    environment: &Environment,
) -> anyhow::Result<clickhouse::Client> {
    match &args.config {
        None => {
            let directory = args.data.clone().unwrap_or_else(|| "./brine-data".into());
            embedded(&directory, "brine")
        }
        Some(path) => client_of(&load::from_file(path, environment)?.1),
    }
}

/// Finds the ClickHouse of a configuration.
pub(super) fn client_of(config: &Config) -> anyhow::Result<clickhouse::Client> {
    let database = &config.store.database;
    match &config.store.place {
        Place::Embedded { .. } => embedded(&config.directory, database),
        Place::Server {
            url,
            user,
            password_file,
        } => {
            let mut client = clickhouse::Client::default()
                .with_url(url)
                .with_user(user)
                .with_database(database);
            if let Some(path) = password_file {
                let password = std::fs::read_to_string(path)
                    .with_context(|| format!("store.password_file {}", path.display()))?;
                client = client.with_password(password.trim_end());
            }
            Ok(client)
        }
    }
}

fn embedded(directory: &Path, database: &str) -> anyhow::Result<clickhouse::Client> {
    let engine = engine_directory(directory);
    anyhow::ensure!(
        engine.exists(),
        "{} holds no data of brine's; name the directory with --data or the file with --config",
        directory.display()
    );
    let key = Key::read(&engine)?;
    Ok(connect::client(&default_socket(&engine), &key).with_database(database))
}
