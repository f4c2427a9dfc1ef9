//! What an MP4 file says of its sound beyond the samples: which track is the first, and its edit list.
//!
//! The edit list leaves out the samples that an encoder puts before the sound (1,024 of AAC, as a rule)
//! and those that fill its last packet. The decoder does not read it.

use std::io::{Read, Seek, SeekFrom};

use super::refusal::Refusal;

/// Boxes looked at; a clip has fewer.
const MOST_BOXES: usize = 100_000;

/// The first track of sound.
#[derive(Debug, Default, PartialEq)]
pub(super) struct SoundTrack {
    /// Its number.
    pub(super) id: u32,
    /// Seconds to leave out at the start.
    pub(super) skip: f64,
    /// Seconds to keep after that; `None` for all.
    pub(super) keep: Option<f64>,
    /// Whether the edits are more than that: several pieces, or another speed.
    pub(super) complex: bool,
}

/// A track that is being read.
#[derive(Default)]
struct Track {
    id: u32,
    scale: u32,
    is_sound: bool,
    edits: Vec<Edit>,
}

/// A piece of a track: how long, in units of the film, from where, in units of the track.
struct Edit {
    length: u64,
    from: i64,
    rate: u32,
}

/// Finds the first track of sound; `None` where there is none.
///
/// # Errors
/// When the file is cut off or damaged.
pub(super) fn sound_track(source: &mut (impl Read + Seek)) -> Result<Option<SoundTrack>, Refusal> {
    let end = source.seek(SeekFrom::End(0)).map_err(|e| broken(&e))?;
    let mut boxes = Boxes { source, left: MOST_BOXES };
    let Some((start, end)) = boxes.find(*b"moov", 0, end)? else {
        return Err(incomplete("its table of contents, moov, is missing"));
    };
    let mut film_scale = 0;
    let mut at = start;
    while let Some((name, inner, next)) = boxes.next(at, end)? {
        match &name {
            b"mvhd" => film_scale = boxes.scale(inner)?,
            b"trak" => {
                let mut track = Track::default();
                boxes.track(&mut track, inner, next)?;
                if track.is_sound {
                    return Ok(Some(track.edited(film_scale)));
                }
            }
            _ => {}
        }
        at = next;
    }
    Ok(None)
}

impl Track {
    fn edited(&self, film_scale: u32) -> SoundTrack {
        let mut edited = SoundTrack { id: self.id, ..SoundTrack::default() };
        let seconds = |units: u64, scale: u32| units as f64 / f64::from(scale.max(1));
        let pieces: Vec<&Edit> = self.edits.iter().filter(|edit| edit.from >= 0).collect();
        if let [piece] = pieces[..] {
            edited.skip = seconds(piece.from.unsigned_abs(), self.scale);
            // No length: to the end.
            edited.keep = (piece.length > 0).then(|| seconds(piece.length, film_scale));
        }
        edited.complex = pieces.len() > 1 || pieces.iter().any(|piece| piece.rate != 1 << 16);
        edited
    }
}

struct Boxes<'a, R> {
    source: &'a mut R,
    left: usize,
}

