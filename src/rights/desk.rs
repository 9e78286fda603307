//! The desk: one function an action.
//!
//! Comes in: a request as written. Goes out: an [`Answer`], or why there is none. What an erasure does stands in
//! `erasing`; everything else is done here, while the visitor waits.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::{Value, json};
use thiserror::Error;
use tokio::sync::watch;

use super::answer::{self, Answer, frame};
use super::elsewhere;
use super::erasing::{self, Erasures, Gone};
use super::log::{ErasureLog, Pending, PendingKey};
use super::record;
use super::rows::{MAX_SHOWN, Rows};
use super::settling::{self, Settled};
use super::subject::{self, Action, Asked, Channel, Judge, Wire, understand};
use crate::beacon::Refused;
use crate::collector::Collector;
use crate::event::{RequestRecord, encode, kind};
use crate::outcome::Outcome;
use crate::salts::period::date_of;
use crate::secret::random_bytes;
use crate::spool::{AppendError, RecordKind, Replayed, SegmentError, SegmentId, always};
use crate::store::{Store, StoreError};

/// How long an answer waits until the spool is empty. Beyond it, what is newest may be missing, and the answer
/// says so.
const DRAIN_PATIENCE: Duration = Duration::from_secs(5);

/// How long an answer waits for an erasure. Beyond it, the erasure goes on and its state can be asked for.
const ERASURE_PATIENCE: Duration = Duration::from_secs(10);

/// How long a replay of the quarantine waits for other collectors' erasures.
const REPLAY_PATIENCE: Duration = Duration::from_secs(10);
const REPLAY_LOOK: Duration = Duration::from_millis(20);

/// Rounds of a read or a correction that the engine's end may spoil.
const ROUNDS: u32 = 3;

/// Why the quarantine was not replayed.
#[derive(Debug, Error)]
pub enum NotReplayed {
    /// Try again when it is done.
    #[error(
        "an erasure is under way, or a request made to another collector, and takes what is its own out of the quarantine first; try again in a minute"
    )]
    Erasing,
    /// The disk, or brine is closing.
    #[error(transparent)]
    Spool(SegmentError),
}

/// The desk at which requests are answered.
#[derive(Debug)]
pub struct Rights {
    collector: Arc<Collector>,
    rows: Rows,
    erasures: Arc<Erasures>,
}

impl Rights {
    /// Opens the desk; erasures that an earlier run had promised are in `directory`.
    ///
    /// # Errors
    /// The erasure log cannot be read: brine must not start.
    pub fn open(collector: Arc<Collector>, store: Store, directory: &Path) -> io::Result<Rights> {
        let log = ErasureLog::open(&directory.join("erasures.log"))?;
        // Told from the start: with ClickHouse away nothing else would tell it.
        collector.metrics.erasures_pending.set(log.len() as i64);
        Ok(Rights {
            collector,
            rows: Rows::new(store),
            erasures: Arc::new(Erasures::new(log)),
        })
    }

    /// Works on erasures, and answers other collectors, until shutdown.
    pub async fn work(self: Arc<Rights>, shutdown: watch::Receiver<bool>) {
        tokio::join!(
            erasing::work(
                &self.erasures,
                &self.collector,
                &self.rows,
                shutdown.clone()
            ),
            elsewhere::answer(&self.erasures, &self.collector, &self.rows, shutdown),
        );
    }

    /// Returns how many erasures are under way.
    pub fn n_pending(&self) -> usize {
        self.erasures.log.len()
    }

    /// Puts the records in the spool's quarantine back on their way to ClickHouse; to its end, also where nobody waits for it
    /// any more.
    ///
    /// # Errors
    /// [`NotReplayed`]; not while an erasure is under way, for its records must not go where it does not look.
    pub async fn replay_quarantine(&self) -> Result<Replayed, NotReplayed> {
        let (erasures, spool) = (self.erasures.clone(), self.collector.spool.clone());
        let replayed = tokio::spawn(async move {
            let begun = Instant::now();
            let _quiet = loop {
                // Not in a queue: requests would have to wait behind it.
                match erasures.replaying.try_write() {
                    Ok(quiet) => break quiet,
                    Err(_) if begun.elapsed() > REPLAY_PATIENCE => {
                        return Err(NotReplayed::Erasing);
                    }
                    Err(_) => tokio::time::sleep(REPLAY_LOOK).await,
                }
            };
            if !erasures.log.is_empty() {
                return Err(NotReplayed::Erasing);
            }
            spool.replay_quarantine().await.map_err(NotReplayed::Spool)
        });
        replayed.await.unwrap_or_else(|error| {
            let error = io::Error::other(error);
            Err(NotReplayed::Spool(SegmentError::Quarantine(error)))
        })
    }

