//! The book of those who may look: users, API keys, shared links. Plain data, and its rules.
//!
//! **On disk: JSON under `format`.** Fields are added with a default, never given another meaning.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::ticket::{self, Fresh, Kind, Shown};
use crate::secret::random_bytes;

/// The layout that this brine writes.
pub const FORMAT: u8 = 1;

/// Users, keys and links that there may be of each: far above a company's need, and the file stays small.
pub const MOST: usize = 10_000;

/// How long an invitation holds: three days.
pub const INVITATION_MS: i64 = 3 * 86_400_000;

/// Everybody and everything that may look.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Book {
    pub format: u8,
    pub users: BTreeMap<String, User>,
    pub keys: Vec<Key>,
    pub links: Vec<Link>,
    /// What commands beside brine have changed, until it stands in `access_log`: in this file, so that a change and its
    /// record are on disk together.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unlogged: Vec<Change>,
}

/// A change by a command beside brine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Change {
    /// Told apart from others by it.
    pub id: String,
    pub at_ms: i64,
    /// The operating system's user.
    pub who: String,
    pub what: String,
}

impl Default for Book {
    fn default() -> Book {
        Book {
            format: FORMAT,
            users: BTreeMap::new(),
            keys: Vec::new(),
            links: Vec::new(),
            unlogged: Vec::new(),
        }
    }
}

/// What a user may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Everything, all sites included.
    Admin,
    /// Look at the sites named.
    Viewer,
}

impl Role {
    /// Returns its name.
    pub fn name(self) -> &'static str {
        match self {
            Role::Admin => "admin",
            Role::Viewer => "viewer",
        }
    }
}

/// Which sites.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reach {
    /// Every site, also those configured later.
    All,
    /// These, by id.
    Sites(BTreeSet<String>),
}

impl Reach {
    /// Takes a list of ids as people write it; `*` is every site.
    pub fn of<'a>(ids: impl IntoIterator<Item = &'a str>) -> Reach {
        let ids: BTreeSet<String> = ids.into_iter().map(str::to_owned).collect();
        if ids.contains("*") {
            return Reach::All;
        }
        Reach::Sites(ids)
    }

    /// Tells whether `site` is among them.
    pub fn has(&self, site: &str) -> bool {
        match self {
            Reach::All => true,
            Reach::Sites(ids) => ids.contains(site),
        }
    }

    /// Returns the list as people write it.
    pub fn text(&self) -> String {
        match self {
            Reach::All => "*".into(),
            Reach::Sites(ids) => ids.iter().map(String::as_str).collect::<Vec<_>>().join(","),
        }
    }
}

/// What an API key may do.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Take tables away as CSV or JSON files.
    Export,
    /// Ask `POST /api/v1/query`.
    Query,
    /// Do what visitors asked for by mail: `POST /api/v1/rights`.
    Rights,
}

impl Scope {
    /// Returns its name.
    pub fn name(self) -> &'static str {
        match self {
            Scope::Export => "export",
            Scope::Query => "query",
            Scope::Rights => "rights",
        }
    }
}

/// Somebody.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct User {
    pub role: Role,
    pub reach: Reach,
    /// argon2id in the PHC string format; none until an invitation was followed, or where a proxy knows the password.
    pub password: Option<String>,
    /// Changes whenever every session of the user must end.
    pub epoch: String,
    pub invitation: Option<Invitation>,
    pub added_ms: i64,
    pub added_by: String,
}

/// The right to choose a password, once.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Invitation {
    pub id: String,
    pub hash: String,
    pub expires_ms: i64,
}

/// A program's way in.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Key {
    pub id: String,
    pub name: String,
    pub hash: String,
    pub reach: Reach,
    pub scopes: BTreeSet<Scope>,
    pub expires_ms: Option<i64>,
    pub added_ms: i64,
    pub added_by: String,
}

/// A dashboard for whoever has the link.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Link {
    pub id: String,
    pub name: String,
    pub hash: String,
    pub site: String,
    pub expires_ms: i64,
    pub added_ms: i64,
    pub added_by: String,
}

