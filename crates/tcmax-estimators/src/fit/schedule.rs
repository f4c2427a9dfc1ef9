//! Optimisers of a fit and their learning rates.

use tcmax_ops::{AdamW, AdamWOptions, Params};

use super::config::FitConfig;
use crate::error::Result;

/// Adam for the networks, and a slower one for the quadratic form, whose start is good.
pub(super) fn optimisers(params: &Params, rate: f64) -> Result<Vec<(AdamW, f64)>> {
    let adam = |params: Params, scale: f64| -> Result<_> {
        let learning_rate = rate * scale;
        let options = AdamWOptions { learning_rate, weight_decay: 0.0, ..AdamWOptions::default() };
        Ok((AdamW::new(&params, options)?, scale))
    };
    let is_form = |name: &str| name == "quadratic";
    Ok(vec![adam(params.only(|name| !is_form(name)), 1.0)?, adam(params.only(is_form), 0.2)?])
}

/// Steps in which the learning rate rises, for Adam's averages to settle.
pub(super) const WARM_UP: usize = 100;

/// [`WARM_UP`] rising steps; then the cosine from the largest rate to a tenth of it.
pub(super) fn set_rates(optimisers: &mut [(AdamW, f64)], config: &FitConfig, step: usize) {
    let done = step as f64 / config.steps as f64;
    let warm = (step as f64 / WARM_UP as f64).min(1.0);
    let rate = warm * config.learning_rate * (0.55 + 0.45 * (std::f64::consts::PI * done).cos());
    optimisers.iter_mut().for_each(|(optimiser, scale)| optimiser.set_learning_rate(rate * *scale));
}
