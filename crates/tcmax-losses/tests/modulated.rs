//! Methods that weigh modalities, speed them up or hold them back: their gradients are those of their losses times
//! what they say, for two and three modalities, a batch of one, and logits of several hundred.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};
use tcmax_estimators::Labels;
use tcmax_fusion::{CONCAT, FusionHead, HeadSpec, SPECIFIC};
use tcmax_losses::methods::info_reg::Traces;
use tcmax_losses::methods::padded::padded_logits;
use tcmax_losses::methods::{ARL, CML, DGL, INFO_REG, MBSD, MLB, MSLR, cml};
use tcmax_losses::{
    Clock, EpochContext, METHOD_PREFIX, Method, MethodSpec, ParameterGroups, Part, Setup, Spread,
    Step, StepOutput, Study, Surveyed, Visit, cross_entropy,
};
use tcmax_ops::{Init, Linear, ParamBuilder, Params, Seed, to_vec_f64};
use tcmax_registry::Table;

const WIDTHS: [usize; 3] = [3, 2, 4];
const INPUTS: [usize; 3] = [4, 3, 5];
const CLASSES: usize = 3;
/// Labels of enough examples for accuracies that change little by little.
const MANY: [u32; 24] = [0, 2, 1, 1, 0, 2, 2, 1, 0, 0, 2, 0, 1, 2, 1, 0, 1, 1, 2, 0, 2, 1, 0, 2];

/// Linear encoders, a head, a batch, and a method.
struct Net {
    method: Box<dyn Method>,
    encoders: Vec<Linear>,
    head: Box<dyn FusionHead>,
    params: Params,
    groups: ParameterGroups,
    inputs: Vec<Tensor>,
    labels: Labels,
    clock: Clock,
}

/// What a step reports, and the gradients that it hands to the optimiser.
type Seen = (StepOutput, BTreeMap<String, Vec<f64>>);

impl Net {
    #[expect(clippy::needless_pass_by_value, reason = "callers make the options for this")]
    fn new(
        spec: &MethodSpec,
        options: Table,
        head: &'static HeadSpec,
        (modalities, labels, scale): (usize, &[u32], f64),
    ) -> Self {
        let builder = ParamBuilder::new(Seed::new(4), DType::F64, &Device::Cpu);
        let widths = &WIDTHS[..modalities];
        let prefixes: Vec<String> = (0..modalities).map(|m| format!("net{m}")).collect();
        let encoders = prefixes
            .iter()
            .enumerate()
            .map(|(m, prefix)| Linear::new(INPUTS[m], WIDTHS[m], &builder.pp(prefix)).unwrap());
        let encoders = encoders.collect();
        let made = head.build(&Table::new(), widths, CLASSES, &builder.pp("head")).unwrap();
        let own = builder.pp(METHOD_PREFIX).again();
        let method = spec
            .build(&options, &Setup { epochs: 20, own, ..Setup::alone(widths, CLASSES, head) })
            .unwrap();
        let params = builder.params();
        let groups = ParameterGroups::by_prefix(&params, &prefixes);
        let inputs = (0..modalities).map(|m| random(labels.len(), m, scale)).collect();
        let labels = Labels::new(labels, CLASSES, &Device::Cpu).unwrap();
        let clock = Clock { epoch: 0, epochs: 20, batch: 0, batches: 1 };
        Self { method, encoders, head: made, params, groups, inputs, labels, clock }
    }

    fn features(&self) -> Vec<Tensor> {
        self.encoders.iter().zip(&self.inputs).map(|(net, x)| net.forward(x).unwrap()).collect()
    }

