//! The lists of the published data sets.

use std::path::{Path, PathBuf};

use tcmax_data::own::line_of;
use tcmax_data::own::partition::Part;
use tcmax_data::split_list::SplitList;
use tcmax_data::{Place, Problems};

use crate::recipe::Lists;
use crate::{Error, Result};

/// One line of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The clip's id.
    pub id: String,
    /// Its class.
    pub label: String,
    /// Its part, where the list says.
    pub part: Option<Part>,
    /// Words that stand in the list itself.
    pub text: Option<String>,
    /// Where it stands, from 1.
    pub line: u64,
}

/// The formats of lists beside `id,label` ([`tcmax_data::split_list`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListFormat {
    /// VGGSound's `video,start,label,part`.
    Combined,
    /// UPMC Food-101's `picture,title,label`, all of one part.
    Titles(Part),
    /// MVSA's `id<TAB>text,image` lines.
    Sentiments,
}

/// Reads the bytes of a list; `path` is what errors call it.
///
/// # Errors
/// Every line that is not one of such a list, or bytes that are not UTF-8.
pub fn parse_list(format: ListFormat, path: &Path, bytes: &[u8]) -> Result<Vec<Listed>> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = std::str::from_utf8(bytes)
        .map_err(|_| Error::media(path, "not UTF-8 text; convert it, as with iconv"))?;
    match format {
        ListFormat::Combined => table(path, text, combined_line),
        ListFormat::Titles(part) => table(path, text, |cells| title_line(cells, part)),
        ListFormat::Sentiments => sentiments(path, text),
    }
}

/// Reads the lists, which are looked for in `folders`; also the lists as they are, for overlaps.
pub(super) fn read_lists(
    lists: &Lists,
    folders: &[PathBuf],
) -> Result<(Vec<SplitList>, Vec<Listed>)> {
    match lists {
        Lists::IdLabel { train, validation, test, combined } => {
            if find(folders, train).is_none()
                && let Some(path) = find(folders, combined)
            {
                return Ok((Vec::new(), read(ListFormat::Combined, &path)?));
            }
            let mut read = vec![SplitList::read(&must(folders, train)?, Part::Train)?];
            if let Some(path) = find(folders, validation) {
                read.push(SplitList::read(&path, Part::Validation)?);
            }
            read.push(SplitList::read(&must(folders, test)?, Part::Test)?);
            let listed = read.iter().flat_map(listed).collect();
            Ok((read, listed))
        }
        Lists::Titles { train, test } => {
            let mut listed = Vec::new();
            for (names, part) in [(train, Part::Train), (test, Part::Test)] {
                let path = must(folders, names)?;
                listed.extend(read(ListFormat::Titles(part), &path)?);
            }
            Ok((Vec::new(), listed))
        }
        Lists::Sentiments { labels } => {
            let path = must(folders, labels)?;
            Ok((Vec::new(), read(ListFormat::Sentiments, &path)?))
        }
    }
}

fn listed(list: &SplitList) -> Vec<Listed> {
    let of = |entry: &tcmax_data::split_list::Entry| Listed {
        id: entry.id.clone(),
        label: entry.label.clone(),
        part: Some(list.part),
        text: None,
        line: entry.line,
    };
    list.entries.iter().map(of).collect()
}

fn find(folders: &[PathBuf], names: &[String]) -> Option<PathBuf> {
    let paths = folders.iter().flat_map(|folder| names.iter().map(|name| folder.join(name)));
    paths.into_iter().find(|path| path.is_file())
}

fn must(folders: &[PathBuf], names: &[String]) -> Result<PathBuf> {
    find(folders, names).ok_or_else(|| {
        let places: Vec<String> = folders.iter().map(|f| f.display().to_string()).collect();
        let problem = format!(
            "none of the lists {} is in {}; say where they are with --lists",
            names.join(", "),
            places.join(", ")
        );
        Error::option("--lists", problem)
    })
}

fn read(format: ListFormat, path: &Path) -> Result<Vec<Listed>> {
    tcmax_data::own::media_file::check(path, "")?;
    let bytes = std::fs::read(path)
        .map_err(|source| tcmax_data::Error::Io { path: path.to_owned(), source })?;
    parse_list(format, path, &bytes)
}

/// Reads a CSV file whose lines `read` understands; a first line that it does not is a header.
fn table(path: &Path, text: &str, read: impl Fn(&[&str]) -> Option<Listed>) -> Result<Vec<Listed>> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes());
    let (mut listed, mut problems) = (Vec::new(), Problems::new());
    for (n, record) in reader.records().enumerate() {
        let line = match &record {
            Ok(record) => line_of(text.as_bytes(), record.as_byte_record()),
            Err(_) => n as u64 + 1,
        };
        let cells = record.as_ref().map(|record| record.iter().collect::<Vec<_>>());
        match cells.map(|cells| read(&cells)) {
            Ok(Some(entry)) => listed.push(Listed { line, ..entry }),
            Ok(None) if n == 0 => {}
            Ok(None) => problems.add(path, Place::Line(line), "", "not a line of this list"),
            Err(error) => problems.add(path, Place::Line(line), "", error.to_string()),
        }
    }
    problems.into_result()?;
    Ok(listed)
}

