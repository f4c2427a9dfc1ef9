//! The `ffmpeg` and `ffprobe` programs.
//!
//! Both read local files alone, and of these no playlist: such a file could name others anywhere. A
//! decoder that reports an error refuses the file (`-xerror`). Stricter still would be `-err_detect
//! explode`, but that refuses clips that were cut out of a film without encoding them again, too.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{ChildStdout, Command};

use tcmax_data::file;

use super::evenly::evenly;
use super::image::{Pixels, shrink};
use super::mono::LONGEST_SECONDS;
use super::process::{Ended, LONGEST_DECODING, run};
use super::refusal::Refusal;
use super::streams::{read_au, read_ppm};
use crate::error::{Error, Result};
use crate::signal::Sound;

/// Containers of media; formats that name other files are not among them.
const CONTAINERS: &str = "aac,ac3,aiff,amr,ape,asf,au,avi,caf,dv,eac3,flac,flv,gif,h264,hevc,ivf,\
                          live_flv,m4v,matroska,mov,mp3,mpeg,mpegts,mpegvideo,nut,ogg,tta,w64,wav,wv";
/// Pictures of more pixels are refused.
const MOST_PIXELS: u32 = 1 << 26;
/// Bytes that ffmpeg may allocate at once.
const MOST_AT_ONCE: u32 = 1 << 30;
/// Bytes of the frames of a clip.
pub(super) const MOST_KEPT: usize = 1 << 30;
/// Packets of a file; a clip has fewer.
const MOST_PACKETS: usize = 1 << 20;
/// Seconds by which times in files are rounded.
const ROUNDING: f64 = 0.001;

/// What is in a media file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Probe {
    /// Whether there is a sound stream.
    pub has_sound: bool,
    /// Whether there is a video stream.
    pub has_frames: bool,
    /// Declared length in seconds, if any.
    pub seconds: Option<f64>,
    /// Declared number of frames of the first video stream, where it can be relied on: in AVI, whose
    /// declared length is only that of its packets if its end is missing.
    pub frames: Option<usize>,
    /// Seconds from the first packet to the end of the last, of the first 600.
    pub there: f64,
    /// When the frames of the first video stream are shown, seconds after the first.
    pub times: Vec<f64>,
    /// Frames a second of this stream, on average, as declared.
    pub rate: Option<f64>,
}

/// Asks `ffprobe` what is in a file.
///
/// # Errors
/// When it is not media, or the program is not there.
pub fn probe(path: &Path) -> Result<Probe> {
    checked(path)?;
    let mut command = Command::new("ffprobe");
    command.args(["-v", "error"]);
    local(&mut command);
    command.args(["-read_intervals", &format!("%+{LONGEST_SECONDS}"), "-of", "compact"]);
    let entries = "packet=codec_type,stream_index,pts_time,dts_time,duration_time,flags:\
                   stream=index,codec_type,nb_frames,avg_frame_rate:stream_disposition=attached_pic:\
                   format=format_name,duration";
    command.args(["-show_entries", entries]).arg(file_url(path));
    let ended = run(&mut command, LONGEST_DECODING, parse_probe);
    done(path, ended.map_err(not_there("ffprobe"))?)
}

