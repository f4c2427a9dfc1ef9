//! Any bytes as manifests: errors, never a panic.

#![no_main]

use std::path::Path;

use tcmax_data::manifest::Manifest;
use tcmax_data::{ColumnNames, Problems};

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut problems = Problems::new();
    let manifest = Manifest::parse(Path::new("x.csv"), data, ColumnNames::default(), &mut problems);
    for row in &manifest.rows {
        assert_eq!(row.cells.len(), manifest.columns.len());
    }
});
