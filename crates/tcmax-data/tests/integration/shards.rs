//! Prepared clips are read as they were written, cropped and flipped by the seed.

use std::path::Path;

use tcmax_data::shards::{
    Augment, Clip, ClipRow, ClipTensor, Description, MANIFEST_FILE, PREPARED_FILE, Prepared,
    ShardEntry, SplitCount, Storage, StoredModality, shard_name, verify, write_rows, write_shard,
};
use tcmax_data::{
    Dataset, Loader, LoaderOptions, ModalityKind, Problems, Split, UserData, UserDataConfig,
    sha256_of, sha256_of_file,
};
use tcmax_ops::Seed;

/// Four clips: numbers, 12 x 16 pixels of two frames, and two fields of flow; clip 2 has no pixels.
fn write(folder: &Path) {
    let clip = |n: u8| {
        let mut tensors = vec![
            ("numbers".to_owned(), ClipTensor::Values(vec![2, 3], vec![f32::from(n) + 0.5; 6])),
            ("flow".to_owned(), ClipTensor::Pixels([2, 8, 8, 2], flow(n))),
        ];
        if n != 2 {
            tensors.push(("frames".to_owned(), ClipTensor::Pixels([2, 12, 16, 3], frames(n))));
        }
        Clip { id: format!("clip {n}"), tensors }
    };
    let row = |n: u8| ClipRow {
        id: format!("clip {n}"),
        split: Some([Split::Train, Split::Test][usize::from(n / 2)]),
        label: ["b", "a"][usize::from(n % 2)].to_owned(),
        group: "g".to_owned(),
        shard: usize::from(n / 2),
        source: format!("{n}.mp4"),
        sha256: String::new(),
    };
    let storage = [
        ("numbers", Storage::Values { kind: ModalityKind::Features, shape: vec![2, 3] }),
        (
            "frames",
            Storage::Pixels {
                frames: 2,
                channels: 3,
                side: 6,
                mean: vec![0.5; 3],
                deviation: vec![0.25; 3],
                augment: Augment::Clip,
            },
        ),
        ("flow", Storage::Flow { fields: 2, side: 8, bound: 20.0 }),
    ];
    let modalities =
        storage.map(|(name, storage)| StoredModality { name: name.to_owned(), storage });
    let mut description = Description::new("test", "by hand", modalities.to_vec());
    for shard in 0..2u8 {
        let path = folder.join(shard_name(usize::from(shard)));
        write_shard(&path, vec![clip(2 * shard), clip(2 * shard + 1)], "note").unwrap();
        description.shards.push(ShardEntry {
            file: shard_name(usize::from(shard)),
            bytes: std::fs::metadata(&path).unwrap().len(),
            sha256: sha256_of_file(&path).unwrap(),
        });
    }
    let manifest = write_rows(&[0, 1, 2, 3].map(row));
    description.manifest_sha256 = sha256_of(&manifest);
    std::fs::write(folder.join(MANIFEST_FILE), manifest).unwrap();
    let text = serde_json::to_string(&description).unwrap();
    std::fs::write(folder.join(PREPARED_FILE), text).unwrap();
}

/// The left half dark, the right half bright, the second frame inverted.
fn frames(n: u8) -> Vec<u8> {
    let pixel = |t: usize, x: usize| if (x < 8) == (t == 0) { n } else { 200 + n };
    (0..2).flat_map(|t| (0..12 * 16).flat_map(move |p| vec![pixel(t, p % 16); 3])).collect()
}

/// Everything moves to the right by 10 of 20 pixels, and not up or down.
fn flow(_: u8) -> Vec<u8> {
    [192, 128].repeat(2 * 8 * 8)
}

fn read(data: &Prepared, index: usize, modality: usize, seed: u64) -> Vec<f32> {
    let mut out = vec![7.0; data.modalities()[modality].len()];
    data.read(index, modality, Seed::new(seed), &mut out).unwrap();
    out
}

