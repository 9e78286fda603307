//! API keys, shared links and invitations: a public id and 256 secret bits in one text.
//!
//! Comes in: nothing, or a text that somebody shows. Goes out: the text, once, and a hash to keep. The secret is
//! random, so that one plain hash is enough: there is nothing to guess (NIST SP 800-63B, section 5.1.2.2).

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::secret::random_bytes;

/// What a ticket is for. One kind is never taken for another: the hash covers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An invitation to choose a password.
    Invitation,
    /// An API key.
    Key,
    /// A shared link.
    Link,
}

impl Kind {
    fn prefix(self) -> &'static str {
        match self {
            Kind::Invitation => "brine_inv_",
            Kind::Key => "brine_key_",
            Kind::Link => "brine_link_",
        }
    }
}

/// Characters of an id: 48 random bits in hexadecimal.
const ID_CHARS: usize = 12;

/// Characters of a secret: 32 bytes in Base64.
const SECRET_CHARS: usize = 43;

/// A new ticket: the text to hand out once, and what is kept of it.
pub struct Fresh {
    /// Names it in lists and logs.
    pub id: String,
    /// What its holder shows. Not kept.
    pub text: Zeroizing<String>,
    /// What it is known by.
    pub hash: String,
}

impl fmt::Debug for Fresh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fresh({})", self.id)
    }
}

/// Makes a ticket.
pub fn fresh(kind: Kind) -> Fresh {
    let id: [u8; ID_CHARS / 2] = random_bytes();
    let id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
    let bytes: Zeroizing<[u8; 32]> = Zeroizing::new(random_bytes());
    let secret = Zeroizing::new(URL_SAFE_NO_PAD.encode(&bytes[..]));
    Fresh {
        text: Zeroizing::new(format!("{}{id}_{}", kind.prefix(), &*secret)),
        hash: hash(kind, &id, &secret),
        id,
    }
}

/// A text that has the form of a ticket.
pub struct Shown<'a> {
    kind: Kind,
    /// Its id: which entry to compare it with.
    pub id: &'a str,
    secret: &'a str,
}

impl fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Shown({})", self.id)
    }
}

impl<'a> Shown<'a> {
    /// Reads a text; `None` where it has another form.
    pub fn read(kind: Kind, text: &'a str) -> Option<Shown<'a>> {
        let (id, secret) = text.strip_prefix(kind.prefix())?.split_once('_')?;
        let is_id =
            id.len() == ID_CHARS && id.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'));
        let is_secret = secret.len() == SECRET_CHARS
            && secret
                .bytes()
                .all(|c| c.is_ascii_alphanumeric() || c == b'-' || c == b'_');
        (is_id && is_secret).then_some(Shown { kind, id, secret })
    }

    /// Tells whether this is what `kept` was made of; takes as long either way.
    pub fn is(&self, kept: &str) -> bool {
        let shown = hash(self.kind, self.id, self.secret);
        shown.as_bytes().ct_eq(kept.as_bytes()).into()
    }
}

fn hash(kind: Kind, id: &str, secret: &str) -> String {
    let mut hasher = blake3::Hasher::new_derive_key("brine access ticket v1");
    // Prefix and id have one length a kind: no two tickets give one input.
    hasher.update(kind.prefix().as_bytes());
    hasher.update(id.as_bytes());
    hasher.update(secret.as_bytes());
    hasher.finalize().to_hex().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_opens_its_own_entry_and_no_other() {
        let made = fresh(Kind::Key);
        let shown = Shown::read(Kind::Key, &made.text).unwrap();
        assert!(shown.id == made.id && shown.is(&made.hash));
        assert!(!shown.is(&fresh(Kind::Key).hash));
        assert!(
            Shown::read(Kind::Link, &made.text).is_none(),
            "another kind"
        );
        let as_link = made.text.replacen("brine_key_", "brine_link_", 1);
        let as_link = Shown::read(Kind::Link, &as_link).unwrap();
        assert!(!as_link.is(&made.hash), "another kind's hash");
        for (at, _) in made.text.char_indices() {
            let mut other = made.text.to_string();
            let swapped = if other.as_bytes()[at] == b'0' {
                "1"
            } else {
                "0"
            };
            other.replace_range(at..=at, swapped);
            let opens = Shown::read(Kind::Key, &other).is_some_and(|one| one.is(&made.hash));
            assert!(!opens, "changed at {at}");
        }
        assert!(!format!("{made:?}").contains(&made.text[23..]));
    }
}
