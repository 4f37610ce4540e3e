//! The words of a run that are one of a few: what a sum is for, what the labels are cut into and where, what the filters come from,
//! which model is kept.
//!
//! Each is one byte on the wire, and one name in settings, records and on the command line.

use std::{fmt, str::FromStr};

use crypto::ckks::Profile;
use serde::{Deserialize, Serialize};

use crate::codec::one_byte;

/// What a sum is for (PROTOCOL.md 3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// Class and feature statistics, once, on the initial model.
    Stats,
    /// The model's change.
    Update,
    /// Confusion matrix and losses of the common model.
    Evaluation,
}

/// What the labels are cut into.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
pub enum Task {
    /// Two classes: lower and higher EDSS.
    #[default]
    Binary,
    /// Three classes: normal, mild, severe.
    Multiclass,
}

/// Where EDSS is cut into the classes of a task (MODEL.md, "Labels").
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
pub enum LabelScheme {
    /// The study's text: binary above 2.0; normal up to 2.0, mild up to 4.0, severe above.
    #[default]
    AsWritten,
    /// What the study's slice counts fit: binary above 4.0; normal below 2.0, mild below 4.0, severe from there.
    AsCounted,
}

/// Where the filters of the conditioned convolution come from (MODEL.md, variants).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Conditioning {
    /// Multiplied under CKKS by the coordinator, with the `hardened` parameters.
    EncryptedHardened,
    /// The same with the study's parameters.
    EncryptedStudy,
    /// Multiplied in plaintext inside the vault: the plaintext reference.
    Plain,
    /// No conditioning: both convolutions are free.
    None,
}

/// What clinical features do to the network (MODEL.md, "Forms of conditioning").
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
pub enum ConditioningForm {
    /// A filter of the first convolution is a product: clip(W * f).
    #[default]
    Study,
    /// A filter of the first convolution is moved by the features: clip(W + A * z).
    Additive,
    /// Each class's logit is moved by the features: the network's plus u . z.
    Late,
}

/// Which model of a run is kept as its best one.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
pub enum Keep {
    /// That of the round with the lowest validation loss.
    #[default]
    BestLoss,
    /// That of the round with the highest validation accuracy.
    BestAccuracy,
    /// That of the last round.
    Last,
}

one_byte!(Purpose { Stats = 0, Update = 1, Evaluation = 2 });
one_byte!(Task { Binary = 0, Multiclass = 1 });
one_byte!(LabelScheme { AsWritten = 0, AsCounted = 1 });
one_byte!(Conditioning { EncryptedHardened = 0, EncryptedStudy = 1, Plain = 2, None = 3 });
one_byte!(ConditioningForm { Study = 0, Additive = 1, Late = 2 });
one_byte!(Keep { BestLoss = 0, BestAccuracy = 1, Last = 2 });

/// Not one of the names.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown {what} {found:?}: use {expected}")]
pub struct UnknownName {
    /// What was to be named.
    pub what: &'static str,
    /// The text.
    pub found: String,
    /// The names there are.
    pub expected: &'static str,
}

/// `as_str`, `Display` and `FromStr` by the same list of names.
macro_rules! named {
    ($type:ident, $what:literal, $expected:literal, { $($variant:ident = $name:literal),* $(,)? }) => {
        impl $type {
            /// All of them, in the order in which they are listed.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The name, for people and machines.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name),*
                }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.pad(self.as_str())
            }
        }

        impl FromStr for $type {
            type Err = UnknownName;

            fn from_str(text: &str) -> Result<Self, UnknownName> {
                match text {
                    $($name => Ok(Self::$variant),)*
                    _ => Err(UnknownName {
                        what: $what,
                        found: text.to_owned(),
                        expected: $expected,
                    }),
                }
            }
        }
    };
}

named!(Purpose, "purpose", "stats, update or evaluation", {
    Stats = "stats",
    Update = "update",
    Evaluation = "evaluation",
});
named!(Task, "task", "binary or multiclass", {
    Binary = "binary",
    Multiclass = "multiclass",
});
named!(LabelScheme, "label scheme", "as-written or as-counted", {
    AsWritten = "as-written",
    AsCounted = "as-counted",
});
named!(Conditioning, "conditioning", "encrypted-hardened, encrypted-study, plain or none", {
    EncryptedHardened = "encrypted-hardened",
    EncryptedStudy = "encrypted-study",
    Plain = "plain",
    None = "none",
});

