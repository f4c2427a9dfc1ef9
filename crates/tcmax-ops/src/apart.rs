//! Computations that have nothing to do with what their thread does around them.

use crate::awake::busy;
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
    busy(|| not_half(|| not_reading(f)))
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device, Var};
    use rayon::prelude::*;

    use crate::graph::branches::Branches;
    use crate::ops::linear::linear;
    use crate::precision::in_half_precision;
    use crate::reading::only_reading;
    use crate::tasks::Fork;

    /// What a thread takes up while it waits runs where its tasks do. Of a pool of one thread that is the caller's.
    #[test]
    fn settings_end_where_a_thread_waits_for_tasks() {
        let vars = [(2, 3), (4, 3)].map(|shape| Var::zeros(shape, DType::F32, &Device::Cpu));
        let [x, weight] = vars.map(Result::unwrap);
        let bias = Var::zeros(4, DType::F32, &Device::Cpu).unwrap();
        let product = || {
            let y = linear(&x, &weight, &bias).unwrap();
            (y.dtype(), y.track_op())
        };
        let trained = (DType::F32, true);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        pool.install(|| {
            only_reading(|| {
                in_half_precision(|| {
                    assert_eq!(product(), (DType::BF16, false));
                    (0..4).into_par_iter().fork(|_| assert_eq!(product(), trained));
                    let all = (0..4).into_par_iter().gather(|_| product());
                    assert_eq!(all, [trained; 4]);
                    let branches = Branches::grow(1, |_| {
                        assert_eq!(product(), trained);
                        linear(&x, &weight, &bias)
                    });
                    branches.unwrap();
                    assert_eq!(product(), (DType::BF16, false));
                });
            });
        });
        assert_eq!(product(), trained);
    }
}
