//! Keeps the engine's child process running.
//!
//! In: where the engine lives and what it may use. Out: a handle with a client, the child's state,
//! and the one guarantee a sender needs to retry safely: [`EngineHandle::ensure_attempts_dead`].
//! Promised: a child that ends for whatever reason is replaced, after a back-off; the next one
//! starts only when the last one has really exited; the child ends with its parent, however that
//! ends, because it holds the other end of a pipe. May be lost: statements under way when the child
//! dies; the sender finds out by counting.

use std::{
    ffi::OsString,
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitStatus,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
    time::{sleep, timeout},
};

use super::{
    config::Limits,
    connect,
    home::{self, HomeError, Key},
    process::{Process, START},
};

/// First and longest wait between a child's end and the next one's start. The first is short
/// because a start takes a third of a second and beacons are waiting; the longest keeps a damaged
/// directory from burning a core.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

/// A child that was ready for this long has earned a first wait again.
const STEADY: Duration = Duration::from_secs(30);

/// How long the child may take to end by itself; it gives statements five seconds.
const END: Duration = Duration::from_secs(15);

/// How long the child may take to end all attempts before it is killed. A commit of a large batch
/// takes a second.
const ATTEMPTS: Duration = Duration::from_secs(10);

/// What a supervised engine needs to know.
#[derive(Clone, Debug)]
pub struct EngineSettings {
    /// The program whose `engine` command is the child; brine itself.
    pub program: PathBuf,
    /// The engine's directory.
    pub data: PathBuf,
    /// The unix socket, if not the default below `data`.
    pub socket: Option<PathBuf>,
    /// A loopback address for other tools, if wanted.
    pub listen: Option<SocketAddr>,
    /// The engine library.
    pub library: PathBuf,
    /// What the engine may use.
    pub limits: Limits,
    /// The child's whole environment. Its time zone is worth passing on; secrets are not, since SQL
    /// might read them by way of `/proc`.
    pub environment: Vec<(OsString, OsString)>,
    /// The monotonic clock, for measuring starts.
    pub monotonic: fn() -> Instant,
}

/// Why there is no engine.
#[derive(Debug, thiserror::Error)]
pub enum SuperviseError {
    /// The child could not be started as a process.
    #[error("cannot start {program} engine: {source}")]
    Spawn {
        /// The program.
        program: String,
        /// The reason.
        source: io::Error,
    },
    /// The child said why it does not run.
    #[error("{reason}")]
    Failed {
        /// Its words.
        reason: String,
    },
    /// The child ended without a word.
    #[error("the engine ended while starting: {exit}")]
    Ended {
        /// How.
        exit: ExitStatus,
    },
    /// The child neither got ready nor ended.
    #[error("the engine was not ready after {} s", START.as_secs())]
    Slow,
    /// The child is ready and its key cannot be read.
    #[error(transparent)]
    Key(#[from] HomeError),
    /// The supervisor has ended.
    #[error("the engine is shut down")]
    ShutDown,
}

/// What the child is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Started, not yet ready.
    Starting,
    /// Answers.
    Ready,
    /// Not running; the next one is waiting for its turn, or the engine is shut down.
    Down,
}

/// Numbers for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Numbers {
    /// Children started after the first.
    pub restarts: u64,
    /// How the last child ended, if one has.
    pub last_exit: Option<ExitStatus>,
    /// How long the last start took, in seconds.
    pub boot_s: f64,
}

/// Owns the task that watches the child. Dropping it kills the child.
pub struct Supervisor {
    task: JoinHandle<()>,
}

/// The engine, as the rest of brine sees it. Cheap to clone.
#[derive(Clone)]
pub struct EngineHandle {
    shared: Arc<Shared>,
    orders: mpsc::Sender<Order>,
}

struct Shared {
    socket: PathBuf,
    listen: Option<SocketAddr>,
    key: Key,
    state: watch::Receiver<State>,
    generation: AtomicU64,
    numbers: Mutex<Numbers>,
}

enum Order {
    /// Kill the child; answered when it has exited.
    Kill(oneshot::Sender<()>),
    /// Let the child end; answered when it has exited.
    Shutdown(oneshot::Sender<()>),
}

