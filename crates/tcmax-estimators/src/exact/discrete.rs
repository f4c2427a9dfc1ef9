//! Exact information in a joint distribution of discrete variables, nats.
//!
//! The truth that estimates are judged by: entropies, mutual informations and the total correlation
//! TC(x_1, ..., x_n) = sum_i H(x_i) - H(x_1, ..., x_n) (Watanabe 1960) of a table of probabilities.

use super::auc::auc;
use crate::error::{Error, Result};

/// A joint distribution p(x_1, ..., x_n) as a table, the last variable running fastest.
///
/// ```
/// use tcmax_estimators::JointTable;
///
/// # fn main() -> tcmax_estimators::Result<()> {
/// // Two equal fair bits.
/// let table = JointTable::new(vec![2, 2], vec![0.5, 0.0, 0.0, 0.5])?;
/// assert!((table.mutual_information(&[0], &[1])? - 2f64.ln()).abs() < 1e-15);
/// assert!((table.total_correlation(&[0, 1])? - 2f64.ln()).abs() < 1e-15);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct JointTable {
    sizes: Vec<usize>,
    probabilities: Vec<f64>,
}

impl JointTable {
    /// A table over variables with `sizes` states each.
    ///
    /// # Errors
    /// When the number of entries is not the product of the sizes, an entry is negative or not
    /// finite, or the entries do not sum to 1 (to 1e-9).
    pub fn new(sizes: Vec<usize>, probabilities: Vec<f64>) -> Result<Self> {
        let entries: usize = sizes.iter().product();
        if entries != probabilities.len() {
            let reason = format!("{} entries for sizes {sizes:?}", probabilities.len());
            return Err(Error::NotADistribution { reason });
        }
        if let Some(bad) = probabilities.iter().find(|p| !p.is_finite() || **p < 0.0) {
            return Err(Error::NotADistribution { reason: format!("an entry is {bad}") });
        }
        let total: f64 = probabilities.iter().sum();
        if (total - 1.0).abs() > 1e-9 {
            return Err(Error::NotADistribution { reason: format!("the entries sum to {total}") });
        }
        Ok(Self { sizes, probabilities })
    }

    /// The number of variables.
    pub fn num_variables(&self) -> usize {
        self.sizes.len()
    }

    /// Joint entropy H of some of the variables, nats.
    ///
    /// # Errors
    /// When a variable does not exist.
    pub fn entropy(&self, variables: &[usize]) -> Result<f64> {
        let marginal = self.marginal(variables)?;
        Ok(marginal.iter().filter(|&&p| p > 0.0).map(|p| -p * p.ln()).sum())
    }

    /// Mutual information I(a; b) of two groups of variables, nats.
    ///
    /// # Errors
    /// When a variable does not exist.
    pub fn mutual_information(&self, a: &[usize], b: &[usize]) -> Result<f64> {
        let both = [a, b].concat();
        Ok(self.entropy(a)? + self.entropy(b)? - self.entropy(&both)?)
    }

    /// Total correlation of single variables, nats.
    ///
    /// # Errors
    /// When a variable does not exist.
    pub fn total_correlation(&self, variables: &[usize]) -> Result<f64> {
        let single: f64 = variables.iter().map(|&v| self.entropy(&[v])).sum::<Result<f64>>()?;
        Ok(single - self.entropy(variables)?)
    }

    /// The accuracy of the best guess of `target` from `given`: sum over the states of `given` of
    /// the largest joint probability.
    ///
    /// # Errors
    /// When a variable does not exist.
    pub fn bayes_accuracy(&self, target: usize, given: &[usize]) -> Result<f64> {
        let joint = self.marginal(&[given, &[target]].concat())?;
        let of_target = joint.chunks_exact(self.sizes[target]);
        Ok(of_target.map(|row| row.iter().copied().fold(0.0, f64::max)).sum())
    }

    /// How well matched tuples of `variables` can be distinguished from shuffled ones: the area under the curve
    /// of the best score there is, p(x_1, ..., x_n) / prod_i p(x_i).
    ///
    /// With `through`, of the best score that sees the variables through that one alone: the same ratio
    /// in the model in which they are independent given it.
    ///
    /// # Errors
    /// When a variable does not exist.
    pub fn matching_auc(&self, variables: &[usize], through: Option<usize>) -> Result<f64> {
        let joint = self.marginal(variables)?;
        let single =
            variables.iter().map(|&v| self.marginal(&[v])).collect::<Result<Vec<Vec<f64>>>>()?;
        let scored = match through {
            None => joint.clone(),
            Some(y) => self.independent_given(variables, y)?,
        };
        let sizes: Vec<usize> = variables.iter().map(|&v| self.sizes[v]).collect();
        let mut state = vec![0; variables.len()];
        let (mut matched, mut shuffled) = (Vec::new(), Vec::new());
        for (&probability, &scored) in joint.iter().zip(&scored) {
            let product: f64 = single.iter().zip(&state).map(|(p, &digit)| p[digit]).product();
            advance(&mut state, &sizes);
            if product > 0.0 {
                // Ratios that are equal but for rounding are equal.
                let score = (scored / product * 1e9).round();
                matched.push((score, probability));
                shuffled.push((score, product));
            }
        }
        let reason = "no state of the variables has any probability".to_owned();
        auc(&matched, &shuffled).ok_or(Error::NotADistribution { reason })
    }

