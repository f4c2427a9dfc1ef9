//! What several members compute together is what one process computes of the whole batch.

use std::sync::Arc;

use candle_core::{DType, Device, Tensor, Var};
use tcmax_ops::{
    BatchNorm2d, BatchNormConfig, Conv2dConfig, ConvUnit, Init, MaxPool2dConfig, Members,
    ParamBuilder, Seed, backward, gathered, log_sum_exp, log_sum_exp_over, to_vec_f64,
    with_summed_gradient,
};
use tcmax_parallel::{Alone, Group, Purpose, Threads, run, share};

type Failure = candle_core::Error;

fn members(count: usize) -> Vec<Threads> {
    let alone: Arc<dyn Group> = Arc::new(Alone);
    Threads::members(count, &alone).unwrap()
}

fn random(shape: &[usize], seed: u64) -> Tensor {
    let unit = Init::Normal { mean: 0.4, std: 1.5 };
    unit.tensor(&shape.into(), Seed::new(seed), DType::F64, &Device::Cpu).unwrap()
}

fn gap(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

/// What a unit of convolution, norm, residual, ReLU and maximum is made of.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Norm,
    NormRelu,
    Residual,
    Pooled,
}

/// Outputs, gradients of inputs, of parameters, and running statistics.
struct Pass {
    rows: [Vec<f64>; 2],
    gradients: Vec<Vec<f64>>,
    running: Vec<Vec<f64>>,
}

/// One training pass on some rows of the batch.
fn pass(kind: Kind, x: &Tensor, weights: &Tensor, members: Members) -> Result<Pass, Failure> {
    let failed = |error: tcmax_ops::Error| Failure::msg(error);
    let builder = ParamBuilder::new(Seed::new(3), DType::F64, &Device::Cpu).with_members(members);
    let norm = BatchNorm2d::new(&builder.pp("norm"), 3, BatchNormConfig::default());
    let norm = norm.map_err(failed)?;
    let filters = builder.filters("filters", [3, 3, 3, 3], Init::KaimingNormalFanOut);
    let conv = Conv2dConfig { stride: (1, 1), padding: (1, 1) };
    let unit = ConvUnit::new(filters.map_err(failed)?, conv, norm.clone()).map_err(failed)?;
    let input = Var::from_tensor(x)?;
    let x = input.as_tensor();
    let y = match kind {
        Kind::Norm => norm.forward(x, true)?,
        Kind::NormRelu => norm.forward_relu(x, true)?,
        Kind::Residual => unit.forward(x, Some(x), true, true)?,
        Kind::Pooled => {
            let pool = MaxPool2dConfig { kernel: (2, 2), stride: (2, 2), padding: (0, 0) };
            unit.forward_pooled(x, pool, true)?
        }
    };
    let weights = weights.narrow(1, 0, y.elem_count() / y.dim(0)?)?;
    let loss = (y.flatten_from(1)? * weights)?.sum_all()?;
    let gradients = backward(&loss)?;
    let params = builder.params();
    let of = |var: &Var| gradients.get(var.as_tensor()).map_or(Ok(Vec::new()), to_vec_f64);
    Ok(Pass {
        rows: [to_vec_f64(&y)?, of(&input)?],
        gradients: params.trainable().map(|(_, var)| of(var)).collect::<Result<_, _>>()?,
        running: params.buffers().map(|(_, var)| to_vec_f64(var)).collect::<Result<_, _>>()?,
    })
}

#[test]
fn synchronised_batch_norm_is_that_of_the_whole_batch() {
    let (x, weights) = (random(&[7, 4, 4, 3], 1), random(&[7, 48], 2));
    for kind in [Kind::Norm, Kind::NormRelu, Kind::Residual, Kind::Pooled] {
        let whole = pass(kind, &x, &weights, Members::alone()).unwrap();
        for count in [2, 3, 4] {
            let passes = run(members(count), |member| {
                let rows = share(7, member.rank(), count);
                let own = |all: &Tensor| all.narrow(0, rows.start, rows.len());
                pass(kind, &own(&x)?, &own(&weights)?, Members::new(member.clone(), true))
            });
            let passes: Vec<Pass> = passes.into_iter().map(Result::unwrap).collect();
            for part in [0, 1] {
                let rows: Vec<f64> = passes.iter().flat_map(|p| p.rows[part].clone()).collect();
                assert!(gap(&rows, &whole.rows[part]) < 1e-11, "{kind:?}, {count}, {part}");
            }
            for (p, wanted) in whole.gradients.iter().enumerate() {
                let mut sum = vec![0.0; wanted.len()];
                for pass in &passes {
                    sum.iter_mut().zip(&pass.gradients[p]).for_each(|(sum, x)| *sum += x);
                }
                let sum = if wanted.is_empty() { Vec::new() } else { sum };
                assert!(gap(&sum, wanted) < 1e-10, "{kind:?}, {count}, parameter {p}");
            }
            for pass in &passes {
                assert_eq!(pass.running, passes[0].running, "{kind:?}, {count}");
                for (own, wanted) in pass.running.iter().zip(&whole.running) {
                    assert!(gap(own, wanted) < 1e-12, "{kind:?}, {count}");
                }
            }
        }
    }
}

