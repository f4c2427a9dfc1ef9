//! Any bytes as CSV arrays: errors, never a panic, and whole rows.

#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    for name in ["x.csv", "x.tsv"] {
        let Ok(arrays) = tcmax_data::arrays::parse_csv(Path::new(name), data) else { continue };
        assert!(arrays.iter().all(|array| array.rows() == arrays[0].rows()));
    }
});
