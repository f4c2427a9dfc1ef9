//! Variables that determine each other, of which no estimate is needed.
//!
//! Where y is a function of a continuous x, I(x; y) is infinite, and every estimate from N rows a finite
//! number of no meaning: bounds end near log N, nearest neighbours near log N too. Where x and y are
//! discrete and x determines y, I(x; y) = H(y), which counting gives better than any fit.

use std::fmt;

use super::plug_in::{States, digamma_table};
use crate::sample::{Sample, Variable};

/// Fewest rows in which a relation means anything: that 20 random numbers are in order is one chance in 10^18.
const FEWEST: usize = 20;

/// Numbers of all columns together, at most: more would take more memory than the estimate.
const MOST_NUMBERS: usize = 1 << 23;

/// Pairs of columns that are compared, at most.
const MOST_PAIRS: usize = 1 << 20;

/// Pairs of columns that are searched for smooth functions, at most.
const MOST_SMOOTH: usize = 256;

/// How one column follows from another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RelationKind {
    /// Both are the same numbers.
    Equal,
    /// A larger x has a larger y, and an equal x an equal y, without exception.
    Increasing,
    /// A larger x has a smaller y, and an equal x an equal y, without exception.
    Decreasing,
    /// y follows a smooth function of x more closely than neighbouring rows differ.
    Smooth,
    /// Rows of equal x have equal y, and most numbers occur more than once.
    Classes {
        /// The entropy H(y), nats.
        entropy: f64,
    },
}

/// A column y of one variable that follows from a column x of another.
#[derive(Clone, Debug, PartialEq)]
pub struct Relation {
    /// The name of the variable that x is in.
    pub x: String,
    /// The name of the variable that y is in.
    pub y: String,
    /// How y follows from x.
    pub kind: RelationKind,
    /// The number of rows in which it was seen.
    pub rows: usize,
}

impl Relation {
    /// The first relation between columns of two variables; none where no column follows from another.
    ///
    /// Of continuous columns, strictly monotone relations and smooth functions are found, of discrete
    /// ones all functions. Fewer than 20 rows show none, and more than 2^23 numbers are not searched.
    ///
    /// ```
    /// use tcmax_estimators::{Relation, RelationKind, Sample, Variable};
    ///
    /// # fn main() -> tcmax_estimators::Result<()> {
    /// let x: Vec<f64> = (0..100).map(|i| f64::from(i * 37 % 101)).collect();
    /// let y = x.iter().map(|x| -x.powi(3)).collect();
    /// let variables = vec![Variable::continuous("x", x, 1)?, Variable::continuous("y", y, 1)?];
    /// let relation = Relation::find(&Sample::new(variables)?).unwrap();
    /// assert_eq!(relation.kind, RelationKind::Decreasing);
    /// assert!(relation.is_infinite());
    /// # Ok(())
    /// # }
    /// ```
    pub fn find(sample: &Sample) -> Option<Self> {
        let rows = sample.len();
        let widths: usize = sample.variables().iter().map(Variable::width).sum();
        if rows < FEWEST || rows.saturating_mul(widths) > MOST_NUMBERS {
            return None;
        }
        let columns: Vec<Column> = sample
            .variables()
            .iter()
            .enumerate()
            .flat_map(|(of, v)| (0..v.width()).map(move |c| Column::new(of, v, c)))
            .collect();
        let pairs = || {
            let pairs =
                (0..columns.len()).flat_map(|i| (i + 1..columns.len()).map(move |j| (i, j)));
            pairs.map(|(i, j)| (&columns[i], &columns[j])).filter(|(x, y)| x.of != y.of)
        };
        let name = |column: &Column| sample.variables()[column.of].name().to_owned();
        let relation = |x: &Column, y: &Column, kind| Self { x: name(x), y: name(y), kind, rows };
        let mut found =
            pairs().take(MOST_PAIRS).filter_map(|(x, y)| x.monotone(y).map(|k| (x, y, k)));
        if let Some((x, y, kind)) = found.next() {
            return Some(relation(x, y, kind));
        }
        // Discrete columns: either may determine the other.
        let both = || pairs().take(MOST_PAIRS).flat_map(|(x, y)| [(x, y), (y, x)]);
        if let Some((x, y, kind)) = both().find_map(|(x, y)| x.determines(y).map(|k| (x, y, k))) {
            return Some(relation(x, y, kind));
        }
        let mut smooth = both().take(MOST_SMOOTH).filter(|(x, y)| x.smoothly_determines(y));
        smooth.next().map(|(x, y)| relation(x, y, RelationKind::Smooth))
    }

