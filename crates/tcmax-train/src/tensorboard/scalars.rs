//! Which numbers of a run are shown, and under which names: what is in front of the first slash groups them.

use std::collections::BTreeMap;

use crate::results::{EpochRecord, Evaluation, StepRecord};

/// The numbers of a step.
pub(super) fn of_step(record: &StepRecord) -> Vec<(String, f64)> {
    let mut scalars = Scalars::default();
    scalars.add("step/loss", Some(record.loss));
    scalars.add("step/learning_rate", Some(record.learning_rate));
    scalars.add("step/total_correlation", record.total_correlation);
    scalars.add("step/gradient_norm", record.gradient_norm);
    scalars.add_all("step", &record.metrics);
    scalars.0
}

/// The numbers of an epoch; `modalities` are their names.
pub(super) fn of_epoch(record: &EpochRecord, modalities: &[String]) -> Vec<(String, f64)> {
    let mut scalars = Scalars::default();
    scalars.add("train/epoch", Some(record.epoch as f64));
    scalars.add("train/loss", Some(record.train_loss));
    scalars.add("train/accuracy", Some(record.train_accuracy));
    scalars.add("train/learning_rate", Some(record.learning_rate));
    scalars.add("train/total_correlation", record.train_total_correlation);
    scalars.add_all("train", &record.metrics);
    if let Some(validation) = &record.validation {
        scalars.add_validation(validation, modalities);
    }
    scalars.0
}

#[derive(Default)]
struct Scalars(Vec<(String, f64)>);

impl Scalars {
    fn add(&mut self, name: &str, value: Option<f64>) {
        self.0.extend(value.map(|value| (name.to_owned(), value)));
    }

    /// Metrics of the method's own.
    fn add_all(&mut self, group: &str, metrics: &BTreeMap<String, f64>) {
        for (name, value) in metrics {
            self.add(&format!("{group}/{}", cleaned(name)), Some(*value));
        }
    }

    fn add_validation(&mut self, validation: &Evaluation, modalities: &[String]) {
        self.add("validation/accuracy", Some(validation.accuracy));
        self.add("validation/balanced_accuracy", Some(validation.balanced_accuracy));
        self.add("validation/cross_entropy", Some(validation.cross_entropy));
        self.add("validation/total_correlation", validation.total_correlation);
        for (name, accuracy) in modalities.iter().zip(&validation.modality_accuracy) {
            self.add(&format!("validation/accuracy_of/{}", cleaned(name)), *accuracy);
        }
    }
}

/// A name without what TensorBoard's names do not have.
fn cleaned(name: &str) -> String {
    let kept = |c: char| c.is_alphanumeric() || ['-', '_', '.'].contains(&c);
    name.chars().map(|c| if kept(c) { c } else { '_' }).collect()
}
