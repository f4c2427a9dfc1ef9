//! Opening a data set by its settings, and what is known of it.

use std::path::Path;
use std::sync::Arc;

use tcmax_data::{Dataset, Modality, Splits};
use tcmax_datasets::fetch;
use tcmax_datasets::{DataSource, FILES, Opening, card, catalog};
use tcmax_estimators::JointTable;
use tcmax_registry::Choice;

use crate::config::CheckedConfig;
use crate::results::{DatasetSummary, InformationTruth, PairTruth};
use crate::{Error, Registry, Result};

/// The data set called `name`, or the data at the path `name`, with default options.
///
/// # Errors
/// When there is neither.
pub fn choose_data(name: &str, registry: &Registry) -> Result<Choice> {
    if name != FILES.name && registry.data.get(name).is_ok() {
        return Ok(Choice::named(name));
    }
    if Path::new(name).exists() {
        return Ok(Choice::named(FILES.name).with("path", name));
    }
    if card(name).is_some_and(|card| card.prepare.is_some()) {
        let problem = format!(
            "'{name}' has to be prepared from its media first: tcmax prepare {name} --root DIR --out \
             CLIPS, then --data CLIPS"
        );
        return Err(Error::setting("data.name", problem));
    }
    let names = registry.data.names();
    let known: Vec<&str> = names.into_iter().filter(|other| *other != FILES.name).collect();
    let all = known.iter().copied().chain(catalog().iter().map(|card| card.name.as_str()));
    let meant = tcmax_registry::nearest(name, all);
    let meant = meant.map_or_else(String::new, |name| format!("did you mean '{name}'? "));
    let problem = format!(
        "no data set '{name}'; {meant}choose one of: {}, or give the path of a feature file, a manifest \
         or prepared clips",
        known.join(", ")
    );
    Err(Error::setting("data.name", problem))
}

/// Opens the data of some settings, downloading or preparing what is not there.
///
/// # Errors
/// When options are out of range, or files are missing or not what they should be.
pub fn open_data(config: &CheckedConfig, opening: &Opening<'_>) -> Result<Box<dyn DataSource>> {
    Ok((config.data().open)(&config.config().data.options, opening)?)
}

/// Opens data for which nothing is to be told or fetched from a folder.
///
/// # Errors
/// As [`open_data`].
pub fn open_data_quietly(config: &CheckedConfig) -> Result<Box<dyn DataSource>> {
    let opening = Opening {
        data_dir: None,
        downloads: &fetch::NoProgress,
        clips: &tcmax_media::NoProgress,
        recipe: None,
    };
    open_data(config, &opening)
}

/// What is known of a data set, with the sizes of the splits given.
pub fn summary(source: &dyn DataSource, splits: &Splits) -> DatasetSummary {
    DatasetSummary {
        name: source.title(),
        description: source.description(),
        modalities: splits.train.modalities().iter().map(|m| m.name.clone()).collect(),
        classes: splits.train.classes().to_vec(),
        task: splits.train.task(),
        sizes: [splits.train.len(), splits.validation.len(), splits.test.len()],
        notes: source.notes().iter().cloned().chain(missing(splits)).collect(),
        warnings: source.warnings().to_vec(),
        resampled: source.draws_test_split(),
    }
}

/// Which modalities some examples lack, one sentence each.
fn missing(splits: &Splits) -> Vec<String> {
    let splits = [&splits.train, &splits.validation, &splits.test];
    let total: usize = splits.iter().map(|split| split.len()).sum();
    let of_modality = |(m, modality): (usize, &Modality)| {
        let lacking = |split: &&Arc<dyn Dataset>| {
            (0..split.len()).filter(|&index| !split.present(index, m)).count()
        };
        let count: usize = splits.iter().map(lacking).sum();
        let name = &modality.name;
        (count > 0).then(|| format!("'{name}' is missing in {count} of {total} examples"))
    };
    splits[0].modalities().iter().enumerate().filter_map(of_modality).collect()
}

/// The information in the data, where it is known.
///
/// # Errors
/// Only if the table of the data set were not a distribution.
pub fn truth(source: &dyn DataSource) -> Result<Option<InformationTruth>> {
    source.joint_table()?.map(of_table).transpose()
}

fn of_table((sizes, probabilities): (Vec<usize>, Vec<f64>)) -> Result<InformationTruth> {
    let label = sizes.len() - 1;
    let table = JointTable::new(sizes, probabilities)?;
    let modalities: Vec<usize> = (0..label).collect();
    let all: Vec<usize> = (0..=label).collect();
    let label_information = modalities
        .iter()
        .map(|&m| table.mutual_information(&[m], &[label]))
        .collect::<tcmax_estimators::Result<Vec<f64>>>()?;
    let bayes_modality_accuracy = modalities
        .iter()
        .map(|&m| table.bayes_accuracy(label, &[m]))
        .collect::<tcmax_estimators::Result<Vec<f64>>>()?;
    let total_correlation = table.total_correlation(&all)?;
    let additive: f64 = label_information.iter().sum();
    Ok(InformationTruth {
        label_entropy: table.entropy(&[label])?,
        joint_information: table.mutual_information(&modalities, &[label])?,
        total_correlation,
        // The best additive critic recovers the distribution in which modalities are independent
        // given the label, whose total correlation is the sum of the I(y; x_m).
        additive_gap: (total_correlation - additive).max(0.0),
        shared_information: table.total_correlation(&modalities)?,
        pairs: pairs(&table, label)?,
        bayes_accuracy: table.bayes_accuracy(label, &modalities)?,
        label_information,
        bayes_modality_accuracy,
        matching_auc: table.matching_auc(&modalities, None)?,
        additive_matching_auc: table.matching_auc(&modalities, Some(label))?,
    })
}

/// What any two of the variables before the label share.
fn pairs(table: &JointTable, label: usize) -> Result<Vec<PairTruth>> {
    let pairs = (0..label).flat_map(|b| (0..b).map(move |a| [a, b]));
    let of_pair = |modalities: [usize; 2]| {
        let [a, b] = modalities;
        let shared = table.mutual_information(&[a], &[b])?;
        let with_label = table.mutual_information(&[a], &[b, label])?;
        let given_label = (with_label - table.mutual_information(&[a], &[label])?).max(0.0);
        Ok(PairTruth { modalities, shared, given_label })
    };
    pairs.map(of_pair).collect()
}
