//! Who did what when: a row for each party, in it a lane for each kind of work.

use plotters::{
    element::Rectangle,
    style::Color,
    style::text_anchor::{HPos, VPos},
};

use super::{
    DrawingResult, Picture, PictureError,
    style::{AXIS, GRID, LABEL, TICK, TITLE, letters, line_style, write},
};

/// A stretch of time as a picture.
#[derive(Clone, Debug)]
pub struct Timeline<'a> {
    /// Of the file.
    pub name: &'a str,
    /// What is drawn.
    pub title: &'a str,
    /// The kinds of work, at most four, from the top of a row to its foot.
    pub kinds: Vec<&'a str>,
    /// From the top.
    pub rows: Vec<TimelineRow>,
    /// In seconds; time begins at 0.
    pub end: f64,
}

/// A party.
#[derive(Clone, Debug)]
pub struct TimelineRow {
    /// Written beside it.
    pub name: String,
    /// What it did.
    pub bars: Vec<Bar>,
}

/// One thing that was done.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bar {
    /// Its place among the kinds of work.
    pub kind: usize,
    /// In seconds.
    pub from: f64,
    /// In seconds.
    pub to: f64,
}

impl Timeline<'_> {
    /// Draws the picture.
    ///
    /// # Errors
    /// What the plotting library says.
    pub fn picture(&self) -> Result<Picture, PictureError> {
        let row_height = LANE * self.kinds.len() as i32 + BETWEEN_ROWS;
        let foot = TOP + row_height * self.rows.len() as i32;
        let size = (WIDTH as u32, (foot + BELOW) as u32);
        let end = if self.end > 0.0 { self.end } else { 1.0 };
        let place = |seconds: f64| {
            let share = (seconds / end).clamp(0.0, 1.0);
            LEFT + (share * f64::from(WIDTH - RIGHT - LEFT)).round() as i32
        };
        Picture::draw(self.name, self.in_words(), size, |area| {
            let title = letters(TITLE, HPos::Left, VPos::Top);
            write(area, self.title, (MARGIN, 22), title)?;
            let mut x = LEFT;
            for (kind, name) in self.kinds.iter().enumerate() {
                line_style(kind).draw_mark(area, (x + 10, LEGEND))?;
                let text = letters(LABEL, HPos::Left, VPos::Center);
                write(area, name, (x + 30, LEGEND), text)?;
                x += (WIDTH - LEFT) / 4;
            }
            for seconds in ticks(end) {
                let x = place(seconds);
                area.draw(&Rectangle::new([(x, TOP), (x + 1, foot)], GRID.filled()))?;
                let text = letters(TICK, HPos::Center, VPos::Top);
                write(area, &in_seconds(seconds, end), (x, foot + 12), text)?;
            }
            let axis = [(LEFT, foot), (WIDTH - RIGHT, foot + 2)];
            area.draw(&Rectangle::new(axis, AXIS.filled()))?;
            for (number, row) in self.rows.iter().enumerate() {
                let top = TOP + row_height * number as i32 + BETWEEN_ROWS / 2;
                let middle = top + LANE * self.kinds.len() as i32 / 2;
                let text = letters(LABEL, HPos::Right, VPos::Center);
                write(area, &row.name, (LEFT - 16, middle), text)?;
                row.draw(area, top, &place)?;
            }
            Ok(())
        })
    }

    /// How long each party did each kind of work.
    fn in_words(&self) -> String {
        let mut words = format!("{}, {} s.", self.title, in_seconds(self.end, self.end));
        for row in &self.rows {
            let told = self.kinds.iter().enumerate().map(|(kind, name)| {
                let bars = row.bars.iter().filter(|bar| bar.kind == kind);
                // A sum of nothing would be -0.
                let seconds = bars.fold(0.0, |sum, bar| sum + bar.to - bar.from);
                format!("{name} {seconds:.2} s")
            });
            words += &format!(" {}: {}.", row.name, told.collect::<Vec<_>>().join(", "));
        }
        words
    }
}

