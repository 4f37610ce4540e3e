//! How much of a heat map (Grad-CAM) lies where there is no head: there a model goes by something that is no brain.

use std::collections::VecDeque;

/// The share of the heat that lies outside the head, from 0 to 1; none where there is no heat, or no head.
///
/// `pixels` and `heat` are squares of `side`, row by row. Outside is what is dark and touches the edge of the picture: dark places
/// within the head, such as the ventricles, belong to it. Dark is below a tenth of the 98th percentile of the brightness, counted from
/// the darkest pixel; pixels that are no numbers are dark, heat that is none or below 0 is none.
///
/// ```
/// use model_metrics::heat_outside_head;
///
/// // A head of 2 x 2 in a picture of 4 x 4, and the same heat everywhere.
/// let head = |at: usize| (1..3).contains(&(at / 4)) && (1..3).contains(&(at % 4));
/// let pixels: Vec<f32> = (0..16).map(|at| if head(at) { 1.0 } else { 0.0 }).collect();
/// assert_eq!(heat_outside_head(&pixels, &[1.0; 16], 4), Some(0.75));
/// ```
pub fn heat_outside_head(pixels: &[f32], heat: &[f32], side: usize) -> Option<f64> {
    let count = side.checked_mul(side)?;
    if side == 0 || pixels.len() != count || heat.len() != count {
        return None;
    }
    let dark = dark_pixels(pixels)?;
    let outside = joined_to_edge(&dark, side);
    let warm = |at: usize| f64::from(heat[at]).max(0.0);
    let all: f64 = (0..count).map(warm).sum();
    let without_head: f64 = (0..count).filter(|&at| outside[at]).map(warm).sum();
    let has_head = outside.iter().any(|outside| !outside);
    (has_head && all > 0.0 && all.is_finite()).then(|| without_head / all)
}

/// In how many of some slices the model looks past the head, for people: "in 2 of 3 slices more than half of the heat lies outside the
/// head"; none where it does in no slice. `shares` are those of [`heat_outside_head`].
pub fn looks_past_the_head(shares: impl IntoIterator<Item = Option<f64>>) -> Option<String> {
    let known: Vec<f64> = shares.into_iter().flatten().collect();
    let past = known.iter().filter(|&&share| share > MOSTLY).count();
    let slices = match (past, known.len()) {
        (0, _) => return None,
        (1, 1) => "the slice".to_owned(),
        (past, all) => format!("{past} of {all} slices"),
    };
    Some(format!(
        "in {slices} more than half of the heat lies outside the head"
    ))
}

/// What that means, for a page.
pub const PAST_THE_HEAD: &str = "There the model may be using something outside the brain, such as the scanner's noise or the way the picture was cut.";

fn dark_pixels(pixels: &[f32]) -> Option<Vec<bool>> {
    let mut known: Vec<f32> = { pixels.iter().copied() }
        .filter(|pixel| pixel.is_finite())
        .collect();
    known.sort_unstable_by(f32::total_cmp);
    let darkest = *known.first()?;
    let bright = known[(known.len() - 1) * 98 / 100];
    let limit = darkest + (bright - darkest) * DARK;
    // Of one brightness throughout there is no head to be seen.
    (bright > darkest).then(|| {
        let is_bright = |pixel: &f32| *pixel > limit;
        pixels.iter().map(|pixel| !is_bright(pixel)).collect()
    })
}

fn joined_to_edge(dark: &[bool], side: usize) -> Vec<bool> {
    let mut outside = vec![false; dark.len()];
    let mut next = VecDeque::new();
    let is_edge = |at: usize| {
        let (row, column) = (at / side, at % side);
        row == 0 || column == 0 || row + 1 == side || column + 1 == side
    };
    for at in (0..dark.len()).filter(|&at| dark[at] && is_edge(at)) {
        outside[at] = true;
        next.push_back(at);
    }
    while let Some(at) = next.pop_front() {
        let (row, column) = (at / side, at % side);
        let around = [
            (row > 0).then(|| at - side),
            (row + 1 < side).then(|| at + side),
            (column > 0).then(|| at - 1),
            (column + 1 < side).then(|| at + 1),
        ];
        for other in around.into_iter().flatten() {
            if dark[other] && !outside[other] {
                outside[other] = true;
                next.push_back(other);
            }
        }
    }
    outside
}

const DARK: f32 = 0.1;
const MOSTLY: f64 = 0.5;

#[cfg(test)]
mod tests {
    use super::*;

    const SIDE: usize = 16;

    /// A ring of brightness 1 with a dark middle, on a ground of faint noise.
    fn head() -> Vec<f32> {
        let distance = |at: usize| {
            let from_middle = |place: usize| place as f32 - 7.5;
            from_middle(at / SIDE).hypot(from_middle(at % SIDE))
        };
        let brightness = |at: usize| match distance(at) {
            away if away < 2.0 => 0.0,
            away if away < 5.5 => 1.0,
            _ => 0.05 * (at % 3) as f32 / 2.0,
        };
        (0..SIDE * SIDE).map(brightness).collect()
    }

    fn heat_at(places: &[(usize, usize)]) -> Vec<f32> {
        let mut heat = vec![0.0; SIDE * SIDE];
        for (row, column) in places {
            heat[row * SIDE + column] = 1.0;
        }
        heat
    }

    #[test]
    fn a_dark_place_within_the_head_belongs_to_it() {
        let share = |places| heat_outside_head(&head(), &heat_at(places), SIDE);
        assert_eq!(share(&[(7, 7), (7, 3)]), Some(0.0));
        assert_eq!(share(&[(0, 0), (15, 15)]), Some(1.0));
        assert_eq!(share(&[(0, 0), (7, 7), (7, 3), (8, 12)]), Some(0.25));
    }

    #[test]
    fn without_heat_or_head_nothing_is_said() {
        let (head, heat) = (head(), heat_at(&[(7, 7)]));
        assert_eq!(heat_outside_head(&head, &heat_at(&[]), SIDE), None);
        assert_eq!(heat_outside_head(&[0.3; SIDE * SIDE], &heat, SIDE), None);
        assert_eq!(
            heat_outside_head(&[f32::NAN; SIDE * SIDE], &heat, SIDE),
            None
        );
        assert_eq!(heat_outside_head(&head[1..], &heat, SIDE), None);
        assert_eq!(heat_outside_head(&[], &[], 0), None);
        assert_eq!(
            heat_outside_head(&head, &vec![f32::NAN; SIDE * SIDE], SIDE),
            None
        );
    }

    #[test]
    fn slices_in_which_the_model_looks_past_the_head_are_counted() {
        assert_eq!(looks_past_the_head([Some(0.5), None, Some(0.1)]), None);
        let told = looks_past_the_head([Some(0.6), None, Some(0.1), Some(0.9)]);
        assert!(told.is_some_and(|told| told.starts_with("in 2 of 3 slices ")));
        let told = looks_past_the_head([Some(0.6)]);
        assert!(told.is_some_and(|told| told.starts_with("in the slice ")));
    }
}
