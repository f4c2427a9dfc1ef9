//! Errors of groups.

/// The result of an exchange.
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong between members.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Another member has ended, so that nothing more can be exchanged. The fault is that member's.
    #[error("member {rank} has ended: {reason}")]
    Ended {
        /// The rank of the member that ended.
        rank: usize,
        /// Why it did.
        reason: String,
    },
    /// Members exchange different things: one of them has other settings, or a bug.
    #[error("members disagree: member {rank} gives {given}, and member {other} {wanted}")]
    Disagree {
        /// The rank of one member.
        rank: usize,
        /// What it gives.
        given: String,
        /// The rank of another.
        other: usize,
        /// What that one gives.
        wanted: String,
    },
    /// A member gives one message to each other, and there are more or fewer of them.
    #[error("{got} messages for {members} members")]
    Messages {
        /// How many there are.
        got: usize,
        /// How many there should be.
        members: usize,
    },
    /// A message is not what its sender must have meant.
    #[error("a message of {bytes} bytes of member {rank} is damaged: {problem}")]
    Damaged {
        /// The rank of the sender.
        rank: usize,
        /// The length.
        bytes: usize,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A group has at least one member in every process.
    #[error("a group of no members")]
    Nobody,
    /// What carries the messages failed.
    #[error("members cannot reach each other: {0}")]
    Transport(String),
}

impl Error {
    /// Whether another member is to blame, which reports the fault itself.
    pub fn is_of_another(&self) -> bool {
        matches!(self, Self::Ended { .. })
    }
}
