//! From an EDSS score to a class.

use std::{fmt, str::FromStr};

use super::Edss;

/// What is told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Task {
    /// Two classes.
    Binary,
    /// Three classes: normal, mild, severe.
    Multiclass,
}

impl Task {
    /// Number of classes.
    pub fn classes(self) -> usize {
        match self {
            Self::Binary => 2,
            Self::Multiclass => 3,
        }
    }

    /// Names of the classes, in order.
    pub fn class_names(self) -> &'static [&'static str] {
        match self {
            Self::Binary => &["lower", "higher"],
            Self::Multiclass => &["normal", "mild", "severe"],
        }
    }

    /// Name for people and for machines: `binary`, `multiclass`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Binary => "binary",
            Self::Multiclass => "multiclass",
        }
    }

    /// Whether there is anyone to learn every class from.
    ///
    /// # Errors
    /// The first class of which there is nobody.
    pub fn require_every_class(
        self,
        scores: impl IntoIterator<Item = Edss>,
        cuts: Cuts,
    ) -> Result<(), EmptyClass> {
        let mut patients = vec![0_usize; self.classes()];
        for score in scores {
            patients[self.class_of(score, cuts)] += 1;
        }
        match patients.iter().position(|&count| count == 0) {
            Some(class) => Err(EmptyClass {
                task: self,
                class,
                cuts,
            }),
            None => Ok(()),
        }
    }

    /// Class of a score, 0 the least disabled: the number of cuts below the score.
    pub fn class_of(self, edss: Edss, cuts: Cuts) -> usize {
        let above = |cut: f64| usize::from(edss.value() > cut);
        match self {
            Self::Binary => above(cuts.binary),
            Self::Multiclass => above(cuts.multiclass[0]) + above(cuts.multiclass[1]),
        }
    }
}

/// A class of which there is no patient, so that nothing can learn to tell it.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error(
    "no patient is of class '{}' ({}) of the {} task",
    task.class_names()[*class],
    cuts.range(*task, *class),
    task.name()
)]
pub struct EmptyClass {
    /// The task.
    pub task: Task,
    /// The class, from 0.
    pub class: usize,
    /// Where the classes part.
    pub cuts: Cuts,
}

/// Where the classes part: a score above a cut belongs to the class above it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cuts {
    /// Class 1 above.
    pub binary: f64,
    /// Class 1 above the first, class 2 above the second.
    pub multiclass: [f64; 2],
}

impl Cuts {
    /// The study's text: binary > 2.0; normal <= 2.0 < mild <= 4.0 < severe.
    pub const AS_WRITTEN: Self = Self {
        binary: 2.0,
        multiclass: [2.0, 4.0],
    };

    /// What the study's slice counts fit: binary > 4.0; < 2.0, 2.0 to 3.5, >= 4.0. Scores come in
    /// half points, so "from 2.0" is "above 1.5".
    pub const AS_COUNTED: Self = Self {
        binary: 4.0,
        multiclass: [1.5, 3.5],
    };

    /// The scores of a class, in words: "EDSS above 2.0, up to 4.0".
    fn range(self, task: Task, class: usize) -> impl fmt::Display {
        let cuts: &[f64] = match task {
            Task::Binary => &[self.binary],
            Task::Multiclass => &self.multiclass,
        };
        let above = class.checked_sub(1).and_then(|below| cuts.get(below));
        match (above, cuts.get(class)) {
            (Some(above), Some(up_to)) => format!("EDSS above {above:.1}, up to {up_to:.1}"),
            (Some(above), None) => format!("EDSS above {above:.1}"),
            (None, Some(up_to)) => format!("EDSS up to {up_to:.1}"),
            (None, None) => "any EDSS".to_owned(),
        }
    }
}

/// [`Cuts::AS_WRITTEN`].
impl Default for Cuts {
    fn default() -> Self {
        Self::AS_WRITTEN
    }
}

