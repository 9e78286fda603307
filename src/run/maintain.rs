//! What happens by the clock: salts, sweeps, gauges, and files that are read anew.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::MissedTickBehavior;

use crate::collector::{Collector, Live};
use crate::config::Config;
use crate::consent::token_day;
use crate::engine::supervise::{EngineHandle, State};
use crate::event::{SaltStep, encode, kind};
use crate::listener::tls::Certificates;
use crate::shutdown;
use crate::spool::{RecordKind, always};

/// Salts and gauges are looked after this often; a midnight is never further away than that.
const TICK: Duration = Duration::from_secs(1);

/// Ticks between sweeps of the rate limiter (facts: governor never evicts by itself).
const SWEEP_TICKS: u64 = 10;

/// Ticks between looks at files that may have changed.
const FILE_TICKS: u64 = 30;

/// Ticks between sweeps of revocations.
const REVOCATION_TICKS: u64 = 3_600;

/// Works until shutdown.
pub(super) async fn run(
    collector: Arc<Collector>,
    certificates: Option<Arc<Certificates>>,
    engine: Option<EngineHandle>,
    reload: Arc<Notify>,
    read_config: Box<dyn Fn() -> Result<Config, String> + Send + Sync>,
    mut shutdown: watch::Receiver<bool>,
) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut n: u64 = 0;
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                n += 1;
                salts(&collector).await;
                gauges(&collector, engine.as_ref());
                if n.is_multiple_of(SWEEP_TICKS) {
                    collector.live.load().limiter.sweep();
                    collector.open_visits.sweep(collector.clock.now().as_millisecond());
                    sweep_event_ids(&collector).await;
                }
                if n.is_multiple_of(FILE_TICKS) {
                    files(&collector, certificates.as_ref()).await;
                }
                if n.is_multiple_of(REVOCATION_TICKS) {
                    sweep_revocations(&collector).await;
                }
            }
            () = reload.notified() => {
                sites(&collector, read_config.as_ref()).await;
                files(&collector, certificates.as_ref()).await;
            }
            () = shutdown::asked(&mut shutdown) => return,
        }
    }
}

/// Lets the keeper make and destroy what is due, and records each step.
pub(super) async fn salts(collector: &Arc<Collector>) {
    let records = tick(collector).await;
    record_salts(collector, &records).await;
}

/// The same for days that are long over, without a line in the log for each of hundreds of steps.
pub(super) async fn past_salts(collector: &Arc<Collector>) {
    for record in tick(collector).await {
        record_salt(collector, &record).await;
    }
}

async fn tick(collector: &Arc<Collector>) -> Vec<SaltStep> {
    let keeper = collector.clone();
    let ticked = tokio::task::spawn_blocking(move || {
        let mut records = Vec::new();
        let (sites, now) = (keeper.live.load(), keeper.clock.now());
        let result = keeper.salts.tick(&sites.sites, now, &mut records);
        (records, result)
    });
    match ticked.await {
        Ok((records, result)) => {
            if let Err(error) = result {
                collector.metrics.salt_failures.inc();
                let error = format!("{:#}", anyhow::Error::new(error));
                tracing::error!(error, "salts cannot be renewed or destroyed; trying again");
            }
            records
        }
        Err(error) => {
            tracing::error!(%error, "salt task");
            Vec::new()
        }
    }
}

/// Records the steps of salts' lives.
pub(crate) async fn record_salts(collector: &Collector, records: &[SaltStep]) {
    for record in records {
        tracing::info!(
            site = record.site,
            step = record.step,
            reason = record.reason,
            how = record.how,
            "salt"
        );
        record_salt(collector, record).await;
    }
}

async fn record_salt(collector: &Collector, record: &SaltStep) {
    collector
        .metrics
        .salt_steps
        .with_label_values(&[&record.step, &record.reason])
        .inc();
    if let Err(error) = collector
        .spool
        .append(RecordKind(kind::SALT_STEP), &encode(record), always)
        .await
    {
        // The step was taken; only its record is late.
        tracing::error!(%error, site = record.site, step = record.step, "cannot record a salt's step");
    }
}

