//! What is due goes: partitions are dropped where all of a partition is due, rows deleted where not.
//!
//! Comes in: what is due. Goes out: the same, gone from ClickHouse's tables and disk, and a record of each in `purges`.
//! Each step may be done twice. A purge is in the journal before its first row goes and until its record is in the
//! spool, so that a kill -9 anywhere leads to one record with the number of rows that were there at first.
//!
//! While a site is under legal hold, parts of events are dropped one by one, not partitions: the batch step may bring the
//! site's rows into any partition, and what came after the count must stay. What a hold meets in the journal is let
//! go of; its record tells the rows that had gone by then.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use clickhouse::Row;
use serde::Deserialize;

use super::job::{AHEAD_MS, Job};
use super::journal::Purge;
use super::plan::Due;
use super::rules::{Kept, Rule, Rules, literal};
use super::{RunError, derived};
use crate::config::Site;
use crate::event::{PurgeRecord, Record, decode, encode, kind};
use crate::rights::rows::Rows;
use crate::rights::settling::{self, Settled};
use crate::secret::random_bytes;
use crate::spool::{self, RecordKind, always};
use crate::store::{StoreError, within};

/// Partitions that one statement is about.
const AT_ONCE: usize = 50;

/// How long a purge waits until other collectors have brought what they hold.
const OTHERS_PATIENCE: Duration = Duration::from_secs(5);

/// In the journal, the condition of a purge that a legal hold has stopped.
const NONE: &str = "0";

/// The same, of one that was counted under a clock that was ahead.
const EARLY: &str = "(0)";

#[derive(Row, Deserialize)]
struct PartitionRow {
    partition: String,
    n_due: u64,
    n_all: u64,
}

/// Makes journal entries of what is due.
pub(super) fn entries(due: &[Due], rules: &Rules, run: u64, now_ms: i64) -> Vec<Purge> {
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
            began_ms: now_ms,
        })
        .collect()
}

impl Job {
    /// Does what the journal holds, verifies it, and records it. Returns what was done.
    pub(super) async fn work_off(&self) -> Result<Vec<Purge>, RunError> {
        let mut all = self.spare(self.journal.entries(), Kept::ALL[0]).await?;
        if all.is_empty() {
            return Ok(all);
        }
        let settled = self.settle(&by_table(&all)).await?;
        let tables: Vec<Kept> = by_table(&all).into_keys().collect();
        for kept in tables {
            // A hold may have begun while the tables before were purged.
            all = self.spare(all, kept).await?;
            let by_table = by_table(&all);
            let Some(entries) = by_table.get(&kept) else {
                continue;
            };
            let purge = self.purge(kept, entries, settled.as_ref());
            match kept {
                // Not while a month is copied to be put in place again.
                Kept::Visits | Kept::Daily => derived::in_turn(&self.store, purge).await?,
                _ => purge.await?,
            }
            self.step(&format!("{} purged", kept.name()));
        }
        let by_table = by_table(&all);
        let mut wiped: Vec<(&str, &str)> = by_table
            .keys()
            .map(|kept| (kept.name(), kept.no_partition()))
            .collect();
        for (kept, beside) in [(Kept::Visits, "visits_next"), (Kept::Daily, "daily_next")] {
            if by_table.contains_key(&kept) {
                wiped.push((beside, kept.no_partition()));
            }
        }
        self.store.wipe_old_parts(&wiped).await?;
        for (kept, entries) in &by_table {
            self.expect_gone(*kept, entries, settled.as_ref()).await?;
        }
        self.record(&all).await
    }

