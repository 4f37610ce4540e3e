//! Colours, dashes, marks and letters that all pictures share.

use plotters::{
    element::{Circle, Polygon, Rectangle, Text},
    style::{
        BLACK, Color, FontFamily, IntoFont, RGBColor, ShapeStyle, TextStyle,
        text_anchor::{HPos, Pos, VPos},
    },
};

use super::{Area, DrawingResult};

/// How a curve looks. The colours are Okabe and Ito's, which those who see fewer colours tell apart; dash and mark do without colour.
#[derive(Clone, Copy)]
pub struct LineStyle {
    pub colour: RGBColor,
    /// Units drawn and units left out; none is a solid line.
    pub dash: Option<(u32, u32)>,
    mark: Mark,
}

#[derive(Clone, Copy)]
enum Mark {
    Circle,
    Square,
    Triangle,
    Diamond,
}

/// Of the first curve, the second, and so on, and around again.
pub fn line_style(place: usize) -> LineStyle {
    LINE_STYLES[place % LINE_STYLES.len()]
}

impl LineStyle {
    /// For lines as wide as this.
    pub fn stroke(self, width: u32) -> ShapeStyle {
        self.colour.stroke_width(width)
    }

    /// Draws the curve's mark.
    pub fn draw_mark(self, area: &Area<'_>, (x, y): (i32, i32)) -> DrawingResult {
        let filled = self.colour.filled();
        let polygon = |corners: &[(i32, i32)]| {
            let corners: Vec<(i32, i32)> =
                corners.iter().map(|(dx, dy)| (x + dx, y + dy)).collect();
            area.draw(&Polygon::new(corners, filled))
        };
        match self.mark {
            Mark::Circle => area.draw(&Circle::new((x, y), 7, filled))?,
            Mark::Square => area.draw(&Rectangle::new([(x - 6, y - 6), (x + 6, y + 6)], filled))?,
            Mark::Triangle => polygon(&[(0, -9), (8, 6), (-8, 6)])?,
            Mark::Diamond => polygon(&[(0, -9), (9, 0), (0, 9), (-9, 0)])?,
        }
        Ok(())
    }
}

/// Black letters, `height` units from the foot of one line to that of the next if set solid.
pub fn letters(height: u32, horizontal: HPos, vertical: VPos) -> TextStyle<'static> {
    // The SVG back-end divides by this number.
    (FontFamily::SansSerif, f64::from(height) * 1.24)
        .into_font()
        .color(&BLACK)
        .pos(Pos::new(horizontal, vertical))
}

/// Writes a line of text.
pub fn write(
    area: &Area<'_>,
    text: &str,
    place: (i32, i32),
    style: TextStyle<'_>,
) -> DrawingResult {
    area.draw(&Text::new(text, place, style))?;
    Ok(())
}

/// Of titles, of what is to be read, and of the numbers at the axes.
pub const TITLE: u32 = 30;
pub const LABEL: u32 = 26;
pub const TICK: u32 = 24;

/// Of the lines behind the data.
pub const GRID: RGBColor = RGBColor(0xcc, 0xcc, 0xcc);
/// Of the axes and of what is only compared with.
pub const AXIS: RGBColor = RGBColor(0x66, 0x66, 0x66);

const LINE_STYLES: [LineStyle; 4] = [
    LineStyle {
        colour: RGBColor(0x00, 0x72, 0xb2),
        dash: None,
        mark: Mark::Circle,
    },
    LineStyle {
        colour: RGBColor(0xd5, 0x5e, 0x00),
        dash: Some((18, 10)),
        mark: Mark::Square,
    },
    LineStyle {
        colour: RGBColor(0x00, 0x9e, 0x73),
        dash: Some((5, 7)),
        mark: Mark::Triangle,
    },
    LineStyle {
        colour: RGBColor(0xcc, 0x79, 0xa7),
        dash: Some((32, 8)),
        mark: Mark::Diamond,
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_differ_by_dash_and_by_mark() {
        for (place, style) in LINE_STYLES.iter().enumerate() {
            for other in &LINE_STYLES[..place] {
                assert_ne!(style.dash, other.dash);
                assert_ne!(
                    std::mem::discriminant(&style.mark),
                    std::mem::discriminant(&other.mark)
                );
                assert_ne!(style.colour, other.colour);
            }
        }
    }
}
