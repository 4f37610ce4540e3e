//! Slices with what the model says of them, and where it looks (Grad-CAM).

use plotters::{
    element::Rectangle,
    style::{
        Color,
        colors::colormaps::{ColorMap, ViridisRGB},
        text_anchor::{HPos, VPos},
    },
};

use super::{
    Area, DrawingResult, Picture, PictureError, Raster, Tile, grey_levels,
    style::{LABEL, TICK, TITLE, letters, write},
};

/// A square slice to be shown.
#[derive(Clone, Debug)]
pub struct SliceView<'a> {
    /// Voxels, `side` times `side`, row by row, the front of the head first.
    pub pixels: &'a [f32],
    /// Of the square.
    pub side: usize,
    /// Grad-CAM: how much each voxel speaks for the predicted class, 0 to 1, in the same order.
    pub attention: &'a [f32],
    /// Below the slice, line by line.
    pub caption: Vec<String>,
}

/// The lines below a slice that was classified: whose it is, the class it has, and the one that it is taken for.
pub fn verdict(
    whose: String,
    classes: &[&str],
    label: usize,
    prediction: usize,
    probabilities: &[f32],
) -> Vec<String> {
    let name = |class: usize| classes.get(class).copied().unwrap_or("?");
    let probability = probabilities.get(prediction).copied().unwrap_or(0.0);
    let verdict = if prediction == label {
        "right"
    } else {
        "WRONG"
    };
    vec![
        whose,
        format!("true: {}", name(label)),
        format!(
            "predicted: {} ({probability:.2}), {verdict}",
            name(prediction)
        ),
    ]
}

