//! Comparison of a tokenizer with encodings that another program recorded.

use std::path::Path;

use serde::Deserialize;

use crate::error::{Error, Result};
use crate::file;
use crate::tokenizer::{Encoded, Length, Tokenizer};

#[derive(Deserialize)]
struct Recorded {
    vocab_size: usize,
    texts: Vec<String>,
    #[serde(default)]
    pairs: Vec<(String, String)>,
    plain: Vec<Row>,
    #[serde(default)]
    plain_no_special: Vec<Vec<u32>>,
    #[serde(default)]
    decoded_skip_special: Vec<String>,
    truncate_longest: Option<Rows>,
    truncate_fixed: Option<Rows>,
    pairs_fixed: Option<Rows>,
}

#[derive(Deserialize)]
struct Row {
    ids: Vec<u32>,
    attention_mask: Vec<u8>,
    type_ids: Vec<u32>,
    #[serde(default)]
    tokens: Vec<String>,
    #[serde(default)]
    offsets: Vec<(usize, usize)>,
}

#[derive(Deserialize)]
struct Rows {
    max_length: usize,
    rows: Vec<Row>,
}

/// Compares the `tokenizer.json` of a folder with the encodings in its `vectors.json`: of texts alone with
/// and without special tokens (numbers, tokens, positions), decoded, cut off and padded to the longest row
/// and to a fixed length, and of pairs. Returns how many rows were compared.
///
/// # Errors
/// When a file cannot be read, or something differs; the error names the first row that does.
pub fn check_recorded(folder: &Path) -> Result<usize> {
    let path = folder.join("vectors.json");
    let recorded: Recorded = file::read_json(&path)?;
    let tokenizer = Tokenizer::open(&folder.join("tokenizer.json"))?;
    let differs = |what: &str, row: usize| {
        Err(Error::bad_file(&path, format!("{what}, row {row} differs from what is recorded")))
    };
    if tokenizer.vocabulary() != recorded.vocab_size {
        return differs("vocab_size", 0);
    }
    let mut compared = 1;
    for (index, row) in recorded.plain.iter().enumerate() {
        let Some(text) = recorded.texts.get(index) else { return differs("texts", index) };
        if !plain_agrees(&tokenizer, text, row)? {
            return differs("plain", index);
        }
        compared += 1;
    }
    for (index, ids) in recorded.plain_no_special.iter().enumerate() {
        let Some(text) = recorded.texts.get(index) else { return differs("texts", index) };
        if tokenizer.whole(text, false)?.get_ids() != ids {
            return differs("plain_no_special", index);
        }
        compared += 1;
    }
    for (index, text) in recorded.decoded_skip_special.iter().enumerate() {
        let Some(row) = recorded.plain.get(index) else { return differs("plain", index) };
        if tokenizer.decode(&row.ids)? != *text {
            return differs("decoded_skip_special", index);
        }
        compared += 1;
    }
    let texts = |length| tokenizer.encode(&recorded.texts, length);
    let pairs = |length| tokenizer.encode_pairs(&recorded.pairs, length);
    for (what, rows) in [
        ("truncate_longest", encoded(recorded.truncate_longest, |n| texts(Length::Longest(n)))?),
        ("truncate_fixed", encoded(recorded.truncate_fixed, |n| texts(Length::Fixed(n)))?),
        ("pairs_fixed", encoded(recorded.pairs_fixed, |n| pairs(Length::Fixed(n)))?),
    ] {
        let Some((got, wanted)) = rows else { continue };
        if let Some(row) = first_difference(&got, &wanted) {
            return differs(what, row);
        }
        compared += wanted.len();
    }
    Ok(compared)
}

fn plain_agrees(tokenizer: &Tokenizer, text: &str, row: &Row) -> Result<bool> {
    let got = tokenizer.whole(text, true)?;
    let mask = got.get_attention_mask().iter().map(|one| *one as u8);
    Ok(got.get_ids() == row.ids
        && got.get_type_ids() == row.type_ids
        && mask.eq(row.attention_mask.iter().copied())
        && (row.tokens.is_empty() || got.get_tokens() == row.tokens)
        && (row.offsets.is_empty() || got.get_offsets() == row.offsets))
}

fn encoded(
    rows: Option<Rows>,
    encode: impl Fn(usize) -> Result<Encoded>,
) -> Result<Option<(Encoded, Vec<Row>)>> {
    rows.map(|rows| Ok((encode(rows.max_length)?, rows.rows))).transpose()
}

fn first_difference(got: &Encoded, wanted: &[Row]) -> Option<usize> {
    if got.rows != wanted.len() {
        return Some(got.rows.min(wanted.len()));
    }
    let length = got.length;
    (0..got.rows).find(|row| {
        let span = row * length..(row + 1) * length;
        let wanted = &wanted[*row];
        got.ids[span.clone()] != wanted.ids
            || got.mask[span.clone()] != wanted.attention_mask
            || got.types[span] != wanted.type_ids
    })
}
