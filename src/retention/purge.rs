//! What is due goes: partitions are dropped where all of a partition is due, rows deleted where not.
//!
//! Comes in: what is due. Goes out: the same, gone from ClickHouse's tables and disk, and a record of each in `purges`.
//! Each step may be done twice. A purge is in the journal before its first row goes and until its record is in the
//! spool, so that a kill -9 anywhere leads to one record with the number of rows that were there at first.

use std::collections::BTreeMap;

use clickhouse::Row;
use serde::Deserialize;

use super::RunError;
use super::job::Job;
use super::journal::Purge;
use super::plan::Due;
use super::rules::{Kept, Rule, Rules};
use crate::event::{PurgeRecord, Record, decode, encode, kind};
use crate::rights::rows::Settled;
use crate::secret::random_bytes;
use crate::spool::{self, RecordKind, SegmentId};
use crate::store::{StoreError, within};

/// Partitions that one statement is about.
const AT_ONCE: usize = 50;

#[derive(Row, Deserialize)]
struct PartitionRow {
    partition: String,
    n_due: u64,
    n_all: u64,
}

/// Makes journal entries of what is due.
pub(super) fn entries(due: &[Due], rules: &Rules, run: u64) -> Vec<Purge> {
    due.iter()
        .map(|due| Purge {
            purge: u64::from_le_bytes(random_bytes()),
            run,
            table: due.kept.name().into(),
            site: due.site.clone(),
            rule: due.rule.name().into(),
            first_day: due.first_day,
            last_day: due.last_day,
            rows: due.rows,
            bytes: due.bytes,
            condition: rules.condition(due.kept, &due.site, due.rule),
            is_recorded: false,
        })
        .collect()
}

impl Job {
    /// Does what the journal holds, verifies it, and records it. Returns what was done.
    pub(super) async fn work_off(&self) -> Result<Vec<Purge>, RunError> {
        let all = self.journal.entries();
        if all.is_empty() {
            return Ok(all);
        }
        let mut by_table: BTreeMap<Kept, Vec<&Purge>> = BTreeMap::new();
        for entry in &all {
            if let Some(kept) = Kept::named(&entry.table) {
                by_table.entry(kept).or_default().push(entry);
            }
        }
        let settled = self.settle(&by_table).await?;
        for (kept, entries) in &by_table {
            self.purge(*kept, entries, settled).await?;
            self.step(&format!("{} purged", kept.name()));
        }
        let mut wiped: Vec<(&str, &str)> = by_table
            .keys()
            .map(|kept| (kept.name(), kept.no_partition()))
            .collect();
        for (table, beside) in [("visits", "visits_next"), ("daily", "daily_next")] {
            if wiped.iter().any(|(name, _)| *name == table) {
                wiped.push((beside, "19700101"));
            }
        }
        self.store.wipe_old_parts(&wiped).await?;
        for (kept, entries) in &by_table {
            self.expect_gone(*kept, entries, settled).await?;
        }
        self.record(&all).await?;
        Ok(all)
    }

    /// Rows are deleted only once their batch cannot be counted any more (see `rights::erasing`). Whole partitions need
    /// not wait: their batches are dropped on the way, too.
    async fn settle(
        &self,
        by_table: &BTreeMap<Kept, Vec<&Purge>>,
    ) -> Result<Option<Settled>, RunError> {
        let is_needed = by_table.iter().any(|(kept, entries)| {
            kept.is_delivered() && entries.iter().any(|entry| !is_by_partition(*kept, entry))
        });
        if !is_needed {
            return Ok(None);
        }
        let spool = &self.collector.spool;
        spool.seal_now().await;
        let last = spool.newest_sealed();
        if let Some(last) = last {
            let drained = spool.drained_through(last);
            let patience = self.store.timeout * 2;
            tokio::time::timeout(patience, drained)
                .await
                .map_err(|_| RunError::Spool)?;
        }
        Ok(Some(Settled {
            incarnation: spool.incarnation(),
            segment: last.map_or(0, SegmentId::as_u64),
        }))
    }

    async fn purge(
        &self,
        kept: Kept,
        entries: &[&Purge],
        settled: Option<Settled>,
    ) -> Result<(), RunError> {
        let table = kept.name();
        let condition = any_of(entries);
        let sql = format!(
            "SELECT _partition_id AS partition, countIf({condition}) AS n_due, count() AS n_all FROM {table} \
             GROUP BY partition HAVING n_due > 0 ORDER BY partition"
        );
        let partitions: Vec<PartitionRow> = within(
            self.store.timeout * 10,
            self.store.client.query(&sql).fetch_all(),
        )
        .await?;
        let is_droppable = |p: &PartitionRow| {
            p.n_due == p.n_all && entries.iter().all(|entry| is_by_partition(kept, entry))
        };
        // Of events, a partition is a date: it is closed once that date has come, whichever rule its rows go by.
        let today = crate::consent::token_day(self.collector.clock.now());
        let closed = crate::salts::period::date_of(today)
            .strftime("%Y%m%d")
            .to_string();
        let is_over = |p: &PartitionRow| {
            kept == Kept::Events && p.n_due == p.n_all && p.partition.as_str() <= closed.as_str()
        };
        let (dropped, deleted): (Vec<_>, Vec<_>) = partitions
            .into_iter()
            .partition(|p| is_droppable(p) || is_over(p));
        for partition in dropped {
            self.store
                .run(&format!(
                    "ALTER TABLE {table} DROP PARTITION ID '{}'",
                    partition.partition
                ))
                .await?;
            self.tick().await?;
        }
        let settled = match (kept.is_delivered(), settled) {
            (true, Some(settled)) => format!(" AND {}", settled.sql()),
            _ => String::new(),
        };
        for partitions in deleted.chunks(AT_ONCE) {
            let marker = format!("{0} = {0}", u64::from_le_bytes(random_bytes()));
            let changes: Vec<String> = partitions
                .iter()
                .map(|p| {
                    format!(
                        "DELETE IN PARTITION ID '{}' WHERE ({marker}) AND ({condition}){settled}",
                        p.partition
                    )
                })
                .collect();
            self.store
                .mutate(table, &marker, &changes.join(", "))
                .await?;
            self.tick().await?;
        }
        Ok(())
    }

