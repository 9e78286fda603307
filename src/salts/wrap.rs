//! The wrapping key: salts at rest can be read by whoever has it, too, and by nobody else.
//!
//! Comes in: where the operator keeps the key, the bytes of a salt file. Goes out: the same bytes sealed, or a salt.
//! Promises that with a key no salt ever stands on the disk in the clear, so that what an SSD or a copy-on-write file
//! system keeps of an overwritten file is worth nothing without the key; and that losing the key is losing the
//! salts. XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha) with a random nonce; the file's name is authenticated with
//! it, so that no file can stand in for another.
//!
//! **On disk.** [`SEALED_BYTES`] bytes: `MAGIC`, 24 bytes nonce, 32 bytes sealed, 16 bytes tag. Never edited: another
//! layout gets another magic.

use std::fs;
use std::path::{Path, PathBuf};

use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{Key, Tag, XChaCha20Poly1305, XNonce};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::config::settings::Environment;
use crate::secret::{self, SECRET_BYTES, Secret, SecretError, leaving_no_trace, random_bytes};

/// First bytes of a sealed file.
const MAGIC: &[u8; 8] = b"BRSALT1\n";
const NONCE_BYTES: usize = 24;
const TAG_BYTES: usize = 16;

/// Length of a sealed file; an open one has [`SECRET_BYTES`].
pub const SEALED_BYTES: usize = MAGIC.len() + NONCE_BYTES + SECRET_BYTES + TAG_BYTES;

/// The stack that the cipher may use: its state is the key.
const DEPTH: usize = 16_384;

/// Where the wrapping key is. None of them should be on the disk that the salts are on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyPlace {
    /// A file of 32 bytes; made where it is missing. On tmpfs a power cut takes it, and the salts with it.
    File(PathBuf),
    /// A systemd credential of this name (`LoadCredentialEncrypted=`): 32 bytes or 64 hexadecimal digits.
    Credential(String),
    /// A variable of the environment: 64 hexadecimal digits. Root can read it as long as brine runs.
    Variable(String),
}

