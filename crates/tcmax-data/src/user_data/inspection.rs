//! What is at a path, for `tcmax inspect`.

use serde::Serialize;
use tcmax_registry::Task;

use super::config::UserDataConfig;
use super::data::UserData;
use super::layout::Layout;
use super::warnings;
use crate::dataset::Modality;
use crate::error::Result;
use crate::labels::class_list;
use crate::manifest::{Manifest, MediaColumn};
use crate::problems::{Problem, Problems};
use crate::split::Split;
use crate::targets::Targets;
use crate::words::Words;

/// What was found.
#[derive(Clone, Debug, Serialize)]
pub struct Inspection {
    /// What it is, in a few words.
    pub layout: String,
    /// Examples.
    pub examples: usize,
    /// Modalities.
    pub modalities: Vec<ModalityFindings>,
    /// What is to be predicted.
    pub task: Task,
    /// Classes, or labels, with their numbers of examples.
    pub classes: Vec<(String, usize)>,
    /// Numbers to predict, with the least, the mean and the largest.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub numbers: Vec<(String, [f64; 3])>,
    /// Examples of train, validation and test, where the data have a split of their own.
    pub splits: Option<[usize; 3]>,
    /// Groups, where there are any.
    pub groups: Option<usize>,
    /// What a reader should know.
    pub notes: Vec<String>,
    /// What makes results doubtful: copies of examples, classes of one example, constant inputs.
    pub warnings: Vec<String>,
    /// What is wrong.
    pub problems: Vec<String>,
}

/// One modality as it was found.
#[derive(Clone, Debug, Serialize)]
pub struct ModalityFindings {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: String,
    /// The shape of one example; empty before media are decoded.
    pub shape: Vec<usize>,
    /// Examples that lack it.
    pub missing: usize,
}

impl Inspection {
    /// Reads everything that can be read without decoding media. A manifest is returned too, with its
    /// problems so far, so that the caller can decode its media.
    ///
    /// # Errors
    /// When there is nothing at the path, or it cannot be read at all.
    pub fn of(config: &UserDataConfig) -> Result<(Self, Option<(Manifest, Problems)>)> {
        let layout = Layout::of(&config.path)?;
        let mut problems = Problems::new();
        if let Layout::Manifest(file) = &layout {
            let manifest = Manifest::read(file, None, config.names(), &mut problems)?;
            let task = config.task.unwrap_or_default();
            let found = Self::of_manifest(&layout, &manifest, task);
            return Ok((found, Some((manifest, problems))));
        }
        let data = UserData::open_layout(&layout, config, &mut problems)?;
        let mut found = Self::empty(&layout);
        if let Some(data) = &data {
            found.fill(data);
            if problems.is_empty()
                && let Err(error) = data.splits(config, 0)
            {
                found.problems.push(error.to_string());
            }
        }
        found.add(problems);
        Ok((found, None))
    }

    /// Adds problems found later.
    pub fn add(&mut self, problems: Problems) {
        let more = problems.count() - problems.list().len();
        let mut list: Vec<Problem> = problems.into_iter().collect();
        list.sort();
        self.problems.extend(list.iter().map(ToString::to_string));
        if more > 0 {
            self.problems.push(format!("and {more} more"));
        }
    }

    fn empty(layout: &Layout) -> Self {
        Self {
            layout: layout.describe().to_owned(),
            examples: 0,
            modalities: Vec::new(),
            task: Task::Classes,
            classes: Vec::new(),
            numbers: Vec::new(),
            splits: None,
            groups: None,
            notes: Vec::new(),
            warnings: Vec::new(),
            problems: Vec::new(),
        }
    }

