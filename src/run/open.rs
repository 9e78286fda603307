//! What is opened before anything is accepted: keys, salts, spool, rules; and the way to ClickHouse.
//!
//! Comes in: the configuration. Goes out: a [`Collector`] that knows what an earlier run left, and a [`Store`] with its
//! engine, where that is ours.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use arc_swap::ArcSwap;

use super::observe::{SpoolTime, SpoolWatch};
use super::{OPEN_VISITS, RunError, chain, engine_directory, maintain, part};
use crate::clock::SharedClock;
use crate::collector::{Collector, Live};
use crate::config::settings::Environment;
use crate::config::{self, Config, Place};
use crate::consent::revoked::Revocations;
use crate::consent::token::{LedgerId, Mint};
use crate::consent::token_day;
use crate::engine::config::Limits as EngineLimits;
use crate::engine::fetch;
use crate::engine::supervise::{EngineSettings, Supervisor};
use crate::enrich::step::Enrichers;
use crate::event::{self, ConsentChoice, Record, decode};
use crate::event_ids::EventIds;
use crate::metrics::Metrics;
use crate::open_visits::OpenVisits;
use crate::rights::receipt::Receipts;
use crate::salts::{Keeper, Keeping, wrap};
use crate::secret;
use crate::spool::{Disk, ReadError, Recovery, Spool, SpoolSettings};
use crate::store::Store;

/// Opens keys, revocations, salts, spool and rules, and makes the first salts: all that a beacon needs.
pub(super) async fn open_collector(
    config: Config,
    clock: &SharedClock,
    metrics: &Metrics,
    environment: &Environment,
) -> Result<(Arc<Collector>, Recovery), RunError> {
    let key = secret::load_or_create(&config.consent.key_file)
        .map_err(|e| part("consent key", chain(&e)))?;
    let revocations = Revocations::open(
        &config.directory.join("revocations.log"),
        token_day(clock.now()),
    )
    .map_err(|e| part("revocation log", e))?;
    let salts = open_salts(&config.salts, environment)?;
    let (spool, recovery) = open_spool(&config, clock, metrics)?;
    let event_ids = EventIds::open(
        &config.directory.join("ids"),
        &key,
        config.limits.event_ids,
        clock.now(),
    )
    .map_err(|e| part("event ids", e))?;
    restore(&spool, &recovery, &revocations, &event_ids).await?;
    let enrichers =
        Enrichers::open(&config.enrich).map_err(|e| part("enrichment data", chain(&e)))?;
    for gap in config.policy.gaps() {
        tracing::warn!(
            key = gap.key,
            reason = gap.reason,
            "the policy is incomplete"
        );
    }
    let live = Live::publish(&config, clock.now(), metrics).map_err(|e| part("sites", e))?;
    let collector = Arc::new(Collector {
        clock: clock.clone(),
        live: ArcSwap::from_pointee(live),
        mint: Mint::new(&key),
        receipts: Receipts::new(&key),
        revocations: Arc::new(revocations),
        salts,
        open_visits: OpenVisits::new(OPEN_VISITS),
        enrichers,
        spool,
        event_ids: Arc::new(event_ids),
        metrics: metrics.clone(),
        is_closing: AtomicBool::new(false),
        config,
    });
    // Salts before the first beacon.
    maintain::salts(&collector).await;
    Ok((collector, recovery))
}

fn open_salts(salts: &config::Salts, environment: &Environment) -> Result<Keeper, RunError> {
    let key = match &salts.key {
        Some(place) => Some(wrap::load(place, environment).map_err(|e| part("salts", chain(&e)))?),
        None => None,
    };
    let keeping = Keeping {
        key,
        seed_file: salts.seed_file.clone(),
    };
    Keeper::open(&salts.directory, keeping).map_err(|e| part("salts", chain(&e)))
}

fn open_spool(
    config: &Config,
    clock: &SharedClock,
    metrics: &Metrics,
) -> Result<(Spool, Recovery), RunError> {
    let settings = SpoolSettings {
        segment_records: u32::try_from(config.batch.max_rows).unwrap_or(u32::MAX),
        segment_bytes: 32 << 20,
        segment_age: config.batch.max_age,
        group_records: u32::try_from(config.spool.group_records).unwrap_or(u32::MAX),
        group_delay: config.spool.group_delay,
        max_bytes: config.spool.max_bytes,
        reserve_bytes: config.spool.reserve_bytes,
        ..SpoolSettings::default()
    };
    let (spool, recovery) = Spool::open(
        &config.directory.join("spool"),
        Arc::new(Disk),
        Arc::new(SpoolTime(clock.clone())),
        Arc::new(SpoolWatch(metrics.clone())),
        settings,
    )
    .map_err(|e| part("spool", chain(&e)))?;
    if recovery != Recovery::default() {
        tracing::warn!(?recovery, "spool recovered what an earlier run left");
    }
    Ok((spool, recovery))
}

