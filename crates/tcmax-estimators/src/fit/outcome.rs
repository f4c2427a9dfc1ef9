//! What one fit returns.

use serde::Serialize;

/// One validation during training, nats.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct CurvePoint {
    /// Steps made.
    pub step: usize,
    /// Mean of the objective over the batches since the last validation; none at step 0.
    pub training: Option<f64>,
    /// The reported quantity on the validation split.
    pub validation: f64,
}

/// Where training set out from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Start {
    /// The constant critic.
    Constant,
    /// The critic of a Gaussian copula.
    GaussianCopula,
    /// Random weights.
    Random,
}

/// What casts doubt on a value.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "warning")]
pub enum Warning {
    /// The value is near the highest that so many held-out examples can show.
    AtCap {
        /// The cap, nats.
        cap: f64,
    },
    /// The kept critic fits the training split much better than the test split.
    Overfit {
        /// The bound on the training split, nats.
        training: f64,
        /// The bound on the test split, nats.
        held_out: f64,
    },
    /// A handful of held-out examples carries the mean of exp T.
    FewEffectiveExamples {
        /// About how many.
        examples: f64,
    },
    /// The value is high for so few examples, where bounds fall short of the truth.
    HighInformation {
        /// The cap, nats.
        cap: f64,
    },
    /// A variable has more classes than the critic can distinguish.
    MergedClasses {
        /// The variable's name.
        variable: String,
        /// Its number of classes.
        classes: usize,
        /// The fraction of the rows whose classes count as one.
        share: f64,
    },
    /// The estimator may lie above the truth.
    NotALowerBound,
    /// Training still made progress when it ended.
    NotConverged,
}

impl Warning {
    /// One sentence on what is wrong and what would help.
    pub fn message(&self) -> String {
        match self {
            Self::AtCap { cap } => format!(
                "at its cap: with so many held-out examples hardly a value above {cap:.2} nats can be \
                 shown, so the truth may be higher without limit; more examples raise the cap"
            ),
            Self::HighInformation { cap } => format!(
                "the value is high for so many held-out examples (the cap is {cap:.2} nats): bounds fall \
                 short here, by a nat or more, and the truth may lie well above the interval"
            ),
            Self::MergedClasses { variable, classes, share } => format!(
                "'{variable}' has {classes} classes; the most frequent have a column each, and those \
                 of {:.0} % of the rows share one: the information that they alone carry is not counted",
                100.0 * share
            ),
            Self::Overfit { training, held_out } => format!(
                "the critic overfits: {training:.3} nats on its training split, {held_out:.3} on held-out \
                 data; the truth is probably higher than the estimate, and more examples would show it"
            ),
            Self::FewEffectiveExamples { examples } => format!(
                "about {examples:.0} held-out examples carry the product term: the value is noisy, may \
                 lie above the truth, and its interval is too short; more examples would help"
            ),
            Self::NotALowerBound => {
                "this estimator is not a lower bound and may lie above the truth".to_owned()
            }
            Self::NotConverged => {
                "the bound was still rising when training ended; the truth may be \
                                   higher, and more steps would show it"
                    .to_owned()
            }
        }
    }
}

/// One fit.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Fit {
    /// The estimate: the bound on the test split, or 0 where that is negative, nats.
    pub value: f64,
    /// The bound on the test split itself, nats.
    pub held_out: f64,
    /// Bootstrap standard deviation of [`Fit::held_out`] over the test examples, nats.
    pub standard_error: f64,
    /// The bound on as many examples of the training split, nats: what the critic has learned and what it has only
    /// memorised.
    pub training: f64,
    /// About the most that the test split can show, nats. For InfoNCE exact: the logarithm of the
    /// block size, which no scores exceed. For all others a rule of thumb, the smaller of two numbers:
    /// (n - 1) log N of N test examples of n variables, since no lower bound that holds with confidence
    /// for every distribution can exceed about log N (McAllester and Stratos 2020); and log K of the K
    /// product tuples of the validation split, where scores are cut off (see the [module](super)).
    pub cap: f64,
    /// Where training set out from.
    pub start: Start,
    /// The step whose critic was kept.
    pub best_step: usize,
    /// Validations in order.
    pub curve: Vec<CurvePoint>,
    /// Examples that trained, validated and tested.
    pub examples: [usize; 3],
    /// What casts doubt on the value.
    pub warnings: Vec<Warning>,
}

