//! What a critic is.

use candle_core::Tensor;

use crate::error::{Error, Result};

/// A function T(x_1, ..., x_M, c) of M variables and one of C outcomes.
///
/// With the label as the outcome, a classifier *is* a critic: T(x_1, ..., x_M, c) is its logit of
/// class c (TCMax, section 3). A critic of the variables alone, as in MINE and TCNE, has C = 1.
///
/// A critic computes *parts*, one per variable, once per example, and *combines* the parts of any examples
/// once per tuple. On the product of marginals, T is then `combine` of parts gathered from independent
/// rows.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use tcmax_estimators::Critic;
///
/// /// T(x_1, x_2) = x_1 x_2, for variables of width 1.
/// struct Product;
///
/// impl Critic for Product {
///     fn widths(&self) -> &[usize] {
///         &[1, 1]
///     }
///
///     fn outcomes(&self) -> usize {
///         1
///     }
///
///     fn parts(&self, x: &[Tensor]) -> tcmax_estimators::Result<Vec<Tensor>> {
///         Ok(x.to_vec())
///     }
///
///     fn combine(&self, parts: &[Tensor]) -> tcmax_estimators::Result<Tensor> {
///         Ok((&parts[0] * &parts[1])?)
///     }
///
///     fn is_additive(&self) -> bool {
///         false
///     }
///
///     fn parameters(&self) -> Vec<Tensor> {
///         Vec::new()
///     }
/// }
///
/// # fn main() -> tcmax_estimators::Result<()> {
/// let x = [[[1f64], [2.0]], [[3.0], [4.0]]].map(|column| Tensor::new(&column, &Device::Cpu));
/// let [a, b] = x;
/// let x = [a?, b?];
/// assert_eq!(Product.scores(&x)?.to_vec2::<f64>()?, [[3.0], [8.0]]);
/// # Ok(())
/// # }
/// ```
pub trait Critic {
    /// The widths D_m of the M variables.
    fn widths(&self) -> &[usize];

    /// The number of outcomes C; 1 for a critic of the variables alone.
    fn outcomes(&self) -> usize;

    /// What can be computed of each variable alone: from `x[m]`, (N, D_m), a tensor of N rows.
    ///
    /// # Errors
    /// When the number or the shapes of the variables do not fit [`Critic::widths`]; see
    /// [`check_variables`].
    fn parts(&self, x: &[Tensor]) -> Result<Vec<Tensor>>;

    /// Scores (K, C) of K tuples from their parts, each of K rows.
    ///
    /// # Errors
    /// When the parts do not have the shapes that [`Critic::parts`] returns.
    fn combine(&self, parts: &[Tensor]) -> Result<Tensor>;

    /// Whether `combine` is the sum of the parts, each (K, C), or a log-sum-exp over the columns of that
    /// sum. Either way, summing exp T over the rows of one variable replaces its part by the log-sum-exp
    /// of its rows, so that the sum over all N^M tuples takes O(M N C).
    fn is_additive(&self) -> bool;

    /// The tensors that gradients of a bound reach besides the variables.
    fn parameters(&self) -> Vec<Tensor>;

    /// Scores (N, C) of joint examples: row i of every variable belongs together.
    ///
    /// # Errors
    /// As [`Critic::parts`].
    fn scores(&self, x: &[Tensor]) -> Result<Tensor> {
        self.combine(&self.parts(x)?)
    }
}

/// Checks that there is a matrix (N, D_m) per variable, of the given widths and one N.
///
/// # Errors
/// When there is not, naming the variable.
pub fn check_variables(x: &[Tensor], widths: &[usize]) -> Result<()> {
    let wrong = |what: String, got: &[usize], wanted: String| {
        Err(Error::WrongShape { what, got: got.to_vec(), wanted })
    };
    if x.len() != widths.len() {
        let wanted = format!("{} tensors, one per variable", widths.len());
        return wrong("list of variables".to_owned(), &[x.len()], wanted);
    }
    let rows = x.first().and_then(|variable| variable.dims().first()).copied();
    for (m, (variable, &width)) in x.iter().zip(widths).enumerate() {
        match variable.dims() {
            &[n, d] if Some(n) == rows && d == width => {}
            dims => {
                let wanted = format!("[{}, {width}] (examples, width)", rows.unwrap_or(0));
                return wrong(format!("variable {m}"), dims, wanted);
            }
        }
    }
    Ok(())
}
