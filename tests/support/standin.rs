//! A ClickHouse server that misbehaves on cue: the real engine on loopback, and in front of it a proxy
//! that does to inserts what networks, load balancers and dying servers do.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;

use super::Builder;

/// What happens to one insert into `events`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    /// The connection ends; the engine never saw the insert.
    CutBefore,
    /// The insert is committed, then the connection ends without an answer.
    CutAfter,
    /// The insert is committed, then a proxy says 502.
    BadGatewayAfter,
    /// The insert is committed, then nothing more is heard.
    SilenceAfter,
    /// The engine never sees the insert, and nothing is heard.
    SilenceBefore,
    /// ClickHouse refuses with this number and text; nothing is written.
    Refuse(u16, &'static str),
}

#[derive(Default)]
struct Script {
    faults: VecDeque<Fault>,
    /// Every connection is closed at once.
    is_down: bool,
    /// A refusal by constraint is told as this number instead.
    relabel: Option<u16>,
    met: Vec<Fault>,
}

/// Engine and proxy. Dropping it ends both.
pub struct StandIn {
    pub address: SocketAddr,
    engine_address: SocketAddr,
    engine: Child,
    key: String,
    key_file: PathBuf,
    script: Arc<Mutex<Script>>,
    http: Client<HttpConnector, Full<Bytes>>,
    // Last: its files outlive the engine.
    _directory: tempfile::TempDir,
}

impl StandIn {
    /// Starts both; faults are none.
    pub async fn start() -> StandIn {
        let directory = tempfile::tempdir().expect("temporary directory");
        let data = directory.path().join("engine");
        let (engine, engine_address) = start_engine(&data);
        let key_file = data.join("engine.key");
        let key = std::fs::read_to_string(&key_file)
            .expect("the engine's key")
            .trim()
            .to_owned();
        let script: Arc<Mutex<Script>> = Arc::default();
        let http = Client::builder(TokioExecutor::new()).build_http();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(proxy(listener, engine_address, script.clone()));
        StandIn {
            address,
            engine_address,
            engine,
            key,
            key_file,
            script,
            http,
            _directory: directory,
        }
    }

    /// A brine that stores there, impatiently.
    pub fn builder(&self) -> Builder {
        self.builder_at(self.address)
    }

    /// The same, past the proxy: it meets no fault.
    pub fn direct(&self) -> Builder {
        self.builder_at(self.engine_address)
    }

    fn builder_at(&self, address: SocketAddr) -> Builder {
        Builder::new()
            .set("STORE__URL", &format!("http://{address}"))
            .set("STORE__PASSWORD_FILE", &self.key_file.display().to_string())
            .set("STORE__TIMEOUT_MS", "1000")
            .set("SERVER__DRAIN_TIMEOUT_MS", "3000")
    }

    /// Lets the next inserts into `events` meet these, one each.
    pub fn plan(&self, faults: &[Fault]) {
        self.script().faults.extend(faults);
    }

    /// Returns the faults that inserts have met so far.
    pub fn met(&self) -> Vec<Fault> {
        self.script().met.clone()
    }

    /// Cuts everything off, or lets it through again.
    pub fn set_down(&self, is_down: bool) {
        self.script().is_down = is_down;
    }

    /// Tells refusals by a constraint of the table (469) as another number.
    pub fn relabel_refusals(&self, code: Option<u16>) {
        self.script().relabel = code;
    }

    /// Asks the engine itself, past the proxy; lines of TSV.
    pub async fn sql(&self, statement: &str) -> Vec<String> {
        self.try_sql(statement)
            .await
            .unwrap_or_else(|text| panic!("{statement}: {text}"))
    }

    /// The same; it may not know the table yet.
    pub async fn try_sql(&self, statement: &str) -> Result<Vec<String>, String> {
        let request = Request::post(format!("http://{}/?database=brine", self.engine_address))
            .header("x-clickhouse-user", "default")
            .header("x-clickhouse-key", &self.key)
            .body(Full::new(Bytes::copy_from_slice(statement.as_bytes())))
            .expect("a request");
        let (head, body) = self
            .http
            .request(request)
            .await
            .expect("the engine answers")
            .into_parts();
        let body = body.collect().await.expect("a body").to_bytes();
        let text = String::from_utf8_lossy(&body).into_owned();
        if head.status != StatusCode::OK {
            return Err(text);
        }
        Ok(text.lines().map(str::to_owned).collect())
    }

