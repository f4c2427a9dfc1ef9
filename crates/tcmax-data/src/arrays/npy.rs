//! NumPy's npy format, versions 1 to 3.
//!
//! Magic `\x93NUMPY`, two version bytes, the header's length, the header (a Python dictionary with
//! `descr`, `fortran_order` and `shape`), then the values. Source: the NumPy enhancement proposal 1 and
//! `numpy.lib.format`. The crates for it multiply the sizes in a header unchecked, so that a
//! damaged file can end the process or ask for all memory.

use std::io::Read;
use std::path::Path;

use super::array::{Array, ArrayKind, elements};
use super::values::{Number, Values, ends_early, with_room};
use crate::error::{Error, Result};
use crate::words::WordsBuilder;

/// A header has about a hundred bytes.
const LONGEST_HEADER: usize = 1 << 16;
/// NumPy's own limit.
const MOST_DIMENSIONS: usize = 64;

/// One array from `length` bytes of npy.
pub(super) fn read(path: &Path, name: String, reader: &mut dyn Read, length: u64) -> Result<Array> {
    let bad = |problem: &str| Error::bad_file(path, format!("'{name}': {problem}"));
    let (text, start) =
        header(reader).ok_or_else(|| bad("not an npy file, or it is cut off in the header"))?;
    let header = Header::parse(&text)
        .ok_or_else(|| bad(&format!("the npy header cannot be read: {}", text.trim())))?;
    let element = header.element().ok_or_else(|| {
        bad(&format!(
            "values of type '{}' are not supported; save floats, integers, bool or fixed-width \
             text (dtype U)",
            header.descr
        ))
    })?;
    let count = elements(&header.shape);
    let wanted = count.and_then(|count| count.checked_mul(element.size()));
    let there = length.saturating_sub(start);
    // Checked before anything is allocated.
    let Some(count) = count.filter(|_| wanted.is_some_and(|wanted| wanted as u64 == there)) else {
        return Err(bad(&format!(
            "shape {:?} of '{}' does not fit the {there} bytes of values; the file is cut off or \
             damaged",
            header.shape, header.descr,
        )));
    };
    let big = header.descr.starts_with('>');
    match element {
        Element::Text(size) => {
            let [rows] = header.shape[..] else {
                return Err(bad("an array of words must have one dimension"));
            };
            let words = text_cells(path, &name, reader, rows, size, big)?;
            Array::of_words(path, name, words)
        }
        Element::Number(number) => {
            let mut values = number.read(path, &name, reader, count, big)?;
            if header.fortran && header.shape.len() > 1 {
                values = last_index_fastest(path, &name, &values, &header.shape)?;
            }
            let kind = if number.is_real() { ArrayKind::Real } else { ArrayKind::Integer };
            Array::new(path, name, kind, &header.shape, values)
        }
    }
}

/// The header's text and the number of bytes up to its end.
fn header(reader: &mut dyn Read) -> Option<(String, u64)> {
    let mut start = [0; 8];
    reader.read_exact(&mut start).ok()?;
    let version = start.strip_prefix(b"\x93NUMPY")?[0];
    let (length, before) = match version {
        1 => {
            let mut length = [0; 2];
            reader.read_exact(&mut length).ok()?;
            (usize::from(u16::from_le_bytes(length)), 10)
        }
        2 | 3 => {
            let mut length = [0; 4];
            reader.read_exact(&mut length).ok()?;
            (u32::from_le_bytes(length) as usize, 12)
        }
        _ => return None,
    };
    if length > LONGEST_HEADER {
        return None;
    }
    let mut text = vec![0; length];
    reader.read_exact(&mut text).ok()?;
    Some((String::from_utf8(text).ok()?, before + length as u64))
}

struct Header {
    descr: String,
    fortran: bool,
    shape: Vec<usize>,
}

#[derive(Clone, Copy)]
enum Element {
    Number(Number),
    /// Bytes of a cell of UCS-4 characters.
    Text(usize),
}

