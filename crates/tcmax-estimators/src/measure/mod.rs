//! Measures of what three variables or more share, from mutual informations of groups of them.
//!
//! | measure | what it says | mutual informations of groups |
//! |---|---|---|
//! | total correlation TC | all that is shared, counted once for every variable but one (Watanabe 1960) | `sum_{i>1} I(x_i; x_1..x_{i-1})` |
//! | dual total correlation DTC | what two variables or more have in common, counted once (Han 1978) | `I(x_n; x_1..x_{n-1}) + sum_{1<i<n} I(x_i; all others) - I(x_i; x_{i+1}..x_n)` |
//! | O-information TC - DTC | above 0 mostly redundant, below 0 mostly synergistic (Rosas et al. 2019) | `sum_{1<i<n} I(x_i; x_1..x_{i-1}) + I(x_i; x_{i+1}..x_n) - I(x_i; all others)` |
//! | interaction information | what all have in common; for three variables `I(a; b) - I(a; b \| c)` (McGill 1954, with the sign of Bell 2003) | `sum over T of (-1)^(\|T\|+1) I(x_T; x_n)`, T any of `x_1..x_{n-1}` |
//! | conditional | total correlation that is left where `c` is known; for two `I(a; b \| c)` | `sum_{i<n} I(x_i; (x_{i+1}..x_n, c)) - I(x_i; c)` |
//!
//! All in nats, and all exact identities, whatever the laws. [`JointTable::measure`](crate::JointTable::measure)
//! and [`Gaussian::measure`](crate::Gaussian::measure) put exact mutual informations in; [`estimate_measure`]
//! puts in those of any estimator.
//!
//! A difference of two lower bounds is **not** a bound: each falls short of the truth by a slack of its own.
//! Only the total correlation keeps being one.

mod estimated;
mod exact;
mod terms;

pub use estimated::{EstimatedTerm, Measured, estimate_measure};
pub use terms::{Measure, Term};
