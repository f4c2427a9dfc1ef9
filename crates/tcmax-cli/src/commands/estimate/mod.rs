//! `tcmax estimate`.

mod curve;
mod output;
mod progress;
mod variables;

use std::path::PathBuf;
use std::time::Instant;

use clap::{Args, ValueEnum};
use rayon::prelude::*;
use tcmax_data::arrays::read_arrays;
use tcmax_estimators::fit::{
    CheckedConfig, CriticKind, Estimate as Fitted, Estimator, FitConfig, Path as Joining,
    decompose_observed, fit_observed,
};
use tcmax_estimators::{
    Comparison, Gaussian, KsgConfig, Relation, Sample, Scaling, Variable, nearest_neighbours,
};
use tcmax_ops::Seed;
use tcmax_train::Error;
use tcmax_train::checkpoint::write_whole;

use super::print;
use super::train::set_threads;
use crate::progress::say;
use output::{Outcome, Unit};
use progress::{Cost, Progress, duration};
use variables::{FileArray, Member, Variables};

/// Options of `tcmax estimate`.
#[derive(Args)]
#[command(
    after_help = "Variables: a name is an array of the file, or all columns NAME0, NAME1, ... (NAME_0, \
                  NAME_1, ...) of a table; NAME[2] and NAME[0:3] are some of an array's columns, and A+B is \
                  both side by side. In files of one array, and in tables, 2 and 0:3 are columns. Whole \
                  numbers of few distinct values, and words, count as classes.\n\nWhat the numbers mean: \
                  tcne, mine, nwj, infonce, js, line and tree give lower bounds, so the truth is *at least* \
                  the estimate, and the interval (95 %, from examples that neither trained nor stopped the \
                  critic) is that of the bound. The truth lies above it wherever the critic falls short, as \
                  it does where information is high. Beside a fit ksg and the Gaussian copula are computed \
                  too, and a warning says where one of them lies above the interval. smile, ksg and gaussian \
                  are no bounds. Where one variable determines another the information is infinite (or the \
                  entropy of classes), which is said without a fit.\n\nmine is tcne on two variables, trained \
                  with the moving average of its paper: the same bound, nearly the same numbers.\n\nExamples:\n  \
                  tcmax estimate data.npz --variables a,b,y\n  tcmax estimate table.csv --all-pairs --unit \
                  bits\n  tcmax estimate xy.npy --variables 0:3,3:6 --estimator mine --plot curve.svg\n  \
                  tcmax estimate x.npy y.npy --estimator ksg"
)]
pub struct Estimate {
    /// Files with the variables: safetensors, npy, npz, CSV or TSV; rows belong together
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Variables, by name (see below) [default: every array; of a single array, every column]
    #[arg(long, value_delimiter = ',', value_name = "NAME,...")]
    variables: Option<Vec<String>>,
    /// Estimator: tcne, mine, nwj, infonce, smile or js (bounds by a fitted critic); line or tree (total
    /// correlation by parts); ksg (nearest neighbours; counts of classes); gaussian (closed form)
    #[arg(long, default_value = "tcne")]
    estimator: String,
    /// How many fits, each with a split and start of its own
    #[arg(long, default_value_t = 3, value_name = "COUNT")]
    seeds: u64,
    /// Unit of what is printed
    #[arg(long, value_enum, default_value_t = Unit::Nats)]
    unit: Unit,
    /// Estimate every pair of variables, and print the matrix; of more than 20 variables, the 100 pairs that
    /// share most. Pairs that cannot be estimated are named, and the others go on
    #[arg(long)]
    all_pairs: bool,
    /// Treat these variables as classes
    #[arg(long, value_delimiter = ',', value_name = "NAME,...")]
    classes: Vec<String>,
    /// Treat these variables as numbers
    #[arg(long, value_delimiter = ',', value_name = "NAME,...")]
    numbers: Vec<String>,
    /// Draw the training curves into this SVG file
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Print the result as JSON, with every fit and its training curve
    #[arg(long)]
    json: bool,
    /// Form of the critic
    #[arg(long, value_enum, default_value_t = Critic::Concat)]
    critic: Critic,
    /// How numbers are scaled before the critic sees them
    #[arg(long, value_enum, default_value_t = Scale::Rank)]
    scaling: Scale,
    /// Start the critic at a constant, not at the best one for a Gaussian copula
    #[arg(long)]
    no_gaussian_start: bool,
    /// Most training steps [default: 2000]
    #[arg(long)]
    steps: Option<usize>,
    /// Joint examples in a batch [default: 512]
    #[arg(long)]
    batch_size: Option<usize>,
    /// Largest learning rate [default: 0.005]
    #[arg(long)]
    lr: Option<f64>,
    /// MINE's moving average of the product term: the weight of the newest batch; 1 is the plain gradient
    /// [default: 0.01 for mine, 1 for tcne]
    #[arg(long, value_name = "RATE")]
    moving_average: Option<f64>,
    /// Where smile clips
    #[arg(long, default_value_t = 5.0)]
    tau: f64,
    /// Nearest neighbours of ksg
    #[arg(long, default_value_t = 3)]
    neighbours: usize,
    /// Threads; they never change results [default: all cores]
    #[arg(long)]
    threads: Option<usize>,
    /// Go ahead even if it is to take more than a day
    #[arg(long)]
    long: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Critic {
    /// A network on all variables side by side, and a quadratic form
    Concat,
    /// Inner products of one network per variable
    Separable,
    /// x^T W y of two variables
    Bilinear,
    /// A mixture of products of one network per variable
    Latent,
}

#[derive(Clone, Copy, ValueEnum)]
enum Scale {
    /// Ranks, as normal quantiles
    Rank,
    /// Mean 0 and variance 1
    Zscore,
}

/// What the estimator's name asks for.
#[derive(Clone, Copy, PartialEq)]
enum Method {
    Fit(Estimator),
    Parts(Joining),
    Ksg,
    Gaussian,
}

/// Above so many seconds on all threads, what is planned is said first.
const WORTH_SAYING: f64 = 20.0;

/// Above so many, it has to be insisted on: a day.
const TOO_LONG: f64 = 86_400.0;

impl Estimate {
    /// Reads the variables, estimates, and prints.
    pub fn run(self) -> anyhow::Result<()> {
        set_threads(self.threads)?;
        let method = self.method()?;
        let config = self.config(method)?;
        let mut arrays = Vec::new();
        for path in &self.files {
            let of_file = read_arrays(path).map_err(Error::from)?;
            arrays.extend(of_file.into_iter().map(|array| FileArray { path: path.clone(), array }));
        }
        let variables = Variables {
            wanted: self.variables.as_deref(),
            classes: &self.classes,
            numbers: &self.numbers,
        };
        let members = variables.members(&arrays)?;
        drop(arrays);
        let names: Vec<String> = members.iter().map(|member| member.name.clone()).collect();
        let outcomes = if self.all_pairs {
            self.pairs(members, method, &config)?
        } else {
            let variables = members.into_iter().map(|member| member.variable);
            let variables = variables.collect::<anyhow::Result<Vec<_>>>()?;
            let sample = Sample::new(variables).map_err(Error::from)?;
            let got = sample.variables().len();
            if let Method::Fit(fitted) = method
                && fitted.needs_two_variables()
                && got != 2
            {
                let estimator = fitted.name();
                let error = tcmax_estimators::Error::NeedsTwoVariables { estimator, got };
                return Err(Error::from(error).into());
            }
            let cost = self.cost(&sample, method, &config);
            self.announce(cost, "")?;
            let progress = Progress::new(cost.steps);
            let outcome = self.outcome(&sample, method, &config, &progress);
            progress.finish();
            vec![outcome?]
        };
        if let Some(path) = &self.plot {
            let Some(svg) = curve::svg(&outcomes, self.unit) else {
                let problem = "there is no curve to draw: nothing was trained";
                return Err(Error::setting("--plot", problem).into());
            };
            write_whole(path, svg.as_bytes())?;
            say(&format!("wrote {}", path.display()));
        }
        print(&if self.json {
            output::json(&outcomes, self.unit, self.all_pairs)?
        } else if self.all_pairs {
            output::matrix(&names, &outcomes, self.unit)
        } else {
            outcomes.iter().map(|outcome| outcome.text(self.unit)).collect::<String>()
        })
    }

