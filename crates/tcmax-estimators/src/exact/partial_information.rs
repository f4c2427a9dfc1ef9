//! What two sources tell of a target: together, each alone, and only both at once.
//!
//! ```text
//! I(s; a)      = redundant + unique_a
//! I(s; b)      = redundant + unique_b
//! I(s; (a, b)) = redundant + unique_a + unique_b + synergistic                        (nats)
//! ```
//!
//! (Williams and Beer 2010, "Nonnegative decomposition of multivariate information"). Three equations for four
//! parts: a definition of one of them has to be added, and there is no agreement which.
//!
//! *I_min* (Williams and Beer 2010) says that what is redundant is the least that any source tells of each
//! state of the target, whether or not it is the same:
//!
//! ```text
//! redundant = sum_s p(s) min_i sum_x p(x_i = x | s) log (p(s | x_i = x) / p(s))
//! ```
//!
//! Of two independent fair bits and their copy it calls log 2 redundant, which many find wrong.
//!
//! *BROJA* (Bertschinger, Rauh, Olbrich, Jost and Ay 2014, "Quantifying unique information"; Griffith and Koch
//! 2014) says that what is unique depends on the laws of (s, a) and of (s, b) alone. Of all joint laws q with
//! these two, the one with the least I_q(s; (a, b)) has no synergy. In the example it calls nothing redundant.

use serde::Serialize;

use super::broja::least_information;
use super::counts::states;
use super::discrete::JointTable;
use super::plug_in::States;
use crate::error::{Error, Result};
use crate::sample::Sample;

/// A definition of what is redundant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Redundancy {
    /// I_min of Williams and Beer.
    IMin,
    /// That of Bertschinger, Rauh, Olbrich, Jost and Ay.
    Broja,
}

/// What two sources tell of a target, in four parts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct PartialInformation {
    /// What either tells, nats.
    pub redundant: f64,
    /// What the first alone tells, and the second, nats.
    pub unique: [f64; 2],
    /// What only both together tell, nats.
    pub synergistic: f64,
    /// No part is further from its exact value than this, nats; 0 but for the numerical search of
    /// [`Redundancy::Broja`].
    pub gap: f64,
}

/// More entries of a table are refused: they would take minutes, and no sample fills them.
const MOST_ENTRIES: usize = 1 << 18;

impl JointTable {
    /// The frequencies of the classes of a sample's variables. Plug-in: from N rows, information is too large
    /// by about the number of combinations of classes / 2N.
    ///
    /// # Errors
    /// When a variable is made of numbers, or the table would have more than 2^18 entries.
    pub fn of_sample(sample: &Sample) -> Result<Self> {
        let rows = sample.len();
        let variables = sample.variables().iter().map(states).collect::<Result<Vec<States>>>()?;
        let sizes: Vec<usize> = variables.iter().map(States::len).collect();
        let entries = sizes.iter().try_fold(1usize, |all, &size| all.checked_mul(size));
        let Some(entries) = entries.filter(|&entries| entries <= MOST_ENTRIES) else {
            let problem = format!(
                "{sizes:?} classes make more than {MOST_ENTRIES} combinations; merge classes"
            );
            return Err(Error::Setting { field: "table", problem });
        };
        let mut counts = vec![0u32; entries];
        for row in 0..rows {
            let of_variable =
                |at: usize, (v, &size): (&States, &usize)| at * size + v.state(row) as usize;
            counts[variables.iter().zip(&sizes).fold(0, of_variable)] += 1;
        }
        Self::new(sizes, counts.iter().map(|&count| f64::from(count) / rows as f64).collect())
    }

    /// What two groups of variables tell of a third, the target, in four parts.
    ///
    /// ```
    /// use tcmax_estimators::JointTable;
    /// use tcmax_estimators::exact::Redundancy;
    ///
    /// # fn main() -> tcmax_estimators::Result<()> {
    /// // Whether two fair bits differ: only both together tell it.
    /// let p = |s: usize| if s % 2 == (s / 4) ^ (s / 2 % 2) { 0.25 } else { 0.0 };
    /// let xor = JointTable::new(vec![2, 2, 2], (0..8).map(p).collect())?;
    /// let parts = xor.partial_information([&[0], &[1]], &[2], Redundancy::Broja)?;
    /// assert!((parts.synergistic - 2f64.ln()).abs() < 1e-6);
    /// assert!(parts.redundant.abs() < 1e-6 && parts.unique.iter().all(|part| part.abs() < 1e-6));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When a variable does not exist, or the search of [`Redundancy::Broja`] does not come within 10^-3
    /// nats of its end.
    pub fn partial_information(
        &self,
        [a, b]: [&[usize]; 2],
        target: &[usize],
        redundancy: Redundancy,
    ) -> Result<PartialInformation> {
        let of_a = self.mutual_information(target, a)?;
        let of_b = self.mutual_information(target, b)?;
        let both = self.mutual_information(target, &[a, b].concat())?;
        let (redundant, gap) = match redundancy {
            Redundancy::IMin => (self.least_specific([a, b], target)?, 0.0),
            Redundancy::Broja => {
                let sizes = [target, a, b].map(|group| self.states(group));
                let joint = self.marginal(&[target, a, b].concat())?;
                let (least, gap) = least_information(&joint, sizes)?;
                (of_a + of_b - least.min(both), gap)
            }
        };
        Ok(PartialInformation {
            redundant,
            unique: [of_a - redundant, of_b - redundant],
            synergistic: both + redundant - of_a - of_b,
            gap,
        })
    }

