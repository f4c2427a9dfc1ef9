//! The formats in which data sets publish their lists of clips.

use std::path::Path;

use tcmax_data::csv_records::{Records, TableKind};
use tcmax_data::{Position, Problems, Split};

use crate::error::Result;

/// One line of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The clip's id.
    pub id: String,
    /// Its class.
    pub label: String,
    /// Its split, where the list says.
    pub split: Option<Split>,
    /// Words in the list itself.
    pub text: Option<String>,
    /// Its line, from 1.
    pub line: u64,
}

/// The format of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListFormat {
    /// `id,label`, all of one split.
    IdLabel(Split),
    /// VGGSound's `video,start,label,split`.
    Combined,
    /// UPMC Food-101's `picture,title,label`, all of one split.
    Titles(Split),
    /// MVSA's `id<TAB>text,image` lines.
    Sentiments,
}

/// What a line is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Line {
    Clip {
        id: String,
        label: String,
        split: Option<Split>,
        text: Option<String>,
    },
    /// A clip that the data set does not use.
    LeftOut,
    Wrong(&'static str),
}

/// Reads the bytes of a list, with or without a header; `path` is what errors call it. Order is kept: the
/// paper's recipes take the last fifth of a train list for validation.
///
/// # Errors
/// Every line that is not one of such a list.
pub fn parse_list(format: ListFormat, path: &Path, bytes: &[u8]) -> Result<Vec<Listed>> {
    let delimiter = if format == ListFormat::Sentiments { b'\t' } else { b',' };
    let (mut listed, mut problems, mut first) = (Vec::new(), Problems::new(), true);
    Records::new(bytes, delimiter).each_text(path, &mut problems, |record, cells, problems| {
        if std::mem::take(&mut first) && record.is_header(TableKind::List) == Some(true) {
            return;
        }
        let wrong = match format.line(cells) {
            Line::Clip { id, label, .. } if id.is_empty() || label.is_empty() => {
                "an id or a label is empty"
            }
            Line::Clip { id, label, split, text } => {
                listed.push(Listed { id, label, split, text, line: record.line });
                return;
            }
            Line::LeftOut => return,
            Line::Wrong(what) => what,
        };
        problems.add(path, Position::Line(record.line), "", wrong);
    });
    problems.into_result()?;
    Ok(listed)
}

impl ListFormat {
    fn line(self, cells: &[&str]) -> Line {
        match self {
            Self::IdLabel(split) => id_label(cells, split),
            Self::Combined => combined(cells)
                .unwrap_or(Line::Wrong("not a line of video, start, label and split")),
            Self::Titles(split) => titles(cells, split)
                .unwrap_or(Line::Wrong("not a line of a picture, its title and a label")),
            Self::Sentiments => sentiments(cells),
        }
    }
}

fn id_label(cells: &[&str], split: Split) -> Line {
    match cells {
        [id, label] => Line::Clip {
            id: (*id).to_owned(),
            label: (*label).to_owned(),
            split: Some(split),
            text: None,
        },
        _ => Line::Wrong("not a line of an id and a label"),
    }
}

/// Clips are ten seconds and called `video_start_end`.
fn combined(cells: &[&str]) -> Option<Line> {
    let [video, start, label, split] = cells else { return None };
    let start: u32 = start.parse().ok()?;
    Some(Line::Clip {
        id: format!("{video}_{start}_{}", start.checked_add(10)?),
        label: (*label).to_owned(),
        split: Some(Split::parse(split)?),
        text: None,
    })
}

fn titles(cells: &[&str], split: Split) -> Option<Line> {
    let [picture, title, label] = cells else { return None };
    let (id, ending) = picture.rsplit_once('.')?;
    let is_picture = ["jpg", "jpeg", "png"].contains(&ending.to_lowercase().as_str());
    is_picture.then(|| Line::Clip {
        id: id.to_owned(),
        label: (*label).to_owned(),
        split: Some(split),
        text: Some((*title).to_owned()),
    })
}

