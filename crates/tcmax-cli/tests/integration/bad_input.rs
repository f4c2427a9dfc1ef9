//! What is wrong is said in one message that names the file and what would put it right, with the documented exit code.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use tempfile::TempDir;

use crate::common;

/// Runs the binary and checks code and message; there is never a backtrace or a panic.
fn refuses(arguments: &[&str], code: i32, parts: &[&str]) {
    let output = common::tcmax().args(arguments).output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {message}");
    for part in parts {
        assert!(message.contains(part), "{arguments:?}: '{part}' is not in: {message}");
    }
    assert!(!message.contains("panicked") && !message.contains("backtrace"), "{message}");
    assert!(message.lines().filter(|line| line.starts_with("error:")).count() == 1, "{message}");
}

fn trains_digits(folder: &Path, parts: &[&str]) {
    let folder = folder.to_str().unwrap();
    let arguments = ["train", "--dataset", "av-digits", "--data-dir", folder, "--epochs", "1"];
    refuses(&arguments, 1, parts);
}

/// A WAV file of half a second of a tone.
fn wav() -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 8_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::new(&mut bytes, spec).unwrap();
    for n in 0..4_000 {
        writer.write_sample((f32::sin(n as f32 * 0.3) * 8_000.0) as i16).unwrap();
    }
    writer.finalize().unwrap();
    bytes.into_inner()
}

fn write_archive(folder: &Path, members: &[(String, Vec<u8>)]) {
    let file = File::create(folder.join("free-spoken-digit-dataset.tar.gz")).unwrap();
    let mut archive = tar::Builder::new(GzEncoder::new(file, Compression::fast()));
    for (name, bytes) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        archive.append_data(&mut header, format!("digits/recordings/{name}"), &bytes[..]).unwrap();
    }
    archive.into_inner().unwrap().finish().unwrap();
}

fn write_idx(folder: &Path, name: &str, header: &[u32], bytes: &[u8]) {
    let mut file = GzEncoder::new(File::create(folder.join(name)).unwrap(), Compression::fast());
    for word in header {
        file.write_all(&word.to_be_bytes()).unwrap();
    }
    file.write_all(bytes).unwrap();
    file.finish().unwrap();
}

const PER_DIGIT: usize = 40;

fn write_images(folder: &Path, magic: u32) {
    let count = 10 * PER_DIGIT;
    let images = vec![9u8; count * 28 * 28];
    write_idx(folder, "t10k-images-idx3-ubyte.gz", &[magic, count as u32, 28, 28], &images);
    let labels: Vec<u8> = (0..count).map(|row| (row % 10) as u8).collect();
    write_idx(folder, "t10k-labels-idx1-ubyte.gz", &[0x801, count as u32], &labels);
}

/// One recording of each digit in both parts, and any changes.
fn recordings() -> Vec<(String, Vec<u8>)> {
    let names = (0..10).flat_map(|digit| [0, 7, 8].map(|index| format!("{digit}_ann_{index}.wav")));
    names.map(|name| (name, wav())).collect()
}

fn folder_with(change: impl FnOnce(&mut Vec<(String, Vec<u8>)>)) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut members = recordings();
    change(&mut members);
    write_archive(folder.path(), &members);
    write_images(folder.path(), 0x803);
    folder
}

#[test]
fn the_miniature_itself_trains() {
    let folder = folder_with(|_| ());
    let data = folder.path().to_str().unwrap();
    let arguments = ["train", "--dataset", "av-digits", "--data-dir", data, "--epochs", "1"];
    let sizes =
        ["--set", "data.train-size=10", "--set", "data.val-size=10", "--set", "encoder.width=2"];
    common::tcmax().args(arguments).args(sizes).assert().success();
}

#[test]
fn a_missing_data_folder() {
    trains_digits(Path::new("/nowhere/at/all"), &["/nowhere/at/all", "--data-dir"]);
}

#[test]
fn a_missing_file() {
    let folder = tempfile::tempdir().unwrap();
    trains_digits(folder.path(), &["free-spoken-digit-dataset.tar.gz", "put it there"]);
    write_archive(folder.path(), &recordings());
    trains_digits(folder.path(), &["t10k-images-idx3-ubyte.gz"]);
}

#[test]
fn a_truncated_wav() {
    let folder = folder_with(|members| members[4].1.truncate(1_000));
    trains_digits(folder.path(), &["recordings/1_ann_7.wav", "complete WAV", "fetch it again"]);
}

#[test]
fn a_git_lfs_pointer_instead_of_a_wav() {
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n".to_vec();
    let folder = folder_with(|members| members[0].1 = pointer);
    trains_digits(folder.path(), &["recordings/0_ann_0.wav", "Git LFS pointer", "git lfs pull"]);
}

