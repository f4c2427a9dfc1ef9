//! Critics: the functions T whose Donsker-Varadhan bound is maximised.
//!
//! | critic | T | all N^M tuples cost |
//! |---|---|---|
//! | [`ConcatCritic`] | a network on all variables side by side, plus a quadratic form | O(N^M) evaluations |
//! | [`SeparableCritic`] | sum_k prod_m e_m(x_m)\[k\], a network per variable | O(M N) evaluations, O(N^M) products |
//! | [`BilinearCritic`] | x_1^T W x_2 | O(N) evaluations, O(N^2) products |
//! | [`AdditiveCritic`] | sum_m g_m(x_m)\[c\], the outcome c a label | O(M N C) |
//! | [`LatentCritic`] | logsumexp_c sum_m g_m(x_m)\[c\]: the outcome summed out | O(M N C) |
//! | [`TermsCritic`] | sum_m x_m\[c\]: the terms are the variables | O(M N C) |
//!
//! Fusion heads implement the same trait: the classifier is the critic.

mod additive;
mod bilinear;
mod concat;
mod definition;
mod latent;
mod mlp;
mod separable;
mod terms;

pub use additive::AdditiveCritic;
pub use bilinear::BilinearCritic;
pub use concat::{ConcatCritic, ConcatExtras};
pub use definition::{Critic, check_variables};
pub use latent::LatentCritic;
pub use mlp::Mlp;
pub use separable::SeparableCritic;
pub use tcmax_ops::Activation;
pub use terms::TermsCritic;
