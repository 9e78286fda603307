//! Promises, through the real binary and the real engine.

#[path = "../support/mod.rs"]
mod support;

mod consent;
mod durability;
