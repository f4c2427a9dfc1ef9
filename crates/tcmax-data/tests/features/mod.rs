//! Features in files, and what is read of them.

#![allow(dead_code, reason = "each test uses its own part")]

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use tcmax_data::{Dataset, Splits, UserData, UserDataConfig};
use tcmax_ops::Seed;
use tempfile::TempDir;

pub fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    (folder, path)
}

/// 30 rows of three classes in two modalities; value `row + offset` everywhere.
pub fn tensors(rows: usize) -> HashMap<String, Tensor> {
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

pub fn save(path: &Path, tensors: &HashMap<String, Tensor>) {
    candle_core::safetensors::save(tensors, path).unwrap();
}

pub fn splits(config: &UserDataConfig, seed: u64) -> Splits {
    UserData::open(config).unwrap().splits(config, seed).unwrap()
}

pub fn problem(config: &UserDataConfig) -> String {
    let opened = UserData::open(config).and_then(|data| data.splits(config, 0).map(drop));
    opened.unwrap_err().to_string()
}

pub fn row(data: &dyn Dataset, index: usize, modality: usize) -> Vec<f32> {
    let mut out = vec![0.0; data.modalities()[modality].len()];
    data.read(index, modality, Seed::new(0), &mut out).unwrap();
    out
}

/// Tables of two modalities; in `b.csv` every fifth row is empty.
pub fn write_tables(folder: &Path) {
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
