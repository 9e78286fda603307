//! ClickHouse's HTTP interface, over any connection.
//!
//! In: HTTP/1.1 requests. Out: answers of the engine. A library function: `brine engine` mounts it
//! on a unix socket, a test may mount it on a pipe. Source: ClickHouse's documentation of the
//! interface, and what its official clients send.
//!
//! Limits: connections, statements at once, size of a head, time for a head; bodies are streamed
//! and not limited.

use std::{convert::Infallible, pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::{
    HeaderMap, Method, Response, StatusCode,
    body::{Body as _, Incoming},
    header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue, WWW_AUTHENTICATE},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{Semaphore, oneshot},
    time::timeout,
};
use tokio_io_timeout::TimeoutStream;

use super::{
    Exception,
    answer::Counts,
    body::{self, BodyReader, ReplyBody},
    config::Limits,
    decode::Coding,
    exception::code,
    ffi::{Connection, Engine},
    formats,
    home::Key,
    multipart,
    registry::{ConnectionTicket, Registry},
    reply::{Head, UNREAD},
    request::{Credentials, Request},
    session::Sessions,
    work::{Job, Source},
};

/// Largest head of a request. The URL may hold a statement, and hyper's own bound for a URL is 64
/// KiB.
const HEAD_BYTES: usize = 128 << 10;

/// Headers of a request.
const N_HEADERS: usize = 100;

/// Time for a head to arrive, and for an idle connection. ClickHouse's `keep_alive_timeout` is 30
/// s.
const HEAD: Duration = Duration::from_secs(30);

/// Longest statement that is read before it is decided which turn it takes.
const PEEK_BYTES: u64 = 4 << 10;

/// How long a statement waits for its turn.
const TURN: Duration = Duration::from_secs(30);

/// Statements that need no turn, because they must get through when all turns are taken.
const N_URGENT: usize = 4;

type Reply = Response<ReplyBody>;

/// The interface of one engine.
pub struct Interface {
    engine: Arc<Engine>,
    arguments: Vec<String>,
    key: Key,
    registry: Arc<Registry>,
    sessions: Arc<Sessions>,
    turns: Arc<Semaphore>,
    urgent: Arc<Semaphore>,
    time_zone: String,
}

impl Interface {
    /// Puts an interface in front of `engine`, which runs with `arguments`.
    #[must_use]
    pub fn new(
        engine: Arc<Engine>,
        arguments: Vec<String>,
        key: Key,
        limits: &Limits,
        time_zone: String,
    ) -> Arc<Self> {
        Arc::new(Self {
            engine,
            arguments,
            key,
            registry: Arc::default(),
            sessions: Arc::default(),
            turns: Arc::new(Semaphore::new(limits.queries)),
            urgent: Arc::new(Semaphore::new(N_URGENT)),
            time_zone,
        })
    }

    /// Returns what is under way.
    #[must_use]
    pub fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// Lets idle sessions age by one second.
    pub fn tick(&self) {
        self.sessions.tick();
    }

    /// Blocking threads that statements may need at once.
    #[must_use]
    pub fn n_threads(limits: &Limits) -> usize {
        // One more for standard input.
        limits.queries + N_URGENT + 1
    }

