//! From batches to features.

use candle_core::{DType, Tensor};
use tcmax_data::Batch;
use tcmax_losses::Presence;
use tcmax_ops::{Branches, in_half_precision, only_reading};

use super::Model;
use super::passing::Passing;
use crate::config::Precision;
use crate::{Error, Result};

impl Model {
    /// Features (B, D_m) of the used modalities, from a batch with *all* modalities. Examples that lack a
    /// modality have features of zero there, and take no part in its encoder.
    ///
    /// # Errors
    /// When the inputs do not have the shapes the model was made for.
    pub fn features(&self, batch: &Batch, train: bool) -> Result<Vec<Tensor>> {
        self.features_of(batch, &self.presence(batch)?, train)
    }

    /// As [`Model::features`], of examples that have the modalities that `present` says, and no others.
    ///
    /// # Errors
    /// As [`Model::features`].
    pub(crate) fn features_of(
        &self,
        batch: &Batch,
        present: &Presence,
        train: bool,
    ) -> Result<Vec<Tensor>> {
        let synchronised = train && self.members.are_synchronised();
        let whole = batch.whole.as_deref().filter(|_| synchronised);
        let whole = whole.map(|whole| self.presence(whole)).transpose()?;
        let passing = |position: usize| {
            let of_all = whole.as_ref().map(|whole| whole.rows_with(position).len());
            Passing::new(present.of(position), (train && !self.frozen[position], of_all))
        };
        if let Some(fusion) = &self.fusion {
            let passing: Vec<Passing> = (0..self.used.len()).map(passing).collect();
            return self.joined_features(fusion.as_ref(), batch, (present, &passing), train);
        }
        (0..self.used.len())
            .map(|position| self.feature(batch, position, &passing(position)))
            .collect()
    }

    /// As [`Model::features`] in training, with the encoders side by side where they have nothing to do with each other:
    /// each then is a graph of its own.
    ///
    /// # Errors
    /// As [`Model::features`].
    pub(crate) fn grown_features(&self, batch: &Batch) -> Result<(Branches, Vec<Tensor>)> {
        // Members exchange statistics of batches encoder by encoder, all in the same order.
        if self.fusion.is_some() || self.members.group().size() > 1 {
            return Ok((Branches::default(), self.features(batch, true)?));
        }
        let present = self.presence(batch)?;
        Branches::grow(self.used.len(), |position| {
            let train = !self.frozen[position];
            self.feature(batch, position, &Passing::new(present.of(position), (train, None)))
        })
    }

    /// Features (B, D) of one modality, zeros where it is absent, without a gradient where its encoder stays as it is.
    fn feature(&self, batch: &Batch, position: usize, passing: &Passing) -> Result<Tensor> {
        match self.frozen[position] {
            true => Ok(only_reading(|| self.encode_passing(batch, position, passing))?.detach()),
            false => self.encode_passing(batch, position, passing),
        }
    }

    /// Which of the used modalities each example of a batch has.
    ///
    /// # Errors
    /// When the batch does not have the modalities the model was made for.
    pub fn presence(&self, batch: &Batch) -> Result<Presence> {
        let Some(present) = &batch.present else {
            return Ok(Presence::complete(self.used.len(), batch.indices.len()));
        };
        let rows = present.to_vec2::<f32>()?;
        let flags = |&m: &usize| rows.iter().map(move |row| row.get(m).is_some_and(|&p| p != 0.0));
        Ok(Presence::new(self.used.iter().map(|m| flags(m).collect()).collect())?)
    }

    /// Features (B, D) of one modality, zeros where it is absent.
    fn encode_passing(&self, batch: &Batch, position: usize, passing: &Passing) -> Result<Tensor> {
        let encoder = &self.encoders[position];
        let input = self.input(batch, position)?;
        let Some(input) = passing.inputs(input)? else {
            return Ok(passing.nothing(encoder.feature_width(), input)?);
        };
        let encoded = match self.encoded[position] {
            true => input,
            false => {
                let input = self.scaled(position, input)?;
                let encode = || encoder.encode(&input, passing.train);
                self.features_in_f32(&self.in_precision(|| passing.run(&self.members, encode))?)?
            }
        };
        Ok(passing.back(&encoded)?)
    }

    /// Runs an encoder, or a part of one, in the settings' precision.
    pub(super) fn in_precision<T>(&self, encode: impl FnOnce() -> T) -> T {
        match self.precision {
            Precision::F32 => encode(),
            Precision::Bf16 => in_half_precision(encode),
        }
    }

    /// Features as heads and losses take them, whatever the encoders' precision.
    pub(super) fn features_in_f32(&self, features: &Tensor) -> Result<Tensor> {
        // A network may hand out a view, such as of its first token.
        Ok(match self.precision {
            Precision::F32 => features.contiguous()?,
            Precision::Bf16 => features.to_dtype(DType::F32)?.contiguous()?,
        })
    }

    /// The inputs of the used modality `position`.
    pub(super) fn input<'a>(&self, batch: &'a Batch, position: usize) -> Result<&'a Tensor> {
        let m = self.used[position];
        batch.inputs.get(m).ok_or_else(|| {
            Error::setting("inputs", format!("modality {m} is missing from the batch"))
        })
    }

    /// Inputs as the encoder takes them.
    pub(super) fn scaled(&self, position: usize, input: Tensor) -> Result<Tensor> {
        match (&self.inputs[position], &self.channels[position]) {
            (Some(standardise), _) => standardise.apply(&input),
            (None, Some(scale)) => scale.apply(&input),
            (None, None) => Ok(input),
        }
    }

    /// Features (B, D) of the used modality `position`, outside training.
    pub(crate) fn encoded(&self, batch: &Batch, position: usize) -> Result<Tensor> {
        let present = self.presence(batch)?;
        let passing = Passing::new(present.of(position), (false, None));
        self.encode_passing(batch, position, &passing)
    }
}
