//! Passwords: argon2id, and a decoy for names that nobody has.
//!
//! Comes in: what somebody typed. Goes out: right or wrong, after the same work for every name. Hashing runs on
//! blocking threads, few at a time, so that a flood of sign-ins cannot take the memory or the cores of the path.

use std::sync::Arc;
use std::time::Duration;

use argon2::password_hash::{PasswordHash, SaltString};
use argon2::{Argon2, PasswordHasher, PasswordVerifier};
use thiserror::Error;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use crate::secret::random_bytes;

/// Fewest characters: with a throttle beside it, beyond what can be guessed.
pub const MIN_CHARS: usize = 12;

/// Most bytes: a passphrase fits, a flood does not.
pub const MAX_BYTES: usize = 1_024;

/// Hashes under way at once; each takes 19 MiB.
const AT_ONCE: usize = 2;

/// How long a sign-in waits for its turn.
const PATIENCE: Duration = Duration::from_secs(10);

/// A password as it was typed; wiped when dropped.
pub type Typed = Zeroizing<String>;

/// Why a password will not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Weak {
    /// Too short to be safe from guessing.
    #[error("a password has at least {MIN_CHARS} characters")]
    Short,
    /// Longer than is read.
    #[error("a password has at most {MAX_BYTES} bytes")]
    Long,
    /// The user's name, or one or two characters over and over.
    #[error("that password is too easy to guess")]
    Obvious,
}

/// Checks a password that somebody chose. No rules of composition: they make passwords worse (NIST SP 800-63B,
/// section 5.1.1.2).
///
/// # Errors
/// [`Weak`].
pub fn check(name: &str, password: &str) -> Result<(), Weak> {
    if password.chars().count() < MIN_CHARS {
        return Err(Weak::Short);
    }
    if password.len() > MAX_BYTES {
        return Err(Weak::Long);
    }
    let lower = password.to_lowercase();
    let without_name = lower.replace(name, "");
    let kinds: std::collections::BTreeSet<char> = lower.chars().collect();
    let is_row = |row: &str| row.repeat(4).contains(&lower);
    let is_obvious = kinds.len() < 5
        || without_name.chars().count() < 4
        || [
            "1234567890",
            "abcdefghijklmnopqrstuvwxyz",
            "qwertyuiopasdfghjkl",
            "password",
        ]
        .into_iter()
        .any(is_row);
    if is_obvious {
        Err(Weak::Obvious)
    } else {
        Ok(())
    }
}

/// Hashes and checks passwords.
#[derive(Debug)]
pub struct Passwords {
    turns: Arc<Semaphore>,
    /// What is checked where there is no such user: the work is the same.
    decoy: Arc<str>,
}

/// There is no turn: too many sign-ins at once.
#[derive(Debug, Error)]
#[error("too many sign-ins at once")]
pub struct Busy;

impl Passwords {
    /// Makes the decoy. Blocking, for as long as one hash takes.
    pub fn new() -> Passwords {
        let unknown: [u8; 32] = random_bytes();
        Passwords {
            turns: Arc::new(Semaphore::new(AT_ONCE)),
            decoy: hash_bytes(&unknown).into(),
        }
    }

    /// Tells whether `typed` is the password that `phc` was made of; without one it is wrong, after the same work.
    ///
    /// # Errors
    /// [`Busy`].
    pub async fn is_right(&self, phc: Option<&str>, typed: Typed) -> Result<bool, Busy> {
        let is_known = phc.is_some();
        let phc = phc.map_or_else(|| self.decoy.to_string(), str::to_owned);
        let is_match = self.work(move || verify(&phc, &typed)).await?;
        Ok(is_match && is_known)
    }

    /// Hashes a password that passed [`check`].
    ///
    /// # Errors
    /// [`Busy`].
    pub async fn hash(&self, typed: Typed) -> Result<String, Busy> {
        self.work(move || hash(&typed)).await
    }

    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Busy> {
        let turn = self.turns.clone().acquire_owned();
        let turn = tokio::time::timeout(PATIENCE, turn).await;
        let Ok(Ok(turn)) = turn else {
            return Err(Busy);
        };
        let work = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            work()
        });
        work.await.map_err(|_| Busy)
    }
}

impl Default for Passwords {
    fn default() -> Passwords {
        Passwords::new()
    }
}

/// Hashes a password: argon2id, 19 MiB, two passes, one lane (the first choice of OWASP's Password Storage Cheat
/// Sheet), 128 bits of salt. Blocking.
pub fn hash(password: &str) -> String {
    hash_bytes(password.as_bytes())
}

fn hash_bytes(password: &[u8]) -> String {
    let salt: [u8; 16] = random_bytes();
    // Sixteen bytes are a salt, and these parameters are the crate's own.
    let salt = SaltString::encode_b64(&salt).expect("sixteen bytes");
    Argon2::default()
        .hash_password(password, &salt)
        .expect("valid parameters")
        .to_string()
}

fn verify(phc: &str, password: &str) -> bool {
    match PasswordHash::new(phc) {
        Ok(parsed) => Argon2::default()
            .verify_password(password.as_bytes(), &parsed)
            .is_ok(),
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_kept_as_argon2id_and_known_again() {
        let phc = hash("correct horse battery");
        assert!(phc.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{phc}");
        assert!(verify(&phc, "correct horse battery"));
        assert!(!verify(&phc, "correct horse batterz"));
        assert!(!verify("no hash", "correct horse battery"));
        assert_ne!(hash("correct horse battery"), phc, "salted");
    }

    #[test]
    fn what_is_easily_guessed_is_refused() {
        for (password, weak) in [
            ("short", Some(Weak::Short)),
            ("ooooooooooooooo", Some(Weak::Obvious)),
            ("123456789012", Some(Weak::Obvious)),
            ("passwordpassword", Some(Weak::Obvious)),
            ("anna.hansen1", Some(Weak::Obvious)),
            ("tre røde bænke", None),
        ] {
            assert_eq!(check("anna.hansen", password).err(), weak, "{password}");
        }
        assert_eq!(check("a", &"ab1cd2".repeat(200)), Err(Weak::Long));
    }

    #[tokio::test]
    async fn the_decoy_is_never_right() {
        let passwords = Passwords::new();
        let typed = |text: &str| Zeroizing::new(text.to_owned());
        assert!(!passwords.is_right(None, typed("")).await.unwrap());
        let phc = passwords.hash(typed("tre røde bænke")).await.unwrap();
        assert!(
            passwords
                .is_right(Some(&phc), typed("tre røde bænke"))
                .await
                .unwrap()
        );
    }
}
