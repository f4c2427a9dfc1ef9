//! A model with the way it predicts, and splits as it encodes them.

use candle_core::Tensor;
use tcmax_data::{Batch, Loader};
use tcmax_losses::{Marginals, Method, Presence, Target};
use tcmax_ops::Seed;
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
        let outputs = match (self.marginals, self.model.task()) {
            (Some(marginals), _) => marginals.predict(self.method, head, features, present)?,
            (None, Task::Regression) => self.method.predict_numbers(head, features)?,
            (None, Task::Classes | Task::Labels) => self.method.predict(head, features)?,
        };
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
}

impl EncodedSplit {
    /// Every example of `loader`, which must neither shuffle nor drop.
    ///
    /// # Errors
    /// When the data cannot be read or do not fit the model.
    pub fn of(model: &Model, loader: &Loader) -> Result<Self> {
        // Nothing is drawn from this seed: evaluation neither shuffles nor augments.
        let seed = Seed::new(0).stream("evaluation");
        let (members, widths) = (model.members(), model.widths());
        let encode = |batch: &Batch| model.features(batch, false);
        let features = in_turn(members, (loader, seed), &widths, encode)?;
        let all = loader.without_inputs()?;
        Ok(Self { features, truth: Truth::of_batch(&all, model)?, present: model.presence(&all)? })
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
        Ok(Self { features, truth, present: Presence::new(flags.collect())? })
    }

    /// Those of the examples that have every modality; `None` when there are fewer than `least`.
    pub(crate) fn complete(&self, least: usize) -> Result<Option<Self>> {
        let rows = self.present.complete_rows();
        (rows.len() >= least.max(1)).then(|| self.rows(&rows)).transpose()
    }
}
