//! Any bytes as published split lists: errors, never a panic.

#![no_main]

use std::path::Path;

use tcmax_data::Problems;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut problems = Problems::new();
    let entries = tcmax_data::split_list::parse(Path::new("x.csv"), data, &mut problems);
    assert!(entries.iter().all(|entry| !entry.id.is_empty() && entry.line >= 1));
});
