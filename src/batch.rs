//! Sealed spool segments → ClickHouse, exactly once.
//!
//! Comes in: sealed segments, in order. Goes out: rows. A segment is cut into groups, one a table and
//! partition; a group is a batch: one statement, one part. A clear answer to the first attempt is
//! trusted. After anything else the batch is *uncertain*: the attempt is made sure to be dead, the rows
//! are counted by `batch_id`, and only what is missing is sent. Everything still in the spool at start
//! is uncertain. A segment is let go when all its rows are known to be in ClickHouse.
//!
//! The steps from segment to groups are a pure function of the segment's bytes, so that a batch means
//! the same rows after every restart. Memory is one row at a time: a segment is read again for each
//! group, never held.
//!
//! Lost: nothing. Rows that ClickHouse refuses are halved until the refused ones stand alone; those go
//! to quarantine and are counted. Rows whose retention ran out while ClickHouse was away are dropped
//! and counted: sending them would bring data back that was promised to be gone. Those of a site under
//! legal hold are sent all the same, and go when the hold ends.

mod group;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use thiserror::Error;
use tokio::sync::watch;

use self::group::{Group, GroupKey, group_of};
use crate::clock::SharedClock;
use crate::collector::Collector;
use crate::config::Batch as BatchConfig;
use crate::consent::revoked::Revocations;
use crate::consent::token::LedgerId;
use crate::event::{ConsentChoice, DenialRecord, EventId, Record, decode, expires_of, id_of};
use crate::event_ids::EventIds;
use crate::jitter;
use crate::metrics::Metrics;
use crate::rights::rows::Rows;
use crate::rights::settling;
use crate::shutdown;
use crate::spool::{self, ReadError, SegmentError, SegmentId, Spool};
use crate::store::classify::Class;
use crate::store::migrations::migrate;
use crate::store::{BatchId, Store, StoreError, Table};

/// The batch step; owned and awaited by `run()`.
#[allow(missing_docs)]
pub struct Batcher {
    pub spool: Spool,
    pub store: Store,
    pub revocations: Arc<Revocations>,
    pub event_ids: Arc<EventIds>,
    pub config: BatchConfig,
    pub clock: SharedClock,
    pub metrics: Metrics,
    /// Says which sites are under legal hold now.
    pub collector: Arc<Collector>,
    /// The newest segment that an earlier run left in the spool.
    pub left_over: Option<SegmentId>,
}

/// Why a segment could not be finished; it stays and is tried again.
#[derive(Debug, Error)]
enum SegmentFault {
    #[error(transparent)]
    Segment(#[from] SegmentError),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("revocation log: {0}")]
    Revocations(std::io::Error),
    #[error("event id log: {0}")]
    EventIds(std::io::Error),
    #[error("records that could be read cannot be read any more")]
    Unreadable,
    #[error("shutdown")]
    Shutdown,
}

/// How bringing a part to ClickHouse ended.
#[derive(Clone, Copy, PartialEq)]
enum Delivered {
    Stored,
    /// ClickHouse refuses its rows for good.
    Refused,
    /// Its day ended meanwhile, and not all of it is under legal hold.
    Expired,
}

/// Whether an attempt may still be alive, or rows of the batch may be there.
#[derive(Clone, Copy, PartialEq)]
enum Certainty {
    /// Nothing was ever sent.
    Untouched,
    /// Something was, and its end is not known.
    Uncertain,
}

/// What of the segment under way is in the logs; once is enough, however often its last step fails.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
enum Noted {
    Nothing,
    Withdrawals,
    Ids,
}

impl Batcher {
    /// Works until `shutdown` turns true and the spool is drained, or cannot be drained any further.
    ///
    /// # Cancel safety
    /// Dropping it leaves every unfinished segment in the spool, to be verified at the next start.
    pub async fn run(self, mut shutdown: watch::Receiver<bool>) {
        let mut backoff = self.config.retry_min;
        loop {
            let applied = tokio::select! {
                applied = self.prepare() => applied,
                () = shutdown::asked(&mut shutdown) => return,
            };
            let Err(error) = applied else { break };
            self.metrics.store_stopped.set(1);
            tracing::error!(%error, "ClickHouse does not have the schema yet; events keep waiting in the spool");
            if pause(backoff, &mut shutdown).await {
                return;
            }
            backoff = (backoff * 2).min(self.config.retry_max);
        }
        self.metrics.store_stopped.set(0);
        let mut after = None;
        let (mut faulted, mut noted) = (None, Noted::Nothing);
        loop {
            let id = tokio::select! {
                biased;
                id = self.spool.next_sealed(after) => id,
                () = shutdown::asked(&mut shutdown) => return,
            };
            let Some(id) = id else { return };
            // Segments of an earlier run may have been sent before it ended, and groups of one that could not be finished.
            let certainty = if Some(id) <= self.left_over || Some(id) == faulted {
                Certainty::Uncertain
            } else {
                Certainty::Untouched
            };
            match self.segment(id, certainty, &mut noted, &mut shutdown).await {
                Ok(()) => (after, noted) = (Some(id), Noted::Nothing),
                Err(SegmentFault::Shutdown) => return,
                Err(error) => {
                    faulted = Some(id);
                    tracing::error!(%error, segment = id.as_u64(), "cannot finish a spool segment; trying again");
                    self.metrics
                        .batch_errors
                        .with_label_values(&["spool"])
                        .inc();
                    if pause(Duration::from_secs(5), &mut shutdown).await {
                        return;
                    }
                }
            }
        }
    }

