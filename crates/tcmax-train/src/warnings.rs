//! What to be wary of in the numbers of a finished run.

use crate::results::Evaluation;

/// What the numbers of one run are judged by.
pub(crate) struct Finished<'a> {
    /// Of the epoch whose weights were kept; absent where there is no validation split.
    pub(crate) validation: Option<&'a Evaluation>,
    pub(crate) test: &'a Evaluation,
    /// Accuracy of each modality's own logits on the training split, in evaluation mode.
    pub(crate) train_modality_accuracy: &'a [Option<f64>],
    /// Names of the modalities.
    pub(crate) modalities: &'a [String],
    /// Names of the classes.
    pub(crate) classes: &'a [String],
}

/// Validation above test by less than this says nothing.
const LARGE_GAP: f64 = 0.1;
/// Standard errors that chance does not explain; the validation accuracy is the best of many epochs,
/// which two would.
const MANY_ERRORS: f64 = 4.0;
/// A modality that fits the training split by this much better than the test split may memorise it.
const LARGE_FALL: f64 = 0.3;

impl Finished<'_> {
    /// Plain sentences, none when nothing is suspicious.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let mut found = Vec::new();
        found.extend(self.shifted());
        found.extend(self.unbalanced());
        found.extend((0..self.modalities.len()).filter_map(|m| self.memorised(m)));
        found
    }

    /// A validation accuracy that the test split does not confirm.
    fn shifted(&self) -> Option<String> {
        let (seen, unseen) = (self.validation?, self.test);
        let variance = |e: &Evaluation| e.accuracy * (1.0 - e.accuracy) / e.examples.max(1) as f64;
        let gap = seen.accuracy - unseen.accuracy;
        let error = (variance(seen) + variance(unseen)).sqrt();
        (gap > LARGE_GAP && gap > MANY_ERRORS * error).then(|| {
            format!(
                "the validation accuracy is {}, the test accuracy {}, further below than chance \
                 explains: the test split may differ from the others, or validation examples may have \
                 copies in the training split",
                percent(seen.accuracy),
                percent(unseen.accuracy)
            )
        })
    }

    /// An accuracy that the most frequent class alone gives.
    fn unbalanced(&self) -> Option<String> {
        let test = self.test;
        let (accuracy, majority) = (test.accuracy, test.majority_rate);
        let error = (majority * (1.0 - majority) / test.examples.max(1) as f64).sqrt();
        let balanced = percent(test.balanced_accuracy);
        if accuracy <= majority + 2.0 * error {
            let counts = test.confusion.iter().map(|row| row.iter().sum::<u32>());
            let largest =
                counts.enumerate().max_by_key(|(class, count)| (*count, usize::MAX - class));
            let class = largest.and_then(|(class, _)| self.classes.get(class))?;
            return Some(format!(
                "the test accuracy of {} is no better than always answering '{class}', which gives {}; \
                 the balanced accuracy is {balanced}",
                percent(accuracy),
                percent(majority)
            ));
        }
        (accuracy - test.balanced_accuracy > LARGE_GAP).then(|| {
            format!(
                "the test accuracy of {} comes from frequent classes: the balanced accuracy is \
                 {balanced}, and always answering the most frequent class gives {}",
                percent(accuracy),
                percent(majority)
            )
        })
    }

    /// A modality that tells the class of training examples and of hardly any other.
    fn memorised(&self, m: usize) -> Option<String> {
        let train = self.train_modality_accuracy.get(m).copied().flatten()?;
        let test = self.test.modality_accuracy.get(m).copied().flatten()?;
        let chance = self.test.majority_rate;
        let carried = test - chance < 0.5 * (train - chance);
        (train - test > LARGE_FALL && carried).then(|| {
            format!(
                "'{}' memorises: its own logits are right on {} of the training examples and on {} of \
                 the test examples",
                self.modalities[m],
                percent(train),
                percent(test)
            )
        })
    }
}

fn percent(fraction: f64) -> String {
    format!("{:.1} %", 100.0 * fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evaluation(confusion: [[u32; 2]; 2], own: f64) -> Evaluation {
        let total: u32 = confusion.iter().flatten().sum();
        let rows = confusion.map(|row| row.iter().sum::<u32>());
        let recall = |class: usize| f64::from(confusion[class][class]) / f64::from(rows[class]);
        Evaluation {
            examples: total as usize,
            accuracy: f64::from(confusion[0][0] + confusion[1][1]) / f64::from(total),
            balanced_accuracy: (recall(0) + recall(1)) / 2.0,
            majority_rate: f64::from(rows[0].max(rows[1])) / f64::from(total),
            modality_accuracy: vec![Some(own)],
            cross_entropy: Some(0.5),
            total_correlation: None,
            confusion: confusion.iter().map(|row| row.to_vec()).collect(),
            targets: None,
        }
    }

    fn warnings(validation: &Evaluation, test: &Evaluation, train: f64) -> Vec<String> {
        let (modalities, classes) = (["sound".to_owned()], ["ok".to_owned(), "ill".to_owned()]);
        let train_modality_accuracy = &[Some(train)];
        let (modalities, classes) = (&modalities, &classes);
        let validation = Some(validation);
        Finished { validation, test, train_modality_accuracy, modalities, classes }.warnings()
    }

    #[test]
    fn ordinary_runs_are_not_warned_of() {
        let validation = evaluation([[45, 5], [4, 46]], 0.85);
        let test = evaluation([[43, 7], [8, 42]], 0.8);
        assert_eq!(warnings(&validation, &test, 1.0), Vec::<String>::new());
        // Ten points on few examples are chance.
        let few = evaluation([[10, 0], [0, 10]], 0.85);
        let test = evaluation([[8, 2], [1, 9]], 0.8);
        assert_eq!(warnings(&few, &test, 1.0), Vec::<String>::new());
    }

    #[test]
    fn a_shifted_test_split_is_warned_of() {
        let validation = evaluation([[99, 1], [1, 99]], 0.9);
        let test = evaluation([[75, 25], [25, 75]], 0.7);
        let found = warnings(&validation, &test, 0.9);
        assert_eq!(found.len(), 1);
        assert!(found[0].contains("99.0 %") && found[0].contains("75.0 %"), "{}", found[0]);
    }

    #[test]
    fn an_unbalanced_problem_is_not_praised() {
        let test = evaluation([[969, 1], [24, 6]], 0.97);
        let found = warnings(&test, &test, 0.97);
        assert_eq!(found.len(), 1);
        let text = &found[0];
        assert!(
            text.contains("97.5 %") && text.contains("'ok'") && text.contains("97.0 %"),
            "{text}"
        );
        assert!(text.contains("balanced accuracy is 59.9 %"), "{text}");
        let better = evaluation([[900, 0], [40, 60]], 0.96);
        let found = warnings(&better, &better, 0.96);
        assert!(found.len() == 1 && found[0].contains("frequent classes"), "{found:?}");
    }

    #[test]
    fn a_modality_that_memorises_is_warned_of() {
        let test = evaluation([[48, 2], [3, 47]], 0.52);
        let found = warnings(&test, &test, 1.0);
        assert!(found.len() == 1 && found[0].starts_with("'sound' memorises"), "{found:?}");
        assert!(found[0].contains("100.0 %") && found[0].contains("52.0 %"));
    }
}
