//! Manifests in CSV, TSV and Parquet say the same, and what is wrong with them is told.

use std::path::Path;
use std::sync::Arc;

use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use tcmax_data::Problems;
use tcmax_data::own::manifest::{ColumnNames, Manifest, MediaKind};
use tcmax_data::own::partition::Part;

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
    let names = ColumnNames { label: Some("mood"), group: None };
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
            .map(|row| (row.id.as_str(), row.label.as_str(), row.part.unwrap(), row.cells.clone()))
            .collect();
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(rows[0], ("a", "joy", Part::Train, vec![some("x.wav"), some("a fine day")]));
        assert_eq!(rows[1], ("b", "fear", Part::Validation, vec![some("y.wav"), None]));
        assert_eq!(rows[2], ("c", "joy", Part::Test, vec![None, some("dull")]));
    }
}

#[test]
fn what_is_wrong_is_told_together() {
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