    fn fill(&mut self, data: &UserData) {
        let examples = data.examples();
        self.examples = examples.len();
        let finding = |(m, modality): (usize, &Modality)| ModalityFindings {
            name: modality.name.clone(),
            kind: format!("{:?}", modality.kind).to_lowercase(),
            shape: modality.shape.clone(),
            missing: (0..examples.len()).filter(|&row| !examples.present(row, m)).count(),
        };
        self.modalities = examples.modalities().iter().enumerate().map(finding).collect();
        self.task = examples.task();
        let counts = match &data.targets {
            Some(targets) => targets.counts(),
            None => {
                let mut counts = vec![0; examples.classes().len()];
                data.labels.iter().for_each(|&label| counts[label as usize] += 1);
                counts
            }
        };
        self.classes = examples.classes().iter().cloned().zip(counts).collect();
        if let Some(targets) = data.targets.as_ref().filter(|_| self.task == Task::Regression) {
            self.classes = Vec::new();
            self.numbers = numbers(targets);
        }
        self.splits = data.splits.as_deref().map(Split::count);
        self.groups = data.groups.as_deref().map(|groups| distinct(groups.iter()));
        self.notes = data.notes().to_vec();
        self.warnings = data.warnings().to_vec();
        self.warn_of_groups();
    }

    fn of_manifest(layout: &Layout, manifest: &Manifest, task: Task) -> Self {
        let mut found = Self { task, ..Self::empty(layout) };
        found.examples = manifest.rows.len();
        let finding = |(c, column): (usize, &MediaColumn)| ModalityFindings {
            name: column.name.clone(),
            kind: format!("{:?}", column.kind).to_lowercase(),
            shape: Vec::new(),
            missing: manifest.rows.iter().filter(|row| row.cells[c].is_none()).count(),
        };
        found.modalities = manifest.columns.iter().enumerate().map(finding).collect();
        let cells = Words::of(manifest.rows.iter().map(|row| row.label.as_str()));
        if task != Task::Classes {
            if let Ok(targets) = Targets::of_cells(task, &cells, "target") {
                found.warnings.extend(warnings::of_targets(&targets));
                match task {
                    Task::Regression => found.numbers = numbers(&targets),
                    _ => {
                        let counts = targets.counts();
                        found.classes = targets.names.into_iter().zip(counts).collect();
                    }
                }
            }
        } else if let Ok((classes, labels)) = class_list(&cells) {
            let mut counts = vec![0; classes.len()];
            labels.iter().for_each(|&label| counts[label as usize] += 1);
            found.warnings.extend(warnings::single_classes(&classes, &counts));
            found.classes = classes.into_iter().zip(counts).collect();
        }
        let splits: Option<Vec<Split>> = manifest.rows.iter().map(|row| row.split).collect();
        found.splits = splits.as_deref().map(Split::count);
        let keys: Vec<_> = manifest.rows.iter().map(|row| Some(&row.cells)).collect();
        found.warnings.extend(warnings::copies(&keys, splits.as_deref()));
        let groups = manifest.rows.iter().map(|row| &row.group);
        found.groups = manifest.has_groups.then(|| distinct(groups));
        found.notes.clone_from(&manifest.notes);
        found.warn_of_groups();
        found
    }

    fn warn_of_groups(&mut self) {
        if self.groups.is_some_and(|groups| groups == self.examples && groups > 1) {
            let warning = "every group has one example: are they the names of the examples?";
            self.warnings.push(warning.to_owned());
        }
    }
}

/// The least, the mean and the largest of each number to predict.
fn numbers(targets: &Targets) -> Vec<(String, [f64; 3])> {
    let of = |(column, name): (usize, &String)| {
        let values = targets.values.iter().skip(column).step_by(targets.names.len());
        let values: Vec<f64> = values.map(|&value| f64::from(value)).collect();
        let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        let largest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        (name.clone(), [least, mean, largest])
    };
    targets.names.iter().enumerate().map(of).collect()
}

fn distinct<T: Ord>(items: impl Iterator<Item = T>) -> usize {
    items.collect::<std::collections::BTreeSet<_>>().len()
}
