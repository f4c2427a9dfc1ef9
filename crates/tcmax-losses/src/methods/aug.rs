//! Sustained boosting (AUG): the weaker modality gets more classifiers, each of which corrects those before it.
//!
//! Learners of a modality share one last layer, (A, a), which all modalities share too:
//!
//! ```text
//! base_m = A relu(E_m z_m) + a,    e_mj = A relu(L_mj z_m) + a,    t_m = base_m + sum_j e_mj
//! ```
//!
//! Modalities take turns in every batch: features of all are computed first; then there is a step on the loss of each
//! modality, whose pass through (A, a) sees what the steps before it have changed. With only its base the loss is
//! CE(t_m, y); with further learners, of which e is the last and b = t_m - e what those before it make,
//!
//! ```text
//! L_m = CE(t_m, y) + CE(b, y) + CE(e, y) - discount mean_i softmax(b_i)[y_i] CE_i(e, y)            (nats)
//! ```
//!
//! without gradient through softmax(b): the last learner cares less for what the others know. S_m is the sum over an
//! epoch of softmax(t_m)\[y\], before the step of m. After the first epoch and then every tenth of all epochs, of two
//! modalities the second gets a learner if S_1 / S_2 > 1.01, and the first if S_1 / S_2 < 0.99; of M > 2 all that
//! have less than 0.8 / (M - 1) times what the others have together, as the released code for three has it. Predictions
//! are .4 t_1 + .6 t_2, and the mean of t_m for more.
//!
//! - `as = "code"` (default, as most recorded values are): added learners keep their random initial values, since the
//!   released code's optimiser never hears of them; and it counts epochs from 1, so that the last of every tenth counts.
//! - `as = "paper"`: added learners are trained; and the first of every tenth counts (the recorded reading of the rule).
//!
//! All learners that a run may come to need are made at its start, and how many each modality uses is a buffer. The
//! model's head takes no part: cross-entropy trains it on the detached features, so that what a run reports of single
//! or absent modalities means something. The released code has for gestures other variants, which weigh learners.
//!
//! Source: Jiang, Huang, Yang, "Rethinking Multimodal Learning from the Perspective of Mitigating Classification
//! Ability Disproportion" (NeurIPS 2025), and its released code.

use candle_core::backprop::GradStore;
use candle_core::{Device, Tensor, Var};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tcmax_fusion::{CONCAT, FusionHead, Modalities};
use tcmax_ops::{Init, Linear, ParamBuilder, State, placed_like, relu, to_vec_f64};
use tcmax_registry::{OptionSet, Options, read, require};

use super::boosting::{Boosted, adds_after, fused, weaker};
use super::reading::Reading;
use crate::likelihood::label_probability_sums;
use crate::{
    EpochContext, Heads, Method, MethodSpec, Result, Setup, Step, StepOutput, Tasks, cross_entropy,
};

/// The specification of AUG.
pub static AUG: MethodSpec = MethodSpec {
    name: "aug",
    description: "gives the weaker modality further classifiers by boosting",
    source: "Jiang et al., NeurIPS 2025",
    modalities: Modalities::Several,
    usual_head: &CONCAT,
    heads: Heads::Any,
    tasks: Tasks::Classes("it compares probabilities of the one right class"),
    needs_stages: false,
    options: Options::of::<AugOptions>(),
    make: |options, setup| Ok(Box::new(Aug::new(read(options)?, setup)?)),
};

/// Options of AUG.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct AugOptions {
    /// Whether added learners are trained, as in the paper, or not, as in its code.
    #[serde(rename = "as")]
    pub reading: Reading,
    /// Width of the learners.
    pub hidden: usize,
    /// How much less the last learner cares for what the others know.
    pub discount: f64,
    /// How far from 1 the ratio of two modalities' scores has to be for a learner to be added.
    pub tolerance: f64,
    /// The first of two modalities' part in predictions.
    pub first_part: f64,
}

impl Default for AugOptions {
    fn default() -> Self {
        let reading = Reading::default();
        Self { reading, hidden: 256, discount: 0.5, tolerance: 0.01, first_part: 0.4 }
    }
}

impl OptionSet for AugOptions {
    fn check(&self) -> tcmax_registry::Result<()> {
        require(self.hidden > 0, "hidden", "must be at least 1")?;
        for (option, value) in [("discount", self.discount), ("first-part", self.first_part)] {
            require((0.0..=1.0).contains(&value), option, "must be a number from 0 to 1")?;
        }
        let fits = (0.0..1.0).contains(&self.tolerance);
        require(fits, "tolerance", "must be at least 0 and below 1")
    }
}

/// See the [module](self).
#[derive(Clone, Debug)]
pub struct Aug {
    options: AugOptions,
    /// E_m, then L_mj, of every modality.
    layers: Vec<Vec<Linear>>,
    /// (A, a).
    last: Linear,
    /// How many added learners each modality uses, (M,).
    added: Var,
    epochs: usize,
    /// S_m of the epoch so far.
    scores: Vec<f64>,
}