    /// A step that descends by `rate`.
    fn step(&mut self, rate: f64) -> Seen {
        let features = self.features();
        let mut found = BTreeMap::new();
        let output = self
            .method
            .step(&mut Step {
                head: self.head.as_ref(),
                features: &features,
                labels: &self.labels,
                rows: &(0..self.labels.len()).collect::<Vec<usize>>(),
                only: &[],
                taught: None,
                groups: &self.groups,
                clock: self.clock,
                seed: Seed::new(1),
                spread: Spread::alone(),
                update: &mut |gradients| {
                    for (name, var) in self.params.trainable() {
                        let Some(gradient) = gradients.get(var.as_tensor()) else { continue };
                        found.insert(name.to_owned(), to_vec_f64(gradient)?);
                        var.set(&(var.as_tensor() - (gradient * rate)?)?)?;
                    }
                    Ok(())
                },
            })
            .unwrap();
        (output, found)
    }

    /// Lets the method look at the batch before an epoch.
    fn begin_epoch(&mut self, epoch: usize) {
        self.clock.epoch = epoch;
        let features: Vec<Tensor> = self.features().iter().map(Tensor::detach).collect();
        let Self { method, head, params, groups, labels, clock, .. } = self;
        let head = head.as_ref();
        let mut look = Look { clock: *clock, head, params, groups, features, labels };
        method.begin_epoch(&mut look).unwrap();
    }

    /// Compares what a step hands over with differences of its loss, each multiplied by `factor(name, entry)`.
    fn check_gradient(&mut self, factor: &dyn Fn(&str, usize) -> f64, limit: f64, what: &str) {
        let (output, found) = self.step(0.0);
        assert!(output.loss.is_finite(), "{what}");
        let names: Vec<String> = self.params.trainable().map(|(name, _)| name.to_owned()).collect();
        let held = self.params.snapshot().unwrap();
        for name in names {
            let shape = held[&name].shape().clone();
            let values = to_vec_f64(&held[&name]).unwrap();
            for entry in [0, values.len() / 2, values.len() - 1] {
                let mut at = |shift: f64| {
                    let mut moved = values.clone();
                    moved[entry] += shift;
                    let mut state = held.clone();
                    let moved = Tensor::from_vec(moved, &shape, &Device::Cpu).unwrap();
                    state.insert(name.clone(), moved);
                    self.params.load(&state).unwrap();
                    self.step(0.0).0.loss
                };
                let numeric = (at(1e-5) - at(-1e-5)) / 2e-5;
                let wanted = numeric * factor(&name, entry);
                let got = found.get(&name).map_or(0.0, |gradient| gradient[entry]);
                let error = (got - wanted).abs() / numeric.abs().max(1.0);
                assert!(error < limit, "{what}: {name}, {entry}: {got} and {wanted}");
            }
        }
        self.params.load(&held).unwrap();
    }

    /// The modality whose encoder, or whose columns of the fused head's weight, an entry is of.
    fn owner(modalities: usize, name: &str, entry: usize) -> Option<usize> {
        if let Some(rest) = name.strip_prefix("net") {
            return rest[..1].parse().ok();
        }
        if name != "head.fc_out.weight" {
            return None;
        }
        let width: usize = WIDTHS[..modalities].iter().sum();
        let mut column = entry % width;
        (0..modalities).find(|&m| {
            let is_of = column < WIDTHS[m];
            column = column.saturating_sub(WIDTHS[m]);
            is_of
        })
    }
}

struct Look<'a> {
    clock: Clock,
    head: &'a dyn FusionHead,
    params: &'a Params,
    groups: &'a ParameterGroups,
    features: Vec<Tensor>,
    labels: &'a Labels,
}

impl EpochContext for Look<'_> {
    fn clock(&self) -> Clock {
        self.clock
    }

    fn seed(&self) -> Seed {
        Seed::new(6).index(self.clock.epoch as u64)
    }

    fn each(&mut self, _: Part, visit: &mut Visit<'_>) -> tcmax_losses::Result<()> {
        let rows: Vec<usize> = (0..self.labels.len()).collect();
        let Self { head, features, labels, .. } = self;
        visit(Surveyed { head: *head, features, labels, rows: &rows }).map(drop)
    }

    fn study(&mut self, _: Part, _: usize, _: &mut Study<'_>) -> tcmax_losses::Result<()> {
        Ok(())
    }

    fn params(&self) -> &Params {
        self.params
    }

    fn groups(&self) -> &ParameterGroups {
        self.groups
    }

    fn teach(&mut self) -> tcmax_losses::Result<()> {
        Ok(())
    }

    fn reset_optimiser(&mut self) -> tcmax_losses::Result<()> {
        Ok(())
    }
}

