//! What optimisers share: a step of every parameter that has a gradient.

use std::collections::BTreeMap;

use candle_core::Var;
use candle_core::backprop::GradStore;

use crate::error::{Error, Result};
use crate::training::optimise::groups::{GroupOptions, Groups};
use crate::training::optimise::kernel::{Parameter, apply_all};
use crate::training::optimise::rule::{Pace, Rule};
use crate::training::optimise::running::Running;
use crate::training::params::Params;

/// An optimiser of one [`Params`] with an update rule: [`Sgd`](crate::Sgd), [`Adam`](crate::Adam) or
/// [`AdamW`](crate::AdamW). On a CPU each parameter is updated in one pass over memory.
///
/// A parameter without a gradient, or a frozen one, is left alone as in PyTorch: no decay, no momentum, and
/// its steps are not counted.
#[derive(Debug)]
pub struct Optimiser<R> {
    pub(super) rule: R,
    pub(super) params: Params,
    learning_rate: f64,
    groups: Groups,
    /// Of the parameters that have made a step.
    pub(super) progress: BTreeMap<String, Progress>,
}

/// What the steps of one parameter have left.
#[derive(Debug)]
pub(super) struct Progress {
    pub(super) steps: u64,
    pub(super) running: Running,
}

impl<R: Rule> Optimiser<R> {
    /// An optimiser that has made no step.
    ///
    /// # Errors
    /// When a setting is outside its range.
    pub fn new(params: &Params, rule: impl Into<R>) -> Result<Self> {
        let rule = rule.into();
        rule.check()?;
        Ok(Self {
            learning_rate: rule.learning_rate(),
            rule,
            params: params.clone(),
            groups: Groups::default(),
            progress: BTreeMap::new(),
        })
    }

    /// The learning rate of the next step, before the factors of groups.
    pub fn learning_rate(&self) -> f64 {
        self.learning_rate
    }

    /// Sets the learning rate of the steps to come.
    pub fn set_learning_rate(&mut self, learning_rate: f64) {
        self.learning_rate = learning_rate;
    }

    /// The momentum of SGD; Adam's `beta1`.
    pub fn momentum(&self) -> f64 {
        self.rule.momentum()
    }

    /// Sets the [momentum](Self::momentum) of the steps to come, for schedules that change it.
    ///
    /// # Errors
    /// When it is outside its range; it is as before then.
    pub fn set_momentum(&mut self, momentum: f64) -> Result<()> {
        let mut rule = self.rule.clone();
        rule.set_momentum(momentum);
        rule.check()?;
        self.rule = rule;
        Ok(())
    }

    /// Sets what is special about groups of parameters, instead of all that was set before.
    ///
    /// # Errors
    /// When no parameter has a prefix, a prefix is given twice, or a setting is out of range; nothing is
    /// changed then.
    pub fn set_groups(&mut self, groups: &[GroupOptions]) -> Result<()> {
        self.groups = Groups::new(&self.params, groups)?;
        Ok(())
    }

    /// Freezes the parameters under a prefix, or lets them move again from where they were; a longer prefix
    /// with a setting of its own keeps it. The empty prefix is that of all parameters.
    ///
    /// # Errors
    /// When no parameter has the prefix.
    pub fn set_frozen(&mut self, prefix: &str, frozen: bool) -> Result<()> {
        self.groups.set_frozen(&self.params, prefix, frozen)
    }

    /// Forgets all that earlier steps have left, such as momentum; settings stay.
    pub fn forget(&mut self) {
        self.progress.clear();
    }

    /// Updates every parameter that has a gradient and is not frozen.
    ///
    /// # Errors
    /// When a gradient has another shape or element type than its parameter; then none is updated.
    pub fn step(&mut self, gradients: &GradStore) -> Result<()> {
        let mut due = BTreeMap::new();
        for (name, var) in self.params.trainable() {
            let settings = self.groups.settings(name);
            let Some(gradient) = gradients.get(var.as_tensor()) else { continue };
            if settings.frozen {
                continue;
            }
            if gradient.dims() != var.dims() || gradient.dtype() != var.dtype() {
                let (got, wanted) = (gradient.shape().clone(), var.shape().clone());
                return Err(Error::WrongShape { name: name.to_owned(), got, wanted });
            }
            due.insert(name, (var, gradient.detach(), settings));
        }
        for (name, (var, ..)) in &due {
            if !self.progress.contains_key(*name) {
                let running = Running::zeros(var, self.rule.running().len())?;
                self.progress.insert((*name).to_owned(), Progress { steps: 0, running });
            }
        }
        let mut updates = Vec::with_capacity(due.len());
        for (name, progress) in &mut self.progress {
            let Some((var, gradient, settings)) = due.remove(name.as_str()) else { continue };
            progress.steps += 1;
            let pace = Pace {
                steps: progress.steps,
                learning_rate: self.learning_rate * settings.rate_factor,
                weight_decay: settings.weight_decay.unwrap_or_else(|| decay_of(&self.rule, var)),
            };
            let kernel = self.rule.kernel(pace);
            updates.push(Parameter { kernel, var, gradient, running: &mut progress.running });
        }
        Ok(apply_all(updates)?)
    }
}

/// The weight decay of a parameter whose group has none.
fn decay_of<R: Rule>(rule: &R, var: &Var) -> f64 {
    if var.rank() > 1 || rule.vectors_decay() { rule.weight_decay() } else { 0.0 }
}
