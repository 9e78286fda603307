//! One run, from what is due to the record of its check.
//!
//! Comes in: the configuration in force, the clock. Goes out: a [`RunRecord`], and everything it says done. Killed at any
//! point, the next run begins with what the journal holds. ClickHouse away: the run fails and is tried again.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::RunError;
use super::in_force::{InForce, LastRules};
use super::journal::{Journal, Purge};
use super::numbers::Numbers;
use super::plan::{self, Due};
use super::rules::Rules;
use super::{derived, purge};
use crate::collector::Collector;
use crate::consent::token_day;
use crate::event::{PurgeRecord, RunRecord, encode, kind};
use crate::secret::random_bytes;
use crate::spool::Removal;
use crate::store::claim::Claim;
use crate::store::{Store, within};

/// Who asked for a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum StartedBy {
    Operator,
    Schedule,
}

/// How far a run has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Progress {
    pub is_running: bool,
    pub done: u64,
    pub of: u64,
    pub what: String,
}

/// A run under way, also where whoever waits for it leaves.
struct UnderWay<'a>(&'a Job);

impl UnderWay<'_> {
    fn begin(job: &Job) -> UnderWay<'_> {
        *job.lock() = Progress {
            is_running: true,
            of: 3,
            ..Progress::default()
        };
        job.metrics.running.set(1);
        UnderWay(job)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.metrics.running.set(0);
        self.0.lock().is_running = false;
    }
}

/// What runs it.
#[derive(Debug)]
pub struct Job {
    pub(super) collector: Arc<Collector>,
    pub(super) store: Store,
    pub(super) journal: Arc<Journal>,
    pub(super) last_rules: LastRules,
    pub(super) metrics: Numbers,
    progress: Mutex<Progress>,
    /// Held through a run: one at a time in this process, whoever asks.
    turn: tokio::sync::Mutex<()>,
}

/// How far the clocks of two collectors may be apart, milliseconds.
pub(super) const AHEAD_MS: i64 = 300_000;

/// How far our clock and ClickHouse's may be apart for a purge, milliseconds.
const APART_MS: i64 = 3_600_000;

/// Where the right to run it lies (`schema/0005_purges.sql`).
const CLAIMS: &str = "retention_claims";

impl Job {
    /// Takes up what an earlier run left in `journal`.
    pub(super) fn new(
        collector: Arc<Collector>,
        store: Store,
        journal: Journal,
        last_rules: LastRules,
        metrics: Numbers,
    ) -> Job {
        Job {
            collector,
            store,
            journal: Arc::new(journal),
            last_rules,
            metrics,
            progress: Mutex::default(),
            turn: tokio::sync::Mutex::new(()),
        }
    }

