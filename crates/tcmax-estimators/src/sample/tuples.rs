//! Tuples of the product of marginals: which row each variable is taken from.
//!
//! From N joint examples (x_1^i, ..., x_n^i), a tuple (x_1^{j_1}, ..., x_n^{j_n}) with independent
//! indices is a draw from p(x_1) ... p(x_n). There are N^n of them.

use candle_core::{Device, Tensor};
use rand::Rng;
use rand::seq::SliceRandom;
use tcmax_ops::Seed;

use crate::error::{Error, Result};

/// K tuples of n row numbers below N.
///
/// ```
/// use tcmax_estimators::Tuples;
///
/// let all = Tuples::all(3, 2).unwrap();
/// assert_eq!(all.len(), 9);
/// assert_eq!(all.row(4), [1, 1]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tuples {
    /// K x n, tuple by tuple.
    rows: Vec<u32>,
    variables: usize,
    examples: usize,
}

/// More tuples than this at once are refused: their indices alone would fill the memory.
const MOST: usize = 1 << 28;

impl Tuples {
    /// All N^n tuples, the joint examples among them, the last variable running fastest.
    ///
    /// # Errors
    /// When there is no variable or no example, or more than 2^28 tuples.
    pub fn all(examples: usize, variables: usize) -> Result<Self> {
        let count = u32::try_from(variables).ok().and_then(|n| examples.checked_pow(n));
        let count = check_size(count.unwrap_or(usize::MAX), examples, variables)?;
        Self::span(examples, variables, 0, count)
    }

    /// Tuples number `start..start + count` of all N^n, in the order of [`Tuples::all`], without the
    /// others.
    ///
    /// # Errors
    /// When there is no variable or no example, or there are fewer than `start + count` tuples.
    pub fn span(examples: usize, variables: usize, start: usize, count: usize) -> Result<Self> {
        check_size(count, examples, variables)?;
        let all = u32::try_from(variables).ok().and_then(|n| examples.checked_pow(n));
        // More tuples than fit a number are more than any span reaches.
        if all.is_some_and(|all| start + count > all) {
            let problem = format!("tuples up to {} were asked for", start + count);
            return Err(Error::Setting { field: "product", problem });
        }
        let mut rows = Vec::with_capacity(count * variables);
        for place in start..start + count {
            let first = rows.len();
            rows.resize(first + variables, 0);
            let mut rest = place;
            for row in rows[first..].iter_mut().rev() {
                *row = (rest % examples) as u32;
                rest /= examples;
            }
        }
        Ok(Self { rows, variables, examples })
    }

    /// `count` tuples of rows drawn independently, with replacement: each of the N^n tuples is as likely
    /// as any other, those with a row twice and the joint examples among them, so that the mean of any
    /// function over them is that over all N^n on average.
    ///
    /// # Errors
    /// As [`Tuples::all`].
    pub fn random(count: usize, examples: usize, variables: usize, seed: Seed) -> Result<Self> {
        check_size(count, examples, variables)?;
        let mut rng = seed.rng();
        let row = |_| rng.random_range(0..examples as u32);
        let rows = (0..count * variables).map(row).collect();
        Ok(Self { rows, variables, examples })
    }

    /// `count` random permutations of the rows for each variable, N tuples each, in which every row of every
    /// variable occurs once and no tuple has a row twice: with a random order s of the rows and random
    /// distinct shifts d_m, tuple i is (s\[i + d_1\], ..., s\[i + d_n\]), indices modulo N.
    ///
    /// # Errors
    /// As [`Tuples::all`], and when there are fewer examples than variables.
    pub fn permutations(
        count: usize,
        examples: usize,
        variables: usize,
        seed: Seed,
    ) -> Result<Self> {
        check_size(count.saturating_mul(examples), examples, variables)?;
        check_distinct(examples, variables)?;
        let mut rng = seed.rng();
        let mut rows = Vec::with_capacity(count * examples * variables);
        let mut order: Vec<u32> = (0..examples as u32).collect();
        for _ in 0..count {
            order.shuffle(&mut rng);
            let shifts = rand::seq::index::sample(&mut rng, examples, variables);
            for i in 0..examples {
                rows.extend(shifts.iter().map(|shift| order[(i + shift) % examples]));
            }
        }
        Ok(Self { rows, variables, examples })
    }

