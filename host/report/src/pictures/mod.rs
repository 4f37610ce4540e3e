//! Pictures for reports, from plain numbers: learning curves, confusion matrices, ROC and other curves in the unit square, slices with Grad-CAM,
//! timelines.
//!
//! ```text
//! numbers -> plotters -> SVG -+-> inline in a page that asks nothing of any network
//!                             '-> resvg, with a font of our own -> PNG
//! ```
//!
//! Every picture is drawn once and serves both ends, so that the page and the file never differ. They are made to be read in grey
//! print and by those who see fewer colours: curves differ by dash and mark and carry their names, matrices carry their numbers,
//! ramps of colour grow steadily lighter or darker, and an alternative text says in words what is to be seen.

mod confusion;
mod learning;
mod png;
mod roc;
mod slices;
mod style;
mod timeline;
mod unit_square;

use std::fmt;

use plotters::{
    backend::SVGBackend,
    coord::Shift,
    drawing::{DrawingArea, IntoDrawingArea},
    style::WHITE,
};

pub use self::{
    confusion::confusion,
    learning::{Curve, LearningChart, Scale, Spread},
    png::{Raster, grey_address, grey_levels},
    roc::{RocCurve, roc},
    slices::{SliceView, slices, verdict},
    timeline::{Bar, Timeline, TimelineRow},
    unit_square::UnitSquare,
};

/// A finished picture.
#[derive(Clone, Debug)]
pub struct Picture {
    /// Of its file, without an ending.
    pub name: String,
    /// What is to be seen, for those who cannot see it.
    pub alt: String,
    /// Units of the drawing; two are one pixel of a page.
    size: (u32, u32),
    /// What stands inside the `svg` element.
    body: String,
    /// Images that lie on top.
    tiles: Vec<Tile>,
}

/// An image in a picture.
#[derive(Clone, Debug)]
struct Tile {
    /// Of the upper left corner.
    place: (i32, i32),
    /// Enlarged to this.
    size: (u32, u32),
    image: Raster,
}

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    /// The plotting library could not draw it.
    #[error("cannot draw the picture {picture}: {reason}")]
    Drawing {
        /// The name of the picture.
        picture: String,
        /// In the library's words.
        reason: String,
    },
    /// It could not be turned into pixels.
    #[error("cannot make {picture}.png: {reason}")]
    Png {
        /// The name of the picture.
        picture: String,
        /// In the library's words.
        reason: String,
    },
    /// An image has another number of pixels than its sides say.
    #[error("an image of {width} x {height} has {found} pixels")]
    Pixels {
        /// Pixels in a row.
        width: u32,
        /// Pixels in a column.
        height: u32,
        /// The number of pixels given.
        found: usize,
    },
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type DrawingResult = Result<(), Box<dyn std::error::Error>>;

impl Picture {
    /// Draws on a white area of this size.
    fn draw(
        name: &str,
        alt: String,
        size: (u32, u32),
        drawing: impl FnOnce(&Area<'_>) -> DrawingResult,
    ) -> Result<Self, PictureError> {
        let mut svg = String::new();
        let drawn = {
            let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
            area.fill(&WHITE)
                .map_err(Into::into)
                .and_then(|()| drawing(&area))
                .and_then(|()| area.present().map_err(Into::into))
        };
        drawn.map_err(|error| PictureError::Drawing {
            picture: name.to_owned(),
            reason: error.to_string(),
        })?;
        let inside = svg
            .find('>')
            .zip(svg.rfind("</svg>"))
            .and_then(|(opening, closing)| svg.get(opening + 1..closing));
        Ok(Self {
            name: name.to_owned(),
            alt,
            size,
            body: inside.unwrap_or_default().to_owned(),
            tiles: Vec::new(),
        })
    }

    /// The picture as an element of a page.
    ///
    /// # Errors
    /// An image in it that cannot be encoded.
    pub fn inline(&self) -> Result<String, PictureError> {
        let (width, height) = self.size;
        let mut svg = format!(
            "<svg viewBox=\"0 0 {width} {height}\" width=\"{}\" role=\"img\" aria-label=\"{}\">{}",
            width / UNITS_PER_PIXEL,
            escape(&self.alt),
            self.body
        );
        for tile in &self.tiles {
            svg += &format!(
                "<image x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" href=\"{}\"/>",
                tile.place.0,
                tile.place.1,
                tile.size.0,
                tile.size.1,
                tile.image.data_address(&self.name)?
            );
        }
        Ok(svg + "</svg>")
    }
}

/// Text of others stays text.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

/// "0.83 (95% 0.71 to 0.92)".
fn with_interval(value: f64, interval: Option<[f64; 2]>) -> impl fmt::Display {
    interval.map_or_else(
        || format!("{value:.2}"),
        |[low, high]| format!("{value:.2} (95% {low:.2} to {high:.2})"),
    )
}

/// plotters places everything at whole units: half a pixel is fine enough for the eye.
const UNITS_PER_PIXEL: u32 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_others_stays_text() {
        assert_eq!(escape("<b a=\"1\">&"), "&lt;b a=&quot;1&quot;&gt;&amp;");
    }
}
