//! The examples of a seed.

use std::sync::Arc;

use rand::Rng;
use rayon::prelude::*;
use tcmax_data::{
    ABSENT, Column, Modality, ModalityKind, Result, Splits, TableDataset, identity_of,
};
use tcmax_ops::Seed;

use super::config::RegimesConfig;
use super::plan::{CLASSES, Planned, modalities};
use super::world::{World, point};

/// Draws the three splits of one seed into memory.
///
/// # Errors
/// When an option is out of range.
pub fn splits(config: &RegimesConfig, seed: u64) -> Result<Splits> {
    let planned = modalities(config);
    config.check(planned.iter().map(|modality| modality.width).sum())?;
    let root = Seed::new(seed).stream("regimes");
    let drawn = Drawn { config, world: World::new(&planned, root), planned };
    let modality = |planned: &Planned| Modality {
        name: planned.name.clone(),
        kind: ModalityKind::Features,
        shape: vec![planned.width],
    };
    let modalities: Arc<Vec<Modality>> = Arc::new(drawn.planned.iter().map(modality).collect());
    let classes: Arc<Vec<String>> =
        Arc::new((0..CLASSES).map(|class| format!("class {class}")).collect());
    let split = |name: &str, count: usize| {
        let seed = root.stream(name);
        Arc::new(TableDataset {
            modalities: modalities.clone(),
            classes: classes.clone(),
            labels: (0..count).map(|example| class_of(example) as u32).collect(),
            columns: drawn.columns(count, seed),
            identities: Some((0..count).map(|example| drawn.identity(seed, example)).collect()),
        })
    };
    Ok(Splits {
        train: split("train", config.training_examples()),
        validation: split("validation", config.val_size),
        test: split("test", config.test_size),
    })
}

/// The classes take turns, so that all are equally frequent.
fn class_of(example: usize) -> usize {
    example % CLASSES
}

/// What examples are drawn from.
struct Drawn<'a> {
    config: &'a RegimesConfig,
    planned: Vec<Planned>,
    world: World,
}

impl Drawn<'_> {
    fn columns(&self, count: usize, seed: Seed) -> Vec<Column> {
        let lacking: Vec<Option<usize>> = (0..count).map(|n| self.lacking(seed, n)).collect();
        let column = |m: usize| {
            let items: Vec<Vec<f32>> =
                (0..count).into_par_iter().map(|example| self.input(m, seed, example)).collect();
            let row = |example: usize| match lacking[example] == Some(m) {
                true => ABSENT,
                false => example,
            };
            Column {
                items: Arc::new(items.concat()),
                rows: (0..count).map(row).collect(),
                blanks: None,
            }
        };
        (0..self.planned.len()).map(column).collect()
    }

    /// The input of modality `m` of an example.
    fn input(&self, m: usize, seed: Seed, example: usize) -> Vec<f32> {
        let branch = seed.index(example as u64);
        let common = point(&mut branch.stream("common").rng());
        let mut own = branch.index(m as u64).rng();
        self.world.show((m, &self.planned[m]), class_of(example), &common, &mut own)
    }

    /// The modality that an example lacks, drawn from a stream of its own: everything else is the same whatever the
    /// share is.
    fn lacking(&self, seed: Seed, example: usize) -> Option<usize> {
        let mut rng = seed.index(example as u64).stream("missing").rng();
        let is_lacking = rng.random_bool(self.config.missing);
        is_lacking.then(|| rng.random_range(0..self.planned.len() as u32) as usize)
    }

    /// What identifies an example: the regime and the branch of the seed it was drawn from, not its numbers, whose last
    /// bits depend on the machine.
    fn identity(&self, seed: Seed, example: usize) -> u64 {
        let RegimesConfig { regime, missing, .. } = self.config;
        let noise: Vec<f64> = self.planned.iter().map(|modality| modality.noise).collect();
        let branch: u64 = seed.index(example as u64).rng().random();
        let model = format!("{regime:?} {noise:?} {missing:?}");
        identity_of(&[b"regimes", model.as_bytes(), &branch.to_le_bytes()])
    }
}
