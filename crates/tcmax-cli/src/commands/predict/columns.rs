//! Predictions as rows of a table.

use tcmax_train::{Prediction, Predictor, Task};

/// What separates the labels in a cell.
const SEPARATOR: &str = ";";

/// The names of the columns, of data with targets or without.
pub(super) fn header(predictor: &Predictor<'_>, labelled: bool) -> Vec<String> {
    let mut header = vec!["id".to_owned()];
    let names = predictor.classes();
    if predictor.task() == Task::Regression {
        header.extend(names.iter().filter(|_| labelled).cloned());
        header.extend(names.iter().map(|name| format!("predicted {name}")));
        return header;
    }
    header.extend(labelled.then(|| "label".to_owned()));
    header.push("prediction".to_owned());
    header.extend(names.iter().map(|class| format!("p({class})")));
    if predictor.task() == Task::Classes {
        let modalities = predictor.modalities();
        header.extend(modalities.iter().map(|name| format!("{name} prediction")));
        header.extend(predictor.is_whole().then(|| "matching".to_owned()));
    }
    header
}

/// The cells of one example.
pub(super) fn row(predictor: &Predictor<'_>, prediction: &Prediction) -> Vec<String> {
    let mut row = vec![prediction.id.clone()];
    let numbers = |values: &[f32]| values.iter().map(ToString::to_string).collect::<Vec<_>>();
    match predictor.task() {
        Task::Regression => {
            row.extend(prediction.targets.iter().flat_map(|targets| numbers(targets)));
            row.extend(numbers(&prediction.values));
        }
        Task::Labels => {
            let labels = |values: &[f32]| labels(predictor, values).join(SEPARATOR);
            row.extend(prediction.targets.iter().map(|targets| labels(targets)));
            row.push(labels(&prediction.values));
            row.extend(prediction.values.iter().map(|p| format!("{p:.6}")));
        }
        Task::Classes => {
            let class = |index: usize| predictor.classes()[index].clone();
            row.extend(prediction.label.map(class));
            row.push(class(prediction.class));
            row.extend(prediction.values.iter().map(|p| format!("{p:.6}")));
            row.extend(prediction.modalities.iter().map(|own| own.map(class).unwrap_or_default()));
            if predictor.is_whole() {
                row.push(prediction.matching.map_or_else(String::new, |nats| format!("{nats:.4}")));
            }
        }
    }
    row
}

/// The labels of a value of at least one half.
pub(super) fn labels<'a>(predictor: &'a Predictor<'_>, values: &[f32]) -> Vec<&'a str> {
    let has = predictor.classes().iter().zip(values).filter(|(_, value)| **value >= 0.5);
    has.map(|(name, _)| name.as_str()).collect()
}
