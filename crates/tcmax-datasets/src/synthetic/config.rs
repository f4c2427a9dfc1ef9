//! The latent model.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tcmax_data::{Error, ModalityKind, Result, check_memory};
use tcmax_registry::OptionSet;

use super::render::shape;

/// The latent model and the sizes of the splits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct SyntheticConfig {
    /// Classes C, 2 to 16.
    pub classes: usize,
    /// Nuisance states S, 1 to 9.
    pub nuisance_states: usize,
    /// Probability r that all modalities show one nuisance state.
    pub shared_nuisance: f64,
    /// The modalities.
    pub modalities: Vec<SyntheticModality>,
    /// Training examples.
    pub train_size: usize,
    /// Validation examples.
    pub val_size: usize,
    /// Test examples.
    pub test_size: usize,
}

/// Examples of a split: a pair of modalities takes about 30 kB.
const LARGEST_SPLIT: usize = 200_000;
/// Entries of the largest joint table that is summed over exactly.
const LARGEST_TABLE: usize = 8_000_000;

/// One modality of the latent model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SyntheticModality {
    /// Its name.
    pub name: String,
    /// `spectrogram` (one second of sound at 8 kHz) or `image` (28 x 28 pixels).
    pub kind: ModalityKind,
    /// Probability p that it shows the class at all.
    pub informativeness: f64,
    /// Standard deviation of the rendering noise: of samples beside tones of amplitude 1, or of
    /// pixels beside strokes of brightness 1.
    pub noise: f64,
}

impl Default for SyntheticConfig {
    fn default() -> Self {
        let modality = |name: &str, kind, noise| SyntheticModality {
            name: name.to_owned(),
            kind,
            informativeness: 0.9,
            noise,
        };
        Self {
            classes: 10,
            nuisance_states: 4,
            shared_nuisance: 0.25,
            modalities: vec![
                modality("audio", ModalityKind::Spectrogram, 3.0),
                modality("visual", ModalityKind::Image, 0.1),
            ],
            train_size: 300,
            val_size: 200,
            test_size: 1_000,
        }
    }
}

impl OptionSet for SyntheticConfig {}

impl SyntheticConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// The first field out of range.
    pub fn check(&self) -> Result<()> {
        let bad = |field, problem: &str| Err(Error::option(field, problem));
        if !(2..=16).contains(&self.classes) {
            return bad("classes", "must be 2 to 16");
        }
        if !(1..=9).contains(&self.nuisance_states) {
            return bad("nuisance-states", "must be 1 to 9");
        }
        if !(0.0..=1.0).contains(&self.shared_nuisance) {
            return bad("shared-nuisance", "must be a probability, 0 to 1");
        }
        if self.modalities.is_empty() {
            return bad("modalities", "must be at least one");
        }
        let codes = (self.classes + 1) * self.nuisance_states;
        let entries = codes.checked_pow(self.modalities.len() as u32);
        if entries.and_then(|e| e.checked_mul(self.classes)).is_none_or(|e| e > LARGEST_TABLE) {
            return bad(
                "modalities",
                "too many states for an exact truth: lower classes, nuisance-states or the number \
                 of modalities",
            );
        }
        for (m, modality) in self.modalities.iter().enumerate() {
            if modality.name.is_empty()
                || self.modalities[..m].iter().any(|o| o.name == modality.name)
            {
                return bad("modalities.name", "must be there and differ");
            }
            if modality.kind == ModalityKind::Features {
                return bad("modalities.kind", "must be 'spectrogram' or 'image'");
            }
            if !(0.0..=1.0).contains(&modality.informativeness) {
                return bad("modalities.informativeness", "must be a probability, 0 to 1");
            }
            if !(modality.noise.is_finite() && modality.noise >= 0.0) {
                return bad("modalities.noise", "must be at least 0");
            }
        }
        for (field, size) in [
            ("train-size", self.train_size),
            ("val-size", self.val_size),
            ("test-size", self.test_size),
        ] {
            if !(1..=LARGEST_SPLIT).contains(&size) {
                return Err(Error::option(
                    field,
                    format!("a split has 1 to {LARGEST_SPLIT} examples"),
                ));
            }
        }
        self.check_memory()
    }

    /// All examples are rendered into memory: refuses what cannot fit.
    fn check_memory(&self) -> Result<()> {
        let numbers = |m: &SyntheticModality| shape(m.kind).iter().product::<usize>();
        let per_example: usize = self.modalities.iter().map(numbers).sum();
        let sizes = [self.train_size, self.val_size, self.test_size];
        let examples = sizes.iter().fold(0u64, |sum, &size| sum.saturating_add(size as u64));
        // While they are concatenated there are two copies of them.
        let bytes = examples.saturating_mul(per_example as u64).saturating_mul(8);
        check_memory(bytes).map_err(|problem| {
            let problem = format!("{examples} examples of {per_example} numbers {problem}");
            Error::option("train-size", problem)
        })
    }

    /// p(code_1, ..., code_M, y) with code_m = u_m S + n_m, where u_m = C means nothing to see: sizes
    /// of the variables, and the probabilities with the last variable running fastest.
    ///
    /// # Errors
    /// As [`SyntheticConfig::check`].
    pub fn joint_table(&self) -> Result<(Vec<usize>, Vec<f64>)> {
        self.check()?;
        let (classes, states) = (self.classes, self.nuisance_states);
        let codes = (classes + 1) * states;
        let mut sizes = vec![codes; self.modalities.len()];
        sizes.push(classes);
        let total: usize = sizes.iter().product();
        let probability = |entry: usize| {
            let y = entry % classes;
            let mut rest = entry / classes;
            let mut code = vec![0; self.modalities.len()];
            for digit in code.iter_mut().rev() {
                *digit = rest % codes;
                rest /= codes;
            }
            let shown =
                code.iter().zip(&self.modalities).map(|(code, modality)| match code / states {
                    shown if shown == y => modality.informativeness,
                    shown if shown == classes => 1.0 - modality.informativeness,
                    _ => 0.0,
                });
            let same = code.iter().all(|c| c % states == code[0] % states);
            let states = states as f64;
            let common = if same { self.shared_nuisance / states } else { 0.0 };
            let separate = (1.0 - self.shared_nuisance) / states.powi(code.len() as i32);
            shown.product::<f64>() * (common + separate) / classes as f64
        };
        Ok((sizes, (0..total).map(probability).collect()))
    }
}
