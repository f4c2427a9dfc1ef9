//! The real recordings and images. Skipped, loudly, where TCMAX_DATA_DIR does not name them.

use std::collections::HashSet;
use std::io::Write;
use std::path::PathBuf;
use std::sync::OnceLock;

use tcmax_data::Dataset;
use tcmax_datasets::{AvDigits, AvDigitsConfig, AvDigitsSplit};
use tcmax_ops::Seed;

/// The data, read once for all tests; `None` where they are not.
fn data() -> Option<&'static AvDigits> {
    static DATA: OnceLock<Option<AvDigits>> = OnceLock::new();
    let data = DATA.get_or_init(|| {
        let folder = PathBuf::from(std::env::var_os("TCMAX_DATA_DIR")?);
        Some(AvDigits::open(&folder).unwrap())
    });
    if data.is_none() {
        // Past the test harness's capture, so that the skip is seen.
        let note = "SKIPPED: av-digits tests need TCMAX_DATA_DIR to name the folder of its files\n";
        std::io::stderr().write_all(note.as_bytes()).unwrap();
    }
    data.as_ref()
}

fn read(data: &dyn Dataset, index: usize, modality: usize) -> Vec<f32> {
    let mut out = vec![0.0; data.modalities()[modality].len()];
    data.read(index, modality, Seed::new(0), &mut out).unwrap();
    out
}

/// A fingerprint of every input of a modality.
fn fingerprints(data: &dyn Dataset, modality: usize) -> Vec<Vec<u32>> {
    let bits = |index| read(data, index, modality).iter().map(|value| value.to_bits()).collect();
    (0..data.len()).map(bits).collect()
}

const SMALL: AvDigitsConfig = AvDigitsConfig {
    train_size: Some(300),
    val_size: 200,
    split: AvDigitsSplit::Standard,
    occlusion: None,
    talker_snr_db: None,
};

#[test]
fn the_standard_split_has_the_stated_sizes_and_uses_no_image_twice() {
    let Some(data) = data() else { return };
    let splits = data.splits(&SMALL, 0).unwrap();
    assert_eq!([splits.train.len(), splits.validation.len(), splits.test.len()], [300, 200, 1500]);
    let mut images = Vec::new();
    for split in [&splits.train, &splits.validation, &splits.test] {
        let mut per_class = [0; 10];
        (0..split.len()).for_each(|index| per_class[split.label(index) as usize] += 1);
        assert_eq!(per_class, [split.len() / 10; 10], "balanced");
        images.extend(fingerprints(split.as_ref(), 1));
    }
    let distinct: HashSet<_> = images.iter().collect();
    assert_eq!(distinct.len(), 2_000);
    let all = data.splits(&AvDigitsConfig { train_size: None, ..SMALL }, 0).unwrap();
    assert_eq!(all.train.len(), 2_500);
}

#[test]
fn draws_come_from_the_seed_alone() {
    let Some(data) = data() else { return };
    let test = |seed| fingerprints(data.splits(&SMALL, seed).unwrap().test.as_ref(), 1);
    assert_eq!(test(3), test(3));
    assert_ne!(test(3), test(4));
    // The test pairs do not depend on how much is trained on.
    let fewer = AvDigitsConfig { train_size: Some(50), ..SMALL };
    assert_eq!(test(3), fingerprints(data.splits(&fewer, 3).unwrap().test.as_ref(), 1));
}

#[test]
fn the_speaker_split_holds_out_two_speakers() {
    let Some(data) = data() else { return };
    let config = AvDigitsConfig { split: AvDigitsSplit::Speaker, ..SMALL };
    let mut tested = Vec::new();
    for seed in 0..3 {
        let splits = data.splits(&config, seed).unwrap();
        assert_eq!(splits.test.len(), 5_000);
        let test: HashSet<_> = fingerprints(splits.test.as_ref(), 0).into_iter().collect();
        let train: HashSet<_> = fingerprints(splits.train.as_ref(), 0).into_iter().collect();
        assert!(train.is_disjoint(&test));
        tested.push(test);
    }
    let all: HashSet<_> = tested.iter().flatten().collect();
    let sum: usize = tested.iter().map(HashSet::len).sum();
    assert_eq!(all.len(), sum, "three seeds test six different speakers");
}

#[test]
fn occlusion_blanks_a_square_and_a_second_talker_changes_the_sound() {
    let Some(data) = data() else { return };
    let plain = data.splits(&SMALL, 0).unwrap().train;
    let config = AvDigitsConfig { occlusion: Some(28), talker_snr_db: Some(60.0), ..SMALL };
    let changed = data.splits(&config, 0).unwrap().train;
    assert!(read(changed.as_ref(), 5, 1).iter().all(|&pixel| pixel == 0.0));
    assert!(read(plain.as_ref(), 5, 1).iter().any(|&pixel| pixel > 0.5));
    let difference = |a: &[f32], b: &[f32]| {
        a.iter().zip(b).map(|(a, b)| f64::from((a - b).abs())).sum::<f64>() / a.len() as f64
    };
    let quiet = difference(&read(plain.as_ref(), 5, 0), &read(changed.as_ref(), 5, 0));
    let loud = AvDigitsConfig { talker_snr_db: Some(0.0), ..SMALL };
    let loud = data.splits(&loud, 0).unwrap().train;
    let loud = difference(&read(plain.as_ref(), 5, 0), &read(loud.as_ref(), 5, 0));
    assert!(quiet > 0.0 && quiet < loud / 2.0, "60 dB: {quiet}, 0 dB: {loud}");
}

#[test]
fn too_many_training_examples_are_refused_with_the_largest_number() {
    let Some(data) = data() else { return };
    let config = AvDigitsConfig { train_size: Some(2_600), ..SMALL };
    let error = data.splits(&config, 0).err().unwrap().to_string();
    assert!(error.starts_with("train-size:") && error.contains("2700"), "{error}");
}
