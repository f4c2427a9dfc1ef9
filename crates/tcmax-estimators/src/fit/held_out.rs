//! The value of a critic on examples it was not fitted to, with a bootstrap of those examples.

use candle_core::Tensor;
use rand::Rng;
use tcmax_ops::Seed;

use super::contrasts::{CHUNK, contrasts, log_mean_exp, to_vec};
use crate::bound::objective::Objective;
use crate::critic::Critic;
use crate::error::Result;
use crate::sample::tuples::Tuples;

/// Where scores are cut off, below and above. The cut belongs to the critic, as any function is one.
///
/// For the true log ratio t of p to the product q, P(t <= -a) <= e^-a over joint examples and
/// P(t >= a) <= e^-a over product tuples. Scores far beyond are a critic's mistakes where it has seen no
/// data, tails above all, and a single one of them can cost more nats than all data show.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    floor: f64,
    ceiling: f64,
}

impl Limits {
    /// 12 nats below log mean exp T over K product tuples; above, log K above it, where one tuple of K
    /// would outweigh all others and K tuples cannot tell whether it is there, or the score that
    /// [`RARE`] of the joint examples exceed if that is less: it costs them a few thousandths of a nat,
    /// and a single unusual example can no longer cost hundreds of them.
    fn of(joint: &[f64], product: &[f64]) -> Self {
        let log_mean = log_mean_exp(product.iter().copied());
        let floor = log_mean - 12.0;
        let answered = log_mean + (product.len() as f64).ln();
        let mut sorted = joint.to_vec();
        sorted.sort_by(f64::total_cmp);
        let rare = (RARE * sorted.len() as f64) as usize;
        let exceeded = sorted.iter().rev().nth(rare).copied().unwrap_or(answered);
        Self { floor, ceiling: answered.min(exceeded).max(floor) }
    }
}

/// The fraction of joint examples whose scores are cut off.
const RARE: f64 = 0.005;

/// Scores of joint examples and product tuples of one split.
pub(super) struct HeldOut<'a> {
    joint: Vec<f64>,
    /// exp (T - top) of the product tuples.
    exponentials: Vec<f64>,
    /// The largest product score.
    top: f64,
    /// Of objectives of all pairs, what each example contributes to the contrasts: log-mean-exps of its
    /// row and column within its block, and what it adds to those of others.
    contrasts: Vec<f64>,
    /// Where scores were cut off.
    limits: Option<Limits>,
    tuples: &'a Tuples,
    objective: &'a dyn Objective,
}

impl<'a> HeldOut<'a> {
    /// Scores the variables, each (N, D_m), with a critic. Objectives of all pairs do not use the tuples.
    /// Without limits from another split, those that these examples suggest are used.
    pub(super) fn new(
        critic: &dyn Critic,
        variables: &[Tensor],
        tuples: &'a Tuples,
        objective: &'a dyn Objective,
        limits: Option<Limits>,
    ) -> Result<Self> {
        let parts = critic.parts(variables)?;
        let mut joint = to_vec(&critic.combine(&parts)?)?;
        if objective.all_pairs() {
            let contrasts = contrasts(critic, &parts, joint.len())?;
            let exponentials = Vec::new();
            let (top, limits) = (0.0, None);
            return Ok(Self { joint, exponentials, top, contrasts, limits, tuples, objective });
        }
        let mut product = Vec::with_capacity(tuples.len());
        for piece in tuples.chunks(CHUNK) {
            product.extend(to_vec(&critic.combine(&piece.gather(&parts)?)?)?);
        }
        let clip = objective.clip();
        product.iter_mut().for_each(|score| *score = score.clamp(-clip, clip));
        let limits = limits.unwrap_or_else(|| Limits::of(&joint, &product));
        let cut = |score: &mut f64| *score = score.clamp(limits.floor, limits.ceiling);
        joint.iter_mut().chain(&mut product).for_each(cut);
        let top = product.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        product.iter_mut().for_each(|score| *score = (*score - top).exp());
        let (exponentials, contrasts) = (product, Vec::new());
        let limits = Some(limits);
        Ok(Self { joint, exponentials, top, contrasts, limits, tuples, objective })
    }

    /// Where scores were cut off, for other splits.
    pub(super) fn limits(&self) -> Option<Limits> {
        self.limits
    }

    /// The value on all examples, nats.
    pub(super) fn value(&self) -> f64 {
        self.weighted(&vec![1.0; self.joint.len()])
    }

    /// What every example contributes: the value is the mean, as what is reported is linear in the mean
    /// score.
    pub(super) fn of_examples(&self) -> Vec<f64> {
        let reported = |(&score, compared): (&f64, f64)| self.objective.reported(score, compared);
        if self.objective.all_pairs() {
            return self.joint.iter().zip(self.contrasts.iter().copied()).map(reported).collect();
        }
        self.joint.iter().zip(std::iter::repeat(self.product())).map(reported).collect()
    }

    /// What the mean of the scores is compared with: the log-mean-exp over product tuples, or the mean contrast.
    pub(super) fn product(&self) -> f64 {
        match self.objective.all_pairs() {
            true => self.contrasts.iter().sum::<f64>() / self.contrasts.len() as f64,
            false => self.log_mean_exp(&vec![1.0; self.joint.len()]),
        }
    }

    /// The value with the scores of another pairing of the examples, which has the same product term.
    pub(super) fn value_with(&self, joint: &[f64], product: f64) -> f64 {
        let cut = |score: f64| self.limits.map_or(score, |l| score.clamp(l.floor, l.ceiling));
        let mean = joint.iter().map(|&score| cut(score)).sum::<f64>() / joint.len() as f64;
        self.objective.reported(mean, product)
    }

