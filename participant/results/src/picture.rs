//! A slice with what the model looked at laid over it, and the notice below: as colours, and as a PNG.

use font8x8::{BASIC_FONTS, UnicodeFonts as _};
use model_data::IMAGE_SIDE;

use crate::{NOTICE, NOTICE_IN_FULL, ResultsError, SlicePicture};

/// Every pixel of a slice becomes a square of as many.
const SCALE: usize = 3;
/// Every pixel of a letter, too.
const LETTER_SCALE: usize = 2;
/// Pixels of a letter, along each edge.
const LETTER: usize = 8;
/// Height of the strip below the slice.
const STRIP: usize = 24;
/// How much of a pixel the hottest place covers.
const MAX_COVER: f32 = 0.6;

/// A picture of colours, row by row, three bytes a pixel.
pub(crate) struct Overlay {
    pub width: u16,
    pub height: u16,
    pub rgb: Vec<u8>,
}

impl Overlay {
    /// Grey where nothing spoke for the class; from red over yellow to white where much did. "R" and "L" say which side is the
    /// patient's right and left.
    pub(crate) fn of(picture: &SlicePicture) -> Self {
        let width = IMAGE_SIDE * SCALE;
        let height = width + STRIP;
        let mut rgb = vec![0; width * height * 3];
        for (y, row) in rgb.chunks_exact_mut(width * 3).take(width).enumerate() {
            for (x, pixel) in row.chunks_exact_mut(3).enumerate() {
                let place = y / SCALE * IMAGE_SIDE + x / SCALE;
                pixel.copy_from_slice(&blend(picture.pixels[place], picture.heat[place]));
            }
        }
        let mut overlay = Self {
            width: u16::try_from(width).expect("a few hundred"),
            height: u16::try_from(height).expect("a few hundred"),
            rgb,
        };
        let letter = LETTER * LETTER_SCALE;
        overlay.write("R", LETTER_SCALE, (width - letter) / 2);
        overlay.write("L", width - letter - LETTER_SCALE, (width - letter) / 2);
        let caption = NOTICE.to_uppercase();
        let left = (width - caption.len() * letter) / 2;
        overlay.write(&caption, left, width + (STRIP - letter) / 2);
        overlay
    }

    /// White letters on black, from the pixel on.
    fn write(&mut self, text: &str, left: usize, top: usize) {
        let width = usize::from(self.width);
        for (place, letter) in text.chars().enumerate() {
            let rows = BASIC_FONTS.get(letter).unwrap_or_default();
            for y in 0..LETTER * LETTER_SCALE {
                for x in 0..LETTER * LETTER_SCALE {
                    let lit = rows[y / LETTER_SCALE] >> (x / LETTER_SCALE) & 1 == 1;
                    let at = (top + y) * width + left + place * LETTER * LETTER_SCALE + x;
                    self.rgb[at * 3..][..3].fill(if lit { 255 } else { 0 });
                }
            }
        }
    }

    /// As a PNG, which says in its text, too, what it is not for.
    pub(crate) fn png(&self) -> Result<Vec<u8>, ResultsError> {
        let mut bytes = vec![];
        let mut write = || {
            let (width, height) = (u32::from(self.width), u32::from(self.height));
            let mut encoder = png::Encoder::new(&mut bytes, width, height);
            encoder.set_color(png::ColorType::Rgb);
            encoder.set_depth(png::BitDepth::Eight);
            encoder.add_text_chunk("Disclaimer".into(), NOTICE_IN_FULL.into())?;
            let mut writer = encoder.write_header()?;
            writer.write_image_data(&self.rgb)?;
            writer.finish()
        };
        write().map_err(|error| ResultsError::encode("a picture")(error.into()))?;
        Ok(bytes)
    }
}

fn blend(grey: u8, heat: f32) -> [u8; 3] {
    let cover = MAX_COVER * heat;
    let colour = [3.0 * heat, 3.0 * heat - 1.0, 3.0 * heat - 2.0];
    colour.map(|share| {
        let laid = share.clamp(0.0, 1.0) * 255.0;
        (f32::from(grey) * (1.0 - cover) + laid * cover).round() as u8
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::picture;

    fn pixel(overlay: &Overlay, x: usize, y: usize) -> [u8; 3] {
        let at = (y * usize::from(overlay.width) + x) * 3;
        [overlay.rgb[at], overlay.rgb[at + 1], overlay.rgb[at + 2]]
    }

    #[test]
    fn cold_is_grey_and_hot_is_coloured_in_its_place() {
        let picture = picture(|column, row| if (column, row) == (40, 10) { 1.0 } else { 0.0 });
        let overlay = Overlay::of(&picture);
        assert_eq!((overlay.width, overlay.height), (384, 408));
        assert_eq!(pixel(&overlay, 200, 200), [90; 3]);
        assert_eq!(
            pixel(&overlay, 122, 32),
            [189; 3],
            "0.4 of 90 and 0.6 of white"
        );
        assert_eq!(pixel(&overlay, 123, 32), [90; 3]);
        assert_eq!(blend(90, 0.4), [130, 81, 68], "red");
    }

    #[test]
    fn the_notice_is_in_the_pixels_and_in_the_text() {
        let overlay = Overlay::of(&picture(|_, _| 0.0));
        let strip = &overlay.rgb[384 * 384 * 3..];
        let lit = strip.chunks_exact(3).filter(|pixel| **pixel == [255; 3]);
        assert!(lit.count() > 17 * 4 * 12, "letters of some strokes each");
        let bytes = overlay.png().expect("made");
        let reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info();
        let reader = reader.expect("a PNG");
        let text = &reader.info().uncompressed_latin1_text[0];
        assert_eq!(
            (text.keyword.as_str(), text.text.as_str()),
            ("Disclaimer", NOTICE_IN_FULL)
        );
    }
}
