//! Confusion matrices: what is true by row, what the model says by column.

use plotters::{
    element::Rectangle,
    style::{
        BLACK, Color, RGBColor, WHITE,
        text_anchor::{HPos, VPos},
    },
};

use super::{
    Picture, PictureError,
    style::{AXIS, LABEL, TICK, TITLE, letters, write},
};

/// Draws `counts[truth][prediction]`, as many rows and columns as there are names. A cell is as dark as its share of the row is
/// large; its numbers say the same.
///
/// # Errors
/// What the plotting library says.
pub fn confusion(
    name: &str,
    title: &str,
    classes: &[&str],
    counts: &[Vec<u64>],
) -> Result<Picture, PictureError> {
    let side = CELL * classes.len() as i32;
    let size = (
        (LEFT + side + 40).max(640) as u32,
        (TOP + side + 110) as u32,
    );
    Picture::draw(name, in_words(title, classes, counts), size, |area| {
        write(area, title, (24, 22), letters(TITLE, HPos::Left, VPos::Top))?;
        for (row, (truth, row_counts)) in classes.iter().zip(counts).enumerate() {
            let top = TOP + CELL * row as i32;
            let beside = letters(LABEL, HPos::Right, VPos::Center);
            write(area, truth, (LEFT - 16, top + CELL / 2), beside)?;
            let total: u64 = row_counts.iter().sum();
            for (column, count) in row_counts.iter().enumerate().take(classes.len()) {
                let left = LEFT + CELL * column as i32;
                let share = *count as f64 / total.max(1) as f64;
                let shade = ramp(share);
                let corners = [(left, top), (left + CELL, top + CELL)];
                area.draw(&Rectangle::new(corners, shade.filled()))?;
                area.draw(&Rectangle::new(corners, AXIS.stroke_width(2)))?;
                let ink = if share > DARK { &WHITE } else { &BLACK };
                let middle = left + CELL / 2;
                let number = letters(NUMBER, HPos::Center, VPos::Center).color(ink);
                write(
                    area,
                    &count.to_string(),
                    (middle, top + CELL / 2 - 16),
                    number,
                )?;
                let percent = letters(TICK, HPos::Center, VPos::Center).color(ink);
                if total > 0 {
                    let text = format!("{:.0}%", 100.0 * share);
                    write(area, &text, (middle, top + CELL / 2 + 24), percent)?;
                }
            }
        }
        for (column, class) in classes.iter().enumerate() {
            let middle = LEFT + CELL * column as i32 + CELL / 2;
            let below = letters(LABEL, HPos::Center, VPos::Top);
            write(area, class, (middle, TOP + side + 12), below)?;
        }
        let axis = letters(TICK, HPos::Left, VPos::Top);
        write(
            area,
            "true class by row (percent of the row)",
            (24, 64),
            axis,
        )?;
        let axis = letters(TICK, HPos::Center, VPos::Top);
        write(
            area,
            "predicted class",
            (LEFT + side / 2, TOP + side + 54),
            axis,
        )
    })
}

fn in_words(title: &str, classes: &[&str], counts: &[Vec<u64>]) -> String {
    let mut words = format!("Confusion matrix, {title}.");
    for (truth, row) in classes.iter().zip(counts) {
        let cells = classes.iter().zip(row);
        let cells: Vec<String> = cells
            .map(|(predicted, count)| format!("{count} predicted {predicted}"))
            .collect();
        words += &format!(" Of true {truth}: {}.", cells.join(", "));
    }
    words
}

/// From white to a dark blue, darker at every step.
fn ramp(share: f64) -> RGBColor {
    let channel = |end: f64| (255.0 + (end - 255.0) * share.clamp(0.0, 1.0)).round() as u8;
    RGBColor(channel(8.0), channel(64.0), channel(129.0))
}

const CELL: i32 = 150;
const LEFT: i32 = 200;
const TOP: i32 = 112;
const NUMBER: u32 = 40;
/// White letters above this share.
const DARK: f64 = 0.7;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_in_the_picture_and_in_its_words() {
        let counts = [vec![30, 10], vec![0, 0]];
        let picture =
            confusion("matrix", "Patients", &["lower", "higher"], &counts).expect("drawn");
        let svg = picture.inline().expect("no image in it");
        for part in [
            "\n30\n",
            "\n75%\n",
            "\n10\n",
            "\n25%\n",
            "lower",
            "higher",
            "predicted class",
        ] {
            assert!(svg.contains(part), "{part}");
        }
        // There is no share of nobody.
        assert_eq!(svg.matches("%\n").count(), 2);
        assert!(
            picture
                .alt
                .contains("Of true lower: 30 predicted lower, 10 predicted higher.")
        );
    }

    /// Relative luminance of WCAG 2.
    fn luminance(RGBColor(red, green, blue): RGBColor) -> f64 {
        let linear = |channel: u8| {
            let share = f64::from(channel) / 255.0;
            if share <= 0.04045 {
                share / 12.92
            } else {
                ((share + 0.055) / 1.055).powf(2.4)
            }
        };
        0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue)
    }

    #[test]
    fn cells_grow_darker_with_their_share_and_their_numbers_stay_readable() {
        let shades: Vec<f64> = (0..=100)
            .map(|percent| luminance(ramp(f64::from(percent) / 100.0)))
            .collect();
        assert!(shades.windows(2).all(|pair| pair[1] < pair[0]));
        for (percent, shade) in shades.iter().enumerate() {
            let ink = if percent as f64 / 100.0 > DARK {
                1.0
            } else {
                0.0
            };
            let (light, dark) = if ink > *shade {
                (ink, *shade)
            } else {
                (*shade, ink)
            };
            // 4.5 is what WCAG asks of small letters.
            assert!((light + 0.05) / (dark + 0.05) >= 4.5, "{percent}%");
        }
    }
}
