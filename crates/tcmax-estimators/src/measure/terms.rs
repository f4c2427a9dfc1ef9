//! Which mutual informations a measure is a sum of.

use std::fmt;

use serde::Serialize;

use crate::error::{Error, Result};

/// More variables make 2^(n-1) mutual informations too many.
const MOST_INTERACTING: usize = 8;

/// A measure of what variables share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Measure {
    /// Total correlation; the mutual information of two variables.
    TotalCorrelation,
    /// Dual total correlation; the mutual information of two variables.
    Dual,
    /// O-information of three variables or more.
    OInformation,
    /// Interaction information of three variables or more: positive where they repeat each other, negative
    /// where only all together show something.
    Interaction,
    /// Total correlation given other variables; of two the conditional mutual information.
    Conditional,
}

/// The information that groups of variables share, with its weight in a sum.
#[derive(Clone, Debug, PartialEq)]
pub struct Term {
    /// What it is multiplied by.
    pub weight: f64,
    /// The variables of each group: two groups, or several single variables.
    pub groups: Vec<Vec<usize>>,
}

impl Measure {
    /// What is measured of variables of these names, as it is written.
    ///
    /// ```
    /// use tcmax_estimators::Measure;
    ///
    /// assert_eq!(Measure::Dual.quantity(&["a", "b", "c"], &[]), "DTC(a, b, c)");
    /// assert_eq!(Measure::Conditional.quantity(&["a", "b"], &["c", "d"]), "I(a; b | c, d)");
    /// ```
    pub fn quantity(self, variables: &[&str], given: &[&str]) -> String {
        let (all, known) = (variables.join(", "), given.join(", "));
        match (self, variables) {
            (Self::TotalCorrelation, _) => format!("TC({all})"),
            (Self::Dual, _) => format!("DTC({all})"),
            (Self::Conditional, [a, b]) => format!("I({a}; {b} | {known})"),
            (Self::Conditional, _) => format!("TC({all} | {known})"),
            (Self::OInformation | Self::Interaction, _) => format!("{self} of ({all})"),
        }
    }

    /// The measure as a sum of mutual informations; of [`Measure::TotalCorrelation`] the one term of all
    /// variables.
    ///
    /// ```
    /// use tcmax_estimators::Measure;
    ///
    /// # fn main() -> tcmax_estimators::Result<()> {
    /// // I(a; b | c) = I(a; (b, c)) - I(a; c)
    /// let terms = Measure::Conditional.terms(&[0, 1], &[2])?;
    /// assert_eq!((terms[0].weight, &terms[0].groups), (1.0, &vec![vec![0], vec![1, 2]]));
    /// assert_eq!((terms[1].weight, &terms[1].groups), (-1.0, &vec![vec![0], vec![2]]));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When there are too few variables for the measure, or too many, one occurs twice, or variables are
    /// given to a measure that knows none, or none to [`Measure::Conditional`].
    pub fn terms(self, variables: &[usize], given: &[usize]) -> Result<Vec<Term>> {
        self.check(variables, given)?;
        let n = variables.len();
        let (last, before_last) = (variables[n - 1], &variables[..n - 1]);
        let between = |weight, left: &[usize], right: &[usize]| Term {
            weight,
            groups: vec![left.to_vec(), right.to_vec()],
        };
        let mut terms = Vec::new();
        match self {
            Self::TotalCorrelation => {
                let groups = variables.iter().map(|&v| vec![v]).collect();
                terms.push(Term { weight: 1.0, groups });
            }
            Self::Dual => {
                terms.push(between(1.0, before_last, &[last]));
                for i in 1..n - 1 {
                    let (before, own, after) = around(variables, i);
                    terms.push(between(1.0, own, &[before, after].concat()));
                    terms.push(between(-1.0, own, after));
                }
            }
            Self::OInformation => {
                for i in 1..n - 1 {
                    let (before, own, after) = around(variables, i);
                    terms.push(between(1.0, before, own));
                    terms.push(between(1.0, own, after));
                    terms.push(between(-1.0, own, &[before, after].concat()));
                }
            }
            Self::Interaction => {
                for members in 1u32..1 << (n - 1) {
                    let is_member = |i: &usize| members >> i & 1 == 1;
                    let some: Vec<usize> =
                        (0..n - 1).filter(is_member).map(|i| variables[i]).collect();
                    let weight = if some.len() % 2 == 1 { 1.0 } else { -1.0 };
                    terms.push(between(weight, &some, &[last]));
                }
            }
            Self::Conditional => {
                for i in 0..n - 1 {
                    let (_, own, after) = around(variables, i);
                    terms.push(between(1.0, own, &[after, given].concat()));
                    terms.push(between(-1.0, own, given));
                }
            }
        }
        Ok(terms)
    }

    fn check(self, variables: &[usize], given: &[usize]) -> Result<()> {
        let refuse = |problem: String| Err(Error::Setting { field: "measure", problem });
        let least = if matches!(self, Self::OInformation | Self::Interaction) { 3 } else { 2 };
        if variables.len() < least {
            let got = variables.len();
            return refuse(format!("{self} needs at least {least} variables; got {got}"));
        }
        if self == Self::Interaction && variables.len() > MOST_INTERACTING {
            return refuse(format!(
                "interaction information of {} variables is a sum of 2^{} terms; at most \
                 {MOST_INTERACTING} variables are possible, and o-information of any number",
                variables.len(),
                variables.len() - 1
            ));
        }
        if (self == Self::Conditional) == given.is_empty() {
            return refuse(match self {
                Self::Conditional => {
                    "conditional information needs a variable that is given".to_owned()
                }
                _ => format!("{self} has no given variables; only conditional information has"),
            });
        }
        let mut all = [variables, given].concat();
        all.sort_unstable();
        if let Some(twice) = all.windows(2).find(|pair| pair[0] == pair[1]) {
            return refuse(format!("variable {} is named twice", twice[0]));
        }
        Ok(())
    }
}

/// What is before position `i`, there, and after it.
fn around(variables: &[usize], i: usize) -> (&[usize], &[usize], &[usize]) {
    (&variables[..i], &variables[i..=i], &variables[i + 1..])
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TotalCorrelation => "total correlation",
            Self::Dual => "dual total correlation",
            Self::OInformation => "o-information",
            Self::Interaction => "interaction information",
            Self::Conditional => "conditional information",
        })
    }
}
