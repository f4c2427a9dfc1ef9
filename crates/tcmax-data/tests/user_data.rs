//! Feature files and feature tables of the user's own are read, split, masked and checked.

use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use tcmax_data::user_data::{Inspection, Layout};
use tcmax_data::{Dataset, Loader, LoaderOptions, SplitRule, Splits, UserData, UserDataConfig};
use tcmax_ops::Seed;
use tempfile::TempDir;

fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    (folder, path)
}

/// 30 rows of three classes in two modalities; value `row + offset` everywhere.
fn tensors(rows: usize) -> HashMap<String, Tensor> {
    let device = &Device::Cpu;
    let ramp = |width: usize, offset: f32| {
        let values: Vec<f32> = (0..rows).flat_map(|row| vec![row as f32 + offset; width]).collect();
        Tensor::from_vec(values, (rows, width), device).unwrap()
    };
    let labels: Vec<i64> = (0..rows as i64).map(|row| row % 3).collect();
    HashMap::from([
        ("face".to_owned(), ramp(4, 0.0)),
        ("voice".to_owned(), ramp(2, 0.5)),
        ("label".to_owned(), Tensor::from_vec(labels, rows, device).unwrap()),
    ])
}

fn save(path: &Path, tensors: &HashMap<String, Tensor>) {
    candle_core::safetensors::save(tensors, path).unwrap();
}

fn splits(config: &UserDataConfig, seed: u64) -> Splits {
    UserData::open(config).unwrap().splits(config, seed).unwrap()
}

fn problem(config: &UserDataConfig) -> String {
    let opened = UserData::open(config).and_then(|data| data.splits(config, 0).map(drop));
    opened.unwrap_err().to_string()
}

fn row(data: &dyn Dataset, index: usize, modality: usize) -> Vec<f32> {
    let mut out = vec![0.0; data.modalities()[modality].len()];
    data.read(index, modality, Seed::new(0), &mut out).unwrap();
    out
}

#[test]
fn a_feature_file_is_read_and_split_by_the_seed() {
    let (_keep, folder) = folder();
    let path = folder.join("x.safetensors");
    save(&path, &tensors(30));
    let config = UserDataConfig::at(&path);
    let parts = splits(&config, 1);
    assert_eq!([parts.train.len(), parts.validation.len(), parts.test.len()], [18, 6, 6]);
    assert_eq!(parts.train.classes(), ["0", "1", "2"]);
    let names: Vec<_> = parts.train.modalities().iter().map(|m| m.name.as_str()).collect();
    assert_eq!(names, ["face", "voice"]);
    for index in 0..18 {
        let [face, voice] = [0, 1].map(|m| row(parts.train.as_ref(), index, m));
        assert_eq!(face[0] + 0.5, voice[1], "the modalities of a row stay together");
        assert_eq!(face[0] as u32 % 3, parts.train.label(index), "and with their label");
    }
    let first = |seed| row(splits(&config, seed).test.as_ref(), 0, 0)[0];
    assert_eq!(first(1), first(1));
    assert!((2..20).any(|seed| first(seed) != first(1)), "another seed, another split");
}

#[test]
fn a_split_array_is_kept_and_groups_stay_together() {
    let (_keep, folder) = folder();
    let path = folder.join("x.safetensors");
    let mut all = tensors(30);
    let split: Vec<u8> = (0..30).map(|row| if row < 12 { 2 } else { u8::from(row > 24) }).collect();
    all.insert("split".to_owned(), Tensor::from_vec(split, 30, &Device::Cpu).unwrap());
    let groups: Vec<i64> = (0..30).map(|row| row / 3).collect();
    all.insert("speaker".to_owned(), Tensor::from_vec(groups, 30, &Device::Cpu).unwrap());
    save(&path, &all);
    let config = UserDataConfig::at(&path);
    let parts = splits(&config, 0);
    assert_eq!([parts.train.len(), parts.validation.len(), parts.test.len()], [13, 5, 12]);
    assert_eq!(row(parts.test.as_ref(), 11, 0)[0], 11.0);
    let by_group =
        UserDataConfig { split: Some(SplitRule::Group), folds: Some(5), fold: 3, ..config };
    let parts = splits(&by_group, 0);
    let speakers = |data: &dyn Dataset| -> Vec<u32> {
        (0..data.len()).map(|index| row(data, index, 0)[0] as u32 / 3).collect()
    };
    let (train, test) = (speakers(parts.train.as_ref()), speakers(parts.test.as_ref()));
    assert_eq!(test.len(), 6);
    assert!(test.iter().all(|speaker| !train.contains(speaker)));
}

