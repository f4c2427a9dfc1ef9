//! Any bytes as npy files: errors, never a panic.

#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = tcmax_data::arrays::parse_npy(Path::new("x.npy"), "x", data);
});
