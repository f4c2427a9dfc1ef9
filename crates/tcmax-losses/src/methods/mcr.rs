//! Multimodal competition regulariser (MCR): modalities play a game for their influence on the prediction.
//!
//! ```text
//! L = CE(f, y) + lambda_u sum_m CE(f_m, y) + contrast L_sup + lambda_b CEB,  and encoder m also gets the gradient of
//! lambda (-D_m - k sum_{n != m} D_n)                                                    (nats)
//! ```
//!
//! D_m is how much the prediction depends on modality m: the mean over random permutations of the batch of the
//! Jensen-Shannon divergence of the predictions with m's features permuted and as they are. k is -1 in the `greedy` game, in
//! which a modality gains and takes from the others, 0 in the `independent` one, and 1 in the `collaborative` one. The head
//! gets the gradient of -lambda sum_m D_m, but nothing in the greedy game, where what it gets cancels out.
//!
//! L_sup is [`supervised_contrast`] between all features of the batch, of any modality, which have to be of one width. CEB
//! is the mean squared error of all features side by side and a perceptron (C, D, sum D_m; ReLU, no biases) of the fused logits
//! without gradient. Any number of modalities; permutations are drawn from the run's seed.
//!
//! Readings: the gradient of D_m is that through both predictions, while in the greedy game of the released code the part
//! through the unchanged one cancels out. The weight lambda_b is stated nowhere that was read, so the default is a guess. Left
//! out: pre-trained encoders (any run can have them), and the code's permutations by labels.
//!
//! Source: Kontras, Strypsteen, Chatzichristos, Liang, Blaschko, De Vos, "Balancing Multimodal Training Through Game-Theoretic
//! Regularization" (NeurIPS 2025).

use candle_core::Tensor;
use rand::seq::SliceRandom;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tcmax_fusion::{Modalities, SPECIFIC};
use tcmax_ops::{Init, Seed, relu, sum_of, to_scalar_f64};
use tcmax_registry::{OptionSet, Options, read, require};

use super::contrast::supervised_contrast;
use super::influence::{Game, Played};
use super::unimodal::unimodal;
use crate::{
    Error, Heads, Method, MethodSpec, Result, Setup, Step, StepOutput, Tasks, cross_entropy,
};

/// The specification of MCR.
pub static MCR: MethodSpec = MethodSpec {
    name: "mcr",
    description: "modalities play a game for their influence on the prediction",
    source: "Kontras et al., NeurIPS 2025",
    modalities: Modalities::Several,
    usual_head: &SPECIFIC,
    heads: Heads::Any,
    tasks: Tasks::Classes("its game is about distributions over exclusive classes"),
    needs_stages: false,
    options: Options::of::<McrOptions>(),
    make: |options, setup| Ok(Box::new(Mcr::new(read(options)?, setup)?)),
};

/// Options of MCR.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct McrOptions {
    /// The game: `greedy`, `independent` or `collaborative`.
    pub game: Game,
    /// Weight lambda of the game.
    pub lambda: f64,
    /// Weight lambda_u of the modalities' own losses.
    pub unimodal: f64,
    /// Weight of the supervised contrastive loss.
    pub contrast: f64,
    /// Temperature of the supervised contrastive loss.
    pub temperature: f64,
    /// Weight lambda_b of CEB.
    pub reconstruction: f64,
    /// Permutations of the batch.
    pub permutations: usize,
}

impl Default for McrOptions {
    fn default() -> Self {
        Self {
            game: Game::Greedy,
            lambda: 0.1,
            unimodal: 0.01,
            contrast: 1.0,
            temperature: 0.5,
            reconstruction: 0.01,
            permutations: 32,
        }
    }
}

impl OptionSet for McrOptions {
    fn check(&self) -> tcmax_registry::Result<()> {
        for (option, value) in [
            ("lambda", self.lambda),
            ("unimodal", self.unimodal),
            ("contrast", self.contrast),
            ("reconstruction", self.reconstruction),
        ] {
            let fits = value.is_finite() && value >= 0.0;
            require(fits, option, "must be a number of at least 0")?;
        }
        let fits = self.temperature.is_finite() && self.temperature > 0.0;
        require(fits, "temperature", "must be a positive number")?;
        require(self.permutations > 0, "permutations", "must be at least 1")
    }
}

/// See the [module](self).
#[derive(Clone, Debug)]
pub struct Mcr {
    options: McrOptions,
    /// Weights of the perceptron of CEB, where it counts: (D, C) and (sum D_m, D).
    reconstruction: Option<[Tensor; 2]>,
}

