//! Sequences of feature files: `NAME` (N, T, D) with `NAME.length` (N,).

use candle_core::{DType, Device, Tensor};
use tcmax_data::{ModalityKind, UserData, UserDataConfig};

use crate::features::{folder, problem, row, save, tensors};

const ROWS: usize = 30;
const STEPS: usize = 4;

/// 30 sequences of up to four steps of two features: row r has r modulo 5 steps; NaN stands behind them.
fn with_sequences(lengths: impl Fn(usize) -> f32) -> std::collections::HashMap<String, Tensor> {
    let mut all = tensors(ROWS);
    let value = |at: usize| {
        let (row, step) = (at / (2 * STEPS), at / 2 % STEPS);
        if step < row % 5 { (100 * row + 10 * step + at % 2) as f32 } else { f32::NAN }
    };
    let values: Vec<f32> = (0..ROWS * STEPS * 2).map(value).collect();
    let gait = Tensor::from_vec(values, (ROWS, STEPS, 2), &Device::Cpu).unwrap();
    let lengths: Vec<f32> = (0..ROWS).map(lengths).collect();
    all.insert("gait".to_owned(), gait);
    all.insert("gait.length".to_owned(), Tensor::from_vec(lengths, ROWS, &Device::Cpu).unwrap());
    all
}

#[test]
fn steps_are_flagged_padding_is_not_read_and_empty_rows_are_absent() {
    let (_keep, folder) = folder();
    let path = folder.join("x.safetensors");
    save(&path, &with_sequences(|row| (row % 5) as f32));
    let data = UserData::open(&UserDataConfig::at(&path)).unwrap();
    let examples = data.examples();
    let gait = examples.modalities().iter().position(|m| m.name == "gait").unwrap();
    let modality = &examples.modalities()[gait];
    assert_eq!((modality.kind, &modality.shape[..]), (ModalityKind::Sequence, &[STEPS, 3][..]));
    assert_eq!(examples.modalities().len(), 3, "lengths are no modality");
    assert!(!examples.present(0, gait) && !examples.present(5, gait), "no steps");
    let two = [700.0, 701.0, 1.0, 710.0, 711.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
    assert_eq!(row(examples.as_ref(), 7, gait), two);
    assert!(examples.present(9, gait));
    assert_eq!(row(examples.as_ref(), 9, gait)[11], 1.0, "as long as the array");
}

#[test]
fn wrong_lengths_and_values_are_named() {
    let (_keep, folder) = folder();
    let path = folder.join("x.safetensors");
    let of = |lengths: fn(usize) -> f32| {
        save(&path, &with_sequences(lengths));
        problem(&UserDataConfig::at(&path))
    };
    let text = of(|row| if row == 3 { 5.0 } else { 1.0 });
    assert!(text.contains("row 3, 'gait.length': 5 is no whole number from 0 to 4"), "{text}");
    let text = of(|row| if row == 6 { 0.5 } else { 1.0 });
    assert!(text.contains("row 6, 'gait.length': 0.5"), "{text}");
    // Row 5 has no step, so that its first step is NaN.
    let text = of(|_| 1.0);
    assert!(text.contains("row 5, 'gait': value 0 is NaN"), "{text}");

    let mut all = with_sequences(|row| (row % 5) as f32);
    all.insert("face.length".to_owned(), Tensor::ones(ROWS, DType::F32, &Device::Cpu).unwrap());
    save(&path, &all);
    let text = problem(&UserDataConfig::at(&path));
    assert!(text.contains("'face': has the lengths 'face.length'"), "{text}");
    let lengths = all.remove("face.length").unwrap();
    all.insert("gate.length".to_owned(), lengths);
    save(&path, &all);
    let text = problem(&UserDataConfig::at(&path));
    assert!(text.contains("there is no modality 'gate'") && text.contains("gait"), "{text}");
}
