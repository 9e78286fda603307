//! Sessions: who has signed in, in memory alone.
//!
//! Comes in: a sign-in, then cookies. Goes out: whose session it is. Ids are 256 random bits, always made here and
//! never taken from a client, so that nobody can fix one beforehand; a new one is given at every sign-in, and every
//! quarter of an hour of use. A session ends when it is idle, when it is old, when its user's epoch changes, when they
//! sign out, and when brine stops. Kept by a hash of the id; at most `MOST`, the one idle longest goes first.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::secret::random_bytes;

/// Sessions at once, of all users.
const MOST: usize = 10_000;

/// How long an id is used before it is replaced.
const ROTATE_MS: i64 = 15 * 60_000;

/// How long the id before is still good once the new one has been seen: for requests that were under way with it.
const GRACE_MS: i64 = 60_000;

type Hash = [u8; 32];

struct Session {
    user: String,
    epoch: String,
    form: String,
    began_ms: i64,
    seen_ms: i64,
    rotated_ms: i64,
    /// The id before this one, and until when it is good; none: the new one has not been seen yet, and may never have arrived.
    former: Option<(Hash, Option<i64>)>,
}

/// A living session, found by its id.
#[derive(Clone)]
#[allow(missing_docs)]
pub struct Found {
    pub user: String,
    pub epoch: String,
    /// What forms carry to prove that they are this session's own.
    pub form: String,
    /// The new id, where it was time for one: the caller sets it as the cookie.
    pub rotated: Option<Zeroizing<String>>,
}

impl std::fmt::Debug for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Found({})", self.user)
    }
}

/// All sessions.
pub struct Sessions {
    idle_ms: i64,
    life_ms: i64,
    all: Mutex<HashMap<Hash, Session>>,
}

impl std::fmt::Debug for Sessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sessions({})", self.len())
    }
}

impl Sessions {
    /// Sessions that end when idle for `idle`, and `life` after they began.
    pub fn new(idle: Duration, life: Duration) -> Sessions {
        let ms = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        Sessions {
            idle_ms: ms(idle),
            life_ms: ms(life),
            all: Mutex::default(),
        }
    }

    /// Begins a session and returns its id, for the cookie.
    pub fn begin(&self, user: &str, epoch: &str, now_ms: i64) -> Zeroizing<String> {
        let id = new_id();
        let mut all = self.lock();
        self.sweep(&mut all, now_ms);
        if all.len() >= MOST {
            let idlest = all.iter().min_by_key(|(_, session)| session.seen_ms);
            if let Some(hash) = idlest.map(|(hash, _)| *hash) {
                all.remove(&hash);
            }
        }
        let session = Session {
            user: user.to_owned(),
            epoch: epoch.to_owned(),
            form: new_id().to_string(),
            began_ms: now_ms,
            seen_ms: now_ms,
            rotated_ms: now_ms,
            former: None,
        };
        all.insert(hash(&id), session);
        id
    }

    /// Returns the session of `id`, if it lives; notes that it was used, if it was and not only looked at by a page that lies
    /// open.
    pub fn find(&self, id: &str, is_use: bool, now_ms: i64) -> Option<Found> {
        let shown = hash(id);
        let mut all = self.lock();
        let current = match all.contains_key(&shown) {
            true => shown,
            false => former(&all, shown, now_ms)?,
        };
        let mut session = all.remove(&current)?;
        // A clock that was set back makes nothing older, and nothing immortal.
        for time in [
            &mut session.began_ms,
            &mut session.seen_ms,
            &mut session.rotated_ms,
        ] {
            *time = (*time).min(now_ms);
        }
        if !self.is_alive(&session, now_ms) {
            return None;
        }
        let mut rotated = None;
        let mut key = current;
        if current == shown
            && let Some((_, until_ms @ None)) = &mut session.former
        {
            *until_ms = Some(now_ms + GRACE_MS);
        }
        if is_use {
            session.seen_ms = now_ms;
        }
        if is_use && now_ms - session.rotated_ms >= ROTATE_MS {
            let id = new_id();
            session.former = Some((shown, None));
            session.rotated_ms = now_ms;
            key = hash(&id);
            rotated = Some(id);
        }
        let found = Found {
            user: session.user.clone(),
            epoch: session.epoch.clone(),
            form: session.form.clone(),
            rotated,
        };
        all.insert(key, session);
        Some(found)
    }

    /// Returns the epoch of the living session whose forms carry `form`. It is not thereby used: a page that only lies open
    /// keeps nobody signed in.
    pub(super) fn epoch_of(&self, form: &str, now_ms: i64) -> Option<String> {
        let all = self.lock();
        let theirs = all
            .values()
            .find(|session| bool::from(session.form.as_bytes().ct_eq(form.as_bytes())))?;
        self.is_alive(theirs, now_ms).then(|| theirs.epoch.clone())
    }

    /// Ends the session of `id`.
    pub fn end(&self, id: &str, now_ms: i64) {
        let shown = hash(id);
        let mut all = self.lock();
        if all.remove(&shown).is_none()
            && let Some(current) = former(&all, shown, now_ms)
        {
            all.remove(&current);
        }
    }

    /// Returns how many live sessions a user has under `epoch`.
    pub fn n_of(&self, user: &str, epoch: &str, now_ms: i64) -> usize {
        let all = self.lock();
        let is_theirs = |session: &&Session| {
            session.user == user && session.epoch == epoch && self.is_alive(session, now_ms)
        };
        all.values().filter(is_theirs).count()
    }

