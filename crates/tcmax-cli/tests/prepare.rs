//! Miniatures of the published data sets are prepared and trained on for an epoch; a killed
//! preparation goes on to the same bytes; everything wrong with media is told at once.

mod binary;
mod miniature;

use std::collections::BTreeMap;
use std::path::Path;

use miniature::{Codec, encode, ffmpeg, fill, list, needs};
use serde_json::Value;
use tcmax_data::{Dataset, UserData, UserDataConfig};
use tempfile::TempDir;

const MARK: &str = "\u{feff}";

fn names(count: usize, name: impl Fn(usize) -> String) -> Vec<String> {
    (0..count).map(name).collect()
}

/// Prepares a named data set and returns the summary and what it says on standard error.
fn prepare(name: &str, root: &Path, more: &[&str]) -> Value {
    let out = root.join("clips");
    let mut command = binary::tcmax();
    command.args(["prepare", name, "--json", "--shard-size", "5"]).args(more);
    let output = command.arg("--root").arg(root).arg("--out").arg(&out).output().unwrap();
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What makes a training quick.
const QUICK: [&str; 8] = [
    "--epochs",
    "1",
    "--batch-size",
    "4",
    "--set",
    "encoder.width=2",
    "--set",
    "train.drop-last=true",
];

/// Trains one epoch on prepared clips, and evaluates the model again.
fn train_an_epoch(root: &Path) {
    let run = root.join("run");
    let clips = root.join("clips");
    let mut command = binary::tcmax();
    command.arg("train").arg("--dataset").arg(&clips).args(QUICK).arg("--out").arg(&run);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let output = binary::tcmax().arg("eval").arg(run.join("seed-0")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Shapes of the modalities and sizes of the parts.
fn described(root: &Path) -> (Vec<(String, Vec<usize>)>, [usize; 3]) {
    let config = UserDataConfig::at(&root.join("clips"));
    let splits = UserData::open(&config).unwrap().splits(&config, 0).unwrap();
    let shape = |m: &tcmax_data::Modality| (m.name.clone(), m.shape.clone());
    let shapes = splits.train.modalities().iter().map(shape).collect();
    (shapes, [&splits.train, &splits.validation, &splits.test].map(|part| part.len()))
}

#[test]
fn crema_d_in_flash_video_and_wav() {
    if !needs::ffmpeg() {
        return;
    }
    let root = TempDir::new().unwrap();
    let root = root.path();
    let emotions = ["NEU", "SAD", "ANG"];
    let id = |n: usize| format!("10{:02}_IOM_{}_XX", n / 3, emotions[n % 3]);
    let ids = names(24, id);
    fill(&root.join("AudioWAV"), Codec::Wav, &ids, 3, 1.5);
    fill(&root.join("VideoFlash"), Codec::Flv, &ids, 3, 1.5);
    list(&root.join("CREMAD-train.csv"), MARK, &ids[..20], |n| emotions[n % 3].to_owned());
    list(&root.join("CREMAD-test.csv"), "", &ids[18..], |n| emotions[n % 3].to_owned());
    std::fs::remove_file(root.join("VideoFlash").join(format!("{}.flv", ids[1]))).unwrap();
    std::fs::write(
        root.join("AudioWAV").join(format!("{}.wav", ids[4])),
        "version https://git-lfs.github.com/spec/v1\n",
    )
    .unwrap();
    let summary = prepare("crema-d", root, &[]);
    assert_eq!(summary["clips"], 24, "26 lines, 2 left out: {summary}");
    let skipped = summary["skipped"].to_string();
    assert!(skipped.contains("no such file") && skipped.contains("git lfs pull"), "{skipped}");
    let notes = summary["notes"].to_string();
    assert!(notes.contains("share 2 ids") && notes.contains("share 1 group"), "{notes}");
    let (shapes, parts) = described(root);
    assert_eq!(shapes[0], ("audio".to_owned(), vec![1, 257, 188]));
    assert_eq!(shapes[1], ("visual".to_owned(), vec![3, 3, 224, 224]));
    assert_eq!(parts, [15, 3, 6]);
    train_an_epoch(root);
    // Speakers apart.
    let config = UserDataConfig {
        split: Some(tcmax_data::SplitRule::Group),
        ..UserDataConfig::at(&root.join("clips"))
    };
    UserData::open(&config).unwrap().splits(&config, 0).unwrap();
}

#[test]
fn kinetics_sounds_ave_and_vggsound_in_mp4() {
    if !needs::ffmpeg() {
        return;
    }
    let labels = ["tap_dancing", "playing violin, fiddle", "laughing"];
    let quoted = |n: usize| format!("\"{}\"", labels[n % 3]);
    let clip = |n: usize| format!("-{n}a_B{n}_0000{n:02}_0000{:02}", n + 10);
    let ids = names(18, clip);

    let kinetics = TempDir::new().unwrap();
    fill(kinetics.path(), Codec::Mp4, &ids, 3, 2.0);
    let folder = kinetics.path();
    list(
        &folder.join("splits/KineticsSound-train.csv"),
        "\u{feff}youtube_id,label\r\n",
        &ids[..15],
        quoted,
    );
    list(&folder.join("splits/KineticsSound-test.csv"), "youtube_id,label\r\n", &ids[15..], quoted);
    assert_eq!(prepare("kinetics-sounds", folder, &[])["clips"], 18);
    let (shapes, parts) = described(folder);
    assert_eq!(shapes[0].1, [1, 128, 1_024]);
    assert_eq!(parts, [12, 3, 3]);
    train_an_epoch(folder);

    let ave = TempDir::new().unwrap();
    let folder = ave.path();
    fill(&folder.join("AVE"), Codec::Mp4, &ids, 3, 2.0);
    for (part, ids) in [("train", &ids[..12]), ("val", &ids[12..15]), ("test", &ids[15..])] {
        list(&folder.join(format!("AVE-{part}.csv")), "youtube_id,label\r\n", ids, quoted);
    }
    assert_eq!(prepare("ave", folder, &[])["clips"], 18);
    assert_eq!(described(folder).1, [12, 3, 3]);
    train_an_epoch(folder);

    let vggsound = TempDir::new().unwrap();
    let folder = vggsound.path();
    let clip = |n: usize| format!("--vid{n:03}_{n}_{}", n + 10);
    fill(&folder.join("video"), Codec::Mp4, &names(18, clip), 3, 2.0);
    let line = |n: usize| {
        let part = if n < 15 { "train" } else { "test" };
        format!("--vid{n:03},{n},{},{part}\n", quoted(n))
    };
    std::fs::write(folder.join("vggsound.csv"), (0..18).map(line).collect::<String>()).unwrap();
    assert_eq!(prepare("vggsound", folder, &[])["clips"], 18);
    let (shapes, parts) = described(folder);
    assert_eq!((shapes[1].1.clone(), parts), (vec![3, 4, 224, 224], [12, 3, 3]));
    train_an_epoch(folder);
}

#[test]
fn ucf101_in_avi() {
    if !needs::ffmpeg() {
        return;
    }
    let root = TempDir::new().unwrap();
    let root = root.path();
    let actions = ["YoYo", "Archery"];
    let id = |n: usize| format!("v_{}_g{:02}_c01", actions[n % 2], n / 2);
    let ids = names(14, id);
    let placed = names(14, |n| format!("{}/{}", actions[n % 2], id(n)));
    fill(&root.join("UCF-101"), Codec::Avi, &placed, 2, 3.0);
    let label = |n: usize| actions[n % 2].to_owned();
    list(&root.join("UCF101-train.csv"), "\u{feff}idx,label\r\n", &ids[..10], label);
    list(&root.join("UCF101-test.csv"), "idx,label\r\n", &ids[10..], label);
    if cfg!(feature = "opencv") {
        assert_eq!(prepare("ucf101", root, &[])["clips"], 14);
        let flow = ("flow".to_owned(), vec![20, 224, 224]);
        assert_eq!(described(root).0, [("rgb".to_owned(), vec![3, 3, 224, 224]), flow]);
    } else {
        let mut command = binary::tcmax();
        command.args(["prepare", "ucf101", "--root"]).arg(root).arg("--out").arg(root.join("flow"));
        let refused = String::from_utf8(command.output().unwrap().stderr).unwrap();
        assert!(refused.contains("--features opencv"), "{refused}");
        assert!(!root.join("flow").exists());
        assert_eq!(prepare("ucf101", root, &["--modalities", "rgb"])["clips"], 14);
    }
    assert_eq!(described(root).1, [8, 2, 4]);
    train_an_epoch(root);
}

#[test]
fn food_101_and_mvsa_in_pictures_and_words() {
    let food = TempDir::new().unwrap();
    let root = food.path();
    let dishes = ["apple_pie", "sushi"];
    for (part, count) in [("train", 15), ("test", 6)] {
        let picture = |n: usize| format!("{}/{}_{part}{n}", dishes[n % 2], dishes[n % 2]);
        fill(&root.join("images").join(part), Codec::Jpeg, &names(count, picture), 2, 0.1);
        let line = |n: usize| {
            let dish = dishes[n % 2];
            format!("{dish}_{part}{n}.jpg,\"the best {dish}, ever\",{dish}\n")
        };
        std::fs::create_dir_all(root.join("texts")).unwrap();
        let lines: String = (0..count).map(line).collect();
        std::fs::write(root.join(format!("texts/{part}_titles.csv")), lines).unwrap();
    }
    assert_eq!(prepare("food-101", root, &[])["clips"], 21);
    let (shapes, parts) = described(root);
    assert_eq!(
        shapes,
        [("visual".to_owned(), vec![3, 224, 224]), ("text".to_owned(), vec![1_024])]
    );
    assert_eq!(parts, [12, 3, 6]);
    train_an_epoch(root);

    let mvsa = TempDir::new().unwrap();
    let root = mvsa.path();
    fill(&root.join("data"), Codec::Jpeg, &names(21, |n| n.to_string()), 3, 0.1);
    let feelings = ["positive", "neutral", "negative"];
    let mut lines = "ID\ttext,image\n".to_owned();
    for n in 0..21 {
        std::fs::write(root.join(format!("data/{n}.txt")), format!("a {} post", feelings[n % 3]))
            .unwrap();
        lines += &format!("{n}\t{0},{0}\n", feelings[n % 3]);
    }
    lines += "21\tpositive,negative\n";
    std::fs::write(root.join("data/5.txt"), b"caf\xe9").unwrap();
    std::fs::write(root.join("labelResultAll.txt"), lines).unwrap();
    let summary = prepare("mvsa", root, &[]);
    assert_eq!(summary["clips"], 20);
    assert!(summary["skipped"].to_string().contains("not UTF-8 text"), "{summary}");
    train_an_epoch(root);
}

/// A manifest of WAV and PNG: the pitch says the class, the colour in half of the rows only.
fn wav_and_png(folder: &Path, rows: usize) {
    let name = |n: usize| format!("{n:04}");
    fill(&folder.join("wav"), Codec::Wav, &names(rows, name), 3, 1.0);
    fill(&folder.join("png"), Codec::Png, &names(rows, name), 3, 0.1);
    encode(&folder.join("png/plain.png"), Codec::Png, 0, 0.1);
    let line = |n: usize| {
        let picture = match n / 3 % 2 {
            0 => format!("png/{n:04}.png"),
            _ if n.is_multiple_of(7) => String::new(),
            _ => "png/plain.png".to_owned(),
        };
        format!("wav/{n:04}.wav,{picture},{}\r\n", ["low", "middle", "high"][n % 3])
    };
    let lines: String = (0..rows).map(line).collect();
    std::fs::write(folder.join("manifest.csv"), format!("{MARK}sound,picture,label\r\n{lines}"))
        .unwrap();
}

const SMALL: &str = r#"
[sound]
kind = "spectrogram"
rate = 8000
seconds = 0.5
n-fft = 256
hop = 160

[picture]
kind = "image"
stored = 40
side = 32
"#;

#[test]
fn a_manifest_of_wav_and_png_trains_to_what_it_allows() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    wav_and_png(folder, 240);
    let recipe = folder.join("recipe.toml");
    std::fs::write(&recipe, SMALL).unwrap();
    let (manifest, clips) = (folder.join("manifest.csv"), folder.join("clips"));
    let mut command = binary::tcmax();
    command.arg("prepare").arg(&manifest).arg("--recipe").arg(&recipe).arg("--out").arg(&clips);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let accuracy = |more: &[&str]| {
        let mut command = binary::tcmax();
        command.arg("train").arg("--dataset").arg(&clips).args(more);
        command.args(["--set", "encoder.width=4", "--batch-size", "16", "--json"]);
        command.args(["--set", "train.drop-last=true"]);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let result: Value = serde_json::from_slice(&output.stdout).unwrap();
        result["methods"][0]["runs"][0]["test"]["accuracy"].as_f64().unwrap()
    };
    let fused = accuracy(&["--epochs", "12"]);
    assert!(fused >= 0.95, "the pitch says it all: {fused}");
    // Half of the pictures are red whatever the class: red, green and blue tell two thirds of 48.
    let picture = accuracy(&["--epochs", "20", "--modalities", "picture"]);
    assert!((0.5..=0.85).contains(&picture), "{picture}");
}

#[test]
fn a_manifest_is_prepared_in_the_cache_when_trained_on() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    wav_and_png(folder, 18);
    let mut modified = Vec::new();
    for _ in 0..2 {
        let mut command = binary::tcmax();
        command.env("XDG_CACHE_HOME", folder.join("cache")).env("HOME", folder);
        command.arg("train").arg("--dataset").arg(folder.join("manifest.csv")).args(QUICK);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let prepared = folder.join("cache/tcmax/prepared");
        let clips: Vec<_> =
            std::fs::read_dir(prepared).unwrap().map(|e| e.unwrap().path()).collect();
        assert_eq!(clips.len(), 1);
        let shard = clips[0].join("shard-00000.safetensors");
        modified.push(std::fs::metadata(shard).unwrap().modified().unwrap());
    }
    assert_eq!(modified[0], modified[1], "the second run finds the clips of the first");
}

/// Every file of a folder by name.
fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
    entries.map(|path| (name(&path), std::fs::read(&path).unwrap())).collect()
}

