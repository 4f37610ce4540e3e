//! The clinical features of a run (MODEL.md, "Clinical features"): name, kind and public range of each, the same at every hospital.
//!
//! Ranges are part of a run and not of the data: they say nothing of any patient.
//!
//! ```
//! use protocol::features::{FeatureKind, FeatureSchema};
//!
//! let study = FeatureSchema::study();
//! assert_eq!(study.names().nth(2), Some("age at onset"));
//! let texts = ["sex", "age", "T2 lesions: 0..100", "smoker: flag", "years of treatment: years"];
//! let spec = texts[2].parse::<protocol::features::FeatureSpec>().expect("a column");
//! assert_eq!((spec.kind, spec.range()), (FeatureKind::Number, [0.0, 100.0]));
//! ```

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::codec::{Decode, Encode, List, Text, one_byte};

/// What the numbers of a feature are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FeatureKind {
    /// 1 for yes, 0 for no; of the sex 0 for female, 1 for male.
    Flag,
    /// From 0 to 100.
    Years,
    /// Of any unit, within a range that the run names.
    Number,
}

one_byte!(FeatureKind {
    Flag = 0,
    Years = 1,
    Number = 2,
});

impl FeatureKind {
    /// The range of every feature of this kind; none where each has its own.
    pub const fn range(self) -> Option<[f64; 2]> {
        match self {
            Self::Flag => Some([0.0, 1.0]),
            Self::Years => Some([0.0, 100.0]),
            Self::Number => None,
        }
    }
}

/// One clinical feature.
///
/// As a text it is one of the nine names of the study, or a column of the hospitals' tables with what it holds: `smoker: flag`,
/// `years of treatment: years`, `T2 lesions: 0..100`.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct FeatureSpec {
    /// Of the study's nine, or in the header of the clinical table, compared by its letters and digits.
    pub name: Text,
    /// What its numbers are.
    pub kind: FeatureKind,
    /// Scaled to 0; values below are taken as this.
    pub from: f64,
    /// Scaled to 1; values above are taken as this.
    pub to: f64,
}

impl FeatureSpec {
    /// Lowest and highest value.
    pub fn range(&self) -> [f64; 2] {
        [self.from, self.to]
    }

    fn is_same_as(&self, other: &Self) -> bool {
        letters(&self.name.0) == letters(&other.name.0)
            && (self.kind, self.range()) == (other.kind, other.range())
    }

    /// A value in the units of the counters of `stats`, in which none is negative and none is above 100: a number as percents of its
    /// range, flags and years as they are.
    pub fn counted(&self, value: f64) -> f64 {
        (value - self.origin()) / self.unit()
    }

    /// Back from [`Self::counted`].
    pub fn value_of(&self, counted: f64) -> f64 {
        self.origin() + self.unit() * counted
    }

    /// A difference of two values that differ by so much in [`Self::counted`].
    pub fn difference_of(&self, counted: f64) -> f64 {
        self.unit() * counted
    }

    fn origin(&self) -> f64 {
        match self.kind {
            FeatureKind::Flag | FeatureKind::Years => 0.0,
            FeatureKind::Number => self.from,
        }
    }

    fn unit(&self) -> f64 {
        match self.kind {
            FeatureKind::Flag | FeatureKind::Years => 1.0,
            FeatureKind::Number => (self.to - self.from) / 100.0,
        }
    }

    /// The feature of the study with this name, by its letters and digits.
    pub fn of_study(name: &str) -> Option<Self> {
        let (name, kind) = STUDY[place_of_name(name)?];
        let [from, to] = kind.range().unwrap_or_default();
        Some(Self {
            name: name.into(),
            kind,
            from,
            to,
        })
    }

    /// Its place among the nine of the study, if it is one of them: these are read by rules of their own (MODEL.md, "Clinical features").
    pub fn place_in_study(&self) -> Option<usize> {
        let place = place_of_name(&self.name.0)?;
        (STUDY[place].1 == self.kind).then_some(place)
    }

