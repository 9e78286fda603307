//! What is read out of a beacon, coarsely and on purpose.
//!
//! In: the texts a consented beacon carries (user agent, client hints, page address, referrer,
//! language, viewport width) and the client's address. Out: closed sets and masked texts that may
//! be stored. Every function here is pure: no clock, no network, no state but caches and the data
//! files named in the configuration.
//!
//! Promised: no e-mail address, IP address, MAC address, UUID, long number or secret-looking token
//! leaves through a text that went through [`mask`]; no query parameter leaves that the site did
//! not name. Lost on purpose: minor versions, device models, search words, exact window sizes.
//!
//! The modules stand in the order in which a beacon needs them.

pub mod agent;
pub mod url;

pub mod referrer;

pub mod geo;
pub mod language;
pub mod screen;

pub mod data_file;
pub mod mask;

pub mod action;

pub mod step;