impl Aug {
    /// AUG for the modalities, classes and epochs of `setup`.
    ///
    /// # Errors
    /// When an option is out of range, or the name of a parameter is taken.
    pub fn new(options: AugOptions, setup: &Setup) -> Result<Self> {
        options.check()?;
        // What is added after the last epoch would never be used.
        let most = (1..setup.epochs)
            .filter(|epoch| adds_after(epoch - 1, setup.epochs, options.reading))
            .count();
        let layers = |(m, &width): (usize, &usize)| {
            let base = std::iter::once(setup.own.pp("base").pp(m));
            let added = (0..most).map(|j| setup.own.pp("added").pp(m).pp(j));
            base.chain(added).map(|builder| layer(width, options.hidden, &builder)).collect()
        };
        let layers = setup.widths.iter().enumerate().map(layers).collect::<Result<_>>()?;
        let modalities = setup.widths.len();
        Ok(Self {
            options,
            layers,
            last: layer(options.hidden, setup.classes, &setup.own.pp("last"))?,
            added: setup.own.buffer("learners", modalities, 0.0)?,
            epochs: setup.epochs,
            scores: vec![0.0; modalities],
        })
    }

    /// How many added learners each modality uses.
    ///
    /// # Errors
    /// Only if the device fails.
    pub fn added(&self) -> Result<Vec<usize>> {
        let counts = to_vec_f64(self.added.as_tensor())?;
        let most = |m: usize| self.layers[m].len() - 1;
        Ok(counts.iter().enumerate().map(|(m, &count)| (count as usize).min(most(m))).collect())
    }

    /// Logits of the learners of modality m that are in use, from its features (B, D_m).
    ///
    /// # Errors
    /// When the features do not fit.
    pub fn boosted(&self, m: usize, z: &Tensor) -> Result<Boosted> {
        let used = self.added()?[m] + 1;
        let of = |layer: &Linear| self.last.forward(&relu(&layer.forward(z)?)?);
        let learners = self.layers[m][..used].iter().map(of);
        Boosted::new(&learners.collect::<candle_core::Result<Vec<_>>>()?)
    }

    /// Takes the gradients of added learners out, where these are not trained.
    fn leave_added(&self, gradients: &mut GradStore) {
        if self.options.reading == Reading::Code {
            for layer in self.layers.iter().flat_map(|layers| &layers[1..]) {
                layer.parameters().iter().for_each(|tensor| drop(gradients.remove(tensor)));
            }
        }
    }

    fn fused(&self, totals: &[Tensor]) -> Result<Tensor> {
        fused(totals, self.options.first_part)
    }
}

/// A layer started as in the released code: a normal weight (Glorot and Bengio 2010) and no bias.
fn layer(inputs: usize, outputs: usize, builder: &ParamBuilder) -> Result<Linear> {
    let weight = builder.param("weight", (outputs, inputs), Init::XavierNormal)?;
    Ok(Linear::from_tensors(weight, builder.param("bias", outputs, Init::Const(0.0))?)?)
}

impl Method for Aug {
    fn begin_epoch(&mut self, context: &mut dyn EpochContext) -> Result<()> {
        let epoch = context.clock().epoch;
        if epoch > 0 && adds_after(epoch - 1, self.epochs, self.options.reading) {
            let mut added = self.added()?;
            for m in weaker(&self.scores, self.options.tolerance) {
                added[m] = (added[m] + 1).min(self.layers[m].len() - 1);
            }
            let added: Vec<f64> = added.into_iter().map(|count| count as f64).collect();
            let added = Tensor::new(added, &Device::Cpu)?;
            self.added.set(&placed_like(&added, self.added.as_tensor())?)?;
        }
        self.scores.fill(0.0);
        Ok(())
    }

    fn step(&mut self, step: &mut Step<'_>) -> Result<StepOutput> {
        let detached: Vec<Tensor> = step.features.iter().map(Tensor::detach).collect();
        let mut losses = Vec::with_capacity(step.modalities());
        let mut totals = Vec::with_capacity(step.modalities());
        for (m, z) in step.features.iter().enumerate() {
            let boosted = self.boosted(m, z)?;
            let loss = boosted.loss(step.labels, self.options.discount)?;
            losses.push(crate::finite(&loss)?);
            totals.push(boosted.total.detach());
            let mut sum = loss;
            if m == 0 {
                sum = (sum + cross_entropy(&step.head.logits(&detached)?, step.labels)?)?;
            }
            let mut gradients = step.gradients(&sum)?;
            self.leave_added(&mut gradients);
            (step.update)(&mut gradients)?;
        }
        let sums = label_probability_sums(&totals, step.labels)?;
        self.scores.iter_mut().zip(&sums).for_each(|(score, sum)| *score += sum);
        let logits = self.fused(&totals)?;
        let added: Vec<f64> = self.added()?.into_iter().map(|count| count as f64).collect();
        Ok(StepOutput::new(losses.iter().sum::<f64>(), &logits)
            .with_metrics("loss", &losses)
            .with_metrics("score", &sums)
            .with_metrics("added learners", &added))
    }

    fn predict(&self, _: &dyn FusionHead, features: &[Tensor]) -> Result<Tensor> {
        let totals = features.iter().enumerate().map(|(m, z)| Ok(self.boosted(m, z)?.total));
        self.fused(&totals.collect::<Result<Vec<_>>>()?)
    }

    fn state(&self) -> Result<State> {
        let scores = Tensor::new(&self.scores[..], &Device::Cpu)?;
        Ok(State::from([("scores".to_owned(), scores)]))
    }

    fn load_state(&mut self, state: &State) -> Result<()> {
        self.scores = crate::state::vector(state, "scores", self.scores.len())?;
        Ok(())
    }
}
