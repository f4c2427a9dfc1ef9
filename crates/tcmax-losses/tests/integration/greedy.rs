//! The greedy method on encoders of one layer: what it sums, whom it cares for, and what it remembers.

use std::collections::BTreeMap;

use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Tensor};
use tcmax_estimators::Labels;
use tcmax_fusion::{CONCAT, FusionHead, StageFusion};
use tcmax_losses::methods::GREEDY;
use tcmax_losses::methods::curated_gates::GateMean;
use tcmax_losses::methods::greedy::{Greedy, GreedyLoss, GreedyOptions, Learned, relative_square};
use tcmax_losses::{
    Clock, Error, METHOD_PREFIX, Method, ParameterGroups, Setup, Spread, Step, StepOutput,
    cross_entropy,
};
use tcmax_ops::{Branches, Init, ParamBuilder, Params, Seed, State, to_vec_f64};
use tcmax_registry::Table;

const WIDTHS: [usize; 2] = [3, 4];
const CLASSES: usize = 3;

fn random(shape: &[usize], seed: u64, std: f64) -> Tensor {
    let normal = Init::Normal { mean: 0.3, std };
    normal.tensor(&shape.into(), Seed::new(seed), DType::F64, &Device::Cpu).unwrap()
}

/// Two linear encoders, each of one stage, with a head and the method.
struct Net {
    encoders: Vec<Tensor>,
    inputs: Vec<Tensor>,
    labels: Labels,
    head: Box<dyn FusionHead>,
    params: Params,
    groups: ParameterGroups,
    method: Greedy,
    fusion: Box<dyn StageFusion>,
    steps: usize,
}

impl Net {
    fn new(options: GreedyOptions, y: &[u32], scale: f64) -> Self {
        let builder = ParamBuilder::new(Seed::new(5), DType::F64, &Device::Cpu);
        let prefixes = ["a", "b"].map(str::to_owned);
        let unit = Init::Normal { mean: 0.0, std: scale };
        let encoders = prefixes.iter().zip(WIDTHS).map(|(prefix, width)| {
            builder.pp(prefix).param("weight", (width, width), unit).unwrap()
        });
        let encoders = encoders.collect();
        let head = CONCAT.build(&Table::new(), &WIDTHS, CLASSES, &builder.pp("head")).unwrap();
        let setup = Setup {
            stages: WIDTHS.map(|width| vec![width]).to_vec(),
            own: builder.pp(METHOD_PREFIX).again(),
            ..Setup::alone(&WIDTHS, CLASSES, &CONCAT)
        };
        // As a trainer has them: what joins the encoders is of another instance.
        let fusion = GREEDY.build(&Table::new(), &setup).unwrap().stage_fusion().unwrap();
        let method = Greedy::new(options, &setup).unwrap();
        let params = builder.params();
        let groups = ParameterGroups::by_prefix(&params, &prefixes);
        let inputs = [0, 1].map(|m| random(&[y.len(), WIDTHS[m]], 30 + m as u64, 1.0)).to_vec();
        let labels = Labels::new(y, CLASSES, &Device::Cpu).unwrap();
        Self { encoders, inputs, labels, head, params, groups, method, fusion, steps: 0 }
    }

    fn features(&self, train: bool) -> Vec<Tensor> {
        let own: Vec<Tensor> =
            self.inputs.iter().zip(&self.encoders).map(|(x, w)| x.matmul(w).unwrap()).collect();
        let present = vec![true; self.labels.len()];
        let factors = self.fusion.factors(0, &own, &[&present, &present], train);
        let factors = factors.unwrap().unwrap();
        own.iter().zip(&factors).map(|(own, factors)| (own * factors).unwrap()).collect()
    }

