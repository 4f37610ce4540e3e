//! Pixels: images that go into a picture, and pictures as PNG files.

use std::sync::{Arc, LazyLock};

use base64::{Engine, prelude::BASE64_STANDARD};
use png::{BitDepth, ColorType, Encoder, EncodingError};
use resvg::{
    tiny_skia::{FilterQuality, IntSize, Pixmap, PixmapPaint, Transform},
    usvg::{Options, Tree, fontdb::Database},
};

use super::{Picture, PictureError};

/// An image in red, green and blue, row by row from the top.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raster {
    width: u32,
    height: u32,
    pixels: Vec<[u8; 3]>,
}

impl Raster {
    /// An image of these pixels.
    ///
    /// # Errors
    /// Another number of pixels than `width` times `height`, or none at all.
    pub fn new(width: u32, height: u32, pixels: Vec<[u8; 3]>) -> Result<Self, PictureError> {
        let expected = (width as usize).checked_mul(height as usize);
        if expected != Some(pixels.len()) || pixels.is_empty() {
            return Err(PictureError::Pixels {
                width,
                height,
                found: pixels.len(),
            });
        }
        Ok(Self {
            width,
            height,
            pixels,
        })
    }

    /// The image as a `data:` address.
    pub(super) fn data_address(&self, picture: &str) -> Result<String, PictureError> {
        let bytes = self.pixels.as_flattened();
        let encoded = encode(self.width, self.height, ColorType::Rgb, bytes)
            .map_err(|error| no_png(picture, &error))?;
        Ok(address(&encoded))
    }
}

/// A square image of [`grey_levels`], as a `data:` address: a third of the bytes of a [`Raster`].
///
/// # Errors
/// A number of values that makes no square, or none at all.
pub fn grey_address(values: &[f32]) -> Result<String, PictureError> {
    let side = values.len().isqrt();
    let width = u32::try_from(side).unwrap_or(u32::MAX);
    if side == 0 || (width as usize).checked_mul(side) != Some(values.len()) {
        return Err(PictureError::Pixels {
            width,
            height: width,
            found: values.len(),
        });
    }
    let encoded = encode(width, width, ColorType::Grayscale, &grey_levels(values))
        .map_err(|error| no_png("a grey image", &error))?;
    Ok(address(&encoded))
}

fn address(png: &[u8]) -> String {
    format!("data:image/png;base64,{}", BASE64_STANDARD.encode(png))
}

/// Values as grey, from the 1st percentile (black) to the 99.5th (white): a few hot voxels do not darken the rest.
pub fn grey_levels(values: &[f32]) -> Vec<u8> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f32::total_cmp);
    let quantile = |share: f64| {
        let place = (share * sorted.len().saturating_sub(1) as f64) as usize;
        sorted.get(place).copied().unwrap_or(0.0)
    };
    let (low, high) = (quantile(0.01), quantile(0.995));
    let span = (high - low).max(f32::MIN_POSITIVE);
    values
        .iter()
        .map(|value| ((value - low) / span * 255.0).clamp(0.0, 255.0) as u8)
        .collect()
}

impl Picture {
    /// The picture as a PNG file, two pixels for one of a page.
    ///
    /// # Errors
    /// What the renderer says.
    pub fn png(&self) -> Result<Vec<u8>, PictureError> {
        let (width, height) = self.size;
        let document = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\">{}</svg>",
            self.body
        );
        let tree =
            Tree::from_str(&document, &OPTIONS).map_err(|error| no_png(&self.name, &error))?;
        let mut canvas =
            Pixmap::new(width, height).ok_or_else(|| no_png(&self.name, &"it has no area"))?;
        resvg::render(&tree, Transform::identity(), &mut canvas.as_mut());
        for tile in &self.tiles {
            let image = tile
                .image
                .pixmap()
                .ok_or_else(|| no_png(&self.name, &"an image in it has no area"))?;
            let across = tile.size.0 as f32 / image.width() as f32;
            let down = tile.size.1 as f32 / image.height() as f32;
            let place = Transform::from_scale(across, down)
                .post_translate(tile.place.0 as f32, tile.place.1 as f32);
            let paint = PixmapPaint {
                quality: FilterQuality::Bilinear,
                ..PixmapPaint::default()
            };
            canvas.draw_pixmap(0, 0, image.as_ref(), &paint, place, None);
        }
        // The background is white and opaque: alpha tells nothing.
        let opaque: Vec<u8> = canvas
            .data()
            .as_chunks::<4>()
            .0
            .iter()
            .flat_map(|[red, green, blue, _]| [*red, *green, *blue])
            .collect();
        encode(width, height, ColorType::Rgb, &opaque).map_err(|error| no_png(&self.name, &error))
    }
}

