//! The nearest neighbours of every point among the others, by Euclidean distance.
//!
//! |a - b|^2 = |a|^2 + |b|^2 - 2 a.b, and all the a.b are one product of matrices, which libtorch
//! does at the machine's full speed in single precision. That alone would confuse neighbours that
//! are nearly equally far. So it only rules out, by the bound of its own rounding error, who
//! cannot be among the nearest; the few that are left are measured in double precision.

use rayon::prelude::*;
use tch::{Kind, Tensor};

/// Rows of the matrix of products that a thread holds at a time.
const ROWS: usize = 128;

/// For each point the indices of the `k` others nearest to it, the nearest first and of equally
/// near ones the lower index first. All points have the same length.
///
/// # Panics
/// If there are not more than `k` points, or their lengths differ.
pub(super) fn nearest_neighbours(points: &[&[f32]], k: usize) -> Vec<Vec<usize>> {
    assert!(points.len() > k, "a point is not its own neighbour");
    let all = stacked(points);
    let search = Search {
        points,
        k,
        norms: points.iter().map(|point| norm(point)).collect(),
    };
    // A tensor may go to another thread, but not be shared with it: each gets a handle of its own.
    let parts: Vec<(usize, Tensor)> = (0..points.len())
        .step_by(ROWS)
        .map(|first| (first, all.shallow_clone()))
        .collect();
    let of_part = |(first, all): (usize, Tensor)| {
        let rows = ROWS.min(points.len() - first);
        let products = products(&all.narrow(0, first as i64, rows as i64), &all);
        let rows = products.chunks_exact(points.len()).enumerate();
        rows.map(|(row, products)| search.nearest(first + row, products))
            .collect::<Vec<_>>()
    };
    let parts: Vec<Vec<Vec<usize>>> = parts.into_par_iter().map(of_part).collect();
    parts.into_iter().flatten().collect()
}

struct Search<'a> {
    points: &'a [&'a [f32]],
    k: usize,
    norms: Vec<f64>,
}

impl Search<'_> {
    /// Neighbours of one point from its approximate products with all.
    fn nearest(&self, point: usize, products: &[f32]) -> Vec<usize> {
        let others = || (0..self.points.len()).filter(|&other| other != point);
        // The textbook bound of a dot product's rounding error, n u |a| |b|, with room for that of n u.
        let unit = f64::from(f32::EPSILON) / 2.0 * 1.01 * self.points[point].len() as f64;
        let estimate = |other: usize| {
            let (a, b) = (self.norms[point], self.norms[other]);
            let squared = a * a + b * b - 2.0 * f64::from(products[other]);
            let error = 2.0 * unit * a * b;
            (squared - error, squared + error)
        };
        let mut upper: Vec<f64> = others().map(|other| estimate(other).1).collect();
        let (_, bound, _) = upper.select_nth_unstable_by(self.k - 1, f64::total_cmp);
        let bound = *bound;
        // Whoever is not certainly too far, also where a distance is not a number.
        let mut measured: Vec<(f64, usize)> = others()
            .filter(|&other| {
                let certainly_farther = estimate(other).0 > bound;
                !certainly_farther
            })
            .map(|other| {
                let squared = squared_distance(self.points[point], self.points[other]);
                (squared, other)
            })
            .collect();
        measured.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        measured.truncate(self.k);
        measured.into_iter().map(|(_, other)| other).collect()
    }
}

/// [n, length].
fn stacked(points: &[&[f32]]) -> Tensor {
    let length = points[0].len();
    let options = (Kind::Float, tch::Device::Cpu);
    let all = Tensor::empty([points.len() as i64, length as i64], options);
    for (row, point) in points.iter().enumerate() {
        all.select(0, row as i64).copy_(&Tensor::from_slice(point));
    }
    all
}

/// Products of `rows` with all points, row by row.
fn products(rows: &Tensor, all: &Tensor) -> Vec<f32> {
    // The setting is the thread's: the other cores have rows of their own.
    tch::set_num_threads(1);
    let products = rows.matmul(&all.tr());
    let mut values = vec![0.0; products.numel()];
    products.copy_data(&mut values, products.numel());
    values
}

fn norm(point: &[f32]) -> f64 {
    let squares = point.iter().map(|&value| f64::from(value).powi(2));
    squares.sum::<f64>().sqrt()
}

fn squared_distance(a: &[f32], b: &[f32]) -> f64 {
    let difference = |(&a, &b): (&f32, &f32)| f64::from(a) - f64::from(b);
    let differences = a.iter().zip(b).map(difference);
    differences.map(|difference| difference * difference).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// All distances in double precision, sorted.
    fn by_exhaustion(points: &[&[f32]], k: usize) -> Vec<Vec<usize>> {
        let nearest = |point: usize| {
            let mut others: Vec<usize> =
                (0..points.len()).filter(|&other| other != point).collect();
            let distance = |other: &usize| squared_distance(points[point], points[*other]);
            others.sort_by(|a, b| distance(a).total_cmp(&distance(b)));
            others.truncate(k);
            others
        };
        (0..points.len()).map(nearest).collect()
    }

    proptest! {
        /// Far from the origin, near to each other, and often on the same spot: where single
        /// precision alone goes wrong.
        #[test]
        fn neighbours_are_those_of_an_exhaustive_search(
            points in prop::collection::vec(prop::collection::vec(-4_i8..4, 7), 6..300),
            offset in prop::sample::select(vec![0.0_f32, 30.0, 1000.0]),
            step in prop::sample::select(vec![1.0_f32, 1e-3]),
        ) {
            let points: Vec<Vec<f32>> = points
                .iter()
                .map(|point| point.iter().map(|&value| offset + step * f32::from(value)).collect())
                .collect();
            let points: Vec<&[f32]> = points.iter().map(Vec::as_slice).collect();
            prop_assert_eq!(nearest_neighbours(&points, 5), by_exhaustion(&points, 5));
        }
    }

    #[test]
    fn a_point_that_is_no_number_is_everyones_last_neighbour() {
        let points = [[0.0], [1.0], [f32::NAN], [3.0]];
        let points: Vec<&[f32]> = points.iter().map(<[f32; 1]>::as_slice).collect();
        let nearest = nearest_neighbours(&points, 2);
        assert_eq!(nearest[0], [1, 3]);
        assert_eq!(nearest[3], [1, 0]);
    }
}
