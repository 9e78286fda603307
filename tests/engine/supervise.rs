//! Supervision: the child is there, or another one is.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use brine::engine::{
    config::Limits,
    connect::{self, Access, CallError},
    supervise::{EngineHandle, EngineSettings, State, SuperviseError, Supervisor},
};
use http_body_util::BodyExt;
use tempfile::TempDir;

use crate::support::{PATIENCE, eventually, library};

fn settings(data: &Path) -> EngineSettings {
    EngineSettings {
        program: PathBuf::from(env!("CARGO_BIN_EXE_brine")),
        data: data.to_owned(),
        socket: None,
        listen: None,
        library: library().to_owned(),
        limits: Limits::default(),
        environment: Vec::new(),
        monotonic: Instant::now,
    }
}

async fn start() -> (TempDir, Supervisor, EngineHandle) {
    let dir = TempDir::new().unwrap();
    let (supervisor, handle) = Supervisor::start(settings(dir.path())).await.unwrap();
    (dir, supervisor, handle)
}

/// Process ids of engines whose data directory is `data`.
fn engines(data: &Path) -> Vec<i32> {
    let data = data.display().to_string();
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let pid = entry.unwrap().file_name().to_str()?.parse().ok()?;
        let command = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
        let mut arguments = command.split('\0');
        (arguments.clone().any(|argument| argument == data)
            && arguments.any(|argument| argument == "engine"))
        .then_some(pid)
    });
    processes.collect()
}

fn kill(pid: i32) {
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

async fn expect_state(handle: &EngineHandle, wanted: State) {
    let mut state = handle.state();
    let wait = state.wait_for(|state| *state == wanted);
    tokio::time::timeout(PATIENCE, wait).await.unwrap().unwrap();
}

#[tokio::test]
async fn killed_child_is_replaced_and_what_was_answered_is_there() {
    let (dir, _supervisor, handle) = start().await;
    let client = handle.client();
    client.query("CREATE DATABASE b").execute().await.unwrap();
    client
        .query("CREATE TABLE b.t (n UInt64) ENGINE = MergeTree ORDER BY n")
        .execute()
        .await
        .unwrap();
    client
        .query("INSERT INTO b.t VALUES (1)")
        .execute()
        .await
        .unwrap();
    kill(engines(dir.path())[0]);
    eventually("another child runs", async || handle.generation() == 2).await;
    expect_state(&handle, State::Ready).await;
    assert_eq!(
        client
            .query("SELECT count() FROM b.t")
            .fetch_one::<u64>()
            .await
            .unwrap(),
        1
    );
    let numbers = handle.numbers();
    assert_eq!(numbers.restarts, 1);
    assert!(numbers.last_exit.is_some_and(crate::support::was_killed));
    assert!(numbers.boot_s > 0.0);
}

/// A stop does not wait for a start that takes its time.
#[tokio::test]
async fn shutdown_ends_a_child_that_is_starting() {
    let dir = TempDir::new().unwrap();
    let program = dir.path().join("engine-that-starts-once");
    let began = dir.path().join("began");
    let script = format!(
        "#!/bin/sh\nif [ -e '{began}' ]; then exec /bin/sleep 600; fi\n: > '{began}'\nexec '{}' \"$@\"\n",
        env!("CARGO_BIN_EXE_brine"),
        began = began.display(),
    );
    std::fs::write(&program, script).unwrap();
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&program, executable).unwrap();
    let data = dir.path().join("d");
    let first = EngineSettings {
        program,
        ..settings(&data)
    };
    let (supervisor, handle) = Supervisor::start(first).await.unwrap();
    kill(engines(&data)[0]);
    eventually("the next one starts", async || handle.generation() == 2).await;
    expect_state(&handle, State::Starting).await;
    let stopped = tokio::time::timeout(std::time::Duration::from_secs(10), handle.shutdown());
    stopped.await.expect("at once").unwrap();
    supervisor.ended().await;
    assert!(engines(&data).is_empty());
}

#[tokio::test]
async fn shutdown_ends_the_child_in_order() {
    let (dir, supervisor, handle) = start().await;
    handle.shutdown().await.unwrap();
    supervisor.ended().await;
    assert!(engines(dir.path()).is_empty());
    assert!(
        handle
            .numbers()
            .last_exit
            .is_some_and(|exit| exit.success())
    );
    assert!(matches!(
        handle.shutdown().await,
        Err(SuperviseError::ShutDown)
    ));
}

/// A parent that is killed cannot tell its child; the pipe does.
#[tokio::test]
async fn child_ends_when_its_parents_pipe_closes() {
    let mut engine = crate::support::Engine::start_with(&["--supervised"]);
    drop(engine.stdin.take());
    let status = engine.child.wait().unwrap();
    assert!(status.success(), "{status}");
}

