//! The clinical table: a row for each patient, typed by people.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use super::{
    BadRow, DataError, Edss, FEATURES, Feature, FeatureColumn, FeatureColumns, Scores,
    feature_columns::letters, folder::find_table, sheet::Sheet,
};

/// The header is looked for among the first rows: row 1 of the MS60 table is a title.
const HEADER_AMONG: usize = 10;
/// No one is older.
const OLDEST: f64 = 120.0;

/// What is looked for besides ID and EDSS.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub features: &'a FeatureColumns,
    /// Columns that only the layout understands, by their letters: `["flair", "t1"]`.
    pub extra: &'a [&'static str],
    /// Whether a patient may have several rows.
    pub repeats: bool,
    /// Whether a row without a score is of no use.
    pub scores: Scores,
}

/// The rows that can be used, and what is odd about the others.
pub(super) struct ClinicalTable {
    pub rows: Vec<ClinicalRow>,
    pub bad_rows: Vec<BadRow>,
    /// IDs of bad rows: their images have a row, if not a good one.
    pub refused: Vec<String>,
    pub warnings: Vec<String>,
    /// Whether each column of [`Wanted::extra`] is there.
    pub has_extra: Vec<bool>,
    /// Names of the columns.
    pub header: Vec<String>,
}

/// One row of the table.
pub(super) struct ClinicalRow {
    /// Row of the sheet, from 1.
    pub row: usize,
    pub id: String,
    /// None only where [`Scores::Optional`].
    pub edss: Option<Edss>,
    pub features: [Option<f64>; FEATURES],
    /// Cells of the columns of [`Wanted::extra`]; empty where there is none.
    pub extra: Vec<String>,
}

impl ClinicalTable {
    /// Reads a table of any format that [`Sheet`] knows.
    pub(super) fn read(path: &Path, wanted: Wanted<'_>) -> Result<Self, DataError> {
        let Sheet { path, rows } = Sheet::read(path)?;
        let header = rows
            .iter()
            .take(HEADER_AMONG)
            .position(|(_, cells)| {
                let columns = Columns::of(cells, wanted);
                columns.id.is_some()
                    && (columns.edss.is_some() || wanted.scores == Scores::Optional)
            })
            .ok_or_else(|| no_header(&path, &rows, wanted))?;
        let columns = Columns::of(&rows[header].1, wanted);
        if let FeatureColumns::Named(named) = wanted.features
            && let Some(place) = columns.named.iter().position(Option::is_none)
        {
            return Err(DataError::NoColumn {
                path,
                column: named[place].name.clone(),
                found: filled(&rows[header].1),
            });
        }
        let mut table = Self {
            rows: vec![],
            bad_rows: vec![],
            refused: vec![],
            warnings: match wanted.features {
                FeatureColumns::Standard => columns.missing(),
                FeatureColumns::Named(_) => vec![],
            },
            has_extra: columns.extra.iter().map(Option::is_some).collect(),
            header: filled(&rows[header].1),
        };
        let mut seen = BTreeSet::new();
        for (row, cells) in &rows[header + 1..] {
            table.read_row(*row, cells, &columns, wanted, &mut seen);
        }
        Ok(table)
    }

