//! Steps of filter and enrichment, each alone.
fn main() {}