#[test]
fn words_in_npz_are_classes() {
    let (_keep, folder) = folder();
    let path = folder.join("x.npz");
    let npy = |descr: &str, shape: &str, data: &[u8]| {
        let header =
            format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n");
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.extend(data);
        bytes
    };
    let words: Vec<u8> = (0..12)
        .flat_map(|row| ["sad", "joy"][row % 2].chars().collect::<Vec<_>>())
        .flat_map(|c| (c as u32).to_le_bytes())
        .collect();
    let values: Vec<u8> = (0..24).flat_map(|x| (x as f32).to_le_bytes()).collect();
    let mut archive = zip::ZipWriter::new(std::fs::File::create(&path).unwrap());
    let options =
        zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::STORE);
    for (name, bytes) in
        [("y.npy", npy("<U3", "(12,)", &words)), ("a.npy", npy("<f4", "(12, 2)", &values))]
    {
        archive.start_file(name, options).unwrap();
        archive.write_all(&bytes).unwrap();
    }
    archive.finish().unwrap();
    let parts = splits(&UserDataConfig::at(&path), 0);
    assert_eq!(parts.test.classes(), ["joy", "sad"]);
    let row = row(parts.test.as_ref(), 0, 0);
    assert_eq!(row[1], row[0] + 1.0);
    assert_eq!(parts.test.label(0), u32::from((row[0] as u32 / 2).is_multiple_of(2)));
}

/// An npz whose one member is 20 MB of zeros, deflated to a few kilobytes, and says it has `claimed`
/// bytes.
fn npz_of_zeros(path: &Path, claimed: Option<u32>) {
    let zeros = vec![0u8; 20 << 20];
    let mut deflater =
        flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
    deflater.write_all(&zeros).unwrap();
    let packed = deflater.finish().unwrap();
    let mut crc = flate2::Crc::new();
    crc.update(&zeros);
    let size = claimed.unwrap_or(zeros.len() as u32);
    let name = b"a.npy";
    // Method, time, date, checksum, sizes, length of the name, of extras.
    let common = |out: &mut Vec<u8>| {
        for short in [20u16, 0, 8, 0, 0] {
            out.extend(short.to_le_bytes());
        }
        for long in [crc.sum(), packed.len() as u32, size] {
            out.extend(long.to_le_bytes());
        }
        out.extend((name.len() as u16).to_le_bytes());
        out.extend(0u16.to_le_bytes());
    };
    let mut file = b"PK\x03\x04".to_vec();
    common(&mut file);
    file.extend(name);
    file.extend(&packed);
    let directory = file.len() as u32;
    file.extend(b"PK\x01\x02\x14\x00");
    common(&mut file);
    file.extend([0; 14]);
    file.extend(name);
    let length = file.len() as u32 - directory;
    file.extend(b"PK\x05\x06\x00\x00\x00\x00\x01\x00\x01\x00");
    file.extend(length.to_le_bytes());
    file.extend(directory.to_le_bytes());
    file.extend([0, 0]);
    std::fs::write(path, file).unwrap();
}

#[test]
fn an_npz_that_unpacks_to_more_than_it_says_is_refused() {
    let (_keep, folder) = folder();
    let path = folder.join("x.npz");
    npz_of_zeros(&path, Some(100));
    let told = problem(&UserDataConfig::at(&path));
    assert!(told.contains("does not unpack to the 100 bytes it declares"), "{told}");
    // Honest, it is unpacked, and found to be no array.
    npz_of_zeros(&path, None);
    let told = problem(&UserDataConfig::at(&path));
    assert!(told.contains("not an npy file"), "{told}");
}

#[test]
fn class_names_may_stand_in_the_header() {
    let (_keep, folder) = folder();
    let path = folder.join("x.safetensors");
    let names = HashMap::from([("classes".to_owned(), "[\"cat\", \"dog\", \"ant\"]".to_owned())]);
    safetensors::serialize_to_file(tensors(30), Some(names), &path).unwrap();
    let parts = splits(&UserDataConfig::at(&path), 0);
    assert_eq!(parts.train.classes(), ["ant", "cat", "dog"]);
    let first = row(parts.train.as_ref(), 0, 0)[0] as u32 % 3;
    assert_eq!(parts.train.label(0), [1, 2, 0][first as usize]);
}

