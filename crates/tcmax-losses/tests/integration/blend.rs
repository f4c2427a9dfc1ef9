//! TCMax's blend with cross-entropy and its form within classes: gradients, limits, and what each does not see.

use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Tensor};
use tcmax_estimators::bound::WithinClasses;
use tcmax_estimators::{Bound, Labels, Reference};
use tcmax_fusion::{CONCAT, FusionHead, GATED, HeadSpec, SHARED};
use tcmax_losses::methods::{JOINT, TCMAX};
use tcmax_losses::{
    Clock, MethodSpec, ParameterGroups, Setup, Spread, Step, StepOutput, cross_entropy, tcmax,
};
use tcmax_ops::{
    Branches, Init, ParamBuilder, Params, Seed, gradient_error, to_scalar_f64, to_vec_f64,
};
use tcmax_registry::Table;

struct Example {
    head: Box<dyn FusionHead>,
    params: Params,
    features: Vec<Tensor>,
    labels: Labels,
    spec: &'static HeadSpec,
}

fn example(spec: &'static HeadSpec, modalities: usize, truth: &[u32], scale: f64) -> Example {
    let builder = ParamBuilder::new(Seed::new(3), DType::F64, &Device::Cpu);
    let head = spec.build(&Table::new(), &vec![4; modalities], 3, &builder).unwrap();
    let unit = Init::Normal { mean: 0.1, std: scale };
    let features = (0..modalities).map(|m| {
        let seed = Seed::new(4).index(m as u64);
        unit.tensor(&(truth.len(), 4).into(), seed, DType::F64, &Device::Cpu).unwrap()
    });
    let (features, labels) = (features.collect(), Labels::new(truth, 3, &Device::Cpu).unwrap());
    Example { head, params: builder.params(), features, labels, spec }
}

impl Example {
    fn bound(&self, z: &[Tensor], reference: Reference) -> Bound<'_> {
        Bound::new(self.head.as_ref(), z, &self.labels, reference).unwrap()
    }

    /// The output and all gradients of one step.
    fn step(&self, method: &MethodSpec, options: &Table) -> (StepOutput, Vec<(String, Vec<f64>)>) {
        let widths = vec![4; self.features.len()];
        let setup = Setup::alone(&widths, 3, self.spec);
        let mut method = method.build(options, &setup).unwrap();
        let rows: Vec<usize> = (0..self.labels.len()).collect();
        let mut found = Vec::new();
        let output = method.step(&mut Step {
            head: self.head.as_ref(),
            features: &self.features,
            branches: &Branches::default(),
            labels: &self.labels,
            rows: &rows,
            only: &[],
            taught: None,
            groups: &ParameterGroups::by_prefix(&self.params, &[]),
            clock: Clock { epoch: 0, epochs: 1, batch: 0, batches: 1 },
            seed: Seed::new(0),
            spread: Spread::alone(),
            update: &mut |gradients: &mut GradStore| {
                for (name, var) in self.params.trainable() {
                    if let Some(gradient) = gradients.get(var.as_tensor()) {
                        found.push((name.to_owned(), to_vec_f64(gradient)?));
                    }
                }
                Ok(())
            },
        });
        (output.unwrap(), found)
    }
}

const TRUTH: [u32; 7] = [0, 1, 2, 0, 1, 0, 2];
/// All tuples.
fn all() -> WithinClasses {
    WithinClasses { most: 1 << 16, seed: Seed::new(1) }
}

macro_rules! options {
    ($name:literal, $value:expr) => {
        Table::from_iter([($name.to_owned(), $value.into())])
    };
}

fn passed_on(error: &tcmax_estimators::Error) -> tcmax_ops::Error {
    tcmax_ops::Error::Candle(candle_core::Error::Msg(error.to_string()))
}

#[test]
fn gradients_are_those_of_the_values() {
    for (spec, scale) in [(&CONCAT, 1.0), (&CONCAT, 300.0), (&GATED, 1.0), (&GATED, 20.0)] {
        for truth in [&TRUTH[..], &[1]] {
            let two = example(spec, 2, truth, scale);
            for weight in [0.0, 0.1, 0.7, 1.0] {
                for reference in [Reference::all(), Reference::all().in_chunks_of(5)] {
                    let blended = |z: &[Tensor]| {
                        let bound =
                            Bound::new(two.head.as_ref(), z, &two.labels, reference.clone());
                        bound.and_then(|bound| bound.blended(weight)).map_err(|e| passed_on(&e))
                    };
                    let error = gradient_error(&two.features, blended).unwrap();
                    assert!(error < 1e-6, "{spec}, {scale}, {weight}: {error:e}");
                }
                let within = |z: &[Tensor]| {
                    let bound = Bound::new(two.head.as_ref(), z, &two.labels, Reference::all());
                    let value = bound.and_then(|bound| bound.blended_within_classes(weight, all()));
                    value.map_err(|error| passed_on(&error))
                };
                let error = gradient_error(&two.features, within).unwrap();
                assert!(error < 1e-6, "{spec}, {scale}, {weight}, within classes: {error:e}");
            }
        }
    }
}

