//! Measures of exact laws: tables and Gaussian variables.

use super::terms::{Measure, Term};
use crate::error::Result;
use crate::exact::{Gaussian, JointTable};

/// The sum of the terms, from what groups of variables share.
fn sum(terms: &[Term], information: impl Fn(&[&[usize]]) -> Result<f64>) -> Result<f64> {
    let of_term = |term: &Term| {
        let groups: Vec<&[usize]> = term.groups.iter().map(Vec::as_slice).collect();
        Ok(term.weight * information(&groups)?)
    };
    terms.iter().map(of_term).sum()
}

impl JointTable {
    /// A measure of some of the variables, `given` others, nats.
    ///
    /// ```
    /// use tcmax_estimators::{JointTable, Measure};
    ///
    /// # fn main() -> tcmax_estimators::Result<()> {
    /// // Two fair bits and whether they differ: any two share nothing, all three a bit.
    /// let p = |s: usize| if s % 2 == (s / 4) ^ (s / 2 % 2) { 0.25 } else { 0.0 };
    /// let xor = JointTable::new(vec![2, 2, 2], (0..8).map(p).collect())?;
    /// let bits = |measure: Measure| Ok::<_, tcmax_estimators::Error>(
    ///     xor.measure(measure, &[0, 1, 2], &[])? / 2f64.ln(),
    /// );
    /// assert!((bits(Measure::TotalCorrelation)? - 1.0).abs() < 1e-14);
    /// assert!((bits(Measure::Dual)? - 2.0).abs() < 1e-14);
    /// assert!((bits(Measure::OInformation)? + 1.0).abs() < 1e-14);
    /// assert!((bits(Measure::Interaction)? + 1.0).abs() < 1e-14);
    /// let given = xor.measure(Measure::Conditional, &[0, 1], &[2])?;
    /// assert!((given - 2f64.ln()).abs() < 1e-14);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Measure::terms`], and when a variable does not exist.
    pub fn measure(&self, measure: Measure, variables: &[usize], given: &[usize]) -> Result<f64> {
        sum(&measure.terms(variables, given)?, |groups| {
            let single: f64 =
                groups.iter().map(|group| self.entropy(group)).sum::<Result<f64>>()?;
            Ok(single - self.entropy(&groups.concat())?)
        })
    }
}

impl Gaussian {
    /// A measure of groups of coordinates, each group one variable, `given` other coordinates, nats.
    ///
    /// # Errors
    /// As [`Measure::terms`], and when a coordinate does not exist or is named twice.
    pub fn measure(&self, measure: Measure, groups: &[&[usize]], given: &[usize]) -> Result<f64> {
        // The variables by number, the given ones together as the last.
        let variables: Vec<usize> = (0..groups.len()).collect();
        let of_given = Vec::from_iter((!given.is_empty()).then_some(groups.len()));
        let coordinates = |variables: &&[usize]| -> Vec<usize> {
            let of_variable = |&v: &usize| groups.get(v).copied().unwrap_or(given).iter().copied();
            variables.iter().flat_map(of_variable).collect()
        };
        sum(&measure.terms(&variables, &of_given)?, |groups| {
            let groups: Vec<Vec<usize>> = groups.iter().map(coordinates).collect();
            self.total_correlation(&groups.iter().map(Vec::as_slice).collect::<Vec<_>>())
        })
    }
}

#[cfg(test)]
mod tests {
    use rand::Rng;
    use tcmax_ops::Seed;

    use super::*;

    fn close(a: f64, b: f64) {
        assert!((a - b).abs() < 1e-12, "{a} is not {b}");
    }

    fn random_table(sizes: &[usize], seed: u64) -> JointTable {
        let mut rng = Seed::new(seed).rng();
        let weights: Vec<f64> =
            (0..sizes.iter().product()).map(|_| rng.random::<f64>().powi(3)).collect();
        let total: f64 = weights.iter().sum();
        JointTable::new(sizes.to_vec(), weights.iter().map(|w| w / total).collect()).unwrap()
    }

    fn subsets(n: usize) -> impl Iterator<Item = Vec<usize>> {
        (0u32..1 << n).map(move |set| (0..n).filter(|i| set >> i & 1 == 1).collect())
    }

