//! Text as the numbers of its tokens.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tcmax_data::sha256_of_file;
use tcmax_pretrained::{Length, Source, Tokenizer};

use crate::error::{Error, Result};

/// A tokenizer, with the digest of its file.
struct Opened {
    tokenizer: Tokenizer,
    sha256: String,
}

/// Tokenizers that were opened, by what they are called: a plan has many texts.
static OPENED: Mutex<BTreeMap<String, Arc<Opened>>> = Mutex::new(BTreeMap::new());

/// The numbers of the tokens of a text, -1 after its end.
pub(crate) fn of_text(
    source: &str,
    sha256: Option<&str>,
    text: &str,
    tokens: usize,
) -> Result<Vec<f32>> {
    let opened = open(source)?;
    if sha256.is_some_and(|wanted| wanted != opened.sha256) {
        let problem = format!("{source} is another tokenizer than the one of the recipe");
        return Err(Error::option("tokenizer", problem));
    }
    let encoded =
        opened.tokenizer.encode(&[text], Length::Fixed(tokens)).map_err(|error| wrong(&error))?;
    let pairs = encoded.ids.iter().zip(&encoded.mask);
    // Below 2^24, as every number of a vocabulary, a whole number is exact in f32.
    Ok(pairs.map(|(id, there)| if *there == 0 { -1.0 } else { *id as f32 }).collect())
}

/// SHA-256 of a tokenizer's file.
///
/// # Errors
/// When it cannot be found or read.
pub(crate) fn digest(source: &str) -> Result<String> {
    Ok(open(source)?.sha256.clone())
}

fn open(source: &str) -> Result<Arc<Opened>> {
    let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(found) = opened.get(source) {
        return Ok(found.clone());
    }
    let path = file_of(source)?;
    let tokenizer = Tokenizer::open(&path).map_err(|error| wrong(&error))?;
    let found = Arc::new(Opened { tokenizer, sha256: sha256_of_file(&path)? });
    opened.insert(source.to_owned(), found.clone());
    Ok(found)
}

/// The file: itself, in its folder, or in a repository.
fn file_of(source: &str) -> Result<PathBuf> {
    let path = Path::new(source);
    if path.is_dir() {
        return Ok(path.join("tokenizer.json"));
    }
    if !source.starts_with("hub:") {
        return Ok(path.to_owned());
    }
    let files =
        Source::parse(source).and_then(|source| source.open()).map_err(|error| wrong(&error))?;
    let lacks = || Error::option("tokenizer", format!("{source} has no tokenizer.json"));
    files.tokenizer.ok_or_else(lacks)
}

fn wrong(error: &tcmax_pretrained::Error) -> Error {
    Error::option("tokenizer", error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokenizer() -> String {
        let path = "../tcmax-pretrained/tests/golden/wordpiece_uncased/tokenizer.json";
        Path::new(env!("CARGO_MANIFEST_DIR")).join(path).display().to_string()
    }

    #[test]
    fn texts_are_padded_with_minus_one_and_cut_before_their_last_token() {
        let ids = of_text(&tokenizer(), None, "the were", 6).unwrap();
        assert_eq!(ids, [2.0, 155.0, 198.0, 3.0, -1.0, -1.0]);
        let cut = of_text(&tokenizer(), None, "the were the were", 4).unwrap();
        assert_eq!(cut, [2.0, 155.0, 198.0, 3.0]);
    }

    #[test]
    fn another_tokenizer_than_the_recipes_is_refused() {
        let right = digest(&tokenizer()).unwrap();
        of_text(&tokenizer(), Some(&right), "the", 4).unwrap();
        let error = of_text(&tokenizer(), Some("0"), "the", 4).unwrap_err().to_string();
        assert!(error.contains("another tokenizer"), "{error}");
        let error = of_text("no such file.json", None, "the", 4).unwrap_err().to_string();
        assert!(error.contains("no such file.json"), "{error}");
    }
}
