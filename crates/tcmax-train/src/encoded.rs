//! A model with the way it predicts, and splits as it encodes them.

use candle_core::Tensor;
use tcmax_data::{Batch, Loader};
use tcmax_losses::{Marginals, Method, Presence, Target};
use tcmax_ops::{Seed, only_reading};
use tcmax_registry::Task;

use crate::dealt::in_turn;
use crate::{Model, Result, Truth};

/// Tuples of a split that a head that is not additive is evaluated on.
pub const MOST_TUPLES: usize = 1 << 17;

/// A model and how it predicts.
#[derive(Clone, Copy)]
pub struct Classifier<'a> {
    /// The model.
    pub model: &'a Model,
    /// The method it was trained by, which says how it predicts.
    pub method: &'a dyn Method,
    /// What averages absent modalities out; without it they count as features of zero.
    pub marginals: Option<&'a Marginals>,
}

impl Classifier<'_> {
    /// Logits (N, C), or numbers in their units, from features z_m (N, D_m) of which some are absent.
    ///
    /// # Errors
    /// When the features do not fit the model.
    pub fn logits(&self, features: &[Tensor], present: &Presence) -> Result<Tensor> {
        let head = self.model.head();
        let outputs = only_reading(|| match (self.marginals, self.model.task()) {
            (Some(marginals), _) => marginals.predict(self.method, head, features, present),
            (None, Task::Regression) => self.method.predict_numbers(head, features),
            (None, Task::Classes | Task::Labels) => self.method.predict(head, features),
        })?;
        self.model.in_units(&outputs.detach())
    }
}

/// A whole split as a model encodes it, in evaluation mode.
#[derive(Clone, Debug)]
pub struct EncodedSplit {
    /// Features (N, D_m) of the modalities that the model uses; zeros where one is absent.
    pub features: Vec<Tensor>,
    /// What the N examples are.
    pub truth: Truth,
    /// Which of these modalities each example has.
    pub present: Presence,
    /// The features of the same examples without some of the modalities, with a flag for each one that is absent: of
    /// joined encoders, where the features of the others are then others.
    without: Vec<(Vec<bool>, Vec<Tensor>)>,
}

impl EncodedSplit {
    /// Every example of `loader`, which must neither shuffle nor drop.
    ///
    /// # Errors
    /// When the data cannot be read or do not fit the model.
    pub fn of(model: &Model, loader: &Loader) -> Result<Self> {
        let features = encoded_without(model, loader, &[])?;
        let all = loader.without_inputs()?;
        let (truth, present) = (Truth::of_batch(&all, model)?, model.presence(&all)?);
        Ok(Self { features, truth, present, without: Vec::new() })
    }

    /// As [`EncodedSplit::of`], to be evaluated without some of its modalities, too: where the encoders are joined, the
    /// examples are encoded again without them.
    ///
    /// # Errors
    /// As [`EncodedSplit::of`].
    pub fn with_absences(model: &Model, loader: &Loader) -> Result<Self> {
        let mut split = Self::of(model, loader)?;
        let modalities = split.features.len();
        if model.is_joined() && modalities < MOST_JOINED {
            for subset in 1usize..1 << modalities {
                let absent: Vec<bool> = (0..modalities).map(|m| subset >> m & 1 == 1).collect();
                let features = encoded_without(model, loader, &absent)?;
                split.without.push((absent, features));
            }
        }
        Ok(split)
    }

    /// Features (N, D_m) without the modalities whose flag is set; what stands for these is not to be looked at.
    pub(crate) fn features_without(&self, absent: &[bool]) -> &[Tensor] {
        let known = self.without.iter().find(|(flags, _)| flags == absent);
        known.map_or(&self.features, |(_, features)| features)
    }

    /// The number of examples N.
    pub(crate) fn len(&self) -> usize {
        self.truth.examples()
    }

    /// Some of the examples.
    pub(crate) fn rows(&self, rows: &[u32]) -> Result<Self> {
        if rows.len() == self.len() {
            return Ok(self.clone());
        }
        let chosen = |z: &Tensor| z.index_select(&Tensor::new(rows, z.device())?, 0);
        let features = self.features.iter().map(chosen).collect::<candle_core::Result<_>>()?;
        let flags = (0..self.present.modalities()).map(|m| {
            let flags = self.present.of(m);
            rows.iter().map(|&row| flags[row as usize]).collect()
        });
        let truth = self.truth.rows(rows)?;
        let present = Presence::new(flags.collect())?;
        Ok(Self { features, truth, present, without: Vec::new() })
    }

    /// Those of the examples that have every modality; `None` when there are fewer than `least`.
    pub(crate) fn complete(&self, least: usize) -> Result<Option<Self>> {
        let rows = self.present.complete_rows();
        (rows.len() >= least.max(1)).then(|| self.rows(&rows)).transpose()
    }
}

/// Joined modalities of which no more subsets are encoded.
const MOST_JOINED: usize = 7;

/// Features of all examples of `loader`, as if they lacked the modalities whose flag is set.
fn encoded_without(model: &Model, loader: &Loader, absent: &[bool]) -> Result<Vec<Tensor>> {
    // Nothing is drawn from this seed: evaluation neither shuffles nor augments.
    let seed = Seed::new(0).stream("evaluation");
    let (members, widths) = (model.members(), model.widths());
    in_turn(members, (loader, seed), &widths, |batch: &Batch| {
        let absent = absent.iter().enumerate().filter(|(_, absent)| **absent);
        let present = model.presence(batch)?;
        let present = absent.fold(present, |present, (m, _)| present.without(m));
        model.features_of(batch, &present, false)
    })
}
