//! Predictions of a saved model, batch by batch, with or without all of its modalities.

use std::path::Path;

use candle_core::{D, Tensor};
use candle_nn::ops::{sigmoid, softmax};
use tcmax_data::{Batch, Dataset};
use tcmax_losses::{Method, Presence, matching_score};
use tcmax_ops::only_reading;

use crate::checkpoint::SavedModel;
use crate::encoded::Classifier;
use crate::{Error, Result, Task};

/// What a model says of one example. Classes are indices into the model's.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// What the example is called ([`Dataset::id`]).
    pub id: String,
    /// Its class, of data with classes.
    pub label: Option<usize>,
    /// The class of highest probability; of other tasks than classes 0.
    pub class: usize,
    /// The probability of each class, or of each label; of regression the predicted numbers.
    pub values: Vec<f32>,
    /// 1 or 0 for each label, or the numbers to predict, of data that have them.
    pub targets: Option<Vec<f32>>,
    /// The class that each modality of [`Predictor::modalities`] predicts by itself; `None` where the
    /// example lacks it, and for other tasks.
    pub modalities: Vec<Option<usize>>,
    /// Log-density ratio log p(z_1, ..., z_M) / prod_m p(z_m) up to a constant, nats: low for modalities
    /// that do not belong together; `None` where one is absent, and for other tasks than classes.
    pub matching: Option<f32>,
}

/// A model of which some modalities may be absent.
pub struct Predictor<'a> {
    saved: &'a SavedModel,
    method: Box<dyn Method>,
    names: Vec<String>,
    /// Of each used modality, whether it is absent.
    absent: Vec<bool>,
}

impl<'a> Predictor<'a> {
    /// A predictor that counts the modalities `without` as absent from every example; `path` is the
    /// model's, for messages.
    ///
    /// # Errors
    /// When the model has no such modality, none would be left, or its run was not finished and
    /// modalities are to be absent.
    pub fn new(saved: &'a SavedModel, without: &[String], path: &Path) -> Result<Self> {
        let names = saved.model.used_names(&saved.card.modalities);
        if let Some(unknown) = without.iter().find(|name| !names.contains(name)) {
            let problem = format!("no modality '{unknown}'; the model has {}", names.join(", "));
            return Err(Error::setting("without", problem));
        }
        let absent: Vec<bool> = names.iter().map(|name| without.contains(name)).collect();
        if absent.iter().all(|&absent| absent) {
            let problem = "every modality of the model is absent; leave one";
            return Err(Error::setting("without", problem));
        }
        if !without.is_empty() && saved.marginals.is_none() {
            let problem = "the run was not finished, so nothing stands in for absent modalities; go \
                           on with its training first";
            return Err(Error::bad_file(path, problem));
        }
        Ok(Self { method: saved.model.method(&saved.config, 0)?, saved, names, absent })
    }

    /// What is predicted.
    pub fn task(&self) -> Task {
        self.saved.card.task
    }

    /// Names of the model's classes, labels or numbers.
    pub fn classes(&self) -> &[String] {
        &self.saved.card.classes
    }

    /// Names of the modalities that are not absent from every example.
    pub fn modalities(&self) -> Vec<&str> {
        let there = self.names.iter().zip(&self.absent).filter(|(_, absent)| !**absent);
        there.map(|(name, _)| name.as_str()).collect()
    }

    /// Whether no modality is absent from every example.
    pub fn is_whole(&self) -> bool {
        !self.absent.contains(&true)
    }

    /// A prediction for each example of a batch of `data`, which has the model's modalities.
    ///
    /// # Errors
    /// When the batch does not fit the model.
    pub fn predict(&self, data: &dyn Dataset, batch: &Batch) -> Result<Vec<Prediction>> {
        let model = &self.saved.model;
        let given = model.presence(batch)?;
        let absent = (0..self.names.len()).filter(|&m| self.absent[m]);
        let present = absent.fold(given.clone(), |present, m| present.without(m));
        let features = only_reading(|| model.features_of(batch, &present, false))?;
        let features: Vec<Tensor> = features.iter().map(Tensor::detach).collect();
        let scores = self.scores(&features, &present)?;
        if self.task() != Task::Classes {
            return self.predict_targets(data, batch, &scores);
        }
        let probabilities = softmax(&scores, D::Minus1)?.to_vec2::<f32>()?;
        let classes = guesses(&scores)?;
        let own = only_reading(|| model.head().modality_logits(&features))?;
        let own = own.iter().enumerate().filter(|(m, _)| !self.absent[*m]);
        let own = own.map(|(m, own)| Ok((m, guesses(own)?))).collect::<Result<Vec<_>>>()?;
        let matching = match self.is_whole() {
            true => Some(matching_score(&model.head().scores(&features)?)?.to_vec1::<f32>()?),
            false => None,
        };
        let of = |(i, (class, values)): (usize, (usize, Vec<f32>))| {
            let index = batch.indices[i];
            // An example has no prediction of a modality that it lacks, and then nothing to match.
            let has = |m: usize| given.of(m)[i];
            let whole = (0..self.names.len()).all(has);
            Prediction {
                id: data.id(index),
                label: data.is_labelled().then(|| data.label(index) as usize),
                class,
                values,
                targets: None,
                modalities: own.iter().map(|(m, own)| has(*m).then(|| own[i])).collect(),
                matching: matching.as_ref().filter(|_| whole).map(|scores| scores[i]),
            }
        };
        Ok(classes.into_iter().zip(probabilities).enumerate().map(of).collect())
    }

    /// Predictions of labels, whose probabilities are sigmoids, or of numbers.
    fn predict_targets(
        &self,
        data: &dyn Dataset,
        batch: &Batch,
        outputs: &Tensor,
    ) -> Result<Vec<Prediction>> {
        let values = match self.task() {
            Task::Regression => outputs.clone(),
            Task::Classes | Task::Labels => sigmoid(outputs)?,
        };
        let of = |(&index, values): (&usize, Vec<f32>)| {
            let targets = data.is_labelled().then(|| {
                let mut targets = vec![0f32; values.len()];
                data.target(index, &mut targets);
                targets
            });
            let id = data.id(index);
            let (label, class, modalities, matching) = (None, 0, Vec::new(), None);
            Prediction { id, label, class, values, targets, modalities, matching }
        };
        Ok(batch.indices.iter().zip(values.to_vec2::<f32>()?).map(of).collect())
    }

    fn scores(&self, features: &[Tensor], present: &Presence) -> Result<Tensor> {
        let classifier = Classifier {
            model: &self.saved.model,
            method: self.method.as_ref(),
            marginals: self.saved.marginals.as_ref(),
        };
        classifier.logits(features, present)
    }
}

/// The class of highest score in each row.
fn guesses(scores: &Tensor) -> Result<Vec<usize>> {
    let classes = scores.argmax(D::Minus1)?.to_vec1::<u32>()?;
    Ok(classes.into_iter().map(|class| class as usize).collect())
}