    /// sum_y p(y) prod_i p(x_i | y) for every state of `variables`.
    fn independent_given(&self, variables: &[usize], y: usize) -> Result<Vec<f64>> {
        let of_y = self.marginal(&[y])?;
        let pairs =
            variables.iter().map(|&v| self.marginal(&[y, v])).collect::<Result<Vec<Vec<f64>>>>()?;
        let sizes: Vec<usize> = variables.iter().map(|&v| self.sizes[v]).collect();
        let mut state = vec![0; variables.len()];
        let states: usize = sizes.iter().product();
        let mut sums = Vec::with_capacity(states);
        for _ in 0..states {
            let given = |(y, &p): (usize, &f64)| {
                let factors = pairs.iter().zip(&state).zip(&sizes);
                p * factors.map(|((pair, &x), &size)| pair[y * size + x] / p).product::<f64>()
            };
            sums.push(of_y.iter().enumerate().filter(|(_, p)| **p > 0.0).map(given).sum());
            advance(&mut state, &sizes);
        }
        Ok(sums)
    }

    /// The number of joint states of some of the variables.
    pub(super) fn states(&self, variables: &[usize]) -> usize {
        variables.iter().filter_map(|&v| self.sizes.get(v)).product()
    }

    /// Probabilities of the states of some variables, the last of `variables` running fastest.
    pub(super) fn marginal(&self, variables: &[usize]) -> Result<Vec<f64>> {
        let count = self.num_variables();
        if let Some(&index) = variables.iter().find(|&&v| v >= count) {
            return Err(Error::NoSuchVariable { index, count });
        }
        let states = variables.iter().map(|&v| self.sizes[v]).product();
        let mut marginal = vec![0.0; states];
        let mut state = vec![0; count];
        for &probability in &self.probabilities {
            let place = variables.iter().fold(0, |place, &v| place * self.sizes[v] + state[v]);
            marginal[place] += probability;
            advance(&mut state, &self.sizes);
        }
        Ok(marginal)
    }
}

/// The next state, the last variable running fastest.
fn advance(state: &mut [usize], sizes: &[usize]) {
    for (digit, &size) in state.iter_mut().zip(sizes).rev() {
        *digit += 1;
        if *digit < size {
            return;
        }
        *digit = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64) {
        assert!((a - b).abs() < 1e-12, "{a} is not {b}");
    }

    /// y fair in 0..2; x_1 = y; x_2 = y with probability 3/4.
    fn noisy_copies() -> JointTable {
        let p = |x1: usize, x2: usize, y: usize| {
            let second = if x2 == y { 0.75 } else { 0.25 };
            if x1 == y { 0.5 * second } else { 0.0 }
        };
        let mut table = Vec::new();
        for x1 in 0..2 {
            for x2 in 0..2 {
                for y in 0..2 {
                    table.push(p(x1, x2, y));
                }
            }
        }
        JointTable::new(vec![2, 2, 2], table).unwrap()
    }

    #[test]
    fn information_of_noisy_copies_is_that_of_the_binary_symmetric_channel() {
        let table = noisy_copies();
        let channel = 2f64.ln() + 0.75 * 0.75f64.ln() + 0.25 * 0.25f64.ln();
        close(table.mutual_information(&[0], &[2]).unwrap(), 2f64.ln());
        close(table.mutual_information(&[1], &[2]).unwrap(), channel);
        close(table.mutual_information(&[0, 1], &[2]).unwrap(), 2f64.ln());
        // The copies are independent given y, so the total correlation is the sum of both.
        close(table.total_correlation(&[0, 1, 2]).unwrap(), 2f64.ln() + channel);
        close(table.bayes_accuracy(2, &[1]).unwrap(), 0.75);
        close(table.bayes_accuracy(2, &[0, 1]).unwrap(), 1.0);
    }

    #[test]
    fn matching_is_told_by_the_ratio_of_densities() {
        // Equal fair bits: shuffled pairs differ half of the time, and equal ones cannot be told.
        let equal = JointTable::new(vec![2, 2], vec![0.5, 0.0, 0.0, 0.5]).unwrap();
        close(equal.matching_auc(&[0, 1], None).unwrap(), 0.75);
        let independent = JointTable::new(vec![2, 3], vec![1.0 / 6.0; 6]).unwrap();
        close(independent.matching_auc(&[0, 1], None).unwrap(), 0.5);
        // The noisy copies share nothing beyond the third variable.
        let copies = noisy_copies();
        let best = copies.matching_auc(&[0, 1], None).unwrap();
        close(copies.matching_auc(&[0, 1], Some(2)).unwrap(), best);
        close(best, 0.625);
    }

    #[test]
    fn independent_variables_share_nothing() {
        let table = JointTable::new(vec![2, 3], vec![1.0 / 6.0; 6]).unwrap();
        close(table.total_correlation(&[0, 1]).unwrap(), 0.0);
        close(table.entropy(&[0, 1]).unwrap(), 6f64.ln());
    }

    #[test]
    fn what_is_not_a_distribution_is_refused() {
        for bad in [vec![0.5, 0.6], vec![1.5, -0.5], vec![f64::NAN, 1.0], vec![1.0]] {
            assert!(matches!(JointTable::new(vec![2], bad), Err(Error::NotADistribution { .. })));
        }
        let table = JointTable::new(vec![2], vec![0.5, 0.5]).unwrap();
        assert!(matches!(table.entropy(&[1]), Err(Error::NoSuchVariable { .. })));
    }
}
