//! A method's own steps on linear encoders and a head with recorded weights.

use std::collections::BTreeMap;

use anyhow::Context;
use candle_core::backprop::GradStore;
use candle_core::{Device, Tensor};
use tcmax_estimators::Labels;
use tcmax_fusion::{FusionHead, HeadSpec};
use tcmax_losses::{
    Clock, EpochContext, METHOD_PREFIX, Method, MethodSpec, ParameterGroups, Part, Setup, Spread,
    Step, StepOutput, Study, Surveyed, Taught, Visit,
};
use tcmax_ops::{Branches, Linear, ParamBuilder, Params, Seed, State, clip_grad_norm};
use tcmax_registry::Table;

use super::case::Case;

/// What is trained, and how.
pub struct Form {
    /// The method, with its options.
    pub method: &'static MethodSpec,
    pub options: Table,
    /// The head.
    pub head: &'static HeadSpec,
    /// The recorded name of a parameter of ours: `encoder0.weight`, `fc_out.weight`, `method.NAME`.
    pub recorded: fn(&str) -> String,
    /// The rate of plain gradient descent; 0 changes nothing.
    pub rate: f64,
    pub epochs: usize,
    pub examples: usize,
}

/// One batch.
#[derive(Clone, Copy)]
pub struct Given<'a> {
    pub features: &'a [Tensor],
    pub labels: &'a Labels,
    pub clock: Clock,
    pub rows: &'a [usize],
    pub only: &'a [Option<usize>],
    pub taught: Option<&'a Taught>,
}

/// What one update was handed, by recorded names; features are called `z0`, `z1`, ...
#[derive(Default)]
pub struct Handed {
    /// As the method left them.
    pub raw: BTreeMap<String, Tensor>,
    /// After clipping, where the method clips.
    pub clipped: BTreeMap<String, Tensor>,
    /// The norm before clipping.
    pub norm: Option<f64>,
}

/// Linear encoders (none where features are given), a head and a method with recorded weights.
pub struct Stepped {
    pub method: Box<dyn Method>,
    pub head: Box<dyn FusionHead>,
    pub params: Params,
    pub groups: ParameterGroups,
    /// What the method was made for.
    pub setup: Setup,
    /// The largest norm of all gradients together; at first the method's own.
    pub largest: Option<f64>,
    encoders: Vec<Linear>,
    recorded: fn(&str) -> String,
    rate: f64,
    /// The updates of the last step.
    pub handed: Vec<Handed>,
}

impl Stepped {
    /// For features of these widths. Encoders are those that the case has weights `{prefix}{m}.weight` for, where
    /// `recorded` names `encoder{m}.weight`.
    pub fn new(case: &Case, form: Form, widths: &[usize]) -> anyhow::Result<Self> {
        let Form { method, options, head: kind, recorded: name_of, rate, epochs, examples } = form;
        let builder = ParamBuilder::new(Seed::new(0), case.dtype, &Device::Cpu);
        let mut encoders = Vec::new();
        for (m, &width) in widths.iter().enumerate() {
            let own = format!("encoder{m}");
            let recorded = format!("weight.{}", name_of(&format!("{own}.weight")));
            if case.has(&recorded) {
                let inputs = case.recorded(&recorded)?.dim(1)?;
                encoders.push(Linear::new(inputs, width, &builder.pp(own))?);
            }
        }
        let classes = case.number("C")?;
        let head = kind.build(&Table::new(), widths, classes, &builder)?;
        let setup = Setup {
            examples,
            batch_size: case.number("B").unwrap_or(1),
            epochs,
            own: builder.pp(METHOD_PREFIX).again(),
            ..Setup::alone(widths, classes, kind)
        };
        let method = method.build(&options, &setup)?;
        let params = builder.params();
        let mut state = State::new();
        for (own, var) in params.trainable().chain(params.buffers()) {
            let name = format!("weight.{}", name_of(own));
            // What is not recorded starts as it starts.
            let value =
                if case.has(&name) { case.tensor(&name)? } else { var.as_detached_tensor() };
            state.insert(own.to_owned(), value.reshape(params.pytorch_shape(own, var))?);
        }
        params.load(&state)?;
        let prefixes: Vec<String> = (0..widths.len()).map(|m| format!("encoder{m}")).collect();
        let groups = ParameterGroups::by_prefix(&params, &prefixes);
        Ok(Self {
            largest: method.usual_clip_norm(),
            method,
            head,
            params,
            groups,
            setup,
            encoders,
            recorded: name_of,
            rate,
            handed: Vec::new(),
        })
    }

    /// Features of inputs.
    pub fn features(&self, inputs: &[Tensor]) -> anyhow::Result<Vec<Tensor>> {
        let encode = |(encoder, x): (&Linear, &Tensor)| Ok(encoder.forward(x)?);
        self.encoders.iter().zip(inputs).map(encode).collect()
    }