    /// A row for each of these patients, of whom nothing is known.
    pub(super) fn of_ids<'a>(ids: impl IntoIterator<Item = &'a str>) -> Self {
        let rows = ids.into_iter().map(|id| ClinicalRow {
            row: 0,
            id: id.to_owned(),
            edss: None,
            features: [None; FEATURES],
            extra: vec![],
        });
        Self {
            rows: rows.collect(),
            bad_rows: vec![],
            refused: vec![],
            warnings: vec![],
            has_extra: vec![],
            header: vec![],
        }
    }

    fn read_row(
        &mut self,
        row: usize,
        cells: &[String],
        columns: &Columns,
        wanted: Wanted<'_>,
        seen: &mut BTreeSet<String>,
    ) {
        let cell = |column: Option<usize>| {
            let cell = column.and_then(|column| cells.get(column));
            cell.map(String::as_str).unwrap_or_default()
        };
        let id = cell(columns.id).to_owned();
        let mut refuse = |reason| self.bad_rows.push(BadRow { row, reason });
        if id.is_empty() {
            if cells.iter().any(|cell| !cell.is_empty()) {
                refuse("no ID");
            }
            return;
        }
        if !seen.insert(id.clone()) && !wanted.repeats {
            return refuse("its ID occurred before");
        }
        let edss = number(cell(columns.edss)).and_then(Edss::new);
        if edss.is_none() && wanted.scores == Scores::Needed {
            refuse("its EDSS is missing or not a half point from 0 to 10");
            self.refused.push(id);
            return;
        }
        let features = match wanted.features {
            FeatureColumns::Standard => self.standard_features(row, columns, cell),
            FeatureColumns::Named(named) => self.named_features(row, named, columns, cell),
        };
        let extra = columns.extra.iter().map(|&column| cell(column).to_owned());
        self.rows.push(ClinicalRow {
            row,
            id,
            edss,
            features,
            extra: extra.collect(),
        });
    }

    fn standard_features<'a>(
        &mut self,
        row: usize,
        columns: &Columns,
        cell: impl Fn(Option<usize>) -> &'a str,
    ) -> [Option<f64>; FEATURES] {
        let years = |column| number(cell(column)).filter(|years| (0.0..=OLDEST).contains(years));
        let (age, onset, stated) = (
            years(columns.age),
            years(columns.age_at_onset),
            years(columns.duration),
        );
        // Any two of the three give the third.
        let duration = age.zip(onset).map(|(age, onset)| age - onset).or(stated);
        let onset = onset.or_else(|| age.zip(stated).map(|(age, years)| (age - years).max(0.0)));
        if duration.is_some_and(|years| years < 0.0) {
            let warning = format!("row {row} of the table: onset after age, duration taken as 0");
            self.warnings.push(warning);
        }
        let symptoms = symptoms(cell(columns.symptoms));
        let symptom = |place: usize| match symptoms {
            Some(flags) => Some(flags[place]),
            None => yes_or_no(cell(columns.flags[place])),
        };
        Feature::ALL.map(|feature| match feature {
            Feature::Sex => sex(cell(columns.sex)),
            Feature::Age => age,
            Feature::AgeAtOnset => onset,
            Feature::Duration => duration.map(|years| years.max(0.0)),
            Feature::Comorbidity => yes_or_no(cell(columns.comorbidity)),
            Feature::Motor => symptom(0),
            Feature::Sensory => symptom(1),
            Feature::Visual => symptom(2),
            Feature::Balance => symptom(3),
        })
    }

    fn named_features<'a>(
        &mut self,
        row: usize,
        named: &[FeatureColumn; FEATURES],
        columns: &Columns,
        cell: impl Fn(Option<usize>) -> &'a str,
    ) -> [Option<f64>; FEATURES] {
        std::array::from_fn(|place| {
            let value = numeric(cell(columns.named[place]))?;
            let FeatureColumn { name, from, to } = &named[place];
            if !(*from..=*to).contains(&value) {
                self.warnings.push(format!(
                    "row {row} of the table: {name} lies outside of {from} to {to} and is taken as the nearer end"
                ));
            }
            Some(value.clamp(*from, *to))
        })
    }
}

/// The table beside the folders of the patients; where scores are optional and there is none, a row for each of `ids`.
pub(super) fn table_beside<'a>(
    root: &Path,
    found: &BTreeMap<String, PathBuf>,
    ids: impl IntoIterator<Item = &'a str>,
    wanted: Wanted<'_>,
) -> Result<ClinicalTable, DataError> {
    match find_table(root, found) {
        Err(DataError::NoTable { .. }) if wanted.scores == Scores::Optional => {
            Ok(ClinicalTable::of_ids(ids))
        }
        table => ClinicalTable::read(&table?, wanted),
    }
}

