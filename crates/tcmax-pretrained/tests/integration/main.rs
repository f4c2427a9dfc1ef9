//! The integration tests of this crate, as one program: it links once.

mod hub;
mod load;
#[path = "../server/mod.rs"]
mod server;
mod source;
mod tensors;
mod tokenizer;