fn random(rows: usize, m: usize, scale: f64) -> Tensor {
    let normal = Init::Normal { mean: 0.0, std: scale };
    let seed = Seed::new(30).index(m as u64);
    normal.tensor(&(rows, INPUTS[m]).into(), seed, DType::F64, &Device::Cpu).unwrap()
}

/// Modalities, labels and the order of the logits.
type Batch = (usize, &'static [u32], f64);

fn paper() -> Table {
    Table::from_iter([("as".to_owned(), "paper".into())])
}

/// Batches: numbers of modalities, labels with repeats and alone, and logits of order 1 and of several hundred; with
/// the largest error of differences.
fn batches(most: usize) -> Vec<(Batch, f64)> {
    let mut all = Vec::new();
    for modalities in 2..=most {
        for labels in [&[1, 0, 2, 1][..], &[2]] {
            all.push(((modalities, labels, 1.0), 1e-6));
            // Differences of a loss of some 10^5 lose that many digits.
            all.push(((modalities, labels, 500.0), 1e-3));
        }
    }
    all
}

#[test]
fn losses_have_the_gradients_of_their_values() {
    for (batch, limit) in batches(3) {
        for (spec, head) in [(&CML, &CONCAT), (&MBSD, &CONCAT), (&CML, &SPECIFIC)] {
            for options in [Table::new(), paper()] {
                let what = format!("{spec}, {head}, {options:?}, {batch:?}");
                Net::new(spec, options, head, batch).check_gradient(&|_, _| 1.0, limit, &what);
            }
        }
    }
}

#[test]
fn balanced_losses_have_gradients_times_their_coefficients() {
    for (batch @ (modalities, ..), limit) in batches(3) {
        for beta in [1.0, 2.0, 10.0] {
            let options = Table::from_iter([("beta".to_owned(), beta.into())]);
            let mut net = Net::new(&MLB, options, &SPECIFIC, batch);
            let metrics = net.step(0.0).0.metrics;
            let factor = |name: &str, entry| {
                Net::owner(modalities, name, entry).map_or(1.0, |m| metrics[m].1)
            };
            net.check_gradient(&factor, limit * beta, &format!("{batch:?}, beta {beta}"));
            let (least, most) = (1.0 - 0.8f64.tanh(), beta);
            assert!(metrics.iter().all(|(_, k)| *k >= least - 1e-12 && *k <= most + 1e-12));
        }
    }
}

#[test]
fn specific_rates_multiply_what_a_modality_owns() {
    for (batch @ (modalities, ..), limit) in batches(3) {
        let rates = [0.5, 1.5, 0.0];
        let given = rates[..modalities].to_vec();
        let options = Table::from_iter([("rates".to_owned(), given.into())]);
        let mut net = Net::new(&MSLR, options, &CONCAT, batch);
        let factor =
            |name: &str, entry| Net::owner(modalities, name, entry).map_or(1.0, |m| rates[m]);
        net.check_gradient(&factor, limit, &format!("{batch:?}"));
    }
}

#[test]
fn asymmetric_gradients_are_those_of_the_loss_times_the_encoders_factors() {
    for (batch, limit) in batches(2) {
        for options in [Table::new(), paper()] {
            let is_code = options.is_empty();
            let mut net = Net::new(&ARL, options, &CONCAT, batch);
            net.check_gradient(&|_, _| 1.0, limit, &format!("{batch:?}, before"));
            net.clock.epoch = 5;
            assert_eq!(net.step(0.0).0.metrics[0].1, 1.0);
            net.clock.epoch = 6;
            let factors: Vec<f64> = net.step(0.0).0.metrics.iter().map(|(_, f)| *f).collect();
            if is_code {
                assert_eq!(factors, [1.5, 1.5]);
            }
            assert!((factors.iter().sum::<f64>() - 3.0).abs() < 1e-12);
            // The head's gradients are not multiplied.
            let factor = |name: &str, entry| match name.starts_with("net") {
                true => Net::owner(2, name, entry).map_or(1.0, |m| factors[m]),
                false => 1.0,
            };
            net.check_gradient(&factor, limit, &format!("{batch:?}, after, {factors:?}"));
        }
    }
}

/// The gradients under a prefix.
fn of<'a>(seen: &'a Seen, prefix: &str) -> Vec<(&'a String, &'a Vec<f64>)> {
    seen.1.iter().filter(|(name, _)| name.starts_with(prefix)).collect()
}

