//! What is wrong or doubtful with user data is reported, all at once.

use std::path::Path;

use candle_core::{Device, Tensor};
use tcmax_data::user_data::Inspection;
use tcmax_data::{SplitRule, UserDataConfig};

use crate::features::{folder, problem, save, tensors, write_tables};

#[test]
fn everything_wrong_with_a_feature_file_is_reported_at_once() {
    let (_keep, folder) = folder();
    let path = folder.join("x.safetensors");
    let mut all = tensors(30);
    let mut values = vec![0f32; 60];
    (values[7], values[21]) = (f32::NAN, f32::INFINITY);
    all.insert("bad".to_owned(), Tensor::from_vec(values, (30, 2), &Device::Cpu).unwrap());
    all.insert(
        "short".to_owned(),
        Tensor::zeros((29, 2), candle_core::DType::F32, &Device::Cpu).unwrap(),
    );
    save(&path, &all);
    let text = problem(&UserDataConfig::at(&path));
    for part in [
        "row 3, 'bad': value 1 is NaN",
        "row 10, 'bad': value 1 is infinite",
        "'short': 29 rows, but 'label' has 30",
    ] {
        assert!(text.contains(part), "'{part}' is not in: {text}");
    }
    all.remove("label");
    save(&path, &all);
    assert!(problem(&UserDataConfig::at(&path)).contains("there are: bad, face, short, voice"));
}

#[test]
fn a_class_without_training_examples_is_reported() {
    let (_keep, folder) = folder();
    let path = folder.join("x.safetensors");
    let mut all = tensors(30);
    let split: Vec<u8> =
        (0..30).map(|row| if row % 3 == 2 { 2 } else { u8::from(row > 20) }).collect();
    all.insert("split".to_owned(), Tensor::from_vec(split, 30, &Device::Cpu).unwrap());
    save(&path, &all);
    let text = problem(&UserDataConfig::at(&path));
    assert!(text.contains("class '2' has no training example, but 10 elsewhere"), "{text}");
}

#[test]
fn everything_wrong_with_tables_is_reported_at_once() {
    let (_keep, folder) = folder();
    write_tables(&folder);
    std::fs::write(folder.join("c.csv"), "1,2,yes\n1,nan,no\n1,x,yes\n1,no\n").unwrap();
    let text = problem(&UserDataConfig::at(&folder));
    for part in [
        "c.csv, line 3: column 1: 'x' is not a number",
        "c.csv, line 4: 2 cells",
        "c.csv: 3 rows, but",
    ] {
        assert!(text.contains(part), "'{part}' is not in: {text}");
    }
    std::fs::remove_file(folder.join("c.csv")).unwrap();
    let text = std::fs::read_to_string(folder.join("a.csv")).unwrap();
    std::fs::write(folder.join("a.csv"), text.replace("7,8.5,no", "7,inf,yes")).unwrap();
    let message = problem(&UserDataConfig::at(&folder));
    assert!(message.contains("b.csv, line 9: label 'no', but"), "{message}");
    std::fs::write(folder.join("a.csv"), text.replace("7,8.5,no", "7,inf,no")).unwrap();
    let message = problem(&UserDataConfig::at(&folder));
    assert!(message.contains("a.csv, line 8: column 1: inf is not a finite number"), "{message}");
}

#[test]
fn empty_files_pointers_and_cut_ones_are_reported() {
    let (_keep, folder) = folder();
    let path = folder.join("x.safetensors");
    std::fs::write(&path, "").unwrap();
    assert!(problem(&UserDataConfig::at(&path)).contains("empty"));
    std::fs::write(&path, "version https://git-lfs.github.com/spec/v1\noid sha256:0\n").unwrap();
    assert!(problem(&UserDataConfig::at(&path)).contains("git lfs pull"));
    save(&path, &tensors(30));
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - 9]).unwrap();
    assert!(problem(&UserDataConfig::at(&path)).contains("not a readable safetensors file"));
    assert!(problem(&UserDataConfig::at(&folder.join("none"))).contains("does not exist"));
}

/// A feature file of 30 rows with one more array.
fn with(path: &Path, name: &str, tensor: candle_core::Result<Tensor>) -> String {
    let mut all = tensors(30);
    all.insert(name.to_owned(), tensor.unwrap());
    save(path, &all);
    problem(&UserDataConfig::at(path))
}

#[test]
fn splits_groups_and_masks_of_another_shape_are_refused() {
    let (_keep, folder) = folder();
    let path = folder.join("x.safetensors");
    let device = &Device::Cpu;
    for name in ["split", "group"] {
        let message = with(&path, name, Tensor::ones((30, 2), candle_core::DType::U8, device));
        assert!(
            message.contains(&format!("'{name}': must be one number or word per row, not 2")),
            "{message}"
        );
    }
    let message =
        with(&path, "face.present", Tensor::ones((30, 2), candle_core::DType::U8, device));
    assert!(message.contains("'face.present': must be one number per row"), "{message}");
    let message = with(&path, "face.present", Tensor::full(2u8, 30, device));
    assert!(message.contains("row 0, 'face.present': 2 is neither 0 nor 1"), "{message}");
    let message = with(&path, "fac.present", Tensor::ones(30, candle_core::DType::U8, device));
    assert!(message.contains("no modality 'fac'; did you mean 'face'?"), "{message}");
    let message = with(&path, "y", Tensor::ones(30, candle_core::DType::U8, device));
    assert!(message.contains("'y': looks like labels too, beside 'label'"), "{message}");
}

