//! `regimes`: feature vectors in which modalities compete, share a nuisance, tell nothing or say the same.
//!
//! Four classes y, of which every split has as many examples each as its size allows. Modality m sees a latent vector u_m
//! in R^4,
//!
//! ```text
//! mu_k[c]    standard normal: the mean of class c in the k-th set of class means
//! e, e_m     standard normal: common to all modalities of an example, and of modality m alone
//! u_m        = signal_m mu_{k(m)}[y] + common_m e + own_m e_m
//! x_m        = V_m tanh(U_m u_m + b_m) + noise,      in R^64
//! ```
//!
//! through a random map of its own, a network of 64 tanh units: U_m has entries of variance 1/4, b_m of variance 1, V_m
//! of variance 1/64. The second modality of `competition` has no such map: with random signs s_1 and s_2 and b_1, b_2 =
//! +-1, the two bits of y,
//!
//! ```text
//! p          = (s_1, s_2, s_1 b_1, s_2 b_2) + 0.45 e_m
//! x_m        = p A + 0.2 noise,                      in R^24, A standard normal
//! ```
//!
//! so that no linear function of it tells anything of y, and products tell all.
//!
//! | regime | modality | k | signal | common | own | noise |
//! |---|---|---|---|---|---|---|
//! | `competition` | easy | 1 | 1.6 | 0 | 1 | 0.5 |
//! | | code | | | | | 0.2 |
//! | `shared-nuisance` | first, second | 1, 2 | 0.6 | 1.5 | 0.4 | 0.3 |
//! | `one-good-five-empty` | good | 1 | 1.2 | 0 | 1 | 0.5 |
//! | | empty-1 to empty-5 | 2 to 6 | 0.1 | 0 | 1 | 0.5 |
//! | `three-noisy` | first, second, third | 1, 2, 3 | 0.8 | 0 | 1 | 0.5 |
//! | `five-copies` | copy-1 to copy-5 | 1 | 0.9 | 1 | 0.3 | 0.5 |
//! | | independent | 2 | 0.9 | 0 | 1 | 0.5 |
//!
//! Class means, maps and examples are drawn anew from every seed: runs from several seeds share nothing, and differences
//! over them are those of the regime, not of one problem in it.

mod config;
mod draw;
mod plan;
mod source;
mod world;

pub use config::{Regime, RegimesConfig};
pub use draw::splits;
pub use source::REGIMES;