/// VGGSound's `video,start,label,part`; clips are ten seconds and called `video_start_end`.
fn combined_line(cells: &[&str]) -> Option<Listed> {
    let [video, start, label, part] = cells else { return None };
    let start: u32 = start.parse().ok()?;
    Some(Listed {
        id: format!("{video}_{start}_{}", start.checked_add(10)?),
        label: (*label).to_owned(),
        part: Some(Part::parse(part)?),
        text: None,
        line: 0,
    })
}

/// UPMC Food-101's `picture,title,label`.
fn title_line(cells: &[&str], part: Part) -> Option<Listed> {
    let [picture, title, label] = cells else { return None };
    let (id, ending) = picture.rsplit_once('.')?;
    let is_picture = ["jpg", "jpeg", "png"].contains(&ending.to_lowercase().as_str());
    (is_picture && !label.is_empty()).then(|| Listed {
        id: id.to_owned(),
        label: (*label).to_owned(),
        part: Some(part),
        text: Some((*title).to_owned()),
        line: 0,
    })
}

/// MVSA's labels: `id<TAB>text,image`, or one such pair an annotator. Annotators vote; text and image
/// must not contradict each other: with one of them neutral the other counts, positive beside
/// negative is left out, as are ids without a majority.
fn sentiments(path: &Path, text: &str) -> Result<Vec<Listed>> {
    let (mut listed, mut problems) = (Vec::new(), Problems::new());
    for (n, row) in text.lines().enumerate() {
        let mut cells = row.trim().split('\t');
        let id = cells.next().unwrap_or_default();
        if row.trim().is_empty() || id.eq_ignore_ascii_case("id") {
            continue;
        }
        let pairs: Option<Vec<(&str, &str)>> = cells.map(|cell| cell.split_once(',')).collect();
        let known = |word: &str| ["positive", "neutral", "negative"].contains(&word);
        match pairs {
            Some(pairs) if !pairs.is_empty() && pairs.iter().all(|(a, b)| known(a) && known(b)) => {
                let (texts, images): (Vec<&str>, Vec<&str>) = pairs.into_iter().unzip();
                let (texts, images) = (majority(&texts), majority(&images));
                if let Some(label) = texts.zip(images).and_then(|(text, image)| agree(text, image))
                {
                    listed.push(Listed {
                        id: id.to_owned(),
                        label: label.to_owned(),
                        part: None,
                        text: None,
                        line: n as u64 + 1,
                    });
                }
            }
            _ => {
                let what = "not an id, a tab and text,image sentiments";
                problems.add(path, Place::Line(n as u64 + 1), "", what);
            }
        }
    }
    problems.into_result()?;
    Ok(listed)
}

/// What more than half of the votes say, or all of one vote.
fn majority(votes: &[&str]) -> Option<&'static str> {
    let enough = |word: &&str| 2 * votes.iter().filter(|vote| *vote == word).count() > votes.len();
    ["positive", "neutral", "negative"].into_iter().find(enough)
}

fn agree<'a>(text: &'a str, image: &'a str) -> Option<&'a str> {
    match (text, image) {
        (a, b) if a == b => Some(a),
        ("neutral", other) | (other, "neutral") => Some(other),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentiments_are_voted_on_and_contradictions_left_out() {
        let text = "ID\ttext,image\n1\tpositive,positive\n2\tneutral,negative\n3\tpositive,negative\n\
                    4\tpositive,neutral\tpositive,positive\tnegative,positive\n";
        let listed = sentiments(Path::new("x"), text).unwrap();
        let got: Vec<_> = listed.iter().map(|l| (l.id.as_str(), l.label.as_str())).collect();
        assert_eq!(got, [("1", "positive"), ("2", "negative"), ("4", "positive")]);
        assert!(sentiments(Path::new("x"), "1\tgood,bad\n").is_err());
    }

    #[test]
    fn a_bad_line_is_named_by_its_number() {
        let text = b"\xef\xbb\xbfvideo,start,label,split\r\n\r\na,1,x,train\r\nb,?,x,train\r\n";
        let error = parse_list(ListFormat::Combined, Path::new("v.csv"), text).unwrap_err();
        assert!(error.to_string().contains("line 4"), "{error}");
        assert!(parse_list(ListFormat::Sentiments, Path::new("m.txt"), b"\xff").is_err());
    }

    #[test]
    fn lines_of_vggsound_and_food_are_read() {
        let entry = combined_line(&["---g-f_I2yQ", "1", "people marching", "test"]).unwrap();
        assert_eq!((entry.id.as_str(), entry.part), ("---g-f_I2yQ_1_11", Some(Part::Test)));
        assert_eq!(combined_line(&["id", "start", "label", "split"]), None);
        let entry = title_line(&["apple_pie_0.jpg", "a pie", "apple_pie"], Part::Train).unwrap();
        assert_eq!((entry.id.as_str(), entry.text.as_deref()), ("apple_pie_0", Some("a pie")));
        assert_eq!(title_line(&["picture", "title", "label"], Part::Train), None);
    }
}
