//! WAV files (RIFF, RF64, BW64) of integers and floats.
//!
//! Other codecs in this container are left to other decoders. Sizes that a writer to a pipe could not know
//! (0xFFFFFFFF, as `ffmpeg -f wav -` leaves them; about 2 GiB, as SoX does) mean: to the end of the file.

use std::io::{Read, Seek, SeekFrom};

use super::mono::Mono;
use super::refusal::Refusal;
use crate::signal::Sound;

/// A size from here on, in a file that is shorter, was never known.
const UNKNOWN: u64 = 0x7fff_0000;
/// Chunks before the samples; a sound has fewer.
const MOST_CHUNKS: usize = 10_000;
/// Tail of the identifiers in extensible headers whose start is a plain format's number.
const PLAIN: [u8; 14] =
    [0x00, 0x00, 0x00, 0x00, 0x10, 0x00, 0x80, 0x00, 0x00, 0xaa, 0x00, 0x38, 0x9b, 0x71];

/// How samples are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Unsigned8,
    Signed16,
    Signed24,
    Signed32,
    Float32,
    Float64,
}

impl Coding {
    fn bytes(self) -> usize {
        match self {
            Self::Unsigned8 => 1,
            Self::Signed16 => 2,
            Self::Signed24 => 3,
            Self::Signed32 | Self::Float32 => 4,
            Self::Float64 => 8,
        }
    }

    /// Samples of `bytes`, full scale being 1.
    fn read(self, bytes: &[u8], out: &mut Vec<f32>) {
        out.clear();
        let chunks = bytes.chunks_exact(self.bytes());
        match self {
            Self::Unsigned8 => out.extend(bytes.iter().map(|&b| (f32::from(b) - 128.0) / 128.0)),
            Self::Signed16 => {
                let sample = |raw: &[u8]| f32::from(i16::from_le_bytes([raw[0], raw[1]]));
                out.extend(chunks.map(|raw| sample(raw) / 32_768.0));
            }
            Self::Signed24 => {
                let sample = |raw: &[u8]| i32::from_le_bytes([0, raw[0], raw[1], raw[2]]) >> 8;
                out.extend(chunks.map(|raw| sample(raw) as f32 / 8_388_608.0));
            }
            Self::Signed32 => {
                let sample = |raw: &[u8]| i32::from_le_bytes([raw[0], raw[1], raw[2], raw[3]]);
                out.extend(chunks.map(|raw| sample(raw) as f32 / 2_147_483_648.0));
            }
            Self::Float32 => {
                out.extend(chunks.map(|r| f32::from_le_bytes([r[0], r[1], r[2], r[3]])));
            }
            Self::Float64 => {
                let sample = |r: &[u8]| [r[0], r[1], r[2], r[3], r[4], r[5], r[6], r[7]];
                out.extend(chunks.map(|raw| f64::from_le_bytes(sample(raw)) as f32));
            }
        }
    }
}

/// What the `fmt ` chunk says.
struct Format {
    coding: Coding,
    channels: u16,
    rate: u32,
}

/// Reads a WAV file, from its start.
///
/// # Errors
/// When it is cut off or damaged, or its samples are compressed.
pub(super) fn read(source: &mut (impl Read + Seek)) -> Result<Sound, Refusal> {
    let length = source.seek(SeekFrom::End(0)).map_err(|e| broken(&e))?;
    source.seek(SeekFrom::Start(0)).map_err(|e| broken(&e))?;
    let [kind, size, form] = words(source)?;
    if ![*b"RIFF", *b"RF64", *b"BW64"].contains(&kind) || form != *b"WAVE" {
        return Err(incomplete("it does not begin with RIFF and WAVE"));
    }
    let (mut format, mut long_size) = (None, None);
    for _ in 0..MOST_CHUNKS {
        let [name, size_of_chunk] = words(source)?;
        let chunk = u64::from(u32::from_le_bytes(size_of_chunk));
        let start = source.stream_position().map_err(|e| broken(&e))?;
        match &name {
            b"ds64" => {
                let [_, _, low, high] = words(source)?;
                let half = |word| u64::from(u32::from_le_bytes(word));
                long_size = Some(half(high) << 32 | half(low));
            }
            b"fmt " => format = Some(read_format(source, chunk)?),
            b"data" => {
                let Some(format) = format else {
                    return Err(incomplete("there is no format before its samples"));
                };
                let declared = match long_size {
                    Some(long) if chunk == u64::from(u32::MAX) => Some(long),
                    // A recorder that was killed leaves zeros.
                    _ if chunk == 0 && size == [0; 4] => None,
                    _ => Some(chunk),
                };
                return samples(source, &format, length.saturating_sub(start), declared);
            }
            _ => {}
        }
        let end = start.saturating_add(chunk).saturating_add(chunk & 1);
        if end > length {
            return Err(incomplete("it ends before its samples"));
        }
        source.seek(SeekFrom::Start(end)).map_err(|e| broken(&e))?;
    }
    Err(incomplete("it has too many chunks"))
}

