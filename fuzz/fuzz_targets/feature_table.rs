//! Any bytes as feature tables: errors, never a panic.

#![no_main]

use std::path::Path;

use tcmax_data::Problems;
use tcmax_data::user_data::parse_feature_table;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut problems = Problems::new();
    let _ = parse_feature_table(Path::new("x.csv"), data, &mut problems);
});