#[test]
fn disentangled_encoders_do_not_see_other_modalities() {
    for modalities in [2, 3] {
        let batch = (modalities, &[1, 0, 2, 1][..], 1.0);
        let mut net = Net::new(&DGL, Table::new(), &CONCAT, batch);
        let before = net.step(0.0);
        net.inputs[1] = (&net.inputs[1] * -3.0).unwrap();
        let after = net.step(0.0);
        assert_eq!(of(&before, "net0"), of(&after, "net0"));
        assert_ne!(of(&before, "net1"), of(&after, "net1"));
        assert_ne!(of(&before, "head"), of(&after, "head"));
    }
}

#[test]
fn a_disentangled_head_learns_as_a_linear_probe_and_encoders_as_of_one_modality() {
    for modalities in [2, 3] {
        let batch = (modalities, &[1, 0, 2, 1][..], 1.0);
        let mut net = Net::new(&DGL, Table::new(), &CONCAT, batch);
        let (_, found) = net.step(0.0);
        let detached: Vec<Tensor> = net.features().iter().map(Tensor::detach).collect();
        let probe = cross_entropy(&net.head.logits(&detached).unwrap(), &net.labels).unwrap();
        let probe = probe.backward().unwrap();
        let features = net.features();
        let own = padded_logits(net.head.as_ref(), &features).unwrap();
        let own = own.iter().map(|u| cross_entropy(u, &net.labels).unwrap().backward().unwrap());
        let own: Vec<_> = own.collect();
        for (name, var) in net.params.trainable() {
            let wanted = match Net::owner(modalities, name, 0).filter(|_| name.starts_with("net")) {
                Some(m) => (own[m].get(var.as_tensor()).unwrap() * 4.0).unwrap(),
                None => probe.get(var.as_tensor()).unwrap().clone(),
            };
            for (got, wanted) in found[name].iter().zip(to_vec_f64(&wanted).unwrap()) {
                assert!((got - wanted).abs() < 1e-12, "{name}: {got} and {wanted}");
            }
        }
    }
}

#[test]
fn a_rise_of_confidence_costs_lambda_times_the_sum_of_the_batch() {
    const LAMBDA: f64 = 0.7;
    let options = || Table::from_iter([("lambda".to_owned(), LAMBDA.into())]);
    let mut costs = Vec::new();
    // Identical examples: all rise, or, where what is removed was certain, none does.
    for scale in [1.0, 50.0] {
        for lone in [0.2, 5.0] {
            let mut net = Net::new(&CML, options(), &CONCAT, (2, &[1; 4], 1.0));
            let first = |x: &Tensor| x.narrow(0, 0, 1).unwrap().repeat((4, 1)).unwrap();
            net.inputs = net.inputs.iter().map(first).collect();
            net.inputs[0] = (&net.inputs[0] * lone).unwrap();
            net.inputs[1] = (&net.inputs[1] * scale).unwrap();
            let remaining = cml::removals(net.head.as_ref(), &net.features(), &[0, 1]).unwrap();
            let confidence =
                |i: usize| to_vec_f64(&cml::confidence(&remaining[i]).unwrap()).unwrap();
            let rise = confidence(1)[0] - confidence(0)[0];
            let ce = |i: usize| cross_entropy(&remaining[i], &net.labels).unwrap();
            let ce = ((ce(0) + ce(1)).unwrap() / 2.0).unwrap().to_scalar::<f64>().unwrap();
            let cost = net.step(0.0).0.loss - ce;
            let wanted = LAMBDA * 4.0 * rise.max(0.0);
            assert!((cost - wanted).abs() < 1e-12, "{cost} and {wanted}");
            costs.push(cost > 1e-9);
        }
    }
    assert!(costs.contains(&true) && costs.contains(&false), "not what was meant: {costs:?}");
}

