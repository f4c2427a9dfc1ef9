//! Cases of bounds, critics and closed forms.

use candle_core::Tensor;
use tcmax_estimators::bound::{
    diagonal, donsker_varadhan, info_nce, jensen_shannon, nwj, off_diagonal, smile,
    symmetric_info_nce,
};
use tcmax_estimators::critic::{Activation, ConcatCritic, Mlp};
use tcmax_estimators::{Critic, Gaussian, Tuples};

use super::case::Case;

/// Bounds on a matrix of pair scores, with their gradients.
pub fn bounds(case: &Case) -> anyhow::Result<()> {
    let tau: f64 = case.number("tau")?;
    let scores = case.variable("input.scores")?;
    let (joint, off) = (diagonal(&scores)?, off_diagonal(&scores)?);
    let all = scores.flatten_all()?;
    let bounds = [
        ("infonce", info_nce(&scores)?),
        ("infonce_sym", symmetric_info_nce(&scores)?),
        ("nwj", nwj(&joint, &off)?),
        ("dv", donsker_varadhan(&joint, &off)?),
        ("dv_all", donsker_varadhan(&joint, &all)?),
        ("smile", smile(&joint, &off, tau)?),
        ("smile_all", smile(&joint, &all, tau)?),
        ("js", jensen_shannon(&joint, &off)?),
    ];
    for (name, value) in bounds {
        case.check(&format!("output.{name}"), &value)?;
        let gradients = value.backward()?;
        let prefix = format!("grad.{name}");
        // Every gradient is with respect to the scores; the empty rest of the name stands for them.
        if let Some(gradient) = gradients.get(&scores) {
            case.check(&prefix, gradient)?;
        }
    }
    Ok(())
}

/// The Donsker-Varadhan bound of a small network over all tuples and over permutations.
pub fn tcne(case: &Case) -> anyhow::Result<()> {
    let mut layers = Vec::new();
    for layer in ["fc1", "fc2"] {
        let part = |part: &str| case.variable(&format!("weight.{layer}.{part}"));
        layers.push((part("weight")?, part("bias")?));
    }
    let count = case.names().iter().filter(|name| name.starts_with("input.x")).count();
    let variables = (0..count)
        .map(|m| case.variable(&format!("input.x{m}")))
        .collect::<anyhow::Result<Vec<Tensor>>>()?;
    let widths = variables.iter().map(|x| x.dim(1)).collect::<candle_core::Result<Vec<_>>>()?;
    let critic =
        ConcatCritic::from_parts(&widths, Mlp::from_tensors(layers, Activation::Relu)?, None)?;
    let joint = critic.scores(&variables)?.squeeze(1)?;
    case.check("output.pos", &joint)?;
    let examples = joint.elem_count();
    let all = Tuples::all(examples, count)?;
    for (kind, tuples) in [("product", all), ("perm", permutations(case, examples)?)] {
        let product = critic.scores(&tuples.gather(&variables)?)?.squeeze(1)?;
        let bound = donsker_varadhan(&joint, &product)?;
        case.check(&format!("output.dv_{kind}"), &bound)?;
        if kind == "product" {
            case.check("output.nwj_product", &nwj(&joint, &product)?)?;
        }
        let gradients = bound.backward()?;
        for quantity in case.names() {
            let Some(name) = quantity.strip_prefix(&format!("grad_{kind}.")) else { continue };
            let origin = if name.starts_with('x') { "input" } else { "weight" };
            let input = case.variable(&format!("{origin}.{name}"))?;
            // The last bias cancels between the two terms, so that nothing arrives there.
            let zero = input.zeros_like()?;
            case.check(quantity, gradients.get(&input).unwrap_or(&zero))?;
        }
    }
    Ok(())
}

/// The identity for the first variable, the recorded permutations (K, n - 1, B) for the others.
fn permutations(case: &Case, examples: usize) -> anyhow::Result<Tuples> {
    let recorded = case.recorded("input.permutations")?.to_vec3::<i64>()?;
    let identity: Vec<u32> = (0..examples as u32).collect();
    let with_first = |others: &Vec<Vec<i64>>| {
        let others = others.iter().map(|rows| rows.iter().map(|&row| row as u32).collect());
        std::iter::once(identity.clone()).chain(others).collect::<Vec<_>>()
    };
    Ok(Tuples::from_permutations(&recorded.iter().map(with_first).collect::<Vec<_>>())?)
}

/// Total correlations of Gaussians; the closed form is computed in double precision only.
pub fn gaussian(case: &Case) -> anyhow::Result<()> {
    for name in case.names() {
        let matrix = name.strip_prefix("input.R.").or(name.strip_prefix("input.S."));
        let Some(matrix) = matrix else { continue };
        let values = case.recorded(name)?.flatten_all()?.to_vec1()?;
        let gaussian = Gaussian::new(values)?;
        let single: Vec<[usize; 1]> = (0..gaussian.dim()).map(|i| [i]).collect();
        let groups: Vec<&[usize]> = single.iter().map(<[usize; 1]>::as_slice).collect();
        case.check_value(&format!("output.tc.{matrix}"), gaussian.total_correlation(&groups)?)?;
        // Blocks of sizes 2, 2 and 1 of the one covariance that is not a correlation.
        if name.starts_with("input.S.") && gaussian.dim() == 5 && case.has("output.tc.block") {
            let block = gaussian.total_correlation(&[&[0, 1], &[2, 3], &[4]])?;
            case.check_value("output.tc.block", block)?;
        }
    }
    Ok(())
}