    /// I_min: sum_s p(s) min_i I(S = s; x_i).
    fn least_specific(&self, sources: [&[usize]; 2], target: &[usize]) -> Result<f64> {
        let of_target = self.marginal(target)?;
        let mut least = vec![f64::INFINITY; of_target.len()];
        for source in sources {
            let of_source = self.marginal(source)?;
            let joint = self.marginal(&[target, source].concat())?;
            for (s, of_state) in joint.chunks_exact(of_source.len()).enumerate() {
                let p = of_target[s];
                let term = |(&both, &x): (&f64, &f64)| match both > 0.0 {
                    true => both * (both / (p * x)).ln(),
                    false => 0.0,
                };
                // p(s) I(S = s; x).
                let specific: f64 = of_state.iter().zip(&of_source).map(term).sum();
                least[s] = least[s].min(specific);
            }
        }
        Ok(least.iter().sum())
    }
}

#[cfg(test)]
mod tests {
    use rand::Rng;
    use tcmax_ops::Seed;

    use super::*;
    use crate::sample::Variable;

    /// Two fair bits a and b and a target of them.
    fn gate(states: usize, target: impl Fn(usize, usize) -> usize) -> JointTable {
        let mut table = vec![0.0; 4 * states];
        for (a, b) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            table[(2 * a + b) * states + target(a, b)] += 0.25;
        }
        JointTable::new(vec![2, 2, states], table).unwrap()
    }

    /// In bits: redundant, unique, unique, synergistic.
    fn bits(table: &JointTable, redundancy: Redundancy) -> [f64; 4] {
        let found = table.partial_information([&[0], &[1]], &[2], redundancy).unwrap();
        let [first, second] = found.unique;
        [found.redundant, first, second, found.synergistic].map(|part| part / 2f64.ln())
    }

    fn close(got: [f64; 4], wanted: [f64; 4]) {
        let near = got.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 2e-6);
        assert!(near, "{got:?} is not {wanted:?}");
    }

    #[test]
    fn gates_have_their_published_parts() {
        // H(1/4) - 1/2
        let and = 0.75 * (4.0f64 / 3.0).log2();
        for redundancy in [Redundancy::IMin, Redundancy::Broja] {
            close(bits(&gate(2, |a, b| a ^ b), redundancy), [0.0, 0.0, 0.0, 1.0]);
            close(bits(&gate(2, |a, b| a & b), redundancy), [and, 0.0, 0.0, 0.5]);
            // What is told by the first source alone.
            close(bits(&gate(2, |a, _| a), redundancy), [0.0, 1.0, 0.0, 0.0]);
        }
        // The copy of both, which the definitions disagree on.
        let copy = gate(4, |a, b| 2 * a + b);
        close(bits(&copy, Redundancy::IMin), [1.0, 0.0, 0.0, 1.0]);
        close(bits(&copy, Redundancy::Broja), [0.0, 1.0, 1.0, 0.0]);
        // Three times the same bit.
        let mut same = vec![0.0; 8];
        (same[0], same[7]) = (0.5, 0.5);
        let same = JointTable::new(vec![2, 2, 2], same).unwrap();
        close(bits(&same, Redundancy::Broja), [1.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn parts_of_random_tables_add_up_are_not_negative_and_know_no_order() {
        for (seed, sizes) in [(1, [2, 2, 2]), (2, [3, 4, 2]), (3, [4, 2, 3]), (4, [3, 3, 3])] {
            let mut rng = Seed::new(seed).rng();
            let [a, b, s] = sizes;
            let weights: Vec<f64> = (0..a * b * s).map(|_| rng.random::<f64>().powi(4)).collect();
            let total: f64 = weights.iter().sum();
            let table: Vec<f64> = weights.iter().map(|w| w / total).collect();
            let table = JointTable::new(sizes.to_vec(), table).unwrap();
            for redundancy in [Redundancy::IMin, Redundancy::Broja] {
                let of = |sources| table.partial_information(sources, &[2], redundancy).unwrap();
                let parts = of([&[0], &[1]]);
                let other = of([&[1], &[0]]);
                assert!((parts.redundant - other.redundant).abs() < 1e-5, "{parts:?} {other:?}");
                assert!((parts.unique[0] - other.unique[1]).abs() < 1e-5);
                let all = [parts.redundant, parts.unique[0], parts.unique[1], parts.synergistic];
                assert!(all.iter().all(|part| *part > -1e-5), "{redundancy:?}: {parts:?}");
                let sum: f64 = all.iter().sum();
                let both = table.mutual_information(&[0, 1], &[2]).unwrap();
                assert!((sum - both).abs() < 1e-12);
                assert!(parts.gap < 1e-5);
            }
        }
    }

    #[test]
    fn samples_become_tables_and_too_many_classes_are_refused() {
        let a = Variable::categorical("a", &[0.0, 0.0, 1.0, 1.0]).unwrap();
        let b = Variable::categorical("b", &[0.5, 2.5, 0.5, 0.5]).unwrap();
        let table = JointTable::of_sample(&Sample::new(vec![a, b]).unwrap()).unwrap();
        let [h, of_b] = [vec![0, 1], vec![1]].map(|group| table.entropy(&group).unwrap());
        assert!((h - (2.0 * 0.25 * 4f64.ln() + 0.5 * 2f64.ln())).abs() < 1e-14);
        assert!((of_b - (0.25 * 4f64.ln() - 0.75 * 0.75f64.ln())).abs() < 1e-14);
        let many: Vec<f64> = (0..1000).map(f64::from).collect();
        let many = Variable::categorical("many", &many).unwrap();
        let sample = Sample::new(vec![many.clone(), many]).unwrap();
        let error = JointTable::of_sample(&sample).unwrap_err().to_string();
        assert!(error.contains("merge classes"), "{error}");
    }
}