    /// Whether the information is infinite: not where classes determine each other.
    pub fn is_infinite(&self) -> bool {
        !matches!(self.kind, RelationKind::Classes { .. })
    }
}

impl fmt::Display for Relation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { x, y, kind, rows } = self;
        match kind {
            RelationKind::Equal => write!(f, "'{x}' and '{y}' are equal in all {rows} rows"),
            RelationKind::Increasing => {
                write!(f, "'{y}' increases with '{x}' without exception in {rows} rows")
            }
            RelationKind::Decreasing => {
                write!(f, "'{y}' decreases with '{x}' without exception in {rows} rows")
            }
            RelationKind::Smooth => write!(
                f,
                "'{y}' follows a function of '{x}' more closely than neighbouring ones of {rows} rows \
                 differ"
            ),
            RelationKind::Classes { entropy } => write!(
                f,
                "'{x}' determines '{y}' in all {rows} rows: what they share is the entropy of '{y}', \
                 {entropy:.3} nats"
            ),
        }
    }
}

/// A column with its rows in order.
struct Column {
    /// The number of its variable.
    of: usize,
    values: Vec<f64>,
    order: Vec<u32>,
    /// Of a discrete column.
    states: Option<States>,
}

impl Column {
    fn new(of: usize, variable: &Variable, column: usize) -> Self {
        let values: Vec<f64> = variable.column(column).collect();
        let mut order: Vec<u32> = (0..values.len() as u32).collect();
        order.sort_by(|&a, &b| values[a as usize].total_cmp(&values[b as usize]));
        // Counted in order: hashing millions of different numbers takes longer than all else here.
        let differ = |pair: &&[u32]| values[pair[0] as usize] != values[pair[1] as usize];
        let distinct = 1 + order.windows(2).filter(differ).count();
        let discrete = variable.is_discrete(column) || 4 * distinct <= values.len();
        let states = discrete.then(|| States::of_numbers(values.iter().copied()));
        Self { of, values, order, states }
    }

    /// Both columns' numbers, in this one's order.
    fn walk<'a>(&'a self, y: &'a Self) -> impl Iterator<Item = (f64, f64)> + 'a {
        let at = |&row: &u32| (self.values[row as usize], y.values[row as usize]);
        self.order.iter().map(at)
    }

    /// How `y` follows from this column if it is monotone and both are continuous.
    fn monotone(&self, y: &Self) -> Option<RelationKind> {
        if self.states.is_some() || y.states.is_some() {
            return None;
        }
        let step = |sign: f64| {
            let mut next = self.walk(y).skip(1);
            let mut pairs = self.walk(y).zip(std::iter::from_fn(move || next.next()));
            pairs
                .all(|((x0, y0), (x1, y1))| if x0 == x1 { y0 == y1 } else { sign * y0 < sign * y1 })
        };
        if step(1.0) {
            let equal = self.walk(y).all(|(x, y)| x == y);
            return Some(if equal { RelationKind::Equal } else { RelationKind::Increasing });
        }
        step(-1.0).then_some(RelationKind::Decreasing)
    }

    /// Whether `y` is a function of this column, both being discrete.
    fn determines(&self, y: &Self) -> Option<RelationKind> {
        let (own, of_y) = (self.states.as_ref()?, y.states.as_ref()?);
        // Of classes that are nearly all alone nothing is learned by their determining something.
        if 4 * own.len() > self.values.len() {
            return None;
        }
        let mut seen = vec![f64::NAN; own.len()];
        for (row, &y) in y.values.iter().enumerate() {
            let known = &mut seen[own.state(row) as usize];
            if known.is_nan() {
                *known = y;
            } else if *known != y {
                return None;
            }
        }
        let entropy = of_y.entropy(&digamma_table(y.values.len()));
        Some(RelationKind::Classes { entropy })
    }

    /// Whether nearly all rows lie on the line between the rows before and after them in this column's
    /// order, as those of a smooth function do and those with noise do not: the distance from that line
    /// is at most a twentieth of what the two rows differ by.
    fn smoothly_determines(&self, y: &Self) -> bool {
        if self.states.is_some() || y.states.is_some() {
            return false;
        }
        let rows: Vec<(f64, f64)> = self.walk(y).collect();
        let close = |three: &[(f64, f64)]| {
            let [(x0, y0), (x1, y1), (x2, y2)] = *three else { return false };
            let part = if x2 > x0 { (x1 - x0) / (x2 - x0) } else { 0.5 };
            (y1 - y0 - part * (y2 - y0)).abs() <= 0.05 * (y2 - y0).abs()
        };
        // A glance first: few columns pass it.
        let few = rows.windows(3).step_by(rows.len() / FEWEST);
        let all = rows.windows(3);
        2 * few.clone().filter(|three| close(three)).count() >= few.len()
            && 4 * all.clone().filter(|three| close(three)).count() >= 3 * all.len()
    }
}

