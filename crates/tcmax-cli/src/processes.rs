//! The processes that do a command together.

use std::sync::Arc;
use std::time::Duration;

use tcmax_parallel::Group;
use tcmax_train::{Error, host_name};

/// The processes that do a command together: most commands have one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Processes(Option<Arc<dyn Group>>);

/// How long others than the first wait before they end a job: what goes wrong everywhere is reported once.
const PATIENCE: Duration = Duration::from_secs(5);

impl Processes {
    /// Those of a group, if there are several.
    pub(crate) fn of(group: Option<Arc<dyn Group>>) -> Self {
        Self(group.filter(|group| group.size() > 1))
    }

    /// The group; none where there is one process.
    pub(crate) fn group(&self) -> Option<&Arc<dyn Group>> {
        self.0.as_ref()
    }

    /// Whether this is the one that reads and writes folders, and speaks.
    pub(crate) fn is_first(&self) -> bool {
        self.0.as_ref().is_none_or(|group| group.rank() == 0)
    }

    /// Does something in the first process, and then in the others: they find what it has put into the cache.
    ///
    /// # Errors
    /// Those of `work`, and when another process has ended.
    pub(crate) fn after_the_first<T>(
        &self,
        work: impl FnOnce() -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let Some(group) = &self.0 else { return work() };
        tcmax_parallel::after_the_first(group.as_ref(), work)
    }

    /// Ends the others, who would wait for this process, but where they have come to the same error.
    pub(crate) fn end(&self, error: &anyhow::Error, message: &str) {
        let Some(group) = &self.0 else { return };
        if !error.downcast_ref::<Error>().is_some_and(Error::is_of_all_members) {
            if group.rank() > 0 {
                std::thread::sleep(PATIENCE);
            }
            group.abort(&format!("error: {message} (on {})", host_name()));
        }
    }

    /// Ends the others, as this process is about to.
    pub(crate) fn abort(&self, reason: &str) {
        if let Some(group) = &self.0 {
            group.abort(reason);
        }
    }
}