#[test]
fn synchronised_gradients_are_finite_differences() {
    let (x, weights) = (random(&[4, 1, 1, 3], 5), random(&[4, 3], 6));
    let evaluate = |x: &Tensor| {
        let passes = run(members(2), |member| {
            let rows = share(4, member.rank(), 2);
            let own = |all: &Tensor| all.narrow(0, rows.start, rows.len());
            pass(Kind::NormRelu, &own(x)?, &own(&weights)?, Members::new(member.clone(), true))
        });
        let passes: Vec<Pass> = passes.into_iter().map(Result::unwrap).collect();
        let y: Vec<f64> = passes.iter().flat_map(|pass| pass.rows[0].clone()).collect();
        let loss: f64 = y.iter().zip(to_vec_f64(&weights).unwrap()).map(|(y, w)| y * w).sum();
        (loss, passes.iter().flat_map(|pass| pass.rows[1].clone()).collect::<Vec<f64>>())
    };
    let (_, gradient) = evaluate(&x);
    let values = to_vec_f64(&x).unwrap();
    for (i, own) in gradient.iter().enumerate() {
        let moved = |step: f64| {
            let mut values = values.clone();
            values[i] += step;
            evaluate(&Tensor::from_vec(values, (4, 1, 1, 3), &Device::Cpu).unwrap()).0
        };
        let difference = (moved(1e-5) - moved(-1e-5)) / 2e-5;
        assert!((own - difference).abs() < 1e-8, "{i}: {own} and {difference}");
    }
}

#[test]
fn a_member_without_examples_changes_no_statistics() {
    let (x, weights) = (random(&[5, 2, 2, 3], 1), random(&[5, 12], 2));
    let whole = pass(Kind::Residual, &x, &weights, Members::alone()).unwrap();
    let passes = run(members(3), |member| {
        let others = Members::new(member.clone(), true);
        match member.rank() {
            1 => others.clone().without_counting(|| {
                let nothing = Tensor::zeros((1, 2, 2, 3), DType::F64, &Device::Cpu)?;
                pass(Kind::Residual, &nothing, &weights.zeros_like()?.narrow(0, 0, 1)?, others)
            }),
            rank => {
                let rows = share(5, rank / 2, 2);
                let own = |all: &Tensor| all.narrow(0, rows.start, rows.len());
                pass(Kind::Residual, &own(&x)?, &own(&weights)?, others)
            }
        }
    });
    let passes: Vec<Pass> = passes.into_iter().map(Result::unwrap).collect();
    assert!(
        passes[1].rows[1].iter().chain(passes[1].gradients.iter().flatten()).all(|x| *x == 0.0)
    );
    for part in [0, 1] {
        let rows = [&passes[0].rows[part][..], &passes[2].rows[part]].concat();
        assert!(gap(&rows, &whole.rows[part]) < 1e-11, "{part}");
    }
    for pass in &passes {
        for (own, wanted) in pass.running.iter().zip(&whole.running) {
            assert!(gap(own, wanted) < 1e-12);
        }
    }
}

#[test]
fn local_batch_norm_exchanges_nothing() {
    let (x, weights) = (random(&[4, 2, 2, 3], 1), random(&[4, 12], 2));
    let traffic = run(members(2), |member| {
        let rows = share(4, member.rank(), 2);
        let own = |all: &Tensor| all.narrow(0, rows.start, rows.len());
        pass(Kind::Norm, &own(&x)?, &own(&weights)?, Members::new(member.clone(), false))?;
        Ok::<u64, Failure>(member.traffic().total())
    });
    assert!(traffic.into_iter().all(|bytes| bytes.unwrap() == 0));
}

