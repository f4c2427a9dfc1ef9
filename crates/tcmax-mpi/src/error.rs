//! Why a process cannot join the others.

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
