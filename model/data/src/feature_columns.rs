//! Which columns of the clinical table condition the network.

use std::str::FromStr;

use super::{FEATURES, Feature};

/// Where the nine features come from.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum FeatureColumns {
    /// [`Feature::ALL`], wherever the table has them.
    #[default]
    Standard,
    /// Nine columns of numbers by name, in the order of the vector.
    Named(Box<[FeatureColumn; FEATURES]>),
}

/// A column of numbers (or of yes and no, which are 1 and 0), and the public range that is scaled to [0, 1].
///
/// The range belongs to the setting because it may not come from the data: it is the same for every hospital, and says
/// nothing of any patient.
#[derive(Clone, Debug, PartialEq)]
pub struct FeatureColumn {
    /// Name in the header, compared by its letters and digits.
    pub name: String,
    /// Scaled to 0; values below are taken as this.
    pub from: f64,
    /// Scaled to 1; values above are taken as this.
    pub to: f64,
}

/// Lowest and highest value of each feature, fixed and public.
pub type FeatureRanges = [[f64; 2]; FEATURES];

impl FeatureColumns {
    /// Nine columns from as many texts such as "T2 lesions: 0..100"; none of them means [`FeatureColumns::Standard`].
    ///
    /// # Errors
    /// Another number of columns, a name given twice, or one that is no column; see [`FeatureColumnError`].
    pub fn parse<S: AsRef<str>>(texts: &[S]) -> Result<Self, FeatureColumnError> {
        if texts.is_empty() {
            return Ok(Self::Standard);
        }
        let columns = texts
            .iter()
            .map(|text| text.as_ref().parse::<FeatureColumn>());
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        let found = columns.len();
        let columns: Box<[FeatureColumn; FEATURES]> = columns
            .try_into()
            .map_err(|_| FeatureColumnError::Count { found })?;
        for (place, column) in columns.iter().enumerate() {
            if columns[..place]
                .iter()
                .any(|other| letters(&other.name) == letters(&column.name))
            {
                let name = column.name.clone();
                return Err(FeatureColumnError::Twice { name });
            }
        }
        Ok(Self::Named(columns))
    }

    /// The columns in one text, with semicolons between them: names may hold commas.
    pub fn list(text: &str) -> Vec<String> {
        let columns = text.split(';').map(str::trim);
        let columns = columns.filter(|column| !column.is_empty());
        columns.map(str::to_owned).collect()
    }

    /// Names for people, in the order of the vector.
    pub fn names(&self) -> [&str; FEATURES] {
        match self {
            Self::Standard => Feature::ALL.map(Feature::name),
            Self::Named(columns) => std::array::from_fn(|place| columns[place].name.as_str()),
        }
    }

    /// The range that is scaled to [0, 1], in the order of the vector.
    pub fn ranges(&self) -> FeatureRanges {
        match self {
            Self::Standard => Feature::RANGES,
            Self::Named(columns) => {
                std::array::from_fn(|place| [columns[place].from, columns[place].to])
            }
        }
    }
}

/// Why a text names no column of features.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FeatureColumnError {
    /// Not nine.
    #[error(
        "{found} feature columns are named; name {FEATURES} of them, or none for the standard ones"
    )]
    Count {
        /// How many.
        found: usize,
    },
    /// A name that occurs twice.
    #[error("the feature column '{name}' is named twice")]
    Twice {
        /// Which.
        name: String,
    },
    /// Not of the form "name: from..to".
    #[error(
        "'{text}' is no feature column; write its name and its public range, such as 'T2 lesions: 0..100'"
    )]
    Form {
        /// What was found.
        text: String,
    },
    /// The label.
    #[error("EDSS is what is learnt and cannot be a feature")]
    Label,
}

impl FromStr for FeatureColumn {
    type Err = FeatureColumnError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let form = || FeatureColumnError::Form {
            text: text.to_owned(),
        };
        let (name, range) = text.rsplit_once(':').ok_or_else(form)?;
        let (from, to) = range.split_once("..").ok_or_else(form)?;
        let number = |text: &str| {
            let number: Option<f64> = text.trim().parse().ok();
            number
                .filter(|number| number.abs() <= LARGEST)
                .ok_or_else(form)
        };
        let (name, from, to) = (name.trim().to_owned(), number(from)?, number(to)?);
        match letters(&name).as_str() {
            "" => Err(form()),
            "edss" | "edssscore" => Err(FeatureColumnError::Label),
            _ if from < to => Ok(Self { name, from, to }),
            _ => Err(form()),
        }
    }
}

/// Letters and digits, in lower case: how names of columns are compared.
pub(super) fn letters(name: &str) -> String {
    let letters = name.chars().filter(|c| c.is_alphanumeric());
    letters.flat_map(char::to_lowercase).collect()
}

/// Larger numbers are a slip, and the width of a range must be a number.
const LARGEST: f64 = 1e12;

#[cfg(test)]
mod tests {
    use super::*;

    fn nine() -> Vec<String> {
        (1..=9)
            .map(|number| format!("score {number}: -1..{number}.5"))
            .collect()
    }

    #[test]
    fn nine_columns_have_names_and_ranges() {
        let columns = FeatureColumns::parse(&nine()).expect("nine");
        assert_eq!(columns.names()[8], "score 9");
        assert_eq!(columns.ranges()[1], [-1.0, 2.5]);
        let standard = FeatureColumns::parse::<&str>(&[]).expect("none");
        assert_eq!(standard, FeatureColumns::Standard);
        assert_eq!(standard.names()[2], "age at onset");
        assert_eq!(standard.ranges()[2], [0.0, 100.0]);
    }

    #[test]
    fn what_is_no_column_is_told() {
        let with = |last: &str| {
            let mut columns = nine();
            columns[8] = last.to_owned();
            FeatureColumns::parse(&columns)
                .expect_err("refused")
                .to_string()
        };
        for wrong in [
            "age",
            "age: 1",
            "age: 5..5",
            "age: 0..inf",
            "age: 0..x",
            ": 0..1",
            "age: 0..1e300",
        ] {
            assert!(
                with(wrong).contains(&format!("'{wrong}' is no feature column")),
                "{wrong}"
            );
        }
        assert!(with("Edss: 0..10").contains("cannot be a feature"));
        assert!(with("Score_1: 0..1").contains("named twice"));
        let eight = FeatureColumns::parse(&nine()[..8]).expect_err("refused");
        assert_eq!(eight, FeatureColumnError::Count { found: 8 });
    }
}
