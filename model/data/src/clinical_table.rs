//! The clinical table: a row for each patient, typed by people.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use super::{
    BadRow, DataError, Doubt, Edss, FEATURES, Feature, FeatureKind, FeatureSpec, Scores,
    TableSource,
    cell_words::{Cell, number, numeric, sex, symptoms, years, yes_or_no},
    folder::find_table,
    sheet::Sheet,
    table_header::{Columns, FLAGS, Repeats, Wanted, filled, header_of, no_header},
};

/// The rows that can be used, and what is odd about the others.
pub(super) struct ClinicalTable {
    pub rows: Vec<ClinicalRow>,
    pub bad_rows: Vec<BadRow>,
    /// IDs of bad rows: their images have a row, if not a good one.
    pub refused: Vec<String>,
    pub source: Option<TableSource>,
    pub doubts: Vec<Doubt>,
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
    pub features: Vec<Option<f64>>,
    /// Cells of the columns of [`Wanted::extra`]; empty where there is none.
    pub extra: Vec<String>,
}

impl ClinicalTable {
    /// Reads a table of any format that [`Sheet`] knows: the first sheet with a header.
    pub(super) fn read(path: &Path, wanted: Wanted<'_>) -> Result<Self, DataError> {
        let sheets = Sheet::read(path)?;
        let with_header = |wanted: Wanted<'_>| -> Vec<_> {
            sheets
                .iter()
                .filter_map(|sheet| Some((sheet, header_of(sheet, wanted)?)))
                .collect()
        };
        // A sheet that has scores is the one that was meant in training.
        let mut found = with_header(Wanted {
            scores: Scores::Needed,
            ..wanted
        });
        if found.is_empty() {
            found = with_header(wanted);
        }
        let mut with_header = found.into_iter();
        let Some((sheet, header)) = with_header.next() else {
            let rows = sheets.first().map(|sheet| sheet.rows.as_slice());
            return Err(no_header(path, rows.unwrap_or_default(), wanted));
        };
        let columns = Columns::of(&sheet.rows[header].1, wanted);
        if let Some(feature) = columns.first_without_column(wanted) {
            return Err(DataError::NoColumn {
                path: path.to_owned(),
                column: feature.name.0.clone(),
                found: filled(&sheet.rows[header].1),
            });
        }
        let mut table = Self {
            rows: vec![],
            bad_rows: vec![],
            refused: vec![],
            source: Some(TableSource {
                path: path.to_owned(),
                sheet: sheet.name.clone(),
                columns: columns.named_in(&sheet.rows[header].1, wanted),
            }),
            doubts: vec![],
            warnings: columns.missing(wanted),
            has_extra: columns.extra.iter().map(Option::is_some).collect(),
            header: filled(&sheet.rows[header].1),
        };
        table.doubts.extend(with_header.map(|(other, _)| {
            let kind = "has columns for ID and EDSS, too, and is not used, as it is not the first: leave one such sheet, or hide the others";
            Doubt::new(format_args!("sheet '{}'", other.name.as_deref().unwrap_or_default()), kind)
        }));
        if sheet.lossy {
            let kind = "is not UTF-8, so letters such as ä are lost: save it as 'CSV UTF-8'";
            table.doubts.push(Doubt::new("the table", kind));
        }
        let signs = { wanted.features.iter() }.filter(|feature| feature.gives_edss_away());
        table.warnings.extend(signs.map(|feature| {
            format!(
                "the feature '{}' is named as a sign that EDSS is computed from: it may tell the score that is to be learnt",
                feature.name.0
            )
        }));
        columns.check_repeated(path, sheet, header, &mut table.doubts)?;
        let mut seen = BTreeMap::new();
        for (row, cells) in &sheet.rows[header + 1..] {
            let too_long = sheet.parted_text && used(cells) > used(&sheet.rows[header].1);
            table.read_row(*row, cells, too_long, &columns, wanted, &mut seen);
        }
        let contradicted: BTreeSet<String> = { seen.into_iter() }
            .filter(|(_, scores)| scores.len() > 1)
            .map(|((id, _), _)| id)
            .collect();
        if !contradicted.is_empty() {
            table.drop_rows_of(&contradicted);
        }
        Ok(table)
    }

    /// A row for each of these patients, of whom nothing is known.
    pub(super) fn of_ids<'a>(ids: impl IntoIterator<Item = &'a str>, features: usize) -> Self {
        let rows = ids.into_iter().map(|id| ClinicalRow {
            row: 0,
            id: id.to_owned(),
            edss: None,
            features: vec![None; features],
            extra: vec![],
        });
        Self {
            rows: rows.collect(),
            bad_rows: vec![],
            refused: vec![],
            doubts: vec![],
            warnings: vec![],
            has_extra: vec![],
            header: vec![],
            source: None,
        }
    }

    fn read_row(
        &mut self,
        row: usize,
        cells: &[String],
        too_long: bool,
        columns: &Columns,
        wanted: Wanted<'_>,
        seen: &mut Seen,
    ) {
        let cell = |column: Option<usize>| {
            let cell = column.and_then(|column| cells.get(column));
            let cell = cell.map(String::as_str).unwrap_or_default();
            if cell.eq_ignore_ascii_case("none") {
                ""
            } else {
                cell
            }
        };
        // In these, "none" is a word that somebody may mean.
        let spoken = |column: Option<usize>| {
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
        if id.contains(char::REPLACEMENT_CHARACTER) {
            return refuse("letters of its ID are lost: save the table as 'CSV UTF-8'");
        }
        if too_long {
            refuse(TOO_LONG);
            self.refused.push(id);
            return;
        }
        let edss = number(cell(columns.edss)).and_then(Edss::new);
        let extra: Vec<String> = { columns.extra.iter() }
            .map(|&column| cell(column).to_owned())
            .collect();
        let session = match wanted.repeats {
            Repeats::BySession => extra.iter().find(|cell| !cell.is_empty()),
            Repeats::Never | Repeats::Often => None,
        };
        let key = (id.clone(), session.cloned().unwrap_or_default());
        if wanted.repeats != Repeats::Often {
            let scores = seen.entry(key).or_default();
            let repeated = !scores.is_empty();
            if !scores.contains(&edss) {
                scores.push(edss);
            }
            if repeated {
                let agrees = scores.len() == 1 || wanted.scores == Scores::Optional;
                return refuse(if agrees { REPEATED } else { CONTRADICTED });
            }
        }
        if edss.is_none() && wanted.scores == Scores::Needed {
            refuse("its EDSS is missing or not a half point from 0 to 10");
            self.refused.push(id);
            return;
        }
        let of_study = self.features_of_study(row, columns, cell, spoken);
        let schema = wanted.features;
        let mut features = Vec::with_capacity(schema.count());
        for (feature, &column) in schema.iter().zip(&columns.named) {
            features.push(match feature.place_in_study() {
                Some(place) => of_study[place],
                None => self.named_feature(row, feature, column, (cell, spoken)),
            });
        }
        self.rows.push(ClinicalRow {
            row,
            id,
            edss,
            features,
            extra,
        });
    }

    /// Of rows that contradict each other, none is right more than the others.
    fn drop_rows_of(&mut self, contradicted: &BTreeSet<String>) {
        let is_contradicted = |row: &ClinicalRow| contradicted.contains(&row.id);
        let (dropped, kept) = std::mem::take(&mut self.rows)
            .into_iter()
            .partition::<Vec<_>, _>(is_contradicted);
        self.rows = kept;
        self.bad_rows.extend(dropped.into_iter().map(|row| BadRow {
            row: row.row,
            reason: CONTRADICTED,
        }));
        self.bad_rows.sort_by_key(|bad| bad.row);
        self.refused.extend(contradicted.iter().cloned());
    }

    fn features_of_study<'a>(
        &mut self,
        row: usize,
        columns: &Columns,
        cell: impl Fn(Option<usize>) -> &'a str,
        spoken: impl Fn(Option<usize>) -> &'a str,
    ) -> [Option<f64>; FEATURES] {
        let mut doubts = vec![];
        let mut doubt =
            |kind: String| doubts.push(Doubt::new(format_args!("row {row} of the table"), kind));
        let (age, onset, mut stated) = (
            clear(years(cell(columns.age)), "age", YEARS, &mut doubt),
            clear(
                years(cell(columns.age_at_onset)),
                "age at onset",
                YEARS,
                &mut doubt,
            ),
            clear(
                years(cell(columns.duration)),
                "disease duration",
                YEARS,
                &mut doubt,
            ),
        );
        if age.zip(stated).is_some_and(|(age, stated)| stated > age) {
            doubt("the disease duration exceeds the age, so it is not understood and counts as missing: is it in months? Write years".to_owned());
            stated = None;
        }
        // Any two of the three give the third.
        let duration = age.zip(onset).map(|(age, onset)| age - onset).or(stated);
        let onset = onset.or_else(|| age.zip(stated).map(|(age, years)| (age - years).max(0.0)));
        if duration.is_some_and(|years| years < 0.0) {
            let warning = format!("row {row} of the table: onset after age, duration taken as 0");
            self.warnings.push(warning);
        }
        let sex = clear(sex(cell(columns.sex)), "sex", "F or M", &mut doubt);
        let comorbidity = yes_or_no(spoken(columns.comorbidity));
        let comorbidity = clear(comorbidity, "co-morbidity", YES_OR_NO, &mut doubt);
        let symptoms = symptoms(spoken(columns.symptoms));
        let symptoms = clear(symptoms, "the presenting symptom", SYMPTOMS, &mut doubt);
        let flags: [_; 4] = std::array::from_fn(|place| {
            let told = yes_or_no(cell(columns.flags[place]));
            clear(told, FLAGS[place].name(), YES_OR_NO, &mut doubt)
        });
        self.doubts.append(&mut doubts);
        let symptom =
            |place: usize| symptoms.map_or(flags[place], |symptoms| Some(symptoms[place]));
        Feature::ALL.map(|feature| match feature {
            Feature::Sex => sex,
            Feature::Age => age,
            Feature::AgeAtOnset => onset,
            Feature::Duration => duration.map(|years| years.max(0.0)),
            Feature::Comorbidity => comorbidity,
            Feature::Motor => symptom(0),
            Feature::Sensory => symptom(1),
            Feature::Visual => symptom(2),
            Feature::Balance => symptom(3),
        })
    }

    fn named_feature<'a>(
        &mut self,
        row: usize,
        feature: &FeatureSpec,
        column: Option<usize>,
        (cell, spoken): (
            impl Fn(Option<usize>) -> &'a str,
            impl Fn(Option<usize>) -> &'a str,
        ),
    ) -> Option<f64> {
        let mut doubt = |kind| {
            let about = format_args!("row {row} of the table");
            self.doubts.push(Doubt::new(about, kind));
        };
        let (value, remedy) = match feature.kind {
            FeatureKind::Flag => (yes_or_no(spoken(column)), YES_OR_NO),
            FeatureKind::Years => (years(cell(column)), YEARS),
            FeatureKind::Number => (numeric(cell(column)), "a number, or yes or no"),
        };
        let ([from, to], name) = (feature.range(), &feature.name.0);
        let value = clear(value, name, remedy, &mut doubt)?;
        if !(from..=to).contains(&value) {
            self.warnings.push(format!(
                "row {row} of the table: {name} lies outside of {from} to {to} and is taken as the nearer end"
            ));
        }
        Some(value.clamp(from, to))
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
            Ok(ClinicalTable::of_ids(ids, wanted.features.count()))
        }
        table => ClinicalTable::read(&table?, wanted),
    }
}

