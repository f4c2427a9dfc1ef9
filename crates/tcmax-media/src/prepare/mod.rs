//! Preparing: media in, shards out; in parallel, and resumed where it was interrupted.
//!
//! Clips are made shard by shard in the order of the plan, the clips of a shard in parallel. A shard
//! appears under its name only when it is whole, and carries a note of the plan, the options and the
//! files it was made of; so a killed run goes on with the shards that are not there, and ends with the
//! same bytes as an undisturbed one. A shard whose files have changed is made again; one of another
//! plan, other options or other decoders stops the run. `dataset.json` comes last.

mod folder;
mod list_plan;
mod lists;
mod manifest_plan;
mod options;
mod plan;
mod progress;
mod run;
mod summary;
mod validation;

use std::path::Path;

use crate::apply;
use crate::error::{Error, Result};

pub use list_plan::{ListOptions, list_plan};
pub use lists::{List, ListFormat, Listed, overlaps, parse_list};
pub use manifest_plan::{check, manifest_plan, model_plan};
pub use options::PrepareOptions;
pub use plan::{Item, Plan, Source};
pub use progress::{NoProgress, PrepareProgress};
pub use summary::Summary;

/// Makes the shards of `plan` in the folder `out`, going on with what is there.
///
/// # Errors
/// When `out` holds something else or another plan's shards, another process makes clips there, a file cannot be written, a program is
/// missing, nothing is left, or, for a manifest, media cannot be decoded: all of them at once, and no
/// `dataset.json` then.
pub fn prepare(
    plan: &Plan,
    out: &Path,
    options: &PrepareOptions,
    progress: &dyn PrepareProgress,
) -> Result<Summary> {
    if options.shard_size == 0 {
        return Err(Error::option("shard-size", "must be at least 1"));
    }
    let needs_flow = plan.modalities.iter().any(|(_, t)| t.needs_opencv());
    if needs_flow && !cfg!(feature = "opencv") {
        return Err(apply::flow_is_missing());
    }
    let _taken = folder::take_over(out)?;
    run::Run::new(plan, out, options, progress).all()
}
