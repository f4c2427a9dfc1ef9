//! The critic that a configuration asks for.

use tcmax_ops::ParamBuilder;

use super::config::{CriticKind, FitConfig};
use crate::critic::{
    Activation, AdditiveCritic, BilinearCritic, ConcatCritic, ConcatExtras, Critic, LatentCritic,
    SeparableCritic,
};
use crate::error::Result;

/// The activation of fitted critics.
const ACTIVATION: Activation = Activation::Squareplus;

/// Products of factors of all variables that critics of more than two see: what no smaller group tells (signs whose
/// product is known) is next to invisible for a network that starts without them.
const PRODUCTS: usize = 32;

/// Builds the critic a configuration asks for.
pub(super) fn build(
    config: &FitConfig,
    widths: &[usize],
    builder: &ParamBuilder,
) -> Result<Box<dyn Critic>> {
    let (hidden, embedding) = (config.hidden.as_slice(), config.embedding);
    Ok(match config.critic {
        CriticKind::Concat => {
            // Of two variables a network finds products by itself.
            let products = if widths.len() > 2 { PRODUCTS } else { 0 };
            let extras = ConcatExtras { quadratic: true, products };
            Box::new(ConcatCritic::new(widths, hidden, ACTIVATION, extras, builder)?)
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
