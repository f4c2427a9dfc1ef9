//! The teacher: a frozen copy of the model that says what it makes of every batch.

use candle_core::Tensor;
use tcmax_data::Batch;
use tcmax_losses::{Taught, Way};
use tcmax_ops::{Seed, State, gathered, only_reading};

use super::run::Run;
use crate::{CheckedConfig, Model, Result};

/// A model of the same form as another, with these values.
pub(super) fn copy_of(
    model: &Model,
    config: &CheckedConfig,
    modalities: &[tcmax_data::Modality],
    values: &State,
) -> Result<Model> {
    let (outputs, members) = (model.all_outputs(), model.members().clone());
    // What it is drawn from does not matter: it gets other values.
    let seed = Seed::new(0);
    let mut copy = Model::of_members(config, modalities, outputs, seed, model.device(), members)?;
    copy.params().load(values)?;
    copy.take_encoded_from(model);
    Ok(copy)
}

impl Run<'_> {
    /// What the teacher says of the examples that the method sees.
    pub(super) fn taught(&self, batch: &Batch, way: Way) -> Result<Option<Taught>> {
        let Some(teacher) = &self.teacher else { return Ok(None) };
        let own = only_reading(|| teacher.features(batch, false))?;
        let group = self.model.members().group();
        let of_all = |z: &Tensor| match way {
            Way::Rows => Ok(z.detach()),
            Way::Gathered | Way::Tuples => gathered(&z.detach(), group.as_ref()),
        };
        let features: Vec<Tensor> = own.iter().map(of_all).collect::<candle_core::Result<_>>()?;
        let logits = only_reading(|| teacher.head().modality_logits(&features))?;
        let modality_logits = logits.iter().map(Tensor::detach).collect();
        Ok(Some(Taught { features, modality_logits }))
    }
}
