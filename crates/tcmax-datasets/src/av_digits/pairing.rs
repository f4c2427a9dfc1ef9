//! Which recording is paired with which image in which split, all from the seed.

use std::sync::Arc;

use rand::Rng;
use rand::seq::{IndexedRandom, SliceRandom};
use rayon::prelude::*;
use tcmax_data::{Blank, Column, Error as DataError, Splits, TableDataset};
use tcmax_media::signal::tile;
use tcmax_ops::Seed;

use super::config::{AvDigitsConfig, AvDigitsSplit};
use super::data::{AvDigits, DIGITS, spectrogram};
use super::idx;
use super::recordings::{Recording, SAMPLE_RATE};
use crate::error::{Error, Result};

/// Images each test recording is paired with.
const TEST_IMAGES: usize = 5;
/// Of each speaker and digit, this many recordings are for testing in the standard split.
const STANDARD_TEST: u32 = 5;

/// (recording, image) pairs of one split.
type Pairs = Vec<(usize, usize)>;

impl AvDigits {
    /// The splits of one seed. Decoded data are shared, not copied.
    ///
    /// # Errors
    /// When an option does not fit the data, naming the largest value that does.
    pub fn splits(&self, config: &AvDigitsConfig, seed: u64) -> Result<Splits> {
        splits(self, config, seed)
    }
}

fn splits(data: &AvDigits, config: &AvDigitsConfig, seed: u64) -> Result<Splits> {
    check_options(config)?;
    let root = Seed::new(seed).stream("av-digits");
    let (test, pool) = test_and_pool(&data.recordings, config.split, seed)?;
    let (train, validation) = draw(data, &pool, config, root.stream("draw"))?;
    let mut images = ImageDecks::shuffled(&data.image_labels, root.stream("images"));
    // Test pairs are dealt first: they do not change with the size of the training split.
    let test = images.deal(data, &test, TEST_IMAGES)?;
    let train = images.deal(data, &train, 1)?;
    let validation = images.deal(data, &validation, 1)?;
    let build = |name: &str, pairs: Pairs| -> Result<Arc<TableDataset>> {
        Ok(Arc::new(dataset(data, config, &pairs, root.stream(name))?))
    };
    Ok(Splits {
        train: build("train", train)?,
        validation: build("validation", validation)?,
        test: build("test", test)?,
    })
}

fn check_options(config: &AvDigitsConfig) -> Result<()> {
    if config.train_size.is_some_and(|size| size < DIGITS) {
        return Err(option("train-size", "must be at least 10, one example per class"));
    }
    if config.val_size < DIGITS {
        return Err(option("val-size", "must be at least 10, one example per class"));
    }
    if config.occlusion.is_some_and(|size| size == 0 || size > idx::SIDE) {
        return Err(option("occlusion", "must be 1 to 28 pixels"));
    }
    if config.talker_snr_db.is_some_and(|snr| !snr.is_finite()) {
        return Err(option("talker-snr-db", "must be a finite number of decibels"));
    }
    Ok(())
}

fn option(field: &'static str, problem: impl Into<String>) -> Error {
    DataError::option(field, problem).into()
}

/// Indices of the test recordings and of all others.
fn test_and_pool(
    recordings: &[Recording],
    split: AvDigitsSplit,
    seed: u64,
) -> Result<(Vec<usize>, Vec<usize>)> {
    let mut speakers: Vec<&str> = recordings.iter().map(|r| r.speaker.as_str()).collect();
    speakers.sort_unstable();
    speakers.dedup();
    let held_out: Vec<&str> = match split {
        AvDigitsSplit::Standard => Vec::new(),
        AvDigitsSplit::Speaker => {
            let pair = (seed % 3) as usize * 2;
            let Some(held_out) = speakers.get(pair..pair + 2).filter(|_| speakers.len() == 6)
            else {
                let problem = format!("'speaker' needs six speakers, found {}", speakers.len());
                return Err(option("split", problem));
            };
            held_out.to_vec()
        }
    };
    Ok((0..recordings.len()).partition(|&r| match split {
        AvDigitsSplit::Standard => recordings[r].index < STANDARD_TEST,
        AvDigitsSplit::Speaker => held_out.contains(&recordings[r].speaker.as_str()),
    }))
}

/// Training and validation recordings, both balanced over the classes.
fn draw(
    data: &AvDigits,
    pool: &[usize],
    config: &AvDigitsConfig,
    seed: Seed,
) -> Result<(Vec<usize>, Vec<usize>)> {
    let mut rng = seed.rng();
    let mut by_digit: Vec<Vec<usize>> = vec![Vec::new(); DIGITS];
    for &r in pool {
        by_digit[data.recordings[r].digit as usize].push(r);
    }
    for recordings in &mut by_digit {
        recordings.shuffle(&mut rng);
    }
    let shortest = by_digit.iter().map(Vec::len).min().unwrap_or(0) * DIGITS;
    let train_size = config.train_size.unwrap_or(shortest.saturating_sub(config.val_size));
    if train_size.saturating_add(config.val_size) > shortest || train_size < DIGITS {
        let problem = format!(
            "training and validation together can have {shortest} balanced examples here, got {} \
             for validation{}",
            config.val_size,
            config.train_size.map_or(String::new(), |size| format!(" and {size} for training")),
        );
        let fits = config.val_size.saturating_add(DIGITS) <= shortest;
        let field = if fits { "train-size" } else { "val-size" };
        return Err(option(field, problem));
    }
    let (mut train, mut validation) = (Vec::new(), Vec::new());
    for (digit, recordings) in by_digit.iter().enumerate() {
        let (first, rest) = recordings.split_at(share(train_size, digit));
        train.extend_from_slice(first);
        validation.extend_from_slice(&rest[..share(config.val_size, digit)]);
    }
    Ok((train, validation))
}

