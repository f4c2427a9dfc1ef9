//! Any bytes as paths of manifests: what is let pass stays inside: errors, never a panic.

#![no_main]

use tcmax_data::manifest::leads_out;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(path) = std::str::from_utf8(data) else { return };
    if leads_out(path) {
        return;
    }
    let mut depth = 0i64;
    for part in path.split('/') {
        depth += match part {
            "" | "." => 0,
            ".." => -1,
            _ => 1,
        };
        assert!(depth >= 0 && !path.starts_with('/'));
    }
});
