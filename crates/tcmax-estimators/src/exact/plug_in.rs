//! Information of discrete variables from counts, free of most of its bias.
//!
//! ```text
//! H = psi(N) - 1/N sum_i psi(n(x_i)),        TC = sum_m H(x_m) - H(x_1, ..., x_M)        (nats)
//! ```
//!
//! with n(x) the number of rows that equal x: Grassberger's (1988) entropy, in which -psi(n) in place of
//! -log n removes the bias (Miller 1955) wherever rows per state are several. Where states are rare a
//! bias of up to nats remains, upward. Chance alone, which is the same counts with rows paired at random,
//! shows how much, E; it leaves the share (TC - E) / (TC_max - E) of what could be shared (as the adjusted
//! mutual information of Vinh, Epps and Bailey 2010), so the estimate is
//!
//! ```text
//! TC_max (TC - E) / (TC_max - E),            TC_max = sum_m H(x_m) - max_m H(x_m)        (nats)
//! ```
//!
//! Independent variables have 0 on average, however rare their states; variables that determine each other
//! have their entropy. No number depends on how states are numbered.

use std::collections::HashMap;

use rand::seq::SliceRandom;
use tcmax_ops::Seed;

use crate::error::{Error, Result};

/// Random pairings that E is the mean over.
const PAIRINGS: u64 = 20;

/// Above this fraction of TC_max nothing can be distinguished from chance.
const MOST_CHANCE: f64 = 0.8;

/// The states of a discrete variable, numbered in the order in which they first occur.
#[derive(Clone, Debug)]
pub(crate) struct States {
    /// N numbers.
    of_row: Vec<u32>,
    /// How often each state occurs.
    counts: Vec<u32>,
}

impl States {
    /// The states of rows that are given by what they equal.
    pub(crate) fn of<K: std::hash::Hash + Eq>(rows: impl Iterator<Item = K>) -> Self {
        let mut numbers = HashMap::new();
        let (mut of_row, mut counts) = (Vec::new(), Vec::new());
        for row in rows {
            let number = *numbers.entry(row).or_insert(counts.len());
            if number == counts.len() {
                counts.push(0);
            }
            counts[number] += 1;
            of_row.push(number as u32);
        }
        Self { of_row, counts }
    }

    /// The states of numbers; 0 and -0 are equal.
    pub(crate) fn of_numbers(values: impl Iterator<Item = f64>) -> Self {
        Self::of(values.map(|x| if x == 0.0 { 0 } else { x.to_bits() }))
    }

    /// The joint states of several variables of N rows each; one state for all rows of none.
    pub(crate) fn joint(variables: &[&Self], rows: usize) -> Self {
        let mut joint = Self { of_row: vec![0; rows], counts: vec![rows as u32] };
        for variable in variables {
            joint = Self::of(joint.of_row.iter().zip(&variable.of_row));
        }
        joint
    }

    /// The number of rows.
    pub(crate) fn rows(&self) -> usize {
        self.of_row.len()
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.counts.len()
    }

    /// The state of a row.
    pub(crate) fn state(&self, row: usize) -> u32 {
        self.of_row[row]
    }

    /// How many rows have the state of `row`, itself among them.
    pub(crate) fn count(&self, row: usize) -> usize {
        self.counts[self.of_row[row] as usize] as usize
    }

    /// How often each state occurs.
    pub(crate) fn counts(&self) -> impl Iterator<Item = u64> + '_ {
        self.counts.iter().map(|&count| u64::from(count))
    }

    /// The states of some of the rows.
    pub(crate) fn in_rows(&self, rows: &[usize]) -> Self {
        Self::of(rows.iter().map(|&row| self.of_row[row]))
    }

    /// H, nats.
    pub(crate) fn entropy(&self, psi: &[f64]) -> f64 {
        let n = self.of_row.len();
        let sum: f64 = self.counts.iter().map(|&c| f64::from(c) * psi[c as usize]).sum();
        psi[n] - sum / n as f64
    }
}

/// The digamma function at 0 (unused), 1, ..., n: psi(j) = -gamma + 1 + 1/2 + ... + 1/(j - 1).
pub(crate) fn digamma_table(n: usize) -> Vec<f64> {
    const EULER_GAMMA: f64 = 0.577_215_664_901_532_9;
    let mut table = vec![f64::NEG_INFINITY, -EULER_GAMMA];
    for j in 1..n {
        table.push(table[j] + 1.0 / j as f64);
    }
    table
}

