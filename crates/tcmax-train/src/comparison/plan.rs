//! What an experiment compares: its variants.

use tcmax_datasets::FILES;
use tcmax_fusion::HeadSpec;
use tcmax_losses::methods::JOINT;

use crate::config::{CheckedConfig, TrainConfig, short, word};
use crate::experiment::{CompareOptions, Experiment};
use crate::run_files::folder_name;
use crate::{Error, Registry, Result};

/// A way of training that is compared with others.
#[derive(Clone, Debug)]
pub struct Variant {
    /// Short name, such as `joint`, `tcmax`, `only audio`.
    pub name: String,
    /// One line on what it does.
    pub description: String,
    /// Its settings.
    pub config: CheckedConfig,
}

const SAME_DATA: &str =
    "the variants of a comparison see the same data; compare data in comparisons of their own";

/// The variants of an experiment on data with modalities of these names: every method with every head that
/// is asked for, for every combination of the grid, and each modality alone if that is asked for.
///
/// A method can have options of its own after its name, a head, keys of other sections, and values to choose from:
/// `"mla projection=none"`, `"tcmax head=film"`, `"joint optimiser.learning-rate=0.02"`,
/// `"ogm choose.method.alpha=[0.1,0.4]"`.
///
/// # Errors
/// When a setting is wrong, a method is defined for no head asked for, or two variants are the same.
pub fn variants(
    experiment: &Experiment,
    registry: &Registry,
    modalities: &[String],
) -> Result<Vec<Variant>> {
    let Experiment { config, compare } = experiment;
    let used =
        if config.train.modalities.is_empty() { modalities } else { &config.train.modalities };
    let mut variants = Vec::new();
    for (suffix, config) in combinations(config, compare)? {
        for method in &compare.methods {
            with_heads(method, &config, compare, registry, used.len(), &suffix, &mut variants)?;
        }
        if compare.each_modality {
            for name in used {
                variants.push(alone(name, &config, registry, &suffix)?);
            }
        }
    }
    for (n, variant) in variants.iter().enumerate() {
        if variants[..n].iter().any(|other| other.name == variant.name) {
            let problem = format!("'{}' is there twice", variant.name);
            return Err(Error::setting("compare.methods", problem));
        }
        let folder = folder_name(&variant.name);
        if let Some(other) = variants[..n].iter().find(|other| folder_name(&other.name) == folder) {
            let problem = format!(
                "the runs of '{}' and '{}' would be in the same folder, {folder}",
                other.name, variant.name
            );
            return Err(Error::setting("compare.methods", problem));
        }
    }
    Ok(variants)
}

/// Every combination of the grid's values, with what to add to the names.
fn combinations(
    config: &TrainConfig,
    compare: &CompareOptions,
) -> Result<Vec<(String, TrainConfig)>> {
    let mut all = vec![(String::new(), config.clone())];
    for (key, values) in compare.grid_keys() {
        if key.starts_with("data.") {
            return Err(Error::setting(format!("compare.grid.{key}"), SAME_DATA));
        }
        let short = short(&key);
        let mut more = Vec::with_capacity(all.len() * values.len());
        for (suffix, config) in &all {
            for value in &values {
                let mut config = config.clone();
                config.set(&key, value.clone()).map_err(|error| match error {
                    Error::Setting { problem, .. } => {
                        Error::setting(format!("compare.grid.{key}"), problem)
                    }
                    error => error,
                })?;
                more.push((format!("{suffix}, {short} {}", word(value)), config));
            }
        }
        all = more;
    }
    Ok(all)
}

