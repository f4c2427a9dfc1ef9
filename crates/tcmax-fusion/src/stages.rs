//! What joins the networks of several modalities between their stages.

use candle_core::{Result, Tensor};

/// Joins the encoders of M modalities between their stages: after each stage the channels of every modality's feature
/// maps are multiplied by factors that depend on the maps of all.
pub trait StageFusion: Send + Sync {
    /// The factors (B, C_m) of every modality's channels after stage `stage` (from 0), or `None` where the encoders are
    /// not joined after it. `means` (B, C_m) are those of the channels over all pixels and frames, zeros where an example
    /// lacks the modality, which `present` says with a flag for each of the B examples.
    ///
    /// In training (`train`) it may remember what it has seen, as norms do. All members who train together call it for
    /// the same stages in the same order.
    ///
    /// # Errors
    /// When shapes do not fit, or the members cannot exchange.
    fn factors(
        &self,
        stage: usize,
        means: &[Tensor],
        present: &[&[bool]],
        train: bool,
    ) -> Result<Option<Vec<Tensor>>>;
}
