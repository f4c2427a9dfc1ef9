//! Methods with parameters of their own: their losses have the gradients of their values, and what their definitions
//! say holds, for two and three modalities, a batch of one, and logits of +-500.

use std::collections::BTreeMap;

use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Tensor};
use tcmax_estimators::Labels;
use tcmax_fusion::{CONCAT, FusionHead, SUM};
use tcmax_losses::methods::amco::{Amco, AmcoOptions, masked_logits, masses};
use tcmax_losses::methods::aug::{Aug, AugOptions};
use tcmax_losses::methods::boosting::{Boosted, fused};
use tcmax_losses::methods::cggm_direction::{Direction, coefficients};
use tcmax_losses::methods::iprm::{on_sphere, probe};
use tcmax_losses::methods::pdf::{self, RegressionTarget};
use tcmax_losses::methods::reading::Reading;
use tcmax_losses::methods::{AMCO, AUG, CGGM, IPRM, PDF};
use tcmax_losses::{
    Clock, EpochContext, METHOD_PREFIX, Method, MethodSpec, ParameterGroups, Part, Setup, Spread,
    Step, StepOutput, Study, Visit, cross_entropy,
};
use tcmax_ops::{
    Init, ParamBuilder, Params, Seed, State, gradient_error, to_scalar_f64, to_vec_f64,
};
use tcmax_registry::Table;

const LIMIT: f64 = 1e-6;
const WIDTH: usize = 4;
const EPOCHS: usize = 4;
const OWN: [&MethodSpec; 5] = [&AMCO, &PDF, &IPRM, &CGGM, &AUG];

fn random(shape: &[usize], scale: f64, seed: Seed) -> Tensor {
    let normal = Init::Normal { mean: 0.0, std: scale };
    normal.tensor(&shape.into(), seed, DType::F64, &Device::Cpu).unwrap()
}

/// A head, a method and features that are parameters themselves, as encoders of one layer would be.
struct Net {
    spec: &'static MethodSpec,
    options: Table,
    setup: Setup,
    head: Box<dyn FusionHead>,
    params: Params,
    groups: ParameterGroups,
    features: Vec<Tensor>,
    labels: Labels,
}

impl Net {
    fn new(spec: &'static MethodSpec, options: Table, y: &[u32], modalities: usize) -> Self {
        Self::scaled(spec, options, y, modalities, 1.0)
    }

    fn scaled(
        spec: &'static MethodSpec,
        options: Table,
        y: &[u32],
        modalities: usize,
        scale: f64,
    ) -> Self {
        let (seed, classes) = (Seed::new(4), 3);
        let builder = ParamBuilder::new(seed, DType::F64, &Device::Cpu);
        let unit = Init::Normal { mean: 0.0, std: scale };
        let prefixes: Vec<String> = (0..modalities).map(|m| format!("encoder{m}")).collect();
        let features = prefixes
            .iter()
            .map(|prefix| builder.pp(prefix).param("z", (y.len(), WIDTH), unit).unwrap());
        let features = features.collect();
        let widths = vec![WIDTH; modalities];
        let head = spec.usual_head.build(&Table::new(), &widths, classes, &builder).unwrap();
        let own = builder.pp(METHOD_PREFIX).again();
        let setup = Setup {
            examples: y.len(),
            epochs: EPOCHS,
            own,
            ..Setup::alone(&widths, classes, spec.usual_head)
        };
        spec.build(&options, &setup).unwrap();
        let params = builder.params();
        let groups = ParameterGroups::by_prefix(&params, &prefixes);
        let labels = Labels::new(y, classes, &Device::Cpu).unwrap();
        Self { spec, options, setup, head, params, groups, features, labels }
    }

    fn method(&self) -> Box<dyn Method> {
        self.spec.build(&self.options, &self.setup).unwrap()
    }

