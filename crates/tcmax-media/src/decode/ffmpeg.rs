//! The `ffmpeg` and `ffprobe` programs.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde::Deserialize;

use super::image::{Pixels, shrink};
use crate::{Error, Result};

/// Nothing beyond is decoded: clips are seconds long, and this bounds memory.
const LONGEST_SECONDS: u32 = 600;
/// Pictures of more pixels are refused.
const MOST_PIXELS: usize = 1 << 26;

/// What a media file says of itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Probe {
    /// Whether there is a sound stream.
    pub has_sound: bool,
    /// Whether there is a picture stream.
    pub has_frames: bool,
    /// Declared length in seconds, if any.
    pub seconds: Option<f64>,
}

#[derive(Deserialize)]
struct RawProbe {
    #[serde(default)]
    streams: Vec<RawStream>,
    #[serde(default)]
    format: RawFormat,
}

#[derive(Deserialize)]
struct RawStream {
    #[serde(default)]
    codec_type: String,
}

#[derive(Default, Deserialize)]
struct RawFormat {
    duration: Option<String>,
}

/// Asks `ffprobe` what is in a file.
///
/// # Errors
/// When it is not media, or the program is not there.
pub fn probe(path: &Path) -> Result<Probe> {
    let mut command = Command::new("ffprobe");
    command.args([
        "-v",
        "error",
        "-show_entries",
        "format=duration:stream=codec_type",
        "-of",
        "json",
    ]);
    let output =
        command.arg(file_url(path)).stdin(Stdio::null()).output().map_err(not_there("ffprobe"))?;
    if !output.status.success() {
        return Err(Error::media(path, broken(&output.stderr)));
    }
    parse_probe(&output.stdout).map_err(|problem| Error::media(path, problem))
}

/// Reads what ffprobe prints.
fn parse_probe(json: &[u8]) -> std::result::Result<Probe, String> {
    let raw: RawProbe = serde_json::from_slice(json).map_err(|e| format!("ffprobe: {e}"))?;
    let has = |kind| raw.streams.iter().any(|stream| stream.codec_type == kind);
    let seconds = raw.format.duration.and_then(|text| text.parse().ok());
    Ok(Probe { has_sound: has("audio"), has_frames: has("video"), seconds })
}

