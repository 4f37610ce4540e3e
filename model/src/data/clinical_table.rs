//! The clinical table of the MS60 data set: an .xlsx sheet typed by people.

use std::{collections::BTreeSet, path::Path};

use calamine::{Data, Reader, Xlsx, open_workbook};

use super::{BadRow, DataError, Edss, FEATURES, Feature};

/// Larger files are no table of patients.
const MOST_BYTES: u64 = 64 << 20;
/// The header is looked for among the first rows: row 1 of the original is a title.
const HEADER_AMONG: usize = 10;
/// No one is older.
const OLDEST: f64 = 120.0;

/// The rows that can be used, and what is odd about the others.
pub(super) struct ClinicalTable {
    pub rows: Vec<ClinicalRow>,
    pub bad_rows: Vec<BadRow>,
    pub warnings: Vec<String>,
}

/// One patient of the table.
pub(super) struct ClinicalRow {
    pub id: String,
    pub edss: Edss,
    pub features: [Option<f64>; FEATURES],
}

impl ClinicalTable {
    /// Reads the first sheet of a workbook.
    pub(super) fn read(path: &Path) -> Result<Self, DataError> {
        let unreadable = |reason: String| DataError::Table {
            path: path.to_owned(),
            reason,
        };
        let length = std::fs::metadata(path).map_err(|error| unreadable(error.to_string()))?;
        if length.len() > MOST_BYTES {
            return Err(unreadable(format!("{} bytes are no table", length.len())));
        }
        let mut workbook: Xlsx<_> = open_workbook(path)
            .map_err(|error: calamine::XlsxError| unreadable(error.to_string()))?;
        let sheet = workbook
            .worksheet_range_at(0)
            .ok_or_else(|| unreadable("the workbook has no sheet".to_owned()))?
            .map_err(|error| unreadable(error.to_string()))?;
        let first_row = sheet.start().map_or(0, |(row, _)| row as usize) + 1;
        Self::from_rows(path, first_row, sheet.rows())
    }

    /// `first_row` is the number of the first of `rows` in the sheet, from 1.
    fn from_rows<'a>(
        path: &Path,
        first_row: usize,
        rows: impl Iterator<Item = &'a [Data]>,
    ) -> Result<Self, DataError> {
        let mut rows = (first_row..).zip(rows).peekable();
        let mut best_header: &[Data] = &[];
        let columns = loop {
            let candidate = rows
                .next()
                .filter(|(row, _)| *row < first_row + HEADER_AMONG);
            let Some((_, cells)) = candidate else {
                let column = if Columns::of(best_header).id.is_some() {
                    "EDSS"
                } else {
                    "ID"
                };
                return Err(DataError::NoColumn {
                    path: path.to_owned(),
                    column,
                    found: best_header
                        .iter()
                        .map(text)
                        .filter(|name| !name.is_empty())
                        .collect(),
                });
            };
            let columns = Columns::of(cells);
            if let (Some(id), Some(edss)) = (columns.id, columns.edss) {
                break (id, edss, columns);
            }
            let filled =
                |cells: &[Data]| cells.iter().filter(|cell| !text(cell).is_empty()).count();
            let better = (columns.id.is_some(), filled(cells))
                > (Columns::of(best_header).id.is_some(), filled(best_header));
            if better {
                best_header = cells;
            }
        };
        let (id, edss, columns) = columns;
        let mut table = Self {
            rows: vec![],
            bad_rows: vec![],
            warnings: columns.missing(),
        };
        let mut seen = BTreeSet::new();
        for (row, cells) in rows {
            table.read_row(row, cells, (id, edss), &columns, &mut seen);
        }
        Ok(table)
    }

    fn read_row(
        &mut self,
        row: usize,
        cells: &[Data],
        (id, edss): (usize, usize),
        columns: &Columns,
        seen: &mut BTreeSet<String>,
    ) {
        let cell = |column: Option<usize>| column.and_then(|column| cells.get(column));
        let id = cell(Some(id)).map(text).unwrap_or_default();
        if id.is_empty() {
            if cells.iter().any(|cell| !text(cell).is_empty()) {
                let reason = "no ID";
                self.bad_rows.push(BadRow { row, reason });
            }
            return;
        }
        if !seen.insert(id.clone()) {
            let reason = "its ID occurred before";
            self.bad_rows.push(BadRow { row, reason });
            return;
        }
        let Some(edss) = cell(Some(edss)).and_then(number).and_then(Edss::new) else {
            let reason = "its EDSS is missing or not a half point from 0 to 10";
            self.bad_rows.push(BadRow { row, reason });
            return;
        };
        let years = |column| {
            cell(column)
                .and_then(number)
                .filter(|years| (0.0..=OLDEST).contains(years))
        };
        let (age, onset) = (years(columns.age), years(columns.age_at_onset));
        let duration = age.zip(onset).map(|(age, onset)| age - onset);
        if duration.is_some_and(|years| years < 0.0) {
            let warning = format!("row {row} of the table: onset after age, duration taken as 0");
            self.warnings.push(warning);
        }
        let symptoms = cell(columns.symptoms)
            .map(text)
            .and_then(|text| symptoms(&text));
        let features = Feature::ALL.map(|feature| match feature {
            Feature::Sex => cell(columns.sex).and_then(sex),
            Feature::Age => age,
            Feature::AgeAtOnset => onset,
            Feature::Duration => duration.map(|years| years.max(0.0)),
            Feature::Comorbidity => cell(columns.comorbidity).and_then(yes_or_no),
            Feature::Motor => symptoms.map(|flags| flags[0]),
            Feature::Sensory => symptoms.map(|flags| flags[1]),
            Feature::Visual => symptoms.map(|flags| flags[2]),
            Feature::Balance => symptoms.map(|flags| flags[3]),
        });
        self.rows.push(ClinicalRow { id, edss, features });
    }
}