fn read_format(source: &mut impl Read, chunk: u64) -> Result<Format, Refusal> {
    let mut bytes = [0; 40];
    let wanted = chunk.min(40) as usize;
    if wanted < 16 {
        return Err(incomplete("its format is too short"));
    }
    source.read_exact(&mut bytes[..wanted]).map_err(|e| broken(&e))?;
    let short = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
    let (mut tag, channels) = (short(0), short(2));
    let rate = u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
    let (block, bits) = (short(12), short(14));
    if tag == 0xfffe {
        if wanted < 40 || bytes[26..40] != PLAIN {
            return Err(Refusal::Foreign("WAV of a rare format".to_owned()));
        }
        tag = short(24);
    }
    // Fewer bits than bytes hold are written in the upper ones.
    let coding = match (tag, bits.div_ceil(8)) {
        (1, 1) => Coding::Unsigned8,
        (1, 2) => Coding::Signed16,
        (1, 3) => Coding::Signed24,
        (1, 4) => Coding::Signed32,
        (3, 4) => Coding::Float32,
        (3, 8) => Coding::Float64,
        _ => return Err(Refusal::Foreign(format!("WAV of format {tag} with {bits} bits"))),
    };
    if usize::from(block) != coding.bytes() * usize::from(channels) {
        let problem = format!("{channels} channels of {bits} bits do not make {block} bytes");
        return Err(incomplete(&problem));
    }
    Ok(Format { coding, channels, rate })
}

/// Reads the samples, of which `there` bytes are in the file and `declared` in its header.
fn samples(
    source: &mut impl Read,
    format: &Format,
    there: u64,
    declared: Option<u64>,
) -> Result<Sound, Refusal> {
    let bytes = match declared {
        None => there,
        Some(declared) if declared >= UNKNOWN && declared > there => there,
        Some(declared) if declared > there => {
            let problem = format!("{there} of {declared} bytes of samples are there");
            return Err(incomplete(&problem));
        }
        Some(declared) => declared,
    };
    let mut mono = Mono::new(usize::from(format.channels), format.rate)?;
    let frame = format.coding.bytes() * mono.channels();
    let mut frames = bytes / frame as u64;
    mono.reserve(frames);
    let at_once = ((1 << 16) / frame).max(1);
    let (mut block, mut decoded) = (vec![0; at_once * frame], Vec::new());
    while frames > 0 && !mono.is_full() {
        let count = frames.min(at_once as u64) as usize;
        let block = &mut block[..count * frame];
        source.read_exact(block).map_err(|e| broken(&e))?;
        format.coding.read(block, &mut decoded);
        mono.push(&decoded)?;
        frames -= count as u64;
    }
    mono.finish()
}

fn words<const N: usize>(source: &mut impl Read) -> Result<[[u8; 4]; N], Refusal> {
    let mut words = [[0; 4]; N];
    words.iter_mut().try_for_each(|word| source.read_exact(word)).map_err(|e| broken(&e))?;
    Ok(words)
}

fn broken(error: &std::io::Error) -> Refusal {
    match error.kind() {
        std::io::ErrorKind::UnexpectedEof => incomplete("it ends early"),
        _ => incomplete(&error.to_string()),
    }
}

fn incomplete(problem: &str) -> Refusal {
    Refusal::Broken(format!("not a complete WAV file ({problem}); fetch it again"))
}
