//! The training curves of `tcmax estimate` as SVG text.

use plotters::prelude::*;
use tcmax_report::palette::{GRID, colour};

use super::outcome::{Outcome, Unit};

/// The validation bound over steps, one line per fit, with the step that was kept as a dot and the estimate as
/// a dashed line; none without fits, or if it cannot be drawn.
pub(super) fn svg(outcomes: &[Outcome], unit: Unit) -> Option<String> {
    let fits = || outcomes.iter().flat_map(|outcome| &outcome.fits);
    let points = || fits().flat_map(|fit| &fit.curve).filter(|p| p.validation.is_finite());
    let last = points().map(|point| point.step).max()?.max(1) as f64;
    let highest = points().map(|p| p.validation).chain(outcomes.iter().map(|o| o.value));
    let highest = highest.filter(|value| value.is_finite());
    let highest = unit.of(highest.fold(0.1, f64::max));
    // Bad starts far below zero would press everything else flat.
    let lowest = points().map(|p| p.validation).fold(0.0, f64::min);
    let lowest = unit.of(lowest).max(-0.5 * highest);
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, (640, 400)).into_drawing_area();
        area.fill(&WHITE).ok()?;
        let mut chart = ChartBuilder::on(&area)
            .margin(12)
            .caption("training curve", ("sans-serif", 17))
            .x_label_area_size(40)
            .y_label_area_size(60)
            .build_cartesian_2d(0.0..last, lowest..highest * 1.1)
            .ok()?;
        chart
            .configure_mesh()
            .light_line_style(WHITE)
            .bold_line_style(GRID)
            .x_desc("step")
            .y_desc(format!("bound on the validation split, {}", unit.name()))
            .x_label_formatter(&|x| format!("{x:.0}"))
            .label_style(("sans-serif", 13))
            .axis_desc_style(("sans-serif", 14))
            .draw()
            .ok()?;
        for (f, fit) in fits().enumerate() {
            let colour = colour(f);
            let place = |p: &tcmax_estimators::fit::CurvePoint| {
                (p.step as f64, unit.of(p.validation).max(lowest))
            };
            let line = fit.curve.iter().filter(|p| p.validation.is_finite()).map(place);
            chart.draw_series(LineSeries::new(line, colour.stroke_width(2))).ok()?;
            let kept = fit.curve.iter().filter(|p| p.step == fit.best_step).map(place);
            chart.draw_series(kept.map(|at| Circle::new(at, 4, colour.filled()))).ok()?;
        }
        for outcome in outcomes.iter().filter(|outcome| outcome.value.is_finite()) {
            let value = unit.of(outcome.value);
            let ends = [(0.0, value), (last, value)];
            let dashes = DashedLineSeries::new(ends, 6, 4, BLACK.stroke_width(1));
            chart.draw_series(dashes).ok()?;
        }
        area.present().ok()?;
    }
    Some(text)
}
