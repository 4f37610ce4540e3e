//! What `participant data check` prints: counts, IDs and file names, no clinical value.

use std::{
    fmt::{self, Display},
    path::Path,
};

use model_data::{
    ClassCounts, Cuts, DataCheck, GridCount, OBLIQUE_DEGREES, OrientationCounts, ScanName, Task,
};
use serde_json::{Value, json};

/// Things left out, and scans that have several names.
pub fn problems(check: &DataCheck) -> usize {
    let report = &check.report;
    report.rows_without_images.len()
        + report.images_without_row.len()
        + report.bad_files.len()
        + report.bad_rows.len()
        + check.duplicates.len()
}

/// The report as text, for people.
pub fn text(check: &DataCheck) -> impl Display {
    Text(check)
}

struct Text<'a>(&'a DataCheck);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let check = self.0;
        line(f, "layout", check.layout.name())?;
        let rows = check.report.rows;
        line(
            f,
            "patients",
            format_args!("{} of {rows} rows", check.patients),
        )?;
        for count in &check.contrasts {
            let slices = count.slices;
            let counts = format_args!("{}, {slices} slices", scans(count.scans));
            line(f, count.contrast.name(), counts)?;
        }
        for counts in &check.tasks {
            line(f, counts.task.as_str(), classes(counts))?;
        }
        features(f, check)?;
        orientations(f, &check.orientations)?;
        grids(f, &check.grids)?;
        for warning in &check.report.warnings {
            line(f, "note", warning)?;
        }
        omissions(f, check)?;
        for names in &check.duplicates {
            let names: Vec<String> = names.iter().map(scan).collect();
            line(f, "the same scan", names.join(" and "))?;
        }
        match problems(check) {
            0 => write!(f, "clean: nothing is left out, and no scan is there twice"),
            count => write!(f, "problems: {count}"),
        }
    }
}

fn line(f: &mut fmt::Formatter<'_>, name: &str, value: impl Display) -> fmt::Result {
    writeln!(f, "{name:<22} {value}")
}

fn scans(count: usize) -> String {
    match count {
        1 => "1 scan".to_owned(),
        count => format!("{count} scans"),
    }
}

fn classes(counts: &ClassCounts) -> String {
    let names = counts.task.class_names().iter();
    let of_class = |((name, patients), slices): ((&&str, &usize), &usize)| match patients {
        0 => format!("{name} NO patient"),
        1 => format!("{name} 1 patient ({slices} slices)"),
        _ => format!("{name} {patients} patients ({slices} slices)"),
    };
    let classes = names.zip(&counts.patients).zip(&counts.slices);
    classes.map(of_class).collect::<Vec<_>>().join(", ")
}

fn features(f: &mut fmt::Formatter<'_>, check: &DataCheck) -> fmt::Result {
    let of_patients = check.patients;
    let counts = || check.features.iter().enumerate();
    let missing = counts().filter(|(_, count)| count.missing > 0);
    for (place, count) in missing {
        let name = check.report.feature_name(place);
        let patients = count.missing;
        let note = format_args!("{name} of {patients} of {of_patients} patients: the mean is used");
        line(f, "missing", note)?;
    }
    for (place, _) in counts().filter(|(_, count)| count.constant) {
        let name = check.report.feature_name(place);
        line(
            f,
            "constant",
            format_args!("{name}: all patients have the same value, so it carries no information"),
        )?;
    }
    Ok(())
}

fn orientations(f: &mut fmt::Formatter<'_>, counts: &OrientationCounts) -> fmt::Result {
    let OrientationCounts {
        not_stated,
        permuted,
        oblique,
        largest_tilt_degrees,
    } = *counts;
    let notes = [
        (
            not_stated,
            "not stated: assumed to be right, front, head".to_owned(),
        ),
        (permuted, "with axes in another order: reordered".to_owned()),
        (
            oblique,
            format!("tilted by up to {largest_tilt_degrees:.1} degrees: read along their own axes"),
        ),
    ];
    for (count, note) in notes {
        if count > 0 {
            line(f, "orientation", format_args!("{} {note}", scans(count)))?;
        }
    }
    Ok(())
}

/// One size is what is expected; of many, the most frequent.
fn grids(f: &mut fmt::Formatter<'_>, grids: &[GridCount]) -> fmt::Result {
    for (place, grid) in grids.iter().take(MAX_GRIDS).enumerate() {
        let name = match (place, grids.len()) {
            (0, 1) => "size",
            (0, _) => "mixed sizes",
            _ => "",
        };
        let [nx, ny, nz] = grid.dims;
        let [dx, dy, dz] = grid.spacing_mm;
        let scans = scans(grid.scans);
        let size = format_args!("{nx} x {ny} x {nz} of {dx:.2} x {dy:.2} x {dz:.2} mm: {scans}");
        line(f, name, size)?;
    }
    match grids.len().saturating_sub(MAX_GRIDS) {
        0 => Ok(()),
        more => line(f, "", format_args!("and {more} other sizes")),
    }
}

fn omissions(f: &mut fmt::Formatter<'_>, check: &DataCheck) -> fmt::Result {
    let report = &check.report;
    if !report.rows_without_images.is_empty() {
        let ids = report.rows_without_images.join(", ");
        line(
            f,
            "left out",
            format_args!("rows without images, of patients {ids}"),
        )?;
    }
    for path in &report.images_without_row {
        line(
            f,
            "left out",
            format_args!("{}: the table has no row for it", path.display()),
        )?;
    }
    for file in &report.bad_files {
        line(f, "left out", file)?;
    }
    for row in &report.bad_rows {
        line(f, "left out", row)?;
    }
    Ok(())
}

fn scan(name: &ScanName) -> String {
    format!(
        "patient {} {} ({})",
        name.id,
        name.contrast,
        name.path.display()
    )
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
        "schema": 1,
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