    /// Whether it is one of the signs that EDSS is computed from, by its name: it would tell what is to be learnt.
    pub fn gives_edss_away(&self) -> bool {
        let name = letters(&self.name.0);
        let is_sign = SIGNS.iter().any(|sign| name.contains(sign));
        self.place_in_study().is_none()
            && (is_sign || SCORES.iter().any(|score| name.contains(score)))
    }

    fn check(&self) -> Result<(), FeatureError> {
        let name = &self.name.0;
        let letters = letters(name);
        if ["edss", "edssscore"].contains(&letters.as_str()) {
            return Err(FeatureError::Label);
        }
        let is_name = !letters.is_empty()
            && name.trim() == name
            && name.chars().count() <= MAX_NAME_CHARS
            && !name.contains(|c: char| c.is_control() || SEPARATORS.contains(&c));
        let is_range = self.to - self.from >= MIN_WIDTH
            && [self.from, self.to].iter().all(|end| end.abs() <= MAX_END);
        let is_of_kind = self.kind.range().is_none_or(|range| range == self.range());
        match is_name && is_range && is_of_kind {
            true => Ok(()),
            false => Err(FeatureError::Form {
                text: self.to_string(),
            }),
        }
    }
}

impl FromStr for FeatureSpec {
    type Err = FeatureError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let form = || FeatureError::Form {
            text: text.to_owned(),
        };
        let Some((name, what)) = text.rsplit_once(':') else {
            return Self::of_study(text).ok_or_else(form);
        };
        let kind = match what.trim() {
            "flag" => FeatureKind::Flag,
            "years" => FeatureKind::Years,
            _ => FeatureKind::Number,
        };
        let number = |text: &str| text.trim().parse().map_err(|_| form());
        let [from, to] = match kind.range() {
            Some(range) => range,
            None => {
                let (from, to) = what.split_once("..").ok_or_else(form)?;
                [number(from)?, number(to)?]
            }
        };
        let spec = Self {
            name: name.trim().into(),
            kind,
            from,
            to,
        };
        match spec.check() {
            Err(FeatureError::Form { .. }) => Err(form()),
            checked => checked.map(|()| spec),
        }
    }
}

/// As it is parsed.
impl fmt::Display for FeatureSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.name.0;
        match self.kind {
            _ if self.place_in_study().is_some() => f.write_str(name),
            FeatureKind::Flag => write!(f, "{name}: flag"),
            FeatureKind::Years => write!(f, "{name}: years"),
            FeatureKind::Number => write!(f, "{name}: {}..{}", self.from, self.to),
        }
    }
}

/// The features of a run, in the order of a patient's vector.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct FeatureSchema {
    /// One after another.
    pub features: List<FeatureSpec>,
}

impl FeatureSchema {
    /// The nine of the study.
    pub fn study() -> Self {
        let features = STUDY.iter();
        Self {
            features: features
                .filter_map(|(name, _)| FeatureSpec::of_study(name))
                .collect(),
        }
    }

    /// No feature: of a run that conditions nothing.
    pub fn none() -> Self {
        Self {
            features: List::default(),
        }
    }

    /// From one text a feature; none of them means the study's nine.
    ///
    /// # Errors
    /// More than [`MAX_FEATURES`], a name given twice, or one that is no feature; see [`FeatureError`].
    pub fn parse<S: AsRef<str>>(texts: &[S]) -> Result<Self, FeatureError> {
        if texts.is_empty() {
            return Ok(Self::study());
        }
        let features = texts.iter().map(|text| text.as_ref().parse());
        let schema = Self {
            features: features.collect::<Result<_, _>>()?,
        };
        schema.check()?;
        Ok(schema)
    }

    /// The features in one text, with semicolons between them: names may hold commas.
    pub fn split(text: &str) -> Vec<String> {
        let features = text.split(';').map(str::trim);
        let features = features.filter(|feature| !feature.is_empty());
        features.map(str::to_owned).collect()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.features.len()
    }

