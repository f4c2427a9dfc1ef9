//! Methods that plan their epochs, or train in phases: what they plan, train on and leave alone.

use std::collections::BTreeMap;

use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Tensor};
use tcmax_estimators::Labels;
use tcmax_fusion::{CONCAT, FusionHead, SPECIFIC};
use tcmax_losses::methods::modality_valuation::{imbalance, repeated};
use tcmax_losses::methods::reconboost::{BoostedHead, PhiKind, alignment, boosting_loss, known};
use tcmax_losses::methods::valuation::{Worth, contributions, logits_of, shapley};
use tcmax_losses::methods::{MODALITY_VALUATION, RECONBOOST, REMIX, SAMPLE_VALUATION, remix};
use tcmax_losses::{
    Clock, EpochContext, EpochPlan, METHOD_PREFIX, Method, MethodSpec, ParameterGroups, Part,
    Planned, Setup, Spread, Step, StepOutput, Study, Surveyed, Visit, cross_entropy,
};
use tcmax_ops::{Init, ParamBuilder, Params, Seed, gradient_error, to_vec_f64};
use tcmax_registry::Table;

const CLASSES: usize = 3;
const WIDTH: usize = 4;
const EXAMPLES: usize = 11;
const LIMIT: f64 = 1e-6;

fn random(shape: (usize, usize), scale: f64, seed: u64) -> Tensor {
    let normal = Init::Normal { mean: 0.0, std: scale };
    normal.tensor(&shape.into(), Seed::new(seed), DType::F64, &Device::Cpu).unwrap()
}

fn labels(rows: &[usize]) -> Labels {
    let classes: Vec<u32> = rows.iter().map(|&row| (row * 5 / 3 % CLASSES) as u32).collect();
    Labels::new(&classes, CLASSES, &Device::Cpu).unwrap()
}

/// Linear encoders of random inputs, and a head.
struct Net {
    inputs: Vec<Tensor>,
    encoders: Vec<Tensor>,
    head: Box<dyn FusionHead>,
    params: Params,
    groups: ParameterGroups,
    /// How often the optimiser was made to forget.
    forgotten: usize,
}

/// A net of so many modalities, with features of a scale, and a method for it.
fn net(
    spec: &'static MethodSpec,
    options: &Table,
    (modalities, scale): (usize, f64),
) -> (Net, Box<dyn Method>) {
    let builder = ParamBuilder::new(Seed::new(4), DType::F64, &Device::Cpu);
    let prefixes: Vec<String> = (0..modalities).map(|m| format!("net{m}")).collect();
    let unit = Init::Normal { mean: 0.0, std: 0.7 };
    let encoders = prefixes
        .iter()
        .map(|prefix| builder.pp(prefix).param("weight", (WIDTH, WIDTH), unit).unwrap());
    let encoders = encoders.collect();
    let inputs = (0..modalities).map(|m| random((EXAMPLES, WIDTH), scale, 30 + m as u64));
    let inputs = inputs.collect();
    let widths = vec![WIDTH; modalities];
    let head = spec.usual_head.build(&Table::new(), &widths, CLASSES, &builder.pp("head"));
    let setup = Setup {
        examples: EXAMPLES,
        batch_size: 4,
        epochs: 9,
        own: builder.pp(METHOD_PREFIX).again(),
        ..Setup::alone(&widths, CLASSES, spec.usual_head)
    };
    let method = spec.build(options, &setup).unwrap();
    let params = builder.params();
    let groups = ParameterGroups::by_prefix(&params, &prefixes);
    (Net { inputs, encoders, head: head.unwrap(), params, groups, forgotten: 0 }, method)
}

impl Net {
    fn features(&self, rows: &[usize]) -> Vec<Tensor> {
        let rows: Vec<u32> = rows.iter().map(|&row| row as u32).collect();
        let rows = Tensor::new(rows, &Device::Cpu).unwrap();
        let encode = |(x, weight): (&Tensor, &Tensor)| {
            x.index_select(&rows, 0).unwrap().matmul(weight).unwrap()
        };
        self.inputs.iter().zip(&self.encoders).map(encode).collect()
    }

