//! Targets that are no classes: several labels of each example, or numbers.

use std::collections::BTreeSet;

use tcmax_registry::Task;

use crate::labels::{class_list, wrong_label};
use crate::words::Words;

/// What separates the labels in a cell.
const SEPARATOR: char = ';';

/// Targets of N examples: 1 and 0 for each of several labels, or numbers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Targets {
    /// Never classes.
    pub(crate) task: Task,
    /// What the columns are called.
    pub(crate) names: Vec<String>,
    /// N rows of a value per column.
    pub(crate) values: Vec<f32>,
}

impl Targets {
    /// Of cells with a label, or several with semicolons between them. Labels are in the order of classes.
    ///
    /// # Errors
    /// What is wrong with a label.
    pub(crate) fn of_label_cells(cells: &Words) -> Result<Self, String> {
        let tokens: Vec<Vec<&str>> =
            cells.names.iter().map(|cell| labels_in(cell).collect()).collect();
        let distinct: BTreeSet<&str> = tokens.iter().flatten().copied().collect();
        if distinct.is_empty() {
            return Err("no example has a label".to_owned());
        }
        let words = Words::of(distinct.iter().copied());
        let (names, codes) = class_list(&words)?;
        let column = |token: &str| {
            let position = distinct.iter().position(|other| *other == token)?;
            codes.get(position).map(|&code| code as usize)
        };
        let columns: Vec<Vec<usize>> = tokens
            .iter()
            .map(|tokens| tokens.iter().filter_map(|token| column(token)).collect())
            .collect();
        let mut values = vec![0f32; cells.codes.len() * names.len()];
        for (row, &code) in values.chunks_exact_mut(names.len()).zip(&cells.codes) {
            columns[code as usize].iter().for_each(|&column| row[column] = 1.0);
        }
        Ok(Self { task: Task::Labels, names, values })
    }

    /// Of cells with a number each, which is called `name`.
    ///
    /// # Errors
    /// What is wrong with a cell.
    pub(crate) fn of_number_cells(cells: &Words, name: &str) -> Result<Self, String> {
        let number = |cell: &String| match wrong_number(cell) {
            Some(what) => Err(what),
            None => Ok(cell.trim().parse::<f64>().unwrap_or_default() as f32),
        };
        let numbers: Vec<f32> = cells.names.iter().map(number).collect::<Result<_, _>>()?;
        let values = cells.codes.iter().map(|&code| numbers[code as usize]).collect();
        Ok(Self { task: Task::Regression, names: vec![name.to_owned()], values })
    }

    /// Of cells of a task that is not of classes.
    ///
    /// # Errors
    /// As those of the task.
    pub(crate) fn of_cells(task: Task, cells: &Words, name: &str) -> Result<Self, String> {
        match task {
            Task::Regression => Self::of_number_cells(cells, name),
            Task::Classes | Task::Labels => Self::of_label_cells(cells),
        }
    }

    /// How many examples have each label.
    pub(crate) fn counts(&self) -> Vec<usize> {
        let has = |column: usize| {
            self.values.iter().skip(column).step_by(self.names.len()).filter(|&&v| v != 0.0).count()
        };
        (0..self.names.len()).map(has).collect()
    }
}

/// The labels in a cell.
fn labels_in(cell: &str) -> impl Iterator<Item = &str> {
    cell.split(SEPARATOR).map(str::trim).filter(|label| !label.is_empty())
}

/// What is wrong with a cell as the target of a task, if anything.
pub(crate) fn wrong_target(task: Task, cell: &str) -> Option<String> {
    match task {
        Task::Classes => wrong_label(cell),
        Task::Labels if cell.trim().is_empty() => Some(
            "the labels are empty; write them with ';' between them, and ';' alone for an example that has \
             none"
                .to_owned(),
        ),
        Task::Labels => labels_in(cell).find_map(wrong_label),
        Task::Regression => wrong_number(cell),
    }
}

fn wrong_number(cell: &str) -> Option<String> {
    let cell = cell.trim();
    if cell.is_empty() {
        return Some("the number to predict is empty; give it or remove the row".to_owned());
    }
    match cell.parse::<f64>() {
        Err(_) if cell.replacen(',', ".", 1).parse::<f64>().is_ok() => {
            Some(format!("'{cell}' is not a number; write decimals with a point"))
        }
        Err(_) => Some(format!("'{cell}' is not a number; give the number to predict")),
        Ok(number) => wrong_value(number),
    }
}

/// What is wrong with a number as a target.
pub(crate) fn wrong_value(number: f64) -> Option<String> {
    (!(number as f32).is_finite()).then(|| {
        format!("{number} is not a finite number of 32 bits; correct it or remove the row")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_a_cell_are_columns() {
        let cells = Words::of(["b;a", "a", ";", "10; a;;"]);
        let targets = Targets::of_label_cells(&cells).unwrap();
        assert_eq!(targets.names, ["10", "a", "b"]);
        assert_eq!(targets.values, [0., 1., 1., 0., 1., 0., 0., 0., 0., 1., 1., 0.]);
        assert_eq!(targets.counts(), [1, 3, 1]);
        let numbers = Targets::of_label_cells(&Words::of(["10;2", "2"])).unwrap();
        assert_eq!(numbers.names, ["2", "10"]);
        assert!(Targets::of_label_cells(&Words::of([";"])).is_err());
    }

    #[test]
    fn cells_that_are_no_targets_are_named() {
        let wrong = |task, cell| wrong_target(task, cell).unwrap_or_default();
        assert!(wrong(Task::Labels, " ").contains("';' alone"));
        assert!(wrong(Task::Labels, "a;NA").contains("'NA'"));
        assert_eq!(wrong(Task::Labels, ";"), "");
        assert!(wrong(Task::Regression, "").contains("empty"));
        assert!(wrong(Task::Regression, "1,5").contains("point"));
        for cell in ["nan", "1e39", "-inf"] {
            assert!(wrong(Task::Regression, cell).contains("32 bits"), "{cell}");
        }
        let numbers = Targets::of_number_cells(&Words::of(["1.5", "-2"]), "y").unwrap();
        assert_eq!((numbers.values, numbers.names), (vec![1.5, -2.0], vec!["y".to_owned()]));
    }
}