    /// The tuples of given permutations, each one list of N rows per variable.
    ///
    /// # Errors
    /// When lists differ in number or length, or a row is not below N.
    pub fn from_permutations(permutations: &[Vec<Vec<u32>>]) -> Result<Self> {
        let first = permutations.first().and_then(|p| Some((p.len(), p.first()?.len())));
        let (variables, examples) =
            first.ok_or(Error::Empty { what: "the list of permutations", unit: "permutation" })?;
        check_size(permutations.len() * examples, examples, variables)?;
        let mut rows = Vec::with_capacity(permutations.len() * examples * variables);
        for permutation in permutations {
            let lengths: Vec<usize> = permutation.iter().map(Vec::len).collect();
            let fits = lengths == vec![examples; variables]
                && permutation.iter().flatten().all(|&row| (row as usize) < examples);
            if !fits {
                return Err(Error::WrongShape {
                    what: "permutation".to_owned(),
                    got: lengths,
                    wanted: format!("{variables} lists of {examples} rows below {examples}"),
                });
            }
            for i in 0..examples {
                rows.extend(permutation.iter().map(|rows| rows[i]));
            }
        }
        Ok(Self { rows, variables, examples })
    }

    /// K tuples of given rows: for each variable a list of K row numbers below `examples`.
    ///
    /// # Errors
    /// When there is no list, lists differ in length, or a row is not below `examples`.
    pub fn from_rows(lists: &[Vec<u32>], examples: usize) -> Result<Self> {
        let count = lists.first().map_or(0, Vec::len);
        check_size(count, examples, lists.len())?;
        let fits = lists
            .iter()
            .all(|list| list.len() == count && list.iter().all(|&row| (row as usize) < examples));
        if !fits {
            return Err(Error::WrongShape {
                what: "lists of rows".to_owned(),
                got: lists.iter().map(Vec::len).collect(),
                wanted: format!("{count} rows below {examples} for every variable"),
            });
        }
        let tuple = |i: usize| lists.iter().map(move |list| list[i]);
        let rows = (0..count).flat_map(tuple).collect();
        Ok(Self { rows, variables: lists.len(), examples })
    }

    /// The number of tuples K.
    pub fn len(&self) -> usize {
        self.rows.len() / self.variables
    }

    /// Whether there is no tuple.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The number of variables n.
    pub fn num_variables(&self) -> usize {
        self.variables
    }

    /// The number of examples N that rows point into.
    pub fn num_examples(&self) -> usize {
        self.examples
    }

    /// The rows of the `tuple`-th tuple, one per variable.
    ///
    /// # Panics
    /// When there is no such tuple.
    pub fn row(&self, tuple: usize) -> &[u32] {
        &self.rows[tuple * self.variables..][..self.variables]
    }

    /// Every tuple's rows, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u32]> {
        self.rows.chunks_exact(self.variables)
    }

    /// The tuples in chunks of at most `size`.
    pub fn chunks(&self, size: usize) -> impl Iterator<Item = Self> {
        let pieces = self.rows.chunks(size.max(1) * self.variables);
        pieces.map(|rows| Self { rows: rows.to_vec(), ..*self })
    }

    /// The rows of one variable, (K,) u32, for `index_select`.
    ///
    /// # Errors
    /// When there is no such variable.
    pub fn of_variable(&self, variable: usize, device: &Device) -> Result<Tensor> {
        if variable >= self.variables {
            return Err(Error::NoSuchVariable { index: variable, count: self.variables });
        }
        let rows: Vec<u32> = self.iter().map(|tuple| tuple[variable]).collect();
        Ok(Tensor::from_vec(rows, self.len(), device)?)
    }

    /// The rows of every tuple, gathered from `variables`, each (N, D_m): tensors (K, D_m).
    ///
    /// # Errors
    /// When the number or the lengths of the variables do not fit.
    pub fn gather(&self, variables: &[Tensor]) -> Result<Vec<Tensor>> {
        self.check(variables)?;
        let gather = |(m, variable): (usize, &Tensor)| {
            let rows = self.of_variable(m, variable.device())?;
            Ok(variable.contiguous()?.index_select(&rows, 0)?)
        };
        variables.iter().enumerate().map(gather).collect()
    }

    fn check(&self, variables: &[Tensor]) -> Result<()> {
        if variables.len() != self.variables {
            return Err(Error::WrongShape {
                what: "variables of the tuples".to_owned(),
                got: vec![variables.len()],
                wanted: format!("{} variables", self.variables),
            });
        }
        for (m, variable) in variables.iter().enumerate() {
            if variable.dims().first() != Some(&self.examples) {
                return Err(Error::WrongShape {
                    what: format!("variable {m}"),
                    got: variable.dims().to_vec(),
                    wanted: format!("{} rows", self.examples),
                });
            }
        }
        Ok(())
    }
}