#[test]
fn rows_of_all_members_have_the_gradients_of_ones_own() {
    let (x, weights) = (random(&[7, 3], 1), random(&[7, 3], 2));
    // Every member computes the same of all rows; then each computes a part of the loss.
    for is_shared in [false, true] {
        let results = run(members(3), |member| {
            let rows = share(7, member.rank(), 3);
            let own = Var::from_tensor(&x.narrow(0, rows.start, rows.len())?)?;
            let mut all = gathered(own.as_tensor(), member.as_ref())?;
            let mut terms = (&weights * &all)?;
            if is_shared {
                all = with_summed_gradient(&all, &member)?;
                let columns = share(3, member.rank(), 3);
                terms = (&weights * &all)?.narrow(1, columns.start, columns.len())?;
            }
            let gradients = backward(&terms.sum_all()?)?;
            let gradient = gradients.get(own.as_tensor()).map_or(Ok(Vec::new()), to_vec_f64)?;
            Ok::<_, Failure>((to_vec_f64(&all)?, gradient))
        });
        let mut gradients = Vec::new();
        for result in results {
            let (all, gradient) = result.unwrap();
            assert_eq!(all, to_vec_f64(&x).unwrap());
            gradients.extend(gradient);
        }
        assert_eq!(gradients, to_vec_f64(&weights).unwrap(), "{is_shared}");
    }
}

#[test]
fn log_sum_exp_over_members_is_that_of_all_rows() {
    let x = random(&[11, 4], 1);
    let weights = random(&[4], 2);
    for dtype in [DType::F64, DType::F32] {
        let (x, weights) = (x.to_dtype(dtype).unwrap(), weights.to_dtype(dtype).unwrap());
        let whole = Var::from_tensor(&x).unwrap();
        let value = log_sum_exp(whole.as_tensor(), 0).unwrap();
        let gradients = backward(&(&value * &weights).unwrap().sum_all().unwrap()).unwrap();
        let wanted = to_vec_f64(gradients.get(whole.as_tensor()).unwrap()).unwrap();
        let tolerance = if dtype == DType::F64 { 1e-14 } else { 1e-6 };
        for count in [2, 3] {
            let results = run(members(count), |member| {
                let rows = share(11, member.rank(), count);
                let own = Var::from_tensor(&x.narrow(0, rows.start, rows.len())?)?;
                let value = log_sum_exp_over(own.as_tensor(), &member)?;
                // The loss is the sum of the members' losses.
                let loss = ((&value * &weights)?.sum_all()? / count as f64)?;
                let gradients = backward(&loss)?;
                let gradient = to_vec_f64(gradients.get(own.as_tensor()).unwrap())?;
                Ok::<_, Failure>((to_vec_f64(&value)?, gradient, member.traffic()))
            });
            let mut gradients = Vec::new();
            for result in results {
                let (own, gradient, traffic) = result.unwrap();
                assert!(gap(&own, &to_vec_f64(&value).unwrap()) < 10.0 * tolerance);
                let of_columns = (2 * 4 * dtype.size_in_bytes()) as u64;
                assert_eq!((traffic.of(Purpose::Loss), traffic.total()), (of_columns, of_columns));
                gradients.extend(gradient);
            }
            assert!(gap(&gradients, &wanted) < tolerance, "{dtype:?}, {count}");
        }
    }
}

#[test]
fn a_member_of_minus_infinities_adds_nothing() {
    let results = run(members(2), |member| {
        let value = if member.rank() == 0 { f64::NEG_INFINITY } else { 2.0 };
        let own = Tensor::full(value, (3, 1), &Device::Cpu)?;
        to_vec_f64(&log_sum_exp_over(&own, &member)?)
    });
    for result in results {
        assert!((result.unwrap()[0] - (2.0 + 3f64.ln())).abs() < 1e-15);
    }
}

#[test]
fn draws_of_training_differ_by_member_and_are_the_same_in_every_run() {
    let seeds = || {
        let seeds = run(members(2), |member| {
            let builder = ParamBuilder::new(Seed::new(1), DType::F64, &Device::Cpu);
            let builder = builder.pp("net").with_members(Members::new(member, false));
            let parameter = builder.param("w", 3, Init::Normal { mean: 0.0, std: 1.0 });
            let parameter = to_vec_f64(&parameter.map_err(Failure::msg)?)?;
            Ok::<_, Failure>((format!("{:?}", builder.seed()), parameter))
        });
        seeds.into_iter().map(Result::unwrap).collect::<Vec<_>>()
    };
    let first = seeds();
    assert_eq!(first, seeds());
    assert_ne!(first[0].0, first[1].0);
    assert_eq!(first[0].1, first[1].1);
}
