//! The settings of a file, read one after the other; what is left is unknown.

use serde_json::{Map, Value};

use super::resize::{Resample, Resize};

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

/// Largest height and width; no network has one.
const LARGEST: u64 = 1 << 14;

pub(super) struct Settings(pub(super) Map<String, Value>);

impl Settings {
    /// Refuses steps that are not done here.
    pub(super) fn check_steps(&mut self) -> Result<(), String> {
        for (key, what) in REFUSED {
            if self.flag(key, false)? {
                return Err(format!("\"{key}\" {what}, which is not done here; set it to false"));
            }
        }
        Ok(())
    }

    pub(super) fn resize(&mut self) -> Result<Option<Resize>, String> {
        let size = self.size("size")?;
        // Files of early versions name the steps by their settings alone.
        match (self.flag("do_resize", size.is_some())?, size) {
            (false, _) => Ok(None),
            (true, Some(size)) => Ok(Some(size)),
            (true, None) => Err("it changes the size, but has no \"size\"".to_owned()),
        }
    }

    /// What bytes are multiplied by.
    pub(super) fn rescale(&mut self) -> Result<f64, String> {
        let factor = self.number("rescale_factor")?.unwrap_or(1.0 / 255.0);
        Ok(if self.flag("do_rescale", true)? { factor } else { 1.0 })
    }

    /// Mean and standard deviation of every channel.
    pub(super) fn normalisation(&mut self) -> Result<(Vec<f64>, Vec<f64>), String> {
        let normalises = self.flag("do_normalize", true)?;
        let (mean, std) = (self.channels("image_mean")?, self.channels("image_std")?);
        if !normalises {
            return Ok((vec![0.0; 3], vec![1.0; 3]));
        }
        match (mean, std) {
            (Some(mean), Some(std)) if mean.len() != std.len() => {
                Err("image_mean and image_std have different numbers of channels".to_owned())
            }
            (Some(_), Some(std)) if std.iter().any(|std| *std <= 0.0) => {
                Err("image_std must be above 0".to_owned())
            }
            (Some(mean), Some(std)) => Ok((mean, std)),
            (None, None) => Err("it normalises, but has no image_mean and image_std".to_owned()),
            _ => Err("it has one of image_mean and image_std without the other".to_owned()),
        }
    }

    /// The names of what was not asked for and is not off.
    pub(super) fn unknown(mut self) -> Vec<String> {
        for key in HARMLESS {
            self.0.remove(key);
        }
        let unset = |value: &Value| matches!(value, Value::Null | Value::Bool(false));
        self.0.into_iter().filter(|(_, value)| !unset(value)).map(|(key, _)| key).collect()
    }

    fn take(&mut self, key: &str) -> Option<Value> {
        self.0.remove(key).filter(|value| !value.is_null())
    }

    fn flag(&mut self, key: &str, absent: bool) -> Result<bool, String> {
        match self.take(key) {
            None => Ok(absent),
            Some(Value::Bool(value)) => Ok(value),
            Some(other) => Err(format!("\"{key}\" is {other}, not true or false")),
        }
    }

    fn number(&mut self, key: &str) -> Result<Option<f64>, String> {
        let Some(value) = self.take(key) else { return Ok(None) };
        let number = value.as_f64().filter(|number| number.is_finite());
        number.map(Some).ok_or_else(|| format!("\"{key}\" is {value}, not a number"))
    }

    fn channels(&mut self, key: &str) -> Result<Option<Vec<f64>>, String> {
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
    fn size(&mut self, key: &str) -> Result<Option<Resize>, String> {
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

    pub(super) fn crop(&mut self) -> Result<Option<(usize, usize)>, String> {
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
    pub(super) fn resample(&mut self) -> Result<Resample, String> {
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
