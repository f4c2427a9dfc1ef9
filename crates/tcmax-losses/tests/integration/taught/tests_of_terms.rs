//! The terms of losses: gradients and definitions.

use super::*;

#[test]
fn divergences_and_gaps_have_the_gradients_of_their_values() {
    each(CLASSES, |logits, what| {
        let teacher = random(logits[0].dim(0).unwrap(), CLASSES, 2.0, 3);
        for temperature in [1.0, 2.5] {
            assert_gradient(&logits[..1], &format!("distillation, {what}"), |o| {
                distillation(&o[0], &teacher, temperature)
            });
        }
        for reading in [Reading::Code, Reading::Paper] {
            assert_gradient(logits, &format!("{reading:?}, {what}"), |o| gap(o, reading));
        }
    });
}

#[test]
fn the_gap_is_its_definition_and_the_papers_is_bounded() {
    let (p, q) = (random(5, CLASSES, 1.0, 1), random(5, CLASSES, 1.0, 2));
    let probabilities = |x: &Tensor| tcmax_ops::softmax(x).unwrap().to_vec2::<f64>().unwrap();
    let (mut code, mut paper) = (0.0, 0.0);
    for (p, q) in probabilities(&p).iter().zip(probabilities(&q)) {
        for (p, q) in p.iter().zip(q) {
            let m = (p + q) / 2.0;
            code += 0.5 * (m * (m / p).ln() + m * (m / q).ln()) / 5.0;
            paper += 0.5 * (p * (p / m).ln() + q * (q / m).ln()) / 5.0;
        }
    }
    let value =
        |reading| gap(&[p.clone(), q.clone()], reading).unwrap().to_scalar::<f64>().unwrap();
    assert!((value(Reading::Code) - code).abs() < 1e-12);
    assert!((value(Reading::Paper) - paper).abs() < 1e-12);
    let sure = |sign: f64| Tensor::new(&[[500.0 * sign, -500.0 * sign]], &Device::Cpu).unwrap();
    let logs = [sure(1.0), sure(-1.0)].map(|x| log_softmax(&x).unwrap());
    let bounded = to_mixture(&logs[0], &logs[1]).unwrap().to_scalar::<f64>().unwrap();
    assert!((bounded - 2f64.ln()).abs() < 1e-12);
    let reversed = from_mixture(&logs[0], &logs[1]).unwrap().to_scalar::<f64>().unwrap();
    assert!((reversed - (500.0 - 2f64.ln())).abs() < 1e-9, "{reversed}");
    let one = gap(&[p], Reading::Code).unwrap().to_scalar::<f64>().unwrap();
    assert_eq!(one, 0.0);
}

#[test]
fn contrasts_have_the_gradients_of_their_values() {
    each(WIDTH, |z, what| {
        let labels = labels(z[0].dim(0).unwrap());
        assert_gradient(z, &format!("supervised, {what}"), |z| {
            supervised_contrast(z, &labels, 0.5)
        });
        let chosen = [vec![true, false, false, true], vec![false, false, true, false]];
        // The other modality is a constant.
        for student in [0, 1] {
            let inputs = &z[student..=student];
            assert_gradient(inputs, &format!("dimensions, {student}, {what}"), |one| {
                let mut pair = [z[0].clone(), z[1].clone()];
                pair[student] = one[0].clone();
                Ok(contrasts(&pair, &chosen, 50.0)?[student].clone().unwrap())
            });
        }
    });
}

#[test]
fn the_supervised_contrast_is_its_definition() {
    let (z, truth) = ([random(4, WIDTH, 1.0, 1), random(4, WIDTH, 1.0, 2)], [0usize, 1, 1, 2]);
    let rows: Vec<Vec<f64>> = z.iter().flat_map(|z| z.to_vec2::<f64>().unwrap()).collect();
    let truth: Vec<usize> = truth.iter().chain(&truth).copied().collect();
    let norm = |x: &[f64]| x.iter().map(|x| x * x).sum::<f64>().sqrt();
    let similarity = |i: usize, j: usize| {
        let product: f64 = rows[i].iter().zip(&rows[j]).map(|(x, y)| x * y).sum();
        (product / norm(&rows[i]) / norm(&rows[j]) / 0.5).exp()
    };
    let (mut sum, mut pairs) = (0.0, 0.0);
    for i in 0..8 {
        let others: f64 = (0..8).filter(|&k| truth[k] != truth[i]).map(|k| similarity(i, k)).sum();
        for j in (0..8).filter(|&j| j != i && truth[j] == truth[i]) {
            sum -= (similarity(i, j) / (similarity(i, j) + others)).ln();
            pairs += 1.0;
        }
    }
    let labels = Labels::new(&[0, 1, 1, 2], CLASSES, &Device::Cpu).unwrap();
    let found = supervised_contrast(&z, &labels, 0.5).unwrap().to_scalar::<f64>().unwrap();
    assert!((found - sum / pairs).abs() < 1e-12, "{found}");
    let same = Labels::new(&[1, 1, 1, 1], CLASSES, &Device::Cpu).unwrap();
    assert_eq!(supervised_contrast(&z, &same, 0.5).unwrap().to_scalar::<f64>().unwrap(), 0.0);
}

#[test]
fn influences_have_the_gradients_of_their_values_and_none_on_one_example() {
    each(WIDTH, |z, what| {
        let builder = ParamBuilder::new(Seed::new(2), DType::F64, &Device::Cpu);
        let widths = vec![WIDTH; z.len()];
        let head = CONCAT.build(&Table::new(), &widths, CLASSES, &builder).unwrap();
        let rows = z[0].dim(0).unwrap() as u32;
        let orders =
            [(0..rows).rev().collect::<Vec<_>>(), (0..rows).map(|i| (i + 1) % rows).collect()];
        for m in 0..z.len() {
            assert_gradient(z, &format!("{m}, {what}"), |z| {
                influence(head.as_ref(), z, m, &orders)
            });
            let value =
                influence(head.as_ref(), z, m, &orders).unwrap().to_scalar::<f64>().unwrap();
            assert!((0.0..=2f64.ln() + 1e-12).contains(&value.max(0.0)), "{what}: {value}");
            assert!(rows > 1 || value.abs() < 1e-12, "{what}: {value}");
        }
    });
}