#[test]
fn clips_come_back_as_they_were_written() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path());
    let data = Prepared::open(folder.path()).unwrap();
    assert_eq!((data.len(), data.classes()), (4, &["a".to_owned(), "b".to_owned()][..]));
    assert_eq!(data.labels(), [1, 0, 1, 0]);
    let shapes: Vec<_> = data.modalities().iter().map(|m| m.shape.clone()).collect();
    assert_eq!(shapes, [vec![2, 3], vec![3, 2, 6, 6], vec![4, 8, 8]]);
    assert_eq!(read(&data, 3, 0, 0), [3.5; 6]);
    assert!(data.present(1, 1) && !data.present(2, 1));
    assert_eq!(read(&data, 2, 1, 0), [0.0; 3 * 2 * 36]);
    // [channel, frame, y, x]: dark 1 / 255, bright 201 / 255, normalised.
    let frames = read(&data, 1, 1, 0);
    let meaning = |byte: f32| (byte / 255.0 - 0.5) / 0.25;
    assert!((frames[0] - meaning(1.0)).abs() < 1e-6 && (frames[5] - meaning(201.0)).abs() < 1e-6);
    assert!((frames[36] - meaning(201.0)).abs() < 1e-6, "the second frame is the other way round");
    let flow = read(&data, 0, 2, 0);
    assert!((flow[0] - 64.0 / 127.0).abs() < 1e-6 && flow[64].abs() < 1e-6);
}

#[test]
fn augmentation_is_the_seeds_and_a_mirrored_clip_moves_the_other_way() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path());
    let data = Prepared::open(folder.path()).unwrap().augmenting();
    let mut directions = [0; 2];
    for seed in 0..40 {
        assert_eq!(read(&data, 0, 1, seed), read(&data, 0, 1, seed));
        let flow = read(&data, 0, 2, seed);
        assert!((flow[0].abs() - 64.0 / 127.0).abs() < 1e-6 && flow[64].abs() < 1e-6);
        directions[usize::from(flow[0] > 0.0)] += 1;
    }
    assert!(directions.iter().all(|&count| count > 8), "{directions:?}");
    assert!((1..40).any(|seed| read(&data, 0, 1, seed) != read(&data, 0, 1, 0)));
    // Numbers are not augmented.
    assert_eq!(read(&data, 3, 0, 5), [3.5; 6]);
}

#[test]
fn the_same_clips_are_the_same_bytes() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write(one.path());
    write(two.path());
    for name in [shard_name(0), MANIFEST_FILE.to_owned(), PREPARED_FILE.to_owned()] {
        let bytes = |folder: &Path| std::fs::read(folder.join(&name)).unwrap();
        assert!(bytes(one.path()) == bytes(two.path()), "{name}");
    }
}

#[test]
fn damage_is_reported_with_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let damaged = |damage: &dyn Fn(&Path)| {
        write(folder.path());
        damage(folder.path());
        Prepared::open(folder.path()).err().unwrap().to_string()
    };
    let cut = damaged(&|folder| {
        for shard in 0..2 {
            let path = folder.join(shard_name(shard));
            let bytes = std::fs::read(&path).unwrap();
            std::fs::write(&path, &bytes[..bytes.len() - 3]).unwrap();
        }
    });
    assert!(cut.contains("2 problems") && cut.contains("shard-00001"), "{cut}");
    let gone = damaged(&|folder| std::fs::remove_file(folder.join(MANIFEST_FILE)).unwrap());
    assert!(gone.contains(MANIFEST_FILE), "{gone}");
    let version = damaged(&|folder| {
        let path = folder.join(PREPARED_FILE);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replace("\"version\":1", "\"version\":9")).unwrap();
    });
    assert!(version.contains("layout version 9"), "{version}");
    let outside = damaged(&|folder| {
        let path = folder.join(PREPARED_FILE);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replace("shard-00000", "../../shard")).unwrap();
    });
    assert!(outside.contains("not a plain file name"), "{outside}");
    let shape = damaged(&|folder| {
        let path = folder.join(PREPARED_FILE);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replace("\"shape\":[2,3]", "\"shape\":[7]")).unwrap();
    });
    assert!(shape.contains("clip 0/numbers") && shape.contains("[2, 3]"), "{shape}");
}