    /// The standard deviation of the value over bootstrap replicates of the examples.
    pub(super) fn bootstrap(&self, replicates: usize, seed: Seed) -> f64 {
        let n = self.joint.len();
        let values: Vec<f64> = (0..replicates)
            .map(|replicate| {
                let mut rng = seed.index(replicate as u64).rng();
                let mut weights = vec![0.0; n];
                (0..n).for_each(|_| weights[rng.random_range(0..n)] += 1.0);
                self.weighted(&weights)
            })
            .filter(|value| value.is_finite())
            .collect();
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let squares: f64 = values.iter().map(|value| (value - mean) * (value - mean)).sum();
        (squares / (count - 1.0)).sqrt()
    }

    /// How many tuples carry the mean of exp T: (sum w)^2 / sum w^2, with w summed over the tuples of
    /// one example, so that examples and not tuples are counted.
    pub(super) fn effective_examples(&self) -> f64 {
        if self.objective.all_pairs() {
            return f64::INFINITY;
        }
        let mut fewest = f64::INFINITY;
        for m in 0..self.tuples.num_variables() {
            let mut of_example = vec![0.0; self.joint.len()];
            for (tuple, exponential) in self.tuples.iter().zip(&self.exponentials) {
                of_example[tuple[m] as usize] += exponential;
            }
            let sum: f64 = of_example.iter().sum();
            let squares: f64 = of_example.iter().map(|w| w * w).sum();
            fewest = fewest.min(sum * sum / squares);
        }
        fewest
    }

    /// The value with weighted examples; a tuple weighs the product of its members' weights.
    fn weighted(&self, weights: &[f64]) -> f64 {
        let total: f64 = weights.iter().sum();
        let mean = |scores: &[f64]| {
            scores.iter().zip(weights).map(|(score, weight)| score * weight).sum::<f64>() / total
        };
        let log_mean_exp = match self.objective.all_pairs() {
            true => mean(&self.contrasts),
            false => self.log_mean_exp(weights),
        };
        self.objective.reported(mean(&self.joint), log_mean_exp)
    }

    /// log of the weighted mean of exp T over the tuples.
    fn log_mean_exp(&self, weights: &[f64]) -> f64 {
        let (mut sum, mut total) = (0.0, 0.0);
        for (tuple, exponential) in self.tuples.iter().zip(&self.exponentials) {
            let weight: f64 = tuple.iter().map(|&row| weights[row as usize]).product();
            sum += weight * exponential;
            total += weight;
        }
        self.top + (sum / total).ln()
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;
    use crate::bound::INFO_NCE;
    use crate::critic::BilinearCritic;
    use crate::fit::FitConfig;

    /// Pairs with noise of 0.3, scored by half their product.
    fn scored(n: usize, seed: u64) -> (BilinearCritic, Vec<Tensor>) {
        let normal = tcmax_ops::Init::Normal { mean: 0.0, std: 1.0 };
        let draw = |name: &str| {
            let seed = Seed::new(seed).stream(name);
            normal.tensor(&(n, 1).into(), seed, DType::F64, &Device::Cpu).unwrap()
        };
        let x = draw("x");
        let y = (&x + (draw("noise") * 0.3).unwrap()).unwrap();
        let weight = Tensor::new(&[[0.5f64]], &Device::Cpu).unwrap();
        (BilinearCritic::from_tensor(weight).unwrap(), vec![x, y])
    }

    /// Contrasts of one block as InfoNCE defines them.
    fn contrasts_alone(critic: &dyn Critic, x: &[Tensor], n: usize) -> Vec<f64> {
        let scores =
            to_vec(&critic.scores(&Tuples::all(n, 2).unwrap().gather(x).unwrap()).unwrap())
                .unwrap();
        let of = |i: usize| {
            let row = log_mean_exp((0..n).map(|j| scores[i * n + j]));
            let column = log_mean_exp((0..n).map(|j| scores[j * n + i]));
            0.5 * (row + column)
        };
        (0..n).map(of).collect()
    }

    #[test]
    fn the_interval_of_info_nce_counts_examples_as_contrasts_too() {
        let (n, draws) = (100, 200);
        let tuples = Tuples::permutations(1, n, 2, Seed::new(0)).unwrap();
        let config = FitConfig { estimator: &INFO_NCE, ..FitConfig::default() };
        let objective = config.check().unwrap().objective().unwrap();
        let (mut values, mut errors, mut kept) = (vec![], vec![], vec![]);
        for draw in 0..draws {
            let (critic, x) = scored(n, draw);
            let held_out = HeldOut::new(&critic, &x, &tuples, objective.as_ref(), None).unwrap();
            values.push(held_out.value());
            errors.push(held_out.bootstrap(50, Seed::new(5)));
            let plain = HeldOut { contrasts: contrasts_alone(&critic, &x, n), ..held_out };
            assert!((plain.value() - values[draw as usize]).abs() < 1e-9);
            kept.push(plain.bootstrap(50, Seed::new(5)));
        }
        let mean = |x: &[f64]| x.iter().sum::<f64>() / x.len() as f64;
        let centre = mean(&values);
        let squares: Vec<f64> = values.iter().map(|value| (value - centre).powi(2)).collect();
        let truth = mean(&squares).sqrt();
        let error = mean(&errors);
        assert!((error / truth - 1.0).abs() < 0.2, "{error} is not {truth}");
        // This test would see contrasts that stay the same.
        assert!(mean(&kept) / truth > 1.3, "{} and {truth}", mean(&kept));
    }
}