/// Why the book was not changed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BookError {
    /// The name cannot be one.
    #[error("a name is 1 to 64 letters, digits, and . _ - @ +, beginning with a letter or digit")]
    Name,
    /// Somebody or something is called so already.
    #[error("{0} is there already")]
    Taken(String),
    /// Nobody and nothing is called so.
    #[error("there is no {0}")]
    Unknown(String),
    /// A viewer, key or link without a site would see nothing.
    #[error("name at least one site, or * for all")]
    NoSite,
    /// A key without a scope could do nothing.
    #[error("name at least one scope")]
    NoScope,
    /// Nobody would be left to let others in.
    #[error("the last admin who can sign in stays one")]
    LastAdmin,
    /// There are too many already.
    #[error("there are {MOST} already")]
    Full,
}

/// A name, as it is compared and kept: lower case, so that `Anna` and `anna` are one.
///
/// # Errors
/// [`BookError::Name`].
pub fn name_of(text: &str) -> Result<String, BookError> {
    let name = text.trim().to_lowercase();
    let fits = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '@' | '+');
    let is_name = (1..=64).contains(&name.chars().count())
        && name.chars().all(fits)
        && name.starts_with(char::is_alphanumeric);
    is_name.then_some(name).ok_or(BookError::Name)
}

fn new_epoch() -> String {
    format!("{:016x}", u64::from_ne_bytes(random_bytes()))
}

impl Book {
    /// Notes what a command has changed.
    pub fn note(&mut self, who: &str, at_ms: i64, what: String) {
        let id: [u8; 8] = random_bytes();
        self.unlogged.push(Change {
            id: u64::from_le_bytes(id).to_string(),
            at_ms,
            who: who.to_owned(),
            what,
        });
    }

    /// Adds a user without a password.
    ///
    /// # Errors
    /// [`BookError`].
    pub fn add_user(
        &mut self,
        name: &str,
        role: Role,
        reach: Reach,
        by: (&str, i64),
    ) -> Result<String, BookError> {
        let name = name_of(name)?;
        room(self.users.len())?;
        if self.users.contains_key(&name) {
            return Err(BookError::Taken(name));
        }
        let user = User {
            role,
            reach: reach_of(role, reach)?,
            password: None,
            epoch: new_epoch(),
            invitation: None,
            added_ms: by.1,
            added_by: by.0.to_owned(),
        };
        self.users.insert(name.clone(), user);
        Ok(name)
    }

    /// Returns a user to be changed.
    ///
    /// # Errors
    /// [`BookError::Unknown`].
    pub fn user(&mut self, name: &str) -> Result<&mut User, BookError> {
        let name = name_of(name)?;
        match self.users.get_mut(&name) {
            Some(user) => Ok(user),
            None => Err(BookError::Unknown(name)),
        }
    }

    /// Gives a user a password, already hashed; their sessions end, and an invitation with them.
    ///
    /// # Errors
    /// [`BookError::Unknown`].
    pub fn set_password(&mut self, name: &str, phc: String) -> Result<(), BookError> {
        let user = self.user(name)?;
        user.password = Some(phc);
        user.invitation = None;
        user.epoch = new_epoch();
        Ok(())
    }

    /// Ends every session of a user.
    ///
    /// # Errors
    /// [`BookError::Unknown`].
    pub fn end_sessions(&mut self, name: &str) -> Result<(), BookError> {
        self.user(name)?.epoch = new_epoch();
        Ok(())
    }

    /// Gives a user another role, or other sites. In force with their next request.
    ///
    /// # Errors
    /// [`BookError`].
    pub fn set_role(&mut self, name: &str, role: Role, reach: Reach) -> Result<(), BookError> {
        let reach = reach_of(role, reach)?;
        let user = self.user(name)?;
        (user.role, user.reach) = (role, reach);
        Ok(())
    }

    /// Removes a user.
    ///
    /// # Errors
    /// [`BookError::Unknown`].
    pub fn remove_user(&mut self, name: &str) -> Result<(), BookError> {
        let name = name_of(name)?;
        match self.users.remove(&name) {
            Some(_) => Ok(()),
            None => Err(BookError::Unknown(name)),
        }
    }

