//! The servers under test, as processes of their own, and what they cost.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use brine::consent::token::{Mint, Purpose, Purposes};
use brine::secret;

/// Beacons that differ in visitor, page, agent and address; sent in turn.
const DISTINCT: usize = 1_024;

/// Ticks of /proc/PID/stat a second (proc(5); fixed at 100 for user space on Linux).
const TICKS: f64 = 100.0;

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    /// Of brine alone.
    #[allow(dead_code)] // The bench of retention asks it.
    pub(crate) admin: Option<SocketAddr>,
    child: Child,
    home: PathBuf,
    /// Goes with the server, where it is one of its own.
    _directory: Option<tempfile::TempDir>,
}

/// What storing cost in the end.
pub(crate) struct Stored {
    pub(crate) events: u64,
    pub(crate) cpu_us: f64,
    pub(crate) engine_us: f64,
}

impl Server {
    pub(crate) fn bare() -> Server {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.arg("--bare");
        Server::spawn(command, Path::new(""), None)
    }

    /// `brine serve` with its embedded engine and everything on.
    pub(crate) fn brine() -> Server {
        Server::brine_with(&[])
    }

    /// The same with a ClickHouse that is not there: what accepting costs, without storing.
    pub(crate) fn brine_without_store() -> Server {
        Server::brine_with(&[
            ("BRINE_STORE__URL", "http://127.0.0.1:9"),
            ("BRINE_LOG", "off"),
        ])
    }

    /// The same, with more in its environment.
    pub(crate) fn brine_with(environment: &[(&str, &str)]) -> Server {
        let directory = tempfile::tempdir().expect("temporary directory");
        let home = directory.path().to_owned();
        Server::brine_at(
            &home,
            brine::config::REFERENCE,
            environment,
            Some(directory),
        )
    }

    /// The same with a configuration of its own and in a directory that may be there from another run.
    pub(crate) fn brine_at(
        home: &Path,
        configuration: &str,
        environment: &[(&str, &str)],
        directory: Option<tempfile::TempDir>,
    ) -> Server {
        let file = home.join("brine.toml");
        std::fs::write(&file, configuration).expect("configuration is written");
        let mut command = Command::new(env!("CARGO_BIN_EXE_brine"));
        command
            .args(["serve", "--config"])
            .arg(&file)
            .env("BRINE_DATA__DIRECTORY", home.join("data"))
            .env("BRINE_SERVER__LISTEN", "127.0.0.1:0")
            .env("BRINE_SERVER__ADMIN", "127.0.0.1:0")
            .env("BRINE_SERVER__TRUSTED_PROXIES", "[\"127.0.0.1/32\"]")
            .env("BRINE_LIMITS__ADDRESS_PER_MINUTE", "100000000")
            .env("BRINE_LIMITS__ADDRESS_BURST", "100000000")
            .env("BRINE_LIMITS__CONSENT_PER_MINUTE", "100000000")
            .env("BRINE_LIMITS__SITE_PER_SECOND", "100000000")
            .env("BRINE_LIMITS__SITE_BURST", "100000000")
            .env("BRINE_LIMITS__EVENT_IDS", "100000000")
            .env("BRINE_LOG", "warn")
            .envs(environment.iter().copied())
            .stderr(Stdio::inherit());
        Server::spawn(command, home, directory)
    }

