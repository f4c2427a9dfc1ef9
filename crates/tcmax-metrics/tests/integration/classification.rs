//! Metrics agree with their definitions, computed naively, and bad input is named.

use proptest::prelude::*;
use tcmax_metrics::{Classification, Error, Ranking, Summary};

/// Rows of logits on a coarse grid, so that there are ties, with labels.
fn rows() -> impl Strategy<Value = (usize, Vec<f64>, Vec<u32>)> {
    (1usize..6, 1usize..30).prop_flat_map(|(classes, rows)| {
        let logits = prop::collection::vec((-4i32..4).prop_map(f64::from), rows * classes);
        let labels = prop::collection::vec(0..classes as u32, rows);
        (Just(classes), logits, labels)
    })
}

fn softmax(row: &[f64]) -> Vec<f64> {
    let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = row.iter().map(|x| (x - largest).exp()).sum();
    row.iter().map(|x| (x - largest).exp() / sum).collect()
}

/// By all pairs.
fn naive_auroc(scores: &[f64], positive: &[bool]) -> f64 {
    let (mut right, mut pairs) = (0.0, 0.0);
    for (one, _) in scores.iter().zip(positive).filter(|(_, is)| **is) {
        for (other, _) in scores.iter().zip(positive).filter(|(_, is)| !**is) {
            right += if one > other { 1.0 } else { f64::from(u8::from(one == other)) / 2.0 };
            pairs += 1.0;
        }
    }
    right / pairs
}

/// By the precision at every positive's own score.
fn naive_average_precision(scores: &[f64], positive: &[bool]) -> f64 {
    let at = |threshold: f64| {
        let above = scores.iter().zip(positive).filter(|(score, _)| **score >= threshold);
        let right = above.clone().filter(|(_, is)| **is).count();
        right as f64 / above.count() as f64
    };
    let positives: Vec<f64> =
        scores.iter().zip(positive).filter(|(_, is)| **is).map(|(score, _)| at(*score)).collect();
    positives.iter().sum::<f64>() / positives.len() as f64
}

fn same(got: f64, wanted: f64) -> bool {
    (got.is_nan() && wanted.is_nan()) || (got - wanted).abs() < 1e-12
}

proptest! {
    #[test]
    fn naive_definitions_agree((classes, logits, labels) in rows()) {
        let metrics = Classification::of(&logits, &labels, classes).unwrap();
        let probabilities: Vec<Vec<f64>> = logits.chunks(classes).map(softmax).collect();
        for (class, scores) in metrics.classes.iter().enumerate() {
            let column: Vec<f64> = probabilities.iter().map(|row| row[class]).collect();
            let positive: Vec<bool> = labels.iter().map(|label| *label as usize == class).collect();
            prop_assert!(same(scores.auroc, naive_auroc(&column, &positive)));
            prop_assert!(same(scores.average_precision, naive_average_precision(&column, &positive)));
            let ranking = Ranking::of(&column, &positive).unwrap();
            prop_assert!(same(ranking.auroc, scores.auroc));
            prop_assert_eq!(scores.support as usize, positive.iter().filter(|is| **is).count());
        }
        let rows = probabilities.iter().zip(&labels);
        let loss = rows.map(|(row, label)| -row[*label as usize].ln()).sum::<f64>();
        prop_assert!(same(metrics.summary.log_loss, loss / labels.len() as f64));
        prop_assert_eq!(metrics.top_k[0], metrics.summary.accuracy);
        prop_assert!(same(metrics.top_k[classes.min(10) - 1], 1.0));
        prop_assert!(same(metrics.summary.micro_average.f1, metrics.summary.accuracy));
        prop_assert!(same(metrics.summary.weighted_average.recall, metrics.summary.accuracy));
    }

    #[test]
    fn no_bits_depend_on_the_number_of_threads((classes, logits, labels) in rows()) {
        let of = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let metrics = pool.install(|| Classification::of(&logits, &labels, classes).unwrap());
            serde_json::to_string(&metrics).unwrap()
        };
        prop_assert_eq!(of(1), of(3));
    }

    #[test]
    fn nothing_panics(
        logits in prop::collection::vec(any::<f64>(), 0..20),
        labels in prop::collection::vec(0u32..5, 0..8),
        classes in 0usize..5,
    ) {
        let _ = Classification::of(&logits, &labels, classes);
        let _ = Classification::of_probabilities(&logits, &labels, classes);
        let _ = tcmax_metrics::Temperature::fit(&logits, &labels, classes);
    }
}

