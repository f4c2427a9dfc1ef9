//! Miniatures of the published data sets, in their containers, codecs and layouts.

use std::f64::consts::PI;
use std::path::{Path, PathBuf};
use std::process::Command;

#[path = "../../../tcmax-media/tests/needs/mod.rs"]
pub mod needs;

/// Colours and pitches, a class each.
const COLOURS: [&str; 3] = ["red", "green", "blue"];
const PIXELS: [[u8; 3]; 3] = [[254, 0, 0], [0, 128, 0], [0, 0, 254]];
const PITCHES: [u32; 3] = [300, 800, 2_000];

/// How a clip is encoded.
#[derive(Clone, Copy)]
pub enum Codec {
    /// Flash video with MP3 sound.
    Flv,
    /// H.264 and AAC in MP4.
    Mp4,
    /// XviD in AVI, with MP3 sound.
    Avi,
    /// Sound at 16 kHz.
    Wav,
    /// One picture.
    Jpeg,
    /// One picture without loss.
    Png,
}

impl Codec {
    fn ending(self) -> &'static str {
        match self {
            Self::Flv => "flv",
            Self::Mp4 => "mp4",
            Self::Avi => "avi",
            Self::Wav => "wav",
            Self::Jpeg => "jpg",
            Self::Png => "png",
        }
    }

    fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Flv => &["-c:v", "flv1", "-c:a", "libmp3lame", "-ar", "44100"],
            Self::Mp4 => &["-c:v", "libx264", "-pix_fmt", "yuv420p", "-c:a", "aac"],
            Self::Avi => &["-c:v", "mpeg4", "-vtag", "XVID", "-c:a", "libmp3lame"],
            Self::Wav | Self::Jpeg | Self::Png => &[],
        }
    }
}

/// Runs ffmpeg, which the tests of videos need.
pub fn ffmpeg(arguments: &[&str]) {
    let output = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-y"])
        .args(arguments)
        .output()
        .expect("these tests need ffmpeg: apt-get install ffmpeg");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A tone of 16 bits at 16 kHz.
fn tone(path: &Path, pitch: u32, seconds: f64) {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 16_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(path, spec).unwrap();
    for n in 0..(16_000.0 * seconds) as u32 {
        let phase = 2.0 * PI * f64::from(pitch) * f64::from(n) / 16_000.0;
        writer.write_sample((4_096.0 * phase.sin()) as i16).unwrap();
    }
    writer.finalize().unwrap();
}

/// A picture of one colour with noise.
fn picture(path: &Path, colour: [u8; 3]) {
    let mut state = 1u32;
    let mut noisy = |value: u8| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        value.saturating_add((state >> 27) as u8).saturating_sub(16)
    };
    let picture = image::RgbImage::from_fn(96, 72, |_, _| image::Rgb(colour.map(&mut noisy)));
    picture.save(path).unwrap();
}

/// One clip of a class, `seconds` long: its colour with moving noise, its pitch. Videos need ffmpeg.
pub fn encode(path: &Path, codec: Codec, class: usize, seconds: f64) {
    match codec {
        Codec::Wav => return tone(path, PITCHES[class % 3], seconds),
        Codec::Jpeg | Codec::Png => return picture(path, PIXELS[class % 3]),
        Codec::Flv | Codec::Mp4 | Codec::Avi => {}
    }
    let video =
        format!("color=c={}:s=96x72:r=10:d={seconds},noise=alls=20:allf=t", COLOURS[class % 3]);
    let audio = format!("sine=f={}:r=44100:d={seconds}", PITCHES[class % 3]);
    let mut arguments = vec!["-f", "lavfi", "-i", &video, "-f", "lavfi", "-i", &audio, "-shortest"];
    arguments.extend(codec.arguments());
    arguments.push(path.to_str().unwrap());
    ffmpeg(&arguments);
}

/// Copies of one clip a class under the names of `ids`, class n of `ids[i]` being i modulo `classes`.
pub fn fill(folder: &Path, codec: Codec, ids: &[String], classes: usize, seconds: f64) {
    std::fs::create_dir_all(folder).unwrap();
    let masters: Vec<PathBuf> = (0..classes)
        .map(|class| {
            let master = folder.join(format!("master-{class}.{}", codec.ending()));
            encode(&master, codec, class, seconds);
            master
        })
        .collect();
    for (n, id) in ids.iter().enumerate() {
        let path = folder.join(format!("{id}.{}", codec.ending()));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::copy(&masters[n % classes], path).unwrap();
    }
    masters.iter().for_each(|master| std::fs::remove_file(master).unwrap());
}

/// A list in the manner of the published ones.
pub fn list(path: &Path, start: &str, ids: &[String], label: impl Fn(usize) -> String) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let lines = ids.iter().enumerate().map(|(n, id)| format!("{id},{}\r\n", label(n)));
    std::fs::write(path, start.to_owned() + &lines.collect::<String>()).unwrap();
}