    /// Invites a user to choose a password; an earlier invitation is void. A password they have stays until then.
    ///
    /// # Errors
    /// [`BookError::Unknown`].
    pub fn invite(&mut self, name: &str, now_ms: i64) -> Result<Fresh, BookError> {
        let made = ticket::fresh(Kind::Invitation);
        self.user(name)?.invitation = Some(Invitation {
            id: made.id.clone(),
            hash: made.hash.clone(),
            expires_ms: now_ms.saturating_add(INVITATION_MS),
        });
        Ok(made)
    }

    /// Returns whose invitation `text` is, if it holds now.
    pub fn invited(&self, text: &str, now_ms: i64) -> Option<&str> {
        let shown = Shown::read(Kind::Invitation, text)?;
        let (name, _) = self.users.iter().find(|(_, user)| {
            user.invitation.as_ref().is_some_and(|one| {
                one.id == shown.id && shown.is(&one.hash) && now_ms < one.expires_ms
            })
        })?;
        Some(name)
    }

    /// Tells whether nobody is an admin, with a password or by somebody else's word.
    pub fn names_no_admin(&self) -> bool {
        !self.users.values().any(|user| user.role == Role::Admin)
    }

    /// Tells whether nobody could sign in by a password and let others in.
    pub fn has_no_admin(&self) -> bool {
        let is_able = |user: &User| user.role == Role::Admin && user.password.is_some();
        !self.users.values().any(is_able)
    }

    /// Adds an API key.
    ///
    /// # Errors
    /// [`BookError`].
    pub fn add_key(
        &mut self,
        name: &str,
        reach: Reach,
        scopes: BTreeSet<Scope>,
        expires_ms: Option<i64>,
        by: (&str, i64),
    ) -> Result<Fresh, BookError> {
        let name = label_of(name)?;
        room(self.keys.len())?;
        if self.keys.iter().any(|key| key.name == name) {
            return Err(BookError::Taken(name));
        }
        if scopes.is_empty() {
            return Err(BookError::NoScope);
        }
        let made = ticket::fresh(Kind::Key);
        self.keys.push(Key {
            id: made.id.clone(),
            name,
            hash: made.hash.clone(),
            reach: reach_of(Role::Viewer, reach)?,
            scopes,
            expires_ms,
            added_ms: by.1,
            added_by: by.0.to_owned(),
        });
        Ok(made)
    }

    /// Returns the key that `text` is, if it holds now.
    pub fn key(&self, text: &str, now_ms: i64) -> Option<&Key> {
        let shown = Shown::read(Kind::Key, text)?;
        let key = self.keys.iter().find(|key| key.id == shown.id)?;
        let holds = key.expires_ms.is_none_or(|expires_ms| now_ms < expires_ms);
        (shown.is(&key.hash) && holds).then_some(key)
    }

    /// Removes the key with this id or name, and returns its name.
    ///
    /// # Errors
    /// [`BookError::Unknown`].
    pub fn revoke_key(&mut self, id: &str) -> Result<String, BookError> {
        let place = self.keys.iter().position(|k| k.id == id || k.name == id);
        let place = place.ok_or_else(|| BookError::Unknown(format!("key {id}")))?;
        Ok(self.keys.remove(place).name)
    }

    /// Adds a shared link to a site's dashboard.
    ///
    /// # Errors
    /// [`BookError`].
    pub fn add_link(
        &mut self,
        name: &str,
        site: &str,
        expires_ms: i64,
        by: (&str, i64),
    ) -> Result<Fresh, BookError> {
        let name = label_of(name)?;
        room(self.links.len())?;
        if site.is_empty() {
            return Err(BookError::NoSite);
        }
        let made = ticket::fresh(Kind::Link);
        self.links.push(Link {
            id: made.id.clone(),
            name,
            hash: made.hash.clone(),
            site: site.to_owned(),
            expires_ms,
            added_ms: by.1,
            added_by: by.0.to_owned(),
        });
        Ok(made)
    }

    /// Returns the link that `text` is, expired or not.
    pub fn link(&self, text: &str) -> Option<&Link> {
        let shown = Shown::read(Kind::Link, text)?;
        let link = self.links.iter().find(|link| link.id == shown.id)?;
        shown.is(&link.hash).then_some(link)
    }