#[test]
fn an_order_of_removal_is_drawn_for_every_epoch() {
    let mut net = Net::new(&CML, Table::new(), &CONCAT, (3, &[1, 0, 2, 1], 1.0));
    let losses: Vec<f64> = (0..12)
        .map(|epoch| {
            net.begin_epoch(epoch);
            net.step(0.0).0.loss
        })
        .collect();
    let mut distinct = losses.clone();
    distinct.sort_by(f64::total_cmp);
    distinct.dedup();
    assert!(distinct.len() > 2 && distinct.len() <= 6, "{losses:?}");
    net.begin_epoch(3);
    assert_eq!(net.step(0.0).0.loss, losses[3]);
}

#[test]
fn equal_modalities_are_balanced() {
    // Heads of zeros know nothing: all probabilities are equal.
    let mut net = Net::new(&MLB, Table::new(), &SPECIFIC, (3, &[1, 0, 2, 1], 1.0));
    for (_, var) in net.params.trainable().filter(|(name, _)| name.starts_with("head.")) {
        var.set(&var.zeros_like().unwrap()).unwrap();
    }
    for (_, coefficient) in net.step(0.0).0.metrics {
        assert!((coefficient - 1.0).abs() < 1e-12);
    }
}

#[test]
fn a_modality_that_stops_getting_better_loses_its_rate() {
    let options = Table::from_iter([("window".to_owned(), 2.into())]);
    let mut net = Net::new(&MSLR, options, &CONCAT, (2, &MANY, 1.0));
    let mut coefficients = Vec::new();
    for epoch in 0..5 {
        net.begin_epoch(epoch);
        let found = net.step(0.5).0.metrics;
        coefficients.push(found.iter().map(|(_, k)| *k).collect::<Vec<f64>>());
    }
    // The first accuracy is that before epoch 1, and the first to be compared with two before it that before epoch 3.
    assert!(coefficients[..3].iter().flatten().all(|&k| k == 1.0), "{coefficients:?}");
    assert!(coefficients[3..].iter().flatten().any(|&k| k != 1.0), "{coefficients:?}");
}

#[test]
fn the_growth_of_information_is_what_it_is_said_to_be() {
    let trace = |epoch: usize| 3.0 + (epoch as f64 * 1.7).sin();
    let mut traces = Traces::default();
    for epoch in 1..30 {
        traces.push(trace(epoch - 1));
        let sum: f64 = (epoch.saturating_sub(10)..epoch).map(trace).sum();
        let lost = if epoch > 10 { trace(epoch - 11) } else { 0.0 };
        let wanted = (trace(epoch - 1) - lost) / sum;
        assert!((traces.growth() - wanted).abs() < 1e-12, "{epoch}");
    }
}