    /// One step by plain gradient descent; the gradients it is handed.
    fn step(
        &self,
        method: &mut dyn Method,
        batch: &[Planned],
        epoch: usize,
    ) -> (StepOutput, BTreeMap<String, Vec<f64>>) {
        let rows: Vec<usize> = batch.iter().map(|example| example.row).collect();
        let only: Vec<Option<usize>> = batch.iter().map(|example| example.only).collect();
        let is_planned = only.iter().any(Option::is_some);
        let mut features = self.features(&rows);
        for (m, z) in features.iter_mut().enumerate() {
            let flags = only.iter().map(|only| f64::from(u8::from(only.is_none_or(|k| k == m))));
            let flags = Tensor::from_vec(flags.collect(), (rows.len(), 1), &Device::Cpu).unwrap();
            *z = z.broadcast_mul(&flags).unwrap();
        }
        let mut handed = BTreeMap::new();
        let output = method.step(&mut Step {
            head: self.head.as_ref(),
            features: &features,
            labels: &labels(&rows),
            rows: &rows,
            only: if is_planned { &only } else { &[] },
            taught: None,
            groups: &self.groups,
            clock: Clock { epoch, epochs: 9, batch: 0, batches: 3 },
            seed: Seed::new(2),
            spread: Spread::alone(),
            update: &mut |gradients: &mut GradStore| {
                for (name, var) in self.params.trainable() {
                    let Some(gradient) = gradients.get(var.as_tensor()) else { continue };
                    handed.insert(name.to_owned(), to_vec_f64(gradient)?);
                    var.set(&(var.as_tensor() - (gradient * 0.1)?)?)?;
                }
                Ok(())
            },
        });
        (output.unwrap(), handed)
    }
}

/// The data before an epoch, in batches of an order of its own.
struct All<'a>(&'a mut Net, usize);

impl EpochContext for All<'_> {
    fn clock(&self) -> Clock {
        Clock { epoch: self.1, epochs: 9, batch: 0, batches: 3 }
    }

    fn seed(&self) -> Seed {
        Seed::new(8).index(self.1 as u64)
    }

    fn each(&mut self, _: Part, visit: &mut Visit<'_>) -> tcmax_losses::Result<()> {
        let order: Vec<usize> = (0..EXAMPLES).map(|i| i * 7 % EXAMPLES).collect();
        for rows in order.chunks(3) {
            let features = self.0.features(rows);
            let features: Vec<Tensor> = features.iter().map(Tensor::detach).collect();
            let (head, features) = (self.0.head.as_ref(), &features[..]);
            visit(Surveyed { head, features, labels: &labels(rows), rows })?;
        }
        Ok(())
    }

    fn study(&mut self, _: Part, _: usize, _: &mut Study<'_>) -> tcmax_losses::Result<()> {
        unreachable!("no method here studies a batch")
    }

    fn params(&self) -> &Params {
        &self.0.params
    }

    fn groups(&self) -> &ParameterGroups {
        &self.0.groups
    }

    fn teach(&mut self) -> tcmax_losses::Result<()> {
        unreachable!("no method here has a teacher")
    }

    fn reset_optimiser(&mut self) -> tcmax_losses::Result<()> {
        self.0.forgotten += 1;
        Ok(())
    }
}

fn plan_of(net: &mut Net, method: &mut dyn Method, epoch: usize) -> Option<EpochPlan> {
    method.begin_epoch(&mut All(net, epoch)).unwrap();
    let plan = method.take_plan();
    assert!(method.take_plan().is_none(), "a plan is for one epoch");
    plan
}

fn warm_up(epochs: i64) -> Table {
    Table::from_iter([("warm-up".to_owned(), epochs.into())])
}

fn whole(rows: &[usize]) -> Vec<Planned> {
    rows.iter().copied().map(Planned::whole).collect()
}

#[test]
fn contributions_add_up_to_the_worth_of_all_and_do_not_depend_on_the_order() {
    for modalities in [1usize, 2, 3, 4] {
        let sets = 1usize << modalities;
        let mut worths: Vec<f64> = (0..sets).map(|set| ((set * 7 + 3) % 5) as f64).collect();
        worths[0] = 0.0;
        let phi = shapley(&worths);
        assert!((phi.iter().sum::<f64>() - worths[sets - 1]).abs() < 1e-12);
        // Modalities in the opposite order.
        let turned = |set: usize| {
            (0..modalities).filter(|m| set & (1 << m) != 0).map(|m| 1 << (modalities - 1 - m)).sum()
        };
        let mut other = vec![0.0; sets];
        for (set, worth) in worths.iter().enumerate() {
            let turned: usize = turned(set);
            other[turned] = *worth;
        }
        let other = shapley(&other);
        for (phi, other) in phi.iter().zip(other.iter().rev()) {
            assert!((phi - other).abs() < 1e-12);
        }
    }
    // A right prediction of a pair is worth 2, or 1.
    assert_eq!([Worth::Size.of(2, true), Worth::One.of(2, true)], [2.0, 1.0]);
    assert_eq!([Worth::Size.of(2, false), Worth::One.of(0, true)], [0.0, 0.0]);
}

