//! From gradients to parameters: accumulation, clipping, the optimiser's step, the average.

use std::collections::BTreeMap;

use candle_core::Tensor;
use candle_core::backprop::GradStore;
use tcmax_losses::Reported;
use tcmax_ops::{
    AnyOptimiser, AverageOptions, GroupOptions, Params, State, WeightAverage, clip_grad_norm,
    clip_grad_norm_unread,
};

use crate::checkpoint::{under_prefix, with_prefix};
use crate::config::{CheckedConfig, EncoderTraining};
use crate::{Error, Model, Result};

/// What makes steps of gradients.
pub(super) struct Updates {
    params: Params,
    optimiser: Box<dyn AnyOptimiser>,
    average: Option<WeightAverage>,
    clip_norm: Option<f64>,
    /// Batches whose gradients make one step.
    accumulate: usize,
    /// The sums of the gradients of the batches since the last step.
    sums: BTreeMap<String, Tensor>,
    /// How many they are.
    held: usize,
    /// How often the method has updated in this batch.
    calls: usize,
    /// The norm of the gradients of the last step, where it was computed.
    norm: Option<Reported>,
    /// Whether norms are read by who wants them, and no step waits for the device.
    reads_later: bool,
}

impl Updates {
    /// Updates of a model; `usual_clip_norm` is the method's, where the settings have none.
    pub(super) fn new(
        config: &CheckedConfig,
        model: &Model,
        usual_clip_norm: Option<f64>,
    ) -> Result<Self> {
        let settings = &config.config().train;
        let spec = config.optimiser();
        let mut optimiser = spec.build(&config.config().optimiser.options, model.params())?;
        optimiser.set_groups(&groups(model))?;
        let average = settings.average.map(|decay| {
            WeightAverage::new(model.params(), AverageOptions { decay, warm_up: true })
        });
        Ok(Self {
            params: model.params().clone(),
            optimiser,
            average: average.transpose()?,
            clip_norm: settings.clip_norm.or(usual_clip_norm).filter(|&norm| norm > 0.0),
            accumulate: settings.accumulate,
            sums: BTreeMap::new(),
            held: 0,
            calls: 0,
            norm: None,
            reads_later: false,
        })
    }

    /// The learning rate and the momentum of the steps to come, and which encoders stay as they are.
    pub(super) fn set_rate(&mut self, rate: f64, momentum: Option<f64>) -> Result<()> {
        self.optimiser.set_learning_rate(rate);
        if let Some(momentum) = momentum {
            self.optimiser.set_momentum(momentum)?;
        }
        Ok(())
    }

    /// Freezes the parameters under a prefix, or lets them move again.
    pub(super) fn set_frozen(&mut self, prefix: &str, frozen: bool) -> Result<()> {
        Ok(self.optimiser.set_frozen(prefix, frozen)?)
    }

    /// Forgets what steps have left in the optimiser and in the average.
    pub(super) fn forget(&mut self) -> Result<()> {
        self.optimiser.forget();
        Ok(self.average.as_mut().map_or(Ok(()), WeightAverage::restart)?)
    }

    /// The next batch comes, of which what is only reported is read now, or later by who wants it.
    pub(super) fn begin_batch(&mut self, reads_later: bool) {
        (self.calls, self.reads_later) = (0, reads_later);
    }

    /// Takes the gradients of a batch, and makes a step if it `ends` the batches of one.
    pub(super) fn apply(&mut self, gradients: &mut GradStore, ends: bool) -> tcmax_ops::Result<()> {
        self.calls += 1;
        if self.accumulate > 1 {
            self.held += 1;
            self.add(gradients)?;
            if !ends {
                return Ok(());
            }
            self.take_means(gradients)?;
        }
        if let Some(largest) = self.clip_norm {
            self.norm = match self.reads_later {
                true => {
                    clip_grad_norm_unread(&self.params, gradients, largest)?.map(Reported::Later)
                }
                false => Some(clip_grad_norm(&self.params, gradients, largest)?.into()),
            };
        }
        self.optimiser.step(gradients)?;
        self.average.as_mut().map_or(Ok(()), WeightAverage::update)
    }

    fn add(&mut self, gradients: &GradStore) -> tcmax_ops::Result<()> {
        for (name, var) in self.params.trainable() {
            let Some(gradient) = gradients.get(var.as_tensor()) else { continue };
            let gradient = gradient.detach();
            let sum = match self.sums.remove(name) {
                Some(sum) => (sum + gradient)?,
                None => gradient,
            };
            self.sums.insert(name.to_owned(), sum);
        }
        Ok(())
    }

    /// Puts the means of the batches since the last step in the place of the gradients of the last one.
    fn take_means(&mut self, gradients: &mut GradStore) -> tcmax_ops::Result<()> {
        let mut sums = std::mem::take(&mut self.sums);
        let share = 1.0 / self.held as f64;
        self.held = 0;
        for (name, var) in self.params.trainable() {
            if let Some(sum) = sums.remove(name) {
                gradients.insert(var.as_tensor(), (sum * share)?);
            }
        }
        Ok(())
    }

    /// Refuses a method whose steps are not those of whole batches.
    pub(super) fn check_accumulation(&self, method: &str) -> Result<()> {
        if self.accumulate == 1 || self.calls <= 1 {
            return Ok(());
        }
        let problem =
            format!("must be 1 with '{method}', which makes several steps of every batch");
        Err(Error::setting("train.accumulate", problem))
    }

