//! A leaderboard marks what chance does not explain, ranks over the data sets, and leaves nothing out in silence.

use tcmax_report::leaderboard::{BoardSet, Leaderboard, html, markdown};
use tcmax_train::results::{Absence, FailedRun, SuiteResult};

use crate::fixture::{set_accuracies, suite, words};

fn set(name: &str, change: impl Fn(&mut SuiteResult)) -> BoardSet {
    let mut result = suite();
    result.methods[2].name = "ogm".to_owned();
    for (n, accuracies) in
        [[0.80, 0.81, 0.82], [0.90, 0.91, 0.93], [0.80, 0.80, 0.84]].iter().enumerate()
    {
        set_accuracies(&mut result.methods[n], accuracies);
    }
    change(&mut result);
    BoardSet { name: name.to_owned(), about: "Pairs.".to_owned(), result, undefined: Vec::new() }
}

fn board(sets: Vec<BoardSet>) -> Leaderboard {
    let settings = vec![("plan.toml".to_owned(), "a = 1\nb = 2".to_owned())];
    Leaderboard { title: "Board".to_owned(), notes: vec!["A note.".to_owned()], sets, settings }
}

#[test]
fn only_what_chance_does_not_explain_is_bold() {
    let board = board(vec![set("one", |_| {}), set("two", |_| {})]);
    let text = markdown(&board);
    let summary = text.split("\n## ").nth(1).unwrap();
    let row = |name: &str| {
        let wanted = format!("| {name} |");
        summary.lines().find(|line| line.starts_with(&wanted)).unwrap().to_owned()
    };
    // Ten, ten and eleven points; 0, -1 and 2.
    assert!(
        row("tcmax").starts_with("| tcmax | **+10.3 ± 1.4** | **+10.3 ± 1.4** | 1.0 |"),
        "{summary}"
    );
    assert!(row("joint").starts_with("| joint | 81.0 % | 81.0 % |"), "{summary}");
    assert!(row("ogm").starts_with("| ogm | +0.3 ± "), "{summary}");
    assert!(summary.contains("Mean rank: over 2 data sets, of 3 methods"), "{summary}");
    let page = html(&board);
    assert_eq!(
        page.matches(r#"<td class="best">"#).count(),
        4,
        "twice in the summary, once in each table"
    );
    assert!(words(&page).contains("A note.") && page.contains("<details>"));
}

#[test]
fn ranks_of_two_modalities_are_apart_and_what_is_lacking_is_said() {
    let three = set("three", |result| {
        result.dataset.modalities.push("touch".to_owned());
        result.methods.pop();
        let problem = "the loss is not finite".to_owned();
        result.methods[1].failed = vec![FailedRun { seed: 9, fold: None, problem }];
    });
    let undefined = vec![("ogm".to_owned(), "it needs two modalities".to_owned())];
    let three = BoardSet { undefined, ..three };
    let text = markdown(&board(vec![set("one", |_| {}), set("two", |_| {}), three]));
    for part in [
        "mean rank, two modalities",
        "| ogm | +0.3",
        "| not defined | – |",
        "(1 failed)",
        "- tcmax: 1 of 4 runs failed: the loss is not finite.",
        "- ogm is not defined for these data: it needs two modalities.",
    ] {
        assert!(text.contains(part), "no '{part}' in {text}");
    }
}

#[test]
fn a_table_has_what_the_runs_have() {
    let one = set("one", |result| {
        for run in result.methods.iter_mut().flat_map(|method| &mut method.runs) {
            run.contributions = Some(vec![Some(0.5), Some(0.2)]);
            run.probe_accuracy = vec![Some(0.7), Some(0.6)];
            let (without, zeros) = (vec![Some(0.4), Some(0.5)], vec![None, None]);
            run.absence = Some(Absence {
                accuracy_without: without,
                accuracy_with_zeros: zeros,
                matching_auc: None,
            });
        }
        for (run, rate) in result.methods[1].runs.iter_mut().zip(["0.05", "0.02", "0.05"]) {
            run.chosen = [("optimiser.learning-rate".to_owned(), rate.to_owned())].into();
            run.parameters = Some(1_024);
        }
    });
    let text = markdown(&board(vec![one]));
    let table = text.split("\n## ").nth(2).unwrap();
    let row = table.lines().find(|line| line.starts_with("| tcmax |")).unwrap();
    let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
    assert_eq!(cells[1], "3");
    let header = table.lines().find(|line| line.starts_with("| method |")).unwrap();
    let names: Vec<&str> = header.trim_matches('|').split('|').map(str::trim).collect();
    let cell = |name: &str| cells[names.iter().position(|other| *other == name).unwrap()];
    assert!(cell("Shapley imbalance, points").starts_with("30.0"), "{table}");
    assert!(cell("worst probe %").starts_with("60.0"), "{table}");
    assert!(cell("one missing %").starts_with("45.0"), "{table}");
    assert_eq!(cell("extra parameters"), "24");
    assert_eq!(cell("chosen"), "learning-rate 0.05 (2), 0.02 (1)");
}
