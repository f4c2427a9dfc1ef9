//! Critics: every shortcut gives the values of brute force.

use candle_core::{DType, Device, Tensor};
use tcmax_estimators::bounds::log_mean_exp;
use tcmax_estimators::critics::{
    Activation, AdditiveCritic, BilinearCritic, ConcatCritic, LatentCritic, SeparableCritic,
};
use tcmax_estimators::{
    Critic, Error, Product, Tuples, log_mean_exp_all_tuples, log_mean_exp_chunked,
};
use tcmax_ops::{Init, ParamBuilder, Seed};

const WIDTHS: [usize; 3] = [2, 1, 3];

fn variables(n: usize, widths: &[usize]) -> Vec<Tensor> {
    let normal = Init::Normal { mean: 0.0, std: 1.0 };
    let draw = |(m, &d): (usize, &usize)| {
        normal.tensor(&(n, d).into(), Seed::new(m as u64), DType::F64, &Device::Cpu).unwrap()
    };
    widths.iter().enumerate().map(draw).collect()
}

fn critics(activation: Activation) -> Vec<(&'static str, Box<dyn Critic>)> {
    let builder = |seed| ParamBuilder::new(Seed::new(seed), DType::F64, &Device::Cpu);
    let additive = AdditiveCritic::new(&WIDTHS, &[4], 5, activation, &builder(2)).unwrap();
    vec![
        (
            "concat",
            Box::new(ConcatCritic::new(&WIDTHS, &[4], activation, true, &builder(0)).unwrap()),
        ),
        (
            "separable",
            Box::new(SeparableCritic::new(&WIDTHS, &[4], 3, activation, &builder(1)).unwrap()),
        ),
        ("additive", Box::new(additive.clone())),
        ("latent", Box::new(LatentCritic(additive))),
    ]
}

fn values(tensor: &Tensor) -> Vec<f64> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn assert_close(name: &str, a: &[f64], b: &[f64]) {
    assert_eq!(a.len(), b.len(), "{name}");
    for (a, b) in a.iter().zip(b) {
        assert!((a - b).abs() < 1e-12, "{name}: {a} is not {b}");
    }
}

#[test]
fn tuple_scores_are_the_scores_of_gathered_rows() {
    let x = variables(6, &WIDTHS);
    for (name, critic) in critics(Activation::Squareplus) {
        let tuples = Tuples::new(Product::Random(20), 6, 3, Seed::new(3)).unwrap();
        let direct = critic.scores(&tuples.gather(&x).unwrap()).unwrap();
        assert_close(name, &values(&critic.tuple_scores(&x, &tuples).unwrap()), &values(&direct));
    }
    let builder = ParamBuilder::new(Seed::new(0), DType::F64, &Device::Cpu);
    let critic = BilinearCritic::new([2, 1], &builder).unwrap();
    let tuples = Tuples::all(6, 2).unwrap();
    let direct = critic.scores(&tuples.gather(&x[..2]).unwrap()).unwrap();
    let fast = critic.tuple_scores(&x[..2], &tuples).unwrap();
    assert_close("bilinear", &values(&fast), &values(&direct));
}

#[test]
fn factorised_sums_are_those_over_all_tuples() {
    let x = variables(5, &WIDTHS);
    let tuples = Tuples::all(5, 3).unwrap();
    for (name, critic) in critics(Activation::Relu) {
        let brute = log_mean_exp(&critic.scores(&tuples.gather(&x).unwrap()).unwrap()).unwrap();
        let brute = values(&brute);
        assert_close(name, &values(&log_mean_exp_all_tuples(critic.as_ref(), &x).unwrap()), &brute);
        for chunk in [1, 7, 1000] {
            let value = log_mean_exp_chunked(critic.as_ref(), &x, &tuples, chunk).unwrap();
            assert_close(name, &[value], &brute);
        }
        let factorises = critic.factorised_log_sum(&x).unwrap().is_some();
        assert_eq!(factorises, matches!(name, "additive" | "latent"), "{name}");
    }
}

#[test]
fn a_reference_to_a_critic_takes_the_same_shortcuts() {
    let x = variables(5, &WIDTHS);
    let builder = ParamBuilder::new(Seed::new(2), DType::F64, &Device::Cpu);
    let owned = AdditiveCritic::new(&WIDTHS, &[4], 5, Activation::Relu, &builder).unwrap();
    let latent = LatentCritic(&owned as &dyn Critic);
    assert!(latent.factorised_log_sum(&x).unwrap().is_some());
    assert_eq!((latent.num_outcomes(), latent.num_variables()), (1, 3));
}

/// A critic that writes no more than it must.
struct Plain;

impl Critic for Plain {
    fn num_variables(&self) -> usize {
        2
    }

    fn num_outcomes(&self) -> usize {
        1
    }

    fn scores(&self, variables: &[Tensor]) -> tcmax_estimators::Result<Tensor> {
        Ok((&variables[0] * &variables[1])?)
    }

    fn additive_terms(&self, _: &[Tensor]) -> tcmax_estimators::Result<Option<Vec<Tensor>>> {
        Ok(None)
    }
}

/// One that puts parts together by the tuple scores of another, as a wrapper might.
struct Wrapper(Plain);

impl Critic for Wrapper {
    fn num_variables(&self) -> usize {
        2
    }

    fn num_outcomes(&self) -> usize {
        1
    }

    fn scores(&self, variables: &[Tensor]) -> tcmax_estimators::Result<Tensor> {
        self.0.scores(variables)
    }

    fn additive_terms(&self, _: &[Tensor]) -> tcmax_estimators::Result<Option<Vec<Tensor>>> {
        Ok(None)
    }

    fn tuple_scores(&self, x: &[Tensor], tuples: &Tuples) -> tcmax_estimators::Result<Tensor> {
        self.part_scores(&self.row_parts(x)?, tuples)
    }
}

#[test]
fn defaults_of_critics_end() {
    let x = variables(4, &[1, 1]);
    let tuples = Tuples::all(4, 2).unwrap();
    let wanted = values(&Plain.scores(&tuples.gather(&x).unwrap()).unwrap());
    assert_close("plain", &values(&Plain.tuple_scores(&x, &tuples).unwrap()), &wanted);
    assert_close("plain", &values(&Plain.part_scores(&x, &tuples).unwrap()), &wanted);
    let wrapper = Wrapper(Plain);
    assert_close("wrapper", &values(&wrapper.tuple_scores(&x, &tuples).unwrap()), &wanted);
    assert_close("wrapper", &values(&wrapper.part_scores(&x, &tuples).unwrap()), &wanted);
}

#[test]
fn misshapen_input_is_named() {
    for (name, critic) in critics(Activation::Relu) {
        let error = critic.scores(&variables(4, &[2, 1])).unwrap_err();
        assert!(matches!(error, Error::WrongShape { .. }), "{name}: {error}");
        let error = critic.scores(&variables(4, &[2, 2, 3])).unwrap_err().to_string();
        assert!(error.contains("variable 1") && error.contains("[4, 2]"), "{name}: {error}");
    }
}
