//! Critics for free-standing variables, as in MINE and TCNE.
//!
//! | critic | T | cost of all N^M tuples |
//! |---|---|---|
//! | [`ConcatCritic`] | a network on all variables side by side, plus a quadratic form | O(N^M) evaluations |
//! | [`SeparableCritic`] | sum_k prod_m e_m(x_m)\[k\], a network a variable | O(M N) evaluations, O(N^M) products |
//! | [`BilinearCritic`] | x_1^T W x_2 | O(N) evaluations, O(N^2) products |
//! | [`AdditiveCritic`] | sum_m g_m(x_m)\[c\], the outcome c a label | O(M N C) |
//! | [`LatentCritic`] | logsumexp_c sum_m g_m(x_m)\[c\]: the outcome unseen | O(M N C) |
//!
//! Fusion heads implement the same trait; [`LatentCritic`] turns any additive one into a critic of its
//! features alone.

mod additive;
mod bilinear;
mod concat;
mod latent;
mod mlp;
mod separable;

pub use additive::AdditiveCritic;
pub use bilinear::BilinearCritic;
pub use concat::ConcatCritic;
pub use latent::LatentCritic;
pub use mlp::Mlp;
pub use separable::SeparableCritic;
pub use tcmax_ops::Activation;

use candle_core::Tensor;

use crate::{Error, Result};

/// Variables must be matrices of the given widths, of one length.
pub(crate) fn check_variables(variables: &[Tensor], widths: &[usize]) -> Result<()> {
    let wrong = |what: String, got: &[usize], wanted: String| {
        Err(Error::WrongShape { what, got: got.to_vec(), wanted })
    };
    if variables.len() != widths.len() {
        let wanted = format!("{} variables", widths.len());
        return wrong("the critic's input".to_owned(), &[variables.len()], wanted);
    }
    let rows = variables.first().and_then(|variable| variable.dims().first()).copied();
    for (m, (variable, &width)) in variables.iter().zip(widths).enumerate() {
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
