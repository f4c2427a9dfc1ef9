//! NumPy's npy format, versions 1 to 3.
//!
//! Magic `\x93NUMPY`, two version bytes, the header's length, the header (a Python dictionary with
//! `descr`, `fortran_order` and `shape`), then the values. Source: the NumPy enhancement proposal 1 and
//! `numpy.lib.format`. The crates for it multiply sizes of the header unchecked, so that a damaged file
//! can end the process or ask for all memory.

use std::path::Path;

use super::{Array, ArrayKind};
use crate::{Error, Result};

/// One array from the bytes of an npy file.
pub(super) fn parse(path: &Path, name: String, bytes: &[u8]) -> Result<Array> {
    let bad = |problem: &str| Error::bad_file(path, format!("'{name}': {problem}"));
    let (text, data) =
        header(bytes).ok_or_else(|| bad("not an npy file, or it is cut off in the header"))?;
    let header = Header::parse(text)
        .ok_or_else(|| bad(&format!("the npy header cannot be read: {}", text.trim())))?;
    let (kind, size) = header.element().ok_or_else(|| {
        bad(&format!(
            "values of type '{}' are not supported; save floats, integers, bool or fixed-width \
             text (dtype U)",
            header.descr
        ))
    })?;
    let count = header.shape.iter().try_fold(1usize, |count, &d| count.checked_mul(d));
    let wanted = count.and_then(|count| count.checked_mul(size));
    // Before anything is allocated.
    if wanted != Some(data.len()) {
        return Err(bad(&format!(
            "shape {:?} of '{}' does not fit the {} bytes of values; the file is cut off or damaged",
            header.shape,
            header.descr,
            data.len()
        )));
    }
    if kind == ArrayKind::Text {
        let cells = text_cells(data, size, header.descr.starts_with('>'))
            .ok_or_else(|| bad("there is text in it that is not Unicode"))?;
        return match header.shape.len() {
            1 => Array::of_words(path, name, &cells),
            _ => Err(bad("an array of words must have one dimension")),
        };
    }
    let read = header.reader(size);
    let mut values: Vec<f64> = data.chunks_exact(size).map(read).collect();
    if header.fortran && header.shape.len() > 1 {
        values = last_index_fastest(&values, &header.shape);
    }
    Array::new(path, name, kind, &header.shape, values)
}

/// The header's text and what follows it.
fn header(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let rest = bytes.strip_prefix(b"\x93NUMPY")?;
    let (version, rest) = rest.split_first_chunk::<2>()?;
    let (length, rest) = match version[0] {
        1 => rest.split_first_chunk::<2>().map(|(l, rest)| (u16::from_le_bytes(*l) as usize, rest)),
        2 | 3 => {
            rest.split_first_chunk::<4>().map(|(l, rest)| (u32::from_le_bytes(*l) as usize, rest))
        }
        _ => None,
    }?;
    let (text, data) = rest.split_at_checked(length)?;
    Some((std::str::from_utf8(text).ok()?, data))
}

struct Header {
    descr: String,
    fortran: bool,
    shape: Vec<usize>,
}

impl Header {
    fn parse(text: &str) -> Option<Self> {
        let descr = value_of(text, "descr")?.trim_start().strip_prefix('\'')?;
        let fortran = value_of(text, "fortran_order")?.trim_start();
        let shape = value_of(text, "shape")?.trim_start().strip_prefix('(')?;
        let shape = shape.split_once(')')?.0.split(',').map(str::trim);
        Some(Self {
            descr: descr.split_once('\'')?.0.to_owned(),
            fortran: fortran.starts_with("True"),
            shape: shape
                .filter(|size| !size.is_empty())
                .map(|size| size.parse().ok())
                .collect::<Option<_>>()?,
        })
    }

    /// Kind and size of a value.
    fn element(&self) -> Option<(ArrayKind, usize)> {
        let (kind, size) =
            self.descr.trim_start_matches(['<', '>', '|', '=']).split_at_checked(1)?;
        let size: usize = size.parse().ok()?;
        match (kind, size) {
            ("f", 2 | 4 | 8) => Some((ArrayKind::Real, size)),
            // UCS-4 characters; an array of empty words has width 0 and no bytes.
            ("U", 1..) => Some((ArrayKind::Text, size.checked_mul(4)?)),
            ("i" | "u", 1 | 2 | 4 | 8) | ("b", 1) => Some((ArrayKind::Integer, size)),
            _ => None,
        }
    }

    /// Reads one value of the header's type.
    fn reader(&self, size: usize) -> impl Fn(&[u8]) -> f64 + use<> {
        let big = self.descr.starts_with('>');
        let kind = self.descr.trim_start_matches(['<', '>', '|', '=']).as_bytes()[0];
        move |bytes| {
            let mut raw = [0u8; 8];
            raw[..size].copy_from_slice(bytes);
            if big {
                raw[..size].reverse();
            }
            let bits = u64::from_le_bytes(raw);
            match (kind, size) {
                (b'f', 2) => half::f16::from_bits(bits as u16).to_f64(),
                (b'f', 4) => f64::from(f32::from_bits(bits as u32)),
                (b'f', _) => f64::from_bits(bits),
                // Shift the sign to the top and back.
                (b'i', _) => ((bits << (64 - 8 * size)) as i64 >> (64 - 8 * size)) as f64,
                _ => bits as f64,
            }
        }
    }
}

