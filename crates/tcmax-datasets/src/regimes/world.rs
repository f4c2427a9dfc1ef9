//! What a seed fixes before the first example: class means, and how each modality shows a latent vector.

use rand::Rng;
use rand_distr::{Distribution, StandardNormal};
use tcmax_ops::Seed;

use super::plan::{CLASSES, LATENT, Latent, Planned, Shown};

/// A latent vector.
pub(super) type Point = [f64; LATENT];

/// Units of a random map.
const UNITS: usize = 64;
/// The standard deviation of the noise of a code before it is mixed.
const CODE_NOISE: f64 = 0.45;

/// Everything that the examples of a seed share.
pub(super) struct World {
    /// Sets of class means.
    means: Vec<[Point; CLASSES]>,
    maps: Vec<Map>,
}

/// How a modality's latent vector becomes its input.
enum Map {
    /// V tanh(U u + b): U (units, latent), b (units,), V (width, units).
    Teacher { inner: Vec<Point>, shift: Vec<f64>, outer: Vec<Vec<f64>> },
    /// p A, with the columns of A (width, latent).
    Mixed(Vec<Point>),
}

/// A number of mean 0 and standard deviation 1.
pub(super) fn normal(rng: &mut impl Rng) -> f64 {
    StandardNormal.sample(rng)
}

/// A standard normal vector.
pub(super) fn point(rng: &mut impl Rng) -> Point {
    std::array::from_fn(|_| normal(rng))
}

impl World {
    pub(super) fn new(modalities: &[Planned], seed: Seed) -> Self {
        let sets = modalities.iter().map(|modality| match modality.shown {
            Shown::Latent(latent) => latent.means + 1,
            Shown::Code => 0,
        });
        let means = |set: usize| {
            let mut rng = seed.stream("means").index(set as u64).rng();
            std::array::from_fn(|_| point(&mut rng))
        };
        let map = |(m, modality): (usize, &Planned)| {
            let mut rng = seed.stream("map").index(m as u64).rng();
            match modality.shown {
                Shown::Latent(_) => teacher(modality.width, &mut rng),
                Shown::Code => Map::Mixed((0..modality.width).map(|_| point(&mut rng)).collect()),
            }
        };
        Self {
            means: (0..sets.max().unwrap_or(0)).map(means).collect(),
            maps: modalities.iter().enumerate().map(map).collect(),
        }
    }

    /// The input of modality `m` of an example of a class, with the noise drawn from `rng`.
    pub(super) fn show(
        &self,
        (m, modality): (usize, &Planned),
        class: usize,
        common: &Point,
        rng: &mut impl Rng,
    ) -> Vec<f32> {
        let latent = match modality.shown {
            Shown::Latent(latent) => self.latent(latent, class, common, rng),
            Shown::Code => code(class, rng),
        };
        let shown = self.maps[m].apply(&latent);
        shown.into_iter().map(|x| (x + modality.noise * normal(rng)) as f32).collect()
    }

    fn latent(&self, parts: Latent, class: usize, common: &Point, rng: &mut impl Rng) -> Point {
        let own = point(rng);
        let mean = &self.means[parts.means][class];
        std::array::from_fn(|n| {
            parts.signal * mean[n] + parts.common * common[n] + parts.own * own[n]
        })
    }
}

/// (s_1, s_2, s_1 b_1, s_2 b_2) with random signs s and the bits b of the class, and noise.
fn code(class: usize, rng: &mut impl Rng) -> Point {
    let sign = |positive: bool| if positive { 1.0 } else { -1.0 };
    let signs = [sign(rng.random()), sign(rng.random())];
    let bits = [sign(class & 1 == 1), sign(class & 2 == 2)];
    let noise = point(rng);
    let clean = [signs[0], signs[1], signs[0] * bits[0], signs[1] * bits[1]];
    std::array::from_fn(|n| clean[n] + CODE_NOISE * noise[n])
}

fn teacher(width: usize, rng: &mut impl Rng) -> Map {
    let inner_scale = (LATENT as f64).sqrt().recip();
    let outer_scale = (UNITS as f64).sqrt().recip();
    Map::Teacher {
        inner: (0..UNITS).map(|_| point(rng).map(|entry| inner_scale * entry)).collect(),
        shift: (0..UNITS).map(|_| normal(rng)).collect(),
        outer: (0..width)
            .map(|_| (0..UNITS).map(|_| outer_scale * normal(rng)).collect())
            .collect(),
    }
}

impl Map {
    fn apply(&self, latent: &Point) -> Vec<f64> {
        match self {
            Self::Mixed(columns) => columns.iter().map(|column| dot(column, latent)).collect(),
            Self::Teacher { inner, shift, outer } => {
                let units = inner.iter().zip(shift);
                let units: Vec<f64> =
                    units.map(|(row, shift)| (dot(row, latent) + shift).tanh()).collect();
                outer.iter().map(|row| dot(row, &units)).collect()
            }
        }
    }
}

fn dot(one: &[f64], other: &[f64]) -> f64 {
    one.iter().zip(other).map(|(one, other)| one * other).sum()
}
