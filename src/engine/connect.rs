//! Reaches the embedded engine from the rest of brine.
//!
//! In: the path of its socket and its key. Out: the official client, speaking over that socket, and
//! a raw call for answers that are passed on unchanged. Above the connector nothing differs from a
//! ClickHouse server reached by URL.

use std::{
    future::Future,
    io,
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, StatusCode, Uri, body::Incoming};
use hyper_util::{
    client::legacy::Client as HttpClient,
    rt::{TokioExecutor, TokioIo},
};
use tokio::net::UnixStream;
use tower_service::Service;
use url::form_urlencoded;

use super::home::Key;

/// The engine keeps an idle connection for 30 s; ours must go first, or a request meets a closed
/// one.
const IDLE: Duration = Duration::from_secs(5);

/// Longest message read from a refused statement.
const MESSAGE_BYTES: usize = 64 << 10;

/// The authority of URLs over the socket. It is sent as `Host` and means nothing.
const URL: &str = "http://engine.invalid/";

/// Why a raw call failed.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The engine refused the statement, in its own words.
    #[error("{message}")]
    Refused {
        /// The status it answered with.
        status: StatusCode,
        /// ClickHouse's message.
        message: String,
    },
    /// The engine was not reached, or went away.
    #[error("engine at {socket}: {source}")]
    Unreachable {
        /// Its socket.
        socket: String,
        /// The reason.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Returns the official client over the engine's socket. Nothing is compressed: what stays in one machine's memory is
/// copied faster than it is packed.
#[must_use]
pub fn client(socket: &Path, key: &Key) -> clickhouse::Client {
    clickhouse::Client::with_http_client(http(socket))
        .with_url(URL)
        .with_user("default")
        .with_password(key.expose())
        .with_compression(clickhouse::Compression::None)
}

/// Runs a statement and returns the answer's body as it streams in, formatted as `format` says.
///
/// # Errors
/// [`CallError::Refused`] with the engine's words; [`CallError::Unreachable`] if no engine listens.
///
/// # Cancel safety
/// Dropping the future or the body cancels the statement.
pub async fn post_query(
    socket: &Path,
    key: &Key,
    sql: &str,
    format: &str,
    access: Access,
) -> Result<Incoming, CallError> {
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("default_format", format)
        .extend_pairs(access.setting())
        .finish();
    let body = Bytes::copy_from_slice(sql.as_bytes());
    call(socket, key, &format!("{URL}?{query}"), body).await
}

/// What a statement may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reads only (`readonly=1`).
    Read,
    /// Whatever the engine admits.
    Write,
}

impl Access {
    fn setting(self) -> Option<(&'static str, &'static str)> {
        (self == Self::Read).then_some(("readonly", "1"))
    }
}

/// Ends every statement that was sent over the socket before, and returns when none of them can
/// commit any more.
///
/// # Errors
/// [`CallError`] if the engine did not say so: then only its exit does.
pub async fn end_attempts(socket: &Path, key: &Key) -> Result<(), CallError> {
    // A connection of its own: connections opened before it are the ones that are ended.
    call(socket, key, &format!("{URL}attempts/end"), Bytes::new())
        .await
        .map(drop)
}

async fn call(socket: &Path, key: &Key, uri: &str, body: Bytes) -> Result<Incoming, CallError> {
    let unreachable = |source: Box<dyn std::error::Error + Send + Sync>| CallError::Unreachable {
        socket: socket.display().to_string(),
        source,
    };
    let request = Request::post(uri)
        .header("X-ClickHouse-User", "default")
        .header("X-ClickHouse-Key", key.expose())
        .body(Full::new(body))
        .map_err(|error| unreachable(error.into()))?;
    let response = http(socket)
        .request(request)
        .await
        .map_err(|error| unreachable(error.into()))?;
    let status = response.status();
    let body = response.into_body();
    if status == StatusCode::OK {
        return Ok(body);
    }
    let message = http_body_util::Limited::new(body, MESSAGE_BYTES)
        .collect()
        .await
        .map_err(unreachable)?
        .to_bytes();
    let message = String::from_utf8_lossy(&message).trim_end().to_owned();
    Err(CallError::Refused { status, message })
}

fn http<B>(socket: &Path) -> HttpClient<Connector, B>
where
    B: hyper::body::Body + Send,
    B::Data: Send,
{
    HttpClient::builder(TokioExecutor::new())
        .pool_idle_timeout(IDLE)
        .pool_timer(hyper_util::rt::TokioTimer::new())
        .build(Connector::new(socket))
}

/// Opens connections to one unix socket, whatever the URL says.
#[derive(Clone, Debug)]
pub struct Connector {
    socket: Arc<Path>,
}

impl Connector {
    /// Connects to `socket`.
    #[must_use]
    pub fn new(socket: &Path) -> Self {
        Self {
            socket: Arc::from(socket),
        }
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<UnixStream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let socket: PathBuf = self.socket.to_path_buf();
        Box::pin(async move { UnixStream::connect(socket).await.map(TokioIo::new) })
    }
}
