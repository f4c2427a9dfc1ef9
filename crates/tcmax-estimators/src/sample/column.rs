//! How columns are scaled, and what they are afterwards.

/// How continuous columns are scaled; categorical variables always become indicator columns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scaling {
    /// Each column's ranks to quantiles of the normal distribution: heavy tails and outliers vanish,
    /// and what is left of a joint distribution is its copula.
    #[default]
    RankGaussian,
    /// Each column to mean 0 and variance 1.
    ZScore,
}

/// What a column of a mapped variable is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Column {
    /// A column of numbers, mapped.
    Number,
    /// A norm of the row's numbers, mapped to a normal distribution.
    Norm,
    /// A number times a polynomial of a norm.
    Product,
    /// Whether a categorical variable has one of its values, or one of its rare ones.
    Indicator,
}
