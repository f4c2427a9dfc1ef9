//! Nearest neighbours and counts of points by the largest difference of coordinates.
//!
//! A k-d tree (Bentley 1975) with the box of every node's points: O(N log N) to make, about O(log N) per
//! question where dimensions are few, and O(N) where they are many. Memory is O(N) in all. Distances are
//! those of a loop over all points, to the last bit, so the answers are too.

/// Points of a node that is not divided further.
const LEAF: usize = 16;

/// N points of some coordinates.
pub(super) struct Tree {
    width: usize,
    /// Node by node, so that those of a node lie side by side; of one coordinate in ascending order.
    points: Vec<f64>,
    nodes: Vec<Node>,
    /// Of every node the least and the largest of each coordinate.
    boxes: Vec<f64>,
}

struct Node {
    first: usize,
    end: usize,
    /// The second of two children, the first being the next node; 0 of a leaf.
    second: usize,
}

/// Whether a distance counts as inside a radius: below it, or none at all.
fn is_inside(distance: f64, radius: f64) -> bool {
    distance < radius || distance <= 0.0
}

impl Tree {
    /// The tree of points of `width` > 0 coordinates, row by row.
    pub(super) fn new(points: &[f64], width: usize) -> Self {
        let count = points.len() / width;
        let mut order: Vec<u32> = (0..count as u32).collect();
        let mut tree = Self {
            width,
            points: Vec::with_capacity(points.len()),
            nodes: Vec::new(),
            boxes: Vec::new(),
        };
        if width == 1 {
            tree.points.extend_from_slice(points);
            tree.points.sort_by(f64::total_cmp);
            return tree;
        }
        tree.divide(points, &mut order, 0);
        for row in order {
            tree.points.extend_from_slice(&points[row as usize * width..][..width]);
        }
        tree
    }

    /// Adds the node of some of the points, of which `first` come before, and those below it.
    fn divide(&mut self, points: &[f64], order: &mut [u32], first: usize) {
        let width = self.width;
        let (own, at) = (self.nodes.len(), self.boxes.len());
        self.nodes.push(Node { first, end: first + order.len(), second: 0 });
        let value = |row: u32, c: usize| points[row as usize * width + c];
        for c in 0..width {
            let of_column = order.iter().map(|&row| value(row, c));
            let least = of_column.clone().fold(f64::INFINITY, f64::min);
            self.boxes.extend([least, of_column.fold(f64::NEG_INFINITY, f64::max)]);
        }
        let spread = |c: usize| self.boxes[at + 2 * c + 1] - self.boxes[at + 2 * c];
        let widest = (0..width).max_by(|&a, &b| spread(a).total_cmp(&spread(b))).unwrap_or(0);
        if order.len() <= LEAF || spread(widest) <= 0.0 {
            return;
        }
        let middle = order.len() / 2;
        order
            .select_nth_unstable_by(middle, |&a, &b| value(a, widest).total_cmp(&value(b, widest)));
        let (left, right) = order.split_at_mut(middle);
        self.divide(points, left, first);
        self.nodes[own].second = self.nodes.len();
        self.divide(points, right, first + middle);
    }

    /// The distance of the `k`-th nearest of the points, k from 1; of fewer points infinity.
    pub(super) fn kth_nearest(&self, query: &[f64], k: usize) -> f64 {
        let mut nearest = Vec::with_capacity(k);
        if self.width == 1 {
            self.nearest_in_line(query[0], k, &mut nearest);
        } else {
            self.nearest_below(0, query, k, &mut nearest);
        }
        farthest(&nearest, k)
    }

    fn nearest_in_line(&self, x: f64, k: usize, nearest: &mut Vec<f64>) {
        let middle = self.points.partition_point(|&point| point < x);
        let (mut below, mut above) = (middle, middle);
        while nearest.len() < k && (below > 0 || above < self.points.len()) {
            let left = below.checked_sub(1).map_or(f64::INFINITY, |i| (self.points[i] - x).abs());
            let right = self.points.get(above).map_or(f64::INFINITY, |point| (point - x).abs());
            if left < right {
                below -= 1;
            } else {
                above += 1;
            }
            nearest.push(left.min(right));
        }
    }

