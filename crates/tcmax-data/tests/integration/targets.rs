//! Several labels, and numbers to predict: what files show of them, and what a loader makes of them.

use std::collections::HashMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use tcmax_data::{Loader, LoaderOptions, Task, UserData, UserDataConfig};
use tcmax_ops::Seed;

use crate::features::{folder, problem, save, splits, tensors};

const ROWS: usize = 40;

fn with(path: &Path, name: &str, array: Tensor) {
    let mut all = tensors(ROWS);
    all.remove("label");
    all.insert(name.to_owned(), array);
    save(path, &all);
}

fn whole(columns: usize) -> Tensor {
    let values: Vec<i64> = (0..ROWS * columns).map(|n| i64::from(n % 5 < 2)).collect();
    Tensor::from_vec(values, (ROWS, columns), &Device::Cpu).unwrap()
}

fn real(columns: usize) -> Tensor {
    let values: Vec<f32> = (0..ROWS * columns).map(|n| n as f32 / 4.0 - 3.0).collect();
    Tensor::from_vec(values, (ROWS, columns), &Device::Cpu).unwrap()
}

#[test]
fn matrices_of_zero_and_one_are_labels_and_others_numbers() {
    let (_keep, folder) = folder();
    let path = folder.join("x.safetensors");
    let shown = |name: &str, array: Tensor| {
        with(&path, name, array);
        let data = splits(&UserDataConfig::at(&path), 0);
        assert_eq!([data.train.len(), data.validation.len(), data.test.len()], [26, 6, 8]);
        (data.train.task(), data.train.classes().to_vec())
    };
    let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(shown("label", whole(3)), (Task::Labels, names(&["0", "1", "2"])));
    let floats = whole(2).to_dtype(DType::F32).unwrap();
    assert_eq!(shown("labels", floats), (Task::Labels, names(&["0", "1"])));
    assert_eq!(shown("target", real(2)), (Task::Regression, names(&["target 0", "target 1"])));
    let single = real(1).flatten_all().unwrap();
    assert_eq!(shown("target", single.clone()), (Task::Regression, names(&["target"])));
    // Fractions under another name may as well be a mistake.
    with(&path, "label", single);
    let config = UserDataConfig::at(&path);
    assert!(problem(&config).contains("has a fraction"), "{}", problem(&config));
    let config = UserDataConfig { task: Some(Task::Regression), ..config };
    assert_eq!(splits(&config, 0).train.classes(), ["label"]);
}

#[test]
fn labels_have_the_names_of_the_header() {
    let (_keep, folder) = folder();
    let path = folder.join("x.safetensors");
    let mut all = tensors(ROWS);
    all.insert("label".to_owned(), whole(2));
    let write = |names: &str| {
        let header = HashMap::from([("classes".to_owned(), names.to_owned())]);
        std::fs::write(&path, safetensors::serialize(&all, Some(header)).unwrap()).unwrap();
    };
    write(r#"["rain", "wind"]"#);
    let config = UserDataConfig::at(&path);
    assert_eq!(splits(&config, 0).test.classes(), ["rain", "wind"]);
    write(r#"["rain"]"#);
    let message = problem(&config);
    assert!(message.contains("2 columns") && message.contains("names 1"), "{message}");
}

#[test]
fn batches_have_the_targets_of_their_rows() {
    let (_keep, folder) = folder();
    let path = folder.join("x.safetensors");
    with(&path, "target", real(2));
    let data = UserData::open(&UserDataConfig::at(&path)).unwrap();
    let examples = data.examples().clone();
    let shuffled = LoaderOptions { shuffle: true, ..LoaderOptions::in_order(16) };
    let loader = Loader::new(examples.clone(), shuffled, &Device::Cpu).unwrap();
    for batch in loader.epoch(Seed::new(1)) {
        let batch = batch.unwrap();
        assert_eq!(batch.labels.dims(), [0]);
        for (target, &row) in
            batch.targets.unwrap().to_vec2::<f32>().unwrap().iter().zip(&batch.indices)
        {
            let first = (2 * row) as f32 / 4.0 - 3.0;
            assert_eq!(target[..], [first, first + 0.25]);
        }
    }
    let balanced = LoaderOptions { balanced: true, ..shuffled };
    let refused = Loader::new(examples, balanced, &Device::Cpu).err().unwrap().to_string();
    assert!(refused.contains("needs classes, and the task is 'regression'"), "{refused}");
}

#[test]
fn labels_of_which_nothing_can_be_learned_are_warned_of() {
    let (_keep, folder) = folder();
    let path = folder.join("x.safetensors");
    let values: Vec<i64> = (0..ROWS).flat_map(|row| [1, 0, (row % 2) as i64]).collect();
    with(&path, "label", Tensor::from_vec(values, (ROWS, 3), &Device::Cpu).unwrap());
    let warnings = UserData::open(&UserDataConfig::at(&path)).unwrap().warnings().join("\n");
    assert!(warnings.contains("has the labels 0, 1: nothing can be learned"), "{warnings}");
    let one: Vec<i64> =
        (0..ROWS).flat_map(|row| [(row % 2) as i64, (1 - row % 2) as i64]).collect();
    with(&path, "label", Tensor::from_vec(one, (ROWS, 2), &Device::Cpu).unwrap());
    let warnings = UserData::open(&UserDataConfig::at(&path)).unwrap().warnings().join("\n");
    assert!(warnings.contains("exactly one label"), "{warnings}");
}
