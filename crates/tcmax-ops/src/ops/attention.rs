//! Scaled dot-product attention of several heads, with masks.
//!
//! candle-nn 0.11's fused attention has no backward pass.

use std::ops::Range;
use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp3, DType, Layout, Result, Shape, Tensor, bail};

use crate::cpu::attention::{self, Example, Geometry};
use crate::cpu::storage::{check_dtype, dispatch, open, tensor_of, values};
use crate::device;
use crate::mask::AttentionMask;
use crate::precision::product;
use crate::sequences::Sequences;

const OP: &str = "attention";

/// softmax(Q K^T / sqrt(d)) V in each of `heads` heads.
///
/// Queries are (B, T, D), keys (B, S, D), values (B, S, D); head h has the d = D / heads columns from
/// h d on, in all three and in the result (B, T, D). A query that sees no key gets zeros. Scores are kept
/// of one head of one example at a time, and computed again for the gradients: O(T S) memory a thread.
/// Source: Vaswani et al. 2017, "Attention Is All You Need".
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use tcmax_ops::{AttentionMask, attention};
///
/// # fn main() -> candle_core::Result<()> {
/// let q = Tensor::zeros((1, 1, 2), DType::F64, &Device::Cpu)?;
/// let k = Tensor::zeros((1, 3, 2), DType::F64, &Device::Cpu)?;
/// let v = Tensor::new(&[[[1f64, 10.0], [3.0, 30.0], [8.0, 80.0]]], &Device::Cpu)?;
/// // The last key is padding.
/// let keys = Some(Tensor::new(&[[1f64, 1.0, 0.0]], &Device::Cpu)?);
/// let mask = AttentionMask { keys, causal: false };
/// let mean = attention(&q, &k, &v, 2, &mask)?;
/// assert_eq!(mean.to_vec3::<f64>()?, [[[2.0, 20.0]]]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// When shapes or element types do not fit, or `heads` does not divide D.
pub fn attention(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    heads: usize,
    mask: &AttentionMask,
) -> Result<Tensor> {
    product([q, k, v], |inputs| of_one_type(inputs, heads, mask))
}

fn of_one_type([q, k, v]: [&Tensor; 3], heads: usize, mask: &AttentionMask) -> Result<Tensor> {
    let geometry = geometry([q, k, v], heads, mask)?;
    if !q.device().is_cpu() {
        return device::attention([q, k, v], heads, mask);
    }
    for tensor in [q, k, v] {
        check_dtype(tensor, OP)?;
    }
    let mask_of_keys = mask.keys.as_ref().map(kept).transpose()?;
    let op = Attention { geometry, mask: mask_of_keys, causal: mask.causal };
    q.contiguous()?.apply_op3(&k.contiguous()?, &v.contiguous()?, op)
}

/// Where queries, keys and values are, whose shapes it checks.
fn geometry([q, k, v]: [&Tensor; 3], heads: usize, mask: &AttentionMask) -> Result<Geometry> {
    let (batch, queries, features) = q.dims3()?;
    let keys = k.dim(1)?;
    if k.dims() != v.dims() || k.dims() != [batch, keys, features] || keys * queries == 0 {
        bail!("{OP}: queries {:?}, keys {:?} and values {:?}", q.shape(), k.shape(), v.shape());
    }
    if let Some(given) = &mask.keys
        && given.dims() != [batch, keys]
    {
        bail!("{OP}: a mask {:?} of {batch} x {keys} keys", given.shape());
    }
    if mask.causal && queries != keys {
        bail!("{OP}: {queries} queries and {keys} keys have no common order");
    }
    let rows = |number: usize, count: usize| number * count..(number + 1) * count;
    let example = |number| Example { queries: rows(number, queries), keys: rows(number, keys) };
    let examples = (0..batch).map(example).collect();
    Ok(Geometry { heads, width: width(features, heads)?, examples })
}

