//! FLAC, MP3, Ogg Vorbis and AAC, decoded by symphonia.
//!
//! What an encoder added at the ends is left out, as far as files say how much: by the LAME tag of MP3, the last
//! page of Ogg, the edit list of MP4. So lengths are those of the sound that was encoded. `ffmpeg` agrees
//! but at the end of MP4, where version 5.1 keeps what fills the last packet of 1,024 samples.
//! Samples agree to 1e-5 of full scale, those of FLAC exactly.
//!
//! A packet that cannot be decoded refuses the file, and so do fewer samples than it promises.

use std::io::{Read, Seek, SeekFrom};
use std::time::Instant;

use symphonia::core::codecs::CodecParameters;
use symphonia::core::codecs::audio::well_known::CODEC_ID_AAC;
use symphonia::core::codecs::audio::{AudioCodecParameters, AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error as SymphoniaError;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, FormatReader, Track, TrackType};
use symphonia::core::io::{MediaSource, MediaSourceStream};
use symphonia::core::meta::MetadataOptions;

use super::mono::Mono;
use super::mp4::{self, SoundTrack};
use super::process::LONGEST_DECODING;
use super::refusal::Refusal;
use crate::signal::Sound;

/// AAC at a lower rate may be doubled by spectral band replication, which the format hides from decoders
/// that do not know it, such as symphonia.
const LEAST_PLAIN_AAC: u32 = 24_001;

/// What the file is, by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Container {
    Flac,
    Mp3,
    Ogg,
    Mp4,
    /// AAC in packets of its own.
    Adts,
}

impl Container {
    /// The container of a file that begins so.
    pub(super) fn of(start: &[u8]) -> Option<Self> {
        match start {
            [b'f', b'L', b'a', b'C', ..] => Some(Self::Flac),
            [b'O', b'g', b'g', b'S', ..] => Some(Self::Ogg),
            [b'I', b'D', b'3', ..] => Some(Self::Mp3),
            [_, _, _, _, b'f', b't', b'y', b'p', ..] => Some(Self::Mp4),
            // Twelve bits that all frames begin with; then the layer, which AAC has not.
            [0xff, second, ..] if second & 0xf6 == 0xf0 => Some(Self::Adts),
            [0xff, second, ..] if second & 0xe6 == 0xe2 => Some(Self::Mp3),
            _ => None,
        }
    }

    fn ending(self) -> &'static str {
        match self {
            Self::Flac => "flac",
            Self::Mp3 => "mp3",
            Self::Ogg => "ogg",
            Self::Mp4 => "mp4",
            Self::Adts => "aac",
        }
    }
}

/// Reads a sound from its start.
///
/// # Errors
/// When it is cut off or damaged, or is of a codec that symphonia does not know.
pub(super) fn read(
    mut source: impl Read + Seek + Send + Sync,
    container: Container,
) -> Result<Sound, Refusal> {
    let edited = match container {
        Container::Mp4 => match mp4::sound_track(&mut source)? {
            Some(SoundTrack { complex: true, .. }) => return Err(foreign("MP4 with many edits")),
            Some(track) => Some(track),
            None => return Err(Refusal::Broken("it has no sound".to_owned())),
        },
        _ => None,
    };
    if container == Container::Ogg {
        whole_ogg(&mut source)?;
    }
    let io = |error: std::io::Error| incomplete(&error.to_string());
    let length = source.seek(SeekFrom::End(0)).map_err(io)?;
    source.seek(SeekFrom::Start(0)).map_err(io)?;
    let timed = Timed { source, length, start: Instant::now() };
    let stream = MediaSourceStream::new(Box::new(timed), Default::default());
    let mut hint = Hint::new();
    hint.with_extension(container.ending());
    let (format, metadata) = (FormatOptions::default(), MetadataOptions::default());
    let mut format = symphonia::default::get_probe()
        .probe(&hint, stream, format, metadata)
        .map_err(|error| refusal(error, false))?;
    let track = match &edited {
        Some(edited) => format.tracks().iter().find(|track| track.id == edited.id),
        None => format.first_track(TrackType::Audio),
    };
    let track = track.ok_or_else(|| foreign("an unknown codec"))?.clone();
    let parameters = track.codec_params.as_ref().and_then(CodecParameters::audio);
    let parameters = parameters.ok_or_else(|| foreign("an unknown codec"))?;
    if hides_a_rate(parameters) {
        return Err(foreign("AAC that may hold twice its rate"));
    }
    // Of MP3 without a LAME tag the length is guessed, and what comes after it would be cut.
    let trims = container != Container::Mp3 || track.delay.is_some();
    let options = AudioDecoderOptions::default().verify(true).gapless(trims);
    let mut decoder = symphonia::default::get_codecs()
        .make_audio_decoder(parameters, &options)
        .map_err(|error| refusal(error, false))?;
    let mono = decode(format.as_mut(), decoder.as_mut(), &track, container, edited.as_ref())?;
    if decoder.finalize().verify_ok == Some(false) && !mono.is_full() {
        return Err(incomplete("its checksum does not fit"));
    }
    mono.finish()
}

