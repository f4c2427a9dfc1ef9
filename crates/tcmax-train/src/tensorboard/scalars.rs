//! Which numbers of a run are shown, and under which names: what is in front of the first slash groups them.

use std::collections::BTreeMap;

use crate::results::{
    EpochRecord, Evaluation, FeatureInformation, InformationBound, StepRecord, TargetScores,
};

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
    scalars.add("train/accuracy", defined(record.train_accuracy));
    scalars.add("train/learning_rate", Some(record.learning_rate));
    scalars.add("train/total_correlation", record.train_total_correlation);
    scalars.add_all("train", &record.metrics);
    if let Some(validation) = &record.validation {
        scalars.add_evaluation("validation", validation, modalities);
    }
    if let Some(information) = &record.information {
        scalars
            .add_information("information", information, modalities, &|bound| Some(bound.held_out));
        scalars.add_information("information_train", information, modalities, &|bound| bound.train);
    }
    scalars.0
}

/// The metrics of the test; `modalities` are their names.
pub(super) fn of_test(test: &Evaluation, modalities: &[String]) -> Vec<(String, f64)> {
    let mut scalars = Scalars::default();
    scalars.add_evaluation("test", test, modalities);
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

    /// Metrics of a split.
    fn add_evaluation(&mut self, split: &str, found: &Evaluation, modalities: &[String]) {
        let mut add = |name: &str, value| self.add(&format!("{split}/{name}"), value);
        add("accuracy", defined(found.accuracy));
        add("balanced_accuracy", defined(found.balanced_accuracy));
        for (name, value) in found.targets.iter().flat_map(TargetScores::all) {
            add(name, defined(value));
        }
        add("cross_entropy", found.cross_entropy);
        add("total_correlation", found.total_correlation);
        let metric = found.metric().name();
        for (name, score) in modalities.iter().zip(found.modality_scores()) {
            add(&format!("{metric}_of/{}", cleaned(name)), *score);
        }
    }

    /// Bounds on the information in the features: those on other examples than the training examples, or on these.
    fn add_information(
        &mut self,
        group: &str,
        found: &FeatureInformation,
        modalities: &[String],
        value: &dyn Fn(&InformationBound) -> Option<f64>,
    ) {
        let name = |m: usize| modalities.get(m).map_or_else(|| m.to_string(), |name| cleaned(name));
        for (m, bound) in found.label.iter().enumerate() {
            self.add(&format!("{group}/label_of/{}", name(m)), bound.as_ref().and_then(value));
        }
        self.add(&format!("{group}/label_of_all"), value(&found.joint_label));
        for pair in &found.pairs {
            let names = pair.modalities.map(name).join("-");
            self.add(&format!("{group}/shared_by/{names}"), value(&pair.shared));
            self.add(&format!("{group}/given_label/{names}"), value(&pair.given_label));
        }
        self.add(&format!("{group}/total_correlation"), value(&found.total_correlation));
    }
}

/// A metric that may be undefined.
fn defined(value: f64) -> Option<f64> {
    (!value.is_nan()).then_some(value)
}

/// A name without what TensorBoard's names do not have.
fn cleaned(name: &str) -> String {
    let kept = |c: char| c.is_alphanumeric() || ['-', '_', '.'].contains(&c);
    name.chars().map(|c| if kept(c) { c } else { '_' }).collect()
}
