//! What is under way: connections and statements.
//!
//! In: connections as they are accepted, statements as they begin and end. Out: cancellation, for a
//! client that is gone, for KILL QUERY by the client's own query id, and for
//! [`Registry::end_attempts`], which lets a sender find out what became of an insert. The engine
//! assigns query ids of its own, so ours travel in the `log_comment` setting, which
//! `system.processes` shows.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::sync::Notify;

use super::{Exception, answer::Params, exception::code, ffi::Connection};

/// How long the killer waits before it kills again what has not ended. A statement that is
/// cancelled before the engine lists it is caught by the next round.
const AGAIN: Duration = Duration::from_millis(50);

/// Everything under way in one engine.
#[derive(Default)]
pub struct Registry {
    inner: Mutex<Inner>,
    // Wakes those who wait for an end.
    ended: Notify,
    // Wakes the killer.
    cancelled: Condvar,
}

#[derive(Default)]
struct Inner {
    next_connection: u64,
    next_statement: u64,
    connections: BTreeMap<u64, Arc<Notify>>,
    running: HashMap<String, Arc<Running>>,
    closing: bool,
}

/// A statement under way.
pub struct Running {
    /// The client's query id, or one made for it.
    pub id: String,
    // A client may use an id again as soon as the statement has ended; this is never used twice.
    serial: u64,
    connection: u64,
    cancelled: AtomicBool,
    registry: Arc<Registry>,
}

impl Running {
    /// Asks for the statement's end. It may still succeed if it is nearly done.
    pub fn cancel(&self) {
        if !self.cancelled.swap(true, Ordering::SeqCst) {
            // Taken so that the killer is either waiting or will look again.
            drop(self.registry.lock());
            self.registry.cancelled.notify_all();
        }
    }

    /// Returns what the engine lists it by: the client's id, and a number of our own.
    #[must_use]
    pub fn mark(&self) -> String {
        format!("{} {}", self.id, self.serial)
    }

    /// Returns whether its end was asked for.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::SeqCst)
    }
}

/// Keeps a statement registered; owned by the thread that works on it.
pub struct Ticket(pub Arc<Running>);

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.registry.lock().running.remove(&self.0.id);
        self.0.registry.ended.notify_waiters();
    }
}

/// Keeps a connection registered; owned by the task that serves it.
pub struct ConnectionTicket {
    /// Its place in the order of acceptance.
    pub number: u64,
    /// Notified when it must be closed.
    pub close: Arc<Notify>,
    registry: Arc<Registry>,
}

impl Drop for ConnectionTicket {
    fn drop(&mut self) {
        self.registry.lock().connections.remove(&self.number);
        self.registry.ended.notify_waiters();
    }
}

impl Registry {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // No code that can panic runs under the lock; a poisoned one is as good as any.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers a connection.
    #[must_use]
    pub fn connected(self: &Arc<Self>) -> ConnectionTicket {
        let mut inner = self.lock();
        inner.next_connection += 1;
        let (number, close) = (inner.next_connection, Arc::new(Notify::new()));
        inner.connections.insert(number, Arc::clone(&close));
        ConnectionTicket {
            number,
            close,
            registry: Arc::clone(self),
        }
    }

    /// Registers a statement that came over `connection`.
    ///
    /// # Errors
    /// 216 if a statement with this id is under way, 236 if the engine is closing.
    pub fn begin(self: &Arc<Self>, id: String, connection: u64) -> Result<Ticket, Exception> {
        let mut inner = self.lock();
        if inner.closing {
            return Err(Exception::new(code::ABORTED, "The engine is shutting down"));
        }
        if inner.running.contains_key(&id) {
            let text = format!("Query with id = {id} is already running");
            return Err(Exception::new(
                code::QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING,
                text,
            ));
        }
        inner.next_statement += 1;
        let running = Arc::new(Running {
            id: id.clone(),
            serial: inner.next_statement,
            connection,
            cancelled: AtomicBool::new(false),
            registry: Arc::clone(self),
        });
        inner.running.insert(id, Arc::clone(&running));
        Ok(Ticket(running))
    }

