//! Predictions as lines of JSON.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use tcmax_train::{Prediction, Predictor, Task};

use super::columns::labels;

/// A line of JSON.
pub(super) struct Line<'a> {
    pub(super) prediction: &'a Prediction,
    pub(super) predictor: &'a Predictor<'a>,
}

impl Serialize for Line<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut line = serializer.serialize_map(None)?;
        line.serialize_entry("id", &self.prediction.id)?;
        match self.predictor.task() {
            Task::Classes => self.classes(&mut line)?,
            Task::Labels => self.labels(&mut line)?,
            Task::Regression => self.numbers(&mut line)?,
        }
        line.end()
    }
}

impl Line<'_> {
    fn classes<M: SerializeMap>(&self, line: &mut M) -> Result<(), M::Error> {
        let Self { prediction, predictor } = self;
        let classes = predictor.classes();
        let class = |index: usize| classes[index].as_str();
        if let Some(label) = prediction.label {
            line.serialize_entry("label", class(label))?;
        }
        line.serialize_entry("prediction", class(prediction.class))?;
        line.serialize_entry("probabilities", &self.named(&prediction.values))?;
        let own = prediction.modalities.iter().map(|own| own.map(class));
        let modalities = predictor.modalities().into_iter().zip(own);
        line.serialize_entry("modalities", &Entries(modalities))?;
        line.serialize_entry("matching", &prediction.matching)
    }

    fn labels<M: SerializeMap>(&self, line: &mut M) -> Result<(), M::Error> {
        let Self { prediction, predictor } = self;
        if let Some(targets) = &prediction.targets {
            line.serialize_entry("label", &labels(predictor, targets))?;
        }
        line.serialize_entry("prediction", &labels(predictor, &prediction.values))?;
        line.serialize_entry("probabilities", &self.named(&prediction.values))
    }

    fn numbers<M: SerializeMap>(&self, line: &mut M) -> Result<(), M::Error> {
        if let Some(targets) = &self.prediction.targets {
            line.serialize_entry("label", &self.named(targets))?;
        }
        line.serialize_entry("prediction", &self.named(&self.prediction.values))
    }

    /// Values by the names of the classes, labels or numbers.
    fn named<'v>(&'v self, values: &'v [f32]) -> impl Serialize + 'v {
        Entries(self.predictor.classes().iter().map(String::as_str).zip(values))
    }
}

/// Names and values in their order.
struct Entries<I>(I);

impl<'a, V: Serialize, I: Iterator<Item = (&'a str, V)> + Clone> Serialize for Entries<I> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.clone())
    }
}
