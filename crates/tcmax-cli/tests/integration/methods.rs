//! Predictions, and what there is to choose from.

use tcmax_encoders::ENCODERS;
use tcmax_fusion::HEADS;
use tcmax_losses::methods::METHODS;

use crate::common;

#[test]
fn predictions_are_a_table_with_and_without_a_modality() {
    let (folder, settings) = common::folder();
    let out = folder.path().join("run");
    common::train(&settings, &["--out", out.to_str().unwrap()]).assert().success();
    let predict = |arguments: &[&str]| {
        let mut command = common::tcmax();
        command.arg("predict").arg(out.join("seed-0")).args(arguments);
        command.output().unwrap()
    };
    let whole = predict(&[]);
    assert!(whole.status.success(), "{}", String::from_utf8_lossy(&whole.stderr));
    let mut reader = csv::Reader::from_reader(&whole.stdout[..]);
    let header: Vec<String> = reader.headers().unwrap().iter().map(str::to_owned).collect();
    assert_eq!(header[..3], ["id", "label", "prediction"]);
    assert_eq!(header.last().unwrap(), "matching");
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 30);
    for row in &rows {
        let sum: f64 = (3..6).map(|column| row[column].parse::<f64>().unwrap()).sum();
        assert!((sum - 1.0).abs() < 1e-5, "probabilities sum to {sum}");
        assert!(row[header.len() - 1].parse::<f64>().unwrap().is_finite());
    }
    let right = rows.iter().filter(|row| row[1] == row[2]).count() as f64 / 30.0;
    let result: serde_json::Value =
        serde_json::from_slice(&std::fs::read(out.join("seed-0/result.json")).unwrap()).unwrap();
    assert!((right - result["test"]["accuracy"].as_f64().unwrap()).abs() < 1e-12);

    let file = folder.path().join("absent.csv");
    let absent = predict(&["--without", "audio", "--file", file.to_str().unwrap()]);
    assert!(absent.status.success());
    let mut reader = csv::Reader::from_path(&file).unwrap();
    assert!(
        !reader
            .headers()
            .unwrap()
            .iter()
            .any(|name| name == "matching" || name == "audio prediction")
    );
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    let right = rows.iter().filter(|row| row[1] == row[2]).count() as f64 / 30.0;
    let recorded = result["absence"]["accuracy_without"][0].as_f64().unwrap();
    assert!((right - recorded).abs() < 1e-12, "{right} is not {recorded}");

    for (arguments, words) in [
        (["--without", "smell"], "no modality 'smell'"),
        (["--without", "audio,visual"], "every modality"),
    ] {
        let output = predict(&arguments);
        assert_eq!(output.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&output.stderr).contains(words));
    }
}

#[test]
fn methods_and_options_are_listed_set_and_refused() {
    let output = common::tcmax().arg("methods").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let methods = METHODS.iter().map(|method| method.name);
    let heads = HEADS.iter().map(|head| head.name);
    for name in methods.chain(heads).chain(ENCODERS.iter().map(|encoder| encoder.name)) {
        assert!(text.contains(name), "{name} is missing:\n{text}");
    }
    for line in text.lines() {
        assert!(line.chars().count() <= 100, "wider than 100 columns: {line}");
    }
    let one = common::tcmax().args(["methods", "opm"]).output().unwrap();
    assert!(String::from_utf8(one.stdout).unwrap().contains("strength = 0.5"));
    let one = common::tcmax().args(["methods", "greedy"]).output().unwrap();
    assert!(String::from_utf8(one.stdout).unwrap().contains("Modalities: 2. Encoders: ResNets."));
    for (head, options) in [
        ("film", "No options."),
        ("concat", "No options."),
        ("clip", "temperature = 0.07\n\nOr: --set head.temperature=VALUE"),
        ("gated", "# hidden =\n\nOr: --set head.hidden=VALUE"),
    ] {
        let output = common::tcmax().args(["methods", head]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.ends_with(&format!("{options}\n")), "{head}: {text}");
    }
    let (folder, settings) = common::folder();
    let out = folder.path().join("run");
    let arguments =
        ["--method", "mla", "--set", "method.projection=none", "--out", out.to_str().unwrap()];
    common::train(&settings, &arguments).assert().success();
    let text = std::fs::read(out.join("seed-0/model.safetensors")).unwrap();
    assert!(String::from_utf8_lossy(&text).contains(r#"projection\":\"none"#));
    for (option, words) in [
        ("method.mla.projection=some", "method.mla"),
        ("method.beta=1", "the options are: alpha, last-epoch"),
        ("method.last-epoch=never", "expected usize"),
        ("head.hidden=3", "there are none"),
        ("encoder.depth=3", "the options are: width, first-layer, frozen-epochs"),
        ("encoder.width=0", "width: must be 1 to 2048"),
        ("method.magic.alpha=1", "no method 'magic'"),
        ("magic.alpha=1", "there is no such section"),
        ("alpha", "KEY=VALUE"),
        ("method.alpha=-1", "method.alpha"),
    ] {
        let output =
            common::train(&settings, &["--method", "ogm", "--set", option]).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{option}: {text}");
        assert!(text.contains(words), "{option}: {text}");
    }
}
