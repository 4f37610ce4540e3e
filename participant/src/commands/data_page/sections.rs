//! The parts of the page that are numbers.

use std::{fmt::Write as _, path::Path};

use ::report::pictures::escape;
use model_data::{ClassCounts, DataCheck, OrientationCounts};
use protocol::counted::counted;

use super::{
    super::{
        data_kinds::from_here, data_overview::overview as overview_lines, data_report::problems,
    },
    Names,
};

/// The title, whom the page is for, and the verdict.
pub fn headline(check: &DataCheck, names: Names) -> String {
    let named = match names {
        Names::Told => "It names patients, files and series.",
        Names::Withheld => "It names no patient and no file; images of a head can show who it is.",
    };
    let verdict = match (check.patients, problems(check)) {
        (0, _) => "<strong>No patient can be used:</strong> none has both a usable row in the table and a usable image.".to_owned(),
        (_, 0) => "<strong>Clean:</strong> nothing is left out, nothing is guessed, and no scan is there twice.".to_owned(),
        (_, count) => format!(
            "<strong>{}:</strong> something is left out, was guessed, is there twice, or is too little for a run. What follows says what, why, and \
             what to do.",
            counted(count, ["problem", "problems"])
        ),
    };
    let no_run = match &check.unsplit {
        Some(error) => format!(
            "<p class=\"warning\"><strong>No run can be taken part in with these data:</strong> {}.</p>",
            escape(&error.to_string())
        ),
        None => String::new(),
    };
    format!(
        "<h1>Data check</h1><p class=\"warning\"><strong>This page holds images of patients.</strong> It is for this hospital alone: give it \
         to nobody who may not see them. {named}</p><p>{verdict}</p>{no_run}"
    )
}

/// The first lines of the text.
pub fn overview(folder: &Path, check: &DataCheck, names: Names) -> String {
    let mut section = "<h2>Overview</h2><table class=\"words\">".to_owned();
    for (name, value) in overview_lines(check, names) {
        let value = escape(&from_here(folder, &value));
        let _ = write!(section, "<tr><th>{name}</th><td>{value}</td></tr>");
    }
    section + "</table>"
}

/// Scans by contrast; patients and slices by class.
pub fn counts(check: &DataCheck) -> String {
    let mut section = "<h2>Patients, scans and slices</h2><table><caption>Usable scans</caption>\
         <tr><th>contrast</th><th>patients with it</th><th>patients without</th><th>slices</th></tr>"
        .to_owned();
    for count in &check.contrasts {
        let without = check.patients.saturating_sub(count.scans);
        let _ = write!(
            section,
            "<tr><th>{}</th><td>{}{}</td><td>{without}</td><td>{}</td></tr>",
            count.contrast.name().to_uppercase(),
            bar(count.scans, check.patients),
            count.scans,
            count.slices
        );
    }
    section += "</table>";
    section.extend(check.tasks.iter().map(classes));
    section
}

fn classes(counts: &ClassCounts) -> String {
    let all: usize = counts.patients.iter().sum();
    let mut table = format!(
        "<table><caption>Classes of the task {}</caption><tr><th>class</th><th>patients</th><th>slices</th></tr>",
        counts.task.as_str()
    );
    let names = counts.task.class_names().iter();
    for ((name, &patients), slices) in names.zip(&counts.patients).zip(&counts.slices) {
        let _ = write!(
            table,
            "<tr><th>{}</th><td>{}{patients}</td><td>{slices}</td></tr>",
            escape(name),
            bar(patients, all)
        );
    }
    table += "</table>";
    if all > 0 && counts.patients.contains(&0) {
        table += "<p class=\"note\">A class without a patient here can be learnt only from other hospitals.</p>";
    }
    table
}

/// How complete the clinical features are.
pub fn features(check: &DataCheck) -> String {
    let mut section = "<h2>Clinical features</h2><table class=\"words\">\
         <tr><th>feature</th><th>patients without a value</th><th>remark</th></tr>"
        .to_owned();
    for (place, count) in check.features.iter().enumerate() {
        let remark = if check.patients > 0 && count.missing == check.patients {
            "no patient has it"
        } else if count.constant {
            "the same for all who have it: it tells nothing"
        } else {
            ""
        };
        let _ = write!(
            section,
            "<tr><th>{}</th><td>{}{}</td><td>{remark}</td></tr>",
            escape(check.report.feature_name(place)),
            bar(count.missing, check.patients),
            count.missing
        );
    }
    section
        + "</table><p class=\"note\">In training, the mean takes the place of a value that is missing.</p>"
}

/// Sizes, spacings and orientations: different scanners and protocols show here.
pub fn sizes(check: &DataCheck) -> String {
    let mut section = "<h2>Sizes and orientations</h2>".to_owned();
    if check.grids.is_empty() {
        return section + "<p>There is no usable scan.</p>";
    }
    section += "<table><tr><th>voxels</th><th>spacing in mm</th><th>scans</th></tr>";
    for grid in check.grids.iter().take(MAX_GRIDS) {
        let [nx, ny, nz] = grid.dims;
        let [dx, dy, dz] = grid.spacing_mm;
        let _ = write!(
            section,
            "<tr><th>{nx} x {ny} x {nz}</th><td>{dx:.2} x {dy:.2} x {dz:.2}</td><td>{}</td></tr>",
            grid.scans
        );
    }
    section += "</table>";
    if check.grids.len() > MAX_GRIDS {
        let more = check.grids.len() - MAX_GRIDS;
        let more = counted(more, ["other size", "other sizes"]);
        let _ = write!(section, "<p>And {more}.</p>");
    }
    let OrientationCounts {
        not_stated,
        permuted,
        oblique,
        largest_tilt_degrees,
    } = check.orientations;
    let tilted =
        format!("tilted by up to {largest_tilt_degrees:.1} degrees: read along their own axes");
    let lines = [
        (not_stated, "without a stated orientation: see below"),
        (permuted, "with axes in another order: reordered"),
        (oblique, tilted.as_str()),
    ];
    for (count, what) in lines.into_iter().filter(|(count, _)| *count > 0) {
        let scans = counted(count, ["scan", "scans"]);
        let _ = write!(section, "<p>{scans} {what}.</p>");
    }
    section
        + "<p class=\"note\">Right to left, front to back, feet to head. Every slice is scaled to the same size. \
         Many sizes mean several scanners or protocols.</p>"
}

/// A share as a bar beside its number.
fn bar(count: usize, of: usize) -> String {
    let percent = 100 * count.min(of) / of.max(1);
    format!("<span class=\"bar\"><i style=\"width:{percent}%\"></i></span>")
}

const MAX_GRIDS: usize = 50;