/// Why there is no wrapping key.
#[derive(Debug, Error)]
pub enum WrapError {
    /// Its file cannot be used.
    #[error("salts.key_file")]
    File(#[from] SecretError),
    /// The credential is not there: the unit needs LoadCredential= or LoadCredentialEncrypted= with this name.
    #[error("salts.key_credential: {name} is not in $CREDENTIALS_DIRECTORY ({reason})")]
    Credential {
        /// Its name.
        name: String,
        /// What is missing.
        reason: String,
    },
    /// The variable is not set.
    #[error("salts.key_variable: {name} is not set")]
    Variable {
        /// Its name.
        name: String,
    },
    /// It is there and no key.
    #[error("{place} does not hold a key: 64 hexadecimal digits are needed")]
    NoKey {
        /// Which.
        place: String,
    },
}

/// Gets the key from where the operator keeps it.
///
/// # Errors
/// [`WrapError`]. A key of ours to make (a file) is made where it is missing.
pub fn load(place: &KeyPlace, environment: &Environment) -> Result<Secret, WrapError> {
    match place {
        KeyPlace::File(path) => Ok(secret::load_or_create(path)?),
        KeyPlace::Credential(name) => {
            let fault = |reason: String| WrapError::Credential {
                name: name.clone(),
                reason,
            };
            let directory = environment
                .get("CREDENTIALS_DIRECTORY")
                .ok_or_else(|| fault("no such directory is given".into()))?;
            let bytes = fs::read(Path::new(directory).join(name))
                .map_err(|error| fault(error.to_string()))?;
            let bytes = Zeroizing::new(bytes);
            if bytes.len() == SECRET_BYTES {
                return Ok(copied(&bytes));
            }
            of_hex(&bytes).ok_or_else(|| WrapError::NoKey {
                place: format!("credential {name}"),
            })
        }
        KeyPlace::Variable(name) => {
            let text = environment
                .get(name)
                .ok_or_else(|| WrapError::Variable { name: name.clone() })?;
            of_hex(text.as_bytes()).ok_or_else(|| WrapError::NoKey {
                place: format!("variable {name}"),
            })
        }
    }
}

fn copied(bytes: &[u8]) -> Secret {
    let filled: Result<Secret, std::convert::Infallible> = Secret::fill(|page| {
        page.copy_from_slice(bytes);
        Ok(())
    });
    match filled {
        Ok(secret) => secret,
    }
}

/// Reads 64 hexadecimal digits with white space around them, without a copy of what they mean.
pub(super) fn of_hex(text: &[u8]) -> Option<Secret> {
    let digits = text.trim_ascii();
    if digits.len() != 2 * SECRET_BYTES {
        return None;
    }
    let value = |digit: u8| char::from(digit).to_digit(16);
    let filled: Result<Secret, ()> = Secret::fill(|page| {
        for (byte, pair) in page.iter_mut().zip(digits.chunks_exact(2)) {
            let (high, low) = (value(pair[0]).ok_or(())?, value(pair[1]).ok_or(())?);
            *byte = (high << 4 | low) as u8;
        }
        Ok(())
    });
    filled.ok()
}

/// Tells whether a file of this length and these first bytes is a sealed one.
pub(super) fn is_sealed(bytes: &[u8]) -> bool {
    bytes.len() == SEALED_BYTES && bytes.starts_with(MAGIC)
}

/// Seals `salt` for the file called `name`.
pub(super) fn seal(key: &Secret, name: &str, salt: &Secret) -> Vec<u8> {
    let nonce = random_bytes::<NONCE_BYTES>();
    let mut file = Vec::with_capacity(SEALED_BYTES);
    file.extend_from_slice(MAGIC);
    file.extend_from_slice(&nonce);
    // Sealed in place: the clear bytes are overwritten where they stand.
    file.extend_from_slice(salt.expose());
    let (_, body) = file.split_at_mut(MAGIC.len() + NONCE_BYTES);
    let mut tag = Tag::default();
    leaving_no_trace::<DEPTH, _>(|| {
        let cipher = XChaCha20Poly1305::new(<&Key>::from(key.expose()));
        let sealed =
            cipher.encrypt_inout_detached(&XNonce::from(nonce), name.as_bytes(), body.into());
        // Refuses messages of 256 GiB and more; this one has 32 bytes.
        tag = sealed.expect("32 bytes can be sealed");
    });
    file.extend_from_slice(&tag);
    file
}

/// Opens what [`seal`] made for the same name with the same key; otherwise nothing.
pub(super) fn open(key: &Secret, name: &str, sealed: &[u8]) -> Option<Secret> {
    let rest = sealed.strip_prefix(MAGIC)?;
    let (nonce, rest) = rest.split_first_chunk::<NONCE_BYTES>()?;
    let (body, tag) = rest.split_first_chunk::<SECRET_BYTES>()?;
    let tag = Tag::from(
        *tag.first_chunk::<TAG_BYTES>()
            .filter(|_| tag.len() == TAG_BYTES)?,
    );
    Secret::fill(|page| {
        page.copy_from_slice(body);
        let opened = leaving_no_trace::<DEPTH, _>(|| {
            let cipher = XChaCha20Poly1305::new(<&Key>::from(key.expose()));
            cipher.decrypt_inout_detached(&XNonce::from(*nonce), name.as_bytes(), page.into(), &tag)
        });
        opened.map_err(drop)
    })
    .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_under_its_key_and_name_alone() {
        let (key, other, salt) = (Secret::random(), Secret::random(), Secret::random());
        let sealed = seal(&key, "portal@2026-11-24.salt", &salt);
        assert!(is_sealed(&sealed) && !is_sealed(salt.expose()));
        let opened = open(&key, "portal@2026-11-24.salt", &sealed).expect("it opens");
        assert_eq!(opened.expose(), salt.expose());
        assert!(open(&other, "portal@2026-11-24.salt", &sealed).is_none());
        assert!(open(&key, "portal@2026-11-25.salt", &sealed).is_none());
        assert_ne!(seal(&key, "a", &salt), seal(&key, "a", &salt));
        for n in 0..sealed.len() {
            assert!(open(&key, "portal@2026-11-24.salt", &sealed[..n]).is_none());
            let mut altered = sealed.clone();
            altered[n] ^= 1;
            assert!(
                open(&key, "portal@2026-11-24.salt", &altered).is_none(),
                "byte {n}"
            );
        }
        let inside = sealed
            .windows(8)
            .any(|window| window == &salt.expose()[..8]);
        assert!(!inside, "nothing of the salt stands in the file");
    }

    #[test]
    fn a_key_is_found_where_the_operator_keeps_it() {
        let directory = tempfile::tempdir().unwrap();
        let hex = "00ff".repeat(16);
        std::fs::write(directory.path().join("brine-salts"), format!("{hex}\n")).unwrap();
        let mut environment = Environment::new();
        let credential = KeyPlace::Credential("brine-salts".into());
        let variable = KeyPlace::Variable("SALT_KEY".into());
        assert!(
            load(&credential, &environment)
                .unwrap_err()
                .to_string()
                .contains("brine-salts")
        );
        assert!(
            load(&variable, &environment)
                .unwrap_err()
                .to_string()
                .contains("SALT_KEY")
        );
        environment.insert(
            "CREDENTIALS_DIRECTORY".into(),
            directory.path().display().to_string(),
        );
        environment.insert("SALT_KEY".into(), hex[1..].to_owned());
        assert!(
            load(&variable, &environment)
                .unwrap_err()
                .to_string()
                .contains("64")
        );
        environment.insert("SALT_KEY".into(), hex.to_uppercase());
        let expected: Vec<u8> = [0, 255].repeat(16);
        for place in [credential, variable] {
            assert_eq!(load(&place, &environment).unwrap().expose()[..], expected);
        }
        let file = KeyPlace::File(directory.path().join("key"));
        let made = load(&file, &environment).unwrap();
        assert_eq!(load(&file, &environment).unwrap().expose(), made.expose());
    }
}
