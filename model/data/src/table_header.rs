//! The header of a clinical table: which column is what.

use std::path::{Path, PathBuf};

use super::{
    DataError, Doubt, FEATURES, Feature, FeatureColumns, Scores, cell_words::number,
    feature_columns::letters, sheet::Sheet, table_row::Row,
};

/// What is looked for besides ID and EDSS.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub features: &'a FeatureColumns,
    /// Columns that only the layout understands, by their letters: `["flair", "t1"]`.
    pub extra: &'a [&'static str],
    pub repeats: Repeats,
    /// Whether a row without a score is of no use.
    pub scores: Scores,
}

/// How often a patient may have a row.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Repeats {
    Never,
    /// Once for each session, which the first columns of [`Wanted::extra`] name.
    BySession,
    Often,
}

/// Where each column stands. Names are compared by their letters alone: people write "Age at onset",
/// "age_at_onset" and "Co-moroidity".
#[derive(Default)]
pub(super) struct Columns {
    pub id: Option<usize>,
    pub edss: Option<usize>,
    pub sex: Option<usize>,
    pub age: Option<usize>,
    pub age_at_onset: Option<usize>,
    pub duration: Option<usize>,
    pub symptoms: Option<usize>,
    /// Motor, sensory, visual and balance symptoms. Bare "sensory" and "visual" are functional systems, from which
    /// EDSS is computed.
    pub flags: [Option<usize>; 4],
    pub comorbidity: Option<usize>,
    pub named: [Option<usize>; FEATURES],
    pub extra: Vec<Option<usize>>,
    /// What occurs twice: what it is, its first place and its second.
    repeated: Vec<(Needed, usize, usize)>,
}

/// What a repeated column is for.
#[derive(Clone, Copy, PartialEq)]
enum Needed {
    Id,
    Edss,
    Feature,
}

impl Columns {
    pub(super) fn of(header: &[String], wanted: Wanted<'_>) -> Self {
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
            let needed = match name.as_str() {
                "edss" | "edssscore" => Needed::Edss,
                name if IDS.contains(&name) => Needed::Id,
                _ => Needed::Feature,
            };
            let column = match name.as_str() {
                name if IDS.contains(&name) => &mut columns.id,
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
            match *column {
                Some(first) => columns.repeated.push((needed, first, place)),
                None => *column = Some(place),
            }
        }
        columns
    }

    /// Two columns for one thing do no harm where they say the same.
    pub(super) fn check_repeated(
        &self,
        path: &Path,
        sheet: &Sheet,
        header: usize,
        doubts: &mut Vec<Doubt>,
    ) -> Result<(), DataError> {
        let title = |place: usize| {
            let name = sheet.rows[header].1.get(place).map(String::as_str);
            format!("{} (column {})", name.unwrap_or_default(), place + 1)
        };
        for &(needed, first, second) in &self.repeated {
            let mut rows = sheet.rows[header + 1..].iter();
            let differ = rows.any(|(_, cells)| {
                let [first, second] = [first, second].map(|place| cells.get(place));
                let [first, second] = [first, second].map(|cell| cell.map_or("", String::as_str));
                first != second && (number(first).is_none() || number(first) != number(second))
            });
            let what = match needed {
                Needed::Id => "ID",
                Needed::Edss => "EDSS",
                Needed::Feature => {
                    if differ {
                        let kind = "is not used, as another column before it has the same name or meaning: rename the one that is not meant";
                        doubts.push(Doubt::new(format_args!("'{}'", title(second)), kind));
                    }
                    continue;
                }
            };
            if differ {
                return Err(DataError::TwoColumns {
                    path: path.to_owned(),
                    what,
                    first: title(first),
                    second: title(second),
                });
            }
        }
        Ok(())
    }

    /// What each column is taken for, and its title.
    pub(super) fn named_in(&self, header: &[String], wanted: Wanted<'_>) -> Vec<(String, String)> {
        let mut places = vec![("ID".to_owned(), self.id), ("EDSS".to_owned(), self.edss)];
        match wanted.features {
            FeatureColumns::Standard => {
                let standard = [
                    ("sex", self.sex),
                    ("age", self.age),
                    ("age at onset", self.age_at_onset),
                    ("disease duration", self.duration),
                    ("co-morbidity", self.comorbidity),
                    ("presenting symptom", self.symptoms),
                ];
                let flags = FLAGS.map(Feature::name).into_iter().zip(self.flags);
                let all = standard.into_iter().chain(flags);
                places.extend(all.map(|(name, place)| (name.to_owned(), place)));
            }
            FeatureColumns::Named(named) => {
                let names = named.iter().map(|column| column.name.clone());
                places.extend(names.zip(self.named));
            }
        }
        let title =
            |(what, place): (String, Option<usize>)| Some((what, header.get(place?)?.clone()));
        places.into_iter().filter_map(title).collect()
    }

    /// A warning for each column that training can do without and that is not there.
    pub(super) fn missing(&self) -> Vec<String> {
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

const IDS: [&str; 7] = [
    "id",
    "patient",
    "patientid",
    "subject",
    "subjectid",
    "participant",
    "participantid",
];

/// The row of the header, among the first of the sheet.
pub(super) fn header_of(sheet: &Sheet, wanted: Wanted<'_>) -> Option<usize> {
    let mut candidates = sheet.rows.iter().take(HEADER_AMONG);
    candidates.position(|(_, cells)| {
        let columns = Columns::of(cells, wanted);
        columns.id.is_some() && (columns.edss.is_some() || wanted.scores == Scores::Optional)
    })
}

/// The row that comes nearest to a header tells which column is missing.
pub(super) fn no_header(path: &Path, rows: &[Row], wanted: Wanted<'_>) -> DataError {
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

pub(super) fn filled(cells: &[String]) -> Vec<String> {
    cells
        .iter()
        .filter(|cell| !cell.is_empty())
        .cloned()
        .collect()
}

/// The symptoms that may have columns of their own.
pub(super) const FLAGS: [Feature; 4] = [
    Feature::Motor,
    Feature::Sensory,
    Feature::Visual,
    Feature::Balance,
];

/// The header is looked for among the first rows: row 1 of the MS60 table is a title.
const HEADER_AMONG: usize = 10;
