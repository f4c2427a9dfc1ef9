//! Members that are threads of one process, alone or joined with those of other processes.

mod member;
mod room;
mod run;

pub use member::Threads;
pub use run::run;