    /// A step; the gradients by name, and the parameters before it.
    fn step(&mut self, epoch: usize) -> (StepOutput, GradStore) {
        let features = self.features(true);
        let mut kept = None;
        let output = self.method.step(&mut Step {
            head: self.head.as_ref(),
            features: &features,
            branches: &Branches::default(),
            labels: &self.labels,
            rows: &(0..self.labels.len()).collect::<Vec<_>>(),
            only: &[],
            taught: None,
            groups: &self.groups,
            clock: Clock { epoch, epochs: 4, batch: self.steps, batches: 20 },
            seed: Seed::new(0),
            spread: Spread::alone(),
            update: &mut |gradients: &mut GradStore| {
                kept = Some(std::mem::replace(gradients, empty()));
                Ok(())
            },
        });
        self.steps += 1;
        (output.unwrap(), kept.unwrap())
    }

    fn descend(&self, gradients: &GradStore, rate: f64) {
        for (_, var) in self.params.trainable() {
            if let Some(gradient) = gradients.get(var.as_tensor()) {
                var.set(&(var.as_tensor() - (gradient * rate).unwrap()).unwrap()).unwrap();
            }
        }
    }

    fn values(&self) -> BTreeMap<String, Vec<f64>> {
        let values = |tensor: &Tensor| to_vec_f64(tensor).unwrap();
        self.params.snapshot().unwrap().iter().map(|(k, v)| (k.clone(), values(v))).collect()
    }
}

fn empty() -> GradStore {
    let zero = Tensor::zeros((), DType::F64, &Device::Cpu).unwrap();
    zero.backward().unwrap()
}

fn curation(output: &StepOutput) -> f64 {
    output.metrics.iter().find(|(name, _)| name == "curation").unwrap().1
}

#[test]
fn the_sums_are_relative_squares_and_speed_says_whom_to_care_for() {
    let options = GreedyOptions { alpha: 1e-12, ..GreedyOptions::default() };
    let mut net = Net::new(options, &[0, 1, 2, 1], 1.0);
    let (_, gradients) = net.step(0);
    let ratio = |names: &[&str]| {
        let (mut above, mut below) = (0.0, 0.0);
        for (name, var) in net.params.trainable() {
            if names.iter().any(|own| name.starts_with(own)) {
                let squares =
                    |x: &Tensor| to_vec_f64(x).unwrap().iter().map(|x| x * x).sum::<f64>();
                above += squares(gradients.get(var.as_tensor()).unwrap());
                below += squares(var.as_tensor());
            }
        }
        above / below
    };
    let main = [ratio(&["a."]), ratio(&["b."])];
    let bypass = ["method.mmtm1.fc_excite_x", "method.mmtm1.fc_excite_y"]
        .map(|own| ratio(&[own, "method.mmtm1.fc_squeeze"]));
    let Learned { main: found_main, bypass: found_bypass } = *net.method.learned();
    for m in 0..2 {
        assert!((found_main[m] - main[m]).abs() < 1e-12 * main[m]);
        assert!((found_bypass[m] - bypass[m]).abs() < 1e-12 * bypass[m]);
    }
    let speed = (bypass[0] / main[0]).log10() - (bypass[1] / main[1]).log10();
    assert!((net.method.learned().speed().unwrap() - speed).abs() < 1e-10);
    let cared = usize::from(speed < 0.0);
    assert_eq!(net.method.gates().held().unwrap(), Some(cared));
}

#[test]
fn a_window_of_curation_follows_each_normal_step_and_adds_nothing_to_the_sums() {
    let options = GreedyOptions { alpha: 0.0, window: 2, ..GreedyOptions::default() };
    let mut net = Net::new(options, &[0, 1, 2, 1], 1.0);
    let mut found = Vec::new();
    let mut sums = Vec::new();
    for _ in 0..7 {
        let (output, gradients) = net.step(0);
        net.descend(&gradients, 0.05);
        found.push(curation(&output));
        sums.push(*net.method.learned());
    }
    assert_eq!(found, [0.0, 1.0, 1.0, 0.0, 1.0, 1.0, 0.0]);
    assert!(sums[0] == sums[1] && sums[1] == sums[2] && sums[2] != sums[3]);
    // Not before its first epoch, and not below alpha.
    for options in
        [GreedyOptions { first_epoch: 1, ..options }, GreedyOptions { alpha: 1e6, ..options }]
    {
        let mut net = Net::new(options, &[0, 1, 2, 1], 1.0);
        for _ in 0..3 {
            assert_eq!(curation(&net.step(0).0), 0.0);
        }
        net.step(1);
        assert_eq!(curation(&net.step(1).0), if options.first_epoch == 1 { 1.0 } else { 0.0 });
    }
}