    /// Applies the schema. Others that store there learn of this collector before its first batch comes.
    async fn prepare(&self) -> Result<(), StoreError> {
        migrate(&self.store).await?;
        if self.collector.config.store.is_shared() {
            let rows = Rows::new(self.store.clone());
            settling::enter(&self.collector, &rows, true).await?;
        }
        Ok(())
    }

    async fn segment(
        &self,
        id: SegmentId,
        certainty: Certainty,
        noted: &mut Noted,
        shutdown: &mut watch::Receiver<bool>,
    ) -> Result<(), SegmentFault> {
        let Cut {
            incarnation,
            groups,
            withdrawn,
            ids,
        } = self.cut(id, certainty)?;
        let today = crate::consent::token_day(self.clock.now());
        for (number, (key, mut group)) in groups.into_iter().enumerate() {
            // Groups are days of expiry and months: a few sites' few days, far from 65,535 in one segment.
            let number = u16::try_from(number).unwrap_or(u16::MAX);
            let batch = BatchId::new(incarnation, id.as_u64(), number);
            if group.seqs.is_empty() {
                continue;
            }
            if key.is_expired(today) {
                group.seqs = self.drop_expired(id, group.seqs)?;
                if group.seqs.is_empty() {
                    continue;
                }
            }
            self.metrics
                .batch_rows
                .with_label_values(&[key.table.name()])
                .observe(group.seqs.len() as f64);
            let mut ranges = vec![(group.seqs, certainty)];
            while let Some((seqs, certainty)) = ranges.pop() {
                let part = Part {
                    id,
                    key,
                    batch,
                    seqs: &seqs,
                };
                match self.deliver(&part, certainty, shutdown).await? {
                    Delivered::Stored => continue,
                    Delivered::Refused => {}
                    Delivered::Expired => {
                        let held = self.drop_expired(id, seqs)?;
                        if !held.is_empty() {
                            ranges.push((held, Certainty::Uncertain));
                        }
                        continue;
                    }
                }
                // ClickHouse refuses these rows. Halves: what is sound gets in, what is not stands alone.
                if seqs.len() == 1 {
                    self.quarantine(id, &seqs, "ClickHouse refuses this row")?;
                    continue;
                }
                let (front, back) = seqs.split_at(seqs.len() / 2);
                ranges.push((back.to_vec(), Certainty::Untouched));
                ranges.push((front.to_vec(), Certainty::Untouched));
            }
        }
        if *noted < Noted::Withdrawals {
            self.revocations
                .persist(&withdrawn)
                .map_err(SegmentFault::Revocations)?;
            *noted = Noted::Withdrawals;
        }
        if *noted < Noted::Ids {
            self.event_ids
                .persist(ids)
                .map_err(SegmentFault::EventIds)?;
            *noted = Noted::Ids;
        }
        Ok(self.spool.release(id)?)
    }

