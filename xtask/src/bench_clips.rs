//! `cargo xtask bench-clips`: many generated clips through `prepare` and the loader, and the memory
//! that takes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use rayon::prelude::*;
use tcmax_data::{ColumnNames, Loader, LoaderOptions, UserData, UserDataConfig};
use tcmax_media::{NoProgress, PrepareOptions, Transform, manifest_plan, prepare};
use tcmax_ops::Seed;

use crate::bench_load::write_wav;
use crate::bench_peers::{peak_kib, say};

#[derive(Args)]
pub struct BenchClips {
    /// Clips to generate
    #[arg(long, default_value_t = 50_000)]
    count: usize,
    /// Where they go; about 0.7 GB, deleted afterwards [default: a temporary folder]
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
}

impl BenchClips {
    pub fn run(&self) -> anyhow::Result<()> {
        let folder = match &self.folder {
            Some(parent) => tempfile::tempdir_in(parent)?,
            None => tempfile::tempdir()?,
        };
        let root = folder.path();
        let manifest = generate(root, self.count)?;
        say(&format!("{} clips generated; memory so far {} MiB", self.count, peak_kib() / 1024));

        let sound = Transform::Spectrogram {
            rate: 8_000,
            via: None,
            start: 0.0,
            draw: 0.0,
            seconds: 0.25,
            n_fft: 128,
            hop: 64,
        };
        let picture = Transform::Image { stored: Some(40), side: 32 };
        let recipe = BTreeMap::from([("sound".to_owned(), sound), ("picture".to_owned(), picture)]);
        let start = Instant::now();
        let plan = manifest_plan(&manifest, None, ColumnNames::default(), &recipe, &NoProgress)?;
        say(&format!("read and checked in {:.1} s", start.elapsed().as_secs_f64()));
        let (start, out) = (Instant::now(), root.join("clips"));
        let summary = prepare(&plan, &out, &PrepareOptions::default(), &NoProgress)?;
        let seconds = start.elapsed().as_secs_f64();
        say(&format!(
            "{} clips prepared in {seconds:.1} s, {:.0} a second; largest memory {} MiB",
            summary.clips,
            summary.clips as f64 / seconds,
            peak_kib() / 1024
        ));

        let data = UserData::open(&UserDataConfig::at(&out))?;
        let options = LoaderOptions { shuffle: true, workers: 2, ..LoaderOptions::in_order(32) };
        let loader = Loader::new(data.training().clone(), options, &candle_core::Device::Cpu)?;
        let (start, mut batches) = (Instant::now(), 0);
        for batch in loader.epoch(Seed::new(0)) {
            batch?;
            batches += 1;
        }
        let seconds = start.elapsed().as_secs_f64();
        say(&format!(
            "{batches} batches of 32 loaded in {seconds:.1} s, {:.0} clips a second; largest memory \
             {} MiB",
            self.count as f64 / seconds,
            peak_kib() / 1024
        ));
        Ok(())
    }
}

/// Writes `count` sounds of a quarter of a second and pictures of 48 x 48 into `folder`, and the
/// manifest that names them; returns the manifest's path.
pub fn generate(folder: &Path, count: usize) -> anyhow::Result<PathBuf> {
    (0..count).into_par_iter().try_for_each(|n| -> anyhow::Result<()> {
        let mut rng = Seed::new(n as u64).rng();
        write_wav(&folder.join(format!("{n}.wav")), 2_000, 8_000, &mut rng)?;
        let shade = [n as u8, (n >> 8) as u8, 128];
        image::RgbImage::from_pixel(48, 48, image::Rgb(shade))
            .save(folder.join(format!("{n}.png")))?;
        Ok(())
    })?;
    let rows: String = (0..count).map(|n| format!("{n}.wav,{n}.png,{}\n", n % 10)).collect();
    let manifest = folder.join("manifest.csv");
    std::fs::write(&manifest, format!("sound,picture,label\n{rows}"))?;
    Ok(manifest)
}