    /// Serves one connection to its end. Errors of the connection are the client's to notice.
    pub async fn serve<I>(self: Arc<Self>, io: I, ticket: ConnectionTicket)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let number = ticket.number;
        let service = service_fn(|request| {
            let interface = Arc::clone(&self);
            async move { Ok::<_, Infallible>(interface.answer(request, number).await) }
        });
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(HEAD)
            .max_buf_size(HEAD_BYTES)
            .max_headers(N_HEADERS);
        // hyper waits for a client that takes nothing as long as it likes; its place would be gone for good.
        let mut io = TimeoutStream::new(io);
        io.set_write_timeout(Some(UNREAD));
        let mut connection = pin!(http.serve_connection(TokioIo::new(Box::pin(io)), service));
        tokio::select! {
            // Dropping the connection cuts its bodies, which cancels its statements.
            () = ticket.close.notified() => {}
            end = connection.as_mut() => {
                if let Err(error) = end {
                    tracing::debug!(%error, "connection ended early");
                }
            }
        }
    }

    async fn answer(self: Arc<Self>, request: hyper::Request<Incoming>, connection: u64) -> Reply {
        let (head, body) = request.into_parts();
        let has_query = head
            .uri
            .query()
            .is_some_and(|query| query.contains("query="));
        match head.uri.path() {
            "/ping" => return plain(StatusCode::OK, "Ok.\n"),
            "/" if head.method == Method::GET && !has_query => {
                return plain(StatusCode::OK, "Ok.\n");
            }
            "/" | "/attempts/end" => {}
            _ => return plain(StatusCode::NOT_FOUND, "There is no such path\n"),
        }
        let (mut request, credentials) = match Request::parse(&head) {
            Ok(parsed) => parsed,
            Err(exception) => return failure(&exception, None),
        };
        if let Err(exception) = self.authenticate(&credentials) {
            let mut reply = failure(&exception, None);
            if credentials.basic {
                *reply.status_mut() = StatusCode::UNAUTHORIZED;
                let realm = HeaderValue::from_static("Basic realm=\"brine engine\"");
                reply.headers_mut().insert(WWW_AUTHENTICATE, realm);
            }
            return reply;
        }
        if head.uri.path() == "/attempts/end" {
            self.registry.end_attempts(connection).await;
            return plain(StatusCode::OK, "Ok.\n");
        }
        let body = match multipart::boundary(&head.headers) {
            None => Some(body),
            Some(boundary) => match multipart::read(body, boundary, &mut request).await {
                Ok(()) => None,
                Err(exception) => return failure(&exception, None),
            },
        };
        let id = request.query_id.clone().unwrap_or_else(random_id);
        let body = match peeked(&request, body).await {
            Ok(body) => body,
            Err(exception) => return failure(&exception, Some(&id)),
        };
        match self.run(request, body, id.clone(), connection).await {
            Ok(reply) => reply,
            Err(exception) => failure(&exception, Some(&id)),
        }
    }

    fn authenticate(&self, credentials: &Credentials) -> Result<(), Exception> {
        let user = credentials.user.as_deref().unwrap_or_default();
        let key = credentials
            .key
            .as_deref()
            .map(String::as_bytes)
            .unwrap_or_default();
        if matches!(user, "" | "default") && self.key.matches(key) {
            return Ok(());
        }
        let text =
            "Authentication failed: the password is the key in `engine.key` of the data directory";
        Err(Exception::new(code::AUTHENTICATION_FAILED, text))
    }

    async fn run(
        self: &Arc<Self>,
        request: Request,
        body: RequestBody,
        id: String,
        connection: u64,
    ) -> Result<Reply, Exception> {
        let kills = |text: &[u8]| {
            let word = text.trim_ascii_start().get(..4);
            word.is_some_and(|word| word.eq_ignore_ascii_case(b"KILL"))
        };
        let is_urgent = match &body {
            RequestBody::Read(text) if request.query.is_empty() => kills(text),
            _ => kills(&request.query),
        };
        let turns = if is_urgent { &self.urgent } else { &self.turns };
        let busy = || {
            let text = "Too many simultaneous queries: no turn within 30 seconds";
            Exception::new(code::TOO_MANY_SIMULTANEOUS_QUERIES, text)
        };
        // Kept by the thread, which outlives a client that goes away.
        let turn = timeout(TURN, Arc::clone(turns).acquire_owned())
            .await
            .map_err(|_| busy())?
            .map_err(|_| busy())?;
        let ticket = self.registry.begin(id.clone(), connection)?;
        let running = Arc::clone(&ticket.0);
        // From here on, a handler that is dropped (the client is gone) cancels the statement.
        let (reply, reply_body) = ReplyBody::stream(running);
        let body = match body {
            RequestBody::Coming(body) => {
                let (sender, reader) = body::request_pipe();
                // Ends with the connection, at the latest: the body's frames come from there.
                tokio::spawn(body::pump(body, sender));
                reader
            }
            RequestBody::Read(text) => BodyReader::full(text),
        };
        let (head, head_receiver) = oneshot::channel();
        let (interface, coding, compressed) =
            (Arc::clone(self), request.accept_coding, request.compress);
        let work = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            match interface.source(&request) {
                Ok(connection) => {
                    let tag = random_id()[..16].to_owned();
                    Job {
                        request,
                        body,
                        connection,
                        ticket,
                        tag,
                        head,
                        reply,
                    }
                    .run();
                }
                Err(exception) => drop(head.send(Err(exception))),
            }
        });
        let head = head_receiver.await;
        match head {
            Ok(Ok(head)) => {
                let mut response = Response::new(reply_body);
                let coding = if compressed { None } else { coding.token() };
                self.describe(response.headers_mut(), &head, &id, coding);
                Ok(response)
            }
            Ok(Err(exception)) => Err(exception),
            Err(_) => {
                drop(work.await);
                Err(Exception::new(
                    code::ABORTED,
                    "The statement ended without an answer",
                ))
            }
        }
    }

    fn source(&self, request: &Request) -> Result<Source, Exception> {
        match &request.session {
            None => self.open().map(Source::Fresh),
            Some(wanted) => self
                .sessions
                .lease(wanted, || self.open())
                .map(Source::Session),
        }
    }

    /// Opens another connection to the engine.
    ///
    /// # Errors
    /// An exception if the engine is shutting down.
    pub fn open(&self) -> Result<Connection, Exception> {
        self.engine
            .connect(&self.arguments)
            .map_err(|error| Exception::new(code::ABORTED, error))
    }

    fn describe(
        &self,
        headers: &mut HeaderMap,
        head: &Head,
        id: &str,
        coding: Option<&'static str>,
    ) {
        let mut put = |name: &'static str, value: String| {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        };
        put("x-clickhouse-query-id", id.to_owned());
        put("x-clickhouse-format", head.format.clone());
        put("x-clickhouse-timezone", self.time_zone.clone());
        put("x-clickhouse-server-display-name", "brine".to_owned());
        put("x-clickhouse-summary", summary(&head.counts));
        put("x-clickhouse-exception-tag", head.tag.clone());
        let content_type = HeaderValue::from_static(formats::content_type(&head.format));
        headers.insert(CONTENT_TYPE, content_type);
        if let Some(coding) = coding {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding));
        }
    }
}

