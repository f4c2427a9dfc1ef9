//! The published split lists are read as they are, and what they share is reported.
//!
//! They are in the folder `TCMAX_SPLITS`, by default `data/splits` of `shared` beside the project.

use std::io::Write;
use std::path::{Path, PathBuf};

use tcmax_data::Split;
use tcmax_media::prepare::{List, ListFormat, overlaps};

fn folder() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/splits");
    let folder = std::env::var_os("TCMAX_SPLITS").map_or(beside, PathBuf::from);
    if !folder.is_dir() {
        // Past the test harness, which shows nothing of tests that pass.
        let place = folder.display();
        let note = format!("SKIPPED: no published lists in {place}; set TCMAX_SPLITS\n");
        let _ = std::io::stderr().write_all(note.as_bytes());
        return None;
    }
    Some(folder)
}

fn read(folder: &Path, name: &str) -> List {
    List::read(ListFormat::IdLabel(Split::Train), &folder.join(name)).unwrap()
}

#[test]
fn every_list_is_read_whole() {
    let Some(folder) = folder() else { return };
    for (name, entries, classes) in [
        ("AVE-train.csv", 3_339, 28),
        ("AVE-val.csv", 402, 28),
        ("AVE-test.csv", 402, 28),
        ("CREMAD-train.csv", 6_698, 6),
        ("CREMAD-test.csv", 744, 6),
        ("KineticsSound-train.csv", 14_675, 31),
        ("KineticsSound-test.csv", 2_594, 31),
        ("UCF101-train.csv", 9_537, 101),
        ("UCF101-test.csv", 3_783, 101),
        ("VGGSound-test.csv", 15_446, 309),
    ] {
        let list = read(&folder, name);
        let labels: std::collections::BTreeSet<&str> =
            list.entries.iter().map(|entry| entry.label.as_str()).collect();
        assert_eq!((list.entries.len(), labels.len()), (entries, classes), "{name}");
        let clean = |text: &str| !text.contains(['\u{feff}', '\r', '"']);
        assert!(list.entries.iter().all(|entry| clean(&entry.id) && clean(&entry.label)), "{name}");
    }
}

#[test]
fn what_they_share_is_reported() {
    let Some(folder) = folder() else { return };
    let ave = ["train", "val", "test"].map(|split| read(&folder, &format!("AVE-{split}.csv")));
    let notes = overlaps(&ave, str::to_owned).join("\n");
    assert!(notes.contains("AVE-train.csv and AVE-test.csv share 8 ids"), "{notes}");
    let crema = ["train", "test"].map(|split| read(&folder, &format!("CREMAD-{split}.csv")));
    let actor = |id: &str| id.split('_').next().unwrap_or_default().to_owned();
    let notes = overlaps(&crema, actor).join("\n");
    assert!(notes.contains("share 91 groups"), "{notes}");
}
