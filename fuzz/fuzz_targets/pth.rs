//! Any bytes as files of weights, and as the pickle of PyTorch's archives: errors, never a panic, and tensors
//! of the shapes that were promised.

#![no_main]

use std::io::{Cursor, Write};
use std::path::Path;

use candle_core::DType;
use libfuzzer_sys::fuzz_target;
use tcmax_pretrained::Tensors;

fuzz_target!(|data: &[u8]| {
    read(data.to_vec());
    read(archive(data));
});

fn read(bytes: Vec<u8>) {
    let Ok(tensors) = Tensors::from_bytes(Path::new("x.pth"), bytes) else { return };
    for name in tensors.names() {
        let Ok(tensor) = tensors.get(name, DType::F32) else { continue };
        assert_eq!(Some(tensor.dims()), tensors.shape(name));
    }
}

/// An archive as `torch.save` writes it, with a storage of 16 bytes.
fn archive(pickle: &[u8]) -> Vec<u8> {
    let mut out = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let stored = zip::write::SimpleFileOptions::default()
        .compression_method(zip::CompressionMethod::Stored);
    for (name, bytes) in [("a/data.pkl", pickle), ("a/data/0", &[0; 16])] {
        out.start_file(name, stored).expect("a name");
        out.write_all(bytes).expect("memory");
    }
    out.finish().expect("memory").into_inner()
}
