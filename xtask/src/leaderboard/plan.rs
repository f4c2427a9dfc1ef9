//! The file of the leaderboard: data sets, settings, and what each method chooses from.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, ensure};
use serde::Deserialize;
use tcmax_registry::Table;
use tcmax_train::{CompareOptions, Experiment, TrainConfig};

/// The file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Plan {
    /// One line on what is compared.
    pub(super) title: String,
    /// Seeds of every method.
    pub(super) seeds: Vec<u64>,
    /// Combinations that every method chooses from, neither more nor fewer.
    pub(super) candidates: usize,
    /// Sections of the experiment of every data set.
    settings: Table,
    data_set: Vec<PlannedSet>,
    /// Lists of values for methods that have no grid of their own.
    usual_grid: Table,
    /// Lists of values by method.
    grids: BTreeMap<String, Table>,
}

/// A data set of the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct PlannedSet {
    /// What to call it, and its folder.
    pub(super) name: String,
    /// What it is, one sentence.
    pub(super) about: String,
    /// Of data that nobody else can hand over: where they lie below the folder of `--root`.
    pub(super) path: Option<PathBuf>,
    /// Seeds, where they are not those of the file.
    pub(super) seeds: Option<Vec<u64>>,
    /// What the learning rates of all grids are multiplied by: large networks take small ones.
    #[serde(default = "one")]
    rate_factor: f64,
    /// Sections in the place of those of all data sets.
    settings: Table,
}

const fn one() -> f64 {
    1.0
}

/// The key of the learning rate in grids.
const RATE: &str = "optimiser.learning-rate";

impl Plan {
    /// Reads the file.
    pub(super) fn read(text: &str) -> anyhow::Result<Self> {
        let plan: Self = toml::from_str(text)?;
        let grids = plan.grids.iter().map(|(name, grid)| (name.as_str(), grid));
        for (name, grid) in grids.chain([("usual-grid", &plan.usual_grid)]) {
            let lists = lists(grid).with_context(|| format!("the grid of '{name}'"))?;
            let count: usize = lists.iter().map(|(_, values)| values.len()).product();
            let wanted = plan.candidates;
            ensure!(
                count == wanted,
                "the grid of '{name}' has {count} combinations, and those of all methods have {wanted}"
            );
        }
        let of_folder = |c: char| c.is_ascii_alphanumeric() || c == '-';
        for (n, set) in plan.data_set.iter().enumerate() {
            let name = &set.name;
            ensure!(!name.is_empty() && name.chars().all(of_folder), "'{name}' is no name");
            let is_new = plan.data_set[..n].iter().all(|other| other.name != *name);
            ensure!(is_new, "the data set '{name}' is there twice");
            let is_factor = set.rate_factor.is_finite() && set.rate_factor > 0.0;
            ensure!(is_factor, "the rate-factor of '{name}' must be a number above 0");
        }
        Ok(plan)
    }

    /// All data sets, or those of these names, in the order of the file.
    pub(super) fn chosen(&self, names: Option<&[String]>) -> anyhow::Result<Vec<&PlannedSet>> {
        for name in names.unwrap_or_default() {
            let known: Vec<&str> = self.data_set.iter().map(|set| set.name.as_str()).collect();
            let is_known = known.contains(&name.as_str());
            ensure!(is_known, "--data-sets: no '{name}'; choose of: {}", known.join(", "));
        }
        let is_chosen = |set: &&PlannedSet| names.is_none_or(|names| names.contains(&set.name));
        Ok(self.data_set.iter().filter(is_chosen).collect())
    }

    /// The settings of a data set's runs.
    pub(super) fn experiment(&self, set: &PlannedSet) -> anyhow::Result<Experiment> {
        let mut sections = self.settings.clone();
        sections.extend(set.settings.clone());
        let config = TrainConfig::from_table(&sections)
            .with_context(|| format!("data set '{}'", set.name))?;
        Ok(Experiment { config, compare: CompareOptions::default() })
    }

    /// Grids of methods that are not registered, which nothing uses.
    pub(super) fn unused_grids(&self, methods: &[&str]) -> Vec<&str> {
        let names = self.grids.keys().map(String::as_str);
        names.filter(|name| !methods.contains(name)).collect()
    }

    /// A method with what it chooses from on a data set, as a comparison takes it.
    pub(super) fn with_grid(&self, method: &str, set: &PlannedSet) -> anyhow::Result<String> {
        let name = method.split_whitespace().next().unwrap_or_default();
        let grid = self.grids.get(name).unwrap_or(&self.usual_grid);
        let mut given = method.to_owned();
        for (key, values) in lists(grid)? {
            let factor = if key == RATE { set.rate_factor } else { 1.0 };
            // Words are separated by spaces.
            let values: Vec<String> = values
                .iter()
                .map(|value| scaled(value, factor).to_string().replace(' ', ""))
                .collect();
            given += &format!(" choose.{key}=[{}]", values.join(","));
        }
        Ok(given)
    }
}

