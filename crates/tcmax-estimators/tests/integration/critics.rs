//! Critics: every shortcut gives the values of brute force.

use candle_core::{DType, Device, Tensor};
use tcmax_estimators::bound::log_mean_exp;
use tcmax_estimators::critic::{
    Activation, AdditiveCritic, BilinearCritic, ConcatCritic, ConcatExtras, LatentCritic,
    SeparableCritic,
};
use tcmax_estimators::{Bound, Critic, Error, Labels, Reference, Tuples};
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
    let extras = |products| ConcatExtras { quadratic: true, products };
    let additive = AdditiveCritic::new(&WIDTHS, &[4], 5, activation, &builder(2)).unwrap();
    vec![
        (
            "concat",
            Box::new(ConcatCritic::new(&WIDTHS, &[4], activation, extras(0), &builder(0)).unwrap()),
        ),
        (
            "concat with products",
            Box::new(ConcatCritic::new(&WIDTHS, &[4], activation, extras(3), &builder(0)).unwrap()),
        ),
        (
            "separable",
            Box::new(SeparableCritic::new(&WIDTHS, &[4], 3, activation, &builder(1)).unwrap()),
        ),
        ("additive", Box::new(additive.clone())),
        ("latent", Box::new(LatentCritic(Box::new(additive)))),
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
fn scores_of_tuples_are_combined_from_gathered_parts() {
    let x = variables(6, &WIDTHS);
    for (name, critic) in critics(Activation::Squareplus) {
        let tuples = Tuples::random(20, 6, 3, Seed::new(3)).unwrap();
        let direct = critic.scores(&tuples.gather(&x).unwrap()).unwrap();
        let parts = tuples.gather(&critic.parts(&x).unwrap()).unwrap();
        assert_close(name, &values(&critic.combine(&parts).unwrap()), &values(&direct));
    }
    let builder = ParamBuilder::new(Seed::new(0), DType::F64, &Device::Cpu);
    let critic = BilinearCritic::new([2, 1], &builder).unwrap();
    let tuples = Tuples::all(6, 2).unwrap();
    let direct = critic.scores(&tuples.gather(&x[..2]).unwrap()).unwrap();
    let parts = tuples.gather(&critic.parts(&x[..2]).unwrap()).unwrap();
    assert_close("bilinear", &values(&critic.combine(&parts).unwrap()), &values(&direct));
}

#[test]
fn bounds_over_all_tuples_are_those_of_brute_force() {
    let x = variables(5, &WIDTHS);
    let tuples = Tuples::all(5, 3).unwrap();
    for (name, critic) in critics(Activation::Relu) {
        let labels: Vec<u32> = (0..5).map(|row| row % critic.outcomes() as u32).collect();
        let labels = Labels::new(&labels, critic.outcomes(), &Device::Cpu).unwrap();
        let joint = labels.pick(&critic.scores(&x).unwrap()).unwrap().mean_all().unwrap();
        let product = critic.scores(&tuples.gather(&x).unwrap()).unwrap();
        let brute = values(&(joint - log_mean_exp(&product).unwrap()).unwrap());
        for chunk in [1, 7, 1000] {
            let reference = Reference::all().in_chunks_of(chunk);
            let bound = Bound::new(critic.as_ref(), &x, &labels, reference).unwrap();
            assert_close(name, &[bound.nats().unwrap()], &brute);
            assert_close(name, &values(&bound.value().unwrap()), &brute);
        }
        assert_eq!(critic.is_additive(), matches!(name, "additive" | "latent"), "{name}");
    }
}

#[test]
fn gradients_of_a_bound_reach_every_parameter_and_are_the_same_in_chunks() {
    let x = variables(5, &WIDTHS);
    for (name, critic) in critics(Activation::Squareplus) {
        let labels = vec![0; 5];
        let labels = Labels::new(&labels, critic.outcomes(), &Device::Cpu).unwrap();
        let gradients = |chunk: usize| -> Vec<Vec<f64>> {
            let reference = Reference::all().in_chunks_of(chunk);
            let bound = Bound::new(critic.as_ref(), &x, &labels, reference).unwrap();
            let gradients = bound.value().unwrap().backward().unwrap();
            let of = |parameter| gradients.get(parameter).map(values);
            critic.parameters().iter().map(|parameter| of(parameter).expect(name)).collect()
        };
        let (together, in_chunks) = (gradients(1000), gradients(7));
        assert!(together.iter().flatten().all(|gradient| gradient.is_finite()), "{name}");
        for (together, in_chunks) in together.iter().zip(&in_chunks) {
            assert_close(name, in_chunks, together);
        }
    }
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
