//! Computations that have nothing to do with what their thread does around them.

use crate::precision::not_half;
use crate::reading::not_reading;

/// Runs `f` as a thread of its own would: whatever [`in_half_precision`](crate::in_half_precision) or
/// [`only_reading`](crate::only_reading) is around it.
///
/// rayon's threads take up other jobs while they wait for the parts of theirs, on top of it and so inside its settings.
/// Operations wait outside of these; who hands whole computations to a pool, such as fits or trainings, begins each so.
///
/// ```
/// use candle_core::{Device, Tensor, Var};
/// use tcmax_ops::{on_its_own, only_reading, relu};
///
/// # fn main() -> candle_core::Result<()> {
/// let x = Var::new(1f32, &Device::Cpu)?;
/// let (read, trained) = only_reading(|| (relu(&x), on_its_own(|| relu(&x))));
/// assert!(!read?.track_op() && trained?.track_op());
/// # Ok(())
/// # }
/// ```
pub fn on_its_own<T>(f: impl FnOnce() -> T) -> T {
    not_half(|| not_reading(f))
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device, Var};
    use rayon::prelude::*;

    use crate::ops::linear::linear;
    use crate::precision::in_half_precision;
    use crate::reading::only_reading;

    /// Half of the jobs of a pool compute inside settings, wait there, and take up the others.
    #[test]
    fn settings_do_not_reach_what_threads_take_up_while_they_wait() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        let weight = Var::zeros((64, 512), DType::F32, &Device::Cpu).unwrap();
        let bias = Var::zeros(64, DType::F32, &Device::Cpu).unwrap();
        let job = |number: usize| {
            let x = Var::ones((512, 512), DType::F32, &Device::Cpu).unwrap();
            let product = || linear(&x, &weight, &bias).unwrap();
            let y = match number % 4 {
                0 => only_reading(product),
                2 => in_half_precision(product),
                _ => product(),
            };
            let wanted = if number % 4 == 2 { DType::BF16 } else { DType::F32 };
            assert_eq!((y.dtype(), y.track_op()), (wanted, number % 4 != 0), "job {number}");
        };
        pool.install(|| (0..200).into_par_iter().with_max_len(1).for_each(job));
    }
}
