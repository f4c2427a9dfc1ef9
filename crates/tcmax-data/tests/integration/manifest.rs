//! Manifests in CSV, TSV and Parquet say the same, and what is wrong with them is told.

use std::path::Path;
use std::sync::Arc;

use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use tcmax_data::manifest::{Manifest, MediaKind};
use tcmax_data::{ColumnNames, Problems, Split};

const ROWS: [[&str; 5]; 3] = [
    ["a", "x.wav", "a fine day", "joy", "train"],
    ["b", "y.wav", "", "fear", "val"],
    ["c", "", "dull", "joy", "test"],
];
const COLUMNS: [&str; 5] = ["id", "voice", "words", "mood", "split"];

fn write_parquet(path: &Path) {
    let fields: String =
        COLUMNS.iter().map(|name| format!("optional binary {name} (UTF8); ")).collect();
    let schema = Arc::new(parse_message_type(&format!("message m {{ {fields} }}")).unwrap());
    let how = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let file = std::fs::File::create(path).unwrap();
    let mut writer = SerializedFileWriter::new(file, schema, Arc::new(how)).unwrap();
    let mut group = writer.next_row_group().unwrap();
    for c in 0..COLUMNS.len() {
        let cells = ROWS.map(|row| row[c]);
        let there: Vec<i16> = cells.iter().map(|cell| i16::from(!cell.is_empty())).collect();
        let values: Vec<ByteArray> = cells
            .iter()
            .filter(|cell| !cell.is_empty())
            .map(|cell| ByteArray::from(*cell))
            .collect();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<ByteArrayType>().write_batch(&values, Some(&there), None).unwrap();
        column.close().unwrap();
    }
    group.close().unwrap();
    writer.close().unwrap();
}

fn read(path: &Path) -> (Manifest, Problems) {
    let mut problems = Problems::new();
    let names = ColumnNames { label: Some("mood"), ..ColumnNames::default() };
    let manifest = Manifest::read(path, None, names, &mut problems).unwrap();
    (manifest, problems)
}

#[test]
fn all_formats_say_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for file in ["x.wav", "y.wav"] {
        std::fs::write(folder.join(file), "not checked here").unwrap();
    }
    let text = |between: &str| {
        let lines = std::iter::once(&COLUMNS).chain(&ROWS).map(|row| row.join(between) + "\r\n");
        lines.collect::<String>()
    };
    std::fs::write(folder.join("m.csv"), format!("\u{feff}{}", text(","))).unwrap();
    std::fs::write(folder.join("m.tsv"), text("\t")).unwrap();
    write_parquet(&folder.join("m.parquet"));
    for name in ["m.csv", "m.tsv", "m.parquet"] {
        let (manifest, problems) = read(&folder.join(name));
        assert!(problems.is_empty(), "{name}: {problems}");
        let kinds: Vec<_> = manifest.columns.iter().map(|c| (c.name.as_str(), c.kind)).collect();
        assert_eq!(kinds, [("voice", MediaKind::Audio), ("words", MediaKind::Text)], "{name}");
        let rows: Vec<_> = manifest
            .rows
            .iter()
            .map(|row| (row.id.as_str(), row.label.as_str(), row.split.unwrap(), row.cells.clone()))
            .collect();
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(rows[0], ("a", "joy", Split::Train, vec![some("x.wav"), some("a fine day")]));
        assert_eq!(rows[1], ("b", "fear", Split::Validation, vec![some("y.wav"), None]));
        assert_eq!(rows[2], ("c", "joy", Split::Test, vec![None, some("dull")]));
    }
}

#[test]
fn what_is_wrong_is_reported_together() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.csv");
    let text = "id,voice,picture,mood,split\r\n\
                a,x.wav,a.png,joy,train\r\n\
                a,../x.wav,b.mp4,,later\r\n\
                c,,,joy,test\r\n";
    std::fs::write(&path, text).unwrap();
    let (_, problems) = read(&path);
    let told = problems.into_result().unwrap_err().to_string();
    for part in [
        "line 2, 'voice': 'x.wav'",
        "line 2, 'picture': 'a.png'",
        "line 3, 'id': 'a' is there already (line 2)",
        "line 3, 'voice': '../x.wav': the path leads out",
        "line 3, 'picture': 'b.mp4' is Video, but the column began as Image",
        "line 3, 'mood': the label is empty",
        "line 3, 'split': 'later' is not train, val or test",
        "line 4: every modality is missing",
    ] {
        assert!(told.contains(part), "'{part}' is not in: {told}");
    }
    std::fs::write(folder.path().join("m.parquet"), "PAR1 not really").unwrap();
    let mut problems = Problems::new();
    let cut = folder.path().join("m.parquet");
    assert!(Manifest::read(&cut, None, ColumnNames::default(), &mut problems).is_err());
}

