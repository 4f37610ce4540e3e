//! What `participant data check` prints: counts, IDs, titles of columns and file names, no clinical value.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::{self, Display},
    path::Path,
};

use model_data::{
    ClassCounts, Cuts, DataCheck, GridCount, OBLIQUE_DEGREES, OrientationCounts, ScanName, Task,
};
use protocol::counted::counted;
use serde_json::{Value, json};

use super::{
    data_kinds::{self, Trouble, from_here, plain},
    data_overview::{Names, overview},
};

/// Patients, scans and rows that are left out, in doubt, or there twice: each counts once, whatever is wrong with it. Patients who cannot
/// be split are one more.
pub fn problems(check: &DataCheck) -> usize {
    let report = &check.report;
    let files: BTreeSet<&Path> = report
        .bad_files
        .iter()
        .map(|bad| bad.path.as_path())
        .collect();
    let doubts: BTreeSet<&str> = report
        .doubts
        .iter()
        .map(|doubt| doubt.about.as_str())
        .collect();
    // A patient without images and a folder without a row that are probably one.
    let both = report.near_misses().len();
    report.rows_without_images.len() + report.images_without_row.len() - both
        + files.len()
        + report.bad_rows.len()
        + doubts.len()
        + check.duplicates.len()
        + usize::from(check.unsplit.is_some())
}

/// The report as text, for people. Paths are shown from `folder` on; `all` names every case of a kind.
pub fn text<'a>(folder: &'a Path, check: &'a DataCheck, all: bool) -> impl Display + 'a {
    Text { folder, check, all }
}

struct Text<'a> {
    folder: &'a Path,
    check: &'a DataCheck,
    all: bool,
}

impl Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let check = self.check;
        for (name, value) in overview(check, Names::Told) {
            self.line(f, name, value)?;
        }
        for counts in &check.tasks {
            self.line(f, counts.task.as_str(), classes(counts))?;
        }
        self.features(f)?;
        self.orientations(f, &check.orientations)?;
        self.grids(f, &check.grids)?;
        self.lines(f, "note", &self.notes(), ["time", "times"])?;
        for dates in &check.report.dates {
            let dates = dates
                .strip_prefix(&format!("{}/", self.folder.display()))
                .unwrap_or(dates);
            self.line(f, "dates", plain(dates))?;
        }
        self.lines(f, "in doubt", &self.doubts(), ["case", "cases"])?;
        self.omissions(f)?;
        for names in &check.duplicates {
            let names: Vec<String> = names.iter().map(|name| self.scan(name)).collect();
            self.line(f, "the same scan", names.join(" and "))?;
        }
        if let Some(error) = &check.unsplit {
            self.line(f, "no run", error)?;
        }
        match problems(check) {
            0 => write!(
                f,
                "clean: nothing is left out, nothing is guessed, and no scan is there twice"
            ),
            count if self.all => write!(f, "problems: {count}"),
            count => write!(f, "problems: {count} (--all names each)"),
        }
    }
}

