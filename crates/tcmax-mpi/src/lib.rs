#![doc = include_str!("../README.md")]

mod launch;
#[cfg(feature = "mpi")]
mod rounds;
#[cfg(feature = "mpi")]
mod world;

use std::sync::Arc;

use tcmax_parallel::Group;

pub use launch::{Launched, launched};

/// The result of joining the others.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a process cannot join the others.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// MPI started the process, and it cannot speak MPI.
    #[error(
        "this is process {rank} of {size} that MPI started, and the program was built without MPI: build it with \
         `--features mpi`, or start it alone"
    )]
    NotBuilt {
        /// The rank of this process.
        rank: usize,
        /// How many there are.
        size: usize,
    },
    /// The MPI library does not let several threads take turns.
    #[error("the MPI library does not let threads take turns in using it (MPI_THREAD_SERIALIZED)")]
    Threads,
    /// MPI is in use already: only one group can be joined in the life of a process.
    #[error("MPI was started already, or has ended, in this process")]
    Twice,
}

/// The group of the processes that MPI started; `None` where MPI did not start this one.
///
/// The first member that is dropped last ends MPI in this process, so keep it until the work is done.
///
/// # Errors
/// When the crate was built without MPI, or the MPI library cannot be used.
pub fn join() -> Result<Option<Arc<dyn Group>>> {
    let Some(launched) = launched() else { return Ok(None) };
    joined(launched).map(Some)
}

#[cfg(feature = "mpi")]
fn joined(_: Launched) -> Result<Arc<dyn Group>> {
    Ok(Arc::new(world::World::new()?))
}

#[cfg(not(feature = "mpi"))]
fn joined(Launched { rank, size }: Launched) -> Result<Arc<dyn Group>> {
    match size {
        1 => Ok(Arc::new(tcmax_parallel::Alone)),
        _ => Err(Error::NotBuilt { rank, size }),
    }
}
