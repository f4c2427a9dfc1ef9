//! Settings of a fit, checked once.

use tcmax_registry::Table;

use crate::bound::mine::DonskerVaradhan;
use crate::bound::objective::Objective;
use crate::bound::tcne::TCNE;
use crate::error::{Error, Result};
use crate::sample::column::Scaling;
use crate::sample::numbers::Numbers;
use crate::sample::{Variable, VariableKind};
use crate::spec::{EstimatorKind, EstimatorSpec};

/// The form of the critic that is fitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CriticKind {
    /// [`crate::critic::ConcatCritic`] with a quadratic form.
    Concat,
    /// [`crate::critic::SeparableCritic`].
    Separable,
    /// [`crate::critic::BilinearCritic`], for two variables.
    Bilinear,
    /// [`crate::critic::LatentCritic`] of an additive critic.
    Latent,
}

/// An estimator and how its critics are fitted; the defaults are meant to be left alone.
#[derive(Clone, Debug, PartialEq)]
pub struct FitConfig {
    /// The estimator.
    pub estimator: &'static EstimatorSpec,
    /// Its options; what is not there has its default.
    pub options: Table,
    /// The form of the critic.
    pub critic: CriticKind,
    /// Widths of the critic's hidden layers.
    pub hidden: Vec<usize>,
    /// Outputs per variable of separable critics, classes of latent ones.
    pub embedding: usize,
    /// Start concatenating critics at the best one for a Gaussian copula where that helps.
    pub gaussian_start: bool,
    /// How continuous variables are scaled.
    pub scaling: Scaling,
    /// Show critics the norms of every variable of several columns of numbers, as more columns: of the data, and of
    /// ranks brought to the normal law and to laws of heavier tails. They tell nothing new, but where variables share
    /// their scale (heavy tails), networks find it late. Where the validation split says so, products of columns and
    /// norm come in, too: directions may turn with the norm (spirals).
    pub norms: bool,
    /// Most indicator columns of a categorical variable: where there are more classes, the most frequent
    /// of the training split have a column each and all others share one, which keeps lower bounds valid
    /// and limits time and memory.
    pub most_classes: usize,
    /// Fractions of the examples in the validation and the test split, but of many no more than 20,000 and
    /// 100,000: more would take time and hardly narrow the interval. The rest trains.
    pub held_out: [f64; 2],
    /// Critics, each with a part of the examples as its test split, so that together they test on all: in place of the
    /// test fraction above. 1 trains a single critic.
    pub folds: usize,
    /// Joint examples in a batch.
    pub batch_size: usize,
    /// Permutations of each batch that make its product tuples.
    pub permutations: usize,
    /// Steps at most.
    pub steps: usize,
    /// Steps between validations.
    pub validate_every: usize,
    /// Validations without a new best before training stops.
    pub patience: usize,
    /// Largest learning rate of Adam; it falls to a tenth along a cosine.
    pub learning_rate: f64,
    /// Product tuples the held-out value is taken over, at least.
    pub evaluation_tuples: usize,
    /// Bootstrap replicates.
    pub bootstrap: usize,
}

impl Default for FitConfig {
    fn default() -> Self {
        Self {
            estimator: &TCNE,
            options: Table::new(),
            critic: CriticKind::Concat,
            hidden: vec![64, 64],
            embedding: 32,
            gaussian_start: true,
            scaling: Scaling::RankGaussian,
            norms: true,
            most_classes: 128,
            held_out: [0.15, 0.3],
            folds: 1,
            batch_size: 512,
            permutations: 4,
            steps: 2000,
            validate_every: 50,
            patience: 20,
            learning_rate: 5e-3,
            evaluation_tuples: 200_000,
            bootstrap: 200,
        }
    }
}

/// Settings that can run.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckedConfig(FitConfig);

impl CheckedConfig {
    /// The settings.
    pub fn config(&self) -> &FitConfig {
        &self.0
    }

    /// What a fit maximises: of a sum of mutual informations, each of these.
    ///
    /// # Errors
    /// When the estimator trains no critic.
    pub(super) fn objective(&self) -> Result<Box<dyn Objective>> {
        let FitConfig { estimator, options, .. } = &self.0;
        match estimator.kind {
            EstimatorKind::Critic(make) => make(options),
            EstimatorKind::Sum(_) => Ok(Box::new(DonskerVaradhan::plain())),
            EstimatorKind::Direct(_) => {
                let problem =
                    format!("'{estimator}' trains no critic, and none can be fitted for it");
                Err(Error::Setting { field: "estimator", problem })
            }
        }
    }
}

impl FitConfig {
    /// How many columns a critic sees of a variable, unless products of them with its norm help.
    pub fn columns_of(&self, variable: &Variable) -> usize {
        let numbers = variable.width();
        match (variable.kind(), variable.classes()) {
            (VariableKind::Categorical, Some(classes)) => classes.min(self.most_classes),
            _ => Numbers::width_of(self.scaling, self.norms, numbers),
        }
    }

    /// Checks every setting.
    ///
    /// # Errors
    /// When one is out of range.
    pub fn check(self) -> Result<CheckedConfig> {
        let refuse = |field, problem: String| Err(Error::Setting { field, problem });
        let positive = [
            ("embedding", self.embedding),
            ("folds", self.folds),
            ("batch size", self.batch_size),
            ("permutations", self.permutations),
            ("validate every", self.validate_every),
            ("evaluation tuples", self.evaluation_tuples),
        ];
        if let Some((field, _)) = positive.into_iter().find(|(_, value)| *value == 0) {
            return refuse(field, "must be at least 1".to_owned());
        }
        if self.most_classes < 2 {
            let problem = format!("at least 2 are needed; got {}", self.most_classes);
            return refuse("most classes", problem);
        }
        if self.hidden.contains(&0) {
            return refuse("hidden", "every layer needs at least 1 unit".to_owned());
        }
        if self.bootstrap < 20 {
            return refuse("bootstrap", format!("at least 20 are needed; got {}", self.bootstrap));
        }
        if !(self.learning_rate > 0.0 && self.learning_rate.is_finite()) {
            let problem = format!("must be above 0; got {}", self.learning_rate);
            return refuse("learning rate", problem);
        }
        let [validation, test] = self.held_out;
        if !(validation > 0.0 && test > 0.0 && validation + test < 1.0) {
            let problem = format!(
                "validation and test fractions must be above 0 and leave some to train on; got \
                 {validation} and {test}"
            );
            return refuse("held out", problem);
        }
        self.estimator.options.complete(&self.options)?;
        Ok(CheckedConfig(self))
    }
}
