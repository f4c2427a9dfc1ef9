//! Bounds that several members compute together.

use std::sync::Arc;

use tcmax_parallel::{Group, Purpose};

use super::running::RunningLogSum;
use crate::error::{Error, Result};
use crate::sample::Labels;

/// How several members share in a bound. The bound is the sum of what each of them computes as its value, and its
/// gradients are the sums of theirs.
#[derive(Clone, Copy, Debug)]
pub enum Sharing<'a> {
    /// One process computes all of it.
    Alone,
    /// Each has its own rows of the variables, of an additive critic over all tuples: 2 C numbers per variable are
    /// exchanged for the sum over the tuples of everybody's rows.
    Rows {
        /// The members.
        group: &'a Arc<dyn Group>,
        /// The labels of everybody's rows.
        whole: &'a Labels,
        /// The weight of one's own rows among all, so that the weighted means of all members add up to that of all
        /// rows.
        weight: f64,
    },
    /// Each has everybody's rows, and sums over its part of the tuples: two numbers are exchanged.
    Tuples {
        /// The members.
        group: &'a Arc<dyn Group>,
    },
}

impl Sharing<'_> {
    /// Which member this is, of how many.
    pub(super) fn position(&self) -> (usize, usize) {
        match self {
            Self::Alone => (0, 1),
            Self::Rows { group, .. } | Self::Tuples { group } => (group.rank(), group.size()),
        }
    }

    /// The labels of everybody's rows, where one's own are `labels`.
    pub(super) fn whole<'b>(&'b self, labels: &'b Labels) -> &'b Labels {
        match self {
            Self::Rows { whole, .. } => whole,
            Self::Alone | Self::Tuples { .. } => labels,
        }
    }

    /// The weight of the mean over one's own rows.
    pub(super) fn weight(&self) -> f64 {
        match self {
            Self::Alone => 1.0,
            Self::Rows { weight, .. } => *weight,
            Self::Tuples { group } => 1.0 / group.size() as f64,
        }
    }

    /// The log-sum-exp of those of the members, added in the order of ranks.
    pub(super) fn log_sum(&self, own: &RunningLogSum) -> Result<f64> {
        let Self::Tuples { group } = self else { return Ok(own.value()) };
        let all = group.all_gather(&own.to_bytes(), Purpose::Loss)?;
        let mut total = RunningLogSum::default();
        for bytes in all {
            let sum = RunningLogSum::from_bytes(&bytes);
            total.merge(&sum.ok_or(Error::Parallel(tcmax_parallel::Error::Transport(
                "a member's sum over its tuples is damaged".to_owned(),
            )))?);
        }
        Ok(total.value())
    }
}
