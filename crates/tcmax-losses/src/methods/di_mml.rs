//! Detached and interactive multimodal learning (DI-MML): encoders are trained apart, and each learns from the other only in
//! the dimensions that the other is better in; then one classifier is trained on both.
//!
//! ```text
//! stage 1:  L = sum_m CE(f_m, y) + lambda sum_m CE(g(z_m), y) + L_c                     (nats)
//! stage 2:  L = CE(f, y), encoders frozen
//! ```
//!
//! f_m are the logits of modality m's own layer, g is one layer that both share, and f is the fused classifier. From epoch
//! `contrast-from` on, with z^A the dimensions that are effective in the first modality only, and z^V those in the second only,
//!
//! ```text
//! L_c = InfoNCE(z_2^A, z_1^A) + InfoNCE(z_1^V, z_2^V),  InfoNCE(x, t) = mean_i -log softmax_j(x_i . t_j / tau)[i]
//! ```
//!
//! with t detached. Dimensions are chosen once, on the training split: the accuracy of a dimension is that of the class whose
//! mean is nearest in it alone, and it is effective if that is above the mean over the dimensions. A term without dimensions
//! is left out. Two modalities with features of one width.
//!
//! Predictions weigh three classifiers by their certainty: sum_k w_k f_k over f_1, f_2 and f, with
//! w = softmax_k(max_c softmax(f_k)\[c\] / T).
//!
//! The released code runs the stages as two programs of 150 and 20 epochs; here the last `fusion-epochs` are stage 2, with the
//! momentum of stage 1 forgotten, and no weights of stage 1 are kept. Its temperature tau is an argument whose default
//! is 1, and 50 in its script.
//!
//! Source: Fan, Xu, Wang, Liu, Guo, "Detached and Interactive Multimodal Learning" (ACM MM 2024), and its released code.

use candle_core::{Device, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tcmax_fusion::{FusionHead, Modalities, SPECIFIC};
use tcmax_ops::{Linear, State, softmax, sum_of, to_scalar_f64};
use tcmax_registry::{OptionSet, Options, read, require};

use super::dimensions::{choose, contrasts};
use super::divergence::log_softmax;
use super::pair::pair;
use super::unimodal::unimodal;
use crate::{
    EpochContext, Error, Heads, Method, MethodSpec, Result, Setup, Step, StepOutput, Tasks,
    cross_entropy,
};

/// The specification of DI-MML.
pub static DI_MML: MethodSpec = MethodSpec {
    name: "di-mml",
    description: "encoders apart, taught where the other is better; then a classifier on both",
    source: "Fan et al., ACM MM 2024",
    modalities: Modalities::Two,
    usual_head: &SPECIFIC,
    heads: Heads::Usual,
    tasks: Tasks::Classes("it compares dimensions by the nearest mean of the one right class"),
    needs_stages: false,
    options: Options::of::<DiMmlOptions>(),
    make: |options, setup| Ok(Box::new(DiMml::new(read(options)?, setup)?)),
};

/// Options of DI-MML.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct DiMmlOptions {
    /// Weight of the losses of the layer that both modalities share.
    pub lambda: f64,
    /// Temperature tau of the contrast.
    pub temperature: f64,
    /// The first epoch (from 0) with a contrast; absent: 20, or half of stage 1 where that is shorter.
    pub contrast_from: Option<usize>,
    /// Epochs of stage 2, the last of the run; absent: a third of all.
    pub fusion_epochs: Option<usize>,
    /// Temperature T of the weights in predictions.
    pub certainty_temperature: f64,
}

impl Default for DiMmlOptions {
    fn default() -> Self {
        Self {
            lambda: 1.0,
            temperature: 50.0,
            contrast_from: None,
            fusion_epochs: None,
            certainty_temperature: 1.0,
        }
    }
}

impl OptionSet for DiMmlOptions {
    fn check(&self) -> tcmax_registry::Result<()> {
        let fits = self.lambda.is_finite() && self.lambda >= 0.0;
        require(fits, "lambda", "must be a number of at least 0")?;
        for (option, value) in [
            ("temperature", self.temperature),
            ("certainty-temperature", self.certainty_temperature),
        ] {
            require(value.is_finite() && value > 0.0, option, "must be a positive number")?;
        }
        require(self.fusion_epochs != Some(0), "fusion-epochs", "must be at least 1")
    }
}

/// The epoch from which on the released code has a contrast.
const USUAL_CONTRAST_FROM: usize = 20;

/// See the [module](self).
#[derive(Clone, Debug)]
pub struct DiMml {
    options: DiMmlOptions,
    shared: Linear,
    /// The first epoch with a contrast.
    contrast_from: usize,
    /// The first epoch of stage 2.
    fusion_from: usize,
    classes: usize,
    width: usize,
    /// Dimensions effective in the first modality only, and in the second only, once they are chosen.
    dimensions: Option<[Vec<bool>; 2]>,
}

