//! The tables of `schema/`, applied at start, in order, once each.
//!
//! Files are added, never edited: what was applied is recorded in `schema_migrations` with its hash, and
//! a file that changed since is an error. ClickHouse has no transactional DDL, so every statement is
//! written to be safe to run twice (`IF NOT EXISTS`), and the record is written after the last one. Where SQL has no
//! words for that, a line `-- only if: SELECT …` stands before the statement: it runs where the answer is above 0.

use clickhouse::{Client, Row};
use serde::{Deserialize, Serialize};

use super::{StoreError, classify};

/// Name and text of each file in `schema/`.
pub const MIGRATIONS: &[(&str, &str)] = &[
    ("0001_events", include_str!("../../schema/0001_events.sql")),
    (
        "0002_consents",
        include_str!("../../schema/0002_consents.sql"),
    ),
    (
        "0003_salt_events",
        include_str!("../../schema/0003_salt_events.sql"),
    ),
    ("0004_rights", include_str!("../../schema/0004_rights.sql")),
    ("0005_purges", include_str!("../../schema/0005_purges.sql")),
    (
        "0006_derived",
        include_str!("../../schema/0006_derived.sql"),
    ),
    (
        "0008_salt_steps",
        include_str!("../../schema/0008_salt_steps.sql"),
    ),
    (
        "0009_dashboard",
        include_str!("../../schema/0009_dashboard.sql"),
    ),
    ("0010_access", include_str!("../../schema/0010_access.sql")),
    (
        "0011_rollups",
        include_str!("../../schema/0011_rollups.sql"),
    ),
    (
        "0012_breakdowns",
        include_str!("../../schema/0012_breakdowns.sql"),
    ),
    (
        "0013_funnels",
        include_str!("../../schema/0013_funnels.sql"),
    ),
];

/// Begins the line that says when the statement below it is due.
const ONLY_IF: &str = "-- only if: ";

#[derive(Row, Serialize, Deserialize)]
struct Applied {
    name: String,
    hash: String,
}

/// Applies what is missing and returns the names of what was applied.
///
/// # Errors
/// [`StoreError::Edited`] where an applied file has another text now; otherwise what ClickHouse said.
pub async fn migrate(client: &Client, database: &str) -> Result<Vec<&'static str>, StoreError> {
    let bare = client.clone().with_database("");
    run(
        &bare,
        &format!("CREATE DATABASE IF NOT EXISTS `{database}`"),
    )
    .await?;
    run(
        client,
        "CREATE TABLE IF NOT EXISTS schema_migrations (\
             name String COMMENT 'File in schema/.', \
             hash String COMMENT 'BLAKE3 of its text.', \
             applied DateTime DEFAULT now() COMMENT 'When, UTC.'\
         ) ENGINE = MergeTree ORDER BY name \
         SETTINGS fsync_after_insert = 1, fsync_part_directory = 1",
    )
    .await?;
    let applied: Vec<Applied> = client
        .query("SELECT DISTINCT name, hash FROM schema_migrations ORDER BY name")
        .fetch_all()
        .await
        .map_err(StoreError::from_client)?;
    let mut done = Vec::new();
    for &(name, text) in MIGRATIONS {
        let hash = blake3::hash(text.as_bytes()).to_hex().to_string();
        match applied.iter().find(|a| a.name == name) {
            Some(before) if before.hash == hash => continue,
            Some(_) => return Err(StoreError::Edited { name }),
            None => {}
        }
        for statement in statements(text) {
            if is_due(client, statement).await? {
                run(client, statement).await?;
            }
        }
        let mut insert = client
            .insert::<Applied>("schema_migrations")
            .await
            .map_err(StoreError::from_client)?
            .with_setting("async_insert", "0");
        let row = Applied {
            name: name.to_owned(),
            hash,
        };
        insert.write(&row).await.map_err(StoreError::from_client)?;
        insert.end().await.map_err(StoreError::from_client)?;
        done.push(name);
    }
    Ok(done)
}

/// Asks what stands before the statement as its condition.
async fn is_due(client: &Client, statement: &str) -> Result<bool, StoreError> {
    let condition = statement
        .lines()
        .find_map(|line| line.strip_prefix(ONLY_IF));
    let Some(condition) = condition else {
        return Ok(true);
    };
    let n: u64 = client
        .query(condition)
        .fetch_one()
        .await
        .map_err(StoreError::from_client)?;
    Ok(n > 0)
}

async fn run(client: &Client, statement: &str) -> Result<(), StoreError> {
    // The crate reads `?` as a placeholder.
    let escaped = statement.replace('?', "??");
    client
        .query(&escaped)
        .execute()
        .await
        .map_err(StoreError::from_client)
}

/// Splits at semicolons that end a line; comments in `schema/` hold none there.
fn statements(text: &str) -> impl Iterator<Item = &str> {
    text.split(";\n").map(str::trim).filter(|statement| {
        statement
            .lines()
            .any(|line| !line.trim_start().starts_with("--") && !line.trim().is_empty())
    })
}

/// Tells whether `error` means that the schema is not there (yet).
pub fn is_missing_schema(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::ClickHouse {
            class: classify::Class::Rights,
            ..
        }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_schema_folder_is_applied_in_order() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/schema");
        let mut files: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter_map(|name| name.strip_suffix(".sql").map(str::to_owned))
            .collect();
        files.sort();
        let names: Vec<&str> = MIGRATIONS.iter().map(|(name, _)| *name).collect();
        assert_eq!(files, names);
        assert_eq!(statements(MIGRATIONS[1].1).count(), 2);
    }

    #[test]
    fn every_column_says_what_it_holds() {
        for (name, text) in MIGRATIONS {
            for line in text
                .lines()
                .filter(|l| l.starts_with("    ") && !l.contains(" = "))
            {
                assert!(line.contains("COMMENT '"), "{name}: {line}");
            }
        }
    }
}
