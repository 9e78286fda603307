//! The public policy, rendered from the running configuration.
//!
//! Comes in: a checked [`Config`]. Goes out: what each scope's policy says now ([`statement`], in words [`words`]),
//! which version that is, what changed and whether consents lapse by it ([`change`]), every version before it
//! ([`archive`]), the pages that show all this ([`page`]), and the record of processing activities ([`record`]).
//!
//! Promises that the current policy is what the configuration does: it is written anew from it at every start and
//! reload, before the first beacon is judged by it. That a material change raises the version, so that
//! consents given under an earlier one lapse ([`crate::consent::standing`]). That a version number is never used for
//! two contents, never goes down, and that every version ever published stays readable.
//!
//! **Scopes.** A consent holds for a scope: a site, or a group of sites. So has each scope versions of its own, and
//! what changes on one site lapses no consent on another. A site that joins a group changes what that group's
//! consents reach, and is material there.
//!
//! **Several collectors, and a lost directory.** Versions are numbered by the archive, a directory of plain files.
//! Collectors that share consents share it (`policy.directory`, a new file is made by a link that fails if another
//! was faster). Reload all of them when something is narrowed: until then one that is behind takes consents that were
//! given to less, for both name the same version. An archive that is lost while the consent key is not would number from the start again: raise
//! `policy.version`, the floor, above every number that was used.

pub mod archive;
pub mod change;
pub mod countries;
pub mod device;
pub mod document;
pub mod fields;
pub mod language;
pub mod page;
pub mod record;
pub mod statement;
pub mod words;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use self::archive::{Archive, ArchiveError};
use self::change::{Change, Weight, compare, weight};
use self::document::Document;
use self::language::Language;
use self::statement::Statement;
use crate::config::Config;

/// The policy in every language.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Documents {
    pub en: Document,
    pub da: Document,
}

impl Documents {
    /// Writes the policy of `statements`.
    pub fn of(statements: &[&Statement]) -> Documents {
        Documents {
            en: words::policy(statements, Language::En),
            da: words::policy(statements, Language::Da),
        }
    }

    /// Returns the one in `language`.
    pub fn in_language(&self, language: Language) -> &Document {
        language.pick(&self.en, &self.da)
    }
}

/// What was published for one scope at one time.
///
/// **On disk** as JSON; see [`archive`]. Keys are added, never renamed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Edition {
    pub format: u8,
    pub scope: String,
    /// What a consent names. Raised by a material change alone.
    pub version: u16,
    /// Counts cosmetic changes of the version.
    pub revision: u16,
    pub published: Timestamp,
    /// Against the edition before it.
    pub changes: Vec<Change>,
    pub statement: Statement,
    pub documents: Documents,
}

/// An edition in a list of editions.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Summary {
    pub version: u16,
    pub revision: u16,
    pub published: Timestamp,
    pub changes: Vec<Change>,
    /// Whether all sites of the scope honoured Global Privacy Control.
    pub honours_gpc: bool,
}

/// All that was published for one scope.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct History {
    /// The latest. In force where the scope is configured.
    pub latest: Edition,
    /// Oldest first; the last one is `latest`.
    pub editions: Vec<Summary>,
    pub is_configured: bool,
}

/// The policy in force, with its past.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Policy {
    pub archive: Archive,
    pub scopes: BTreeMap<String, History>,
    /// The policy of all configured scopes together.
    pub whole: Documents,
}

impl Policy {
    /// Publishes what `config` says where it is not published yet, and returns the whole.
    ///
    /// # Errors
    /// [`ArchiveError`]: the archive cannot be read or written. Nothing may be judged by a policy that is not
    /// published, so brine does not start, and a reload keeps the old configuration.
    pub fn publish(config: &Config, now: Timestamp) -> Result<Policy, ArchiveError> {
        let archive = Archive::open(&config.policy.directory)?;
        for statement in Statement::all(config) {
            let scope = &statement.scope;
            // Another collector may publish at the same moment; whoever comes second looks again.
            while let Some(next) =
                successor(archive.latest(scope)?, &statement, config.policy.floor, now)?
            {
                if archive.add(&next)? {
                    announce(&next);
                    break;
                }
            }
        }
        Policy::read(archive, config)
    }

