//! The 40 pairs of "Beyond Normal: On the Evaluation of Mutual Information Estimators" (Czyz et al., NeurIPS 2023), from
//! their definitions: normal, Student and uniform pairs, and maps of each variable by itself, which leave the information
//! as it is. Draws are our own.

use rand::Rng;
use rand_distr::{ChiSquared, Distribution, StandardNormal};
use statrs::distribution::{ContinuousCDF, Normal};
use tcmax_estimators::{Sample, Variable};
use tcmax_ops::Seed;

use super::{Draw, Task, dense_truth, noise_truth, student_truth};

/// The correlation of a single pair.
const SINGLE: f64 = 0.75;
/// The correlation of each of two pairs.
const DOUBLE: f64 = 0.8;
/// The correlation of all columns.
const DENSE: f64 = 0.5;

/// Maps an example of one variable.
type Map = fn(&[f64]) -> Vec<f64>;

/// What is drawn first.
#[derive(Clone, Copy)]
enum Base {
    /// Normal; the first columns of both are correlated pair by pair.
    Pairs { columns: usize, pairs: usize, rho: f64 },
    /// Normal, all columns correlated.
    Dense { columns: usize },
    /// Student-t without correlations.
    Student { columns: usize, freedom: f64 },
    /// x uniform, y = x + uniform noise.
    Noise { half_width: f64 },
}

/// A base and the maps of both variables.
struct Mapped {
    base: Base,
    maps: [Vec<Map>; 2],
}

pub(super) fn all() -> Vec<Task> {
    let single = Base::Pairs { columns: 1, pairs: 1, rho: SINGLE };
    let two = |columns| Base::Pairs { columns, pairs: 2, rho: DOUBLE };
    let student = |columns, freedom| Base::Student { columns, freedom };
    let mut tasks = vec![
        task("", single, &[]),
        task("normal CDF @ ", single, &[both(cdf)]),
        task("", Base::Noise { half_width: 0.1 }, &[]),
        task("", Base::Noise { half_width: 0.75 }, &[]),
        task("bimodal @ ", single, &[both(cdf), [bimodal_x, bimodal_y]]),
        task("wiggly @ ", single, &[[wiggly_x, wiggly_y]]),
        task("half-cube @ ", single, &[both(half_cube)]),
        task("", student(1, 1.0), &[]),
        task("asinh @ ", student(1, 1.0), &[both(asinh)]),
        task("Swiss roll @ normal CDF @ ", single, &[both(cdf), [swiss_roll, same]]),
    ];
    tasks.extend([2, 3, 5, 25, 50].map(|columns| task("", Base::Dense { columns }, &[])));
    tasks.extend([2, 3, 5, 25].map(|columns| task("", two(columns), &[])));
    for (columns, freedom) in [(2, 1.0), (2, 2.0), (3, 2.0), (3, 3.0), (5, 2.0), (5, 3.0)] {
        tasks.push(task("", student(columns, freedom), &[]));
    }
    let spiral = [spiral_x as Map, spiral_y];
    for columns in [3, 5, 25] {
        tasks.push(task("normal CDF @ ", two(columns), &[both(cdf)]));
        tasks.push(task("half-cube @ ", two(columns), &[both(half_cube)]));
        tasks.push(task("spiral @ ", two(columns), &[spiral]));
        tasks.push(task("spiral @ normal CDF @ ", two(columns), &[both(cdf), spiral]));
    }
    for (columns, freedom) in [(2, 1.0), (3, 2.0), (5, 2.0)] {
        tasks.push(task("asinh @ ", student(columns, freedom), &[both(asinh)]));
    }
    tasks
}

fn task(mapped: &str, base: Base, steps: &[[Map; 2]]) -> Task {
    let (name, truth) = match base {
        Base::Pairs { columns, pairs, rho } => {
            let name = match pairs {
                1 => format!("normal {columns} x {columns}"),
                _ => format!("normal {columns} x {columns}, {pairs} pairs"),
            };
            (name, -0.5 * pairs as f64 * (-rho * rho).ln_1p())
        }
        Base::Dense { columns } => {
            (format!("normal {columns} x {columns}, dense"), dense_truth(columns, DENSE))
        }
        Base::Student { columns, freedom } => {
            let name = format!("Student-t({freedom}) {columns} x {columns}");
            (name, student_truth(columns, freedom))
        }
        Base::Noise { half_width } => {
            (format!("uniform noise of +-{half_width}"), noise_truth(half_width))
        }
    };
    let maps = [0, 1].map(|variable| steps.iter().map(|step| step[variable]).collect());
    Task { name: format!("{mapped}{name}"), truth, law: Box::new(Mapped { base, maps }) }
}

fn both(map: Map) -> [Map; 2] {
    [map, map]
}

