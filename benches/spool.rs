//! What a durable append costs.
//!
//! Two regimes, because they have nothing in common: as fast as the disk allows, and the low steady
//! rate a real site has, where each append pays for its own wake-ups. Figures are wall time and
//! process CPU time, the latter less that of the same run without a spool.
//!
//! ```text
//! cargo bench --bench spool            a directory under the system's temporary one
//! BRINE_BENCH_DIR=/mnt/disk cargo bench --bench spool
//! ```
//!
//! Under `cargo test` each scenario runs for a moment only, to see that it still works.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

use brine::spool::{Disk, RecordKind, Spool, SpoolClock, SpoolSettings, always};

/// An encoded event with its usual fields.
const PAYLOAD_BYTES: usize = 165;

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let length = match arguments.iter().any(|argument| argument == "--bench") {
        true => Duration::from_secs(5),
        false => Duration::from_millis(200),
    };
    let filter = arguments.iter().find(|argument| !argument.starts_with('-'));
    let wanted = |name: &str| filter.is_none_or(|filter| name.contains(filter.as_str()));
    for n_tasks in [1, 8, 64, 512] {
        let name = format!("{n_tasks} tasks, saturated");
        if wanted(&name) {
            saturate(&name, n_tasks, length);
        }
    }
    for rate in [100, 2_000] {
        for shape in [Shape::MultiThread, Shape::CurrentThreads] {
            let name = format!("{rate} a second, {shape:?}");
            if wanted(&name) {
                steady(&name, rate, shape, length);
            }
        }
    }
}

/// Each task appends again as soon as its record is durable.
fn saturate(name: &str, n_tasks: usize, length: Duration) {
    let runtime = runtime(Shape::MultiThread);
    let (dir, spool) = open();
    let releasing = runtime.spawn(release_sealed(spool.clone()));
    let (started, cpu) = (Instant::now(), cpu_time());
    let latencies = runtime.block_on(async {
        let mut tasks = JoinSet::new();
        for _ in 0..n_tasks {
            let spool = spool.clone();
            tasks.spawn(async move {
                let mut latencies = histogram();
                while started.elapsed() < length {
                    append(&spool, &mut latencies).await;
                }
                latencies
            });
        }
        join(tasks).await
    });
    let (wall, cpu) = (started.elapsed(), cpu_time() - cpu);
    runtime.block_on(spool.close());
    runtime.block_on(releasing).expect("everything is released");
    drop(dir);
    report(name, &latencies, wall, cpu);
}

/// Appends arrive at `rate` a second, whatever the spool does.
fn steady(name: &str, rate: u64, shape: Shape, length: Duration) {
    let (_, _, cpu_without) = arrivals(rate, shape, length, None);
    let (dir, spool) = open();
    let (latencies, wall, cpu) = arrivals(rate, shape, length, Some(&spool));
    runtime(Shape::MultiThread).block_on(spool.close());
    drop(dir);
    report(name, &latencies, wall, cpu.saturating_sub(cpu_without));
}

/// How handlers are run; two threads in either case.
#[derive(Clone, Copy, Debug)]
enum Shape {
    MultiThread,
    CurrentThreads,
}

type Measured = (Histogram<u64>, Duration, Duration);

fn arrivals(rate: u64, shape: Shape, length: Duration, spool: Option<&Spool>) -> Measured {
    const TASKS: u64 = 64;
    let period = Duration::from_nanos(1_000_000_000 * TASKS / rate);
    let handlers = async |tasks: std::ops::Range<u64>| {
        let started = Instant::now();
        let mut handlers = JoinSet::new();
        for task in tasks {
            let spool = spool.cloned();
            let first = tokio::time::Instant::now() + period * task as u32 / TASKS as u32;
            handlers.spawn(async move {
                let mut latencies = histogram();
                let mut ticks = tokio::time::interval_at(first, period);
                while started.elapsed() < length {
                    ticks.tick().await;
                    match &spool {
                        Some(spool) => append(spool, &mut latencies).await,
                        None => latencies.saturating_record(0),
                    }
                }
                latencies
            });
        }
        join(handlers).await
    };
    let (started, cpu) = (Instant::now(), cpu_time());
    match shape {
        Shape::MultiThread => {
            let runtime = runtime(shape);
            let latencies = runtime.block_on(handlers(0..TASKS));
            (latencies, started.elapsed(), cpu_time() - cpu)
        }
        Shape::CurrentThreads => std::thread::scope(|scope| {
            // CPU time is read while the thread lives: the last to finish reads it.
            let other = scope.spawn(|| {
                let before = thread_cpu_time();
                let latencies = runtime(shape).block_on(handlers(0..TASKS / 2));
                (latencies, thread_cpu_time() - before)
            });
            let mut latencies = runtime(shape).block_on(handlers(TASKS / 2..TASKS));
            let (others, other_cpu) = other.join().expect("handlers end");
            latencies.add(others).expect("same bounds");
            (latencies, started.elapsed(), cpu_time() - cpu + other_cpu)
        }),
    }
}