    #[test]
    fn measures_of_random_tables_are_their_definitions_by_entropies() {
        for seed in 0..5 {
            let table = random_table(&[2, 3, 2, 2], seed);
            let h = |variables: &[usize]| table.entropy(variables).unwrap();
            let all = [0, 1, 2, 3];
            let of = |measure, variables: &[usize], given: &[usize]| {
                table.measure(measure, variables, given).unwrap()
            };
            let others = |i: usize| all.into_iter().filter(|&j| j != i).collect::<Vec<_>>();
            let whole = h(&all);
            let total = all.iter().map(|&i| h(&[i])).sum::<f64>() - whole;
            // H less what every variable keeps to itself.
            let dual = whole - all.iter().map(|&i| whole - h(&others(i))).sum::<f64>();
            close(of(Measure::TotalCorrelation, &all, &[]), total);
            close(of(Measure::Dual, &all, &[]), dual);
            close(of(Measure::OInformation, &all, &[]), total - dual);
            let sign = |set: &[usize]| if set.len() % 2 == 1 { 1.0 } else { -1.0 };
            let interaction: f64 = subsets(4).map(|set| sign(&set) * h(&set)).sum();
            close(of(Measure::Interaction, &all, &[]), interaction);
            let conditional = h(&[0, 2, 3]) + h(&[1, 2, 3]) - h(&[2, 3]) - whole;
            close(of(Measure::Conditional, &[0, 1], &[2, 3]), conditional);
            let given = h(&[0, 3]) + h(&[1, 3]) + h(&[2, 3]) - 2.0 * h(&[3]) - whole;
            close(of(Measure::Conditional, &[0, 1, 2], &[3]), given);
            // Of three variables both are I(a; b) - I(a; b | c), and the order of variables is free.
            let three = of(Measure::OInformation, &[2, 0, 1], &[]);
            close(three, of(Measure::Interaction, &[0, 1, 2], &[]));
            let given = of(Measure::Conditional, &[0, 1], &[2]);
            close(three, table.mutual_information(&[0], &[1]).unwrap() - given);
            close(of(Measure::Dual, &[3, 1], &[]), of(Measure::TotalCorrelation, &[1, 3], &[]));
        }
    }

    #[test]
    fn measures_of_gaussians_are_those_of_their_log_determinants() {
        let s = vec![2.0, 0.7, 0.3, 0.7, 1.5, -0.4, 0.3, -0.4, 1.0];
        let g = Gaussian::new(s).unwrap();
        let (a, b, c): (&[usize], &[usize], &[usize]) = (&[0], &[1], &[2]);
        let conditional = g.measure(Measure::Conditional, &[a, b], c).unwrap();
        close(conditional, g.conditional_mutual_information(a, b, c).unwrap());
        let shared = g.mutual_information(a, b).unwrap();
        close(g.measure(Measure::OInformation, &[a, b, c], &[]).unwrap(), shared - conditional);
        let total = g.total_correlation(&[a, b, c]).unwrap();
        let dual = g.measure(Measure::Dual, &[a, b, c], &[]).unwrap();
        close(total - dual, shared - conditional);
        // Groups of coordinates are variables.
        let pair = g.measure(Measure::Dual, &[&[0, 2], &[1]], &[]).unwrap();
        close(pair, g.mutual_information(&[0, 2], b).unwrap());
    }

    #[test]
    fn what_measures_cannot_be_taken_of_is_refused() {
        let table = random_table(&[2, 2, 2], 1);
        let refused = |measure, variables: &[usize], given: &[usize]| {
            table.measure(measure, variables, given).unwrap_err().to_string()
        };
        assert!(refused(Measure::OInformation, &[0, 1], &[]).contains("at least 3"));
        assert!(refused(Measure::Conditional, &[0, 1], &[]).contains("given"));
        assert!(refused(Measure::Dual, &[0, 1], &[2]).contains("no given"));
        assert!(refused(Measure::Conditional, &[0, 1], &[1]).contains("named twice"));
        assert!(refused(Measure::Interaction, &[0; 9], &[]).contains("at most 8"));
        assert!(refused(Measure::Dual, &[0, 5], &[]).contains("no variable 5"));
    }
}