impl Draw for Mapped {
    fn draw(&self, rows: usize, seed: Seed, task: &str) -> tcmax_estimators::Result<Sample> {
        let mut rng = seed.stream(task).rng();
        let mut values = [Vec::new(), Vec::new()];
        for _ in 0..rows {
            let mut pair = self.base.row(&mut rng);
            for ((row, maps), all) in pair.iter_mut().zip(&self.maps).zip(&mut values) {
                maps.iter().for_each(|map| *row = map(row));
                all.extend_from_slice(row);
            }
        }
        let [x, y] = values;
        let variable = |name: &str, values: Vec<f64>| {
            let width = values.len() / rows;
            Variable::continuous(name, values, width)
        };
        Sample::new(vec![variable("x", x)?, variable("y", y)?])
    }
}

impl Base {
    fn row(self, rng: &mut impl Rng) -> [Vec<f64>; 2] {
        match self {
            Self::Pairs { columns, pairs, rho } => {
                let x: Vec<f64> = (0..columns).map(|_| normal(rng)).collect();
                let paired = |(column, &x): (usize, &f64)| match column < pairs {
                    true => rho * x + (1.0 - rho * rho).sqrt() * normal(rng),
                    false => normal(rng),
                };
                let y = x.iter().enumerate().map(paired).collect();
                [x, y]
            }
            Self::Dense { columns } => {
                let common = DENSE.sqrt() * normal(rng);
                [(); 2].map(|()| {
                    let own = (1.0 - DENSE).sqrt();
                    (0..columns).map(|_| common + own * normal(rng)).collect()
                })
            }
            Self::Student { columns, freedom } => {
                // The number of degrees is positive.
                let squares = ChiSquared::new(freedom).map_or(1.0, |law| law.sample(rng));
                let scale = (freedom / squares).sqrt();
                [(); 2].map(|()| (0..columns).map(|_| scale * normal(rng)).collect())
            }
            Self::Noise { half_width } => {
                let x: f64 = rng.random();
                [vec![x], vec![x + half_width * (2.0 * rng.random::<f64>() - 1.0)]]
            }
        }
    }
}

fn normal(rng: &mut impl Rng) -> f64 {
    StandardNormal.sample(rng)
}

fn same(row: &[f64]) -> Vec<f64> {
    row.to_vec()
}

fn each(row: &[f64], map: impl Fn(f64) -> f64) -> Vec<f64> {
    row.iter().map(|&x| map(x)).collect()
}

fn phi(x: f64) -> f64 {
    Normal::standard().cdf(x)
}

fn cdf(row: &[f64]) -> Vec<f64> {
    each(row, phi)
}

fn asinh(row: &[f64]) -> Vec<f64> {
    each(row, f64::asinh)
}

fn half_cube(row: &[f64]) -> Vec<f64> {
    each(row, |x| x * x.abs().sqrt())
}

fn wiggly_x(row: &[f64]) -> Vec<f64> {
    each(row, |x| x + 0.4 * x.sin() + 0.2 * (1.7 * x + 1.0).sin() + 0.03 * (3.3 * x - 2.5).sin())
}

fn wiggly_y(row: &[f64]) -> Vec<f64> {
    each(row, |x| {
        x - 0.4 * (0.4 * x).sin() + 0.17 * (1.3 * x + 3.5).sin() + 0.02 * (4.3 * x - 2.5).sin()
    })
}

fn bimodal_x(row: &[f64]) -> Vec<f64> {
    each(row, |u| inverse(u, |x| 0.3 * phi(x) + 0.7 * phi(x - 5.0)))
}

fn bimodal_y(row: &[f64]) -> Vec<f64> {
    each(row, |u| inverse(u, |x| 0.5 * phi(x + 1.0) + 0.5 * phi(x - 3.0)))
}

/// Where a rising function has the value u.
fn inverse(u: f64, of: impl Fn(f64) -> f64) -> f64 {
    let (mut low, mut high) = (-40.0, 40.0);
    for _ in 0..80 {
        let middle = 0.5 * (low + high);
        if of(middle) < u { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

/// A number in [0, 1] becomes a point of the plane.
fn swiss_roll(row: &[f64]) -> Vec<f64> {
    let t = 1.5 * std::f64::consts::PI * (1.0 + 2.0 * row[0]);
    vec![t * t.cos() / 21.0, t * t.sin() / 21.0]
}

fn spiral_x(row: &[f64]) -> Vec<f64> {
    turn(row, 0, 1)
}

fn spiral_y(row: &[f64]) -> Vec<f64> {
    turn(row, 1, 2)
}

/// Turns two columns by the squared norm over the number of columns: the norm stays, so that it can be undone.
fn turn(row: &[f64], i: usize, j: usize) -> Vec<f64> {
    let squares: f64 = row.iter().map(|x| x * x).sum();
    let (sin, cos) = (squares / row.len() as f64).sin_cos();
    let mut turned = row.to_vec();
    (turned[i], turned[j]) = (cos * row[i] - sin * row[j], sin * row[i] + cos * row[j]);
    turned
}