    /// One after another.
    pub fn iter(&self) -> std::slice::Iter<'_, FeatureSpec> {
        self.features.iter()
    }

    /// A patient's values, in this order, as they are counted ([`FeatureSpec::counted`]).
    pub fn counted(&self, values: &[Option<f64>]) -> Vec<Option<f64>> {
        let pairs = self.iter().zip(values);
        let counted = pairs.map(|(feature, value)| value.map(|value| feature.counted(value)));
        counted.collect()
    }

    /// Names for people, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.iter().map(|feature| feature.name.0.as_str())
    }

    /// Whether these are the study's nine.
    pub fn is_study(&self) -> bool {
        self.is_same_as(&Self::study())
    }

    /// Where each of `wanted` stands among these, by the letters and digits of its name; kind and range have to be the same.
    ///
    /// # Errors
    /// The first that is not among these.
    pub fn places_of<'a>(&self, wanted: &'a Self) -> Result<Vec<usize>, &'a FeatureSpec> {
        let place_of = |wanted: &'a FeatureSpec| {
            let mut own = self.iter();
            own.position(|own| own.is_same_as(wanted)).ok_or(wanted)
        };
        wanted.features.iter().map(place_of).collect()
    }

    /// Whether both mean the same numbers of each patient, in the same order.
    pub fn is_same_as(&self, other: &Self) -> bool {
        let mut pairs = self.iter().zip(other.features.iter());
        self.features.len() == other.features.len()
            && pairs.all(|(one, other)| one.is_same_as(other))
    }

    /// Checks what no field's type expresses.
    ///
    /// # Errors
    /// [`FeatureError`] for the first thing that is wrong.
    pub fn check(&self) -> Result<(), FeatureError> {
        let found = self.features.len();
        if !(1..=MAX_FEATURES).contains(&found) {
            return Err(FeatureError::Count { found });
        }
        for (place, feature) in self.iter().enumerate() {
            feature.check()?;
            let name = letters(&feature.name.0);
            let mut before = self.features[..place].iter();
            if before.any(|other| letters(&other.name.0) == name) {
                let name = feature.name.0.clone();
                return Err(FeatureError::Twice { name });
            }
        }
        Ok(())
    }
}

impl Default for FeatureSchema {
    fn default() -> Self {
        Self::study()
    }
}

/// As settings have them: the list that [`FeatureSchema::split`] takes apart.
impl fmt::Display for FeatureSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, feature) in self.iter().enumerate() {
            let separator = if place > 0 { "; " } else { "" };
            write!(f, "{separator}{feature}")?;
        }
        Ok(())
    }
}

/// Why a list is no features of a run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FeatureError {
    /// None, or too many.
    #[error("{found} features are named, and a run has from 1 to {MAX_FEATURES}")]
    Count {
        /// How many.
        found: usize,
    },
    /// A name that occurs twice.
    #[error("the feature '{name}' is named twice")]
    Twice {
        /// Which.
        name: String,
    },
    /// Neither a name of the study's nine nor of the form "name: what".
    #[error(
        "'{text}' is no feature: write one of the study's nine by its name ({}), or a column of the table with what it holds, such as \
         'T2 lesions: 0..100', 'smoker: flag' or 'years of treatment: years'",
        STUDY.map(|(name, _)| name).join(", ")
    )]
    Form {
        /// What was found.
        text: String,
    },
    /// The label.
    #[error("EDSS is what is learnt and cannot be a feature")]
    Label,
}

fn place_of_name(name: &str) -> Option<usize> {
    let name = letters(name);
    STUDY.iter().position(|(other, _)| letters(other) == name)
}

/// Letters and digits, in lower case: how names of columns are compared.
pub fn letters(name: &str) -> String {
    let letters = name.chars().filter(|c| c.is_alphanumeric());
    letters.flat_map(char::to_lowercase).collect()
}

