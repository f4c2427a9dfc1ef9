//! Draws of the latent model, and what is rendered of them.

use std::sync::Arc;

use rand::Rng;
use rayon::prelude::*;
use tcmax_data::{Column, Modality, Result, Splits, TableDataset, identity_of};
use tcmax_ops::Seed;

use super::config::{SyntheticConfig, SyntheticModality};
use super::render::{Renderer, shape};

/// What an example was rendered from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LatentCode {
    /// The label y.
    pub label: u32,
    /// The code u_m S + n_m of each modality.
    pub codes: Vec<usize>,
}

/// Draws `count` examples of the latent model.
///
/// # Errors
/// As [`SyntheticConfig::check`].
pub fn latent_codes(config: &SyntheticConfig, count: usize, seed: Seed) -> Result<Vec<LatentCode>> {
    config.check()?;
    Ok((0..count).map(|example| draw(config, seed.index(example as u64))).collect())
}

fn draw(config: &SyntheticConfig, seed: Seed) -> LatentCode {
    let mut rng = seed.rng();
    let (classes, states) = (config.classes as u32, config.nuisance_states as u32);
    let label = rng.random_range(0..classes);
    let common = rng.random_bool(config.shared_nuisance).then(|| rng.random_range(0..states));
    let mut code_of = |modality: &SyntheticModality| {
        let shown = if rng.random_bool(modality.informativeness) { label } else { classes };
        let nuisance = rng.random_range(0..states);
        (shown * states + common.unwrap_or(nuisance)) as usize
    };
    LatentCode { label, codes: config.modalities.iter().map(&mut code_of).collect() }
}

/// What identifies an example: the latent model and the branch of the seed it was drawn from, not its
/// numbers, whose last bits depend on the machine.
fn identity(config: &SyntheticConfig, seed: Seed, example: usize) -> u64 {
    let model = SyntheticConfig { train_size: 0, val_size: 0, test_size: 0, ..config.clone() };
    let branch: u64 = seed.index(example as u64).rng().random();
    identity_of(&[b"synthetic", format!("{model:?}").as_bytes(), &branch.to_le_bytes()])
}

/// Renders the three splits of one seed, in parallel, into memory.
///
/// # Errors
/// As [`SyntheticConfig::check`].
pub fn splits(config: &SyntheticConfig, seed: u64) -> Result<Splits> {
    config.check()?;
    let root = Seed::new(seed).stream("synthetic");
    let renderer = |m: &SyntheticModality| {
        Renderer::new(m.kind, m.noise, config.classes, config.nuisance_states)
    };
    let renderers: Vec<Renderer> = config.modalities.iter().map(renderer).collect();
    let modality = |m: &SyntheticModality| Modality {
        name: m.name.clone(),
        kind: m.kind,
        shape: shape(m.kind),
    };
    let modalities: Arc<Vec<Modality>> = Arc::new(config.modalities.iter().map(modality).collect());
    let classes: Arc<Vec<String>> =
        Arc::new((0..config.classes).map(|class| format!("class {class}")).collect());
    let split = |name: &str, count: usize| -> Result<Arc<TableDataset>> {
        let seed = root.stream(name);
        let examples = latent_codes(config, count, seed.stream("latent"))?;
        let column = |(m, renderer): (usize, &Renderer)| {
            let noise = seed.stream("noise").index(m as u64);
            let render = |(e, example): (usize, &LatentCode)| {
                renderer.render(example.codes[m], noise.index(e as u64))
            };
            let items: Vec<Vec<f32>> = examples.par_iter().enumerate().map(render).collect();
            Column { items: Arc::new(items.concat()), rows: (0..count).collect(), blanks: None }
        };
        Ok(Arc::new(TableDataset {
            modalities: modalities.clone(),
            classes: classes.clone(),
            labels: examples.iter().map(|example| example.label).collect(),
            columns: renderers.iter().enumerate().map(column).collect(),
            identities: Some((0..count).map(|example| identity(config, seed, example)).collect()),
        }))
    };
    Ok(Splits {
        train: split("train", config.train_size)?,
        validation: split("validation", config.val_size)?,
        test: split("test", config.test_size)?,
    })
}
