//! The integration tests of this crate, as one program: it links once. What counts the memory or the threads of
//! its process is a program of its own beside it.

#[path = "../needs/mod.rs"]
mod needs;
mod pictures;
mod published_lists;
mod recipes;
mod resampling;
mod sounds;
mod spectra;
mod videos;
