//! Any bytes as Parquet manifests: errors, never a panic, and a cell for every column.

#![no_main]

use std::path::Path;

use tcmax_data::manifest::Manifest;
use tcmax_data::{ColumnNames, Problems};

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut problems = Problems::new();
    let (path, names) = (Path::new("x.parquet"), ColumnNames::default());
    let read = Manifest::parse_parquet(path, data.to_vec(), names, &mut problems);
    let Ok(manifest) = read else { return };
    for row in &manifest.rows {
        assert_eq!(row.cells.len(), manifest.columns.len());
    }
});
