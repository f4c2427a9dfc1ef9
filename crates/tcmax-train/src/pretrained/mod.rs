//! Pre-trained weights of encoders: what lies beside them becomes settings, and they become values.

mod load;
mod settings;

pub(crate) use load::load_weights;
pub use settings::with_published_settings;
