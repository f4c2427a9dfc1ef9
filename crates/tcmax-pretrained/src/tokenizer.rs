//! Texts to numbers, by the `tokenizer.json` of a pretrained network.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{Device, Tensor};
use tokenizers::{
    EncodeInput, Encoding, PostProcessor, TruncationDirection, TruncationParams, TruncationStrategy,
};

use crate::error::{Error, Result};
use crate::file;

/// How long the rows of encoded texts are, special tokens included. Longer texts are cut off on the right,
/// before the special tokens at their end; shorter ones are padded on the right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// Every row has this length.
    Fixed(usize),
    /// Rows are as long as the longest of them, and at most this long.
    Longest(usize),
}

/// Encoded texts: N rows of T tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// N * T numbers of tokens, row after row.
    pub ids: Vec<u32>,
    /// For each token, 1, or 0 for padding.
    pub mask: Vec<u8>,
    /// For each token, whether it is of the first (0) or the second (1) text of a pair.
    pub types: Vec<u32>,
    /// N.
    pub rows: usize,
    /// T.
    pub length: usize,
}

impl Encoded {
    /// The numbers of the tokens (N, T), as u32, and the mask (N, T), as u8.
    ///
    /// # Errors
    /// Only if the device fails.
    pub fn tensors(&self, device: &Device) -> Result<(Tensor, Tensor)> {
        let shape = (self.rows, self.length);
        let ids = Tensor::from_slice(&self.ids, shape, device)?;
        Ok((ids, Tensor::from_slice(&self.mask, shape, device)?))
    }
}

/// A tokenizer, as a file `tokenizer.json` describes it.
///
/// ```
/// use tcmax_pretrained::{Length, Tokenizer};
///
/// # fn main() -> tcmax_pretrained::Result<()> {
/// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/wordpiece_uncased/tokenizer.json");
/// let tokenizer = Tokenizer::open(path.as_ref())?;
/// let encoded = tokenizer.encode(&["the were", "playing playing the"], Length::Fixed(5))?;
/// assert_eq!(encoded.ids, [2, 155, 198, 3, 0, 2, 219, 219, 155, 3]);
/// assert_eq!(encoded.mask, [1, 1, 1, 1, 0, 1, 1, 1, 1, 1]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Tokenizer {
    path: PathBuf,
    inner: tokenizers::Tokenizer,
    pad: u32,
    /// The same that cuts texts off, for the length asked for last: a copy of the vocabulary is expensive.
    truncating: Mutex<Option<(usize, Arc<tokenizers::Tokenizer>)>>,
}

/// Tokens that pad where nothing else says which does, the likeliest first.
const PADDING: [&str; 5] = ["[PAD]", "<pad>", "<|padding|>", "<|endoftext|>", "</s>"];

impl Tokenizer {
    /// Reads a `tokenizer.json`. The token that pads is the one that it names; else the one that a
    /// `tokenizer_config.json` beside it names; else the first there is of `[PAD]`, `<pad>`, `<|padding|>`,
    /// `<|endoftext|>` (CLIP) and `</s>`. Truncation and padding set in the file are replaced, and dropout
    /// of merges is turned off, so that a text always has the same tokens.
    ///
    /// # Errors
    /// When the file is missing or damaged, has no vocabulary, or no token pads.
    pub fn open(path: &Path) -> Result<Self> {
        let mut bytes = file::read(path)?;
        let damaged = |error: &dyn std::fmt::Display| {
            Error::bad_file(
                path,
                format!("not a readable tokenizer.json ({error}); fetch it again"),
            )
        };
        let mut json: serde_json::Value =
            serde_json::from_slice(&bytes).map_err(|error| damaged(&error))?;
        if let Some(dropout) = json.pointer_mut("/model/dropout").filter(|value| !value.is_null()) {
            *dropout = serde_json::Value::Null;
            bytes = serde_json::to_vec(&json).map_err(|error| damaged(&error))?;
        }
        let mut inner =
            tokenizers::Tokenizer::from_bytes(&bytes).map_err(|error| damaged(&error))?;
        if inner.get_vocab_size(false) == 0 {
            return Err(Error::bad_file(path, "its vocabulary is empty; fetch it again"));
        }
        let named = inner.get_padding().map(|padding| padding.pad_token.clone());
        let pad = pad_token(path, named, &inner)?;
        inner.with_padding(None);
        // Taking a limit away cannot fail.
        inner.with_truncation(None).map_err(|error| damaged(&error))?;
        Ok(Self { path: path.to_owned(), inner, pad, truncating: Mutex::default() })
    }

