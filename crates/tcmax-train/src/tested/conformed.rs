//! Other data than the run's, made to fit its model.

use std::collections::BTreeSet;
use std::sync::Arc;

use tcmax_data::{Dataset, Modality};
use tcmax_ops::Seed;

use crate::Task;
use crate::checkpoint::SavedModel;

/// What becomes of the labels of other data.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Labels {
    /// They become the model's classes.
    Read,
    /// They are not looked at.
    LeaveOut,
}

/// Other data with the modalities and classes of a model.
pub(super) struct Conformed {
    data: Arc<dyn Dataset>,
    modalities: Vec<Modality>,
    classes: Vec<String>,
    /// Where each modality of the model is in the data.
    sources: Vec<Option<usize>>,
    /// The model's class of each class of the data; none where labels are left out.
    labels: Option<Vec<u32>>,
    task: Task,
}

impl Conformed {
    /// Data of which modalities and classes are found by name; `without` are modalities that may be lacking.
    ///
    /// # Errors
    /// What does not fit the model, as a sentence.
    pub(super) fn new(
        data: Arc<dyn Dataset>,
        saved: &SavedModel,
        without: &[String],
        labels: Labels,
    ) -> Result<Self, String> {
        let card = &saved.card;
        let optional: BTreeSet<&String> = without.iter().collect();
        let mut sources = Vec::with_capacity(card.modalities.len());
        for (m, modality) in card.modalities.iter().enumerate() {
            let found = data.modalities().iter().position(|other| other == modality);
            let used = saved.model.used_modalities().contains(&m);
            if found.is_none() && used && !optional.contains(&modality.name) {
                let there: Vec<String> = data.modalities().iter().map(describe).collect();
                let there = if there.is_empty() { "none".to_owned() } else { there.join(", ") };
                return Err(format!(
                    "the model needs {}, and the data have {there}",
                    describe(modality)
                ));
            }
            sources.push(found);
        }
        let labels = match labels {
            Labels::Read if data.task() != card.task => {
                let (wanted, there) = (card.task, data.task());
                return Err(format!(
                    "the model is of the task '{wanted}', and the data are of the task '{there}'"
                ));
            }
            Labels::Read => Some(classes_of(data.as_ref(), &card.classes)?),
            Labels::LeaveOut => None,
        };
        let (modalities, classes) = (card.modalities.clone(), card.classes.clone());
        Ok(Self { data, modalities, classes, sources, labels, task: card.task })
    }
}

/// The model's class of each class of the data.
fn classes_of(data: &dyn Dataset, known: &[String]) -> Result<Vec<u32>, String> {
    if data.task() == Task::Regression {
        // By their order: a column may be called otherwise in another file.
        let (wanted, there) = (known.len(), data.classes().len());
        return match u32::try_from(wanted) {
            Ok(count) if wanted == there => Ok((0..count).collect()),
            _ => Err(format!("the model predicts {wanted} numbers, and the data have {there}")),
        };
    }
    let class_of = |(index, class): (usize, &String)| {
        let found = known.iter().position(|own| own == class);
        found.and_then(|found| u32::try_from(found).ok()).ok_or_else(|| {
            let mut target = vec![0f32; data.classes().len()];
            let example = (0..data.len()).find(|&row| {
                data.target(row, &mut target);
                target[index] != 0.0
            });
            let id = example.map(|row| data.id(row)).unwrap_or_default();
            // Examples without a name are called by their row.
            let row = if id.parse::<usize>().is_ok() { "row " } else { "example " };
            let kind = data.task().outputs(1);
            format!("{row}{id} has the {kind} '{class}', which the model does not know")
        })
    };
    data.classes().iter().enumerate().map(class_of).collect()
}

fn describe(modality: &Modality) -> String {
    format!("'{}' of shape {:?}", modality.name, modality.shape)
}

impl Dataset for Conformed {
    fn modalities(&self) -> &[Modality] {
        &self.modalities
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn len(&self) -> usize {
        self.data.len()
    }

    fn label(&self, index: usize) -> u32 {
        let label = self.data.label(index) as usize;
        self.labels.as_ref().and_then(|labels| labels.get(label)).copied().unwrap_or(0)
    }

    fn task(&self) -> Task {
        self.task
    }

    /// Labels that the data do not have are 0.
    fn target(&self, index: usize, out: &mut [f32]) {
        out.fill(0.0);
        let Some(labels) = &self.labels else { return };
        let mut own = vec![0f32; self.data.classes().len()];
        self.data.target(index, &mut own);
        for (value, &class) in own.iter().zip(labels) {
            out[class as usize] = *value;
        }
    }

    fn is_labelled(&self) -> bool {
        self.labels.is_some() && self.data.is_labelled()
    }

    fn id(&self, index: usize) -> String {
        self.data.id(index)
    }

    fn present(&self, index: usize, modality: usize) -> bool {
        self.sources[modality].is_some_and(|source| self.data.present(index, source))
    }

    fn read(
        &self,
        index: usize,
        modality: usize,
        seed: Seed,
        out: &mut [f32],
    ) -> tcmax_data::Result<()> {
        match self.sources[modality] {
            Some(source) => self.data.read(index, source, seed, out),
            None => {
                out.fill(0.0);
                Ok(())
            }
        }
    }

    fn identity(&self, index: usize) -> tcmax_data::Result<u64> {
        self.data.identity(index)
    }

    fn storage_digest(&self) -> String {
        self.data.storage_digest()
    }
}
