//! Joint examples of several variables, checked once; their labels; tuples of them; and common scales.

pub(crate) mod column;
mod labels;
pub(crate) mod monotone;
pub(crate) mod numbers;
pub(crate) mod scaling;
pub(crate) mod spans;
pub(crate) mod tuples;
mod variable;

pub use column::Scaling;
pub use labels::Labels;
pub use tuples::Tuples;
pub use variable::{Variable, VariableKind};

use rand::seq::SliceRandom;
use tcmax_ops::Seed;

use crate::error::{Error, Result};

/// A group may hold indicator columns of this many classes at most.
const MOST_INDICATORS: usize = 1024;

/// N joint examples of at least two variables.
///
/// ```
/// use tcmax_estimators::{Sample, Variable};
///
/// # fn main() -> tcmax_estimators::Result<()> {
/// let a = Variable::continuous("a", vec![0.1, 0.2, 0.3], 1)?;
/// let y = Variable::categorical("y", &[7.0, 5.0, 7.0])?;
/// assert_eq!(y.values(), [1.0, 0.0, 1.0]);
/// assert_eq!(Sample::new(vec![a, y])?.len(), 3);
///
/// let error = Variable::continuous("b", vec![0.1, f64::NAN], 1).unwrap_err();
/// assert!(error.to_string().starts_with("variable 'b', row 1, column 0: the value is NaN"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Sample {
    variables: Vec<Variable>,
}

impl Sample {
    /// A sample of variables with the same rows.
    ///
    /// # Errors
    /// When there are fewer than two, or their numbers of rows differ.
    pub fn new(variables: Vec<Variable>) -> Result<Self> {
        let Some(first) = variables.first().filter(|_| variables.len() > 1) else {
            let problem = format!("at least 2 variables are needed; got {}", variables.len());
            return Err(Error::Setting { field: "variables", problem });
        };
        if let Some(other) = variables.iter().find(|other| other.len() != first.len()) {
            return Err(Error::UnequalLengths {
                variable: other.name.clone(),
                got: other.len(),
                first: first.name.clone(),
                wanted: first.len(),
            });
        }
        Ok(Self { variables })
    }

    /// The variables.
    pub fn variables(&self) -> &[Variable] {
        &self.variables
    }

    /// The names of the variables.
    pub fn names(&self) -> Vec<&str> {
        self.variables.iter().map(Variable::name).collect()
    }

    /// The number of examples N.
    pub fn len(&self) -> usize {
        self.variables[0].len()
    }

    /// Never true: variables are checked to have rows.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// The same variables in some of the rows, or all of them if there are no more than `most`; which
    /// ones depends on the seed. Nothing is checked: a column may be constant there.
    pub(crate) fn of_at_most(&self, most: usize, seed: Seed) -> Self {
        if self.len() <= most {
            return self.clone();
        }
        let mut rows = rand::seq::index::sample(&mut seed.rng(), self.len(), most).into_vec();
        rows.sort_unstable();
        Self { variables: self.variables.iter().map(|v| v.in_rows(&rows)).collect() }
    }

    /// The same rows of the first variable, and those of every other in a random order of its own: what is
    /// left are the marginals.
    #[must_use]
    pub fn permuted(&self, seed: Seed) -> Self {
        let mut order: Vec<usize> = (0..self.len()).collect();
        let mut rng = seed.rng();
        let permuted = |(v, variable): (usize, &Variable)| {
            if v == 0 {
                return variable.clone();
            }
            order.shuffle(&mut rng);
            variable.in_rows(&order)
        };
        Self { variables: self.variables.iter().enumerate().map(permuted).collect() }
    }

    /// Some of the rows, each as often as it is named.
    ///
    /// # Errors
    /// When an example does not exist, there is none, or a variable is constant in them.
    pub fn in_rows(&self, rows: &[usize]) -> Result<Self> {
        let count = self.len();
        if let Some(&row) = rows.iter().find(|&&row| row >= count) {
            let problem = format!("there is no row {row}; there are {count}, numbered from 0");
            return Err(Error::Setting { field: "rows", problem });
        }
        Self::new(self.variables.iter().map(|v| v.in_rows(rows).checked()).collect::<Result<_>>()?)
    }

    /// The sample of some of the variables, each group joined into one variable.
    ///
    /// A group of one stays as it is; in a larger group categorical variables become indicator
    /// columns, one per class.
    ///
    /// # Errors
    /// When a variable does not exist, a group is empty, there are fewer than two groups, or a group of
    /// several holds more than 1024 classes.
    pub fn grouped(&self, groups: &[&[usize]]) -> Result<Self> {
        Self::new(groups.iter().map(|group| self.group(group)).collect::<Result<_>>()?)
    }