#[tokio::test]
async fn reason_of_a_failed_start_reaches_the_operator() {
    let (dir, _supervisor, _handle) = start().await;
    let error = Supervisor::start(settings(dir.path()))
        .await
        .err()
        .unwrap()
        .to_string();
    assert!(
        error.contains("is in use by another brine engine"),
        "{error}"
    );
    let dir = TempDir::new().unwrap();
    let missing = EngineSettings {
        library: dir.path().join("none.so"),
        ..settings(dir.path())
    };
    let error = Supervisor::start(missing).await.err().unwrap().to_string();
    assert!(error.contains("brine engine fetch"), "{error}");
    let other = EngineSettings {
        library: "/lib/x86_64-linux-gnu/libm.so.6".into(),
        ..settings(dir.path())
    };
    let error = Supervisor::start(other).await.err().unwrap().to_string();
    assert!(error.contains("cannot be loaded"), "{error}");
}

#[tokio::test]
async fn ended_attempts_do_not_commit_and_new_ones_do() {
    let (_dir, _supervisor, handle) = start().await;
    let client = handle.client();
    client.query("CREATE DATABASE b").execute().await.unwrap();
    client
        .query("CREATE TABLE b.t (n UInt64) ENGINE = MergeTree ORDER BY n")
        .execute()
        .await
        .unwrap();
    let mut insert = client.insert_formatted_with("INSERT INTO b.t FORMAT TSV");
    insert.send("1\n2\n".into()).await.unwrap();
    let slow = client.query(
        "INSERT INTO b.t SELECT sleepEachRow(1) FROM numbers(600) SETTINGS max_block_size = 1",
    );
    let slow = tokio::spawn(slow.execute());
    eventually("both run", async || {
        let sql = "SELECT count() FROM system.processes WHERE query LIKE 'INSERT%'";
        client.query(sql).fetch_one::<u64>().await.unwrap() == 2
    })
    .await;
    let generation = handle.generation();
    handle.ensure_attempts_dead().await.unwrap();
    assert_eq!(
        handle.generation(),
        generation,
        "the child need not die for it"
    );
    assert!(slow.await.unwrap().is_err());
    assert!(insert.end().await.is_err());
    assert_eq!(
        client
            .query("SELECT count() FROM b.t")
            .fetch_one::<u64>()
            .await
            .unwrap(),
        0
    );
    client
        .query("INSERT INTO b.t VALUES (3)")
        .execute()
        .await
        .unwrap();
    assert_eq!(
        client
            .query("SELECT count() FROM b.t")
            .fetch_one::<u64>()
            .await
            .unwrap(),
        1
    );
}

#[tokio::test]
async fn attempts_of_a_child_that_does_not_answer_die_with_it() {
    let (dir, _supervisor, handle) = start().await;
    let pid = rustix::process::Pid::from_raw(engines(dir.path())[0]).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
    handle.ensure_attempts_dead().await.unwrap();
    expect_state(&handle, State::Ready).await;
    assert_eq!(handle.generation(), 2);
}

#[tokio::test]
async fn raw_call_streams_the_answer_unchanged_and_quotes_the_refusal() {
    let (_dir, _supervisor, handle) = start().await;
    let post = |sql, access| {
        connect::post_query(handle.socket(), handle.key(), sql, "JSONEachRow", access)
    };
    let body = post("SELECT 1 AS n", Access::Read).await.unwrap();
    assert_eq!(body.collect().await.unwrap().to_bytes(), "{\"n\":1}\n");
    let refused = post("CREATE DATABASE b", Access::Read).await.unwrap_err();
    assert!(
        matches!(&refused, CallError::Refused { message, .. } if message.contains("Code: 164.")),
        "{refused}"
    );
    drop(post("CREATE DATABASE b", Access::Write).await.unwrap());
}

#[tokio::test]
async fn damaged_start_backs_off_and_recovers() {
    let (dir, _supervisor, handle) = start().await;
    let key = dir.path().join("engine.key");
    let aside = dir.path().join("aside");
    // A key that others could read keeps every new child from starting.
    std::fs::copy(&key, &aside).unwrap();
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    kill(engines(dir.path())[0]);
    eventually("it was tried more than once", async || {
        handle.numbers().restarts >= 2
    })
    .await;
    handle.ensure_attempts_dead().await.unwrap();
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    expect_state(&handle, State::Ready).await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(
        handle
            .client()
            .query("SELECT 1")
            .fetch_one::<u8>()
            .await
            .unwrap(),
        1
    );
}
