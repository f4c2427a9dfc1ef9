//! The report and the tables say what the numbers say and no more, stand alone, and survive odd numbers.

use tcmax_report::{html, markdown, table};
use tcmax_train::results::{Absence, FailedRun, StepCost, SuiteResult};

use crate::fixture::{set_accuracies, suite, words};

#[test]
fn the_page_reads_the_numbers() {
    let page = words(&html(&suite()));
    assert!(
        page.contains("best fused accuracy is 91.0 %, by tcmax, over 3 seeds: above every other")
    );
    let starved = "Under joint training sound reaches 30.0 % by its own logits, 40.0 points below \
                   the 70.0 % it reaches under tcmax (95% interval of the paired difference: 40.0 to \
                   40.0).";
    assert!(page.contains(starved), "the sentence on the starved modality");
    assert!(page.contains("91.0 ± 2.5"), "an interval of three seeds");
    assert!(page.contains("1.300 nats"), "the truth");
}

#[test]
fn differences_are_those_over_the_same_seeds() {
    let mut result = suite();
    // Seeds vary by ten points; tcmax is 2, 3 and 4 points better than joint in each.
    set_accuracies(&mut result.methods[0], &[0.70, 0.80, 0.75]);
    set_accuracies(&mut result.methods[1], &[0.72, 0.83, 0.79]);
    for text in [table::comparison(&result), words(&html(&result))] {
        assert!(text.contains("Differences to joint"), "{text}");
        // t = 3 sqrt(3) of 2 degrees of freedom: p = 0.035, twice that for two methods.
        assert!(text.contains("+3.0 ± 2.5 (p 0.070)"), "{text}");
    }
}

