//! `tcmax predict`.

use std::path::{Path, PathBuf};

use anyhow::Context;
use candle_core::{D, Tensor};
use candle_nn::ops::softmax;
use clap::Args;
use tcmax_data::Batch;
use tcmax_losses::{Method, Presence, matching_score};
use tcmax_ops::Seed;
use tcmax_train::checkpoint::{SavedModel, open_model, write_whole};
use tcmax_train::{Classifier, Error, Registry, evaluation_loader};

use super::eval::DataOptions;
use super::train::{device, set_threads};
use super::{print, write_out};

/// Options of `tcmax predict`.
#[derive(Args)]
#[command(
    after_help = "Columns: row; label; prediction; p(CLASS) for every class; for every modality \
                        its own prediction; and, where none is absent, `matching`, the log-density ratio \
                        log p(z_1, ..) / p(z_1) .. in nats up to a constant: low for modalities that do \
                        not belong together. The last two are empty where an example lacks a modality."
)]
pub struct Predict {
    /// A run's folder, or its model.safetensors
    model: PathBuf,
    #[command(flatten)]
    data: DataOptions,
    /// Predict as if these modalities were absent
    #[arg(long, value_delimiter = ',', value_name = "NAME,...")]
    without: Vec<String>,
    /// Write the table into this CSV file instead of printing it
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Threads; they never change results [default: all cores]
    #[arg(long)]
    threads: Option<usize>,
}

impl Predict {
    /// Predicts every example of a part of the data.
    pub fn run(self, registry: &Registry) -> anyhow::Result<()> {
        set_threads(self.threads)?;
        let device = device()?;
        let saved = open_model(&self.model, registry, &device)?;
        let predictor = Predictor::new(&saved, &self.without, &self.model)?;
        let tested = self.data.open(&saved, &self.model, &self.without)?;
        let loader = evaluation_loader(&saved.config, tested.data, &device)?;
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(predictor.header())?;
        let (mut examples, mut right) = (0, 0);
        // Nothing is drawn from this seed: the loader neither shuffles nor augments.
        for batch in loader.epoch(Seed::new(0)) {
            let batch = batch?;
            for row in predictor.rows(&batch)? {
                examples += 1;
                right += usize::from(row[1] == row[2]);
                writer.write_record(row)?;
            }
        }
        let text = writer.into_inner().context("the table")?;
        match &self.out {
            Some(path) => {
                write_whole(path, &text)?;
                let accuracy = 100.0 * right as f64 / f64::from(examples.max(1) as u32);
                print(&format!(
                    "{examples} predictions in {}; {accuracy:.2} % are right",
                    path.display()
                ))?;
            }
            None => write_out(&text)?,
        }
        Ok(())
    }
}

/// A model with some of its modalities absent.
struct Predictor<'a> {
    saved: &'a SavedModel,
    method: Box<dyn Method>,
    names: Vec<String>,
    /// Of each used modality, whether it is absent.
    absent: Vec<bool>,
}

impl<'a> Predictor<'a> {
    fn new(saved: &'a SavedModel, without: &[String], path: &Path) -> anyhow::Result<Self> {
        let names = saved.model.used_names(&saved.card.modalities);
        if let Some(unknown) = without.iter().find(|name| !names.contains(name)) {
            let problem = format!("no modality '{unknown}'; the model has {}", names.join(", "));
            return Err(Error::setting("--without", problem).into());
        }
        let absent: Vec<bool> = names.iter().map(|name| without.contains(name)).collect();
        if absent.iter().all(|&absent| absent) {
            let problem = "every modality of the model is absent; leave one";
            return Err(Error::setting("--without", problem).into());
        }
        if !without.is_empty() && saved.marginals.is_none() {
            let problem = "the run was not finished, so nothing stands in for absent modalities; go \
                           on with `tcmax train --resume`";
            return Err(Error::bad_file(path, problem).into());
        }
        Ok(Self { method: saved.model.method(&saved.config, 0)?, saved, names, absent })
    }

    fn header(&self) -> Vec<String> {
        let mut header = vec!["row".to_owned(), "label".to_owned(), "prediction".to_owned()];
        header.extend(self.saved.card.classes.iter().map(|class| format!("p({class})")));
        let there = self.names.iter().zip(&self.absent).filter(|(_, absent)| !**absent);
        header.extend(there.map(|(name, _)| format!("{name} prediction")));
        if !self.absent.contains(&true) {
            header.push("matching".to_owned());
        }
        header
    }

    fn rows(&self, batch: &Batch) -> anyhow::Result<Vec<Vec<String>>> {
        let model = &self.saved.model;
        let features = model.features(batch, false)?;
        let features: Vec<Tensor> = features.iter().map(Tensor::detach).collect();
        let given = model.presence(batch)?;
        let scores = self.scores(&features, &given)?;
        let guesses = |scores: &Tensor| scores.argmax(D::Minus1)?.to_vec1::<u32>();
        let probabilities = softmax(&scores, D::Minus1)?.to_vec2::<f32>()?;
        let own = model.head().modality_logits(&features)?;
        let own = own.iter().enumerate().filter(|(m, _)| !self.absent[*m]);
        let own = own.map(|(m, own)| Ok((m, guesses(own)?)));
        let own = own.collect::<candle_core::Result<Vec<_>>>()?;
        let matching = match self.absent.contains(&true) {
            true => None,
            false => Some(matching_score(&model.head().scores(&features)?)?.to_vec1::<f32>()?),
        };
        let class = |index: u32| self.saved.card.classes[index as usize].clone();
        let labels = batch.labels.to_vec1::<u32>()?;
        let predicted = guesses(&scores)?;
        let row = |i: usize| {
            let mut row = vec![batch.indices[i].to_string(), class(labels[i]), class(predicted[i])];
            row.extend(probabilities[i].iter().map(|p| format!("{p:.6}")));
            // An example has no prediction of a modality that it lacks, and then nothing to match.
            let has = |m: usize| given.of(m)[i];
            let own = own.iter().map(|(m, guesses)| match has(*m) {
                true => class(guesses[i]),
                false => String::new(),
            });
            row.extend(own);
            let whole = (0..self.names.len()).all(has);
            row.extend(matching.iter().map(|scores| match whole {
                true => format!("{:.4}", scores[i]),
                false => String::new(),
            }));
            row
        };
        Ok((0..labels.len()).map(row).collect())
    }

    fn scores(&self, features: &[Tensor], given: &Presence) -> anyhow::Result<Tensor> {
        let absent = (0..self.names.len()).filter(|&m| self.absent[m]);
        let present = absent.fold(given.clone(), |present, m| present.without(m));
        let classifier = Classifier {
            model: &self.saved.model,
            method: self.method.as_ref(),
            marginals: self.saved.marginals.as_ref(),
        };
        Ok(classifier.logits(features, &present)?)
    }
}
