//! From an EDSS score to a class (MODEL.md, "Labels").

use std::fmt;

use crate::{
    codec::{
        BorrowDecode, BorrowDecoder, Decode, DecodeError, Decoder, Encode, EncodeError, Encoder,
    },
    manifest::Manifest,
};

pub use crate::manifest::{LabelScheme, Task};

/// Expanded Disability Status Scale: 0 (no signs) to 10, in half points.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Edss {
    half_points: u8,
}

impl Edss {
    /// `None` unless `score` is one of 0, 0.5, .. 10.
    pub fn new(score: f64) -> Option<Self> {
        let half_points = score * 2.0;
        let on_scale = (0.0..=20.0).contains(&half_points) && half_points.fract() == 0.0;
        on_scale.then_some(Self {
            half_points: half_points as u8,
        })
    }

    /// From half points, 0 to 20.
    pub fn from_half_points(half_points: u8) -> Option<Self> {
        (half_points <= 20).then_some(Self { half_points })
    }

    /// The score, 0.0 to 10.0.
    pub fn value(self) -> f64 {
        f64::from(self.half_points) / 2.0
    }
}

/// Says that there is a score, not which.
impl fmt::Debug for Edss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Edss(..)")
    }
}

/// A byte of half points; one above 20 is refused.
impl Encode for Edss {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        self.half_points.encode(encoder)
    }
}

impl<Context> Decode<Context> for Edss {
    fn decode<D: Decoder<Context = Context>>(decoder: &mut D) -> Result<Self, DecodeError> {
        Self::from_half_points(u8::decode(decoder)?).ok_or(DecodeError::Other(
            "an EDSS score is at most 20 half points",
        ))
    }
}

impl<'de, Context> BorrowDecode<'de, Context> for Edss {
    fn borrow_decode<D: BorrowDecoder<'de, Context = Context>>(
        decoder: &mut D,
    ) -> Result<Self, DecodeError> {
        Self::decode(decoder)
    }
}

/// The classes of a run: the same at every hospital.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Labels {
    /// How many, and their names.
    pub task: Task,
    /// Where EDSS is cut.
    pub scheme: LabelScheme,
}

impl Labels {
    /// Those of a run.
    pub fn of(manifest: &Manifest) -> Self {
        Self {
            task: manifest.task,
            scheme: manifest.label_scheme,
        }
    }

    /// The class of a score.
    pub fn class_of(self, edss: Edss) -> usize {
        self.task.class_of(edss, self.scheme.cuts())
    }
}

/// Class weights of inverse frequency, as in the study: total / (classes * count). A class that does not occur gets 1, which then
/// weighs nothing.
pub fn class_weights(counts: &[u64]) -> Vec<f64> {
    let total: u64 = counts.iter().sum();
    let weight = |&count: &u64| match count {
        0 => 1.0,
        _ => total as f64 / (counts.len() as f64 * count as f64),
    };
    counts.iter().map(weight).collect()
}

impl Task {
    /// Names of the classes, in order.
    pub fn class_names(self) -> &'static [&'static str] {
        match self {
            Self::Binary => &["lower", "higher"],
            Self::Multiclass => &["normal", "mild", "severe"],
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
    task.as_str()
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

impl LabelScheme {
    /// Where this scheme parts the classes.
    pub fn cuts(self) -> Cuts {
        match self {
            Self::AsWritten => Cuts::AS_WRITTEN,
            Self::AsCounted => Cuts::AS_COUNTED,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{decode, encode};

    #[test]
    fn only_half_points_from_0_to_10_are_scores() {
        for half in 0..=20 {
            let score = f64::from(half) / 2.0;
            assert_eq!(Edss::new(score).map(Edss::value), Some(score));
        }
        for score in [-0.5, 10.5, 1.2, f64::NAN, f64::INFINITY, 1e300] {
            assert_eq!(Edss::new(score), None);
        }
    }

    #[test]
    fn a_score_beyond_the_scale_is_not_decoded() {
        let score = Edss::new(6.5).expect("on the scale");
        assert_eq!(encode(&score), [13]);
        assert_eq!(decode(&[13]), Ok(score));
        assert!(decode::<Edss>(&[21]).is_err());
    }

    fn classes(task: Task, cuts: Cuts) -> Vec<usize> {
        let scores = [0.0, 1.5, 2.0, 2.5, 3.5, 4.0, 4.5, 10.0];
        let class = |score| task.class_of(Edss::new(score).expect("on the scale"), cuts);
        scores.into_iter().map(class).collect()
    }

    #[test]
    fn both_schemes_cut_where_the_study_says() {
        assert_eq!(Cuts::default(), LabelScheme::default().cuts());
        let written = LabelScheme::default().cuts();
        assert_eq!(classes(Task::Binary, written), [0, 0, 0, 1, 1, 1, 1, 1]);
        assert_eq!(classes(Task::Multiclass, written), [0, 0, 0, 1, 1, 1, 2, 2]);
        let counted = LabelScheme::AsCounted.cuts();
        assert_eq!(classes(Task::Binary, counted), [0, 0, 0, 0, 0, 0, 1, 1]);
        assert_eq!(classes(Task::Multiclass, counted), [0, 0, 1, 1, 1, 2, 2, 2]);
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