/// The nine features of the study, in the order of its vector.
pub const STUDY: [(&str, FeatureKind); 9] = [
    ("sex", FeatureKind::Flag),
    ("age", FeatureKind::Years),
    ("age at onset", FeatureKind::Years),
    ("disease duration", FeatureKind::Years),
    ("co-morbidity", FeatureKind::Flag),
    ("motor symptoms", FeatureKind::Flag),
    ("sensory symptoms", FeatureKind::Flag),
    ("visual symptoms", FeatureKind::Flag),
    ("balance symptoms", FeatureKind::Flag),
];

/// What names of the score itself have in them, in letters.
const SCORES: [&str; 5] = [
    "edss",
    "disabilitystatus",
    "kurtzke",
    "kfss",
    "functionalsystem",
];

/// What names of the functional systems have in them (Kurtzke 1983), and of what they are scored by: in letters.
const SIGNS: [&str; 18] = [
    "pyramidal",
    "cerebell",
    "brainstem",
    "sensory",
    "sphincter",
    "visual",
    "mental",
    "cerebral",
    "bowel",
    "bladder",
    "ambulation",
    "walkingdistance",
    "mobility",
    "gait",
    "coordination",
    "motorsystem",
    "nystagmus",
    "opticdisc",
];

/// Features of a run at most.
pub const MAX_FEATURES: usize = 64;

const MAX_NAME_CHARS: usize = 100;
/// Larger numbers are a slip, and the width of a range must be a number.
const MAX_END: f64 = 1e12;
/// Narrower ranges are a slip, and what is divided by the width must stay a number.
const MIN_WIDTH: f64 = 1e-9;
/// Of the texts that features are named by.
const SEPARATORS: [char; 2] = [':', ';'];

#[cfg(test)]
mod tests {
    use super::*;

    fn nine() -> Vec<String> {
        (1..=9)
            .map(|number| format!("score {number}: -1..{number}.5"))
            .collect()
    }

    #[test]
    fn features_have_names_kinds_and_ranges() {
        let schema = FeatureSchema::parse(&nine()).expect("nine");
        assert_eq!(schema.names().nth(8), Some("score 9"));
        assert_eq!(schema.features[1].range(), [-1.0, 2.5]);
        let study = FeatureSchema::parse::<&str>(&[]).expect("none");
        assert_eq!(study, FeatureSchema::study());
        assert!(study.is_study() && !schema.is_study());
        assert_eq!(study.features[2].range(), [0.0, 100.0]);
    }

    #[test]
    fn what_is_counted_is_not_negative_and_at_most_100() {
        let number: FeatureSpec = "volume: -50..150".parse().expect("a column");
        assert_eq!(
            [-50.0, 50.0, 150.0].map(|value| number.counted(value)),
            [0.0, 50.0, 100.0]
        );
        assert_eq!(
            (number.value_of(50.0), number.difference_of(50.0)),
            (50.0, 100.0)
        );
        let years: FeatureSpec = "age".parse().expect("of the study");
        assert_eq!((years.counted(41.5), years.value_of(41.5)), (41.5, 41.5));
    }

    #[test]
    fn columns_stand_beside_features_of_the_study() {
        let mut texts = [
            "Sex",
            "age",
            "age_at_onset",
            "disease duration",
            "smoker: flag",
            "T2 lesions: 0..100",
            "years of treatment: years",
            "relapses, last year: 0..20",
            "balance symptoms",
        ];
        let schema = FeatureSchema::parse(&texts).expect("nine");
        let places = schema.features.iter().map(FeatureSpec::place_in_study);
        let places: Vec<_> = places.collect();
        let expected = [
            Some(0),
            Some(1),
            Some(2),
            Some(3),
            None,
            None,
            None,
            None,
            Some(8),
        ];
        assert_eq!(places, expected);
        assert_eq!(schema.features[0].name.0, "sex");
        // What is written is read again.
        let again = FeatureSchema::parse(&FeatureSchema::split(&schema.to_string()));
        assert_eq!(again, Ok(schema));
        texts[8] = "age: 0..100";
        let twice = FeatureSchema::parse(&texts).expect_err("two ages");
        assert_eq!(twice, FeatureError::Twice { name: "age".into() });
    }

