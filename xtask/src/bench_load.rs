//! Loading beside the usual Python way: files and shards to batches, the same number of workers.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, bail};
use clap::Args;
use rand::Rng;
use tcmax_data::shards::{View, normalisation};
use tcmax_data::{
    Dataset, Loader, LoaderOptions, Modality, ModalityKind, UserData, UserDataConfig,
};
use tcmax_media::decode::{self, sound};
use tcmax_media::signal::{Spectrogram, resample, tile};
use tcmax_media::{NoProgress, PrepareOptions, manifest_plan, prepare};
use tcmax_ops::Seed;

use crate::bench_peers::{Report, median, peak_kib, say};

/// Python's side.
const LOAD_CASES: &str = include_str!("../../benches/peers/load_cases.py");
const BATCH: usize = 32;
/// Files of each kind.
const FILES: usize = 256;
const WORKERS: usize = 2;
/// Timed epochs, after one that warms the cache of files and the memory.
const EPOCHS: usize = 6;

/// A measurement of loading.
pub struct Case {
    /// Its name, the same in Python.
    pub name: &'static str,
    title: &'static str,
}

/// Everything that can be measured.
pub const CASES: &[Case] = &[
    Case { name: "load-wav", title: "WAV (2 s, 16 kHz) to 257 x 188 spectrogram" },
    Case { name: "load-jpeg", title: "JPEG (640 x 480) to augmented 224 x 224" },
    Case { name: "load-shard", title: "prepared shard to spectrogram and augmented 224 x 224" },
];

/// Our side of one measurement.
#[derive(Args)]
pub struct OwnLoad {
    case: String,
    folder: PathBuf,
    epochs: usize,
}

impl OwnLoad {
    pub fn run(&self) -> anyhow::Result<()> {
        let data: Arc<dyn Dataset> = match self.case.as_str() {
            "load-shard" => {
                let config = UserDataConfig::at(&self.folder.join("clips"));
                let config = UserDataConfig { test_fraction: 0.0, val_fraction: 0.0, ..config };
                all_training(&UserData::open(&config)?)
            }
            case => Arc::new(RawFiles::new(case, &self.folder)?),
        };
        let options =
            LoaderOptions { shuffle: true, workers: WORKERS, ..LoaderOptions::in_order(BATCH) };
        let loader = Loader::new(data, options, &candle_core::Device::Cpu)?;
        let mut times = Vec::new();
        for epoch in 0..=self.epochs {
            let start = Instant::now();
            for batch in loader.epoch(Seed::new(epoch as u64)) {
                std::hint::black_box(batch?);
            }
            times.push(start.elapsed().as_secs_f64() * 1e3);
        }
        // The first warms the cache of files.
        let times = times.split_off(1);
        say(&serde_json::to_string(&Report {
            times,
            peak_kib: peak_kib(),
            version: String::new(),
        })?);
        Ok(())
    }
}

fn all_training(data: &UserData) -> Arc<dyn Dataset> {
    data.training().clone()
}

/// Sounds or pictures, transformed when they are asked for.
struct RawFiles {
    files: Vec<PathBuf>,
    modalities: Vec<Modality>,
    classes: Vec<String>,
    spectrogram: Spectrogram,
    tables: Vec<[f32; 256]>,
}

impl RawFiles {
    fn new(case: &str, folder: &Path) -> anyhow::Result<Self> {
        let (kind, ending, shape) = match case {
            "load-wav" => (ModalityKind::Spectrogram, "wav", vec![1, 257, 188]),
            "load-jpeg" => (ModalityKind::Image, "jpg", vec![3, 224, 224]),
            other => bail!("no case '{other}'"),
        };
        Ok(Self {
            files: (0..FILES).map(|n| folder.join(format!("{n:04}.{ending}"))).collect(),
            modalities: vec![Modality { name: ending.to_owned(), kind, shape }],
            classes: vec!["one".to_owned()],
            spectrogram: Spectrogram::new(512, 353),
            tables: normalisation(&[0.485, 0.456, 0.406], &[0.229, 0.224, 0.225]),
        })
    }
}

