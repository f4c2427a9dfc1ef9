//! Settings of a training run: parsed anywhere, checked once.

use serde::{Deserialize, Serialize};
use tcmax_fusion::{HeadKind, HeadOptions};
use tcmax_losses::{MethodKind, MethodOptions};

use crate::dataset::DatasetConfig;
use crate::{Error, Result, StepDecay};

/// Everything that determines a run but its seed, as it stands in configuration files.
///
/// The defaults are the recipe of the main experiment: small ResNets, SGD with learning rate 0.05,
/// momentum 0.9, weight decay 1e-4, batches of 32, 40 epochs, rate x 0.1 after three quarters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct TrainConfig {
    /// What to train by, as `tcmax methods` lists them.
    pub method: String,
    /// Fusion head, as `tcmax methods` lists them; empty for the one the method comes with.
    pub head: String,
    /// Modalities to use, by name; empty for all.
    pub modalities: Vec<String>,
    /// The encoder of every modality.
    pub encoder: EncoderConfig,
    /// Units of each layer of the perceptron that encodes feature vectors.
    pub mlp_widths: Vec<usize>,
    /// Bring feature vectors to mean 0 and standard deviation 1 by the training split, entry by entry;
    /// batch norm alone loses features of small numbers.
    pub standardise: bool,
    /// Epochs, at least 1.
    pub epochs: usize,
    /// Examples in a batch, at least 2 (batch statistics need two).
    pub batch_size: usize,
    /// Leave out the last batch of an epoch when it is not full.
    pub drop_last: bool,
    /// Base learning rate.
    pub learning_rate: f64,
    /// Momentum of SGD, in [0, 1).
    pub momentum: f64,
    /// Weight decay, added to the gradient.
    pub weight_decay: f64,
    /// Epochs between two drops of the learning rate; absent: once, after three quarters.
    pub lr_step: Option<usize>,
    /// Factor of each drop.
    pub lr_gamma: f64,
    /// Largest norm of all gradients together; absent: no clipping.
    pub clip_norm: Option<f64>,
    /// Loader threads; they never change results.
    pub workers: usize,
    /// Options of methods; those of others than `method` are not used.
    pub method_options: MethodOptions,
    /// Options of heads.
    pub head_options: HeadOptions,
    /// The data set and its options.
    pub dataset: DatasetConfig,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            method: MethodKind::Tcmax.name().to_owned(),
            head: String::new(),
            modalities: Vec::new(),
            encoder: EncoderConfig::default(),
            mlp_widths: vec![128, 128],
            standardise: true,
            epochs: 40,
            batch_size: 32,
            drop_last: false,
            learning_rate: 0.05,
            momentum: 0.9,
            weight_decay: 1e-4,
            lr_step: None,
            lr_gamma: 0.1,
            clip_norm: None,
            workers: 1,
            method_options: MethodOptions::default(),
            head_options: HeadOptions::default(),
            dataset: DatasetConfig::default(),
        }
    }
}

/// Which network encodes each modality of pixels or spectrograms; feature vectors have a
/// perceptron ([`TrainConfig::mlp_widths`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "network")]
pub enum EncoderConfig {
    /// One basic block a stage, widths w, 2w, 4w, 8w.
    ResnetSlim {
        /// Channels of the first stage.
        width: usize,
    },
    /// ResNet-18 as in the paper.
    Resnet18,
}

impl Default for EncoderConfig {
    fn default() -> Self {
        Self::ResnetSlim { width: 8 }
    }
}

/// Settings that have been checked; only these can run.
#[derive(Clone, Debug)]
pub struct CheckedConfig {
    config: TrainConfig,
    method: MethodKind,
    head: HeadKind,
}

impl TrainConfig {
    /// Checks every setting that can be checked without the data.
    ///
    /// # Errors
    /// The first setting that is out of range, with its name on the command line.
    pub fn check(self) -> Result<CheckedConfig> {
        let method: MethodKind = self.method.parse()?;
        let head = match self.head.as_str() {
            "" => method.usual_head(),
            name => name.parse()?,
        };
        require(self.epochs >= 1, "--epochs", "must be at least 1")?;
        require(self.batch_size >= 2, "--batch-size", "must be at least 2")?;
        let positive = self.learning_rate.is_finite() && self.learning_rate > 0.0;
        require(positive, "--lr", "must be a positive number")?;
        let fraction = (0.0..1.0).contains(&self.momentum);
        require(fraction, "--momentum", "must be at least 0 and below 1")?;
        let decay = self.weight_decay.is_finite() && self.weight_decay >= 0.0;
        require(decay, "--weight-decay", "must be at least 0")?;
        require(self.lr_step != Some(0), "--lr-step", "must be at least 1 epoch")?;
        let gamma = self.lr_gamma.is_finite() && self.lr_gamma > 0.0;
        require(gamma, "--lr-gamma", "must be a positive number")?;
        let clip = self.clip_norm.is_none_or(|norm| norm.is_finite() && norm > 0.0);
        require(clip, "--clip-norm", "must be a positive number")?;
        let width = !matches!(self.encoder, EncoderConfig::ResnetSlim { width: 0 });
        require(width, "--width", "must be at least 1")?;
        let layers = !self.mlp_widths.is_empty() && !self.mlp_widths.contains(&0);
        require(layers, "--mlp-widths", "must be one width or several, each at least 1")?;
        Ok(CheckedConfig { config: self, method, head })
    }
}

fn require(holds: bool, field: &str, problem: &str) -> Result<()> {
    if holds { Ok(()) } else { Err(Error::setting(field, problem)) }
}

impl CheckedConfig {
    /// The settings.
    pub fn config(&self) -> &TrainConfig {
        &self.config
    }

    /// What to train by.
    pub fn method(&self) -> MethodKind {
        self.method
    }

    /// The fusion head.
    pub fn head(&self) -> HeadKind {
        self.head
    }

    /// The decay of the learning rate.
    pub fn decay(&self) -> StepDecay {
        let three_quarters = (self.config.epochs * 3).div_ceil(4);
        let step = self.config.lr_step.unwrap_or(three_quarters);
        StepDecay { step, gamma: self.config.lr_gamma }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(change: impl FnOnce(&mut TrainConfig)) -> String {
        let mut config = TrainConfig::default();
        change(&mut config);
        config.check().unwrap_err().to_string()
    }

    #[test]
    fn the_defaults_are_valid_and_drop_the_rate_at_epoch_30_of_40() {
        let checked = TrainConfig::default().check().unwrap();
        assert_eq!(checked.decay(), StepDecay { step: 30, gamma: 0.1 });
    }

    #[test]
    fn settings_out_of_range_are_named() {
        assert!(problem(|c| c.epochs = 0).starts_with("--epochs"));
        assert!(problem(|c| c.batch_size = 1).starts_with("--batch-size"));
        assert!(problem(|c| c.learning_rate = f64::NAN).starts_with("--lr"));
        assert!(problem(|c| c.momentum = 1.0).starts_with("--momentum"));
        assert!(problem(|c| c.clip_norm = Some(0.0)).starts_with("--clip-norm"));
        assert!(problem(|c| c.method = "magic".into()).contains("joint, unimodal, tcmax, ogm"));
        assert!(problem(|c| c.head = "magic".into()).contains("concat, sum, shared"));
    }
}