    /// The norm of the gradients of the last step, where gradients are clipped.
    pub(super) fn norm(&self) -> Option<&Reported> {
        self.norm.as_ref()
    }

    /// Runs `f` with the averaged weights, where there is an average.
    pub(super) fn with_average<T>(&self, f: impl FnOnce() -> Result<T>) -> Result<T> {
        match &self.average {
            Some(average) => average.swapped_in(f),
            None => f(),
        }
    }

    /// The weights to keep: the average where there is one.
    pub(super) fn weights(&self) -> Result<State> {
        Ok(match &self.average {
            Some(average) => average.weights()?,
            None => self.params.snapshot()?,
        })
    }

    /// What is needed to go on.
    pub(super) fn state(&self) -> Result<State> {
        let mut state: State = with_prefix("optimiser", &self.optimiser.state()?).collect();
        if let Some(average) = &self.average {
            state.extend(with_prefix("average", &average.state()?));
        }
        Ok(state)
    }

    /// Goes on from a saved state, of which the part that is not its own is left out.
    pub(super) fn load_state(&mut self, state: &State) -> Result<()> {
        self.optimiser.load_state(&under_prefix("optimiser", state))?;
        if let Some(average) = &mut self.average {
            average.load_state(&under_prefix("average", state))?;
        }
        Ok(())
    }
}

/// The groups of parameters that are trained otherwise than the rest.
fn groups(model: &Model) -> Vec<GroupOptions> {
    let group = |(prefix, training): (&str, &EncoderTraining)| {
        let EncoderTraining { rate_factor, weight_decay, .. } = *training;
        (training != &EncoderTraining::default()).then(|| GroupOptions {
            prefix: prefix.to_owned(),
            rate_factor: Some(rate_factor),
            weight_decay,
            frozen: None,
        })
    };
    model.encoder_training().filter_map(group).collect()
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};
    use tcmax_ops::{Init, ParamBuilder, Seed, optimisers};

    use super::*;

    /// A parameter of one number, 1, and updates of it by SGD with rate 0.1 and nothing else.
    fn updates(accumulate: usize) -> (Tensor, Updates) {
        let builder = ParamBuilder::new(Seed::new(0), DType::F64, &Device::Cpu);
        let value = builder.param("p", 1, Init::Const(1.0)).unwrap();
        let params = builder.params();
        let options = toml::toml! {
            learning-rate = 0.1
            momentum = 0.0
            weight-decay = 0.0
        };
        let optimiser = optimisers().get("sgd").unwrap().build(&options, &params).unwrap();
        let updates = Updates {
            params,
            optimiser,
            average: None,
            clip_norm: None,
            accumulate,
            sums: BTreeMap::new(),
            held: 0,
            calls: 0,
            norm: None,
            reads_later: false,
        };
        (value, updates)
    }

    fn apply(value: &Tensor, updates: &mut Updates, gradient: f64, ends: bool) -> f64 {
        let loss = (value * gradient).unwrap().sum_all().unwrap();
        updates.begin_batch(false);
        updates.apply(&mut loss.backward().unwrap(), ends).unwrap();
        value.to_vec1::<f64>().unwrap()[0]
    }

    #[test]
    fn a_step_takes_the_mean_gradient_of_its_batches() {
        let (value, mut updates) = updates(2);
        assert_eq!(apply(&value, &mut updates, 2.0, false), 1.0, "no step yet");
        let after = apply(&value, &mut updates, 4.0, true);
        assert!((after - 0.7).abs() < 1e-15, "{after}");
        // Nothing of the first step is in the next one, which an epoch may end after a single batch.
        let after = apply(&value, &mut updates, 1.0, true);
        assert!((after - 0.6).abs() < 1e-15, "{after}");
    }

    #[test]
    fn the_norm_that_is_clipped_is_that_of_the_mean() {
        let (value, mut updates) = updates(2);
        updates.clip_norm = Some(0.5);
        apply(&value, &mut updates, 2.0, false);
        let after = apply(&value, &mut updates, 4.0, true);
        assert!((after - 0.95).abs() < 1e-7, "{after}");
        assert_eq!(updates.norm().unwrap().value().unwrap(), 3.0);
    }

    #[test]
    fn methods_of_several_steps_a_batch_do_not_accumulate() {
        let (value, mut updates) = updates(2);
        apply(&value, &mut updates, 1.0, false);
        updates.check_accumulation("mla").unwrap();
        let loss = value.sum_all().unwrap();
        updates.apply(&mut loss.backward().unwrap(), false).unwrap();
        let error = updates.check_accumulation("mla").unwrap_err().to_string();
        assert!(error.starts_with("train.accumulate: must be 1 with 'mla'"), "{error}");
    }

    #[test]
    fn the_average_is_what_is_validated_and_kept() {
        let (value, mut updates) = updates(1);
        let options = AverageOptions { decay: 0.5, warm_up: false };
        updates.average = Some(WeightAverage::new(&updates.params, options).unwrap());
        assert_eq!(apply(&value, &mut updates, 4.0, true), 0.6);
        let seen = updates.with_average(|| Ok(value.to_vec1::<f64>()?[0])).unwrap();
        assert!((seen - 0.8).abs() < 1e-15, "{seen}");
        let kept = updates.weights().unwrap()["p"].to_vec1::<f64>().unwrap()[0];
        assert_eq!(kept, seen);
        assert_eq!(value.to_vec1::<f64>().unwrap(), [0.6], "and training goes on from its own");
    }
}
