//! Processes from outside: children, signals, memory.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use super::PATIENCE;

/// Sends a signal by name; false where the process is gone.
pub fn signal(pid: u32, name: &str) -> bool {
    let done = Command::new("kill")
        .args([&format!("-{name}"), &pid.to_string()])
        .stderr(std::process::Stdio::null())
        .status();
    done.expect("kill runs").success()
}

/// Returns the living children of a process.
pub fn children(pid: u32) -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").expect("/proc is there");
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|child| status(*child).is_some_and(|(parent, state)| parent == pid && state != 'Z'))
        .collect()
}

/// Waits until a process has ended (a zombie has).
pub fn wait_gone(pid: u32) {
    let started = Instant::now();
    while status(pid).is_some_and(|(_, state)| state != 'Z') {
        assert!(started.elapsed() < PATIENCE, "process {pid} does not end");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Returns a field of `/proc/PID/status` that is in KiB, in KiB.
pub fn kib(pid: u32, field: &str) -> u64 {
    let path = PathBuf::from(format!("/proc/{pid}/status"));
    let text = std::fs::read_to_string(path).expect("the process lives");
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    let number = line.and_then(|rest| rest.split_whitespace().next());
    number
        .and_then(|n| n.parse().ok())
        .unwrap_or_else(|| panic!("no {field} in {text}"))
}

/// Parent and state of a process (proc_pid_stat(5)).
fn status(pid: u32) -> Option<(u32, char)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in brackets and may hold anything, brackets included.
    let (_, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((fields.next()?.parse().ok()?, state))
}

/// Returns the processor time that a process has used, in hundredths of a second (proc(5), `utime` and `stime`).
pub fn cpu_ticks(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it lives");
    // Behind the name, which may hold anything, in parentheses.
    let fields: Vec<&str> = text
        .rsplit(')')
        .next()
        .expect("fields")
        .split_whitespace()
        .collect();
    [fields[11], fields[12]]
        .iter()
        .map(|ticks| ticks.parse::<u64>().expect("a number"))
        .sum()
}
