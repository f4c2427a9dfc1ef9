//! Methods with teachers, phases, or a look at the data before an epoch: their losses have the gradients of their values,
//! also at logits of several hundred, for two and three modalities and a batch of one; and what they do between epochs is
//! what they say.

mod tests_of_diagnoses;
mod tests_of_games;
mod tests_of_steps;
mod tests_of_teachers;
mod tests_of_terms;

use std::cell::Cell;

use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Tensor, Var};
use tcmax_estimators::Labels;
use tcmax_fusion::{CONCAT, FusionHead, HeadSpec, SUM};
use tcmax_losses::methods::contrast::supervised_contrast;
use tcmax_losses::methods::curvature::hessian_gradient;
use tcmax_losses::methods::di_mml::by_certainty;
use tcmax_losses::methods::diagnose_relearn::{relearn, scaled, strength};
use tcmax_losses::methods::dimensions::{contrasts, only_one, right_by_dimension};
use tcmax_losses::methods::divergence::{from_mixture, log_softmax, to_mixture};
use tcmax_losses::methods::g2d::distillation;
use tcmax_losses::methods::influence::{Game, Played, influence};
use tcmax_losses::methods::k_means::{k_means, purity};
use tcmax_losses::methods::lfm::gap;
use tcmax_losses::methods::{DI_MML, DIAGNOSE_RELEARN, G2D, LFM, MCR, Reading, UMT};
use tcmax_losses::{
    Clock, EpochContext, Error, METHOD_PREFIX, Method, MethodSpec, ParameterGroups, Part, Setup,
    Spread, Step, StepOutput, Study, Surveyed, Taught, Visit,
};
use tcmax_ops::{Branches, Init, ParamBuilder, Params, Seed, State, gradient_error, to_vec_f64};
use tcmax_registry::Table;

const LIMIT: f64 = 1e-6;
const CLASSES: usize = 3;
const WIDTH: usize = 4;
const EPOCHS: usize = 6;

fn random(rows: usize, columns: usize, scale: f64, seed: u64) -> Tensor {
    let normal = Init::Normal { mean: 0.0, std: scale };
    normal.tensor(&(rows, columns).into(), Seed::new(seed), DType::F64, &Device::Cpu).unwrap()
}

fn labels(rows: usize) -> Labels {
    let labels: Vec<u32> = (0..rows).map(|row| (row * 5 / 3 % CLASSES) as u32).collect();
    Labels::new(&labels, CLASSES, &Device::Cpu).unwrap()
}

/// Gradients that were handed over, by parameter.
type Handed = Vec<(String, Vec<f64>)>;

/// A model of linear encoders, one method, and data of two splits.
struct World {
    params: Params,
    groups: ParameterGroups,
    encoders: Vec<Tensor>,
    head: Box<dyn FusionHead>,
    setup: Setup,
    clock: Clock,
    rows: [usize; 2],
    taught: Option<(State, usize)>,
    resets: usize,
}

impl World {
    fn new(modalities: usize, head: &'static HeadSpec) -> Self {
        let builder = ParamBuilder::new(Seed::new(4), DType::F64, &Device::Cpu);
        let unit = Init::Normal { mean: 0.1, std: 0.7 };
        let encoders = (0..modalities)
            .map(|m| builder.pp(format!("m{m}")).param("weight", (3, WIDTH), unit).unwrap());
        let encoders = encoders.collect();
        let widths = vec![WIDTH; modalities];
        let built = head.build(&Table::new(), &widths, CLASSES, &builder.pp("head")).unwrap();
        let own = builder.pp(METHOD_PREFIX).again();
        let setup = Setup { epochs: EPOCHS, own, ..Setup::alone(&widths, CLASSES, head) };
        let mut world = Self {
            params: builder.params(),
            groups: ParameterGroups::default(),
            encoders,
            head: built,
            setup,
            clock: Clock { epoch: 0, epochs: EPOCHS, batch: 0, batches: 1 },
            rows: [18, 12],
            taught: None,
            resets: 0,
        };
        world.take_params(&builder.params());
        world
    }

    fn take_params(&mut self, params: &Params) {
        let prefixes: Vec<String> = (0..self.encoders.len()).map(|m| format!("m{m}")).collect();
        self.groups = ParameterGroups::by_prefix(params, &prefixes);
        self.params = params.clone();
    }

    /// A method, whose own parameters become the model's.
    #[expect(clippy::needless_pass_by_value, reason = "callers make the options for this")]
    fn method(&mut self, spec: &'static MethodSpec, options: Table) -> Box<dyn Method> {
        let method = spec.build(&options, &self.setup).unwrap();
        let params = self.setup.own.params();
        self.take_params(&params);
        method
    }