    /// Understands a request and does it.
    ///
    /// # Errors
    /// [`Refused`]: as [`understand`], and `spool.*`, `store.unavailable`, `server.closing`, after which the same
    /// request can be made again.
    pub async fn answer(&self, wire: Wire, channel: Channel) -> Result<Answer, Refused> {
        let asked = {
            let live = self.collector.live.load();
            let judge = Judge {
                sites: &live.sites,
                mint: &self.collector.mint,
                receipts: &self.collector.receipts,
                salts: &self.collector.salts.living(),
            };
            understand(judge, wire, channel)?
        };
        let request = u64::from_le_bytes(random_bytes());
        let site = asked.site.id.to_string();
        let action = asked.action;
        let result = match action {
            Action::See => self.see(&asked, request).await,
            Action::Correct => self.correct(&asked, request).await,
            Action::Restrict => self.restrict(&asked, request, true).await,
            Action::Unrestrict => self.restrict(&asked, request, false).await,
            Action::Object => self.object(&asked, request).await,
            Action::Erase => self.erase(&asked, request).await,
            Action::Withdraw => self.withdraw(&asked, request).await,
            Action::Status => self.status(&asked).await,
        };
        let outcome = result
            .as_ref()
            .err()
            .map_or(Outcome::Accepted, |r| r.outcome);
        self.collector
            .metrics
            .rights
            .with_label_values(&[site.as_str(), action.name(), outcome.code()])
            .inc();
        result
    }

    /// Everything still linkable: the consent's history, and every event.
    async fn see(&self, asked: &Asked, request: u64) -> Result<Answer, Refused> {
        self.collector.spool.seal_now().await;
        let (here, around) = tokio::join!(
            self.drained(self.collector.spool.newest()),
            settling::ask_once(&self.collector, &self.rows, request, DRAIN_PATIENCE)
        );
        let around = around.map_err(|error| self.store_fault(asked, &error))?;
        let is_complete = here && around.silent().is_empty();
        let keys = days_of(asked);
        let mut round = 0;
        let (days, events, consent, meanings) = loop {
            round += 1;
            let read =
                async {
                    self.rows.put_keys(request, &keys).await?;
                    let days = self.rows.days(request).await?;
                    let events = self.rows.events(request, asked.day).await?;
                    let consent = match &asked.token {
                        Some(token) => {
                            self.rows
                                .consent(token.ledger().0, &asked.site.scope)
                                .await?
                        }
                        None => Vec::new(),
                    };
                    let meanings = self.rows.meanings().await?;
                    let counted = self.rows.count(request, None).await?;
                    self.rows.drop_keys(request).await?;
                    Ok((counted.keys == keys.len() as u64)
                        .then_some((days, events, consent, meanings)))
                };
            match read.await {
                Ok(Some(read)) => break read,
                Ok(None) if round < ROUNDS => {}
                Ok(None) => return Err(unavailable(asked)),
                Err(error) => return Err(self.store_fault(asked, &error)),
            }
        };
        let n_events: u64 = days.iter().map(|day| day.events).sum();
        let n_here: u64 = match asked.day {
            Some(day) => {
                let day = date_of(day).to_string();
                days.iter()
                    .filter(|one| one.day == day)
                    .map(|one| one.events)
                    .sum()
            }
            None => n_events,
        };
        self.record(asked, request, n_events, "").await?;
        let mut body = frame(&self.collector, asked, request);
        body["rows"] = n_events.into();
        body["days"] = json!(days);
        body["events"] = json!(events);
        body["is_complete"] = (is_complete && n_here <= MAX_SHOWN as u64).into();
        body["consent"] = answer::consent(&self.collector, asked, &consent);
        body["meanings"] = meanings
            .into_iter()
            .map(|(name, text)| (name, Value::from(text)))
            .collect();
        Ok(Answer::done(body))
    }