/// How many of `total` examples class `digit` gets; the first classes take the remainder.
fn share(total: usize, digit: usize) -> usize {
    total / DIGITS + usize::from(digit < total % DIGITS)
}

/// The images of each digit in random order, dealt without replacement.
struct ImageDecks(Vec<std::vec::IntoIter<usize>>);

impl ImageDecks {
    fn shuffled(labels: &[u8], seed: Seed) -> Self {
        let deck = |digit: usize| {
            let matches = labels.iter().enumerate().filter(|(_, label)| **label as usize == digit);
            let mut deck: Vec<usize> = matches.map(|(image, _)| image).collect();
            deck.shuffle(&mut seed.index(digit as u64).rng());
            deck.into_iter()
        };
        Self((0..DIGITS).map(deck).collect())
    }

    fn deal(&mut self, data: &AvDigits, recordings: &[usize], images: usize) -> Result<Pairs> {
        let mut pairs = Vec::with_capacity(recordings.len() * images);
        for &r in recordings {
            let digit = data.recordings[r].digit as usize;
            for _ in 0..images {
                let image = self.0[digit].next().ok_or_else(|| Error::EmptyClass {
                    class: digit.to_string(),
                    what: "unused image left",
                    fix: "lower `train-size` or `val-size`".to_owned(),
                })?;
                pairs.push((r, image));
            }
        }
        Ok(pairs)
    }
}

fn dataset(
    data: &AvDigits,
    config: &AvDigitsConfig,
    pairs: &Pairs,
    seed: Seed,
) -> Result<TableDataset> {
    let audio = match config.talker_snr_db {
        None => Column {
            items: data.spectrograms.clone(),
            rows: pairs.iter().map(|&(recording, _)| recording).collect(),
            blanks: None,
        },
        Some(snr_db) => mixed_audio(data, pairs, snr_db, seed.stream("talker"))?,
    };
    let blanks = config.occlusion.map(|size| {
        let blank = |pair: usize| {
            let mut rng = seed.stream("occlusion").index(pair as u64).rng();
            let last = (idx::SIDE - size) as u32;
            let mut corner = || rng.random_range(0..=last) as usize;
            Blank { top: corner(), left: corner(), size }
        };
        (0..pairs.len()).map(blank).collect()
    });
    let visual = Column {
        items: data.pixels.clone(),
        rows: pairs.iter().map(|&(_, image)| image).collect(),
        blanks,
    };
    let label = |&(recording, _): &(usize, usize)| u32::from(data.recordings[recording].digit);
    Ok(TableDataset {
        modalities: data.modalities.clone(),
        classes: data.classes.clone(),
        labels: pairs.iter().map(label).collect(),
        columns: vec![audio, visual],
        identities: Some(pairs.iter().map(|&pair| data.identity(pair)).collect()),
    })
}

/// Spectrograms of each pair's recording with another talker of the same split mixed in.
fn mixed_audio(data: &AvDigits, pairs: &Pairs, snr_db: f64, seed: Seed) -> Result<Column> {
    let mut present: Vec<usize> = pairs.iter().map(|&(recording, _)| recording).collect();
    present.sort_unstable();
    present.dedup();
    let transform = spectrogram();
    let second = SAMPLE_RATE as usize;
    let mix = |(pair, &(recording, _)): (usize, &(usize, usize))| {
        let first = &data.recordings[recording];
        let others: Vec<usize> = present
            .iter()
            .copied()
            .filter(|&r| data.recordings[r].digit != first.digit)
            .filter(|&r| data.recordings[r].speaker != first.speaker)
            .collect();
        let other = others.choose(&mut seed.index(pair as u64).rng()).ok_or_else(|| {
            option("talker-snr-db", "no other speaker with another digit in this split")
        })?;
        let speech = tile(&first.samples, second);
        let noise = tile(&data.recordings[*other].samples, second);
        let gain = rms(&speech) / rms(&noise).max(1e-9) * 10f64.powf(-snr_db / 20.0);
        let mixed: Vec<f32> =
            speech.iter().zip(&noise).map(|(s, n)| s + (gain * f64::from(*n)) as f32).collect();
        Ok(transform.transform(&mixed))
    };
    let items: Vec<Vec<f32>> = pairs.par_iter().enumerate().map(mix).collect::<Result<_>>()?;
    Ok(Column { items: Arc::new(items.concat()), rows: (0..pairs.len()).collect(), blanks: None })
}

fn rms(signal: &[f32]) -> f64 {
    let sum: f64 = signal.iter().map(|s| f64::from(*s) * f64::from(*s)).sum();
    (sum / signal.len().max(1) as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_near_the_largest_number_are_refused() {
        let recording = |n: usize| Recording {
            digit: (n % DIGITS) as u8,
            speaker: "ann".to_owned(),
            index: (n / DIGITS) as u32,
            samples: Vec::new(),
        };
        let data = AvDigits {
            recordings: (0..100).map(recording).collect(),
            spectrograms: Arc::default(),
            pixels: Arc::default(),
            image_labels: Vec::new(),
            identities: [Vec::new(), Vec::new()],
            modalities: Arc::default(),
            classes: Arc::default(),
        };
        let pool: Vec<usize> = (0..100).collect();
        let message = |train_size, val_size| {
            let config = AvDigitsConfig { train_size, val_size, ..AvDigitsConfig::default() };
            draw(&data, &pool, &config, Seed::new(0)).unwrap_err().to_string()
        };
        for size in [usize::MAX, usize::MAX - 5, 1_000] {
            assert!(message(Some(50), size).starts_with("val-size: training and validation"));
            assert!(message(None, size).starts_with("val-size"));
            assert!(message(Some(size), 20).starts_with("train-size"));
        }
    }
}
