//! The flags of `tcmax estimate`, and the settings they make.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use tcmax_estimators::fit::{CheckedConfig, CriticKind, FitConfig};
use tcmax_estimators::{EstimatorSpec, Scaling};
use tcmax_registry::{Catalogue, Table};
use tcmax_train::Error;

use super::outcome::Unit;

/// What to estimate.
#[derive(Args)]
#[command(next_help_heading = "Variables")]
pub(super) struct VariableFlags {
    /// Variables, by name (see below) [default: every array; of a single array, every column]
    #[arg(long, value_delimiter = ',', value_name = "NAME,...")]
    pub(super) variables: Option<Vec<String>>,
    /// Treat these variables as classes
    #[arg(long, value_delimiter = ',', value_name = "NAME,...")]
    pub(super) classes: Vec<String>,
    /// Treat these variables as numbers
    #[arg(long, value_delimiter = ',', value_name = "NAME,...")]
    pub(super) numbers: Vec<String>,
    /// Estimate every pair of variables, and print the matrix; of more than 20 variables, the 100 pairs that
    /// share most. Pairs that cannot be estimated are named, and the others go on
    #[arg(long)]
    pub(super) all_pairs: bool,
    /// What to do with rows that lack a value (an empty cell, NaN, a word such as NA)
    #[arg(long, value_enum, default_value_t = Missing::Refuse)]
    pub(super) missing: Missing,
}

/// What is done with rows that lack a value.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Missing {
    /// The first is an error
    Refuse,
    /// Every estimate has the rows that have a value of all of its variables
    Pairwise,
}

/// What is asked beside an estimate.
#[derive(Args)]
#[command(next_help_heading = "Measures and tests")]
pub(super) struct AskFlags {
    /// Measure of what the variables share [default: total-correlation, which is the mutual information of
    /// two]
    #[arg(long, value_enum)]
    measure: Option<Asked>,
    /// Variables that are known: the conditional measure of the others
    #[arg(long, value_delimiter = ',', value_name = "NAME,...")]
    pub(super) given: Vec<String>,
    /// Permutations of rows for a p value of independence: 19 or more for a level of 0.05, and with
    /// --all-pairs so many times as there are pairs
    #[arg(long, value_name = "N")]
    pub(super) permutations: Option<usize>,
    /// Train a critic for every permutation; otherwise the critic of the first seed judges its permuted
    /// held-out rows
    #[arg(long, requires = "permutations")]
    pub(super) retrain: bool,
    /// Write what every row contributes to the estimate into this CSV file
    #[arg(long, value_name = "FILE")]
    pub(super) pointwise: Option<PathBuf>,
}

/// A measure by its name.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Asked {
    /// All that is shared
    TotalCorrelation,
    /// What two variables or more have in common (dual total correlation)
    Dual,
    /// Total correlation less its dual: below 0 where synergy prevails
    OInformation,
    /// What all variables have in common; of three I(a; b) - I(a; b | c)
    Interaction,
    /// Total correlation given others (--given); of two I(a; b | c)
    Conditional,
    /// Of two sources and a target, in this order: redundant, unique and synergistic parts, by the definition
    /// of Bertschinger et al. (2014), from the counts of classes
    Pid,
    /// The same by I_min of Williams and Beer (2010)
    PidMin,
}

impl AskFlags {
    /// The measure, if it is another than the total correlation of all variables.
    pub(super) fn measure(&self) -> anyhow::Result<Option<Asked>> {
        match (self.measure, self.given.is_empty()) {
            (None, false) => Ok(Some(Asked::Conditional)),
            (None | Some(Asked::TotalCorrelation), true) => Ok(None),
            (Some(Asked::Conditional), true) => {
                let problem = "name the variables that are known with --given";
                Err(Error::setting("--measure conditional", problem).into())
            }
            (Some(Asked::Conditional), false) => Ok(self.measure),
            (Some(_), false) => {
                let problem = "only --measure conditional has variables that are known";
                Err(Error::setting("--given", problem).into())
            }
            (other, true) => Ok(other),
        }
    }
}

