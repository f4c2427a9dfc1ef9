//! Any text as recipes for a manifest's columns: errors, never a panic; what passes says how it is stored.

#![no_main]

use tcmax_data::shards::StoredModality;
use tcmax_media::parse_column_recipes;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(recipes) = parse_column_recipes(text) else { return };
    for (name, transform) in recipes {
        let stored = StoredModality { name, storage: transform.storage() };
        assert!(!stored.modality().is_empty());
    }
});