    /// Reads a segment once: which records go where, and which consents it withdraws. What cannot be read
    /// goes to quarantine; the records around it are delivered. What an earlier attempt has set aside stays there.
    fn cut(&self, id: SegmentId, certainty: Certainty) -> Result<Cut, SegmentFault> {
        let set_aside = match certainty {
            Certainty::Untouched => BTreeSet::new(),
            Certainty::Uncertain => self.spool.set_aside(id)?,
        };
        let reader = self.spool.read(id)?;
        let mut cut = Cut {
            incarnation: reader.incarnation(),
            ..Cut::default()
        };
        for entry in reader {
            let record = match entry {
                Ok(record) => record,
                Err(ReadError::Damage(damage)) => {
                    tracing::error!(%damage, "damage in the spool; setting it aside");
                    let lost: Vec<u32> = damage.indexes.collect();
                    self.quarantine(id, &lost, "damaged on disk")?;
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let seq = record.index;
            cut.ids.extend(id_of(record.kind.0, &record.payload));
            // Nearly all records are events, and are read as a whole when they are sent.
            let key = match expires_of(record.kind.0, &record.payload) {
                Some(expires) => expires.map(GroupKey::of_events),
                None => decode(record.kind.0, &record.payload).map(|record| {
                    if let Record::Consent(consent) = &record
                        && consent.choice == ConsentChoice::Withdraw
                    {
                        cut.withdrawn
                            .push((LedgerId(consent.ledger), consent.last_day));
                    }
                    group_of(&record)
                }),
            };
            match key {
                Ok(key) => {
                    // A group of none keeps its number, so that the others keep theirs.
                    let group = cut.groups.entry(key).or_default();
                    if !set_aside.contains(&seq) {
                        group.seqs.push(seq);
                    }
                }
                Err(error) => {
                    tracing::error!(%error, "a spool record does not decode; setting it aside");
                    self.quarantine(id, &[seq], &error.to_string())?;
                }
            }
        }
        Ok(cut)
    }

    /// Counts events that must be gone as dropped, and returns those of them that a legal hold keeps.
    fn drop_expired(&self, id: SegmentId, seqs: Vec<u32>) -> Result<Vec<u32>, SegmentFault> {
        let held = self.held(id, &seqs)?;
        let n_dropped = seqs.len() - held.len();
        if n_dropped > 0 {
            self.metrics.rows_expired.inc_by(n_dropped as u64);
            tracing::warn!(
                rows = n_dropped,
                "spooled events outlived their retention; dropped"
            );
        }
        Ok(held)
    }

    /// Returns which of these events are of a site under legal hold.
    fn held(&self, id: SegmentId, seqs: &[u32]) -> Result<Vec<u32>, SegmentFault> {
        let live = self.collector.live.load();
        let sites = live.sites.iter().filter(|site| site.legal_hold.is_some());
        let sites: BTreeSet<&str> = sites.map(|site| site.id.as_str()).collect();
        if sites.is_empty() {
            return Ok(Vec::new());
        }
        let mut held = Vec::new();
        for entry in self.spool.read(id)? {
            let record = match entry {
                Ok(record) => record,
                // Damage was set aside when the segment was cut.
                Err(ReadError::Damage(_)) => continue,
                Err(error) => return Err(error.into()),
            };
            if seqs.binary_search(&record.index).is_ok()
                && let Ok(Record::Event(event)) = decode(record.kind.0, &record.payload)
                && sites.contains(event.site)
            {
                held.push(record.index);
            }
        }
        Ok(held)
    }

    /// Brings one part to ClickHouse.
    async fn deliver(
        &self,
        part: &Part<'_>,
        mut certainty: Certainty,
        shutdown: &mut watch::Receiver<bool>,
    ) -> Result<Delivered, SegmentFault> {
        let mut backoff = self.config.retry_min;
        let mut attempt = 0;
        loop {
            let result = match certainty {
                Certainty::Untouched => self.send(part, attempt).await.map(|rows| (rows, "stored")),
                Certainty::Uncertain => self.verify_and_send(part, attempt).await,
            };
            let error = match result {
                Ok((rows, how)) => {
                    self.metrics.batches.with_label_values(&[how]).inc();
                    self.metrics
                        .rows_stored
                        .with_label_values(&[part.key.table.name()])
                        .inc_by(rows);
                    self.metrics.store_stopped.set(0);
                    return Ok(Delivered::Stored);
                }
                Err(SendFault::Segment(fault)) => return Err(fault),
                Err(SendFault::Store(error)) => error,
            };
            self.metrics
                .batch_errors
                .with_label_values(&[&error.class().to_string()])
                .inc();
            if error.is_clear_refusal() {
                tracing::error!(%error, rows = part.seqs.len(), "ClickHouse refuses rows; halving the batch");
                return Ok(Delivered::Refused);
            }
            match error.class() {
                Class::Rights => {
                    self.metrics.store_stopped.set(1);
                    tracing::error!(%error, "ClickHouse lacks a table, database or right; events keep waiting in the spool");
                }
                Class::Data | Class::Pressure => {
                    tracing::warn!(%error, attempt, "insert is uncertain; will verify, then resend what is missing");
                }
            }
            certainty = Certainty::Uncertain;
            attempt += 1;
            let today = crate::consent::token_day(self.clock.now());
            if part.key.is_expired(today) && self.held(part.id, part.seqs)?.len() < part.seqs.len()
            {
                // Its day ended between two attempts. What the first one may have left goes with its partition;
                // sending it again would bring it back.
                return Ok(Delivered::Expired);
            }
            if pause(jitter::up_to(backoff), shutdown).await {
                return Err(SegmentFault::Shutdown);
            }
            backoff = (backoff * 2).min(self.config.retry_max);
        }
    }

    async fn verify_and_send(
        &self,
        part: &Part<'_>,
        attempt: u32,
    ) -> Result<(u64, &'static str), SendFault> {
        self.store.ensure_attempts_dead(part.batch).await?;
        let expected = self.expected_rows(part)?;
        let found = self.count(part).await?;
        if found == expected {
            return Ok((expected, "found_present"));
        }
        if found > 0 {
            // A batch is one part, so this takes a fault beyond those known; start the batch over.
            tracing::error!(
                found,
                expected,
                "a batch is there in part; deleting and sending it anew"
            );
            self.store
                .delete(part.key.table, part.batch, part.first(), part.last())
                .await?;
        }
        let rows = self.send(part, attempt).await?;
        let found = self.count(part).await?;
        if found != rows {
            return Err(SendFault::Store(StoreError::ClickHouse {
                class: Class::Pressure,
                code: None,
                message: format!("{found} of {rows} rows are there after a resend"),
            }));
        }
        Ok((rows, "resent"))
    }

    async fn count(&self, part: &Part<'_>) -> Result<u64, SendFault> {
        Ok(self
            .store
            .count(part.key.table, part.batch, part.first(), part.last())
            .await?)
    }

    /// Sends the part in one statement and returns how many rows it has.
    async fn send(&self, part: &Part<'_>, attempt: u32) -> Result<u64, SendFault> {
        let started = Instant::now();
        let mut writer = self
            .store
            .begin(part.key.table, part.batch, part.first(), attempt)
            .await?;
        let (mut rows, mut n_read) = (0, 0);
        let mut denials: BTreeMap<(String, u16), (u32, u32)> = BTreeMap::new();
        for entry in self.records(part)? {
            let record = entry?;
            n_read += 1;
            let seq = record.index;
            // What does not decode was set aside when the segment was cut.
            let Ok(record) = decode(record.kind.0, &record.payload) else {
                continue;
            };
            match &record {
                Record::Event(event) => writer.event(event, seq).await?,
                Record::Consent(consent) => writer.consent(consent, seq).await?,
                Record::Salt(salt) => writer.salt(salt, seq).await?,
                Record::Request(request) => writer.request(request, seq).await?,
                Record::Restriction(restriction) => writer.restriction(restriction, seq).await?,
                Record::Access(access) => writer.access(access, seq).await?,
                Record::Purge(purge) => writer.purge(purge, seq).await?,
                Record::Run(run) => writer.run(run, seq).await?,
                Record::Denial(denial) => {
                    denials
                        .entry((denial.site.clone(), denial.day))
                        .or_insert((0, seq))
                        .0 += 1;
                    continue;
                }
            }
            rows += 1;
        }
        for ((site, day), (n, seq)) in denials {
            writer.denials(&DenialRecord { site, day }, n, seq).await?;
            rows += 1;
        }
        if n_read != part.seqs.len() {
            // Dropped without its end, the statement writes nothing; the segment is read anew, and what is lost set aside.
            return Err(SendFault::Segment(SegmentFault::Unreadable));
        }
        writer.end().await?;
        self.metrics
            .batch_seconds
            .observe(started.elapsed().as_secs_f64());
        Ok(rows)
    }

    /// Denials are added up, so their rows are fewer than their records; all else is one row a record.
    fn expected_rows(&self, part: &Part<'_>) -> Result<u64, SendFault> {
        if part.key.table != Table::Denials {
            return Ok(part.seqs.len() as u64);
        }
        let mut keys = std::collections::BTreeSet::new();
        for entry in self.records(part)? {
            let record = entry?;
            if let Ok(Record::Denial(denial)) = decode(record.kind.0, &record.payload) {
                keys.insert((denial.site, denial.day));
            }
        }
        Ok(keys.len() as u64)
    }

    /// Reads the records of a part, in order.
    fn records<'a>(
        &self,
        part: &'a Part<'_>,
    ) -> Result<impl Iterator<Item = Result<spool::Record, SendFault>> + use<'a>, SendFault> {
        let mut wanted = part.seqs.iter().copied().peekable();
        let reader = self.spool.read(part.id).map_err(SegmentFault::from)?;
        Ok(reader.filter_map(move |entry| match entry {
            Ok(record) => wanted.next_if_eq(&record.index).map(|_| Ok(record)),
            // Damage was set aside when the segment was cut.
            Err(ReadError::Damage(_)) => None,
            Err(error) => Some(Err(SendFault::Segment(error.into()))),
        }))
    }