#[test]
fn a_modality_without_influence_contributes_nothing() {
    let (mut net, _) = net(&SAMPLE_VALUATION, &Table::new(), (3, 1.0));
    // The third modality's features are zeros, with it and without.
    net.inputs[2] = net.inputs[2].zeros_like().unwrap();
    let rows: Vec<usize> = (0..EXAMPLES).collect();
    let features = net.features(&rows);
    let bias_alone = logits_of(net.head.as_ref(), &features, 0b100).unwrap();
    let nothing = logits_of(net.head.as_ref(), &features, 0).unwrap();
    assert_eq!(to_vec_f64(&bias_alone).unwrap(), to_vec_f64(&nothing).unwrap());
    let found = contributions(net.head.as_ref(), &features, &labels(&rows), Worth::One).unwrap();
    assert!(found.iter().all(|phi| phi.len() == 3 && phi.iter().all(|phi| phi.abs() <= 1.0)));
}

#[test]
fn sample_valuation_repeats_what_contributes_little() {
    for modalities in [2, 3] {
        let (mut net, mut method) = net(&SAMPLE_VALUATION, &warm_up(2), (modalities, 1.0));
        assert!(plan_of(&mut net, method.as_mut(), 1).is_none(), "warm-up");
        let plan = plan_of(&mut net, method.as_mut(), 2).unwrap();
        let rows: Vec<usize> = (0..EXAMPLES).collect();
        let features = net.features(&rows);
        let phi = contributions(net.head.as_ref(), &features, &labels(&rows), Worth::Size).unwrap();
        let mut wanted = whole(&rows);
        for (row, phi) in phi.iter().enumerate() {
            for (m, &phi) in phi.iter().enumerate() {
                let copies = match phi {
                    phi if phi < -0.1 => 3,
                    phi if phi < 0.4 => 2,
                    phi if phi < 1.0 => 1,
                    _ => 0,
                };
                wanted.extend(vec![Planned::only(row, m); copies]);
            }
        }
        let sorted = |mut planned: Vec<Planned>| {
            planned.sort_by_key(|example| (example.row, example.only));
            planned
        };
        let planned = plan.batches.concat();
        assert_ne!(planned, sorted(planned.clone()), "in a random order");
        assert_eq!(sorted(planned), sorted(wanted));
        assert!(plan.batches.iter().rev().skip(1).all(|batch| batch.len() == 4));
        // Another epoch has another order, and the same epoch the same.
        assert_eq!(plan_of(&mut net, method.as_mut(), 2).unwrap(), plan);
        assert_ne!(plan_of(&mut net, method.as_mut(), 3).unwrap(), plan);
    }
}

#[test]
fn modality_valuation_repeats_the_modality_with_the_largest_gap() {
    // With gaps 1, .4 and .1 the pairs differ by .6, .3 and .9.
    let (share, gaps) = imbalance(&[0.0, 0.6, 0.9], 0.5);
    assert!((share - 1.8 / 2.0 * 2.0 / 3.0 * 0.5).abs() < 1e-15);
    assert!((gaps[1] - 0.4).abs() < 1e-15);
    let added = repeated(&[0.6, 0.0, 0.9], 0.5, 11);
    assert_eq!((added.modality, added.count), (1, 3));
    for modalities in [2, 3] {
        let (mut net, mut method) = net(&MODALITY_VALUATION, &warm_up(1), (modalities, 1.0));
        // The last modality knows nothing.
        net.inputs[modalities - 1] = net.inputs[modalities - 1].affine(1e-9, 0.0).unwrap();
        assert!(plan_of(&mut net, method.as_mut(), 0).is_none(), "warm-up");
        for epoch in 1..5 {
            let plan = plan_of(&mut net, method.as_mut(), epoch).unwrap();
            let (mut rows, mut repeated) = (Vec::new(), Vec::new());
            for example in plan.batches.concat() {
                match example.only {
                    None => rows.push(example.row),
                    Some(m) => repeated.push(m),
                }
            }
            rows.sort_unstable();
            assert_eq!(rows, (0..EXAMPLES).collect::<Vec<_>>());
            repeated.dedup();
            assert!(repeated.len() <= 1, "one modality alone: {repeated:?}");
        }
    }
}