/// Reads what ffprobe prints.
///
/// # Errors
/// When there are more packets than a clip has.
fn parse_probe(output: &mut impl BufRead) -> std::result::Result<Probe, String> {
    let mut probe = Probe::default();
    let (mut video, mut packets) = (None, Vec::new());
    let (mut first, mut last) = (f64::INFINITY, f64::NEG_INFINITY);
    for line in output.lines() {
        let line = line.map_err(|e| e.to_string())?;
        let mut fields = line.split('|');
        let section = fields.next().unwrap_or_default();
        let fields: Vec<(&str, &str)> = fields.filter_map(|field| field.split_once('=')).collect();
        let text = |name| fields.iter().find(|(n, _)| *n == name).map(|(_, value)| *value);
        let number = |name| text(name).and_then(|value| value.parse::<f64>().ok());
        let kind = text("codec_type");
        match section {
            // Those that an edit list leaves out have the flag D.
            "packet" if text("flags").is_none_or(|flags| !flags.contains('D')) => {
                let Some(time) = number("pts_time").or_else(|| number("dts_time")) else {
                    continue;
                };
                first = first.min(time);
                last = last.max(time + number("duration_time").unwrap_or(0.0));
                if kind == Some("video") {
                    packets.push((text("stream_index").map(str::to_owned), time));
                }
                if packets.len() > MOST_PACKETS {
                    return Err("it has more frames than any clip".to_owned());
                }
            }
            "stream" if kind == Some("audio") => probe.has_sound = true,
            // Not the picture of a record's cover.
            "stream"
                if kind == Some("video")
                    && video.is_none()
                    && text("disposition:attached_pic") != Some("1") =>
            {
                video = text("index").map(str::to_owned);
                probe.rate = text("avg_frame_rate").and_then(fraction);
                probe.frames = number("nb_frames").map(|frames| frames as usize);
            }
            "format" => {
                probe.seconds = number("duration");
                if text("format_name") != Some("avi") {
                    probe.frames = None;
                }
            }
            _ => {}
        }
    }
    probe.has_frames = video.is_some();
    probe.there = (last - first).max(0.0);
    probe.times =
        packets.into_iter().filter(|(stream, _)| *stream == video).map(|(_, time)| time).collect();
    probe.times.sort_by(f64::total_cmp);
    let start = probe.times.first().copied().unwrap_or(0.0);
    probe.times.iter_mut().for_each(|time| *time -= start);
    Ok(probe)
}

/// A positive number as `30000/1001`.
fn fraction(text: &str) -> Option<f64> {
    let (above, below) = text.split_once('/')?;
    let value = above.parse::<f64>().ok()? / below.parse::<f64>().ok()?;
    (value.is_finite() && value > 0.0).then_some(value)
}

impl Probe {
    /// How many frames there are at `rate` a second.
    fn frames(&self, rate: f64) -> usize {
        let slots = self.times.iter().map(|&time| slot(time, rate));
        let mut slots: Vec<i64> = slots.collect();
        slots.dedup();
        slots.len()
    }
}

