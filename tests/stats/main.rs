//! Counting, against the real engine with merges stopped, so that what is not merged yet would show.

mod exports;
mod figures;
mod funnels;
mod hostile;
mod listener;
mod model;
mod months;
mod property;
mod protection;
mod queries;
mod rollups;
#[path = "../support/mod.rs"]
mod running;
mod support;
