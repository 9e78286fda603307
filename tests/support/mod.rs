//! Starts the real `brine` against the real embedded engine, and talks to it as clients do.
//!
//! Each test has its own directory, its own ports (0, read back) and its own engine. Waiting is always for a
//! condition, never for a time.

#![allow(dead_code, unreachable_pub)] // Each test binary uses its own part of this.

pub mod books;
pub mod chance;
pub mod load;
pub mod markers;
pub mod process;
pub mod raw;
pub mod standin;
pub mod storm;
pub mod tab;
pub mod tls;

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{HeaderMap, Method, Request, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// A browser that no bot rule knows.
pub const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";

/// Longest wait for anything; far above what is usual, so that only a fault reaches it.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Quick batches and retries; generous limits, since tests send from one address; a proxy that may name another.
const DEFAULTS: [(&str, &str); 9] = [
    ("BATCH__MAX_AGE_MS", "200"),
    ("BATCH__RETRY_MIN_MS", "50"),
    ("BATCH__RETRY_MAX_MS", "500"),
    ("SPOOL__RESERVE_MIB", "0"),
    ("LIMITS__ADDRESS_PER_MINUTE", "10000000"),
    ("LIMITS__ADDRESS_BURST", "1000000"),
    ("LIMITS__CONSENT_PER_MINUTE", "10000000"),
    ("LIMITS__RIGHTS_PER_MINUTE", "10000000"),
    ("SERVER__TRUSTED_PROXIES", "[\"127.0.0.1/32\"]"),
];

/// A port that nobody has at this moment, for what must be told before it listens.
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.local_addr().expect("it has an address").port()
}

/// A test's brine, before it starts.
pub struct Builder {
    directory: tempfile::TempDir,
    settings: String,
    environment: Vec<(String, String)>,
}

/// A running brine.
pub struct Brine {
    pub directory: PathBuf,
    pub public: SocketAddr,
    pub admin: SocketAddr,
    pub child: Child,
    environment: Vec<(String, String)>,
    keep: Option<tempfile::TempDir>,
    http: Client<HttpConnector, Full<Bytes>>,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn outcome(&self) -> &str {
        self.headers
            .get("brine-outcome")
            .map_or("", |value| value.to_str().unwrap_or("?"))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }

    /// Asserts status and outcome in one line.
    #[track_caller]
    pub fn expect(&self, status: u16, outcome: &str) -> &Self {
        assert_eq!(
            (self.status.as_u16(), self.outcome()),
            (status, outcome),
            "{}",
            self.text()
        );
        self
    }
}

impl Builder {
    /// The reference sites, quick batches, nothing else out of the ordinary.
    pub fn new() -> Builder {
        Builder {
            directory: tempfile::tempdir().expect("temporary directory"),
            settings: brine::config::REFERENCE.to_owned(),
            environment: DEFAULTS
                .map(|(k, v)| (format!("BRINE_{k}"), v.to_owned()))
                .to_vec(),
        }
    }

    /// Overrides one key, as the environment does: `set("SERVER__MAX_BODY_BYTES", "2048")`.
    pub fn set(mut self, key: &str, value: &str) -> Builder {
        self.environment
            .push((format!("BRINE_{key}"), value.to_owned()));
        self
    }

