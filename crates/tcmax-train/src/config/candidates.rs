//! Settings of which a run chooses one: lists of values, each combination of which it trains with.

use std::collections::BTreeMap;

use tcmax_losses::methods::TCMAX;
use tcmax_losses::methods::tcmax::AUTOMATIC_WEIGHTS;

use super::{CheckedConfig, TrainConfig};
use crate::{Error, Registry, Result};

/// One of the settings that a run chooses from.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// What tells it from the others, such as `weight 0.1, learning-rate 0.05`.
    pub name: String,
    /// The values of the keys in question.
    pub values: BTreeMap<String, String>,
    /// Its settings.
    pub config: CheckedConfig,
}

/// Every combination of the values that `[choose]` lists, and of an automatic weight; none where there is nothing to
/// choose.
pub(super) fn candidates(config: &TrainConfig, registry: &Registry) -> Result<Vec<Candidate>> {
    let mut keys = lists(&config.choose);
    let weight = "method.weight";
    let is_automatic = config.method.name == TCMAX.name
        && config.method.options.get("weight").and_then(toml::Value::as_str) == Some("auto");
    if is_automatic && !keys.iter().any(|(key, _)| key == weight) {
        keys.push((weight.to_owned(), AUTOMATIC_WEIGHTS.map(toml::Value::from).to_vec()));
    }
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let plain = TrainConfig { choose: toml::Table::new(), ..config.clone() };
    let mut all = vec![(Vec::<String>::new(), BTreeMap::new(), plain)];
    for (key, values) in &keys {
        let field = || format!("choose.{key}");
        if key.starts_with("data.") || key.starts_with("choose.") || values.is_empty() {
            let problem = "must be a list of values of a key of another section than data";
            return Err(Error::setting(field(), problem));
        }
        let mut more = Vec::with_capacity(all.len() * values.len());
        for (names, chosen, config) in &all {
            for value in values {
                let mut config = config.clone();
                config.set(key, value.clone()).map_err(|error| match error {
                    Error::Setting { problem, .. } => Error::setting(field(), problem),
                    error => error,
                })?;
                let (mut names, mut chosen) = (names.clone(), chosen.clone());
                names.push(format!("{} {}", short(key), word(value)));
                chosen.insert(key.clone(), word(value));
                more.push((names, chosen, config));
            }
        }
        all = more;
    }
    let checked = all.into_iter().map(|(names, values, config)| {
        let config = config.check_with(registry)?;
        Ok(Candidate { name: names.join(", "), values, config })
    });
    checked.collect()
}

/// The keys of a table of lists with their values, dotted keys as they are given to `--set`.
pub(crate) fn lists(table: &toml::Table) -> Vec<(String, Vec<toml::Value>)> {
    let mut found = Vec::new();
    collect("", table, &mut found);
    found
}

fn collect(prefix: &str, table: &toml::Table, found: &mut Vec<(String, Vec<toml::Value>)>) {
    for (key, value) in table {
        let key = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        match value {
            toml::Value::Table(inner) => collect(&key, inner, found),
            toml::Value::Array(values) => found.push((key, values.clone())),
            // Reported as a list without values.
            _ => found.push((key, Vec::new())),
        }
    }
}

/// The last part of a key, or the section whose name it is.
pub(crate) fn short(key: &str) -> &str {
    let key = key.strip_suffix(".name").unwrap_or(key);
    key.rsplit('.').next().unwrap_or(key)
}

/// A value as one reads it.
pub(crate) fn word(value: &toml::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Vec<Candidate>> {
        Ok(TrainConfig::from_toml(text)?.check()?.candidates().to_vec())
    }

    #[test]
    fn every_combination_is_a_candidate() {
        let text = "[method]\nname = \"ogm\"\n[choose]\nmethod.alpha = [0.1, 0.4]\n\"optimiser.learning-rate\" = [0.01, 0.05]";
        let found = of(text).unwrap();
        let names: Vec<&str> = found.iter().map(|candidate| candidate.name.as_str()).collect();
        assert_eq!(names[0], "alpha 0.1, learning-rate 0.01");
        assert_eq!(names.len(), 4);
        assert!(found.iter().all(|candidate| candidate.config.candidates().is_empty()));
        assert_eq!(found[3].config.config().method.options["alpha"].as_float(), Some(0.4));
        assert_eq!(found[3].values["method.alpha"], "0.4");
        assert!(of("").unwrap().is_empty());
    }

    #[test]
    fn an_automatic_weight_has_its_list() {
        let found = of("[method]\nweight = \"auto\"").unwrap();
        assert_eq!(found.len(), AUTOMATIC_WEIGHTS.len());
        assert_eq!(found[2].name, "weight 0.1");
        let own = of("[method]\nweight = \"auto\"\n[choose]\nmethod.weight = [0.2, 0.5]").unwrap();
        assert_eq!(own.len(), 2);
    }

    #[test]
    fn what_cannot_be_chosen_is_refused_by_its_key() {
        for (text, words) in [
            ("[choose]\ndata.train-size = [1, 2]", "choose.data.train-size"),
            ("[choose]\ntrain.epochs = 3", "choose.train.epochs"),
            ("[choose]\ntrain.epochs = []", "choose.train.epochs"),
            ("[choose]\ntrain.epoch = [3]", "did you mean 'epochs'"),
            ("[choose]\nmethod.weight = [3.0]", "from 0 to 1"),
        ] {
            let error = of(text).unwrap_err().to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}
