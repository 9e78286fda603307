//! Who may look: users, sessions, API keys, shared links, and a record of who looked.
//!
//! Comes in: a request to the admin listener. Goes out: a [`gate::Viewer`], which says what may be seen, or a refusal. Nothing but
//! `/health`, `/ready` and `/metrics` is answered without one. What a viewer may not see does not exist for them:
//! they are given [`crate::config::Sites`] without it.
//!
//! Promises: nothing has a default password; of passwords, keys, links and invitations only hashes are kept (argon2id
//! of RFC 9106 for what people choose, BLAKE3 for 256 random bits); an unknown name costs what a wrong password
//! costs; nobody can lock the owner of an account out of a browser they have used before; every look leaves a row in
//! `access_log` before it is answered.
//!
//! Lost: sessions live in memory, so that a restart ends them. Commands beside brine (`brine sql`, `brine query`) read
//! ClickHouse themselves and leave no row: whoever can read the data directory can do without brine.
//!
//! Follows: OWASP's cheat sheets on authentication, sessions, password storage and CSRF; RFC 6265bis for cookies.

pub mod book;
pub mod gate;

mod head;
pub mod http;
mod invite;
pub mod live;
mod log;
mod manage;
#[cfg(feature = "oidc")]
mod oidc;
mod page;
pub mod password;
#[cfg(feature = "oidc")]
mod provider;
pub mod refusal;
pub mod session;
pub mod store;
pub mod throttle;
pub mod ticket;
mod tickets;
mod users;
pub mod viewer;
