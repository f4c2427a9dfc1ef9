//! Sound is decoded to the samples that were encoded, and what is damaged is refused.
//!
//! `media/sweep.*` were made by `ffmpeg -f lavfi -i "aevalsrc=0.5*sin(2*PI*(300*t+400*t*t)):s=16000:d=0.5"`
//! with the encoders flac, libmp3lame, libvorbis and aac.

use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use tcmax_media::decode::{Refusal, parse_image, parse_sound, sound};

use crate::needs;

/// Samples of the files `media/sweep.*`: half a second of a rising tone at 16 kHz.
const LENGTH: usize = 8_000;

fn sweep(n: usize) -> f64 {
    let t = n as f64 / 16_000.0;
    0.5 * (2.0 * std::f64::consts::PI * (300.0 * t + 400.0 * t * t)).sin()
}

fn media(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/media").join(name)
}

/// A WAV file: its size, or the size it claims, format tag, channels, rate, bits, samples.
fn wav(size: Option<u32>, tag: u16, channels: u16, rate: u32, bits: u16, data: &[u8]) -> Vec<u8> {
    let block = channels.wrapping_mul(bits / 8);
    let mut bytes = b"RIFF".to_vec();
    bytes.extend(size.unwrap_or(data.len() as u32 + 36).to_le_bytes());
    bytes.extend(b"WAVEfmt \x10\0\0\0");
    bytes.extend(tag.to_le_bytes());
    bytes.extend(channels.to_le_bytes());
    bytes.extend(rate.to_le_bytes());
    bytes.extend(rate.wrapping_mul(u32::from(block)).to_le_bytes());
    bytes.extend(block.to_le_bytes());
    bytes.extend(bits.to_le_bytes());
    bytes.extend(b"data");
    bytes.extend(size.unwrap_or(data.len() as u32).to_le_bytes());
    bytes.extend(data);
    bytes
}