#[test]
fn remixed_epochs_have_batches_of_the_less_certain_modality() {
    for modalities in [2, 3] {
        let (mut net, mut method) = net(&REMIX, &warm_up(1), (modalities, 1.0));
        assert!(plan_of(&mut net, method.as_mut(), 0).is_none(), "warm-up");
        let plan = plan_of(&mut net, method.as_mut(), 1).unwrap();
        let rows: Vec<usize> = (0..EXAMPLES).collect();
        let own = net.head.modality_logits(&net.features(&rows)).unwrap();
        let certainties = remix::certainties(&own).unwrap();
        let mut planned = plan.batches.concat();
        let order: Vec<usize> = planned.iter().map(|example| example.only.unwrap()).collect();
        assert!(order.is_sorted_by(|a, b| a >= b), "the last modality first: {order:?}");
        assert!(plan.batches.iter().all(|batch| batch.iter().all(|e| e.only == batch[0].only)));
        planned.sort_by_key(|example| example.row);
        assert_eq!(planned.iter().map(|e| e.row).collect::<Vec<_>>(), rows);
        for example in planned {
            let of = |m: usize| certainties[m][example.row];
            let least = (0..modalities).map(of).fold(f64::INFINITY, f64::min);
            assert_eq!(of(example.only.unwrap()), least);
        }
    }
    // Of equals the last; and certainties in bits, whatever the logits.
    assert_eq!(remix::assignments(&[vec![0.5, 0.1], vec![0.5, 0.2], vec![0.6, 0.1]]), [1, 2]);
    let logits = Tensor::new(&[[500f64, -500.0, -500.0, -500.0], [9.0; 4]], &Device::Cpu).unwrap();
    assert_eq!(remix::certainties(&[logits]).unwrap(), [[2.0, 0.0]]);
}

#[test]
fn remixed_steps_train_the_modality_that_counts() {
    let gamma = Table::from_iter([("gamma".to_owned(), 0.5.into())]);
    for modalities in [2, 3] {
        for rows in [vec![3], vec![0, 4, 7, 7]] {
            let (net, mut method) = net(&REMIX, &gamma, (modalities, 1.0));
            let m = modalities - 1;
            let features = net.features(&rows);
            let fused = logits_of(net.head.as_ref(), &features, 1 << m).unwrap();
            let own = &net.head.modality_logits(&features).unwrap()[m];
            let value = |logits: &Tensor| {
                cross_entropy(logits, &labels(&rows)).unwrap().to_scalar::<f64>().unwrap()
            };
            let wanted = value(&fused) + 0.5 * value(own);
            let batch: Vec<Planned> = rows.iter().map(|&row| Planned::only(row, m)).collect();
            let (output, handed) = net.step(method.as_mut(), &batch, 10);
            assert!((output.loss - wanted).abs() < 1e-12, "{} {wanted}", output.loss);
            for (name, gradient) in handed {
                let others = (0..m).map(|k| format!("net{k}."));
                let is_other = others.into_iter().any(|prefix| name.starts_with(&prefix));
                let largest = gradient.iter().fold(0f64, |most, g| most.max(g.abs()));
                assert_eq!(largest == 0.0, is_other || is_own_layer_of_other(&name, m), "{name}");
            }
        }
    }
    // Batches of several modalities, as when a trainer joins small ones: the mean over their examples.
    let (net, mut method) = net(&REMIX, &Table::new(), (2, 1.0));
    let value = |batch: &[Planned], method: &mut dyn Method| {
        let before = net.params.snapshot().unwrap();
        let loss = net.step(method, batch, 10).0.loss;
        net.params.load(&before).unwrap();
        loss
    };
    let (one, other) = (Planned::only(1, 0), Planned::only(2, 1));
    let apart = value(&[one], method.as_mut()) + value(&[other], method.as_mut());
    assert!((value(&[one, other], method.as_mut()) - apart / 2.0).abs() < 1e-12);
}

