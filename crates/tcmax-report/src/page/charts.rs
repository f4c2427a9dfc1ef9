//! Charts as SVG text.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::palette::{COLOURS, GRID};

/// A line of a chart: points in the order of x; points that are not finite are left out.
pub(super) struct Series {
    pub(super) colour: RGBColor,
    pub(super) points: Vec<(f64, f64)>,
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
    svg((500, 300), |area| {
        let mut chart = ChartBuilder::on(area)
            .margin(10)
            .x_label_area_size(38)
            .y_label_area_size(58)
            .build_cartesian_2d(1.0..last.max(2.0), low - margin..high + 1.5 * margin)?;
        chart
            .configure_mesh()
            .light_line_style(WHITE)
            .bold_line_style(GRID)
            .x_desc("epoch")
            .y_desc(y_label)
            .x_label_formatter(&|x| format!("{x:.0}"))
            .label_style(("sans-serif", 13))
            .axis_desc_style(("sans-serif", 14))
            .draw()?;
        for level in levels {
            let ends = [(1.0, level.value), (last.max(2.0), level.value)];
            chart.draw_series(DashedLineSeries::new(ends, 6, 4, BLACK.stroke_width(1)))?;
            let above = (high - low) * 0.055;
            let place = (1.0, level.value + above);
            let label = Text::new(level.name.clone(), place, ("sans-serif", 13));
            chart.draw_series([label])?;
        }
        for line in series {
            let points = finite(&line.points).map(|(x, y)| (x, y.max(low)));
            chart.draw_series(LineSeries::new(points, line.colour.stroke_width(2)))?;
        }
        Ok(())
    })
}

/// One bar of a group, with its interval.
pub(super) struct Bar {
    pub(super) colour: RGBColor,
    pub(super) value: Option<f64>,
    pub(super) half_width: Option<f64>,
}

/// Groups of bars from 0 to 100 %, with whiskers; `names` and colours tell the bars of every group.
pub(super) fn bars(groups: &[(String, Vec<Bar>)], names: &[(String, RGBColor)]) -> String {
    // Names of many groups have room only upright.
    let upright = groups.len() > COLOURS;
    let label_area = if upright { 130 } else { 30 };
    svg((860, 310 + label_area), |area| {
        let count = groups.len().max(1) as f64;
        let mut chart = ChartBuilder::on(area)
            .margin(10)
            .x_label_area_size(label_area)
            .y_label_area_size(58)
            .build_cartesian_2d(0.0..count * 1.25, 0.0..105.0)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .disable_x_axis()
            .light_line_style(WHITE)
            .bold_line_style(GRID)
            .y_desc("accuracy, %")
            .label_style(("sans-serif", 13))
            .axis_desc_style(("sans-serif", 14))
            .draw()?;
        for (g, (name, bars)) in groups.iter().enumerate() {
            let width = 0.8 / bars.len().max(1) as f64;
            for (b, bar) in bars.iter().enumerate() {
                let Some(value) = bar.value else { continue };
                let left = g as f64 + 0.1 + b as f64 * width;
                let corners = [(left, 0.0), (left + 0.9 * width, value)];
                chart.draw_series([Rectangle::new(corners, bar.colour.filled())])?;
                let middle = left + 0.45 * width;
                if let Some(half) = bar.half_width {
                    let ends =
                        [(middle, (value - half).max(0.0)), (middle, (value + half).min(104.0))];
                    chart.draw_series([PathElement::new(ends, BLACK.stroke_width(1))])?;
                }
            }
            let place = chart.backend_coord(&(g as f64 + 0.5, 0.0));
            let font = ("sans-serif", if upright { 13 } else { 15 });
            let style = font.into_text_style(area);
            let style = if upright {
                style.transform(FontTransform::Rotate90).pos(Pos::new(HPos::Left, VPos::Center))
            } else {
                style.pos(Pos::new(HPos::Center, VPos::Top))
            };
            area.draw_text(name, &style, (place.0, place.1 + 8))?;
        }
        for (n, (name, colour)) in names.iter().enumerate() {
            let y = 100.0 - 8.0 * n as f64;
            let corner = (count + 0.02 * count, y);
            chart.draw_series([Rectangle::new(
                [corner, (corner.0 + 0.03 * count, y - 4.5)],
                colour.filled(),
            )])?;
            let text = Text::new(name.clone(), (corner.0 + 0.04 * count, y), ("sans-serif", 14));
            chart.draw_series([text])?;
        }
        Ok(())
    })
}

fn finite(points: &[(f64, f64)]) -> impl Iterator<Item = (f64, f64)> {
    points.iter().copied().filter(|(x, y)| x.is_finite() && y.is_finite())
}
