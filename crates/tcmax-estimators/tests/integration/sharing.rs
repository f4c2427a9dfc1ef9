//! A bound that members share in is the bound of one process.

use std::sync::Arc;

use candle_core::{DType, Device, Tensor, Var};
use tcmax_estimators::critic::{AdditiveCritic, Critic, SeparableCritic, TermsCritic};
use tcmax_estimators::{Bound, Labels, Reference, Sharing, Tuples};
use tcmax_ops::{Activation, Init, ParamBuilder, Seed, backward, to_scalar_f64, to_vec_f64};
use tcmax_parallel::{Alone, Group, Purpose, Threads, run, share};

const ROWS: usize = 7;
const LABELS: [u32; ROWS] = [0, 2, 1, 1, 0, 2, 2];

fn members(count: usize) -> Vec<Threads> {
    let alone: Arc<dyn Group> = Arc::new(Alone);
    Threads::members(count, &alone).unwrap()
}

fn random(columns: usize, seed: u64) -> Tensor {
    let unit = Init::Normal { mean: 0.1, std: 1.2 };
    unit.tensor(&(ROWS, columns).into(), Seed::new(seed), DType::F64, &Device::Cpu).unwrap()
}

/// Value, total correlation, and gradients of two variables and of the critic's parameters.
type Values = (f64, f64, Vec<Vec<f64>>);

fn values(bound: &Bound<'_>, vars: &[Tensor], group: Option<&dyn Group>) -> Values {
    let value = bound.value().unwrap();
    let gradients = backward(&value).unwrap();
    let of = |var: &Tensor| {
        let zeros = || vec![0.0; var.elem_count()];
        gradients.get(var).map_or_else(zeros, |gradient| to_vec_f64(gradient).unwrap())
    };
    let mut sum = [to_scalar_f64(&value).unwrap(), bound.nats().unwrap()];
    if let Some(group) = group {
        group.sum_f64(&mut sum, Purpose::Control).unwrap();
    }
    assert!((sum[0] - sum[1]).abs() < 1e-12);
    (sum[0], bound.total_correlation_of(sum[0]), vars.iter().map(of).collect())
}

fn assert_close(a: &[f64], b: &[f64], what: &str) {
    assert_eq!(a.len(), b.len(), "{what}");
    for (a, b) in a.iter().zip(b) {
        assert!((a - b).abs() < 1e-11, "{what}: {a} and {b}");
    }
}

#[test]
fn members_with_rows_of_their_own_exchange_two_numbers_per_class_and_variable() {
    let (x, y) = (random(3, 1), random(3, 2));
    let labels = Labels::new(&LABELS, 3, &Device::Cpu).unwrap();
    let critic = TermsCritic::new(2, 3);
    let vars = [&x, &y].map(|t| Var::from_tensor(t).unwrap().as_tensor().clone());
    let whole = Bound::new(&critic, &vars, &labels, Reference::all()).unwrap();
    let wanted = values(&whole, &vars, None);
    let cap = whole.cap();
    assert!((wanted.1 - whole.total_correlation().unwrap()).abs() < 1e-12);
    for count in [2, 3] {
        let results = run(members(count), |member| {
            let rows = share(ROWS, member.rank(), count);
            let own = |t: &Tensor| Var::from_tensor(&t.narrow(0, rows.start, rows.len()).unwrap());
            let vars = [own(&x).unwrap(), own(&y).unwrap()].map(|var| var.as_tensor().clone());
            let own = Labels::new(&LABELS[rows.clone()], 3, &Device::Cpu).unwrap();
            let weight = rows.len() as f64 / ROWS as f64;
            let sharing = Sharing::Rows { group: &member, whole: &labels, weight };
            let bound = Bound::shared(&critic, &vars, &own, Reference::all(), sharing).unwrap();
            let of_loss = member.traffic().of(Purpose::Loss);
            assert_eq!(of_loss, 2 * 2 * 3 * 8, "2 M C numbers");
            assert_eq!(bound.cap(), cap);
            assert!(bound.variable_losses().is_err());
            Ok::<_, std::convert::Infallible>(values(&bound, &vars, Some(member.as_ref())))
        });
        let results: Vec<Values> = results.into_iter().map(Result::unwrap).collect();
        for (value, total_correlation, _) in &results {
            assert_close(&[*value, *total_correlation], &[wanted.0, wanted.1], "values");
        }
        for (v, wanted) in wanted.2.iter().enumerate() {
            let rows: Vec<f64> = results.iter().flat_map(|result| result.2[v].clone()).collect();
            assert_close(&rows, wanted, "gradients of rows");
        }
    }
}

