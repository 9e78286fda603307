//! brine measures how many people visit an organisation's sites and apps, only those who said yes.
//!
//! # The path of a beacon
//!
//! The modules below stand in the order in which a beacon travels.

pub mod engine;
