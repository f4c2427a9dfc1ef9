//! Estimate against truth, one panel per estimator.

use plotters::prelude::*;
use tcmax_report::palette::{GRID, SINGLE};

use super::Row;

/// The panels as SVG text.
pub fn svg(rows: &[Row], estimators: &[String]) -> anyhow::Result<String> {
    let columns = estimators.len().clamp(1, 4);
    let lines = estimators.len().div_ceil(columns).max(1);
    let size = (300 * columns as u32, 300 * lines as u32);
    let most = rows.iter().map(|row| row.truth.max(row.mean)).fold(1.0, f64::max) * 1.05;
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, size).into_drawing_area();
        area.fill(&WHITE)?;
        for (panel, estimator) in area.split_evenly((lines, columns)).iter().zip(estimators) {
            let mut chart = ChartBuilder::on(panel)
                .margin(8)
                .caption(estimator, ("sans-serif", 16))
                .x_label_area_size(34)
                .y_label_area_size(40)
                .build_cartesian_2d(0.0..most, 0.0..most)?;
            chart
                .configure_mesh()
                .light_line_style(WHITE)
                .bold_line_style(GRID)
                .x_labels(6)
                .y_labels(6)
                .x_desc("truth, nats")
                .y_desc("estimate, nats")
                .label_style(("sans-serif", 12))
                .draw()?;
            let diagonal = [(0.0, 0.0), (most, most)];
            chart
                .draw_series(LineSeries::new(diagonal, RGBColor(120, 120, 120).stroke_width(1)))?;
            for row in rows.iter().filter(|row| row.estimator == *estimator) {
                let colour = SINGLE;
                let (low, high) = (row.mean - row.spread, row.mean + row.spread);
                let whisker = [(row.truth, low.max(0.0)), (row.truth, high.min(most))];
                chart.draw_series([PathElement::new(whisker, colour.stroke_width(1))])?;
                let point = (row.truth, row.mean.clamp(0.0, most));
                chart.draw_series([Circle::new(point, 3, colour.filled())])?;
            }
        }
        area.present()?;
    }
    Ok(text)
}