    /// One step of gradient descent; the gradients of every update by name.
    fn step(
        &self,
        method: &mut dyn Method,
        (epoch, batch): (usize, usize),
    ) -> tcmax_losses::Result<(StepOutput, Vec<BTreeMap<String, Tensor>>)> {
        let mut handed = Vec::new();
        let output = method.step(&mut Step {
            head: self.head.as_ref(),
            features: &self.features,
            labels: &self.labels,
            rows: &(0..self.labels.len()).collect::<Vec<_>>(),
            only: &[],
            taught: None,
            groups: &self.groups,
            clock: Clock { epoch, epochs: EPOCHS, batch, batches: 8 },
            seed: Seed::new(batch as u64),
            spread: Spread::alone(),
            update: &mut |gradients: &mut GradStore| {
                let mut found = BTreeMap::new();
                for (name, var) in self.params.trainable() {
                    if let Some(gradient) = gradients.get(var.as_tensor()) {
                        found.insert(name.to_owned(), gradient.clone());
                        var.set(&(var.as_tensor() - (gradient * 0.1)?)?)?;
                    }
                }
                handed.push(found);
                Ok(())
            },
        })?;
        Ok((output, handed))
    }

    fn begin(&self, method: &mut dyn Method, epoch: usize) {
        method.begin_epoch(&mut Nothing { net: self, epoch }).unwrap();
    }
}

/// An epoch whose data no one looks at.
struct Nothing<'a> {
    net: &'a Net,
    epoch: usize,
}

impl EpochContext for Nothing<'_> {
    fn clock(&self) -> Clock {
        Clock { epoch: self.epoch, epochs: EPOCHS, batch: 0, batches: 8 }
    }

    fn seed(&self) -> Seed {
        Seed::new(0)
    }

    fn each(&mut self, _: Part, _: &mut Visit<'_>) -> tcmax_losses::Result<()> {
        panic!("nothing to look at")
    }

    fn study(&mut self, _: Part, _: usize, _: &mut Study<'_>) -> tcmax_losses::Result<()> {
        panic!("nothing to study")
    }

    fn params(&self) -> &Params {
        &self.net.params
    }

    fn groups(&self) -> &ParameterGroups {
        &self.net.groups
    }

    fn teach(&mut self) -> tcmax_losses::Result<()> {
        panic!("no one to teach")
    }

    fn reset_optimiser(&mut self) -> tcmax_losses::Result<()> {
        panic!("no optimiser")
    }
}

fn options(name: &str, value: f64) -> Table {
    // A whole number where one is wanted.
    let value = if name == "hidden" { (value as i64).into() } else { value.into() };
    Table::from_iter([(name.to_owned(), value)])
}

fn modalities_of(spec: &MethodSpec) -> Vec<usize> {
    if spec.check(spec.usual_head, 3).is_ok() { vec![2, 3] } else { vec![2] }
}

fn values(tensor: &Tensor) -> Vec<f64> {
    to_vec_f64(tensor).unwrap()
}

fn metric(output: &StepOutput, name: &str) -> f64 {
    output.metrics.iter().find(|(other, _)| other == name).unwrap().1
}

/// Logits of each modality, and labels: repeats, and a batch of one; of order 1 and of +-500.
fn logits(modalities: usize) -> Vec<(Vec<Tensor>, Labels)> {
    let mut all = Vec::new();
    for y in [&[2u32, 0, 2, 1][..], &[1]] {
        for scale in [1.0, 300.0] {
            let of = |m: usize| random(&[y.len(), 3], scale, Seed::new(7).index(m as u64));
            let labels = Labels::new(y, 3, &Device::Cpu).unwrap();
            all.push(((0..modalities).map(of).collect(), labels));
        }
    }
    all
}

fn check(inputs: &[Tensor], what: &str, loss: impl Fn(&[Tensor]) -> tcmax_losses::Result<Tensor>) {
    let error = gradient_error(inputs, |x| {
        loss(x)
            .map_err(|error| tcmax_ops::Error::Candle(candle_core::Error::Msg(error.to_string())))
    });
    let error = error.unwrap();
    assert!(error < LIMIT, "{what}: {error:e}");
}

