//! `brine engine`: the process that holds the engine.
//!
//! In: a data directory and a socket. Out: an exit code. The order of its start is its safety:
//! lock, bind, seal off, and only then load the library. It ends at SIGTERM, at SIGINT, and when
//! its parent is gone (end of file on standard input); each way cuts all connections, which cancels
//! what is under way, and waits for it.

use std::{
    io::{Read, Write},
    net::SocketAddr,
    path::PathBuf,
    pin::pin,
    sync::Arc,
    time::Duration,
};

use tokio::{
    net::{TcpListener, UnixListener},
    signal::unix::{SignalKind, signal},
    sync::{Semaphore, oneshot},
    time::{MissedTickBehavior, interval, sleep, timeout},
};

use super::{
    LibraryError,
    answer::Params,
    config::Limits,
    ffi::{self, Engine},
    home::{Home, HomeError},
    http::Interface,
    sandbox::{self, Sealed},
};

/// How long statements may take to notice that they are cancelled. What has not ended then ends
/// with the process, uncommitted: only a finished insert commits.
const GRACE: Duration = Duration::from_secs(5);

/// Wait after a connection could not be accepted: out of file descriptors, most likely, which takes
/// others to end.
const ACCEPT_AGAIN: Duration = Duration::from_millis(20);

/// What the child prints before the addresses when it is ready.
pub const READY: &str = "engine ready";

/// What a supervised child prints before the reason when it does not start.
pub const FAILED: &str = "engine failed:";

/// How the child runs.
#[derive(Clone, Debug)]
pub struct ChildSettings {
    /// The engine's directory.
    pub data: PathBuf,
    /// The unix socket, if not the default.
    pub socket: Option<PathBuf>,
    /// A TCP address, loopback only; port 0 takes any.
    pub listen: Option<SocketAddr>,
    /// The library.
    pub library: PathBuf,
    /// What the engine may use.
    pub limits: Limits,
    /// End when standard input does.
    pub supervised: bool,
}

