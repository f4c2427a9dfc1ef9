//! Batches of sequences without the padding that makes them equally long.

use candle_core::{DType, Device, Tensor};
use tcmax_ops::Sequences;

use crate::error::Result;

/// The rows of a batch (B, T, ...) that are computed, one after the other: N of them.
///
/// The first of each sequence is always among them, so that a sequence of which nothing is there has a vector
/// too; no other row sees it then. Elsewhere than on a CPU all rows are, because kernels there want sequences of
/// one length and nothing is to be read back.
#[derive(Clone, Debug)]
pub(crate) struct Packed {
    sequences: Sequences,
    /// The numbers of the rows, (N,), u32; none when all are computed.
    rows: Option<Tensor>,
    device: Device,
}

impl Packed {
    /// `count` sequences of `length` rows, all of which are there.
    pub(crate) fn full([count, length]: [usize; 2], device: &Device) -> Result<Self> {
        let sequences = Sequences::equal(count, length)?;
        Ok(Self { sequences, rows: None, device: device.clone() })
    }

    /// All rows of sequences; those where `there` (B, T) is 0 are seen by no other.
    pub(crate) fn padded(there: &Tensor) -> Result<Self> {
        let (count, length) = there.dims2()?;
        let Self { sequences, rows, device } = Self::full([count, length], there.device())?;
        Ok(Self { sequences: sequences.seeing(there.flatten_all()?)?, rows, device })
    }

    /// The rows that are `there` (B, T).
    pub(crate) fn of_there(there: &Tensor) -> Result<Self> {
        if !there.device().is_cpu() {
            return Self::padded(there);
        }
        Self::chosen(there, |_, step, there| there || step == 0)
    }

    /// The rows up to the end of each sequence, that among them: the last. Of these, `there` (B, T) are seen.
    pub(crate) fn up_to(ends: &[u32], there: &Tensor) -> Result<Self> {
        let kept = |sequence: usize, step: usize, there: bool| {
            let end = ends[sequence] as usize;
            step <= end && (there || step == 0 || step == end)
        };
        Self::chosen(there, kept)
    }

    /// The rows that `kept` chooses by the numbers of sequence and step and by whether they are there.
    fn chosen(there: &Tensor, kept: impl Fn(usize, usize, bool) -> bool) -> Result<Self> {
        let (batch, length) = there.dims2()?;
        let there = there.to_dtype(DType::F32)?.to_vec2::<f32>()?;
        let (mut rows, mut seen, mut lengths) = (Vec::new(), Vec::new(), Vec::new());
        for (sequence, there) in there.iter().enumerate() {
            let before = rows.len();
            for (step, there) in there.iter().enumerate() {
                if kept(sequence, step, *there != 0.0) {
                    rows.push((sequence * length + step) as u32);
                    seen.push(*there);
                }
            }
            lengths.push(rows.len() - before);
        }
        let mut sequences = Sequences::new(lengths)?;
        let count = rows.len();
        if seen.contains(&0.0) {
            sequences = sequences.seeing(Tensor::from_vec(seen, count, &Device::Cpu)?)?;
        }
        let all = count == batch * length;
        let rows = (!all).then(|| Tensor::from_vec(rows, count, &Device::Cpu)).transpose()?;
        Ok(Self { sequences, rows, device: Device::Cpu })
    }

    /// No row sees those after it.
    pub(crate) fn causal(self) -> Self {
        Self { sequences: self.sequences.causal(), ..self }
    }

    pub(crate) fn sequences(&self) -> &Sequences {
        &self.sequences
    }

    /// The rows (N, ...) of a batch (B, T, ...).
    pub(crate) fn of(&self, x: &Tensor) -> Result<Tensor> {
        let flat = x.flatten(0, 1)?;
        Ok(match &self.rows {
            Some(rows) => flat.index_select(rows, 0)?,
            None => flat,
        })
    }

    /// The numbers (B,) of the first row of each sequence among those that are computed.
    pub(crate) fn first_rows(&self) -> Result<Tensor> {
        self.numbers(|rows| rows.start)
    }

    /// Those of the last row of each sequence.
    pub(crate) fn last_rows(&self) -> Result<Tensor> {
        self.numbers(|rows| rows.end - 1)
    }

    fn numbers(&self, of: impl Fn(std::ops::Range<usize>) -> usize) -> Result<Tensor> {
        let numbers: Vec<u32> = self.sequences.ranges().map(|rows| of(rows) as u32).collect();
        Ok(Tensor::from_vec(numbers, self.sequences.count(), &self.device)?)
    }
}
