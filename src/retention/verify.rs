//! Is anything there that must be gone? Looked for down to the files.
//!
//! Comes in: the rules. Goes out: findings, each a sentence; none means that nothing expired is on the disk. Looked at
//! are the rows of every table; active, inactive and detached parts; unfinished mutations; the directories of the
//! tables, where ClickHouse's disk is this machine's; the spool and its quarantine. What a legal hold keeps is no
//! finding, and is said beside.
//!
//! What it cannot see: backups, snapshots, other replicas, and blocks that a device keeps after an unlink.

use clickhouse::Row;
use serde::Deserialize;

use super::RunError;
use super::derived::sql::VITALS;
use super::derived::sums::MONTH;
use super::disk;
use super::job::Job;
use super::plan;
use super::rules::{Kept, Rules};
use crate::event::Record;
use crate::salts::period::date_of;
use crate::store::within;

/// Changes that are not done after so many seconds are a finding.
const SLOW_S: u32 = 3_600;

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// What must be gone and is there.
    pub findings: Vec<String>,
    /// What was looked at, and what could not be.
    pub notes: Vec<String>,
    /// Unfinished changes of stored rows that fail or take very long.
    pub stuck_mutations: u64,
}

#[derive(Row, Deserialize)]
struct PartRow {
    table: String,
    name: String,
    partition: String,
}

#[derive(Row, Deserialize)]
struct MutationRow {
    table: String,
    reason: String,
    age: u32,
}

impl Job {
    /// Looks for anything that is due under `rules`.
    ///
    /// # Errors
    /// What ClickHouse said: then nothing is known.
    pub async fn verify(&self, rules: &Rules) -> Result<Verified, RunError> {
        let mut found = Verified::default();
        for due in plan::due(&self.store, rules, 0).await? {
            found.findings.push(format!(
                "{}: {} rows of {} ({}, {} to {})",
                due.kept.name(),
                due.rows,
                name(&due.site),
                due.rule.name(),
                date_of(due.first_day),
                date_of(due.last_day)
            ));
        }
        self.vitals(&mut found).await?;
        self.parts(rules, &mut found).await?;
        self.mutations(&mut found).await?;
        self.files(rules, &mut found).await?;
        self.spool_and_quarantine(rules, &mut found).await?;
        for entry in self.journal.entries() {
            found.findings.push(format!(
                "{}: a purge of {} rows of {} is not finished",
                entry.table,
                entry.rows,
                name(&entry.site)
            ));
        }
        for site in rules.held() {
            found
                .notes
                .push(format!("{site}: under legal hold, nothing of it is purged"));
        }
        Ok(found)
    }

    /// Web vitals in `daily` are kept no longer than the events that told them: there are no more of them, on a day or in a
    /// month's sums.
    async fn vitals(&self, found: &mut Verified) -> Result<(), RunError> {
        let sum = |of: &str| VITALS.map(|name| format!("{of}({name})")).join(" + ");
        let told = |dimension: &str| {
            format!(
                "SELECT site AS of_site, day AS of_day, {} AS n_told FROM daily \
                 WHERE dimension = '{dimension}' AND notEmpty(vital_visitors)",
                sum("length")
            )
        };
        let of_days = format!(
            "SELECT site AS of_site, day AS of_day, {} AS n_there FROM events GROUP BY site, day",
            sum("count")
        );
        let of_months = format!(
            "SELECT of_site, toStartOfMonth(of_day) AS of_day, sum(n_told) AS n_there FROM ({}) AS days \
             GROUP BY of_site, toStartOfMonth(days.of_day)",
            told("")
        );
        for (told, there) in [(told(""), of_days), (told(MONTH), of_months)] {
            let sql = format!(
                "SELECT toString(of_site), toUInt16(min(of_day)), toUInt16(max(of_day)) FROM ({told}) AS told \
                 LEFT JOIN ({there}) AS there USING (of_site, of_day) WHERE n_told > n_there GROUP BY of_site ORDER BY of_site"
            );
            let query = self.store.client.query(&sql);
            // Reads which events told some, of all of them.
            let left = within(self.store.timeout * 10, query.fetch_all());
            let left: Vec<(String, u16, u16)> = left.await?;
            found
                .findings
                .extend(left.into_iter().map(|(site, first, last)| {
                    format!(
                        "daily: web vitals of {site} whose events are gone ({} to {})",
                        date_of(first),
                        date_of(last)
                    )
                }));
        }
        Ok(())
    }