impl Supervisor {
    /// Starts the engine and waits until it is ready.
    ///
    /// # Errors
    /// [`SuperviseError`] with the child's reason: a locked directory, a missing library. Later
    /// failures are not errors: the child is started again.
    pub async fn start(settings: EngineSettings) -> Result<(Self, EngineHandle), SuperviseError> {
        let began = (settings.monotonic)();
        let mut process = Process::spawn(&settings)?;
        let listen = process.ready().await?;
        let key = Key::read(&settings.data)?;
        let socket = settings
            .socket
            .clone()
            .unwrap_or_else(|| home::default_socket(&settings.data));
        let (state_sender, state) = watch::channel(State::Ready);
        let boot_s = (settings.monotonic)().duration_since(began).as_secs_f64();
        let shared = Arc::new(Shared {
            socket,
            listen,
            key,
            state,
            generation: AtomicU64::new(1),
            numbers: Mutex::new(Numbers {
                boot_s,
                ..Numbers::default()
            }),
        });
        let (orders, order_receiver) = mpsc::channel(8);
        let watcher = Watcher {
            // The port stays the same when port 0 was asked for.
            settings: EngineSettings { listen, ..settings },
            shared: Arc::clone(&shared),
            state: state_sender,
            orders: order_receiver,
        };
        let task = tokio::spawn(watcher.run(process));
        Ok((Self { task }, EngineHandle { shared, orders }))
    }

    /// Waits until the engine is shut down.
    pub async fn ended(mut self) {
        // An error means that the task was aborted or panicked; either way it has ended.
        drop((&mut self.task).await);
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl EngineHandle {
    /// Returns a client over the unix socket, with LZ4.
    #[must_use]
    pub fn client(&self) -> clickhouse::Client {
        connect::client(&self.shared.socket, &self.shared.key)
    }

    /// Returns the engine's socket.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.shared.socket
    }

    /// Returns the engine's TCP address, if it has one.
    #[must_use]
    pub fn listen(&self) -> Option<SocketAddr> {
        self.shared.listen
    }

    /// Returns the engine's key.
    #[must_use]
    pub fn key(&self) -> &Key {
        &self.shared.key
    }

    /// Returns the number of the child; the first is 1. What was sent to an earlier one is over.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.shared.generation.load(Ordering::SeqCst)
    }

    /// Returns the state, to look at or to wait for.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<State> {
        self.shared.state.clone()
    }

    /// Returns numbers for metrics.
    #[must_use]
    pub fn numbers(&self) -> Numbers {
        *self
            .shared
            .numbers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns when no statement sent over the socket before this call can commit any more: it has
    /// committed, or it never will. Asks the child to cut the connections and end the statements; a
    /// child that does not manage in ten seconds is killed. Statements of others are ended too:
    /// this is for the rare case of an uncertain insert.
    ///
    /// # Errors
    /// [`SuperviseError::ShutDown`]: the child has exited, so the promise holds, but there is no
    /// engine to ask about the outcome.
    pub async fn ensure_attempts_dead(&self) -> Result<(), SuperviseError> {
        let generation = self.generation();
        let mut state = self.state();
        // A starting child may hold connections in its backlog that it has not yet read from.
        let settled = state.wait_for(|state| *state != State::Starting).await;
        match settled.map(|state| *state) {
            Err(_) => return Err(SuperviseError::ShutDown),
            Ok(State::Down) => return Ok(()),
            Ok(State::Starting | State::Ready) => {}
        }
        let asked = connect::end_attempts(&self.shared.socket, &self.shared.key);
        if let Ok(Ok(())) = timeout(ATTEMPTS, asked).await {
            return Ok(());
        }
        if self.generation() != generation {
            // The child has exited meanwhile, and the next one starts only after that.
            return Ok(());
        }
        tracing::warn!("engine did not end its statements in time and is killed");
        self.order(Order::Kill).await
    }

    /// Ends the engine for good, in order: statements are cancelled, what was answered stays.
    ///
    /// # Errors
    /// [`SuperviseError::ShutDown`] if that was done already.
    pub async fn shutdown(&self) -> Result<(), SuperviseError> {
        self.order(Order::Shutdown).await
    }

    async fn order(
        &self,
        order: impl FnOnce(oneshot::Sender<()>) -> Order,
    ) -> Result<(), SuperviseError> {
        let (done, is_done) = oneshot::channel();
        self.orders
            .send(order(done))
            .await
            .map_err(|_| SuperviseError::ShutDown)?;
        is_done.await.map_err(|_| SuperviseError::ShutDown)
    }
}

/// Watches one child after the other.
struct Watcher {
    settings: EngineSettings,
    shared: Arc<Shared>,
    state: watch::Sender<State>,
    orders: mpsc::Receiver<Order>,
}

/// Why a child is not there any more.
enum Next {
    Restart,
    Stop,
}

/// What became of a start.
enum Started {
    Ready(Box<Process>),
    Killed,
    Stopped,
}

