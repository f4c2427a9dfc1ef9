//! Rows that lack a value.

use tcmax_estimators::{Sample, Variable};
use tcmax_train::Error;

use super::variables::Known;

/// A sample of the rows that have a value of every variable.
pub(super) struct Complete {
    pub(super) sample: Sample,
    /// The numbers of these rows; none where no row lacks a value.
    pub(super) rows: Option<Vec<usize>>,
    /// How many rows lack one.
    pub(super) left_out: usize,
}

impl Complete {
    /// Of the rows that all of some variables have.
    pub(super) fn of(known: &[&Known]) -> anyhow::Result<Self> {
        let variables = known.iter().map(|known| known.variable.clone()).collect();
        let sample = Sample::new(variables).map_err(Error::from)?;
        let all = sample.len();
        if known.iter().all(|known| known.present.is_none()) {
            return Ok(Self { sample, rows: None, left_out: 0 });
        }
        let has_all = |&row: &usize| {
            known.iter().all(|known| known.present.as_ref().is_none_or(|present| present[row]))
        };
        let rows: Vec<usize> = (0..all).filter(has_all).collect();
        if rows.is_empty() {
            let names: Vec<&str> = sample.variables().iter().map(Variable::name).collect();
            let problem = format!("no row has a value of all of {}", names.join(", "));
            return Err(Error::setting("--missing pairwise", problem).into());
        }
        let sample = sample.in_rows(&rows).map_err(Error::from)?;
        let left_out = all - rows.len();
        Ok(Self { sample, rows: Some(rows), left_out })
    }
}

/// Values in which every example that lacks one has those of a complete example, and which examples lack none.
/// Nothing is estimated from the rows that were filled.
pub(super) fn fill(values: &mut [f64], width: usize) -> Option<Vec<bool>> {
    let present: Vec<bool> =
        values.chunks_exact(width).map(|row| !row.iter().any(|value| value.is_nan())).collect();
    let first = present.iter().position(|present| *present)?;
    let filling = values[first * width..][..width].to_vec();
    for (row, present) in values.chunks_exact_mut(width).zip(&present) {
        if !present {
            row.copy_from_slice(&filling);
        }
    }
    Some(present)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_lack_a_value_are_filled_and_marked() {
        let nan = f64::NAN;
        let mut values = [nan, 1.0, 2.0, 3.0, 4.0, nan];
        assert_eq!(fill(&mut values, 2), Some(vec![false, true, false]));
        assert_eq!(values, [2.0, 3.0, 2.0, 3.0, 2.0, 3.0]);
        assert_eq!(fill(&mut [nan, nan], 1), None);
    }

    #[test]
    fn samples_have_the_rows_that_all_variables_have() {
        let known = |name, values: &[f64]| {
            let mut values = values.to_vec();
            let present = fill(&mut values, 1).filter(|present| present.contains(&false));
            Known { variable: Variable::continuous(name, values, 1).unwrap(), present }
        };
        let nan = f64::NAN;
        let (a, b) = (known("a", &[1.0, nan, 3.0, 4.0]), known("b", &[5.0, 6.0, nan, 8.0]));
        let complete = Complete::of(&[&a, &b]).unwrap();
        assert_eq!((complete.rows, complete.left_out), (Some(vec![0, 3]), 2));
        assert_eq!(complete.sample.variables()[1].values(), [5.0, 8.0]);
        let c = known("c", &[9.0, 7.0, 5.0, 3.0]);
        assert_eq!(Complete::of(&[&c, &c]).unwrap().rows, None);
        let other = known("other", &[nan, 6.0, 7.0, nan]);
        let error = Complete::of(&[&known("first", &[1.0, nan, nan, 2.0]), &other]).err().unwrap();
        assert!(error.to_string().contains("no row has a value of all of first, other"), "{error}");
    }
}