    /// Some of the variables joined into one, as [`Sample::grouped`] does.
    ///
    /// # Errors
    /// When a variable does not exist, the group is empty, or it holds several variables with more than
    /// 1024 classes.
    pub fn group(&self, group: &[usize]) -> Result<Variable> {
        let count = self.variables.len();
        if let Some(&index) = group.iter().find(|&&index| index >= count) {
            return Err(Error::NoSuchVariable { index, count });
        }
        if let &[only] = group {
            return Ok(self.variables[only].clone());
        }
        let members: Vec<&Variable> = group.iter().map(|&index| &self.variables[index]).collect();
        let names: Vec<&str> = members.iter().map(|member| member.name()).collect();
        let indicators: usize = members.iter().map(|member| member.classes).sum();
        if indicators > MOST_INDICATORS {
            let problem = format!(
                "the group ({}) has {indicators} classes, and each would become a column; at most \
                 {MOST_INDICATORS} can be in a group of several variables: estimate them apart, or \
                 merge classes",
                names.join(", ")
            );
            return Err(Error::Setting { field: "variables", problem });
        }
        let mut discrete = Vec::new();
        for member in &members {
            match member.classes() {
                None => discrete.extend_from_slice(&member.discrete),
                Some(classes) => discrete.extend(vec![true; classes]),
            }
        }
        let mut values = Vec::with_capacity(discrete.len() * self.len());
        for row in 0..self.len() {
            for member in &members {
                let own = &member.values[row * member.width()..][..member.width()];
                match member.classes() {
                    None => values.extend_from_slice(own),
                    Some(classes) => values
                        .extend((0..classes).map(|c| f64::from(u8::from(own[0] as usize == c)))),
                }
            }
        }
        Variable::of_numbers(format!("({})", names.join(", ")), values, discrete)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_variables_are_named() {
        let a = Variable::continuous("a", vec![1.0, 2.0, 3.0, 4.0], 2).unwrap();
        assert!(matches!(
            Variable::continuous("c", vec![1.0, 2.0, 1.0, 3.0], 2),
            Err(Error::ConstantColumn { column: 0, .. })
        ));
        assert!(matches!(
            Variable::continuous("d", vec![1.0, 2.0, 1.0], 2),
            Err(Error::WrongShape { .. })
        ));
        let b = Variable::continuous("b", vec![1.0, 2.0, 3.0], 1).unwrap();
        let error = Sample::new(vec![a.clone(), b]).unwrap_err().to_string();
        assert!(error.contains("'b' has 3 rows, but 'a' has 2"), "{error}");
        assert!(matches!(Sample::new(vec![a]), Err(Error::Setting { .. })));
    }

    #[test]
    fn permuting_keeps_marginals_and_rows_are_chosen_whole() {
        let a = Variable::continuous("a", (0..40).map(f64::from).collect(), 2).unwrap();
        let y = Variable::categorical("y", &(0..20).map(f64::from).collect::<Vec<_>>()).unwrap();
        let sample = Sample::new(vec![a, y]).unwrap();
        let permuted = sample.permuted(Seed::new(1));
        let [first, second] = [0, 1].map(|v| permuted.variables()[v].values().to_vec());
        assert_eq!(first, sample.variables()[0].values());
        assert_ne!(second, sample.variables()[1].values());
        let mut sorted = second.clone();
        sorted.sort_by(f64::total_cmp);
        assert_eq!(sorted, sample.variables()[1].values());

        let some = sample.in_rows(&[3, 0, 3]).unwrap();
        assert_eq!(some.variables()[0].values(), [6.0, 7.0, 0.0, 1.0, 6.0, 7.0]);
        assert_eq!(some.variables()[1].values(), [1.0, 0.0, 1.0]);
        assert_eq!(some.variables()[1].classes(), Some(2));
        assert!(matches!(sample.in_rows(&[4, 4]), Err(Error::ConstantColumn { .. })));
        assert!(sample.in_rows(&[20]).unwrap_err().to_string().contains("no row 20"));
        assert!(matches!(sample.in_rows(&[]), Err(Error::Empty { .. })));
    }

    #[test]
    fn groups_are_glued_with_indicators_for_classes() {
        let a = Variable::continuous("a", vec![1.0, 2.0, 3.0], 1).unwrap();
        let y = Variable::categorical("y", &[4.0, 9.0, 4.0]).unwrap();
        let sample = Sample::new(vec![a.clone(), y, a]).unwrap();
        let glued = sample.grouped(&[&[0, 1], &[2]]).unwrap();
        assert_eq!(glued.variables()[0].values(), [1.0, 1.0, 0.0, 2.0, 0.0, 1.0, 3.0, 1.0, 0.0]);
        assert_eq!(glued.variables()[0].name(), "(a, y)");
        let discrete: Vec<bool> = (0..3).map(|c| glued.variables()[0].is_discrete(c)).collect();
        assert_eq!(discrete, [false, true, true]);
        assert!(matches!(sample.grouped(&[&[0], &[3]]), Err(Error::NoSuchVariable { .. })));
    }

    #[test]
    fn large_groups_take_time_in_proportion_and_thousands_of_classes_are_refused() {
        // With a count of the classes in every row, this would be 10^10 steps.
        let rows = 100_000;
        let column = |step: usize| (0..rows).map(|row| (row * step % 7) as f64).collect::<Vec<_>>();
        let class = Variable::categorical("c", &column(3)).unwrap();
        let number = Variable::continuous("x", column(5), 1).unwrap();
        let start = std::time::Instant::now();
        let sample = Sample::new(vec![class, number]).unwrap();
        let glued = sample.grouped(&[&[0, 1], &[1]]).unwrap();
        assert_eq!(glued.variables()[0].width(), 8);
        assert!(start.elapsed().as_secs() < 10);

        let words: Vec<f64> = (0..3000).map(f64::from).collect();
        let word = Variable::categorical("word", &words).unwrap();
        let number = Variable::continuous("x", words, 1).unwrap();
        let sample = Sample::new(vec![word, number]).unwrap();
        let error = sample.grouped(&[&[0, 1], &[1]]).unwrap_err().to_string();
        assert!(error.contains("(word, x)") && error.contains("3000 classes"), "{error}");
        // Alone it needs no column for each class.
        assert_eq!(sample.grouped(&[&[0], &[1]]).unwrap().variables()[0].width(), 1);
    }
}
