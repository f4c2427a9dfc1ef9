//! One step on one batch, or on this member's share of it.

use candle_core::Tensor;
use candle_core::backprop::GradStore;
use tcmax_data::Batch;
use tcmax_losses::{Clock, Spread, Step, Target, Targets, Update, Way};
use tcmax_ops::{Seed, gathered, with_summed_gradient};
use tcmax_parallel::share;

use super::planned::counted;
use super::run::Run;
use super::sums::Stepped;
use crate::{Error, Result, Task, Truth};

impl Run<'_> {
    /// One step on one batch, of whose examples `only` some modalities may count.
    pub(super) fn step(
        &mut self,
        (batch, only): (&Batch, &[Option<usize>]),
        clock: Clock,
        seed: Seed,
    ) -> Result<Stepped> {
        let way = self.way();
        let whole = batch.whole.as_deref().unwrap_or(batch);
        let of_all = self.targets(whole)?;
        let seen = if way == Way::Rows { batch } else { whole };
        let own = batch.whole.as_ref().filter(|_| way == Way::Rows);
        let own = own.map(|_| self.targets(batch)).transpose()?;
        let truth = own.as_ref().unwrap_or(&of_all);
        let group = self.model.members().group();
        let own_only = match only.is_empty() {
            true => only,
            false => &only[share(only.len(), group.rank(), group.size())],
        };
        let (branches, features) = self.model.grown_features(batch)?;
        let features = counted(features, own_only)?;
        let features = self.spread(features, way)?;
        let taught = self.taught(batch, way)?;
        let weight = self.weight(batch, whole)?;
        let accumulate = self.config.config().train.accumulate;
        let ends = (clock.batch + 1).is_multiple_of(accumulate) || clock.batch + 1 == clock.batches;
        let updates = &mut self.updates;
        updates.begin_batch(self.reads_later);
        let mut update = |gradients: &mut GradStore| updates.apply(gradients, ends);
        let (head, groups) = (self.model.head(), self.model.groups());
        let only = if way == Way::Rows { own_only } else { only };
        let (features, rows, taught) = (&features[..], &seen.indices[..], taught.as_ref());
        let update = &mut update as &mut Update<'_>;
        let output = match (truth, &of_all) {
            (Truth::Classes(labels), Truth::Classes(all)) => self.method.step(&mut Step {
                head,
                features,
                branches: &branches,
                labels,
                rows,
                only,
                taught,
                groups,
                clock,
                seed,
                spread: Spread::over(group, way, all, weight),
                update,
            })?,
            (Truth::Other(labels), Truth::Other(all)) => self.method.step_on(&mut Step {
                head,
                features,
                branches: &branches,
                labels,
                rows,
                only,
                taught,
                groups,
                clock,
                seed,
                spread: Spread::over(group, way, all, weight),
                update,
            })?,
            _ => return Err(Error::setting("data.task", "the batch is of two tasks")),
        };
        self.updates.check_accumulation(self.config.method().name)?;
        Stepped::new(output, truth, of_all.examples())
    }

    /// How the members compute the loss.
    fn way(&self) -> Way {
        self.method.way(self.model.head(), self.model.task())
    }

    /// The features that the method sees, from those of this member's examples.
    fn spread(&self, own: Vec<Tensor>, way: Way) -> Result<Vec<Tensor>> {
        let group = self.model.members().group();
        if group.size() == 1 || way == Way::Rows {
            return Ok(own);
        }
        let of_all = own.iter().map(|z| {
            let all = gathered(z, group.as_ref())?;
            if way == Way::Tuples { with_summed_gradient(&all, group) } else { Ok(all) }
        });
        Ok(of_all.collect::<candle_core::Result<_>>()?)
    }

    /// The weight of this member's examples among those of all.
    fn weight(&self, own: &Batch, whole: &Batch) -> Result<f64> {
        let Some(weights) = &self.class_weights else {
            return Ok(own.indices.len() as f64 / whole.indices.len() as f64);
        };
        let sum = |batch: &Batch| -> Result<f64> {
            let labels = batch.labels.to_vec1::<u32>()?;
            Ok(labels.iter().map(|&label| weights[label as usize]).sum())
        };
        let (own, whole) = (sum(own)?, sum(whole)?);
        Ok(if whole == 0.0 { 0.0 } else { own / whole })
    }

    /// What a batch is to be predicted as: labels smoothed and weighted, numbers standardised, if they are to be.
    fn targets(&self, batch: &Batch) -> Result<Truth> {
        let labels = match Truth::of_batch(batch, &self.model)? {
            Truth::Classes(labels) => labels,
            Truth::Other(targets) if targets.task() == Task::Regression => {
                let values = self.model.standardised(targets.values())?;
                return Ok(Truth::Other(Targets::numbers(values)?));
            }
            other => return Ok(other),
        };
        let labels = labels.smoothed(self.config.config().train.label_smoothing)?;
        Ok(Truth::Classes(match &self.class_weights {
            Some(weights) => labels.weighted(weights)?,
            None => labels,
        }))
    }

    /// How many examples of the epoch the members were right of, from those that this one saw.
    pub(super) fn right_of_all(&self, seen: usize) -> Result<usize> {
        let mut right = [seen as f64];
        if self.way() == Way::Rows {
            let control = tcmax_parallel::Purpose::Control;
            self.model.members().group().sum_f64(&mut right, control)?;
        }
        Ok(right[0] as usize)
    }
}