/// The keys of a grid, such as `method.alpha`, with their values.
fn lists(grid: &Table) -> anyhow::Result<Vec<(String, &Vec<toml::Value>)>> {
    let mut found = Vec::new();
    for (section, table) in grid {
        let table = table.as_table().with_context(|| format!("'{section}' is no section"))?;
        for (key, values) in table {
            let values = values.as_array().filter(|values| !values.is_empty());
            let values = values.with_context(|| format!("'{section}.{key}' must be a list"))?;
            found.push((format!("{section}.{key}"), values));
        }
    }
    Ok(found)
}

/// A value of a grid, of which rates are multiplied by a factor.
fn scaled(value: &toml::Value, factor: f64) -> toml::Value {
    match value.as_float() {
        // Without the digits that only the product of two decimal numbers has.
        Some(rate) if factor != 1.0 => ((rate * factor * 1e9).round() / 1e9).into(),
        _ => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tcmax_train::{Registry, variants};

    fn file() -> String {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../experiments/leaderboard.toml");
        std::fs::read_to_string(path).unwrap()
    }

    #[test]
    fn every_method_chooses_from_as_many_candidates() {
        let (plan, registry) = (Plan::read(&file()).unwrap(), Registry::default());
        let modalities = ["one".to_owned(), "two".to_owned()];
        for set in plan.chosen(None).unwrap() {
            let mut experiment = plan.experiment(set).unwrap();
            if let Some(path) = &set.path {
                experiment.set("data.path", path.to_str().unwrap().into()).unwrap();
            }
            let names = registry.methods.names();
            let methods: anyhow::Result<Vec<String>> =
                names.iter().map(|name| plan.with_grid(name, set)).collect();
            experiment.compare.methods = methods.unwrap();
            let variants = variants(&experiment, &registry, &modalities).unwrap();
            assert_eq!(variants.len(), names.len());
            for (variant, name) in variants.iter().zip(names) {
                assert_eq!(variant.name, name, "what is chosen from is no part of the name");
                assert_eq!(variant.config.candidates().len(), plan.candidates, "{name}");
            }
        }
    }

    #[test]
    fn every_grid_belongs_to_a_method() {
        let (plan, registry) = (Plan::read(&file()).unwrap(), Registry::default());
        assert_eq!(plan.unused_grids(&registry.methods.names()), Vec::<&str>::new());
    }

    #[test]
    fn rates_alone_are_multiplied_by_the_factor_of_a_data_set() {
        let text = file().replacen("[[data-set]]", "[[data-set]]\nrate-factor = 0.05", 1);
        let plan = Plan::read(&text).unwrap();
        let all = plan.chosen(None).unwrap();
        let given = plan.with_grid("tcmax", all[0]).unwrap();
        assert!(given.contains("choose.optimiser.learning-rate=[0.001,0.0025]"), "{given}");
        assert!(given.contains("choose.method.weight=[0.1,1.0]"), "{given}");
        let given = plan.with_grid("tcmax", all[1]).unwrap();
        assert!(given.contains("choose.optimiser.learning-rate=[0.02,0.05]"), "{given}");
        let text = file().replacen("[[data-set]]", "[[data-set]]\nrate-factor = 0.0", 1);
        let found = Plan::read(&text).unwrap_err().to_string();
        assert!(found.contains("rate-factor of 'competition'"), "{found}");
    }

    #[test]
    fn a_grid_of_another_size_and_unknown_names_are_refused() {
        let error = |from: &str, to: &str| {
            let text = file().replacen(from, to, 1);
            format!("{:#}", Plan::read(&text).unwrap_err())
        };
        let found = error("method.weight = [0.1, 1.0]", "method.weight = [0.1]");
        assert!(
            found.contains("'tcmax' has 2 combinations, and those of all methods have 4"),
            "{found}"
        );
        let found = error("method.weight = [0.1, 1.0]", "method.weight = 0.1");
        assert!(found.contains("'method.weight' must be a list"), "{found}");
        let found = error("name = \"shared-nuisance\"", "name = \"competition\"");
        assert!(found.contains("'competition' is there twice"), "{found}");
        let plan = Plan::read(&file()).unwrap();
        let found = plan.chosen(Some(&["digits".to_owned()])).unwrap_err().to_string();
        assert!(found.contains("no 'digits'; choose of: competition"), "{found}");
    }
}