    /// Returns how far the run under way has come.
    pub fn progress(&self) -> Progress {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// So many steps are still to come.
    pub(super) fn expect_steps(&self, n: usize) {
        self.lock().of += n as u64;
    }

    pub(super) fn step(&self, what: &str) {
        let mut progress = self.lock();
        progress.done += 1;
        what.clone_into(&mut progress.what);
        let (done, of) = (progress.done as f64, progress.of.max(progress.done) as f64);
        drop(progress);
        self.metrics.steps.with_label_values(&["done"]).set(done);
        self.metrics.steps.with_label_values(&["of"]).set(of);
    }

    /// Returns the rules in force now, those for sites that are gone included.
    ///
    /// # Errors
    /// What ClickHouse said.
    pub async fn rules(&self) -> Result<Rules, RunError> {
        let (live, config) = (self.collector.live.load_full(), &self.collector.config);
        let today = token_day(self.collector.clock.now());
        let rules = Rules::new(today, config.query.k, &live.retention, &live.sites);
        let grace = live.retention.removed_site_grace_days;
        let strangers = plan::strangers(&self.store, &rules, grace).await?;
        Ok(rules.with_removed(strangers.removed))
    }

    /// Runs once, unless somebody else does.
    ///
    /// # Errors
    /// [`RunError`]; what was begun is in the journal, and the next run goes on with it.
    pub async fn run(&self, started_by: StartedBy) -> Result<RunRecord, RunError> {
        let Ok(_turn) = self.turn.try_lock() else {
            return Err(RunError::Elsewhere("this collector".into()));
        };
        let run = u64::from_le_bytes(random_bytes());
        let collector = format!("{:016x}", self.collector.spool.incarnation());
        let claim = match Claim::take(&self.store, CLAIMS, &collector, run).await {
            Ok(Ok(claim)) => claim,
            Ok(Err(other)) => return Err(RunError::Elsewhere(format!("collector {other}"))),
            Err(error) => {
                self.metrics.runs.with_label_values(&["failed"]).inc();
                return Err(error.into());
            }
        };
        let under_way = UnderWay::begin(self);
        let kept = claim.keep_while(self.go(run, collector, started_by));
        let result = kept.await.map_err(RunError::from).flatten();
        drop(under_way);
        let word = match &result {
            Ok(record) if record.findings.is_empty() => "verified",
            Ok(_) => "left",
            Err(_) => "failed",
        };
        self.metrics.runs.with_label_values(&[word]).inc();
        result
    }

    async fn go(
        &self,
        run: u64,
        collector: String,
        started_by: StartedBy,
    ) -> Result<RunRecord, RunError> {
        let started = self.collector.clock.now().as_millisecond();
        self.agree_on_time(started).await?;
        let in_force = InForce::of(&self.collector.live.load_full());
        super::prepare(&self.store).await?;
        let mut done = self.work_off().await?;
        self.note_strangers().await?;
        let rules = self.rules().await?;
        let begun = Instant::now();
        let n_days = self.derive(&rules).await?;
        let counting = begun.elapsed();
        let counted = self.collector.clock.now().as_millisecond();
        let due = plan::due(&self.store, &rules, 0).await?;
        self.expect_steps(due.len());
        self.write_journal(purge::entries(&due, &rules, run, counted))
            .await?;
        done.extend(self.work_off().await?);
        done.extend(self.purge_quarantine(run, &rules).await?);
        let purging = begun.elapsed().saturating_sub(counting);
        let verified = self.verify(&rules).await?;
        self.step("verified");
        self.metrics.findings.set(verified.findings.len() as i64);
        self.metrics
            .stuck_mutations
            .set(verified.stuck_mutations as i64);
        let ended = self.collector.clock.now();
        let record = RunRecord {
            run,
            collector,
            started_by: match started_by {
                StartedBy::Operator => "operator",
                StartedBy::Schedule => "schedule",
            }
            .into(),
            ts_ms: started,
            ended_ms: ended.as_millisecond(),
            purges: done.len() as u32,
            rows: done.iter().map(|purge| purge.rows).sum(),
            bytes: done.iter().map(|purge| purge.bytes).sum(),
            days: n_days,
            findings: verified.findings,
            held: rules.held(),
            version: env!("CARGO_PKG_VERSION").into(),
        };
        self.append(kind::RETENTION_RUN, &encode(&record)).await?;
        if record.findings.is_empty() {
            self.metrics.last_verified.set(ended.as_second() as f64);
            self.remember(in_force).await?;
        }
        for finding in &record.findings {
            tracing::error!(finding, "retention: still there");
        }
        tracing::info!(
            rows = record.rows,
            bytes = record.bytes,
            days_counted = record.days,
            counting_ms = counting.as_millis() as u64,
            purging_ms = purging.as_millis() as u64,
            findings = record.findings.len(),
            "retention run done"
        );
        let live = self.collector.live.load_full();
        self.metrics
            .look(&self.store, &live.sites, &rules, ended)
            .await?;
        Ok(record)
    }

    /// Purges go by the clock alone: two must agree. A dictated one is not compared.
    async fn agree_on_time(&self, ours: i64) -> Result<(), RunError> {
        if !self.collector.clock.is_of_the_system() {
            return Ok(());
        }
        let sql = "SELECT toUnixTimestamp64Milli(now64(3))";
        let query = self.store.client.query(sql);
        let theirs: i64 = within(self.store.timeout, query.fetch_one()).await?;
        match ours - theirs {
            apart if apart.abs() > APART_MS => Err(RunError::Apart(apart / 60_000)),
            _ => Ok(()),
        }
    }

    pub(super) async fn remember(&self, in_force: InForce) -> Result<(), RunError> {
        let file = self.last_rules.clone();
        let written = tokio::task::spawn_blocking(move || match file.read() {
            Some(last) if last == in_force => Ok(()),
            _ => file.write(in_force),
        });
        if let Err(error) = written.await? {
            tracing::warn!(%error, "the job runs once more at the next start");
        }
        Ok(())
    }

    /// Counts closed days anew where that is needed: before any of their events go.
    async fn derive(&self, rules: &Rules) -> Result<u32, RunError> {
        Ok(derived::build_all(&self.store, rules, None, Some(self)).await?)
    }

    /// Counts days anew whose events have changed since, by a restriction for example; open days are left alone.
    ///
    /// # Errors
    /// What ClickHouse said; the next run does it.
    pub async fn recount(&self) -> Result<u32, RunError> {
        let rules = self.rules().await?;
        self.derive(&rules).await
    }

    /// Notes sites that are there and not configured, so that their grace begins; and those that came back.
    async fn note_strangers(&self) -> Result<(), RunError> {
        let (live, config) = (self.collector.live.load_full(), &self.collector.config);
        let now = self.collector.clock.now();
        let rules = Rules::new(token_day(now), config.query.k, &live.retention, &live.sites);
        let grace = live.retention.removed_site_grace_days;
        let strangers = plan::strangers(&self.store, &rules, grace).await?;
        let noted = self.spooled(|record| match record {
            crate::event::Record::Purge(purge) if purge.run == 0 => {
                Some((purge.site.clone(), purge.rule.clone()))
            }
            _ => None,
        });
        let noted = noted.await?;
        for site in &strangers.new {
            tracing::warn!(
                site,
                grace_days = grace,
                "rows of a site that is not configured: they are purged after the grace"
            );
        }
        let new = strangers.new.into_iter().map(|site| (site, "missing"));
        let back = strangers.back.into_iter().map(|site| (site, "back"));
        for (site, rule) in new.chain(back) {
            if noted.contains(&(site.clone(), rule.to_owned())) {
                continue;
            }
            let day = token_day(now);
            let record = PurgeRecord {
                purge: u64::from_le_bytes(random_bytes()),
                run: 0,
                site,
                table: String::new(),
                rule: rule.into(),
                ts_ms: now.as_millisecond(),
                first_day: day,
                last_day: day,
                rows: 0,
                bytes: 0,
                verified: String::new(),
                version: env!("CARGO_PKG_VERSION").into(),
            };
            self.append(kind::PURGE, &encode(&record)).await?;
        }
        Ok(())
    }

    async fn purge_quarantine(&self, run: u64, rules: &Rules) -> Result<Vec<Purge>, RunError> {
        let (spool, due) = (self.collector.spool.clone(), rules.clone());
        let purged = tokio::task::spawn_blocking(move || super::quarantine::purge(&spool, &due));
        let purged = purged.await??;
        let removed = &self.collector.metrics.quarantine_removed;
        removed
            .with_label_values(&[Removal::Retention.word()])
            .inc_by(purged.records);
        if purged.records + purged.files == 0 {
            return Ok(Vec::new());
        }
        let done = Purge {
            purge: u64::from_le_bytes(random_bytes()),
            run,
            table: "quarantine".into(),
            site: String::new(),
            rule: "expired".into(),
            first_day: 0,
            last_day: rules.today,
            rows: purged.records,
            bytes: 0,
            condition: String::new(),
            is_recorded: true,
            began_ms: 0,
        };
        let record = PurgeRecord {
            purge: done.purge,
            run,
            site: String::new(),
            table: done.table.clone(),
            rule: done.rule.clone(),
            ts_ms: self.collector.clock.now().as_millisecond(),
            first_day: 0,
            last_day: rules.today,
            rows: purged.records,
            bytes: 0,
            verified: format!("files written anew; {} damaged ones removed", purged.files),
            version: env!("CARGO_PKG_VERSION").into(),
        };
        self.append(kind::PURGE, &encode(&record)).await?;
        Ok(vec![done])
    }

    pub(super) async fn write_journal(&self, entries: Vec<Purge>) -> Result<(), RunError> {
        if entries.is_empty() && self.journal.entries().is_empty() {
            return Ok(());
        }
        let journal = self.journal.clone();
        let written = tokio::task::spawn_blocking(move || journal.replace(entries));
        written.await?.map_err(RunError::Journal)
    }

    /// Returns what would go now, and what will go within `days`.
    ///
    /// # Errors
    /// What ClickHouse said.
    pub async fn plan(&self, days: u16) -> Result<(Rules, Vec<Due>, Vec<Due>), RunError> {
        let rules = self.rules().await?;
        let now = plan::due(&self.store, &rules, 0).await?;
        let later = rules.on(rules.today.saturating_add(days));
        let soon = plan::due(&self.store, &later, rules.today).await?;
        Ok((rules, now, soon))
    }

    /// Returns how many restrictions there are, and when the newest was asked for.
    pub(super) async fn restrictions(&self) -> Result<(u64, i64), RunError> {
        let sql = "SELECT count(), toInt64(ifNull(maxOrNull(toUnixTimestamp64Milli(ts)), 0)) FROM restrictions";
        let query = self.store.client.query(sql);
        Ok(within(self.store.timeout, query.fetch_one()).await?)
    }

    /// Returns when a run was last verified, and when one last ended: milliseconds since 1970, 0 for never. What ended under a
    /// clock that was ahead says nothing of when.
    pub(super) async fn last_run(&self) -> Result<(i64, i64), RunError> {
        let latest = self.collector.clock.now().as_millisecond() + AHEAD_MS;
        let sql = format!(
            "SELECT toInt64(ifNull(maxOrNullIf(toUnixTimestamp64Milli(ended), empty(findings)), 0)), \
             toInt64(ifNull(maxOrNull(toUnixTimestamp64Milli(ended)), 0)) FROM retention_runs \
             WHERE toUnixTimestamp64Milli(ended) <= {latest}"
        );
        let query = self.store.client.query(&sql);
        Ok(within(self.store.timeout, query.fetch_one()).await?)
    }
}