#[test]
fn curation_stops_the_gradient_of_the_gates_it_cares_for_alone() {
    for m in 0..2 {
        let mut net = Net::new(GreedyOptions::default(), &[0, 1, 2, 1], 1.0);
        net.step(0);
        net.method.gates().hold(Some(m)).unwrap();
        let (_, gradients) = net.step(0);
        for (name, var) in net.params.trainable() {
            let is_held = name.contains(["fc_excite_x", "fc_excite_y"][m]);
            match gradients.get(var.as_tensor()) {
                None => assert!(is_held, "{name}"),
                Some(gradient) => {
                    let values = to_vec_f64(gradient).unwrap();
                    assert!(!is_held && values.iter().any(|value| *value != 0.0), "{name}");
                }
            }
        }
        // Evaluation has the gates as they are.
        let evaluated = net.features(false)[m].clone();
        net.method.gates().hold(None).unwrap();
        let usual = net.features(false)[m].clone();
        assert_eq!(to_vec_f64(&evaluated).unwrap(), to_vec_f64(&usual).unwrap());
    }
}

#[test]
fn held_gates_are_their_mean_over_all_passes_or_over_the_batch() {
    for mean in [GateMean::Running, GateMean::Batch] {
        let options = GreedyOptions { mean, alpha: 1e6, ..GreedyOptions::default() };
        let net = Net::new(options, &[0, 1, 2, 1], 1.0);
        let present = vec![true, true, false, true];
        let whole = vec![true; 4];
        let gates = |scale: f64, train: bool| {
            let means: Vec<Tensor> = net.inputs.iter().map(|x| (x * scale).unwrap()).collect();
            let factors =
                net.method.gates().factors(0, &means, &[&present, &whole], train).unwrap();
            factors.unwrap()[0].to_vec2::<f64>().unwrap()
        };
        // Of the examples that have the modality.
        let of_batch =
            |gates: Vec<Vec<f64>>, c: usize| (gates[0][c] + gates[1][c] + gates[3][c]) / 3.0;
        let (first, second) = (gates(1.0, true), gates(-2.0, true));
        net.method.gates().hold(Some(0)).unwrap();
        let third = gates(3.0, false);
        let held = gates(3.0, true);
        for c in 0..WIDTHS[0] {
            let [one, two, three] =
                [&first, &second, &third].map(|gates| of_batch(gates.clone(), c));
            let wanted = match mean {
                GateMean::Running => (one + two + three) / 3.0,
                GateMean::Batch => three,
            };
            for row in &held {
                assert!((row[c] - wanted).abs() < 1e-12, "{mean:?}");
            }
        }
    }
}

#[test]
fn what_it_remembers_is_its_state_and_buffers() {
    let options = GreedyOptions { alpha: 0.0, window: 3, ..GreedyOptions::default() };
    let y = [0, 1, 2, 1, 0];
    let run = |interrupted: bool, with_state: bool| {
        let mut net = Net::new(options, &y, 1.0);
        for step in 0..9 {
            if interrupted && step == 2 {
                let (values, state) = (net.params.snapshot().unwrap(), net.method.state().unwrap());
                net = Net::new(options, &y, 1.0);
                net.params.load(&values).unwrap();
                if with_state {
                    net.method.load_state(&state).unwrap();
                }
            }
            let (_, gradients) = net.step(0);
            net.descend(&gradients, 0.1);
        }
        net.values()
    };
    let whole = run(false, true);
    assert_eq!(whole, run(true, true));
    assert_ne!(whole, run(true, false), "its memory matters");
    let mut net = Net::new(options, &y, 1.0);
    assert!(matches!(net.method.load_state(&State::new()), Err(Error::MissingState { .. })));
}