    /// Takes out of what is under way, from the table `from` on: the sites that were put under legal hold since; removed ones that
    /// came back (what was due of those is every row they have, also those that came after); and what was counted under a
    /// clock that was ahead.
    async fn spare(&self, entries: Vec<Purge>, from: Kept) -> Result<Vec<Purge>, RunError> {
        let held = self.held();
        let now = self.collector.clock.now().as_millisecond();
        let live = self.collector.live.load_full();
        let is_back = |entry: &Purge| {
            let names =
                |site: &Site| [site.id.as_str(), &site.scope].contains(&entry.site.as_str());
            entry.rule == Rule::Removed.name() && live.sites.iter().any(|site| names(site))
        };
        let is_early = |entry: &Purge| (now + AHEAD_MS..i64::MAX).contains(&entry.began_ms);
        let met = |entry: &Purge| {
            let is_open = [NONE, EARLY].iter().all(|none| entry.condition != *none)
                && Kept::named(&entry.table).is_none_or(|kept| kept >= from);
            match is_open {
                true if held.contains(&entry.site) || is_back(entry) => Some(NONE),
                true if is_early(entry) => Some(EARLY),
                _ => None,
            }
        };
        if entries.iter().all(|entry| met(entry).is_none()) {
            return Ok(entries);
        }
        let mut spared = Vec::new();
        for mut entry in entries {
            let none = met(&entry);
            if let Some(none) = none.filter(|_| entry.is_recorded) {
                // What it was about is gone, and its record is written, or about to be.
                entry.condition = none.into();
            } else if let Some(none) = none {
                let (table, condition) = (&entry.table, &entry.condition);
                let sql = format!("SELECT count() FROM {table} WHERE {condition}");
                let query = self.store.client.query(&sql);
                let left: u64 = within(self.store.timeout * 10, query.fetch_one()).await?;
                let gone = entry.rows.saturating_sub(left);
                tracing::warn!(
                    site = entry.site,
                    table = entry.table,
                    gone,
                    left,
                    "a legal hold, that the site is back, or that the clock was ahead stops a purge under way"
                );
                if gone == 0 {
                    continue;
                }
                entry.bytes = (entry.bytes as f64 * gone as f64 / entry.rows as f64) as u64;
                entry.rows = gone;
                entry.condition = none.into();
            }
            spared.push(entry);
        }
        self.write_journal(spared.clone()).await?;
        Ok(spared)
    }

    /// Returns the sites under legal hold now, and their scopes, which requests go by.
    pub(super) fn held(&self) -> BTreeSet<String> {
        let live = self.collector.live.load();
        let held = live.sites.iter().filter(|site| site.legal_hold.is_some());
        held.flat_map(|site| [site.id.to_string(), site.scope.clone()])
            .collect()
    }

