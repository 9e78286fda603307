//! Promise 5 of the spool against SIGKILL: the process that appends is killed again and again, at
//! random moments, and what it had acknowledged is there each time, once and in order.
//!
//! The test executes itself as the process to be killed.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use brine::spool::{Disk, RecordKind, Recovery, Spool, SpoolClock, SpoolSettings, always};

const DIRECTORY: &str = "BRINE_TEST_SPOOL_KILL_DIR";
const FIRST: &str = "BRINE_TEST_SPOOL_KILL_FIRST";

#[test]
fn kill_nine_loses_nothing_acknowledged() {
    if let Some(dir) = std::env::var_os(DIRECTORY) {
        let first = std::env::var(FIRST).expect("set by the parent");
        append_until_killed(Path::new(&dir), first.parse().expect("a number"));
    }
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("spool");
    let (mut first, mut total) = (0, 0);
    for round in 0..12 {
        let life = Duration::from_millis(40 + (round * 37) % 90);
        let acknowledged = run_and_kill(&dir, first, life);
        let found = read_and_release(&dir);
        let unique: BTreeSet<_> = found.iter().copied().collect();
        assert_eq!(unique.len(), found.len(), "round {round}: doubled");
        let lost: Vec<_> = acknowledged.difference(&unique).collect();
        assert_eq!(
            lost,
            [] as [&u64; 0],
            "round {round}: acknowledged and lost"
        );
        assert!(
            unique.iter().all(|n| *n >= first),
            "round {round}: released came back"
        );
        total += acknowledged.len();
        // Far beyond anything this round can have sent.
        first += 1_000_000_000;
    }
    assert!(total > 1000, "only {total} records in all rounds");
}

/// Runs the appending process for a while after its first answer; returns what it was answered.
fn run_and_kill(dir: &Path, first: u64, life: Duration) -> BTreeSet<u64> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "kill_nine_loses_nothing_acknowledged",
            "--nocapture",
        ])
        .env(DIRECTORY, dir)
        .env(FIRST, first.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok);
    let is_answer = |line: &String| line.starts_with("durable ");
    let first_answer = lines.by_ref().find(is_answer).expect("the process answers");
    let reader = std::thread::spawn(move || lines.collect::<Vec<_>>());
    std::thread::sleep(life);
    child.kill().unwrap();
    child.wait().unwrap();
    let answers = std::iter::once(first_answer).chain(reader.join().unwrap());
    // The kill may cut a line short: a whole one ends in a full stop.
    answers
        .filter_map(|line| {
            line.strip_prefix("durable ")?
                .strip_suffix('.')?
                .parse()
                .ok()
        })
        .collect()
}

/// Opens what the killed process left, and takes everything out of it.
fn read_and_release(dir: &Path) -> Vec<u64> {
    let (spool, _) = open(dir, SpoolSettings::default());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let mut found = Vec::new();
    runtime.block_on(async {
        spool.close().await;
        while let Some(id) = spool.next_sealed(None).await {
            for record in spool.read(id).unwrap() {
                let payload = record.unwrap().payload;
                found.push(u64::from_le_bytes(payload[..8].try_into().unwrap()));
            }
            spool.release(id).unwrap();
        }
    });
    found
}

/// The process to be killed: many tasks append, each tells what it was answered.
fn append_until_killed(dir: &Path, first: u64) -> ! {
    let settings = SpoolSettings {
        segment_records: 200,
        group_delay: Duration::from_millis(1),
        ..SpoolSettings::default()
    };
    let (spool, _) = open(dir, settings);
    let next = Arc::new(AtomicU64::new(first));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .unwrap();
    for _ in 0..40 {
        let (spool, next) = (spool.clone(), Arc::clone(&next));
        runtime.spawn(async move {
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                let mut payload = n.to_le_bytes().to_vec();
                payload.resize(8 + n as usize % 400, 1);
                if spool.append(RecordKind(1), &payload, always).await.is_ok() {
                    // One write a line, or lines of several tasks would mix.
                    let line = format!("durable {n}.\n");
                    std::io::stdout().write_all(line.as_bytes()).ok();
                }
            }
        });
    }
    loop {
        std::thread::park();
    }
}

fn open(dir: &Path, settings: SpoolSettings) -> (Spool, Recovery) {
    Spool::open(
        dir,
        Arc::new(Disk),
        Arc::new(SystemClock),
        Arc::new(()),
        settings,
    )
    .unwrap()
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