impl TimelineRow {
    fn draw(&self, area: &super::Area<'_>, top: i32, place: &impl Fn(f64) -> i32) -> DrawingResult {
        for bar in &self.bars {
            let top = top + LANE * bar.kind as i32;
            let left = place(bar.from);
            // However short, it can be seen.
            let corners = [(left, top), (place(bar.to).max(left + 1), top + LANE - 2)];
            area.draw(&Rectangle::new(
                corners,
                line_style(bar.kind).colour.filled(),
            ))?;
        }
        Ok(())
    }
}

/// Round numbers of seconds from 0 on, not more than eleven.
fn ticks(end: f64) -> impl Iterator<Item = f64> {
    let step = step(end);
    (0..)
        .map(move |number| f64::from(number) * step)
        .take_while(move |&seconds| seconds <= end)
}

/// 1, 2 or 5 times a power of ten, at least a tenth of the whole.
fn step(end: f64) -> f64 {
    let power = 10_f64.powf((end / 10.0).log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|step| step * power);
    let enough = steps
        .into_iter()
        .find(|step| step * 10.0 >= end * (1.0 - 1e-9));
    enough.unwrap_or(10.0 * power)
}

/// With as many digits as tell one tick from the next.
fn in_seconds(seconds: f64, end: f64) -> String {
    let digits = (-step(end.max(f64::MIN_POSITIVE)).log10().floor()).clamp(0.0, 6.0);
    format!("{seconds:.*}", digits as usize)
}

const WIDTH: i32 = 1240;
const MARGIN: i32 = 24;
/// Bars begin here; names of parties stand to the left.
const LEFT: i32 = 200;
const RIGHT: i32 = 40;
/// The names of the kinds of work are at this height.
const LEGEND: i32 = 92;
const TOP: i32 = 124;
/// For the axis and its unit.
const BELOW: i32 = 60;
const LANE: i32 = 14;
const BETWEEN_ROWS: i32 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bar_lies_where_its_time_is_and_the_shortest_can_be_seen() {
        let bar = |kind, from, to| Bar { kind, from, to };
        let timeline = Timeline {
            name: "round",
            title: "Round 3",
            kinds: vec!["trains", "computes"],
            rows: vec![
                TimelineRow {
                    name: "coordinator".to_owned(),
                    bars: vec![bar(1, 5.0, 5.000_1)],
                },
                TimelineRow {
                    name: "hospital 1".to_owned(),
                    bars: vec![bar(0, 0.0, 5.0), bar(1, 5.0, 10.0), bar(1, 2.0, 2.5)],
                },
            ],
            end: 10.0,
        };
        let picture = timeline.picture().expect("drawn");
        let svg = picture.inline().expect("no image in it");
        for part in [
            "Round 3",
            "hospital 1",
            "coordinator",
            "computes",
            ">\n10\n<",
        ] {
            assert!(svg.contains(part), "{part}: {svg}");
        }
        // Half of what lies between the margins, from its beginning and from its middle.
        for part in [
            "x=\"200\" y=\"176\" width=\"500\"",
            "x=\"700\" y=\"190\" width=\"500\"",
            "x=\"700\" y=\"146\" width=\"1\"",
        ] {
            assert!(svg.contains(part), "{part}: {svg}");
        }
        assert_eq!(
            picture.alt,
            "Round 3, 10 s. coordinator: trains 0.00 s, computes 0.00 s. hospital 1: trains 5.00 s, computes 5.50 s."
        );
    }

    #[test]
    fn ticks_are_round_and_few() {
        for (end, expected) in [(10.0, 11), (9.9, 10), (3.0, 7), (0.02, 11), (47.0, 10)] {
            let all: Vec<f64> = ticks(end).collect();
            assert_eq!(all.len(), expected, "{end}: {all:?}");
        }
        assert_eq!(in_seconds(0.004, 0.02), "0.004");
        assert_eq!(in_seconds(3.0, 47.0), "3");
    }

    #[test]
    fn nothing_is_an_empty_picture() {
        let nothing = Timeline {
            name: "round",
            title: "Round",
            kinds: vec![],
            rows: vec![],
            end: 0.0,
        };
        let svg = nothing
            .picture()
            .expect("drawn")
            .inline()
            .expect("no image");
        assert!(!svg.contains("NaN"));
    }
}