#[test]
fn members_with_all_rows_share_out_the_tuples() {
    let (x, y) = (random(2, 1), random(2, 2));
    let labels = Labels::new(&LABELS, 3, &Device::Cpu).unwrap();
    let one_outcome = Labels::none(ROWS, &Device::Cpu).unwrap();
    let builder = ParamBuilder::new(Seed::new(4), DType::F64, &Device::Cpu);
    let separable = SeparableCritic::new(&[2, 2], &[5], 3, Activation::Relu, &builder.pp("a"));
    let additive = AdditiveCritic::new(&[2, 2], &[5], 3, Activation::Relu, &builder.pp("b"));
    let critics: [(Box<dyn Critic + Sync>, &Labels); 2] =
        [(Box::new(separable.unwrap()), &one_outcome), (Box::new(additive.unwrap()), &labels)];
    for (critic, labels) in &critics {
        for reference in [
            Reference::all(),
            Reference::all().in_chunks_of(4),
            Reference::of(Tuples::random(30, ROWS, 2, Seed::new(8)).unwrap()).in_chunks_of(7),
        ] {
            let fresh = || {
                let vars = [&x, &y].map(|t| Var::from_tensor(t).unwrap().as_tensor().clone());
                let watched = [vars.to_vec(), critic.parameters()].concat();
                (vars, watched)
            };
            let (vars, watched) = fresh();
            let whole = Bound::new(critic.as_ref(), &vars, labels, reference.clone()).unwrap();
            let wanted = values(&whole, &watched, None);
            for count in [2, 3] {
                let results = run(members(count), |member| {
                    let (vars, watched) = fresh();
                    let sharing = Sharing::Tuples { group: &member };
                    let reference = reference.clone();
                    let bound = Bound::shared(critic.as_ref(), &vars, labels, reference, sharing);
                    let bound = bound.unwrap();
                    assert_eq!(member.traffic().total(), 16);
                    let values = values(&bound, &watched, Some(member.as_ref()));
                    Ok::<_, std::convert::Infallible>(values)
                });
                let results: Vec<Values> = results.into_iter().map(Result::unwrap).collect();
                for (value, _, _) in &results {
                    assert_close(&[*value], &[wanted.0], "values");
                }
                for (v, wanted) in wanted.2.iter().enumerate() {
                    let mut sum = vec![0.0; wanted.len()];
                    for result in &results {
                        sum.iter_mut().zip(&result.2[v]).for_each(|(sum, x)| *sum += x);
                    }
                    assert_close(&sum, wanted, "gradients");
                }
            }
        }
    }
}

#[test]
fn rows_of_a_critic_that_is_not_additive_cannot_be_shared() {
    let builder = ParamBuilder::new(Seed::new(4), DType::F64, &Device::Cpu);
    let critic = SeparableCritic::new(&[2, 2], &[5], 3, Activation::Relu, &builder).unwrap();
    let labels = Labels::none(ROWS, &Device::Cpu).unwrap();
    let alone: Arc<dyn Group> = Arc::new(Alone);
    let sharing = Sharing::Rows { group: &alone, whole: &labels, weight: 1.0 };
    let x = [random(2, 1), random(2, 2)];
    let error = Bound::shared(&critic, &x, &labels, Reference::all(), sharing).err().unwrap();
    assert!(error.to_string().contains("additive"), "{error}");
}
