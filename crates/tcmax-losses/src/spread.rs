//! How the batch of a step is spread over members.

use std::sync::Arc;

use tcmax_estimators::{Labels, Sharing};
use tcmax_parallel::{Group, Purpose};

use crate::Result;

/// How members who train together compute the loss of their batch, of which each has encoded its share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Every member sees the features of the whole batch and computes the same of them, whatever that is.
    Gathered,
    /// Every member sees its own share, and the loss of the batch is the sum of what they compute
    /// ([`Step::weighed`](crate::Step::weighed)).
    Rows,
    /// Every member sees the features of the whole batch, and the loss is the sum of what they compute, such as sums
    /// over parts of the tuples.
    Tuples,
}

/// How the batch of a step is spread over members. What is to be predicted are class labels, or other
/// [`Targets`](crate::Targets).
#[derive(Debug)]
pub struct Spread<'a, Y = Labels>(Option<Members<'a, Y>>);

#[derive(Debug)]
struct Members<'a, Y> {
    group: &'a Arc<dyn Group>,
    way: Way,
    whole: &'a Y,
    weight: f64,
}

// Copies, whatever is to be predicted: a derivation would ask that of it.
impl<Y> Clone for Spread<'_, Y> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<Y> Copy for Spread<'_, Y> {}

impl<Y> Clone for Members<'_, Y> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<Y> Copy for Members<'_, Y> {}

impl<'a, Y> Spread<'a, Y> {
    /// One process has the whole batch.
    pub const fn alone() -> Self {
        Self(None)
    }

    /// The batch of several members, who go about it in one way. `whole` is what the whole batch is to be predicted
    /// as, and `weight` the weight of this member's share in the mean over the batch, where it sees that alone
    /// ([`Way::Rows`]).
    pub fn over(group: &'a Arc<dyn Group>, way: Way, whole: &'a Y, weight: f64) -> Self {
        Self((group.size() > 1).then_some(Members { group, way, whole, weight }))
    }

    /// The members, if there are others.
    pub(crate) fn group(&self) -> Option<&'a Arc<dyn Group>> {
        self.0.as_ref().map(|members| members.group)
    }

    /// Whether the loss is the sum of what the members compute.
    pub(crate) fn adds_losses(&self) -> bool {
        self.0.as_ref().is_some_and(|members| members.way != Way::Gathered)
    }

    /// What the mean over the rows that are seen counts in that over the batch.
    pub(crate) fn weight(&self) -> Option<f64> {
        self.0.as_ref().filter(|members| members.way == Way::Rows).map(|members| members.weight)
    }

    /// A number of the whole batch from this member's part of it.
    ///
    /// # Errors
    /// When the members cannot exchange.
    pub fn total(&self, part: f64) -> Result<f64> {
        let mut sum = [part];
        if let Some(group) = self.group().filter(|_| self.adds_losses()) {
            group.sum_f64(&mut sum, Purpose::Control)?;
        }
        Ok(sum[0])
    }

    /// What the whole batch is to be predicted as, where rows that are seen are `seen`.
    pub fn whole<'b>(&self, seen: &'b Y) -> &'b Y
    where
        'a: 'b,
    {
        self.0.as_ref().map_or(seen, |members| members.whole)
    }
}

impl<'a> Spread<'a> {
    /// How a bound is shared in.
    pub(crate) fn sharing(&self) -> Sharing<'a> {
        match self.0 {
            Some(Members { group, way: Way::Rows, whole, weight }) => {
                Sharing::Rows { group, whole, weight }
            }
            Some(Members { group, way: Way::Tuples, .. }) => Sharing::Tuples { group },
            Some(Members { way: Way::Gathered, .. }) | None => Sharing::Alone,
        }
    }
}