    fn script(&self) -> std::sync::MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        drop(self.engine.kill());
        drop(self.engine.wait());
    }
}

fn start_engine(data: &Path) -> (Child, SocketAddr) {
    let mut engine = Command::new(env!("CARGO_BIN_EXE_brine"))
        .args(["engine", "--listen", "127.0.0.1:0", "--data"])
        .arg(data)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the engine starts");
    let mut lines = BufReader::new(engine.stdout.take().expect("stdout is piped")).lines();
    let ready = lines
        .next()
        .and_then(Result::ok)
        .expect("the engine gets ready");
    let address = ready.split_once("listen=").expect("an address").1;
    (engine, address.trim().parse().expect("an address"))
}

async fn proxy(listener: TcpListener, engine: SocketAddr, script: Arc<Mutex<Script>>) {
    let http: Client<HttpConnector, Full<Bytes>> =
        Client::builder(TokioExecutor::new()).build_http();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            return;
        };
        if script
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_down
        {
            continue;
        }
        let (http, script) = (http.clone(), script.clone());
        tokio::spawn(async move {
            let service =
                service_fn(move |request| pass(request, engine, http.clone(), script.clone()));
            // An error is a fault on cue, or brine that went away.
            drop(
                hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await,
            );
        });
    }
}

/// Forwards one request, or does with it what the script says. An error cuts the connection.
async fn pass(
    request: Request<Incoming>,
    engine: SocketAddr,
    http: Client<HttpConnector, Full<Bytes>>,
    script: Arc<Mutex<Script>>,
) -> Result<Response<Full<Bytes>>, std::io::Error> {
    let cut = || std::io::Error::other("cut on cue");
    let (mut head, body) = request.into_parts();
    let target = head
        .uri
        .path_and_query()
        .map_or("/", |p| p.as_str())
        .to_owned();
    let is_insert = url::form_urlencoded::parse(head.uri.query().unwrap_or("").as_bytes())
        .any(|(key, sql)| key == "query" && sql.starts_with("INSERT INTO `events`"));
    let (fault, is_down, relabel) = {
        let mut script = script.lock().unwrap_or_else(PoisonError::into_inner);
        let fault = if is_insert {
            script.faults.pop_front()
        } else {
            None
        };
        script.met.extend(fault);
        (fault, script.is_down, script.relabel)
    };
    if is_down {
        return Err(cut());
    }
    // A body that ends early must not become a whole one.
    let body = body.collect().await.map_err(|_| cut())?.to_bytes();
    match fault {
        Some(Fault::CutBefore) => return Err(cut()),
        Some(Fault::SilenceBefore) => std::future::pending().await,
        Some(Fault::Refuse(code, text)) => return Ok(exception(code, text)),
        _ => {}
    }
    head.uri = format!("http://{engine}{target}")
        .parse()
        .expect("an address");
    head.headers.remove("transfer-encoding");
    let answer = http
        .request(Request::from_parts(head, Full::new(body)))
        .await
        .map_err(|_| cut())?;
    let (mut head, body) = answer.into_parts();
    let body = body.collect().await.map_err(|_| cut())?.to_bytes();
    head.headers.remove("transfer-encoding");
    match fault {
        Some(Fault::CutAfter) => return Err(cut()),
        Some(Fault::SilenceAfter) => std::future::pending().await,
        Some(Fault::BadGatewayAfter) => {
            let mut answer =
                Response::new(Full::new(Bytes::from_static(b"<html>Bad Gateway</html>")));
            *answer.status_mut() = StatusCode::BAD_GATEWAY;
            return Ok(answer);
        }
        _ => {}
    }
    let refused = head
        .headers
        .get("x-clickhouse-exception-code")
        .and_then(|v| v.to_str().ok());
    match relabel {
        Some(code) if refused == Some("469") => Ok(exception(
            code,
            "Cannot parse input: expected something else",
        )),
        _ => Ok(Response::from_parts(head, Full::new(body))),
    }
}

fn exception(code: u16, text: &str) -> Response<Full<Bytes>> {
    let body = format!("Code: {code}. DB::Exception: {text}. (SOMETHING) (version 26.7.2.1)\n");
    Response::builder()
        .status(StatusCode::INTERNAL_SERVER_ERROR)
        .header("x-clickhouse-exception-code", code)
        .body(Full::new(Bytes::from(body)))
        .expect("an answer")
}
