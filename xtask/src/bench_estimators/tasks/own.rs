//! Our own tasks: from independent variables to 8 nats, labels, noise, heavy tails.

use rand::Rng;
use rand_distr::{ChiSquared, Distribution, StandardNormal};
use tcmax_estimators::{Sample, Variable};
use tcmax_ops::Seed;

use super::{Draw, Task, dense_truth, noise_truth, student_truth};

enum Law {
    /// Variables of one column, all pairs equally correlated, each mapped.
    Equicorrelated { variables: usize, rho: f64, map: fn(f64) -> f64 },
    /// Two variables of d columns; column i of one is correlated with column i of the other.
    Paired { columns: usize, rho: f64 },
    /// Two variables of d columns, all columns of both equally correlated.
    Dense { columns: usize, rho: f64 },
    /// Two variables of three columns, two of each paired, then turned by angles that grow with the norm.
    Spiral { rho: f64 },
    /// Two variables of d columns, jointly Student-t.
    Student { columns: usize, rho: f64, freedom: f64 },
    /// x uniform on [0, 1), y = x + uniform noise on [-e, e).
    UniformNoise { half_width: f64 },
    /// Normal variables whose signs multiply to plus: no smaller group of them tells anything.
    Signs { variables: usize },
    /// A label of two classes and features +-mean + normal noise.
    Labels { features: usize, mean: f64 },
}

/// Every task, from independent variables to 8 nats.
pub(super) fn all() -> Vec<Task> {
    let identity: fn(f64) -> f64 = |x| x;
    let mut tasks = vec![equicorrelated("gaussian", 3, 0.0, identity)];
    for (variables, truths) in
        [(2, &[0.2, 1.0, 3.0, 6.0][..]), (3, &[0.2, 1.0, 3.0, 8.0]), (5, &[0.2, 1.0, 3.0, 8.0])]
    {
        let task = |&truth: &f64| equicorrelated("gaussian", variables, truth, identity);
        tasks.extend(truths.iter().map(task));
    }
    for (columns, truth) in [(2, 1.0), (5, 2.0), (20, 1.0), (20, 4.0)] {
        tasks.push(paired(columns, truth));
    }
    for truth in [1.0, 3.0] {
        tasks.push(equicorrelated("cubed", 3, truth, |x| x * x * x));
        tasks.push(equicorrelated("exp(2x)", 3, truth, |x| (2.0 * x).exp()));
    }
    tasks.push(dense(25, 0.5));
    tasks.push(spiral(0.8));
    for (columns, freedom) in [(1, 3.0), (2, 2.0), (5, 3.0)] {
        tasks.push(student(columns, 0.6, freedom));
    }
    tasks.extend([0.1, 0.75].map(uniform_noise));
    // 4 and 6 nats in one dimension.
    tasks.extend([0.0092, 0.00124].map(uniform_noise));
    tasks.extend([3, 4, 5].map(signs));
    tasks.extend([(1, 1.0), (2, 1.0), (4, 0.7)].map(|(features, mean)| labels(features, mean)));
    tasks
}

impl Draw for Law {
    fn draw(&self, rows: usize, seed: Seed, task: &str) -> tcmax_estimators::Result<Sample> {
        let mut rng = seed.stream(task).rng();
        let mut normal = || -> f64 { StandardNormal.sample(&mut rng) };
        let mut columns: Vec<(Vec<f64>, usize)>;
        match *self {
            Self::Equicorrelated { variables, rho, map } => {
                columns = vec![(Vec::with_capacity(rows), 1); variables];
                for _ in 0..rows {
                    let common = normal();
                    for (column, _) in &mut columns {
                        column.push(map(rho.sqrt() * common + (1.0 - rho).sqrt() * normal()));
                    }
                }
            }
            Self::Paired { columns: width, rho } => {
                columns = vec![(Vec::with_capacity(rows * width), width); 2];
                for _ in 0..rows * width {
                    let x = normal();
                    columns[0].0.push(x);
                    columns[1].0.push(rho * x + (1.0 - rho * rho).sqrt() * normal());
                }
            }
            Self::Dense { columns: width, rho } => {
                columns = vec![(Vec::with_capacity(rows * width), width); 2];
                for _ in 0..rows {
                    let common = normal();
                    for (column, _) in &mut columns {
                        for _ in 0..width {
                            column.push(rho.sqrt() * common + (1.0 - rho).sqrt() * normal());
                        }
                    }
                }
            }
            Self::Spiral { rho } => {
                columns = vec![(Vec::with_capacity(rows * 3), 3); 2];
                for _ in 0..rows {
                    let x = [normal(), normal(), normal()];
                    let other = (1.0 - rho * rho).sqrt();
                    let y =
                        [rho * x[0] + other * normal(), rho * x[1] + other * normal(), normal()];
                    columns[0].0.extend(turned(x));
                    columns[1].0.extend(turned(y));
                }
            }
            Self::Student { columns: width, rho, freedom } => {
                columns = vec![(Vec::with_capacity(rows * width), width); 2];
                let chi_squared = ChiSquared::new(freedom).map_err(candle_core::Error::wrap)?;
                let mut scales = seed.stream("scales").rng();
                for _ in 0..rows {
                    let scale = (freedom / chi_squared.sample(&mut scales)).sqrt();
                    for _ in 0..width {
                        let x = normal();
                        let y = rho * x + (1.0 - rho * rho).sqrt() * normal();
                        columns[0].0.push(scale * x);
                        columns[1].0.push(scale * y);
                    }
                }
            }
            Self::UniformNoise { half_width } => {
                columns = vec![(Vec::with_capacity(rows), 1); 2];
                for _ in 0..rows {
                    let x: f64 = rng.random();
                    columns[0].0.push(x);
                    columns[1].0.push(x + half_width * (2.0 * rng.random::<f64>() - 1.0));
                }
            }
            Self::Signs { variables } => {
                columns = vec![(Vec::with_capacity(rows), 1); variables];
                for _ in 0..rows {
                    let drawn: Vec<f64> = (0..variables).map(|_| normal()).collect();
                    let sign = drawn[1..].iter().map(|x| x.signum()).product::<f64>();
                    columns[0].0.push(drawn[0].abs() * sign);
                    columns[1..].iter_mut().zip(&drawn[1..]).for_each(|((c, _), &x)| c.push(x));
                }
            }
            Self::Labels { features, mean } => {
                columns = vec![(Vec::with_capacity(rows), 1); features + 1];
                for _ in 0..rows {
                    let label = if rng.random::<bool>() { 1.0 } else { -1.0 };
                    for (column, _) in &mut columns[..features] {
                        let noise: f64 = StandardNormal.sample(&mut rng);
                        column.push(mean * label + noise);
                    }
                    columns[features].0.push(label);
                }
            }
        }
        let last = columns.len() - 1;
        let labelled = matches!(self, Self::Labels { .. });
        let variables = columns.into_iter().enumerate().map(|(i, (values, width))| {
            let name = format!("x{i}");
            match labelled && i == last {
                true => Variable::categorical(name, &values),
                false => Variable::continuous(name, values, width),
            }
        });
        Sample::new(variables.collect::<tcmax_estimators::Result<_>>()?)
    }
}