/// Why the engine does not run.
#[derive(Debug, thiserror::Error)]
pub enum ChildError {
    /// The directory.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The library.
    #[error(transparent)]
    Library(#[from] LibraryError),
    /// The engine is for this machine only.
    #[error("engine listen address {0} is not loopback: the interface has no TLS")]
    NotLoopback(SocketAddr),
    /// The address cannot be bound.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// The reason.
        source: std::io::Error,
    },
    /// The kernel refused the sandbox.
    #[error("cannot seal the engine off from the file system: {0}")]
    Sandbox(#[from] landlock::RulesetError),
    /// Threads, signals or the runtime.
    #[error("cannot start the engine's process: {0}")]
    Process(#[from] std::io::Error),
    /// The engine started but does not work.
    #[error("the engine does not answer: {0}")]
    Mute(super::Exception),
}

/// Runs the engine until it is told to end, then ends the process; returns only if it could not
/// start.
///
/// Must be called before any other thread is started: the kernel seals off only this thread and its
/// children.
///
/// # Errors
/// [`ChildError`], each naming what the operator can change.
pub fn run(settings: &ChildSettings) -> Result<std::convert::Infallible, ChildError> {
    if let Some(address) = settings
        .listen
        .filter(|address| !address.ip().is_loopback())
    {
        return Err(ChildError::NotLoopback(address));
    }
    if !settings.library.exists() {
        return Err(LibraryError::Missing {
            path: settings.library.display().to_string(),
        }
        .into());
    }
    let patience = if settings.supervised {
        2 * GRACE
    } else {
        Duration::ZERO
    };
    let home = Home::open(
        &settings.data,
        settings.socket.as_deref(),
        &settings.limits,
        patience,
    )?;
    let unix = home.bind()?;
    let tcp = settings.listen.map(bind).transpose()?;
    let sealed = sandbox::seal(&home.store, &home.config_dir, &settings.library)?;
    if sealed != Sealed::Fully {
        tracing::warn!(
            ?sealed,
            "kernel cannot seal the engine off completely; grants and the statement filter remain"
        );
    }
    let engine = Engine::load(&settings.library)?;
    let arguments = home.engine_arguments();
    // Kept open: the engine stops when its last connection closes.
    let mut anchor = engine.connect(&arguments)?;
    let time_zone = anchor
        .query(b"SELECT timezone()", "TSVRaw", &Params::default())
        .map_err(ChildError::Mute)?;
    let time_zone = String::from_utf8_lossy(&time_zone.bytes).trim().to_owned();
    let interface = Interface::new(
        Arc::clone(&engine),
        arguments,
        home.key.clone(),
        &settings.limits,
        time_zone,
    );
    let killer = engine.connect(&home.engine_arguments())?;
    let registry = Arc::clone(interface.registry());
    std::thread::Builder::new()
        .name("killer".into())
        .spawn(move || registry.kill_cancelled(killer))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(Interface::n_threads(&settings.limits))
        .enable_all()
        .build()?;
    runtime.block_on(serve(settings, &interface, unix, tcp, engine.version()))?;
    // Last of all: what is finished is on disk, what is not is cancelled.
    drop(anchor);
    ffi::leave(0);
}

fn bind(address: SocketAddr) -> Result<std::net::TcpListener, ChildError> {
    let listen = || {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    listen().map_err(|source| ChildError::Bind { address, source })
}

async fn serve(
    settings: &ChildSettings,
    interface: &Arc<Interface>,
    unix: std::os::unix::net::UnixListener,
    tcp: Option<std::net::TcpListener>,
    version: &str,
) -> Result<(), ChildError> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let unix = UnixListener::from_std(unix)?;
    let tcp = tcp.map(TcpListener::from_std).transpose()?;
    // The unix socket comes first: whoever can reach the port, with the key or without, takes no place of its clients.
    let places = Arc::new(Semaphore::new(settings.limits.connections));
    let guests = Arc::new(Semaphore::new((settings.limits.connections / 4).max(1)));
    announce(version, tcp.as_ref())?;
    let mut seconds = interval(Duration::from_secs(1));
    seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut parent = pin!(parent_gone(settings.supervised));
    loop {
        // The place is taken before the connection: what cannot be served waits in the backlog.
        let place = Arc::clone(&places).acquire_owned();
        tokio::select! {
            biased;
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            gone = parent.as_mut() => break gone?,
            _ = seconds.tick() => interface.tick(),
            accepted = async { (place.await, unix.accept().await) } => {
                let (place, accepted) = accepted;
                let Ok((stream, _)) = accepted else {
                    sleep(ACCEPT_AGAIN).await;
                    continue;
                };
                let (interface, ticket) = (Arc::clone(interface), interface.registry().connected());
                tokio::spawn(async move {
                    interface.serve(stream, ticket).await;
                    drop(place);
                });
            }
            accepted = accept_tcp(tcp.as_ref()) => {
                let Ok(stream) = accepted else {
                    sleep(ACCEPT_AGAIN).await;
                    continue;
                };
                let (interface, ticket) = (Arc::clone(interface), interface.registry().connected());
                // Refused when all of theirs are taken.
                if let Ok(place) = Arc::clone(&guests).try_acquire_owned() {
                    tokio::spawn(async move {
                        interface.serve(stream, ticket).await;
                        drop(place);
                    });
                }
            }
        }
    }
    tracing::info!(statements = interface.registry().n_running(), "engine ends");
    if timeout(GRACE, interface.registry().close()).await.is_err() {
        tracing::warn!("statements did not end in time; the engine ends without them");
    }
    Ok(())
}

async fn accept_tcp(listener: Option<&TcpListener>) -> std::io::Result<tokio::net::TcpStream> {
    let Some(listener) = listener else {
        return std::future::pending().await;
    };
    let (stream, _) = listener.accept().await?;
    // Without this a small answer waits for the client's delayed acknowledgement (measured: 9 ms
    // instead of 1).
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Resolves at the end of standard input. A pipe held by the parent ends with the parent, however
/// that ends.
async fn parent_gone(supervised: bool) -> std::io::Result<()> {
    if !supervised {
        return std::future::pending().await;
    }
    let (sender, receiver) = oneshot::channel::<()>();
    // A thread of its own: a read of standard input cannot be cancelled, and ends with the process.
    std::thread::Builder::new()
        .name("parent".into())
        .spawn(move || {
            let mut stdin = std::io::stdin().lock();
            let mut bytes = [0_u8; 64];
            while !matches!(stdin.read(&mut bytes), Ok(0) | Err(_)) {}
            drop(sender);
        })?;
    // The sender is never used: that it is gone is the message.
    drop(receiver.await);
    Ok(())
}

fn announce(version: &str, tcp: Option<&TcpListener>) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    write!(stdout, "{READY} version={version}")?;
    if let Some(listener) = tcp {
        write!(stdout, " listen={}", listener.local_addr()?)?;
    }
    writeln!(stdout)?;
    stdout.flush()
}