/// The value of a cell; one that is not understood is a doubt.
fn clear<T>(cell: Cell<T>, what: &str, remedy: &str, doubt: &mut impl FnMut(String)) -> Option<T> {
    match cell {
        Cell::Value(value) => Some(value),
        Cell::Empty => None,
        Cell::Unclear => {
            doubt(format!(
                "{what} is not understood and counts as missing: write {remedy}, or n/a"
            ));
            None
        }
    }
}

/// IDs with their sessions, and the scores of their rows.
type Seen = BTreeMap<(String, String), Vec<Option<Edss>>>;

const REPEATED: &str = "its ID occurred before";
const CONTRADICTED: &str =
    "its ID has several rows with another EDSS, and which is right is not known: leave one";
const TOO_LONG: &str = "it has more cells than the header: a number with a comma, or a text without quotes? \
                        Part the cells with semicolons, or write numbers with a point";
const YEARS: &str = "years as a number from 0 to 120";
const YES_OR_NO: &str = "yes or no";
const SYMPTOMS: &str = "motor, sensory, visual, balance or several of them";
/// Cells up to the last that is filled.
fn used(cells: &[String]) -> usize {
    let last = cells.iter().rposition(|cell| !cell.is_empty());
    last.map_or(0, |last| last + 1)
}