#[test]
fn a_batch_of_one_and_huge_logits_stay_finite() {
    for loss in [GreedyLoss::Fused, GreedyLoss::Unimodal] {
        for y in [&[2u32][..], &[0, 1, 2, 1]] {
            for scale in [1.0, 1e3] {
                let options = GreedyOptions { loss, alpha: 0.0, ..GreedyOptions::default() };
                let mut net = Net::new(options, y, scale);
                for _ in 0..3 {
                    let (output, gradients) = net.step(0);
                    assert!(output.loss.value().unwrap().is_finite());
                    assert!(output.metrics.iter().all(|(_, value)| value.is_finite()));
                    for (name, var) in net.params.trainable() {
                        if let Some(gradient) = gradients.get(var.as_tensor()) {
                            let values = to_vec_f64(gradient).unwrap();
                            assert!(values.iter().all(|value| value.is_finite()), "{name}");
                        }
                    }
                    net.descend(&gradients, 1e-3);
                }
            }
        }
    }
}

#[test]
fn no_gradient_and_no_parameters_count_as_nothing() {
    let zero = Tensor::zeros(3, DType::F64, &Device::Cpu).unwrap();
    assert_eq!(relative_square(&empty(), &[zero]).unwrap(), 0.0);
    let one = Tensor::ones(3, DType::F64, &Device::Cpu).unwrap();
    assert_eq!(relative_square(&empty(), &[one]).unwrap(), 0.0);
    assert_eq!(Learned { main: [0.0, 1.0], bypass: [1.0, 1.0] }.speed(), None);
}

#[test]
fn encoders_without_stages_other_numbers_and_options_are_refused() {
    let alone = Setup::alone(&WIDTHS, CLASSES, &CONCAT);
    let message = |error: Error| error.to_string();
    let error = GREEDY.build(&Table::new(), &alone).err().map(message).unwrap();
    assert!(error.contains("the encoder of modality 0 has none: it needs ResNets"), "{error}");
    let three = Setup::alone(&[3, 3, 3], CLASSES, &CONCAT);
    let error = GREEDY.build(&Table::new(), &three).err().map(message).unwrap();
    assert!(error.contains("two modalities, and there are 3"), "{error}");
    for (option, value, words) in [
        ("alpha", toml::Value::from(-1.0), "alpha"),
        ("window", 0.into(), "window"),
        ("first-stage", 5.into(), "first-stage"),
    ] {
        let options = Table::from_iter([(option.to_owned(), value)]);
        let error = GREEDY.build(&options, &alone).err().map(message).unwrap();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn the_gradient_of_the_loss_is_that_of_finite_differences() {
    let net = Net::new(GreedyOptions::default(), &[0, 1, 2, 1], 1.0);
    let loss = || {
        let logits = net.head.logits(&net.features(true)).unwrap();
        cross_entropy(&logits, &net.labels).unwrap()
    };
    let gradients = loss().backward().unwrap();
    for (name, var) in net.params.trainable() {
        let gradient = to_vec_f64(gradients.get(var.as_tensor()).unwrap()).unwrap();
        let values = to_vec_f64(var.as_tensor()).unwrap();
        for at in 0..values.len() {
            let moved = |by: f64| {
                let mut values = values.clone();
                values[at] += by;
                var.set(&Tensor::from_vec(values, var.shape(), &Device::Cpu).unwrap()).unwrap();
                tcmax_ops::to_scalar_f64(&loss()).unwrap()
            };
            let difference = (moved(1e-5) - moved(-1e-5)) / 2e-5;
            moved(0.0);
            assert!((difference - gradient[at]).abs() < 1e-7, "{name}, {at}");
        }
    }
}