#[test]
fn losses_have_the_gradients_of_their_values() {
    for modalities in [2, 3] {
        for (own, labels) in logits(modalities) {
            let labels = &labels;
            check(&own, "AMCo", |own| {
                let dependent: Vec<bool> = (0..modalities).map(|m| m == 1).collect();
                let own = masked_logits(own, &[1.0, 0.0, 1.0], &dependent)?;
                let sum = tcmax_ops::sum_of(&own)?;
                let mut loss = cross_entropy(&sum, labels)?;
                for logits in &own {
                    loss = (loss + cross_entropy(logits, labels)?)?;
                }
                Ok(loss)
            });
            let confidences: Vec<Tensor> = (0..modalities)
                .map(|m| Tensor::full(0.3 + 0.1 * m as f64, labels.len(), &Device::Cpu).unwrap())
                .collect();
            let logs: Vec<Vec<f64>> =
                confidences.iter().map(|c| values(c).iter().map(|c| c.ln()).collect()).collect();
            let inputs: Vec<Tensor> = own.iter().chain(&confidences).cloned().collect();
            check(&inputs, "PDF", |x| {
                let (own, confidences) = x.split_at(modalities);
                let fused = pdf::mixed(own, &pdf::weights(&logs, None))?;
                pdf::losses(&fused, own, confidences, labels, RegressionTarget::Live)?.total()
            });
            // Without the gradient of what the learners before the last know, which is a constant.
            let known = Boosted::new(&own).unwrap().parts(labels).unwrap();
            assert!(known.iter().all(|part| to_scalar_f64(part).unwrap().is_finite()));
            check(&own[1..], "AUG", |rest| {
                let learners = [&own[..1], rest].concat();
                let boosted = Boosted::new(&learners)?;
                Ok(tcmax_ops::sum_of(&boosted.parts(labels)?[..3])?)
            });
            check(&own[modalities - 1..], "AUG's last learner", |last| {
                let learners = [&own[..modalities - 1], last].concat();
                Boosted::new(&learners)?.loss(labels, 0.5)
            });
            let k: Vec<f64> = (0..modalities).map(|m| 1.0 - 0.7 * m as f64).collect();
            let weight = |m: usize, seed| random(&[3, 4], 1.0, Seed::new(seed).index(m as u64));
            let weights: Vec<Tensor> = (0..modalities).map(|m| weight(m, 1)).collect();
            let heads: Vec<Tensor> = (0..modalities).map(|m| weight(m, 2)).collect();
            check(&heads, "CGGM", |heads| Ok(Direction::new(&k, &weights, heads)?.loss));
            let features: Vec<Tensor> = (0..modalities)
                .map(|m| random(&[labels.len(), 4], 1.0, Seed::new(3).index(m as u64)))
                .collect();
            let own_logits: Vec<Tensor> = (0..modalities)
                .map(|m| random(&[labels.len(), 3], 1.0, Seed::new(5).index(m as u64)))
                .collect();
            // V holds its features still: only the logits move.
            check(&own[..1], "CGGM, gradients", |fused| {
                let cosines =
                    Direction::of_gradients(&k, &own_logits, &fused[0], &features, labels)?;
                Ok(cosines.loss)
            });
        }
    }
}

#[test]
fn mixtures_on_the_sphere_have_the_gradients_of_their_values() {
    for rows in [1, 5] {
        let z = [1, 2].map(|seed| random(&[rows, WIDTH], 1.0, Seed::new(seed)));
        let cotangent = random(&[rows, WIDTH], 1.0, Seed::new(3));
        for weight in [0.0, 0.3, 0.5, 1.0] {
            let weights = || [vec![weight], vec![1.0 - weight]];
            check(&z, "on the sphere", |z| {
                Ok((on_sphere(&z[0], &z[1], weights())? * &cotangent)?.sum_all()?)
            });
            // Between unit vectors along the shortest path: of length one, whatever the weight.
            let mixed = on_sphere(&z[0], &z[1], weights()).unwrap();
            let lengths = mixed.sqr().unwrap().sum(1).unwrap();
            assert!(values(&lengths).iter().all(|length| (length - 1.0).abs() < 1e-12));
        }
        // Weights 0 and 1 are the features themselves.
        let ends = on_sphere(&z[0], &z[1], [vec![1.0], vec![0.0]]).unwrap();
        let first = tcmax_fusion::normalised(&z[0]).unwrap();
        let gap = (ends - first).unwrap().abs().unwrap().max_all().unwrap();
        assert!(to_scalar_f64(&gap).unwrap() < 1e-12);
    }
}