impl Watcher {
    async fn run(mut self, mut process: Process) {
        let mut wait = BACK_OFF.0;
        loop {
            let next = self.watch(&mut process, &mut wait).await;
            self.state.send_replace(State::Down);
            if matches!(next, Next::Stop) {
                return;
            }
            process = loop {
                if matches!(self.pause(wait).await, Next::Stop) {
                    return;
                }
                wait = (wait * 2).min(BACK_OFF.1);
                match self.start_again().await {
                    Ok(Started::Ready(process)) => break *process,
                    Ok(Started::Killed) => {}
                    Ok(Started::Stopped) => return,
                    Err(error) => tracing::error!(%error, "engine does not start"),
                }
                self.state.send_replace(State::Down);
            };
        }
    }

    /// Waits for the child's end, or brings it about.
    async fn watch(&mut self, process: &mut Process, wait: &mut Duration) -> Next {
        let mut steady = std::pin::pin!(sleep(STEADY));
        let mut is_steady = false;
        loop {
            tokio::select! {
                exit = process.child.wait() => {
                    self.note_exit(exit);
                    return Next::Restart;
                }
                () = steady.as_mut(), if !is_steady => {
                    is_steady = true;
                    *wait = BACK_OFF.0;
                }
                order = self.orders.recv() => match order {
                    Some(Order::Kill(done)) => {
                        // An error means that it has exited, which `wait` then says.
                        drop(process.child.start_kill());
                        let exit = process.child.wait().await;
                        self.note_exit(exit);
                        self.state.send_replace(State::Down);
                        done.send(()).ok();
                        return Next::Restart;
                    }
                    Some(Order::Shutdown(done)) => {
                        self.end(process).await;
                        done.send(()).ok();
                        return Next::Stop;
                    }
                    None => {
                        self.end(process).await;
                        return Next::Stop;
                    }
                },
            }
        }
    }

    async fn end(&self, process: &mut Process) {
        // End of its standard input tells the child to end.
        process.stdin = None;
        let exit = match timeout(END, process.child.wait()).await {
            Ok(exit) => exit,
            Err(_) => {
                tracing::warn!("engine did not end in time and is killed");
                drop(process.child.start_kill());
                process.child.wait().await
            }
        };
        self.note_exit(exit);
        self.state.send_replace(State::Down);
    }

    /// Waits before the next start, still taking orders: nothing is running, so both are done at
    /// once.
    async fn pause(&mut self, wait: Duration) -> Next {
        let mut wait = std::pin::pin!(sleep(wait));
        loop {
            tokio::select! {
                () = wait.as_mut() => return Next::Restart,
                order = self.orders.recv() => match order {
                    Some(Order::Kill(done)) => {
                        done.send(()).ok();
                    }
                    Some(Order::Shutdown(done)) => {
                        done.send(()).ok();
                        return Next::Stop;
                    }
                    None => return Next::Stop,
                },
            }
        }
    }

    /// Starts the next child, still taking orders: it has nothing to lose before it is ready, so both kill it.
    async fn start_again(&mut self) -> Result<Started, SuperviseError> {
        let began = (self.settings.monotonic)();
        // Counted before anything can be sent to the new child.
        self.shared.generation.fetch_add(1, Ordering::SeqCst);
        self.numbers(|numbers| numbers.restarts += 1);
        self.state.send_replace(State::Starting);
        let mut process = Process::spawn(&self.settings)?;
        let order = tokio::select! {
            ready = process.ready() => {
                ready?;
                None
            }
            order = self.orders.recv() => Some(order),
        };
        if let Some(order) = order {
            drop(process.child.start_kill());
            let exit = process.child.wait().await;
            self.note_exit(exit);
            self.state.send_replace(State::Down);
            let (done, started) = match order {
                Some(Order::Kill(done)) => (Some(done), Started::Killed),
                Some(Order::Shutdown(done)) => (Some(done), Started::Stopped),
                None => (None, Started::Stopped),
            };
            if let Some(done) = done {
                done.send(()).ok();
            }
            return Ok(started);
        }
        let boot_s = (self.settings.monotonic)()
            .duration_since(began)
            .as_secs_f64();
        self.numbers(|numbers| numbers.boot_s = boot_s);
        self.state.send_replace(State::Ready);
        tracing::info!(boot_s, "engine is back");
        Ok(Started::Ready(Box::new(process)))
    }

    fn note_exit(&self, exit: io::Result<ExitStatus>) {
        match exit {
            Ok(exit) => {
                tracing::warn!(%exit, "engine has exited");
                self.numbers(|numbers| numbers.last_exit = Some(exit));
            }
            Err(error) => tracing::error!(%error, "cannot wait for the engine"),
        }
    }

    fn numbers(&self, change: impl FnOnce(&mut Numbers)) {
        change(
            &mut self
                .shared
                .numbers
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        );
    }
}