    /// Rows are deleted only once their batch cannot be counted any more (see `rights::settling`). Whole partitions need
    /// not wait: their batches are dropped on the way, too. Nor is a collector waited for that is down: if a batch of its
    /// own is in doubt, rows of it that were deleted may come back with it, and are due at the next run.
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
        let last = spool.newest();
        let drained = spool.drained_through(last);
        let patience = self.store.timeout * 2;
        tokio::time::timeout(patience, drained)
            .await
            .map_err(|_| RunError::Spool)?;
        let (rows, request) = (
            Rows::new(self.store.clone()),
            u64::from_le_bytes(random_bytes()),
        );
        let around = settling::ask_once(&self.collector, &rows, request, OTHERS_PATIENCE).await?;
        if !around.silent().is_empty() {
            tracing::info!(silent = ?around.silent(), "a purge does not wait for collectors that do not answer");
        }
        Ok(Some(around.answered(Settled::here(&self.collector, last))))
    }

    async fn purge(
        &self,
        kept: Kept,
        entries: &[&Purge],
        settled: Option<&Settled>,
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
        let one_by_one = kept == Kept::Events && !self.held().is_empty();
        for dropped in dropped.chunks(AT_ONCE) {
            let drops = match one_by_one {
                true => self.parts_due(table, &condition, dropped).await?,
                false => dropped
                    .iter()
                    .map(|p| format!("DROP PARTITION ID '{}'", p.partition))
                    .collect(),
            };
            if !drops.is_empty() {
                self.store
                    .run(&format!("ALTER TABLE {table} {}", drops.join(", ")))
                    .await?;
            }
        }
        let settled = match (kept.is_delivered(), settled) {
            (true, Some(settled)) => format!(" AND {}", settled.sql()),
            _ => String::new(),
        };
        if deleted.is_empty() {
            return Ok(());
        }
        // One change for all of them: each touches every part of the table, also those that it leaves as they are.
        let marker = format!("{0} = {0}", u64::from_le_bytes(random_bytes()));
        let ids: Vec<String> = deleted
            .iter()
            .map(|p| format!("'{}'", p.partition))
            .collect();
        let change = format!(
            "DELETE WHERE ({marker}) AND _partition_id IN ({}) AND ({condition}){settled}",
            ids.join(", ")
        );
        self.store.mutate(table, &marker, &change).await?;
        Ok(())
    }

    /// The parts that have no other rows; one that was merged meanwhile is looked for again in the next attempt.
    async fn parts_due(
        &self,
        table: &str,
        condition: &str,
        partitions: &[PartitionRow],
    ) -> Result<Vec<String>, RunError> {
        let ids: Vec<String> = partitions
            .iter()
            .map(|p| format!("'{}'", p.partition))
            .collect();
        let sql = format!(
            "SELECT _part FROM {table} WHERE _partition_id IN ({}) GROUP BY _part HAVING countIf(NOT ({condition})) = 0",
            ids.join(", ")
        );
        let query = self.store.client.query(&sql);
        let parts: Vec<String> = within(self.store.timeout * 10, query.fetch_all()).await?;
        Ok(parts
            .iter()
            .map(|part| format!("DROP PART '{part}'"))
            .collect())
    }

    /// A row that is still there was left by a fault, not by time: the run ends here, and is tried again.
    async fn expect_gone(
        &self,
        kept: Kept,
        entries: &[&Purge],
        settled: Option<&Settled>,
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

    /// Writes the records, each once, lets go of the journal, and returns what was recorded.
    async fn record(&self, entries: &[Purge]) -> Result<Vec<Purge>, RunError> {
        let mut recorded = Vec::new();
        if entries.iter().any(|entry| entry.is_recorded) {
            recorded = self.recorded(entries).await?;
        }
        let entries = &self.less_what_others_recorded(entries).await?;
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
                verified: match entry.condition.as_str() {
                    NONE if entry.rule == Rule::Removed.name() => {
                        "the site came back: the other rows stay"
                    }
                    NONE => "a legal hold stopped it: the other rows stay",
                    EARLY => "the clock had been ahead: the other rows are not due",
                    _ => "no such row is counted, and no old part of the table is left on the disk",
                }
                .into(),
                version: env!("CARGO_PKG_VERSION").into(),
            };
            self.append(kind::PURGE, &encode(&record)).await?;
            self.metrics
                .purged_rows
                .with_label_values(&[entry.table.as_str()])
                .inc_by(entry.rows);
        }
        self.write_journal(Vec::new()).await?;
        Ok(entries.clone())
    }

    /// Another collector may have gone on with a purge of ours, and recorded the rows that it found: they are taken off,
    /// so that each row is in one record. Its first run since has found them; what later ones found became due later. What is
    /// left are those that had gone before; none, and there is no record. Other runs of ours, whose records tell of rows that
    /// had gone before these were counted, are known by their batches, not by the clock: it may have been set back.
    async fn less_what_others_recorded(&self, entries: &[Purge]) -> Result<Vec<Purge>, RunError> {
        let us = self.collector.spool.incarnation();
        let mut ours = Vec::new();
        for mut entry in entries.iter().cloned() {
            if entry.is_recorded {
                // Taken off before it was marked.
                ours.push(entry);
                continue;
            }
            let theirs = format!(
                "site = {} AND table_name = '{}' AND rule = '{}' AND bitShiftRight(batch_id, 64) != {us} \
                 AND toUnixTimestamp64Milli(ts) >= {} AND first_day <= toDate({}) AND last_day >= toDate({})",
                literal(&entry.site),
                entry.table,
                entry.rule,
                entry.began_ms,
                entry.last_day,
                entry.first_day
            );
            let sql = format!(
                "SELECT sum(n_rows) FROM purges WHERE {theirs} \
                 AND run = (SELECT argMin(run, ts) FROM purges WHERE {theirs})"
            );
            let query = self.store.client.query(&sql);
            let theirs: u64 = within(self.store.timeout, query.fetch_one()).await?;
            let before = entry.rows;
            entry.rows = before.saturating_sub(theirs);
            if entry.rows > 0 || before == 0 {
                entry.bytes =
                    (entry.bytes as f64 * entry.rows as f64 / before.max(1) as f64) as u64;
                ours.push(entry);
            }
        }
        Ok(ours)
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
        let appended = spool.append(RecordKind(kind), payload, always).await;
        appended.map(drop).map_err(RunError::Record)
    }
}

fn by_table(entries: &[Purge]) -> BTreeMap<Kept, Vec<&Purge>> {
    let mut by_table: BTreeMap<Kept, Vec<&Purge>> = BTreeMap::new();
    for entry in entries {
        if let Some(kept) = Kept::named(&entry.table) {
            by_table.entry(kept).or_default().push(entry);
        }
    }
    by_table
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
