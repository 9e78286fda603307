//! Starts the real `brine demo`, as README says it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::PATIENCE;

/// A running demo in its own directory, on ports of its own.
pub struct Demo {
    pub public: SocketAddr,
    pub admin: SocketAddr,
    child: Child,
    directory: tempfile::TempDir,
}

impl Demo {
    pub fn start() -> Demo {
        let directory = tempfile::tempdir().expect("temporary directory");
        let printed = directory.path().join("printed");
        let output = std::fs::File::create(&printed).expect("a file for its output");
        let log = std::fs::File::create(directory.path().join("log")).expect("a file for its log");
        let mut child = Command::new(env!("CARGO_BIN_EXE_brine"))
            .args([
                "demo",
                "--listen",
                "127.0.0.1:0",
                "--admin",
                "127.0.0.1:0",
                "--data",
            ])
            .arg(directory.path().join("data"))
            .stdout(Stdio::from(output))
            .stderr(Stdio::from(log))
            .spawn()
            .expect("brine starts");
        let started = Instant::now();
        loop {
            let text = std::fs::read_to_string(&printed).unwrap_or_default();
            if let (Some(public), Some(admin)) =
                (address(&text, "demo site"), address(&text, "dashboard"))
            {
                return Demo {
                    public,
                    admin,
                    child,
                    directory,
                };
            }
            let ended = child.try_wait().expect("its state");
            let log = || std::fs::read_to_string(directory.path().join("log")).unwrap_or_default();
            assert!(
                ended.is_none() && started.elapsed() < PATIENCE,
                "brine demo is not ready:\n{}",
                log()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Runs a read-only statement through `brine sql` and returns its lines (TSV).
    pub fn sql(&self, statement: &str) -> Vec<String> {
        let output = Command::new(env!("CARGO_BIN_EXE_brine"))
            .args(["sql", "--format", "TSV", statement, "--data"])
            .arg(self.data())
            .output()
            .expect("brine runs");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout)
            .lines()
            .map(str::to_owned)
            .collect()
    }

    /// Waits until a statement gives `expected`, and returns when it does.
    #[track_caller]
    pub fn wait_for(&self, statement: &str, expected: &[&str]) {
        let started = Instant::now();
        loop {
            let found = self.sql(statement);
            if found == expected {
                return;
            }
            assert!(
                started.elapsed() < PATIENCE / 4,
                "{statement}\nfound {found:#?}\nexpected {expected:#?}"
            );
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Returns the lines of `/metrics` that begin with `name` and do not count 0.
    pub fn metrics(&self, name: &str) -> Vec<String> {
        let mut stream = TcpStream::connect(self.admin).expect("the admin listener");
        write!(
            stream,
            "GET /metrics HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n"
        )
        .expect("sent");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("an answer");
        let is_counted = |line: &&str| line.starts_with(name) && !line.ends_with(" 0");
        text.lines().filter(is_counted).map(str::to_owned).collect()
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            drop(self.child.kill());
            drop(self.child.wait());
        }
    }
}

/// Finds the address behind `word` in what the demo prints.
fn address(text: &str, word: &str) -> Option<SocketAddr> {
    let line = text
        .lines()
        .find(|line| line.trim_start().starts_with(word))?;
    line.split_once("http://")?
        .1
        .split('/')
        .next()?
        .parse()
        .ok()
}