#[allow(clippy::too_many_arguments, reason = "one call, and each is a different thing")]
fn with_heads(
    given: &str,
    config: &TrainConfig,
    compare: &CompareOptions,
    registry: &Registry,
    modalities: usize,
    suffix: &str,
    variants: &mut Vec<Variant>,
) -> Result<()> {
    let mut words = given.split_whitespace();
    let name = words.next().unwrap_or_default();
    let in_methods =
        |error: tcmax_registry::Error| Error::setting("compare.methods", error.to_string());
    let method = registry.methods.get(name).map_err(in_methods)?;
    let mut config = config.clone().by_method(method.name);
    let mut called = name.to_owned();
    let mut heads = heads_of(&config, compare, registry)?;
    for word in words {
        let (option, value) = word.split_once('=').ok_or_else(|| {
            let problem = format!("'{given}': options of a method are OPTION=VALUE");
            Error::setting("compare.methods", problem)
        })?;
        if option == "head" {
            heads = vec![registry.heads.get(value).map_err(in_methods)?];
            continue;
        }
        let value = crate::config::parse_value(value);
        match option.split_once('.').map(|(section, _)| section) {
            // What a run chooses from is no part of its name.
            Some("choose") => {
                config.set(option, value)?;
                continue;
            }
            Some("data") => {
                let problem = format!("'{given}': {SAME_DATA}");
                return Err(Error::setting("compare.methods", problem));
            }
            Some(_) => config.set(option, value)?,
            None => config.set(&format!("method.{option}"), value)?,
        }
        called += &format!(" {word}");
    }
    let heads = if heads.is_empty() { vec![method.usual_head] } else { heads };
    let mut refusal = None;
    let mut found = false;
    for head in heads {
        if let Err(error) = method.check(head, modalities) {
            refusal.get_or_insert(error);
            continue;
        }
        found = true;
        let config = config.clone().with_head(head.name).check_with(registry)?;
        let name = match *head == *method.usual_head {
            true => format!("{called}{suffix}"),
            false => format!("{called} ({head}){suffix}"),
        };
        let description = format!("{}; head {head}", method.description);
        variants.push(Variant { name, description, config });
    }
    match refusal {
        Some(error) if !found => Err(error.into()),
        _ => Ok(()),
    }
}

/// The heads that every method is trained with; empty for each its own.
fn heads_of(
    config: &TrainConfig,
    compare: &CompareOptions,
    registry: &Registry,
) -> Result<Vec<&'static HeadSpec>> {
    let own = Some(&config.head.name).filter(|name| !name.is_empty());
    let names = if compare.heads.is_empty() {
        own.into_iter().collect()
    } else {
        Vec::from_iter(&compare.heads)
    };
    let get = |name: &String| {
        let head = registry.heads.get(name);
        head.map_err(|error| Error::setting("compare.heads", error.to_string()))
    };
    names.into_iter().map(get).collect()
}

/// Joint training of a model that sees one modality alone.
fn alone(name: &str, config: &TrainConfig, registry: &Registry, suffix: &str) -> Result<Variant> {
    let mut config = config.clone().by_method(JOINT.name).with_head("");
    config.train.modalities = vec![name.to_owned()];
    // Encoders of other modalities are no part of it.
    Ok(Variant {
        name: format!("only {name}{suffix}"),
        description: format!("cross-entropy of a model that sees {name} alone"),
        config: config.check_with(registry)?,
    })
}