    /// The number of tokens, special ones included: entries that an embedding needs, if none is left out.
    pub fn vocabulary(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// The number of the token that pads.
    pub fn pad(&self) -> u32 {
        self.pad
    }

    /// The number of a token.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// Encodes texts with special tokens.
    ///
    /// # Errors
    /// When the length has no room for the special tokens, or a text cannot be encoded, as when the
    /// vocabulary lacks the token for unknown words.
    pub fn encode(&self, texts: &[impl AsRef<str> + Sync], length: Length) -> Result<Encoded> {
        self.encode_all(texts.iter().map(|text| text.as_ref().into()).collect(), length)
    }

    /// Encodes pairs of texts as one row each; tokens are cut off the longer text first.
    ///
    /// # Errors
    /// As [`Self::encode`].
    pub fn encode_pairs(&self, pairs: &[(String, String)], length: Length) -> Result<Encoded> {
        let input = |(first, second): &(String, String)| (first.clone(), second.clone()).into();
        self.encode_all(pairs.iter().map(input).collect(), length)
    }

    fn encode_all(&self, texts: Vec<EncodeInput<'_>>, length: Length) -> Result<Encoded> {
        let (Length::Fixed(most) | Length::Longest(most)) = length;
        let is_pair = texts.iter().any(|text| matches!(text, EncodeInput::Dual(..)));
        let added = self.inner.get_post_processor().map_or(0, |p| p.added_tokens(is_pair));
        if most <= added {
            let problem = format!(
                "a length of {most} has no room for a text beside the {added} special tokens; set at least {}",
                added + 1
            );
            return Err(self.error(problem));
        }
        let rows = texts.len();
        let encodings: Vec<Encoding> =
            self.truncating(most)?.encode_batch(texts, true).map_err(|error| {
                self.error(format!("a text cannot be encoded ({error}); check the vocabulary"))
            })?;
        let longest = encodings.iter().map(Encoding::len).max().unwrap_or(0);
        let length = match length {
            Length::Fixed(length) => length,
            Length::Longest(_) => longest,
        };
        let mut encoded = Encoded {
            ids: Vec::with_capacity(rows * length),
            mask: Vec::with_capacity(rows * length),
            types: Vec::with_capacity(rows * length),
            rows,
            length,
        };
        for (row, encoding) in encodings.iter().enumerate() {
            let end = (row + 1) * length;
            encoded.ids.extend(encoding.get_ids());
            encoded.mask.extend(encoding.get_attention_mask().iter().map(|one| *one as u8));
            encoded.types.extend(encoding.get_type_ids());
            encoded.ids.resize(end, self.pad);
            encoded.mask.resize(end, 0);
            encoded.types.resize(end, 0);
        }
        Ok(encoded)
    }

    /// A text of tokens, without special ones: what they stand for, not always what was encoded.
    ///
    /// # Errors
    /// When the file's decoder fails.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        self.inner.decode(ids, true).map_err(|error| self.error(format!("cannot decode: {error}")))
    }

    /// One text with all its tokens, and their positions in characters.
    pub(crate) fn whole(&self, text: &str, special: bool) -> Result<Encoding> {
        self.inner
            .encode_char_offsets(text, special)
            .map_err(|error| self.error(format!("a text cannot be encoded: {error}")))
    }

    fn truncating(&self, most: usize) -> Result<Arc<tokenizers::Tokenizer>> {
        let mut last = self.truncating.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, same)) = last.as_ref().filter(|(length, _)| *length == most) {
            return Ok(Arc::clone(same));
        }
        let mut inner = self.inner.clone();
        let truncation = TruncationParams {
            direction: TruncationDirection::Right,
            max_length: most,
            strategy: TruncationStrategy::LongestFirst,
            stride: 0,
        };
        inner.with_truncation(Some(truncation)).map_err(|error| self.error(error.to_string()))?;
        let inner = Arc::new(inner);
        *last = Some((most, Arc::clone(&inner)));
        Ok(inner)
    }

    fn error(&self, problem: String) -> Error {
        Error::Text { path: self.path.clone(), problem }
    }
}

/// The number of the token that pads.
fn pad_token(path: &Path, named: Option<String>, inner: &tokenizers::Tokenizer) -> Result<u32> {
    let config = path.with_file_name("tokenizer_config.json");
    let configured = match config.is_file() {
        true => pad_of_config(&file::read_json(&config)?),
        false => None,
    };
    for token in [named, configured].into_iter().flatten() {
        if let Some(id) = inner.token_to_id(&token) {
            return Ok(id);
        }
    }
    PADDING.iter().find_map(|token| inner.token_to_id(token)).ok_or_else(|| {
        let problem = format!(
            "no token pads; name one as \"pad_token\" in tokenizer_config.json beside it, or add one of: {}",
            PADDING.join(", ")
        );
        Error::bad_file(path, problem)
    })
}

/// `pad_token` is a text, or an object with its `content`.
fn pad_of_config(config: &serde_json::Value) -> Option<String> {
    let token = config.get("pad_token")?;
    let text = token.as_str().or_else(|| token.get("content")?.as_str());
    text.map(str::to_owned)
}
