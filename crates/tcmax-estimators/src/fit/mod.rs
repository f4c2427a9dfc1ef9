//! Fitting critics, and numbers that can be trusted.
//!
//! A fit divides the examples into training, validation and test splits. The critic is trained on the
//! first, the step to stop at is chosen on the second, and the estimate is the bound on the third, which
//! neither has seen: a bound from training data is a measure of memory, not of information.
//!
//! 1. Every variable is brought to a common scale by an invertible map ([`crate::Scaling`]), which leaves
//!    information as it is; of several columns norms come in besides ([`FitConfig::norms`]), and of more than two
//!    variables products of factors of all ([`crate::critic::ConcatExtras`]).
//! 2. The critic starts as the best one for jointly Gaussian variables of the training split's
//!    correlations (with the default scaling, for a Gaussian copula), as observed or freed of the noise
//!    that many columns bring, with or without the norms of variables ([`FitConfig::norms`]), or at a
//!    constant, whichever shows most on the validation split. From there the network learns the rest.
//! 3. The weights are averaged over steps, and the averages are what is validated and kept.
//! 4. The held-out value comes with a bootstrap interval over the test examples: joint examples and the
//!    tuples they make are weighted together, so dependence between tuples is counted; in InfoNCE an
//!    example's weight counts in the contrasts of all others too, to first order. The interval is that
//!    of the *bound*. The truth lies above it wherever the critic falls short, and how far is not known.
//! 5. Scores are cut off where the validation split gives them no support, 12 nats below the log-mean-exp of
//!    its K product tuples and log K above it or where
//!    one joint example in 200 lies higher: a true log ratio is hardly ever there, and one mistake of
//!    the critic there can cost more than the data show. Training raises joint scores no further either.
//! 6. What casts doubt on a number is reported with it ([`Warning`]).
//!
//! Information is never negative and the constant critic shows 0, so 0 is reported where the held-out
//! bound is below it. That is done once, last: means over seeds and sums are taken of [`Fit::held_out`],
//! which may be negative, since a mean of values cut off at 0 would be too high.

mod config;
mod contrasts;
mod critic;
pub(crate) mod decomposition;
mod detailed;
mod held_out;
mod interaction;
pub(crate) mod outcome;
mod prepared;
pub(crate) mod run;
mod schedule;
mod score_limits;
mod start;
mod train;

pub use config::{CheckedConfig, CriticKind, FitConfig};
pub use decomposition::{
    Decomposition, LINE, Part, TREE, decompose, decompose_observed, line, tree,
};
pub use detailed::{Detailed, Wanted, fit_detailed};
pub use interaction::{Conditional, Interaction, conditional_mutual_information, interaction};
pub use outcome::{CurvePoint, Fit, Start, Warning};
pub use run::{fit, fit_observed};
