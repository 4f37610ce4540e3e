//! What was read of a data folder, a line each: for the text of `participant data check` and for its page.

use model_data::DataCheck;
use protocol::counted::counted;

/// Whether patients, files and series are named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// They are.
    Told,
    /// Their number is told.
    Withheld,
}

/// Layout, table and columns, patients, scans and series, scanners: what each line is about, and what it says.
pub fn overview(check: &DataCheck, names: Names) -> Vec<(&'static str, String)> {
    let mut lines = vec![("layout", check.layout.name().to_owned())];
    if let Some(table) = &check.report.table {
        let path = table.path.display();
        let named = match (&table.sheet, names) {
            (_, Names::Withheld) => {
                let kind = table.path.extension().and_then(|end| end.to_str());
                let known = kind.filter(|kind| TABLES.contains(kind));
                format!("a file of the kind .{}", known.unwrap_or("(other)"))
            }
            (Some(sheet), Names::Told) => format!("{path}, sheet '{sheet}'"),
            (None, Names::Told) => path.to_string(),
        };
        lines.push(("table", named));
        let column = |(what, title): &(String, String)| format!("{what} from '{title}'");
        let columns: Vec<String> = table.columns.iter().map(column).collect();
        lines.push(("columns", columns.join(", ")));
    }
    let rows = counted(check.report.rows, ["row", "rows"]);
    lines.push(("patients", format!("{} of {rows}", check.patients)));
    for count in &check.contrasts {
        let scans = counted(count.scans, ["scan", "scans"]);
        let slices = counted(count.slices, ["slice", "slices"]);
        let mut counts = format!("{scans}, {slices}");
        let series = check.report.series.get(&count.contrast);
        let kinds = series.map_or(0, |series| series.len());
        if names == Names::Withheld {
            if kinds > 0 {
                let names = counted(kinds, ["name of series", "names of series"]);
                counts.push_str(&format!("; {names}"));
            }
        } else {
            for (name, times) in series.into_iter().flatten().take(MAX_SERIES) {
                counts.push_str(&format!("; series '{name}': {times}"));
            }
            let more = kinds.saturating_sub(MAX_SERIES);
            if more > 0 {
                counts.push_str(&format!("; and {more} other names"));
            }
        }
        lines.push((count.contrast.name(), counts));
    }
    if check.scanners.is_empty() {
        return lines;
    }
    lines.push(("scanners", scanners(check)));
    lines
}

/// As `participant predict` names one that a model has not seen. They are words of the files, but none about a patient.
fn scanners(check: &DataCheck) -> String {
    let scanners = check.scanners.iter().take(MAX_SCANNERS);
    let mut counts: Vec<String> = scanners
        .map(|scanner| {
            let name = scanner.name.as_deref().unwrap_or("not told by the files");
            format!("{name}: {}", counted(scanner.scans, ["scan", "scans"]))
        })
        .collect();
    match check.scanners.len().saturating_sub(MAX_SCANNERS) {
        0 => {}
        more => counts.push(format!(
            "and {}",
            counted(more, ["other scanner", "other scanners"])
        )),
    }
    counts.join("; ")
}

const TABLES: [&str; 3] = ["csv", "tsv", "xlsx"];
const MAX_SERIES: usize = 4;
const MAX_SCANNERS: usize = 12;