/// The version of the installed `ffmpeg`.
///
/// # Errors
/// When it is not installed.
pub fn ffmpeg_version() -> Result<String> {
    let output = Command::new("ffmpeg").arg("-version").output().map_err(not_there("ffmpeg"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(text.split_whitespace().nth(2).unwrap_or("unknown").to_owned())
}

fn not_there(program: &'static str) -> impl FnOnce(std::io::Error) -> Error {
    move |error| Error::NoFfmpeg { program, reason: error.to_string() }
}

/// A name that `ffmpeg` takes for a file, whatever is in it.
fn file_url(path: &Path) -> std::ffi::OsString {
    let mut url = std::ffi::OsString::from("file:");
    url.push(path);
    url
}

/// The last line of what ffmpeg said, without the path it repeats.
fn broken(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let line = text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("no reason given");
    let reason = line.rsplit_once(": ").map_or(line, |(_, reason)| reason);
    format!("it cannot be decoded ({}); fetch it again", reason.trim())
}

fn start(path: &Path, arguments: &[&str]) -> Result<Child> {
    let mut command = Command::new("ffmpeg");
    // One thread: clips are decoded several at a time. Metadata never reach what is decoded.
    command.args(["-nostdin", "-v", "error", "-threads", "1", "-i"]).arg(file_url(path));
    command.args(["-t", &LONGEST_SECONDS.to_string()]).args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().map_err(not_there("ffmpeg"))
}

/// Runs ffmpeg and hands what it writes to `read`.
fn run<T>(
    path: &Path,
    arguments: &[&str],
    read: impl FnOnce(&mut BufReader<std::process::ChildStdout>) -> std::result::Result<T, String>,
) -> Result<T> {
    let mut child = start(path, arguments)?;
    let (Some(stdout), Some(mut stderr)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(Error::media(path, "ffmpeg has no output"));
    };
    // A full pipe of messages would stop the decoder.
    let messages = std::thread::spawn(move || {
        let mut text = Vec::new();
        let _ = stderr.by_ref().take(1 << 20).read_to_end(&mut text);
        let _ = std::io::copy(&mut stderr, &mut std::io::sink());
        text
    });
    let mut reader = BufReader::with_capacity(1 << 16, stdout);
    let done = read(&mut reader);
    drop(reader);
    if done.is_err() {
        let _ = child.kill();
    }
    let status = child.wait().map_err(not_there("ffmpeg"))?;
    let messages = messages.join().unwrap_or_default();
    match done {
        Ok(value) if status.success() => Ok(value),
        Ok(_) => Err(Error::media(path, broken(&messages))),
        Err(_) if !messages.is_empty() => Err(Error::media(path, broken(&messages))),
        Err(problem) => Err(Error::media(path, problem)),
    }
}

/// Frames of a video at `rate` a second in order of time, each shrunk so that its shorter side is at
/// most `side`.
///
/// # Errors
/// When the file has no pictures, cannot be decoded or ends early.
pub fn frames(path: &Path, rate: f64, side: usize) -> Result<Vec<Pixels>> {
    frames_of(path, &probe(path)?, rate, side)
}

/// As [`frames`] of a file that was asked what it is.
pub(super) fn frames_of(path: &Path, probe: &Probe, rate: f64, side: usize) -> Result<Vec<Pixels>> {
    if !probe.has_frames {
        return Err(Error::media(path, "it has no pictures"));
    }
    let filter = format!("fps={rate}");
    let arguments = ["-map", "0:v:0", "-vf", &filter, "-f", "image2pipe", "-c:v", "ppm", "-"];
    let frames = run(path, &arguments, |reader| {
        let mut frames = Vec::new();
        while let Some(frame) = read_ppm(reader)? {
            frames.push(shrink(frame, side)?);
        }
        Ok(frames)
    })?;
    if frames.is_empty() {
        return Err(Error::media(path, "there is no frame in it"));
    }
    whole(path, probe.seconds, frames.len() as f64 / rate, 1.0 / rate)?;
    Ok(frames)
}

/// Sound of a file as it is there: interleaved samples in [-1, 1], channels, samples a second.
pub(super) fn samples(path: &Path) -> Result<(Vec<f32>, usize, u32)> {
    let probe = probe(path)?;
    if !probe.has_sound {
        return Err(Error::media(path, "it has no sound"));
    }
    let arguments = ["-map", "0:a:0", "-f", "au", "-c:a", "pcm_f32be", "-"];
    let (samples, channels, rate) = run(path, &arguments, read_au)?;
    let seconds = samples.len() as f64 / channels as f64 / f64::from(rate);
    if samples.is_empty() {
        return Err(Error::media(path, "there is no sample in it"));
    }
    whole(path, probe.seconds, seconds, 0.5)?;
    Ok((samples, channels, rate))
}

/// A file that says it is longer than what came out was cut off. Streams of one file differ in length
/// a little, so a tenth and `slack` seconds are let pass.
fn whole(path: &Path, declared: Option<f64>, got: f64, slack: f64) -> Result<()> {
    let wanted = declared.unwrap_or(0.0).min(f64::from(LONGEST_SECONDS));
    if got >= 0.9 * wanted - slack {
        return Ok(());
    }
    let problem = format!("it ends after {got:.1} of {wanted:.1} s; fetch it again");
    Err(Error::media(path, problem))
}

/// The next picture of a stream of binary PPM files; none at its end.
///
/// # Errors
/// When the stream is not one, ends within a picture, or a picture is too large.
pub fn read_ppm(reader: &mut impl BufRead) -> std::result::Result<Option<Pixels>, String> {
    if reader.fill_buf().map_err(|e| e.to_string())?.is_empty() {
        return Ok(None);
    }
    let mut word = || -> std::result::Result<String, String> {
        let mut word = Vec::new();
        while word.len() < 20 {
            let mut byte = [0];
            reader.read_exact(&mut byte).map_err(|e| e.to_string())?;
            match byte[0] {
                b' ' | b'\n' if word.is_empty() => {}
                b' ' | b'\n' => break,
                other => word.push(other),
            }
        }
        String::from_utf8(word).map_err(|e| e.to_string())
    };
    let (magic, width, height, depth) = (word()?, word()?, word()?, word()?);
    let size = |text: &str| text.parse::<usize>().ok().filter(|&size| size > 0);
    let (Some(width), Some(height), "P6", "255") =
        (size(&width), size(&height), magic.as_str(), depth.as_str())
    else {
        return Err(format!("ffmpeg wrote no picture but '{magic} {width} {height}'"));
    };
    if width.checked_mul(height).is_none_or(|pixels| pixels > MOST_PIXELS) {
        return Err(format!("a picture of {width} x {height} pixels is too large"));
    }
    let mut bytes = vec![0; width * height * 3];
    reader.read_exact(&mut bytes).map_err(|e| e.to_string())?;
    Ok(Some(Pixels { height, width, channels: 3, bytes }))
}

/// An AU stream of 32-bit floats: samples, channels, rate.
///
/// # Errors
/// When the stream is not one.
pub fn read_au(reader: &mut impl Read) -> std::result::Result<(Vec<f32>, usize, u32), String> {
    let mut header = [0u8; 24];
    reader.read_exact(&mut header).map_err(|e| format!("ffmpeg wrote no sound ({e})"))?;
    let field = |n: usize| {
        u32::from_be_bytes([header[4 * n], header[4 * n + 1], header[4 * n + 2], header[4 * n + 3]])
    };
    let (offset, encoding, rate, channels) = (field(1), field(3), field(4), field(5) as usize);
    let known = header.starts_with(b".snd") && encoding == 6;
    if !known || rate == 0 || !(1..=64).contains(&channels) || !(24..1 << 16).contains(&offset) {
        return Err("ffmpeg wrote something that is no AU sound".to_owned());
    }
    let skipped = std::io::copy(&mut reader.take(u64::from(offset) - 24), &mut std::io::sink());
    skipped.map_err(|e| e.to_string())?;
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).map_err(|e| e.to_string())?;
    let samples =
        bytes.chunks_exact(4).map(|raw| f32::from_be_bytes([raw[0], raw[1], raw[2], raw[3]]));
    Ok((samples.collect(), channels, rate))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_of_pictures_are_read_to_their_end_and_cut_ones_refused() {
        let stream = b"P6\n2 1\n255\nabcdefP6\n1 1\n255\n\n  ".to_vec();
        let mut reader = &stream[..];
        let first = read_ppm(&mut reader).unwrap().unwrap();
        assert_eq!((first.width, first.height, &first.bytes[..]), (2, 1, &b"abcdef"[..]));
        assert_eq!(read_ppm(&mut reader).unwrap().unwrap().bytes, b"\n  ");
        assert_eq!(read_ppm(&mut reader).unwrap(), None);
        for bad in
            [&b"P6\n2 1\n255\nabc"[..], b"P5\n1 1\n255\n1", b"P6\n99999999999 9\n255\n", b"P6"]
        {
            assert!(read_ppm(&mut &bad[..]).is_err());
        }
    }

    #[test]
    fn probes_are_read() {
        let json = br#"{"streams": [{"codec_type": "video"}], "format": {"duration": "2.5"}}"#;
        let wanted = Probe { has_sound: false, has_frames: true, seconds: Some(2.5) };
        assert_eq!(parse_probe(json).unwrap(), wanted);
        assert!(parse_probe(b"{").is_err());
    }
}
