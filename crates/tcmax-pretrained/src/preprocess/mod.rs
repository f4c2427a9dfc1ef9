//! How a pretrained network wants its pictures: `preprocessor_config.json`.

mod resize;
mod settings;

use std::path::Path;

use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::file;
use settings::Settings;

pub use resize::{Resample, Resize};

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
        preprocess(Settings(settings)).map_err(|problem| Error::bad_file(path, problem))
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

fn preprocess(mut settings: Settings) -> std::result::Result<Preprocess, String> {
    settings.check_steps()?;
    let (resize, crop, resample) = (settings.resize()?, settings.crop()?, settings.resample()?);
    let rescale = settings.rescale()?;
    let (mean, std) = settings.normalisation()?;
    let unknown = settings.unknown();
    Ok(Preprocess { resize, resample, crop, rescale, mean, std, unknown })
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
            (format!(r#"{{{plain}, "do_resize": true}}"#), "has no \"size\""),
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
