#![doc = include_str!("../README.md")]

pub mod calibration;
pub mod classification;
pub mod compare;
mod error;
mod multi_label;
mod nullable;
mod predictions;
mod regression;
mod shapley;

pub use calibration::{Reliability, ReliabilityBin, Temperature};
pub use classification::{
    Averages, ClassScores, Classification, Confusion, ConfusionCell, Ranking, Summary, Ties, top_k,
};
pub use compare::{
    Bootstrap, BootstrapInterval, Friedman, Interval, McNemar, PairedDifference, SignTest,
    SignedRank, benjamini_hochberg, holm,
};
pub use error::{Error, Result};
pub use multi_label::MultiLabel;
pub use predictions::Predictions;
pub use regression::Regression;
pub use shapley::{MOST_PLAYERS, coalitions, shapley, shapley_of_values};