/// Whether a parameter is the layer of a modality's own logits, of another modality than m.
fn is_own_layer_of_other(name: &str, m: usize) -> bool {
    let layers = ["fc_x", "fc_y", "fc_2"];
    layers.iter().enumerate().any(|(k, layer)| k != m && name.contains(layer))
}

fn stages() -> Table {
    let one = toml::Value::from(1);
    let names = ["boosting-epochs", "rectifying-epochs"];
    names.into_iter().map(|name| (name.to_owned(), one.clone())).collect()
}

#[test]
fn boosting_trains_one_modality_and_rectifying_all() {
    for modalities in [2, 3] {
        for reading in ["code", "paper"] {
            let mut options = stages();
            options.insert("as".to_owned(), reading.into());
            let (mut net, mut method) = net(&RECONBOOST, &options, (modalities, 1.0));
            for epoch in 0..2 * (modalities + 1) {
                method.begin_epoch(&mut All(&mut net, epoch)).unwrap();
                assert_eq!(net.forgotten, epoch, "every phase begins anew");
                let before = net.params.snapshot().unwrap();
                let (output, _) = net.step(method.as_mut(), &whole(&[0, 3, 5]), epoch);
                assert!(output.loss.is_finite());
                let after = net.params.snapshot().unwrap();
                let boosted = (epoch % 2 == 0).then_some(epoch / 2 % modalities);
                for (name, tensor) in &before {
                    let changed = to_vec_f64(tensor).unwrap() != to_vec_f64(&after[name]).unwrap();
                    let wanted = match boosted {
                        _ if name.starts_with("head.") => false,
                        None => true,
                        Some(m) => {
                            name.starts_with(&format!("net{m}.")) || name.starts_with("method.phi.")
                        }
                    };
                    assert_eq!(changed, wanted, "epoch {epoch}, {reading}: {name}");
                }
            }
        }
    }
}

#[test]
fn what_the_others_know_is_not_boosted() {
    let mut options = stages();
    for (name, value) in [("rho", 1e6), ("w1", 2.0), ("w2", 2.0)] {
        options.insert(name.to_owned(), value.into());
    }
    let (net, mut method) = net(&RECONBOOST, &options, (2, 1.0));
    // Examples of which the other modality is right.
    let head = method.own_head().unwrap();
    let rows: Vec<usize> = (0..EXAMPLES).collect();
    let own = head.modality_logits(&net.features(&rows)).unwrap();
    let rho = Tensor::new(1e6, &Device::Cpu).unwrap();
    let q = to_vec_f64(&known(&own, 0, &rho, &labels(&rows)).unwrap()).unwrap();
    let known: Vec<usize> = rows.into_iter().filter(|&row| q[row] == 1.0).collect();
    assert!(!known.is_empty() && known.len() < EXAMPLES);
    let (output, handed) = net.step(method.as_mut(), &whole(&known), 0);
    assert_eq!(output.loss, 0.0);
    assert!(handed.values().flatten().all(|gradient| *gradient == 0.0));
}

#[test]
fn reconboost_predicts_with_its_own_head() {
    let (net, method) = net(&RECONBOOST, &Table::new(), (3, 1.0));
    let features = net.features(&[0, 1, 2]);
    let head = method.own_head().unwrap();
    let predicted = method.predict(net.head.as_ref(), &features).unwrap();
    assert_eq!(
        to_vec_f64(&predicted).unwrap(),
        to_vec_f64(&head.logits(&features).unwrap()).unwrap()
    );
    // Its parts are those of an additive head.
    let parts = head.parts(&features).unwrap();
    let gap = (head.combine(&parts).unwrap() - predicted).unwrap().abs().unwrap();
    assert!(to_vec_f64(&gap).unwrap().iter().all(|gap| *gap < 1e-12));
    let widths = Setup::alone(&[3, 4], CLASSES, RECONBOOST.usual_head);
    let error = RECONBOOST.build(&Table::new(), &widths).err().unwrap().to_string();
    assert!(error.contains("features of one width"), "{error}");
    let concat = Setup::alone(&[4, 4], CLASSES, &CONCAT);
    assert!(RECONBOOST.build(&Table::new(), &concat).is_err());
}

