//! McNemar's test (1947): two classifiers on the same test rows.

use serde::{Deserialize, Serialize};

use crate::compare::sign::fair_coin;
use crate::error::{Error, Result, require_length};

/// Two classifiers on the same rows. Only the rows on which one of them is right tell them apart; were they
/// equally good, a fair coin would decide which. The p value is about these two models: it knows the chance of
/// the test rows, not that of training.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct McNemar {
    /// Rows on which both are right.
    pub both: u64,
    /// Rows on which only the first is right.
    pub only_first: u64,
    /// Rows on which only the second is right.
    pub only_second: u64,
    /// Rows on which neither is right.
    pub neither: u64,
    /// Two-sided p value of equal accuracy, exact by the binomial distribution.
    pub p: f64,
}

impl McNemar {
    /// Of whether each classifier is right on each row (N,).
    ///
    /// ```
    /// use tcmax_metrics::McNemar;
    ///
    /// let first = [true, true, true, true, false];
    /// let second = [true, false, false, false, false];
    /// let test = McNemar::of(&first, &second)?;
    /// assert_eq!((test.only_first, test.only_second, test.p), (3, 0, 0.25));
    /// # Ok::<(), tcmax_metrics::Error>(())
    /// ```
    ///
    /// # Errors
    /// Without rows, or when the lengths differ.
    pub fn of(first: &[bool], second: &[bool]) -> Result<Self> {
        if first.is_empty() {
            return Err(Error::Empty { what: "the list of predictions", unit: "row" });
        }
        let why = || "one per row of the first classifier".to_owned();
        require_length("rows of the second classifier", second.len(), first.len(), why)?;
        let count = |of: (bool, bool)| {
            first.iter().zip(second).filter(|(first, second)| (**first, **second) == of).count()
                as u64
        };
        let (only_first, only_second) = (count((true, false)), count((false, true)));
        Ok(Self {
            both: count((true, true)),
            only_first,
            only_second,
            neither: count((false, false)),
            p: fair_coin(only_first, only_second),
        })
    }
}