#[test]
fn parallel_and_opposite_features_have_a_mixture() {
    let first = Tensor::new(&[[1.0, 2.0, 0.0], [1.0, 2.0, 0.0], [0.0; 3]], &Device::Cpu).unwrap();
    let second =
        Tensor::new(&[[2.0, 4.0, 0.0], [-3.0, -6.0, 0.0], [0.0, 1.0, 0.0]], &Device::Cpu).unwrap();
    let vars = [first, second].map(|z| candle_core::Var::from_tensor(&z).unwrap());
    let [first, second] = vars.each_ref().map(candle_core::Var::as_tensor);
    let mixed = on_sphere(first, second, [vec![0.4], vec![0.6]]).unwrap();
    let gradients = mixed.sum_all().unwrap().backward().unwrap();
    for tensor in [&mixed, gradients.get(first).unwrap(), gradients.get(second).unwrap()] {
        assert!(values(tensor).iter().all(|x| x.is_finite()), "{tensor}");
    }
    // Parallel: the common direction.
    let same = values(&mixed.get(0).unwrap());
    assert!((same[0] - 1.0 / 5f64.sqrt()).abs() < 1e-9, "{same:?}");
    // At the border of the limit for nearly parallel features both forms agree.
    let at = |angle: f64| {
        let turned = [[angle.cos(), angle.sin(), 0.0]];
        let of = |x: &[[f64; 3]; 1]| candle_core::Var::new(x, &Device::Cpu).unwrap();
        let (first, second) = (of(&[[1.0, 0.0, 0.0]]), of(&turned));
        let mixed = on_sphere(first.as_tensor(), second.as_tensor(), [vec![0.4], vec![0.5]]);
        let mixed = mixed.unwrap();
        let gradients = mixed.sum_all().unwrap().backward().unwrap();
        [values(&mixed), values(gradients.get(second.as_tensor()).unwrap())].concat()
    };
    for (below, above) in at(0.99999e-4).iter().zip(at(1.00001e-4)) {
        assert!((below - above).abs() < 1e-8, "{below} and {above}");
    }
}

#[test]
fn a_step_is_finite_for_a_batch_of_one_and_large_logits() {
    for spec in OWN {
        for modalities in modalities_of(spec) {
            for reading in ["paper", "code"] {
                let mut options = Table::new();
                if *spec == CGGM || *spec == AUG {
                    options.insert("as".to_owned(), reading.into());
                }
                for (y, scale) in [(&[1u32][..], 1.0), (&[1], 900.0), (&[2, 0, 2, 1], 900.0)] {
                    let net = Net::scaled(spec, options.clone(), y, modalities, scale);
                    let mut method = net.method();
                    net.begin(method.as_mut(), 2);
                    for batch in 0..3 {
                        let (output, handed) = net.step(method.as_mut(), (2, batch)).unwrap();
                        let what = format!("{spec}, {reading}, {modalities}, {scale}, {batch}");
                        assert!(output.loss.is_finite(), "{what}");
                        assert!(output.metrics.iter().all(|(_, x)| x.is_finite()), "{what}");
                        assert!(values(&output.logits).iter().all(|x| x.is_finite()), "{what}");
                        for (name, gradient) in handed.iter().flatten() {
                            let finite = values(gradient).iter().all(|x| x.is_finite());
                            assert!(finite, "{what}: {name}");
                        }
                    }
                    let predicted = method.predict(net.head.as_ref(), &net.features).unwrap();
                    assert!(values(&predicted).iter().all(|x| x.is_finite()));
                }
            }
        }
    }
}

