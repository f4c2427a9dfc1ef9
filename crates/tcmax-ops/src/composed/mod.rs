//! The operations as compositions of candle operations whose gradients are right, one file each, for
//! devices without a kernel here. Tests run them on the CPU against the kernels.

pub(crate) mod attention;
pub(crate) mod batch_norm;
pub(crate) mod conv2d;
pub(crate) mod dropout;
pub(crate) mod gelu;
pub(crate) mod layer_norm;
pub(crate) mod linear;
pub(crate) mod log_sum_exp;
pub(crate) mod max_pool2d;
pub(crate) mod normalise;
pub(crate) mod perceptron;
pub(crate) mod quadratic_form;
pub(crate) mod recurrent;
pub(crate) mod relu;
pub(crate) mod sequences;
pub(crate) mod softmax;
mod windows;

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device, Result, Tensor, Var};

    use super::conv2d::conv2d;
    use super::max_pool2d::max_pool2d;
    use crate::geometry::Window;
    use crate::ops;
    use crate::ops::conv2d::{Conv2dConfig, shape_of};
    use crate::ops::max_pool2d::MaxPool2dConfig;
    use crate::wide::to_vec_f64;

    /// Value and gradients of sum(f(x, w) * g).
    fn run(f: impl Fn(&Tensor, &Tensor) -> Result<Tensor>, x: &Var, w: &Var) -> Vec<Tensor> {
        let y = f(x.as_tensor(), w.as_tensor()).unwrap();
        let size = y.elem_count() as f64;
        let g = Tensor::arange(0.0, size, &Device::Cpu).unwrap().sin().unwrap();
        let loss = (&y * g.reshape(y.shape()).unwrap()).unwrap().sum_all().unwrap();
        let grads = loss.backward().unwrap();
        let gradients = [x, w].into_iter().filter_map(|var| grads.get(var.as_tensor()).cloned());
        std::iter::once(y.clone()).chain(gradients).collect()
    }

    fn assert_close(a: &[Tensor], b: &[Tensor]) {
        assert_eq!(a.len(), b.len());
        for (a, b) in a.iter().zip(b) {
            let gap = (a - b).unwrap().abs().unwrap().max_all().unwrap();
            assert!(gap.to_scalar::<f64>().unwrap() < 1e-12);
        }
    }

    /// A window on a square image.
    fn pooling(
        size: usize,
        kernel: usize,
        stride: usize,
        padding: usize,
    ) -> (MaxPool2dConfig, Window) {
        let [kernel, stride, padding] = [kernel, stride, padding].map(|n| (n, n));
        let config = MaxPool2dConfig { kernel, stride, padding };
        (config, Window::new("test", (size, size), kernel, stride, padding).unwrap())
    }

    #[test]
    fn a_maximum_gives_its_gradient_to_the_first_of_equals_everywhere() {
        // Equal everywhere: each window passes its gradient to its first pixel.
        let x = Var::ones((1, 4, 4, 1), DType::F64, &Device::Cpu).unwrap();
        let (config, window) = pooling(4, 2, 2, 0);
        let ours = |x: &Tensor| ops::max_pool2d::max_pool2d(x, config);
        let theirs = |x: &Tensor| max_pool2d(x, &window);
        for f in [&ours as &dyn Fn(&Tensor) -> Result<Tensor>, &theirs] {
            let grads = f(x.as_tensor()).unwrap().sum_all().unwrap().backward().unwrap();
            let rows = grads.get(x.as_tensor()).unwrap().reshape((4, 4)).unwrap();
            let first = [1.0, 0.0, 1.0, 0.0];
            assert_eq!(rows.to_vec2::<f64>().unwrap(), [first, [0.0; 4], first, [0.0; 4]]);
        }
    }

    #[test]
    fn maxima_with_ties_infinities_and_nan_agree_with_the_kernel() {
        let few = [0.0, 1.0, 1.0, f64::NEG_INFINITY, f64::NAN, f64::NEG_INFINITY, 0.0];
        for (kernel, stride, padding) in [(3, 2, 1), (2, 2, 0), (2, 1, 1), (3, 1, 0), (1, 2, 0)] {
            for step in [3, 5, 11] {
                let values: Vec<f64> = (0..2 * 49 * 3).map(|i| few[i * step % 17 % 7]).collect();
                let x = Tensor::from_vec(values, (2, 7, 7, 3), &Device::Cpu).unwrap();
                let x = Var::from_tensor(&x).unwrap();
                let (config, window) = pooling(7, kernel, stride, padding);
                let kernel = run(|x, _| ops::max_pool2d::max_pool2d(x, config), &x, &x);
                let composed = run(|x, _| max_pool2d(x, &window), &x, &x);
                let numbers = |t: &Tensor| to_vec_f64(t).unwrap();
                let bits =
                    |t: &Tensor| numbers(t).into_iter().map(f64::to_bits).collect::<Vec<_>>();
                assert_eq!(bits(&kernel[0]), bits(&composed[0]), "{config:?}");
                // Gradients of several windows are added in another order.
                assert_close(&kernel[1..2], &composed[1..2]);
            }
        }
    }

    #[test]
    fn compositions_agree_with_the_kernels() {
        let x = Var::randn(0f64, 1.0, (2, 9, 6, 3), &Device::Cpu).unwrap();
        let w = Var::randn(0f64, 1.0, (3, 3, 3, 4), &Device::Cpu).unwrap();
        let config = Conv2dConfig { stride: (2, 2), padding: (1, 1) };
        let geometry = shape_of(&x, &w, config).unwrap();
        assert_close(
            &run(|x, w| ops::conv2d::conv2d(x, w, config), &x, &w),
            &run(|x, w| conv2d(x, w, &geometry), &x, &w),
        );
        let config = MaxPool2dConfig { kernel: (3, 3), stride: (2, 2), padding: (1, 1) };
        let window = Window::new("test", (9, 6), (3, 3), (2, 2), (1, 1)).unwrap();
        assert_close(
            &run(|x, _| ops::max_pool2d::max_pool2d(x, config), &x, &w),
            &run(|x, _| max_pool2d(x, &window), &x, &w),
        );
    }
}
