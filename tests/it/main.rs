//! Promises, through the real binary and the real engine.

#[path = "../support/mod.rs"]
mod support;

mod access;
mod accounting;
mod app_client;
mod apps;
mod connections;
mod consent;
mod dashboard;
mod demo;
mod durability;
mod erasure;
mod erasure_elsewhere;
mod grafana;
mod identity;
mod lifecycle;
mod nginx;
mod openapi;
mod outage;
mod policy;
mod power_cut;
mod prometheus;
mod quarantine;
mod replies;
mod retention;
mod rights;
mod salts;
mod schema;
mod storm;
mod unlinkability;
mod wires;
mod words;
