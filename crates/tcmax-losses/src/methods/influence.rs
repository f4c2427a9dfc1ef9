//! The influence of modalities on a prediction, and the game of [MCR](super::mcr) for it.

use candle_core::backprop::GradStore;
use candle_core::{Tensor, Var};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tcmax_fusion::FusionHead;
use tcmax_ops::to_scalar_f64;

use super::divergence::{log_softmax, to_mixture};
use crate::Result;

/// What a modality wants of the others' influence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Game {
    /// Less.
    #[default]
    Greedy,
    /// It does not matter.
    Independent,
    /// More.
    Collaborative,
}

impl Game {
    /// k.
    fn of_others(self) -> f64 {
        match self {
            Self::Greedy => -1.0,
            Self::Independent => 0.0,
            Self::Collaborative => 1.0,
        }
    }
}

/// The influences of modalities, and their gradients.
pub struct Played {
    /// D_m, nats.
    pub influences: Vec<f64>,
    /// The features without what is behind them.
    features: Vec<Var>,
    /// The gradients of each D_m, of features and head.
    stores: Vec<GradStore>,
}

impl Played {
    /// Of features (B, D_m) of each modality; `permutations[m]` are orders of the batch in which m's features are taken.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn new(
        head: &dyn FusionHead,
        features: &[Tensor],
        permutations: &[Vec<Vec<u32>>],
    ) -> Result<Self> {
        let vars = features.iter().map(|z| Var::from_tensor(&z.detach()));
        let vars = vars.collect::<candle_core::Result<Vec<_>>>()?;
        let z: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
        let mut played = Self { influences: Vec::new(), features: vars, stores: Vec::new() };
        for (m, orders) in permutations.iter().enumerate() {
            let influence = influence(head, &z, m, orders)?;
            played.influences.push(to_scalar_f64(&influence)?);
            played.stores.push(tcmax_ops::backward(&influence)?);
        }
        Ok(played)
    }

    /// -D_m - k sum_{n != m} D_n of each modality, nats.
    pub fn losses(&self, game: Game) -> Vec<f64> {
        let all: f64 = self.influences.iter().sum();
        self.influences.iter().map(|own| -own - game.of_others() * (all - own)).collect()
    }

    /// The gradient of D_n with respect to a feature or a parameter of the head.
    pub fn gradient(&self, n: usize, with_respect_to: &Tensor) -> Option<&Tensor> {
        self.stores.get(n)?.get(with_respect_to)
    }

    /// The features that [`Played::gradient`] is asked for.
    pub fn features(&self) -> &[Var] {
        &self.features
    }

    /// The gradient of each modality's loss with respect to its own features.
    ///
    /// # Errors
    /// Only if the device fails.
    pub fn gradients(&self, game: Game) -> Result<Vec<Tensor>> {
        let of = |(m, var): (usize, &Var)| {
            let mut sum = var.as_detached_tensor().zeros_like()?;
            for (n, store) in self.stores.iter().enumerate() {
                let weight = if n == m { -1.0 } else { -game.of_others() };
                if let Some(gradient) = store.get(var.as_tensor()) {
                    sum = (sum + (gradient * weight)?)?;
                }
            }
            Ok(sum.detach())
        };
        self.features.iter().enumerate().map(of).collect()
    }

    /// Adds the gradient of -lambda sum_m D_m with respect to parameters of the head.
    pub(crate) fn add_to_head(
        &self,
        gradients: &mut GradStore,
        vars: &[Var],
        lambda: f64,
    ) -> Result<()> {
        for var in vars {
            for store in &self.stores {
                let Some(own) = store.get(var.as_tensor()) else { continue };
                let own = (own * -lambda)?;
                let sum = match gradients.remove(var.as_tensor()) {
                    Some(gradient) => (gradient + own)?,
                    None => own,
                };
                gradients.insert(var.as_tensor(), sum);
            }
        }
        Ok(())
    }
}

/// D_m: the mean over `orders` of the batch of the Jensen-Shannon divergence of the predictions with m's features in that
/// order and as they are: a scalar, nats.
///
/// # Errors
/// When shapes do not fit.
pub fn influence(
    head: &dyn FusionHead,
    features: &[Tensor],
    m: usize,
    orders: &[Vec<u32>],
) -> Result<Tensor> {
    let plain = log_softmax(&head.logits(features)?)?;
    let batch = plain.dim(0)?;
    let device = plain.device();
    let repeated = (0..orders.len()).flat_map(|_| 0..batch as u32).collect::<Vec<u32>>();
    let repeated = Tensor::new(repeated, device)?;
    let permuted = Tensor::new(orders.concat(), device)?;
    let take =
        |(n, z): (usize, &Tensor)| z.index_select(if n == m { &permuted } else { &repeated }, 0);
    let changed = features.iter().enumerate().map(take).collect::<candle_core::Result<Vec<_>>>()?;
    let changed = log_softmax(&head.logits(&changed)?)?;
    to_mixture(&changed, &plain.index_select(&repeated, 0)?)
}
