//! Promises, through the real binary and the real engine.

#[path = "../support/mod.rs"]
mod support;

mod accounting;
mod consent;
mod durability;
mod identity;
mod lifecycle;
mod outage;
mod power_cut;
mod salts;
