//! Estimates of one sample or of all pairs of variables.

use std::time::Instant;

use rayon::prelude::*;
use tcmax_estimators::fit::CheckedConfig;
use tcmax_estimators::fit::Wanted;
use tcmax_estimators::{
    Comparison, EstimatorKind, Relation, Sample, Variable, estimate_detailed,
    retrained_permutation_test,
};
use tcmax_ops::Seed;
use tcmax_train::Error;

use super::missing::Complete;
use super::outcome::Outcome;
use super::progress::{Cost, Progress, duration};
use super::variables::Member;
use crate::progress::say;

/// Above so many seconds on all threads, the plan is printed first.
const WORTH_SAYING: f64 = 20.0;

/// Above so many, it has to be insisted on: a day.
const TOO_LONG: f64 = 86_400.0;

/// How to estimate.
#[derive(Clone, Copy)]
pub(super) struct Work<'a> {
    pub(super) config: &'a CheckedConfig,
    pub(super) seeds: &'a [u64],
    /// Whether work of more than a day is wanted.
    pub(super) long: bool,
    /// A permutation test, values of rows.
    pub(super) wanted: Wanted,
    /// Whether the permutation test trains critics.
    pub(super) retrain: bool,
}

impl Work<'_> {
    /// What an estimate of the sample costs.
    pub(super) fn cost(&self, sample: &Sample) -> Cost {
        self.cost_of(&sample.variables().iter().collect::<Vec<_>>())
    }

    /// What an estimate of some variables costs, with its permutation test.
    pub(super) fn cost_of(&self, variables: &[&Variable]) -> Cost {
        let (config, permutations) = (self.config.config(), self.wanted.permutations as u64);
        let cost = Cost::of(variables, config, self.seeds.len() as u64);
        match permutations {
            0 => cost,
            n if self.retrain => cost.and(Cost::of(variables, config, n + 1)),
            n => cost.and_permutations(variables, config, n),
        }
    }

    /// Prints what long work is going to cost, and refuses what takes more than a day.
    pub(super) fn announce(&self, cost: Cost, what: &str) -> anyhow::Result<()> {
        let threads = rayon::current_num_threads();
        let seconds = cost.seconds / (cost.fits.max(1) as f64).min(threads as f64);
        let plan = match cost.fits {
            0 => format!("{what}about {}", duration(seconds)),
            fits => format!("{what}{fits} fits, about {} at most", duration(seconds)),
        };
        if seconds > TOO_LONG && !self.long {
            let problem = format!(
                "{plan}, on {threads} threads; name fewer variables, use an --estimator that trains \
                 no critic, fewer --seeds or --steps, or insist with --long"
            );
            return Err(Error::setting("estimate", problem).into());
        }
        if seconds > WORTH_SAYING {
            say(&format!("{plan}, on {threads} threads"));
        }
        Ok(())
    }

    /// Estimates one sample, unless its variables determine each other.
    pub(super) fn outcome(&self, sample: &Sample, progress: &Progress) -> anyhow::Result<Outcome> {
        let start = Instant::now();
        let estimator = self.config.config().estimator;
        let mut outcome = Outcome::new(sample, estimator.name);
        outcome.set_relation(Relation::find(sample));
        if outcome.value.is_infinite() {
            progress.add(self.cost(sample).steps);
        } else {
            let observe = |steps: usize| progress.add(steps as u64);
            let wanted = match self.retrain {
                true => Wanted { permutations: 0, ..self.wanted },
                false => self.wanted,
            };
            let refuse = |e| anyhow::Error::from(Error::from(e)).context(outcome.quantity());
            let found = estimate_detailed(sample, self.config, self.seeds, wanted, &observe);
            let mut found = found.map_err(refuse)?;
            if self.retrain {
                let (permutations, seed) = (self.wanted.permutations, self.seeds[0]);
                let test =
                    retrained_permutation_test(sample, self.config, permutations, seed, &observe);
                found.permutation_test = Some(test.map_err(refuse)?);
            }
            outcome.set_estimate(found, estimator.lower_bound);
            if !matches!(estimator.kind, EstimatorKind::Direct(_)) {
                outcome.compare(Comparison::of(sample, Seed::new(0)));
            }
        }
        outcome.seconds = start.elapsed().as_secs_f64();
        Ok(outcome)
    }

    /// Every pair's outcome, in the order (0, 1), (0, 2), ..., (1, 2), ...; what cannot be estimated is
    /// refused with its reason, and an error only if that is everything.
    pub(super) fn pairs(
        &self,
        members: Vec<Member>,
        keep_fits: bool,
    ) -> anyhow::Result<Vec<Outcome>> {
        let pairs = members.iter().enumerate();
        let pairs = pairs.flat_map(|(i, a)| members[i + 1..].iter().map(move |b| [a, b]));
        let pairs: Vec<[&Member; 2]> = pairs.collect();
        let cost = |[a, b]: &[&Member; 2]| {
            let [a, b] = [a, b].map(|member| member.known.as_ref().ok());
            Some(self.cost_of(&[&a?.variable, &b?.variable]))
        };
        let cost = pairs.iter().filter_map(cost).fold(Cost::default(), Cost::and);
        self.announce(cost, &format!("{} pairs: ", pairs.len()))?;
        let progress = Progress::new(cost.steps);
        let of_pair = |pair: &[&Member; 2]| {
            let outcome = complete(*pair)
                .and_then(|complete| {
                    let outcome = self.outcome(&complete.sample, &progress)?;
                    Ok(Outcome { left_out: complete.left_out, ..outcome })
                })
                .unwrap_or_else(|refusal| {
                    let names = pair.map(|member| member.name.as_str());
                    let estimator = self.config.config().estimator.name;
                    Outcome::refused(&names, estimator, format!("{refusal:#}"))
                });
            match keep_fits {
                true => outcome,
                // The curves of many pairs fill the memory.
                false => outcome.without_fits(),
            }
        };
        let outcomes: Vec<Outcome> = pairs.par_iter().map(of_pair).collect();
        progress.finish();
        if outcomes.iter().all(|outcome| outcome.refusal().is_some()) {
            // The variables' own reasons first: they have exit codes.
            for member in members {
                member.known?;
            }
            let reason = outcomes.first().and_then(Outcome::refusal);
            let reason = reason.unwrap_or("at least 2 variables are needed").to_owned();
            return Err(match outcomes.is_empty() {
                true => Error::setting("--variables", reason).into(),
                false => anyhow::anyhow!(reason),
            });
        }
        Ok(outcomes)
    }
}

fn complete([a, b]: [&Member; 2]) -> anyhow::Result<Complete> {
    match (&a.known, &b.known) {
        (Ok(a), Ok(b)) => Complete::of(&[a, b]),
        (Err(refusal), _) | (_, Err(refusal)) => Err(anyhow::anyhow!("{refusal:#}")),
    }
}
