//! `tcmax estimate`.

mod curve;
mod flags;
mod list;
mod measure;
mod missing;
mod outcome;
mod output;
mod pointwise;
mod progress;
mod significance;
mod variables;
mod work;

use std::path::PathBuf;

use clap::Args;
use tcmax_data::arrays::read_arrays;
use tcmax_estimators::fit::{CheckedConfig, Wanted};
use tcmax_estimators::{EstimatorKind, EstimatorSpec};
use tcmax_registry::Catalogue;
use tcmax_train::checkpoint::write_whole;
use tcmax_train::{Error, check_seeds};

use super::print;
use super::train::set_threads;
use crate::progress::say;
use flags::{AskFlags, EstimatorFlags, FitFlags, OutputFlags, RunFlags, VariableFlags};
use missing::Complete;
use outcome::Outcome;
use progress::Progress;
use variables::{FileArray, Known, Member, Variables};
use work::Work;

/// Options of `tcmax estimate`.
#[derive(Args)]
#[command(
    after_help = "Variables: a name is an array of the file, or all columns NAME0, NAME1, ... (NAME_0, \
                  NAME_1, ...) of a table; NAME[2] and NAME[0:3] are some of an array's columns, and A+B is \
                  both side by side. In files of one array, and in tables, 2 and 0:3 are columns. Whole \
                  numbers of few distinct values, and words, count as classes.\n\nWhat the numbers mean: \
                  most estimators that fit critics give lower bounds (see `--list`), so the truth is *at \
                  least* the estimate, which is that of examples that neither trained nor stopped the \
                  critic. The interval (95 %) reaches from there up to the bound on training examples; the \
                  best guess is midway, and of two columns of numbers what nearest \
                  neighbours show, up to which the interval reaches, too. The truth lies above the interval where no \
                  such critic is right, \
                  as it may where information is high. Beside a fit ksg and the Gaussian \
                  copula are computed too, and a warning says where one of them lies above the interval. \
                  Where one variable determines another the information is infinite (or the entropy of \
                  classes), which is reported without a fit.\n\nMeasures of three variables or \
                  more are sums and differences of mutual informations of groups of them, each with the \
                  estimator chosen. A difference of lower bounds is no bound. --permutations N says with what \
                  probability independent variables show as much; --all-pairs corrects for the number of \
                  pairs. --pointwise has one value per row of log p(a, b) / (p(a) p(b)), the mean of which is \
                  the estimate.\n\nmine is tcne on two variables, trained with \
                  the moving average of its paper: the same bound, nearly the same numbers.\n\nExamples:\n  \
                  tcmax estimate --list\n  tcmax estimate data.npz --variables a,b,y\n  tcmax estimate \
                  table.csv --all-pairs --unit bits\n  tcmax estimate xy.npy --variables 0:3,3:6 \
                  --estimator mine --plot curve.svg\n  tcmax estimate x.npy y.npy --estimator ksg --set \
                  neighbours=5\n  tcmax estimate table.csv --variables a,b --given c --estimator ksg\n  tcmax \
                  estimate table.csv --variables a,b,y --measure pid\n  tcmax estimate table.csv --all-pairs \
                  --estimator ksg --permutations 999 --missing pairwise"
)]
pub struct Estimate {
    /// Files with the variables: safetensors, npy, npz, CSV or TSV; rows belong together
    #[arg(required_unless_present = "list")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    variables: VariableFlags,
    #[command(flatten)]
    ask: AskFlags,
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
        let measure = self.ask.measure()?;
        self.check_asked(&config, measure.is_some())?;
        let wanted = Wanted {
            permutations: self.ask.permutations.unwrap_or(0),
            pointwise: self.ask.pointwise.is_some(),
        };
        let work = Work {
            config: &config,
            seeds: &self.estimator.seeds,
            long: self.run.long,
            wanted,
            retrain: self.ask.retrain,
        };
        let arrays = self.arrays()?;
        let variables = Variables {
            wanted: self.variables.variables.as_deref(),
            classes: &self.variables.classes,
            numbers: &self.variables.numbers,
            given: &self.ask.given,
            missing: self.variables.missing,
        };
        let members = variables.members(&arrays)?;
        drop(arrays);
        if self.variables.all_pairs {
            let names: Vec<String> = members.iter().map(|member| member.name.clone()).collect();
            let keep_fits = self.output.json || self.output.plot.is_some();
            let mut outcomes = work.pairs(members, keep_fits)?;
            significance::correct(&mut outcomes);
            return self.print(&names, &outcomes);
        }
        let complete = together(members)?;
        if let Some(asked) = measure {
            let given = self.ask.given.len();
            return print(&measure::run(asked, &complete, given, &work, &self.output)?);
        }
        config.config().estimator.check(complete.sample.variables().len()).map_err(Error::from)?;
        let cost = work.cost(&complete.sample);
        work.announce(cost, "")?;
        let progress = Progress::new(cost.steps);
        let outcome = work.outcome(&complete.sample, &progress);
        progress.finish();
        let outcome = Outcome { left_out: complete.left_out, ..outcome? };
        if let Some(path) = &self.ask.pointwise {
            pointwise::write(path, &outcome, complete.rows.as_deref(), self.output.unit)?;
        }
        self.print(&[], &[outcome])
    }

    /// Refuses what cannot be asked together.
    fn check_asked(&self, config: &CheckedConfig, other_measure: bool) -> anyhow::Result<()> {
        let refuse = |setting: &str, problem: &str| Err(Error::setting(setting, problem).into());
        let (all_pairs, permutations) = (self.variables.all_pairs, self.ask.permutations);
        let trains = !matches!(config.config().estimator.kind, EstimatorKind::Direct(_));
        match () {
            () if all_pairs && other_measure => {
                refuse("--measure", "--all-pairs estimates mutual informations only")
            }
            () if all_pairs && self.ask.pointwise.is_some() => {
                refuse("--pointwise", "--all-pairs has no values of rows; name two --variables")
            }
            () if permutations == Some(0) => {
                refuse("--permutations", "at least 1 is needed, and 19 for a level of 0.05")
            }
            () if other_measure && permutations.is_some() => refuse(
                "--permutations",
                "permuting rows tests independence, which is what mutual information and total correlation \
                 measure; other measures can differ from 0 without it",
            ),
            () if other_measure && self.ask.pointwise.is_some() => refuse(
                "--pointwise",
                "only mutual information and total correlation have values of rows",
            ),
            () if other_measure && self.output.plot.is_some() => refuse(
                "--plot",
                "curves are drawn of single estimates, and a measure is a sum of several",
            ),
            () if self.ask.retrain && !trains => {
                refuse("--retrain", "the estimator trains no critic; leave it out")
            }
            () => Ok(()),
        }
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

/// All variables in the rows that have them all, or the first refusal.
fn together(members: Vec<Member>) -> anyhow::Result<Complete> {
    let known = members.into_iter().map(|member| member.known);
    let known = known.collect::<anyhow::Result<Vec<Known>>>()?;
    Complete::of(&known.iter().collect::<Vec<_>>())
}
