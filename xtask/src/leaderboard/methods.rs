//! Which methods are compared on a data set, and why others are not.

use anyhow::ensure;
use tcmax_data::Modality;
use tcmax_losses::MethodSpec;
use tcmax_train::{Registry, TrainConfig, check_stages};

use super::plan::{Plan, PlannedSet};

/// The methods for a data set.
pub(super) struct Methods {
    /// Those that are defined, with what they choose from.
    pub(super) defined: Vec<String>,
    /// The others, with the reason.
    pub(super) undefined: Vec<(String, String)>,
}

/// The methods asked for, or all that are registered, joint training first: the others are compared with it.
pub(super) fn of(
    asked: Option<&[String]>,
    (plan, set): (&Plan, &PlannedSet),
    registry: &Registry,
    (config, modalities): (&TrainConfig, &[Modality]),
) -> anyhow::Result<Methods> {
    let all: Vec<String> = registry.methods.names().into_iter().map(str::to_owned).collect();
    let mut found = Methods { defined: Vec::new(), undefined: Vec::new() };
    for given in asked.unwrap_or(&all) {
        let name = given.split_whitespace().next().unwrap_or_default();
        let method = registry.methods.get(name)?;
        match defined(method, config, registry, modalities) {
            Ok(()) => found.defined.push(plan.with_grid(given, set)?),
            Err(error) => found.undefined.push((given.clone(), error.to_string())),
        }
    }
    ensure!(
        !found.defined.is_empty(),
        "--methods: none of these is defined for {} modalities and their encoders",
        modalities.len()
    );
    Ok(found)
}

/// Checks that a method is defined for so many modalities, and for their encoders.
fn defined(
    method: &MethodSpec,
    config: &TrainConfig,
    registry: &Registry,
    modalities: &[Modality],
) -> anyhow::Result<()> {
    method.check(method.usual_head, modalities.len())?;
    if method.needs_stages {
        let config = config.clone().by_method(method.name);
        check_stages(&config.check_with(registry)?, modalities)?;
    }
    Ok(())
}
