//! Greedy learning, characterised and overcome: gates between the encoders, held while one modality learns faster.
//!
//! Two ResNets are joined by [MMTM blocks](tcmax_fusion::Mmtm) after their stages. What modality m learns by itself and
//! by way of the other is, over the steps so far,
//!
//! ```text
//! main_m   = sum over steps of |gradient of encoder m|^2 / |encoder m|^2
//! bypass_m = sum over steps of |gradient of B_m|^2 / |B_m|^2
//! speed    = log10(bypass_0 / main_0) - log10(bypass_1 / main_1)
//! ```
//!
//! with B_m the layers of m's gates and the squeezing layers, which both share. Where |speed| > alpha, the next `window`
//! steps are curation: the gates of modality 0, if speed > 0, or else of modality 1 are replaced by their mean over all
//! passes of training so far ([`CuratedGates`]), without gradient, so that this encoder learns by itself. Steps of
//! curation add nothing to the sums. The loss is the cross-entropy of the fused logits; predictions have all gates as
//! they are. Additive heads or others.
//!
//! Source: Wu, Jastrzebski, Cho, Geras, "Characterizing and Overcoming the Greedy Nature of Learning in Multi-modal
//! Deep Neural Networks" (ICML 2022), as BalanceBenchmark (2025) runs it. The authors' code differs: alpha is 0.01, the
//! first epoch has no curation (`first-epoch = 1`), blocks are after the last three stages (`first-stage = 2`), a
//! modality's own classifier counts as part of its encoder, and the loss is the sum of the modalities' own
//! cross-entropies (`loss = "unimodal"`, with the head `shared` or `sum`). There the mean that takes the place of the second
//! modality's gates is by mistake that of the first one's, which is not repeated here; and passes of evaluation move
//! the means, too, which here they do not. With `mean = "batch"` the mean is that of the batch alone, as where a
//! program starts it anew on every pass.
//!
//! An example that lacks a modality counts as zeros in the means that the gates are computed from, and has no gates of it.

use candle_core::backprop::GradStore;
use candle_core::{Device, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tcmax_fusion::{CONCAT, FusionHead, Modalities, StageFusion};
use tcmax_ops::{State, to_scalar_f64, wide};
use tcmax_registry::{OptionSet, Options, read, require};

use super::curated_gates::{CuratedGates, GateMean};
use super::unimodal::unimodal;
use crate::step::finite_value;
use crate::{
    Error, Heads, Method, MethodSpec, Result, Setup, Step, StepOutput, Task, Tasks, Way,
    cross_entropy,
};

/// The specification of the method.
pub static GREEDY: MethodSpec = MethodSpec {
    name: "greedy",
    description: "gates between two ResNets, held at their mean while one of them learns faster",
    source: "Wu et al., ICML 2022",
    modalities: Modalities::Two,
    usual_head: &CONCAT,
    heads: Heads::Any,
    tasks: Tasks::Classes("its loss is of exclusive classes"),
    needs_stages: true,
    options: Options::of::<GreedyOptions>(),
    make: |options, setup| Ok(Box::new(Greedy::new(read(options)?, setup)?)),
};

/// The loss.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum GreedyLoss {
    /// The cross-entropy of the fused logits.
    #[default]
    Fused,
    /// The sum of those of each modality's own logits.
    Unimodal,
}

/// Options of the method.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct GreedyOptions {
    /// Difference alpha of the logarithms above which one modality learns too fast.
    pub alpha: f64,
    /// Steps of curation that follow.
    pub window: usize,
    /// The first epoch with curation, from 0.
    pub first_epoch: usize,
    /// The first stage that a block comes after, 1 to 4.
    pub first_stage: usize,
    /// The loss: `fused` or `unimodal`.
    pub loss: GreedyLoss,
    /// What takes the place of gates: their `running` mean over all passes of training, or that of the `batch`.
    pub mean: GateMean,
}

impl Default for GreedyOptions {
    fn default() -> Self {
        Self {
            alpha: 0.001,
            window: 5,
            first_epoch: 0,
            first_stage: 1,
            loss: GreedyLoss::Fused,
            mean: GateMean::Running,
        }
    }
}

impl OptionSet for GreedyOptions {
    fn check(&self) -> tcmax_registry::Result<()> {
        let fits = self.alpha.is_finite() && self.alpha >= 0.0;
        require(fits, "alpha", "must be a number of at least 0")?;
        require(self.window > 0, "window", "must be at least 1 step")?;
        require((1..=4).contains(&self.first_stage), "first-stage", "must be 1 to 4")
    }
}

/// See the [module](self).
#[derive(Clone, Debug)]
pub struct Greedy {
    options: GreedyOptions,
    gates: CuratedGates,
    learned: Learned,
    /// Steps of curation that are left.
    left: usize,
}

impl Greedy {
    /// The method for encoders with the stages of `setup`.
    ///
    /// # Errors
    /// When an option is out of range, an encoder has no stages, or the name of a parameter is taken.
    pub fn new(options: GreedyOptions, setup: &Setup) -> Result<Self> {
        options.check()?;
        let of = |m: usize| setup.stages.get(m).map_or(0, Vec::len);
        if let Some(m) = (0..setup.widths.len()).find(|&m| of(m) < options.first_stage) {
            let what = format!("the encoder of modality {m}");
            return Err(Error::NeedsStages { method: GREEDY.name, what });
        }
        let (first, mean) = (options.first_stage - 1, options.mean);
        let gates = CuratedGates::new(&setup.stages, first, mean, &setup.own)?;
        Ok(Self { options, gates, learned: Learned::default(), left: 0 })
    }

    /// The blocks between the encoders.
    pub fn gates(&self) -> &CuratedGates {
        &self.gates
    }