    #[test]
    fn features_are_found_by_name_and_only_with_their_kind_and_range() {
        let schema = |texts: &[&str]| FeatureSchema::parse(texts).expect("features");
        let own = schema(&["sex", "T2 lesions: 0..100", "age", "smoker: flag"]);
        assert_eq!(
            own.places_of(&schema(&["Smoker: flag", "t2-lesions: 0..100"])),
            Ok(vec![3, 1])
        );
        for (wanted, missing) in [
            ("T2 lesions: 0..50", "T2 lesions: 0..50"),
            ("smoker: 0..1", "smoker: 0..1"),
            ("age at onset", "age at onset"),
        ] {
            let refused = own
                .places_of(&schema(&["age", wanted]))
                .map_err(FeatureSpec::to_string);
            assert_eq!(refused, Err(missing.to_owned()));
        }
    }

    #[test]
    fn what_is_no_feature_is_told() {
        let with = |last: &str| {
            let mut features = nine();
            features[8] = last.to_owned();
            let refused = FeatureSchema::parse(&features).expect_err("refused");
            refused.to_string()
        };
        for wrong in [
            "lesions",
            "age: 1",
            "age: 5..5",
            "age: 0..inf",
            "age: 0..x",
            "age: NaN..1",
            "age: 0..1e-300",
            ": 0..1",
            "a;b: flag",
            "age: 0..1e300",
        ] {
            let said = with(wrong);
            assert!(said.contains(&format!("'{wrong}' is no feature")), "{said}");
        }
        assert!(with("Edss: 0..10").contains("cannot be a feature"));
        assert!(with("Score_1: 0..1").contains("named twice"));
        let many: Vec<String> = (0..65)
            .map(|number| format!("score {number}: 0..1"))
            .collect();
        assert!(FeatureSchema::parse(&many[..64]).is_ok());
        let many = FeatureSchema::parse(&many).expect_err("refused");
        assert_eq!(many, FeatureError::Count { found: 65 });
    }

    #[test]
    fn a_schema_that_arrives_is_checked_as_one_that_is_written() {
        let with = |change: fn(&mut FeatureSpec)| {
            let mut schema = FeatureSchema::study();
            change(&mut schema.features.0[1]);
            schema.check()
        };
        assert_eq!(with(|_| ()), Ok(()));
        assert_eq!(
            FeatureSchema::none().check(),
            Err(FeatureError::Count { found: 0 })
        );
        assert!(with(|spec| spec.to = 50.0).is_err(), "years run to 100");
        assert!(with(|spec| spec.kind = FeatureKind::Number).is_ok());
        assert!(with(|spec| spec.name = "ag\ne".into()).is_err());
        assert!(with(|spec| spec.name = " age".into()).is_err());
        assert!(with(|spec| spec.name = "x".repeat(101).as_str().into()).is_err());
        assert!(with(|spec| spec.name = "EDSS score".into()).is_err());
        assert!(with(|spec| spec.name = "SEX".into()).is_err(), "twice");
    }

    #[test]
    fn signs_that_edss_is_computed_from_are_known_by_name() {
        for sign in [
            "last EDSS",
            "KFSS arm",
            "FS pyramidal",
            "sensory symptoms",
            "Pyramidal",
            "Cerebella",
            "Brain stem",
            "Sensory system",
            "Visual",
            "Bowel and bladder",
        ] {
            let spec = FeatureSpec {
                name: sign.into(),
                kind: FeatureKind::Number,
                from: 0.0,
                to: 6.0,
            };
            assert!(spec.gives_edss_away(), "{sign}");
        }
        let study = FeatureSchema::study();
        assert!(!study.features.iter().any(FeatureSpec::gives_edss_away));
        let lesions: FeatureSpec = "T2 lesions: 0..100".parse().expect("a column");
        assert!(!lesions.gives_edss_away());
    }
}