/// The operation within sequences: of all their rows (N, D), or of one query each (count, D), which in causal
/// sequences is the last.
pub(crate) fn operation_within(
    [q, k, v]: [&Tensor; 3],
    heads: usize,
    sequences: &Sequences,
) -> Result<Attention> {
    let (queries, features) = q.dims2()?;
    let (rows, count) = (sequences.rows(), sequences.count());
    let fits = queries == rows || queries == count;
    if k.dims() != v.dims() || k.dims() != [rows, features] || !fits {
        let [q, k, v] = [q, k, v].map(Tensor::shape);
        bail!("{OP}: queries {q:?}, keys {k:?} and values {v:?} of {count} sequences, {rows} rows");
    }
    let of_all = queries == rows;
    let example = |(number, keys): (usize, Range<usize>)| Example {
        queries: if of_all { keys.clone() } else { number..number + 1 },
        keys,
    };
    let examples = sequences.ranges().enumerate().map(example).collect();
    Ok(Attention {
        geometry: Geometry { heads, width: width(features, heads)?, examples },
        mask: sequences.seen().map(kept).transpose()?,
        causal: sequences.is_causal() && of_all,
    })
}

/// The features of a head.
fn width(features: usize, heads: usize) -> Result<usize> {
    if heads == 0 || !features.is_multiple_of(heads) {
        bail!("{OP}: {features} features are not {heads} heads of equal width");
    }
    Ok(features / heads)
}

/// Which keys are there, row by row.
fn kept(keys: &Tensor) -> Result<Arc<[bool]>> {
    let numbers = keys.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
    Ok(numbers.into_iter().map(|number| number != 0.0).collect())
}

pub(crate) struct Attention {
    geometry: Geometry,
    mask: Option<Arc<[bool]>>,
    causal: bool,
}

impl Attention {
    fn mask(&self) -> attention::Mask<'_> {
        attention::Mask { keys: self.mask.as_deref(), causal: self.causal }
    }
}

