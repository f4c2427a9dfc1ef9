//! Feature files and feature tables of the user are read, split and masked.

use std::collections::HashMap;
use std::io::Write;

use candle_core::{Device, Tensor};
use tcmax_data::user_data::Layout;
use tcmax_data::{Dataset, Loader, LoaderOptions, SplitRule, UserData, UserDataConfig};
use tcmax_ops::Seed;

use crate::features::{folder, problem, row, save, splits, tensors, write_tables};

#[test]
fn a_feature_file_is_read_and_split_by_the_seed() {
    let (_keep, folder) = folder();
    let path = folder.join("x.safetensors");
    save(&path, &tensors(30));
    let config = UserDataConfig::at(&path);
    let data = splits(&config, 1);
    assert_eq!([data.train.len(), data.validation.len(), data.test.len()], [18, 6, 6]);
    assert_eq!(data.train.classes(), ["0", "1", "2"]);
    let names: Vec<_> = data.train.modalities().iter().map(|m| m.name.as_str()).collect();
    assert_eq!(names, ["face", "voice"]);
    for index in 0..18 {
        let [face, voice] = [0, 1].map(|m| row(data.train.as_ref(), index, m));
        assert_eq!(face[0] + 0.5, voice[1], "the modalities of a row stay together");
        assert_eq!(face[0] as u32 % 3, data.train.label(index), "and with their label");
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
    let data = splits(&config, 0);
    assert_eq!([data.train.len(), data.validation.len(), data.test.len()], [13, 5, 12]);
    assert_eq!(row(data.test.as_ref(), 11, 0)[0], 11.0);
    let by_group =
        UserDataConfig { split: Some(SplitRule::Group), folds: Some(5), fold: 3, ..config.clone() };
    let opened = UserData::open(&config).unwrap();
    assert!(!opened.draws_test_split(&config), "the test split is that of the file");
    assert!(opened.draws_test_split(&by_group));
    let data = splits(&by_group, 0);
    let speakers = |data: &dyn Dataset| -> Vec<u32> {
        (0..data.len()).map(|index| row(data, index, 0)[0] as u32 / 3).collect()
    };
    let (train, test) = (speakers(data.train.as_ref()), speakers(data.test.as_ref()));
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
    let data = splits(&UserDataConfig::at(&path), 0);
    assert_eq!(data.test.classes(), ["joy", "sad"]);
    let row = row(data.test.as_ref(), 0, 0);
    assert_eq!(row[1], row[0] + 1.0);
    assert_eq!(data.test.label(0), u32::from((row[0] as u32 / 2).is_multiple_of(2)));
}

#[test]
fn class_names_may_be_in_the_header() {
    let (_keep, folder) = folder();
    let path = folder.join("x.safetensors");
    let names = HashMap::from([("classes".to_owned(), "[\"cat\", \"dog\", \"ant\"]".to_owned())]);
    safetensors::serialize_to_file(tensors(30), Some(names), &path).unwrap();
    let data = splits(&UserDataConfig::at(&path), 0);
    assert_eq!(data.train.classes(), ["ant", "cat", "dog"]);
    let first = row(data.train.as_ref(), 0, 0)[0] as u32 % 3;
    assert_eq!(data.train.label(0), [1, 2, 0][first as usize]);
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
    let options = LoaderOptions::in_order(20);
    let loader = Loader::new(examples, options, &Device::Cpu).unwrap();
    let batch = loader.epoch(Seed::new(0)).next().unwrap().unwrap();
    let mask = batch.present.unwrap().to_vec2::<f32>().unwrap();
    let wanted: Vec<Vec<f32>> =
        (0..20).map(|row| vec![1.0, f32::from(u8::from(row % 5 != 0))]).collect();
    assert_eq!(mask, wanted);
}

#[test]
fn tables_in_folders_train_and_test_are_a_split() {
    let (_keep, folder) = folder();
    for part in ["train", "test"] {
        std::fs::create_dir(folder.join(part)).unwrap();
        write_tables(&folder.join(part));
    }
    let data = splits(&UserDataConfig::at(&folder), 0);
    assert_eq!([data.train.len(), data.validation.len(), data.test.len()], [32, 8, 40]);
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
    let message = problem(&UserDataConfig::at(&path));
    assert!(message.contains("'a.present' has values of type F8_E4M3"), "{message}");
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
    let message = problem(&UserDataConfig::at(&path));
    assert!(message.contains("line 1: the line counts 0, 1, 2"), "{message}");
    std::fs::write(&path, rows.replace(',', ";")).unwrap();
    assert_eq!(
        UserData::open(&UserDataConfig::at(&path)).unwrap().examples().modalities()[0].len(),
        2
    );
    std::fs::write(&path, rows.replace(',', ";").replace('.', ",")).unwrap();
    let message = problem(&UserDataConfig::at(&path));
    assert!(message.contains("'0,5' is not a number; write decimals with a point"), "{message}");
}