#[test]
fn a_loss_that_is_not_finite_is_an_error_and_updates_nothing() {
    for spec in OWN {
        let net = Net::scaled(spec, Table::new(), &[0, 1, 2], 2, f64::NAN);
        let before = net.params.snapshot().unwrap();
        let error = net.step(net.method().as_mut(), (0, 0)).unwrap_err();
        assert!(matches!(error, tcmax_losses::Error::NotFinite { .. }), "{spec}: {error}");
        for (name, value) in net.params.snapshot().unwrap() {
            let unchanged = |(a, b): (f64, f64)| a.to_bits() == b.to_bits();
            let pairs = values(&value).into_iter().zip(values(&before[&name]));
            // Buffers are no parameters, and a run ends here.
            let is_parameter = net.params.trainable().any(|(other, _)| other == name);
            assert!(!is_parameter || pairs.into_iter().all(unchanged), "{spec}: {name}");
        }
    }
}

#[test]
fn what_is_remembered_goes_on_where_it_was() {
    for spec in OWN {
        let run = |interrupted: bool, wiped: bool| -> State {
            // Any difference of scores counts.
            let options = if *spec == AUG { options("tolerance", 0.0) } else { Table::new() };
            let net = Net::new(spec, options, &[0, 1, 2, 1], 2);
            let mut method = net.method();
            net.begin(method.as_mut(), 0);
            for batch in 0..3 {
                net.step(method.as_mut(), (0, batch)).unwrap();
            }
            if interrupted {
                let mut state = method.state().unwrap();
                if wiped {
                    state.values_mut().for_each(|value| *value = value.zeros_like().unwrap());
                }
                method = net.method();
                method.load_state(&state).unwrap();
            }
            for epoch in 1..3 {
                net.begin(method.as_mut(), epoch);
                for batch in 0..2 {
                    net.step(method.as_mut(), (epoch, batch)).unwrap();
                }
            }
            net.params.snapshot().unwrap()
        };
        let same = |one: &State, other: &State| {
            one.iter().all(|(name, value)| values(value) == values(&other[name]))
        };
        let whole = run(false, false);
        assert!(same(&whole, &run(true, false)), "{spec}");
        let remembers =
            !Net::new(spec, Table::new(), &[0, 1], 2).method().state().unwrap().is_empty();
        assert_eq!(remembers, [&CGGM, &AUG].contains(&spec), "{spec}");
        assert!(!remembers || !same(&whole, &run(true, true)), "{spec}: memory does not matter");
    }
}

#[test]
fn amco_masks_nothing_in_the_first_epoch_and_soon_all_in_later_ones() {
    let net = Net::new(&AMCO, options("sigma", 0.0), &[0, 1, 2, 1], 2);
    for (epoch, wanted) in
        [(0, [0.0; 5]), (1, [0.0, 1.0, 2.0, 3.0, 3.0]), (3, [0.0, 3.0, 3.0, 3.0, 3.0])]
    {
        let mut method = net.method();
        net.begin(method.as_mut(), epoch);
        for (batch, wanted) in wanted.into_iter().enumerate() {
            let (output, handed) = net.step(method.as_mut(), (epoch, batch)).unwrap();
            assert_eq!(metric(&output, "masked classes"), wanted, "epoch {epoch}, batch {batch}");
            if wanted == 3.0 {
                // Every class of every modality is masked: no gradient is left for it.
                let largest = handed[0]["encoder0.z"].abs().unwrap().max_all().unwrap();
                assert_eq!(to_scalar_f64(&largest).unwrap(), 0.0);
                assert!(handed[0].contains_key("method.mix.bias"));
            }
        }
    }
}

#[test]
fn amco_masks_those_that_are_depended_on_alone() {
    // All the mass is the second modality's.
    let own = [0.0, 50.0].map(|x| Tensor::full(x, (2, 3), &Device::Cpu).unwrap());
    let shares = masses(&own).unwrap();
    assert!(shares[0] < 1e-9 && (shares[1] - 1.0).abs() < 1e-9);
    let masked = masked_logits(&own, &[1.0, 0.0, 1.0], &[false, true]).unwrap();
    assert_eq!(values(&masked[0]), values(&own[0]));
    assert_eq!(values(&masked[1].get(0).unwrap()), [50.0, 0.0, 50.0]);
    // With two modalities at most one has more than half.
    let net = Net::new(&AMCO, Table::new(), &[0, 1, 2, 1], 2);
    let setup = &net.setup;
    let mut method = Amco::new(AmcoOptions::default(), setup).unwrap();
    for batch in 0..4 {
        net.step(&mut method, (1, batch)).unwrap();
        assert!(method.dependent().iter().filter(|&&flag| flag).count() <= 1);
    }
    net.begin(&mut method, 2);
    assert_eq!((method.progress(), method.dependent()), (0.0, &[false, false][..]));
}

