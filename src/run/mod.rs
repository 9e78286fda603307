//! Everything started in order, and stopped in order.
//!
//! Start: data directory locked → keys, revocations, salts → spool recovered → engine → listeners → ready.
//! Stop: listeners drain → spool committed and sealed → batches delivered → engine. Every task is owned
//! here and awaited.

mod fill;
pub(crate) mod maintain;
mod observe;
mod open;

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use futures_util::future::{Either, ready};
use rustix::process::{
    DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit,
};
use thiserror::Error;
use tokio::runtime::Handle;
use tokio::sync::{Notify, Semaphore, watch};

use self::open::{open_collector, open_store};
use crate::access::gate::Gate;
use crate::admin::Admin;
use crate::batch::Batcher;
use crate::clock::SharedClock;
use crate::collector::Collector;
use crate::config::Config;
use crate::config::settings::{Environment, Layout};
use crate::consent::elsewhere;
use crate::dashboard::Dashboard;
use crate::demo::traffic::Fill;
use crate::listener::{self, Limits, tls::Certificates};
use crate::metrics::Metrics;
use crate::retention::{self, Retention};
use crate::rights::desk::Rights;
use crate::spool::Recovery;
use crate::store::Store;
use crate::store::migrations::migrate;
use crate::{demo, route, shutdown};

/// Visits under way of senders that do not name theirs; 5 MB when full.
const OPEN_VISITS: usize = 100_000;

/// Why brine could not start, or had to stop.
#[derive(Debug, Error)]
pub enum RunError {
    /// The data directory cannot be made or written.
    #[error("data directory {path}", path = path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Another brine works in it. One data directory, one brine.
    #[error("data directory {path} is locked by another brine (process {holder})", path = path.display())]
    Locked {
        /// The directory.
        path: PathBuf,
        /// Its process id, as far as it says.
        holder: String,
    },
    /// A listener's address is taken or not ours.
    #[error("cannot listen on {address} ({key})")]
    Bind {
        /// Which key of the configuration.
        key: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
    /// Anything else that a part needs and does not find.
    #[error("{part}: {reason}")]
    Part {
        /// The part.
        part: &'static str,
        /// What is missing, and what to do.
        reason: String,
    },
}

/// Where brine listens, once it does.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct Addresses {
    pub public: SocketAddr,
    pub admin: SocketAddr,
}

/// What there is to tell once brine is ready.
#[derive(Clone)]
#[allow(missing_docs)]
pub struct Ready {
    pub addresses: Addresses,
    /// The path of the set-up link, where nobody can sign in yet. A secret: for the terminal, not for the log.
    pub setup: Option<String>,
}

/// What comes from outside while brine runs.
#[allow(missing_docs)]
pub struct Control {
    pub clock: SharedClock,
    /// Turns true when brine is to stop.
    pub shutdown: watch::Receiver<bool>,
    /// Notified when sites, rules, geo files and certificates are to be read anew.
    pub reload: Arc<Notify>,
    /// Reads the configuration again.
    pub read_config: Box<dyn Fn() -> Result<Config, String> + Send + Sync>,
    /// Told once brine is ready.
    pub on_ready: Box<dyn FnOnce(Ready) + Send>,
    /// Serve the demo site as well.
    pub is_demo: bool,
    /// Made-up traffic of the days before now, to be lived through first.
    pub fill: Option<Fill>,
    /// The process environment, as `main.rs` read it.
    pub environment: Environment,
}

/// Runs brine until shutdown.
///
/// # Errors
/// [`RunError`] where a part cannot start; what was started by then is stopped again.
pub fn run(config: Config, control: Control) -> Result<(), RunError> {
    hide_memory()?;
    let _lock = lock_directory(&config.directory)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads(&config))
        .thread_name("brine")
        .enable_all()
        .build()
        .map_err(|e| part("runtime", e))?;
    let result = runtime.block_on(async {
        // One set for both: what the made-up traffic came to is counted like any other.
        let metrics = Metrics::new();
        if let Some(traffic) = &control.fill
            && !fill::fill(&config, &control, traffic, &metrics).await?
        {
            return Ok(());
        }
        start(config, control, metrics).await
    });
    runtime.shutdown_timeout(Duration::from_secs(5));
    result
}

/// Addresses, tokens and salts are in memory: no core dump may write them out, no other process of the same user may
/// read them (PR_SET_DUMPABLE in prctl(2), RLIMIT_CORE in setrlimit(2)). Before the first of them is there.
fn hide_memory() -> Result<(), RunError> {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    setrlimit(Resource::Core, none).map_err(|e| part("core dump limit", e))?;
    // A page for each secret is to be locked: as many as the operator's limit allows, not the usual part of it.
    let lockable = getrlimit(Resource::Memlock);
    let all = Rlimit {
        current: lockable.maximum,
        ..lockable
    };
    setrlimit(Resource::Memlock, all).map_err(|e| part("memory lock limit", e))?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(|e| part("process not dumpable", e))
}

