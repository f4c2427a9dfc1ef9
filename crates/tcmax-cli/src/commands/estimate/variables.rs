//! From the arrays of files to the variables named on the command line.

use std::ops::Deref;
use std::path::PathBuf;

use tcmax_data::arrays::{Array, ArrayKind, is_missing};
use tcmax_estimators::{Sample, Variable};
use tcmax_train::Error;

use super::flags::Missing;
use super::missing::fill;

/// Whole numbers count as classes up to this many distinct ones, if each has ten rows on average.
const MOST_CLASSES: usize = 64;

/// What the command line says of variables.
pub(super) struct Variables<'a> {
    pub(super) wanted: Option<&'a [String]>,
    pub(super) classes: &'a [String],
    pub(super) numbers: &'a [String],
    /// Variables that are known; they come last.
    pub(super) given: &'a [String],
    pub(super) missing: Missing,
}

/// An array and the file it is from.
pub(super) struct FileArray {
    pub(super) path: PathBuf,
    pub(super) array: Array,
}

impl Deref for FileArray {
    type Target = Array;

    fn deref(&self) -> &Array {
        &self.array
    }
}

/// A variable by name, or why it cannot be one.
pub(super) struct Member {
    pub(super) name: String,
    pub(super) known: anyhow::Result<Known>,
}

/// A variable, and which of its rows have a value.
pub(super) struct Known {
    pub(super) variable: Variable,
    /// None where all have.
    pub(super) present: Option<Vec<bool>>,
}

/// Columns of one array.
#[derive(Clone)]
struct Columns<'a> {
    array: &'a FileArray,
    columns: std::ops::Range<usize>,
}

impl Variables<'_> {
    /// The variables asked for, in order.
    pub(super) fn members(&self, arrays: &[FileArray]) -> anyhow::Result<Vec<Member>> {
        let find = |name: &String| Ok((name.clone(), find(arrays, name)?));
        let mut named = match self.wanted {
            Some(names) => names.iter().map(find).collect::<anyhow::Result<Vec<_>>>()?,
            None => all(arrays),
        };
        if !self.given.is_empty() {
            named.retain(|(name, _)| !self.given.contains(name));
            named.extend(self.given.iter().map(find).collect::<anyhow::Result<Vec<_>>>()?);
        }
        for name in self.classes.iter().chain(self.numbers) {
            if !named.iter().any(|(own, _)| own == name) {
                let problem = format!("'{name}' is none of the variables");
                return Err(Error::setting("--classes, --numbers", problem).into());
            }
        }
        let member = |(name, parts): (String, Vec<Columns<'_>>)| {
            let known = match parts.as_slice() {
                [only] => self.variable(name.clone(), only),
                parts => self.group(parts),
            };
            // A group has a name made of those of its members.
            let name = known.as_ref().map_or(name, |known| known.variable.name().to_owned());
            Member { name, known }
        };
        Ok(named.into_iter().map(member).collect())
    }

    /// Several arrays' columns side by side.
    fn group(&self, parts: &[Columns<'_>]) -> anyhow::Result<Known> {
        let of_part = |part: &Columns<'_>| self.variable(part.array.name.clone(), part);
        let members = parts.iter().map(of_part).collect::<anyhow::Result<Vec<_>>>()?;
        let all: Vec<usize> = (0..members.len()).collect();
        let (members, present): (Vec<Variable>, Vec<_>) =
            members.into_iter().map(|known| (known.variable, known.present)).unzip();
        let group = Sample::new(members).and_then(|sample| sample.group(&all));
        let variable = group.map_err(Error::from)?;
        // An example is there if every part has it.
        let both = |a: Vec<bool>, b: Vec<bool>| a.iter().zip(&b).map(|(a, b)| *a && *b).collect();
        Ok(Known { variable, present: present.into_iter().flatten().reduce(both) })
    }

    fn variable(&self, name: String, part: &Columns<'_>) -> anyhow::Result<Known> {
        let mut values = part.values();
        let mut present = None;
        if self.missing == Missing::Pairwise {
            part.forget_missing_words(&mut values);
            if values.iter().any(|value| value.is_nan()) {
                present = fill(&mut values, part.columns.len());
                if present.is_none() {
                    let problem = format!("'{name}': no row has a value");
                    return Err(Error::bad_file(&part.array.path, problem).into());
                }
            }
        }
        let width = part.columns.len();
        let says = |list: &[String]| list.contains(&name);
        if let Some(doubt) = part.array.doubt.as_ref().filter(|_| !says(self.classes)) {
            let problem = format!(
                "{doubt}: correct or empty the cell, or read '{name}' as classes with --classes {name}"
            );
            return Err(Error::Data(tcmax_data::Error::Array { name, problem }).into());
        }
        let are_classes = match part.array.kind {
            _ if says(self.classes) => true,
            _ if says(self.numbers) => false,
            ArrayKind::Text => true,
            ArrayKind::Integer => width == 1 && few_distinct(&values),
            // Whole numbers with gaps are read as if they had a fraction.
            ArrayKind::Real => {
                let whole = || values.iter().all(|value| value.fract() == 0.0);
                present.is_some() && width == 1 && whole() && few_distinct(&values)
            }
        };
        if are_classes && width > 1 {
            let problem = format!("'{name}' has {width} columns; classes are one column");
            return Err(Error::setting("--classes", problem).into());
        }
        if let Some(at) = values.iter().position(|value| !value.is_finite()) {
            let problem = format!(
                "variable '{name}', row {} (from 0), column {}: the value is {}; fix or remove the row{}",
                at / width,
                part.columns.start + at % width,
                if values[at].is_nan() {
                    "NaN, or missing".to_owned()
                } else {
                    values[at].to_string()
                },
                match values[at].is_nan() {
                    true => ", or leave out rows that lack a value with --missing pairwise",
                    false => "",
                },
            );
            return Err(Error::bad_file(&part.array.path, problem).into());
        }
        let words = part.array.words.len();
        if part.array.kind == ArrayKind::Text && !says(self.classes) && 2 * words > values.len() {
            let problem = format!(
                "'{name}' has {words} different words in {} rows, which is too many for classes; leave \
                 it out, or insist on it with --classes {name}",
                values.len()
            );
            return Err(Error::setting("--variables", problem).into());
        }
        let variable = if are_classes {
            Variable::categorical(name, &values)
        } else {
            Variable::continuous(name, values, width)
        };
        Ok(Known { variable: variable.map_err(Error::from)?, present })
    }
}

