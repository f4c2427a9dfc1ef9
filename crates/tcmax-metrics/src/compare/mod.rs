//! Whether two classifiers, or several, differ by more than chance explains.
//!
//! | what there is | what to use |
//! |---|---|
//! | runs of two methods from the same seeds, one split of the data | [`PairedDifference::of`] (differences about normal), [`SignedRank`] (symmetric), [`SignTest`] (nothing assumed) |
//! | folds of a cross-validation, or a random split per run | [`PairedDifference::of_resampled`] |
//! | one run of each, the same test rows | [`McNemar`], [`Bootstrap::accuracy_difference`] |
//! | two methods, several data sets | [`SignedRank`] over the data sets |
//! | more than two methods, several data sets | [`Friedman`], then its critical difference |
//! | several comparisons at once | [`holm`] (no false one), [`benjamini_hochberg`] (few false ones among those found) |
//!
//! A test over seeds of one split says whether a method is better *on this split*: its p value knows the chance
//! of training, not that of the data. Runs with splits of their own share most of their rows, so that their
//! differences are correlated, and the plain t-test over them finds differences that are not there (in Nadeau
//! and Bengio's experiments several times as often as it says); hence a test of its own. Tests by ranks and signs
//! need many seeds: with n of them no p value is below 2^(1 - n), which for five is 0.0625.
//!
//! All tests are two-sided. Functions of pairs return nothing when there is no pair, or when a value is not
//! finite (a run that diverged): such comparisons have no answer, and that is no error.

mod bootstrap;
mod correction;
mod friedman;
mod interval;
mod mcnemar;
mod paired;
mod pairs;
mod sign;
mod signed_rank;
mod student;
mod studentized_range;

pub use bootstrap::{Bootstrap, BootstrapInterval};
pub use correction::{benjamini_hochberg, holm};
pub use friedman::Friedman;
pub use interval::Interval;
pub use mcnemar::McNemar;
pub use paired::PairedDifference;
pub use sign::SignTest;
pub use signed_rank::SignedRank;