/// By what to estimate.
#[derive(Args)]
#[command(next_help_heading = "Estimator")]
pub(super) struct EstimatorFlags {
    /// Estimator, such as tcne or ksg (see --list)
    #[arg(long, default_value = "tcne", value_name = "NAME")]
    pub(super) estimator: String,
    /// Set an option of the estimator, such as tau=3 for smile (see --list)
    #[arg(long = "set", value_name = "OPTION=VALUE")]
    pub(super) options: Vec<String>,
    /// Seeds, each a fit with a split and start of its own
    #[arg(long, value_delimiter = ',', default_value = "0,1,2", value_name = "SEED,...")]
    pub(super) seeds: Vec<u64>,
    /// List the estimators and their options
    #[arg(long)]
    pub(super) list: bool,
}

/// How critics are fitted.
#[derive(Args)]
#[command(next_help_heading = "Fits of critics")]
pub(super) struct FitFlags {
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
}

/// What is printed and written.
#[derive(Args)]
#[command(next_help_heading = "Output")]
pub(super) struct OutputFlags {
    /// Unit of what is printed
    #[arg(long, value_enum, default_value_t = Unit::Nats)]
    pub(super) unit: Unit,
    /// Print the result as JSON, with every fit and its training curve
    #[arg(long)]
    pub(super) json: bool,
    /// Draw the training curves into this SVG file
    #[arg(long, value_name = "FILE")]
    pub(super) plot: Option<PathBuf>,
}

/// How the command runs.
#[derive(Args)]
#[command(next_help_heading = "Run")]
pub(super) struct RunFlags {
    /// Threads; they never change results [default: all cores]
    #[arg(long)]
    pub(super) threads: Option<usize>,
    /// Go ahead even if it is to take more than a day
    #[arg(long)]
    pub(super) long: bool,
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

impl FitFlags {
    /// The settings of the estimator and its fits.
    pub(super) fn config(
        &self,
        chosen: &EstimatorFlags,
        estimators: &Catalogue<EstimatorSpec>,
    ) -> anyhow::Result<CheckedConfig> {
        let estimator = estimators.get(&chosen.estimator).map_err(Error::from)?;
        let default = FitConfig::default();
        let config = FitConfig {
            estimator,
            options: options(estimator, &chosen.options)?,
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
            ..default
        };
        Ok(config.check().map_err(Error::from)?)
    }
}

/// The options of an estimator from texts such as `tau=3`, each checked by itself.
fn options(estimator: &EstimatorSpec, texts: &[String]) -> anyhow::Result<Table> {
    let documented = estimator.options.documentation();
    let names: Vec<&str> = documented.iter().map(|option| option.name.as_str()).collect();
    let mut table = Table::new();
    for text in texts {
        let wrong = |problem: String| Error::setting(format!("--set {text}"), problem);
        let Some((name, value)) = text.split_once('=') else {
            return Err(wrong("give it as OPTION=VALUE, such as tau=3".to_owned()).into());
        };
        let (name, value) = (name.trim(), value.trim());
        if !names.contains(&name) {
            let problem = match names[..] {
                [] => format!("'{estimator}' has no options"),
                _ => format!("'{estimator}' has no option '{name}'; it has {}", names.join(", ")),
            };
            return Err(wrong(problem).into());
        }
        // Words need no quotes; everything else is TOML.
        let parsed: Option<Table> = toml::from_str(&format!("{name} = {value}")).ok();
        let parsed = parsed.unwrap_or_else(|| Table::from_iter([(name.to_owned(), value.into())]));
        table.extend(parsed);
        estimator.options.complete(&table).map_err(|error| wrong(error.to_string()))?;
    }
    Ok(table)
}
