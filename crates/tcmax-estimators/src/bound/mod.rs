//! Lower bounds on information, as pure functions of a critic's scores.
//!
//! Every bound compares the scores T of *joint* examples, (N,), with the scores of *product* tuples,
//! (K,): tuples whose members were drawn independently of each other. All values are in nats, all are
//! differentiable, and every average of exponentials is a log-sum-exp.
//!
//! | function | for | lower bound? | cap | known for |
//! |---|---|---|---|---|
//! | [`donsker_varadhan`] | n variables (MINE, TCNE) | yes, as K grows | log (K / N) where the joint examples are among the tuples, else none | tight; its value is too high where K is too small |
//! | [`nwj`] | n variables | yes, in expectation | none | no bias, large variance |
//! | [`info_nce`] | pairs | yes, in expectation | log N | small variance |
//! | [`smile`] | n variables | **no** | none | small variance, biased by the clipping |
//! | [`jensen_shannon`] | n variables | bounds a Jensen-Shannon divergence, not information | 0 | steady training |
//!
//! [`Bound`] is the Donsker-Varadhan bound of a [`Critic`](crate::critic::Critic) on examples and labels,
//! whatever the critic's form and the number of tuples.
//!
//! Score matrices S_ij = T(x_i, y_j) of pairs go through [`diagonal`] and [`off_diagonal`].

mod donsker_varadhan;
mod info_nce;
mod jensen_shannon;
mod nwj;
mod product;
mod scores;
mod smile;
mod total_correlation;

pub use donsker_varadhan::{MovingAverage, donsker_varadhan, log_mean_exp};
pub use info_nce::{info_nce, symmetric_info_nce};
pub use jensen_shannon::jensen_shannon;
pub use nwj::nwj;
pub use scores::{diagonal, off_diagonal};
pub(crate) use smile::check_tau;
pub use smile::smile;
pub use total_correlation::{Bound, Reference};

use candle_core::Tensor;

use crate::error::{Error, Result};

/// Scores must be a vector with at least one entry.
fn check_vector(what: &str, scores: &Tensor) -> Result<()> {
    if scores.rank() == 1 && scores.elem_count() > 0 {
        return Ok(());
    }
    Err(Error::WrongShape {
        what: what.to_owned(),
        got: scores.dims().to_vec(),
        wanted: "a vector with at least one score".to_owned(),
    })
}