    /// Every pair's outcome, in the order (0, 1), (0, 2), ..., (1, 2), ...; what cannot be estimated is
    /// refused with its reason, and an error only if that is everything.
    fn pairs(
        &self,
        members: Vec<Member>,
        method: Method,
        config: &CheckedConfig,
    ) -> anyhow::Result<Vec<Outcome>> {
        let pairs = members.iter().enumerate();
        let pairs = pairs.flat_map(|(i, a)| members[i + 1..].iter().map(move |b| [a, b]));
        let pairs: Vec<[&Member; 2]> = pairs.collect();
        let sample_of = |[a, b]: &[&Member; 2]| -> anyhow::Result<Sample> {
            match (&a.variable, &b.variable) {
                (Ok(a), Ok(b)) => Ok(Sample::new(vec![a.clone(), b.clone()]).map_err(Error::from)?),
                (Err(refusal), _) | (_, Err(refusal)) => Err(anyhow::anyhow!("{refusal:#}")),
            }
        };
        let cost = |[a, b]: &[&Member; 2]| {
            let pair = [a.variable.as_ref().ok()?, b.variable.as_ref().ok()?];
            Some(Cost::of(&pair, method, config.config(), self.seeds))
        };
        let cost = pairs.iter().filter_map(cost).fold(Cost::default(), Cost::and);
        self.announce(cost, &format!("{} pairs: ", pairs.len()))?;
        let progress = Progress::new(cost.steps);
        let of_pair = |pair: &[&Member; 2]| {
            let outcome = sample_of(pair)
                .and_then(|sample| self.outcome(&sample, method, config, &progress))
                .unwrap_or_else(|refusal| {
                    let names = pair.map(|member| member.name.as_str());
                    Outcome::refused(&names, &self.estimator, format!("{refusal:#}"))
                });
            match self.json || self.plot.is_some() {
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
                member.variable?;
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

    fn cost(&self, sample: &Sample, method: Method, config: &CheckedConfig) -> Cost {
        let variables: Vec<&Variable> = sample.variables().iter().collect();
        Cost::of(&variables, method, config.config(), self.seeds)
    }

    /// Says what long work is going to cost, and refuses what takes more than a day.
    fn announce(&self, cost: Cost, what: &str) -> anyhow::Result<()> {
        let threads = rayon::current_num_threads();
        let seconds = cost.seconds / (cost.fits.max(1) as f64).min(threads as f64);
        let plan = match cost.fits {
            0 => format!("{what}about {}", duration(seconds)),
            fits => format!("{what}{fits} fits, about {} at most", duration(seconds)),
        };
        if seconds > TOO_LONG && !self.long {
            let problem = format!(
                "{plan}, on {threads} threads; name fewer variables, use --estimator gaussian or ksg, \
                 fewer --seeds or --steps, or insist with --long"
            );
            return Err(Error::setting("estimate", problem).into());
        }
        if seconds > WORTH_SAYING {
            say(&format!("{plan}, on {threads} threads"));
        }
        Ok(())
    }

    fn method(&self) -> anyhow::Result<Method> {
        Ok(match self.estimator.as_str() {
            "line" => Method::Parts(Joining::Line),
            "tree" => Method::Parts(Joining::Tree),
            "ksg" => Method::Ksg,
            "gaussian" => Method::Gaussian,
            "smile" => Method::Fit(Estimator::Smile { tau: self.tau }),
            name => Method::Fit(name.parse().map_err(|_| {
                let names = Estimator::NAMES.join(", ");
                let problem =
                    format!("no estimator '{name}'; choose {names}, line, tree, ksg or gaussian");
                Error::setting("--estimator", problem)
            })?),
        })
    }

    fn config(&self, method: Method) -> anyhow::Result<CheckedConfig> {
        if !(1..=1000).contains(&self.seeds) {
            return Err(Error::setting("--seeds", "must be 1 to 1000").into());
        }
        if self.neighbours == 0 {
            return Err(Error::setting("--neighbours", "must be at least 1").into());
        }
        let default = FitConfig::default();
        let config = FitConfig {
            estimator: match method {
                Method::Fit(estimator) => estimator,
                _ => Estimator::Tcne,
            },
            critic: match self.critic {
                Critic::Concat => CriticKind::Concat,
                Critic::Separable => CriticKind::Separable,
                Critic::Bilinear => CriticKind::Bilinear,
                Critic::Latent => CriticKind::Latent,
            },
            scaling: match self.scaling {
                Scale::Rank => Scaling::RankGaussian,
                Scale::Zscore => Scaling::ZScore,
            },
            gaussian_start: !self.no_gaussian_start,
            steps: self.steps.unwrap_or(default.steps),
            batch_size: self.batch_size.unwrap_or(default.batch_size),
            learning_rate: self.lr.unwrap_or(default.learning_rate),
            moving_average: self.moving_average,
            ..default
        };
        Ok(config.check().map_err(Error::from)?)
    }

    fn outcome(
        &self,
        sample: &Sample,
        method: Method,
        config: &CheckedConfig,
        progress: &Progress,
    ) -> anyhow::Result<Outcome> {
        let start = Instant::now();
        let mut outcome = Outcome::new(sample, &self.estimator);
        outcome.set_relation(Relation::find(sample));
        if outcome.value.is_infinite() {
            progress.add(self.cost(sample, method, config).steps);
        } else {
            self.estimate(sample, method, config, progress, &mut outcome)
                .map_err(|error| anyhow::Error::from(error).context(outcome.quantity()))?;
        }
        outcome.seconds = start.elapsed().as_secs_f64();
        Ok(outcome)
    }

    fn estimate(
        &self,
        sample: &Sample,
        method: Method,
        config: &CheckedConfig,
        progress: &Progress,
        outcome: &mut Outcome,
    ) -> Result<(), Error> {
        let seeds: Vec<Seed> = (0..self.seeds).map(Seed::new).collect();
        match method {
            Method::Ksg => {
                let config = KsgConfig { neighbours: self.neighbours, ..KsgConfig::default() };
                outcome.set_neighbours(nearest_neighbours(sample, config)?);
                progress.add(1);
            }
            Method::Gaussian => {
                outcome.value = Gaussian::information_of(sample)?;
                progress.add(1);
            }
            Method::Fit(estimator) => {
                // In parallel, but collected in the order of the seeds.
                let fit = |&seed: &Seed| fit_observed(sample, config, seed, &progress.of_fit());
                let fits = seeds.par_iter().map(fit).collect::<Result<Vec<_>, _>>()?;
                outcome.set_estimate(Fitted::new(fits)?, estimator.is_lower_bound());
                outcome.compare(Comparison::of(sample, Seed::new(0)));
            }
            Method::Parts(path) => {
                let parts = |&seed: &Seed| {
                    decompose_observed(sample, path, config, seed, &progress.of_fit())
                };
                let all = seeds.par_iter().map(parts).collect::<Result<Vec<_>, _>>()?;
                outcome.set_parts(all);
                outcome.compare(Comparison::of(sample, Seed::new(0)));
            }
        }
        Ok(())
    }
}