/// Starts a runtime a core, where connections are not to move between threads. They end when the sender is
/// dropped, which is after the connections have.
fn core_runtimes(config: &Config) -> Result<(Vec<Handle>, watch::Sender<bool>), RunError> {
    let (stop, stopped) = watch::channel(false);
    let mut handles = Vec::new();
    let n_runtimes = if config.server.runtime == Layout::PerCore {
        threads(config)
    } else {
        0
    };
    for n in 0..n_runtimes {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| part("runtime", e))?;
        handles.push(runtime.handle().clone());
        let mut stopped = stopped.clone();
        thread::Builder::new()
            .name(format!("brine-core-{n}"))
            .spawn(move || runtime.block_on(shutdown::asked(&mut stopped)))
            .map_err(|e| part("runtime", e))?;
    }
    Ok((handles, stop))
}

/// Returns where the embedded engine lives inside a data directory.
pub fn engine_directory(data: &Path) -> PathBuf {
    data.join("engine")
}

/// One for every two cores: spool, batch step and engine have threads of their own, and where a thread does the work
/// (one carries 30,000 beacons/s), a second that is woken beside it is only a cost: on two cores, at 2,000 beacons/s,
/// 80 us CPU a beacon with two and 48 with one; saturated 24 and 23, with the same throughput.
fn threads(config: &Config) -> usize {
    match config.server.threads {
        0 => thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(2)),
        n => n,
    }
}

fn part(part: &'static str, error: impl std::fmt::Display) -> RunError {
    RunError::Part {
        part,
        reason: error.to_string(),
    }
}

#[allow(clippy::too_many_lines)] // The order of start and stop is the point; it reads best in one place.
async fn start(config: Config, control: Control, metrics: Metrics) -> Result<(), RunError> {
    let Control {
        clock,
        mut shutdown,
        reload,
        read_config,
        on_ready,
        is_demo,
        fill: _,
        environment,
    } = control;
    let directory = config.directory.clone();

    // Listeners first: a taken port should not cost an engine's start. Nothing is accepted before ready.
    let public = listen("server.listen", config.server.listen)?;
    let admin = listen("server.admin", config.server.admin)?;
    let addresses = Addresses {
        public: public.local_addr().map_err(|e| part("listener", e))?,
        admin: admin.local_addr().map_err(|e| part("listener", e))?,
    };
    let certificates = match &config.server.tls {
        Some(files) => Some(Arc::new(
            Certificates::open(files).map_err(|e| part("TLS", e))?,
        )),
        None => None,
    };

    let (collector, recovery) = open_collector(config, &clock, &metrics, &environment).await?;
    let spool = collector.spool.clone();

    // The library may have to be fetched, or an engine of before to end: whoever waits for that may change their mind.
    let mut asked = shutdown.clone();
    let (supervisor, store) = tokio::select! {
        opened = open_store(&collector.config, &environment) => opened?,
        () = shutdown::asked(&mut asked) => return Ok(()),
    };
    let (stop_batches, batches_stopped) = watch::channel(false);
    if supervisor.is_some() {
        // The embedded engine is ours to have ready; a server may come later (the batch step waits).
        migrate(&store).await.map_err(|e| part("schema", e))?;
        retention::prepare(&store)
            .await
            .map_err(|e| part("schema", e))?;
    }
    let batcher = batch_thread(&collector, &store, &recovery, batches_stopped)?;

    let gate = Gate::open(
        &collector.config,
        clock.clone(),
        spool.clone(),
        metrics.clone(),
    )
    .map_err(|e| part("access", chain(&e)))?;
    let setup = gate.setup_path();
    let gate = Arc::new(gate);
    let logging = tokio::spawn(gate.clone().keep_log(shutdown.clone()));
    let learning = tokio::spawn(elsewhere::learn(
        collector.clone(),
        store.clone(),
        shutdown.clone(),
    ));
    let rights = Rights::open(collector.clone(), store.clone(), &directory)
        .map_err(|e| part("erasure log", e))?;
    let rights = Arc::new(rights);
    let erasing = tokio::spawn(rights.clone().work(shutdown.clone()));

    let retention = Retention::open(collector.clone(), store.clone(), &directory)
        .map_err(|e| part("retention", chain(&e)))?;
    let retention = Arc::new(retention);
    let purging = tokio::spawn(retention::work(retention.clone(), shutdown.clone()));

    let maintenance = tokio::spawn(maintain::run(
        collector.clone(),
        certificates.clone(),
        store.engine.clone(),
        reload,
        read_config,
        shutdown.clone(),
    ));
    let (cores, stop_cores) = core_runtimes(&collector.config)?;
    let limits = |drain, runtimes: &[Handle]| Limits {
        runtimes: runtimes.to_vec(),
        slots: Arc::new(Semaphore::new(collector.config.server.max_connections)),
        header_timeout: collector.config.server.header_timeout,
        idle_timeout: collector.config.server.idle_timeout,
        drain_timeout: drain,
    };
    let drain = collector.config.server.drain_timeout;
    let (for_public, for_rights) = (collector.clone(), rights.clone());
    let public = tokio::spawn(listener::serve(
        public,
        certificates,
        limits(drain, &cores),
        metrics.clone(),
        shutdown.clone(),
        move |request, peer| {
            let file = if is_demo {
                demo::file(request.uri().path())
            } else {
                None
            };
            let (collector, rights) = (for_public.clone(), for_rights.clone());
            match file {
                Some(file) => Either::Left(ready(Ok(file))),
                None => Either::Right(route::public(collector, rights, request, peer)),
            }
        },
    ));
    let pages = Admin {
        collector: collector.clone(),
        store: store.clone(),
        rights,
        gate,
        retention,
        dashboard: Arc::new(Dashboard::new(collector.clone(), store.clone())),
        shutdown: shutdown.clone(),
    };
    let admin = tokio::spawn(listener::serve(
        admin,
        None,
        limits(drain, &[]),
        // The admin listener's connections are not the public ones.
        Metrics::new(),
        shutdown.clone(),
        move |request, peer| pages.clone().answer(request, peer),
    ));
    tracing::info!(public = %addresses.public, admin = %addresses.admin, "ready");
    on_ready(Ready { addresses, setup });

    shutdown::asked(&mut shutdown).await;
    tracing::info!("closing: no new connections, requests under way are answered");
    collector.is_closing.store(true, Ordering::Relaxed);
    for task in [public, admin] {
        if let Ok(Err(error)) = task.await {
            tracing::error!(%error, "listener");
        }
    }
    drop(stop_cores);
    for (task, name) in [
        (maintenance, "maintenance"),
        (logging, "access log"),
        (learning, "withdrawals made elsewhere"),
        (erasing, "erasing"),
        (purging, "retention"),
    ] {
        if let Err(error) = task.await {
            tracing::error!(%error, task = name, "a task ended badly");
        }
    }
    spool.close().await;
    let drained = tokio::task::spawn_blocking(move || batcher.join());
    tokio::select! {
        _ = drained => {}
        // ClickHouse may be away: what is left stays in the spool for the next start.
        () = tokio::time::sleep(drain) => {
            let _no_batcher_left = stop_batches.send(true).is_err();
        }
    }
    if let Some(supervisor) = supervisor {
        if let Some(engine) = &store.engine
            && let Err(error) = engine.shutdown().await
        {
            tracing::warn!(%error, "embedded engine");
        }
        supervisor.ended().await;
    }
    let left = spool.stats();
    tracing::info!(spooled_records = left.records, "closed");
    Ok(())
}

