//! Promises that only a browser can break: the tracker, the demo site and Plausible's public trackers,
//! in headless Chromium against the real binary. What the browser sees is asserted in `scenarios/`, what
//! was stored is asserted here, in ClickHouse.
//!
//! Needs node, chromium and `npm ci` in this folder; `tests/run` sees to all three.

#![allow(unreachable_pub)] // A test binary has no outside.

#[path = "../support/mod.rs"]
mod support;

mod access;
mod adapters;
mod banner;
mod browser;
mod consent;
mod dashboard;
mod demo;
mod device;
mod events;
mod measuring;
#[cfg(feature = "oidc")]
mod oidc;
mod plausible;
mod policy;
mod rights;
mod scripts;
mod signing;
mod vitals;
