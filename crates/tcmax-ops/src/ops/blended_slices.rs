//! The blend of conditional and joint log-likelihood for programs whose graph is another than candle's.

use candle_core::{Result, bail};

use crate::cpu::blend::{gradients, values};
use crate::cpu::element::Element;

const OP: &str = "blended_log_likelihood_of_slices";

/// The blend, its parts, and its gradients.
#[derive(Clone, Debug, PartialEq)]
pub struct BlendedSlices<T> {
    /// The blend.
    pub value: f64,
    /// The mean over the rows of the score at the label.
    pub own: f64,
    /// log sum over all tuples of rows, one for each term, and all columns, of exp of the sum of the terms.
    pub log_sum: f64,
    /// The gradient of the value by each term, each N x C numbers, row by row; none if they were not wanted.
    pub gradients: Vec<Vec<T>>,
}

/// As [`blended_log_likelihood`](crate::blended_log_likelihood), of any number of terms, each the N x C numbers of
/// f32 or f64 of a matrix, row by row; with gradients if `with_gradients`.
///
/// ```
/// use tcmax_ops::blended_log_likelihood_of_slices;
///
/// # fn main() -> candle_core::Result<()> {
/// let term = [1f64, 1.0, 1.0, 1.0];
/// let blended = blended_log_likelihood_of_slices(&[&term, &term], &[0, 1], 2, 0.5, true)?;
/// // Scores of 2 everywhere: the partition is 2 + log 2, the sum over 2 x 2 x 2 equal terms 2 + log 8.
/// let wanted = 2.0 - 0.5 * (2.0 + 2f64.ln()) - 0.5 * (2.0 + 8f64.ln());
/// assert!((blended.value - wanted).abs() < 1e-12);
/// // The label's score in the mean of two rows, less a half of its share of each sum.
/// assert!((blended.gradients[0][0] - (0.5 - 0.125 - 0.125)).abs() < 1e-12);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// When there is no term or no row, lengths differ, or a label is none of the columns.
pub fn blended_log_likelihood_of_slices<T: Element>(
    terms: &[&[T]],
    labels: &[u32],
    columns: usize,
    weight: f64,
    with_gradients: bool,
) -> Result<BlendedSlices<T>> {
    if terms.is_empty() || labels.is_empty() || columns == 0 {
        bail!("{OP}: there is no term, no row or no column");
    }
    let wanted = labels.len().saturating_mul(columns);
    if let Some(term) = terms.iter().find(|term| term.len() != wanted) {
        let (got, rows) = (term.len(), labels.len());
        bail!(
            "{OP}: a term has {got} numbers, and {rows} labels of {columns} columns need {wanted}"
        );
    }
    if let Some(row) = labels.iter().position(|&label| label as usize >= columns) {
        bail!("{OP}: row {row}: label {} of {columns} columns", labels[row]);
    }
    let kept = values(terms, labels, columns);
    let [own, _, log_sum] = kept.values;
    let gradients = match with_gradients {
        true => gradients(terms, labels, &kept, (weight, 1.0)),
        false => Vec::new(),
    };
    Ok(BlendedSlices { value: kept.blended(weight), own, log_sum, gradients })
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor, Var};

    use super::*;
    use crate::ops::log_sum_exp::{log_sum_exp, log_sum_exp_all};
    use crate::ops::sum_of::sum_of;

    #[test]
    fn any_number_of_terms_has_the_values_and_gradients_of_other_operations() {
        let (rows, columns, weight) = (6, 3, 0.3);
        let labels = [0u32, 2, 1, 1, 0, 2];
        for count in [1, 2, 5] {
            let vars: Vec<Var> = (0..count)
                .map(|_| Var::randn(0f64, 2.0, (rows, columns), &Device::Cpu).unwrap())
                .collect();
            let terms: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
            let scores = sum_of(&terms).unwrap();
            let column = Tensor::new(&labels, &Device::Cpu).unwrap().unsqueeze(1).unwrap();
            let own = scores.gather(&column, 1).unwrap().mean_all().unwrap();
            let partition = log_sum_exp(&scores, 1).unwrap().mean_all().unwrap();
            let sums: Vec<Tensor> = terms.iter().map(|t| log_sum_exp(t, 0).unwrap()).collect();
            let all = log_sum_exp_all(&sum_of(&sums).unwrap()).unwrap();
            let wanted = ((own - (partition * (1.0 - weight)).unwrap()).unwrap()
                - (all * weight).unwrap())
            .unwrap();
            let lists: Vec<Vec<f64>> =
                terms.iter().map(|t| t.flatten_all().unwrap().to_vec1().unwrap()).collect();
            let slices: Vec<&[f64]> = lists.iter().map(Vec::as_slice).collect();
            let found = blended_log_likelihood_of_slices(&slices, &labels, columns, weight, true);
            let found = found.unwrap();
            assert!((found.value - wanted.to_scalar::<f64>().unwrap()).abs() < 1e-12);
            let of_graph = wanted.backward().unwrap();
            for (var, found) in vars.iter().zip(&found.gradients) {
                let wanted = of_graph.get(var).unwrap().flatten_all().unwrap();
                let gaps = wanted.to_vec1::<f64>().unwrap().into_iter().zip(found);
                assert!(gaps.into_iter().all(|(a, b)| (a - b).abs() < 1e-12), "{count} terms");
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let term = [0.0f32; 6];
        let of = |terms: &[&[f32]], labels: &[u32], columns| {
            blended_log_likelihood_of_slices(terms, labels, columns, 1.0, false)
        };
        assert!(of(&[&term], &[0, 1, 1], 2).unwrap().gradients.is_empty());
        assert!(of(&[], &[0, 1, 1], 2).is_err());
        assert!(of(&[&term, &term[..4]], &[0, 1, 1], 2).is_err());
        let error = of(&[&term], &[0, 1, 2], 2).unwrap_err().to_string();
        assert!(error.contains("row 2"), "{error}");
    }
}