    /// Parts that ClickHouse does not use any more keep their rows on the disk until they are removed.
    async fn parts(&self, rules: &Rules, found: &mut Verified) -> Result<(), RunError> {
        let today = date_of(rules.today).strftime("%Y%m%d").to_string();
        let inactive = format!(
            "SELECT table, name, partition_id AS partition FROM system.parts WHERE database = currentDatabase() \
             AND table = 'events' AND NOT active AND partition_id <= '{today}' AND rows > 0"
        );
        let detached = format!(
            "SELECT table, name, ifNull(partition_id, '') AS partition FROM system.detached_parts \
             WHERE database = currentDatabase() AND table IN ({})",
            names()
        );
        let kept = self.partitions_kept(rules).await?;
        for (sql, state) in [(inactive, "not in use any more"), (detached, "detached")] {
            let query = self.store.client.query(&sql);
            let mut parts: Vec<PartRow> = within(self.store.timeout, query.fetch_all()).await?;
            parts.retain(|part| part.table != "events" || !kept.contains(&part.partition));
            found.findings.extend(parts.into_iter().map(|part| {
                let PartRow {
                    table,
                    name,
                    partition,
                } = part;
                format!(
                    "{table}: part {name} of partition {partition} is {state} and still on the disk"
                )
            }));
        }
        Ok(())
    }

    /// Partitions of which a held site has rows stay.
    async fn partitions_kept(&self, rules: &Rules) -> Result<Vec<String>, RunError> {
        let held = format!(
            "SELECT DISTINCT _partition_id FROM events WHERE {} > {}",
            rules.due_sql(Kept::Events),
            rules.today
        );
        let query = self.store.client.query(&held);
        Ok(within(self.store.timeout * 10, query.fetch_all()).await?)
    }

    async fn mutations(&self, found: &mut Verified) -> Result<(), RunError> {
        let sql = format!(
            "SELECT table, latest_fail_reason AS reason, toUInt32(greatest(0, dateDiff('second', create_time, now()))) AS age \
             FROM system.mutations WHERE database = currentDatabase() AND NOT is_done AND table IN ({})",
            names()
        );
        let query = self.store.client.query(&sql);
        let changes: Vec<MutationRow> = within(self.store.timeout, query.fetch_all()).await?;
        for change in changes {
            let table = change.table;
            if change.reason.is_empty() && change.age < SLOW_S {
                found
                    .notes
                    .push(format!("{table}: a change of stored rows is under way"));
                continue;
            }
            found.stuck_mutations += 1;
            found.findings.push(format!(
                "{table}: a change of stored rows is not done after {} s",
                change.age
            ));
        }
        Ok(())
    }

    /// The directories themselves: what ClickHouse has forgotten is there all the same.
    async fn files(&self, rules: &Rules, found: &mut Verified) -> Result<(), RunError> {
        let sql = "SELECT arrayJoin(data_paths) FROM system.tables WHERE database = currentDatabase() AND name = 'events'";
        let query = self.store.client.query(sql);
        let paths: Vec<String> = within(self.store.timeout, query.fetch_all()).await?;
        let kept = self.partitions_kept(rules).await?;
        let today = date_of(rules.today).strftime("%Y%m%d").to_string();
        let looked = tokio::task::spawn_blocking(move || disk::expired(&paths, &today, &kept));
        match looked.await? {
            Some(files) => found.findings.extend(files.into_iter().map(|path| {
                format!("events: {path} is on the disk, and of a partition that must be gone")
            })),
            None => found.notes.push(
                "files: ClickHouse's disk is not this machine's; its own lists were checked".into(),
            ),
        }
        Ok(())
    }

    async fn spool_and_quarantine(
        &self,
        rules: &Rules,
        found: &mut Verified,
    ) -> Result<(), RunError> {
        let due = rules.clone();
        let spooled = self.spooled(move |record| match record {
            Record::Event(event) if due.is_due(event) => Some(event.site.to_owned()),
            _ => None,
        });
        let spooled = spooled.await?;
        if !spooled.is_empty() {
            found.findings.push(format!(
                "spool: {} events that ClickHouse did not take in time",
                spooled.len()
            ));
        }
        let (spool, rules) = (self.collector.spool.clone(), rules.clone());
        let looked = tokio::task::spawn_blocking(move || super::quarantine::due(&spool, &rules));
        let left = looked.await??;
        if left.records > 0 {
            let reason = format!("quarantine: {} records that must be gone", left.records);
            found.findings.push(reason);
        }
        if left.files > 0 {
            found.findings.push(format!(
                "quarantine: {} damaged files older than any retention",
                left.files
            ));
        }
        Ok(())
    }
}

fn name(site: &str) -> &str {
    if site.is_empty() { "all sites" } else { site }
}

fn names() -> String {
    let names = Kept::ALL.map(|kept| format!("'{}'", kept.name()));
    format!("{}, 'visits_next', 'daily_next'", names.join(", "))
}