    /// Removes the link with this id, and returns its name.
    ///
    /// # Errors
    /// [`BookError::Unknown`].
    pub fn revoke_link(&mut self, id: &str) -> Result<String, BookError> {
        let place = self.links.iter().position(|link| link.id == id);
        let place = place.ok_or_else(|| BookError::Unknown(format!("link {id}")))?;
        Ok(self.links.remove(place).name)
    }
}

/// A key's or link's name: any printable text of up to 64 characters.
fn label_of(text: &str) -> Result<String, BookError> {
    let label = text.trim();
    let fits = (1..=64).contains(&label.chars().count()) && !label.chars().any(char::is_control);
    fits.then(|| label.to_owned()).ok_or(BookError::Name)
}

fn reach_of(role: Role, reach: Reach) -> Result<Reach, BookError> {
    match (role, reach) {
        (Role::Admin, _) => Ok(Reach::All),
        (Role::Viewer, Reach::Sites(ids)) if ids.is_empty() => Err(BookError::NoSite),
        (Role::Viewer, reach) => Ok(reach),
    }
}

fn room(n: usize) -> Result<(), BookError> {
    (n < MOST).then_some(()).ok_or(BookError::Full)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BY: (&str, i64) = ("test", 1_000);

    #[test]
    fn an_invitation_is_for_one_user_and_for_a_while() {
        let mut book = Book::default();
        book.add_user("Anna", Role::Admin, Reach::All, BY).unwrap();
        book.add_user("bo", Role::Viewer, Reach::of(["portal"]), BY)
            .unwrap();
        assert!(book.has_no_admin(), "nobody has a password yet");
        let first = book.invite("anna", 0).unwrap();
        let second = book.invite("ANNA", 0).unwrap();
        assert_eq!(book.invited(&first.text, 1), None, "replaced");
        assert_eq!(book.invited(&second.text, INVITATION_MS - 1), Some("anna"));
        assert_eq!(book.invited(&second.text, INVITATION_MS), None, "expired");
        book.set_password("anna", "$argon2id$…".into()).unwrap();
        assert_eq!(book.invited(&second.text, 1), None, "used");
        assert!(!book.has_no_admin());
    }

    #[test]
    fn names_sites_and_scopes_are_checked() {
        let mut book = Book::default();
        for name in ["", " ", "a b", "<b>", "-a", "a\u{202e}b", &"a".repeat(65)] {
            let refused = book.add_user(name, Role::Admin, Reach::All, BY);
            assert_eq!(refused, Err(BookError::Name), "{name:?}");
        }
        book.add_user("søren@example.test", Role::Admin, Reach::All, BY)
            .unwrap();
        let none = Reach::of([]);
        assert_eq!(
            book.add_user("x", Role::Viewer, none.clone(), BY),
            Err(BookError::NoSite)
        );
        let refused = book.add_key("k", Reach::All, BTreeSet::new(), None, BY);
        assert_eq!(refused.unwrap_err(), BookError::NoScope);
        let scopes = BTreeSet::from([Scope::Query]);
        let key = book.add_key("k", Reach::of(["portal"]), scopes, Some(500), BY);
        let key = key.unwrap();
        assert_eq!(book.key(&key.text, 499).unwrap().name, "k");
        assert!(book.key(&key.text, 500).is_none(), "expired");
        book.revoke_key("k").unwrap();
        assert!(book.key(&key.text, 0).is_none(), "revoked");
    }

    #[test]
    fn the_book_keeps_no_secret() {
        let mut book = Book::default();
        book.add_user("anna", Role::Admin, Reach::All, BY).unwrap();
        let tickets = [
            book.invite("anna", 0).unwrap(),
            book.add_key("k", Reach::All, [Scope::Query].into(), None, BY)
                .unwrap(),
            book.add_link("l", "portal", 9, BY).unwrap(),
        ];
        let text = serde_json::to_string(&book).unwrap();
        for ticket in tickets {
            let secret = ticket.text.rsplit_once(&ticket.id).unwrap().1;
            assert!(!text.contains(&secret[1..]) && text.contains(&ticket.hash));
        }
        let again: Book = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_string(&again).unwrap(), text);
    }
}