impl Dataset for RawFiles {
    fn modalities(&self) -> &[Modality] {
        &self.modalities
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn len(&self) -> usize {
        self.files.len()
    }

    fn label(&self, _: usize) -> u32 {
        0
    }

    fn read(&self, index: usize, _: usize, seed: Seed, out: &mut [f32]) -> tcmax_data::Result<()> {
        let path = &self.files[index];
        let bad = |problem: String| tcmax_data::Error::BadFile { path: path.clone(), problem };
        if self.modalities[0].kind == ModalityKind::Image {
            let view = |[height, width]: [usize; 2]| View::random(height, width, seed);
            let wanted = |size| view(size).area(size, 224);
            let read =
                |bytes: &[u8], area, size| view(size).fill(bytes, area, &self.tables, 224, out);
            return match decode::with_part(path, wanted, read).map_err(|e| bad(e.to_string()))? {
                true => Ok(()),
                false => Err(bad("it cannot be resized".to_owned())),
            };
        }
        let sound = sound(path).map_err(|e| bad(e.to_string()))?;
        let sound = resample(&sound, 22_050).map_err(bad)?;
        let mut signal = tile(&sound, 66_150);
        signal.iter_mut().for_each(|sample| *sample = sample.clamp(-1.0, 1.0));
        self.spectrogram.transform_into(&signal, out);
        Ok(())
    }
}

/// Both sides in turn, `rounds` times; the figures as a Markdown table.
pub fn compare(cases: &[&Case], python: &Path, rounds: usize) -> anyhow::Result<String> {
    let folder = tempfile::tempdir()?;
    make_files(folder.path(), FILES)?;
    let manifest = folder.path().join("manifest.csv");
    let plan =
        manifest_plan(&manifest, None, Default::default(), &Default::default(), &NoProgress)?;
    prepare(&plan, &folder.path().join("clips"), &PrepareOptions::default(), &NoProgress)?;
    let script = folder.path().join("load_cases.py");
    std::fs::write(&script, LOAD_CASES)?;
    let mut table = String::from(
        "| case | ours, items/s | Python, items/s | ratio | range | memory, MiB: ours, Python |\n\
         |---|---|---|---|---|---|\n",
    );
    let own = std::env::current_exe()?;
    for case in cases {
        let (mut ours, mut theirs, mut peak) = (Vec::new(), Vec::new(), [0, 0]);
        for _ in 0..rounds {
            let mut command = Command::new(&own);
            command.arg("own-load").arg(case.name).arg(folder.path()).arg(EPOCHS.to_string());
            // `tcmax` keeps the pages of a batch for the next one, too.
            command.env("MIMALLOC_PURGE_DELAY", "-1");
            let report = run(command)?;
            ours.push(FILES as f64 * 1e3 / report.median());
            peak[0] = peak[0].max(report.peak_kib / 1024);
            let mut command = Command::new(python);
            command.arg(&script).arg(case.name).arg(folder.path());
            command.args([FILES, BATCH, WORKERS, EPOCHS].map(|n| n.to_string()));
            let report = run(command)?;
            theirs.push(FILES as f64 * 1e3 / report.median());
            peak[1] = peak[1].max(report.peak_kib / 1024);
        }
        let ratios: Vec<f64> = ours.iter().zip(&theirs).map(|(a, b)| a / b).collect();
        let line = format!(
            "| {} | {:.0} | {:.0} | **{:.1}** | {:.1} to {:.1} | {}, {} |",
            case.title,
            median(&ours),
            median(&theirs),
            median(&ratios),
            ratios.iter().copied().fold(f64::INFINITY, f64::min),
            ratios.iter().copied().fold(0.0, f64::max),
            peak[0],
            peak[1],
        );
        say(&line);
        table += &line;
        table.push('\n');
    }
    Ok(format!("\n{WORKERS} workers, batches of {BATCH}\n\n{table}"))
}

fn run(mut command: Command) -> anyhow::Result<Report> {
    let output = command.output().with_context(|| format!("cannot run {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(text.trim()).with_context(|| format!("{command:?} printed {text:?}"))
}

/// `count` sounds and pictures of two classes, and their manifest.
pub fn make_files(folder: &Path, count: usize) -> anyhow::Result<()> {
    let mut manifest = String::from("sound,picture,label\n");
    for n in 0..count {
        let mut rng = Seed::new(n as u64).rng();
        write_wav(&folder.join(format!("{n:04}.wav")), 32_000, 16_000, &mut rng)?;
        let mut picture = image::RgbImage::new(640, 480);
        let [a, b, c]: [f32; 3] = rng.random();
        for (x, y, pixel) in picture.enumerate_pixels_mut() {
            let wave = |f: f32| 110.0 + 90.0 * ((x as f32 * f).sin() * (y as f32 * 0.03).cos());
            let noise = f32::from(rng.random::<u8>() % 32);
            pixel.0 = [a, b, c].map(|f| (wave(0.01 + 0.05 * f) + noise) as u8);
        }
        picture.save(folder.join(format!("{n:04}.jpg")))?;
        manifest += &format!("{n:04}.wav,{n:04}.jpg,{}\n", n % 2);
    }
    std::fs::write(folder.join("manifest.csv"), manifest)?;
    Ok(())
}

/// A tone in noise.
pub fn write_wav(path: &Path, samples: usize, rate: u32, rng: &mut impl Rng) -> anyhow::Result<()> {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: rate,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(path, spec)?;
    let pitch: f32 = rng.random_range(0.02..0.5);
    for n in 0..samples {
        let noise = f32::from(rng.random::<i8>()) * 30.0;
        writer.write_sample(((n as f32 * pitch).sin() * 8_000.0 + noise) as i16)?;
    }
    writer.finalize()?;
    Ok(())
}