/// The row that comes nearest to a header tells which column is missing.
fn no_header(path: &Path, rows: &[(usize, Vec<String>)], wanted: Wanted<'_>) -> DataError {
    let has_id = |cells: &[String]| Columns::of(cells, wanted).id.is_some();
    let candidates = rows
        .iter()
        .take(HEADER_AMONG)
        .map(|(_, cells)| cells.as_slice());
    // The first of equals: of rows that are alike, the last would be one of patients.
    let nearest = candidates
        .rev()
        .max_by_key(|cells| (has_id(cells), filled(cells).len()))
        .unwrap_or_default();
    DataError::NoColumn {
        path: PathBuf::from(path),
        column: if has_id(nearest) { "EDSS" } else { "ID" }.to_owned(),
        found: filled(nearest),
    }
}

fn filled(cells: &[String]) -> Vec<String> {
    cells
        .iter()
        .filter(|cell| !cell.is_empty())
        .cloned()
        .collect()
}

/// Where each column stands. Names are compared by their letters alone: people write "Age at onset",
/// "age_at_onset" and "Co-moroidity".
#[derive(Default)]
struct Columns {
    id: Option<usize>,
    edss: Option<usize>,
    sex: Option<usize>,
    age: Option<usize>,
    age_at_onset: Option<usize>,
    duration: Option<usize>,
    symptoms: Option<usize>,
    /// Motor, sensory, visual and balance symptoms. Bare "sensory" and "visual" are functional systems, from which
    /// EDSS is computed.
    flags: [Option<usize>; 4],
    comorbidity: Option<usize>,
    named: [Option<usize>; FEATURES],
    extra: Vec<Option<usize>>,
}

impl Columns {
    fn of(header: &[String], wanted: Wanted<'_>) -> Self {
        let mut columns = Self {
            extra: vec![None; wanted.extra.len()],
            ..Self::default()
        };
        for (place, cell) in header.iter().enumerate() {
            let name = letters(cell);
            if name.is_empty() {
                continue;
            }
            if let FeatureColumns::Named(named) = wanted.features {
                for (column, place_of) in named.iter().zip(&mut columns.named) {
                    if letters(&column.name) == name {
                        place_of.get_or_insert(place);
                    }
                }
            }
            if let Some(extra) = wanted.extra.iter().position(|extra| *extra == name) {
                columns.extra[extra].get_or_insert(place);
                continue;
            }
            let column = match name.as_str() {
                "id" | "patient" | "patientid" | "subject" | "subjectid" | "participant"
                | "participantid" => &mut columns.id,
                "edss" | "edssscore" => &mut columns.edss,
                "gender" | "sex" => &mut columns.sex,
                "age" => &mut columns.age,
                "ageofonset" | "ageatonset" | "onsetage" => &mut columns.age_at_onset,
                "duration" | "diseaseduration" => &mut columns.duration,
                "motorsymptoms" => &mut columns.flags[0],
                "sensorysymptoms" => &mut columns.flags[1],
                "visualsymptoms" => &mut columns.flags[2],
                "balancesymptoms" => &mut columns.flags[3],
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
        let has_flags = self.flags.iter().all(Option::is_some);
        [
            ("Gender", self.sex.is_some()),
            ("Age", self.age.is_some()),
            (
                "Age of onset",
                self.age_at_onset.or(self.duration).is_some(),
            ),
            ("Presenting Symptom", self.symptoms.is_some() || has_flags),
            ("Co-morbidity", self.comorbidity.is_some()),
        ]
        .into_iter()
        .filter(|(_, present)| !present)
        .map(|(name, _)| format!("the table has no column '{name}': its features are imputed"))
        .collect()
    }
}

fn number(cell: &str) -> Option<f64> {
    let number = cell.replace(',', ".").parse().ok();
    number.filter(|value: &f64| value.is_finite())
}

/// A number, or yes and no as 1 and 0.
fn numeric(cell: &str) -> Option<f64> {
    number(cell).or_else(|| yes_or_no(cell))
}

fn sex(cell: &str) -> Option<f64> {
    match cell.to_lowercase().as_str() {
        "f" | "female" => Some(0.0),
        "m" | "male" => Some(1.0),
        _ => None,
    }
}

fn yes_or_no(cell: &str) -> Option<f64> {
    match cell.to_lowercase().as_str() {
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