    /// Makes wrong values right, where all of the visitor's events have left the spool.
    async fn correct(&self, asked: &Asked, request: u64) -> Result<Answer, Refused> {
        let Some(correction) = &asked.correction else {
            return Err(unavailable(asked));
        };
        // What is stored is masked on its way in, and so is what takes its place.
        let correction = subject::Correction {
            to: crate::enrich::mask::mask_cut(&correction.to, crate::beacon::MAX_PROP_VALUE)
                .into_owned(),
            ..correction.clone()
        };
        let config = &self.collector.config.consent;
        let first = record::asked(asked, request, self.now(), config);
        let segment = self.append(asked, kind::REQUEST, &encode(&first)).await?;
        self.collector.spool.seal_now().await;
        let (is_drained, around) = tokio::join!(
            self.drained(segment),
            settling::ask_once(&self.collector, &self.rows, request, DRAIN_PATIENCE)
        );
        let around = around.map_err(|error| self.store_fault(asked, &error))?;
        if !is_drained || !around.silent().is_empty() {
            tracing::warn!(silent = ?around.silent(), "a correction waits for what is still in a spool");
            return Err(unavailable(asked));
        }
        let settled = around.settled(Settled::here(&self.collector, segment));
        let keys = days_of(asked);
        let corrected = async {
            for _ in 0..ROUNDS {
                self.rows.put_keys(request, &keys).await?;
                self.rows.put_values(request, &correction).await?;
                let (n_keys, wrong) = self.rows.wrong(request, &settled, &correction).await?;
                if n_keys != keys.len() as u64 {
                    continue;
                }
                if wrong > 0 {
                    self.rows.correct(request, &settled, &correction).await?;
                }
                let (n_keys, left) = self.rows.wrong(request, &settled, &correction).await?;
                let is_right =
                    n_keys == keys.len() as u64 && (left == 0 || correction.from == correction.to);
                if is_right {
                    if wrong > 0 {
                        self.rows.wipe_old_parts().await?;
                    }
                    self.rows.drop_keys(request).await?;
                    return Ok(Some(wrong));
                }
            }
            Ok(None)
        };
        let n = match corrected.await {
            Ok(Some(n)) => n,
            Ok(None) => return Err(unavailable(asked)),
            Err(error) => return Err(self.store_fault(asked, &error)),
        };
        self.record(asked, request, n, "none_left_wrong,old_parts_gone")
            .await?;
        let mut body = frame(&self.collector, asked, request);
        body["rows"] = n.into();
        body["value"] = correction.to.into();
        body["verified"] = "No event of yours has the wrong value any more; the old copies are gone from the disk.".into();
        Ok(Answer::done(body))
    }

    /// Takes the visitor's days out of every counting, or puts them back.
    async fn restrict(
        &self,
        asked: &Asked,
        request: u64,
        is_restricted: bool,
    ) -> Result<Answer, Refused> {
        let keys = days_of(asked);
        let records = record::restrictions(asked, &keys, is_restricted, self.now());
        let mut last = None;
        // A few hundred at a time: together they must fit the spool's buffer.
        for chunk in records.chunks(256) {
            let payloads: Vec<Vec<u8>> = chunk.iter().map(encode).collect();
            let many: Vec<(RecordKind, &[u8])> = payloads
                .iter()
                .map(|payload| (RecordKind(kind::RESTRICTION), payload.as_slice()))
                .collect();
            let range = self.collector.spool.append_many(&many, always).await;
            let range = range.map_err(|error| spool_fault(asked, &error))?;
            last = Some(range.first.segment);
        }
        self.collector.spool.seal_now().await;
        let is_drained = match last {
            Some(segment) => self.drained(segment).await,
            None => true,
        };
        let mut body = frame(&self.collector, asked, request);
        if !is_drained {
            // That it was asked is on record all the same; nothing could be counted yet.
            let config = &self.collector.config.consent;
            let asked_for = record::asked(asked, request, self.now(), config);
            self.append(asked, kind::REQUEST, &encode(&asked_for))
                .await?;
            let note = "Recorded, durably; in force as soon as ClickHouse can be reached.";
            return Ok(Answer::later(body, note));
        }
        let counts = async {
            self.rows.put_keys(request, &keys).await?;
            let all = self.rows.count(request, None).await?;
            let counted = self.rows.counted(request).await?;
            self.rows.drop_keys(request).await?;
            Ok((all, counted))
        };
        let (all, counted) = counts
            .await
            .map_err(|error| self.store_fault(asked, &error))?;
        let expected = if is_restricted { 0 } else { all.events };
        if all.keys != keys.len() as u64 || counted != expected {
            return Err(unavailable(asked));
        }
        self.record(asked, request, all.events, "counted_again")
            .await?;
        body["rows"] = all.events.into();
        body["verified"] = match is_restricted {
            true => "Counted again as every report counts: none of these events is in it.".into(),
            false => "Counted again as every report counts: all of these events are in it.".into(),
        };
        Ok(Answer::done(body))
    }

