//! Classes from the words or numbers in a label column.

use std::collections::BTreeSet;

/// Class names, sorted, and the class of each cell.
///
/// When every cell is a whole number (`3`, `3.0`), classes are in the order of numbers; otherwise in
/// the order of words.
///
/// # Errors
/// When cells are numbers with a fraction: the first such cell.
pub(crate) fn classes(cells: &[String]) -> Result<(Vec<String>, Vec<u32>), String> {
    let numbers: Option<Vec<f64>> =
        cells.iter().map(|cell| cell.parse().ok().filter(|x: &f64| x.is_finite())).collect();
    match numbers {
        Some(numbers) => {
            if let Some(place) = numbers.iter().position(|x| x.fract() != 0.0) {
                return Err(cells[place].clone());
            }
            let names: BTreeSet<i64> = numbers.iter().map(|&x| x as i64).collect();
            let names: Vec<i64> = names.into_iter().collect();
            let class = |&x: &f64| names.partition_point(|&name| name < x as i64) as u32;
            let labels = numbers.iter().map(class).collect();
            Ok((names.iter().map(ToString::to_string).collect(), labels))
        }
        None => {
            let names: BTreeSet<&String> = cells.iter().collect();
            let names: Vec<String> = names.into_iter().cloned().collect();
            let class = |cell: &String| names.partition_point(|name| name < cell) as u32;
            let labels = cells.iter().map(class).collect();
            Ok((names, labels))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(cells: &[&str]) -> Result<(Vec<String>, Vec<u32>), String> {
        classes(&cells.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn numbers_sort_as_numbers_and_words_as_words() {
        let (names, labels) = of(&["10", "2.0", "-1", "10.0"]).unwrap();
        assert_eq!((names, labels), (vec!["-1".into(), "2".into(), "10".into()], vec![2, 1, 0, 2]));
        let (names, labels) = of(&["10", "2", "ten"]).unwrap();
        assert_eq!((names.len(), labels), (3, vec![0, 1, 2]));
        assert_eq!(of(&["1", "0.5"]), Err("0.5".to_owned()));
    }
}
