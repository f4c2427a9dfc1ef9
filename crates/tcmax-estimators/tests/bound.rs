//! The bound on the total correlation: gradients, caps, and what it must and must not see.

use candle_core::{DType, Device, Tensor};
use tcmax_estimators::{BatchBound, Error, Labels};
use tcmax_ops::{Init, Seed, gradient_error};

fn terms(modalities: usize, shape: (usize, usize), scale: f64) -> Vec<Tensor> {
    let normal = Init::Normal { mean: 0.0, std: scale };
    let draw = |m: usize| {
        normal.tensor(&shape.into(), Seed::new(m as u64), DType::F64, &Device::Cpu).unwrap()
    };
    (0..modalities).map(draw).collect()
}

fn labels(labels: &[u32], classes: usize) -> Labels {
    Labels::new(labels, classes, &Device::Cpu).unwrap()
}

fn value(terms: &[Tensor], labels: &Labels) -> f64 {
    BatchBound::new(terms, labels).unwrap().value().to_scalar().unwrap()
}

#[test]
fn gradients_agree_with_finite_differences() {
    let cases: [(usize, &[u32], usize); 4] =
        [(2, &[0, 2, 1, 2], 3), (3, &[1, 0, 1], 2), (2, &[1], 2), (3, &[0, 0, 0, 0], 3)];
    for (modalities, y, classes) in cases {
        let labels = labels(y, classes);
        for scale in [1.0, 500.0] {
            let terms = terms(modalities, (y.len(), classes), scale);
            let error = gradient_error(&terms, |terms| {
                Ok(BatchBound::new(terms, &labels).unwrap().value().clone())
            });
            let error = error.unwrap();
            // At logits of +-500 the differences themselves lose digits.
            let tolerance = if scale > 1.0 { 1e-6 } else { 1e-8 };
            assert!(error < tolerance, "M = {modalities}, labels {y:?}, scale {scale}: {error:e}");
        }
    }
}

#[test]
fn the_losses_of_single_variables_have_right_gradients_too() {
    let labels = labels(&[0, 2, 1, 2], 3);
    let error = gradient_error(&terms(3, (4, 3), 1.0), |terms| {
        let own = BatchBound::new(terms, &labels).unwrap().variable_losses().unwrap();
        Ok(tcmax_ops::sum_of(&own)?)
    });
    assert!(error.unwrap() < 1e-8);
}

#[test]
fn constant_critics_show_no_information_and_shifts_change_nothing() {
    let labels = labels(&[0, 1, 2, 0], 3);
    let constant = vec![Tensor::full(7.0, (4, 3), &Device::Cpu).unwrap(); 2];
    assert!(value(&constant, &labels).abs() < 1e-12);
    let plain = terms(2, (4, 3), 1.0);
    let shifted: Vec<Tensor> = plain.iter().map(|term| (term + 100.0).unwrap()).collect();
    assert!((value(&plain, &labels) - value(&shifted, &labels)).abs() < 1e-10);
}

#[test]
fn no_critic_passes_the_cap() {
    let y = [0u32, 1, 2, 3];
    let labels = labels(&y, 4);
    for scale in [1.0, 10.0, 1000.0] {
        // The best critic there is: each example's own class stands out by `scale`.
        let mut own = vec![0.0; 16];
        y.iter().enumerate().for_each(|(row, &class)| own[row * 4 + class as usize] = scale);
        let term = Tensor::from_vec(own, (4, 4), &Device::Cpu).unwrap();
        let bound = BatchBound::new(&[term.clone(), term], &labels).unwrap();
        let value: f64 = bound.value().to_scalar().unwrap();
        assert!(value < bound.cap() + 1e-9, "{value} of {}", bound.cap());
        // The cap is tight: a critic that knows every example reaches it.
        assert!(scale < 1000.0 || value > bound.cap() - 1e-9, "{value} of {}", bound.cap());
    }
}

#[test]
fn unbalanced_labels_are_corrected_for() {
    // y = 0 three times of four, seen perfectly by one variable: TC = I(x; y) = H(y).
    let labels = labels(&[0, 0, 0, 1], 2);
    let (p, q) = (0.75f64, 0.25f64);
    // The best critic of a uniform reference: log p(y | x) + log p(x, all) up to a constant.
    let rows = [[0.0, -1e3], [0.0, -1e3], [0.0, -1e3], [-1e3, 0.0]];
    let term = Tensor::new(&rows, &Device::Cpu).unwrap();
    let bound = BatchBound::new(&[term], &labels).unwrap().total_correlation().unwrap();
    let entropy = -(p * p.ln() + q * q.ln());
    assert!((bound - entropy).abs() < 1e-12, "{bound} is not {entropy}");
}

#[test]
fn misshapen_terms_are_named() {
    let labels = labels(&[0, 1], 2);
    assert!(matches!(BatchBound::new(&[], &labels), Err(Error::Empty { .. })));
    let wrong = terms(2, (3, 2), 1.0);
    let error = BatchBound::new(&wrong, &labels).unwrap_err().to_string();
    assert!(error.contains("variable 0") && error.contains("[3, 2]"), "{error}");
}