impl Text<'_> {
    /// A name and a value; what a terminal would obey is written out.
    fn line(&self, f: &mut fmt::Formatter<'_>, name: &str, value: impl Display) -> fmt::Result {
        let value = from_here(self.folder, &value.to_string());
        writeln!(f, "{name:<22} {value}")
    }

    fn lines(
        &self,
        f: &mut fmt::Formatter<'_>,
        name: &str,
        troubles: &[Trouble],
        nouns: [&str; 2],
    ) -> fmt::Result {
        let mut lines = data_kinds::lines(troubles, nouns, self.all).into_iter();
        lines.try_for_each(|line| self.line(f, name, line))
    }

    fn notes(&self) -> Vec<Trouble> {
        let warnings = self.check.report.warnings.iter();
        warnings.map(|warning| Trouble::of_line(warning)).collect()
    }

    /// What was guessed or not understood.
    fn doubts(&self) -> Vec<Trouble> {
        let doubts = self.check.report.doubts.iter();
        doubts
            .map(|doubt| Trouble::new(&doubt.about, &doubt.kind))
            .collect()
    }

    fn features(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let check = self.check;
        let of_patients = check.patients;
        let counts = || check.features.iter().enumerate();
        let mut missing: BTreeMap<usize, Vec<&str>> = BTreeMap::new();
        for (place, count) in counts().filter(|(_, count)| count.missing > 0) {
            let name = check.report.feature_name(place);
            missing.entry(count.missing).or_default().push(name);
        }
        for (count, names) in missing.into_iter().rev() {
            let patients = counted(of_patients, ["patient", "patients"]);
            let names = names.join(", ");
            let note = format_args!("{names} of {count} of {patients}: the mean is used");
            self.line(f, "missing", note)?;
        }
        for (place, _) in counts().filter(|(_, count)| count.constant) {
            let name = check.report.feature_name(place);
            let note = "all patients have the same value, so it carries no information";
            self.line(f, "constant", format_args!("{name}: {note}"))?;
        }
        Ok(())
    }

    fn orientations(&self, f: &mut fmt::Formatter<'_>, counts: &OrientationCounts) -> fmt::Result {
        let OrientationCounts {
            permuted,
            oblique,
            largest_tilt_degrees,
            ..
        } = *counts;
        let notes = [
            (permuted, "with axes in another order: reordered".to_owned()),
            (
                oblique,
                format!(
                    "tilted by up to {largest_tilt_degrees:.1} degrees: read along their own axes"
                ),
            ),
        ];
        for (count, note) in notes {
            if count > 0 {
                self.line(f, "orientation", format_args!("{} {note}", scans(count)))?;
            }
        }
        Ok(())
    }

    /// One size is what is expected; of many, the most frequent.
    fn grids(&self, f: &mut fmt::Formatter<'_>, grids: &[GridCount]) -> fmt::Result {
        let most = if self.all { grids.len() } else { MAX_GRIDS };
        for (place, grid) in grids.iter().take(most).enumerate() {
            let name = match (place, grids.len()) {
                (0, 1) => "size",
                (0, _) => "mixed sizes",
                _ => "",
            };
            let [nx, ny, nz] = grid.dims;
            let [dx, dy, dz] = grid.spacing_mm;
            let scans = scans(grid.scans);
            let size =
                format_args!("{nx} x {ny} x {nz} of {dx:.2} x {dy:.2} x {dz:.2} mm: {scans}");
            self.line(f, name, size)?;
        }
        match grids.len().saturating_sub(most) {
            0 => Ok(()),
            more => {
                let sizes = counted(more, ["other size", "other sizes"]);
                self.line(f, "", format_args!("and {sizes}"))
            }
        }
    }

    fn omissions(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let report = &self.check.report;
        let near = report.near_misses();
        for (place, (id, folder)) in near.iter().enumerate() {
            let folder = folder.display();
            let note = format_args!(
                "patient {id} of the table has no images, and {folder} no row: did you mean the same? Write the ID as the folder has it"
            );
            match near.len() - place {
                1 => self.line(f, "left out", note)?,
                left if !self.all && place == 0 => {
                    self.line(
                        f,
                        "left out",
                        format_args!("{note} ({} more like it)", left - 1),
                    )?;
                    break;
                }
                _ => self.line(f, "left out", note)?,
            }
        }
        let alone = |id: &&String| !near.iter().any(|(other, _)| *other == id.as_str());
        let ids: Vec<&str> = { report.rows_without_images.iter() }
            .filter(alone)
            .map(String::as_str)
            .collect();
        if !ids.is_empty() {
            let shown = if self.all { ids.len() } else { MAX_IDS };
            let more = match ids.len().saturating_sub(shown) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            let rows = counted(
                ids.len(),
                [
                    "row without images, of patient",
                    "rows without images, of patients",
                ],
            );
            let ids = ids[..shown.min(ids.len())].join(", ");
            self.line(f, "left out", format_args!("{rows} {ids}{more}"))?;
        }
        let folders = report.images_without_row.iter();
        let folders = folders.filter(|folder| !near.iter().any(|(_, other)| other == folder));
        let folders: Vec<Trouble> = folders
            .map(|folder| Trouble::new(folder.display(), "the table has no row for it"))
            .collect();
        self.lines(f, "left out", &folders, ["folder", "folders"])?;
        let files = report.bad_files.iter();
        let files = files.map(|file| Trouble::new(file.path.display(), &file.reason));
        self.lines(f, "left out", &files.collect::<Vec<_>>(), ["scan", "scans"])?;
        let rows = report.bad_rows.iter();
        let rows = rows.map(|row| Trouble::new(format_args!("row {}", row.row), row.reason));
        self.lines(f, "left out", &rows.collect::<Vec<_>>(), ["row", "rows"])
    }

    fn scan(&self, name: &ScanName) -> String {
        format!(
            "patient {} {} ({})",
            name.id,
            name.contrast,
            name.path.display()
        )
    }
}

fn scans(count: usize) -> String {
    counted(count, ["scan", "scans"])
}

