//! Any bytes as checkpoints: errors, never a panic, and no more memory than the file is worth.
//!
//! Bytes as they come do not pass the checksum. So they are also taken for changes to the files of a
//! small run, (position, byte) after (position, byte), which are then sealed again.

#![no_main]

use std::path::Path;
use std::sync::OnceLock;

use candle_core::Device;
use libfuzzer_sys::fuzz_target;
use tcmax_datasets::{SyntheticConfig, synthetic};
use tcmax_ops::State;
use tcmax_train::checkpoint::{Progress, parse, parse_model, seal};
use tcmax_train::{
    Choice, Existing, Registry, RunLabel, RunOptions, Silent, TrainConfig, TrainingOptions, resume,
    train,
};

/// `model.safetensors` and `last.safetensors` of a run of one epoch.
fn files() -> &'static [Vec<u8>; 2] {
    static FILES: OnceLock<[Vec<u8>; 2]> = OnceLock::new();
    FILES.get_or_init(|| {
        let folder = std::env::temp_dir().join(format!("tcmax-fuzz-{}", std::process::id()));
        let clips = SyntheticConfig {
            classes: 2,
            train_size: 4,
            val_size: 2,
            test_size: 2,
            ..SyntheticConfig::default()
        };
        let splits = synthetic::splits(&clips, 0).expect("a small data set");
        let config = TrainConfig {
            data: Choice::of("synthetic", &clips).expect("options"),
            encoder: Choice::named("resnet-slim").with("width", 1),
            train: TrainingOptions { epochs: 1, batch_size: 2, workers: 0, ..Default::default() },
            ..TrainConfig::default()
        };
        let label = RunLabel::new("tcmax", 0);
        let options = RunOptions {
            devices: (&Device::Cpu).into(),
            folder: Some(&folder),
            existing: Existing::Replace,
            stop: None,
            observer: &Silent,
            label: &label, group: None };
        train(&config.check().expect("small settings"), &splits, 0, options).expect("a small run");
        let read = |name| std::fs::read(folder.join(name)).expect("a file of the run");
        let files = [read("model.safetensors"), read("last.safetensors")];
        let _ = std::fs::remove_dir_all(&folder);
        files
    })
}

fn open(bytes: &[u8]) {
    let _ = parse_model(Path::new("model.safetensors"), bytes, &Registry::default(), &Device::Cpu);
    let parsed = parse::<Progress>(Path::new("last.safetensors"), bytes, &Device::Cpu);
    let _: Option<(State, Progress)> =
        parsed.ok().filter(|(_, progress)| resume::check(progress).is_ok());
}

fuzz_target!(|data: &[u8]| {
    open(data);
    for file in files() {
        let mut bytes = file.clone();
        for change in data.chunks_exact(4) {
            // Headers are small and come first: half of the changes are made there.
            let place = u32::from_le_bytes([change[0], change[1], change[2], 0]) as usize >> 1;
            let within = if change[0] & 1 == 0 { bytes.len() } else { bytes.len().min(6_000) };
            bytes[place % within] = change[3];
        }
        seal(&mut bytes);
        open(&bytes);
    }
});