#[test]
fn a_killed_preparation_goes_on_to_the_same_bytes() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    wav_and_png(folder, 60);
    let start = |out: &str, threads: &str| {
        let mut command = std::process::Command::new(assert_cmd::cargo::cargo_bin("tcmax"));
        command.arg("prepare").arg(folder.join("manifest.csv")).arg("--out").arg(folder.join(out));
        command.args(["--shard-size", "4", "--threads", threads]);
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        command.spawn().unwrap()
    };
    assert!(start("whole", "2").wait().unwrap().success());
    let mut kills = 0;
    for shard in [1, 4, 9] {
        let mut child = start("killed", "1");
        let wanted = folder.join(format!("killed/shard-{shard:05}.safetensors"));
        while !wanted.exists() && child.try_wait().unwrap().is_none() {
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        child.kill().unwrap();
        kills += usize::from(!child.wait().unwrap().success());
        if !folder.join("killed/dataset.json").exists() {
            let error = UserData::open(&UserDataConfig::at(&folder.join("killed"))).err().unwrap();
            assert!(error.to_string().contains("running it again"), "{error}");
        }
    }
    assert!(kills >= 2, "only {kills} runs were killed in time");
    std::fs::write(folder.join("killed/shard-00012.safetensors.part"), "half").unwrap();
    assert!(start("killed", "2").wait().unwrap().success());
    let (whole, killed) = (contents(&folder.join("whole")), contents(&folder.join("killed")));
    assert_eq!(whole.keys().collect::<Vec<_>>(), killed.keys().collect::<Vec<_>>());
    // Shards, manifest, description, what was skipped, and the lock.
    assert_eq!(whole.len(), 15 + 4);
    for (name, bytes) in whole {
        assert!(bytes == killed[&name], "{name} differs");
    }
    // Another recipe does not mix with what is there.
    let mut command = binary::tcmax();
    command.arg("prepare").arg(folder.join("manifest.csv")).arg("--out").arg(folder.join("killed"));
    let output = command.args(["--shard-size", "5"]).output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && message.contains("choose another --out"), "{message}");
}