/// The total correlation of discrete variables and its standard error, nats; 0 of fewer than two.
pub(crate) fn total_correlation(
    variables: &[States],
    psi: &[f64],
    seed: Seed,
) -> Result<(f64, f64)> {
    let [first, _, ..] = variables else { return Ok((0.0, 0.0)) };
    let rows = first.rows();
    let entropies: Vec<f64> = variables.iter().map(|states| states.entropy(psi)).collect();
    let single: f64 = entropies.iter().sum();
    let most = single - entropies.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let all: Vec<&States> = variables.iter().collect();
    let joint = States::joint(&all, rows);
    let observed = single - joint.entropy(psi);
    let chance = |pairing| {
        let mut rng = seed.index(pairing).rng();
        let mut shuffled: Vec<States> = variables.to_vec();
        shuffled[1..].iter_mut().for_each(|states| states.of_row.shuffle(&mut rng));
        let shuffled: Vec<&States> = shuffled.iter().collect();
        single - States::joint(&shuffled, rows).entropy(psi)
    };
    let expected = (0..PAIRINGS).map(chance).sum::<f64>() / PAIRINGS as f64;
    if expected > MOST_CHANCE * most {
        let percent = 100.0 * expected / most;
        return Err(Error::RareClasses { rows, classes: joint.len(), percent });
    }
    let scale = most / (most - expected);
    let terms = (0..rows).map(|row| {
        psi[joint.count(row)] - variables.iter().map(|v| psi[v.count(row)]).sum::<f64>()
    });
    Ok((scale * (observed - expected), scale * standard_error(terms)))
}

/// Standard deviation of the mean of terms.
pub(crate) fn standard_error(terms: impl Iterator<Item = f64> + Clone) -> f64 {
    let count = terms.clone().count() as f64;
    let mean = terms.clone().sum::<f64>() / count;
    (terms.map(|term| (term - mean) * (term - mean)).sum::<f64>() / (count * count)).sqrt()
}

#[cfg(test)]
mod tests {
    use rand::Rng;

    use super::*;

    fn estimate(columns: [Vec<u32>; 2]) -> Result<(f64, f64)> {
        let psi = digamma_table(columns[0].len());
        let states = columns.map(|column| States::of(column.into_iter()));
        total_correlation(&states, &psi, Seed::new(0))
    }

    fn uniform(rows: usize, classes: u32, seed: u64) -> Vec<u32> {
        let mut rng = Seed::new(seed).rng();
        (0..rows).map(|_| rng.random_range(0..classes)).collect()
    }

    #[test]
    fn rare_states_show_what_is_there_and_nothing_else() {
        for (rows, classes, tolerance) in
            [(1000, 5, 0.02), (1000, 20, 0.05), (1000, 50, 0.1), (300, 50, 0.15)]
        {
            let x = uniform(rows, classes, 1);
            let (value, error) = estimate([x.clone(), uniform(rows, classes, 2)]).unwrap();
            assert!(
                value.abs() < tolerance,
                "{rows} rows of {classes}: {value} of independent words"
            );
            assert!(error < 0.1);
            let (value, _) = estimate([x.clone(), x.clone()]).unwrap();
            let truth = f64::from(classes).ln();
            assert!(
                (value - truth).abs() < 0.05,
                "{rows} rows of {classes}: {value} is not {truth}"
            );
            // Half of the rows are copies, the others independent.
            let other = uniform(rows, classes, 3);
            let pairs = x.iter().zip(&other).enumerate();
            let half: Vec<u32> =
                pairs.map(|(i, (a, b))| if i % 2 == 0 { *a } else { *b }).collect();
            let k = f64::from(classes);
            let (p, q) = (0.5 + 0.5 / k, 0.5 / k);
            let truth = k.ln() + p * p.ln() + (k - 1.0) * q * q.ln();
            let (value, _) = estimate([x, half]).unwrap();
            assert!((value / truth - 1.0).abs() < 0.2, "{rows} of {classes}: {value}, not {truth}");
        }
    }

    #[test]
    fn numbering_changes_nothing_and_unique_states_are_refused() {
        let (x, y) = (uniform(400, 7, 1), uniform(400, 9, 2));
        let renumbered: Vec<u32> = x.iter().map(|c| (c * 3 + 5) % 7 * 1000).collect();
        assert_eq!(estimate([x, y.clone()]).unwrap(), estimate([renumbered, y.clone()]).unwrap());
        let refused = estimate([(0..400).collect(), y]);
        assert!(matches!(refused, Err(Error::RareClasses { rows: 400, .. })), "{refused:?}");
    }
}