impl Columns<'_> {
    /// Sets the words that stand for a missing value to NaN.
    fn forget_missing_words(&self, values: &mut [f64]) {
        let missing: Vec<f64> = (0u32..)
            .zip(&self.array.words)
            .filter(|(_, word)| is_missing(word))
            .map(|(index, _)| f64::from(index))
            .collect();
        if !missing.is_empty() {
            let gone = values.iter_mut().filter(|value| missing.contains(value));
            gone.for_each(|value| *value = f64::NAN);
        }
    }

    fn values(&self) -> Vec<f64> {
        let (values, width) = (&self.array.values, self.array.width);
        let row = |row: usize| self.columns.clone().map(move |c| values.get(row * width + c));
        (0..self.array.rows()).flat_map(row).collect()
    }
}

fn few_distinct(values: &[f64]) -> bool {
    let mut distinct = values.to_vec();
    distinct.sort_by(f64::total_cmp);
    distinct.dedup();
    distinct.len() <= MOST_CLASSES && 10 * distinct.len() <= values.len()
}

/// All columns of an array.
fn whole(array: &FileArray) -> Columns<'_> {
    Columns { array, columns: 0..array.width }
}

/// Every array, or every column of the only one.
fn all(arrays: &[FileArray]) -> Vec<(String, Vec<Columns<'_>>)> {
    if let [array] = arrays {
        let column = |i: usize| (i.to_string(), vec![Columns { array, columns: i..i + 1 }]);
        return (0..array.width).map(column).collect();
    }
    arrays.iter().map(|array| (array.name.clone(), vec![whole(array)])).collect()
}

/// The columns a name on the command line means, `A+B` being both.
fn find<'a>(arrays: &'a [FileArray], name: &str) -> anyhow::Result<Vec<Columns<'a>>> {
    let terms = name.split('+').map(|term| find_term(arrays, term.trim()));
    Ok(terms.collect::<anyhow::Result<Vec<_>>>()?.concat())
}

fn find_term<'a>(arrays: &'a [FileArray], term: &str) -> anyhow::Result<Vec<Columns<'a>>> {
    if let Some(array) = arrays.iter().find(|array| array.name == term) {
        return Ok(vec![whole(array)]);
    }
    if let Some((name, range)) = term.strip_suffix(']').and_then(|term| term.split_once('['))
        && let Some(array) = arrays.iter().find(|array| array.name == name)
        && let Some(range) = parse_range(range)
    {
        return Ok(vec![Columns { array, columns: inside(range, array.width, term)? }]);
    }
    if let Some(range) = parse_range(term) {
        if let [array] = arrays {
            return Ok(vec![Columns { array, columns: inside(range, array.width, term)? }]);
        }
        if arrays.iter().all(|array| array.width == 1) {
            return Ok(arrays[inside(range, arrays.len(), term)?].iter().map(whole).collect());
        }
    }
    let mut numbered: Vec<(usize, &FileArray)> = arrays
        .iter()
        .filter_map(|array| {
            let rest = array.name.strip_prefix(term)?.trim_start_matches(['_', '.', '-', ' ']);
            Some((rest.parse().ok()?, array))
        })
        .collect();
    if numbered.is_empty() {
        let names: Vec<&str> = arrays.iter().map(|array| array.name.as_str()).take(30).collect();
        let problem = format!("there is no variable '{term}'; the file has: {}", names.join(", "));
        return Err(Error::setting("--variables", problem).into());
    }
    numbered.sort_by_key(|(number, _)| *number);
    Ok(numbered.into_iter().map(|(_, array)| whole(array)).collect())
}

/// `2` or `0:3`.
fn parse_range(text: &str) -> Option<std::ops::Range<usize>> {
    match text.split_once(':') {
        Some((first, end)) => Some(first.parse().ok()?..end.parse().ok()?),
        None => text.parse().ok().map(|only: usize| only..only.saturating_add(1)),
    }
}

fn inside(
    range: std::ops::Range<usize>,
    width: usize,
    term: &str,
) -> anyhow::Result<std::ops::Range<usize>> {
    if range.start < range.end && range.end <= width {
        return Ok(range);
    }
    let problem =
        format!("'{term}': there are {width} columns, numbered from 0; the end is exclusive");
    Err(Error::setting("--variables", problem).into())
}
