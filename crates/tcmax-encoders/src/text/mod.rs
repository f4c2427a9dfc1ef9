//! Encoders of text: token ids in, features out.
//!
//! An input (B, T) holds the ids of T tokens as f32 numbers, and -1 where a text is shorter.

mod bert;
mod causal;
mod clip;
mod distilbert;
pub(crate) mod pooling;
mod roberta;
mod tokens;

pub use bert::{BERT, Bert, BertOptions};
pub use causal::{CAUSAL_TEXT, CausalOptions, CausalText};
pub(crate) use clip::BLOCK as CLIP_BLOCK;
pub use clip::{CLIP_TEXT, ClipText, ClipTextOptions};
pub use distilbert::{DISTILBERT, DistilBert, DistilBertOptions};
pub use pooling::TextPooling;
pub use roberta::{ROBERTA, Roberta, RobertaOptions};
pub use tokens::Tokens;
