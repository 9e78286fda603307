//! Counting, against the real engine with merges stopped, so that what is not merged yet would show.

mod model;
mod property;
mod queries;
mod support;
