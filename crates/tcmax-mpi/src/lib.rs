#![doc = include_str!("../README.md")]

mod error;
mod launch;
#[cfg(feature = "mpi")]
mod rounds;
#[cfg(feature = "mpi")]
mod world;

use std::sync::Arc;

use tcmax_parallel::Group;

pub use error::{Error, Result};
pub use launch::{Launched, launched};

/// The group of the processes that MPI started; `None` where MPI did not start this one.
///
/// MPI ends in this process when the group is dropped.
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