#[test]
fn edited_labels_are_refused_and_edited_shards_found_by_their_checksums() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path());
    let found = || {
        let mut problems = Problems::new();
        verify(folder.path(), &mut problems, &|| {}).unwrap();
        problems.list().iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(found(), [""; 0]);
    let shard = folder.path().join(shard_name(1));
    let mut bytes = std::fs::read(&shard).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&shard, bytes).unwrap();
    assert!(Prepared::open(folder.path()).is_ok(), "opening does not read shards");
    let problems = found();
    assert!(problems.len() == 1 && problems[0].contains("shard-00001"), "{problems:?}");
    let path = folder.path().join(MANIFEST_FILE);
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replacen(",b,", ",a,", 1)).unwrap();
    let error = Prepared::open(folder.path()).err().unwrap().to_string();
    assert!(error.contains("clips.csv: it was changed"), "{error}");
}

#[test]
fn clips_that_were_left_out_are_reported() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path());
    let path = folder.path().join(PREPARED_FILE);
    let mut description = Description::read(folder.path()).unwrap();
    let count = |split, left_out, partial| SplitCount { split, listed: 1_000, left_out, partial };
    description.splits =
        vec![count(None, 0, 0), count(Some(Split::Train), 0, 7), count(Some(Split::Test), 401, 0)];
    let text = serde_json::to_string(&description).unwrap();
    let older = text.replace("\"splits\"", "\"parts\"").replace("\"split\"", "\"part\"");
    assert_eq!(Description::parse(&older).unwrap(), description, "names of older versions");
    std::fs::write(&path, text).unwrap();
    let data = Prepared::open(folder.path()).unwrap();
    let [partial, left_out] = data.notes() else { panic!("{:?}", data.notes()) };
    assert!(partial.contains("7 of the 1000 listed train clips (0.7 %) lack a modality"));
    assert!(left_out.contains("401 of the 1000 listed test clips (40.1 %) were left out"));
}

/// One clip: a frame and a field of flow whose downward parts are a ramp from left to right.
fn write_ramps(folder: &Path, augment: Augment) {
    let ramp = |x: usize| 8 * (x % 16) as u8;
    let frames: Vec<u8> = (0..2 * 16 * 16).map(ramp).collect();
    let flow: Vec<u8> = (0..16 * 16).flat_map(|x| [192, 100 + ramp(x)]).collect();
    let tensors = vec![
        ("rgb".to_owned(), ClipTensor::Pixels([2, 16, 16, 1], frames)),
        ("flow".to_owned(), ClipTensor::Pixels([1, 16, 16, 2], flow)),
    ];
    // Bytes as they are.
    let (mean, deviation) = (vec![0.0], vec![1.0 / 255.0]);
    let storage = [
        ("rgb", Storage::Pixels { frames: 2, channels: 1, side: 8, mean, deviation, augment }),
        ("flow", Storage::Flow { fields: 1, side: 8, bound: 127.0 }),
    ];
    let modalities =
        storage.map(|(name, storage)| StoredModality { name: name.to_owned(), storage });
    let mut description = Description::new("ramps", "by hand", modalities.to_vec());
    let path = folder.join(shard_name(0));
    write_shard(&path, vec![Clip { id: "a".to_owned(), tensors }], "note").unwrap();
    let bytes = std::fs::metadata(&path).unwrap().len();
    let sha256 = sha256_of_file(&path).unwrap();
    description.shards.push(ShardEntry { file: shard_name(0), bytes, sha256 });
    let row = ClipRow {
        id: "a".to_owned(),
        split: None,
        label: "x".to_owned(),
        group: "g".to_owned(),
        shard: 0,
        source: String::new(),
        sha256: String::new(),
    };
    let manifest = write_rows(&[row]);
    description.manifest_sha256 = sha256_of(&manifest);
    std::fs::write(folder.join(MANIFEST_FILE), manifest).unwrap();
    let text = serde_json::to_string(&description).unwrap();
    std::fs::write(folder.join(PREPARED_FILE), text).unwrap();
}