    /// Sets a variable of the environment by its own name.
    pub fn variable(mut self, name: &str, value: &str) -> Builder {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Lives by a clock of its own, which stands still at `now` (milliseconds since 1970 UTC) until
    /// [`Brine::set_clock`] moves it.
    pub fn clock(mut self, now_ms: i64) -> Builder {
        let file = self.directory.path().join("clock");
        write_clock(&file, now_ms);
        let file = file.to_str().expect("a path in UTF-8").to_owned();
        self.environment
            .push((brine::clock::FILE_VARIABLE.to_owned(), file));
        self
    }

    /// Appends to the configuration file (more sites, for example).
    pub fn append(mut self, toml: &str) -> Builder {
        self.settings.push_str(toml);
        self
    }

    /// Changes the configuration file.
    pub fn replace(mut self, from: &str, to: &str) -> Builder {
        assert!(
            self.settings.contains(from),
            "{from} is not in the configuration"
        );
        self.settings = self.settings.replace(from, to);
        self
    }

    /// The command that `start` would run.
    pub fn command(&self) -> Command {
        let file = self.directory.path().join("brine.toml");
        std::fs::write(&file, &self.settings).expect("configuration is written");
        command(self.directory.path(), &self.environment)
    }

    /// Starts it and waits until it is ready.
    pub fn start(self) -> Brine {
        let (child, public, admin) = launch(self.command(), &self.directory.path().join("log"));
        Brine {
            directory: self.directory.path().to_owned(),
            public,
            admin,
            child,
            environment: self.environment,
            keep: Some(self.directory),
            http: Client::builder(TokioExecutor::new()).build_http(),
        }
    }

    pub fn directory(&self) -> &Path {
        self.directory.path()
    }
}

/// By rename: no reader finds half a number.
fn write_clock(file: &Path, now_ms: i64) {
    let new = file.with_extension("new");
    std::fs::write(&new, now_ms.to_string()).expect("the clock is written");
    std::fs::rename(&new, file).expect("and renamed");
}

fn command(directory: &Path, environment: &[(String, String)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_brine"));
    command
        .args(["serve", "--config"])
        .arg(directory.join("brine.toml"))
        .env("BRINE_SERVER__LISTEN", "127.0.0.1:0")
        .env("BRINE_SERVER__ADMIN", "127.0.0.1:0")
        .env("BRINE_DATA__DIRECTORY", directory.join("data"))
        .envs(environment.iter().map(|(k, v)| (k, v)));
    command
}

/// Starts `brine serve`, with its log appended to `log`, and reads where it listens.
pub fn launch(mut command: Command, log: &Path) -> (Child, SocketAddr, SocketAddr) {
    let log_file = std::fs::File::options()
        .create(true)
        .append(true)
        .open(log)
        .expect("log opens");
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(log_file)
        .spawn()
        .expect("brine starts");
    let mut lines = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();
    let mut address = |word: &str| -> SocketAddr {
        let line = lines.next().and_then(Result::ok).unwrap_or_else(|| {
            panic!("brine ended before it was ready:\n{}", tail(log));
        });
        line.strip_prefix(word)
            .and_then(|rest| rest.strip_prefix(" http://"))
            .and_then(|rest| rest.parse().ok())
            .unwrap_or_else(|| panic!("unexpected line {line}"))
    };
    let public = address("public");
    let admin = address("admin");
    // Whatever else it prints must not block it; a set-up link may be among it.
    let printed = log.with_file_name("printed");
    std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            let file = std::fs::File::options()
                .create(true)
                .append(true)
                .open(&printed);
            let written = file.and_then(|mut file| writeln!(file, "{line}"));
            if written.is_err() {
                break;
            }
        }
    });
    (child, public, admin)
}

fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}

impl Brine {
    pub fn start() -> Brine {
        Builder::new().start()
    }

    /// Moves the clock of a brine that was built with one, forwards or backwards.
    pub fn set_clock(&self, now_ms: i64) {
        write_clock(&self.directory.join("clock"), now_ms);
    }

    /// Sends any request to the public listener.
    pub async fn request(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        self.try_request(self.public, method, path, headers, body)
            .await
            .expect("an answer")
    }

    /// The same to the admin listener, as the operator's commands do it; with `authorization` or `cookie` as whoever
    /// those say. [`Brine::try_request`] says nothing of its own.
    pub async fn admin(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let is_named = |(name, _): &(&str, &str)| matches!(*name, "authorization" | "cookie");
        let operator = self.operator();
        let mut headers = headers.to_vec();
        if !headers.iter().any(is_named) {
            headers.push(("authorization", &operator));
        }
        self.try_request(self.admin, method, path, &headers, body)
            .await
            .expect("an answer")
    }

    /// What opens the admin listener for whoever can read the data directory.
    pub fn operator(&self) -> String {
        let bearer = brine::access::gate::operator_bearer(&self.data()).expect("a key");
        format!("Bearer {}", &*bearer)
    }

