//! A blend of conditional and joint log-likelihood of scores that are sums of terms, in one operation.

use std::sync::{Arc, OnceLock};

use candle_core::{
    CpuStorage, CustomOp1, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor, bail,
};

use crate::cpu::blend::{Kept, gradients, values as blend};
use crate::cpu::element::Element;
use crate::cpu::storage::{check_dtype, open, values};
use crate::wide::to_scalar_f64;

const OP: &str = "blended_log_likelihood";

/// The blend, and its parts.
#[derive(Clone, Debug)]
pub struct Blended {
    /// A scalar with its graph.
    pub value: Tensor,
    /// The mean over the rows of the score at the label.
    pub own: f64,
    /// log sum over all tuples of rows, one for each term, and all columns, of exp of the sum of the terms.
    pub log_sum: f64,
}

/// Of terms g_m (N, C) with the scores f = sum_m g_m and a label of each row,
///
/// ```text
/// 1/N sum_i ( f_i[y_i] - (1 - w) logsumexp_c f_i[c] ) - w log sum over c and all (j_1, .., j_M) of exp sum_m g_m[j_m, c]
/// ```
///
/// in one pass forwards and one backwards for each term: the log-likelihood of the labels at w = 0, and up to a
/// constant the Donsker-Varadhan bound on the total correlation at w = 1. `None` where it has no kernel: for more than
/// three terms, and on other devices.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use tcmax_ops::blended_log_likelihood;
///
/// # fn main() -> candle_core::Result<()> {
/// let term = Tensor::new(&[[1f64, 1.0], [1.0, 1.0]], &Device::Cpu)?;
/// let blended = blended_log_likelihood(&[term.clone(), term], &[0, 1], 0.5)?.unwrap();
/// // Scores of 2 everywhere: the partition is 2 + log 2, the sum over 2 x 2 x 2 equal terms 2 + log 8.
/// let wanted = 2.0 - 0.5 * (2.0 + 2f64.ln()) - 0.5 * (2.0 + 8f64.ln());
/// assert!((blended.value.to_scalar::<f64>()? - wanted).abs() < 1e-12);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// When there is no term, shapes differ, or a label is none of the columns.
pub fn blended_log_likelihood(
    terms: &[Tensor],
    labels: &[u32],
    weight: f64,
) -> Result<Option<Blended>> {
    let Some(first) = terms.first() else { bail!("{OP}: there is no term") };
    let (rows, columns) = first.dims2()?;
    if terms.iter().any(|term| term.dims() != [rows, columns] || term.dtype() != first.dtype()) {
        bail!("{OP}: terms of different shapes or types");
    }
    if labels.len() != rows || labels.iter().any(|&label| label as usize >= columns) {
        bail!("{OP}: {} labels of {rows} rows and {columns} columns", labels.len());
    }
    let is_fast = terms.iter().all(|term| term.device().is_cpu()) && rows * columns > 0;
    if terms.len() > 3 || !is_fast || check_dtype(first, OP).is_err() {
        return Ok(None);
    }
    let kept = Arc::new(AnyKept::default());
    let op = Blend { labels: labels.to_vec(), weight, kept: kept.clone() };
    let terms = terms.iter().map(Tensor::contiguous).collect::<Result<Vec<_>>>()?;
    let value = match &terms[..] {
        [a] => a.apply_op1(op)?,
        [a, b] => a.apply_op2(b, op)?,
        [a, b, c] => a.apply_op3(b, c, op)?,
        _ => return Ok(None),
    };
    let Some([own, _, log_sum]) = kept.values() else { bail!("{OP}: nothing was computed") };
    Ok(Some(Blended { value, own, log_sum }))
}

/// Kept from the forward pass, of either element type.
#[derive(Default)]
struct AnyKept {
    single: OnceLock<Kept<f32>>,
    double: OnceLock<Kept<f64>>,
}

impl AnyKept {
    fn values(&self) -> Option<[f64; 3]> {
        let single = self.single.get().map(|kept| kept.values);
        single.or_else(|| self.double.get().map(|kept| kept.values))
    }
}

struct Blend {
    labels: Vec<u32>,
    weight: f64,
    kept: Arc<AnyKept>,
}

impl Blend {
    fn forward(&self, terms: &[(&CpuStorage, &Layout)]) -> Result<(CpuStorage, Shape)> {
        let columns = terms[0].1.shape().dims2()?.1;
        let storage = match terms[0].0 {
            CpuStorage::F32(_) => {
                let kept = self.computed::<f32>(terms, columns)?;
                let value = kept.blended(self.weight);
                let _ = self.kept.single.set(kept);
                CpuStorage::F32(vec![value as f32])
            }
            CpuStorage::F64(_) => {
                let kept = self.computed::<f64>(terms, columns)?;
                let value = kept.blended(self.weight);
                let _ = self.kept.double.set(kept);
                CpuStorage::F64(vec![value])
            }
            _ => bail!("{OP}: f32 and f64 are supported"),
        };
        Ok((storage, Shape::from(())))
    }

