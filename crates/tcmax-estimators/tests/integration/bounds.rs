//! Bounds: gradients, caps, stability and their order.

use candle_core::{DType, Device, Tensor};
use tcmax_estimators::Error;
use tcmax_estimators::bound::{
    MovingAverage, diagonal, donsker_varadhan, info_nce, jensen_shannon, nwj, off_diagonal, smile,
    symmetric_info_nce,
};
use tcmax_ops::{Init, Seed, gradient_error};

fn draw(shape: &[usize], seed: u64, std: f64) -> Tensor {
    let normal = Init::Normal { mean: 0.0, std };
    normal.tensor(&shape.into(), Seed::new(seed), DType::F64, &Device::Cpu).unwrap()
}

fn scalar(tensor: &Tensor) -> f64 {
    tensor.to_scalar().unwrap()
}

#[test]
fn gradients_agree_with_finite_differences() {
    type Bound = fn(&Tensor, &Tensor) -> tcmax_estimators::Result<Tensor>;
    let bounds: [(&str, Bound); 4] = [
        ("dv", donsker_varadhan),
        ("nwj", nwj),
        ("smile", |joint, product| smile(joint, product, 1.5)),
        ("js", jensen_shannon),
    ];
    for (name, bound) in bounds {
        let inputs = [draw(&[5], 1, 1.0), draw(&[9], 2, 1.0)];
        let error = gradient_error(&inputs, |t| Ok(bound(&t[0], &t[1]).unwrap())).unwrap();
        assert!(error < 1e-7, "{name}: {error:e}");
    }
    for bound in [info_nce, symmetric_info_nce] {
        let error = gradient_error(&[draw(&[4, 4], 3, 1.0)], |t| Ok(bound(&t[0]).unwrap()));
        assert!(error.unwrap() < 1e-7);
    }
}

#[test]
fn the_logistic_slope_is_right_at_zero() {
    let zero = candle_core::Var::from_tensor(&Tensor::new(&[0f64], &Device::Cpu).unwrap()).unwrap();
    let value = jensen_shannon(zero.as_tensor(), &zero.as_tensor().detach()).unwrap();
    let gradient = value.backward().unwrap().get(zero.as_tensor()).unwrap().to_vec1::<f64>();
    assert!((gradient.unwrap()[0] - 0.5).abs() < 1e-15);
}

#[test]
fn huge_scores_overflow_nothing() {
    for dtype in [DType::F32, DType::F64] {
        let scores = draw(&[6, 6], 4, 1e4).to_dtype(dtype).unwrap();
        let (joint, product) = (diagonal(&scores).unwrap(), off_diagonal(&scores).unwrap());
        let values = [
            donsker_varadhan(&joint, &product),
            smile(&joint, &product, 5.0),
            jensen_shannon(&joint, &product),
            info_nce(&scores),
        ];
        for value in values {
            let value = scalar(&value.unwrap().to_dtype(DType::F64).unwrap());
            assert!(value.is_finite(), "{value}");
        }
    }
}

#[test]
fn nwj_is_below_donsker_varadhan_and_info_nce_below_its_cap() {
    for seed in 0..20 {
        let scores = draw(&[8, 8], seed, 3.0);
        let (joint, product) = (diagonal(&scores).unwrap(), off_diagonal(&scores).unwrap());
        let above = scalar(&donsker_varadhan(&joint, &product).unwrap());
        assert!(scalar(&nwj(&joint, &product).unwrap()) <= above + 1e-12);
        assert!(scalar(&info_nce(&scores).unwrap()) <= 8f64.ln());
        assert!(scalar(&jensen_shannon(&joint, &product).unwrap()) <= 0.0);
        let unclipped = scalar(&smile(&joint, &product, f64::INFINITY).unwrap());
        assert!((unclipped - above).abs() < 1e-12);
    }
}

#[test]
fn shifting_a_critic_changes_no_bound_but_nwj() {
    let scores = draw(&[5, 5], 1, 1.0);
    let shifted = (&scores + 30.0).unwrap();
    let dv = |s: &Tensor| {
        scalar(&donsker_varadhan(&diagonal(s).unwrap(), &off_diagonal(s).unwrap()).unwrap())
    };
    assert!((dv(&scores) - dv(&shifted)).abs() < 1e-12);
    let nce = |s: &Tensor| scalar(&info_nce(s).unwrap());
    assert!((nce(&scores) - nce(&shifted)).abs() < 1e-12);
}

#[test]
fn the_moving_average_corrects_the_gradient_and_not_the_value() {
    let product = candle_core::Var::from_tensor(&draw(&[7], 2, 1.0)).unwrap();
    let joint = draw(&[3], 1, 1.0);
    let plain = donsker_varadhan(&joint, product.as_tensor()).unwrap();
    let mut average = MovingAverage::new(0.1).unwrap();
    let gradient = |value: &Tensor| {
        let gradients = value.backward().unwrap();
        gradients.get(product.as_tensor()).unwrap().to_vec1::<f64>().unwrap()
    };
    // The first batch is its own average.
    let first = average.bound(&joint, product.as_tensor()).unwrap();
    assert!((scalar(&first) - scalar(&plain)).abs() < 1e-12);
    for (a, b) in gradient(&first).iter().zip(gradient(&plain)) {
        assert!((a - b).abs() < 1e-12);
    }
    // A batch whose mean exp T is e^-1000 of it takes a tenth of the average away.
    let before = average.log_average().unwrap();
    average.bound(&joint, &(product.as_tensor() - 1000.0).unwrap()).unwrap();
    let expected = before + 0.9f64.ln();
    assert!((average.log_average().unwrap() - expected).abs() < 1e-12);
    // The gradient divides by the average: mean exp T / a = 1 / (0.9 * 0.9 + 0.1) now.
    let third = average.bound(&joint, product.as_tensor()).unwrap();
    let factor = 1.0 / (0.9 * 0.9 + 0.1);
    assert!((scalar(&third) - scalar(&plain)).abs() < 1e-12);
    for (a, b) in gradient(&third).iter().zip(gradient(&plain)) {
        assert!((a - b * factor).abs() < 1e-12, "{a} is not {}", b * factor);
    }
}

#[test]
fn bad_scores_and_settings_are_errors() {
    let (vector, matrix) = (draw(&[3], 1, 1.0), draw(&[3, 2], 1, 1.0));
    assert!(matches!(donsker_varadhan(&matrix, &vector), Err(Error::WrongShape { .. })));
    assert!(matches!(nwj(&vector, &draw(&[0], 1, 1.0)), Err(Error::WrongShape { .. })));
    assert!(matches!(info_nce(&matrix), Err(Error::WrongShape { .. })));
    assert!(matches!(off_diagonal(&draw(&[1, 1], 1, 1.0)), Err(Error::TooFewSamples { .. })));
    for tau in [0.0, -1.0, f64::NAN] {
        assert!(matches!(smile(&vector, &vector, tau), Err(Error::Setting { .. })));
    }
    for rate in [0.0, 1.5, f64::NAN] {
        assert!(matches!(MovingAverage::new(rate), Err(Error::Setting { .. })));
    }
}