fn gauges(collector: &Collector, engine: Option<&EngineHandle>) {
    let metrics = &collector.metrics;
    let live = collector.live.load();
    let now = collector.clock.now();
    metrics
        .clock_seconds
        .set(now.as_millisecond() as f64 / 1_000.0);
    metrics.limiter_keys.set(live.limiter.keys() as i64);
    let most = live.limiter.most_keys();
    metrics
        .limiter_keys_limit
        .set(i64::try_from(most).unwrap_or(i64::MAX));
    metrics.open_visits.set(collector.open_visits.len() as i64);
    metrics.event_ids.set(collector.event_ids.len() as i64);
    metrics.revocations.set(collector.revocations.len() as i64);
    let ages = collector.salts.ages(&live.sites, now);
    metrics.salts_living.set(ages.living as i64);
    metrics.salt_oldest_seconds.set(ages.oldest_s as f64);
    metrics.salt_overdue_seconds.set(ages.overdue_s as f64);
    metrics.salts_off_chain.set(ages.off_chain as i64);
    metrics
        .secrets_unlocked
        .set(crate::secret::unlocked() as i64);
    let spool = collector.spool.stats();
    metrics.spool_bytes.set(spool.bytes as i64);
    let limit = collector.config.spool.max_bytes;
    metrics
        .spool_limit_bytes
        .set(i64::try_from(limit).unwrap_or(i64::MAX));
    metrics.spool_segments.set(spool.segments as i64);
    metrics
        .spool_oldest_seconds
        .set(spool.oldest.map_or(0.0, |age| age.as_secs_f64()));
    metrics.spool_quarantined.set(spool.quarantine_bytes as i64);
    for (file, built_s) in collector.enrichers.geo_built() {
        let age = now.as_second() as f64 - built_s as f64;
        metrics.geo_age_seconds.with_label_values(&[file]).set(age);
    }
    let Some(engine) = engine else {
        metrics.engine_up.set(-1);
        return;
    };
    metrics
        .engine_restarts
        .set(engine.numbers().restarts as i64);
    metrics
        .engine_up
        .set(i64::from(*engine.state().borrow() == State::Ready));
}

/// Reads data files anew where they changed; a bad one is refused and the old one kept.
async fn files(collector: &Arc<Collector>, certificates: Option<&Arc<Certificates>>) {
    let (here, certificates) = (collector.clone(), certificates.cloned());
    let looked = tokio::task::spawn_blocking(move || {
        let mut results = here.enrichers.reload_if_changed();
        if let Some(certificates) = certificates {
            results.push((
                "certificate",
                certificates.reload_if_changed().map_err(|e| e.to_string()),
            ));
        }
        for (file, result) in results {
            let word = match result {
                Ok(false) => continue,
                Ok(true) => {
                    tracing::info!(file, "read anew");
                    "done"
                }
                Err(error) => {
                    tracing::error!(
                        file,
                        error,
                        "changed, but cannot be used; the old one stays"
                    );
                    "refused"
                }
            };
            here.metrics.reloads.with_label_values(&[file, word]).inc();
        }
    });
    if let Err(error) = looked.await {
        tracing::error!(%error, "file task");
    }
}

/// Takes over sites, rules, limits and the policy from the configuration file; all of it or nothing.
async fn sites(
    collector: &Arc<Collector>,
    read_config: &(dyn Fn() -> Result<Config, String> + Send + Sync),
) {
    let here = collector.clone();
    let published = match read_config() {
        Ok(config) => tokio::task::spawn_blocking(move || {
            let left = here.config.needs_restart(&config);
            let config = here.config.reloaded(config);
            let live = Live::publish(&config, here.clock.now(), &here.metrics)?;
            if !left.is_empty() {
                tracing::warn!(
                    ?left,
                    "these have changed, too, and hold from the next start on"
                );
            }
            Ok(live)
        })
        .await
        .unwrap_or_else(|error| Err(error.to_string())),
        Err(error) => Err(error),
    };
    let word = match published {
        Ok(live) => {
            collector.live.store(Arc::new(live));
            salts(collector).await;
            tracing::info!("sites and rules read anew");
            "done"
        }
        Err(error) => {
            tracing::error!(error, "configuration cannot be used; the old one stays");
            "refused"
        }
    };
    collector
        .metrics
        .reloads
        .with_label_values(&["sites", word])
        .inc();
}

async fn sweep_event_ids(collector: &Arc<Collector>) {
    let here = collector.clone();
    let swept = tokio::task::spawn_blocking(move || here.event_ids.sweep(here.clock.now()));
    match swept.await {
        Ok(Ok(0)) => {}
        Ok(Ok(early)) => {
            collector.metrics.event_ids_forgotten.inc_by(early as u64);
            tracing::warn!(
                early,
                "event ids forgotten before their time; raise limits.event_ids"
            );
        }
        Ok(Err(error)) => tracing::error!(%error, "the log of event ids cannot be swept"),
        Err(error) => tracing::error!(%error, "event id task"),
    }
}

async fn sweep_revocations(collector: &Arc<Collector>) {
    let here = collector.clone();
    let swept =
        tokio::task::spawn_blocking(move || here.revocations.sweep(token_day(here.clock.now())));
    if let Ok(Err(error)) = swept.await {
        tracing::error!(%error, "revocation log cannot be swept");
    }
}