/// Which of the intervals of 1 / `rate` seconds a time is in.
fn slot(time: f64, rate: f64) -> i64 {
    ((time + ROUNDING) * rate).floor() as i64
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

/// Refuses what neither program should be asked.
fn checked(path: &Path) -> Result<()> {
    let (file, _) = file::open(path, "")?;
    let mut start = Vec::new();
    file.take(64).read_to_end(&mut start).map_err(tcmax_data::Error::io(path))?;
    let start = file::without_mark(&start);
    match [&b"#EXTM3U"[..], b"ffconcat", b"[playlist]"].iter().any(|list| start.starts_with(list)) {
        true => {
            Err(Error::media(path, "this is a playlist, not media; name the files that it lists"))
        }
        false => Ok(()),
    }
}

/// Options of an input: local media alone.
fn local(command: &mut Command) {
    command.args(["-protocol_whitelist", "file", "-format_whitelist", CONTAINERS]);
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

/// What a program made of a file.
fn done<T>(path: &Path, ended: Ended<T>) -> Result<T> {
    if ended.too_long {
        let limit = LONGEST_DECODING.as_secs();
        let problem = format!("decoding it took more than {limit} s and was stopped");
        return Err(Error::media(path, problem));
    }
    match ended.value {
        Ok(value) if ended.success => Ok(value),
        Err(problem) if ended.messages.is_empty() => Err(Error::media(path, problem)),
        _ => Err(Error::media(path, broken(&ended.messages))),
    }
}

/// Decodes with ffmpeg and hands what it writes to `read`.
pub(super) fn decode<T>(
    path: &Path,
    arguments: &[&str],
    read: impl FnOnce(&mut BufReader<ChildStdout>) -> std::result::Result<T, String>,
) -> Result<T> {
    let mut command = Command::new("ffmpeg");
    let most = MOST_AT_ONCE.to_string();
    command.args(["-nostdin", "-v", "error", "-xerror", "-max_alloc", &most]);
    // One thread: clips are decoded several at a time.
    let (pixels, seconds) = (MOST_PIXELS.to_string(), LONGEST_SECONDS.to_string());
    command.args(["-threads", "1", "-max_pixels", &pixels, "-t", &seconds]);
    local(&mut command);
    command.arg("-i").arg(file_url(path)).args(arguments);
    let ended = run(&mut command, LONGEST_DECODING, read).map_err(not_there("ffmpeg"))?;
    done(path, ended)
}

/// `count` frames of a video, evenly of those at 0, 1 / `rate`, 2 / `rate`, ... seconds, in order and each
/// shrunk so that its shorter side is at most `side`. Where there are fewer, some are repeated.
///
/// The frame at a time is the first that is shown then or later, but before the next time; there is none
/// where none is. Times count from the first frame, which is always among them.
///
/// # Errors
/// When the file has no video, cannot be decoded, is damaged or ends early.
pub fn frames(path: &Path, rate: f64, count: usize, side: usize) -> Result<Vec<Pixels>> {
    frames_of(path, &probe(path)?, rate, count, side)
}

/// As [`frames`] of a file that was asked what it is.
fn frames_of(
    path: &Path,
    probe: &Probe,
    rate: f64,
    count: usize,
    side: usize,
) -> Result<Vec<Pixels>> {
    if !probe.has_frames {
        return Err(Error::media(path, "it has no pictures"));
    }
    whole(path, probe)?;
    let promised = probe.frames(rate);
    let mut there = promised;
    // If the packets gave a wrong number, the first pass has given the right one.
    for _ in 0..2 {
        let (kept, found) = sampled(path, rate, &evenly(there, count).collect::<Vec<_>>(), side)?;
        if found == 0 {
            return Err(Error::media(path, "there is no frame in it"));
        }
        if (found as f64) < 0.9 * promised as f64 - 1.0 {
            let problem = format!("{found} of {promised} frames are there; fetch it again");
            return Err(Error::media(path, problem));
        }
        if found == there {
            return Ok(kept);
        }
        there = found;
    }
    Err(Error::media(path, "its frames change from one decoding to the next"))
}

/// The frames at `rate` a second whose numbers are `wanted`, in rising order, and how many there are.
fn sampled(path: &Path, rate: f64, wanted: &[usize], side: usize) -> Result<(Vec<Pixels>, usize)> {
    // A frame is taken if it is in another interval than the one taken last. Then all are numbered: the
    // writer of pictures would fill gaps.
    let slot = |time: &str| format!("floor(({time}-start_t+{ROUNDING})*{rate})");
    let (this, before) = (slot("t"), slot("prev_selected_t"));
    let filter = format!(
        "select='isnan(prev_selected_t)+gt({this},{before})',settb=AVTB,setpts=N/({rate}*TB)"
    );
    let rate = rate.to_string();
    let arguments =
        ["-map", "0:V:0", "-vf", &filter, "-r", &rate, "-f", "image2pipe", "-c:v", "ppm", "-"];
    decode(path, &arguments, |reader| {
        let (mut frames, mut found, mut bytes) = (Vec::new(), 0, 0);
        while let Some(frame) = read_ppm(reader)? {
            let times = wanted.iter().filter(|&&number| number == found).count();
            found += 1;
            if times > 0 {
                let frame = shrink(frame, side)?;
                bytes += times * frame.bytes.len();
                if bytes > MOST_KEPT {
                    return Err("its frames are too large to keep so many".to_owned());
                }
                frames.extend(std::iter::repeat_n(frame, times));
            }
        }
        Ok((frames, found))
    })
}

/// Sound of a file that no other decoder knows, the mean of its channels.
///
/// # Errors
/// When the file has no sound, cannot be decoded, is damaged or ends early.
pub(super) fn sound(path: &Path) -> Result<Sound> {
    let probe = probe(path)?;
    if !probe.has_sound {
        return Err(Error::media(path, "it has no sound"));
    }
    whole(path, &probe)?;
    let arguments = ["-map", "0:a:0", "-f", "au", "-c:a", "pcm_f32be", "-"];
    decode(path, &arguments, |reader| {
        read_au(reader).map_err(|refusal| match refusal {
            Refusal::Broken(problem) | Refusal::Foreign(problem) => problem,
        })
    })
}

/// A file that says it is longer than its packets was cut off. Lengths are rounded and guessed, so a tenth
/// and a quarter of a second are let pass.
pub(super) fn whole(path: &Path, probe: &Probe) -> Result<()> {
    let longest = f64::from(LONGEST_SECONDS);
    let wanted = probe.seconds.unwrap_or(0.0).min(longest);
    if probe.there < 0.9 * wanted - 0.25 {
        let problem = format!("it ends after {:.1} of {wanted:.1} s; fetch it again", probe.there);
        return Err(Error::media(path, problem));
    }
    let frames = probe.frames.filter(|_| probe.there < 0.99 * longest).unwrap_or(0);
    if (probe.times.len() as f64) < 0.9 * frames as f64 - 1.0 {
        let problem = format!("{} of {frames} frames are there; fetch it again", probe.times.len());
        return Err(Error::media(path, problem));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_are_read() {
        let output = b"packet|codec_type=video|stream_index=1|pts_time=1.04|dts_time=1.0|duration_time=0.04|flags=__\n\
            packet|codec_type=audio|stream_index=0|pts_time=3.5|dts_time=3.5|duration_time=0.5|flags=K_\n\
            packet|codec_type=video|stream_index=1|pts_time=N/A|dts_time=1|duration_time=0.04|flags=K_\n\
            packet|codec_type=video|stream_index=1|pts_time=9|dts_time=9|duration_time=0.04|flags=KD\n\
            packet|codec_type=video|stream_index=2|pts_time=1|dts_time=1|duration_time=0.04|flags=K_\n\
            stream|index=0|codec_type=audio|disposition:attached_pic=0\n\
            stream|index=2|codec_type=video|disposition:attached_pic=1\n\
            stream|index=1|codec_type=video|avg_frame_rate=30000/1001|nb_frames=3|disposition:attached_pic=0\n\
            format|format_name=avi|duration=2.5\n";
        let probe = parse_probe(&mut &output[..]).unwrap();
        let times = vec![0.0, 1.04 - 1.0];
        let wanted = Probe {
            has_sound: true,
            has_frames: true,
            seconds: Some(2.5),
            frames: Some(3),
            there: 3.0,
            times,
            rate: Some(30_000.0 / 1_001.0),
        };
        assert_eq!(probe, wanted);
        assert_eq!(parse_probe(&mut &b""[..]).unwrap(), Probe::default());
    }

    #[test]
    fn frames_are_counted_by_intervals() {
        let times = (0..75).map(|n| f64::from(n) / 25.0).collect();
        let probe = Probe { times, ..Probe::default() };
        assert_eq!([0.3, 1.0, 2.0, 25.0].map(|rate| probe.frames(rate)), [1, 3, 6, 75]);
        // As rounded to milliseconds.
        let times = (0..30).map(|n| (f64::from(n) / 30.0 * 1e3).floor() / 1e3).collect();
        assert_eq!(Probe { times, ..Probe::default() }.frames(30.0), 30);
        assert_eq!(Probe::default().frames(1.0), 0);
    }
}