/// The body of a request.
enum RequestBody {
    /// Read, or there is none.
    Read(Bytes),
    /// To be read by the thread that runs the statement.
    Coming(Incoming),
}

/// Reads the body of a request whose statement is in it, where it is a short one: official clients send KILL so, which must
/// not wait for its turn behind what it is to end.
async fn peeked(request: &Request, body: Option<Incoming>) -> Result<RequestBody, Exception> {
    let Some(body) = body.filter(|body| !body.is_end_stream()) else {
        return Ok(RequestBody::Read(Bytes::new()));
    };
    let is_short = body.size_hint().upper().is_some_and(|n| n <= PEEK_BYTES);
    let is_plain = request.content_coding == Coding::Identity && !request.decompress;
    if !(request.query.is_empty() && is_short && is_plain) {
        return Ok(RequestBody::Coming(body));
    }
    let broken = || {
        Exception::new(
            code::CANNOT_READ_ALL_DATA,
            "The body of the request broke off",
        )
    };
    match timeout(TURN, body.collect()).await {
        Ok(Ok(read)) => Ok(RequestBody::Read(read.to_bytes())),
        Ok(Err(_)) | Err(_) => Err(broken()),
    }
}

/// `X-ClickHouse-Summary`. `written_rows` counts rows that deduplication swallowed: it proves
/// nothing.
fn summary(counts: &Counts) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "nanoseconds of one statement"
    )]
    let elapsed_ns = (counts.elapsed_s.max(1e-9) * 1e9) as u64;
    let fields = [
        ("read_rows", counts.read_rows),
        ("read_bytes", counts.read_bytes),
        ("written_rows", counts.written_rows),
        ("written_bytes", counts.written_bytes),
        ("total_rows_to_read", 0),
        ("result_rows", counts.result_rows),
        ("result_bytes", counts.result_bytes),
        ("elapsed_ns", elapsed_ns),
    ];
    let fields: Vec<String> = fields
        .iter()
        .map(|(name, value)| format!("\"{name}\":\"{value}\""))
        .collect();
    format!("{{{}}}", fields.join(","))
}

fn plain(status: StatusCode, text: &'static str) -> Reply {
    let mut reply = Response::new(ReplyBody::full(Bytes::from_static(text.as_bytes())));
    *reply.status_mut() = status;
    reply.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=UTF-8"),
    );
    reply
}

fn failure(exception: &Exception, id: Option<&str>) -> Reply {
    let mut reply = Response::new(ReplyBody::full(format!("{}\n", exception.message)));
    *reply.status_mut() = exception.status();
    let headers = reply.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=UTF-8"),
    );
    headers.insert(
        "x-clickhouse-exception-code",
        HeaderValue::from(exception.code),
    );
    if let Some(Ok(id)) = id.map(HeaderValue::from_str) {
        headers.insert("x-clickhouse-query-id", id);
    }
    reply
}

/// 128 random bits in hexadecimal. They tell statements apart and are no secret.
fn random_id() -> String {
    let mut bytes = [0_u8; 16];
    match getrandom::fill(&mut bytes) {
        Ok(()) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
        // Two statements with this id cannot run at once, and that is all that is lost.
        Err(_) => "0".repeat(32),
    }
}
