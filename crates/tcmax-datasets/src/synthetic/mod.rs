//! `synthetic`: generated clips whose information is known in closed form.
//!
//! The latent model, for every example:
//!
//! ```text
//! y          uniform over C classes
//! u_m        = y with probability p_m (informativeness), else "nothing to see", one more state
//! n_1..n_M   with probability r (shared nuisance) one state common to all modalities,
//!            else one independent state each; uniform over S states
//! x_m        rendered from (u_m, n_m) with noise of its own
//! ```
//!
//! A rendering shows its code (u_m, n_m) beyond doubt to a perfect reader, so that
//! I(y; x_m) = I(y; u_m), and TC(x_1, ..., x_M, y) is that of the codes and the label: the sums over
//! [`SyntheticConfig::joint_table`]. How *hard* a code is to learn to read is another matter, set by
//! `noise`: a glyph stands out at once, a tone in noise takes a network long to find. That is what
//! makes one modality starve the other.
//!
//! Rendered clips take the path real ones take: waveforms become spectrograms, pixels tensors.

mod config;
mod draw;
mod render;
mod source;

pub use config::{SyntheticConfig, SyntheticModality};
pub use draw::{LatentCode, latent_codes, splits};
pub use source::SYNTHETIC;
