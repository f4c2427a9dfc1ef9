//! Content that the Hugging Face hub has in another format, through `candle-datasets`.
//!
//! The hub has MNIST as Parquet. `candle_datasets::vision::mnist` fetches and decodes it; the images
//! are written as the IDX file they once were, packed, and accepted only if the content digest of
//! the card says that every byte is the same.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use candle_core::{DType, Tensor};
use flate2::Compression;
use flate2::write::GzEncoder;
use tcmax_data::{Error as DataError, partial_path};

use super::digest::verify;
use crate::catalog::{HubFile, RemoteFile};
use crate::error::{Error, Result};

pub(super) fn fetch(source: HubFile, file: &RemoteFile, folder: &Path) -> Result<()> {
    let mnist = candle_datasets::vision::mnist::load().map_err(|e| Error::Download {
        url: "https://huggingface.co/datasets/ylecun/mnist".to_owned(),
        problem: format!("{e}; name a folder that has the files (`data-dir`)"),
    })?;
    let (header, bytes) = content(source, mnist)?;
    let path = folder.join(&file.name);
    let partial = partial_path(&path);
    let mut out = GzEncoder::new(
        File::create(&partial).map_err(DataError::io(&partial))?,
        Compression::default(),
    );
    for word in header {
        out.write_all(&u32::to_be_bytes(word)).map_err(DataError::io(&partial))?;
    }
    out.write_all(&bytes).map_err(DataError::io(&partial))?;
    out.finish().and_then(|file| file.sync_all()).map_err(DataError::io(&partial))?;
    verify(&partial, file)?;
    Ok(std::fs::rename(&partial, &path).map_err(DataError::io(&path))?)
}

/// The words of an IDX file's header, and its bytes.
fn content(
    source: HubFile,
    mnist: candle_datasets::vision::Dataset,
) -> tcmax_data::Result<(Vec<u32>, Vec<u8>)> {
    Ok(match source {
        HubFile::MnistTestImages => {
            let pixels = (mnist.test_images * 255.0)?.round()?;
            let count = pixels.dim(0)? as u32;
            (vec![0x803, count, 28, 28], to_bytes(&pixels)?)
        }
        HubFile::MnistTestLabels => {
            let count = mnist.test_labels.dim(0)? as u32;
            (vec![0x801, count], to_bytes(&mnist.test_labels)?)
        }
    })
}

fn to_bytes(values: &Tensor) -> tcmax_data::Result<Vec<u8>> {
    Ok(values.to_dtype(DType::U8)?.flatten_all()?.to_vec1::<u8>()?)
}
