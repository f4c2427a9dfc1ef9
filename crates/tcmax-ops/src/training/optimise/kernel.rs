//! One pass over the memory of a parameter.

use std::sync::{Mutex, PoisonError};

use candle_core::{CpuStorage, InplaceOp2, Layout, Result as CandleResult, Tensor, Var, bail};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::cpu::element::Element;
use crate::cpu::simd::run;
use crate::cpu::storage::values;
#[cfg(any(test, feature = "cuda"))]
use crate::cuda::plan::Update;
use crate::tasks::Fork;
use crate::training::optimise::running::Running;

const OP: &str = "optimiser";

/// Values of one task.
const BAND: usize = 1 << 15;

/// How the values of one parameter are updated from as many others, with some running values beside each.
pub trait Kernel: Copy + Send + Sync {
    /// Updates some values and their running values. All slices are of one length. Runs with the widest
    /// vectors of the processor: `#[inline(always)]`.
    fn update<T: Element>(&self, value: &mut [T], gradient: &[T], running: &mut [&mut [T]]);

    /// The same on whole tensors, for devices without the kernel: the new values and running values.
    ///
    /// # Errors
    /// Only if the device fails.
    fn composed(
        &self,
        value: &Tensor,
        gradient: &Tensor,
        running: &[Tensor],
    ) -> CandleResult<(Tensor, Vec<Tensor>)>;

    /// The same for `count` values and so many running values, as launches on NVIDIA's devices; none where there
    /// are no kernels for it.
    #[cfg(any(test, feature = "cuda"))]
    fn updates(&self, _count: usize, _running: usize) -> Vec<Update> {
        Vec::new()
    }
}

/// A parameter to be updated, with its running values.
pub(crate) struct Parameter<'a, K> {
    pub(crate) kernel: K,
    pub(crate) var: &'a Var,
    pub(crate) gradient: Tensor,
    pub(crate) running: &'a mut Running,
}

/// Updates parameters: on a CPU at the same time, as most are smaller than a task.
pub(crate) fn apply_all<K: Kernel>(parameters: Vec<Parameter<'_, K>>) -> CandleResult<()> {
    let is_on_cpu = |parameter: &Parameter<'_, K>| matches!(parameter.running, Running::Cpu(_));
    match parameters.iter().all(is_on_cpu) {
        true => parameters.into_par_iter().gather(apply).into_iter().collect(),
        false => parameters.into_iter().try_for_each(apply),
    }
}

fn apply<K: Kernel>(parameter: Parameter<'_, K>) -> CandleResult<()> {
    let Parameter { kernel, var, gradient, running } = parameter;
    match running {
        Running::Cpu(storages) => {
            let op = InPlace { kernel, storages: Mutex::new(storages) };
            var.as_detached_tensor().inplace_op2(&gradient.contiguous()?, &op)
        }
        Running::Device(tensors) => {
            #[cfg(feature = "cuda")]
            if launched(&kernel, var, &gradient, tensors)? {
                return Ok(());
            }
            let (value, after) = kernel.composed(&var.as_detached_tensor(), &gradient, tensors)?;
            *tensors = after;
            var.set(&value)
        }
    }
}

/// Whether a step was done by kernels.
#[cfg(feature = "cuda")]
fn launched<K: Kernel>(
    kernel: &K,
    var: &Var,
    gradient: &Tensor,
    running: &[Tensor],
) -> CandleResult<bool> {
    use crate::cuda::launch::{takes, update};
    use crate::cuda::plan::Part;

    let value = var.as_detached_tensor();
    let updates = kernel.updates(value.elem_count(), running.len());
    if updates.is_empty() || !takes(&value) || value.dtype() != gradient.dtype() {
        return Ok(false);
    }
    for Update { plan, tensors } in updates {
        let [changed, a, b] = tensors.map(|part| match part {
            Part::Value => &value,
            Part::Gradient => gradient,
            Part::Running(number) => &running[number],
        });
        update(plan, changed, [a, b])?;
    }
    Ok(true)
}

/// One pass over a parameter, its gradient and its running values.
struct InPlace<'a, K> {
    kernel: K,
    // candle passes the operation as a shared reference, but calls it once.
    storages: Mutex<&'a mut Vec<CpuStorage>>,
}

impl<K: Kernel> InplaceOp2 for InPlace<'_, K> {
    fn name(&self) -> &'static str {
        OP
    }

    fn cpu_fwd(
        &self,
        value: &mut CpuStorage,
        layout: &Layout,
        gradient: &CpuStorage,
        gradient_layout: &Layout,
    ) -> CandleResult<()> {
        match value {
            CpuStorage::F32(_) => self.pass::<f32>(value, layout, gradient, gradient_layout),
            CpuStorage::F64(_) => self.pass::<f64>(value, layout, gradient, gradient_layout),
            _ => bail!("{OP}: f32 and f64 are supported"),
        }
    }
}

impl<K: Kernel> InPlace<'_, K> {
    fn pass<T: Element>(
        &self,
        value: &mut CpuStorage,
        layout: &Layout,
        gradient: &CpuStorage,
        gradient_layout: &Layout,
    ) -> CandleResult<()> {
        let Some((start, end)) = layout.contiguous_offsets() else {
            bail!("{OP}: a parameter is not contiguous");
        };
        let gradient = values::<T>(gradient, gradient_layout, OP)?;
        let value = &mut T::slice_mut(value)?[start..end];
        let mut storages = self.storages.lock().unwrap_or_else(PoisonError::into_inner);
        let mut running = Vec::with_capacity(storages.len());
        for storage in storages.iter_mut() {
            running.push(T::slice_mut(storage)?);
        }
        self.bands(value, gradient, running);
        Ok(())
    }

    fn bands<T: Element>(&self, value: &mut [T], gradient: &[T], running: Vec<&mut [T]>) {
        let mut running: Vec<_> =
            running.into_iter().map(|values| values.chunks_mut(BAND)).collect();
        let bands: Vec<_> = value
            .chunks_mut(BAND)
            .zip(gradient.chunks(BAND))
            .map(|(value, gradient)| {
                let running: Vec<&mut [T]> =
                    running.iter_mut().map(|chunks| chunks.next().unwrap_or_default()).collect();
                (value, gradient, running)
            })
            .collect();
        bands.into_par_iter().fork(|(value, gradient, running)| {
            run(Band { kernel: self.kernel, value, gradient, running });
        });
    }
}

/// Some values of a parameter, with their gradients and running values.
struct Band<'a, K, T> {
    kernel: K,
    value: &'a mut [T],
    gradient: &'a [T],
    running: Vec<&'a mut [T]>,
}

impl<K: Kernel, T: Element> WithSimd for Band<'_, K, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, _: S) {
        self.kernel.update(self.value, self.gradient, &mut self.running);
    }
}
