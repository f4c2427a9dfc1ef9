//! Where clips are prepared and what is there already: nothing of others is touched, nothing of other
//! options mixes, and what was left out or changed is reported.

use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::binary;

/// A manifest of words, with which nothing has to be decoded.
fn words(folder: &Path, rows: usize) {
    let line = |n: usize| format!("text {n},{}\n", ["x", "y"][n % 2]);
    let lines: String = (0..rows).map(line).collect();
    std::fs::write(folder.join("posts.csv"), format!("words,label\n{lines}")).unwrap();
}

/// Runs `tcmax` in a folder: whether it succeeded, what it printed, what it said on standard error.
fn run(folder: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = binary::tcmax().current_dir(folder).args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// Runs what must succeed and returns what it printed.
fn succeed(folder: &Path, arguments: &[&str]) -> String {
    let (code, printed, said) = run(folder, arguments);
    assert_eq!(code, Some(0), "{arguments:?}: {said}");
    printed
}

/// Runs what must be refused with an exit code and returns what it said.
fn refused(folder: &Path, code: i32, arguments: &[&str]) -> String {
    let (got, _, said) = run(folder, arguments);
    assert_eq!(got, Some(code), "{arguments:?}: {said}");
    said
}

#[test]
fn folders_of_others_are_refused_and_their_files_kept() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    words(folder, 12);
    std::fs::create_dir(folder.join("mine")).unwrap();
    let put = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
    let kept = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();

    put("mine/holiday.mp4.part", "a download");
    let message = refused(folder, 2, &["prepare", "posts.csv", "--out", "mine"]);
    assert!(message.contains("--out: ") && message.contains("holiday.mp4.part"), "{message}");
    assert_eq!(kept("mine/holiday.mp4.part"), "a download");
    std::fs::remove_file(folder.join("mine/holiday.mp4.part")).unwrap();

    put("mine/dataset.json", r#"{"name": "of another program"}"#);
    let message = refused(folder, 2, &["prepare", "posts.csv", "--out", "mine"]);
    assert!(message.contains("dataset.json"), "{message}");
    assert_eq!(kept("mine/dataset.json"), r#"{"name": "of another program"}"#);
    std::fs::remove_file(folder.join("mine/dataset.json")).unwrap();

    // What a run killed at its first shard leaves is ours; so is an empty folder.
    put("mine/shard-00000.safetensors.part", "half");
    succeed(folder, &["prepare", "posts.csv", "--out", "mine"]);
    assert!(!folder.join("mine/shard-00000.safetensors.part").exists());

    // Files that were put beside the clips stay.
    put("mine/holiday.mp4.part", "a download");
    put("mine/notes.txt", "mine");
    put("mine/clips.csv.part", "half");
    succeed(folder, &["prepare", "posts.csv", "--out", "mine"]);
    assert_eq!(kept("mine/holiday.mp4.part"), "a download");
    assert_eq!(kept("mine/notes.txt"), "mine");
    assert!(!folder.join("mine/clips.csv.part").exists());

    let message = refused(folder, 2, &["prepare", "posts.csv", "--out", "posts.csv"]);
    assert!(message.contains("is a file"), "{message}");
}

#[test]
fn shards_made_under_other_options_do_not_mix() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    words(folder, 12);
    let prepare = ["prepare", "posts.csv", "--out", "clips", "--shard-size", "4"];
    succeed(folder, &prepare);
    // As if it had been killed.
    std::fs::remove_file(folder.join("clips/dataset.json")).unwrap();
    std::fs::remove_file(folder.join("clips/shard-00001.safetensors")).unwrap();
    for (option, wanted) in [
        ("--keep-partial", "no option --keep-partial"),
        ("--skip-broken", "no option --skip-broken"),
        ("--shard-size=5", "--shard-size 4"),
    ] {
        let message = refused(folder, 1, &[&prepare[..4], &[option]].concat());
        assert!(message.contains(wanted) && message.contains("choose another --out"), "{message}");
    }
    std::fs::write(folder.join("recipe.toml"), "[words]\nkind = \"text\"\nbuckets = 9\n").unwrap();
    let message = refused(folder, 1, &[&prepare[..], &["--recipe", "recipe.toml"]].concat());
    assert!(message.contains("another recipe"), "{message}");
    assert!(!folder.join("clips/shard-00001.safetensors").exists());
    let printed = succeed(folder, &[&prepare[..], &["--json"]].concat());
    let summary: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!((&summary["resumed_shards"], &summary["shards"]), (&2.into(), &3.into()));
}

#[test]
fn a_shard_whose_files_changed_is_made_again() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let line = |n: usize| format!("{n}.txt,{}\n", ["x", "y"][n % 2]);
    let lines: String = (0..8).map(line).collect();
    std::fs::write(folder.join("posts.csv"), format!("words,label\n{lines}")).unwrap();
    for n in 0..8 {
        std::fs::write(folder.join(format!("{n}.txt")), format!("text {n}")).unwrap();
    }
    let prepare = ["prepare", "posts.csv", "--out", "clips", "--shard-size", "2", "--json"];
    succeed(folder, &prepare);
    let bytes = |n: usize| std::fs::read(folder.join(format!("clips/shard-{n:05}.safetensors")));
    let before: Vec<Vec<u8>> = (0..4).map(|n| bytes(n).unwrap()).collect();
    std::fs::write(folder.join("3.txt"), "another text").unwrap();
    let summary: Value = serde_json::from_str(&succeed(folder, &prepare)).unwrap();
    assert_eq!(summary["resumed_shards"], 3);
    let changed: Vec<usize> = (0..4).filter(|&n| bytes(n).unwrap() != before[n]).collect();
    assert_eq!(changed, [1]);
    succeed(folder, &["inspect", "clips"]);
}

