//! The bound on the total correlation: gradients, caps, and what it must and must not see.

#![allow(
    clippy::redundant_closure_for_method_calls,
    reason = "a method is of one lifetime, a closure of any"
)]

use std::cell::Cell;

use candle_core::{DType, Device, Tensor, Var};
use tcmax_estimators::critic::TermsCritic;
use tcmax_estimators::{Bound, Critic, Error, Labels, Reference, Tuples};
use tcmax_ops::{Init, Seed, gradient_error};

use crate::wrapped::Wrapped;

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

/// What `get` reads of the bound of an additive critic with the given terms.
fn bound<R>(
    terms: &[Tensor],
    labels: &Labels,
    get: impl FnOnce(&Bound<'_>) -> tcmax_estimators::Result<R>,
) -> tcmax_estimators::Result<R> {
    let critic = TermsCritic::new(terms.len(), labels.classes());
    get(&Bound::new(&critic, terms, labels, Reference::all())?)
}

fn value(terms: &[Tensor], labels: &Labels) -> f64 {
    bound(terms, labels, |b| b.nats()).unwrap()
}

#[test]
fn gradients_agree_with_finite_differences() {
    let cases: [(usize, &[u32], usize); 4] =
        [(2, &[0, 2, 1, 2], 3), (3, &[1, 0, 1], 2), (2, &[1], 2), (3, &[0, 0, 0, 0], 3)];
    for (modalities, y, classes) in cases {
        let labels = labels(y, classes);
        for scale in [1.0, 500.0] {
            let terms = terms(modalities, (y.len(), classes), scale);
            let error =
                gradient_error(&terms, |terms| Ok(bound(terms, &labels, |b| b.value()).unwrap()));
            let error = error.unwrap();
            // At logits of +-500 the differences themselves lose digits.
            let tolerance = if scale > 1.0 { 1e-6 } else { 1e-8 };
            assert!(error < tolerance, "M = {modalities}, labels {y:?}, scale {scale}: {error:e}");
        }
    }
}

#[test]
fn the_losses_of_single_variables_are_those_of_marginals() {
    let labels = labels(&[0, 2, 1, 2], 3);
    let terms = terms(3, (4, 3), 1.0);
    let rows: Vec<Vec<Vec<f64>>> = terms.iter().map(|term| term.to_vec2().unwrap()).collect();
    let y = [0usize, 2, 1, 2];
    let share = |tuple: [usize; 3], class: usize| {
        (0..3).map(|m| rows[m][tuple[m]][class]).sum::<f64>().exp()
    };
    // P_m(i, y_i) by adding up the tuples, one by one.
    let mut marginal = [[0.0; 4]; 3];
    let mut all = 0.0;
    for tuple in 0..64 {
        let tuple = [tuple / 16, tuple / 4 % 4, tuple % 4];
        for class in 0..3 {
            let share = share(tuple, class);
            all += share;
            for m in 0..3 {
                if y[tuple[m]] == class {
                    marginal[m][tuple[m]] += share;
                }
            }
        }
    }
    let wanted: Vec<f64> = marginal
        .iter()
        .map(|own| -own.iter().map(|p| (p / all).ln()).sum::<f64>() / 4.0 - 4f64.ln())
        .collect();
    let by_factors = bound(&terms, &labels, |b| b.variable_losses()).unwrap();
    let terms_critic = TermsCritic::new(3, 3);
    let opaque = Wrapped(&terms_critic);
    for chunk in [5, 1000] {
        let reference = Reference::all().in_chunks_of(chunk);
        let by_tuples = Bound::new(&opaque, &terms, &labels, reference).unwrap();
        for losses in [&by_factors, &by_tuples.variable_losses().unwrap()] {
            for (got, wanted) in losses.iter().zip(&wanted) {
                assert!((got - wanted).abs() < 1e-12, "{got} is not {wanted}");
            }
        }
    }
}

#[test]
fn every_way_to_sum_gives_the_same_bound_and_gradients() {
    let labels = labels(&[0, 2, 1, 2], 3);
    let terms = terms(2, (4, 3), 1.0);
    let vars: Vec<Var> = terms.iter().map(|term| Var::from_tensor(term).unwrap()).collect();
    let x: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
    let additive = TermsCritic::new(2, 3);
    let opaque = Wrapped(&additive);
    let all = Tuples::all(4, 2).unwrap();
    let ways: [(&dyn Critic, Reference); 5] = [
        (&additive, Reference::all()),
        (&opaque, Reference::all()),
        (&opaque, Reference::all().in_chunks_of(3)),
        (&opaque, Reference::of(all.clone())),
        (&additive, Reference::of(all).in_chunks_of(7)),
    ];
    let mut first: Option<(f64, Vec<Vec<f64>>)> = None;
    for (critic, reference) in ways {
        let bound = Bound::new(critic, &x, &labels, reference).unwrap();
        let value = bound.value().unwrap();
        let nats = value.to_scalar::<f64>().unwrap();
        assert!((bound.nats().unwrap() - nats).abs() < 1e-13);
        let gradients = value.backward().unwrap();
        let of = |tensor: &Tensor| -> Vec<f64> {
            gradients.get(tensor).unwrap().flatten_all().unwrap().to_vec1().unwrap()
        };
        let found = (nats, x.iter().map(of).collect::<Vec<_>>());
        let (wanted, wanted_gradients) = first.get_or_insert(found.clone());
        assert!((found.0 - *wanted).abs() < 1e-12, "{} is not {wanted}", found.0);
        for (got, wanted) in found.1.concat().iter().zip(wanted_gradients.concat()) {
            assert!((got - wanted).abs() < 1e-12, "{got} is not {wanted}");
        }
    }
}

/// Refuses after three chunks, and remembers the largest.
struct Counting {
    calls: Cell<usize>,
    most: Cell<usize>,
}

impl Critic for Counting {
    fn widths(&self) -> &[usize] {
        &[1, 1]
    }

    fn outcomes(&self) -> usize {
        1
    }

    fn parts(&self, x: &[Tensor]) -> tcmax_estimators::Result<Vec<Tensor>> {
        Ok(x.to_vec())
    }

    fn combine(&self, parts: &[Tensor]) -> tcmax_estimators::Result<Tensor> {
        self.calls.set(self.calls.get() + 1);
        // The first call is for the joint examples.
        if self.calls.get() > 1 {
            self.most.set(self.most.get().max(parts[0].dim(0)?));
        }
        if self.calls.get() > 4 {
            return Err(Error::Empty { what: "this critic's patience", unit: "call" });
        }
        Ok((&parts[0] * &parts[1])?)
    }

    fn is_additive(&self) -> bool {
        false
    }

    fn parameters(&self) -> Vec<Tensor> {
        Vec::new()
    }
}

#[test]
fn more_tuples_than_could_be_listed_go_by_in_chunks() {
    let critic = Counting { calls: Cell::new(0), most: Cell::new(0) };
    // 20,000^2 tuples are more than `Tuples::all` lists.
    let x = Tensor::zeros((20_000, 1), DType::F32, &Device::Cpu).unwrap();
    let none = Labels::none(20_000, &Device::Cpu).unwrap();
    let reference = Reference::all().in_chunks_of(100);
    let result = Bound::new(&critic, &[x.clone(), x], &none, reference).map(drop);
    assert!(matches!(result, Err(Error::Empty { unit: "call", .. })));
    assert_eq!((critic.calls.get(), critic.most.get()), (5, 100));
    let zero = Tensor::zeros((2, 1), DType::F32, &Device::Cpu).unwrap();
    let none = Labels::none(2, &Device::Cpu).unwrap();
    let critic = Counting { calls: Cell::new(0), most: Cell::new(0) };
    let reference = Reference::all().in_chunks_of(0);
    let result = Bound::new(&critic, &[zero.clone(), zero], &none, reference).map(drop);
    assert!(matches!(result, Err(Error::Setting { field: "chunk", .. })));
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
        let terms = [term.clone(), term];
        let (value, cap) = bound(&terms, &labels, |b| Ok((b.nats()?, b.cap()))).unwrap();
        assert!(value < cap + 1e-9, "{value} of {cap}");
        // The cap is tight: a critic that knows every example reaches it.
        assert!(scale < 1000.0 || value > cap - 1e-9, "{value} of {cap}");
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
    let bound = bound(&[term], &labels, |b| b.total_correlation()).unwrap();
    let entropy = -(p * p.ln() + q * q.ln());
    assert!((bound - entropy).abs() < 1e-12, "{bound} is not {entropy}");
}

#[test]
fn misshapen_terms_are_named() {
    let labels = labels(&[0, 1], 2);
    assert!(bound(&[], &labels, |b| b.nats()).is_err());
    let error = bound(&terms(2, (2, 3), 1.0), &labels, |b| b.nats()).unwrap_err().to_string();
    assert!(error.contains("variable 0") && error.contains("[2, 3]"), "{error}");
    let error = bound(&terms(2, (3, 2), 1.0), &labels, |b| b.nats()).unwrap_err().to_string();
    assert!(error.contains("[3, 2]") && error.contains("[2, 2]"), "{error}");
}