    /// The same; no answer is an error.
    pub async fn try_request(
        &self,
        address: SocketAddr,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Result<Answer, hyper_util::client::legacy::Error> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("http://{address}{path}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request
            .body(Full::new(Bytes::copy_from_slice(body.as_bytes())))
            .expect("a request");
        let (head, body) = self.http.request(request).await?.into_parts();
        let body = body.collect().await.expect("a body").to_bytes();
        Ok(Answer {
            status: head.status,
            headers: head.headers,
            body,
        })
    }

    /// Posts bytes to the public listener.
    pub async fn post(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Answer {
        let mut request = Request::post(format!("http://{}{path}", self.public));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.into())).expect("a request");
        let (head, body) = self
            .http
            .request(request)
            .await
            .expect("an answer")
            .into_parts();
        Answer {
            status: head.status,
            headers: head.headers,
            body: body.collect().await.expect("a body").to_bytes(),
        }
    }

    /// Says yes on `site` and returns the token.
    pub async fn consent(&self, site: &str) -> String {
        let answer = self.choose(site, "grant", None).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text());
        answer.json()["token"].as_str().expect("a token").to_owned()
    }

    /// Makes a consent choice, from a page of the site's own.
    pub async fn choose(&self, site: &str, choice: &str, token: Option<&str>) -> Answer {
        let mut body = format!(r#"{{"site":"{site}","choice":"{choice}","source":"test""#);
        if let Some(token) = token {
            write!(body, r#","token":"{token}""#).expect("writes to memory");
        }
        body.push('}');
        let origin = format!("https://{site}.example.test");
        let headers = [
            ("origin", origin.as_str()),
            ("content-type", "application/json"),
            ("user-agent", FIREFOX),
        ];
        self.request(Method::POST, "/api/consent", &headers, &body)
            .await
    }

    /// Sends a beacon as a Firefox would.
    pub async fn event(&self, body: &str) -> Answer {
        self.event_with(&[], body).await
    }

    /// The same with further headers.
    pub async fn event_with(&self, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut all = vec![("content-type", "text/plain"), ("user-agent", FIREFOX)];
        all.retain(|(name, _)| headers.iter().all(|(other, _)| other != name));
        all.extend_from_slice(headers);
        self.request(Method::POST, "/api/event", &all, body).await
    }

    /// Runs a read-only statement through `brine sql` and returns its lines (TSV).
    pub fn sql(&self, statement: &str) -> Vec<String> {
        self.try_sql(statement)
            .unwrap_or_else(|error| panic!("{statement}: {error}"))
    }

    /// The same; the engine may be away at this moment.
    pub fn try_sql(&self, statement: &str) -> Result<Vec<String>, String> {
        let output = self.command(&["sql", "--format", "TSV", statement]);
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        Ok(String::from_utf8_lossy(&output.stdout)
            .lines()
            .map(str::to_owned)
            .collect())
    }

    /// Runs another brine command beside the running one; `--data` names its directory.
    pub fn command(&self, arguments: &[&str]) -> std::process::Output {
        let clock = self
            .environment
            .iter()
            .filter(|(k, _)| k == brine::clock::FILE_VARIABLE);
        Command::new(env!("CARGO_BIN_EXE_brine"))
            .args(arguments)
            .arg("--data")
            .arg(self.directory.join("data"))
            .envs(clock.map(|(k, v)| (k, v)))
            .output()
            .expect("brine runs")
    }

    /// The same, with one line on its standard input. It lives by the same clock.
    pub fn command_with(&self, arguments: &[&str], line: &str) -> std::process::Output {
        let clock = self
            .environment
            .iter()
            .filter(|(k, _)| k == brine::clock::FILE_VARIABLE);
        let mut child = Command::new(env!("CARGO_BIN_EXE_brine"))
            .args(arguments)
            .arg("--data")
            .arg(self.directory.join("data"))
            .envs(clock.map(|(k, v)| (k, v)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("brine runs");
        let mut input = child.stdin.take().expect("piped");
        writeln!(input, "{line}").expect("it reads");
        drop(input);
        child.wait_with_output().expect("it ends")
    }

    /// Returns one number from ClickHouse.
    pub fn count(&self, statement: &str) -> u64 {
        self.sql(statement)
            .first()
            .and_then(|line| line.parse().ok())
            .expect("one number")
    }

    /// Waits until a statement gives `expected`.
    pub fn wait_for(&self, statement: &str, expected: u64) {
        let started = Instant::now();
        loop {
            let found = self
                .try_sql(statement)
                .map(|lines| lines.first().and_then(|line| line.parse::<u64>().ok()));
            if found == Ok(Some(expected)) {
                return;
            }
            let late = started.elapsed() > PATIENCE;
            assert!(
                !late,
                "{statement}: {found:?} instead of {expected}\n{}",
                self.log_tail()
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Waits until everything accepted so far has left the spool. With nothing being sent, that is for good.
    pub async fn wait_drained(&self) {
        self.wait_metric("brine_spool_segments", |segments| segments == 0.0)
            .await;
    }

    /// Waits until a metric is as wanted. Gauges are renewed once a second.
    pub async fn wait_metric(&self, name: &str, is_wanted: impl Fn(f64) -> bool) {
        let started = Instant::now();
        loop {
            // One full turn of the gauges first: what they say now may be from before.
            tokio::time::sleep(Duration::from_millis(1_100)).await;
            let value = self.metric(name).await;
            if is_wanted(value) {
                return;
            }
            assert!(
                started.elapsed() < PATIENCE,
                "{name} stays at {value}\n{}",
                self.log_tail()
            );
        }
    }

    /// Returns the value of one metric line, by its exact name and labels; 0 where it is absent.
    pub async fn metric(&self, name: &str) -> f64 {
        let text = self.admin(Method::GET, "/metrics", &[], "").await.text();
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
            .unwrap_or(0.0)
    }

    /// Returns all of `brine_beacons_total`, as (site, outcome, count) with count above 0.
    pub async fn outcomes(&self) -> Vec<(String, String, u64)> {
        let text = self.admin(Method::GET, "/metrics", &[], "").await.text();
        text.lines()
            .filter_map(|line| {
                let (labels, count) = line
                    .strip_prefix("brine_beacons_total{")?
                    .split_once("} ")?;
                let label = |name: &str| {
                    let rest = labels.split_once(&format!("{name}=\""))?.1;
                    Some(rest.split_once('"')?.0.to_owned())
                };
                let count: f64 = count.parse().ok()?;
                (count > 0.0).then(|| Some((label("site")?, label("outcome")?, count as u64)))?
            })
            .collect()
    }

    /// Returns what it has logged so far, engine included.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }

    /// Returns the end of the log: what a failed test shows.
    pub fn log_tail(&self) -> String {
        tail(&self.directory.join("log"))
    }

    pub fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    /// Asks it to stop and waits for its exit code.
    pub fn terminate(&mut self) -> Option<i32> {
        self.signal("TERM");
        self.child.wait().expect("it ends").code()
    }

    /// After a signal that asks it to stop: waits for its exit code.
    pub fn ended(&mut self) -> Option<i32> {
        self.child.wait().expect("it ends").code()
    }

    /// kill -9, and waits until it is gone. The engine notices the end of its parent by itself.
    pub fn kill(&mut self) {
        self.signal("KILL");
        self.child.wait().expect("it ends");
    }

    /// After a signal that ends it: waits until it is gone.
    pub fn kill_is_over(&mut self) {
        self.child.wait().expect("it ends");
    }

    pub fn signal(&self, name: &str) {
        assert!(
            process::signal(self.child.id(), name),
            "brine is gone\n{}",
            self.log_tail()
        );
    }

    /// Returns the process of the embedded engine, if one lives at this moment.
    pub fn engine(&self) -> Option<u32> {
        process::children(self.child.id()).first().copied()
    }

    /// The command that starts brine again in the same directory with the same settings.
    pub fn start_command(&self) -> Command {
        command(&self.directory, &self.environment)
    }

    /// Starts brine again, on new ports.
    pub fn restart(&mut self) {
        let command = self.start_command();
        let (child, public, admin) = launch(command, &self.directory.join("log"));
        (self.child, self.public, self.admin) = (child, public, admin);
    }
}

impl Drop for Brine {
    fn drop(&mut self) {
        // A test that failed must not leave a server behind, nor an engine that it had stopped; one that has
        // ended is not killed twice.
        if let Some(engine) = self.engine() {
            process::signal(engine, "KILL");
        }
        if let Ok(None) = self.child.try_wait() {
            drop(self.child.kill());
            drop(self.child.wait());
        }
        drop(self.keep.take());
    }
}
