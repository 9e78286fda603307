//! Accept loop, connection limit, time-outs, drain on shutdown.
//!
//! Comes in: a bound socket and a handler. Goes out: requests, each with its peer's address. Promises
//! that a client that dribbles holds one slot for seconds and no more, that beyond the connection limit
//! new ones wait in the kernel's backlog, and that at shutdown requests under way are answered.

mod dribble;
pub mod tls;

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};

use self::dribble::{Dribble, Phase};
use self::tls::Certificates;
use crate::metrics::Metrics;
use crate::route::Reply;
use crate::shutdown;

/// Connections the kernel keeps for us while all slots are taken.
const BACKLOG: i32 = 1_024;

/// Bytes of a request head; browsers and proxies stay under 8 KiB.
const HEAD_BYTES: usize = 16 * 1_024;

/// Header fields of a request; browsers send about 20.
const HEAD_FIELDS: usize = 64;

/// Pause after accept() fails for want of file descriptors: without it the loop would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Limits of one listener, shared by its accept loops.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // The keys are documented in reference.toml.
pub struct Limits {
    /// Where connections run, in turn; empty: where the accept loop runs.
    pub runtimes: Vec<Handle>,
    pub slots: Arc<Semaphore>,
    pub header_timeout: Duration,
    pub idle_timeout: Duration,
    pub drain_timeout: Duration,
}

/// Binds `address`. Not with SO_REUSEPORT (socket(7)), also where each core has a runtime: a second brine
/// would then share the port in silence instead of being told that it is taken.
///
/// # Errors
/// What the operating system said: the port is taken, or not ours to take.
pub fn bind(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Accepts and serves until `shutdown` turns true, then drains.
///
/// # Cancel safety
/// Dropping it closes the socket and every connection at once.
pub async fn serve<H, F>(
    socket: std::net::TcpListener,
    certificates: Option<Arc<Certificates>>,
    limits: Limits,
    metrics: Metrics,
    mut shutdown: watch::Receiver<bool>,
    handler: H,
) -> io::Result<()>
where
    H: Fn(Request<Incoming>, IpAddr) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<Reply, Infallible>> + Send + 'static,
{
    let listener = TcpListener::from_std(socket)?;
    let graceful = GracefulShutdown::new();
    let runtimes = if limits.runtimes.is_empty() {
        vec![Handle::current()]
    } else {
        limits.runtimes.clone()
    };
    for runtime in runtimes.iter().cycle() {
        // The slot first: a connection that is accepted can be served.
        let slot = tokio::select! {
            slot = limits.slots.clone().acquire_owned() => slot.ok(),
            () = shutdown::asked(&mut shutdown) => break,
        };
        let (stream, peer) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    metrics.connections_refused.inc();
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
            () = shutdown::asked(&mut shutdown) => break,
        };
        let connection = Connection {
            peer: peer.ip(),
            limits: limits.clone(),
            metrics: metrics.clone(),
            watcher: graceful.watcher(),
            handler: handler.clone(),
        };
        let certificates = certificates.clone();
        let Ok(stream) = stream.into_std() else {
            continue;
        };
        runtime.spawn(async move {
            connection.metrics.connections.inc();
            let gauge = connection.metrics.connections.clone();
            if let Err(error) = connection.run(stream, certificates).await {
                // The peer's doing in nearly all cases; counted, not logged one by one.
                tracing::trace!(%error, "connection ended early");
            }
            gauge.dec();
            drop(slot);
        });
    }
    drop(listener);
    tokio::select! {
        () = graceful.shutdown() => {}
        () = tokio::time::sleep(limits.drain_timeout) => {
            tracing::warn!("requests under way did not end in time; closing their connections");
        }
    }
    Ok(())
}

struct Connection<H> {
    peer: IpAddr,
    limits: Limits,
    metrics: Metrics,
    watcher: Watcher,
    handler: H,
}

impl<H, F> Connection<H>
where
    H: Fn(Request<Incoming>, IpAddr) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<Reply, Infallible>> + Send + 'static,
{
    async fn run(
        self,
        stream: std::net::TcpStream,
        certificates: Option<Arc<Certificates>>,
    ) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let stream = TcpStream::from_std(stream)?;
        match certificates {
            None => self.http(stream).await,
            Some(certificates) => {
                let handshake = certificates.acceptor().accept(stream);
                match tokio::time::timeout(self.limits.header_timeout, handshake).await {
                    Ok(Ok(stream)) => self.http(stream).await,
                    Ok(Err(error)) => {
                        self.metrics.connections_refused.inc();
                        Err(error)
                    }
                    Err(_) => {
                        self.metrics.connections_refused.inc();
                        Err(io::ErrorKind::TimedOut.into())
                    }
                }
            }
        }
    }

    async fn http<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        self,
        stream: S,
    ) -> io::Result<()> {
        let phase = Phase::default();
        let io = Dribble::new(
            stream,
            phase.clone(),
            self.limits.header_timeout,
            self.limits.idle_timeout,
        );
        let (peer, handler) = (self.peer, self.handler);
        let service = service_fn(move |request| {
            let answer = handler(request, peer);
            let phase = phase.clone();
            phase.answering();
            // An async block would hold the answer twice, and a request's future is moved several times.
            answer.inspect(move |_| phase.waiting())
        });
        let connection = http1::Builder::new()
            // Dribble keeps the time.
            .header_read_timeout(None)
            .max_buf_size(HEAD_BYTES)
            .max_headers(HEAD_FIELDS)
            .serve_connection(TokioIo::new(io), service);
        self.watcher.watch(connection).await.map_err(|error| {
            self.metrics.connections_refused.inc();
            io::Error::other(error)
        })
    }
}