/// Withdrawals that were answered but whose ledger rows are still in the spool must be in force before
/// the first beacon is let in; and the events that are there must be known, so that none comes in twice.
async fn restore(
    spool: &Spool,
    recovery: &Recovery,
    revocations: &Revocations,
    event_ids: &EventIds,
) -> Result<(), RunError> {
    let mut after = None;
    // What an earlier run left is sealed already: this never waits.
    while after < recovery.last
        && let Some(id) = spool.next_sealed(after).await
    {
        after = Some(id);
        let reader = spool.read(id).map_err(|e| part("spool", chain(&e)))?;
        // Damage is met again, and dealt with, by the batch step.
        for record in reader {
            let record = match record {
                Ok(record) => record,
                Err(ReadError::Damage(_)) => continue,
                // Withdrawals may be behind it: brine must not start as if there were none.
                Err(error) => return Err(part("spool", chain(&error))),
            };
            if let Some(id) = event::id_of(record.kind.0, &record.payload) {
                event_ids.remember(id);
            } else if let Ok(Record::Consent(consent)) = decode(record.kind.0, &record.payload)
                && consent.choice == ConsentChoice::Withdraw
            {
                revocations.insert(LedgerId(consent.ledger), consent.last_day);
            }
        }
    }
    Ok(())
}

pub(super) async fn open_store(
    config: &Config,
    environment: &Environment,
) -> Result<(Option<Supervisor>, Store), RunError> {
    let (supervisor, engine, client) = match &config.store.place {
        Place::Embedded {
            library,
            memory_mib,
        } => {
            let settings =
                engine_settings(config, library.as_deref(), *memory_mib, environment).await?;
            let (supervisor, handle) = Supervisor::start(settings)
                .await
                .map_err(|e| part("embedded engine", chain(&e)))?;
            let client = handle.client();
            (Some(supervisor), Some(handle), client)
        }
        Place::Server {
            url,
            user,
            password_file,
        } => {
            let mut client = clickhouse::Client::default().with_url(url).with_user(user);
            if let Some(path) = password_file {
                let password = fs::read_to_string(path)
                    .map_err(|e| part("store.password_file", format!("{}: {e}", path.display())))?;
                client = client.with_password(password.trim_end());
            }
            (None, None, client)
        }
    };
    let store = Store {
        client: client.with_database(&config.store.database),
        database: config.store.database.clone(),
        timeout: config.store.timeout,
        engine,
    };
    Ok((supervisor, store))
}

/// Says how the engine's child is started; gets the library first where it is missing.
async fn engine_settings(
    config: &Config,
    library: Option<&Path>,
    memory_mib: u64,
    environment: &Environment,
) -> Result<EngineSettings, RunError> {
    let fault = |error: String| part("embedded engine", error);
    let library = match library {
        Some(path) => path.to_owned(),
        None => {
            let environment = environment.clone();
            let find = move || {
                let value = |name: &str| environment.get(name).map(OsString::from);
                let path = fetch::library_path(&value).map_err(|e| chain(&e))?;
                // A library that the operator named is theirs to put there; ours is fetched once.
                if path.exists() || value("BRINE_ENGINE_LIB").is_some() {
                    return Ok(path);
                }
                let cache = fetch::cache_dir(&value).map_err(|e| chain(&e))?;
                fetch::fetch(&cache).map_err(|e| chain(&e))
            };
            tokio::task::spawn_blocking(find)
                .await
                .map_err(|e| fault(e.to_string()))?
                .map_err(fault)?
        }
    };
    let memory_bytes = memory_mib << 20;
    Ok(EngineSettings {
        program: std::env::current_exe().map_err(|e| fault(e.to_string()))?,
        data: engine_directory(&config.directory),
        socket: None,
        listen: None,
        library,
        limits: EngineLimits {
            memory_bytes,
            query_memory_bytes: memory_bytes / 2,
            ..EngineLimits::default()
        },
        // Nothing else of the environment: SQL might read it by way of /proc.
        environment: ["TZ", "BRINE_LOG"]
            .into_iter()
            .filter_map(|name| Some((name.into(), environment.get(name)?.into())))
            .collect(),
        monotonic: Instant::now,
    })
}
