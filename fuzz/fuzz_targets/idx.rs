//! Any bytes as IDX files: errors, never a panic, and no more bytes than the header promises.

#![no_main]

use std::path::Path;

use tcmax_datasets::av_digits::idx_items;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let side = usize::from(data.first().copied().unwrap_or(0) % 4) + 1;
    let rest = data.get(1..).unwrap_or_default();
    if let Ok(bytes) = idx_items(Path::new("x"), rest, 0x803, &[side, side]) {
        assert!(bytes.len() % (side * side) == 0 && bytes.len() <= rest.len());
    }
});