/// Tables of two modalities; in `b.csv` every fifth row is empty.
fn write_tables(folder: &Path) {
    let mut files = [String::from("\u{feff}"), String::from("b0,b1,b2,label\r\n")];
    for row in 0..40 {
        let label = ["yes", "no"][row % 2];
        files[0] += &format!("{row},{}.5,{label}\n", row + 1);
        files[1] += &match row % 5 {
            0 => format!(",,,{label}\r\n"),
            _ => format!("{row}, {row} ,-{row}e0,{label}\r\n"),
        };
    }
    std::fs::write(folder.join("a.csv"), &files[0]).unwrap();
    std::fs::write(folder.join("b.csv"), &files[1]).unwrap();
}

#[test]
fn feature_tables_are_read_and_missing_rows_masked() {
    let (_keep, folder) = folder();
    write_tables(&folder);
    let config = UserDataConfig::at(&folder);
    let data = UserData::open(&config).unwrap();
    let examples = data.examples().clone();
    assert_eq!(examples.len(), 40);
    assert_eq!((examples.modalities()[0].len(), examples.modalities()[1].len()), (2, 3));
    for index in 0..40 {
        let there = index % 5 != 0;
        assert_eq!(examples.present(index, 1), there);
        let last = row(examples.as_ref(), index, 1)[2];
        assert_eq!(last, if there { -(index as f32) } else { 0.0 });
        assert_eq!(examples.label(index), 1 - index as u32 % 2);
    }
    let options =
        LoaderOptions { batch_size: 20, shuffle: false, drop_last: false, workers: 0, prefetch: 1 };
    let loader = Loader::new(examples, options, &Device::Cpu).unwrap();
    let batch = loader.epoch(Seed::new(0)).next().unwrap().unwrap();
    let mask = batch.present.unwrap().to_vec2::<f32>().unwrap();
    let wanted: Vec<Vec<f32>> =
        (0..20).map(|row| vec![1.0, f32::from(u8::from(row % 5 != 0))]).collect();
    assert_eq!(mask, wanted);
}

#[test]
fn tables_in_folders_of_parts_are_a_split() {
    let (_keep, folder) = folder();
    for part in ["train", "test"] {
        std::fs::create_dir(folder.join(part)).unwrap();
        write_tables(&folder.join(part));
    }
    let parts = splits(&UserDataConfig::at(&folder), 0);
    assert_eq!([parts.train.len(), parts.validation.len(), parts.test.len()], [32, 8, 40]);
}

#[test]
fn one_table_is_one_modality_and_a_table_with_words_a_manifest() {
    let (_keep, folder) = folder();
    write_tables(&folder);
    let table = folder.join("a.csv");
    assert_eq!(splits(&UserDataConfig::at(&table), 0).train.modalities().len(), 1);
    let manifest = folder.join("m.csv");
    std::fs::write(&manifest, "audio,label\na.wav,x\n").unwrap();
    assert_eq!(Layout::of(&manifest).unwrap(), Layout::Manifest(manifest.clone()));
    assert!(problem(&UserDataConfig::at(&manifest)).contains("tcmax prepare"));
}

