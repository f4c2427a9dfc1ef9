//! Miniatures of the published data sets, in their containers, codecs and layouts.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Colours and pitches, a class each.
const COLOURS: [&str; 3] = ["red", "green", "blue"];
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
            Self::Wav => &["-vn", "-ar", "16000", "-c:a", "pcm_s16le"],
            Self::Jpeg | Self::Png => &["-an", "-frames:v", "1"],
        }
    }
}

/// Runs ffmpeg; the tests of media need it.
pub fn ffmpeg(arguments: &[&str]) {
    let output = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-y"])
        .args(arguments)
        .output()
        .expect("these tests need ffmpeg: apt-get install ffmpeg");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// One clip of a class, `seconds` long: its colour with moving noise, its pitch.
pub fn encode(path: &Path, codec: Codec, class: usize, seconds: f64) {
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