/// Frames (2, 8, 8) and flow (2, 8, 8) of the clip of [`write_ramps`] as the loader gives them.
fn loaded(data: &Prepared, seed: u64) -> [Vec<f32>; 2] {
    let options = LoaderOptions::in_order(1);
    let data: std::sync::Arc<dyn Dataset> = std::sync::Arc::new(data.clone());
    let loader = Loader::new(data, options, &candle_core::Device::Cpu).unwrap();
    let batch = loader.epoch(Seed::new(seed)).next().unwrap().unwrap();
    let read = |m: usize| batch.inputs[m].flatten_all().unwrap().to_vec1().unwrap();
    [read(0), read(1)]
}

#[test]
fn frames_and_flow_of_a_clip_are_cropped_and_flipped_together() {
    let folder = tempfile::tempdir().unwrap();
    write_ramps(folder.path(), Augment::Clip);
    let data = Prepared::open(folder.path()).unwrap().augmenting();
    let mut flips = 0;
    for seed in 0..60 {
        let [frames, flow] = loaded(&data, seed);
        let (across, down) = flow.split_at(64);
        for (frame, down) in frames[..64].iter().zip(down) {
            // Byte 100 + ramp is a displacement of ramp - 28.
            assert!((frame - 28.0 - 127.0 * down).abs() <= 1.01, "seed {seed}: {frame} {down}");
        }
        assert_eq!(frames[..64], frames[64..], "one draw for all frames");
        let flipped = frames[0] > frames[7];
        flips += usize::from(flipped);
        assert!(across.iter().all(|&across| (across < 0.0) == flipped), "seed {seed}");
    }
    assert!((15..45).contains(&flips), "{flips}");
}

#[test]
fn frames_are_augmented_one_by_one_or_not_at_all_where_the_storage_says_so() {
    let folder = tempfile::tempdir().unwrap();
    write_ramps(folder.path(), Augment::Frame);
    let data = Prepared::open(folder.path()).unwrap().augmenting();
    let differ = |seed: &u64| {
        let [frames, _] = loaded(&data, *seed);
        frames[..64] != frames[64..]
    };
    assert!((0..20).filter(differ).count() > 15);
    write_ramps(folder.path(), Augment::None);
    let data = Prepared::open(folder.path()).unwrap();
    assert!((0..5).all(|seed| loaded(&data.augmenting(), seed)[0] == loaded(&data, 0)[0]));
}

#[test]
fn clips_without_a_split_beside_others_with_one_and_other_names_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path());
    let manifest = folder.path().join(MANIFEST_FILE);
    let text = std::fs::read_to_string(&manifest).unwrap();
    let message =
        |config: &UserDataConfig| UserData::open(config).map(drop).unwrap_err().to_string();
    let plain = UserDataConfig::at(folder.path());
    UserData::open(&UserDataConfig { label: Some("label".into()), ..plain.clone() }).unwrap();
    let other = message(&UserDataConfig { label: Some("mood".into()), ..plain.clone() });
    assert!(other.contains("prepare them again with `label` mood"), "{other}");
    let other = message(&UserDataConfig { group: Some("speaker".into()), ..plain.clone() });
    assert!(other.contains("prepare them again with `group` speaker"), "{other}");
    let edited = text.replacen(",train,", ",,", 1);
    std::fs::write(&manifest, &edited).unwrap();
    let description = folder.path().join(PREPARED_FILE);
    let known = std::fs::read_to_string(&description).unwrap();
    let sum = |text: &str| sha256_of(text.as_bytes());
    std::fs::write(&description, known.replace(&sum(&text), &sum(&edited))).unwrap();
    let missing = message(&plain);
    assert!(missing.contains("row 0, 'split': 'clip 0' has no split"), "{missing}");
}