async fn append(spool: &Spool, latencies: &mut Histogram<u64>) {
    let started = Instant::now();
    let appended = spool
        .append(RecordKind(1), &[7; PAYLOAD_BYTES], always)
        .await;
    appended.expect("the bench directory has room");
    latencies.saturating_record(started.elapsed().as_micros() as u64);
}

/// Keeps the directory small, until the spool is closed.
async fn release_sealed(spool: Spool) {
    let mut after = None;
    while let Some(id) = spool.next_sealed(after).await {
        after = Some(id);
        let spool = spool.clone();
        let released = tokio::task::spawn_blocking(move || spool.release(id)).await;
        released
            .expect("release does not panic")
            .expect("segment is there");
    }
}

async fn join(mut tasks: JoinSet<Histogram<u64>>) -> Histogram<u64> {
    let mut all = histogram();
    while let Some(latencies) = tasks.join_next().await {
        all.add(latencies.expect("task ends")).expect("same bounds");
    }
    all
}

fn report(name: &str, latencies: &Histogram<u64>, wall: Duration, cpu: Duration) {
    let n = latencies.len().max(1);
    println!(
        "{name:>28}: {:>7.0}/s  p50 {:>6} us  p99 {:>6} us  CPU {:>6.2} us each",
        n as f64 / wall.as_secs_f64(),
        latencies.value_at_quantile(0.5),
        latencies.value_at_quantile(0.99),
        cpu.as_secs_f64() * 1e6 / n as f64,
    );
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000, 3).expect("bounds are in order")
}

fn runtime(shape: Shape) -> Runtime {
    let mut builder = match shape {
        Shape::MultiThread => Builder::new_multi_thread(),
        Shape::CurrentThreads => Builder::new_current_thread(),
    };
    builder
        .worker_threads(2)
        .enable_time()
        .build()
        .expect("threads start")
}

/// CPU time of all threads that live, exact to the nanosecond where `getrusage` counts ticks.
fn cpu_time() -> Duration {
    let tasks = fs::read_dir("/proc/self/task").expect("proc is mounted");
    tasks
        .map(|task| schedstat(task.expect("listed").path()))
        .sum()
}

fn thread_cpu_time() -> Duration {
    schedstat(PathBuf::from("/proc/thread-self"))
}

fn schedstat(thread: PathBuf) -> Duration {
    // A thread may have ended since it was listed; it is none of those measured.
    let text = fs::read_to_string(thread.join("schedstat")).unwrap_or_default();
    Duration::from_nanos(
        text.split(' ')
            .next()
            .and_then(|n| n.parse().ok())
            .unwrap_or(0),
    )
}

fn open() -> (Directory, Spool) {
    let root = std::env::var_os("BRINE_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    let dir = root.join(format!("brine-bench-{}", std::process::id()));
    let settings = SpoolSettings::default();
    let opened = Spool::open(
        &dir,
        Arc::new(Disk),
        Arc::new(SystemClock),
        Arc::new(()),
        settings,
    );
    let (spool, _) = opened.expect("the bench directory can be made");
    (Directory(dir), spool)
}

struct Directory(PathBuf);

impl Drop for Directory {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

struct SystemClock;

impl SpoolClock for SystemClock {
    fn monotonic(&self) -> Instant {
        Instant::now()
    }

    fn unix_ms(&self) -> i64 {
        0
    }
}