    /// A row that is still there was left by a fault, not by time: the run ends here, and is tried again.
    async fn expect_gone(
        &self,
        kept: Kept,
        entries: &[&Purge],
        settled: Option<Settled>,
    ) -> Result<(), RunError> {
        let settled = match (kept.is_delivered(), settled) {
            (true, Some(settled)) => format!(" AND {}", settled.sql()),
            _ => String::new(),
        };
        let sql = format!(
            "SELECT count() FROM {} WHERE ({}){settled}",
            kept.name(),
            any_of(entries)
        );
        let left: u64 = within(
            self.store.timeout * 10,
            self.store.client.query(&sql).fetch_one(),
        )
        .await?;
        match left {
            0 => Ok(()),
            rows => Err(RunError::Left {
                table: kept.name(),
                rows,
            }),
        }
    }

    /// Writes the records, each once, and lets go of the journal.
    async fn record(&self, entries: &[Purge]) -> Result<(), RunError> {
        let mut recorded = Vec::new();
        if entries.iter().any(|entry| entry.is_recorded) {
            recorded = self.recorded(entries).await?;
        }
        let marked = entries.iter().cloned().map(|entry| Purge {
            is_recorded: true,
            ..entry
        });
        self.write_journal(marked.collect()).await?;
        let now = self.collector.clock.now().as_millisecond();
        for entry in entries.iter().filter(|e| !recorded.contains(&e.purge)) {
            let record = PurgeRecord {
                purge: entry.purge,
                run: entry.run,
                site: entry.site.clone(),
                table: entry.table.clone(),
                rule: entry.rule.clone(),
                ts_ms: now,
                first_day: entry.first_day,
                last_day: entry.last_day,
                rows: entry.rows,
                bytes: entry.bytes,
                verified:
                    "no such row is counted, and no old part of the table is left on the disk"
                        .into(),
                version: env!("CARGO_PKG_VERSION").into(),
            };
            self.append(kind::PURGE, &encode(&record)).await?;
            self.metrics
                .purged_rows
                .with_label_values(&[entry.table.as_str()])
                .inc_by(entry.rows);
        }
        self.write_journal(Vec::new()).await
    }

    /// Returns which purges have their record: in ClickHouse, or still in the spool.
    async fn recorded(&self, entries: &[Purge]) -> Result<Vec<u64>, RunError> {
        let ids: Vec<String> = entries
            .iter()
            .map(|entry| entry.purge.to_string())
            .collect();
        let in_spool = self.spooled(|record| match record {
            Record::Purge(purge) => Some(purge.purge),
            _ => None,
        });
        let mut ids_there = in_spool.await?;
        // After the spool: a record moves from there to here, and is never in neither.
        let sql = format!(
            "SELECT purge FROM purges WHERE purge IN ({})",
            ids.join(", ")
        );
        let stored: Vec<u64> = within(
            self.store.timeout,
            self.store.client.query(&sql).fetch_all(),
        )
        .await?;
        ids_there.extend(stored);
        Ok(ids_there)
    }

    /// Picks something out of every record that is sealed in the spool.
    pub(super) async fn spooled<T: Send + 'static>(
        &self,
        pick: impl Fn(&Record<'_>) -> Option<T> + Send + 'static,
    ) -> Result<Vec<T>, RunError> {
        let spool = self.collector.spool.clone();
        spool.seal_now().await;
        let read = tokio::task::spawn_blocking(move || {
            let mut picked = Vec::new();
            for id in spool.sealed_segments() {
                // One that was released since has left the disk.
                let Ok(reader) = spool.read(id) else { continue };
                // Damage is met again, and dealt with, by the batch step.
                for record in reader.flatten() {
                    let record: spool::Record = record;
                    if let Ok(record) = decode(record.kind.0, &record.payload) {
                        picked.extend(pick(&record));
                    }
                }
            }
            picked
        });
        Ok(read.await?)
    }

    /// Writes a record that must not be lost.
    pub(super) async fn append(&self, kind: u8, payload: &[u8]) -> Result<(), RunError> {
        let spool = &self.collector.spool;
        let appended = spool.append(RecordKind(kind), payload, || true).await;
        appended.map(drop).map_err(RunError::Record)
    }
}

fn is_by_partition(kept: Kept, entry: &Purge) -> bool {
    let rule = Rule::named(&entry.rule).unwrap_or(Rule::Shortened);
    kept.is_dropped_by_partition(rule)
}

fn any_of(entries: &[&Purge]) -> String {
    let conditions: Vec<String> = entries
        .iter()
        .map(|entry| format!("({})", entry.condition))
        .collect();
    conditions.join(" OR ")
}

impl From<StoreError> for RunError {
    fn from(error: StoreError) -> RunError {
        RunError::Store(error)
    }
}