impl Raster {
    fn pixmap(&self) -> Option<Pixmap> {
        let opaque = self
            .pixels
            .iter()
            .flat_map(|[red, green, blue]| [*red, *green, *blue, 255]);
        Pixmap::from_vec(opaque.collect(), IntSize::from_wh(self.width, self.height)?)
    }
}

fn encode(
    width: u32,
    height: u32,
    colour: ColorType,
    pixels: &[u8],
) -> Result<Vec<u8>, EncodingError> {
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, width, height);
    encoder.set_color(colour);
    encoder.set_depth(BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(pixels)?;
    writer.finish()?;
    Ok(bytes)
}

fn no_png(picture: &str, reason: &dyn std::fmt::Display) -> PictureError {
    PictureError::Png {
        picture: picture.to_owned(),
        reason: reason.to_string(),
    }
}

/// The only font: pictures are the same on every machine.
static OPTIONS: LazyLock<Options<'static>> = LazyLock::new(|| {
    let mut fonts = Database::new();
    fonts.load_font_data(FONT.to_vec());
    fonts.set_sans_serif_family("Roboto");
    Options {
        fontdb: Arc::new(fonts),
        ..Options::default()
    }
});

const FONT: &[u8] = include_bytes!("../../assets/roboto/Roboto-Regular-Latin-Greek.ttf");

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use plotters::style::text_anchor::{HPos, VPos};

    use super::*;
    use crate::pictures::{
        Tile,
        style::{LABEL, letters, write},
    };

    /// Width, height and pixels.
    fn decoded(file: Vec<u8>) -> (u32, u32, Vec<[u8; 3]>) {
        let mut reader = png::Decoder::new(Cursor::new(file))
            .read_info()
            .expect("a PNG");
        let mut bytes = vec![0; reader.output_buffer_size().expect("small")];
        let info = reader.next_frame(&mut bytes).expect("a frame");
        (info.width, info.height, bytes.as_chunks().0.to_vec())
    }

    fn words(text: &str) -> Picture {
        Picture::draw("words", String::new(), (300, 60), |area| {
            write(area, text, (10, 10), letters(LABEL, HPos::Left, VPos::Top))
        })
        .expect("drawn")
    }

    #[test]
    fn letters_are_drawn_without_a_font_of_the_system() {
        let ink = |text: &str| {
            let (width, height, pixels) = decoded(words(text).png().expect("rendered"));
            assert_eq!((width, height), (300, 60));
            pixels.iter().filter(|pixel| pixel[0] < 128).count()
        };
        assert_eq!(ink(""), 0);
        assert!(ink("iii") > 20);
        // Glyphs, not boxes: a wide letter has more ink than a narrow one.
        assert!(ink("WWW") > 2 * ink("iii"));
    }

    #[test]
    fn an_image_comes_back_from_the_page_and_lies_in_the_file_where_it_was_put() {
        let mut picture = words("");
        let (red, blue) = ([200, 0, 0], [0, 0, 200]);
        picture.tiles.push(Tile {
            place: (100, 10),
            size: (40, 40),
            image: Raster::new(2, 2, vec![red, red, blue, blue]).expect("four pixels"),
        });
        let (width, _, pixels) = decoded(picture.png().expect("rendered"));
        let at = |x: u32, y: u32| pixels[(y * width + x) as usize];
        assert_eq!(
            (at(105, 12), at(135, 48), at(90, 20)),
            (red, blue, [255; 3])
        );

        let page = picture.inline().expect("encoded");
        let (_, address) = page
            .split_once("data:image/png;base64,")
            .expect("an address");
        let (encoded, _) = address.split_once('"').expect("an end");
        let file = BASE64_STANDARD.decode(encoded).expect("base64");
        assert_eq!(decoded(file), (2, 2, vec![red, red, blue, blue]));
    }

    #[test]
    fn a_page_with_pictures_asks_nothing_of_any_network() {
        let page = words("x").inline().expect("no image in it");
        for request in ["http:", "https:", "url("] {
            assert!(!page.contains(request), "{request}");
        }
    }

    #[test]
    fn an_image_of_other_sides_is_an_error() {
        assert!(Raster::new(2, 2, vec![[0; 3]; 3]).is_err());
        assert!(Raster::new(0, 0, vec![]).is_err());
        assert!(Raster::new(u32::MAX, u32::MAX, vec![[0; 3]]).is_err());
    }

    #[test]
    fn grey_spans_all_but_the_extremes() {
        let mut values: Vec<f32> = (0..1000).map(|value| value as f32).collect();
        values.push(1e9);
        let grey = grey_levels(&values);
        assert_eq!((grey[0], grey[1000], grey[999]), (0, 255, 255));
        assert!((125..=131).contains(&grey[500]));
        assert!(grey_levels(&[]).is_empty());
        assert_eq!(grey_levels(&[3.0; 4]), [0; 4]);
    }
}