impl Fit {
    /// One fit of several that tested on different examples: the mean of their values, weighted by how many these are;
    /// curve, start and kept step are the first one's. None of none.
    pub(super) fn of_folds(fits: Vec<Self>) -> Option<Self> {
        let total: usize = fits.iter().map(|fit| fit.examples[2]).sum();
        let share = |fit: &Self| fit.examples[2] as f64 / total as f64;
        let held_out: f64 = fits.iter().map(|fit| share(fit) * fit.held_out).sum();
        let training: f64 = fits.iter().map(|fit| share(fit) * fit.training).sum();
        let variance: f64 = fits.iter().map(|fit| (share(fit) * fit.standard_error).powi(2)).sum();
        let cap = fits.iter().map(|fit| fit.cap).fold(f64::INFINITY, f64::min);
        let merge = |mut one: Self, other: Self| {
            for warning in other.warnings {
                let kind = std::mem::discriminant(&warning);
                if one.warnings.iter().all(|known| std::mem::discriminant(known) != kind) {
                    one.warnings.push(warning);
                }
            }
            one
        };
        let first = fits.into_iter().reduce(merge)?;
        let examples = [first.examples[0], first.examples[1], total];
        let (value, standard_error) = (held_out.max(0.0), variance.sqrt());
        Some(Self { value, held_out, standard_error, training, cap, examples, ..first })
    }

    /// 95% interval of the truth, each end at least 0, nats: from the held-out bound less 1.96 standard errors to the
    /// bound on the training split, or the held-out one if that is higher, and 1.96 standard errors.
    ///
    /// A critic that was fitted to n examples falls short of the best one on others by about as much as it exceeds it
    /// on its own, as a maximum of likelihood does (Akaike 1974). So the truth of the best critic lies between the
    /// two. Where no critic of the kind is right, the truth may lie above all of it. Of single fits with a perfect
    /// critic, one in forty lies above the truth by more than 1.96 standard errors: sampling, not a bug.
    pub fn interval(&self) -> [f64; 2] {
        interval([self.held_out, self.training], self.standard_error)
    }
}

/// 95%, from the bound on the test split to that on the training split, each end at least 0.
pub(crate) fn interval([held_out, training]: [f64; 2], standard_error: f64) -> [f64; 2] {
    let margin = 1.96 * standard_error;
    [held_out - margin, held_out.max(training) + margin].map(|end| end.max(0.0))
}

/// The fraction of the cap beyond which bounds are known to fall short: of 10,000 examples of two variables, of
/// which 3,000 are held out, above 3.2 nats.
const HIGH: f64 = 0.4;

/// The warnings that a held-out value deserves.
pub(super) fn warnings(
    lower_bound: bool,
    held_out: f64,
    standard_error: f64,
    training: f64,
    cap: f64,
    effective_examples: f64,
) -> Vec<Warning> {
    let mut warnings = Vec::new();
    if !lower_bound {
        warnings.push(Warning::NotALowerBound);
    }
    if held_out > 0.9 * cap {
        warnings.push(Warning::AtCap { cap });
    } else if held_out > HIGH * cap {
        warnings.push(Warning::HighInformation { cap });
    }
    let gap = training - held_out;
    if gap > (0.1 * training).max(0.05) + 3.0 * standard_error {
        warnings.push(Warning::Overfit { training, held_out });
    }
    if effective_examples < 30.0 {
        warnings.push(Warning::FewEffectiveExamples { examples: effective_examples });
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_doubt_has_its_warning_and_sound_fits_have_none() {
        let of = |held_out, training, effective| {
            warnings(true, held_out, 0.02, training, 8.0, effective)
        };
        assert_eq!(of(1.0, 1.1, 500.0), []);
        assert_eq!(of(7.5, 7.5, 500.0), [Warning::AtCap { cap: 8.0 }]);
        let high = Warning::HighInformation { cap: 8.0 };
        assert_eq!(of(3.5, 3.5, 500.0), [high]);
        let overfit = Warning::Overfit { training: 1.3, held_out: 1.0 };
        assert_eq!(of(1.0, 1.3, 500.0), [overfit]);
        let few = Warning::FewEffectiveExamples { examples: 5.0 };
        assert_eq!(of(1.0, 1.0, 5.0), [few]);
        let no_bound = warnings(false, 1.0, 0.02, 1.0, 8.0, 500.0);
        assert_eq!(no_bound, [Warning::NotALowerBound]);
    }
}