    fn computed<T: Element>(
        &self,
        terms: &[(&CpuStorage, &Layout)],
        columns: usize,
    ) -> Result<Kept<T>> {
        let slices = terms.iter().map(|(storage, layout)| values::<T>(storage, layout, OP));
        Ok(blend(&slices.collect::<Result<Vec<_>>>()?, &self.labels, columns))
    }

    fn backward(&self, terms: &[&Tensor], grad: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let factors = (self.weight, to_scalar_f64(grad)?);
        let shape = terms[0].shape();
        if let Some(kept) = self.kept.single.get() {
            return self.gradients(terms, kept, factors, |values: Vec<f32>| {
                Tensor::from_vec(values, shape, grad.device())
            });
        }
        let Some(kept) = self.kept.double.get() else { bail!("{OP}: backward before forward") };
        self.gradients(terms, kept, factors, |values: Vec<f64>| {
            Tensor::from_vec(values, shape, grad.device())
        })
    }

    fn gradients<T: Element>(
        &self,
        terms: &[&Tensor],
        kept: &Kept<T>,
        factors: (f64, f64),
        tensor: impl Fn(Vec<T>) -> Result<Tensor>,
    ) -> Result<Vec<Option<Tensor>>> {
        let terms = terms.iter().map(|term| term.contiguous()).collect::<Result<Vec<_>>>()?;
        let opened: Vec<_> = terms.iter().map(|term| open(term, OP)).collect();
        let slices = opened.iter().map(|term| term.values::<T>()).collect::<Result<Vec<_>>>()?;
        let found = gradients(&slices, &self.labels, kept, factors);
        found.into_iter().map(|values| tensor(values).map(Some)).collect()
    }
}

impl CustomOp1 for Blend {
    fn name(&self) -> &'static str {
        OP
    }

    fn cpu_fwd(&self, a: &CpuStorage, la: &Layout) -> Result<(CpuStorage, Shape)> {
        self.forward(&[(a, la)])
    }

    fn bwd(&self, a: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        Ok(self.backward(&[a], grad)?.pop().flatten())
    }
}

impl CustomOp2 for Blend {
    fn name(&self) -> &'static str {
        OP
    }

    fn cpu_fwd(
        &self,
        a: &CpuStorage,
        la: &Layout,
        b: &CpuStorage,
        lb: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.forward(&[(a, la), (b, lb)])
    }

    fn bwd(
        &self,
        a: &Tensor,
        b: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let mut found = self.backward(&[a, b], grad)?.into_iter().flatten();
        Ok((found.next(), found.next()))
    }
}

