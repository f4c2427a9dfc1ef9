//! Class balance as a picture and as bars of text.

use plotters::prelude::*;

use crate::palette::SINGLE;

/// Bars are this many characters at most.
const LONGEST: usize = 40;
/// So many classes are listed in text; the rest is summed up.
const LISTED: usize = 30;

/// A bar a class, the largest class `LONGEST` characters long.
pub fn text(classes: &[(String, usize)]) -> String {
    let largest = classes.iter().map(|(_, count)| *count).max().unwrap_or(0).max(1);
    let widest = classes.iter().take(LISTED).map(|(name, _)| name.chars().count()).max();
    let width = widest.unwrap_or(0).min(30);
    let mut text = String::new();
    for (name, count) in classes.iter().take(LISTED) {
        let bar = "#".repeat((count * LONGEST).div_ceil(largest));
        let name: String = name.chars().take(width).collect();
        text += &format!("  {name:<width$} {count:>7} {bar}\n");
    }
    if classes.len() > LISTED {
        let rest = &classes[LISTED..];
        let sizes = rest.iter().map(|(_, count)| *count);
        let (least, most) = (sizes.clone().min().unwrap_or(0), sizes.max().unwrap_or(0));
        text += &format!("  ... {} more classes of {least} to {most} examples\n", rest.len());
    }
    text
}

/// Horizontal bars, a class each, as an SVG document.
///
/// # Errors
/// A sentence on why it cannot be drawn.
pub fn svg(title: &str, classes: &[(String, usize)]) -> Result<String, String> {
    let mut text = String::new();
    let height = (80 + 22 * classes.len() as u32).min(8_000);
    draw(&mut text, (860, height), title, classes).map_err(|e| e.to_string())?;
    Ok(text)
}

fn draw(
    text: &mut String,
    size: (u32, u32),
    title: &str,
    classes: &[(String, usize)],
) -> Result<(), DrawingAreaErrorKind<std::io::Error>> {
    let area = SVGBackend::with_string(text, size).into_drawing_area();
    area.fill(&WHITE)?;
    area.draw_text(title, &("sans-serif", 16).into_text_style(&area), (10, 10))?;
    let largest = classes.iter().map(|(_, count)| *count).max().unwrap_or(0).max(1);
    let step = f64::from(size.1 - 80) / classes.len().max(1) as f64;
    let label = ("sans-serif", 14.0f64.min(step)).into_text_style(&area);
    for (n, (name, count)) in classes.iter().enumerate() {
        let top = 50.0 + n as f64 * step;
        let name: String = name.chars().take(26).collect();
        area.draw_text(&name, &label, (10, top as i32))?;
        let right = 220 + (540 * count / largest) as i32;
        let corners = [(220, top as i32), (right, (top + 0.75 * step) as i32)];
        area.draw(&Rectangle::new(corners, SINGLE.filled()))?;
        area.draw_text(&count.to_string(), &label, (right + 8, top as i32))?;
    }
    area.present()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_in_proportion() {
        let classes = [("a".to_owned(), 40), ("long name".to_owned(), 10), ("c".to_owned(), 0)];
        let text = text(&classes);
        let lengths: Vec<usize> = text.lines().map(|line| line.matches('#').count()).collect();
        assert_eq!(lengths, [40, 10, 0]);
        let svg = svg("balance", &classes).unwrap();
        assert!(svg.contains("long name") && svg.matches("<rect").count() >= 3);
    }
}