    /// What the modalities have learned.
    pub fn learned(&self) -> &Learned {
        &self.learned
    }

    /// Decides after a step's gradients what the next steps are.
    fn decide(&mut self, step: &Step<'_>, gradients: &GradStore) -> Result<()> {
        if self.gates.held()?.is_some() {
            self.left = self.left.saturating_sub(1);
            return if self.left == 0 { self.gates.hold(None) } else { Ok(()) };
        }
        for m in 0..2 {
            let encoder = step.groups.encoders.get(m).into_iter().flatten();
            let encoder: Vec<Tensor> = encoder.map(|var| var.as_tensor().clone()).collect();
            self.learned.main[m] += relative_square(gradients, &encoder)?;
            self.learned.bypass[m] += relative_square(gradients, &self.gates.bypass(m))?;
        }
        let held = self.learned.speed().and_then(|speed| cared_for(speed, self.options.alpha));
        if let Some(m) = held.filter(|_| step.clock.epoch >= self.options.first_epoch) {
            self.left = self.options.window;
            self.gates.hold(Some(m))?;
        }
        Ok(())
    }
}

/// Sums over steps of what each modality learned by itself and by way of the other.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Learned {
    /// main_m.
    pub main: [f64; 2],
    /// bypass_m.
    pub bypass: [f64; 2],
}

impl Learned {
    /// log10(bypass_m / main_m) of both modalities; none while one of the sums is 0, or not finite.
    pub fn rates(&self) -> Option<[f64; 2]> {
        let rate = |m: usize| (self.bypass[m] / self.main[m]).log10();
        let rates = [rate(0), rate(1)];
        rates.iter().all(|rate| rate.is_finite()).then_some(rates)
    }

    /// The difference of the rates.
    ///
    /// ```
    /// use tcmax_losses::methods::greedy::Learned;
    ///
    /// // 10^-1 and 10^-2.
    /// let learned = Learned { main: [2.0, 30.0], bypass: [0.2, 0.3] };
    /// assert!((learned.speed().unwrap() - 1.0).abs() < 1e-12);
    /// assert_eq!(Learned::default().speed(), None);
    /// ```
    pub fn speed(&self) -> Option<f64> {
        self.rates().map(|[one, other]| one - other)
    }
}

/// The modality whose gates are held in the next steps, if any are.
///
/// ```
/// use tcmax_losses::methods::greedy::cared_for;
///
/// assert_eq!(cared_for(0.5, 0.001), Some(0));
/// assert_eq!(cared_for(-0.5, 0.001), Some(1));
/// assert_eq!(cared_for(0.0005, 0.001), None);
/// ```
pub fn cared_for(speed: f64, alpha: f64) -> Option<usize> {
    (speed.abs() > alpha).then_some(if speed > 0.0 { 0 } else { 1 })
}

/// The squared norm of the gradients of some parameters over that of the parameters; 0 where these are all zeros.
///
/// # Errors
/// Only if the device fails.
pub fn relative_square(gradients: &GradStore, parameters: &[Tensor]) -> Result<f64> {
    let (mut of_gradients, mut of_parameters) = (0.0, 0.0);
    let square = |x: &Tensor| to_scalar_f64(&wide(&x.detach())?.sqr()?.sum_all()?);
    for parameter in parameters {
        of_parameters += square(parameter)?;
        if let Some(gradient) = gradients.get(parameter) {
            of_gradients += square(gradient)?;
        }
    }
    Ok(if of_parameters > 0.0 { of_gradients / of_parameters } else { 0.0 })
}

impl Method for Greedy {
    fn step(&mut self, step: &mut Step<'_>) -> Result<StepOutput> {
        let (logits, loss) = match self.options.loss {
            GreedyLoss::Fused => {
                let logits = step.head.logits(step.features)?;
                let loss = cross_entropy(&logits, step.labels)?;
                (logits, loss)
            }
            GreedyLoss::Unimodal => {
                let (logits, own) = step.head.all_logits(step.features)?;
                (logits, unimodal(&own, step.labels)?)
            }
        };
        let loss = step.weighed(loss)?;
        let value = finite_value(step.spread.total(to_scalar_f64(&loss)?)?)?;
        let mut gradients = step.gradients(&loss)?;
        let held = self.gates.held()?;
        self.decide(step, &gradients)?;
        (step.update)(&mut gradients)?;
        let mut output = StepOutput::new(value, &logits);
        let curation = f64::from(u8::from(held.is_some()));
        output.metrics.push(("curation".to_owned(), curation));
        Ok(match self.learned.rates() {
            Some(rates) => output.with_metrics("bypass to main", &rates),
            None => output,
        })
    }

    fn way(&self, _: &dyn FusionHead, _: Task) -> Way {
        // The encoders' gradients pass through layers of the method's own, which every member has for its rows alone.
        Way::Rows
    }

    fn stage_fusion(&self) -> Option<Box<dyn StageFusion>> {
        Some(Box::new(self.gates.clone()))
    }

    fn state(&self) -> Result<State> {
        let Learned { main, bypass } = self.learned;
        let numbers = [main[0], main[1], bypass[0], bypass[1], self.left as f64];
        Ok(State::from([(NAME.to_owned(), Tensor::new(&numbers, &Device::Cpu)?)]))
    }

    fn load_state(&mut self, state: &State) -> Result<()> {
        let numbers = crate::state::vector(state, NAME, 5)?;
        self.learned = Learned { main: [numbers[0], numbers[1]], bypass: [numbers[2], numbers[3]] };
        self.left = numbers[4] as usize;
        Ok(())
    }
}

/// What the sums, and the steps of curation that are left, are called in the state.
const NAME: &str = "learned";
