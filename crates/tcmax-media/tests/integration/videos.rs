//! Frames are those of the seconds asked for; damaged videos and playlists are refused.

use std::path::Path;
use std::process::Command;

use tcmax_media::decode::{Pixels, frames, probe, sound};

use crate::needs;

fn ffmpeg(arguments: &[&str], path: &Path) {
    let mut command = Command::new("ffmpeg");
    let status = command.args(["-v", "error", "-y"]).args(arguments).arg(path).status().unwrap();
    assert!(status.success(), "{arguments:?}");
}

/// A video of which every frame shows its number: eight bars, a bit each, the lowest first.
fn numbered(path: &Path, rate: &str, seconds: f64, codec: &[&str]) {
    let bits = "lum=if(mod(floor(N/pow(2\\,floor(X/16)))\\,2)\\,230\\,20):cb=128:cr=128";
    let source = format!("nullsrc=s=128x64:r={rate}:d={seconds},format=yuv420p,geq={bits}");
    ffmpeg(&[&["-f", "lavfi", "-i", &source], codec].concat(), path);
}

fn number(frame: &Pixels) -> usize {
    let bright = |bar: usize| frame.bytes[(32 * frame.width + 16 * bar + 8) * 3] > 128;
    (0..8).map(|bar| usize::from(bright(bar)) << bar).sum()
}

fn numbers(path: &Path, rate: f64, count: usize) -> Vec<usize> {
    frames(path, rate, count, 64).unwrap().iter().map(number).collect()
}

const H264: &[&str] = &["-c:v", "libx264", "-bf", "2"];
const XVID: &[&str] = &["-c:v", "mpeg4", "-vtag", "XVID", "-q:v", "2"];
const FLASH: &[&str] = &["-c:v", "flv1", "-q:v", "2"];
const VP8: &[&str] = &["-c:v", "libvpx", "-b:v", "1M"];

#[test]
fn frames_are_those_of_whole_seconds() {
    if !needs::ffmpeg() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for (name, codec) in [("a.mp4", H264), ("a.avi", XVID), ("a.flv", FLASH), ("a.webm", VP8)] {
        let path = folder.path().join(name);
        numbered(&path, "25", 4.0, codec);
        assert_eq!(numbers(&path, 1.0, 4), [0, 25, 50, 75], "{name}");
        assert_eq!(numbers(&path, 2.0, 8), [0, 13, 25, 38, 50, 63, 75, 88], "{name}");
        // Evenly of four: the first, the third and the last.
        assert_eq!(numbers(&path, 1.0, 3), [0, 50, 75], "{name}");
        assert_eq!(numbers(&path, 25.0, 100), (0..100).collect::<Vec<_>>(), "{name}");
        // As long as CREMA-D's clips: three seconds begin in them, so no frame comes twice.
        numbered(&path, "30000/1001", 2.2, codec);
        assert_eq!(numbers(&path, 1.0, 3), [0, 30, 60], "{name}");
        // Shorter than half a second, and a single frame.
        numbered(&path, "25", 0.28, codec);
        assert_eq!(numbers(&path, 1.0, 3), [0, 0, 0], "{name}");
        numbered(&path, "25", 0.04, codec);
        assert_eq!(numbers(&path, 1.0, 2), [0, 0], "{name}");
    }
}

/// Noise, which is hard to compress, and a tone.
fn noise(path: &Path, codec: &[&str]) {
    let video = "testsrc2=s=160x120:r=25:d=2,noise=alls=20:allf=t,format=yuv420p";
    let input = ["-f", "lavfi", "-i", video, "-f", "lavfi", "-i", "sine=f=500:d=2"];
    ffmpeg(&[&input[..], codec].concat(), path);
}

#[test]
fn damaged_videos_are_refused_and_healthy_ones_not() {
    if !needs::ffmpeg() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mp3 = ["-c:a", "libmp3lame", "-ar", "44100"];
    for (name, codec) in [
        ("a.mp4", [H264, &["-c:a", "aac"]].concat()),
        ("a.avi", [XVID, &mp3].concat()),
        ("a.flv", [FLASH, &mp3].concat()),
    ] {
        let path = folder.path().join(name);
        noise(&path, &codec);
        assert_eq!(frames(&path, 1.0, 3, 64).unwrap().len(), 3, "{name}");
        sound(&path).unwrap();
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        assert!(frames(&path, 1.0, 3, 64).is_err(), "half of {name}");
        assert!(sound(&path).is_err(), "half of {name}");
        let (mut damaged, mut state) = (whole.clone(), 1u64);
        for _ in 0..300 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let inner = whole.len() * 8 / 10;
            damaged[whole.len() / 10 + (state >> 33) as usize % inner] = (state >> 24) as u8;
        }
        std::fs::write(&path, &damaged).unwrap();
        assert!(frames(&path, 1.0, 3, 64).is_err(), "300 bytes of {name}");
    }
    // Cut out of a film without encoding it again, with a picture that refers to what is missing.
    let (film, clip) = (folder.path().join("film.mp4"), folder.path().join("clip.mp4"));
    let open = ["-c:v", "libx264", "-x264-params", "open-gop=1:keyint=20", "-c:a", "aac"];
    noise(&film, &open);
    ffmpeg(&["-ss", "0.9", "-i", film.to_str().unwrap(), "-c", "copy"], &clip);
    frames(&clip, 1.0, 1, 64).unwrap();
}

#[test]
fn playlists_are_not_followed() {
    if !needs::ffmpeg() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (inside, outside) = (folder.path().join("list.mp4"), folder.path().join("outside.ts"));
    let (wav, name) = (folder.path().join("list.wav.mp3"), outside.to_str().unwrap().to_owned());
    noise(&outside, &["-c:v", "libx264", "-c:a", "aac"]);
    let hls = format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{name}\n#EXT-X-ENDLIST\n");
    let concat = format!("ffconcat version 1.0\nfile '{name}'\n");
    for list in [&hls, &concat] {
        std::fs::write(&inside, list).unwrap();
        std::fs::write(&wav, list).unwrap();
        let errors = [
            frames(&inside, 1.0, 1, 64).unwrap_err(),
            sound(&inside).unwrap_err(),
            sound(&wav).unwrap_err(),
        ];
        for error in errors {
            assert!(error.to_string().contains("this is a playlist"), "{error}");
        }
    }
    // One that does not begin so is refused by the list of formats.
    std::fs::write(&inside, format!("\n{hls}")).unwrap();
    assert!(probe(&inside).is_err());
}

#[test]
fn what_a_header_claims_does_not_bound_what_is_kept() {
    if !needs::ffmpeg() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.flv");
    numbered(&path, "25", 2.0, FLASH);
    let mut bytes = std::fs::read(&path).unwrap();
    let name = bytes.windows(8).position(|window| window == b"duration").unwrap();
    // A double behind the name and a byte that says so: a hundredth of a second, then ten hours.
    bytes[name + 9..name + 17].copy_from_slice(&0.01f64.to_be_bytes());
    std::fs::write(&path, &bytes).unwrap();
    assert_eq!(probe(&path).unwrap().times.len(), 50);
    assert_eq!(numbers(&path, 1.0, 2), [0, 25]);
    bytes[name + 9..name + 17].copy_from_slice(&36_000f64.to_be_bytes());
    std::fs::write(&path, &bytes).unwrap();
    let error = frames(&path, 1.0, 2, 64).unwrap_err().to_string();
    assert!(error.contains("it ends after"), "{error}");
}
