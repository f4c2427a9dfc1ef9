//! `tcmax estimate` on real files: every format, units, pairs, plots, and what it refuses.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use candle_core::{Device, Tensor};
use tcmax_ops::{Init, Seed};
use tempfile::TempDir;

/// Few steps: the Gaussian start is the answer on these data.
const QUICK: [&str; 6] = ["--seeds", "0", "--steps", "20", "--threads", "1"];

/// 1000 rows of a = z + noise, b = z + noise, c of three columns without any relation, label = z > 0.
fn columns() -> (Vec<f64>, Vec<f64>, Vec<f64>, Vec<i64>) {
    let normal = Init::Normal { mean: 0.0, std: 1.0 };
    let draw = |rows: usize, seed| {
        let shape = rows.into();
        let tensor =
            normal.tensor(&shape, Seed::new(seed), candle_core::DType::F64, &Device::Cpu).unwrap();
        tensor.to_vec1::<f64>().unwrap()
    };
    let z = draw(1000, 0);
    let with_noise = |seed| z.iter().zip(draw(1000, seed)).map(|(z, e)| z + e).collect();
    (with_noise(1), with_noise(2), draw(3000, 3), z.iter().map(|z| i64::from(*z > 0.0)).collect())
}

fn tcmax() -> Command {
    let mut command = Command::cargo_bin("tcmax").unwrap();
    command.env("RUST_BACKTRACE", "0");
    command
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn csv(folder: &Path) -> PathBuf {
    let (a, b, c, y) = columns();
    let mut text = "a,b,c_0,c_1,c_2,y\n".to_owned();
    for row in 0..1000 {
        let c = &c[3 * row..][..3];
        text += &format!("{},{},{},{},{},{}\n", a[row], b[row], c[0], c[1], c[2], y[row]);
    }
    let path = folder.join("table.csv");
    std::fs::write(&path, text).unwrap();
    path
}

fn tensors() -> HashMap<String, Tensor> {
    let (a, b, c, y) = columns();
    let tensor = |values: Vec<f64>, width| {
        let rows = values.len() / width;
        Tensor::from_vec(values, (rows, width), &Device::Cpu).unwrap()
    };
    HashMap::from([
        ("a".to_owned(), tensor(a, 1)),
        ("b".to_owned(), tensor(b, 1)),
        ("c".to_owned(), tensor(c, 3)),
        ("y".to_owned(), Tensor::from_vec(y, 1000, &Device::Cpu).unwrap()),
    ])
}

fn json(arguments: &[&str]) -> serde_json::Value {
    let output =
        tcmax().arg("estimate").args(arguments).args(QUICK).arg("--json").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// -1/2 log (1 - rho^2) with rho = 1/2.
fn truth() -> f64 {
    -0.5 * 0.75f64.ln()
}

#[test]
fn every_format_gives_the_same_estimate() {
    let folder = folder();
    let tensors = tensors();
    let csv = csv(folder.path());
    let safetensors = folder.path().join("x.safetensors");
    candle_core::safetensors::save(&tensors, &safetensors).unwrap();
    let npz = folder.path().join("x.npz");
    let mut names: Vec<&String> = tensors.keys().collect();
    names.sort();
    let members: Vec<(&str, &Tensor)> =
        names.iter().map(|name| (name.as_str(), &tensors[*name])).collect();
    Tensor::write_npz(&members, &npz).unwrap();
    let npy = folder.path().join("both.npy");
    Tensor::cat(&[&tensors["a"], &tensors["b"]], 1).unwrap().write_npy(&npy).unwrap();
    let (a, b) = (folder.path().join("a.npy"), folder.path().join("b.npy"));
    tensors["a"].write_npy(&a).unwrap();
    tensors["b"].write_npy(&b).unwrap();
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let cases: [Vec<String>; 5] = [
        vec![text(&csv), "--variables".into(), "a,b".into()],
        vec![text(&safetensors), "--variables".into(), "a,b".into()],
        vec![text(&npz), "--variables".into(), "a,b".into()],
        vec![text(&npy)],
        vec![text(&a), text(&b)],
    ];
    let values: Vec<f64> = cases
        .iter()
        .map(|case| {
            let outcome = json(&case.iter().map(String::as_str).collect::<Vec<_>>());
            assert_eq!(outcome["rows"], 1000);
            outcome["value"].as_f64().unwrap()
        })
        .collect();
    assert!((values[0] - truth()).abs() < 0.1, "{values:?}");
    assert!(values.iter().all(|value| (value - values[0]).abs() < 1e-9), "{values:?}");
}

#[test]
fn units_and_groups_and_classes_are_understood() {
    let folder = folder();
    let csv = csv(folder.path());
    let csv = csv.to_str().unwrap();
    let nats = json(&[csv, "--variables", "a,b"]);
    let bits = json(&[csv, "--variables", "a,b", "--unit", "bits"]);
    let ratio = nats["value"].as_f64().unwrap() / bits["value"].as_f64().unwrap();
    assert!((ratio - std::f64::consts::LN_2).abs() < 1e-12);
    let grouped = json(&[csv, "--variables", "a+b,c,y"]);
    assert_eq!(grouped["variables"][0]["columns"], 2);
    assert_eq!(grouped["variables"][1]["columns"], 3);
    assert_eq!(grouped["variables"][2]["kind"], "categorical");
    assert_eq!(grouped["quantity"], "TC((a, b), (c_0, c_1, c_2), y)");
    let as_number = json(&[csv, "--variables", "a,y", "--numbers", "y"]);
    assert_eq!(as_number["variables"][1]["kind"], "continuous");
}

#[test]
fn classical_estimators_and_decompositions_agree() {
    let folder = folder();
    let csv = csv(folder.path());
    let csv = csv.to_str().unwrap();
    for estimator in ["ksg", "gaussian", "mine", "js", "nwj", "infonce", "smile"] {
        let outcome = json(&[csv, "--variables", "a,b", "--estimator", estimator]);
        let value = outcome["value"].as_f64().unwrap();
        assert!((value - truth()).abs() < 0.12, "{estimator}: {value} is not {}", truth());
    }
    let line = json(&[csv, "--variables", "a,b,c", "--estimator", "line"]);
    let value = line["value"].as_f64().unwrap();
    assert!((value - truth()).abs() < 0.12, "line: {value}");
    assert_eq!(line["fits_in_nats"].as_array().unwrap().len(), 2);
}

#[test]
fn all_pairs_are_a_symmetric_matrix_and_the_curve_is_drawn() {
    let folder = folder();
    let csv = csv(folder.path());
    let svg = folder.path().join("curve.svg");
    let output = tcmax()
        .args(["estimate", csv.to_str().unwrap(), "--variables", "a,b,c", "--all-pairs", "--plot"])
        .arg(&svg)
        .args(QUICK)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let cells = |start: &str| -> Vec<String> {
        let row = text.lines().find(|row| row.trim_start_matches(['│', ' ']).starts_with(start));
        let row = row.unwrap_or_else(|| panic!("no row {start} in {text}"));
        row.split(['│', '┆']).map(|cell| cell.trim().to_owned()).collect()
    };
    let (a, b) = (cells("a "), cells("b "));
    assert_eq!(a[3], b[2], "{text}");
    assert_eq!(a[2], "", "{text}");
    let svg = std::fs::read_to_string(svg).unwrap();
    assert!(svg.contains("<polyline") && svg.contains("bound on the validation split, nats"));
}

#[test]
fn the_text_names_estimate_interval_and_cap() {
    let folder = folder();
    let csv = csv(folder.path());
    let output = tcmax()
        .args(["estimate", csv.to_str().unwrap(), "--variables", "a,b", "--seeds", "0,1"])
        .args(&QUICK[2..])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    for part in [
        "I(a; b) is at least 0.",
        "interval",
        "(95%; above it only where no such critic is right)",
        "best guess 0.",
        "others     ksg 0.",
        "gaussian copula 0.",
        "cap",
        "spread",
        "rows       1000",
    ] {
        assert!(text.contains(part), "'{part}' is not in: {text}");
    }
}

/// Runs on a table and checks code and message; there is never a panic.
fn refuses(name: &str, content: &[u8], arguments: &[&str], code: i32, parts: &[&str]) {
    let folder = folder();
    let path = folder.path().join(name);
    std::fs::write(&path, content).unwrap();
    let output = tcmax().arg("estimate").arg(&path).args(arguments).args(QUICK).output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {message}");
    for part in parts {
        assert!(message.contains(part), "'{part}' is not in: {message}");
    }
    assert!(!message.contains("panicked"), "{message}");
}

#[test]
fn bad_data_and_bad_settings_are_named() {
    let table = |rows: usize, cell: &dyn Fn(usize) -> String| {
        let rows =
            (0..rows).map(|row| format!("{},{}\n", (row * 37 % 101) as f64 + 0.5, cell(row)));
        format!("a,b\n{}", rows.collect::<String>()).into_bytes()
    };
    let good = table(100, &|row| format!("{}.5", row * 53 % 97));
    let hole = table(100, &|row| if row == 7 { "nan".into() } else { format!("{row}.5") });
    let parts = ["x.csv", "variable 'b'", "row 7", "column 0", "NaN", "--missing pairwise"];
    refuses("x.csv", &hole, &[], 1, &parts);
    let empty = table(100, &|row| if row == 3 { String::new() } else { format!("{row}.5") });
    refuses("x.csv", &empty, &[], 1, &["x.csv", "variable 'b'", "row 3", "missing"]);
    refuses("x.csv", &table(100, &|_| "2.5".into()), &[], 1, &["'b'", "every value is 2.5"]);
    let few = table(20, &|row| format!("{}.5", row * 53 % 97));
    refuses("x.csv", &few, &[], 1, &["I(a; b): ", "20 examples are too few"]);
    refuses("x.csv", &good, &["--seeds", "7,8,7"], 2, &["--seeds", "7 is given twice"]);
    let set = |estimator, option| ["--estimator", estimator, "--set", option];
    refuses("x.csv", &good, &set("ksg", "neighbours=0"), 2, &["--set neighbours=0", "at least 1"]);
    refuses("x.csv", &good, &set("ksg", "k=5"), 2, &["'ksg' has no option 'k'", "neighbours"]);
    refuses("x.csv", &good, &set("smile", "tau=wide"), 2, &["--set tau=wide"]);
    refuses("x.csv", &good, &set("smile", "tau"), 2, &["--set tau", "OPTION=VALUE"]);
    refuses("x.csv", &good, &set("gaussian", "tau=1"), 2, &["'gaussian' has no options"]);
    let words = table(100, &|row| format!("word{row}"));
    refuses("x.csv", &words, &[], 2, &["'b' has 100 different words in 100 rows", "--classes b"]);
    refuses("x.csv", &words, &["--all-pairs"], 2, &["'b' has 100 different words"]);
    let odd = table(100, &|row| if row == 7 { "n/a".into() } else { format!("{row}.5") });
    refuses("x.csv", &odd, &[], 1, &["variable 'b'", "row 7"]);
    let odd = table(100, &|row| if row == 7 { "1.2.3".into() } else { format!("{row}.5") });
    let parts = ["variable 'b'", "'1.2.3' in line 9 of", "x.csv", "99 of 100", "--classes b"];
    refuses("x.csv", &odd, &[], 1, &parts);
    refuses("x.csv", b"a,b\n1,2\n3\n", &[], 1, &["x.csv"]);
    refuses("x.csv", &good, &["--variables", "a"], 2, &["at least 2 variables"]);
    refuses("x.csv", &good, &["--variables", "a,d"], 2, &["no variable 'd'", "a, b"]);
    refuses("x.csv", &good, &["--estimator", "min"], 2, &["no estimator 'min'", "tcne"]);
    refuses("x.csv", &good, &["--estimator", "ksg", "--plot", "x.svg"], 2, &["no curve"]);
    refuses(
        "x.csv",
        &good,
        &["--variables", "a,a+b,b", "--estimator", "mine"],
        2,
        &["two variables"],
    );
    refuses("x.csv", &good, &["--classes", "z"], 2, &["'z' is none of the variables"]);
    refuses("x.txt", b"1", &[], 1, &["x.txt", ".safetensors"]);
    refuses("x.npy", b"\x93NUMPY\x01\x00", &[], 1, &["x.npy", "not an npy file"]);
    refuses("x.npz", b"PK", &[], 1, &["x.npz", "npz"]);
    refuses("x.safetensors", b"oops", &[], 1, &["x.safetensors"]);

    let folder = folder();
    let write = |name: &str, rows: usize| {
        let path = folder.path().join(name);
        Tensor::arange(0f64, rows as f64, &Device::Cpu).unwrap().write_npy(&path).unwrap();
        path
    };
    let output = tcmax()
        .arg("estimate")
        .args([write("long.npy", 100), write("short.npy", 90)])
        .output()
        .unwrap();
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(message.contains("'short' has 90 rows, but 'long' has 100"), "{message}");
}

/// `/dev/full` takes nothing: what is written there is lost as on a full disk.
#[cfg(target_os = "linux")]
#[test]
fn a_result_that_cannot_be_written_fails_and_a_reader_that_went_away_does_not() {
    let folder = folder();
    let csv = csv(folder.path());
    let run = |stdout: std::process::Stdio| {
        std::process::Command::new(assert_cmd::cargo::cargo_bin("tcmax"))
            .args(["estimate", csv.to_str().unwrap(), "--variables", "a,b", "--json"])
            .args(["--estimator", "gaussian"])
            .stdout(stdout)
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap()
    };
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = run(full.into()).wait_with_output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.contains("error: standard output: "), "{message}");

    let mut child = run(std::process::Stdio::piped());
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn work_of_days_is_refused_unless_insisted_on() {
    let folder = folder();
    let csv = csv(folder.path());
    let arguments = ["--variables", "a,b", "--steps", "18446744073709551615"];
    let output = tcmax().arg("estimate").arg(&csv).args(arguments).output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{message}");
    for part in ["3 fits, about ", " days at most", "--long"] {
        assert!(message.contains(part), "{message}");
    }
}

/// 400 rows: x, twice and negated, its square, one with a hundredth of noise, a constant, classes that say
/// whether x > 0, and the same classes numbered otherwise.
fn related(folder: &Path) -> PathBuf {
    let (x, noise, ..) = columns();
    let mut text = "x,twice,minus,square,noisy,constant,class,other\n".to_owned();
    for (x, noise) in x.iter().zip(&noise).take(400) {
        let class = usize::from(*x > 0.0);
        text += &format!(
            "{x},{},{},{},{},1.5,{},{}\n",
            2.0 * x,
            -x,
            x * x,
            x + 0.01 * noise,
            ["low", "high"][class],
            [1, 0][class]
        );
    }
    let path = folder.join("related.csv");
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn variables_that_determine_each_other_need_no_fit() {
    let folder = folder();
    let path = related(folder.path());
    let path = path.to_str().unwrap();
    for (pair, relation) in [
        ("x,twice", "'twice' increases with 'x' without exception in 400 rows"),
        ("x,minus", "'minus' decreases with 'x'"),
        ("x,square", "'square' follows a function of 'x'"),
    ] {
        for estimator in ["tcne", "ksg", "gaussian"] {
            let outcome = json(&[path, "--variables", pair, "--estimator", estimator]);
            assert!(outcome["value"].is_null() && outcome["infinite"] == true, "{outcome}");
            assert!(outcome["relation"].as_str().unwrap().contains(relation), "{outcome}");
        }
    }
    let classes = json(&[path, "--variables", "class,other", "--estimator", "ksg"]);
    let value = classes["value"].as_f64().unwrap();
    assert!((value - 2f64.ln()).abs() < 0.02 && classes["infinite"] == false, "{classes}");
    assert!(classes["relation"].as_str().unwrap().contains("entropy"), "{classes}");

    // 5 nats are more than 120 held-out rows show: said by every means there is.
    let noisy = json(&[path, "--variables", "x,noisy"]);
    assert_eq!(noisy["is_lower_bound"], true);
    assert!(noisy["meaning"].as_str().unwrap().contains("at least"), "{noisy}");
    assert!(noisy["warnings"].to_string().contains("the truth may"), "{noisy}");
    assert_eq!(noisy["comparisons"][0]["estimator"], "ksg");
}

#[test]
fn pairs_that_cannot_be_estimated_do_not_end_the_others() {
    let folder = folder();
    let path = related(folder.path());
    let names = "x,square,constant,noisy,class";
    let run = |more: &[&str]| {
        tcmax()
            .arg("estimate")
            .arg(&path)
            .args(["--variables", names, "--all-pairs", "--estimator", "gaussian"])
            .args(more)
            .output()
            .unwrap()
    };
    let output = run(&["--json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let pairs: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let of = |quantity: &str| {
        let pairs = pairs.as_array().unwrap();
        let found = pairs.iter().find(|pair| pair["quantity"] == quantity);
        found.unwrap_or_else(|| panic!("no {quantity} in {pairs:?}")).clone()
    };
    assert_eq!(pairs.as_array().unwrap().len(), 10);
    assert!(of("I(x; noisy)")["value"].as_f64().unwrap() > 2.0);
    assert_eq!(of("I(x; square)")["infinite"], true);
    let refused = |quantity| of(quantity)["refused"].as_str().unwrap().to_owned();
    assert!(refused("I(x; constant)").contains("every value is 1.5"));
    assert!(refused("I(x; class)").contains("'class' is categorical"));

    let output = run(&[]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for part in ["refused    I(x; class): not a covariance", "∞", "relation   I(x; square): "] {
        assert!(text.contains(part), "'{part}' is not in: {text}");
    }
    // Where nothing is left, that is an error.
    let output = tcmax()
        .arg("estimate")
        .arg(&path)
        .args(["--variables", "x,constant", "--all-pairs"])
        .output()
        .unwrap();
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.contains("every value is 1.5"), "{message}");
}

#[test]
fn many_columns_are_listed_by_what_they_share() {
    let folder = folder();
    let (a, b, ..) = columns();
    let header: Vec<String> = (0..30).map(|c| format!("v{c}")).collect();
    let mut text = header.join(",") + "\n";
    for row in 0..200 {
        // The first two go together.
        let cell = |c: usize| if c == 0 { b[row] } else { a[(row + 31 * (c - 1)) % 1000] };
        text += &((0..30).map(|c| cell(c).to_string()).collect::<Vec<_>>().join(",") + "\n");
    }
    let path = folder.path().join("wide.csv");
    std::fs::write(&path, text).unwrap();
    let output = tcmax()
        .arg("estimate")
        .arg(&path)
        .args(["--all-pairs", "--estimator", "gaussian"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let first = text.lines().nth(1).unwrap();
    assert!(first.ends_with("I(v0; v1)"), "{text}");
    assert!(text.contains("... and 335 more; --json has all"), "{text}");
    assert_eq!(text.lines().count(), 102);
}

#[test]
fn mine_is_trained_as_published_and_bounds_what_tcne_bounds() {
    let folder = folder();
    let csv = csv(folder.path());
    let csv = csv.to_str().unwrap();
    let of = |arguments: &[&str]| {
        let plain = [csv, "--variables", "a,b", "--no-gaussian-start", "--steps", "150"];
        let output = tcmax()
            .arg("estimate")
            .args([&plain, arguments].concat())
            .args(["--seeds", "0", "--json"])
            .output()
            .unwrap();
        let outcome: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        outcome["value"].as_f64().unwrap()
    };
    let (mine, tcne) = (of(&["--estimator", "mine"]), of(&[]));
    assert!((mine - tcne).abs() < 0.03 && mine != tcne, "{mine} and {tcne}");
    assert_eq!(of(&["--estimator", "mine", "--set", "moving-average=1"]), tcne);
    assert_eq!(of(&["--estimator", "tcne", "--set", "moving-average=0.01"]), mine);
}

#[test]
fn estimators_and_their_options_are_listed() {
    let output = tcmax().args(["estimate", "--list"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let names = text.lines().filter(|line| !line.is_empty() && !line.starts_with(' '));
    let names: Vec<&str> = names.filter_map(|line| line.split_whitespace().next()).collect();
    let all = [
        "tcne", "mine", "nwj", "infonce", "smile", "js", "line", "tree", "ksg", "gaussian",
        "counts",
    ];
    assert_eq!(names, all);
    for part in [
        "--set tau=5.0: ",
        "--set neighbours=3: ",
        "--set correction=\"grassberger\": ",
        "--set moving-average=0.01: ",
    ] {
        assert!(text.contains(part), "'{part}' is not in: {text}");
    }
}
