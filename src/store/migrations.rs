//! The tables of `schema/`, applied at start, in order, once each.
//!
//! Files are added, never edited: what was applied is recorded in `schema_migrations` with its hash, and
//! a file that changed since is an error. ClickHouse has no transactional DDL, so every statement is
//! written to be safe to run twice (`IF NOT EXISTS`), and the record is written after the last one. Where SQL has no
//! words for that, a line `-- only if: SELECT …` stands before the statement: it runs where the answer is above 0.
//!
//! Twice, but not by two at once: of a table that is exchanged for another, two would make the old one again. So one
//! collector at a time applies what is missing (`claim`), and ends first what one before it, that was
//! cut off, may have left running.

use clickhouse::{Client, Row};
use serde::{Deserialize, Serialize};

use super::claim::{Claim, PROCESS};
use super::{Store, StoreError, classify, in_time, within};
use crate::secret::random_bytes;

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
    ("0014_claims", include_str!("../../schema/0014_claims.sql")),
    (
        "0015_collectors",
        include_str!("../../schema/0015_collectors.sql"),
    ),
    ("0016_months", include_str!("../../schema/0016_months.sql")),
];

/// Begins the line that says when the statement below it is due.
const ONLY_IF: &str = "-- only if: ";

#[derive(Row, Serialize, Deserialize)]
struct Applied {
    name: String,
    hash: String,
}

/// Where it is claimed that schema/ is being applied. In memory: a claim is not to outlive its ClickHouse.
const CLAIMS: &str = "schema_claims";

/// Begins the query ids of statements for one database.
fn query_ids(database: &str) -> String {
    format!("brine-schema/{database}/")
}

/// Applies what is missing and returns the names of what was applied.
///
/// # Errors
/// [`StoreError::Edited`] where an applied file has another text now, [`StoreError::Migrating`] where another collector
/// is at it; otherwise what ClickHouse said.
pub async fn migrate(store: &Store) -> Result<Vec<&'static str>, StoreError> {
    let (client, database) = (&store.client, &store.database);
    let bare = client.clone().with_database("");
    let first = format!("CREATE DATABASE IF NOT EXISTS `{database}`");
    in_time(store.timeout, run(&bare, &first)).await?;
    for table in [
        "CREATE TABLE IF NOT EXISTS schema_migrations (\
             name String COMMENT 'File in schema/.', \
             hash String COMMENT 'BLAKE3 of its text.', \
             applied DateTime DEFAULT now() COMMENT 'When, UTC.'\
         ) ENGINE = MergeTree ORDER BY name \
         SETTINGS fsync_after_insert = 1, fsync_part_directory = 1",
        "CREATE TABLE IF NOT EXISTS schema_claims (\
             collector String COMMENT 'Name of the process.', \
             run UInt64 COMMENT 'Which of its tries.', \
             until DateTime COMMENT 'As in retention_claims.'\
         ) ENGINE = Memory",
    ] {
        in_time(store.timeout, run(client, table)).await?;
    }
    if missing(store).await?.is_empty() {
        return Ok(Vec::new());
    }
    let attempt = u64::from_le_bytes(random_bytes());
    let claim = Claim::take(store, CLAIMS, &PROCESS, attempt).await?;
    let claim = claim.map_err(|by| StoreError::Migrating { by })?;
    claim.keep_while(apply(store)).await.flatten()
}

/// Returns what is not applied yet: name, text and hash.
async fn missing(store: &Store) -> Result<Vec<(&'static str, &'static str, String)>, StoreError> {
    let sql = "SELECT DISTINCT name, hash FROM schema_migrations ORDER BY name";
    let applied: Vec<Applied> = within(store.timeout, store.client.query(sql).fetch_all()).await?;
    let mut missing = Vec::new();
    for &(name, text) in MIGRATIONS {
        let hash = blake3::hash(text.as_bytes()).to_hex().to_string();
        match applied.iter().find(|before| before.name == name) {
            Some(before) if before.hash == hash => {}
            Some(_) => return Err(StoreError::Edited { name }),
            None => missing.push((name, text, hash)),
        }
    }
    Ok(missing)
}

/// Applies what is missing. A statement may take as long as it takes: the claim is renewed meanwhile, and a ClickHouse
/// that is gone is noticed by that.
async fn apply(store: &Store) -> Result<Vec<&'static str>, StoreError> {
    if store.engine.is_none() {
        // The embedded engine ends what its client has left.
        store.end_statements(&query_ids(&store.database)).await?;
    }
    // What another did while this one waited is not missing any more.
    let mut done = Vec::new();
    for (name, text, hash) in missing(store).await? {
        for (number, statement) in statements(text).enumerate() {
            if is_due(&store.client, statement).await? {
                let ids = query_ids(&store.database);
                let id = format!("{ids}{}/{name}/{number}", *PROCESS);
                let client = store.client.clone().with_setting("query_id", id);
                run(&client, statement).await?;
            }
        }
        let row = Applied {
            name: name.to_owned(),
            hash,
        };
        in_time(store.timeout, record(&store.client, &row)).await?;
        done.push(name);
    }
    Ok(done)
}

async fn record(client: &Client, row: &Applied) -> Result<(), StoreError> {
    let insert = client.insert::<Applied>("schema_migrations").await;
    let insert = insert.map_err(StoreError::from_client)?;
    let mut insert = insert.with_setting("async_insert", "0");
    insert.write(row).await.map_err(StoreError::from_client)?;
    insert.end().await.map_err(StoreError::from_client)
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
