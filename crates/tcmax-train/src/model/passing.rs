//! Which rows of a batch pass through an encoder.

use candle_core::{DType, Result, Tensor};
use tcmax_ops::Members;

/// Which rows of a batch pass through the encoder of one modality, and back to where they came from.
pub(super) struct Passing {
    rows: Rows,
    /// Rows of the batch.
    batch: usize,
    /// Whether the encoder normalises by the statistics of what passes.
    pub(super) train: bool,
}

enum Rows {
    /// Every one.
    All,
    /// Those that have the modality.
    Some(Vec<u32>),
    /// None.
    None,
    /// None, but others encode examples of theirs, whose statistics are exchanged: something has to pass through.
    Something,
}

impl Passing {
    /// What passes of rows that have the modality or lack it. `of_all` are the examples with the modality in the
    /// shares of all members, where statistics are theirs.
    pub(super) fn new(present: &[bool], (train, of_all): (bool, Option<usize>)) -> Self {
        let batch = present.len();
        // The statistics of a single example are no statistics.
        let has_statistics = |rows: usize| of_all.unwrap_or(rows) > 1;
        if present.iter().all(|&flag| flag) {
            let train = train && (of_all.is_none() || has_statistics(batch));
            return Self { rows: Rows::All, batch, train };
        }
        let rows = (0..).zip(present).filter(|(_, flag)| **flag).map(|(row, _)| row);
        let rows: Vec<u32> = rows.collect();
        let others = train && of_all.is_some_and(|all| all > 1);
        match (rows.is_empty(), others) {
            (true, true) => Self { rows: Rows::Something, batch, train: true },
            (true, false) => Self { rows: Rows::None, batch, train },
            (false, _) => {
                let train = train && has_statistics(rows.len());
                Self { rows: Rows::Some(rows), batch, train }
            }
        }
    }

    /// What passes, of the inputs (B, ...) of the batch; nothing where nothing does.
    pub(super) fn inputs(&self, inputs: &Tensor) -> Result<Option<Tensor>> {
        match &self.rows {
            Rows::None => Ok(None),
            Rows::Something => {
                let shape = [&[1], &inputs.dims()[1..]].concat();
                Tensor::ones(shape, inputs.dtype(), inputs.device()).map(Some)
            }
            Rows::All | Rows::Some(_) => self.rows_of(inputs).map(Some),
        }
    }

    /// The rows of numbers (B, ...) of the batch that belong to what passes.
    pub(super) fn rows_of(&self, of_batch: &Tensor) -> Result<Tensor> {
        match &self.rows {
            Rows::All => Ok(of_batch.clone()),
            Rows::Some(rows) => {
                of_batch.index_select(&Tensor::new(&rows[..], of_batch.device())?, 0)
            }
            Rows::None | Rows::Something => of_batch.narrow(0, 0, 1),
        }
    }

    /// Runs an encoder, or a stage of one.
    pub(super) fn run<T>(&self, members: &Members, encode: impl FnOnce() -> T) -> T {
        match self.rows {
            Rows::Something => members.without_counting(encode),
            Rows::All | Rows::Some(_) | Rows::None => encode(),
        }
    }

    /// Rows (B, D) of the batch, zeros where the modality is absent, from those of what passed.
    pub(super) fn back(&self, encoded: &Tensor) -> Result<Tensor> {
        let (dtype, device) = (encoded.dtype(), encoded.device());
        let behind = || {
            let zeros = Tensor::zeros((1, encoded.dim(1)?), dtype, device)?;
            Tensor::cat(&[encoded, &zeros], 0)
        };
        match &self.rows {
            Rows::All => Ok(encoded.clone()),
            Rows::None => Tensor::zeros((self.batch, encoded.dim(1)?), dtype, device),
            Rows::Something => {
                behind()?.index_select(&Tensor::ones(self.batch, DType::U32, device)?, 0)
            }
            Rows::Some(rows) => {
                // Encoded rows go back to where they came from; the row behind them is zeros.
                let mut order = vec![rows.len() as u32; self.batch];
                for (encoded, &row) in (0..).zip(rows) {
                    order[row as usize] = encoded;
                }
                behind()?.index_select(&Tensor::new(&order[..], device)?, 0)
            }
        }
    }

    /// Rows (B, D) of zeros.
    pub(super) fn nothing(&self, width: usize, like: &Tensor) -> Result<Tensor> {
        Tensor::zeros((self.batch, width), like.dtype(), like.device())
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    fn column(values: &[f32]) -> Tensor {
        Tensor::from_slice(values, (values.len(), 1), &Device::Cpu).unwrap()
    }

    #[test]
    fn rows_pass_and_come_back_to_where_they_were() {
        let inputs = column(&[1.0, 2.0, 3.0]);
        for (present, passes, back) in [
            ([true; 3], vec![1.0, 2.0, 3.0], [1.0, 2.0, 3.0]),
            ([true, false, true], vec![1.0, 3.0], [1.0, 0.0, 3.0]),
            ([false, true, false], vec![2.0], [0.0, 2.0, 0.0]),
        ] {
            let passing = Passing::new(&present, (true, None));
            let passed = passing.inputs(&inputs).unwrap().unwrap();
            assert_eq!(passed.flatten_all().unwrap().to_vec1::<f32>().unwrap(), passes);
            let found = passing.back(&passed).unwrap().flatten_all().unwrap();
            assert_eq!(found.to_vec1::<f32>().unwrap(), back);
            assert_eq!(passing.train, passes.len() > 1);
        }
        let nothing = Passing::new(&[false; 3], (true, None));
        assert!(nothing.inputs(&inputs).unwrap().is_none());
        let of_others = Passing::new(&[false; 3], (true, Some(4)));
        let passed = of_others.inputs(&inputs).unwrap().unwrap();
        assert_eq!(passed.dims(), [1, 1]);
        let found = of_others.back(&passed).unwrap().flatten_all().unwrap();
        assert_eq!(found.to_vec1::<f32>().unwrap(), [0.0; 3]);
    }
}
