//! The whole command works for the method and the encoder that are added.

use assert_cmd::Command;

fn run(arguments: &[&str]) -> String {
    let mut command = Command::cargo_bin("own-method").unwrap();
    let output = command.env_remove("TCMAX_DATA_DIR").args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn an_own_method_and_encoder_are_listed_trained_and_used() {
    assert!(run(&["methods"]).contains("pooled"));
    let about = run(&["methods", "blend"]);
    assert!(about.contains("# Weight w of the TCMax loss, 0 to 1.\nweight = 0.5"), "{about}");

    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let (out, seed) = (out.to_str().unwrap(), out.join("seed-0"));
    let seed = seed.to_str().unwrap();
    let what = ["train", "--method", "blend", "--set", "method.weight=0.3", "--encoder", "pooled"];
    let how = [
        "--set",
        "data.train-size=300",
        "--set",
        "data.val-size=64",
        "--epochs",
        "15",
        "--out",
        out,
        "--json",
    ];
    let result: serde_json::Value =
        serde_json::from_str(&run(&[&what[..], &how].concat())).unwrap();
    let accuracy = result["methods"][0]["runs"][0]["test"]["accuracy"].as_f64().unwrap();
    // Ten classes: it learned something.
    assert!(accuracy > 0.2, "{accuracy}");
    assert_eq!(run(&["predict", seed, "--without", "audio"]).lines().count(), 1001);
    run(&["eval", seed, "--json"]);
}

#[test]
fn an_own_method_is_compared_with_others() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("study");
    let what = ["compare", "--methods", "joint,blend weight=0.3", "--encoder", "pooled"];
    let how = ["--seeds", "0,1", "--epochs", "2", "--set", "data.train-size=60"];
    run(&[&what[..], &how, &["--out", out.to_str().unwrap()]].concat());
    let page = std::fs::read_to_string(out.join("report.html")).unwrap();
    assert!(page.contains("blend weight=0.3"));
}

#[test]
fn an_own_estimator_is_listed_set_and_run() {
    let listed = run(&["estimate", "--list"]);
    assert!(listed.contains("--set bins=12: Bins of each variable, 1 to 1000."), "{listed}");
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("table.csv");
    // b is a in coarser steps: they share the entropy of b's four values.
    let row = |i: u32| format!("{}.5,{}\n", i * 37 % 64, i * 37 % 64 / 16);
    std::fs::write(&table, format!("a,b\n{}", (0..640).map(row).collect::<String>())).unwrap();
    let what = ["estimate", table.to_str().unwrap(), "--numbers", "b", "--estimator", "binned"];
    let how = ["--set", "bins=4", "--json"];
    let found: serde_json::Value = serde_json::from_str(&run(&[&what[..], &how].concat())).unwrap();
    let value = found["value"].as_f64().unwrap();
    assert!((value - 4f64.ln()).abs() < 1e-9, "{found}");
}