    fn features(&self, rows: usize, scale: f64) -> Vec<Tensor> {
        let of = |(m, weight): (usize, &Tensor)| {
            random(rows, 3, scale, 30 + m as u64).matmul(weight).unwrap()
        };
        self.encoders.iter().enumerate().map(of).collect()
    }

    fn begin(&mut self, method: &mut dyn Method, epoch: usize) -> tcmax_losses::Result<()> {
        self.clock.epoch = epoch;
        method.begin_epoch(self)
    }

    /// One step without an update; what it was handed, by parameter.
    fn step(
        &self,
        method: &mut dyn Method,
        (rows, scale): (usize, f64),
        taught: Option<&Taught>,
    ) -> tcmax_losses::Result<(StepOutput, Handed)> {
        let mut found = Vec::new();
        let features = self.features(rows, scale);
        let output = method.step(&mut Step {
            head: self.head.as_ref(),
            features: &features,
            branches: &Branches::default(),
            labels: &labels(rows),
            rows: &[],
            only: &[],
            taught,
            groups: &self.groups,
            clock: self.clock,
            seed: Seed::new(7),
            spread: Spread::alone(),
            update: &mut |gradients: &mut GradStore| {
                for (name, var) in self.params.trainable() {
                    if let Some(gradient) = gradients.get(var.as_tensor()) {
                        found.push((name.to_owned(), to_vec_f64(gradient)?));
                    }
                }
                Ok(())
            },
        })?;
        Ok((output, found))
    }

    fn values(&self) -> Vec<(String, Vec<f64>)> {
        let of = |(name, value): (String, Tensor)| (name, to_vec_f64(&value).unwrap());
        self.params.snapshot().unwrap().into_iter().map(of).collect()
    }

    fn shift(&self) {
        for (_, var) in self.params.trainable() {
            var.set(&(var.as_tensor() + 0.25).unwrap()).unwrap();
        }
    }
}

impl EpochContext for World {
    fn clock(&self) -> Clock {
        self.clock
    }

    fn seed(&self) -> Seed {
        Seed::new(8)
    }

    fn each(&mut self, part: Part, visit: &mut Visit<'_>) -> tcmax_losses::Result<()> {
        let rows = self.rows[usize::from(part == Part::Validation)];
        let features = self.features(rows, 1.0);
        let features: Vec<Tensor> = features.iter().map(Tensor::detach).collect();
        let numbers: Vec<usize> = (0..rows).collect();
        let (head, features) = (self.head.as_ref(), &features[..]);
        visit(Surveyed { head, features, labels: &labels(rows), rows: &numbers }).map(drop)
    }

    fn study(
        &mut self,
        _: Part,
        examples: usize,
        work: &mut Study<'_>,
    ) -> tcmax_losses::Result<()> {
        let encode = || Ok(self.features(examples, 1.0));
        work(self.head.as_ref(), &encode, &labels(examples))
    }

    fn params(&self) -> &Params {
        &self.params
    }

    fn groups(&self) -> &ParameterGroups {
        &self.groups
    }

    fn teach(&mut self) -> tcmax_losses::Result<()> {
        self.taught = Some((self.params.snapshot()?, self.clock.epoch));
        Ok(())
    }

    fn reset_optimiser(&mut self) -> tcmax_losses::Result<()> {
        self.resets += 1;
        Ok(())
    }
}

/// What a teacher that is no better than chance would say.
fn lesson(modalities: usize, rows: usize, scale: f64) -> Taught {
    let of = |columns: usize, seed: u64| {
        (0..modalities as u64).map(|m| random(rows, columns, scale, seed + m)).collect()
    };
    Taught { features: of(WIDTH, 50), modality_logits: of(CLASSES, 60) }
}

fn passed_on(error: &Error) -> tcmax_ops::Error {
    tcmax_ops::Error::Candle(candle_core::Error::Msg(error.to_string()))
}

fn assert_gradient(
    inputs: &[Tensor],
    what: &str,
    loss: impl Fn(&[Tensor]) -> tcmax_losses::Result<Tensor>,
) {
    let error = gradient_error(inputs, |x| loss(x).map_err(|error| passed_on(&error))).unwrap();
    assert!(error < LIMIT, "{what}: {error:e}");
}

/// Features or logits of two and three modalities, of one example and of several, of ordinary size and of hundreds.
fn each(columns: usize, run: impl Fn(&[Tensor], &str)) {
    for modalities in [2, 3] {
        for rows in [1, 4] {
            for scale in [1.0, 300.0] {
                let of = |m: u64| random(rows, columns, scale, 10 + m);
                let what = format!("M = {modalities}, B = {rows}, scale {scale}");
                run(&(0..modalities).map(of).collect::<Vec<_>>(), &what);
            }
        }
    }
}