#[test]
fn pdf_trusts_who_is_sure_and_calibrates_by_the_distance_from_uniform() {
    let log = |c: f64| vec![f64::ln(c)];
    let weights = pdf::weights(&[log(0.9), log(0.2), log(0.2)], None);
    assert!(weights[0][0] > weights[1][0] && (weights[1][0] - weights[2][0]).abs() < 1e-15);
    let sum: f64 = weights.iter().map(|weights| weights[0]).sum();
    assert!((sum - 1.0).abs() < 1e-15);
    // Certainty of both leaves a weight.
    let certain = pdf::weights(&[vec![0.0], vec![-1e-12]], None);
    assert!((certain[0][0] - 0.5).abs() < 1e-6, "{certain:?}");
    let own = [[5.0, 0.0], [0.1, 0.0]].map(|row| Tensor::new(&[row], &Device::Cpu).unwrap());
    let ratios = pdf::calibration(&own).unwrap();
    assert_eq!(ratios[0], [1.0]);
    let distance = |x: f64| 1.0 / (1.0 + f64::exp(-x)) - 0.5;
    assert!((ratios[1][0] - distance(0.1) / distance(5.0)).abs() < 1e-12);
    let uniform = [0.0, 0.0].map(|x| Tensor::full(x, (1, 2), &Device::Cpu).unwrap());
    assert_eq!(pdf::calibration(&uniform).unwrap(), [[1.0], [1.0]]);
}

#[test]
fn pdf_trains_its_nets_on_features_that_they_do_not_change() {
    let net = Net::new(&PDF, Table::new(), &[0, 1, 2, 1], 2);
    let (_, with) = net.step(net.method().as_mut(), (0, 0)).unwrap();
    assert!(with[0].keys().any(|name| name.starts_with("method.confidence.1.2")));
    // The features' gradient is that of the cross-entropies alone.
    let net = Net::new(&PDF, Table::new(), &[0, 1, 2, 1], 2);
    let own = net.head.modality_logits(&net.features).unwrap();
    let mut method = net.method();
    let (output, _) = net.step(method.as_mut(), (0, 0)).unwrap();
    // Weights do not depend on the features as far as gradients know.
    let share = (&output.logits - &own[1]).unwrap();
    let share = (share / (&own[0] - &own[1]).unwrap()).unwrap().mean(1).unwrap();
    let weights = [share.clone(), (1.0 - share).unwrap()];
    let net = Net::new(&PDF, Table::new(), &[0, 1, 2, 1], 2);
    let own = net.head.modality_logits(&net.features).unwrap();
    let mixed = pdf::mixed(&own, &weights.map(|w| values(&w))).unwrap();
    let mut loss = cross_entropy(&mixed, &net.labels).unwrap();
    for logits in &own {
        loss = (loss + cross_entropy(logits, &net.labels).unwrap()).unwrap();
    }
    let gradients = loss.backward().unwrap();
    for (m, z) in net.features.iter().enumerate() {
        let gap = (gradients.get(z).unwrap() - &with[0][&format!("encoder{m}.z")]).unwrap();
        assert!(values(&gap).iter().all(|x| x.abs() < 1e-9), "{gap}");
    }
}

#[test]
fn iprm_favours_the_modality_that_the_mixture_is_closer_to() {
    let of = |x: f64| Tensor::new(&[[x, 0.0, 0.0]], &Device::Cpu).unwrap();
    let found = probe(&[of(1.0), of(3.0)], &of(1.2)).unwrap();
    assert!(found.divergences[0] < found.divergences[1]);
    assert!(found.estimate[0] > found.estimate[1]);
    assert_eq!(probe(&[of(1.0), of(1.0)], &of(1.0)).unwrap().estimate, [0.5, 0.5]);
    let far = probe(&[of(500.0), of(-500.0)], &of(-500.0)).unwrap();
    assert!(far.estimate[1] > 0.999, "{far:?}");
}

