//! Sound files to mono samples.

use std::io::{BufReader, Cursor, Read, Seek};
use std::path::Path;

use tcmax_data::file::{self, ending};

use super::compressed::{self, Container};
use super::refusal::Refusal;
use super::{ffmpeg, wav};
use crate::error::{Error, Result};
use crate::signal::Sound;

/// Reads the sound of a file, the mean of its channels, at its own rate: its first 600 s.
///
/// # Errors
/// When there is none, it cannot be decoded, is damaged or ends early, or a sample or the rate is absurd.
pub fn sound(path: &Path) -> Result<Sound> {
    let (file, _) = file::open(path, "")?;
    match read(BufReader::new(file), ending(path) == "wav") {
        Ok(sound) => Ok(sound),
        Err(Refusal::Broken(problem)) => Err(Error::media(path, problem)),
        Err(Refusal::Foreign(_)) => ffmpeg::sound(path),
    }
}

/// Reads the sound of a file's bytes, as [`sound`] does where it does not need `ffmpeg`.
///
/// # Errors
/// When it is damaged, or of a format that is left to `ffmpeg`.
pub fn parse_sound(bytes: &[u8]) -> std::result::Result<Sound, Refusal> {
    read(Cursor::new(bytes), false)
}

/// Reads a sound by what its first bytes say that it is.
fn read(
    mut source: impl Read + Seek + Send + Sync,
    is_wav: bool,
) -> std::result::Result<Sound, Refusal> {
    let mut start = Vec::new();
    let bad = |error: std::io::Error| Refusal::Broken(error.to_string());
    source.by_ref().take(12).read_to_end(&mut start).map_err(bad)?;
    match Container::of(&start) {
        Some(container) => compressed::read(source, container),
        None if is_wav || start.ends_with(b"WAVE") => wav::read(&mut source),
        None => Err(Refusal::Foreign("it does not begin as a known format".to_owned())),
    }
}
