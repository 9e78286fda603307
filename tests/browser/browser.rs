//! Runs one scenario of `run.mjs` in node and says what it printed when it fails.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Condvar, Mutex, PoisonError};

use serde_json::Value;

/// Browsers with an engine each at one time: they wait more than they compute, and more of them need more than a small
/// machine has.
const AT_ONCE: usize = 2;

static FREE: Mutex<usize> = Mutex::new(AT_ONCE);
static FREED: Condvar = Condvar::new();

/// A place among the [`AT_ONCE`], given back when dropped, also by a test that fails.
#[must_use]
pub struct Turn(());

/// Waits for a place.
pub fn my_turn() -> Turn {
    let free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
    let free = FREED.wait_while(free, |free| *free == 0);
    *free.unwrap_or_else(PoisonError::into_inner) -= 1;
    Turn(())
}

impl Drop for Turn {
    fn drop(&mut self) {
        *FREE.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        FREED.notify_one();
    }
}

/// Runs `scenario` against the collector at `public`; returns the JSON it hands back.
#[track_caller]
pub fn run(scenario: &str, public: SocketAddr) -> Value {
    run_with(scenario, public, &Value::Null)
}

/// Runs a scenario that is given something.
#[track_caller]
pub fn run_with(scenario: &str, public: SocketAddr, given: &Value) -> Value {
    let folder = folder();
    assert!(
        folder.join("node_modules/puppeteer-core").exists(),
        "{} has no node_modules: run `npm ci` there, or tests/run",
        folder.display()
    );
    let output = Command::new("node")
        .arg(folder.join("run.mjs"))
        .args([scenario, &public.to_string(), &given.to_string()])
        .stdin(Stdio::null())
        .output()
        .expect("node runs");
    let (printed, said) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(
        output.status.success(),
        "{scenario} in the browser:\n{printed}{said}"
    );
    let last = printed.lines().last().unwrap_or_default();
    serde_json::from_str(last).unwrap_or_else(|e| panic!("{scenario}: {e}: {printed}{said}"))
}

/// Returns the folder of the scenarios and of what they need.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser")
}
