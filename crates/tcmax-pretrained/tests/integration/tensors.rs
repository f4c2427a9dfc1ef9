//! Files of weights: what PyTorch 2.15 wrote, and what nobody should.

use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use tcmax_pretrained::Tensors;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn values(tensors: &Tensors, name: &str) -> Vec<f64> {
    tensors.get(name, DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

fn message(bytes: &[u8]) -> String {
    match Tensors::from_bytes(Path::new("x.pth"), bytes.to_vec()) {
        Ok(_) => panic!("it was read"),
        Err(error) => error.to_string(),
    }
}

/// The arange of 2 x 3 x 4, at (i, j, k).
fn at(i: usize, j: usize, k: usize) -> f64 {
    (12 * i + 4 * j + k) as f64
}

#[test]
fn pytorch_archives_hold_all_kinds_of_tensors() {
    let tensors = Tensors::open(&[golden("kinds.pth")]).unwrap();
    assert_eq!(tensors.names().len(), 12);
    assert_eq!(values(&tensors, "plain"), (0..24).map(f64::from).collect::<Vec<_>>());
    assert_eq!(tensors.shape("transposed"), Some(&[4, 2, 3][..]));
    let mut transposed = Vec::new();
    let mut sliced = Vec::new();
    for k in 0..4 {
        (0..2).for_each(|i| transposed.extend((0..3).map(|j| at(i, j, k))));
    }
    for i in 0..2 {
        (1..3).for_each(|j| sliced.extend([at(i, j, 0), at(i, j, 2)]));
    }
    assert_eq!(values(&tensors, "transposed"), transposed);
    assert_eq!(values(&tensors, "sliced"), sliced);
    assert_eq!(values(&tensors, "shared.a"), [0.0, 1.0, 2.0, 3.0]);
    assert_eq!(values(&tensors, "shared.b"), [4.0, 5.0, 6.0, 7.0, 8.0, 9.0]);
    assert_eq!(tensors.shape("shared.b"), Some(&[2, 3][..]));
    assert_eq!(values(&tensors, "half"), [1.5, -2.0, 65504.0]);
    let bfloat = values(&tensors, "bfloat");
    assert_eq!(bfloat[..2], [1.5, -2.0]);
    assert!((bfloat[2] / 3e38 - 1.0).abs() < 4e-3);
    assert_eq!(values(&tensors, "double"), [1.0 / 3.0]);
    assert_eq!(values(&tensors, "long"), [7.0, -8.0]);
    assert_eq!(tensors.shape("scalar"), Some(&[][..]));
    assert_eq!(values(&tensors, "scalar"), [2.5]);
    assert_eq!(tensors.shape("empty"), Some(&[0, 3][..]));
    assert!(values(&tensors, "empty").is_empty());
    assert_eq!(values(&tensors, "parameter"), [1.0, 2.0]);
    let single = tensors.get("double", DType::F32).unwrap();
    assert_eq!(single.to_vec1::<f32>().unwrap(), [1f32 / 3.0]);
}

#[test]
fn state_dicts_are_found_where_training_scripts_put_them() {
    let nested = Tensors::open(&[golden("nested.pth")]).unwrap();
    assert_eq!(nested.names().collect::<Vec<_>>(), ["module.b", "module.w"]);
    assert_eq!(values(&nested, "module.w"), [1.0, 2.0, 3.0, 4.0]);
    // Written with protocol 4; attributes of the dictionary (`_metadata`) are no entries.
    let module = Tensors::open(&[golden("module.bin")]).unwrap();
    let names = ["0.bias", "0.weight", "1.bias", "1.num_batches_tracked", "1.running_mean"];
    assert_eq!(module.names().take(5).collect::<Vec<_>>(), names);
    assert_eq!(module.names().len(), 7);
    assert_eq!(module.shape("0.weight"), Some(&[2, 3, 1, 1][..]));
    assert_eq!(values(&module, "1.running_var"), [1.0, 1.0]);
}

#[test]
fn what_is_no_tensor_is_known_by_name() {
    let odd = Tensors::open(&[golden("odd.pth")]).unwrap();
    assert_eq!(values(&odd, "w"), [1.0]);
    for (name, wanted) in [
        ("q", "torch._utils._rebuild_qtensor"),
        ("e", "repeats numbers"),
        ("c", "ComplexFloatStorage"),
    ] {
        assert_eq!(odd.shape(name), None);
        assert!(odd.problem(name).unwrap().contains(wanted), "{name}: {:?}", odd.problem(name));
        let error = odd.get(name, DType::F32).unwrap_err().to_string();
        assert!(
            error.contains(&format!("tensor '{name}'")) && error.contains("odd.pth"),
            "{error}"
        );
    }
    assert!(odd.get("x", DType::F32).unwrap_err().to_string().contains("no such tensor"));
}

#[test]
fn other_formats_are_refused_with_the_way_out() {
    for (name, wanted) in [
        ("old_format.pth", "old format (before 1.6)"),
        ("whole_module.pth", "an object of torch.nn.modules.linear.Linear, not a state dict"),
        ("script.pt", "TorchScript"),
    ] {
        let error = Tensors::open(&[golden(name)]).unwrap_err().to_string();
        assert!(error.contains(name) && error.contains(wanted), "{error}");
        assert!(error.contains("torch.save("), "{error}");
    }
    assert!(message(b"version https://git-lfs.github.com/spec/v1\noid").contains("`git lfs pull`"));
    assert!(message(b"<!DOCTYPE html><html></html>").contains("neither a safetensors file nor"));
    assert!(message(b"abc").contains("neither a safetensors file nor"));
    assert!(message(b"PK\x05\x06").contains("damaged or incomplete"));
}

/// A damaged file is refused when it is opened or when its tensors are read, whatever the damage.
#[test]
fn damaged_archives_are_errors() {
    let whole = std::fs::read(golden("nested.pth")).unwrap();
    let read_all = |bytes: Vec<u8>| -> tcmax_pretrained::Result<Vec<Vec<f64>>> {
        let tensors = Tensors::from_bytes(Path::new("x.pth"), bytes)?;
        let read = |name: &str| Ok(tensors.get(name, DType::F64)?.flatten_all()?.to_vec1()?);
        tensors.names().map(read).collect()
    };
    let wanted = read_all(whole.clone()).unwrap();
    for length in 0..whole.len() {
        let error = read_all(whole[..length].to_vec()).unwrap_err().to_string();
        assert!(error.starts_with("x.pth: "), "{error}");
    }
    let mut unharmed = 0;
    for position in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[position] ^= 0x15;
        match read_all(bytes) {
            Err(_) => {}
            // Padding, times and the like.
            Ok(values) if values == wanted => unharmed += 1,
            Ok(values) => panic!("{position}: {values:?}"),
        }
    }
    assert!(unharmed < whole.len());
}

/// An archive with the given pickle and one storage of two numbers.
fn archive(pickle: &[u8]) -> Vec<u8> {
    let mut out = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let stored =
        zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, bytes) in [("a/data.pkl", pickle), ("a/data/0", &[0; 8])] {
        out.start_file(name, stored).unwrap();
        out.write_all(bytes).unwrap();
    }
    out.finish().unwrap().into_inner()
}