    /// One step of the method.
    pub fn step(&mut self, given: Given<'_>) -> anyhow::Result<StepOutput> {
        let Self { method, head, params, groups, handed, recorded, rate, largest, .. } = self;
        handed.clear();
        let (largest, features) = (*largest, given.features);
        let by_name = |gradients: &GradStore| {
            let mut found = BTreeMap::new();
            for (name, var) in params.trainable() {
                if let Some(gradient) = gradients.get(var.as_tensor()) {
                    found.insert(recorded(name), gradient.clone());
                }
            }
            for (m, z) in features.iter().enumerate() {
                if let Some(gradient) = gradients.get(z) {
                    found.insert(format!("z{m}"), gradient.clone());
                }
            }
            found
        };
        let output = method.step(&mut Step {
            head: head.as_ref(),
            features,
            branches: &Branches::default(),
            labels: given.labels,
            rows: given.rows,
            only: given.only,
            taught: given.taught,
            groups,
            clock: given.clock,
            seed: Seed::new(0),
            spread: Spread::alone(),
            update: &mut |gradients| {
                let raw = by_name(gradients);
                let norm = largest
                    .map(|largest| clip_grad_norm(params, gradients, largest))
                    .transpose()?;
                handed.push(Handed { raw, clipped: by_name(gradients), norm });
                for (_, var) in params.trainable() {
                    if let Some(gradient) = gradients.get(var.as_tensor()) {
                        var.set(&(var.as_tensor() - (gradient * *rate)?)?)?;
                    }
                }
                Ok(())
            },
        })?;
        Ok(output)
    }

    /// Lets the method look at given splits before an epoch.
    pub fn begin_epoch(&mut self, clock: Clock, splits: &Splits) -> anyhow::Result<()> {
        let Self { method, head, params, groups, encoders, .. } = self;
        let mut view =
            View { clock, splits, head: head.as_ref(), params, groups, encoders, taught: false };
        Ok(method.begin_epoch(&mut view)?)
    }

    /// Compares every parameter with the recorded ones under a prefix, such as `output.final.`.
    pub fn check_parameters(&self, case: &Case, prefix: &str) -> anyhow::Result<()> {
        for (name, var) in self.params.trainable() {
            let quantity = format!("{prefix}{}", (self.recorded)(name));
            if case.has(&quantity) {
                case.check(&quantity, var.as_tensor())?;
            }
        }
        Ok(())
    }
}

impl Handed {
    /// Compares every recorded gradient under a prefix; `row` chooses from those that have one for each step.
    pub fn check(
        &self,
        case: &Case,
        prefix: &str,
        found: &BTreeMap<String, Tensor>,
    ) -> anyhow::Result<()> {
        for quantity in case.names() {
            let Some(name) = quantity.strip_prefix(prefix) else { continue };
            let name = name.strip_prefix("weight.").unwrap_or(name);
            let gradient = found.get(name).with_context(|| format!("{quantity}: none arrives"))?;
            case.check(quantity, gradient)?;
        }
        Ok(())
    }
}

/// Inputs and labels of the training and the validation split.
#[derive(Default)]
pub struct Splits {
    pub train: Option<(Vec<Tensor>, Labels)>,
    pub validation: Option<(Vec<Tensor>, Labels)>,
}

struct View<'a> {
    clock: Clock,
    splits: &'a Splits,
    head: &'a dyn FusionHead,
    params: &'a Params,
    groups: &'a ParameterGroups,
    encoders: &'a [Linear],
    taught: bool,
}

impl View<'_> {
    /// All of a split, as one batch.
    fn split(&self, part: Part) -> tcmax_losses::Result<&(Vec<Tensor>, Labels)> {
        let split = match part {
            Part::Train => &self.splits.train,
            Part::Validation => &self.splits.validation,
        };
        split
            .as_ref()
            .ok_or_else(|| tcmax_losses::Error::EpochContext("the case has no such split".into()))
    }

    fn features(&self, inputs: &[Tensor]) -> tcmax_losses::Result<Vec<Tensor>> {
        let encode = |(encoder, x): (&Linear, &Tensor)| Ok(encoder.forward(x)?);
        self.encoders.iter().zip(inputs).map(encode).collect()
    }
}

impl EpochContext for View<'_> {
    fn clock(&self) -> Clock {
        self.clock
    }

    fn seed(&self) -> Seed {
        Seed::new(0)
    }

    fn each(&mut self, part: Part, visit: &mut Visit<'_>) -> tcmax_losses::Result<()> {
        let (inputs, labels) = self.split(part)?;
        let features = self.features(inputs)?;
        let features: Vec<Tensor> = features.iter().map(Tensor::detach).collect();
        let rows: Vec<usize> = (0..labels.len()).collect();
        visit(Surveyed { head: self.head, features: &features, labels, rows: &rows }).map(drop)
    }

    fn study(&mut self, part: Part, _: usize, work: &mut Study<'_>) -> tcmax_losses::Result<()> {
        let (inputs, labels) = self.split(part)?;
        work(self.head, &|| self.features(inputs), labels)
    }

    fn params(&self) -> &Params {
        self.params
    }

    fn groups(&self) -> &ParameterGroups {
        self.groups
    }

    fn teach(&mut self) -> tcmax_losses::Result<()> {
        self.taught = true;
        Ok(())
    }

    fn reset_optimiser(&mut self) -> tcmax_losses::Result<()> {
        Ok(())
    }
}