    fn spawn(mut command: Command, home: &Path, directory: Option<tempfile::TempDir>) -> Server {
        let mut child = command
            .stdout(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut named = |word: &str| {
            let line = lines.next().expect("an address").expect("text");
            let address = line.strip_prefix(word).and_then(|a| a.parse().ok());
            address.expect("an address")
        };
        let address = named("public http://");
        let is_brine = home != Path::new("");
        let admin = is_brine.then(|| named("admin http://"));
        std::thread::spawn(move || lines.for_each(drop));
        Server {
            address,
            admin,
            child,
            home: home.to_owned(),
            _directory: directory,
        }
    }

    /// Prepared requests, with consent tokens under the running collector's own key.
    pub(crate) fn beacons(&self) -> Arc<Vec<Vec<u8>>> {
        let key =
            secret::load_or_create(&self.data().join("consent.key")).expect("the key is there");
        let mint = Mint::new(&key);
        let purposes = Purposes::default().with(Purpose::Measurement);
        #[allow(clippy::disallowed_methods)] // The client's clock.
        let now = jiff::Timestamp::now();
        let today = brine::consent::token_day(now);
        let beacons = (0..DISTINCT).map(|n| {
            let random = secret::random_bytes();
            let (token, _) = mint.issue("portal", purposes, 1, today..=today + 180, random);
            let agent = AGENTS[n % AGENTS.len()];
            let body = format!(
                r#"{{"n":"pageview","u":"https://portal.example.test/products/{}/item-{}?utm_source=news","d":"portal","r":"https://www.google.com/search","w":{},"c":"{token}","s":{{"id":"{:032x}","started":{}}}}}"#,
                n % 37,
                n % 211,
                360 + n,
                n,
                now.as_millisecond(),
            );
            format!(
                "POST /api/event HTTP/1.1\r\nhost: collect.example.test\r\nuser-agent: {agent}\r\n\
                 content-type: text/plain\r\naccept-language: da-DK,da;q=0.9,en;q=0.8\r\n\
                 origin: https://portal.example.test\r\nx-forwarded-for: 80.{}.{}.{}\r\ncontent-length: {}\r\n\r\n{body}",
                n % 251,
                n % 13,
                n % 199,
                body.len()
            )
            .into_bytes()
        });
        Arc::new(beacons.collect())
    }

    /// Prepared batches of `n_events` screen views of the Windows application.
    pub(crate) fn batches(&self, n_events: usize) -> Arc<Vec<Vec<u8>>> {
        let key =
            secret::load_or_create(&self.data().join("consent.key")).expect("the key is there");
        let mint = Mint::new(&key);
        let purposes = Purposes::default().with(Purpose::Measurement);
        #[allow(clippy::disallowed_methods)] // The client's clock.
        let now = jiff::Timestamp::now();
        let today = brine::consent::token_day(now);
        let now = now.as_millisecond();
        let batches = (0..DISTINCT).map(|n| {
            let (token, _) = mint.issue("windows", purposes, 1, today..=today + 180, secret::random_bytes());
            let event = |k: usize| {
                format!(
                    r#"{{"id":"{k}","ts":{},"screen":"/orders/{}/item-{k}","name":"{}","visit":{{"id":"{n:032x}","started":{}}}}}"#,
                    now - 1_000 * k as i64,
                    k % 37,
                    if k.is_multiple_of(10) { "Export" } else { "pageview" },
                    now - 60_000,
                )
            };
            let events: Vec<String> = (0..n_events).map(event).collect();
            let body = format!(
                r#"{{"site":"windows","consent":"{token}","sent_at":{now},"device":{{"install_id":"install-000000000000000","platform":"windows","app_version":"4.12.1","os":"Windows 11","model_class":"desktop","locale":"da-DK","mac":"00:1b:44:{:02x}:{:02x}:b7"}},"events":[{}]}}"#,
                n % 256,
                n % 241,
                events.join(",")
            );
            format!(
                "POST /api/events HTTP/1.1\r\nhost: collect.example.test\r\nuser-agent: PortalApp/4.12 (Windows 11; desktop)\r\n\
                 content-type: application/json\r\nx-forwarded-for: 80.{}.{}.{}\r\ncontent-length: {}\r\n\r\n{body}",
                n % 251,
                n % 13,
                n % 199,
                body.len()
            )
            .into_bytes()
        });
        Arc::new(batches.collect())
    }

    /// CPU time of the server's own process so far.
    pub(crate) fn cpu(&self) -> Duration {
        cpu_of(self.child.id())
    }

    /// The same with that of its engine.
    #[allow(dead_code)] // The bench of the dashboard asks it.
    pub(crate) fn cpu_in_all(&self) -> Duration {
        self.cpu() + self.engine_cpu()
    }

    fn engine_cpu(&self) -> Duration {
        children_of(self.child.id()).into_iter().map(cpu_of).sum()
    }

    /// Waits until the spool is empty, then tells what an event cost, the engine included.
    pub(crate) fn wait_until_stored(&self) -> Stored {
        let started = Instant::now();
        let mut events = self.count("events");
        loop {
            std::thread::sleep(Duration::from_secs(6));
            let now = self.count("events");
            if now == events || started.elapsed() > Duration::from_secs(120) {
                break;
            }
            events = now;
        }
        let per_event = |cpu: Duration| cpu.as_secs_f64() * 1e6 / events.max(1) as f64;
        let engine = self.engine_cpu();
        Stored {
            events,
            cpu_us: per_event(self.cpu() + engine),
            engine_us: per_event(engine),
        }
    }

    /// Returns how many rows a table has; 0 where brine cannot tell.
    pub(crate) fn count(&self, table: &str) -> u64 {
        let output = Command::new(env!("CARGO_BIN_EXE_brine"))
            .args(["sql", "--format", "TSV"])
            .arg(format!("SELECT count() FROM {table}"))
            .arg("--data")
            .arg(self.data())
            .output()
            .expect("brine sql runs");
        String::from_utf8_lossy(&output.stdout)
            .trim()
            .parse()
            .unwrap_or(0)
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.home.join("data")
    }

    /// Returns a line of /proc/PID/status in MiB.
    pub(crate) fn rss_mib(&self, line: &str) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))
            .unwrap_or_default();
        let kib = status.lines().find_map(|l| {
            l.strip_prefix(line)?
                .strip_prefix(':')?
                .split_whitespace()
                .next()
        });
        kib.and_then(|kib| kib.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn cpu_of(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The command name may hold spaces; fields count from behind its closing parenthesis.
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let ticks = |at: usize| {
        fields
            .get(at)
            .and_then(|f| f.parse::<f64>().ok())
            .unwrap_or(0.0)
    };
    Duration::from_secs_f64((ticks(11) + ticks(12)) / TICKS)
}

fn children_of(pid: u32) -> Vec<u32> {
    std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))
        .unwrap_or_default()
        .split_whitespace()
        .filter_map(|child| child.parse().ok())
        .collect()
}

const AGENTS: [&str; 8] = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:143.0) Gecko/20100101 Firefox/143.0",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Safari/605.1.15",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36 Edg/141.0.0.0",
    "Mozilla/5.0 (Linux; Android 14; SAMSUNG SM-S918B) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/28.0 Chrome/130.0.0.0 Mobile Safari/537.36",
];