#[test]
fn the_leading_encoder_is_drawn_to_where_it_was() {
    for (batch, limit) in batches(2).into_iter().filter(|(batch, _)| batch.2 == 1.0) {
        let mut net = Net::new(&INFO_REG, Table::new(), &CONCAT, batch);
        net.begin_epoch(0);
        // At the start of an epoch nothing has moved.
        net.check_gradient(&|_, _| 1.0, limit, &format!("{batch:?}"));
        let starts = net.params.snapshot().unwrap();
        net.step(0.1);
        let (output, held) = net.step(0.0);
        let strength = |m: usize| {
            let metric = format!("strength {m}");
            output.metrics.iter().find(|(name, _)| *name == metric).unwrap().1
        };
        assert_eq!([strength(0), strength(1)].iter().filter(|beta| **beta > 0.0).count(), 1);
        let mut free = Net::new(
            &INFO_REG,
            Table::from_iter([("first".to_owned(), 0.0.into()), ("second".to_owned(), 0.0.into())]),
            &CONCAT,
            batch,
        );
        free.params.load(&net.params.snapshot().unwrap()).unwrap();
        let (_, plain) = free.step(0.0);
        for (name, var) in net.params.trainable() {
            let beta = match Net::owner(2, name, 0).filter(|_| name.starts_with("net")) {
                Some(m) => strength(m),
                None => 0.0,
            };
            let moved = (var.as_tensor() - &starts[name]).unwrap();
            for ((got, plain), moved) in
                held[name].iter().zip(&plain[name]).zip(to_vec_f64(&moved).unwrap())
            {
                let wanted = plain + beta * moved;
                let error = (got - wanted).abs() / wanted.abs().max(1.0);
                assert!(error < 1e-9, "{name}: {got} and {wanted}");
            }
        }
    }
}

#[test]
fn what_is_remembered_goes_on_where_it_was() {
    for (spec, options) in
        [(&MSLR, Table::from_iter([("window".to_owned(), 1.into())])), (&INFO_REG, Table::new())]
    {
        let net = || Net::new(spec, options.clone(), &CONCAT, (2, &MANY, 1.0));
        let mut whole = net();
        for epoch in 0..3 {
            whole.begin_epoch(epoch);
            whole.step(0.3);
            whole.step(0.3);
        }
        let state = whole.method.state().unwrap();
        let (mut resumed, mut forgot) = (net(), net());
        for other in [&resumed, &forgot] {
            other.params.load(&whole.params.snapshot().unwrap()).unwrap();
        }
        resumed.method.load_state(&state).unwrap();
        let steps = [&mut whole, &mut resumed, &mut forgot].map(|net| {
            net.begin_epoch(3);
            net.step(0.3);
            net.step(0.3)
        });
        assert_eq!(steps[0].1, steps[1].1, "{spec}");
        let metrics = |seen: &Seen| seen.0.metrics.clone();
        assert_eq!(metrics(&steps[0]), metrics(&steps[1]), "{spec}");
        assert_ne!(metrics(&steps[0]), metrics(&steps[2]), "{spec}: its memory does not matter");
        let unknown = [("other".to_owned(), Tensor::new(1.0, &Device::Cpu).unwrap())].into();
        assert!(resumed.method.load_state(&unknown).is_err(), "{spec}");
    }
}

#[test]
fn single_examples_with_large_logits_give_numbers() {
    for spec in [&DGL, &CML, &MBSD, &MLB, &ARL, &MSLR, &INFO_REG] {
        let read = [Table::new(), paper()];
        let has_reading = [&CML, &MBSD, &ARL].contains(&spec);
        for options in read.into_iter().take(if has_reading { 2 } else { 1 }) {
            for label in 0..CLASSES as u32 {
                let labels = [label];
                let mut net = Net::new(spec, options.clone(), spec.usual_head, (2, &labels, 1.0));
                // Logits of +-500.
                for (name, var) in net.params.trainable() {
                    let sign = |entry: usize| if entry.is_multiple_of(3) { 500.0 } else { -500.0 };
                    let values: Vec<f64> = match name.ends_with(".bias") && name.starts_with("head")
                    {
                        true => (0..var.elem_count()).map(sign).collect(),
                        false => vec![1.0; var.elem_count()],
                    };
                    var.set(&Tensor::from_vec(values, var.shape(), &Device::Cpu).unwrap()).unwrap();
                }
                for epoch in [0, 7] {
                    net.begin_epoch(epoch);
                    let (output, found) = net.step(0.0);
                    let what = format!("{spec}, {options:?}, label {label}");
                    assert!(output.loss.is_finite(), "{what}");
                    assert!(output.metrics.iter().all(|(_, value)| value.is_finite()), "{what}");
                    assert!(found.values().flatten().all(|value| value.is_finite()), "{what}");
                }
            }
        }
    }
}