#[test]
fn a_blend_is_the_share_of_both_losses() {
    for spec in [&CONCAT, &GATED] {
        for (modalities, truth) in [(2, &TRUTH[..]), (2, &[2])] {
            let one = example(spec, modalities, truth, 1.0);
            let value = |tensor: &Tensor| to_scalar_f64(tensor).unwrap();
            let ce = value(
                &cross_entropy(&one.head.scores(&one.features).unwrap(), &one.labels).unwrap(),
            );
            let whole = value(&tcmax(one.head.as_ref(), &one.features, &one.labels).unwrap());
            for weight in [0.0, 0.25, 1.0] {
                let bound = one.bound(&one.features, Reference::all());
                let got = -value(&bound.blended(weight).unwrap());
                let wanted = (1.0 - weight) * ce + weight * whole;
                assert!((got - wanted).abs() < 1e-12, "{spec}: {got} and {wanted}");
            }
        }
    }
}

#[test]
fn weight_0_is_joint_training_to_the_bit() {
    for spec in [&CONCAT, &GATED, &SHARED] {
        let two = example(spec, 2, &TRUTH, 1.0);
        let (joint, of_joint) = two.step(&JOINT, &Table::new());
        let (ours, of_ours) = two.step(&TCMAX, &options!("weight", 0.0));
        assert_eq!(
            joint.loss.value().unwrap().to_bits(),
            ours.loss.value().unwrap().to_bits(),
            "{spec}"
        );
        assert_eq!(of_joint, of_ours, "{spec}");
    }
}

#[test]
fn weight_1_is_the_loss_as_it_was() {
    let two = example(&CONCAT, 2, &TRUTH, 1.0);
    let (output, _) = two.step(&TCMAX, &Table::new());
    let loss = tcmax(two.head.as_ref(), &two.features, &two.labels).unwrap();
    assert_eq!(output.loss.value().unwrap().to_bits(), to_scalar_f64(&loss).unwrap().to_bits());
}

#[test]
fn within_classes_an_additive_head_has_the_same_loss() {
    let two = example(&CONCAT, 2, &TRUTH, 1.0);
    let form = options!("form", "within-classes");
    let (plain, within) = (two.step(&TCMAX, &Table::new()), two.step(&TCMAX, &form));
    assert_eq!(plain.0.loss.value().unwrap().to_bits(), within.0.loss.value().unwrap().to_bits());
    assert_eq!(plain.1, within.1);
}

#[test]
fn within_classes_no_head_sees_which_examples_of_a_class_belong_together() {
    // The examples of each class in another order in the second modality alone.
    let order = Tensor::new(&[3u32, 4, 6, 5, 1, 0, 2], &Device::Cpu).unwrap();
    let two = example(&GATED, 2, &TRUTH, 1.0);
    let again = [two.features[0].clone(), two.features[1].index_select(&order, 0).unwrap()];
    let loss = |z: &[Tensor], within: bool| {
        let bound = two.bound(z, Reference::all());
        let value = match within {
            true => bound.blended_within_classes(1.0, all()).unwrap(),
            false => bound.value().unwrap(),
        };
        to_scalar_f64(&value).unwrap()
    };
    assert!((loss(&two.features, true) - loss(&again, true)).abs() < 1e-12);
    assert!((loss(&two.features, false) - loss(&again, false)).abs() > 1e-3);
}

#[test]
fn gradients_are_clipped_from_three_modalities_on() {
    let clip = |modalities: usize, options: &Table| {
        let setup = Setup::alone(&vec![4; modalities], 3, &CONCAT);
        TCMAX.build(options, &setup).unwrap().usual_clip_norm()
    };
    assert_eq!(clip(2, &Table::new()), None);
    assert_eq!(clip(3, &Table::new()), Some(5.0));
    assert_eq!(clip(3, &options!("weight", 0.0)), None, "that is joint training");
}

#[test]
fn weights_out_of_range_are_refused() {
    let setup = Setup::alone(&[4, 4], 3, &CONCAT);
    for weight in [1.5, -0.1, f64::NAN] {
        assert!(TCMAX.build(&options!("weight", weight), &setup).is_err(), "{weight}");
    }
    assert!(TCMAX.build(&options!("weight", "best"), &setup).is_err());
    assert!(TCMAX.build(&options!("form", "other"), &setup).is_err());
    assert!(TCMAX.build(&options!("weight", "auto"), &setup).is_ok());
}
