//! A suite of a published data set, from its media to the report.

use std::process::Command;

use crate::miniature::{Codec, fill, list, needs};

#[test]
fn crema_d_is_prepared_compared_and_set_beside_the_published_accuracy() {
    if !needs::ffmpeg() {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    let emotions = ["NEU", "SAD", "ANG"];
    let ids: Vec<String> =
        (0..24).map(|n| format!("10{:02}_IOM_{}_XX", n / 3, emotions[n % 3])).collect();
    fill(&root.join("AudioWAV"), Codec::Wav, &ids, 3, 1.5);
    fill(&root.join("VideoFlash"), Codec::Flv, &ids, 3, 1.5);
    list(&root.join("CREMAD-train.csv"), "", &ids[..18], |n| emotions[n % 3].to_owned());
    list(&root.join("CREMAD-test.csv"), "", &ids[18..], |n| emotions[n % 3].to_owned());
    let out = root.join("out");
    let suite = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command.args([
            "reproduce",
            "--suite",
            "crema-d",
            "--seeds",
            "0",
            "--methods",
            "joint,tcmax",
        ]);
        command.args(["--set", "encoder.name=resnet-slim", "--set", "encoder.width=1"]);
        command.args(["--set", "train.epochs=1", "--set", "train.batch-size=4"]);
        command.args(["--set", "compare.each-modality=false", "--out"]).arg(&out).args(more);
        command.output().unwrap()
    };
    let refused = suite(&[]);
    let message = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && message.contains("--root"), "{message}");
    let output = suite(&["--root", root.to_str().unwrap()]);
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{message}");
    assert!(message.contains("published test accuracy of tcmax: 77.6 %"), "{message}");
    let table = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(table.contains("published %") && table.contains("77.6"), "{table}");
    assert!(out.join("report.html").is_file() && out.join("clips/dataset.json").is_file());
}
