//! Operations on hidden values that know of sequences.

use candle_core::{Result, Tensor};

use crate::composed::sequences::mean;
use crate::device::attention_within;
use crate::graph::hidden::{Argument, Hidden};
use crate::ops::attention;
use crate::ops::hidden::Applied;
use crate::ops::sequence_mean;
use crate::precision::{is_half, product, widened};
use crate::sequences::Sequences;

impl Hidden {
    /// Attention of queries to keys with values (N, D) within sequences, as [`attention`](crate::attention). The
    /// queries are all rows, or one of each sequence (count, D), which of causal sequences is the last.
    ///
    /// # Errors
    /// When shapes or element types do not fit, `heads` does not divide the features, or sequences differ in length
    /// elsewhere than on a CPU.
    pub fn attention([q, k, v]: [&Self; 3], heads: usize, sequences: &Sequences) -> Result<Self> {
        let inputs = [q, k, v].map(Self::values);
        if !q.is_apart() {
            let has_kernel = has_kernel(q.values());
            let attended = product(inputs, |inputs| match has_kernel {
                true => {
                    let [q, k, v] = inputs.map(Self::apart);
                    Self::attention([&q?, &k?, &v?], heads, sequences)?.tensor()
                }
                false => attention_within(inputs, heads, sequences),
            });
            return attended.map(Self::plain);
        }
        let op = Applied::new(attention::operation_within(inputs, heads, sequences)?, inputs)?;
        let arguments = [q, k, v].map(Argument::Hidden);
        Self::result(&op.values.clone(), arguments, move |grad| op.backward(grad))
    }

    /// The mean over the rows (N, D) of each sequence that are seen: (count, D), 0 where there is none.
    ///
    /// # Errors
    /// When there are not as many rows, or sequences differ in length elsewhere than on a CPU.
    pub fn mean(&self, sequences: &Sequences) -> Result<Self> {
        if !self.is_apart() {
            let values = widened(self.values())?;
            return match has_kernel(&values) {
                true => Self::apart(&values)?.mean(sequences)?.tensor().map(Self::plain),
                false => mean(&values, sequences).map(Self::plain),
            };
        }
        let (means, rows) = sequence_mean::forward(self.values(), sequences)?;
        Self::result(&means, self.alone(), move |grad| {
            Ok([Some(sequence_mean::backward(&rows, grad)?), None, None])
        })
    }

    /// The rows (R, D) of (N, D) with these numbers (R,).
    ///
    /// # Errors
    /// When there are fewer rows.
    pub fn rows(&self, numbers: &Tensor) -> Result<Self> {
        let rows = self.values().index_select(numbers, 0)?;
        if !self.is_apart() {
            return Ok(Self::plain(rows));
        }
        let (shape, numbers) = (self.values().shape().clone(), numbers.clone());
        Self::result(&rows, self.alone(), move |grad| {
            let zeros = Tensor::zeros(&shape, grad.dtype(), grad.device())?;
            Ok([Some(zeros.index_add(&numbers, grad, 0)?), None, None])
        })
    }
}

