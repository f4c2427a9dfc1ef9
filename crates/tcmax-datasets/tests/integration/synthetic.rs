//! Generated clips follow their stated model.

use candle_core::Device;
use tcmax_data::{Loader, LoaderOptions, ModalityKind};
use tcmax_datasets::{SyntheticConfig, SyntheticModality, synthetic};
use tcmax_ops::Seed;

#[test]
fn examples_have_the_frequencies_of_the_joint_table() {
    let config = SyntheticConfig {
        classes: 3,
        nuisance_states: 2,
        shared_nuisance: 0.5,
        ..SyntheticConfig::default()
    };
    let (sizes, table) = config.joint_table().unwrap();
    assert_eq!(sizes, [8, 8, 3]);
    assert!((table.iter().sum::<f64>() - 1.0).abs() < 1e-12);
    let count = 200_000;
    let mut counts = vec![0u32; table.len()];
    for example in synthetic::latent_codes(&config, count, Seed::new(1)).unwrap() {
        let entry = (example.codes[0] * 8 + example.codes[1]) * 3 + example.label as usize;
        counts[entry] += 1;
    }
    for (entry, (&seen, &p)) in counts.iter().zip(&table).enumerate() {
        let expected = p * count as f64;
        // Six standard deviations: a right generator misses once in 10^9.
        let gap = (f64::from(seen) - expected).abs();
        assert!(gap <= 6.0 * expected.sqrt() + 1e-9, "entry {entry}: {seen}, expected {expected}");
    }
}

#[test]
fn any_number_of_modalities_of_any_kind() {
    let modality = |name: &str, kind| SyntheticModality {
        name: name.to_owned(),
        kind,
        informativeness: 0.7,
        noise: 0.5,
    };
    let config = SyntheticConfig {
        classes: 4,
        nuisance_states: 2,
        modalities: vec![
            modality("left ear", ModalityKind::Spectrogram),
            modality("right ear", ModalityKind::Spectrogram),
            modality("eye", ModalityKind::Image),
        ],
        train_size: 6,
        val_size: 3,
        test_size: 2,
        ..SyntheticConfig::default()
    };
    let splits = synthetic::splits(&config, 0).unwrap();
    assert_eq!(splits.train.len() + splits.validation.len() + splits.test.len(), 11);
    let options = LoaderOptions::in_order(6);
    let read = |seed: u64| {
        let train = synthetic::splits(&config, seed).unwrap().train;
        let loader = Loader::new(train, options, &Device::Cpu).unwrap();
        let batch = loader.epoch(Seed::new(0)).next().unwrap().unwrap();
        assert_eq!(batch.inputs[1].dims(), [6, 1, 129, 51]);
        assert_eq!(batch.inputs[2].dims(), [6, 1, 28, 28]);
        batch.inputs[0].flatten_all().unwrap().to_vec1::<f32>().unwrap()
    };
    assert_eq!(read(3), read(3));
    assert_ne!(read(3), read(4));
}

#[test]
fn options_out_of_range_are_named() {
    let refused = |change: fn(&mut SyntheticConfig)| {
        let mut config = SyntheticConfig::default();
        change(&mut config);
        synthetic::splits(&config, 0).err().unwrap().to_string()
    };
    assert!(refused(|c| c.classes = 1).contains("classes"));
    assert!(refused(|c| c.shared_nuisance = 1.5).contains("shared-nuisance"));
    assert!(refused(|c| c.modalities[0].noise = f64::NAN).contains("noise"));
    assert!(refused(|c| c.modalities[1].name = "audio".into()).contains("name"));
    assert!(refused(|c| c.modalities.clear()).contains("modalities"));
    assert!(refused(|c| c.test_size = 0).contains("split"));
}

#[test]
fn sizes_beyond_memory_are_refused() {
    for size in [0, 1_000_000_000, usize::MAX] {
        for field in 0..3 {
            let mut config = SyntheticConfig::default();
            *[&mut config.train_size, &mut config.val_size, &mut config.test_size][field] = size;
            let message = config.check().unwrap_err().to_string();
            let name = ["train-size", "val-size", "test-size"][field];
            assert!(message.starts_with(name) && message.contains("1 to 200000"), "{message}");
        }
    }
}