#[test]
fn everything_wrong_with_media_is_told_at_once_and_nothing_is_left_behind() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    wav_and_png(folder, 6);
    let put = |name: &str, bytes: &[u8]| std::fs::write(folder.join(name), bytes).unwrap();
    put("empty.wav", b"");
    put("pointer.wav", b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n");
    let wav = std::fs::read(folder.join("wav/0000.wav")).unwrap();
    put("cut.wav", &wav[..wav.len() / 2]);
    let png = std::fs::read(folder.join("png/0000.png")).unwrap();
    put("cut.png", &png[..png.len() / 2]);
    put("latin.txt", b"caf\xe9");
    let manifest = "id,sound,picture,words,label\n\
        a,wav/0000.wav,png/0000.png,fine,x\n\
        a,wav/0001.wav,png/0001.png,fine,y\n\
        c,empty.wav,png/0001.png,fine,x\n\
        d,pointer.wav,cut.png,fine,x\n\
        e,cut.wav,gone.png,fine,y\n\
        f,../../etc/passwd.wav,png/0001.png,fine,y\n\
        g,wav/0002.wav,png/0001.png,fine,\n\
        h,wav/0002.wav,png/0001.png\n\
        i,wav/0002.wav,png/0001.png,latin.txt,x\n";
    put("manifest.csv", manifest.as_bytes());
    let out = folder.join("out");
    let mut command = binary::tcmax();
    command.arg("prepare").arg(folder.join("manifest.csv")).arg("--out").arg(&out);
    let output = command.output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{message}");
    for part in [
        "line 3, 'id': 'a' is there already (line 2)",
        "line 4, 'sound': 'empty.wav'",
        "line 5, 'sound': 'pointer.wav'",
        "git lfs pull",
        "line 5, 'picture': not a complete picture",
        "line 6, 'sound': not a complete WAV file",
        "line 6, 'picture': 'gone.png'",
        "line 7, 'sound': '../../etc/passwd.wav': the path leads out",
        "line 8, 'label': the label is empty",
        "line 9: 3 cells, but 5 columns",
        "line 10, 'words': byte 3 is not UTF-8",
    ] {
        assert!(message.contains(part), "'{part}' is not in: {message}");
    }
    assert!(!out.exists(), "nothing is left behind");
    let inspect = binary::tcmax().arg("inspect").arg(folder.join("manifest.csv")).output().unwrap();
    let text = String::from_utf8_lossy(&inspect.stdout).into_owned();
    assert!(text.contains("not a complete WAV file") && text.contains("there already"), "{text}");

    // Videos, which need ffmpeg.
    if !needs::ffmpeg() {
        return;
    }
    encode(&folder.join("whole.mp4"), Codec::Mp4, 0, 2.0);
    ffmpeg(&[
        "-i",
        folder.join("whole.mp4").to_str().unwrap(),
        "-an",
        "-c:v",
        "copy",
        folder.join("silent.mp4").to_str().unwrap(),
    ]);
    let mp4 = std::fs::read(folder.join("whole.mp4")).unwrap();
    put("cut.mp4", &mp4[..mp4.len() / 2]);
    let manifest = "audio,frames,label\n\
        whole.mp4,whole.mp4,x\nsilent.mp4,whole.mp4,y\ncut.mp4,silent.mp4,y\nwav/0000.wav,cut.mp4,x\n";
    put("manifest.csv", manifest.as_bytes());
    let output = binary::tcmax().arg("inspect").arg(folder.join("manifest.csv")).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    for part in [
        "line 3, 'audio': it has no sound",
        "line 4, 'audio': not a complete MP4 file",
        "line 5, 'frames': it cannot be decoded",
    ] {
        assert!(text.contains(part), "'{part}' is not in: {text}");
    }
    assert_eq!(text.matches("problem: ").count(), 3, "{text}");
}

