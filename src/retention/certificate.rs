//! A signed statement for one site and month, to be filed by a data-protection officer.
//!
//! Comes in: what `purges` and `retention_runs` say. Goes out: plain text that ends in a public key and an Ed25519
//! signature (RFC 8032) over all lines above it. A signature and not a keyed hash, because whoever checks it must not need
//! the means to make it: `brine retention certificate --check FILE --key KEY` needs no running brine and no secret.
//!
//! What it proves: that a holder of this brine's key said so. Not that the operator has no other copy.

use std::fmt::Write as _;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use thiserror::Error;

use super::OpenError;
use crate::secret;

/// First line; the number changes with the form.
const TITLE: &str = "brine retention certificate 1";
const KEY: &str = "public key (ed25519, base64): ";
const SIGNATURE: &str = "signature of every line above (ed25519, base64): ";

/// The key that signs.
pub struct Seal(Ed25519KeyPair);

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seal(hidden)")
    }
}

impl Seal {
    /// Reads the key at `path`, or makes one. Blocking.
    ///
    /// # Errors
    /// As [`secret::load_or_create`].
    pub fn open(path: &Path) -> Result<Seal, OpenError> {
        let secret = secret::load_or_create(path)?;
        // Another context than any other use: the file's bytes themselves sign nothing.
        let seed = secret.derive("brine 2026-11-24 retention certificate");
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.expose());
        pair.map(Seal).map_err(|_| OpenError::Seal)
    }

    /// Returns the public half, in base64.
    pub fn public_key(&self) -> String {
        STANDARD.encode(self.0.public_key())
    }

    fn sign(&self, mut text: String) -> String {
        writeln!(text, "{KEY}{}", self.public_key()).unwrap_or_default();
        let signature = STANDARD.encode(self.0.sign(text.as_bytes()));
        writeln!(text, "{SIGNATURE}{signature}").unwrap_or_default();
        text
    }
}

/// What a certificate says.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct Statement {
    pub site: String,
    /// `YYYY-MM`.
    pub month: String,
    /// RFC 3339, UTC.
    pub issued: String,
    pub is_over: bool,
    pub controller: String,
    /// Days by table, in words.
    pub days: String,
    pub hold: Option<String>,
    /// One line each.
    pub purges: Vec<String>,
    pub rows: u64,
    pub runs: u64,
    pub clean_runs: u64,
    /// The last run in the month of each collector: which, when it ended, and what its check found.
    pub last: Vec<(String, String, Vec<String>)>,
}

impl Statement {
    /// Writes it down and signs it.
    pub fn certify(&self, seal: &Seal) -> String {
        let mut text = String::new();
        let mut line = |line: &str| {
            text.push_str(line);
            text.push('\n');
        };
        line(TITLE);
        line(&format!("site: {}", self.site));
        line(&format!("month: {}", self.month));
        line(&format!("issued: {}", self.issued));
        if !self.is_over {
            line("The month is not over: this covers its part up to now.");
        }
        if !self.controller.is_empty() {
            line(&format!("controller: {}", self.controller));
        }
        line(&format!("brine: {}", env!("CARGO_PKG_VERSION")));
        line(&format!("retention now, in days: {}", self.days));
        match &self.hold {
            Some(reason) => line(&format!(
                "legal hold now ({reason}): nothing of this site is purged while it lasts"
            )),
            None => line("legal hold now: none"),
        }
        line("");
        line(&format!(
            "Purged in this month (UTC), {} rows in {} purges:",
            self.rows,
            self.purges.len()
        ));
        for purge in &self.purges {
            line(&format!("  {purge}"));
        }
        line("");
        line(&format!(
            "Runs of the job in this month: {}. Found nothing left that had to be gone: {}. Found something: {}.",
            self.runs,
            self.clean_runs,
            self.runs - self.clean_runs
        ));
        if self.last.is_empty() {
            line("There was no run: nothing is certified about what is stored.");
        }
        for (collector, ended, findings) in &self.last {
            let which = format!("The last of them by collector {collector} ended {ended}");
            if findings.is_empty() {
                line(&format!(
                    "{which}. Its check of rows, parts in and out of use, changes under way, files, and of its own spool and \
                     quarantine found nothing that had to be gone."
                ));
            } else {
                line(&format!("{which}, and found still there:"));
                for finding in findings {
                    line(&format!("  {finding}"));
                }
            }
        }
        line(
            "Not covered: backups, and blocks that a storage device keeps after a file is removed.",
        );
        line("");
        seal.sign(text)
    }
}

/// Why a certificate does not hold.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum Refuted {
    /// It has not the form of one.
    #[error("this is no certificate of brine's, or lines of it are missing")]
    Form,
    /// It was signed by somebody else's key.
    #[error("it names another key than the one given: it is not of this brine")]
    OtherKey,
    /// A word was changed.
    #[error("the signature does not fit: it was changed after it was signed")]
    Changed,
}

/// Checks a certificate against the public key that its reader knows brine by.
///
/// # Errors
/// [`Refuted`].
pub fn check(text: &str, known_key: &str) -> Result<(), Refuted> {
    let text = text.replace("\r\n", "\n");
    let at = text.rfind(SIGNATURE).ok_or(Refuted::Form)?;
    let (signed, signature) = text.split_at(at);
    let signature = signature[SIGNATURE.len()..].trim_end();
    let key = signed
        .lines()
        .last()
        .and_then(|line| line.strip_prefix(KEY))
        .ok_or(Refuted::Form)?;
    if !signed.starts_with(TITLE) {
        return Err(Refuted::Form);
    }
    if key != known_key.trim() {
        return Err(Refuted::OtherKey);
    }
    let bytes = |base64: &str| STANDARD.decode(base64).map_err(|_| Refuted::Form);
    UnparsedPublicKey::new(&ED25519, bytes(key)?)
        .verify(signed.as_bytes(), &bytes(signature)?)
        .map_err(|_| Refuted::Changed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_holds_until_one_character_of_it_is_changed() {
        let directory = tempfile::tempdir().unwrap();
        let seal = Seal::open(&directory.path().join("key")).unwrap();
        let key = seal.public_key();
        let text = Statement {
            site: "portal".into(),
            month: "2026-11".into(),
            purges: vec!["2026-11-02 events expired 5 rows".into()],
            rows: 5,
            runs: 1,
            clean_runs: 1,
            last: vec![(
                "9f1c6a0be2d74583".into(),
                "2026-11-02T00:20:00Z".into(),
                Vec::new(),
            )],
            ..Statement::default()
        }
        .certify(&seal);
        assert_eq!(check(&text, &key), Ok(()), "{text}");
        assert_eq!(check(&text.replace('\n', "\r\n"), &key), Ok(()));
        // The key that signed is the one in the file, also after a restart.
        let again = Seal::open(&directory.path().join("key")).unwrap();
        assert_eq!(again.public_key(), key);
        for at in (0..text.len()).filter(|at| text.as_bytes()[*at].is_ascii_alphanumeric()) {
            let mut changed = text.clone().into_bytes();
            changed[at] ^= 1;
            let changed = String::from_utf8(changed).unwrap();
            assert!(check(&changed, &key).is_err(), "at {at}: {changed}");
        }
        let other = Seal::open(&directory.path().join("other")).unwrap();
        assert_eq!(check(&text, &other.public_key()), Err(Refuted::OtherKey));
        assert_eq!(check("", &key), Err(Refuted::Form));
    }
}
