//! Charts as SVG text.

use plotters::coord::Shift;
use plotters::prelude::*;

use crate::palette::GRID;

/// A line of a chart: points in the order of x; points that are not finite are left out.
pub(super) struct Series {
    pub(super) colour: RGBColor,
    pub(super) points: Vec<(f64, f64)>,
    pub(super) dashed: bool,
}

/// A labelled horizontal line.
pub(super) struct Level {
    pub(super) name: String,
    pub(super) value: f64,
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), DrawingAreaErrorKind<std::io::Error>>;

/// A chart, or the reason there is none as a sentence.
fn svg(size: (u32, u32), draw: impl FnOnce(&Area<'_>) -> Drawn) -> String {
    let mut text = String::new();
    let drawn = {
        let area = SVGBackend::with_string(&mut text, size).into_drawing_area();
        area.fill(&WHITE).and_then(|()| draw(&area)).and_then(|()| area.present())
    };
    match drawn {
        // Scale with the page instead of a fixed size.
        Ok(()) => text.replacen(
            &format!("width=\"{}\" height=\"{}\"", size.0, size.1),
            "class=\"chart\"",
            1,
        ),
        Err(error) => format!("<p>This chart could not be drawn: {error}</p>"),
    }
}

/// Lines over epochs. With a `floor`, what lies below it is drawn at it, so that a few wild values do
/// not press all others flat.
pub(super) fn lines(
    y_label: &str,
    series: &[Series],
    levels: &[Level],
    floor: Option<f64>,
) -> String {
    let points = || series.iter().flat_map(|line| finite(&line.points));
    let Some(last) = points().map(|(x, _)| x).reduce(f64::max) else {
        return "<p>There are no finite values to draw.</p>".to_owned();
    };
    let values = points().map(|(_, y)| y).chain(levels.iter().map(|level| level.value));
    let (low, high) = values.fold((f64::MAX, f64::MIN), |(l, h), y| (l.min(y), h.max(y)));
    let low = floor.map_or(low, |floor| low.max(floor.min(high)));
    let margin = ((high - low) * 0.06).max(1e-3);
    // Steps between labels are about a sixth of the range.
    let digits = match high - low {
        range if range > 6.0 => 0,
        range if range > 0.6 => 1,
        _ => 2,
    };
    svg((420, 270), |area| {
        let mut chart = ChartBuilder::on(area)
            .margin(9)
            .x_label_area_size(38)
            .y_label_area_size(54)
            .build_cartesian_2d(1.0..last.max(2.0), low - margin..high + 1.5 * margin)?;
        chart
            .configure_mesh()
            .light_line_style(WHITE)
            .bold_line_style(GRID)
            .x_desc("epoch")
            .y_desc(y_label)
            .y_labels(8)
            .x_labels(8)
            .x_label_formatter(&|x| format!("{x:.0}"))
            .y_label_formatter(&|y| format!("{y:.digits$}"))
            .label_style(("sans-serif", 15))
            .axis_desc_style(("sans-serif", 15))
            .draw()?;
        for level in levels {
            let ends = [(1.0, level.value), (last.max(2.0), level.value)];
            chart.draw_series(DashedLineSeries::new(ends, 6, 4, BLACK.stroke_width(1)))?;
            let above = (high - low) * 0.055;
            let place = (1.0, level.value + above);
            let label = Text::new(level.name.clone(), place, ("sans-serif", 14));
            chart.draw_series([label])?;
        }
        for line in series {
            let points = finite(&line.points).map(|(x, y)| (x, y.max(low)));
            if line.dashed {
                let thin = line.colour.stroke_width(1);
                chart.draw_series(DashedLineSeries::new(points.collect::<Vec<_>>(), 4, 3, thin))?;
            } else {
                chart.draw_series(LineSeries::new(points, line.colour.stroke_width(2)))?;
            }
        }
        Ok(())
    })
}

fn finite(points: &[(f64, f64)]) -> impl Iterator<Item = (f64, f64)> {
    points.iter().copied().filter(|(x, y)| x.is_finite() && y.is_finite())
}
