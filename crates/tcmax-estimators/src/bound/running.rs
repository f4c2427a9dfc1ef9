//! log sum exp of numbers that come one by one, or from several members.

/// log sum exp of numbers that come one by one.
#[derive(Clone, Default)]
pub(super) struct RunningLogSum {
    /// The largest so far, and the sum of exponentials relative to it.
    state: Option<(f64, f64)>,
}

impl RunningLogSum {
    /// Adds a number.
    pub(super) fn add(&mut self, x: f64) {
        self.state = Some(match self.state {
            None => (x, 1.0),
            // Equal numbers first: of two infinite ones the difference is NaN.
            Some((top, sum)) if x == top => (top, sum + 1.0),
            Some((top, sum)) if x > top => (x, sum * (top - x).exp() + 1.0),
            Some((top, sum)) => (top, sum + (x - top).exp()),
        });
    }

    /// Adds the numbers of another sum.
    pub(super) fn merge(&mut self, other: &Self) {
        self.state = match (self.state, other.state) {
            (state, None) | (None, state) => state,
            (Some((top, sum)), Some((x, more))) if x == top => Some((top, sum + more)),
            (Some((top, sum)), Some((x, more))) if x > top => {
                Some((x, sum * (top - x).exp() + more))
            }
            (Some((top, sum)), Some((x, more))) => Some((top, sum + more * (x - top).exp())),
        };
    }

    /// The largest number and the sum relative to it; nothing where no number was added.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let numbers = self.state.map(|(top, sum)| [top, sum]).into_iter().flatten();
        numbers.flat_map(f64::to_le_bytes).collect()
    }

    /// What [`Self::to_bytes`] returned.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        match bytes.as_chunks::<8>() {
            ([], []) => Some(Self::default()),
            ([top, sum], []) => {
                Some(Self { state: Some((f64::from_le_bytes(*top), f64::from_le_bytes(*sum))) })
            }
            _ => None,
        }
    }

    /// The logarithm of the sum of exponentials.
    pub(super) fn value(&self) -> f64 {
        self.state.map_or(f64::NEG_INFINITY, |(top, sum)| top + sum.ln())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn running_sums_take_infinite_numbers() {
        let of = |numbers: &[f64]| {
            let mut sum = RunningLogSum::default();
            numbers.iter().for_each(|&x| sum.add(x));
            sum.value()
        };
        let (minus, plus) = (f64::NEG_INFINITY, f64::INFINITY);
        assert_eq!(of(&[]), minus);
        assert_eq!(of(&[minus, minus]), minus);
        assert_eq!(of(&[minus, minus, 0.0, minus]), 0.0);
        assert_eq!(of(&[plus, 3.0, plus]), plus);
        assert!((of(&[1.0, 1.0, minus]) - (1.0 + 2f64.ln())).abs() < 1e-15);
        assert!(of(&[0.0, f64::NAN, 1.0]).is_nan());
    }

    #[test]
    fn sums_of_parts_are_that_of_all() {
        let numbers = [3.0, -1.0, 700.0, 699.0, f64::NEG_INFINITY, 2.0];
        let of = |numbers: &[f64]| {
            let mut sum = RunningLogSum::default();
            numbers.iter().for_each(|&x| sum.add(x));
            sum
        };
        for split in 0..=numbers.len() {
            let mut sum = of(&numbers[..split]);
            let other = RunningLogSum::from_bytes(&of(&numbers[split..]).to_bytes()).unwrap();
            sum.merge(&other);
            assert!((sum.value() - of(&numbers).value()).abs() < 1e-12, "{split}");
        }
        assert!(RunningLogSum::from_bytes(&[0; 15]).is_none());
    }
}