    /// Returns how many there are.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Tells whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn is_alive(&self, session: &Session, now_ms: i64) -> bool {
        now_ms.saturating_sub(session.seen_ms) < self.idle_ms
            && now_ms.saturating_sub(session.began_ms) < self.life_ms
    }

    fn sweep(&self, all: &mut HashMap<Hash, Session>, now_ms: i64) {
        all.retain(|_, session| self.is_alive(session, now_ms));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Hash, Session>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks for the session that had this id before; there are few, and this is asked seldom.
fn former(all: &HashMap<Hash, Session>, shown: Hash, now_ms: i64) -> Option<Hash> {
    let is_it = |session: &Session| {
        session.former.is_some_and(|(hash, until_ms)| {
            until_ms.is_none_or(|until_ms| now_ms < until_ms) && bool::from(hash.ct_eq(&shown))
        })
    };
    let (current, _) = all.iter().find(|(_, session)| is_it(session))?;
    Some(*current)
}

/// Returns 256 random bits in 43 characters that fit a cookie and a form.
pub(super) fn new_id() -> Zeroizing<String> {
    let bytes: Zeroizing<[u8; 32]> = Zeroizing::new(random_bytes());
    Zeroizing::new(URL_SAFE_NO_PAD.encode(&bytes[..]))
}

fn hash(id: &str) -> Hash {
    blake3::derive_key("brine access session v1", id.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000;

    fn sessions() -> Sessions {
        Sessions::new(Duration::from_secs(30 * 60), Duration::from_secs(2 * 3_600))
    }

    #[test]
    fn a_session_ends_when_idle_and_when_old() {
        let sessions = sessions();
        let id = sessions.begin("anna", "e", 0);
        assert!(sessions.find(&id, true, 29 * MINUTE - ROTATE_MS).is_some());
        let idle = sessions.begin("anna", "e", 0);
        assert!(sessions.find(&idle, true, 30 * MINUTE).is_none());
        assert!(
            sessions.find(&idle, true, MINUTE).is_none(),
            "gone for good"
        );
        let mut id = sessions.begin("anna", "e", 0).to_string();
        for minute in (10..120).step_by(10) {
            let found = sessions.find(&id, true, minute * MINUTE).unwrap();
            if let Some(rotated) = found.rotated {
                id = rotated.to_string();
            }
        }
        assert!(
            sessions.find(&id, true, 120 * MINUTE).is_none(),
            "two hours"
        );
    }

    #[test]
    fn an_id_is_replaced_and_the_former_one_ends_soon() {
        let sessions = sessions();
        let first = sessions.begin("anna", "e", 0);
        let found = sessions.find(&first, true, ROTATE_MS).unwrap();
        let second = found.rotated.unwrap();
        assert_ne!(*first, *second);
        let under_way = sessions.find(&first, true, ROTATE_MS + 1).unwrap();
        assert!(under_way.rotated.is_none() && under_way.form == found.form);
        let seen = ROTATE_MS + 2;
        assert!(sessions.find(&second, true, seen).is_some());
        assert!(sessions.find(&first, true, seen + GRACE_MS - 1).is_some());
        assert!(sessions.find(&first, true, seen + GRACE_MS).is_none());
        sessions.end(&second, seen + GRACE_MS);
        assert!(sessions.find(&second, true, seen + GRACE_MS).is_none());
    }

    /// The reply with it was lost: the browser goes on with the id that it has, and is given another one.
    #[test]
    fn a_new_id_that_did_not_arrive_ends_nothing() {
        let sessions = sessions();
        let first = sessions.begin("anna", "e", 0);
        let lost = sessions
            .find(&first, true, ROTATE_MS)
            .unwrap()
            .rotated
            .unwrap();
        let later = 2 * ROTATE_MS;
        let third = sessions.find(&first, true, later).unwrap().rotated.unwrap();
        assert!(
            sessions.find(&lost, true, later).is_none(),
            "replaced unseen"
        );
        assert!(sessions.find(&third, true, later + 1).is_some());
        assert!(sessions.find(&first, true, later + 1 + GRACE_MS).is_none());
    }

    #[test]
    fn a_page_that_lies_open_uses_nothing() {
        let sessions = sessions();
        let id = sessions.begin("anna", "e", 0);
        let looked = sessions.find(&id, false, 29 * MINUTE).unwrap();
        assert!(looked.rotated.is_none());
        assert!(sessions.find(&id, false, 30 * MINUTE).is_none());
    }

    #[test]
    fn an_id_that_a_client_made_up_is_none_and_a_flood_keeps_memory_flat() {
        let sessions = sessions();
        assert!(sessions.find("chosen by an attacker", true, 0).is_none());
        let last = sessions.begin("bo", "e", 5);
        for n in 0..i64::try_from(MOST).unwrap() {
            sessions.begin("anna", "e", 6 + n % 7);
        }
        assert_eq!(sessions.len(), MOST);
        assert!(sessions.find(&last, true, 10).is_none(), "idle longest");
    }

    #[test]
    fn a_clock_set_back_keeps_no_session_for_ever() {
        let sessions = sessions();
        let id = sessions.begin("anna", "e", 1_000 * MINUTE);
        assert!(sessions.find(&id, true, 0).is_some());
        assert!(sessions.find(&id, true, 30 * MINUTE).is_none());
    }
}
