//! An engine for one test, and ways to talk to it.

use std::{
    io::{BufRead, BufReader, Read, Write},
    os::unix::{net::UnixStream, process::ExitStatusExt},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::OnceLock,
    time::Duration,
};

use brine::engine::{
    connect,
    fetch::{cache_dir, fetch, library_path},
    home::{Key, default_socket},
};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{HeaderMap, Request, StatusCode};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tempfile::TempDir;

/// How long anything here may take before the test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Returns the engine library, which is fetched if it is not there.
pub(crate) fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let environment = |name: &str| std::env::var_os(name);
        let path = library_path(&environment).unwrap();
        if path.exists() {
            path
        } else {
            fetch(&cache_dir(&environment).unwrap()).unwrap()
        }
    })
}

/// Returns a command that runs the engine in `data`, with a neutral environment.
pub(crate) fn engine_command(data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_brine"));
    command
        .env_clear()
        .arg("engine")
        .arg("--data")
        .arg(data)
        .arg("--lib")
        .arg(library());
    command
}

/// A running engine.
pub(crate) struct Engine {
    pub(crate) dir: TempDir,
    pub(crate) child: Child,
    pub(crate) stdin: Option<ChildStdin>,
    pub(crate) ready: String,
    data: PathBuf,
}

impl Engine {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    pub(crate) fn start_with(arguments: &[&str]) -> Self {
        let dir = TempDir::new().unwrap();
        let data = dir.path().join("d");
        Self::start_in(dir, data, arguments)
    }

    /// Starts in `data`, which may be outside of `dir`.
    pub(crate) fn start_in(dir: TempDir, data: PathBuf, arguments: &[&str]) -> Self {
        let (child, stdin, ready) = spawn(engine_command(&data).args(arguments));
        Self {
            dir,
            child,
            stdin,
            ready,
            data,
        }
    }

    /// Starts again in the same directory. The last child must have exited.
    pub(crate) fn restart(&mut self) {
        (self.child, self.stdin, self.ready) = spawn(&mut engine_command(&self.data));
    }

    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    pub(crate) fn socket(&self) -> PathBuf {
        default_socket(&self.data)
    }

    pub(crate) fn key(&self) -> Key {
        Key::read(&self.data).unwrap()
    }

    pub(crate) fn client(&self) -> clickhouse::Client {
        connect::client(&self.socket(), &self.key())
    }

    /// `127.0.0.1:port`, for an engine that was started with `--listen`.
    pub(crate) fn address(&self) -> &str {
        self.ready
            .split("listen=")
            .nth(1)
            .expect("not started with --listen")
            .trim()
    }

    /// Sends `body` to `/?query_string` with the key.
    pub(crate) async fn post(&self, query_string: &str, body: impl Into<Bytes>) -> Reply {
        self.send(query_string, &[], body).await
    }

    pub(crate) async fn send(
        &self,
        query_string: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Reply {
        let mut request = Request::post(format!("http://engine.invalid/?{query_string}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if !headers
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case("x-clickhouse-key"))
        {
            request = request.header("X-ClickHouse-Key", self.key().expose());
        }
        let request = request.body(Full::new(body.into())).unwrap();
        let client =
            Client::builder(TokioExecutor::new()).build(connect::Connector::new(&self.socket()));
        let reply = tokio::time::timeout(PATIENCE, client.request(request))
            .await
            .unwrap()
            .unwrap();
        let (head, body) = reply.into_parts();
        let body = tokio::time::timeout(PATIENCE, body.collect())
            .await
            .unwrap();
        let (bytes, cut) = match body {
            Ok(collected) => (collected.to_bytes(), false),
            Err(_) => (Bytes::new(), true),
        };
        Reply {
            status: head.status,
            headers: head.headers,
            bytes,
            cut,
        }
    }

    /// Runs a statement that must succeed and returns its answer.
    pub(crate) async fn sql(&self, sql: &str) -> String {
        let reply = self.post("", sql.to_owned()).await;
        assert_eq!(reply.status, StatusCode::OK, "{sql}: {}", reply.text());
        reply.text().trim_end().to_owned()
    }

    /// Runs a statement that must fail and returns ClickHouse's code.
    pub(crate) async fn sql_error(&self, sql: &str) -> u32 {
        let reply = self.post("", sql.to_owned()).await;
        assert_ne!(
            reply.status,
            StatusCode::OK,
            "{sql} must fail, answered: {}",
            reply.text()
        );
        reply.code()
    }

    /// Opens a bare connection and writes `request` to it, `{key}` replaced.
    pub(crate) fn raw(&self, request: &str) -> UnixStream {
        let mut stream = UnixStream::connect(self.socket()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
            .write_all(request.replace("{key}", self.key().expose()).as_bytes())
            .unwrap();
        stream
    }

    pub(crate) fn kill(&mut self) -> ExitStatus {
        self.child.kill().unwrap();
        self.child.wait().unwrap()
    }

    pub(crate) fn terminate(&mut self) -> ExitStatus {
        signal(&self.child, rustix::process::Signal::TERM);
        self.child.wait().unwrap()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // It may have ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

pub(crate) fn signal(child: &Child, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}

pub(crate) fn was_killed(status: ExitStatus) -> bool {
    status.signal() == Some(9)
}

fn spawn(command: &mut Command) -> (Child, Option<ChildStdin>, String) {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut ready = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut ready)
        .unwrap();
    if !ready.starts_with("engine ready") {
        let mut said = String::new();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut said)
            .unwrap();
        panic!("engine did not start: {ready}{said}");
    }
    // Read on, so that a full pipe never stops the child; shown when a test fails.
    let stderr = BufReader::new(child.stderr.take().unwrap());
    std::thread::spawn(move || {
        stderr
            .lines()
            .map_while(Result::ok)
            .for_each(|line| println!("engine: {line}"))
    });
    let stdin = child.stdin.take();
    (child, stdin, ready)
}

/// An answer.
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Bytes,
    pub(crate) cut: bool,
}

impl Reply {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    /// ClickHouse's code of a failure.
    pub(crate) fn code(&self) -> u32 {
        self.header("x-clickhouse-exception-code")
            .parse()
            .unwrap_or(0)
    }

    #[track_caller]
    pub(crate) fn expect_ok(self) -> Self {
        assert_eq!(self.status, StatusCode::OK, "{}", self.text());
        assert!(!self.cut, "the answer was cut");
        self
    }
}

/// Waits until `condition` holds, and fails if it does not within [`PATIENCE`].
pub(crate) async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(
        tokio::time::timeout(PATIENCE, wait).await.is_ok(),
        "never happened: {what}"
    );
}

/// What follows the key in a raw request's head.
pub(crate) fn raw_insert(table: &str, framing: &str) -> String {
    format!(
        "POST /?query=INSERT%20INTO%20{table}%20FORMAT%20TSV HTTP/1.1\r\nHost: e\r\nX-ClickHouse-Key: {{key}}\r\n{framing}\r\n\r\n"
    )
}
