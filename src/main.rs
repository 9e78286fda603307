//! brine
fn main() {}
