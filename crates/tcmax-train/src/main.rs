//! The `tcmax` command line.
fn main() {}
