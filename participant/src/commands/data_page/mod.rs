//! The page of `participant data check --html`: what a data scientist looks at before the hospital takes part.
//!
//! ```text
//! DataCheck, ShownPatient --> sections (numbers) + left_out (why) + montage (slices) --> one page --> PageFile, mode 0600
//! ```
//!
//! By default it names no patient, file or series: what it says of them are this program's own words ([`known`]) and counts.

mod known;
mod left_out;
mod made;
mod sections;

use std::path::Path;

use ::report::{
    montage::{Card, Tile, montage},
    page::page,
    pictures::PictureError,
};
use model_data::{DataCheck, LoadOptions, ShownPatient, ShownScan, SplitKind};
use protocol::counted::counted;

use super::{data_overview::Names, page_file::PageKind};

/// What is shown.
pub struct Page<'a> {
    /// The data folder; named only with the names.
    pub folder: &'a Path,
    /// How it was read.
    pub options: &'a LoadOptions,
    /// How a run would split the patients.
    pub split: SplitKind,
    /// What was found.
    pub check: &'a DataCheck,
    /// At most [`MAX_SHOWN`].
    pub shown: &'a [ShownPatient],
    /// Of patients, files and series.
    pub names: Names,
}

/// Patients whose slices are shown.
pub const MAX_SHOWN: usize = 24;

impl Page<'_> {
    /// The whole page; `date` is when it was made.
    ///
    /// # Errors
    /// An image that cannot be encoded.
    pub fn html(&self, date: &str) -> Result<String, PictureError> {
        let sections = [
            sections::headline(self.check, self.names),
            sections::overview(self.folder, self.check, self.names),
            sections::counts(self.check),
            sections::features(self.check),
            sections::sizes(self.check),
            self.slices()?,
            left_out::sections(self.folder, self.check, self.names),
            made::section(self, date),
        ];
        Ok(page(PageKind::DataCheck.title(), &sections.concat()))
    }

    fn slices(&self) -> Result<String, PictureError> {
        let heading = "<h2>What the network sees</h2>";
        if self.shown.is_empty() {
            return Ok(format!(
                "{heading}<p>No patient has both a row in the table and an image.</p>"
            ));
        }
        let cards: Vec<Card<'_>> = { self.shown.iter() }
            .map(|patient| Card {
                title: match self.names {
                    Names::Told => format!("{}: {}", patient.number, patient.id),
                    Names::Withheld => format!("patient {}", patient.number),
                },
                tiles: patient.scans.iter().map(tile).collect(),
            })
            .collect();
        let shown = counted(cards.len(), ["patient", "patients"]);
        Ok(format!(
            "{heading}<p>{shown}, spread over the table. Of each scan the middle one of the slices that training takes is shown, read, turned \
             and scaled by the code that training uses: {side} x {side} pixels. The front of the head is on top, and the patient\u{2019}s right is \
             on the left.</p><p class=\"note\">Look for heads that are turned or mirrored, another contrast than the one named, another part \
             of the body, a head that is cut, and noise: no program finds all of these. The number is the patient\u{2019}s place in the table, among those \
             who have an image. Grey goes from the 1st to the 99.5th percentile of the slice.</p>{}",
            montage(&cards)?,
            side = model_data::IMAGE_SIDE,
        ))
    }
}

fn tile((contrast, scan): &(model_data::Contrast, ShownScan)) -> Tile<'_> {
    Tile {
        caption: contrast.name().to_uppercase(),
        image: match scan {
            ShownScan::Middle(slice) => Ok(&slice.pixels),
            ShownScan::Unusable => Err("left out: see below".to_owned()),
            ShownScan::Absent => Err("no scan".to_owned()),
        },
    }
}
