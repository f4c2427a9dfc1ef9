//! TCMax over random tuples estimates TCMax over all of them.

use candle_core::{DType, Device, Tensor};
use tcmax_estimators::{Bound, Labels, Reference, Tuples};
use tcmax_fusion::{CONCAT, FILM, FusionHead, HeadSpec};
use tcmax_losses::tcmax;
use tcmax_ops::{Init, ParamBuilder, Seed};
use tcmax_registry::Table;

fn setting(
    kind: &'static HeadSpec,
    modalities: usize,
    rows: usize,
    std: f64,
) -> (Box<dyn FusionHead>, Vec<Tensor>, Labels) {
    let builder = ParamBuilder::new(Seed::new(3), DType::F64, &Device::Cpu);
    let head = kind.build(&Table::new(), &vec![3; modalities], 4, &builder).unwrap();
    let normal = Init::Normal { mean: 0.0, std };
    let draw = |m: usize| {
        normal.tensor(&(rows, 3).into(), Seed::new(m as u64), DType::F64, &Device::Cpu).unwrap()
    };
    let labels: Vec<u32> = (0..rows as u32).map(|row| row % 4).collect();
    let labels = Labels::new(&labels, 4, &Device::Cpu).unwrap();
    (head, (0..modalities).map(draw).collect(), labels)
}

#[test]
fn the_mean_over_draws_is_the_exact_loss_but_for_the_bias_of_the_logarithm() {
    // Two examples of three modalities, as a last batch may have: most tuples have a row twice.
    for (kind, modalities, rows, std) in [(&CONCAT, 3, 2, 5.0), (&FILM, 2, 6, 2.0)] {
        let (head, z, labels) = setting(kind, modalities, rows, std);
        let scalar = |value: &Tensor| value.to_scalar::<f64>().unwrap();
        let exact = -scalar(&tcmax(head.as_ref(), &z, &labels).unwrap());
        // The relative variance of what a tuple adds to the sum, over all tuples.
        let all = Tuples::all(rows, modalities).unwrap();
        let scores = head.scores(&all.gather(&z).unwrap()).unwrap();
        let scores = scores.exp().unwrap().mean(1).unwrap();
        let scores = scores.to_vec1::<f64>().unwrap();
        let mean = scores.iter().sum::<f64>() / scores.len() as f64;
        let variance =
            scores.iter().map(|s| (s / mean - 1.0).powi(2)).sum::<f64>() / scores.len() as f64;

        let (draws, count) = (2000, 20);
        let mut values = Vec::new();
        for draw in 0..draws {
            let tuples = Tuples::random(count, rows, modalities, Seed::new(draw)).unwrap();
            let reference = Reference::of(tuples);
            let bound = Bound::new(head.as_ref(), &z, &labels, reference).unwrap();
            values.push(bound.nats().unwrap());
        }
        let mean_of = |f: &dyn Fn(f64) -> f64| {
            let terms: Vec<f64> = values.iter().map(|&value| f(value)).collect();
            let mean = terms.iter().sum::<f64>() / terms.len() as f64;
            let square = terms.iter().map(|term| (term - mean).powi(2)).sum::<f64>();
            (mean, square.sqrt() / terms.len() as f64)
        };
        // exp(-bound) is proportional to the mean of exp f, which has no bias.
        let (ratio, error) = mean_of(&|value| (exact - value).exp());
        assert!((ratio - 1.0).abs() < 4.0 * error, "{kind:?}: {ratio} with an error of {error}");
        let (mean, error) = mean_of(&|value| value);
        let bias = variance / (2.0 * f64::from(count as u32));
        assert!(
            bias > 2.0 * error,
            "{kind:?}: a bias of {bias} is not seen with an error of {error}"
        );
        let off = mean - exact - bias;
        assert!(off.abs() < 4.0 * error + 0.3 * bias, "{kind:?}: {mean} is not {exact} + {bias}");
    }
}