named!(ConditioningForm, "form of conditioning", "study, additive or late", {
    Study = "study",
    Additive = "additive",
    Late = "late",
});

named!(Keep, "model to keep", "best-loss, best-accuracy or last", {
    BestLoss = "best-loss",
    BestAccuracy = "best-accuracy",
    Last = "last",
});

impl Purpose {
    /// As [`Self::as_str`].
    pub fn name(self) -> &'static str {
        self.as_str()
    }
}

impl Task {
    /// Number of classes.
    pub const fn classes(self) -> usize {
        match self {
            Self::Binary => 2,
            Self::Multiclass => 3,
        }
    }
}

impl Conditioning {
    /// By the two words of settings and command line: `encrypted`, `plain` or `none`, and the CKKS parameters for the first.
    ///
    /// # Errors
    /// [`UnknownName`].
    pub fn from_words(conditioning: &str, profile: Profile) -> Result<Self, UnknownName> {
        match (conditioning, profile) {
            ("encrypted", Profile::Hardened) => Ok(Self::EncryptedHardened),
            ("encrypted", Profile::Study) => Ok(Self::EncryptedStudy),
            ("plain", _) => Ok(Self::Plain),
            ("none", _) => Ok(Self::None),
            (other, _) => Err(UnknownName {
                what: "conditioning",
                found: other.to_owned(),
                expected: "encrypted, plain or none",
            }),
        }
    }

    /// The CKKS parameters, when anything is encrypted.
    pub fn profile(self) -> Option<Profile> {
        match self {
            Self::EncryptedHardened => Some(Profile::Hardened),
            Self::EncryptedStudy => Some(Profile::Study),
            Self::Plain | Self::None => None,
        }
    }

    /// Whether clinical features condition the network. What they meet there stays with the vault.
    pub fn uses_features(self) -> bool {
        self != Self::None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{CodecError, Decode, Encode, decode, encode};

    fn check<T>(all: &[T])
    where
        T: Copy + fmt::Debug + fmt::Display + PartialEq + FromStr<Err = UnknownName>,
        T: Encode + Decode<()> + Serialize,
    {
        for (byte, &word) in (0..).zip(all) {
            assert_eq!(encode(&word), [byte], "{word:?}");
            assert_eq!(decode(&[byte]), Ok(word));
            assert_eq!(word.to_string().parse(), Ok(word));
            let json = serde_json::to_value(word).expect("a name");
            assert_eq!(json, word.to_string());
        }
        for byte in all.len() as u8..=u8::MAX {
            assert!(matches!(
                decode::<T>(&[byte]),
                Err(CodecError::Malformed { .. })
            ));
        }
        assert!("neither".parse::<T>().is_err());
    }

    #[test]
    fn each_word_is_one_byte_and_one_name() {
        check(Purpose::ALL);
        check(Task::ALL);
        check(LabelScheme::ALL);
        check(Conditioning::ALL);
        check(ConditioningForm::ALL);
        check(Keep::ALL);
        assert_eq!(
            "smal".parse::<Task>().map_err(|error| error.to_string()),
            Err("unknown task \"smal\": use binary or multiclass".into())
        );
    }

    #[cfg(feature = "clap")]
    #[test]
    fn options_have_the_same_names() {
        use clap::ValueEnum;
        fn name(option: &impl ValueEnum) -> String {
            let value = option.to_possible_value().expect("no value is skipped");
            value.get_name().to_owned()
        }
        for task in Task::ALL {
            assert_eq!(name(task), task.as_str());
        }
        for scheme in LabelScheme::ALL {
            assert_eq!(name(scheme), scheme.as_str());
        }
        for form in ConditioningForm::ALL {
            assert_eq!(name(form), form.as_str());
        }
        for keep in Keep::ALL {
            assert_eq!(name(keep), keep.as_str());
        }
    }

    #[test]
    fn conditioning_is_named_by_two_words_in_settings() {
        for &conditioning in Conditioning::ALL {
            let word = conditioning.as_str().split('-').next().expect("a word");
            let profile = conditioning.profile().unwrap_or(Profile::Hardened);
            assert_eq!(Conditioning::from_words(word, profile), Ok(conditioning));
        }
        assert!(Conditioning::from_words("cipher", Profile::Study).is_err());
    }
}
