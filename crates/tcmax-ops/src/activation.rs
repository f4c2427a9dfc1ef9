//! The functions between the layers of a network.

/// A function of every hidden unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// max(x, 0), and NaN where x is NaN.
    Relu,
    /// (x + sqrt(x^2 + 0.1)) / 2 (Barron 2021): smooth like softplus, without an exponential.
    Squareplus,
}

impl Activation {
    /// The b of squareplus, (x + sqrt(x^2 + b)) / 2: the width of the bend, squared. At 1, critics of
    /// data with edges learn several times slower.
    pub(crate) const BEND: f64 = 0.1;
}

/// The forms of the Gaussian error linear unit that networks were trained with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gelu {
    /// x Phi(x), Phi being the normal distribution function.
    Exact,
    /// x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2.
    Tanh,
    /// x / (1 + exp(-1.702 x)): CLIP's.
    Quick,
}
