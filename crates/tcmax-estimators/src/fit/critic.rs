//! The critic that a configuration asks for.

use tcmax_ops::ParamBuilder;

use super::config::{CriticKind, FitConfig};
use crate::critic::{
    Activation, AdditiveCritic, BilinearCritic, ConcatCritic, Critic, LatentCritic, SeparableCritic,
};
use crate::error::Result;

/// The activation of fitted critics.
const ACTIVATION: Activation = Activation::Squareplus;

/// Builds the critic a configuration asks for.
pub(super) fn build(
    config: &FitConfig,
    widths: &[usize],
    builder: &ParamBuilder,
) -> Result<Box<dyn Critic>> {
    let (hidden, embedding) = (config.hidden.as_slice(), config.embedding);
    Ok(match config.critic {
        CriticKind::Concat => {
            Box::new(ConcatCritic::new(widths, hidden, ACTIVATION, true, builder)?)
        }
        CriticKind::Separable => {
            Box::new(SeparableCritic::new(widths, hidden, embedding, ACTIVATION, builder)?)
        }
        CriticKind::Bilinear => Box::new(BilinearCritic::new([widths[0], widths[1]], builder)?),
        CriticKind::Latent => {
            let inner = AdditiveCritic::new(widths, hidden, embedding, ACTIVATION, builder)?;
            Box::new(LatentCritic(Box::new(inner)))
        }
    })
}
