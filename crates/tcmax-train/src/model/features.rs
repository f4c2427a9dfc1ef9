//! From batches to features.

use candle_core::{DType, Tensor};
use tcmax_data::Batch;
use tcmax_losses::Presence;

use super::Model;
use crate::{Error, Result};

impl Model {
    /// Features (B, D_m) of the used modalities, from a batch with *all* modalities. Examples that lack a
    /// modality have features of zero there, and take no part in its encoder.
    ///
    /// # Errors
    /// When the inputs do not have the shapes the model was made for.
    pub fn features(&self, batch: &Batch, train: bool) -> Result<Vec<Tensor>> {
        let present = self.presence(batch)?;
        let synchronised = train && self.members.are_synchronised();
        let whole = batch.whole.as_deref().filter(|_| synchronised);
        let whole = whole.map(|whole| self.presence(whole)).transpose()?;
        let mut features = Vec::with_capacity(self.used.len());
        for (position, &m) in self.used.iter().enumerate() {
            let input = batch.inputs.get(m).ok_or_else(|| {
                Error::setting("inputs", format!("modality {m} is missing from the batch"))
            })?;
            let frozen = self.frozen[position];
            let of_all = whole.as_ref().map(|whole| whole.rows_with(position).len());
            let present = present.of(position);
            let own = self.encode_present(position, input, present, (train && !frozen, of_all))?;
            features.push(if frozen { own.detach() } else { own });
        }
        Ok(features)
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

    /// Features (B, D) of one modality, zeros where it is absent. `of_all` are the examples with the modality in the
    /// shares of all members, where statistics are theirs.
    fn encode_present(
        &self,
        position: usize,
        input: &Tensor,
        present: &[bool],
        (train, of_all): (bool, Option<usize>),
    ) -> Result<Tensor> {
        let encoder = &self.encoders[position];
        let encode = |input: &Tensor, train: bool| -> Result<Tensor> {
            if self.encoded[position] {
                return Ok(input.clone());
            }
            let features = match (&self.inputs[position], &self.channels[position]) {
                (Some(standardise), _) => encoder.encode(&standardise.apply(input)?, train)?,
                (None, Some(scale)) => encoder.encode(&scale.apply(input)?, train)?,
                (None, None) => encoder.encode(input, train)?,
            };
            // A network may hand out a view, such as of its first token.
            Ok(features.contiguous()?)
        };
        // The statistics of a single example are no statistics.
        let has_statistics = |rows: usize| of_all.unwrap_or(rows) > 1;
        if present.iter().all(|&flag| flag) {
            return encode(input, train && (of_all.is_none() || has_statistics(present.len())));
        }
        let absent = |rows: usize| {
            Tensor::zeros((rows, encoder.feature_width()), input.dtype(), input.device())
        };
        let rows: Vec<u32> =
            (0..).zip(present).filter(|(_, flag)| **flag).map(|(row, _)| row).collect();
        if rows.is_empty() && !(train && of_all.is_some_and(|all| all > 1)) {
            return Ok(absent(present.len())?);
        }
        if rows.is_empty() {
            // Others encode examples of theirs, whose statistics are exchanged: something has to pass through.
            let shape = [&[1], &input.dims()[1..]].concat();
            let something = Tensor::ones(shape, input.dtype(), input.device())?;
            let encoded = self.members.without_counting(|| encode(&something, true))?;
            let zeros = Tensor::ones(present.len(), DType::U32, input.device())?;
            return Ok(Tensor::cat(&[encoded, absent(1)?], 0)?.index_select(&zeros, 0)?);
        }
        let some = input.index_select(&Tensor::new(&rows[..], input.device())?, 0)?;
        let encoded = encode(&some, train && has_statistics(rows.len()))?;
        // Encoded rows go back to where they came from; the row behind them is zeros.
        let mut next = 0..rows.len() as u32;
        let zeros = rows.len() as u32;
        let order: Vec<u32> = present
            .iter()
            .map(|&flag| if flag { next.next().unwrap_or(zeros) } else { zeros })
            .collect();
        let all = Tensor::cat(&[encoded, absent(1)?], 0)?;
        Ok(all.index_select(&Tensor::new(&order[..], input.device())?, 0)?)
    }

    /// Features (B, D) of the used modality `position`, outside training.
    pub(crate) fn encoded(&self, batch: &Batch, position: usize) -> Result<Tensor> {
        let present = self.presence(batch)?;
        let input = &batch.inputs[self.used[position]];
        self.encode_present(position, input, present.of(position), (false, None))
    }
}
