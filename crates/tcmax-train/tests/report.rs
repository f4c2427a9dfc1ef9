//! The report and the table say what the figures say, stand alone, and survive odd figures.

use tcmax_train::results::{
    Absence, DatasetSummary, EpochRecord, Evaluation, InformationTruth, MethodResult, RunResult,
    SuiteResult,
};
use tcmax_train::{report, table};

fn evaluation(accuracy: f64, own: &[Option<f64>], bound: Option<f64>) -> Evaluation {
    Evaluation {
        examples: 4,
        accuracy,
        modality_accuracy: own.to_vec(),
        cross_entropy: 0.7,
        total_correlation: bound,
        confusion: vec![vec![2, 0], vec![1, 1]],
    }
}

fn method(name: &str, accuracy: f64, own: &[Option<f64>], losses: &[f64]) -> MethodResult {
    let run = |seed: u64| {
        let shift = 0.01 * seed as f64;
        let test = evaluation(accuracy + shift, own, Some(1.5));
        let record = |(epoch, &loss): (usize, &f64)| EpochRecord {
            epoch: epoch + 1,
            learning_rate: 0.05,
            train_loss: loss,
            train_accuracy: accuracy,
            train_total_correlation: None,
            figures: std::collections::BTreeMap::new(),
            validation: test.clone(),
            seconds: 1.0,
        };
        let history = losses.iter().enumerate().map(record).collect();
        RunResult {
            seed,
            best_epoch: 1,
            test: test.clone(),
            probe_accuracy: vec![Some(0.5); own.len()],
            absence: None,
            history,
            seconds: 2.0,
        }
    };
    MethodResult {
        name: name.to_owned(),
        description: "d".to_owned(),
        runs: (0..3).map(run).collect(),
        cost: None,
    }
}

fn suite() -> SuiteResult {
    SuiteResult {
        suite: "test".to_owned(),
        title: "A <script>alert(1)</script> & title".to_owned(),
        dataset: DatasetSummary {
            name: "pairs".to_owned(),
            description: "two modalities".to_owned(),
            modalities: vec!["sound".to_owned(), "sight".to_owned()],
            classes: vec!["no".to_owned(), "yes".to_owned()],
            sizes: [8, 4, 4],
        },
        truth: Some(InformationTruth {
            label_entropy: 0.693,
            label_information: vec![0.5, 0.6],
            joint_information: 0.65,
            total_correlation: 1.3,
            additive_gap: 0.2,
            bayes_accuracy: 0.95,
            bayes_modality_accuracy: vec![0.8, 0.9],
            matching_auc: 0.8,
            additive_matching_auc: 0.7,
        }),
        settings: vec![("epochs".to_owned(), "2".to_owned())],
        versions: vec![("tcmax".to_owned(), "0".to_owned())],
        methods: vec![
            method("joint", 0.80, &[Some(0.30), Some(0.79)], &[1.0, 0.5]),
            method("tcmax", 0.90, &[Some(0.70), Some(0.81)], &[1.0, 0.5, 0.4]),
            method("only sight", 0.79, &[None, Some(0.79)], &[1.0, f64::NAN]),
        ],
        seconds: 12.0,
    }
}

#[test]
fn the_page_reads_the_figures() {
    let page = report::html(&suite());
    assert!(page.contains("best fused accuracy is 91.0 %, by tcmax, over 3 seeds"));
    let starved = "Under joint training sound reaches 30.0 % by its own logits, 40.0 points below \
                   the 70.0 % it reaches under tcmax.";
    assert!(page.contains(starved), "the sentence on the starved modality");
    assert!(page.contains("91.0 ± 2.5"), "an interval of three seeds");
    assert!(page.contains("1.300 nats"), "the truth");
}

#[test]
fn the_page_stands_alone_and_escapes_text() {
    let page = report::html(&suite());
    assert!(!page.contains("<script"), "text is escaped");
    let outside = page.replace("http://www.w3.org/2000/svg", "");
    for reference in ["http://", "https://", "src=", "@import", "url("] {
        assert!(!outside.contains(reference), "{reference}");
    }
    assert!(page.matches("<svg").count() >= 7, "all charts are drawn");
    assert!(!page.contains("could not be drawn"));
    assert!(!page.contains("NaN"));
}

#[test]
fn models_of_several_modalities_are_shown_without_each() {
    assert!(!report::html(&suite()).contains("Without a modality"), "nothing was tried without");
    let mut result = suite();
    for run in &mut result.methods[1].runs {
        run.absence = Some(Absence {
            accuracy_without: vec![Some(0.81), Some(0.72)],
            accuracy_with_zeros: vec![Some(0.63), None],
            matching_auc: 0.875,
        });
    }
    for text in [report::html(&result), table::comparison(&result)] {
        for part in ["without sound %", "81.0 ± 0.0", "72.0 ± 0.0", "63.0 ± 0.0", "0.875 ± 0.000"]
        {
            assert!(text.contains(part), "'{part}' is not in\n{text}");
        }
        assert!(!text.contains("zeros for sight %"), "an empty column");
    }
}

#[test]
fn one_seed_and_no_epoch_are_shown_too() {
    let mut result = suite();
    result.truth = None;
    for method in &mut result.methods {
        method.runs.truncate(1);
        method.runs[0].history.clear();
    }
    let page = report::html(&result);
    assert!(page.contains("There are no finite values to draw."));
    result.methods.clear();
    assert!(report::html(&result).contains("</html>"));
}

#[test]
fn the_table_has_a_column_a_modality_and_the_truth() {
    let text = table::comparison(&suite());
    for part in ["sound %", "sight %", "70.0 ± 0.0", "–", "TC(all modalities, y)", "1.100 nats"]
    {
        assert!(text.contains(part), "'{part}' is not in\n{text}");
    }
    assert!(text.lines().all(|line| line.chars().count() <= 140), "fits 140 columns\n{text}");
}