fn equicorrelated(name: &str, variables: usize, truth: f64, map: fn(f64) -> f64) -> Task {
    // TC = -1/2 log((1 - rho)^(n-1) (1 + (n-1) rho)) rises with rho: bisect.
    let n = variables as f64 - 1.0;
    let information = |rho: f64| -0.5 * (n * (-rho).ln_1p() + (n * rho).ln_1p());
    let (mut low, mut high) = (0.0, 1.0 - 1e-15);
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        if information(middle) < truth { low = middle } else { high = middle }
    }
    let name = format!("{name}, {variables} variables, {truth} nats");
    Task { name, truth, law: Box::new(Law::Equicorrelated { variables, rho: low, map }) }
}

fn paired(columns: usize, truth: f64) -> Task {
    let rho = (-(-2.0 * truth / columns as f64).exp_m1()).sqrt();
    let name = format!("gaussian, 2 variables of {columns} columns, {truth} nats");
    Task { name, truth, law: Box::new(Law::Paired { columns, rho }) }
}

fn dense(columns: usize, rho: f64) -> Task {
    let truth = dense_truth(columns, rho);
    let name = format!("dense gaussian, 2 variables of {columns} columns");
    Task { name, truth, law: Box::new(Law::Dense { columns, rho }) }
}

fn spiral(rho: f64) -> Task {
    let truth = -(-rho * rho).ln_1p();
    let name = "spirals, 2 variables of 3 columns".to_owned();
    Task { name, truth, law: Box::new(Law::Spiral { rho }) }
}

/// Two turns, about the third and the first axis, by a third of the norm: they keep the norm, so they can
/// be undone.
fn turned([a, b, c]: [f64; 3]) -> [f64; 3] {
    let (sin, cos) = ((a * a + b * b + c * c).sqrt() / 3.0).sin_cos();
    let (a, b) = (cos * a - sin * b, sin * a + cos * b);
    [a, cos * b - sin * c, sin * b + cos * c]
}

fn student(columns: usize, rho: f64, freedom: f64) -> Task {
    let truth = -0.5 * columns as f64 * (-rho * rho).ln_1p() + student_truth(columns, freedom);
    let name = format!("Student-t({freedom}), 2 variables of {columns} columns");
    Task { name, truth, law: Box::new(Law::Student { columns, rho, freedom }) }
}

fn uniform_noise(half_width: f64) -> Task {
    let truth = noise_truth(half_width);
    let name = format!("uniform noise of +-{half_width}");
    Task { name, truth, law: Box::new(Law::UniformNoise { half_width }) }
}

fn signs(variables: usize) -> Task {
    let name = format!("signs of {variables} variables");
    let law = Box::new(Law::Signs { variables });
    Task { name, truth: std::f64::consts::LN_2, law }
}

fn labels(features: usize, mean: f64) -> Task {
    // I(x; y) = log 2 - E log(1 + exp(-2 mean (mean + e))), e standard normal: Simpson's rule. Features
    // are independent given the label, so their total correlation with it is the sum of these.
    let steps = 4000;
    let width = 20.0 / f64::from(steps);
    let mut loss = 0.0;
    for i in 0..=steps {
        let e = -10.0 + width * f64::from(i);
        let density = (-0.5 * e * e).exp() / std::f64::consts::TAU.sqrt();
        let weight = match i {
            0 => 1.0,
            i if i == steps => 1.0,
            i if i % 2 == 1 => 4.0,
            _ => 2.0,
        };
        let odds = -2.0 * mean * (mean + e);
        let softplus = odds.max(0.0) + (-odds.abs()).exp().ln_1p();
        loss += weight * density * softplus * width / 3.0;
    }
    let truth = features as f64 * (std::f64::consts::LN_2 - loss);
    let name = format!("label and {features} features at +-{mean}");
    Task { name, truth, law: Box::new(Law::Labels { features, mean }) }
}