#[test]
fn a_recording_with_another_name_or_rate() {
    let folder = folder_with(|members| members[0].0 = "zero_ann_0.wav".to_owned());
    trains_digits(folder.path(), &["zero_ann_0.wav", "{digit}_{speaker}_{index}.wav"]);
    // Bytes 24 to 31 of a WAV header are samples and bytes a second.
    let rates = [44_100u32.to_le_bytes(), 88_200u32.to_le_bytes()].concat();
    let folder = folder_with(|members| members[0].1[24..32].copy_from_slice(&rates));
    trains_digits(folder.path(), &["0_ann_0.wav", "44100 Hz", "8000 Hz"]);
}

#[test]
fn a_truncated_archive() {
    let folder = folder_with(|_| ());
    let path = folder.path().join("free-spoken-digit-dataset.tar.gz");
    let length = std::fs::metadata(&path).unwrap().len();
    File::options().write(true).open(&path).unwrap().set_len(length / 2).unwrap();
    trains_digits(folder.path(), &["free-spoken-digit-dataset.tar.gz", "fetch it again"]);
}

#[test]
fn a_wrong_idx_magic_and_a_short_file() {
    let folder = folder_with(|_| ());
    write_images(folder.path(), 0x802);
    trains_digits(folder.path(), &["t10k-images-idx3-ubyte.gz", "0x00000802", "0x00000803"]);
    write_idx(folder.path(), "t10k-images-idx3-ubyte.gz", &[0x803, 400, 28, 28], &[0; 100]);
    trains_digits(folder.path(), &["t10k-images-idx3-ubyte.gz", "100 of 313600 bytes"]);
    write_idx(folder.path(), "t10k-images-idx3-ubyte.gz", &[0x803, u32::MAX, 28, 28], &[]);
    trains_digits(folder.path(), &["t10k-images-idx3-ubyte.gz", "4294967295 items"]);
}

#[test]
fn an_empty_class() {
    let folder = folder_with(|members| members.retain(|(name, _)| !name.starts_with('3')));
    trains_digits(folder.path(), &["class '3' has no recording"]);
}

#[test]
fn settings_out_of_range() {
    refuses(&["train", "--epochs", "0"], 2, &["--epochs", "1 to 100000"]);
    refuses(&["train", "--method", "magic"], 2, &["no method 'magic'", "joint, unimodal, tcmax"]);
    refuses(&["train", "--head", "magic"], 2, &["no fusion head 'magic'", "concat, sum"]);
    refuses(&["train", "--encoder", "magic"], 2, &["no encoder 'magic'", "resnet-slim, resnet18"]);
    let wide = ["train", "--encoder", "resnet18", "--set", "encoder.width=3"];
    refuses(&wide, 2, &["encoder.width: there is no option 'width'"]);
    refuses(&["train", "--dataset", "magic"], 2, &["no data set 'magic'", "av-digits"]);
    refuses(&["train", "--modalities", "smell"], 2, &["no modality 'smell'", "audio, visual"]);
    refuses(&["train", "--set", "data.occlusion=5"], 2, &["data.occlusion: there is no option"]);
    refuses(&["train", "--threads", "0"], 2, &["--threads", "at least 1"]);
    refuses(&["train", "--threads", "100000"], 2, &["--threads", "at most 1024"]);
    refuses(&["eval", "x", "--threads", "100000"], 2, &["--threads", "at most 1024"]);
    refuses(&["train", "--device", "gpu"], 2, &["--device", "cuda:N"]);
    if !cfg!(feature = "cuda") {
        refuses(&["train", "--device", "cuda:1"], 2, &["--device", "`--features cuda`"]);
    }
    refuses(&["train", "--seeds", "0,0"], 2, &["--seeds", "0 is given twice"]);
    refuses(&["train", "--set", "head.hidden=64"], 2, &["head.hidden: there is no option", "none"]);
    refuses(&["train", "--set", "method.alpha=0.5"], 2, &["method.alpha: there is no option"]);
    refuses(&["train", "--set", "train.epoch=1"], 2, &["did you mean 'epochs'?"]);
    refuses(&["train", "--set", "trian.epochs=1"], 2, &["did you mean [train]?"]);
    refuses(&["train", "--set", "epochs"], 2, &["KEY=VALUE"]);
    refuses(&["compare", "--methods", "tcmx"], 2, &["did you mean 'tcmax'?"]);
    refuses(&["compare", "--baseline", "ogm"], 2, &["no 'ogm' is compared"]);
    refuses(&["compare", "/nowhere"], 1, &["there are no results in it"]);
    refuses(&["train", "--no-such-option"], 2, &["--no-such-option"]);
    refuses(&["datasets", "magic"], 2, &["no data set 'magic'"]);
}

