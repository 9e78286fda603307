//! README, "Killing the engine loses nothing that was acknowledged": a writer that verifies before
//! it resends, while the engine is killed under it.
//!
//! The writer follows the rules a sender needs: a batch is one statement and one part, a clear
//! success is done, anything else is uncertain. Uncertain means: the child has exited, count the
//! batch, resend it with a new token only if it is not there.

use std::{
    collections::BTreeSet,
    io::{Read, Write},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use clickhouse::{Client, Row, error::Error};
use rustix::process::Signal;
use serde::Serialize;

use crate::support::{Engine, PATIENCE, signal, was_killed};

/// Rows of a batch.
const ROWS: u64 = 2000;

#[derive(Row, Serialize)]
struct Event {
    batch: u64,
    n: u64,
}

pub(crate) const TABLE: &str = "CREATE TABLE IF NOT EXISTS b.e (batch UInt64, n UInt64, PROJECTION p (SELECT batch, count() GROUP BY batch)) \
    ENGINE = MergeTree ORDER BY (batch, n) SETTINGS non_replicated_deduplication_window = 1000";

pub(crate) async fn create(client: &Client) {
    // The client's own database does not exist yet.
    let client = client.clone().with_database("default");
    client
        .query("CREATE DATABASE IF NOT EXISTS b")
        .execute()
        .await
        .unwrap();
    client.query(TABLE).execute().await.unwrap();
}

async fn send(client: &Client, batch: u64, attempt: u64) -> Result<(), Error> {
    let mut insert = client
        .insert::<Event>("e")
        .await?
        .with_setting("insert_deduplication_token", format!("{batch}/{attempt}"))
        .with_timeouts(Some(PATIENCE), Some(PATIENCE));
    for n in 0..ROWS {
        insert.write(&Event { batch, n }).await?;
    }
    insert.end().await
}

/// Sends one batch until it is certain to be there. `attempts_are_dead` returns when no earlier
/// attempt can commit.
pub(crate) async fn deliver<F: Future<Output = ()> + Send>(
    client: &Client,
    batch: u64,
    attempts_are_dead: impl Fn() -> F,
) -> Delivery {
    let mut delivery = Delivery::default();
    for attempt in 0.. {
        if attempt > 0 {
            attempts_are_dead().await;
            let count = "SELECT count() FROM e WHERE batch = ?";
            let Ok(n_rows) = client.query(count).bind(batch).fetch_one::<u64>().await else {
                continue;
            };
            assert!(
                n_rows == 0 || n_rows == ROWS,
                "batch {batch} has {n_rows} rows"
            );
            if n_rows == ROWS {
                delivery.found += 1;
                return delivery;
            }
            delivery.resent += 1;
        }
        if send(client, batch, attempt).await.is_ok() {
            return delivery;
        }
    }
    unreachable!("attempts do not run out")
}

#[derive(Default)]
pub(crate) struct Delivery {
    pub(crate) found: u64,
    pub(crate) resent: u64,
}

/// Every batch exactly once, in the table and in its projection.
pub(crate) async fn expect_exactly_once(client: &Client, batches: &BTreeSet<u64>) {
    for sql in [
        "SELECT batch, count() AS c FROM e GROUP BY batch ORDER BY batch SETTINGS optimize_use_projections = 0",
        "SELECT batch, count() AS c FROM e GROUP BY batch ORDER BY batch SETTINGS force_optimize_projection = 1",
    ] {
        let counts = client.query(sql).fetch_all::<(u64, u64)>().await.unwrap();
        let wrong: Vec<_> = counts.iter().filter(|(_, count)| *count != ROWS).collect();
        let there: BTreeSet<u64> = counts.iter().map(|(batch, _)| *batch).collect();
        let lost: Vec<_> = batches.difference(&there).collect();
        assert!(
            wrong.is_empty() && lost.is_empty(),
            "lost {lost:?}, wrong {wrong:?}"
        );
    }
    let distinct = client
        .query("SELECT uniqExact(batch, n), count() FROM e")
        .fetch_one::<(u64, u64)>()
        .await;
    let (distinct, count) = distinct.unwrap();
    assert_eq!(distinct, count, "rows are doubled");
}

async fn passed(generation: Arc<AtomicU64>, before: u64) {
    while generation.load(Ordering::SeqCst) == before {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Kills at moments that a multiplicative sequence spreads over an insert's duration.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn engine_killed_at_any_moment_loses_and_doubles_nothing() {
    const ROUNDS: u64 = 20;
    let mut engine = Engine::start();
    let client = engine.client().with_database("b");
    create(&client).await;
    let stop = Arc::new(AtomicBool::new(false));
    let generation = Arc::new(AtomicU64::new(1));
    let writers: Vec<_> = (0..2_u64)
        .map(|writer| {
            let (client, stop, generation) =
                (client.clone(), Arc::clone(&stop), Arc::clone(&generation));
            tokio::spawn(async move {
                let (mut done, mut found, mut resent) = (BTreeSet::new(), 0, 0);
                for batch in (writer..).step_by(2) {
                    if stop.load(Ordering::SeqCst) {
                        break;
                    }
                    let before = generation.load(Ordering::SeqCst);
                    // The killer counts a generation when it has reaped the child.
                    let dead = || passed(Arc::clone(&generation), before);
                    let delivery = deliver(&client, batch, dead).await;
                    done.insert(batch);
                    found += delivery.found;
                    resent += delivery.resent;
                }
                (done, found, resent)
            })
        })
        .collect();
    for round in 1..=ROUNDS {
        tokio::time::sleep(Duration::from_millis(100 + round * 7919 % 400)).await;
        assert!(was_killed(engine.kill()));
        generation.fetch_add(1, Ordering::SeqCst);
        engine.restart();
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    stop.store(true, Ordering::SeqCst);
    let (mut batches, mut n_found, mut n_resent) = (BTreeSet::new(), 0, 0);
    for writer in writers {
        // A writer whose last attempt died with the last child needs one more death to be sure.
        generation.fetch_add(1, Ordering::SeqCst);
        let (done, found, resent) = writer.await.unwrap();
        batches.extend(done);
        n_found += found;
        n_resent += resent;
    }
    println!(
        "{} batches, {ROUNDS} kills, {n_found} found present, {n_resent} resent",
        batches.len()
    );
    assert!(batches.len() > 20, "the writers hardly ran");
    expect_exactly_once(&client, &batches).await;
}

/// Kills aimed at the system calls of an insert: the moments at which a part, its directory or its
/// token exist without the others.
#[test]
fn engine_killed_at_each_step_of_an_insert_loses_and_doubles_nothing() {
    if Command::new("strace")
        .arg("-V")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_err()
    {
        println!("skipped: strace is not installed");
        return;
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut engine = Engine::start();
    let client = engine.client().with_database("b");
    runtime.block_on(create(&client));
    let mut batches = BTreeSet::new();
    let began = Instant::now();
    let mut n_kills = 0;
    // Which call, which of its occurrences.
    let aims = [
        ("rename", 1),
        ("rename", 2),
        ("fdatasync,fsync", 1),
        ("fdatasync,fsync", 2),
        ("fdatasync,fsync", 4),
        ("mkdir", 1),
        ("unlink", 1),
        ("rename", 3),
    ];
    for (batch, (call, nth)) in (0_u64..).zip(aims.iter().cycle()).take(16) {
        if began.elapsed() > Duration::from_secs(60) {
            break;
        }
        let Some(mut strace) = aim(engine.child.id(), call, *nth) else {
            println!("skipped: this user may not trace processes");
            return;
        };
        let outcome = runtime.block_on(async { send(&client, batch, 0).await });
        // The call may not have come in this insert; the child is killed all the same.
        signal_if_alive(&mut engine);
        let killed = was_killed(engine.child.wait().unwrap());
        n_kills += u64::from(killed);
        strace.kill().ok();
        strace.wait().unwrap();
        engine.restart();
        runtime.block_on(async {
            let there = client
                .query("SELECT count() FROM e WHERE batch = ?")
                .bind(batch);
            let n_rows = there.fetch_one::<u64>().await.unwrap();
            assert!(
                outcome.is_err() || n_rows == ROWS,
                "{call} {nth}: acknowledged and lost"
            );
            assert!(n_rows == 0 || n_rows == ROWS, "{call} {nth}: {n_rows} rows");
            if n_rows == 0 {
                send(&client, batch, 1).await.unwrap();
            }
        });
        batches.insert(batch);
    }
    println!("{} batches, {n_kills} kills", batches.len());
    assert!(batches.len() >= 4);
    runtime.block_on(expect_exactly_once(&client, &batches));
}

fn signal_if_alive(engine: &mut Engine) {
    if engine.child.try_wait().unwrap().is_none() {
        signal(&engine.child, Signal::KILL);
    }
}

/// Has the kernel kill the process at the `nth` call of `call`; returns when it is being traced.
fn aim(pid: u32, call: &str, nth: u32) -> Option<std::process::Child> {
    let mut strace = Command::new("strace")
        .args(["-f", "-p", &pid.to_string(), "-e", &format!("trace={call}")])
        .args(["-e", &format!("inject={call}:signal=SIGKILL:when={nth}")])
        .args(["-o", "/dev/null"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stderr = strace.stderr.take().unwrap();
    let mut said = Vec::new();
    let mut byte = [0];
    while stderr.read(&mut byte).unwrap() == 1 {
        said.push(byte[0]);
        if byte[0] == b'\n' && String::from_utf8_lossy(&said).contains("attached") {
            std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
            return Some(strace);
        }
    }
    strace.wait().unwrap();
    None
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_between_rows_keeps_what_was_acknowledged() {
    let mut engine = Engine::start();
    let client = engine.client().with_database("b");
    create(&client).await;
    send(&client, 0, 0).await.unwrap();
    let mut stream = engine.raw(&crate::support::raw_insert(
        "b.e",
        "Transfer-Encoding: chunked",
    ));
    stream.write_all(b"6\r\n1\t1\n1\t\r\n").ok();
    assert!(engine.terminate().success());
    engine.restart();
    expect_exactly_once(&client, &BTreeSet::from([0])).await;
}