impl CustomOp3 for Attention {
    fn name(&self) -> &'static str {
        OP
    }

    fn cpu_fwd(
        &self,
        q: &CpuStorage,
        q_layout: &Layout,
        k: &CpuStorage,
        k_layout: &Layout,
        v: &CpuStorage,
        v_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let y = dispatch!(q, OP, |T| {
            let k = values::<T>(k, k_layout, OP)?;
            let v = values::<T>(v, v_layout, OP)?;
            attention::forward(&self.geometry, [values::<T>(q, q_layout, OP)?, k, v], self.mask())
        });
        Ok((y, q_layout.shape().clone()))
    }

    fn bwd(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let tensors = [q.contiguous()?, k.contiguous()?, v.contiguous()?, grad.contiguous()?];
        let [opened_q, opened_k, opened_v, opened_grad] = tensors.each_ref().map(|t| open(t, OP));
        let (dk, dv);
        let dq = dispatch!(opened_q.storage()?, OP, |T| {
            let inputs = [opened_q.values::<T>()?, opened_k.values()?, opened_v.values()?];
            let grad = opened_grad.values::<T>()?;
            let [dq, dkeys, dvalues] =
                attention::backward(&self.geometry, inputs, grad, self.mask());
            let tensor = |values: Vec<T>| Tensor::from_vec(values, k.shape(), k.device());
            (dk, dv) = (Some(tensor(dkeys)?), Some(tensor(dvalues)?));
            dq
        });
        Ok((Some(tensor_of(dq, &tensors[0])?), dk, dv))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::training::gradcheck::gradient_error;
    use crate::training::init::Init;
    use crate::training::seed::Seed;
    use candle_core::{Device, Var};

    fn random(seed: u64, shape: [usize; 3]) -> Tensor {
        let unit = Init::Normal { mean: 0.0, std: 1.0 };
        unit.tensor(&Shape::from(&shape[..]), Seed::new(seed), DType::F64, &Device::Cpu).unwrap()
    }

    fn masks(batch: usize, keys: usize) -> Vec<AttentionMask> {
        let some = |b: usize, s: usize| f64::from(u8::from((b + s) % 3 != 1 || s == 0));
        let rows: Vec<f64> = (0..batch * keys).map(|i| some(i / keys, i % keys)).collect();
        let keys = Tensor::from_vec(rows, (batch, keys), &Device::Cpu).unwrap();
        let of = |keys: Option<&Tensor>, causal| AttentionMask { keys: keys.cloned(), causal };
        vec![of(None, false), of(Some(&keys), false), of(None, true), of(Some(&keys), true)]
    }

    #[test]
    fn kernel_and_composition_agree_in_value_and_gradient() {
        let inputs = [1, 2, 3].map(|seed| random(seed, [3, 5, 12]));
        for (dtype, limit) in [(DType::F64, 1e-12), (DType::F32, 1e-5)] {
            let vars =
                inputs.each_ref().map(|t| Var::from_tensor(&t.to_dtype(dtype).unwrap()).unwrap());
            let [q, k, v] = vars.each_ref().map(Var::as_tensor);
            for mask in masks(3, 5) {
                let run = |y: Tensor| {
                    let weights = random(4, [3, 5, 12]).to_dtype(dtype).unwrap();
                    let loss = (&y * weights).unwrap().sum_all().unwrap();
                    let grads = loss.backward().unwrap();
                    let gradients = [q, k, v].map(|t| grads.get(t).unwrap().clone());
                    std::iter::once(y).chain(gradients).collect::<Vec<_>>()
                };
                let ours = run(attention(q, k, v, 3, &mask).unwrap());
                let theirs = run(device::attention([q, k, v], 3, &mask).unwrap());
                for (a, b) in ours.iter().zip(&theirs) {
                    let gap = (a - b).unwrap().abs().unwrap().max_all().unwrap();
                    assert!(crate::wide::to_scalar_f64(&gap).unwrap() < limit, "{mask:?}");
                }
            }
        }
    }

    #[test]
    fn gradients_are_those_of_finite_differences() {
        for mask in masks(2, 4) {
            let inputs = [5, 6, 7].map(|seed| random(seed, [2, 4, 6]));
            let error = gradient_error(&inputs, |t| {
                Ok(attention(&t[0], &t[1], &t[2], 2, &mask)?.sin()?.sum_all()?)
            });
            assert!(error.unwrap() < 1e-7, "{mask:?}");
        }
    }

    #[test]
    fn a_query_without_keys_gets_zeros_and_passes_no_gradient() {
        let vars = [1, 2, 3].map(|seed| Var::from_tensor(&random(seed, [2, 3, 4])).unwrap());
        let [q, k, v] = vars.each_ref().map(Var::as_tensor);
        let keys = Tensor::new(&[[0f64, 0.0, 0.0], [1.0, 0.0, 1.0]], &Device::Cpu).unwrap();
        let mask = AttentionMask { keys: Some(keys), causal: false };
        let y = attention(q, k, v, 2, &mask).unwrap();
        assert_eq!(y.get(0).unwrap().to_vec2::<f64>().unwrap(), [[0.0; 4]; 3]);
        let grads = y.sum_all().unwrap().backward().unwrap();
        for tensor in [q, k, v] {
            let gradient = grads.get(tensor).unwrap();
            assert_eq!(gradient.get(0).unwrap().to_vec2::<f64>().unwrap(), [[0.0; 4]; 3]);
        }
    }

    #[test]
    fn scores_of_any_size_are_stable() {
        let q = (random(1, [1, 4, 4]) * 1e4).unwrap();
        let y = attention(&q, &q, &random(2, [1, 4, 4]), 1, &AttentionMask::default()).unwrap();
        assert!(y.flatten_all().unwrap().to_vec1::<f64>().unwrap().iter().all(|x| x.is_finite()));
    }

    #[test]
    fn shapes_that_do_not_fit_are_errors() {
        let x = random(1, [2, 3, 4]);
        let none = AttentionMask::default();
        assert!(attention(&x, &x, &random(2, [2, 2, 4]), 2, &none).is_err());
        assert!(attention(&x, &x, &x, 3, &none).is_err());
        let keys = Some(Tensor::ones((2, 2), DType::F64, &Device::Cpu).unwrap());
        assert!(attention(&x, &x, &x, 2, &AttentionMask { keys, causal: false }).is_err());
    }
}
