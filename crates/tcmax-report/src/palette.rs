//! The colours of every chart.

use plotters::style::RGBColor;

/// Okabe and Ito's colours, told apart by colour-blind eyes too, and a grey.
const PALETTE: [RGBColor; 7] = [
    RGBColor(213, 94, 0),
    RGBColor(0, 114, 178),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(90, 90, 90),
];

/// How many lines can be told apart.
pub const COLOURS: usize = PALETTE.len();
/// The colour of a single series.
pub const SINGLE: RGBColor = PALETTE[1];
/// The lines of the grid.
pub const GRID: RGBColor = RGBColor(225, 225, 225);

/// The colour of the `index`-th line, the same in every chart.
pub fn colour(index: usize) -> RGBColor {
    PALETTE[index % COLOURS]
}
