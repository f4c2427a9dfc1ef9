//! `tcmax estimate`: measures of several variables, p values, values of rows and rows that lack a value.

use std::path::{Path, PathBuf};

use assert_cmd::Command;
use candle_core::{DType, Device};
use tcmax_ops::{Init, Seed};
use tempfile::TempDir;

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn run(arguments: &[&str]) -> std::process::Output {
    let mut command = Command::cargo_bin("tcmax").unwrap();
    command.env("RUST_BACKTRACE", "0").arg("estimate").args(arguments).args(["--threads", "1"]);
    command.output().unwrap()
}

fn text(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn json(arguments: &[&str]) -> serde_json::Value {
    serde_json::from_str(&text(&[arguments, &["--json"]].concat())).unwrap()
}

fn refuses(arguments: &[&str], code: i32, parts: &[&str]) {
    let output = run(arguments);
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {message}");
    for part in parts {
        assert!(message.contains(part), "'{part}' is not in: {message}");
    }
    assert!(!message.contains("panicked"), "{message}");
}

fn normal(rows: usize, seed: u64) -> Vec<f64> {
    let normal = Init::Normal { mean: 0.0, std: 1.0 };
    let tensor = normal.tensor(&rows.into(), Seed::new(seed), DType::F64, &Device::Cpu).unwrap();
    tensor.to_vec1::<f64>().unwrap()
}

/// 600 rows: a and b are z with noise, other is neither; p, q are bits and xor says whether they differ.
fn table(folder: &Path) -> PathBuf {
    let [z, first, second, other, p, q] = [0, 1, 2, 3, 4, 5].map(|seed| normal(600, seed));
    let mut text = "a,b,z,other,p,q,xor\n".to_owned();
    for row in 0..600 {
        let bits = [p[row] > 0.0, q[row] > 0.0];
        let [p, q, xor] = [bits[0], bits[1], bits[0] != bits[1]].map(u8::from);
        let (a, b) = (z[row] + first[row], z[row] + second[row]);
        text += &format!("{a},{b},{},{},{p},{q},{xor}\n", z[row], other[row]);
    }
    let path = folder.join("table.csv");
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn measures_are_sums_of_informations_and_say_so() {
    let folder = folder();
    let table = table(folder.path());
    let table = table.to_str().unwrap();
    let of = |more: &[&str]| json(&[&[table, "--estimator", "gaussian"], more].concat());
    // a and b share nothing but z.
    let given = of(&["--variables", "a,b", "--given", "z"]);
    assert_eq!(given["quantity"], "I(a; b | z)");
    assert!(given["value"].as_f64().unwrap().abs() < 0.03, "{given}");
    let all = of(&["--variables", "a,b,z", "--measure", "o-information", "--unit", "bits"]);
    // I(a; b) = -1/2 log (1 - 1/4), and nothing is left given z.
    let truth = -0.5 * 0.75f64.log2();
    assert!((all["value"].as_f64().unwrap() - truth).abs() < 0.06, "{all}");
    assert_eq!(all["terms_in_nats"].as_array().unwrap().len(), 3);
    let total = of(&["--variables", "a,b,z", "--measure", "total-correlation"]);
    assert_eq!(total["quantity"], "TC(a, b, z)");
    let bits = ["--variables", "p,q,xor", "--measure", "dual", "--estimator", "counts"];
    let bits = text(&[&[table, "--unit", "bits"], &bits[..]].concat());
    assert!(bits.contains("DTC(p, q, xor) is about 1.99"), "{bits}");
    assert!(bits.contains("term       - I(q; xor)"), "{bits}");

    let fitted = ["--estimator", "tcne", "--steps", "20", "--seeds", "0"];
    let fitted = text(&[&[table, "--variables", "a,b", "--given", "z"], &fitted[..]].concat());
    assert!(fitted.contains("I(a; b | z) is about"), "{fitted}");
    assert!(fitted.contains("interval"), "{fitted}");
}

#[test]
fn parts_of_information_are_named() {
    let folder = folder();
    let table = table(folder.path());
    let table = table.to_str().unwrap();
    for measure in ["pid", "pid-min"] {
        let arguments = [table, "--variables", "p,q,xor", "--measure", measure];
        let parts = json(&[&arguments[..], &["--unit", "bits"]].concat());
        assert_eq!(parts["quantity"], "I(xor; (p, q))");
        assert!(parts["synergistic"].as_f64().unwrap() > 0.97, "{parts}");
        assert!(parts["redundant"].as_f64().unwrap() < 0.02, "{parts}");
        let said = text(&arguments);
        assert!(said.contains("synergistic, told by both together only"), "{said}");
        assert!(said.contains("unique, told by q alone"), "{said}");
    }
    refuses(&[table, "--variables", "p,q", "--measure", "pid"], 2, &["two sources and a target"]);
    let numbers = [table, "--variables", "a,q,xor", "--measure", "pid"];
    refuses(&numbers, 1, &["'a'", "only classes can be counted"]);
}

#[test]
fn p_values_are_corrected_for_the_number_of_pairs() {
    let folder = folder();
    let table = table(folder.path());
    let table = table.to_str().unwrap();
    let permuted = ["--estimator", "gaussian", "--permutations", "99"];
    let pairs =
        json(&[&[table, "--variables", "a,b,z,other", "--all-pairs"], &permuted[..]].concat());
    let of = |quantity: &str, key: &str| {
        let pair = pairs.as_array().unwrap().iter().find(|pair| pair["quantity"] == quantity);
        pair.unwrap()[key].clone()
    };
    assert_eq!(of("I(a; b)", "permutation_test")["p_value"], 0.01);
    // The smallest of six: 3 of them are 0.01.
    assert_eq!(of("I(a; b)", "p_holm"), 0.06);
    assert_eq!(of("I(a; b)", "p_benjamini_hochberg"), 0.02);
    let other = of("I(a; other)", "p_benjamini_hochberg").as_f64().unwrap();
    assert!(other > 0.05, "{other}");
    let said = text(
        &[
            &[table, "--variables", "a,b,other", "--all-pairs"],
            &permuted[..2],
            &["--permutations", "9"],
        ]
        .concat(),
    );
    assert!(said.contains("corrected for 3 pairs"), "{said}");
    assert!(said.contains("--permutations 59 are needed"), "{said}");

    let alone = text(&[&[table, "--variables", "a,b"], &permuted[..]].concat());
    assert!(alone.contains("p value    0.010 of independence: 0 of 99"), "{alone}");
    let fitted = ["--steps", "20", "--seeds", "0", "--permutations", "99"];
    let fitted = json(&[&[table, "--variables", "a,b"], &fitted[..]].concat());
    assert_eq!(fitted["permutation_test"]["p_value"], 0.01);
    let retrained = ["--steps", "5", "--seeds", "0", "--permutations", "3", "--retrain"];
    let retrained = json(&[&[table, "--variables", "a,b"], &retrained[..]].concat());
    assert_eq!(retrained["permutation_test"]["permutations"], 3);
}

/// The cells of a CSV file of values of rows.
fn cells(path: &Path) -> Vec<(Option<f64>, usize)> {
    let text = std::fs::read_to_string(path).unwrap();
    let row = |line: &str| {
        let mut cells = line.split(',').skip(1);
        let mut next = || cells.next().unwrap();
        (next().parse().ok(), next().parse().unwrap())
    };
    text.lines().skip(1).map(row).collect()
}

#[test]
fn values_of_rows_have_the_estimate_as_their_mean() {
    let folder = folder();
    let table = table(folder.path());
    let file = folder.path().join("rows.csv");
    let path = file.to_str().unwrap();
    let table = table.to_str().unwrap();
    for (estimator, seeds, held_out) in
        [("gaussian", "0", 600), ("ksg", "0", 600), ("tcne", "0,1", 0)]
    {
        let arguments = ["--variables", "a,b", "--estimator", estimator, "--seeds", seeds];
        let rows = ["--steps", "20", "--pointwise", path];
        let found = json(&[&[table], &arguments[..], &rows[..]].concat());
        let cells = cells(&file);
        assert_eq!(cells.len(), 600);
        let sum: f64 =
            cells.iter().filter_map(|(value, seeds)| Some((*value)? * *seeds as f64)).sum();
        let count: usize = cells.iter().map(|(_, seeds)| seeds).sum();
        let (mean, value) = (sum / count as f64, found["value"].as_f64().unwrap());
        assert!((mean - value).abs() < 1e-9, "{estimator}: {mean} is not {value}");
        if held_out > 0 {
            assert_eq!(count, held_out, "{estimator}");
        }
    }
    let header = std::fs::read_to_string(&file).unwrap();
    assert!(header.starts_with("row,nats,seeds\n0,"), "{header}");
}

#[test]
fn rows_that_lack_a_value_are_left_out_pair_by_pair() {
    let folder = folder();
    let [a, b, c] = [1, 2, 3].map(|seed| normal(300, seed));
    let mut table = "a,b,c,k,word\n".to_owned();
    for row in 0..300 {
        let cell = |values: &[f64], lacks: bool| {
            if lacks { String::new() } else { values[row].to_string() }
        };
        let word = ["yes", "no", "NA"][if row % 10 == 0 { 2 } else { row % 2 }];
        let class = if row % 4 == 3 { String::new() } else { (row % 2).to_string() };
        table += &format!(
            "{},{},{},{class},{word}\n",
            cell(&a, row % 3 == 0),
            cell(&b, row % 2 == 0),
            cell(&c, false)
        );
    }
    let path = folder.path().join("gaps.csv");
    std::fs::write(&path, table).unwrap();
    let path = path.to_str().unwrap();
    let gaussian = ["--estimator", "gaussian"];
    let plain = [&[path, "--variables", "a,c"], &gaussian[..]].concat();
    refuses(
        &plain,
        1,
        &["variable 'a', row 0 (from 0), column 0", "missing", "--missing pairwise"],
    );
    let pairwise = ["--missing", "pairwise"];
    let pairs =
        json(&[&[path, "--variables", "a,b,c", "--all-pairs"], &gaussian[..], &pairwise].concat());
    let rows = |pair: usize| (pairs[pair]["rows"].clone(), pairs[pair]["rows_left_out"].clone());
    assert_eq!(rows(0), (100.into(), 200.into()));
    assert_eq!(rows(1), (200.into(), 100.into()));
    assert_eq!(rows(2), (150.into(), 150.into()));
    let said = text(&[&[path, "--variables", "a,b,c"], &gaussian[..], &pairwise].concat());
    assert!(said.contains("rows       100 of 300: the others lack a value"), "{said}");
    // The estimate is that of a table without the rows.
    let mut without = "a,c\n".to_owned();
    for row in (0..300).filter(|row| row % 3 != 0) {
        without += &format!("{},{}\n", a[row], c[row]);
    }
    let whole = folder.path().join("whole.csv");
    std::fs::write(&whole, without).unwrap();
    let whole = json(&[&[whole.to_str().unwrap()], &gaussian[..]].concat());
    assert_eq!(whole["value"], pairs[1]["value"]);
    // Whole numbers with gaps are classes, and so are words, of which NA is none.
    let classes =
        json(&[path, "--variables", "k,word", "--estimator", "ksg", "--missing", "pairwise"]);
    assert_eq!(classes["variables"][0]["classes"], 2);
    assert_eq!(classes["variables"][1]["classes"], 2);
    // Rows of the file, in the file of values.
    let file = folder.path().join("rows.csv");
    let values = ["--pointwise", file.to_str().unwrap()];
    text(&[&plain[..], &pairwise, &values].concat());
    let cells = cells(&file);
    assert_eq!(cells.len(), 300);
    assert!(cells.iter().enumerate().all(|(row, (value, _))| value.is_some() == (row % 3 != 0)));
}

#[test]
fn what_cannot_be_asked_together_is_refused() {
    let folder = folder();
    let table = table(folder.path());
    let table = table.to_str().unwrap();
    let of = |more: &[&str], parts: &[&str]| {
        refuses(
            &[&[table, "--variables", "a,b,z", "--estimator", "gaussian"], more].concat(),
            2,
            parts,
        );
    };
    of(&["--measure", "conditional"], &["--given"]);
    of(&["--measure", "dual", "--given", "other"], &["--given", "conditional"]);
    of(&["--measure", "dual", "--all-pairs"], &["--measure", "mutual informations only"]);
    of(&["--measure", "dual", "--permutations", "9"], &["--permutations", "independence"]);
    of(&["--measure", "dual", "--pointwise", "x.csv"], &["--pointwise"]);
    of(&["--all-pairs", "--pointwise", "x.csv"], &["--pointwise", "two --variables"]);
    of(&["--permutations", "0"], &["--permutations", "at least 1"]);
    of(&["--permutations", "9", "--retrain"], &["--retrain", "trains no critic"]);
    of(&["--retrain"], &["--permutations"]);
    of(&["--given", "nobody"], &["no variable 'nobody'"]);
    let line = [table, "--variables", "a,b,z", "--estimator", "line", "--permutations", "9"];
    refuses(&line, 2, &["'line' adds up several critics"]);
    let two = [table, "--variables", "a,b", "--measure", "o-information"];
    refuses(&two, 2, &["at least 3 variables"]);
}