/// Draws slices in rows, each with its Grad-CAM map laid over a second copy.
///
/// # Errors
/// A slice or map with another number of voxels, or what the plotting library says.
pub fn slices(name: &str, title: &str, views: &[SliceView<'_>]) -> Result<Picture, PictureError> {
    let lines = views
        .iter()
        .map(|view| view.caption.len())
        .max()
        .unwrap_or(0) as i32;
    let row_height = TILE + LINE * lines + 36;
    let rows = views.len().div_ceil(COLUMNS) as i32;
    let width = 48 + COLUMNS as i32 * (PAIR + GAP) - GAP;
    let size = (width as u32, (TOP + rows * row_height) as u32);
    let place = |index: usize| {
        let (row, column) = ((index / COLUMNS) as i32, (index % COLUMNS) as i32);
        (24 + column * (PAIR + GAP), TOP + row * row_height)
    };
    let mut picture = Picture::draw(name, in_words(title, views), size, |area| {
        write(area, title, (24, 22), letters(TITLE, HPos::Left, VPos::Top))?;
        draw_scale(area)?;
        for (index, view) in views.iter().enumerate() {
            let (left, top) = place(index);
            for (line, text) in (0..).zip(&view.caption) {
                let below = (left, top + TILE + 8 + LINE * line);
                write(area, text, below, letters(LABEL, HPos::Left, VPos::Top))?;
            }
        }
        Ok(())
    })?;
    for (index, view) in views.iter().enumerate() {
        let (left, top) = place(index);
        let grey: Vec<[u8; 3]> = grey_levels(view.pixels)
            .into_iter()
            .map(|grey| [grey; 3])
            .collect();
        let mut add = |place, pixels: Vec<[u8; 3]>, side: usize| {
            let image = Raster::new(side as u32, side as u32, pixels)?;
            let size = (TILE as u32, TILE as u32);
            picture.tiles.push(Tile { place, size, image });
            Ok(())
        };
        let over = overlay(&grey, view.attention, view.side)?;
        add((left + PAIR - TILE, top), over, view.side * FINER)?;
        add((left, top), grey, view.side)?;
    }
    Ok(picture)
}

/// The map over the slice, `FINER` times as fine: colour where the map is high, and a line where it is at half its height.
fn overlay(grey: &[[u8; 3]], map: &[f32], side: usize) -> Result<Vec<[u8; 3]>, PictureError> {
    if grey.len() != map.len() || grey.len() != side * side {
        return Err(PictureError::Pixels {
            width: side as u32,
            height: side as u32,
            found: map.len(),
        });
    }
    let fine = side * FINER;
    let map: Vec<f32> = (0..fine * fine)
        .map(|pixel| between(map, side, pixel))
        .collect();
    let inside = |pixel: usize| map[pixel] >= CONTOUR;
    let pixels = (0..fine * fine).map(|pixel| {
        let (row, column) = (pixel / fine, pixel % fine);
        let around = [
            (row > 0).then(|| pixel - fine),
            (row + 1 < fine).then(|| pixel + fine),
            (column > 0).then(|| pixel - 1),
            (column + 1 < fine).then(|| pixel + 1),
        ];
        let edge = around
            .into_iter()
            .flatten()
            .any(|other| inside(other) != inside(pixel));
        if edge {
            // White within black: seen on dark and on light.
            return if inside(pixel) { [255; 3] } else { [0; 3] };
        }
        let grey = grey[row / FINER * side + column / FINER];
        blend(grey, map[pixel])
    });
    Ok(pixels.collect())
}

/// More of the colour where the map is higher: the slice stays visible where the model does not look.
fn blend(grey: [u8; 3], value: f32) -> [u8; 3] {
    let value = if value.is_finite() {
        value.clamp(0.0, 1.0)
    } else {
        0.0
    };
    let colour = ViridisRGB.get_color(value);
    let colour = [colour.0, colour.1, colour.2];
    let opacity = MAX_OPAQUE * value.sqrt();
    std::array::from_fn(|channel| {
        let (under, over) = (f32::from(grey[channel]), f32::from(colour[channel]));
        (under + (over - under) * opacity).round() as u8
    })
}

/// Linear between the middles of the voxels.
fn between(map: &[f32], side: usize, pixel: usize) -> f32 {
    let fine = side * FINER;
    let place = |at: usize| {
        let exact = ((at as f32 + 0.5) / FINER as f32 - 0.5).clamp(0.0, (side - 1) as f32);
        let low = exact as usize;
        (low, (low + 1).min(side - 1), exact.fract())
    };
    let ((top, bottom, down), (left, right, over)) = (place(pixel / fine), place(pixel % fine));
    let row = |row: usize| {
        let (left, right) = (map[row * side + left], map[row * side + right]);
        left + (right - left) * over
    };
    row(top) + (row(bottom) - row(top)) * down
}

/// What the colours of the map mean.
fn draw_scale(area: &Area<'_>) -> DrawingResult {
    let (left, top, width, height) = (24, 72, 256, 24);
    for step in 0..width {
        let [red, green, blue] = blend([128; 3], step as f32 / (width - 1) as f32);
        let corners = [(left + step, top), (left + step + 1, top + height)];
        area.draw(&Rectangle::new(
            corners,
            plotters::style::RGBColor(red, green, blue).filled(),
        ))?;
    }
    let text = letters(TICK, HPos::Left, VPos::Center);
    let meaning = "Grad-CAM: how much a place speaks for the predicted class, from 0 to the slice's largest; the line is at half";
    write(area, meaning, (left + width + 16, top + height / 2), text)
}

fn in_words(title: &str, views: &[SliceView<'_>]) -> String {
    let captions: Vec<String> = views.iter().map(|view| view.caption.join(", ")).collect();
    format!("{title}: {}.", captions.join("; "))
}

const TILE: i32 = 256;
/// A slice and its overlay.
const PAIR: i32 = 2 * TILE + 8;
const COLUMNS: usize = 3;
const TOP: i32 = 124;
const GAP: i32 = 48;
const LINE: i32 = 34;
/// Pixels of the overlay for a voxel.
const FINER: usize = 2;
const CONTOUR: f32 = 0.5;
const MAX_OPAQUE: f32 = 0.65;

#[cfg(test)]
mod tests {
    use super::*;

    const SIDE: usize = 8;

    /// 1 in the upper left quarter, 0 elsewhere.
    fn map() -> Vec<f32> {
        (0..SIDE * SIDE)
            .map(|voxel| f32::from(u8::from(voxel / SIDE < 4 && voxel % SIDE < 4)))
            .collect()
    }

    #[test]
    fn the_map_lies_over_the_slice_the_right_way_up_with_a_line_around_it() {
        let grey = vec![[100; 3]; SIDE * SIDE];
        let over = overlay(&grey, &map(), SIDE).expect("the sizes fit");
        let fine = SIDE * FINER;
        let at = |row: usize, column: usize| over[row * fine + column];
        assert_eq!(at(1, 1), blend([100; 3], 1.0));
        assert_eq!(at(14, 1), [100; 3], "below, nothing is laid over the slice");
        assert_eq!(at(1, 14), [100; 3]);
        // The line is where the map crosses a half: white inside, black outside.
        let row: Vec<[u8; 3]> = (0..fine).map(|column| at(1, column)).collect();
        let white = row
            .iter()
            .position(|pixel| *pixel == [255; 3])
            .expect("a line");
        assert_eq!((white, row[white + 1]), (7, [0; 3]));
        assert_eq!(row.iter().filter(|pixel| **pixel == [255; 3]).count(), 1);
    }

    #[test]
    fn higher_is_lighter_over_any_grey_that_is_darker() {
        let luminance = |[red, green, blue]: [u8; 3]| {
            0.299 * f64::from(red) + 0.587 * f64::from(green) + 0.114 * f64::from(blue)
        };
        let steps: Vec<f64> = (0..=20)
            .map(|step| luminance(blend([20; 3], step as f32 / 20.0)))
            .collect();
        assert!(
            steps.windows(2).all(|pair| pair[1] > pair[0] - 1.0),
            "{steps:?}"
        );
        assert!(steps[20] > steps[0] + 80.0);
        assert_eq!(blend([20; 3], f32::NAN), [20; 3]);
    }

    #[test]
    fn slices_are_images_of_the_page_and_of_the_file() {
        let pixels: Vec<f32> = (0..SIDE * SIDE).map(|voxel| voxel as f32).collect();
        let map = map();
        let view = SliceView {
            pixels: &pixels,
            side: SIDE,
            attention: &map,
            caption: vec![
                "hospital 1, patient <x>".to_owned(),
                "true: lower".to_owned(),
            ],
        };
        let picture = slices("slices", "Test slices", &vec![view; 4]).expect("drawn");
        let svg = picture.inline().expect("encoded");
        assert_eq!(svg.matches("href=\"data:image/png;base64,").count(), 8);
        assert!(svg.contains("patient &lt;x&gt;") && !svg.contains("<x>"));
        assert!(picture.png().expect("rendered").starts_with(b"\x89PNG"));
    }

    #[test]
    fn a_slice_or_map_of_another_size_is_an_error() {
        let (short, whole) = (vec![0.0; 5], vec![0.0; SIDE * SIDE]);
        for (pixels, attention) in [(&short, &whole), (&whole, &short)] {
            let view = SliceView {
                pixels,
                side: SIDE,
                attention,
                caption: vec![],
            };
            assert!(slices("slices", "Test slices", &[view]).is_err());
        }
    }
}