/// Words of UCS-4 characters, padded with zeros to `size` bytes.
fn text_cells(data: &[u8], size: usize, big: bool) -> Option<Vec<String>> {
    let character = |bytes: &[u8]| {
        let raw = bytes.try_into().ok()?;
        char::from_u32(if big { u32::from_be_bytes(raw) } else { u32::from_le_bytes(raw) })
    };
    let word = |cell: &[u8]| {
        let word: String = cell.chunks_exact(4).map(character).collect::<Option<_>>()?;
        Some(word.trim_end_matches('\0').to_owned())
    };
    data.chunks_exact(size).map(word).collect()
}

/// What follows `'key':` in the header's dictionary.
fn value_of<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("'{key}'"))?;
    rest.trim_start().strip_prefix(':')
}

/// From the first index running fastest to the last.
fn last_index_fastest(values: &[f64], shape: &[usize]) -> Vec<f64> {
    let mut ordered = Vec::with_capacity(values.len());
    let mut index = vec![0; shape.len()];
    for _ in 0..values.len() {
        let place = index.iter().zip(shape).rev().fold(0, |place, (i, size)| place * size + i);
        ordered.push(values[place]);
        for (i, size) in index.iter_mut().zip(shape).rev() {
            *i += 1;
            if *i < *size {
                break;
            }
            *i = 0;
        }
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(header: &str, data: &[u8]) -> Vec<u8> {
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.extend(data);
        bytes
    }

    fn read(header: &str, data: &[u8]) -> Result<Array> {
        parse(Path::new("x.npy"), "x".to_owned(), &file(header, data))
    }

    #[test]
    fn orders_types_and_signs_are_right() {
        let f64s: Vec<u8> = [1.0f64, 2.0, 3.0, 4.0].iter().flat_map(|x| x.to_le_bytes()).collect();
        let c = "{'descr': '<f8', 'fortran_order': False, 'shape': (2, 2), }\n";
        assert_eq!(read(c, &f64s).unwrap().values, [1.0, 2.0, 3.0, 4.0]);
        let fortran = c.replace("False", "True");
        assert_eq!(read(&fortran, &f64s).unwrap().values, [1.0, 3.0, 2.0, 4.0]);
        let cube: Vec<u8> = (0..8).collect();
        let fortran = "{'descr': '|u1', 'fortran_order': True, 'shape': (2, 2, 2)}";
        // numpy.arange(8).reshape((2, 2, 2), order="F").reshape(2, 4)
        assert_eq!(read(fortran, &cube).unwrap().values, [0., 4., 2., 6., 1., 5., 3., 7.]);
        let halves: Vec<u8> =
            [0x3c00u16, 0xc100, 0x0001].iter().flat_map(|x| x.to_le_bytes()).collect();
        let array =
            read("{'descr': '<f2', 'fortran_order': False, 'shape': (3,)}", &halves).unwrap();
        assert_eq!(array.values, [1.0, -2.5, 2f64.powi(-24)]);
        let big: Vec<u8> = [-2i16, 300].iter().flat_map(|x| x.to_be_bytes()).collect();
        let array = read("{'descr': '>i2', 'fortran_order': False, 'shape': (2,)}", &big).unwrap();
        assert_eq!((array.values.as_slice(), array.kind), (&[-2.0, 300.0][..], ArrayKind::Integer));
        let array =
            read("{'descr': '|u1', 'fortran_order': False, 'shape': (1,)}", &[255]).unwrap();
        assert_eq!(array.values, [255.0]);
        let text: Vec<u8> = "no\0yesé\0\0".chars().flat_map(|c| (c as u32).to_le_bytes()).collect();
        let words = read("{'descr': '<U3', 'fortran_order': False, 'shape': (3,)}", &text).unwrap();
        assert_eq!(
            (words.kind, words.words),
            (ArrayKind::Text, vec!["no".into(), "yes".into(), "é".into()])
        );
        assert_eq!(words.values, [0.0, 1.0, 2.0]);
        let half = [0x00, 0x3e];
        let array = read("{'descr': '<f2', 'fortran_order': False, 'shape': (1,)}", &half).unwrap();
        assert_eq!(array.values, [1.5]);
    }

    #[test]
    fn damaged_files_are_errors_and_never_panics() {
        let good = file("{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }", &[0; 12]);
        for end in 0..good.len() {
            assert!(parse(Path::new("x.npy"), "x".to_owned(), &good[..end]).is_err(), "{end}");
        }
        for header in [
            "{'descr': '<c16', 'fortran_order': False, 'shape': (1,)}",
            "{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999, 99999999999)}",
            "{'descr': '<f8', 'fortran_order': False, 'shape': (-1,)}",
            "{'descr': '<f8', 'fortran_order': False, 'shape': ()}",
            "{'descr': '', 'fortran_order': False, 'shape': (1,)}",
            "{'descr': '<é8', 'fortran_order': False, 'shape': (1,)}",
            "{}",
        ] {
            assert!(read(header, &[0; 8]).is_err(), "{header}");
        }
    }
}
