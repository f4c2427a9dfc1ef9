//! `tcmax estimate`.

mod curve;
mod output;
mod variables;

use std::path::PathBuf;
use std::time::Instant;

use clap::{Args, ValueEnum};
use rayon::prelude::*;
use tcmax_data::arrays::read_arrays;
use tcmax_estimators::fit::{
    CheckedConfig, CriticKind, Estimate as Fitted, Estimator, FitConfig, Path as Joining,
    decompose, fit,
};
use tcmax_estimators::{Gaussian, KsgConfig, Sample, Scaling, ksg};
use tcmax_ops::Seed;
use tcmax_train::Error;
use tcmax_train::checkpoint::write_whole;

use super::print;
use super::train::set_threads;
use output::{Outcome, Unit};
use variables::Variables;

/// Options of `tcmax estimate`.
#[derive(Args)]
#[command(
    after_help = "Variables: a name is an array of the file, or all columns NAME0, NAME1, ... (NAME_0, \
                  NAME_1, ...) of a table; NAME[2] and NAME[0:3] are some of an array's columns, and A+B is \
                  both side by side. In files of one array, and in tables, 2 and 0:3 are columns. Whole \
                  numbers of few distinct values, and words, count as classes.\n\nExamples:\n  tcmax \
                  estimate data.npz --variables a,b,y\n  tcmax estimate table.csv --all-pairs --unit \
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
    /// correlation by parts); ksg (nearest neighbours); gaussian (closed form)
    #[arg(long, default_value = "tcne")]
    estimator: String,
    /// How many fits, each with a split and start of its own
    #[arg(long, default_value_t = 3, value_name = "COUNT")]
    seeds: u64,
    /// Unit of what is printed
    #[arg(long, value_enum, default_value_t = Unit::Nats)]
    unit: Unit,
    /// Estimate every pair of variables, and print the matrix
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
    /// MINE's moving average of the product term: the weight of the newest batch
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
}

#[derive(Clone, Copy, ValueEnum)]
enum Critic {
    /// A network on all variables side by side, and a quadratic form
    Concat,
    /// Inner products of a network a variable
    Separable,
    /// x^T W y of two variables
    Bilinear,
    /// A mixture of products of a network a variable
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

impl Estimate {
    /// Reads the variables, estimates, and prints.
    pub fn run(self) -> anyhow::Result<()> {
        set_threads(self.threads)?;
        let method = self.method()?;
        let config = self.config(method)?;
        let mut arrays = Vec::new();
        for file in &self.files {
            arrays.extend(read_arrays(file).map_err(Error::from)?);
        }
        let variables = Variables {
            wanted: self.variables.as_deref(),
            classes: &self.classes,
            numbers: &self.numbers,
        };
        let sample = variables.sample(&arrays)?;
        let outcomes = if self.all_pairs {
            let count = sample.variables().len();
            let pairs = (0..count).flat_map(|i| (i + 1..count).map(move |j| [i, j]));
            let pairs: Vec<[usize; 2]> = pairs.collect();
            let of_pair = |pair: &[usize; 2]| {
                let sample = sample.grouped(&[&pair[..1], &pair[1..]]).map_err(Error::from)?;
                self.outcome(&sample, method, &config)
            };
            pairs.iter().map(of_pair).collect::<anyhow::Result<Vec<_>>>()?
        } else {
            vec![self.outcome(&sample, method, &config)?]
        };
        if let Some(path) = &self.plot {
            let Some(svg) = curve::svg(&outcomes, self.unit) else {
                let problem = "this estimator trains nothing; there is no curve to draw";
                return Err(Error::setting("--plot", problem).into());
            };
            write_whole(path, svg.as_bytes())?;
            tcmax_train::say(&format!("wrote {}", path.display()));
        }
        print(&if self.json {
            output::json(&outcomes, self.unit, self.all_pairs)?
        } else if self.all_pairs {
            output::matrix(&sample, &outcomes, self.unit)
        } else {
            outcomes.iter().map(|outcome| outcome.text(self.unit)).collect::<String>()
        })
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
        if self.seeds == 0 {
            return Err(Error::setting("--seeds", "must be at least 1").into());
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
    ) -> anyhow::Result<Outcome> {
        let start = Instant::now();
        let seeds: Vec<Seed> = (0..self.seeds).map(Seed::new).collect();
        let mut outcome = Outcome::new(sample, &self.estimator);
        match method {
            Method::Ksg => {
                let config = KsgConfig { neighbours: self.neighbours };
                outcome.value = ksg(sample, config).map_err(Error::from)?;
            }
            Method::Gaussian => {
                outcome.value = Gaussian::information_of(sample).map_err(Error::from)?;
            }
            Method::Fit(_) => {
                // In parallel, but collected in the order of the seeds.
                let fits = seeds.par_iter().map(|&seed| fit(sample, config, seed));
                let fits = fits.collect::<Result<Vec<_>, _>>().map_err(Error::from)?;
                outcome.set_estimate(Fitted::new(fits).map_err(Error::from)?);
            }
            Method::Parts(path) => {
                let all = seeds.par_iter().map(|&seed| decompose(sample, path, config, seed));
                outcome.set_parts(all.collect::<Result<Vec<_>, _>>().map_err(Error::from)?);
            }
        }
        outcome.seconds = start.elapsed().as_secs_f64();
        Ok(outcome)
    }
}
