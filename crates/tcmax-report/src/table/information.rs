//! What features share with the class and with each other, under the kept weights.

use tcmax_train::results::{FeatureInformation, InformationBound, SuiteResult};

use crate::table::column::{Column, ColumnKind};

/// What the columns are.
pub(super) const NOTE: &str = "Lower bounds in nats under the kept weights, with critics fitted to training examples \
                               and measured on the test split: what the features z of each modality tell of the class \
                               y, what all tell together, what modalities share, and what of it is beyond the class. \
                               'train': the same of training examples that the critic was not fitted to; far above \
                               the value of the test split, the features memorise. TC is the larger of what \
                               modalities share and what all tell of the class, and of what each tells and what is \
                               shared beyond the class. 'head' is the bound that the model's \
                               own head gives. A head that is a sum of logits never sees which features came with \
                               which: it bounds the sum of the I(y; z) of the modalities, never more, and TC can \
                               only be larger.";

/// The columns: of more than two modalities no pairs, which the page shows as bars.
pub(super) fn columns(result: &SuiteResult) -> Vec<Column> {
    let names = &result.dataset.modalities;
    let column = |heading: String, value: &dyn Fn(&FeatureInformation) -> Option<f64>| {
        let what = (heading, ColumnKind::Further, 2);
        Column::over_runs(result, what, 1.0, &|run| value(run.information.as_ref()?))
    };
    let mut all = Vec::new();
    let mut both = |name: &str, bound: &dyn Fn(&FeatureInformation) -> Option<InformationBound>| {
        all.push(column(name.to_owned(), &|found| Some(bound(found)?.held_out)));
        all.push(column(format!("train {name}"), &|found| bound(found)?.train));
    };
    for (m, name) in names.iter().enumerate() {
        both(&format!("I(y; {name})"), &|found| found.label.get(m).copied().flatten());
    }
    both("I(y; all)", &|found| Some(found.joint_label).filter(|_| found.shared.is_some()));
    let held_out = |bound: Option<InformationBound>| Some(bound?.held_out);
    if let [a, b] = &names[..] {
        all.push(column(format!("I({a}; {b})"), &|found| held_out(found.shared)));
        let beyond = |found: &FeatureInformation| held_out(Some(found.pairs.first()?.given_label));
        all.push(column(format!("I({a}; {b} | y)"), &beyond));
    } else {
        all.push(column("I(all modalities)".to_owned(), &|found| held_out(found.shared)));
    }
    all.push(column("TC".to_owned(), &|found| {
        held_out(Some(found.total_correlation)).filter(|_| found.shared.is_some())
    }));
    let head = |found: &FeatureInformation, additive: bool| {
        found.head_bound.filter(|_| found.head_is_additive == additive)
    };
    all.push(column("head: sum of I(y; z)".to_owned(), &|found| head(found, true)));
    all.push(column("head: TC".to_owned(), &|found| head(found, false)));
    all
}