#[cfg(test)]
mod tests {
    use rand::Rng;
    use tcmax_ops::Seed;

    use super::*;

    fn uniform(rows: usize, seed: u64) -> Vec<f64> {
        let mut rng = Seed::new(seed).rng();
        (0..rows).map(|_| rng.random()).collect()
    }

    fn find(x: Vec<f64>, y: Vec<f64>) -> Option<RelationKind> {
        let number = |name, values| Variable::continuous(name, values, 1).unwrap();
        let sample = Sample::new(vec![number("x", x), number("y", y)]).unwrap();
        Relation::find(&sample).map(|relation| relation.kind)
    }

    #[test]
    fn functions_are_found_and_noise_is_none() {
        let x = uniform(1000, 1);
        let map = |f: &dyn Fn(f64) -> f64| x.iter().map(|&x| f(x)).collect::<Vec<f64>>();
        assert_eq!(find(x.clone(), x.clone()), Some(RelationKind::Equal));
        assert_eq!(find(x.clone(), map(&|x| 3.0 * x - 1.0)), Some(RelationKind::Increasing));
        assert_eq!(find(x.clone(), map(&|x| -x.exp())), Some(RelationKind::Decreasing));
        assert_eq!(find(x.clone(), map(&|x| (x - 0.5).powi(2))), Some(RelationKind::Smooth));
        // A function of y: x = arcsin y has two values.
        assert_eq!(find(map(&|x| (9.0 * x).sin()), x.clone()), Some(RelationKind::Smooth));
        // Rounded to 500 numbers, still in order.
        let rounded = map(&|x| (500.0 * x).round());
        assert_eq!(find(rounded.clone(), rounded), Some(RelationKind::Equal));
        // Noise of a hundredth of the range, ten times what neighbours differ by: 4.6 nats.
        for noise in [0.01, 1.0] {
            let noisy = x.iter().zip(uniform(1000, 2)).map(|(x, e)| x + noise * e).collect();
            assert_eq!(find(x.clone(), noisy), None, "noise {noise}");
        }
        let squared = x.iter().zip(uniform(1000, 2)).map(|(x, e)| (x - 0.5).powi(2) + 0.01 * e);
        assert_eq!(find(x.clone(), squared.collect()), None);
        // Too few rows to tell.
        assert_eq!(find(x[..19].to_vec(), x[..19].to_vec()), None);
    }

    #[test]
    fn classes_that_determine_others_have_their_entropy() {
        let rows = 1000;
        let fine: Vec<f64> = uniform(rows, 1).iter().map(|x| (8.0 * x).floor()).collect();
        let coarse: Vec<f64> = fine.iter().map(|x| x % 2.0).collect();
        let of = |x: &[f64], y: &[f64]| {
            let class = |name, values| Variable::categorical(name, values).unwrap();
            Relation::find(&Sample::new(vec![class("x", x), class("y", y)]).unwrap())
        };
        let relation = of(&coarse, &fine).unwrap();
        assert_eq!((relation.x.as_str(), relation.y.as_str()), ("y", "x"));
        let RelationKind::Classes { entropy } = relation.kind else { panic!("{relation:?}") };
        assert!((entropy - 2f64.ln()).abs() < 0.01 && !relation.is_infinite());
        // Classes that are all alone determine everything, which says nothing.
        let alone: Vec<f64> = (0..rows).map(|row| row as f64).collect();
        assert_eq!(of(&alone, &fine), None);
        let other: Vec<f64> = uniform(rows, 2).iter().map(|x| (8.0 * x).floor()).collect();
        assert_eq!(of(&fine, &other), None);
    }

    #[test]
    fn one_column_of_many_suffices() {
        let (x, other) = (uniform(300, 1), uniform(300, 2));
        let pair = x.iter().zip(&other).flat_map(|(x, other)| [*other, *x]).collect();
        let variables = vec![
            Variable::continuous("pair", pair, 2).unwrap(),
            Variable::continuous("noise", uniform(300, 3), 1).unwrap(),
            Variable::continuous("y", x.iter().map(|x| x.sqrt()).collect(), 1).unwrap(),
        ];
        let relation = Relation::find(&Sample::new(variables).unwrap()).unwrap();
        assert_eq!((relation.x.as_str(), relation.y.as_str()), ("pair", "y"));
        let message = relation.to_string();
        assert!(message.starts_with("'y' increases with 'pair' without exception"), "{message}");
    }
}
