//! Somebody who may look, and at what.
//!
//! Comes in: what the gate found out. Goes out: answers to "may they?". There is no other way to a [`Viewer`] than
//! [`super::gate::Gate::admit`].

use std::collections::BTreeSet;

use hyper::header::{CACHE_CONTROL, HeaderName, HeaderValue, SET_COOKIE, X_CONTENT_TYPE_OPTIONS};
use subtle::ConstantTimeEq;

use super::book::{Reach, Role, Scope};
use crate::config::{SiteId, Sites};
use crate::route::Reply;

static CROSS_ORIGIN_RESOURCE_POLICY: HeaderName =
    HeaderName::from_static("cross-origin-resource-policy");

/// How a viewer came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The words are those of `access_log.via`.
pub enum Via {
    Key,
    Link,
    Open,
    Operator,
    Proxy,
    Session,
}

impl Via {
    pub(super) fn name(self) -> &'static str {
        match self {
            Via::Key => "key",
            Via::Link => "link",
            Via::Open => "open",
            Via::Operator => "operator",
            Via::Proxy => "proxy",
            Via::Session => "session",
        }
    }
}

/// Somebody who may look, and at what.
#[derive(Clone)]
pub struct Viewer {
    pub(super) name: String,
    pub(super) via: Via,
    pub(super) role: Role,
    pub(super) reach: Reach,
    /// What a key may do; none where everything of the role.
    pub(super) scopes: Option<BTreeSet<Scope>>,
    /// What the forms of this viewer carry.
    pub(super) form: String,
    /// A new session id to set, in its cookie.
    pub(super) cookie: Option<HeaderValue>,
}

impl std::fmt::Debug for Viewer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Viewer({} by {})", self.name, self.via.name())
    }
}

impl Viewer {
    pub(super) fn new(name: &str, via: Via, role: Role, reach: Reach) -> Viewer {
        Viewer {
            name: name.to_owned(),
            via,
            role,
            reach,
            scopes: None,
            form: String::new(),
            cookie: None,
        }
    }

    /// Returns the name of the user, key or link; empty for the operator and where nobody is asked.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns how they came in.
    pub fn via(&self) -> Via {
        self.via
    }

    /// Tells whether they may change who may look.
    pub fn is_admin(&self) -> bool {
        self.role == Role::Admin
    }

    /// Tells whether `site` is one they may see.
    pub fn may_see(&self, site: &SiteId) -> bool {
        self.reach.has(site.as_str())
    }

    /// Returns the sites they may see. Hand this on, and the others do not exist.
    pub fn sites(&self, all: &Sites) -> Sites {
        match self.reach {
            Reach::All => all.clone(),
            Reach::Sites(_) => all.only(|site| self.may_see(site)),
        }
    }

    /// Tells whether they may do what `scope` says.
    pub fn may(&self, scope: Scope) -> bool {
        match &self.scopes {
            Some(scopes) => scopes.contains(&scope),
            None => scope != Scope::Rights || self.role == Role::Admin,
        }
    }

    /// Tells whether they may tell the collector what to do: admins, and no key.
    pub fn may_order(&self) -> bool {
        self.role == Role::Admin && self.scopes.is_none()
    }

    /// Returns what every form of theirs must carry as `form`, see [`Viewer::is_own_form`].
    pub fn form(&self) -> &str {
        &self.form
    }

    /// Tells whether a form was one of theirs; takes as long either way. Without a session there is no such form.
    pub fn is_own_form(&self, shown: &str) -> bool {
        !self.form.is_empty() && bool::from(shown.as_bytes().ct_eq(self.form.as_bytes()))
    }

    /// Finishes a reply to them: never cached, never embedded elsewhere, with the session's new id if it has one.
    pub fn dress(&self, reply: &mut Reply) {
        let headers = reply.headers_mut();
        headers
            .entry(CACHE_CONTROL)
            .or_insert(HeaderValue::from_static("no-store"));
        headers
            .entry(X_CONTENT_TYPE_OPTIONS)
            .or_insert(HeaderValue::from_static("nosniff"));
        headers.insert(
            CROSS_ORIGIN_RESOURCE_POLICY.clone(),
            HeaderValue::from_static("same-origin"),
        );
        // A reply that begins or ends a session has said so itself.
        let name = |cookie: &HeaderValue| {
            let name = cookie.as_bytes().split(|byte| *byte == b'=').next();
            name.map(<[u8]>::to_vec)
        };
        if let Some(cookie) = &self.cookie
            && headers
                .get_all(SET_COOKIE)
                .iter()
                .all(|set| name(set) != name(cookie))
        {
            headers.append(SET_COOKIE, cookie.clone());
        }
    }
}