#[test]
fn gradients_are_those_of_finite_differences() {
    for (rows, modalities) in [(vec![0, 3, 3, 7], 2), (vec![0, 4, 5], 3), (vec![6], 2)] {
        let y = labels(&rows);
        for scale in [1.0, 300.0] {
            let z: Vec<Tensor> = (0..modalities)
                .map(|m| random((rows.len(), WIDTH), scale, 50 + m as u64))
                .collect();
            let widths = vec![WIDTH; modalities];
            let at = format!("{rows:?}, M = {modalities}, scale {scale}");
            let check = |what: &str, loss: &dyn Fn(&[Tensor]) -> tcmax_losses::Result<Tensor>| {
                let passed_on =
                    |error: tcmax_losses::Error| candle_core::Error::Msg(error.to_string()).into();
                let error = gradient_error(&z, |z| loss(z).map_err(passed_on)).unwrap();
                assert!(error < LIMIT, "{what}, {at}: {error:e}");
            };
            let builder = || ParamBuilder::new(Seed::new(7), DType::F64, &Device::Cpu);
            let specific = SPECIFIC.build(&Table::new(), &widths, CLASSES, &builder()).unwrap();
            check("remix", &|z| {
                let own = &specific.modality_logits(z)?[1];
                let fused = logits_of(specific.as_ref(), z, 0b10)?;
                Ok((cross_entropy(&fused, &y)? + (cross_entropy(own, &y)? * 0.5)?)?)
            });
            // The bends of the layers between are too near each other where features are large.
            let kinds = if scale > 1.0 {
                vec![PhiKind::Linear]
            } else {
                vec![PhiKind::Linear, PhiKind::Mlp]
            };
            for kind in kinds {
                let phi = BoostedHead::new(&widths, CLASSES, (kind, 5), 0.3, &builder()).unwrap();
                // What the others know carries no gradient.
                let q = known(&phi.modality_logits(&z).unwrap(), 1, phi.rho(), &y).unwrap();
                check("boosting", &|z| {
                    boosting_loss(&phi.modality_logits(z)?[1], &q, (5.0, 1.0), &y)
                });
                check("rectifying", &|z| cross_entropy(&phi.logits(z)?, &y));
                check("alignment", &|z| {
                    let own = phi.modality_logits(z)?;
                    alignment(&own[1], &own[0], &y)
                });
            }
        }
    }
}

#[test]
fn large_logits_and_a_batch_of_one_stay_finite() {
    for spec in [&SAMPLE_VALUATION, &MODALITY_VALUATION, &REMIX, &RECONBOOST] {
        for modalities in [2, 3] {
            let (mut net, mut method) = net(spec, &Table::new(), (modalities, 1500.0));
            let rows: Vec<usize> = (0..EXAMPLES).collect();
            let head = method.own_head();
            let head = head.as_deref().unwrap_or(net.head.as_ref());
            let logits = to_vec_f64(&head.logits(&net.features(&rows)).unwrap()).unwrap();
            assert!(logits.iter().any(|logit| logit.abs() > 500.0), "{spec}");
            for epoch in [0, 4, 8, 12] {
                for example in plan_of(&mut net, method.as_mut(), epoch)
                    .map_or_else(|| whole(&[2, 9]), |plan| plan.batches.concat()[..3].to_vec())
                {
                    let before = net.params.snapshot().unwrap();
                    let (output, handed) = net.step(method.as_mut(), &[example], epoch);
                    net.params.load(&before).unwrap();
                    assert!(output.loss.is_finite(), "{spec}, epoch {epoch}");
                    let all_finite = handed.values().flatten().all(|value| value.is_finite());
                    assert!(all_finite, "{spec}, epoch {epoch}");
                }
            }
        }
    }
}

#[test]
fn options_out_of_range_are_refused() {
    let refused = |spec: &'static MethodSpec, option: &str, value: toml::Value| {
        let setup = Setup::alone(&[4, 4], CLASSES, spec.usual_head);
        let options = Table::from_iter([(option.to_owned(), value)]);
        let error = spec.build(&options, &setup).err().unwrap().to_string();
        assert!(error.contains(option), "{error}");
    };
    refused(&MODALITY_VALUATION, "alpha", (-1.0).into());
    refused(&REMIX, "gamma", f64::NAN.into());
    refused(&REMIX, "warm-up-weight", (-0.5).into());
    refused(&RECONBOOST, "rho", 0.0.into());
    refused(&RECONBOOST, "boosting-epochs", 0.into());
    refused(&RECONBOOST, "hidden", 0.into());
    refused(&RECONBOOST, "w1", f64::INFINITY.into());
}
