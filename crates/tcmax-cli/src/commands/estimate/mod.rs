//! `tcmax estimate`.

mod curve;
mod flags;
mod list;
mod outcome;
mod output;
mod progress;
mod variables;
mod work;

use std::path::PathBuf;

use clap::Args;
use tcmax_data::arrays::read_arrays;
use tcmax_estimators::{EstimatorSpec, Sample};
use tcmax_registry::Catalogue;
use tcmax_train::checkpoint::write_whole;
use tcmax_train::{Error, check_seeds};

use super::print;
use super::train::set_threads;
use crate::progress::say;
use flags::{EstimatorFlags, FitFlags, OutputFlags, RunFlags, VariableFlags};
use outcome::Outcome;
use progress::Progress;
use variables::{FileArray, Variables};
use work::Work;

/// Options of `tcmax estimate`.
#[derive(Args)]
#[command(
    after_help = "Variables: a name is an array of the file, or all columns NAME0, NAME1, ... (NAME_0, \
                  NAME_1, ...) of a table; NAME[2] and NAME[0:3] are some of an array's columns, and A+B is \
                  both side by side. In files of one array, and in tables, 2 and 0:3 are columns. Whole \
                  numbers of few distinct values, and words, count as classes.\n\nWhat the numbers mean: \
                  most estimators that fit critics give lower bounds (see `--list`), so the truth is *at \
                  least* the estimate, and the interval (95 %, from examples that neither trained nor \
                  stopped the critic) is that of the bound. The truth lies above it wherever the critic \
                  falls short, as it does where information is high. Beside a fit ksg and the Gaussian \
                  copula are computed too, and a warning says where one of them lies above the interval. \
                  Where one variable determines another the information is infinite (or the entropy of \
                  classes), which is reported without a fit.\n\nmine is tcne on two variables, trained with \
                  the moving average of its paper: the same bound, nearly the same numbers.\n\nExamples:\n  \
                  tcmax estimate --list\n  tcmax estimate data.npz --variables a,b,y\n  tcmax estimate \
                  table.csv --all-pairs --unit bits\n  tcmax estimate xy.npy --variables 0:3,3:6 \
                  --estimator mine --plot curve.svg\n  tcmax estimate x.npy y.npy --estimator ksg --set \
                  neighbours=5"
)]
pub struct Estimate {
    /// Files with the variables: safetensors, npy, npz, CSV or TSV; rows belong together
    #[arg(required_unless_present = "list")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    variables: VariableFlags,
    #[command(flatten)]
    estimator: EstimatorFlags,
    #[command(flatten)]
    fit: FitFlags,
    #[command(flatten)]
    output: OutputFlags,
    #[command(flatten)]
    run: RunFlags,
}

impl Estimate {
    /// Reads the variables, estimates by one of the estimators, and prints.
    pub fn run(self, estimators: &Catalogue<EstimatorSpec>) -> anyhow::Result<()> {
        if self.estimator.list {
            return print(&list::list(estimators));
        }
        set_threads(self.run.threads)?;
        check_seeds(&self.estimator.seeds)?;
        let config = self.fit.config(&self.estimator, estimators)?;
        let work = Work { config: &config, seeds: &self.estimator.seeds, long: self.run.long };
        let arrays = self.arrays()?;
        let variables = Variables {
            wanted: self.variables.variables.as_deref(),
            classes: &self.variables.classes,
            numbers: &self.variables.numbers,
        };
        let members = variables.members(&arrays)?;
        drop(arrays);
        let names: Vec<String> = members.iter().map(|member| member.name.clone()).collect();
        let outcomes = if self.variables.all_pairs {
            let keep_fits = self.output.json || self.output.plot.is_some();
            work.pairs(members, keep_fits)?
        } else {
            let variables = members.into_iter().map(|member| member.variable);
            let variables = variables.collect::<anyhow::Result<Vec<_>>>()?;
            let sample = Sample::new(variables).map_err(Error::from)?;
            config.config().estimator.check(sample.variables().len()).map_err(Error::from)?;
            let cost = work.cost(&sample);
            work.announce(cost, "")?;
            let progress = Progress::new(cost.steps);
            let outcome = work.outcome(&sample, &progress);
            progress.finish();
            vec![outcome?]
        };
        self.print(&names, &outcomes)
    }

    fn arrays(&self) -> anyhow::Result<Vec<FileArray>> {
        let mut arrays = Vec::new();
        for path in &self.files {
            let of_file = read_arrays(path).map_err(Error::from)?;
            arrays.extend(of_file.into_iter().map(|array| FileArray { path: path.clone(), array }));
        }
        Ok(arrays)
    }

    /// Writes the plot and prints the outcomes.
    fn print(&self, names: &[String], outcomes: &[Outcome]) -> anyhow::Result<()> {
        let unit = self.output.unit;
        if let Some(path) = &self.output.plot {
            let Some(svg) = curve::svg(outcomes, unit) else {
                let problem = "there is no curve to draw: nothing was trained";
                return Err(Error::setting("--plot", problem).into());
            };
            write_whole(path, svg.as_bytes())?;
            say(&format!("wrote {}", path.display()));
        }
        print(&if self.output.json {
            output::json(outcomes, unit, self.variables.all_pairs)?
        } else if self.variables.all_pairs {
            output::matrix(names, outcomes, unit)
        } else {
            outcomes.iter().map(|outcome| outcome.text(unit)).collect::<String>()
        })
    }
}