impl DiMml {
    /// DI-MML for a run.
    ///
    /// # Errors
    /// When an option is out of range, no epoch is left for stage 1, there are not two modalities, or their widths
    /// differ.
    pub fn new(options: DiMmlOptions, setup: &Setup) -> Result<Self> {
        options.check()?;
        let method = DI_MML.name;
        let [width, other] = pair(method, &setup.widths)?;
        if width != other {
            return Err(Error::UnequalWidths { method, widths: setup.widths.clone() });
        }
        let epochs = setup.epochs;
        let fusion = options.fusion_epochs.unwrap_or_else(|| (epochs / 3).max(1));
        let problem = format!(
            "the last {fusion} epochs train the fused classifier and none of the {epochs} is left for the encoders; \
             set fewer, or train for more epochs"
        );
        require(fusion < epochs, "fusion-epochs", &problem)?;
        let fusion_from = epochs - fusion;
        let contrast_from =
            options.contrast_from.unwrap_or_else(|| USUAL_CONTRAST_FROM.min(fusion_from / 2));
        let shared = Linear::new(width, setup.classes, &setup.own.pp("shared"))?;
        let (classes, dimensions) = (setup.classes, None);
        Ok(Self { options, shared, contrast_from, fusion_from, classes, width, dimensions })
    }

    fn fuse(step: &mut Step<'_>) -> Result<StepOutput> {
        let detached: Vec<Tensor> = step.features.iter().map(Tensor::detach).collect();
        let logits = step.head.logits(&detached)?;
        let loss = step.descend(&cross_entropy(&logits, step.labels)?)?;
        Ok(StepOutput::new(loss, &logits))
    }
}

impl Method for DiMml {
    fn begin_epoch(&mut self, context: &mut dyn EpochContext) -> Result<()> {
        let epoch = context.clock().epoch;
        if epoch == self.fusion_from {
            context.reset_optimiser()?;
        }
        let is_needed = (self.contrast_from..self.fusion_from).contains(&epoch);
        if is_needed && self.dimensions.is_none() {
            self.dimensions = Some(choose(context, self.classes)?);
        }
        Ok(())
    }

    fn step(&mut self, step: &mut Step<'_>) -> Result<StepOutput> {
        let epoch = step.clock.epoch;
        if epoch >= self.fusion_from {
            return Self::fuse(step);
        }
        let own = step.head.modality_logits(step.features)?;
        let shared = step.features.iter().map(|z| self.shared.forward(z));
        let shared = shared.collect::<candle_core::Result<Vec<_>>>()?;
        let losses = [unimodal(&own, step.labels)?, unimodal(&shared, step.labels)?];
        let mut loss = (&losses[0] + (&losses[1] * self.options.lambda)?)?;
        let mut metrics = vec![
            ("own".to_owned(), to_scalar_f64(&losses[0])?),
            ("shared".to_owned(), to_scalar_f64(&losses[1])?),
        ];
        let chosen = self.dimensions.as_ref().filter(|_| epoch >= self.contrast_from);
        if let Some(dimensions) = chosen {
            let features = pair(DI_MML.name, step.features)?;
            let terms = contrasts(&features, dimensions, self.options.temperature)?;
            for (m, term) in terms.iter().enumerate() {
                let Some(term) = term else { continue };
                metrics.push((format!("contrast {m}"), to_scalar_f64(term)?));
                loss = (loss + term)?;
            }
        }
        let value = step.descend(&loss)?;
        let mut output = StepOutput::new(value, &(sum_of(&own)? / own.len() as f64)?);
        output.metrics = metrics;
        Ok(output)
    }

    fn freezes_encoders(&self, epoch: usize) -> bool {
        epoch >= self.fusion_from
    }

    fn is_usable_after(&self, epoch: usize) -> bool {
        epoch >= self.fusion_from
    }

    fn predict(&self, head: &dyn FusionHead, features: &[Tensor]) -> Result<Tensor> {
        let (fused, mut all) = head.all_logits(features)?;
        all.push(fused);
        by_certainty(&all, self.options.certainty_temperature)
    }

    fn state(&self) -> Result<State> {
        let flags = |chosen: &Vec<bool>| {
            let flags = chosen.iter().map(|&flag| f64::from(u8::from(flag)));
            Tensor::new(flags.collect::<Vec<_>>(), &Device::Cpu)
        };
        let all = self.dimensions.iter().flatten().enumerate();
        all.map(|(m, chosen)| Ok((format!("dimensions.{m}"), flags(chosen)?))).collect()
    }

    fn load_state(&mut self, state: &State) -> Result<()> {
        let chosen = |m: usize| -> Result<Vec<bool>> {
            let flags = crate::state::vector(state, &format!("dimensions.{m}"), self.width)?;
            Ok(flags.into_iter().map(|flag| flag > 0.0).collect())
        };
        self.dimensions = if state.is_empty() { None } else { Some([chosen(0)?, chosen(1)?]) };
        Ok(())
    }
}

/// sum_k w_k f_k with w = softmax_k(max_c softmax(f_k)\[c\] / T), of logits (N, C): (N, C).
///
/// # Errors
/// When shapes differ.
pub fn by_certainty(logits: &[Tensor], temperature: f64) -> Result<Tensor> {
    let certainty = |f: &Tensor| Ok((log_softmax(f)?.max_keepdim(1)?.exp()? / temperature)?);
    let certainties = logits.iter().map(certainty).collect::<Result<Vec<_>>>()?;
    let weights = softmax(&Tensor::cat(&certainties, 1)?)?;
    let weighed =
        logits.iter().enumerate().map(|(k, f)| f.broadcast_mul(&weights.narrow(1, k, 1)?));
    Ok(sum_of(&weighed.collect::<candle_core::Result<Vec<_>>>()?)?)
}
