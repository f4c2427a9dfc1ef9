//! The recordings: WAV files in a tar.gz, read without unpacking, or in a folder.

use std::collections::BTreeMap;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use tcmax_data::{Error, Result, file};
use tcmax_media::decode::{Refusal, parse_sound};

use super::files::find;

/// Samples per second of every recording.
pub const SAMPLE_RATE: u32 = 8_000;
/// The longest recording is 2.3 s, 37 kB; anything near this is not one.
const LARGEST_RECORDING: u64 = 4 << 20;
/// Unpacked, the whole archive has 29 MB.
const LARGEST_ARCHIVE: u64 = 1 << 30;
/// All recordings together have 10.5 million.
const MOST_SAMPLES: usize = 40_000_000;
/// There are 3,000.
const MOST_RECORDINGS: usize = 6_000;

/// One spoken digit.
#[derive(Clone, Debug)]
pub(super) struct Recording {
    pub(super) digit: u8,
    pub(super) speaker: String,
    pub(super) index: u32,
    /// Mono, 8 kHz, in [-1, 1].
    pub(super) samples: Vec<f32>,
}

/// All recordings in `folder`, in the order of digit, speaker and index.
pub(super) fn read(folder: &Path) -> Result<Vec<Recording>> {
    let names = ["free-spoken-digit-dataset.tar.gz", "recordings"];
    let source = find(folder, &names)?;
    let read = if source.is_dir() { read_folder } else { read_archive };
    collect(&source, |keep| read(&source, keep))
}

/// How many recordings there are in the bytes of an archive; `path` is for messages.
///
/// # Errors
/// When the bytes are not a whole tar.gz archive, or a recording in it is not what it should be.
pub fn parse_recordings(path: &Path, bytes: &[u8]) -> Result<usize> {
    collect(path, |keep| read_tar(path, bytes, keep)).map(|recordings| recordings.len())
}