    /// No further processing: no new event is let in, and what is there is not counted.
    async fn object(&self, asked: &Asked, request: u64) -> Result<Answer, Refused> {
        let is_withdrawn = match asked.token {
            Some(_) => {
                self.take_back(asked).await?;
                true
            }
            None => false,
        };
        let mut answer = self.restrict(asked, request, true).await?;
        answer.body["withdrawn"] = is_withdrawn.into();
        Ok(answer)
    }

    async fn withdraw(&self, asked: &Asked, request: u64) -> Result<Answer, Refused> {
        self.take_back(asked).await?;
        self.record(asked, request, 0, "").await?;
        let mut body = frame(&self.collector, asked, request);
        body["withdrawn"] = true.into();
        body["rows"] = 0.into();
        Ok(Answer::done(body))
    }

    async fn take_back(&self, asked: &Asked) -> Result<(), Refused> {
        let Some(token) = &asked.token else {
            return Ok(());
        };
        match self
            .collector
            .withdraw(&asked.site, token, &asked.source)
            .await
        {
            Outcome::Accepted => Ok(()),
            outcome => Err(Refused::plain(outcome, &asked.site)),
        }
    }

    /// Erases, and waits for it a while; it goes on without anybody waiting.
    async fn erase(&self, asked: &Asked, request: u64) -> Result<Answer, Refused> {
        let config = &self.collector.config.consent;
        let first = record::asked(asked, request, self.now(), config);
        match self.begin(asked, request, encode(&first)).await? {
            true => {}
            false => return Err(unavailable(asked)),
        }
        self.collector
            .metrics
            .erasures_pending
            .set(self.erasures.log.len() as i64);
        self.erasures.wake();
        self.collector.spool.seal_now().await;
        let gone = self.erasures.wait(request, ERASURE_PATIENCE).await;
        Ok(self.erasure(asked, request, gone))
    }

    /// Writes an erasure down; to its end, also where nobody waits for it any more. False where too many are under way.
    async fn begin(&self, asked: &Asked, request: u64, first: Vec<u8>) -> Result<bool, Refused> {
        let mut pending = Pending {
            request,
            scope: asked.site.scope.clone(),
            channel: asked.channel.name().into(),
            periods: asked.keys.len() as u32,
            segment: 0,
            found: None,
            keys: days_of(asked),
            gone: 0,
            quarantined: 0,
            damaged_files: 0,
        };
        let (erasures, spool) = (self.erasures.clone(), self.collector.spool.clone());
        let begun = tokio::spawn(async move {
            let _no_replay = erasures.replaying.read().await;
            let appended = spool.append(RecordKind(kind::REQUEST), &first, always);
            pending.segment = appended.await?.segment.as_u64();
            let added = erasures.clone().change(|log| log.add(pending)).await;
            Ok::<_, AppendError>(added)
        });
        match begun.await {
            Ok(Ok(Ok(is_added))) => Ok(is_added),
            Ok(Err(error)) => Err(spool_fault(asked, &error)),
            Ok(Ok(Err(error))) => {
                tracing::error!(%error, "an erasure cannot be written down");
                Err(Refused::plain(Outcome::SpoolFailed, &asked.site))
            }
            Err(error) => {
                tracing::error!(%error, "an erasure cannot be written down");
                Err(Refused::plain(Outcome::SpoolFailed, &asked.site))
            }
        }
    }

