//! k-means, and the purity of clusters.
//!
//! A short one of our own: no crate was found that brings less than a second array library with it.
//!
//! Every start draws its first centres by k-means++ (each example with a probability in proportion to its squared distance to
//! the nearest centre so far); then examples go to their nearest centre and centres to the mean of their examples until
//! nothing moves. A cluster that loses all its examples takes the one that is furthest from its centre. The start with the
//! smallest sum of squared distances counts. The same seed gives the same clusters.

use std::collections::BTreeMap;

use candle_core::Tensor;
use rand::Rng;
use tcmax_ops::{Seed, host_f64, to_vec_f64};

use crate::Result;

/// Rounds of one start at most.
const MOST_ROUNDS: usize = 300;

/// The cluster of each of N points (N, D): numbers below `clusters`, not all of which need occur.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use tcmax_losses::methods::k_means::k_means;
/// use tcmax_ops::Seed;
///
/// # fn main() -> tcmax_losses::Result<()> {
/// let points = Tensor::new(&[[0f64], [5.0], [0.1], [5.1], [5.2]], &Device::Cpu)?;
/// let found = k_means(&points, 2, 3, Seed::new(0))?;
/// assert!(found[0] == found[2] && found[1] == found[3] && found[3] == found[4]);
/// assert_ne!(found[0], found[1]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// When the points are no matrix.
pub fn k_means(points: &Tensor, clusters: usize, starts: usize, seed: Seed) -> Result<Vec<usize>> {
    let points = Points::new(points)?;
    let clusters = clusters.min(points.count);
    let mut best: Option<(f64, Vec<usize>)> = None;
    for start in 0..starts.max(1) {
        let (sum, found) = points.clustered(clusters, &mut seed.index(start as u64).rng())?;
        if best.as_ref().is_none_or(|(smallest, _)| sum < *smallest) {
            best = Some((sum, found));
        }
    }
    Ok(best.map(|(_, found)| found).unwrap_or_default())
}

/// The part of examples whose label is the most frequent one of their cluster.
///
/// ```
/// use tcmax_losses::methods::k_means::purity;
///
/// assert_eq!(purity(&[0, 0, 0, 2], &[1, 1, 0, 0]), 0.75);
/// ```
pub fn purity(clusters: &[usize], labels: &[u32]) -> f64 {
    let mut counts = BTreeMap::<usize, BTreeMap<u32, usize>>::new();
    for (&cluster, &label) in clusters.iter().zip(labels) {
        *counts.entry(cluster).or_default().entry(label).or_default() += 1;
    }
    let right: usize = counts.values().filter_map(|of| of.values().max()).sum();
    right as f64 / labels.len().max(1) as f64
}

/// Points in f64 on the CPU.
struct Points {
    tensor: Tensor,
    /// Row by row.
    values: Vec<f64>,
    /// |x|^2 of each.
    squares: Vec<f64>,
    count: usize,
    width: usize,
}

impl Points {
    fn new(points: &Tensor) -> Result<Self> {
        let (count, width) = points.dims2()?;
        let tensor = host_f64(points)?.contiguous()?;
        let values = to_vec_f64(&tensor)?;
        let squares = to_vec_f64(&tensor.sqr()?.sum(1)?)?;
        Ok(Self { tensor, values, squares, count, width })
    }

    fn point(&self, row: usize) -> &[f64] {
        &self.values[row * self.width..(row + 1) * self.width]
    }

    /// One start: the sum of squared distances to the centres, and the cluster of each point.
    fn clustered(&self, clusters: usize, rng: &mut impl Rng) -> Result<(f64, Vec<usize>)> {
        let mut centres = self.first_centres(clusters, rng);
        let mut found: Vec<usize> = Vec::new();
        let mut sum = 0.0;
        for _ in 0..MOST_ROUNDS {
            let (new, distances) = self.nearest(&centres)?;
            sum = distances.iter().sum();
            if new == found {
                break;
            }
            centres = self.means(&new, &distances, clusters);
            found = new;
        }
        Ok((sum, found))
    }

    /// By k-means++, row by row.
    fn first_centres(&self, clusters: usize, rng: &mut impl Rng) -> Vec<f64> {
        let mut centres = Vec::with_capacity(clusters * self.width);
        let mut distances = vec![f64::INFINITY; self.count];
        for number in 0..clusters {
            let total: f64 = if number == 0 { 0.0 } else { distances.iter().sum() };
            let row = if total > 0.0 {
                drawn(&distances, rng.random::<f64>() * total)
            } else {
                rng.random_range(0..self.count)
            };
            let centre = self.point(row);
            centres.extend_from_slice(centre);
            for (other, distance) in distances.iter_mut().enumerate() {
                *distance = distance.min(squared_distance(self.point(other), centre));
            }
        }
        centres
    }

    /// The nearest centre of each point, the first of equals, and the squared distance to it.
    fn nearest(&self, centres: &[f64]) -> Result<(Vec<usize>, Vec<f64>)> {
        let clusters = centres.len() / self.width.max(1);
        let matrix = Tensor::from_slice(centres, (clusters, self.width), self.tensor.device())?;
        let products = to_vec_f64(&self.tensor.matmul(&matrix.t()?)?)?;
        let squares = to_vec_f64(&matrix.sqr()?.sum(1)?)?;
        let nearest = products.chunks(clusters.max(1)).zip(&self.squares).map(|(row, own)| {
            let mut best = (0, f64::INFINITY);
            for (cluster, (product, square)) in row.iter().zip(&squares).enumerate() {
                let distance = (own - 2.0 * product + square).max(0.0);
                if distance < best.1 {
                    best = (cluster, distance);
                }
            }
            best
        });
        Ok(nearest.unzip())
    }

    /// The means of the clusters, row by row.
    fn means(&self, found: &[usize], distances: &[f64], clusters: usize) -> Vec<f64> {
        let mut sums = vec![0.0; clusters * self.width];
        let mut counts = vec![0usize; clusters];
        for (row, &cluster) in found.iter().enumerate() {
            counts[cluster] += 1;
            let sum = &mut sums[cluster * self.width..(cluster + 1) * self.width];
            sum.iter_mut().zip(self.point(row)).for_each(|(sum, value)| *sum += value);
        }
        let mut furthest: Vec<usize> = (0..self.count).collect();
        furthest.sort_by(|&a, &b| distances[b].total_cmp(&distances[a]));
        let mut furthest = furthest.into_iter().peekable();
        for (cluster, count) in counts.into_iter().enumerate() {
            let mean = &mut sums[cluster * self.width..(cluster + 1) * self.width];
            match furthest.next_if(|_| count == 0) {
                Some(row) => mean.copy_from_slice(self.point(row)),
                None => mean.iter_mut().for_each(|value| *value /= count.max(1) as f64),
            }
        }
        sums
    }
}

/// The row in which the sum of the weights up to it first exceeds `target`.
fn drawn(weights: &[f64], target: f64) -> usize {
    let mut sum = 0.0;
    let position = weights.iter().position(|weight| {
        sum += weight;
        sum > target
    });
    position.unwrap_or(weights.len() - 1)
}

fn squared_distance(one: &[f64], other: &[f64]) -> f64 {
    one.iter().zip(other).map(|(x, y)| (x - y).powi(2)).sum()
}