/// Whether plain values are computed with by a kernel: those of half precision, on a CPU.
fn has_kernel(values: &Tensor) -> bool {
    values.device().is_cpu() && is_half(values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mask::AttentionMask;
    use crate::training::gradcheck::gradient_error;
    use crate::training::init::Init;
    use crate::training::seed::Seed;
    use candle_core::{DType, Device, Shape, Var};

    const WIDTH: usize = 8;

    fn random(seed: u64, shape: &[usize]) -> Tensor {
        let unit = Init::Normal { mean: 0.0, std: 0.7 };
        unit.tensor(&Shape::from(shape), Seed::new(seed), DType::F64, &Device::Cpu).unwrap()
    }

    /// Sequences of 1, 4 and 3 rows, of which some are not seen, and their rows in a batch of 3 x 4.
    fn sequences(seen: bool, causal: bool) -> (Sequences, [u32; 8]) {
        let mut sequences = Sequences::new([1, 4, 3]).unwrap();
        if seen {
            let seen = Tensor::new(&[1f32, 1.0, 0.0, 1.0, 1.0, 1.0, 1.0, 0.0], &Device::Cpu);
            sequences = sequences.seeing(seen.unwrap()).unwrap();
        }
        if causal {
            sequences = sequences.causal();
        }
        (sequences, [0, 4, 5, 6, 7, 8, 9, 10])
    }

    /// Attention of the sequences above as a padded batch.
    fn padded(t: &[Tensor], seen: bool, causal: bool) -> Tensor {
        let rows = sequences(seen, causal).1;
        let rows = Tensor::new(&rows, &Device::Cpu).unwrap();
        let pad = |x: &Tensor| {
            let zeros = Tensor::zeros((12, WIDTH), x.dtype(), &Device::Cpu).unwrap();
            zeros.index_add(&rows, x, 0).unwrap().reshape((3, 4, WIDTH)).unwrap()
        };
        let mut there = [[1f32, 0.0, 0.0, 0.0], [1.0; 4], [1.0, 1.0, 1.0, 0.0]];
        if seen {
            (there[1][1], there[2][2]) = (0.0, 0.0);
        }
        let keys = Some(Tensor::new(&there, &Device::Cpu).unwrap());
        let mask = AttentionMask { keys, causal };
        let y = crate::attention(&pad(&t[0]), &pad(&t[1]), &pad(&t[2]), 2, &mask).unwrap();
        y.reshape((12, WIDTH)).unwrap().index_select(&rows, 0).unwrap()
    }

    /// The same without padding.
    fn unpadded(t: &[Tensor], seen: bool, causal: bool) -> Result<Tensor> {
        let [q, k, v] = [0, 1, 2].map(|number| Hidden::of(&t[number]));
        Hidden::attention([&q?, &k?, &v?], 2, &sequences(seen, causal).0)?.tensor()
    }

    fn largest_gap(a: &Tensor, b: &Tensor) -> f64 {
        let gap = (a - b).unwrap().abs().unwrap().max_all().unwrap();
        crate::wide::to_scalar_f64(&gap).unwrap()
    }

    #[test]
    fn attention_without_padding_is_that_of_a_padded_batch() {
        let vars = [1, 2, 3].map(|s| Var::from_tensor(&random(s, &[8, WIDTH])).unwrap());
        let tensors = vars.each_ref().map(|var| var.as_tensor().clone());
        for (seen, causal) in [(false, false), (true, false), (false, true), (true, true)] {
            let run = |y: Tensor| {
                let grads = y.sin().unwrap().sum_all().unwrap().backward().unwrap();
                let gradients = tensors.each_ref().map(|t| grads.get(t).unwrap().clone());
                std::iter::once(y).chain(gradients).collect::<Vec<_>>()
            };
            let wanted = run(padded(&tensors, seen, causal));
            for (ours, wanted) in run(unpadded(&tensors, seen, causal).unwrap()).iter().zip(&wanted)
            {
                assert!(largest_gap(ours, wanted) < 1e-12, "seen {seen}, causal {causal}");
            }
        }
    }

    #[test]
    fn one_query_of_each_sequence_gets_what_it_gets_among_all() {
        let inputs = [1, 2, 3].map(|seed| random(seed, &[8, WIDTH]));
        let last = Tensor::new(&[0u32, 4, 7], &Device::Cpu).unwrap();
        for (seen, causal) in [(false, false), (true, false), (false, true), (true, true)] {
            let sequences = sequences(seen, causal).0;
            let one = |t: &[Tensor]| -> Result<Tensor> {
                let [q, k, v] = [0, 1, 2].map(|number| Hidden::of(&t[number]));
                Hidden::attention([&q?.rows(&last)?, &k?, &v?], 2, &sequences)?.tensor()
            };
            let all = unpadded(&inputs, seen, causal).unwrap();
            let wanted = all.index_select(&last, 0).unwrap();
            assert!(largest_gap(&one(&inputs).unwrap(), &wanted) < 1e-12);
            let error = gradient_error(&inputs, |t| Ok(one(t)?.sin()?.sum_all()?));
            assert!(error.unwrap() < 1e-7, "seen {seen}, causal {causal}");
        }
    }

    #[test]
    fn means_count_what_is_seen() {
        let x = random(1, &[8, WIDTH]);
        let nothing =
            Tensor::new(&[0f32, 1.0, 0.0, 1.0, 1.0, 1.0, 1.0, 0.0], &Device::Cpu).unwrap();
        let sequences = Sequences::new([1, 4, 3]).unwrap().seeing(nothing).unwrap();
        let mean = |t: &[Tensor]| Hidden::of(&t[0])?.mean(&sequences)?.tensor();
        let got = mean(std::slice::from_ref(&x)).unwrap();
        let rows = |rows: &[u32]| {
            let rows = Tensor::new(rows, &Device::Cpu).unwrap();
            x.index_select(&rows, 0).unwrap().mean_keepdim(0).unwrap()
        };
        let zeros = Tensor::zeros((1, WIDTH), DType::F64, &Device::Cpu).unwrap();
        let wanted = Tensor::cat(&[zeros, rows(&[1, 3, 4]), rows(&[5, 6])], 0).unwrap();
        assert!(largest_gap(&got, &wanted) < 1e-12);
        let error = gradient_error(std::slice::from_ref(&x), |t| Ok(mean(t)?.sin()?.sum_all()?));
        assert!(error.unwrap() < 1e-7);
    }

    #[test]
    fn kernels_and_compositions_agree_on_sequences_of_one_length() {
        let x = random(1, &[8, WIDTH]);
        let seen = Tensor::new(&[0f32, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0], &Device::Cpu).unwrap();
        let starts = Tensor::new(&[0u32, 4], &Device::Cpu).unwrap();
        for sequences in [
            Sequences::equal(2, 4).unwrap(),
            Sequences::equal(2, 4).unwrap().seeing(seen.clone()).unwrap(),
            Sequences::equal(2, 4).unwrap().seeing(seen).unwrap().causal(),
        ] {
            let both = [Hidden::of(&x).unwrap(), Hidden::plain(x.clone())];
            let run = |x: &Hidden| {
                let all = Hidden::attention([x, x, x], 2, &sequences).unwrap();
                let one = Hidden::attention([&x.rows(&starts).unwrap(), x, x], 2, &sequences);
                let mean = x.mean(&sequences).unwrap();
                [all, one.unwrap(), mean].map(|y| y.tensor().unwrap())
            };
            let [ours, composed] = both.each_ref().map(run);
            for (ours, composed) in ours.iter().zip(&composed) {
                assert!(largest_gap(ours, composed) < 1e-12);
            }
        }
        let unequal = Sequences::new([3, 5]).unwrap();
        let x = Hidden::plain(x);
        assert!(Hidden::attention([&x, &x, &x], 2, &unequal).is_err());
        assert!(x.mean(&unequal).is_err());
    }

    #[test]
    fn shapes_that_do_not_fit_are_errors() {
        let x = Hidden::of(&random(1, &[10, WIDTH])).unwrap();
        let sequences = Sequences::equal(2, 5).unwrap();
        assert!(Hidden::attention([&x, &x, &x], 3, &sequences).is_err());
        let others = Sequences::equal(3, 5).unwrap();
        assert!(Hidden::attention([&x, &x, &x], 2, &others).is_err());
        assert!(x.mean(&others).is_err());
        assert!(x.rows(&Tensor::new(&[10u32], &Device::Cpu).unwrap()).is_err());
    }
}
