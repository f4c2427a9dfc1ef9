//! The integration tests of this crate, as one program: it links once. What counts the memory or the threads of
//! its process is a program of its own beside it.

mod av_digits;
mod download;
mod regimes;
mod synthetic;