#[test]
fn a_video_of_one_frame_is_a_clip() {
    if !needs::ffmpeg() {
        return;
    }
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    for n in 0..10 {
        let path = folder.join(format!("{n}.mp4"));
        let colour = format!("color=c={}:s=64x64:r=1:d=1", ["red", "blue"][n % 2]);
        ffmpeg(&["-f", "lavfi", "-i", &colour, "-frames:v", "1", path.to_str().unwrap()]);
    }
    let lines: String = (0..10).map(|n| format!("{n}.mp4,{}\n", n % 2)).collect();
    std::fs::write(folder.join("m.csv"), format!("frames,label\n{lines}")).unwrap();
    let clips = folder.join("clips");
    let mut command = binary::tcmax();
    let output = command.arg("prepare").arg(folder.join("m.csv")).arg("--out").arg(&clips).output();
    assert!(output.unwrap().status.success());
    let data = UserData::open(&UserDataConfig::at(&clips)).unwrap();
    let mut frames = vec![0.0; data.examples().modalities()[0].len()];
    let examples: &dyn Dataset = data.examples().as_ref();
    examples.read(0, 0, tcmax_ops::Seed::new(0), &mut frames).unwrap();
    // [3, 3, 224, 224]: the red planes of all three frames are bright, and the same.
    let plane = 224 * 224;
    assert!(frames[0] > 2.0 && frames[..plane] == frames[plane..2 * plane]);
    assert!(frames[3 * plane] < -1.5, "green");
}
