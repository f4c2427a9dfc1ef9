//! Conditional mutual information, and how features and a label share what they share.
//!
//! ```text
//! I(a; b | c) = I(a; (b, c)) - I(a; c)                                               (nats)
//! ```
//!
//! (Cover and Thomas, chapter 2). A difference of two lower bounds is **not** a bound: each may fall
//! short of the truth by its own slack, so a small value is weak evidence in either direction.

use serde::Serialize;
use tcmax_ops::Seed;

use super::config::CheckedConfig;
use super::outcome::Fit;
use super::run::fit;
use crate::error::{Error, Result};
use crate::sample::Sample;

/// A conditional mutual information by difference.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Conditional {
    /// The difference, nats; may be negative.
    pub value: f64,
    /// Standard error, nats: the square root of the sum of both squares.
    pub standard_error: f64,
    /// The estimate of I(a; (b, c)).
    pub with: Fit,
    /// The estimate of I(a; c).
    pub without: Fit,
}

/// Estimates I(a; b | c) of groups of variables, by number.
///
/// # Errors
/// As [`fit`](super::fit()), and when a variable does not exist.
pub fn conditional_mutual_information(
    sample: &Sample,
    [a, b, c]: [&[usize]; 3],
    config: &CheckedConfig,
    seed: Seed,
) -> Result<Conditional> {
    let with = fit(&sample.grouped(&[a, &[b, c].concat()])?, config, seed)?;
    let without = fit(&sample.grouped(&[a, c])?, config, seed)?;
    let standard_error = with.standard_error.hypot(without.standard_error);
    Ok(Conditional { value: with.held_out - without.held_out, standard_error, with, without })
}

/// What two features and a label share, nats: the areas of a Venn diagram.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Interaction {
    /// I(y; a).
    pub label_first: Fit,
    /// I(y; b).
    pub label_second: Fit,
    /// I(a; b).
    pub features: Fit,
    /// I(y; (a, b)).
    pub label_both: Fit,
    /// I(a; b | y) = I(y; (a, b)) + I(a; b) - I(y; a) - I(y; b); may be negative, as all differences of
    /// held-out bounds.
    pub features_given_label: f64,
    /// TC(a, b, y) = I(a; b) + I(y; (a, b)), or 0 where that is negative.
    pub total_correlation: f64,
    /// I(a; b) - I(a; b | y): positive where the features repeat each other about the label, negative
    /// where only both together determine it.
    pub redundancy: f64,
}

/// Estimates the interaction structure of the features numbered `a` and `b` and the label numbered `y`.
///
/// # Errors
/// As [`fit`](super::fit()), and when a variable does not exist or is named twice.
pub fn interaction(
    sample: &Sample,
    [a, b, y]: [usize; 3],
    config: &CheckedConfig,
    seed: Seed,
) -> Result<Interaction> {
    if a == b || b == y || a == y {
        let problem = "two features and a label must be three variables".to_owned();
        return Err(Error::Setting { field: "variables", problem });
    }
    let between =
        |left: &[usize], right: &[usize]| fit(&sample.grouped(&[left, right])?, config, seed);
    let label_first = between(&[a], &[y])?;
    let label_second = between(&[b], &[y])?;
    let features = between(&[a], &[b])?;
    let label_both = between(&[a, b], &[y])?;
    let features_given_label =
        label_both.held_out + features.held_out - label_first.held_out - label_second.held_out;
    Ok(Interaction {
        total_correlation: (features.held_out + label_both.held_out).max(0.0),
        redundancy: features.held_out - features_given_label,
        features_given_label,
        label_first,
        label_second,
        features,
        label_both,
    })
}