#[test]
fn bad_rows_are_named() {
    let of = |logits: &[f64], labels: &[u32], classes| {
        Classification::of(logits, labels, classes).unwrap_err().to_string()
    };
    assert_eq!(
        of(&[0.0, 1.0, f64::NAN, 0.0], &[0, 1], 2),
        "row 1, column 0: the logit is NaN; wanted a finite number or -inf"
    );
    assert_eq!(
        of(&[0.0; 4], &[0, 2], 2),
        "row 1: label 2 is out of range; with 2 classes labels are 0 to 1"
    );
    assert_eq!(of(&[0.0; 5], &[0, 1], 2), "scores: got 5 values, wanted 4 (2 rows of 2)");
    assert_eq!(of(&[], &[], 2), "the list of labels is empty; at least one row is needed");
    let nothing = [f64::NEG_INFINITY; 2];
    assert_eq!(Classification::of(&nothing, &[0], 2), Err(Error::NoClass { row: 0 }));
    let probabilities =
        |p: &[f64]| Classification::of_probabilities(p, &[0, 1], 2).unwrap_err().to_string();
    assert!(
        probabilities(&[0.5, 0.5, 2.0, 1.0]).starts_with("row 1, column 0: the probability is 2")
    );
    assert!(
        probabilities(&[0.5, 0.5, 0.5, 0.3]).starts_with("row 1: the probabilities sum to 0.8")
    );
}

#[test]
fn what_is_certain_is_not_rounded_away() {
    // log(1 + exp(-50)) is below the precision of a probability.
    let metrics = Classification::of(&[50.0, 0.0, 0.0, 50.0], &[0, 1], 2).unwrap();
    assert_eq!(metrics.summary.log_loss, (-50f64).exp());
    let wrong = Classification::of(&[1000.0, 0.0], &[1], 2).unwrap();
    assert_eq!(wrong.summary.log_loss, 1000.0);
    assert!((wrong.summary.log_loss_clipped - 36.04365338911715).abs() < 1e-12);
    let excluded = Classification::of(&[0.0, f64::NEG_INFINITY], &[1], 2).unwrap();
    assert_eq!(excluded.summary.log_loss, f64::INFINITY);
}

#[test]
fn undefined_metrics_are_null_and_come_back_as_nan() {
    let metrics = Classification::of(&[1.0, 0.0, 0.0], &[0], 3).unwrap();
    let text = serde_json::to_string(&metrics).unwrap();
    assert!(text.contains(r#""auroc_macro":null"#) && text.contains(r#""recall":null"#), "{text}");
    let read: Classification = serde_json::from_str(&text).unwrap();
    assert!(read.summary.auroc_macro.is_nan() && read.classes[2].f1.is_nan());
    assert_eq!(serde_json::to_string(&read).unwrap(), text);
    assert!(serde_json::from_str::<Summary>("{}").is_err());
}

#[test]
fn many_classes_take_no_square_of_memory() {
    // A dense confusion matrix would have 10^10 cells.
    let classes = 100_000;
    let mut logits = vec![0.0; 2 * classes];
    logits[7] = 1.0;
    let metrics = Classification::of(&logits, &[7, 99_999], classes).unwrap();
    assert_eq!(metrics.summary.accuracy, 0.5);
    assert_eq!(metrics.confusion.cells().count(), 2);
}
