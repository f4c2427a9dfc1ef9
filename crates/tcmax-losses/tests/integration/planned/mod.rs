//! Methods that plan their epochs, or train in phases: what they plan, train on and leave alone.

mod tests_of_plans;
mod tests_of_stages;

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
use tcmax_ops::{Branches, Init, ParamBuilder, Params, Seed, gradient_error, to_vec_f64};
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
            branches: &Branches::default(),
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
