//! How a pretrained network wants its pictures: `preprocessor_config.json`.

use std::path::Path;

use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::file;

/// How pixels between those of a picture are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resample {
    /// The nearest pixel.
    Nearest,
    /// Lanczos's window of three lobes.
    Lanczos,
    /// Linear.
    Bilinear,
    /// Cubic.
    Bicubic,
    /// The mean of the pixels covered.
    Box,
    /// Hamming's window.
    Hamming,
}

/// To which size a picture is brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resize {
    /// This height and width, whatever the picture's.
    Exact {
        /// Pixels from top to bottom.
        height: usize,
        /// Pixels from left to right.
        width: usize,
    },
    /// The shorter edge has so many pixels; the proportions stay.
    ShortestEdge(usize),
}

/// How a picture becomes the input of a network: resized, its centre cut out, bytes scaled, mean and
/// standard deviation of every channel taken off.
///
/// ```
/// use tcmax_pretrained::{Preprocess, Resample, Resize};
///
/// # fn main() -> tcmax_pretrained::Result<()> {
/// let text = r#"{"do_resize": true, "size": 224, "resample": 2, "do_normalize": true,
///                "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}"#;
/// let preprocess = Preprocess::parse("preprocessor_config.json".as_ref(), text.as_bytes())?;
/// assert_eq!(preprocess.resize, Some(Resize::Exact { height: 224, width: 224 }));
/// assert_eq!(preprocess.resample, Resample::Bilinear);
/// // A byte b becomes b * factor + summand: 0 is -1, 255 is 1.
/// let (factor, summand) = preprocess.linear()[0];
/// assert!((summand + 1.0).abs() < 1e-12 && (255.0 * factor + summand - 1.0).abs() < 1e-12);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Preprocess {
    /// The first step, if there is one.
    pub resize: Option<Resize>,
    /// How it is done.
    pub resample: Resample,
    /// Height and width of the centre that is cut out afterwards.
    pub crop: Option<(usize, usize)>,
    /// What bytes are multiplied by; 1 / 255 mostly.
    pub rescale: f64,
    /// The mean of every channel, in scaled values; 0 where nothing is taken off.
    pub mean: Vec<f64>,
    /// The standard deviation of every channel; 1 where nothing is divided.
    pub std: Vec<f64>,
    /// Settings of the file that are not known here, and were not followed.
    pub unknown: Vec<String>,
}

/// What the file says beside the steps, and what is done anyway: pictures are decoded to RGB.
const HARMLESS: [&str; 9] = [
    "image_processor_type",
    "feature_extractor_type",
    "processor_class",
    "_valid_processor_keys",
    "do_convert_rgb",
    "data_format",
    "input_data_format",
    "return_tensors",
    "device",
];

/// Steps that no encoder here has.
const REFUSED: [(&str, &str); 4] = [
    ("do_pad", "pads pictures"),
    ("do_reduce_labels", "changes labels"),
    ("do_flip_channel_order", "orders channels blue to red"),
    ("apply_ocr", "reads text in pictures"),
];

impl Preprocess {
    /// Reads a file.
    ///
    /// # Errors
    /// When it is missing or damaged, or asks for something that is not done here.
    pub fn read(path: &Path) -> Result<Self> {
        Self::parse(path, &file::read(path)?)
    }

    /// Reads the bytes of a file; `path` is its name in errors.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Self> {
        let settings: Map<String, Value> = serde_json::from_slice(bytes).map_err(|error| {
            Error::bad_file(path, format!("not the JSON expected ({error}); fetch it again"))
        })?;
        Settings(settings).preprocess().map_err(|problem| Error::bad_file(path, problem))
    }

    /// For every channel, the factor and the summand that make an input of a byte.
    pub fn linear(&self) -> Vec<(f64, f64)> {
        let of = |(mean, std): (&f64, &f64)| (self.rescale / std, -mean / std);
        self.mean.iter().zip(&self.std).map(of).collect()
    }

    /// Height and width of what the network sees, where the file determines them.
    pub fn output(&self) -> Option<(usize, usize)> {
        self.crop.or(match self.resize {
            Some(Resize::Exact { height, width }) => Some((height, width)),
            _ => None,
        })
    }
}

/// Largest height and width; no network has one.
const LARGEST: u64 = 1 << 14;

struct Settings(Map<String, Value>);

