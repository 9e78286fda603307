//! brine measures how many people visit an organisation's sites and apps, only those who said yes.
//!
//! # The path of a beacon
//!
//! The modules stand in the order in which a beacon travels.
//!
//! ```text
//! listener → route → client → beacon → consent → limit → filter → enrich → pseudonym → spool → 202
//!                                                                                        └→ batch → store
//! ```
//!
//! Each step takes one type and gives the next, so that none can be skipped: bytes become a
//! [`beacon::Beacon`], a beacon with a valid consent a [`consent::Consented`], that an
//! [`enrich::step::Enriched`], that an [`event::Event`]. The sender's address and ids exist only in types before
//! [`pseudonym`]; an event has no field for them. Batches of apps and servers ([`apps`]), and other collectors' wires
//! ([`wires`]), join the path at the consent. An event with an id is known when it comes again ([`event_ids`]).
//!
//! # What a success reply promises
//!
//! 202 is sent after the event is fsynced in the [`spool`]. From there it reaches ClickHouse exactly once,
//! through crashes, kill -9, restarts and a ClickHouse outage. What 202 does not promise: that the event is
//! in ClickHouse already (see `batch.max_age_ms`), and that a disk which lies about flushes keeps it.

pub mod config;

pub mod clock;
pub mod jitter;
pub mod journal;
pub mod outcome;
pub mod secret;
pub mod shutdown;

pub mod listener;
pub mod route;

pub mod client;

pub mod beacon;

pub mod apps;

pub mod consent;

pub mod limit;

pub mod filter;

pub mod enrich;

pub mod pseudonym;

pub mod open_visits;

pub mod salts;

pub mod event;

pub mod event_ids;

pub mod spool;

pub mod batch;

pub mod store;

pub mod engine;

pub mod stats;

pub mod report;

pub mod policy;

pub mod collector;

pub mod wires;

pub mod retention;

pub mod rights;

pub mod tracker;

pub mod metrics;

pub mod access;
pub mod dashboard;

pub mod admin;

pub mod demo;

pub mod app_client;

pub mod cli;

pub mod run;
