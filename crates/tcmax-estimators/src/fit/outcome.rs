//! What fits return.

use serde::Serialize;

use super::Estimator;
use crate::error::{Error, Result};

/// One validation during training, nats.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct CurvePoint {
    /// Steps made.
    pub step: usize,
    /// Mean of the objective over the batches since the last validation; none at step 0.
    pub training: Option<f64>,
    /// The reported quantity on the validation part.
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
    /// The value is near the most that so many held-out examples can show.
    AtCap {
        /// The cap, nats.
        cap: f64,
    },
    /// The kept critic fits the training part much better than the test part.
    Overfit {
        /// The bound on the training part, nats.
        training: f64,
        /// The bound on the test part, nats.
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
    /// A variable has more classes than the critic tells apart.
    MergedClasses {
        /// The variable's name.
        variable: String,
        /// Its number of classes.
        classes: usize,
        /// The part of the rows whose classes count as one.
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
                "'{variable}' has {classes} classes; the most frequent are told apart, and those of \
                 {:.0} % of the rows count as one: what they share is not seen",
                100.0 * share
            ),
            Self::Overfit { training, held_out } => format!(
                "the critic overfits: {training:.3} nats on its training part, {held_out:.3} on held-out \
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
    /// The estimate: the bound on the test part, or 0 where that is negative, nats.
    pub value: f64,
    /// The bound on the test part itself, nats.
    pub held_out: f64,
    /// Bootstrap standard deviation of [`Fit::held_out`] over the test examples, nats.
    pub standard_error: f64,
    /// About the most that the test part can show, nats. For InfoNCE exact: the logarithm of the
    /// block size, which no scores exceed. For all others a rule of thumb, the smaller of two numbers:
    /// (n - 1) log N of N test examples of n variables, since no lower bound that holds with confidence
    /// for every distribution can exceed about log N (McAllester and Stratos 2020); and log K of the K
    /// product tuples of the validation part, where scores are cut off (see the [module](super)).
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
    /// 95% interval: the held-out bound +- 1.96 standard errors, each end at least 0, nats. Of single fits
    /// with a perfect critic, one in forty lies above the truth by more than that: sampling, not a bug.
    pub fn interval(&self) -> [f64; 2] {
        interval(self.held_out, self.standard_error)
    }
}

/// Fits of several seeds together.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// The mean of the fits' held-out bounds, or 0 where that is negative, nats.
    pub value: f64,
    /// 95% interval, nats: the mean held-out bound +- 1.96 standard errors of *one* fit. Seeds share
    /// their examples, so averaging earns less than their number; how much less is not known. With
    /// three seeds or more the interval is wider than the error by about a third.
    pub interval: [f64; 2],
    /// Standard deviation between seeds, nats; none for one seed.
    pub spread: Option<f64>,
    /// The smallest cap of the fits, nats.
    pub cap: f64,
    /// The fits in the order of the seeds.
    pub fits: Vec<Fit>,
}

impl Estimate {
    /// Puts fits together.
    ///
    /// # Errors
    /// When there is none.
    pub fn new(fits: Vec<Fit>) -> Result<Self> {
        if fits.is_empty() {
            return Err(Error::Empty { what: "the list of seeds", unit: "seed" });
        }
        let count = fits.len() as f64;
        let mean = |of: &dyn Fn(&Fit) -> f64| fits.iter().map(of).sum::<f64>() / count;
        let held_out = mean(&|fit| fit.held_out);
        let variance = mean(&|fit| fit.standard_error.powi(2));
        let interval = interval(held_out, variance.sqrt());
        let squares: f64 = fits.iter().map(|fit| (fit.held_out - held_out).powi(2)).sum();
        let spread = (fits.len() > 1).then(|| (squares / (count - 1.0)).sqrt());
        let cap = fits.iter().map(|fit| fit.cap).fold(f64::INFINITY, f64::min);
        Ok(Self { value: held_out.max(0.0), interval, spread, cap, fits })
    }

    /// Every warning of any fit, each kind once, with how many fits gave it.
    pub fn warnings(&self) -> Vec<(&Warning, usize)> {
        let mut found: Vec<(&Warning, usize)> = Vec::new();
        for warning in self.fits.iter().flat_map(|fit| &fit.warnings) {
            let kind = std::mem::discriminant(warning);
            match found.iter_mut().find(|(other, _)| std::mem::discriminant(*other) == kind) {
                Some((_, count)) => *count += 1,
                None => found.push((warning, 1)),
            }
        }
        found
    }
}

/// 95%, each end at least 0.
pub(super) fn interval(centre: f64, standard_error: f64) -> [f64; 2] {
    [-1.96, 1.96].map(|z| (centre + z * standard_error).max(0.0))
}

/// The part of the cap beyond which bounds are known to fall short: of 10,000 examples of two variables, of
/// which 3,000 are held out, above 3.2 nats.
const HIGH: f64 = 0.4;

/// Warnings on a held-out value, given what else is known of the fit.
pub(super) fn warnings(
    estimator: Estimator,
    held_out: f64,
    standard_error: f64,
    training: f64,
    cap: f64,
    effective_examples: f64,
) -> Vec<Warning> {
    let mut warnings = Vec::new();
    if !estimator.is_lower_bound() {
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

    /// A fit of that held-out value and a standard error of 0.02.
    fn fit_of(held_out: f64) -> Fit {
        Fit {
            value: held_out.max(0.0),
            held_out,
            standard_error: 0.02,
            cap: 8.0,
            start: Start::Constant,
            best_step: 0,
            curve: Vec::new(),
            examples: [1, 1, 1],
            warnings: Vec::new(),
        }
    }

    #[test]
    fn estimates_are_cut_off_at_zero_once_and_lie_within_their_intervals() {
        // Seeds that scatter about 0: a mean of values cut off one by one would be 0.04.
        let scattered = [-0.08, 0.08].map(fit_of).to_vec();
        let estimate = Estimate::new(scattered).unwrap();
        assert!(estimate.value.abs() < 1e-15, "{}", estimate.value);
        for held_out in [[-0.5, 0.4, 0.1], [-0.5, -0.4, 0.3], [1.0, 2.0, -0.1]] {
            let estimate = Estimate::new(held_out.map(fit_of).to_vec()).unwrap();
            let [low, high] = estimate.interval;
            assert!(low <= estimate.value && estimate.value <= high, "{estimate:?}");
            assert!((estimate.value - (held_out.iter().sum::<f64>() / 3.0).max(0.0)).abs() < 1e-12);
        }
    }

    #[test]
    fn each_doubt_has_its_warning_and_sound_fits_have_none() {
        let of = |estimator, held_out, training, effective| {
            warnings(estimator, held_out, 0.02, training, 8.0, effective)
        };
        assert_eq!(of(Estimator::Tcne, 1.0, 1.1, 500.0), []);
        assert_eq!(of(Estimator::Tcne, 7.5, 7.5, 500.0), [Warning::AtCap { cap: 8.0 }]);
        let high = Warning::HighInformation { cap: 8.0 };
        assert_eq!(of(Estimator::Tcne, 3.5, 3.5, 500.0), [high]);
        let overfit = Warning::Overfit { training: 1.3, held_out: 1.0 };
        assert_eq!(of(Estimator::Mine, 1.0, 1.3, 500.0), [overfit]);
        let few = Warning::FewEffectiveExamples { examples: 5.0 };
        assert_eq!(of(Estimator::Nwj, 1.0, 1.0, 5.0), [few]);
        let smile = Estimator::Smile { tau: 5.0 };
        assert_eq!(of(smile, 1.0, 1.0, 500.0), [Warning::NotALowerBound]);
    }
}