/// An id and the `text,image` sentiments of one annotator or several. Annotators vote; text and image
/// must not contradict each other: with one of them neutral the other counts, positive beside
/// negative is left out, as are ids without a majority.
fn sentiments(cells: &[&str]) -> Line {
    let end = cells.iter().rposition(|cell| !cell.is_empty()).map_or(0, |last| last + 1);
    let known = |word: &str| ["positive", "neutral", "negative"].contains(&word);
    let pair = |cell: &&'_ str| {
        let pair = cell.split_once(',')?;
        (known(pair.0) && known(pair.1)).then(|| (pair.0.to_owned(), pair.1.to_owned()))
    };
    let Some((id, votes)) = cells[..end].split_first().filter(|(_, votes)| !votes.is_empty())
    else {
        return Line::Wrong("not an id, a tab and text,image sentiments");
    };
    let Some(votes) = votes.iter().map(pair).collect::<Option<Vec<_>>>() else {
        return Line::Wrong("not an id, a tab and text,image sentiments");
    };
    let (texts, images): (Vec<String>, Vec<String>) = votes.into_iter().unzip();
    match majority(&texts).zip(majority(&images)).and_then(|(text, image)| agree(text, image)) {
        Some(label) => {
            Line::Clip { id: (*id).to_owned(), label: label.to_owned(), split: None, text: None }
        }
        None => Line::LeftOut,
    }
}

/// What more than half of the votes say, or all of one vote.
fn majority(votes: &[String]) -> Option<&'static str> {
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

    fn ids_and_labels(format: ListFormat, bytes: &[u8]) -> Result<Vec<(String, String)>> {
        let listed = parse_list(format, Path::new("x.csv"), bytes)?;
        Ok(listed.into_iter().map(|listed| (listed.id, listed.label)).collect())
    }

    #[test]
    fn marks_headers_and_line_ends_do_not_matter() {
        let wanted = vec![("a_1".to_owned(), "x, y".to_owned()), ("-b".to_owned(), "z".to_owned())];
        for text in [
            "a_1,\"x, y\"\n-b,z\n",
            "\u{feff}a_1,\"x, y\"\r\n-b,z",
            "\u{feff}youtube_id,label\r\na_1,\"x, y\"\r\n-b,z\r\n",
            "idx,label\na_1,\"x, y\"\n\n-b,z\n",
        ] {
            let format = ListFormat::IdLabel(Split::Train);
            assert_eq!(ids_and_labels(format, text.as_bytes()).unwrap(), wanted, "{text:?}");
        }
    }

    #[test]
    fn bad_lines_are_named() {
        let message = |format, text: &[u8]| ids_and_labels(format, text).unwrap_err().to_string();
        let message_of = message(ListFormat::IdLabel(Split::Test), b"a,x\nb\nc,\xff\n,y\nd,e,f\n");
        assert!(message_of.starts_with("4 problems"), "{message_of}");
        assert!((2..=5).all(|line| message_of.contains(&format!("line {line}:"))), "{message_of}");
        let text = b"\xef\xbb\xbfvideo,start,label,split\r\n\r\na,1,x,train\r\nb,?,x,train\r\n";
        let message_of = message(ListFormat::Combined, text);
        assert!(message_of.contains("line 4"), "{message_of}");
        assert!(ids_and_labels(ListFormat::Sentiments, b"\xff").is_err());
    }

    #[test]
    fn sentiments_are_voted_on_and_contradictions_left_out() {
        let text =
            b"ID\ttext,image\n1\tpositive,positive\n2\tneutral,negative\n3\tpositive,negative\n\
                     4\tpositive,neutral\tpositive,positive\tnegative,positive\t\n";
        let got = ids_and_labels(ListFormat::Sentiments, text).unwrap();
        let got: Vec<_> = got.iter().map(|(id, label)| (id.as_str(), label.as_str())).collect();
        assert_eq!(got, [("1", "positive"), ("2", "negative"), ("4", "positive")]);
        assert!(ids_and_labels(ListFormat::Sentiments, b"1\tgood,bad\n").is_err());
        assert!(ids_and_labels(ListFormat::Sentiments, b"1\n").is_err());
    }

    #[test]
    fn lines_of_vggsound_and_food_are_read() {
        let Some(Line::Clip { id, split, .. }) =
            combined(&["---g-f_I2yQ", "1", "people marching", "test"])
        else {
            panic!("no clip");
        };
        assert_eq!((id.as_str(), split), ("---g-f_I2yQ_1_11", Some(Split::Test)));
        assert_eq!(combined(&["id", "start", "label", "split"]), None);
        let Some(Line::Clip { id, text, .. }) =
            titles(&["apple_pie_0.jpg", "a pie", "apple_pie"], Split::Train)
        else {
            panic!("no clip");
        };
        assert_eq!((id.as_str(), text.as_deref()), ("apple_pie_0", Some("a pie")));
        assert_eq!(titles(&["picture", "title", "label"], Split::Train), None);
    }
}