impl Mcr {
    /// MCR for the modalities of `setup`.
    ///
    /// # Errors
    /// When an option is out of range, or widths differ where features are compared.
    pub fn new(options: McrOptions, setup: &Setup) -> Result<Self> {
        options.check()?;
        let widths = &setup.widths;
        let hidden = widths.iter().copied().max().unwrap_or(1);
        if options.contrast > 0.0 && widths.iter().any(|&width| width != hidden) {
            return Err(Error::UnequalWidths { method: MCR.name, widths: widths.clone() });
        }
        let layer = |number: usize, (to, from): (usize, usize)| {
            let start = Init::Uniform { bound: 1.0 / (from as f64).sqrt() };
            let builder = setup.own.pp("reconstruction").pp(number);
            builder.param("weight", (to, from), start)
        };
        let reconstruction = if options.reconstruction > 0.0 {
            let all = widths.iter().sum();
            Some([layer(0, (hidden, setup.classes))?, layer(1, (all, hidden))?])
        } else {
            None
        };
        Ok(Self { options, reconstruction })
    }

    /// Everything but the game, with the metrics of its parts.
    fn loss(
        &self,
        step: &Step<'_>,
        logits: &Tensor,
        own: &[Tensor],
    ) -> Result<(Tensor, Vec<(String, f64)>)> {
        let mut loss = cross_entropy(logits, step.labels)?;
        let mut metrics = vec![("cross-entropy".to_owned(), to_scalar_f64(&loss)?)];
        let mut add = |name: &str, weight: f64, term: Tensor| -> Result<()> {
            metrics.push((name.to_owned(), to_scalar_f64(&term)?));
            loss = (&loss + (term * weight)?)?;
            Ok(())
        };
        let McrOptions { unimodal: weight, contrast, temperature, reconstruction, .. } =
            self.options;
        if weight > 0.0 {
            add("unimodal", weight, unimodal(own, step.labels)?)?;
        }
        if contrast > 0.0 {
            let term = supervised_contrast(step.features, step.labels, temperature)?;
            add("contrast", contrast, term)?;
        }
        if let Some([first, second]) = &self.reconstruction {
            let hidden = relu(&logits.detach().matmul(&first.t()?)?)?;
            let found = hidden.matmul(&second.t()?)?;
            let term = (Tensor::cat(step.features, 1)? - found)?.sqr()?.mean_all()?;
            add("reconstruction", reconstruction, term)?;
        }
        Ok((loss, metrics))
    }
}

impl Method for Mcr {
    fn step(&mut self, step: &mut Step<'_>) -> Result<StepOutput> {
        let (logits, own) = if self.options.unimodal > 0.0 {
            step.head.all_logits(step.features)?
        } else {
            (step.head.logits(step.features)?, Vec::new())
        };
        let (loss, metrics) = self.loss(step, &logits, &own)?;
        let McrOptions { game, lambda, permutations, .. } = self.options;
        let permutations =
            draw(step.modalities(), permutations, step.labels.len(), step.seed.stream("game"));
        let played = Played::new(step.head, step.features, &permutations)?;
        // Of value 0, and with the game's gradient at every encoder.
        let turns = step
            .features
            .iter()
            .zip(played.gradients(game)?)
            .map(|(z, gradient)| ((z - z.detach())? * (gradient * lambda)?)?.sum_all());
        let turns = sum_of(&turns.collect::<candle_core::Result<Vec<_>>>()?)?;
        let of_game = lambda * played.losses(game).iter().sum::<f64>();
        let value = crate::finite(&loss)? + of_game;
        let mut gradients = step.gradients(&(loss + turns)?)?;
        if game != Game::Greedy {
            played.add_to_head(&mut gradients, &step.groups.head, lambda)?;
        }
        (step.update)(&mut gradients)?;
        let mut output = StepOutput::new(value, &logits);
        output = output.with_metrics("influence", &played.influences);
        output.metrics.extend(metrics);
        Ok(output)
    }
}

/// For each modality random orders of the batch.
fn draw(modalities: usize, permutations: usize, batch: usize, seed: Seed) -> Vec<Vec<Vec<u32>>> {
    let order = |(m, number): (usize, usize)| {
        let mut order: Vec<u32> = (0..batch as u32).collect();
        order.shuffle(&mut seed.index(m as u64).index(number as u64).rng());
        order
    };
    (0..modalities).map(|m| (0..permutations).map(|number| order((m, number))).collect()).collect()
}