fn listen(key: &'static str, address: SocketAddr) -> Result<std::net::TcpListener, RunError> {
    listener::bind(address).map_err(|source| RunError::Bind {
        key,
        address,
        source,
    })
}

/// Joins an error's sources on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

pub(crate) fn lock_directory(path: &Path) -> Result<File, RunError> {
    let fault = |source| RunError::Directory {
        path: path.to_owned(),
        source,
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(fault)?;
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path.join("brine.lock"))
        .map_err(fault)?;
    match file.try_lock() {
        Ok(()) => {
            file.set_len(0).map_err(fault)?;
            file.rewind().map_err(fault)?;
            writeln!(file, "{}", std::process::id()).map_err(fault)?;
            Ok(file)
        }
        Err(fs::TryLockError::WouldBlock) => {
            let mut holder = String::new();
            file.read_to_string(&mut holder).map_err(fault)?;
            let holder = if holder.trim().is_empty() {
                "unknown".into()
            } else {
                holder.trim().to_owned()
            };
            Err(RunError::Locked {
                path: path.to_owned(),
                holder,
            })
        }
        Err(fs::TryLockError::Error(error)) => Err(fault(error)),
    }
}

/// The batch step has a thread and a runtime of its own: its reads of the spool may block there.
fn batch_thread(
    collector: &Arc<Collector>,
    store: &Store,
    recovery: &Recovery,
    shutdown: watch::Receiver<bool>,
) -> Result<thread::JoinHandle<()>, RunError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| part("batch runtime", e))?;
    let batcher = Batcher {
        spool: collector.spool.clone(),
        store: store.clone(),
        revocations: collector.revocations.clone(),
        event_ids: collector.event_ids.clone(),
        config: collector.config.batch.clone(),
        clock: collector.clock.clone(),
        metrics: collector.metrics.clone(),
        collector: collector.clone(),
        left_over: recovery.last,
    };
    thread::Builder::new()
        .name("brine-batch".into())
        .spawn(move || runtime.block_on(batcher.run(shutdown)))
        .map_err(|e| part("batch thread", e))
}