#[test]
fn everything_wrong_with_a_feature_file_is_told_at_once() {
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
fn a_class_without_training_examples_is_told() {
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
fn everything_wrong_with_tables_is_told_at_once() {
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
    let told = problem(&UserDataConfig::at(&folder));
    assert!(told.contains("b.csv, line 9: label 'no', but"), "{told}");
    std::fs::write(folder.join("a.csv"), text.replace("7,8.5,no", "7,inf,no")).unwrap();
    let told = problem(&UserDataConfig::at(&folder));
    assert!(told.contains("a.csv, line 8: column 1: inf is not a finite number"), "{told}");
}

#[test]
fn empty_files_pointers_and_cut_ones_are_told() {
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
        let told = with(&path, name, Tensor::ones((30, 2), candle_core::DType::U8, device));
        assert!(
            told.contains(&format!("'{name}': must be one number or word a row, not 2")),
            "{told}"
        );
    }
    let told = with(&path, "face.present", Tensor::ones((30, 2), candle_core::DType::U8, device));
    assert!(told.contains("'face.present': must be one number a row"), "{told}");
    let told = with(&path, "face.present", Tensor::full(2u8, 30, device));
    assert!(told.contains("row 0, 'face.present': 2 is neither 0 nor 1"), "{told}");
    let told = with(&path, "fac.present", Tensor::ones(30, candle_core::DType::U8, device));
    assert!(told.contains("no modality 'fac'; did you mean 'face'?"), "{told}");
    let told = with(&path, "y", Tensor::ones(30, candle_core::DType::U8, device));
    assert!(told.contains("'y': looks like labels too, beside 'label'"), "{told}");
}

#[test]
fn a_split_of_ambiguous_numbers_is_refused() {
    let (_keep, folder) = folder();
    let path = folder.join("x.safetensors");
    for [first, second] in [[0u8, 1], [1, 2]] {
        let split: Vec<u8> = (0..30).map(|row| if row < 20 { first } else { second }).collect();
        let told = with(&path, "split", Tensor::from_vec(split, 30, &Device::Cpu));
        assert!(told.contains("alone are ambiguous"), "{told}");
    }
}

#[test]
fn truth_values_and_bytes_are_read_and_tiny_floats_refused_by_name() {
    let (_keep, folder) = folder();
    let path = folder.join("x.safetensors");
    let file = |dtype: &str| {
        let header = format!(
            r#"{{"a":{{"dtype":"I8","shape":[4,2],"data_offsets":[0,8]}},"a.present":{{"dtype":"{dtype}","shape":[4],"data_offsets":[8,12]}},"label":{{"dtype":"U8","shape":[4],"data_offsets":[12,16]}}}}"#
        );
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.extend([255u8, 1, 2, 3, 4, 5, 6, 128, 1, 0, 1, 1, 0, 1, 0, 1]);
        std::fs::write(&path, bytes).unwrap();
    };
    file("BOOL");
    let data = UserData::open(&UserDataConfig::at(&path)).unwrap();
    let examples = data.examples();
    assert_eq!(row(examples.as_ref(), 0, 0), [-1.0, 1.0]);
    assert_eq!(row(examples.as_ref(), 3, 0), [6.0, -128.0]);
    assert_eq!(
        (0..4).map(|row| examples.present(row, 0)).collect::<Vec<_>>(),
        [true, false, true, true]
    );
    file("F8_E4M3");
    let told = problem(&UserDataConfig::at(&path));
    assert!(told.contains("'a.present' has values of type F8_E4M3"), "{told}");
}

#[test]
fn labels_that_are_no_classes_are_named_by_row() {
    let (_keep, folder) = folder();
    let path = folder.join("x.safetensors");
    let mut labels: Vec<f32> = (0..30).map(|row| (row % 3) as f32).collect();
    (labels[4], labels[9]) = (f32::NAN, f32::INFINITY);
    let told = with(&path, "label", Tensor::from_vec(labels, 30, &Device::Cpu));
    assert!(told.contains("row 4, 'label': the label is 'NaN'"), "{told}");
    assert!(told.contains("row 9, 'label': the label is 'inf'"), "{told}");
    let table = folder.join("a.csv");
    std::fs::write(&table, "1,x\n2,nan\n3,\n4,y\n5,NA\n").unwrap();
    let told = problem(&UserDataConfig::at(&table));
    for part in
        ["line 2: the label is 'nan'", "line 3: the label is empty", "line 5: the label is 'NA'"]
    {
        assert!(told.contains(part), "'{part}' is not in: {told}");
    }
}

#[test]
fn names_that_are_not_there_are_refused_with_the_nearest() {
    let (_keep, folder) = folder();
    let path = folder.join("x.safetensors");
    save(&path, &tensors(30));
    let at = UserDataConfig::at(&path);
    let told = problem(&UserDataConfig { label: Some("lable".into()), ..at.clone() });
    assert!(told.contains("'lable': there is no such array; did you mean 'label'?"), "{told}");
    let told = problem(&UserDataConfig { group: Some("voise".into()), ..at });
    assert!(told.contains("'voise': there is no such array; did you mean 'voice'?"), "{told}");
    write_tables(&folder);
    let told = problem(&UserDataConfig { group: Some("a".into()), ..UserDataConfig::at(&folder) });
    assert!(told.contains("feature tables have no named columns"), "{told}");
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
fn headers_of_pandas_are_no_rows() {
    let (_keep, folder) = folder();
    let path = folder.join("a.csv");
    let rows: String = (0..20).map(|row| format!("{}.5,{row},{}\n", row, row % 2)).collect();
    std::fs::write(&path, format!("0,1,label\n{rows}")).unwrap();
    assert_eq!(UserData::open(&UserDataConfig::at(&path)).unwrap().examples().len(), 20);
    std::fs::write(&path, format!("x,y,class\n{rows}")).unwrap();
    assert_eq!(UserData::open(&UserDataConfig::at(&path)).unwrap().examples().len(), 20);
    std::fs::write(&path, format!("0,1,2\n{rows}")).unwrap();
    let told = problem(&UserDataConfig::at(&path));
    assert!(told.contains("line 1: the line counts 0, 1, 2"), "{told}");
    std::fs::write(&path, rows.replace(',', ";")).unwrap();
    assert_eq!(
        UserData::open(&UserDataConfig::at(&path)).unwrap().examples().modalities()[0].len(),
        2
    );
    std::fs::write(&path, rows.replace(',', ";").replace('.', ",")).unwrap();
    let told = problem(&UserDataConfig::at(&path));
    assert!(told.contains("'0,5' is not a number; write decimals with a point"), "{told}");
}

#[test]
fn a_folder_called_like_a_file_and_no_path_are_told_so() {
    let (_keep, folder) = folder();
    std::fs::create_dir(folder.join("a.csv")).unwrap();
    let told = problem(&UserDataConfig::at(&folder));
    assert!(told.contains("a.csv: it is a folder"), "{told}");
    let told = problem(&UserDataConfig::default());
    assert!(told.contains("path: is not given"), "{told}");
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
    let parts = folder.join("parts");
    for (part, rows) in [("train", "1,2,a\n3,4,b\n5,5,a\n"), ("test", "3,4,b\n8,9,a\n")] {
        std::fs::create_dir_all(parts.join(part)).unwrap();
        std::fs::write(parts.join(part).join("x.csv"), rows).unwrap();
    }
    let found = warnings(&parts);
    let wanted = "1 examples of validation and test are copies of training examples (rows 1 and 3)";
    assert_eq!(found, [wanted]);
    let rows: String =
        (0..20).map(|row| format!("{row},{},{}\n", row * row % 7, row % 2)).collect();
    std::fs::write(&path, rows).unwrap();
    assert!(warnings(&path)[0].contains("column 0 of 'a' counts the rows"));
}

/// An npz of uncompressed members.
fn npz(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options =
        zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::STORE);
    for (name, bytes) in members {
        archive.start_file(*name, options).unwrap();
        archive.write_all(bytes).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

#[test]
fn flipped_bits_and_two_members_of_one_name_are_refused_in_npz() {
    let header = "{'descr': '|u1', 'fortran_order': False, 'shape': (8,), }\n";
    let mut array = b"\x93NUMPY\x01\x00".to_vec();
    array.extend((header.len() as u16).to_le_bytes());
    array.extend(header.as_bytes());
    array.extend([77; 8]);
    let parse = |bytes: &[u8]| tcmax_data::arrays::parse_npz(Path::new("x.npz"), bytes);
    let good = npz(&[("a.npy", &array), ("b.npy", &array)]);
    assert_eq!(parse(&good).unwrap().len(), 2);
    let mut flipped = good.clone();
    let place = flipped.windows(8).position(|bytes| bytes == [77; 8]).unwrap();
    flipped[place + 3] ^= 1;
    let told = parse(&flipped).unwrap_err().to_string();
    assert!(told.contains("'a' has another checksum"), "{told}");
    let mut twice = good;
    while let Some(place) = twice.windows(5).position(|bytes| bytes == b"b.npy") {
        twice[place] = b'a';
    }
    let told = parse(&twice).unwrap_err().to_string();
    assert!(told.contains("the same name"), "{told}");
}

#[cfg(unix)]
#[test]
fn pipes_and_devices_are_refused() {
    let (_keep, folder) = folder();
    for name in ["x.csv", "x.npz", "x.safetensors", "x.parquet"] {
        let path = folder.join(name);
        std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
        let told = problem(&UserDataConfig::at(&path));
        assert!(told.contains("a pipe or a device"), "{told}");
        if name != "x.parquet" {
            let told = tcmax_data::arrays::read_arrays(&path).unwrap_err().to_string();
            assert!(told.contains("a pipe or a device"), "{told}");
        }
    }
}
