//! Members that fit one line together, each on its share of the points: only sums of gradients are exchanged.
//!
//! ```text
//! cargo run -p tcmax-parallel --example gradient_descent
//! ```

#![allow(clippy::print_stdout, reason = "it is what the program is for")]

use std::sync::Arc;

use tcmax_parallel::{Alone, Error, Group, Purpose, Result, Threads, run, share};

const POINTS: usize = 1_000;

fn main() -> Result<()> {
    for threads in [1, 2, 4] {
        let alone: Arc<dyn Group> = Arc::new(Alone);
        let fitted = run(Threads::members(threads, &alone)?, |member| {
            let line = fit(member.as_ref())?;
            Ok::<_, Error>((line, member.traffic().of(Purpose::Gradients)))
        });
        let fitted: Vec<([f64; 2], u64)> = fitted.into_iter().collect::<Result<_>>()?;
        let ([slope, intercept], bytes) = fitted[0];
        assert!(fitted.iter().all(|(line, _)| *line == [slope, intercept]), "members agree");
        println!(
            "members {threads}: y = {slope:.6} x + {intercept:.6}, {bytes} bytes given by each"
        );
    }
    Ok(())
}

/// Least squares by gradient descent; only sums of gradients leave a member.
fn fit(group: &dyn Group) -> Result<[f64; 2]> {
    let [mut slope, mut intercept] = [0.0; 2];
    let mine = share(POINTS, group.rank(), group.size());
    for _ in 0..500 {
        let mut gradient = [0.0; 2];
        for point in mine.clone() {
            let (x, y) = point_at(point);
            let error = slope * x + intercept - y;
            gradient[0] += error * x / POINTS as f64;
            gradient[1] += error / POINTS as f64;
        }
        group.sum_f64(&mut gradient, Purpose::Gradients)?;
        slope -= gradient[0];
        intercept -= gradient[1];
    }
    Ok([slope, intercept])
}

/// A point near the line y = 2 x + 1, with x in [-1, 1].
fn point_at(number: usize) -> (f64, f64) {
    let x = 2.0 * number as f64 / (POINTS - 1) as f64 - 1.0;
    (x, 2.0 * x + 1.0 + 0.1 * (7.0 * number as f64).sin())
}
