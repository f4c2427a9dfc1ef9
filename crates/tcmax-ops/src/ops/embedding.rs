//! Rows of a table by number.

use candle_core::{CpuStorage, CustomOp2, DType, Layout, Result, Shape, Tensor, bail};

use crate::cpu::storage::{dispatch, open, values};
use crate::graph::backward::hand_over;
use crate::reading::seen;

const OP: &str = "embedding";

/// The rows `ids` (...) of `table` (V, D): (..., D).
///
/// Ids are u32. The gradient of the table is dense, as PyTorch's, and added up in the order of the ids.
///
/// ```
/// use candle_core::{Device, Tensor};
///
/// # fn main() -> candle_core::Result<()> {
/// let table = Tensor::new(&[[1f32, 2.0], [3.0, 4.0]], &Device::Cpu)?;
/// let ids = Tensor::new(&[1u32, 0, 1], &Device::Cpu)?;
/// let rows = tcmax_ops::embedding(&table, &ids)?;
/// assert_eq!(rows.to_vec2::<f32>()?, [[3.0, 4.0], [1.0, 2.0], [3.0, 4.0]]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// When the table has no row of an id, or the types do not fit.
pub fn embedding(table: &Tensor, ids: &Tensor) -> Result<Tensor> {
    let table = &seen(table);
    let (_, width) = table.dims2()?;
    if ids.dtype() != DType::U32 {
        bail!("{OP}: got ids of {:?}, wanted u32", ids.dtype());
    }
    let mut shape = ids.dims().to_vec();
    shape.push(width);
    let ids = ids.flatten_all()?.contiguous()?;
    let rows = match table.device().is_cpu() {
        true => table.contiguous()?.apply_op2(&ids, Rows)?,
        false => table.index_select(&ids, 0)?,
    };
    rows.reshape(shape)
}

struct Rows;

impl CustomOp2 for Rows {
    fn name(&self) -> &'static str {
        OP
    }

    fn cpu_fwd(
        &self,
        table: &CpuStorage,
        table_layout: &Layout,
        ids: &CpuStorage,
        ids_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (count, width) = table_layout.shape().dims2()?;
        let Some((start, end)) = ids_layout.contiguous_offsets() else {
            bail!("{OP}: ids are not contiguous");
        };
        let ids = &ids.as_slice::<u32>()?[start..end];
        if let Some((place, id)) = ids.iter().enumerate().find(|(_, id)| **id as usize >= count) {
            bail!("{OP}: id {id} at place {place} of a table with {count} rows");
        }
        let rows = dispatch!(table, OP, |T| {
            let table = values::<T>(table, table_layout, OP)?;
            let mut rows = Vec::with_capacity(ids.len() * width);
            for &id in ids {
                rows.extend_from_slice(&table[id as usize * width..][..width]);
            }
            rows
        });
        Ok((rows, Shape::from((ids.len(), width))))
    }

    fn bwd(
        &self,
        table: &Tensor,
        ids: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (width, grad) = (table.dim(1)?, grad.contiguous()?);
        let ids = ids.to_vec1::<u32>()?;
        let opened = open(&grad, OP);
        let sums = dispatch!(opened.storage()?, OP, |T| {
            let mut sums = vec![T::default(); table.elem_count()];
            let rows = opened.values::<T>()?.chunks_exact(width.max(1));
            for (id, row) in ids.iter().zip(rows) {
                let sums = &mut sums[*id as usize * width..][..width];
                for (sum, value) in sums.iter_mut().zip(row) {
                    *sum += *value;
                }
            }
            sums
        });
        let gradient = crate::cpu::storage::tensor_of(sums, table)?;
        Ok((hand_over(table, gradient), None))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::training::gradcheck::gradient_error;
    use candle_core::Device;

    #[test]
    fn a_row_that_is_used_twice_has_both_gradients() {
        let table = Tensor::arange(0f64, 8.0, &Device::Cpu).unwrap().reshape((4, 2)).unwrap();
        let ids = Tensor::new(&[[3u32, 1], [3, 3]], &Device::Cpu).unwrap();
        let error = gradient_error(std::slice::from_ref(&table), |t| {
            Ok(embedding(&t[0], &ids)?.sin()?.sqr()?.sum_all()?)
        });
        assert!(error.unwrap() < 1e-8);
        assert_eq!(embedding(&table, &ids).unwrap().dims(), [2, 2, 2]);
    }

    #[test]
    fn an_id_that_is_no_row_is_an_error_that_names_it() {
        let table = Tensor::zeros((4, 2), DType::F32, &Device::Cpu).unwrap();
        let ids = Tensor::new(&[1u32, 4], &Device::Cpu).unwrap();
        let error = embedding(&table, &ids).unwrap_err().to_string();
        assert!(error.contains("id 4 at place 1"), "{error}");
    }
}