    fn nearest_below(&self, node: usize, query: &[f64], k: usize, nearest: &mut Vec<f64>) {
        let Node { first, end, second } = self.nodes[node];
        if second == 0 {
            for point in self.points[first * self.width..end * self.width].chunks_exact(self.width)
            {
                let distance = distance(point, query);
                if distance < farthest(nearest, k) {
                    nearest.truncate(k - 1);
                    let at = nearest.partition_point(|&other| other <= distance);
                    nearest.insert(at, distance);
                }
            }
            return;
        }
        let mut children =
            [node + 1, second].map(|child| (self.least_distance(child, query), child));
        if children[1].0 < children[0].0 {
            children.swap(0, 1);
        }
        for (least, child) in children {
            if least < farthest(nearest, k) {
                self.nearest_below(child, query, k, nearest);
            }
        }
    }

    /// How many points are inside a radius around the query: closer than it, or at no distance.
    pub(super) fn count_inside(&self, query: &[f64], radius: f64) -> usize {
        if self.width > 1 {
            return self.count_below(0, query, radius);
        }
        let x = query[0];
        let (below, above) = self.points.split_at(self.points.partition_point(|&point| point < x));
        let outside = below.partition_point(|point| !is_inside((point - x).abs(), radius));
        let inside = above.partition_point(|point| is_inside((point - x).abs(), radius));
        below.len() - outside + inside
    }

    fn count_below(&self, node: usize, query: &[f64], radius: f64) -> usize {
        if !is_inside(self.least_distance(node, query), radius) {
            return 0;
        }
        let Node { first, end, second } = self.nodes[node];
        if is_inside(self.largest_distance(node, query), radius) {
            return end - first;
        }
        if second == 0 {
            let points = self.points[first * self.width..end * self.width].chunks_exact(self.width);
            return points.filter(|point| is_inside(distance(point, query), radius)).count();
        }
        self.count_below(node + 1, query, radius) + self.count_below(second, query, radius)
    }

    /// At most the distance of any point of a node.
    fn least_distance(&self, node: usize, query: &[f64]) -> f64 {
        let sides = self.boxes[2 * self.width * node..].chunks_exact(2).zip(query);
        sides.fold(0.0, |largest, (side, x)| largest.max(side[0] - x).max(x - side[1]))
    }

    /// At least the distance of any point of a node.
    fn largest_distance(&self, node: usize, query: &[f64]) -> f64 {
        let sides = self.boxes[2 * self.width * node..].chunks_exact(2).zip(query);
        sides.fold(0.0, |largest, (side, x)| {
            largest.max((side[0] - x).abs()).max((side[1] - x).abs())
        })
    }
}

/// The largest difference of coordinates.
fn distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).fold(0.0, |largest, (a, b)| largest.max((a - b).abs()))
}

/// The last of the k nearest found so far, which others have to be nearer than.
fn farthest(nearest: &[f64], k: usize) -> f64 {
    nearest.get(k - 1).copied().unwrap_or(f64::INFINITY)
}

#[cfg(test)]
mod tests {
    use rand::Rng;
    use tcmax_ops::Seed;

    use super::*;

    #[test]
    fn answers_are_those_of_a_loop_over_all_points() {
        for (width, steps) in
            [(1, 0.0), (1, 8.0), (2, 0.0), (2, 6.0), (3, 0.0), (7, 2.0), (12, 0.0)]
        {
            let mut rng = Seed::new(width as u64).rng();
            let count = 400;
            let points: Vec<f64> = (0..count * width)
                .map(|_| {
                    let x: f64 = rng.random();
                    // Some with many ties.
                    if steps > 0.0 { (steps * x).floor() } else { x * x }
                })
                .collect();
            let tree = Tree::new(&points, width);
            for query in points.chunks_exact(width).step_by(7) {
                let mut all: Vec<f64> =
                    points.chunks_exact(width).map(|point| distance(point, query)).collect();
                all.sort_by(f64::total_cmp);
                for k in [1, 2, 4, 50, count] {
                    assert_eq!(tree.kth_nearest(query, k), all[k - 1], "{width} {steps} {k}");
                    for radius in [all[k - 1], 1.1 * all[k - 1]] {
                        let inside = all.iter().filter(|&&d| is_inside(d, radius)).count();
                        assert_eq!(tree.count_inside(query, radius), inside, "{width} {steps}");
                    }
                }
                assert_eq!(tree.kth_nearest(query, count + 1), f64::INFINITY);
            }
        }
    }

    #[test]
    fn equal_points_are_one_leaf() {
        let tree = Tree::new(&[2.0; 2000], 2);
        assert_eq!((tree.nodes.len(), tree.count_inside(&[2.0; 2], 0.0)), (1, 1000));
        assert_eq!(tree.kth_nearest(&[2.0; 2], 900), 0.0);
        assert_eq!(tree.count_inside(&[5.0, 2.0], 3.0), 0);
    }
}