/// Where each column stands. Names are compared by their letters alone: the originals have
/// spaces in front and typing errors ("Co-moroidity").
#[derive(Default)]
struct Columns {
    id: Option<usize>,
    edss: Option<usize>,
    sex: Option<usize>,
    age: Option<usize>,
    age_at_onset: Option<usize>,
    symptoms: Option<usize>,
    comorbidity: Option<usize>,
}

impl Columns {
    fn of(header: &[Data]) -> Self {
        let mut columns = Self::default();
        for (place, cell) in header.iter().enumerate() {
            let letters: String = text(cell).chars().filter(|c| c.is_alphanumeric()).collect();
            let column = match letters.to_lowercase().as_str() {
                "id" | "patientid" => &mut columns.id,
                "edss" => &mut columns.edss,
                "gender" | "sex" => &mut columns.sex,
                "age" => &mut columns.age,
                "ageofonset" | "ageatonset" => &mut columns.age_at_onset,
                name if name.contains("presentingsymptom") => &mut columns.symptoms,
                name if name.contains("comor") => &mut columns.comorbidity,
                _ => continue,
            };
            column.get_or_insert(place);
        }
        columns
    }

    /// A warning for each column that training can do without and that is not there.
    fn missing(&self) -> Vec<String> {
        [
            ("Gender", self.sex),
            ("Age", self.age),
            ("Age of onset", self.age_at_onset),
            ("Presenting Symptom", self.symptoms),
            ("Co-morbidity", self.comorbidity),
        ]
        .into_iter()
        .filter(|(_, place)| place.is_none())
        .map(|(name, _)| format!("the table has no column '{name}': its features are imputed"))
        .collect()
    }
}

/// What a cell shows, without spaces around it; whole numbers without a decimal point.
fn text(cell: &Data) -> String {
    match cell {
        Data::Empty | Data::Error(_) => String::new(),
        cell => cell.to_string().trim().to_owned(),
    }
}

fn number(cell: &Data) -> Option<f64> {
    match cell {
        Data::Int(value) => Some(*value as f64),
        Data::Float(value) => Some(*value),
        Data::String(text) => text.trim().replace(',', ".").parse().ok(),
        _ => None,
    }
    .filter(|value: &f64| value.is_finite())
}

fn sex(cell: &Data) -> Option<f64> {
    match text(cell).to_lowercase().as_str() {
        "f" | "female" => Some(0.0),
        "m" | "male" => Some(1.0),
        _ => None,
    }
}

fn yes_or_no(cell: &Data) -> Option<f64> {
    match text(cell).to_lowercase().as_str() {
        "no" | "n" | "0" | "false" => Some(0.0),
        "yes" | "y" | "1" | "true" => Some(1.0),
        _ => None,
    }
}

/// Motor, sensory, visual and balance flags of a cell such as "Sensory & Visual ,Balance". The
/// first letters decide ("Motore"); other symptoms set no flag; an empty cell has no flags.
fn symptoms(cell: &str) -> Option<[f64; 4]> {
    let lower = cell.to_lowercase();
    let words: Vec<&str> = lower
        .split(|c: char| !c.is_alphabetic())
        .filter(|word| !word.is_empty())
        .collect();
    let flag = |start: &str| f64::from(u8::from(words.iter().any(|word| word.starts_with(start))));
    (!words.is_empty()).then(|| ["mot", "sens", "vis", "bal"].map(flag))
}
