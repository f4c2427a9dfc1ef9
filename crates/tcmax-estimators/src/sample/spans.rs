//! All tuples of the product of marginals, one chunk after the other.

use super::tuples::{Tuples, check_size};
use crate::error::{Error, Result};

/// All N^n tuples by spans of at most `chunk`, in the order of [`Tuples::all`]: no more than one span is
/// ever listed.
#[derive(Clone, Copy)]
pub(crate) struct Spans {
    examples: usize,
    variables: usize,
    all: usize,
    chunk: usize,
}

impl Spans {
    pub(crate) fn new(examples: usize, variables: usize, chunk: usize) -> Result<Self> {
        if chunk == 0 {
            let problem = "must be at least 1 tuple".to_owned();
            return Err(Error::Setting { field: "chunk", problem });
        }
        check_size(0, examples, variables)?;
        let all = u32::try_from(variables).ok().and_then(|n| examples.checked_pow(n));
        let all = all.ok_or_else(|| Error::Setting {
            field: "product",
            problem: format!(
                "{examples} examples of {variables} variables make too many tuples; use random ones"
            ),
        })?;
        Ok(Self { examples, variables, all, chunk })
    }

    /// The number of tuples, N^n.
    pub(crate) fn len(self) -> usize {
        self.all
    }

    /// Every `step`-th span, from span number `first` on.
    pub(crate) fn every(self, first: usize, step: usize) -> impl Iterator<Item = Result<Tuples>> {
        let starts = (0..self.all).step_by(self.chunk).skip(first).step_by(step);
        starts.map(move |start| {
            let count = self.chunk.min(self.all - start);
            Tuples::span(self.examples, self.variables, start, count)
        })
    }
}
