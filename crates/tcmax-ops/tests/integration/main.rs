//! The integration tests of this crate, as one program: it links once. What counts the memory or the threads of
//! its process is a program of its own beside it.

mod average;
mod kept;
mod members;
mod nan;
mod optimisers;
mod perceptron;
mod precision;
mod reference;
mod shapes;
mod tasks;