fn parse(text: &str, names: ColumnNames<'_>) -> (Manifest, Problems) {
    let mut problems = Problems::new();
    let manifest = Manifest::parse(Path::new("m.csv"), text.as_bytes(), names, &mut problems);
    (manifest, problems)
}

fn told(text: &str, names: ColumnNames<'_>) -> String {
    parse(text, names).1.into_result().unwrap_err().to_string()
}

#[test]
fn a_split_that_some_rows_lack_is_refused() {
    let plain = ColumnNames::default();
    let text = "words,label,split\na b,x,train\nc d,y,\ne f,x,test\n";
    let problem = told(text, plain);
    assert!(problem.contains("m.csv, line 3, 'split': the split is empty"), "{problem}");
    let (manifest, problems) = parse("words,label,split\na b,x,\nc d,y,\n", plain);
    assert!(problems.is_empty() && manifest.rows.iter().all(|row| row.split.is_none()));
    let problem = told("words,label,split\na b,x,0\nc d,y,1\n", plain);
    assert!(problem.contains("'split': the numbers 0, 1 alone are ambiguous"), "{problem}");
    let (manifest, _) = parse("words;label;split\na b;x;0\nc d;y;1\ne f;x;2\n", plain);
    let splits: Vec<Split> = manifest.rows.iter().map(|row| row.split.unwrap()).collect();
    assert_eq!(splits, [Split::Train, Split::Validation, Split::Test]);
}

#[test]
fn mistyped_names_are_refused_with_the_nearest() {
    let text = "words,mood,speaker\na b,x,s\nc d,y,t\n";
    let names = |label, group| ColumnNames {
        label: Some(label),
        group: Some(group),
        ..ColumnNames::default()
    };
    let problem = told(text, names("mood", "speeker"));
    assert!(problem.contains("'speeker': the option `group` names it"), "{problem}");
    assert!(problem.contains("did you mean 'speaker'?"), "{problem}");
    let problem = told(text, names("mod", "speaker"));
    assert!(
        problem.contains("'mod': the option `label` names it") && problem.contains("'mood'"),
        "{problem}"
    );
    let (manifest, problems) = parse(text, names("mood", "speaker"));
    assert!(problems.is_empty() && manifest.has_groups);
    assert_eq!(manifest.columns.len(), 1);
    let problem = told("words,label,class\na b,x,x\n", ColumnNames::default());
    assert!(problem.contains("'class': looks like labels too"), "{problem}");
    let text = "words,label,video_of,speaker\na b,x,u,s\n";
    let (manifest, _) =
        parse(text, ColumnNames { group: Some("video_of"), ..ColumnNames::default() });
    assert_eq!(manifest.columns.len(), 1);
    assert_eq!(manifest.notes, ["column 'speaker' looks like groups and is left out"]);
    let problem = told("words,label,group\na b,x,\nc d,y,g\n", ColumnNames::default());
    assert!(problem.contains("line 2, 'group': the group is empty"), "{problem}");
}

#[test]
fn media_in_columns_called_clip_or_name_are_modalities() {
    let plain = ColumnNames::default();
    let (manifest, problems) = parse("clip,label\na.mp4,x\nb.mp4,y\n", plain);
    assert!(problems.is_empty());
    assert_eq!(
        (manifest.columns[0].name.as_str(), manifest.columns[0].kind),
        ("clip", MediaKind::Video)
    );
    assert_eq!(manifest.rows[1].id, "000001");
    let (manifest, _) = parse("name,label\nred shoes,x\na green hat,y\n", plain);
    assert_eq!(manifest.columns[0].kind, MediaKind::Text);
    let problem = told("name,words,label\na1,b c,x\na2,d e,y\n", plain);
    assert!(problem.contains("'name': does it name the examples, or is it text"), "{problem}");
    let (manifest, _) = parse("name,id,label\na1 b,7,x\na2 b,8,y\n", plain);
    assert_eq!((manifest.rows[0].id.as_str(), manifest.columns.len()), ("7", 1));
}

#[test]
fn lists_and_structures_in_parquet_are_refused_by_name() {
    let message = "message m { required binary label (UTF8); optional group tags (LIST) { repeated \
                   group list { optional binary element (UTF8); } } optional group pair { required \
                   int32 a; } repeated int32 many; }";
    let schema = Arc::new(parse_message_type(message).unwrap());
    let how = Arc::new(WriterProperties::builder().build());
    let mut bytes = Vec::new();
    SerializedFileWriter::new(&mut bytes, schema, how).unwrap().close().unwrap();
    let mut problems = Problems::new();
    let path = Path::new("m.parquet");
    let _ = Manifest::parse_parquet(path, bytes, ColumnNames::default(), &mut problems);
    let problem = problems.into_result().unwrap_err().to_string();
    for name in ["tags", "pair", "many"] {
        assert!(
            problem.contains(&format!("'{name}': the column holds lists or structures")),
            "{problem}"
        );
    }
}
