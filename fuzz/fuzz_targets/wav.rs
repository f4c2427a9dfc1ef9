//! Any bytes as a sound file (WAV, FLAC, MP3, Ogg, MP4, AAC): errors, never a panic, and only samples that
//! can be worked with.

#![no_main]

use tcmax_media::decode::parse_sound;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(sound) = parse_sound(data) {
        assert!((1_000..=384_000).contains(&sound.rate) && !sound.samples.is_empty());
        assert!(sound.samples.len() <= 600 * sound.rate as usize);
        assert!(sound.samples.iter().all(|sample| sample.abs() <= 1e10));
    }
});
