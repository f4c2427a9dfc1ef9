//! Three circles whose areas, and those of their overlaps, are amounts of information.
//!
//! The circle of the label has the area H(y). That of a modality has what it shares with the label and the other
//! modality, I(z_a; z_b, y) = I(z_a; y) + I(z_a; z_b | y); the entropy of features is infinite. The overlaps are I(z_a; y),
//! I(z_b; y) and I(z_a; z_b). Three circles cannot have any six areas: where these contradict each other, the overlap of
//! the two modalities gives way.

use std::f64::consts::{FRAC_PI_2, PI};

/// A circle.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Circle {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) radius: f64,
}

/// Amounts of information of a label and two modalities, in one unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Amounts {
    /// H(y).
    pub(super) label: f64,
    /// I(z_m; y).
    pub(super) with_label: [f64; 2],
    /// I(z_a; z_b).
    pub(super) shared: f64,
    /// I(z_a; z_b | y).
    pub(super) given_label: f64,
}

/// The circles of the label, around the origin, and of the two modalities, the first one left of the second.
pub(super) fn circles(amounts: &Amounts) -> [Circle; 3] {
    let radius = |area: f64| (area.max(0.0) / PI).sqrt();
    let of_label = radius(amounts.label);
    let with_label = amounts.with_label.map(|area| area.clamp(0.0, amounts.label));
    let area = |m: usize| with_label[m] + amounts.given_label;
    // By the chain rule it is never more; estimates may contradict that.
    let shared = amounts.shared.min(area(0)).min(area(1));
    let of_modality = [radius(area(0)), radius(area(1))];
    let mut apart = [0, 1].map(|m| distance(of_label, of_modality[m], with_label[m]));
    let between = distance(of_modality[0], of_modality[1], shared);
    // A circle inside the label's may move towards the middle where the other modality is nearer.
    for m in [0, 1] {
        let is_inside = with_label[m] >= 0.999 * area(m);
        if is_inside && apart[m] > apart[1 - m] + between {
            apart[m] = apart[1 - m] + between;
        }
    }
    let product = 2.0 * apart[0] * apart[1];
    let cosine = (apart[0].powi(2) + apart[1].powi(2) - between.powi(2)) / product;
    let half = if product > 0.0 { 0.5 * cosine.clamp(-1.0, 1.0).acos() } else { FRAC_PI_2 };
    let at = |m: usize, side: f64| Circle {
        x: side * apart[m] * half.sin(),
        y: apart[m] * half.cos(),
        radius: of_modality[m],
    };
    [Circle { x: 0.0, y: 0.0, radius: of_label }, at(0, -1.0), at(1, 1.0)]
}

/// The distance at which two circles overlap in an area: touching from outside for none, from inside for all of the
/// smaller one.
fn distance(a: f64, b: f64, area: f64) -> f64 {
    let (mut near, mut far) = ((a - b).abs(), a + b);
    if area >= (1.0 - 1e-9) * PI * a.min(b).powi(2) {
        return near;
    }
    for _ in 0..60 {
        let middle = 0.5 * (near + far);
        if overlap(a, b, middle) > area { near = middle } else { far = middle }
    }
    far
}

/// The area of the lens of two circles.
pub(super) fn overlap(a: f64, b: f64, distance: f64) -> f64 {
    if distance >= a + b {
        return 0.0;
    }
    if distance <= (a - b).abs() {
        return PI * a.min(b).powi(2);
    }
    let angle = |own: f64, other: f64| {
        let cosine = (distance.powi(2) + own.powi(2) - other.powi(2)) / (2.0 * distance * own);
        2.0 * cosine.clamp(-1.0, 1.0).acos()
    };
    let segment = |radius: f64, angle: f64| 0.5 * radius.powi(2) * (angle - angle.sin());
    segment(a, angle(a, b)) + segment(b, angle(b, a))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lens(a: Circle, b: Circle) -> f64 {
        overlap(a.radius, b.radius, (a.x - b.x).hypot(a.y - b.y))
    }

    #[test]
    fn the_overlap_of_circles_is_that_of_a_grid_of_points() {
        let (a, b, d) = (1.0, 0.7, 0.9);
        let side = 2_000;
        let inside = |n: usize| {
            let x = 2.0 * (n % side) as f64 / side as f64 - 1.0;
            let y = 2.0 * (n / side) as f64 / side as f64 - 1.0;
            x * x + y * y < a * a && (x - d).powi(2) + y * y < b * b
        };
        let share = (0..side * side).filter(|&n| inside(n)).count() as f64 / (side * side) as f64;
        assert!((overlap(a, b, d) - 4.0 * share).abs() < 1e-3);
    }

    #[test]
    fn areas_are_those_asked_for_where_circles_can_have_them() {
        for (with_label, shared, given_label) in [
            ([1.0, 1.2], 0.6, 0.3),
            ([0.4, 1.4], 0.3, 0.0),
            ([0.2, 1.0], 0.3, 0.3),
            ([0.9, 0.9], 0.9, 0.1),
            ([0.0, 0.0], 0.0, 0.0),
        ] {
            let amounts = Amounts { label: 2.3, with_label, shared, given_label };
            let [y, a, b] = circles(&amounts);
            let near = |found: f64, wanted: f64| {
                assert!((found - wanted).abs() < 1e-6, "{amounts:?}: {found} {wanted}");
            };
            near(PI * y.radius * y.radius, 2.3);
            near(lens(y, a), with_label[0]);
            near(lens(y, b), with_label[1]);
            near(lens(a, b), shared);
        }
    }

    #[test]
    fn amounts_that_contradict_each_other_are_drawn_all_the_same() {
        for (with_label, shared, given_label) in [
            ([2.3, 2.3], 1.0, 0.0),
            ([9.0, 2.0], 0.0, 0.0),
            ([0.1, 0.2], 2.0, 0.0),
            ([2.0, 2.0], 0.1, 3.0),
        ] {
            let found = circles(&Amounts { label: 2.3, with_label, shared, given_label });
            assert!(
                found.iter().all(|c| c.x.is_finite() && c.y.is_finite() && c.radius.is_finite())
            );
        }
    }
}