impl Element {
    fn size(self) -> usize {
        match self {
            Self::Number(number) => number.size(),
            Self::Text(size) => size,
        }
    }
}

impl Header {
    fn parse(text: &str) -> Option<Self> {
        let descr = value_of(text, "descr")?.trim_start().strip_prefix('\'')?;
        let fortran = value_of(text, "fortran_order")?.trim_start();
        let shape = value_of(text, "shape")?.trim_start().strip_prefix('(')?;
        let shape = shape.split_once(')')?.0.split(',').map(str::trim);
        let shape: Vec<usize> = shape
            .filter(|size| !size.is_empty())
            .map(|size| size.parse().ok())
            .collect::<Option<_>>()?;
        let descr = descr.split_once('\'')?.0.to_owned();
        let fortran = fortran.starts_with("True");
        (shape.len() <= MOST_DIMENSIONS).then_some(Self { descr, fortran, shape })
    }

    fn element(&self) -> Option<Element> {
        let (kind, size) =
            self.descr.trim_start_matches(['<', '>', '|', '=']).split_at_checked(1)?;
        let size: usize = size.parse().ok()?;
        Some(match (kind, size) {
            ("f", 2 | 4 | 8) => Element::Number(Number::Float(size)),
            // UCS-4 characters; an array of empty words has width 0 and no bytes.
            ("U", 1..) => Element::Text(size.checked_mul(4)?),
            ("i", 1 | 2 | 4 | 8) => Element::Number(Number::Signed(size)),
            ("u", 1 | 2 | 4 | 8) => Element::Number(Number::Unsigned(size)),
            ("b", 1) => Element::Number(Number::Bool),
            _ => return None,
        })
    }
}

/// Words of UCS-4 characters, padded with zeros to `size` bytes.
fn text_cells(
    path: &Path,
    name: &str,
    reader: &mut dyn Read,
    rows: usize,
    size: usize,
    big: bool,
) -> Result<WordsBuilder> {
    let character = |bytes: &[u8]| {
        let raw = bytes.try_into().ok()?;
        char::from_u32(if big { u32::from_be_bytes(raw) } else { u32::from_le_bytes(raw) })
    };
    // Many cells at a time, however short they are.
    let mut reader = std::io::BufReader::new(reader);
    let mut words = WordsBuilder::with_capacity(rows);
    let mut cell = with_room(path, name, size)?;
    cell.resize(size, 0u8);
    for row in 0..rows {
        reader.read_exact(&mut cell).map_err(|e| ends_early(path, name, &e))?;
        let word: Option<String> = cell.chunks_exact(4).map(character).collect();
        let word = word.ok_or_else(|| {
            let problem = format!("'{name}', row {row}: there is text in it that is not Unicode");
            Error::bad_file(path, problem)
        })?;
        words.push(word.trim_end_matches('\0'));
    }
    Ok(words)
}

/// What follows `'key':` in the header's dictionary.
fn value_of<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("'{key}'"))?;
    rest.trim_start().strip_prefix(':')
}

/// From Fortran order to C order.
fn last_index_fastest(path: &Path, name: &str, values: &Values, shape: &[usize]) -> Result<Values> {
    Ok(match values {
        Values::F32(values) => Values::F32(reordered(path, name, values, shape)?),
        Values::F64(values) => Values::F64(reordered(path, name, values, shape)?),
    })
}

