//! Some patients of a data folder, each scan with its middle slice as the network takes it: for people to look at.

use super::{Contrast, Entry, Slice};

/// A patient to be looked at.
#[derive(Clone, Debug, PartialEq)]
pub struct ShownPatient {
    /// From 1, in the order of the table, among patients with a usable row and at least one image.
    pub number: usize,
    /// Name within the cohort.
    pub id: String,
    /// Every contrast asked for, in the order asked for.
    pub scans: Vec<(Contrast, ShownScan)>,
}

/// What there is to be seen of a contrast.
#[derive(Clone, Debug, PartialEq)]
pub enum ShownScan {
    /// The slice in the middle of those that training would take.
    Middle(Slice),
    /// There is a scan, and it is left out; [`LoadReport::bad_files`](super::LoadReport::bad_files) says why.
    Unusable,
    /// There is no such scan.
    Absent,
}

/// Places of the patients to be shown, spread over the list of all.
pub(super) struct Spread(Vec<usize>);

impl Spread {
    /// At most `most` of `patients`.
    pub(super) fn over(patients: usize, most: usize) -> Self {
        let count = patients.min(most);
        Self((0..count).map(|turn| turn * patients / count).collect())
    }

    /// For each scan of all patients, one after another: whether it is to be shown.
    pub(super) fn scans(&self, entries: &[Entry]) -> Vec<bool> {
        let mut scans = vec![];
        for (place, entry) in entries.iter().enumerate() {
            let is_shown = self.0.binary_search(&place).is_ok();
            scans.extend(entry.scans.iter().map(|_| is_shown));
        }
        scans
    }

    /// The patients, with a slice of each of their scans: `middles` has one for every scan of all patients that is to be shown and is
    /// usable.
    pub(super) fn patients(
        &self,
        entries: &[Entry],
        contrasts: &[Contrast],
        mut middles: impl Iterator<Item = Option<Slice>>,
    ) -> Vec<ShownPatient> {
        let mut shown = Vec::with_capacity(self.0.len());
        for (place, entry) in entries.iter().enumerate() {
            let mut of_patient: Vec<(Contrast, Option<Slice>)> = { entry.scans.iter() }
                .map(|scan| (scan.contrast, middles.next().flatten()))
                .collect();
            if self.0.binary_search(&place).is_err() {
                continue;
            }
            let scans = contrasts.iter().map(|&contrast| {
                let mut found = of_patient.iter_mut();
                let scan = match found.find(|(other, _)| *other == contrast) {
                    Some((_, slice)) => slice.take().map_or(ShownScan::Unusable, ShownScan::Middle),
                    None => ShownScan::Absent,
                };
                (contrast, scan)
            });
            shown.push(ShownPatient {
                number: place + 1,
                id: entry.id.clone(),
                scans: scans.collect(),
            });
        }
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_who_are_shown_are_spread_over_all_and_no_more_than_asked_for() {
        assert_eq!(Spread::over(0, 24).0, [0; 0]);
        assert_eq!(Spread::over(3, 24).0, [0, 1, 2]);
        assert_eq!(Spread::over(10, 4).0, [0, 2, 5, 7]);
        assert_eq!(Spread::over(60, 0).0, [0; 0]);
        let many = Spread::over(1000, 24).0;
        assert_eq!((many.len(), many[23]), (24, 958));
    }
}