/// The pickle of {"w": tensor}, a view of a storage of `numel` floats.
fn pickle(numel: &[u8], offset: &[u8], size: &[u8], stride: &[u8]) -> Vec<u8> {
    let storage =
        [b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpu", numel, b"tQ"]
            .concat();
    let view = [&storage, offset, b"(", size, b"t(", stride, b"t\x89N"].concat();
    [b"\x80\x02}X\x01\0\0\0wctorch._utils\n_rebuild_tensor_v2\n(", &view[..], b"tRs."].concat()
}

#[test]
fn views_stay_within_their_storage() {
    let open = |bytes: &[u8]| Tensors::from_bytes(Path::new("x.pth"), archive(bytes));
    let right = open(&pickle(b"K\x02", b"K\x00", b"K\x02", b"K\x01")).unwrap();
    assert_eq!(values(&right, "w"), [0.0, 0.0]);
    let huge = b"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f";
    let cases: [(&[u8], &[u8], &[u8]); 7] = [
        (b"K\x01", b"K\x02", b"K\x01"),
        (b"K\x00", b"K\x03", b"K\x01"),
        (b"K\x00", b"K\x02", b"K\x02"),
        (b"K\x00", huge, b"K\x01"),
        (b"K\x00", b"K\x02", huge),
        (huge, b"K\x01", b"K\x01"),
        (b"K\x00", huge, b"K\x00"),
    ];
    for (offset, size, stride) in cases {
        let tensors = open(&pickle(b"K\x02", offset, size, stride)).unwrap();
        assert!(tensors.problem("w").is_some());
        assert!(tensors.get("w", DType::F32).is_err());
    }
    // Negative sizes make no tensor.
    let negative = open(&pickle(b"K\x02", b"K\x00", b"J\xff\xff\xff\xff", b"K\x01"));
    assert!(negative.unwrap_err().to_string().contains("no state dict"));
    let lie = open(&pickle(huge, b"K\x00", b"K\x02", b"K\x01")).unwrap_err().to_string();
    assert!(lie.contains("a/data/0 has 8 bytes"), "{lie}");
}

#[test]
fn hostile_pickles_run_nothing_and_end() {
    for (pickle, wanted) in [
        (&b"cos\nsystem\n(X\x05\0\0\0touchtR."[..], "an object of os.system"),
        // A dictionary that holds itself as its model.
        (b"}q\0X\x05\0\0\0modelh\0s.", "'model'"),
        (b"N.", "no state dict"),
        (b"}", "cut off"),
        (b"\x8d\xff\xff\xff\xff\xff\xff\xff\xff", "cut off"),
    ] {
        let error = message(&archive(pickle));
        assert!(error.starts_with("x.pth: ") && error.contains(wanted), "{error}");
    }
    let many = [vec![b']'; 5 << 20], b".".to_vec()].concat();
    assert!(message(&archive(&many)).contains("more than 4194304 values"));
}

fn safetensors(folder: &Path, name: &str, tensors: &[(&str, Tensor)]) -> PathBuf {
    let path = folder.join(name);
    let tensors = tensors.iter().map(|(name, tensor)| ((*name).to_owned(), tensor.clone()));
    candle_core::safetensors::save(&tensors.collect(), &path).unwrap();
    path
}

#[test]
fn safetensors_are_read_in_every_type_and_from_shards() {
    let folder = tempfile::tempdir().unwrap();
    let numbers = Tensor::new(&[[1f32, -2.5], [0.5, 4.0]], &Device::Cpu).unwrap();
    let of = |dtype| numbers.to_dtype(dtype).unwrap();
    let first = safetensors(
        folder.path(),
        "1.safetensors",
        &[("f16", of(DType::F16)), ("bf16", of(DType::BF16)), ("f64", of(DType::F64))],
    );
    let second = safetensors(folder.path(), "2.safetensors", &[("f32", numbers.clone())]);
    let tensors = Tensors::open(&[&first, &second]).unwrap();
    assert_eq!(tensors.names().collect::<Vec<_>>(), ["bf16", "f16", "f32", "f64"]);
    for name in ["bf16", "f16", "f32", "f64"] {
        assert_eq!(values(&tensors, name), [1.0, -2.5, 0.5, 4.0], "{name}");
    }
    let error = Tensors::open(&[&first, &first]).unwrap_err().to_string();
    assert!(error.contains("is in") && error.contains("1.safetensors too"), "{error}");
}

#[test]
fn damaged_safetensors_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let tensor = Tensor::new(&[1f32, 2.0, 3.0], &Device::Cpu).unwrap();
    let path = safetensors(folder.path(), "a.safetensors", &[("w", tensor)]);
    let whole = std::fs::read(&path).unwrap();
    for length in 1..whole.len() {
        std::fs::write(&path, &whole[..length]).unwrap();
        let error = Tensors::open(&[&path]).unwrap_err().to_string();
        assert!(error.contains("a.safetensors: "), "{length}: {error}");
    }
    std::fs::write(&path, [&whole[..], b"more"].concat()).unwrap();
    assert!(Tensors::open(&[&path]).unwrap_err().to_string().contains("16 bytes of tensors"));
    // Sizes that no memory holds.
    let table = r#"{"w":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}}"#;
    let bytes = [&(table.len() as u64).to_le_bytes()[..], table.as_bytes()].concat();
    std::fs::write(&path, bytes).unwrap();
    assert!(Tensors::open(&[&path]).unwrap_err().to_string().contains("table is damaged"));
}
