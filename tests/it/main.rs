//! Promises, through the real binary and the real engine.

#[path = "../support/mod.rs"]
mod support;

mod access;
mod accounting;
mod apps;
mod connections;
mod consent;
mod demo;
mod durability;
mod erasure;
mod grafana;
mod identity;
mod lifecycle;
mod openapi;
mod outage;
mod policy;
mod power_cut;
mod prometheus;
mod replies;
mod rights;
mod salts;
mod storm;
mod unlinkability;
mod wires;