impl CustomOp3 for Blend {
    fn name(&self) -> &'static str {
        OP
    }

    fn cpu_fwd(
        &self,
        a: &CpuStorage,
        la: &Layout,
        b: &CpuStorage,
        lb: &Layout,
        c: &CpuStorage,
        lc: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.forward(&[(a, la), (b, lb), (c, lc)])
    }

    fn bwd(
        &self,
        a: &Tensor,
        b: &Tensor,
        c: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let mut found = self.backward(&[a, b, c], grad)?.into_iter().flatten();
        Ok((found.next(), found.next(), found.next()))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device, Var};

    use super::*;
    use crate::ops::log_sum_exp::{log_sum_exp, log_sum_exp_all};
    use crate::ops::sum_of::sum_of;
    use crate::training::gradcheck::gradient_error;

    fn terms(count: usize, rows: usize, columns: usize, scale: f64) -> Vec<Tensor> {
        (0..count)
            .map(|_| Tensor::randn(0.0, scale, (rows, columns), &Device::Cpu).unwrap())
            .collect()
    }

    fn labels(rows: usize, columns: usize) -> Vec<u32> {
        (0..rows).map(|row| (row * 7 % columns) as u32).collect()
    }

    /// By other operations.
    fn composed(terms: &[Tensor], labels: &[u32], weight: f64) -> Tensor {
        let scores = sum_of(terms).unwrap();
        let column = Tensor::new(labels, &Device::Cpu).unwrap().unsqueeze(1).unwrap();
        let own = scores.gather(&column, 1).unwrap().mean_all().unwrap();
        let partition = log_sum_exp(&scores, 1).unwrap().mean_all().unwrap();
        let sums: Vec<Tensor> = terms.iter().map(|term| log_sum_exp(term, 0).unwrap()).collect();
        let all = log_sum_exp_all(&sum_of(&sums).unwrap()).unwrap();
        ((own - (partition * (1.0 - weight)).unwrap()).unwrap() - (all * weight).unwrap()).unwrap()
    }

    #[test]
    fn values_and_gradients_are_those_of_other_operations() {
        for (count, rows, columns) in [(1, 1, 2), (2, 7, 3), (3, 300, 5), (2, 40, 33)] {
            for scale in [1.0, 200.0] {
                for weight in [0.0, 0.1, 1.0] {
                    let (terms, labels) =
                        (terms(count, rows, columns, scale), labels(rows, columns));
                    let vars: Vec<Var> =
                        terms.iter().map(|term| Var::from_tensor(term).unwrap()).collect();
                    let tensors: Vec<Tensor> =
                        vars.iter().map(|var| var.as_tensor().clone()).collect();
                    let ours = blended_log_likelihood(&tensors, &labels, weight).unwrap().unwrap();
                    let wanted = composed(&tensors, &labels, weight);
                    let number = |tensor: &Tensor| tensor.to_scalar::<f64>().unwrap();
                    let gap = (number(&ours.value) - number(&wanted)).abs();
                    assert!(gap < 1e-10 * scale.max(1.0), "{count}, {rows}, {columns}: {gap:e}");
                    let (found, wanted) = (
                        (ours.value * 3.0).unwrap().backward(),
                        (wanted * 3.0).unwrap().backward(),
                    );
                    let (found, wanted) = (found.unwrap(), wanted.unwrap());
                    for var in &vars {
                        let [a, b] = [&found, &wanted].map(|g| g.get(var).unwrap().clone());
                        let gap = (a - b).unwrap().abs().unwrap().max_all().unwrap();
                        assert!(number(&gap) < 1e-12, "{count}, {rows}, {columns}, {weight}");
                    }
                }
            }
        }
    }

    #[test]
    fn gradients_are_finite_differences_and_single_precision_is_near() {
        for count in 1..=3 {
            let (terms, labels) = (terms(count, 5, 4, 2.0), labels(5, 4));
            let of = |terms: &[Tensor]| {
                let blended = blended_log_likelihood(terms, &labels, 0.3)?;
                Ok(blended.map(|blended| blended.value).unwrap())
            };
            assert!(gradient_error(&terms, of).unwrap() < 1e-7);
            let single: Vec<Tensor> =
                terms.iter().map(|term| term.to_dtype(DType::F32).unwrap()).collect();
            let [exact, near] = [&terms, &single].map(|terms| {
                let blended = blended_log_likelihood(terms, &labels, 0.3).unwrap().unwrap();
                to_scalar_f64(&blended.value).unwrap()
            });
            assert!((exact - near).abs() < 1e-5, "{exact} and {near}");
        }
    }

    #[test]
    fn rows_far_below_the_largest_of_their_columns_keep_their_digits() {
        // Scores of the second example are lower by 2 x 60 or 2 x 48 than the columns' largest: f32 has no e^-120, and
        // of e^-96 two digits.
        for low in [60.0, 48.0] {
            keeps_digits([[[0.0, 1.0], [-low - 1.0, -low]], [[1.0, 0.0], [-low, 0.5 - low]]]);
        }
    }

    fn keeps_digits(exact: [[[f64; 2]; 2]; 2]) {
        let single = exact.map(|term| term.map(|row| row.map(|value| value as f32)));
        let of = |terms: Vec<Tensor>| {
            let vars: Vec<Var> = terms.iter().map(|t| Var::from_tensor(t).unwrap()).collect();
            let tensors: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
            let value = blended_log_likelihood(&tensors, &[0, 0], 0.25).unwrap().unwrap().value;
            let grads = value.backward().unwrap();
            let read = |tensor: &Tensor| crate::wide::to_vec_f64(tensor).unwrap();
            let gradients = vars.iter().flat_map(|var| read(grads.get(var).unwrap()));
            read(&value).into_iter().chain(gradients).collect::<Vec<f64>>()
        };
        let tensor = |term: &[[f64; 2]; 2]| Tensor::new(term, &Device::Cpu).unwrap();
        let wanted = of(exact.iter().map(tensor).collect());
        let found = of(single.iter().map(|t| Tensor::new(t, &Device::Cpu).unwrap()).collect());
        for (found, wanted) in found.iter().zip(&wanted) {
            assert!((found - wanted).abs() < 1e-5 * wanted.abs().max(0.1), "{found} {wanted}");
        }
        // The softmax of the second example: its scores differ by 1.5.
        let softmax = 1.0 / (1.0 + 1.5f64.exp());
        let share = wanted[3] - 0.5 * (1.0 - 0.75 * softmax);
        assert!(share.abs() < 1e-12, "{share}");
    }

    #[test]
    fn what_does_not_fit_is_refused_and_four_terms_have_no_kernel() {
        let (four, y) = (terms(4, 3, 2, 1.0), labels(3, 2));
        assert!(blended_log_likelihood(&four, &y, 0.5).unwrap().is_none());
        assert!(blended_log_likelihood(&[], &y, 0.5).is_err());
        assert!(blended_log_likelihood(&four[..2], &y[..2], 0.5).is_err());
        assert!(blended_log_likelihood(&four[..2], &[0, 1, 2], 0.5).is_err());
        let other = terms(1, 2, 2, 1.0).remove(0);
        assert!(blended_log_likelihood(&[four[0].clone(), other], &y, 0.5).is_err());
    }
}