fn reordered<T: Copy>(path: &Path, name: &str, values: &[T], shape: &[usize]) -> Result<Vec<T>> {
    let mut ordered = with_room(path, name, values.len())?;
    let mut index = vec![0; shape.len()];
    for _ in 0..values.len() {
        let position =
            index.iter().zip(shape).rev().fold(0, |position, (i, size)| position * size + i);
        ordered.push(values[position]);
        for (i, size) in index.iter_mut().zip(shape).rev() {
            *i += 1;
            if *i < *size {
                break;
            }
            *i = 0;
        }
    }
    Ok(ordered)
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

    fn parse(bytes: &[u8]) -> Result<Array> {
        super::read(Path::new("x.npy"), "x".to_owned(), &mut &bytes[..], bytes.len() as u64)
    }

    fn read(header: &str, data: &[u8]) -> Result<Array> {
        parse(&file(header, data))
    }

    fn values(header: &str, data: &[u8]) -> Vec<f64> {
        read(header, data).unwrap().values.iter().collect()
    }

    #[test]
    fn orders_types_and_signs_are_right() {
        let f64s: Vec<u8> = [1.0f64, 2.0, 3.0, 4.0].iter().flat_map(|x| x.to_le_bytes()).collect();
        let c = "{'descr': '<f8', 'fortran_order': False, 'shape': (2, 2), }\n";
        assert_eq!(values(c, &f64s), [1.0, 2.0, 3.0, 4.0]);
        let fortran = c.replace("False", "True");
        assert_eq!(values(&fortran, &f64s), [1.0, 3.0, 2.0, 4.0]);
        let cube: Vec<u8> = (0..8).collect();
        let fortran = "{'descr': '|u1', 'fortran_order': True, 'shape': (2, 2, 2)}";
        // numpy.arange(8).reshape((2, 2, 2), order="F").reshape(2, 4)
        assert_eq!(values(fortran, &cube), [0., 4., 2., 6., 1., 5., 3., 7.]);
        let halves: Vec<u8> =
            [0x3c00u16, 0xc100, 0x0001].iter().flat_map(|x| x.to_le_bytes()).collect();
        let header = "{'descr': '<f2', 'fortran_order': False, 'shape': (3,)}";
        assert_eq!(values(header, &halves), [1.0, -2.5, 2f64.powi(-24)]);
        let big: Vec<u8> = [-2i16, 300].iter().flat_map(|x| x.to_be_bytes()).collect();
        let array = read("{'descr': '>i2', 'fortran_order': False, 'shape': (2,)}", &big).unwrap();
        assert_eq!(
            (array.values, array.kind),
            (Values::F32(vec![-2.0, 300.0]), ArrayKind::Integer)
        );
        let header = "{'descr': '|u1', 'fortran_order': False, 'shape': (1,)}";
        assert_eq!(values(header, &[255]), [255.0]);
        let text: Vec<u8> = "no\0yesé\0\0".chars().flat_map(|c| (c as u32).to_le_bytes()).collect();
        let words = read("{'descr': '<U3', 'fortran_order': False, 'shape': (3,)}", &text).unwrap();
        assert_eq!(
            (words.kind, words.words),
            (ArrayKind::Text, vec!["no".into(), "yes".into(), "é".into()])
        );
        assert_eq!(words.values.iter().collect::<Vec<_>>(), [0.0, 1.0, 2.0]);
        let wide: Vec<u8> = [1i64 << 40, -1].iter().flat_map(|x| x.to_le_bytes()).collect();
        let header = "{'descr': '<i8', 'fortran_order': False, 'shape': (2,)}";
        assert_eq!(values(header, &wide), [2f64.powi(40), -1.0]);
        let header = "{'descr': '|b1', 'fortran_order': False, 'shape': (2,)}";
        assert_eq!(values(header, &[0, 1]), [0.0, 1.0]);
    }

    #[test]
    fn damaged_files_are_errors_and_never_panics() {
        let good = file("{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }", &[0; 12]);
        for end in 0..good.len() {
            assert!(parse(&good[..end]).is_err(), "{end}");
        }
        for header in [
            "{'descr': '<c16', 'fortran_order': False, 'shape': (1,)}",
            "{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999, 99999999999)}",
            // A dimension of 0 hides that the others multiply beyond counting.
            "{'descr': '<f2', 'fortran_order': True, 'shape': (0, 12901968507486339056, 2)}",
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
