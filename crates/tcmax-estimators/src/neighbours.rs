//! Nearest neighbours beside a fit, where they are nearly unbiased.
//!
//! Of two columns of numbers the estimate of nearest neighbours ([`ksg`](crate::ksg())) hardly falls short, whatever
//! their relation, and sees fine structure that a critic of a few thousand examples does not: with noise of a
//! thousandth about a line a critic loses a third of the information, and neighbours a fortieth. With more columns
//! they fall short themselves.
//!
//! The numbers are brought to normal scores by their ranks first, so that no strictly increasing map of either changes
//! anything, and tails of any weight are the same.
//!
//! Where information is high they still fall short, by what grows smaller with the examples: as 1 / N or, at edges of the
//! density, more slowly. How much the estimate of all N lies above that of halves says how much is missing: as much
//! again if it is 1 / N, 1 / (sqrt 2 - 1) as much if it is 1 / sqrt N.

use std::f64::consts::SQRT_2;

use crate::exact::{KsgConfig, NearestNeighbours, nearest_neighbours};
use crate::sample::scaling::normal_scores;
use crate::sample::{Sample, Variable, VariableKind};

/// Examples at most, at even distances; more hardly change the estimate.
const MOST: usize = 100_000;

/// What neighbours show, nats.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct TwoColumns {
    /// The estimate for more and more examples, as if a shortfall were as 1 / N; it may be negative.
    pub(crate) value: f64,
    /// The end of a 95% interval above it, as if a shortfall were as 1 / sqrt N.
    pub(crate) high: f64,
}

/// The estimate for two variables of one column of numbers each; none for others, and where it cannot be made.
pub(crate) fn of_two_columns(sample: &Sample) -> Option<TwoColumns> {
    let [a, b] = sample.variables() else { return None };
    let is_column = |v: &Variable| v.kind() == VariableKind::Continuous && v.width() == 1;
    if !is_column(a) || !is_column(b) {
        return None;
    }
    let count = sample.len().min(MOST);
    let rows: Vec<usize> = (0..count).map(|n| n * sample.len() / count).collect();
    let all = of_rows([a, b], &rows.iter().copied())?;
    let half = |first: usize| of_rows([a, b], &rows.iter().skip(first).step_by(2).copied());
    let of_halves = (half(0)?.value + half(1)?.value) / 2.0;
    let rise = (all.value - of_halves).max(0.0);
    let most = all.value + rise / (SQRT_2 - 1.0);
    let found = TwoColumns { value: all.value + rise, high: most + 1.96 * all.standard_error };
    found.high.is_finite().then_some(found)
}

fn of_rows(
    columns: [&Variable; 2],
    rows: &(impl Iterator<Item = usize> + Clone),
) -> Option<NearestNeighbours> {
    let scores = |variable: &Variable| {
        let chosen = rows.clone().map(|row| variable.values()[row]).collect();
        Variable::continuous(variable.name(), normal_scores(chosen), 1).ok()
    };
    let ranked = Sample::new(vec![scores(columns[0])?, scores(columns[1])?]).ok()?;
    nearest_neighbours(&ranked, KsgConfig::default()).ok()
}

#[cfg(test)]
mod tests {
    use rand::Rng;
    use tcmax_ops::Seed;

    use super::*;

    /// x uniform, y = x + noise of +-e: log(1 / 2e) + e nats.
    fn noisy(e: f64, of_y: impl Fn(f64) -> f64) -> Sample {
        let mut rng = Seed::new(3).stream("noisy").rng();
        let x: Vec<f64> = (0..5_000).map(|_| rng.random_range(0.0..1.0)).collect();
        let y = x.iter().map(|x| of_y(x + rng.random_range(-e..e))).collect();
        let variables = [("x", x.clone()), ("y", y)];
        let variables = variables.map(|(name, v)| Variable::continuous(name, v, 1).unwrap());
        Sample::new(variables.into()).unwrap()
    }

    #[test]
    fn fine_structure_is_seen_under_any_increasing_map() {
        let e = 0.005;
        let truth = (0.5f64 / e).ln() + e;
        let plain = of_two_columns(&noisy(e, |y| y)).unwrap();
        assert!((plain.value - truth).abs() < 0.02 * truth, "{} {truth}", plain.value);
        assert!(plain.high > truth, "{} {truth}", plain.high);
        let bent = of_two_columns(&noisy(e, |y| (9.0 * y).exp())).unwrap();
        assert!((bent.value - plain.value).abs() < 1e-9, "{} {}", bent.value, plain.value);
    }

    #[test]
    fn little_is_missing_where_information_is_low() {
        let mut rng = Seed::new(5).stream("independent").rng();
        let mut column = |name| {
            let values = (0..5_000).map(|_| rng.random_range(0.0..1.0)).collect();
            Variable::continuous(name, values, 1).unwrap()
        };
        let found = of_two_columns(&Sample::new(vec![column("x"), column("y")]).unwrap()).unwrap();
        assert!(found.value.abs() < 0.03 && found.high < 0.1, "{found:?}");
    }

    #[test]
    fn other_variables_have_none() {
        let wide = Variable::continuous("wide", (0..200).map(f64::from).collect(), 2).unwrap();
        let number = Variable::continuous("x", (0..100).map(f64::from).collect(), 1).unwrap();
        let class: Vec<f64> = (0..100).map(|i| f64::from(i % 2)).collect();
        let class = Variable::categorical("class", &class).unwrap();
        for other in [wide, class] {
            let sample = Sample::new(vec![number.clone(), other]).unwrap();
            assert!(of_two_columns(&sample).is_none());
        }
    }
}