fn classes(counts: &ClassCounts) -> String {
    let names = counts.task.class_names().iter();
    let of_class = |((name, patients), slices): ((&&str, &usize), &usize)| match patients {
        0 => format!("{name} NO patient"),
        _ => format!(
            "{name} {} ({})",
            counted(*patients, ["patient", "patients"]),
            counted(*slices, ["slice", "slices"])
        ),
    };
    let classes = names.zip(&counts.patients).zip(&counts.slices);
    classes.map(of_class).collect::<Vec<_>>().join(", ")
}

/// For machines: `schema` rises when a key changes its meaning or goes.
pub fn json(folder: &Path, check: &DataCheck, cuts: Cuts) -> Value {
    let report = &check.report;
    let tasks: serde_json::Map<String, Value> = check
        .tasks
        .iter()
        .map(|counts| (counts.task.as_str().to_owned(), task(counts, cuts)))
        .collect();
    let name = |name: &ScanName| json!({"id": name.id, "contrast": name.contrast.name(), "path": name.path});
    json!({
        "schema": 3,
        "folder": folder,
        "layout": check.layout.name(),
        "clean": check.is_clean(),
        "problems": problems(check),
        "rows": report.rows,
        "patients": check.patients,
        "slices": check.slices(),
        "contrasts": check.contrasts.iter().map(|count| json!({
            "contrast": count.contrast.name(),
            "scans": count.scans,
            "slices": count.slices,
        })).collect::<Vec<_>>(),
        "tasks": tasks,
        "features": check.features.iter().enumerate().map(|(place, count)| json!({
            "name": check.report.feature_name(place),
            "missing": count.missing,
            "constant": count.constant,
        })).collect::<Vec<_>>(),
        "orientation": {
            "not_stated": check.orientations.not_stated,
            "permuted": check.orientations.permuted,
            "oblique": check.orientations.oblique,
            "oblique_from_degrees": OBLIQUE_DEGREES,
            "largest_tilt_degrees": check.orientations.largest_tilt_degrees,
        },
        "grids": check.grids.iter().map(|grid| json!({
            "dims": grid.dims,
            "spacing_mm": grid.spacing_mm,
            "scans": grid.scans,
        })).collect::<Vec<_>>(),
        "scanners": check.scanners.iter().map(|scanner| json!({
            "name": scanner.name,
            "scans": scanner.scans,
        })).collect::<Vec<_>>(),
        "split_refused": check.unsplit.as_ref().map(ToString::to_string),
        "non_finite": check.non_finite.iter().map(|scan| json!({
            "path": scan.path,
            "voxels": scan.voxels,
        })).collect::<Vec<_>>(),
        "duplicates": check.duplicates.iter()
            .map(|names| names.iter().map(name).collect::<Vec<_>>())
            .collect::<Vec<_>>(),
        "left_out": {
            "rows_without_images": report.rows_without_images,
            "images_without_row": report.images_without_row,
            "bad_files": report.bad_files.iter()
                .map(|file| json!({"path": file.path, "reason": file.reason}))
                .collect::<Vec<_>>(),
            "bad_rows": report.bad_rows.iter()
                .map(|row| json!({"row": row.row, "reason": row.reason}))
                .collect::<Vec<_>>(),
        },
        "near_misses": report.near_misses().iter()
            .map(|(id, folder)| json!({"id": id, "folder": folder}))
            .collect::<Vec<_>>(),
        "doubts": report.doubts.iter()
            .map(|doubt| json!({"about": doubt.about, "kind": doubt.kind}))
            .collect::<Vec<_>>(),
        "table": report.table.as_ref().map(|table| json!({
            "path": table.path,
            "sheet": table.sheet,
            "columns": table.columns.iter()
                .map(|(what, title)| json!({"for": what, "title": title}))
                .collect::<Vec<_>>(),
        })),
        "warnings": report.warnings,
    })
}

fn task(counts: &ClassCounts, cuts: Cuts) -> Value {
    let names = counts.task.class_names().iter();
    let classes = names.zip(&counts.patients).zip(&counts.slices);
    let cuts = match counts.task {
        Task::Binary => vec![cuts.binary],
        Task::Multiclass => cuts.multiclass.to_vec(),
    };
    json!({
        "edss_cuts": cuts,
        "classes": classes.map(|((name, patients), slices)| json!({
            "name": name,
            "patients": patients,
            "slices": slices,
        })).collect::<Vec<_>>(),
    })
}

const MAX_GRIDS: usize = 8;
const MAX_IDS: usize = 8;