#[test]
fn iprm_predicts_with_the_running_weights() {
    let net = Net::new(&IPRM, Table::new(), &[0, 1, 2, 1], 2);
    let mut method = net.method();
    let mut wanted = [0.5; 2];
    for batch in 0..4 {
        let (output, _) = net.step(method.as_mut(), (0, batch)).unwrap();
        let running = [0, 1].map(|m| metric(&output, &format!("running weight {m}")));
        assert!(running.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-12));
        let estimate = [0, 1].map(|m| metric(&output, &format!("weight {m}")));
        wanted = [0, 1].map(|m| 0.8 * running[m] + 0.2 * estimate[m]);
    }
    // What predictions need is saved with the model.
    let predicted = method.predict(net.head.as_ref(), &net.features).unwrap();
    let again = net.method().predict(net.head.as_ref(), &net.features).unwrap();
    assert_eq!(values(&predicted), values(&again));
    net.params.buffers().for_each(|(_, var)| var.set(&var.zeros_like().unwrap()).unwrap());
    let other = method.predict(net.head.as_ref(), &net.features).unwrap();
    assert_ne!(values(&predicted), values(&other));
    let unequal = Setup::alone(&[3, 4], 2, &SUM);
    let error = IPRM.build(&Table::new(), &unequal).err().unwrap();
    assert!(matches!(error, tcmax_losses::Error::UnequalWidths { .. }), "{error}");
}

#[test]
fn cggm_slows_down_who_gains_and_has_bounds_if_asked() {
    let k = coefficients(&[0.0, 0.0, 0.0], &[0.5, 0.25, 0.25]);
    assert!(k[0] < k[1] && (k[1] - k[2]).abs() < 1e-12);
    // Accuracies that stay change nothing.
    assert_eq!(coefficients(&[0.5, 0.25], &[0.5, 0.25]), [1.0, 1.0]);
    let bounded = |bound: Option<f64>| {
        let mut options = Table::new();
        if let Some(bound) = bound {
            options.insert("bound".to_owned(), bound.into());
        }
        let net = Net::new(&CGGM, options, &[0, 1, 2, 1, 0, 2], 2);
        let mut method = net.method();
        // Gains that cancel: the first of two classifiers forgets what the second learns.
        let mut state = method.state().unwrap();
        let (output, _) = net.step(net.method().as_mut(), (0, 0)).unwrap();
        let accuracy = |m: usize| metric(&output, &format!("accuracy of the classifier {m}"));
        let before = [accuracy(0) + 0.125, accuracy(1) - 0.125];
        state.insert("accuracies".to_owned(), Tensor::new(&before, &Device::Cpu).unwrap());
        let net = Net::new(&CGGM, net.options.clone(), &[0, 1, 2, 1, 0, 2], 2);
        method = net.method();
        method.load_state(&state).unwrap();
        let (output, _) = net.step(method.as_mut(), (0, 1)).unwrap();
        metric(&output, "coefficient 0").abs()
    };
    assert!(bounded(None) > 1e5);
    assert_eq!(bounded(Some(2.0)), 2.0);
}

#[test]
fn cggm_trains_the_head_on_the_direction_of_the_step_before() {
    let run = |lambda: f64, reading: &str| {
        let mut options = options("lambda", lambda);
        options.insert("as".to_owned(), reading.into());
        let net = Net::new(&CGGM, options, &[0, 1, 2, 1], 2);
        let mut method = net.method();
        let first = net.step(method.as_mut(), (0, 0)).unwrap().1.remove(0);
        (first, net.step(method.as_mut(), (0, 1)).unwrap().1.remove(0))
    };
    let differ = |one: &BTreeMap<String, Tensor>, other: &BTreeMap<String, Tensor>, name: &str| {
        values(&one[name]) != values(&other[name])
    };
    let (without, with) = (run(0.0, "code"), run(0.5, "code"));
    for name in ["fc_out.weight", "encoder0.z"] {
        assert!(!differ(&without.0, &with.0, name), "the first step has no direction: {name}");
    }
    assert!(differ(&without.1, &with.1, "fc_out.weight"));
    assert!(!differ(&without.1, &with.1, "encoder0.z"), "encoders get nothing from it");
    assert!(!with.1.keys().any(|name| name.starts_with("method.")), "they have their own");
    let (without, with) = (run(0.0, "paper"), run(0.5, "paper"));
    for name in ["fc_out.weight", "encoder0.z"] {
        assert!(differ(&without.0, &with.0, name), "of the same step: {name}");
    }
}