    /// Sets records aside for the operator; the segment must not be released before that is durable.
    fn quarantine(&self, id: SegmentId, seqs: &[u32], reason: &str) -> Result<(), SegmentFault> {
        let set_aside = self.spool.quarantine_records(id, seqs, reason)?;
        self.metrics.rows_quarantined.inc_by(seqs.len() as u64);
        tracing::error!(
            records = seqs.len(),
            reason,
            ?set_aside,
            "records set aside in quarantine"
        );
        Ok(())
    }
}

/// A segment, read once.
#[derive(Debug, Default)]
struct Cut {
    incarnation: u64,
    groups: BTreeMap<GroupKey, Group>,
    withdrawn: Vec<(LedgerId, u16)>,
    ids: Vec<EventId>,
}

/// What is sent in one statement.
#[derive(Debug)]
struct Part<'a> {
    id: SegmentId,
    key: GroupKey,
    batch: BatchId,
    /// Positions in the segment, ascending, at least one.
    seqs: &'a [u32],
}

impl Part<'_> {
    fn first(&self) -> u32 {
        self.seqs.first().copied().unwrap_or(0)
    }

    fn last(&self) -> u32 {
        self.seqs.last().copied().unwrap_or(0)
    }
}

#[derive(Debug)]
enum SendFault {
    Segment(SegmentFault),
    Store(StoreError),
}

impl From<SegmentFault> for SendFault {
    fn from(fault: SegmentFault) -> SendFault {
        SendFault::Segment(fault)
    }
}

impl From<StoreError> for SendFault {
    fn from(error: StoreError) -> SendFault {
        SendFault::Store(error)
    }
}

/// Waits; returns true where shutdown came first.
async fn pause(duration: Duration, shutdown: &mut watch::Receiver<bool>) -> bool {
    tokio::select! {
        () = tokio::time::sleep(duration) => false,
        () = shutdown::asked(shutdown) => true,
    }
}
