//! Runs members, each on a thread of its own.

use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use super::member::Threads;
use crate::group::Group;

/// Runs `work` for each member on a thread of its own and returns the results in the order of members.
///
/// A member that returns, fails or panics has left: those who still wait for it get
/// [`Error::Ended`](crate::Error::Ended) with its reason.
///
/// # Panics
/// With the panic of the first member that panicked, after all have ended.
pub fn run<T: Send, E: Display + Send>(
    members: Vec<Threads>,
    work: impl Fn(Arc<dyn Group>) -> Result<T, E> + Sync,
) -> Vec<Result<T, E>> {
    let work = &work;
    std::thread::scope(|scope| {
        let one = |member: Threads| scope.spawn(move || ended(&Arc::new(member), work));
        let threads: Vec<_> = members.into_iter().map(one).collect();
        let results: Vec<_> =
            threads.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        results
            .into_iter()
            .map(|result| result.unwrap_or_else(|panic| resume_unwind(panic)))
            .collect()
    })
}

/// Does a member's work, and says to the others how it ended.
fn ended<T, E: Display>(
    member: &Arc<Threads>,
    work: impl Fn(Arc<dyn Group>) -> Result<T, E>,
) -> Result<T, E> {
    // What the work has touched goes down with the panic, which goes on below.
    let result = catch_unwind(AssertUnwindSafe(|| work(member.clone())));
    match &result {
        Ok(Ok(_)) => member.leave("it has finished"),
        Ok(Err(error)) => member.leave(&error.to_string()),
        Err(panic) => {
            let text = panic.downcast_ref::<&str>().copied();
            let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
            member.leave(&format!("it panicked: {}", text.unwrap_or("without a message")));
        }
    }
    result.unwrap_or_else(|panic| resume_unwind(panic))
}
