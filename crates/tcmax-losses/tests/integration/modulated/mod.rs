//! Methods that weigh modalities, speed them up or hold them back: their gradients are those of their losses times
//! what they say, for two and three modalities, a batch of one, and logits of several hundred.

mod tests_of_losses;
mod tests_of_rules;

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
use tcmax_ops::{Branches, Init, Linear, ParamBuilder, Params, Seed, to_vec_f64};
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
                branches: &Branches::default(),
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
        assert!(output.loss.value().unwrap().is_finite(), "{what}");
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
                    self.step(0.0).0.loss.value().unwrap()
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
