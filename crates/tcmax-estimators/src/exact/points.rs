//! Variables as nearest neighbours see them: classes, and points in trees.

use rand::Rng;
use rayon::prelude::*;
use tcmax_ops::Seed;

use super::plug_in::States;
use super::tree::Tree;
use crate::sample::Variable;
use crate::sample::scaling::standardised;

/// Distinct numbers that count as classes, at most, and how often each occurs on average, at least.
const FEW: usize = 10;

/// One variable as distances see it.
pub(super) struct Seen {
    /// The columns of which only equality means something, together.
    pub(super) states: Option<States>,
    /// The others, row by row.
    numbers: Vec<f64>,
    pub(super) width: usize,
}

impl Seen {
    /// Repeated numbers are moved, by the seed.
    pub(super) fn new(variable: &Variable, seed: Seed) -> Self {
        let n = variable.len();
        let (mut states, mut columns) = (Vec::new(), Vec::new());
        for column in 0..variable.width() {
            let of_column = States::of_numbers(variable.column(column));
            let few = of_column.len() <= FEW && FEW * of_column.len() <= n;
            if variable.is_discrete(column) || few {
                states.push(of_column);
                continue;
            }
            let mut values: Vec<f64> = variable.column(column).collect();
            if of_column.len() < n {
                let mut often = usize::MAX;
                if has_atoms(&of_column) {
                    often = FEW;
                    // Which of them an example has, if any, is a class.
                    let atom = |row| (of_column.count(row) >= FEW).then(|| of_column.state(row));
                    states.push(States::of((0..n).map(atom)));
                }
                break_ties(&mut values, &of_column, often, seed.index(column as u64));
            }
            columns.push(standardised(values));
        }
        let all: Vec<&States> = states.iter().collect();
        let numbers =
            (0..n).flat_map(|row| columns.iter().map(move |column| column[row])).collect();
        let joint = (!states.is_empty()).then(|| States::joint(&all, n));
        Self { states: joint, numbers, width: columns.len() }
    }

    /// The same in some of the rows.
    pub(super) fn in_rows(&self, rows: &[usize]) -> Self {
        let of_row = |&row: &usize| &self.numbers[row * self.width..][..self.width];
        Self {
            states: self.states.as_ref().map(|states| states.in_rows(rows)),
            numbers: rows.iter().flat_map(of_row).copied().collect(),
            width: self.width,
        }
    }
}

/// Rows as points, in a tree for every class.
pub(super) struct Trees {
    points: Vec<f64>,
    width: usize,
    /// The class of every row.
    class: Vec<u32>,
    trees: Vec<Tree>,
}

impl Trees {
    /// Of the numbers of all variables side by side, of which at least one has some.
    pub(super) fn new(variables: &[Seen], states: &States) -> Self {
        let rows = states.rows();
        let width = variables.iter().map(|v| v.width).sum();
        let class: Vec<u32> = (0..rows).map(|row| states.state(row)).collect();
        let mut points = Vec::with_capacity(rows * width);
        let mut of_class = vec![Vec::new(); states.len()];
        for (row, &class) in class.iter().enumerate() {
            for v in variables {
                points.extend_from_slice(&v.numbers[row * v.width..][..v.width]);
            }
            of_class[class as usize].extend_from_slice(&points[row * width..]);
        }
        let trees = of_class.par_iter().map(|points| Tree::new(points, width)).collect();
        Self { points, width, class, trees }
    }

    /// The numbers of an example.
    pub(super) fn point(&self, row: usize) -> &[f64] {
        &self.points[row * self.width..][..self.width]
    }

    /// The tree of an example's class.
    pub(super) fn of(&self, row: usize) -> &Tree {
        &self.trees[self.class[row] as usize]
    }
}

/// Whether a column is a mixture of a density and some points: at least a tenth of the numbers occur once,
/// and nearly all others are one of at most ten that occur ten times or more.
fn has_atoms(states: &States) -> bool {
    let rows_of = |of: &dyn Fn(u64) -> bool| states.counts().filter(|&c| of(c)).sum::<u64>();
    let (rows, often) = (states.rows() as u64, FEW as u64);
    let atoms = states.counts().filter(|&count| count >= often).count();
    let (once, between) = (rows_of(&|count| count == 1), rows_of(&|c| c > 1 && c < often));
    (1..=FEW).contains(&atoms) && 10 * once >= rows && 100 * between <= rows
}

/// Moves every number that occurs more than once, but not `often`, to anywhere between the middles
/// of the gaps to the numbers below and above it.
fn break_ties(values: &mut [f64], states: &States, often: usize, seed: Seed) {
    let mut distinct = values.to_vec();
    distinct.sort_by(f64::total_cmp);
    distinct.dedup();
    let mut rng = seed.rng();
    for (row, value) in values.iter_mut().enumerate() {
        if states.count(row) == 1 || states.count(row) >= often {
            continue;
        }
        let at = distinct.partition_point(|x| x < value);
        let below = at.checked_sub(1).map(|below| *value - distinct[below]);
        let above = distinct.get(at + 1).map(|above| above - *value);
        // At the ends as far out as in.
        let below_or = below.or(above).unwrap_or(0.0);
        let above_or = above.or(below).unwrap_or(0.0);
        let move_to = -0.5 * below_or + 0.5 * rng.random::<f64>() * (below_or + above_or);
        *value += move_to;
    }
}