/// Decodes the packets of a track.
fn decode(
    format: &mut dyn FormatReader,
    decoder: &mut dyn AudioDecoder,
    track: &Track,
    container: Container,
    edited: Option<&SoundTrack>,
) -> Result<Mono, Refusal> {
    let start = Instant::now();
    let mut mono: Option<Mono> = None;
    let mut interleaved: Vec<f32> = Vec::new();
    let wanted = promised(track, container);
    loop {
        let begun = mono.is_some();
        let Some(packet) = format.next_packet().map_err(|error| refusal(error, begun))? else {
            break;
        };
        if start.elapsed() > LONGEST_DECODING {
            return Err(incomplete("it takes too long to decode"));
        }
        if packet.track_id != track.id {
            continue;
        }
        let decoded = decoder.decode(&packet).map_err(|error| refusal(error, begun))?;
        let (channels, rate) = (decoded.spec().channels().count(), decoded.spec().rate());
        let mono = match &mut mono {
            Some(mono) if (mono.channels(), mono.rate()) != (channels, rate) => {
                return Err(incomplete("its rate or its channels change"));
            }
            Some(mono) => mono,
            none => none.insert(started(channels, rate, edited)?),
        };
        interleaved.resize(decoded.samples_interleaved(), 0.0);
        decoded.copy_to_slice_interleaved(&mut interleaved);
        mono.push(&interleaved)?;
        // Behind the promised end there may be anything.
        if mono.is_full() || wanted.is_some_and(|wanted| mono.seen() >= wanted) {
            break;
        }
    }
    let mono = mono.ok_or_else(|| Refusal::Broken("there is no sample in it".to_owned()))?;
    match wanted {
        Some(wanted) if mono.seen() < wanted && !mono.is_full() => {
            Err(incomplete(&format!("{} of {wanted} samples are there", mono.seen())))
        }
        _ => Ok(mono),
    }
}

fn started(channels: usize, rate: u32, edited: Option<&SoundTrack>) -> Result<Mono, Refusal> {
    let mut mono = Mono::new(channels, rate)?;
    if let Some(edited) = edited {
        let frames = |seconds: f64| (seconds * f64::from(rate)).round() as u64;
        mono.trim(frames(edited.skip), edited.keep.map(frames));
    }
    Ok(mono)
}

/// Samples that the file says it has, where it knows.
fn promised(track: &Track, container: Container) -> Option<u64> {
    match container {
        Container::Flac | Container::Ogg => track.num_frames,
        // Without a LAME tag the number is a guess.
        Container::Mp3 => track.num_frames.filter(|_| track.delay.is_some()),
        Container::Mp4 | Container::Adts => None,
    }
}

/// Whether a decoder that knows spectral band replication might find twice the rate.
fn hides_a_rate(parameters: &AudioCodecParameters) -> bool {
    if parameters.codec != CODEC_ID_AAC {
        return false;
    }
    let low = parameters.sample_rate.is_none_or(|rate| rate < LEAST_PLAIN_AAC);
    // The sync word of the extension, after which it says that there is none.
    let denies = |config: &[u8]| match config {
        [_, _, 0x56, fourth, fifth, ..] => fourth & 0xe0 == 0xe0 && fifth & 0x80 == 0,
        _ => false,
    };
    low && !parameters.extra_data.as_deref().is_some_and(denies)
}

/// Checks that the last page of an Ogg file is the last of its stream: pages do not know how many follow.
fn whole_ogg(source: &mut (impl Read + Seek)) -> Result<(), Refusal> {
    let bad = |error: std::io::Error| incomplete(&error.to_string());
    let length = source.seek(SeekFrom::End(0)).map_err(bad)?;
    // The longest page, and as much behind it.
    source.seek(SeekFrom::Start(length.saturating_sub(1 << 17))).map_err(bad)?;
    let mut end = Vec::new();
    source.take(1 << 17).read_to_end(&mut end).map_err(bad)?;
    let last = end.windows(6).rposition(|bytes| bytes.starts_with(b"OggS\0"));
    match last {
        Some(at) if end[at + 5] & 4 != 0 => Ok(()),
        _ => Err(incomplete("its last page is missing")),
    }
}

/// A file that is not read for longer than [`LONGEST_DECODING`], whatever looks for what in it.
struct Timed<S> {
    source: S,
    length: u64,
    start: Instant,
}

impl<S: Read> Read for Timed<S> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.start.elapsed() > LONGEST_DECODING {
            return Err(std::io::Error::new(std::io::ErrorKind::TimedOut, "it takes too long"));
        }
        self.source.read(buffer)
    }
}

impl<S: Seek> Seek for Timed<S> {
    fn seek(&mut self, position: SeekFrom) -> std::io::Result<u64> {
        self.source.seek(position)
    }
}

impl<S: Read + Seek + Send + Sync> MediaSource for Timed<S> {
    fn is_seekable(&self) -> bool {
        true
    }

    fn byte_len(&self) -> Option<u64> {
        Some(self.length)
    }
}

/// What a decoder's error means: what it does not know before it has `begun` is for another decoder.
fn refusal(error: SymphoniaError, begun: bool) -> Refusal {
    match error {
        SymphoniaError::Unsupported(what) if !begun => foreign(what),
        SymphoniaError::ResetRequired => foreign("several streams in a row"),
        SymphoniaError::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            incomplete("it ends early")
        }
        error => incomplete(&error.to_string()),
    }
}

fn foreign(what: &str) -> Refusal {
    Refusal::Foreign(what.to_owned())
}

fn incomplete(problem: &str) -> Refusal {
    Refusal::Broken(format!("not a complete sound ({problem}); fetch it again"))
}