/// The count, if there are not too many tuples.
pub(super) fn check_size(count: usize, examples: usize, variables: usize) -> Result<usize> {
    if variables == 0 {
        return Err(Error::Empty { what: "the list of variables", unit: "variable" });
    }
    if examples == 0 {
        return Err(Error::Empty { what: "the list of examples", unit: "example" });
    }
    if count > MOST || u32::try_from(examples).is_err() {
        let problem = format!(
            "{examples} examples of {variables} variables make more than {MOST} tuples; use \
             permutations or random tuples"
        );
        return Err(Error::Setting { field: "product", problem });
    }
    Ok(count)
}

fn check_distinct(examples: usize, variables: usize) -> Result<()> {
    if examples < variables {
        let purpose = "tuples of different rows";
        return Err(Error::TooFewSamples { got: examples, wanted: variables, purpose });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_tuples_are_the_product() {
        let tuples = Tuples::all(3, 3).unwrap();
        let mut seen: Vec<&[u32]> = tuples.iter().collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!((tuples.len(), seen.len()), (27, 27));
    }

    #[test]
    fn permutations_use_every_row_once_a_variable_and_no_row_twice_a_tuple() {
        let tuples = Tuples::permutations(4, 7, 3, Seed::new(1)).unwrap();
        assert_eq!(tuples.len(), 28);
        for round in tuples.chunks(7) {
            for m in 0..3 {
                let mut rows: Vec<u32> = round.iter().map(|tuple| tuple[m]).collect();
                rows.sort_unstable();
                assert_eq!(rows, [0, 1, 2, 3, 4, 5, 6]);
            }
        }
        assert!(tuples.iter().all(|t| t[0] != t[1] && t[1] != t[2] && t[0] != t[2]));
        assert_eq!(tuples, Tuples::permutations(4, 7, 3, Seed::new(1)).unwrap());
        assert_ne!(tuples, Tuples::permutations(4, 7, 3, Seed::new(2)).unwrap());
    }

    #[test]
    fn random_tuples_are_seeded_and_all_tuples_are_equally_likely() {
        // Three variables and two examples, as the last batch of an epoch may have.
        let tuples = Tuples::random(8000, 2, 3, Seed::new(1)).unwrap();
        let mut counts = [0; 8];
        tuples.iter().for_each(|t| counts[(4 * t[0] + 2 * t[1] + t[2]) as usize] += 1);
        assert!(counts.iter().all(|&count| (880..1120).contains(&count)), "{counts:?}");
        assert_eq!(tuples, Tuples::random(8000, 2, 3, Seed::new(1)).unwrap());
    }

    #[test]
    fn impossible_products_are_errors() {
        let few = Tuples::permutations(5, 2, 3, Seed::new(0));
        assert!(matches!(few, Err(Error::TooFewSamples { .. })));
        assert!(matches!(Tuples::all(10_000, 5), Err(Error::Setting { .. })));
        assert!(matches!(Tuples::all(0, 2), Err(Error::Empty { .. })));
        assert!(matches!(Tuples::all(2, 0), Err(Error::Empty { .. })));
    }
}
