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
pub(crate) mod info_nce;
pub(crate) mod jensen_shannon;
pub(crate) mod mine;
pub(crate) mod nwj;
pub(crate) mod objective;
mod product;
mod reference;
mod running;
mod scores;
mod sharing;
pub(crate) mod smile;
pub(crate) mod tcne;
mod total_correlation;
mod within;

pub use donsker_varadhan::{donsker_varadhan, log_mean_exp};
pub use info_nce::{INFO_NCE, info_nce, symmetric_info_nce};
pub use jensen_shannon::{JENSEN_SHANNON, jensen_shannon};
pub use mine::{MINE, MineOptions, MovingAverage};
pub use nwj::{NWJ, nwj};
pub use objective::Objective;
pub use reference::Reference;
pub use scores::{diagonal, off_diagonal};
pub use sharing::Sharing;
pub use smile::{SMILE, SmileOptions, smile};
pub use tcne::{TCNE, TcneOptions};
pub use total_correlation::Bound;
pub use within::WithinClasses;
