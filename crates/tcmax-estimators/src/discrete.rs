//! Exact information in a joint distribution of discrete variables, nats.
//!
//! The truth that estimates are judged by: entropies, mutual informations and the total correlation
//! TC(x_1, ..., x_n) = sum_i H(x_i) - H(x_1, ..., x_n) (Watanabe 1960) of a table of probabilities.

use crate::{Error, Result};

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

    /// Probabilities of the states of some variables, the last of `variables` running fastest.
    fn marginal(&self, variables: &[usize]) -> Result<Vec<f64>> {
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
