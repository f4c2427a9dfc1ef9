//! Generated feature vectors as a data set.

#![allow(dead_code, reason = "each test uses its own part")]

use std::sync::Arc;

use candle_core::{DType, Device};
use tcmax_data::{Dataset, Modality, ModalityKind, Splits};
use tcmax_ops::{Init, Seed};

/// Two classes; each of two modalities has vectors of unit noise whose class means are some distance
/// apart in every entry, scaled and shifted; some are missing.
pub struct Vectors {
    modalities: Vec<Modality>,
    classes: Vec<String>,
    /// values\[m\]\[row\].
    values: Vec<Vec<Vec<f32>>>,
    labels: Vec<u32>,
    pub missing: Box<dyn Fn(usize, usize) -> bool + Send + Sync>,
}

pub const WIDTH: usize = 3;

/// `rows` examples whose class means are `distance` apart before scaling.
pub fn vectors_apart(rows: usize, seed: u64, distance: f64, scale: f64, shift: f64) -> Vectors {
    let names = ["left", "right"];
    let modality = |name: &&str| Modality {
        name: (*name).to_owned(),
        kind: ModalityKind::Features,
        shape: vec![WIDTH],
    };
    let labels: Vec<u32> = (0..rows as u32).map(|row| row % 2).collect();
    let values = (0..2).map(|m| {
        let unit = Init::Normal { mean: 0.0, std: 1.0 };
        let seed = Seed::new(seed).stream("vectors").index(m);
        let shape = (rows, WIDTH).into();
        let noise = unit.tensor(&shape, seed, DType::F64, &Device::Cpu).unwrap();
        let noise = noise.to_vec2::<f64>().unwrap();
        let row = |(noise, label): (&Vec<f64>, &u32)| {
            let centre = distance * (f64::from(*label) - 0.5);
            noise.iter().map(|x| ((x + centre) * scale + shift) as f32).collect()
        };
        noise.iter().zip(&labels).map(row).collect()
    });
    Vectors {
        modalities: names.iter().map(modality).collect(),
        classes: vec!["no".to_owned(), "yes".to_owned()],
        values: values.collect(),
        labels,
        missing: Box::new(|_, _| false),
    }
}

/// The same, 2.5 apart.
pub fn vectors(rows: usize, seed: u64, scale: f64, shift: f64) -> Vectors {
    vectors_apart(rows, seed, 2.5, scale, shift)
}

impl Dataset for Vectors {
    fn modalities(&self) -> &[Modality] {
        &self.modalities
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn len(&self) -> usize {
        self.labels.len()
    }

    fn label(&self, index: usize) -> u32 {
        self.labels[index]
    }

    fn present(&self, index: usize, modality: usize) -> bool {
        !(self.missing)(index, modality)
    }

    fn read(
        &self,
        index: usize,
        modality: usize,
        _: Seed,
        out: &mut [f32],
    ) -> tcmax_data::Result<()> {
        if self.present(index, modality) {
            out.copy_from_slice(&self.values[modality][index]);
        } else {
            out.fill(0.0);
        }
        Ok(())
    }
}

/// Training examples as many as asked for, 100 for validation and 400 for the test.
pub fn splits(make: impl Fn(usize, u64) -> Vectors, examples: usize) -> Splits {
    Splits {
        train: Arc::new(make(examples, 1)),
        validation: Arc::new(make(100, 2)),
        test: Arc::new(make(400, 3)),
    }
}