#[test]
fn sizes_beyond_every_machine() {
    for huge in ["100000", "1000000000", "18446744073709551615"] {
        let width = format!("encoder.width={huge}");
        refuses(&["train", "--set", &width], 2, &["encoder"]);
        let widths = format!("encoder.widths=[{huge}]");
        refuses(&["train", "--encoder", "mlp", "--set", &widths], 2, &["encoder"]);
        refuses(&["train", "--epochs", &format!("{huge}0")], 2, &["--epochs"]);
    }
    for huge in ["1000000000", "18446744073709551615", "18446744073709551610"] {
        for part in ["train-size", "val-size"] {
            refuses(&["train", "--set", &format!("data.{part}={huge}")], 2, &["data"]);
        }
    }
}

#[test]
fn the_same_error_has_the_same_code_in_every_command() {
    let (folder, settings) = common::folder();
    let out = folder.path().join("run");
    common::train(&settings, &["--out", out.to_str().unwrap()]).assert().success();
    let run = out.join("seed-0");
    let run = run.to_str().unwrap();
    let settings = settings.to_str().unwrap();
    for (dataset, code, words) in [
        ("magic", 2, "no data set 'magic'"),
        // av-digits in an empty folder.
        ("av-digits", 1, "free-spoken-digit-dataset.tar.gz"),
    ] {
        let empty = folder.path().join("empty");
        std::fs::create_dir_all(&empty).unwrap();
        let data = ["--dataset", dataset, "--data-dir", empty.to_str().unwrap()];
        refuses(&[&["train", "--config", settings][..], &data].concat(), code, &[words]);
        refuses(&[&["eval", run][..], &data].concat(), code, &[words]);
        refuses(&[&["predict", run][..], &data].concat(), code, &[words]);
    }
    refuses(&["eval", out.to_str().unwrap()], 1, &["there are runs", "seed-0"]);
    refuses(&["predict", out.to_str().unwrap()], 1, &["there are runs", "seed-0"]);
}

#[test]
fn the_program_says_its_name() {
    let output = common::tcmax().arg("-V").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("tcmax 0."), "{text}");
}

#[test]
fn sizes_that_do_not_fit_the_data() {
    let folder = folder_with(|_| ());
    let data = folder.path().to_str().unwrap();
    let arguments =
        ["train", "--dataset", "av-digits", "--data-dir", data, "--set", "data.train-size=30"];
    let parts = ["data.val-size", "20 balanced examples", "200 for validation and 30 for training"];
    refuses(&arguments, 2, &parts);
}

#[test]
fn a_configuration_with_an_unknown_field() {
    let (folder, settings) = common::folder();
    std::fs::write(&settings, "[train]\nepoch = 3\n").unwrap();
    let settings = settings.to_str().unwrap();
    refuses(
        &["train", "--config", settings],
        2,
        &["settings.toml", "line 2", "did you mean 'epochs'?"],
    );
    std::fs::write(settings, "[data]\nname = \"synthetic\"\ntrain-sise = 1\n").unwrap();
    refuses(&["train", "--config", settings], 2, &["settings.toml", "line 3", "'train-size'?"]);
    std::fs::write(settings, "[data]\nname = \"synthetic\"\ntrain-size = -1\n").unwrap();
    refuses(&["train", "--config", settings], 2, &["data: ", "-1"]);
    std::fs::write(settings, "[data]\nname = \"files\"\n").unwrap();
    refuses(&["train", "--config", settings], 2, &["data.path: is missing"]);
    let missing = folder.path().join("none.toml");
    refuses(&["train", "--config", missing.to_str().unwrap()], 1, &["none.toml"]);
}

#[test]
fn a_checkpoint_that_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let model = folder.path().to_str().unwrap();
    refuses(&["eval", model], 1, &["model.safetensors"]);
    std::fs::write(&path, b"version https://git-lfs.github.com/spec/v1\n").unwrap();
    refuses(&["eval", model], 1, &["model.safetensors", "git lfs pull"]);
    std::fs::write(&path, b"nonsense").unwrap();
    refuses(&["eval", model], 1, &["model.safetensors", "not a complete safetensors file"]);
}

#[test]
fn resuming_with_other_settings() {
    let (folder, settings) = common::folder();
    let out = folder.path().join("run");
    let out = out.to_str().unwrap();
    common::train(&settings, &["--out", out]).assert().success();
    let settings = settings.to_str().unwrap();
    let arguments = ["train", "--config", settings, "--out", out, "--resume", "--lr", "0.01"];
    refuses(
        &arguments,
        2,
        &["--resume", out, "other settings", "learning-rate: then 0.05, now 0.01"],
    );
}

#[test]
fn a_loss_that_leaves_the_finite_numbers() {
    let (_folder, settings) = common::folder();
    let settings = settings.to_str().unwrap();
    let arguments = ["train", "--config", settings, "--lr", "1e30"];
    refuses(&arguments, 1, &["epoch", "the loss is", "optimiser.learning-rate"]);
}