#[test]
fn edited_labels_and_damaged_shards_do_not_pass() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    words(folder, 30);
    let prepare = ["prepare", "posts.csv", "--out", "clips"];
    succeed(folder, &prepare);
    let manifest = folder.join("clips/clips.csv");
    let text = std::fs::read_to_string(&manifest).unwrap();
    std::fs::write(&manifest, text.replacen(",x,", ",y,", 1)).unwrap();
    let message = refused(folder, 1, &["train", "--dataset", "clips", "--epochs", "1"]);
    assert!(message.contains("clips.csv: it was changed"), "{message}");
    // The same preparation puts it right without making a shard.
    succeed(folder, &prepare);
    assert_eq!(std::fs::read_to_string(&manifest).unwrap(), text);

    let shard = folder.join("clips/shard-00000.safetensors");
    let mut bytes = std::fs::read(&shard).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&shard, bytes).unwrap();
    succeed(folder, &["inspect", "clips", "--quick"]);
    let (code, printed, _) = run(folder, &["inspect", "clips"]);
    assert_eq!(code, Some(1));
    assert!(printed.contains("shard-00000.safetensors: its bytes changed"), "{printed}");
}

/// CREMA-D's sound alone: 15 train and 10 test clips of two classes.
fn sounds(root: &Path) -> Vec<String> {
    std::fs::create_dir(root.join("AudioWAV")).unwrap();
    let id = |n: usize| format!("10{n:02}_IOM_{}_XX", ["NEU", "SAD"][n % 2]);
    let ids: Vec<String> = (0..25).map(id).collect();
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 16_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    for (n, id) in ids.iter().enumerate() {
        let path = root.join(format!("AudioWAV/{id}.wav"));
        let mut writer = hound::WavWriter::create(path, spec).unwrap();
        let tone = |t: usize| ((t * (1 + n % 2) % 50) as i16 - 25) * 400;
        (0..16_000).for_each(|t| writer.write_sample(tone(t)).unwrap());
        writer.finalize().unwrap();
    }
    let lines = |ids: &[String]| -> String {
        ids.iter().map(|id| format!("{id},{}\n", &id[9..12])).collect()
    };
    std::fs::write(root.join("CREMAD-train.csv"), lines(&ids[..15])).unwrap();
    std::fs::write(root.join("CREMAD-test.csv"), lines(&ids[15..])).unwrap();
    ids
}

#[test]
fn what_a_published_list_lost_is_said_wherever_its_clips_are_used() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let ids = sounds(folder);
    for id in &ids[18..22] {
        std::fs::remove_file(folder.join(format!("AudioWAV/{id}.wav"))).unwrap();
    }
    let prepare =
        ["prepare", "crema-d", "--root", ".", "--modalities", "audio", "--out", "clips", "--json"];
    let summary: Value = serde_json::from_str(&succeed(folder, &prepare)).unwrap();
    let lost = "4 of the 10 listed test clips (40.0 %) were left out";
    assert!(summary["notes"].to_string().contains(lost), "{summary}");
    let description = std::fs::read(folder.join("clips/dataset.json")).unwrap();
    let description: Value = serde_json::from_slice(&description).unwrap();
    let test = &description["splits"][2];
    assert_eq!((&test["split"], &test["listed"]), (&"test".into(), &10.into()));
    assert_eq!((&test["left-out"], &test["partial"]), (&4.into(), &0.into()));
    let skipped = std::fs::read_to_string(folder.join("clips/skipped.csv")).unwrap();
    assert!(skipped.starts_with("id,split,kept,reason\n"), "{skipped}");
    assert_eq!(skipped.matches(",test,false,audio: there is no such file").count(), 4);

    assert!(succeed(folder, &["inspect", "clips"]).contains(lost));
    let train = ["train", "--dataset", "clips", "--epochs", "1", "--batch-size", "4", "--set"];
    let train = [
        &train[..],
        &["encoder.width=2", "--set", "train.drop-last=true", "--method", "joint", "--out", "run"],
    ]
    .concat();
    let (code, _, said) = run(folder, &train);
    assert!(code == Some(0) && said.contains(lost), "{said}");
    for name in ["results.json", "report.html"] {
        let text = std::fs::read_to_string(folder.join("run").join(name)).unwrap();
        assert!(text.contains(lost), "{name}");
    }
}

