//! Settings of some of the parameters, chosen by the beginning of their names.

use std::collections::{BTreeMap, BTreeSet};

use candle_core::Var;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tcmax_registry::{OptionSet, require};

use crate::error::{Error, Result};
use crate::training::params::Params;

/// Settings of the parameters whose names begin with some parts, such as `audio_net` or
/// `audio_net.layer1`.
///
/// What is absent is taken from a group with a shorter prefix, or else from the optimiser: each setting is
/// that of the longest prefix that has it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct GroupOptions {
    /// Whole parts of the names, from the first; empty: all parameters.
    pub prefix: String,
    /// What the learning rate is multiplied by.
    pub rate_factor: Option<f64>,
    /// Weight decay instead of the optimiser's.
    pub weight_decay: Option<f64>,
    /// Whether the parameters stay as they are: no step, no decay, no momentum.
    pub frozen: Option<bool>,
}

impl OptionSet for GroupOptions {
    fn check(&self) -> tcmax_registry::Result<()> {
        let fits = |value: Option<f64>| value.is_none_or(|value| value.is_finite() && value >= 0.0);
        require(fits(self.rate_factor), "rate-factor", "must be a number of at least 0")?;
        require(fits(self.weight_decay), "weight-decay", "must be a number of at least 0")
    }
}

/// What holds for one parameter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Settings {
    pub(crate) rate_factor: f64,
    pub(crate) weight_decay: Option<f64>,
    pub(crate) frozen: bool,
}

const UNCHANGED: Settings = Settings { rate_factor: 1.0, weight_decay: None, frozen: false };

/// The groups of one [`Params`].
#[derive(Debug, Default)]
pub(crate) struct Groups {
    by_prefix: BTreeMap<String, GroupOptions>,
    /// The settings of the parameters that are in a group.
    of_parameters: BTreeMap<String, Settings>,
}

impl Groups {
    /// Groups, each with a prefix of its own.
    pub(crate) fn new(params: &Params, groups: &[GroupOptions]) -> Result<Self> {
        let mut by_prefix = BTreeMap::new();
        for group in groups {
            group.check()?;
            check_prefix(params, &group.prefix)?;
            if by_prefix.insert(group.prefix.clone(), group.clone()).is_some() {
                return Err(Error::DuplicateGroup { prefix: group.prefix.clone() });
            }
        }
        let mut groups = Self { by_prefix, of_parameters: BTreeMap::new() };
        groups.resolve(params);
        Ok(groups)
    }

    /// Sets whether the parameters under a prefix are frozen.
    pub(crate) fn set_frozen(&mut self, params: &Params, prefix: &str, frozen: bool) -> Result<()> {
        check_prefix(params, prefix)?;
        let group = self.by_prefix.entry(prefix.to_owned());
        let group = group
            .or_insert_with(|| GroupOptions { prefix: prefix.to_owned(), ..Default::default() });
        group.frozen = Some(frozen);
        self.resolve(params);
        Ok(())
    }

    /// What holds for a parameter.
    pub(crate) fn settings(&self, name: &str) -> Settings {
        self.of_parameters.get(name).copied().unwrap_or(UNCHANGED)
    }

    fn resolve(&mut self, params: &Params) {
        let settings = |(name, _): (&str, &Var)| {
            // In the order of the map, a prefix comes before those that are longer.
            let groups = self.by_prefix.values().filter(|group| is_under(name, &group.prefix));
            let settings = groups.fold(UNCHANGED, |settings, group| Settings {
                rate_factor: group.rate_factor.unwrap_or(settings.rate_factor),
                weight_decay: group.weight_decay.or(settings.weight_decay),
                frozen: group.frozen.unwrap_or(settings.frozen),
            });
            (name.to_owned(), settings)
        };
        self.of_parameters = params.trainable().map(settings).collect();
    }
}

/// Whether the name begins with the parts of the prefix.
fn is_under(name: &str, prefix: &str) -> bool {
    prefix.is_empty()
        || name.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Refuses a prefix that no parameter has: it would be a setting without any effect.
fn check_prefix(params: &Params, prefix: &str) -> Result<()> {
    if prefix.is_empty() || params.trainable().any(|(name, _)| is_under(name, prefix)) {
        return Ok(());
    }
    let first = |(name, _): (&str, &Var)| name.split('.').next().unwrap_or_default().to_owned();
    let known: BTreeSet<String> = params.trainable().map(first).collect();
    Err(Error::UnknownGroup { prefix: prefix.to_owned(), known: known.into_iter().collect() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::training::init::Init;
    use crate::training::params::ParamBuilder;
    use crate::training::seed::Seed;
    use candle_core::{DType, Device};

    fn params() -> Params {
        let builder = ParamBuilder::new(Seed::new(0), DType::F32, &Device::Cpu);
        for name in ["audio_net.conv1.w", "audio_net.conv10.w", "audio_net2.w", "head"] {
            builder.param(name, 1, Init::Const(0.0)).unwrap();
        }
        builder.params()
    }

    fn group(prefix: &str) -> GroupOptions {
        GroupOptions { prefix: prefix.to_owned(), ..Default::default() }
    }

    #[test]
    fn each_setting_is_that_of_the_longest_prefix_that_has_it() {
        let groups = [
            GroupOptions { rate_factor: Some(0.1), weight_decay: Some(0.5), ..group("audio_net") },
            GroupOptions { rate_factor: Some(0.2), ..group("audio_net.conv1") },
            GroupOptions { frozen: Some(true), ..group("") },
        ];
        let mut groups = Groups::new(&params(), &groups).unwrap();
        groups.set_frozen(&params(), "audio_net", false).unwrap();
        let settings = |name: &str| {
            let Settings { rate_factor, weight_decay, frozen } = groups.settings(name);
            (rate_factor, weight_decay, frozen)
        };
        assert_eq!(settings("audio_net.conv1.w"), (0.2, Some(0.5), false));
        assert_eq!(settings("audio_net.conv10.w"), (0.1, Some(0.5), false));
        assert_eq!(settings("audio_net2.w"), (1.0, None, true));
        assert_eq!(settings("head"), (1.0, None, true));
    }

    #[test]
    fn a_prefix_without_parameters_is_refused_with_the_groups_there_are() {
        let params = params();
        for prefix in ["audio", "audio_net.conv", "head.w", "."] {
            let error = Groups::new(&params, &[group(prefix)]).unwrap_err().to_string();
            assert!(error.contains(&format!("'{prefix}'")), "{error}");
            assert!(error.contains("audio_net, audio_net2, head"), "{error}");
            assert!(Groups::default().set_frozen(&params, prefix, true).is_err());
        }
    }

    #[test]
    fn wrong_settings_and_groups_given_twice_are_refused() {
        let wrong = GroupOptions { rate_factor: Some(-1.0), ..group("head") };
        let error = Groups::new(&params(), &[wrong]).unwrap_err().to_string();
        assert!(error.starts_with("rate-factor: must be"), "{error}");
        let wrong = GroupOptions { weight_decay: Some(f64::NAN), ..group("head") };
        assert!(Groups::new(&params(), &[wrong]).is_err());
        let error = Groups::new(&params(), &[group("head"), group("head")]).unwrap_err();
        assert!(matches!(error, Error::DuplicateGroup { .. }), "{error}");
    }
}