    /// Reads what has been published, without publishing anything.
    ///
    /// # Errors
    /// As [`Policy::publish`].
    pub fn read(archive: Archive, config: &Config) -> Result<Policy, ArchiveError> {
        let statements = Statement::all(config);
        let mut scopes = BTreeMap::new();
        for scope in archive.scopes()? {
            let editions = archive.editions(&scope)?;
            if let Some(latest) = editions.last().cloned() {
                let history = History {
                    latest,
                    editions: editions.iter().map(Summary::of).collect(),
                    is_configured: statements.iter().any(|s| s.scope == scope),
                };
                scopes.insert(scope, history);
            }
        }
        Ok(Policy {
            archive,
            scopes,
            whole: Documents::of(&statements.iter().collect::<Vec<_>>()),
        })
    }

    /// Returns the version in force for `scope`; 0, which no consent can name, for one that was never published.
    pub fn version_of(&self, scope: &str) -> u16 {
        self.scopes
            .get(scope)
            .map_or(0, |history| history.latest.version)
    }

    /// Returns when the version in force for `scope` was published; its revisions since then do not count.
    pub fn in_force_since(&self, scope: &str) -> Timestamp {
        let history = self.scopes.get(scope);
        history
            .and_then(|history| {
                let mut editions = history.editions.iter();
                editions.find(|edition| edition.version == history.latest.version)
            })
            .map_or(Timestamp::UNIX_EPOCH, |edition| edition.published)
    }
}

impl Summary {
    fn of(edition: &Edition) -> Summary {
        Summary {
            version: edition.version,
            revision: edition.revision,
            published: edition.published,
            changes: edition.changes.clone(),
            honours_gpc: edition.statement.sites.iter().all(|site| site.honour_gpc),
        }
    }
}

/// Returns the edition that must follow `latest` for `statement` to be what is published; none if it is already.
///
/// # Errors
/// [`ArchiveError::Exhausted`] after 65,535 versions or revisions.
pub fn successor(
    latest: Option<Edition>,
    statement: &Statement,
    floor: u16,
    now: Timestamp,
) -> Result<Option<Edition>, ArchiveError> {
    let documents = Documents::of(&[statement]);
    let scope = statement.scope.clone();
    let edition = |version, revision, changes| Edition {
        format: archive::FORMAT,
        scope: scope.clone(),
        version,
        revision,
        published: now,
        changes,
        statement: statement.clone(),
        documents: documents.clone(),
    };
    let Some(latest) = latest else {
        return Ok(Some(edition(floor, 0, Vec::new())));
    };
    let changes = changes_since(&latest, statement, &documents, floor);
    let next = |n: u16| {
        n.checked_add(1).ok_or_else(|| ArchiveError::Exhausted {
            scope: scope.clone(),
        })
    };
    match weight(&changes) {
        None => Ok(None),
        Some(Weight::Cosmetic) => {
            let revision = next(latest.revision)?;
            Ok(Some(edition(latest.version, revision, changes)))
        }
        Some(Weight::Material) => {
            let version = next(latest.version)?.max(floor);
            Ok(Some(edition(version, 0, changes)))
        }
    }
}

fn changes_since(
    latest: &Edition,
    statement: &Statement,
    documents: &Documents,
    floor: u16,
) -> Vec<Change> {
    let mut changes = compare(&latest.statement, statement);
    if latest.version < floor {
        changes.push(Change::by_hand(latest.version, floor));
    }
    if changes.is_empty() && latest.documents != *documents {
        changes.push(Change::of_words());
    }
    changes
}

fn announce(edition: &Edition) {
    let (scope, version, revision) = (&edition.scope, edition.version, edition.revision);
    let keys: Vec<&str> = edition.changes.iter().map(|c| c.key.as_str()).collect();
    let changed = keys.join(", ");
    match weight(&edition.changes) {
        None => tracing::info!(
            scope,
            version,
            "policy: first version published; if consents were given under another archive, raise \
             policy.version above theirs"
        ),
        Some(Weight::Cosmetic) => tracing::info!(
            scope,
            version,
            revision,
            changed,
            "policy: worded anew; consents stay good"
        ),
        Some(Weight::Material) => tracing::warn!(
            scope,
            version,
            changed,
            "policy: material change, new version published; consents given under earlier ones lapse"
        ),
    }
}

#[cfg(test)]
mod tests;
