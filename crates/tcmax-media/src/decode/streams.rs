//! The formats in which ffmpeg hands over what it decoded, which carry their own sizes.

use std::io::{BufRead, Read};

use super::image::Pixels;
use super::mono::Mono;
use super::refusal::Refusal;
use crate::signal::Sound;

/// Pictures of more pixels are refused.
const MOST_PIXELS: usize = 1 << 26;

/// The next picture of a stream of binary PPM files; none at its end.
///
/// # Errors
/// When the stream is not one, ends within a picture, or a picture is too large.
pub fn read_ppm(reader: &mut impl BufRead) -> Result<Option<Pixels>, String> {
    if reader.fill_buf().map_err(|e| e.to_string())?.is_empty() {
        return Ok(None);
    }
    let mut word = || -> Result<String, String> {
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

/// An AU stream of 32-bit floats: the mean of its channels, of at most 600 s.
///
/// # Errors
/// When the stream is not one, or its rate, its channels or a sample are absurd.
pub fn read_au(reader: &mut impl Read) -> Result<Sound, Refusal> {
    let broken = |problem: &str| Refusal::Broken(problem.to_owned());
    let mut header = [0u8; 24];
    reader.read_exact(&mut header).map_err(|_| broken("ffmpeg wrote no sound"))?;
    let field = |n: usize| {
        u32::from_be_bytes([header[4 * n], header[4 * n + 1], header[4 * n + 2], header[4 * n + 3]])
    };
    let (offset, encoding, rate, channels) = (field(1), field(3), field(4), field(5) as usize);
    if !header.starts_with(b".snd") || encoding != 6 || !(24..1 << 16).contains(&offset) {
        return Err(broken("ffmpeg wrote something that is no AU sound"));
    }
    let mut mono = Mono::new(channels, rate)?;
    let io = |error: std::io::Error| Refusal::Broken(error.to_string());
    std::io::copy(&mut reader.take(u64::from(offset) - 24), &mut std::io::sink()).map_err(io)?;
    let at_once = 4 * channels * 4_096;
    let (mut bytes, mut samples) = (Vec::with_capacity(at_once), Vec::new());
    loop {
        bytes.clear();
        reader.take(at_once as u64).read_to_end(&mut bytes).map_err(io)?;
        samples.clear();
        let values = bytes.chunks_exact(4).map(|r| f32::from_be_bytes([r[0], r[1], r[2], r[3]]));
        samples.extend(values);
        mono.push(&samples)?;
        // What follows is read all the same: its writer must not wait.
        if bytes.len() < at_once {
            return mono.finish();
        }
    }
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
    fn streams_of_sound_are_mixed() {
        let header: Vec<u8> = [u32::from_be_bytes(*b".snd"), 28, u32::MAX, 6, 8_000, 2, 0]
            .map(u32::to_be_bytes)
            .concat();
        let samples = [0.5f32, 0.0, 1.0, 1.0].map(f32::to_be_bytes).concat();
        let stream = [header.clone(), samples].concat();
        let wanted = Sound { samples: vec![0.25, 1.0], rate: 8_000, first: Some(vec![0.5, 1.0]) };
        assert_eq!(read_au(&mut &stream[..]).unwrap(), wanted);
        assert!(read_au(&mut &header[..20]).is_err() && read_au(&mut &header[..]).is_err());
    }
}