fn refused(bytes: &[u8]) -> String {
    match parse_sound(bytes) {
        Err(Refusal::Broken(problem)) => problem,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_kind_of_plain_wav_has_the_same_samples() {
    let wanted = [0.0f32, 0.5, -0.25, -1.0];
    let scaled = |bits: u32| wanted.map(|x| (f64::from(x) * 2f64.powi(bits as i32 - 1)) as i64);
    let bytes = |bits: u32| {
        let raw = scaled(bits).map(i64::to_le_bytes);
        raw.iter().flat_map(|raw| raw[..bits as usize / 8].to_vec()).collect::<Vec<u8>>()
    };
    let unsigned: Vec<u8> = scaled(8).map(|x| (x + 128) as u8).to_vec();
    let floats: Vec<u8> = wanted.iter().flat_map(|x| x.to_le_bytes()).collect();
    let doubles: Vec<u8> = wanted.iter().flat_map(|&x| f64::from(x).to_le_bytes()).collect();
    let sixteen = bytes(16);
    let mut cases = vec![
        wav(None, 1, 1, 8_000, 8, &unsigned),
        wav(None, 1, 1, 8_000, 16, &sixteen),
        wav(None, 1, 1, 8_000, 24, &bytes(24)),
        wav(None, 1, 1, 8_000, 32, &bytes(32)),
        wav(None, 3, 1, 8_000, 32, &floats),
        wav(None, 3, 1, 8_000, 64, &doubles),
        // As `ffmpeg -f wav -` and SoX write to a pipe, and as a killed recorder leaves it.
        wav(Some(u32::MAX), 1, 1, 8_000, 16, &sixteen),
        wav(Some(0x7fff_f000), 1, 1, 8_000, 16, &sixteen),
        wav(Some(0), 1, 1, 8_000, 16, &sixteen),
    ];
    // RF64: the size is in a chunk of its own.
    let plain = wav(Some(u32::MAX), 1, 1, 8_000, 16, &sixteen);
    let mut long = b"RF64\xff\xff\xff\xffWAVEds64\x1c\0\0\0".to_vec();
    long.extend([80u64, sixteen.len() as u64, 4].iter().flat_map(|word| word.to_le_bytes()));
    long.extend([0; 4]);
    long.extend(&plain[12..]);
    long.extend(b"LIST\x04\0\0\0INFO");
    cases.push(long);
    // The extensible header, and a chunk of odd size before the samples.
    let mut extensible = wav(None, 1, 1, 8_000, 16, &sixteen)[..36].to_vec();
    extensible[16] = 40;
    extensible[20..22].copy_from_slice(&0xfffeu16.to_le_bytes());
    extensible.extend(b"\x16\0\x10\0\x04\0\0\0\x01\0\0\0\0\0\x10\0\x80\0\0\xaa\0\x38\x9b\x71");
    extensible.extend(b"junk\x03\0\0\0abc\0data\x08\0\0\0");
    extensible.extend(&sixteen);
    cases.push(extensible);
    for (n, case) in cases.iter().enumerate() {
        let got = parse_sound(case).unwrap_or_else(|e| panic!("case {n}: {e:?}"));
        assert_eq!((&got.samples[..], got.rate), (&wanted[..], 8_000), "case {n}");
    }
    let stereo = parse_sound(&wav(None, 3, 2, 8_000, 32, &floats)).unwrap();
    assert_eq!(stereo.samples, [0.25, -0.625]);
}

#[test]
fn cut_wav_and_lying_headers_are_refused() {
    let whole = wav(None, 1, 1, 8_000, 16, &[1; 100]);
    for length in 12..whole.len() {
        let problem = refused(&whole[..length]);
        assert!(problem.contains("not a complete WAV file"), "{length}: {problem}");
    }
    for rate in [0, 1, 2_147_483_647, u32::MAX] {
        let problem = refused(&wav(None, 1, 1, rate, 16, &[0; 100]));
        assert!(problem.contains(&format!("{rate} samples per second")), "{problem}");
    }
    assert!(refused(&wav(None, 1, 1, 8_000, 16, &[])).contains("no sample"));
    for channels in [0, 65, u16::MAX] {
        refused(&wav(None, 1, channels, 8_000, 16, &[0; 100]));
    }
    // Compressed: for another decoder.
    let adpcm = parse_sound(&wav(None, 0x11, 1, 8_000, 4, &[0; 100]));
    assert!(matches!(adpcm, Err(Refusal::Foreign(_))), "{adpcm:?}");
}

#[test]
fn absurd_samples_are_refused_and_named() {
    for (tag, bits, value) in [(3, 32, 1e35), (3, 32, f64::NAN), (3, 64, 1e300)] {
        let mut samples = [0.1, 0.2, value].to_vec();
        samples.resize(5_000, 0.0);
        let data: Vec<u8> = match bits {
            32 => samples.iter().flat_map(|&x| (x as f32).to_le_bytes()).collect(),
            _ => samples.iter().flat_map(|x| x.to_le_bytes()).collect(),
        };
        let problem = refused(&wav(None, tag, 1, 8_000, bits, &data));
        assert!(problem.contains("sample 2 (at 0.000 s)"), "{problem}");
    }
}

#[test]
fn of_a_sparse_wav_of_four_gibibytes_ten_minutes_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sparse.wav");
    let mut file = std::fs::File::create(&path).unwrap();
    file.write_all(&wav(Some(u32::MAX), 1, 2, 8_000, 16, &[])).unwrap();
    file.seek(SeekFrom::Start(4 << 30)).unwrap();
    file.write_all(&[0]).unwrap();
    drop(file);
    let got = sound(&path).unwrap();
    assert_eq!((got.samples.len(), got.rate), (600 * 8_000, 8_000));
}

#[test]
fn compressed_sound_begins_and_ends_where_the_encoded_did() {
    for (name, most) in
        [("sweep.flac", 2e-5), ("sweep.mp3", 0.02), ("sweep.ogg", 0.02), ("sweep.m4a", 0.02)]
    {
        let got = sound(&media(name)).unwrap();
        assert_eq!((got.samples.len(), got.rate), (LENGTH, 16_000), "{name}");
        let gap = |shift: usize| {
            let squares =
                (200..LENGTH - 200).map(|n| (f64::from(got.samples[n]) - sweep(n + shift)).powi(2));
            (squares.sum::<f64>() / (LENGTH - 400) as f64).sqrt()
        };
        assert!(gap(0) < most, "{name}: {}", gap(0));
        assert!(gap(0) < gap(1), "{name} is late or early");
    }
}

#[test]
fn cut_or_damaged_compressed_sound_is_refused() {
    for name in ["sweep.flac", "sweep.mp3", "sweep.ogg", "sweep.m4a"] {
        let whole = std::fs::read(media(name)).unwrap();
        for part in 1..20 {
            let cut = &whole[..whole.len() * part / 20];
            assert!(parse_sound(cut).is_err(), "{name}, {part}/20");
        }
        // Eight bytes in the middle.
        let mut damaged = whole.clone();
        let middle = whole.len() / 2;
        damaged[middle..middle + 8].iter_mut().for_each(|byte| *byte ^= 0x5a);
        // Without checksums some damage is sound, too.
        if ["sweep.flac", "sweep.ogg"].contains(&name) {
            refused(&damaged);
        } else {
            let _ = parse_sound(&damaged);
        }
    }
}

/// What ffmpeg makes of a file: interleaved samples.
fn by_ffmpeg(path: &Path) -> Vec<f32> {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-i"]).arg(path).args(["-f", "f32le", "-c:a", "pcm_f32le", "-"]);
    let output = command.output().unwrap();
    assert!(output.status.success());
    let samples = output.stdout.chunks_exact(4);
    samples.map(|raw| f32::from_le_bytes(raw.try_into().unwrap())).collect()
}

fn ffmpeg(arguments: &[&str], path: &Path) {
    let mut command = Command::new("ffmpeg");
    let status = command.args(["-v", "error", "-y"]).args(arguments).arg(path).status().unwrap();
    assert!(status.success(), "{arguments:?}");
}

#[test]
fn compressed_sound_is_what_ffmpeg_makes_of_it() {
    if !needs::ffmpeg() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let source = "aevalsrc=0.4*sin(2*PI*(200*t+900*t*t))|0.3*sin(2*PI*700*t):s=44100:d=2.3";
    for (name, arguments, most) in [
        ("a.flac", &["-sample_fmt", "s32"][..], 0.0),
        ("a.oga", &["-c:a", "flac"], 0.0),
        ("a.mp3", &["-c:a", "libmp3lame"], 1e-5),
        ("mono.mp3", &["-c:a", "libmp3lame", "-ac", "1", "-ar", "22050", "-q:a", "3"], 1e-5),
        ("plain.mp3", &["-c:a", "libmp3lame", "-write_xing", "0"], 1e-5),
        ("a.ogg", &["-c:a", "libvorbis"], 1e-5),
        ("a.m4a", &["-c:a", "aac"], 1e-4),
        ("low.mp4", &["-c:a", "aac", "-ar", "22050"], 1e-4),
        ("pieces.mp4", &["-c:a", "aac", "-movflags", "frag_keyframe+empty_moov"], 1e-4),
        ("a.aac", &["-c:a", "aac"], 1e-4),
        ("adpcm.wav", &["-c:a", "adpcm_ima_wav"], 0.0),
        ("law.wav", &["-c:a", "pcm_mulaw"], 0.0),
        ("a.aiff", &[], 0.0),
        ("a.opus", &["-c:a", "libopus"], 0.0),
        ("six.m4a", &["-c:a", "aac", "-ac", "6"], 0.0),
        ("a.mkv", &["-c:a", "aac"], 0.0),
    ] {
        let path = folder.path().join(name);
        ffmpeg(&[&["-f", "lavfi", "-i", source], arguments].concat(), &path);
        let got = sound(&path).unwrap_or_else(|e| panic!("{e}"));
        let wanted = by_ffmpeg(&path);
        let channels = match name {
            "mono.mp3" => 1,
            "six.m4a" => 6,
            _ => 2,
        };
        let frames = wanted.len() / channels;
        // The ends of MP4: the edit list's, by the sample; ffmpeg 5.1 gives whole packets.
        let padding = if name.ends_with(".m4a") || name == "low.mp4" { 1_023 } else { 0 };
        let lengths = (got.samples.len(), frames);
        assert!(lengths.0 <= frames && frames - lengths.0 <= padding, "{name}: {lengths:?}");
        let mean = |frame: &[f32]| frame.iter().sum::<f32>() / channels as f32;
        let gaps =
            got.samples.iter().zip(wanted.chunks_exact(channels)).map(|(x, y)| (x - mean(y)).abs());
        let gap = gaps.fold(0.0, f32::max);
        assert!(f64::from(gap) <= most, "{name}: {gap}");
    }
}

#[test]
fn sound_for_ffmpeg_says_so_where_there_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pointer.flv");
    std::fs::write(&path, "version https://git-lfs.github.com/spec/v1\noid sha256:1\n").unwrap();
    for error in [sound(&path).unwrap_err(), tcmax_media::decode::probe(&path).unwrap_err()] {
        assert!(error.to_string().contains("git lfs pull"), "{error}");
    }
}

