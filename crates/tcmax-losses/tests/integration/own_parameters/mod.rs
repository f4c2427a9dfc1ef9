//! Methods with parameters of their own: their losses have the gradients of their values, and what their definitions
//! say holds, for two and three modalities, a batch of one, and logits of +-500.

mod tests_of_balance;
mod tests_of_losses;
mod tests_of_mixtures;

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
    Branches, Init, ParamBuilder, Params, Seed, State, gradient_error, to_scalar_f64, to_vec_f64,
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
            branches: &Branches::default(),
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