impl Settings {
    fn preprocess(mut self) -> std::result::Result<Preprocess, String> {
        for (key, what) in REFUSED {
            if self.flag(key, false)? {
                return Err(format!("\"{key}\" {what}, which is not done here; set it to false"));
            }
        }
        // Files of early versions name the steps by their settings alone.
        let resize = self.size("size")?;
        let resize = resize.filter(|_| self.0.get("do_resize") != Some(&Value::Bool(false)));
        self.flag("do_resize", true)?;
        let crop = self.crop()?;
        let resample = self.resample()?;
        let rescales = self.flag("do_rescale", true)?;
        let rescale = self.number("rescale_factor")?.unwrap_or(1.0 / 255.0);
        let normalises = self.flag("do_normalize", true)?;
        let (mean, std) = (self.channels("image_mean")?, self.channels("image_std")?);
        let (mean, std) = match (mean, std) {
            (Some(mean), Some(std)) if normalises => (mean, std),
            (None, None) if normalises => {
                return Err("it normalises, but has no image_mean and image_std".to_owned());
            }
            (Some(_), None) | (None, Some(_)) if normalises => {
                return Err("it has one of image_mean and image_std without the other".to_owned());
            }
            _ => (vec![0.0; 3], vec![1.0; 3]),
        };
        if mean.len() != std.len() {
            return Err("image_mean and image_std have different numbers of channels".to_owned());
        }
        if std.iter().any(|std| *std <= 0.0) {
            return Err("image_std must be above 0".to_owned());
        }
        for key in HARMLESS {
            self.0.remove(key);
        }
        let unset = |value: &Value| matches!(value, Value::Null | Value::Bool(false));
        let unknown = self.0.into_iter().filter(|(_, value)| !unset(value)).map(|(key, _)| key);
        let rescale = if rescales { rescale } else { 1.0 };
        let unknown = unknown.collect();
        Ok(Preprocess { resize, resample, crop, rescale, mean, std, unknown })
    }

    fn take(&mut self, key: &str) -> Option<Value> {
        self.0.remove(key).filter(|value| !value.is_null())
    }

    fn flag(&mut self, key: &str, absent: bool) -> std::result::Result<bool, String> {
        match self.take(key) {
            None => Ok(absent),
            Some(Value::Bool(value)) => Ok(value),
            Some(other) => Err(format!("\"{key}\" is {other}, not true or false")),
        }
    }

    fn number(&mut self, key: &str) -> std::result::Result<Option<f64>, String> {
        let Some(value) = self.take(key) else { return Ok(None) };
        let number = value.as_f64().filter(|number| number.is_finite());
        number.map(Some).ok_or_else(|| format!("\"{key}\" is {value}, not a number"))
    }

    fn channels(&mut self, key: &str) -> std::result::Result<Option<Vec<f64>>, String> {
        let Some(value) = self.take(key) else { return Ok(None) };
        let numbers = value.as_array().map(|list| list.iter().map(Value::as_f64).collect());
        match numbers {
            Some(Some(numbers)) => {
                let numbers: Vec<f64> = numbers;
                if matches!(numbers.len(), 1 | 3) {
                    return Ok(Some(numbers));
                }
                Err(format!("\"{key}\" has {} channels, not 1 or 3", numbers.len()))
            }
            _ => Err(format!("\"{key}\" is {value}, not a list of numbers")),
        }
    }

    /// A number is a square; an object names height and width, or the shortest edge.
    fn size(&mut self, key: &str) -> std::result::Result<Option<Resize>, String> {
        let Some(value) = self.take(key) else { return Ok(None) };
        let pixels = |value: &Value| {
            let whole = value.as_u64().filter(|size| (1..=LARGEST).contains(size));
            whole.map(|size| size as usize)
        };
        let side = |name: &str| value.get(name).and_then(pixels);
        let size = match (pixels(&value), side("height"), side("width"), side("shortest_edge")) {
            (Some(side), ..) => Some(Resize::Exact { height: side, width: side }),
            (_, Some(height), Some(width), _) => Some(Resize::Exact { height, width }),
            (_, None, None, Some(edge)) if value.get("longest_edge").is_none_or(Value::is_null) => {
                Some(Resize::ShortestEdge(edge))
            }
            _ => None,
        };
        size.map(Some).ok_or_else(|| {
            format!(
                "\"{key}\" is {value}; known are a number, {{\"height\", \"width\"}} and \
                 {{\"shortest_edge\"}}, of 1 to {LARGEST} pixels"
            )
        })
    }