#[test]
fn a_split_of_ambiguous_numbers_is_refused() {
    let (_keep, folder) = folder();
    let path = folder.join("x.safetensors");
    for [first, second] in [[0u8, 1], [1, 2]] {
        let split: Vec<u8> = (0..30).map(|row| if row < 20 { first } else { second }).collect();
        let message = with(&path, "split", Tensor::from_vec(split, 30, &Device::Cpu));
        assert!(message.contains("alone are ambiguous"), "{message}");
    }
}

#[test]
fn labels_that_are_no_classes_are_named_by_row() {
    let (_keep, folder) = folder();
    let path = folder.join("x.safetensors");
    let mut labels: Vec<f32> = (0..30).map(|row| (row % 3) as f32).collect();
    (labels[4], labels[9]) = (f32::NAN, f32::INFINITY);
    let message = with(&path, "label", Tensor::from_vec(labels, 30, &Device::Cpu));
    assert!(message.contains("row 4, 'label': the label is 'NaN'"), "{message}");
    assert!(message.contains("row 9, 'label': the label is 'inf'"), "{message}");
    let table = folder.join("a.csv");
    std::fs::write(&table, "1,x\n2,nan\n3,\n4,y\n5,NA\n").unwrap();
    let message = problem(&UserDataConfig::at(&table));
    for part in
        ["line 2: the label is 'nan'", "line 3: the label is empty", "line 5: the label is 'NA'"]
    {
        assert!(message.contains(part), "'{part}' is not in: {message}");
    }
}

#[test]
fn names_that_are_not_there_are_refused_with_the_nearest() {
    let (_keep, folder) = folder();
    let path = folder.join("x.safetensors");
    save(&path, &tensors(30));
    let at = UserDataConfig::at(&path);
    let message = problem(&UserDataConfig { label: Some("lable".into()), ..at.clone() });
    assert!(
        message.contains("'lable': there is no such array; did you mean 'label'?"),
        "{message}"
    );
    let message = problem(&UserDataConfig { group: Some("voise".into()), ..at });
    assert!(
        message.contains("'voise': there is no such array; did you mean 'voice'?"),
        "{message}"
    );
    write_tables(&folder);
    let message =
        problem(&UserDataConfig { group: Some("a".into()), ..UserDataConfig::at(&folder) });
    assert!(message.contains("feature tables have no named columns"), "{message}");
}

#[test]
fn groups_of_one_and_too_many_folds_are_refused() {
    let (_keep, folder) = folder();
    let path = folder.join("x.safetensors");
    let mut all = tensors(30);
    let groups: Vec<i64> = (0..30).collect();
    all.insert("speaker".to_owned(), Tensor::from_vec(groups, 30, &Device::Cpu).unwrap());
    save(&path, &all);
    let config = UserDataConfig { split: Some(SplitRule::Group), ..UserDataConfig::at(&path) };
    assert!(problem(&config).contains("each of the 30 examples is a group of its own"));
    let config = UserDataConfig { folds: Some(100_000), ..UserDataConfig::at(&path) };
    assert!(problem(&config).contains("folds: there are only 30 examples"));
}

#[test]
fn a_folder_called_like_a_file_and_no_path_are_reported() {
    let (_keep, folder) = folder();
    std::fs::create_dir(folder.join("a.csv")).unwrap();
    let message = problem(&UserDataConfig::at(&folder));
    assert!(message.contains("a.csv: it is a folder"), "{message}");
    let message = problem(&UserDataConfig::default());
    assert!(message.contains("path: is not given"), "{message}");
}

#[test]
fn copies_single_examples_and_constant_columns_are_warned_of() {
    let (_keep, folder) = folder();
    let path = folder.join("a.csv");
    let mut rows: String =
        (0..20).map(|row| format!("{row}.5,7,{},{}\n", row % 3, row % 2)).collect();
    rows += "3.5,7,0,1\n8.25,7,1,9\n";
    std::fs::write(&path, &rows).unwrap();
    let warnings = |path: &Path| Inspection::of(&UserDataConfig::at(path)).unwrap().0.warnings;
    let found = warnings(&path);
    for part in [
        "1 of the 3 columns of 'a' never change (1)",
        "1 class has one example only (9)",
        "1 examples are copies of others (rows 3 and 20)",
    ] {
        assert!(
            found.iter().any(|warning| warning.contains(part)),
            "'{part}' is not in: {found:?}"
        );
    }
    assert_eq!(found.len(), 3, "{found:?}");
    let splits = folder.join("splits");
    for (split, rows) in [("train", "1,2,a\n3,4,b\n5,5,a\n"), ("test", "3,4,b\n8,9,a\n")] {
        std::fs::create_dir_all(splits.join(split)).unwrap();
        std::fs::write(splits.join(split).join("x.csv"), rows).unwrap();
    }
    let found = warnings(&splits);
    let wanted = "1 examples of validation and test are copies of training examples (rows 1 and 3)";
    assert_eq!(found, [wanted]);
    let rows: String =
        (0..20).map(|row| format!("{row},{},{}\n", row * row % 7, row % 2)).collect();
    std::fs::write(&path, rows).unwrap();
    assert!(warnings(&path)[0].contains("column 0 of 'a' counts the rows"));
}

#[cfg(unix)]
#[test]
fn pipes_and_devices_are_refused() {
    let (_keep, folder) = folder();
    for name in ["x.csv", "x.npz", "x.safetensors", "x.parquet"] {
        let path = folder.join(name);
        std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
        let message = problem(&UserDataConfig::at(&path));
        assert!(message.contains("a pipe or a device"), "{message}");
        if name != "x.parquet" {
            let message = tcmax_data::arrays::read_arrays(&path).unwrap_err().to_string();
            assert!(message.contains("a pipe or a device"), "{message}");
        }
    }
}