/// The study's two ways to label, which do not agree (MODEL.md, "Labels"); a report says which it used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum LabelScheme {
    /// What the study's text says: `as-written`.
    #[default]
    AsWritten,
    /// What the study's slice counts fit: `as-counted`.
    AsCounted,
}

impl LabelScheme {
    /// Both, in the order in which they are listed.
    pub const ALL: [Self; 2] = [Self::AsWritten, Self::AsCounted];

    /// Where this scheme parts the classes.
    pub fn cuts(self) -> Cuts {
        match self {
            Self::AsWritten => Cuts::AS_WRITTEN,
            Self::AsCounted => Cuts::AS_COUNTED,
        }
    }

    /// Name for people and for machines: `as-written`, `as-counted`.
    pub fn name(self) -> &'static str {
        match self {
            Self::AsWritten => "as-written",
            Self::AsCounted => "as-counted",
        }
    }
}

impl fmt::Display for LabelScheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for LabelScheme {
    type Err = UnknownLabelScheme;

    fn from_str(text: &str) -> Result<Self, UnknownLabelScheme> {
        let named = Self::ALL.into_iter().find(|scheme| scheme.name() == text);
        named.ok_or_else(|| UnknownLabelScheme(text.to_owned()))
    }
}

/// Not the name of a label scheme.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown label scheme {0:?}: use as-written or as-counted")]
pub struct UnknownLabelScheme(pub String);

#[cfg(test)]
mod tests {
    use super::*;

    fn classes(task: Task, cuts: Cuts) -> Vec<usize> {
        let scores = [0.0, 1.5, 2.0, 2.5, 3.5, 4.0, 4.5, 10.0];
        let class = |score| task.class_of(Edss::new(score).expect("on the scale"), cuts);
        scores.into_iter().map(class).collect()
    }

    #[test]
    fn both_schemes_cut_where_the_study_says() {
        let written = LabelScheme::default().cuts();
        assert_eq!(classes(Task::Binary, written), [0, 0, 0, 1, 1, 1, 1, 1]);
        assert_eq!(classes(Task::Multiclass, written), [0, 0, 0, 1, 1, 1, 2, 2]);
        let counted = LabelScheme::AsCounted.cuts();
        assert_eq!(classes(Task::Binary, counted), [0, 0, 0, 0, 0, 0, 1, 1]);
        assert_eq!(classes(Task::Multiclass, counted), [0, 0, 1, 1, 1, 2, 2, 2]);
    }
    #[test]
    fn schemes_are_read_and_written_alike() {
        for scheme in LabelScheme::ALL {
            assert_eq!(scheme.to_string().parse(), Ok(scheme));
        }
        assert_eq!(Cuts::default(), LabelScheme::default().cuts());
        for wrong in ["", "as written", "AS-COUNTED", "counted"] {
            let error = wrong.parse::<LabelScheme>().expect_err("no such scheme");
            assert!(error.to_string().ends_with("use as-written or as-counted"));
        }
    }

    #[test]
    fn a_class_with_no_patient_is_named_with_its_scores() {
        let check = |task: Task, scores: &[f64]| {
            let scores = scores.iter().filter_map(|&score| Edss::new(score));
            let checked = task.require_every_class(scores, Cuts::default());
            checked.map_err(|error| error.to_string())
        };
        assert_eq!(check(Task::Multiclass, &[1.0, 3.0, 6.5]), Ok(()));
        let severe = "no patient is of class 'severe' (EDSS above 4.0) of the multiclass task";
        assert_eq!(check(Task::Multiclass, &[1.0, 3.0]), Err(severe.to_owned()));
        let mild =
            "no patient is of class 'mild' (EDSS above 2.0, up to 4.0) of the multiclass task";
        assert_eq!(check(Task::Multiclass, &[1.0, 6.5]), Err(mild.to_owned()));
        let lower = "no patient is of class 'lower' (EDSS up to 2.0) of the binary task";
        assert_eq!(check(Task::Binary, &[6.5]), Err(lower.to_owned()));
    }
}