    /// Closes every connection accepted before `number`, cancels their statements and waits until
    /// all have ended. Afterwards no insert sent over any of them can commit any more: also not one
    /// whose bytes had arrived but not been read, because its connection is gone.
    pub async fn end_attempts(&self, number: u64) {
        self.end(|connection| connection < number).await;
    }

    /// Cancels everything, takes nothing new, and waits until all has ended.
    pub async fn close(&self) {
        self.lock().closing = true;
        self.end(|_| true).await;
    }

    async fn end(&self, concerned: impl Fn(u64) -> bool) {
        loop {
            let ended = self.ended.notified();
            tokio::pin!(ended);
            // Registered before looking, so that an end in between is not missed.
            ended.as_mut().enable();
            let statements: Vec<Arc<Running>> = {
                let inner = self.lock();
                let open = inner
                    .connections
                    .iter()
                    .filter(|(number, _)| concerned(**number));
                let n_open = open.inspect(|(_, close)| close.notify_one()).count();
                let running: Vec<_> = inner
                    .running
                    .values()
                    .filter(|running| concerned(running.connection))
                    .cloned()
                    .collect();
                if n_open == 0 && running.is_empty() {
                    return;
                }
                running
            };
            statements.iter().for_each(|running| running.cancel());
            ended.await;
        }
    }

    /// Returns how many statements are under way.
    #[must_use]
    pub fn n_running(&self) -> usize {
        self.lock().running.len()
    }

    /// Kills cancelled statements over `connection`, for ever. The one thread that does this needs
    /// a connection of its own: a connection runs one statement at a time.
    pub fn kill_cancelled(&self, mut connection: Connection) -> ! {
        let sql = b"KILL QUERY WHERE has({serials:Array(UInt64)}, toUInt64OrZero(splitByChar(' ', Settings['log_comment'])[2])) ASYNC";
        loop {
            let serials: Vec<String> = {
                let mut inner = self.lock();
                loop {
                    let cancelled = inner
                        .running
                        .values()
                        .filter(|running| running.is_cancelled());
                    let serials: Vec<String> = cancelled
                        .map(|running| running.serial.to_string())
                        .collect();
                    if !serials.is_empty() {
                        break serials;
                    }
                    inner = self
                        .cancelled
                        .wait(inner)
                        .unwrap_or_else(PoisonError::into_inner);
                }
            };
            let mut params = Params::default();
            params.push("serials", format!("[{}]", serials.join(",")));
            if let Err(exception) = connection.query(sql, "Null", &params) {
                tracing::warn!(code = exception.code, "cannot kill cancelled statements");
            }
            std::thread::sleep(AGAIN);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn end_of_attempts_waits_for_their_threads() {
        let registry = Arc::new(Registry::default());
        let first = registry.connected();
        let ticket = registry.begin("a".into(), first.number).unwrap();
        let caller = registry.connected();
        let mut end = std::pin::pin!(registry.end_attempts(caller.number));
        assert!(
            futures_poll(end.as_mut()).await.is_none(),
            "the statement still runs"
        );
        assert!(ticket.0.is_cancelled());
        drop(first);
        assert!(
            futures_poll(end.as_mut()).await.is_none(),
            "its thread still runs"
        );
        drop(ticket);
        end.await;
    }

    async fn futures_poll<F: Future>(future: F) -> Option<F::Output> {
        tokio::time::timeout(Duration::from_millis(20), future)
            .await
            .ok()
    }

    #[test]
    fn two_statements_cannot_share_an_id() {
        let registry = Arc::new(Registry::default());
        let first = registry.begin("a".into(), 1).unwrap();
        assert_eq!(
            registry
                .begin("a".into(), 1)
                .err()
                .map(|exception| exception.code),
            Some(216)
        );
        drop(first);
        assert!(registry.begin("a".into(), 1).is_ok());
    }
}