fn marked(page: &str) -> Vec<String> {
    let cells = page.split(r#"<td class="best">"#).skip(1);
    cells.map(|rest| words(rest.split("</td>").next().unwrap())).collect()
}

#[test]
fn only_a_winner_beyond_chance_is_marked() {
    let mut result = suite();
    for method in &mut result.methods {
        method.runs.iter_mut().for_each(|run| {
            run.test.total_correlation = None;
            run.test.modality_accuracy = vec![Some(0.5); 2];
            run.probe_accuracy = Vec::new();
        });
    }
    let page = |result: &SuiteResult| html(result);
    assert_eq!(marked(&page(&result)), ["91.0 ± 2.5"], "tcmax is ten points better in every seed");
    // A tie of two, exactly, and one by chance.
    let accuracies = [0.90, 0.91, 0.92];
    for others in [accuracies, [0.93, 0.90, 0.89]] {
        set_accuracies(&mut result.methods[0], &others);
        set_accuracies(&mut result.methods[1], &accuracies);
        let page = page(&result);
        assert_eq!(marked(&page), Vec::<String>::new());
        assert!(!page.contains("The best fused accuracy"), "no tie is called best");
    }
    // Single seeds tell nothing, and a single method is not the best of anything.
    let mut one = suite();
    one.methods.iter_mut().for_each(|method| method.runs.truncate(1));
    assert_eq!(marked(&html(&one)), Vec::<String>::new());
    let mut alone = suite();
    alone.methods.truncate(1);
    let page = html(&alone);
    assert_eq!(marked(&page), Vec::<String>::new());
    assert!(!words(&page).contains("best fused") && !words(&page).contains("Differences"));
    assert!(words(&page).contains("The fused accuracy of joint is 81.0 %, over 3 seeds."));
}

#[test]
fn warnings_and_notes_are_shown() {
    let mut result = suite();
    result.methods[1].runs[2].warnings.push("something is <odd>".to_owned());
    result.dataset.notes.push("3 clips were left out".to_owned());
    let page = html(&result);
    assert!(page.contains("tcmax, seed 2: something is &lt;odd&gt;"));
    assert!(page.contains("3 clips were left out"));
    let text = table::comparison(&result);
    assert!(text.contains("warning: tcmax, seed 2: something is <odd>"), "{text}");
    assert!(!html(&suite()).contains("Warnings"));
}

#[test]
fn what_was_chosen_is_shown() {
    let mut result = suite();
    assert!(!words(&html(&result)).contains("Chosen on"));
    for (run, weight) in result.methods[1].runs.iter_mut().zip(["0.1", "1.0", "0.1"]) {
        run.chosen = [("method.weight".to_owned(), weight.to_owned())].into();
    }
    let name = result.methods[1].name.clone();
    let line = format!("{name}: weight 0.1 (2), 1.0 (1)");
    assert!(words(&html(&result)).contains(&line));
    assert!(table::comparison(&result).contains(&line));
    assert!(markdown::comparison(&result).contains(&line));
}

#[test]
fn warnings_that_differ_in_numbers_alone_are_one() {
    let mut result = suite();
    for (method, seed, share) in [(0, 0, "97.4"), (1, 0, "9.5"), (1, 2, "100.0")] {
        let text = format!("'sound' memorises: right on {share} % of examples, not 40.0 %");
        result.methods[method].runs[seed].warnings.push(text);
    }
    let failed =
        FailedRun { seed: 3, fold: None, problem: "epoch 1, batch 2: the loss is NaN".to_owned() };
    result.methods[2].failed.push(failed);
    result.dataset.warnings.push("2 test examples have copies".to_owned());
    assert_eq!(
        table::warnings(&result),
        [
            "2 test examples have copies",
            "only sight, seed 3, failed: epoch 1, batch 2: the loss is NaN",
            "joint (seed 0); tcmax (seeds 0, 2): 'sound' memorises: right on 9.5 to 100.0 % of examples, not \
             40.0 %",
        ]
    );
    let page = words(&html(&result));
    let at = |text: &str| page.find(text).unwrap_or_else(|| panic!("'{text}' is not in {page}"));
    assert!(at("Warnings") < at("Results") && at("Results") < at("Settings"));
}

#[test]
fn classes_are_named_and_a_thousand_are_summed_up() {
    let page = html(&suite());
    assert!(words(&page).contains("1 yes"), "rows of the confusion have names");
    let mut result = suite();
    result.dataset.classes = (0..1000).map(|n| format!("class {n}")).collect();
    for run in result.methods.iter_mut().flat_map(|method| &mut method.runs) {
        run.test.confusion = vec![vec![0; 1000]; 1000];
        run.test.confusion[7][9] = 5;
        run.test.majority_rate = 0.001;
    }
    let page = html(&result);
    assert!(
        words(&page).contains("class 7class 915"),
        "the most frequent confusion, over three seeds"
    );
    assert!(page.len() < 200_000, "{} bytes", page.len());
}

#[test]
fn an_unbalanced_problem_shows_what_its_accuracy_is_worth() {
    assert!(!table::comparison(&suite()).contains("balanced %"), "balanced classes need no column");
    let mut result = suite();
    for method in &mut result.methods {
        for run in &mut method.runs {
            (run.test.balanced_accuracy, run.test.majority_rate) = (0.55, 0.97);
        }
    }
    for text in [words(&html(&result)), table::comparison(&result)] {
        for part in ["balanced %", "55.0", "most frequent class is right on 97.0 %"] {
            assert!(text.contains(part), "'{part}' is not in\n{text}");
        }
    }
}

#[test]
fn costs_show_the_range_over_runs() {
    let mut result = suite();
    let cost =
        |seconds: f64, runs: &[f64]| StepCost { seconds, runs: runs.to_vec(), peak_bytes: 4096 };
    result.methods[0].cost = Some(cost(0.010, &[0.009, 0.010, 0.012]));
    result.methods[1].cost = Some(cost(0.011, &[0.0099, 0.012, 0.0108]));
    for text in [words(&html(&result)), table::comparison(&result)] {
        assert!(text.contains("1.10 (0.90 to 1.20)"), "{text}");
    }
}

#[test]
fn the_page_stands_alone_and_escapes_text() {
    let page = html(&suite());
    assert!(!page.contains("<script"), "text is escaped");
    let outside = page.replace("http://www.w3.org/2000/svg", "");
    for reference in ["http://", "https://", "src=", "@import", "url("] {
        assert!(!outside.contains(reference), "{reference}");
    }
    // Two modalities and four of the training; the accuracies of two methods of both modalities and one of
    // one, fused and by modality.
    assert_eq!(page.matches("<svg").count(), 6, "all curves are drawn");
    assert_eq!(page.matches(r#"<i class="bar""#).count(), 8, "all bars are drawn");
    assert!(!page.contains("could not be drawn"));
    assert!(!page.contains("NaN"));
}

#[test]
fn models_of_several_modalities_are_shown_without_each() {
    assert!(!html(&suite()).contains("Without a modality"), "nothing was tried without");
    let mut result = suite();
    for run in &mut result.methods[1].runs {
        run.absence = Some(Absence {
            accuracy_without: vec![Some(0.81), Some(0.72)],
            accuracy_with_zeros: vec![Some(0.63), None],
            matching_auc: Some(0.875),
        });
    }
    for text in [words(&html(&result)), table::comparison(&result)] {
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
    let page = html(&result);
    assert!(page.contains("There are no finite values to draw."));
    result.methods.clear();
    assert!(html(&result).contains("</html>"));
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

#[test]
fn tables_of_six_modalities_fit_a_terminal() {
    let mut result = suite();
    let names = ["spectrogram", "face", "transcript", "gesture", "heart rate", "skin"];
    result.dataset.modalities = names.map(str::to_owned).to_vec();
    result.truth = None;
    for method in &mut result.methods {
        for run in &mut method.runs {
            run.test.modality_accuracy = vec![Some(0.5 + 0.01 * run.seed as f64); 6];
            run.probe_accuracy = vec![Some(0.5); 6];
        }
    }
    let text = table::comparison(&result);
    for line in text.lines().filter(|line| line.contains('│')) {
        assert!(line.chars().count() <= 100, "{line}");
    }
    for word in names.iter().flat_map(|name| name.split(' ')) {
        assert!(text.contains(word), "{word} is missing:\n{text}");
    }
}