impl<R: Read + Seek> Boxes<'_, R> {
    /// The box at `at` of those up to `end`: its name, where its content is and where it ends.
    fn next(&mut self, at: u64, end: u64) -> Result<Option<([u8; 4], u64, u64)>, Refusal> {
        if end.saturating_sub(at) < 8 {
            return Ok(None);
        }
        let Some(left) = self.left.checked_sub(1) else {
            return Err(incomplete("it has too many boxes"));
        };
        self.left = left;
        let [size, name] = self.words(at)?;
        let (inner, size) = match u32::from_be_bytes(size) {
            0 => (at + 8, end - at),
            1 => {
                let [high, low] = self.words(at + 8)?;
                (at + 16, u64::from_be_bytes([high, low].concat().try_into().unwrap_or_default()))
            }
            size => (at + 8, u64::from(size)),
        };
        let next = at.checked_add(size).filter(|&next| next >= inner && next <= end);
        // Samples that are not all there are found missing when they are read.
        let next = match name == *b"mdat" {
            true => next.unwrap_or(end),
            false => next.ok_or_else(|| incomplete("a box is longer than what holds it"))?,
        };
        Ok(Some((name, inner, next)))
    }

    fn find(
        &mut self,
        wanted: [u8; 4],
        mut at: u64,
        end: u64,
    ) -> Result<Option<(u64, u64)>, Refusal> {
        while let Some((name, inner, next)) = self.next(at, end)? {
            if name == wanted {
                return Ok(Some((inner, next)));
            }
            at = next;
        }
        Ok(None)
    }

    fn track(&mut self, track: &mut Track, mut at: u64, end: u64) -> Result<(), Refusal> {
        while let Some((name, inner, next)) = self.next(at, end)? {
            match &name {
                b"tkhd" => {
                    let [version] = self.words(inner)?;
                    let [id] = self.words(inner + if version[0] == 1 { 20 } else { 12 })?;
                    track.id = u32::from_be_bytes(id);
                }
                b"mdia" | b"edts" => self.track(track, inner, next)?,
                b"mdhd" => track.scale = self.scale(inner)?,
                b"hdlr" => {
                    let [kind] = self.words(inner + 8)?;
                    track.is_sound = kind == *b"soun";
                }
                b"elst" => track.edits = self.edits(inner, next)?,
                _ => {}
            }
            at = next;
        }
        Ok(())
    }

    /// Units per second, as `mvhd` and `mdhd` have them.
    fn scale(&mut self, inner: u64) -> Result<u32, Refusal> {
        let [version] = self.words(inner)?;
        let [scale] = self.words(inner + if version[0] == 1 { 20 } else { 12 })?;
        Ok(u32::from_be_bytes(scale))
    }

    fn edits(&mut self, inner: u64, end: u64) -> Result<Vec<Edit>, Refusal> {
        let [version, count] = self.words(inner)?;
        let size = if version[0] == 1 { 20 } else { 12 };
        let count = u64::from(u32::from_be_bytes(count)).min(end.saturating_sub(inner + 8) / size);
        // Two pieces are too many already.
        let edits = (0..count.min(16)).map(|n| {
            let at = inner + 8 + n * size;
            Ok(if version[0] == 1 {
                let [a, b, c, d, rate] = self.words(at)?;
                let long = |high, low| {
                    u64::from(u32::from_be_bytes(high)) << 32 | u64::from(u32::from_be_bytes(low))
                };
                let (length, from) = (long(a, b), long(c, d) as i64);
                Edit { length, from, rate: u32::from_be_bytes(rate) }
            } else {
                let [length, from, rate] = self.words(at)?;
                Edit {
                    length: u64::from(u32::from_be_bytes(length)),
                    from: i64::from(i32::from_be_bytes(from)),
                    rate: u32::from_be_bytes(rate),
                }
            })
        });
        edits.collect()
    }

    fn words<const N: usize>(&mut self, at: u64) -> Result<[[u8; 4]; N], Refusal> {
        self.source.seek(SeekFrom::Start(at)).map_err(|e| broken(&e))?;
        let mut words = [[0; 4]; N];
        words
            .iter_mut()
            .try_for_each(|word| self.source.read_exact(word))
            .map_err(|e| broken(&e))?;
        Ok(words)
    }
}

fn broken(error: &std::io::Error) -> Refusal {
    incomplete(&error.to_string())
}

fn incomplete(problem: &str) -> Refusal {
    Refusal::Broken(format!("not a complete MP4 file ({problem}); fetch it again"))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn boxed(name: &[u8; 4], content: &[u8]) -> Vec<u8> {
        [&(content.len() as u32 + 8).to_be_bytes()[..], name, content].concat()
    }

    fn words(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_be_bytes()).collect()
    }

    /// A film of 1,000 units per second with a picture and a sound of 44,100, cut by `edits`.
    fn film(edits: &[[u32; 3]]) -> Vec<u8> {
        let track = |id, kind: &[u8; 4], edits: &[[u32; 3]]| {
            let list = [vec![0, edits.len() as u32], edits.concat()].concat();
            let handler = [&[0; 8][..], kind, &[0; 13]].concat();
            let header = boxed(b"mdhd", &words(&[0, 0, 0, 44_100, 0, 0]));
            let media = [header, boxed(b"hdlr", &handler)].concat();
            let list = boxed(b"edts", &boxed(b"elst", &words(&list)));
            let track = [boxed(b"tkhd", &words(&[0, 0, 0, id, 0])), list, boxed(b"mdia", &media)];
            boxed(b"trak", &track.concat())
        };
        let header = boxed(b"mvhd", &words(&[0, 0, 0, 1_000, 0]));
        let tracks = [header, track(1, b"vide", &[]), track(7, b"soun", edits)].concat();
        [boxed(b"ftyp", b"isom"), boxed(b"moov", &tracks)].concat()
    }

    #[test]
    fn edit_lists_say_what_to_leave_out() {
        let read =
            |edits: &[[u32; 3]]| sound_track(&mut Cursor::new(film(edits))).unwrap().unwrap();
        let plain = SoundTrack { id: 7, ..SoundTrack::default() };
        assert_eq!(read(&[]), plain);
        let edited = read(&[[2_300, 441, 1 << 16]]);
        assert_eq!(edited, SoundTrack { skip: 0.01, keep: Some(2.3), ..plain });
        // A delay, which is no samples, and a piece to the end.
        let delayed = read(&[[100, u32::MAX, 1 << 16], [0, 441, 1 << 16]]);
        assert_eq!(delayed, SoundTrack { id: 7, skip: 0.01, keep: None, complex: false });
        assert!(read(&[[100, 0, 1 << 16], [100, 441, 1 << 16]]).complex);
        assert!(read(&[[100, 0, 1 << 15]]).complex);
    }

    #[test]
    fn cut_files_are_refused() {
        let film = film(&[[2_300, 441, 1 << 16]]);
        for length in 0..film.len() {
            assert!(sound_track(&mut Cursor::new(&film[..length])).is_err(), "{length}");
        }
    }
}