#[test]
fn a_recipe_is_chosen_by_name_and_shown() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let ids = sounds(folder);
    let shown = succeed(folder, &["datasets", "crema-d"]);
    assert!(shown.contains("\n\ndefault: as above\n") && shown.contains("\n\npaper: "), "{shown}");
    assert!(shown.contains("draw = 5.0") && shown.contains("rule = \"last\""), "{shown}");
    let prepare = ["prepare", "crema-d", "--root", ".", "--modalities", "audio", "--recipe"];
    succeed(folder, &[&prepare[..], &["paper", "--out", "paper"]].concat());
    succeed(folder, &[&prepare[..], &["default", "--out", "default"]].concat());
    for (out, shape) in [("paper", [1, 129, 862]), ("default", [1, 257, 188])] {
        let printed = succeed(folder, &["inspect", out, "--json"]);
        let found: Value = serde_json::from_str(&printed).unwrap();
        assert_eq!(found["modalities"][0]["shape"], serde_json::json!(shape));
        assert_eq!(found["splits"], serde_json::json!([12, 3, 10]));
    }
    let rows = std::fs::read_to_string(folder.join("paper/clips.csv")).unwrap();
    let validation: Vec<&str> =
        rows.lines().filter(|row| row.contains(",validation,")).map(|row| &row[..15]).collect();
    assert_eq!(validation, ids[12..15].iter().map(|id| &id[..15]).collect::<Vec<_>>());
    let message = refused(folder, 2, &[&prepare[..], &["other", "--out", "x"]].concat());
    assert!(message.contains("choose one of: default, paper"), "{message}");
}

#[test]
fn options_of_the_other_kind_are_refused() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    words(folder, 12);
    std::fs::create_dir(folder.join("media")).unwrap();
    std::fs::write(folder.join("media/holiday.mp4"), "").unwrap();
    for (arguments, wanted) in [
        (&["posts.csv", "--modalities", "words"][..], "--modalities: is for data sets"),
        (&["posts.csv", "--lists", "."], "--lists: is for data sets"),
        (&["crema-d", "--root", ".", "--label", "mood"], "--label: is for manifests"),
        (&["crema-d", "--root", ".", "--group", "speaker"], "--group: is for manifests"),
        (&["crema-d", "--root", ".", "--skip-broken"], "--skip-broken: is for manifests"),
        (&["crema-d", "--root", ".", "--recipe", "posts.csv"], "no recipe 'posts.csv'"),
        (&["crema-d"], "--root: give the folder"),
        (&["missing.csv"], "missing.csv: there is no file and no data set of this name"),
        (&["media"], "to prepare give a manifest"),
        (&["synthetic"], "no recipe for 'synthetic'"),
    ] {
        let message = refused(folder, 2, &[&["prepare"], arguments].concat());
        assert!(message.contains(wanted), "{arguments:?}: {message}");
    }
}

#[test]
fn a_folder_with_a_manifest_is_prepared() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    std::fs::create_dir(folder.join("posts")).unwrap();
    words(folder, 12);
    std::fs::rename(folder.join("posts.csv"), folder.join("posts/manifest.csv")).unwrap();
    succeed(folder, &["prepare", "posts", "--out", "clips"]);
}

/// A limit on the size of files is what a full disk is to a writer.
#[cfg(unix)]
#[test]
fn a_full_disk_leaves_nothing_half_written_behind() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    words(folder, 60);
    let tcmax = assert_cmd::cargo::cargo_bin("tcmax");
    // 40 clips of 4 KiB a shard do not fit 64 KiB; the signal is ignored, so that writing fails.
    let script = format!(
        "trap '' XFSZ; ulimit -f 128; exec '{}' prepare posts.csv --out clips --shard-size 40",
        tcmax.display()
    );
    let mut command = std::process::Command::new("sh");
    let output = command.args(["-c", &script]).current_dir(folder).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("shard-00000.safetensors"), "{said}");
    let left = std::fs::read_dir(folder.join("clips")).unwrap();
    let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, [".lock"], "{said}");
    succeed(folder, &["prepare", "posts.csv", "--out", "clips", "--shard-size", "40"]);
}

/// A program that is missing is one problem, not one of every row.
#[test]
fn missing_ffmpeg_is_said_once() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let lines: String = (0..6).map(|n| format!("{n}.mp4,{}\n", n % 2)).collect();
    std::fs::write(folder.join("videos.csv"), format!("frames,label\n{lines}")).unwrap();
    (0..6).for_each(|n| std::fs::write(folder.join(format!("{n}.mp4")), "a video").unwrap());
    let empty = folder.join("empty");
    std::fs::create_dir(&empty).unwrap();
    let run = |arguments: &[&str]| {
        let mut command = binary::tcmax();
        let output = command.env("PATH", &empty).current_dir(folder).args(arguments).output();
        let output = output.unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
    };
    for arguments in [&["prepare", "videos.csv", "--out", "clips"][..], &["inspect", "videos.csv"]]
    {
        let said = run(arguments);
        assert_eq!(said.matches("apt-get install ffmpeg").count(), 1, "{said}");
        assert!(!said.contains("line 3"), "{said}");
    }
}