fn collect(
    source: &Path,
    read: impl FnOnce(&mut Keep<'_>) -> Result<()>,
) -> Result<Vec<Recording>> {
    let mut by_name = BTreeMap::new();
    let mut samples = 0;
    let mut keep = |path: PathBuf, name: &str, bytes: &[u8]| -> Result<()> {
        let recording = parse(&path, name, bytes)?;
        samples += recording.samples.len();
        if samples > MOST_SAMPLES {
            let problem =
                format!("it has more than {MOST_SAMPLES} samples; wanted some ten million");
            return Err(Error::bad_file(source, problem));
        }
        let key = (recording.digit, recording.speaker.clone(), recording.index);
        if by_name.len() == MOST_RECORDINGS {
            let problem = format!("it has more than {MOST_RECORDINGS} recordings; wanted 3,000");
            return Err(Error::bad_file(source, problem));
        }
        match by_name.insert(key, recording) {
            Some(_) => Err(Error::bad_file(&path, "this recording is there twice")),
            None => Ok(()),
        }
    };
    read(&mut keep)?;
    if by_name.is_empty() {
        let problem = "there is no recordings/{digit}_{speaker}_{index}.wav in it";
        return Err(Error::bad_file(source, problem));
    }
    // In the order of their names: that of an archive or a file system means nothing.
    Ok(by_name.into_values().collect())
}

type Keep<'a> = dyn FnMut(PathBuf, &str, &[u8]) -> Result<()> + 'a;

fn read_folder(folder: &Path, keep: &mut Keep<'_>) -> Result<()> {
    for entry in std::fs::read_dir(folder).map_err(Error::io(folder))? {
        let path = entry.map_err(Error::io(folder))?.path();
        if path.extension().is_none_or(|ending| ending != "wav") {
            continue;
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let (file, _) = file::open(&path, "")?;
        let bytes = read_bounded(file, &path)?;
        keep(path, &name, &bytes)?;
    }
    Ok(())
}

fn read_archive(archive: &Path, keep: &mut Keep<'_>) -> Result<()> {
    let (file, _) = file::open(archive, "the archive of the recordings")?;
    read_tar(archive, BufReader::new(file), keep)
}

fn read_tar(archive: &Path, packed: impl Read, keep: &mut Keep<'_>) -> Result<()> {
    let broken = |error: std::io::Error| {
        let problem = format!("it is not a complete tar.gz archive ({error}); fetch it again");
        Error::bad_file(archive, problem)
    };
    let mut tar = tar::Archive::new(GzDecoder::new(packed).take(LARGEST_ARCHIVE));
    // Raw, because otherwise long names and extensions are read whole, however long they claim to be.
    for entry in tar.entries().map_err(broken)?.raw(true) {
        let entry = entry.map_err(broken)?;
        let kind = entry.header().entry_type();
        if kind.is_gnu_longname() {
            let problem =
                "names in it are longer than 100 characters; pack the folder recordings alone";
            return Err(Error::bad_file(archive, problem));
        }
        if !kind.is_file() {
            continue;
        }
        let member = entry.path().map_err(broken)?.into_owned();
        let Some(name) = recording_name(&member) else { continue };
        let path = PathBuf::from(format!("{}!{}", archive.display(), member.display()));
        let bytes = read_bounded(entry, &path)?;
        keep(path, &name, &bytes)?;
    }
    Ok(())
}

/// The file name of a member `recordings/*.wav`, whatever the folder above is called.
fn recording_name(member: &Path) -> Option<String> {
    let folder = member.parent()?.file_name()?;
    let is_wav = member.extension()? == "wav";
    let name = member.file_name()?.to_string_lossy().into_owned();
    (folder == "recordings" && is_wav).then_some(name)
}

fn read_bounded(reader: impl Read, path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = reader.take(LARGEST_RECORDING + 1).read_to_end(&mut bytes);
    read.map_err(|e| Error::bad_file(path, format!("it ends early ({e}); fetch it again")))?;
    if bytes.len() as u64 > LARGEST_RECORDING {
        let problem =
            format!("it has more than {LARGEST_RECORDING} bytes; a spoken digit has 37 kB");
        return Err(Error::bad_file(path, problem));
    }
    Ok(bytes)
}

fn parse(path: &Path, name: &str, bytes: &[u8]) -> Result<Recording> {
    let (digit, speaker, index) = parse_name(name).ok_or_else(|| {
        Error::bad_file(
            path,
            "its name is not {digit}_{speaker}_{index}.wav, as in 7_jackson_32.wav",
        )
    })?;
    file::refuse_pointer(path, bytes)?;
    Ok(Recording { digit, speaker, index, samples: decode(path, bytes)? })
}

fn parse_name(name: &str) -> Option<(u8, String, u32)> {
    let mut words = name.strip_suffix(".wav")?.split('_');
    let digit = words.next()?.parse().ok().filter(|&digit| digit <= 9)?;
    let speaker = words.next().filter(|speaker| !speaker.is_empty())?.to_owned();
    let index = words.next()?.parse().ok()?;
    words.next().is_none().then_some((digit, speaker, index))
}

fn decode(path: &Path, bytes: &[u8]) -> Result<Vec<f32>> {
    let sound = parse_sound(bytes).map_err(|refusal| match refusal {
        Refusal::Broken(problem) | Refusal::Foreign(problem) => Error::bad_file(path, problem),
    })?;
    if sound.first.is_some() || sound.rate != SAMPLE_RATE {
        let channels = if sound.first.is_some() { "several channels" } else { "one channel" };
        let problem = format!(
            "it has {channels} at {} Hz; recordings are mono at {SAMPLE_RATE} Hz",
            sound.rate
        );
        return Err(Error::bad_file(path, problem));
    }
    Ok(sound.samples)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_digit_speaker_and_index() {
        assert_eq!(parse_name("7_jackson_32.wav"), Some((7, "jackson".to_owned(), 32)));
        for bad in ["7_jackson.wav", "x_jackson_1.wav", "12_a_1.wav", "7__1.wav", "7_a_1_2.wav"] {
            assert_eq!(parse_name(bad), None, "{bad}");
        }
    }

    #[test]
    fn samples_of_any_claimed_number_of_bits_are_read_or_refused() {
        let wav = |format: u16, bits: u16| {
            let mut bytes = b"RIFF\x54\0\0\0WAVEfmt \x10\0\0\0".to_vec();
            let block = bits.div_ceil(8).max(1);
            bytes.extend([format, 1].map(u16::to_le_bytes).concat());
            bytes.extend(
                [SAMPLE_RATE, SAMPLE_RATE * u32::from(block)].map(u32::to_le_bytes).concat(),
            );
            bytes.extend([block, bits].map(u16::to_le_bytes).concat());
            bytes.extend(b"data\x30\0\0\0");
            bytes.extend([0; 48]);
            bytes
        };
        for bits in 0..=300 {
            for format in [1, 3] {
                let decoded = decode(Path::new("0_ann_0.wav"), &wav(format, bits));
                let wanted = [16, 24, 32].contains(&bits) && (format == 1 || bits == 32);
                assert!(decoded.is_ok() || !wanted, "format {format}, {bits} bits");
            }
        }
    }
}