    /// How far an erasure is; also one that another collector was asked for, as far as `requests` tells.
    async fn status(&self, asked: &Asked) -> Result<Answer, Refused> {
        let request = asked.request.unwrap_or(0);
        if let Some(gone) = self.erasures.gone(request) {
            return Ok(self.erasure(asked, request, Some(gone)));
        }
        if self.erasures.log.contains(request) {
            return Ok(self.erasure(asked, request, None));
        }
        let steps = self.rows.steps(request).await;
        let (is_asked, is_done) = steps.map_err(|error| self.store_fault(asked, &error))?;
        let mut body = frame(&self.collector, asked, request);
        body["note"] = match (is_asked, is_done) {
            (_, true) => "Done, and verified.",
            (true, false) => {
                body["action"] = Action::Erase.name().into();
                return Ok(Answer::later(
                    body,
                    "Under way at the collector that was asked.",
                ));
            }
            (false, false) if self.collector.config.store.is_shared() => {
                return Ok(Answer::later(
                    body,
                    "Not known here; the collector that was asked knows more.",
                ));
            }
            (false, false) => "No such request is known.",
        }
        .into();
        Ok(Answer::done(body))
    }

    fn erasure(&self, asked: &Asked, request: u64, gone: Option<Gone>) -> Answer {
        let mut body = frame(&self.collector, asked, request);
        body["action"] = Action::Erase.name().into();
        let Some(gone) = gone else {
            let note =
                "Under way, and certain: it goes on through restarts. Ask again with this number.";
            return Answer::later(body, note);
        };
        body["rows"] = gone.rows.into();
        body["quarantined"] = (gone.quarantined + gone.damaged_files).into();
        body["verified"] =
            "The spool has let go of everything up to your request; a count finds no event and no \
                            restriction of yours; the files that held them are deleted."
                .into();
        if gone.parts_aside > 0 {
            body["parts_aside"] = gone.parts_aside.into();
        }
        Answer::done(body)
    }

    async fn record(
        &self,
        asked: &Asked,
        request: u64,
        affected: u64,
        verified: &str,
    ) -> Result<(), Refused> {
        let config = &self.collector.config.consent;
        let record: RequestRecord =
            record::answered(asked, request, self.now(), config, affected, verified);
        self.append(asked, kind::REQUEST, &encode(&record))
            .await
            .map(drop)
    }

    async fn append(&self, asked: &Asked, kind: u8, payload: &[u8]) -> Result<SegmentId, Refused> {
        let appended = self
            .collector
            .spool
            .append(RecordKind(kind), payload, always);
        match appended.await {
            Ok(position) => Ok(position.segment),
            Err(error) => Err(spool_fault(asked, &error)),
        }
    }

    async fn drained(&self, last: SegmentId) -> bool {
        let drained = self.collector.spool.drained_through(last);
        tokio::time::timeout(DRAIN_PATIENCE, drained).await.is_ok()
    }

    fn now(&self) -> Timestamp {
        self.collector.clock.now()
    }

    fn store_fault(&self, asked: &Asked, error: &StoreError) -> Refused {
        tracing::warn!(%error, action = asked.action.name(), "a visitor's request cannot be answered now");
        unavailable(asked)
    }
}

/// The local dates of every key, once each.
fn days_of(asked: &Asked) -> Vec<PendingKey> {
    let days: BTreeSet<(u16, &str, u64)> = asked
        .keys
        .iter()
        .flat_map(|key| {
            let one = move |day| (day, key.site.id.as_str(), key.visitor);
            key.days.clone().map(one)
        })
        .collect();
    days.into_iter()
        .map(|(day, site, visitor)| PendingKey {
            site: site.to_owned(),
            day,
            visitor,
        })
        .collect()
}

fn unavailable(asked: &Asked) -> Refused {
    Refused::plain(Outcome::StoreUnavailable, &asked.site)
}

fn spool_fault(asked: &Asked, error: &AppendError) -> Refused {
    Refused::plain(crate::collector::spool_outcome(error), &asked.site)
}
