//! The embedded engine, through the real binary, the real library and real connections.
//!
//! Each test has an engine and a directory of its own. The library is fetched if it is absent:
//! these tests are never skipped for want of it.

mod clients;
mod crash;
mod durability;
mod fetch;
mod http;
mod locked;
mod supervise;
mod support;
mod traps;
