//! What a member gives to the others in a step.

use std::collections::BTreeMap;

use tcmax_parallel::{Purpose, Traffic};

use super::run::Run;

/// What had been given when the epochs of this process began, and how many steps had been made.
pub(super) struct Exchanged {
    before: Traffic,
    steps: usize,
}

impl Exchanged {
    pub(super) fn from_now(run: &Run<'_>) -> Self {
        Self { before: run.model.members().group().traffic(), steps: run.steps_before() }
    }

    /// Bytes of an average step since then, by purpose; empty without steps, or without others.
    pub(super) fn per_step(&self, run: &Run<'_>) -> BTreeMap<String, f64> {
        let group = run.model.members().group();
        let steps = run.steps_before() - self.steps;
        if steps == 0 || group.size() == 1 {
            return BTreeMap::new();
        }
        let given = group.traffic().since(&self.before);
        let of_step = |purpose: Purpose| given.of(purpose) as f64 / steps as f64;
        Purpose::ALL.map(|purpose| (purpose.name().to_owned(), of_step(purpose))).into()
    }
}

/// The same in a sentence.
pub(super) fn described(exchanged: &BTreeMap<String, f64>) -> Option<String> {
    if exchanged.is_empty() {
        return None;
    }
    let parts: Vec<String> = Purpose::ALL
        .iter()
        .filter_map(|purpose| Some((purpose.name(), *exchanged.get(purpose.name())?)))
        .filter(|(_, bytes)| *bytes > 0.0)
        .map(|(name, bytes)| format!("{name} {}", size(bytes)))
        .collect();
    Some(format!("each member gave the others, in a step: {}", parts.join(", ")))
}

fn size(bytes: f64) -> String {
    match bytes {
        ..1e3 => format!("{bytes:.0} bytes"),
        ..1e6 => format!("{:.1} kB", bytes / 1e3),
        _ => format!("{:.1} MB", bytes / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_given_is_said_in_the_order_of_purposes() {
        let given =
            [("loss", 160.0), ("gradients", 89_400_000.0), ("features", 0.0), ("control", 1_500.0)];
        let given = given.map(|(name, bytes)| (name.to_owned(), bytes)).into();
        let wanted = "each member gave the others, in a step: gradients 89.4 MB, loss 160 bytes, control 1.5 kB";
        assert_eq!(described(&given).as_deref(), Some(wanted));
        assert_eq!(described(&BTreeMap::new()), None);
    }
}