/// Numbers of a linear congruence.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, most: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % most.max(1)
    }
}

/// `TCMAX_MUTATIONS` says how many of each file.
#[test]
fn damaged_files_are_read_or_refused_without_a_panic() {
    let count = std::env::var("TCMAX_MUTATIONS").ok().and_then(|text| text.parse().ok());
    let mut files: Vec<(String, Vec<u8>)> = std::fs::read_dir(media(""))
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            (path.display().to_string(), std::fs::read(path).unwrap())
        })
        .collect();
    files.sort();
    files.push(("WAV".to_owned(), wav(None, 1, 2, 8_000, 16, &[1; 400])));
    let mut numbers = Numbers(7);
    for (name, whole) in files {
        for n in 0..count.unwrap_or(40) {
            let mut file = whole.clone();
            for _ in 0..=numbers.below(6) {
                // Headers are hit as often as all the rest.
                let reach = [64, 512, file.len()][numbers.below(3)].min(file.len());
                let at = numbers.below(reach);
                let value = [0, 0xff, 0x7f, numbers.below(256) as u8][numbers.below(4)];
                match numbers.below(6) {
                    0 => file.truncate(at.max(16)),
                    1 => file.insert(at, value),
                    2 => drop(file.remove(at)),
                    3 => file[at..].iter_mut().take(4).for_each(|byte| *byte = value),
                    _ => file[at] = value,
                }
            }
            let read = std::panic::catch_unwind(|| {
                (parse_sound(&file).is_ok(), parse_image(&file, |_, _| ()).is_ok())
            });
            if read.is_err() {
                let kept = std::env::temp_dir().join(format!("tcmax-mutation-{n}"));
                std::fs::write(&kept, &file).unwrap();
                panic!("mutation {n} of {name} panics; it is kept in {}", kept.display());
            }
        }
    }
}