    fn crop(&mut self) -> std::result::Result<Option<(usize, usize)>, String> {
        let size = self.size("crop_size")?;
        let crops = self.flag("do_center_crop", size.is_some())?;
        match (crops, size) {
            (false, _) => Ok(None),
            (true, Some(Resize::Exact { height, width })) => Ok(Some((height, width))),
            (true, _) => {
                Err("it cuts out a centre whose height and width it does not name".to_owned())
            }
        }
    }

    /// The numbers of the Python Imaging Library.
    fn resample(&mut self) -> std::result::Result<Resample, String> {
        let Some(value) = self.take("resample") else { return Ok(Resample::Bilinear) };
        Ok(match value.as_u64() {
            Some(0) => Resample::Nearest,
            Some(1) => Resample::Lanczos,
            Some(2) => Resample::Bilinear,
            Some(3) => Resample::Bicubic,
            Some(4) => Resample::Box,
            Some(5) => Resample::Hamming,
            _ => return Err(format!("\"resample\" is {value}, not one of 0 to 5")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Preprocess> {
        Preprocess::parse(Path::new("preprocessor_config.json"), text.as_bytes())
    }

    #[test]
    fn clip_cuts_out_a_centre() {
        let text = r#"{"crop_size": 224, "do_center_crop": true, "do_normalize": true, "do_resize": true,
            "feature_extractor_type": "CLIPFeatureExtractor", "resample": 3, "size": 224,
            "image_mean": [0.48145466, 0.4578275, 0.40821073],
            "image_std": [0.26862954, 0.26130258, 0.27577711]}"#;
        let clip = parse(text).unwrap();
        assert_eq!((clip.crop, clip.output()), (Some((224, 224)), Some((224, 224))));
        assert_eq!((clip.resample, clip.rescale), (Resample::Bicubic, 1.0 / 255.0));
        assert_eq!((clip.mean[2], clip.std[0]), (0.40821073, 0.26862954));
        assert!(clip.unknown.is_empty());
    }

    #[test]
    fn newer_files_name_edges() {
        let text = r#"{"size": {"shortest_edge": 256}, "crop_size": {"height": 224, "width": 192},
            "do_normalize": false, "do_rescale": false, "crop_pct": 0.875}"#;
        let read = parse(text).unwrap();
        assert_eq!(read.resize, Some(Resize::ShortestEdge(256)));
        assert_eq!(read.output(), Some((224, 192)));
        assert_eq!(read.linear(), [(1.0, -0.0); 3]);
        assert_eq!(read.unknown, ["crop_pct"]);
        let unresized = parse(r#"{"do_resize": false, "size": 7, "do_normalize": false}"#).unwrap();
        assert_eq!((unresized.resize, unresized.output()), (None, None));
    }

    #[test]
    fn what_is_not_done_is_refused() {
        let plain = r#""do_normalize": false"#;
        for (text, wanted) in [
            ("[]".to_owned(), "not the JSON"),
            (r#"{"do_normalize": true}"#.to_owned(), "has no image_mean"),
            (r#"{"image_mean": [1, 2, 3]}"#.to_owned(), "without the other"),
            (r#"{"image_mean": [1, 2], "image_std": [1, 2]}"#.to_owned(), "not 1 or 3"),
            (r#"{"image_mean": [0], "image_std": [0]}"#.to_owned(), "above 0"),
            (format!(r#"{{{plain}, "do_pad": true}}"#), "pads pictures"),
            (format!(r#"{{{plain}, "resample": 9}}"#), "one of 0 to 5"),
            (format!(r#"{{{plain}, "size": {{"longest_edge": 9}}}}"#), "\"size\""),
            (format!(r#"{{{plain}, "size": 0}}"#), "\"size\""),
            (format!(r#"{{{plain}, "do_center_crop": true}}"#), "does not name"),
            (format!(r#"{{{plain}, "do_resize": 1}}"#), "not true or false"),
        ] {
            let error = parse(&text).unwrap_err().to_string();
            assert!(
                error.contains("preprocessor_config.json") && error.contains(wanted),
                "{error}"
            );
        }
    }
}