/// The settings of a run on one fold.
pub(super) fn of_fold(config: &CheckedConfig, fold: usize) -> Result<CheckedConfig> {
    let mut settings = config.config().clone();
    debug_assert_eq!(settings.data.name, FILES.name, "only they have folds");
    settings.data = settings.data.with("fold", fold as i64);
    settings.check_with(config.registry())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Result<Vec<String>> {
        let modalities = ["audio".to_owned(), "visual".to_owned()];
        let experiment = Experiment::from_toml(text)?;
        let variants = variants(&experiment, &Registry::default(), &modalities)?;
        Ok(variants.into_iter().map(|variant| variant.name).collect())
    }

    #[test]
    fn methods_heads_and_grids_are_multiplied() {
        let all =
            names("[compare]\nmethods = [\"joint\", \"tcmax\"]\neach-modality = true").unwrap();
        assert_eq!(all, ["joint", "tcmax", "only audio", "only visual"]);
        let all = names(
            "[compare]\nmethods = [\"joint\", \"mla projection=none\"]\nheads = [\"concat\", \"shared\"]",
        );
        assert_eq!(all.unwrap(), ["joint", "joint (shared)", "mla projection=none"]);
        let all = names("[compare]\nmethods = [\"tcmax\", \"tcmax head=film\"]").unwrap();
        assert_eq!(all, ["tcmax", "tcmax (film)"]);
        let all = names("[compare]\nmethods = [\"joint\", \"joint train.clip-norm=5\"]").unwrap();
        assert_eq!(all, ["joint", "joint train.clip-norm=5"]);
        let all = names(
            "[compare]\nmethods = [\"tcmax\"]\n[compare.grid]\ntrain.epochs = [1, 2]\nschedule.name = \
             [\"step\", \"constant\"]",
        );
        let wanted = [
            "tcmax, schedule step, epochs 1",
            "tcmax, schedule step, epochs 2",
            "tcmax, schedule constant, epochs 1",
            "tcmax, schedule constant, epochs 2",
        ];
        assert_eq!(all.unwrap(), wanted);
    }

    #[test]
    fn options_reach_their_method_and_mistakes_are_named() {
        let text = "[method.ogm]\nalpha = 0.5\n[compare]\nmethods = [\"joint\", \"ogm\"]";
        let experiment = Experiment::from_toml(text).unwrap();
        let modalities = ["a".to_owned(), "b".to_owned()];
        let variants = variants(&experiment, &Registry::default(), &modalities).unwrap();
        let ogm = &variants[1].config.config().method;
        assert_eq!(ogm.options["alpha"], toml::Value::Float(0.5));
        let mut experiment = experiment;
        experiment.compare.methods =
            vec!["joint train.clip-norm=5 optimiser.momentum=0.8".to_owned()];
        let all = super::variants(&experiment, &Registry::default(), &modalities).unwrap();
        let config = all[0].config.config();
        assert_eq!(config.train.clip_norm, Some(5.0));
        assert_eq!(config.optimiser.options["momentum"], toml::Value::Float(0.8));
        for (text, words) in [
            ("[compare]\nmethods = [\"ogn\"]", "did you mean 'ogm'"),
            ("[compare]\nmethods = [\"joint\", \"joint\"]", "'joint' is there twice"),
            ("[compare]\nmethods = [\"mla projection\"]", "OPTION=VALUE"),
            ("[compare]\nmethods = [\"mla project=1\"]", "did you mean 'projection'"),
            ("[compare]\nmethods = [\"joint train.clipnorm=1\"]", "did you mean 'clip-norm'"),
            ("[compare]\nmethods = [\"joint data.train-size=10\"]", "see the same data"),
            (
                "[encoder]\nname = \"resnet18\"\n[compare.grid]\nencoder.weights = [\"a/b\", \"a-b\"]",
                "'joint, weights a/b' and 'joint, weights a-b' would be in the same folder",
            ),
            ("[compare.grid]\ndata.train-size = [10]", "see the same data"),
            ("[compare.grid]\ntrain.epoch = [10]", "did you mean 'epochs'"),
        ] {
            let error = names(text).unwrap_err().to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn names_of_methods_make_folders() {
        assert_eq!(folder_name("mla, no projection"), "mla-no-projection");
        assert_eq!(folder_name("tcmax (bi-gated)"), "tcmax-bi-gated");
        assert_eq!(folder_name("pmr, momentum 0.2"), "pmr-momentum-0.2");
        assert_eq!(folder_name("ours, offset -0.5"), "ours-offset-minus-0.5");
        assert_eq!(folder_name("ours offset=-0.5"), "ours-offset-minus-0.5");
    }
}
