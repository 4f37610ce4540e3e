//! The header of a clinical table: which column is what.

use std::path::{Path, PathBuf};

use protocol::features::letters;

use super::{
    DataError, Doubt, Feature, FeatureSchema, FeatureSpec, Scores, cell_words::number,
    sheet::Sheet, table_row::Row,
};

/// What is looked for besides ID and EDSS.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub features: &'a FeatureSchema,
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
    /// For each feature of the schema its column; none for those of the study, which the fields above are for.
    pub named: Vec<Option<usize>>,
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
    /// A feature that is named by its column.
    Named,
}

impl Columns {
    pub(super) fn of(header: &[String], wanted: Wanted<'_>) -> Self {
        let mut columns = Self {
            named: vec![None; wanted.features.count()],
            extra: vec![None; wanted.extra.len()],
            ..Self::default()
        };
        for (place, cell) in header.iter().enumerate() {
            let name = letters(cell);
            if name.is_empty() {
                continue;
            }
            let mut is_named = false;
            for (feature, place_of) in wanted.features.iter().zip(&mut columns.named) {
                if feature.place_in_study().is_none() && letters(&feature.name.0) == name {
                    is_named = true;
                    match *place_of {
                        Some(first) => columns.repeated.push((Needed::Named, first, place)),
                        None => *place_of = Some(place),
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
                // Asked for by its name it is that, whatever it looks like.
                _ if is_named => continue,
                name if name.contains("presentingsymptom") => &mut columns.symptoms,
                name if name.contains("comor") => &mut columns.comorbidity,
                _ => continue,
            };
            match *column {
                Some(first) => columns.repeated.push((needed, first, place)),
                None => *column = Some(place),
            }
        }
        columns.forget_what_nobody_asks_for(wanted);
        columns
    }

    /// A column that no feature needs is not looked at, and no doubt is told of it.
    fn forget_what_nobody_asks_for(&mut self, wanted: Wanted<'_>) {
        let columns = [
            (&[Feature::Sex][..], &mut self.sex),
            (&YEARS, &mut self.age),
            (&YEARS[1..], &mut self.age_at_onset),
            (&YEARS[1..], &mut self.duration),
            (&[Feature::Comorbidity], &mut self.comorbidity),
            (&FLAGS, &mut self.symptoms),
        ];
        for (features, column) in columns {
            column.take_if(|_| !is_any_of(wanted.features, features));
        }
        for (flag, column) in FLAGS.into_iter().zip(&mut self.flags) {
            column.take_if(|_| !is_any_of(wanted.features, &[flag]));
        }
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
                Needed::Named => "a feature",
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
        let named = wanted.features.names().zip(self.named.iter().copied());
        places.extend(named.map(|(name, place)| (name.to_owned(), place)));
        let title =
            |(what, place): (String, Option<usize>)| Some((what, header.get(place?)?.clone()));
        places.into_iter().filter_map(title).collect()
    }

    /// A warning for each column that training can do without and that is not there.
    pub(super) fn missing(&self, wanted: Wanted<'_>) -> Vec<String> {
        let is_wanted = |features: &[Feature]| is_any_of(wanted.features, features);
        let mut flags = FLAGS.iter().zip(&self.flags);
        let has_flags = flags.all(|(&flag, place)| place.is_some() || !is_wanted(&[flag]));
        let columns = [
            ("Gender", &[Feature::Sex][..], self.sex.is_some()),
            (
                "Age",
                &[Feature::Age, Feature::Duration],
                self.age.is_some(),
            ),
            (
                "Age of onset",
                &[Feature::AgeAtOnset, Feature::Duration],
                self.age_at_onset.or(self.duration).is_some(),
            ),
            (
                "Presenting Symptom",
                &FLAGS,
                self.symptoms.is_some() || has_flags,
            ),
            (
                "Co-morbidity",
                &[Feature::Comorbidity],
                self.comorbidity.is_some(),
            ),
        ];
        let mut missing = vec![];
        for (name, features, present) in columns {
            if !present && is_wanted(features) {
                missing.push(format!(
                    "the table has no column '{name}': its features are imputed"
                ));
            }
        }
        missing
    }

    /// The first feature that is not the study's and has no column.
    pub(super) fn first_without_column<'a>(&self, wanted: Wanted<'a>) -> Option<&'a FeatureSpec> {
        let mut features = wanted.features.iter().zip(&self.named);
        let without =
            features.find(|(feature, place)| place.is_none() && feature.place_in_study().is_none());
        without.map(|(feature, _)| feature)
    }
}

/// Whether one of these features of the study is in the schema.
fn is_any_of(schema: &FeatureSchema, features: &[Feature]) -> bool {
    let mut places = schema
        .features
        .iter()
        .filter_map(FeatureSpec::place_in_study);
    places.any(|place| features.iter().any(|feature| feature.index() == place))
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

/// Each of the last two follows from the others.
const YEARS: [Feature; 3] = [Feature::Age, Feature::AgeAtOnset, Feature::Duration];

/// The symptoms that may have columns of their own.
pub(super) const FLAGS: [Feature; 4] = [
    Feature::Motor,
    Feature::Sensory,
    Feature::Visual,
    Feature::Balance,
];

/// The header is looked for among the first rows: row 1 of the MS60 table is a title.
const HEADER_AMONG: usize = 10;
