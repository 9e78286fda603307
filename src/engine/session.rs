//! Sessions: connections that are kept between requests, with their temporary tables and settings.
//!
//! In: a session's id. Out: its connection, for one request at a time. Promised: a session that is
//! in use is refused, not waited for, as on a server. May be lost: everything in a session, when it
//! has been idle for its timeout or the engine restarts.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{Exception, exception::code, ffi::Connection, request::SessionRequest};

/// Sessions at once. Each is an engine connection with the memory of its temporary tables.
const N_SESSIONS: usize = 64;

/// All sessions of an engine.
#[derive(Default)]
pub(super) struct Sessions(Mutex<HashMap<String, Slot>>);

struct Slot {
    // `None` while a request has it.
    connection: Option<Connection>,
    timeout_s: u32,
    idle_s: u32,
}

/// A session's connection, given back when dropped.
pub(super) struct Lease {
    pub(super) connection: Option<Connection>,
    id: String,
    sessions: Arc<Sessions>,
}

impl Sessions {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Slot>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands out the connection of the session, which `open` makes if the session is new.
    pub(super) fn lease(
        self: &Arc<Self>,
        wanted: &SessionRequest,
        open: impl FnOnce() -> Result<Connection, Exception>,
    ) -> Result<Lease, Exception> {
        let taken = self.lock().get_mut(&wanted.id).map(|slot| {
            slot.timeout_s = wanted.timeout_s;
            slot.connection.take()
        });
        let connection = match taken {
            Some(Some(connection)) => connection,
            Some(None) => {
                let text = format!("Session {} is locked by a concurrent client", wanted.id);
                return Err(Exception::new(code::SESSION_IS_LOCKED, text));
            }
            None if wanted.must_exist => {
                let text = format!("Session {} not found", wanted.id);
                return Err(Exception::new(code::SESSION_NOT_FOUND, text));
            }
            None => {
                // Opened outside the lock; two first requests at once are settled below.
                let connection = open()?;
                let mut slots = self.lock();
                if slots.len() >= N_SESSIONS {
                    let text = format!("More than {N_SESSIONS} sessions");
                    return Err(Exception::new(code::TOO_MANY_SIMULTANEOUS_QUERIES, text));
                }
                if slots.contains_key(&wanted.id) {
                    let text = format!("Session {} is locked by a concurrent client", wanted.id);
                    return Err(Exception::new(code::SESSION_IS_LOCKED, text));
                }
                let slot = Slot {
                    connection: None,
                    timeout_s: wanted.timeout_s,
                    idle_s: 0,
                };
                slots.insert(wanted.id.clone(), slot);
                connection
            }
        };
        let (id, sessions) = (wanted.id.clone(), Arc::clone(self));
        Ok(Lease {
            connection: Some(connection),
            id,
            sessions,
        })
    }

    /// Lets one second pass: sessions that were idle for their timeout are closed.
    pub(super) fn tick(&self) {
        let mut expired = Vec::new();
        self.lock().retain(|_, slot| {
            slot.idle_s = if slot.connection.is_some() {
                slot.idle_s + 1
            } else {
                0
            };
            let keep = slot.idle_s <= slot.timeout_s;
            if !keep {
                expired.push(slot.connection.take());
            }
            keep
        });
        // Closing takes milliseconds, which the lock must not.
        drop(expired);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut slots = self.sessions.lock();
        match self.connection.take() {
            Some(connection) => {
                if let Some(slot) = slots.get_mut(&self.id) {
                    slot.connection = Some(connection);
                    slot.idle_s = 0;
                }
            }
            // The connection was lost with its worker: so is the session.
            None => drop(slots.remove(&self.id)),
        }
    }
}