/// AUG's net after two epochs, and the learners in use.
fn boosted(reading: &str) -> (Net, Box<dyn Method>, Vec<usize>) {
    let mut options = options("hidden", 5.0);
    options.insert("as".to_owned(), reading.into());
    let net = Net::new(&AUG, options, &[0, 1, 2, 1], 2);
    let mut method = net.method();
    for epoch in 0..2 {
        net.begin(method.as_mut(), epoch);
        net.step(method.as_mut(), (epoch, 0)).unwrap();
    }
    let reading = if reading == "paper" { Reading::Paper } else { Reading::Code };
    let own = Aug::new(AugOptions { reading, hidden: 5, ..AugOptions::default() }, &net.setup);
    let added = own.unwrap().added().unwrap();
    (net, method, added)
}

#[test]
fn aug_adds_a_learner_to_the_weaker_modality() {
    for reading in ["paper", "code"] {
        let (net, mut method, added) = boosted(reading);
        assert_eq!(added.iter().sum::<usize>(), 1, "{reading}: {added:?}");
        let m = added.iter().position(|&count| count == 1).unwrap();
        let start = Net::new(&AUG, net.options.clone(), &[0, 1, 2, 1], 2).params.snapshot();
        let (start, now) = (start.unwrap(), net.params.snapshot().unwrap());
        let name = format!("method.added.{m}.0.weight");
        let moved = values(&start[&name]) != values(&now[&name]);
        assert_eq!(moved, reading == "paper", "only the paper's learners are trained");
        assert_ne!(
            values(&start[&format!("method.base.{m}.weight")]),
            values(&now[&format!("method.base.{m}.weight")])
        );
        // How many are in use is saved with the model: without it predictions are others.
        let predicted = method.predict(net.head.as_ref(), &net.features).unwrap();
        let again = net.method().predict(net.head.as_ref(), &net.features).unwrap();
        assert_eq!(values(&predicted), values(&again));
        net.params.buffers().for_each(|(_, var)| var.set(&var.zeros_like().unwrap()).unwrap());
        let other = net.method().predict(net.head.as_ref(), &net.features).unwrap();
        assert_ne!(values(&predicted), values(&other));
        // There are never more than were made.
        for epoch in 2..12 {
            net.begin(method.as_mut(), epoch);
            net.step(method.as_mut(), (epoch, 0)).unwrap();
        }
    }
}

#[test]
fn aug_takes_turns_and_its_second_turn_sees_the_first() {
    let net = Net::new(&AUG, options("hidden", 5.0), &[0, 1, 2, 1], 2);
    let (_, handed) = net.step(net.method().as_mut(), (0, 0)).unwrap();
    assert_eq!(handed.len(), 2);
    for (m, handed) in handed.iter().enumerate() {
        assert!(handed.contains_key("method.last.weight"));
        assert!(handed.contains_key(&format!("encoder{m}.z")));
        assert!(!handed.contains_key(&format!("encoder{}.z", 1 - m)));
        assert_eq!(handed.contains_key("fc_out.weight"), m == 0, "the head learns once");
        assert!(!handed.keys().any(|name| name.starts_with("method.added")), "none is in use");
    }
    let totals = [1.0, 2.0].map(|x| Tensor::full(x, (1, 2), &Device::Cpu).unwrap());
    assert!((values(&fused(&totals, 0.4).unwrap())[0] - 1.6).abs() < 1e-15);
    let three = [&totals[..], &totals[..1]].concat();
    assert!((values(&fused(&three, 0.4).unwrap())[0] - 4.0 / 3.0).abs() < 1e-15);
    assert_eq!(AUG.usual_head, &CONCAT);
}
