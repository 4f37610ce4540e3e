//! What leaves, in words: which kind of object, about which sum, and how what is in it is protected.

use crypto::ckks::Profile;
use protocol::{digests::LearningRound, manifest::Purpose};

/// What an object is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Of which kind.
    pub kind: Kind,
    /// About which sum, if about one.
    pub sum: Option<Sum>,
    /// How what is in it is protected.
    pub protection: Protection,
}

/// A sum that an object is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sum {
    /// What is summed.
    pub purpose: Purpose,
    /// In which learning round; 0 for the statistics. None where only an earlier process knew it.
    pub learning_round: Option<LearningRound>,
}

impl Object {
    /// What it is for, in words.
    pub fn purpose(&self) -> String {
        let words = self.kind.words();
        match self.sum {
            Some(sum) => format!("{words} {}", sum.words()),
            None => words.to_owned(),
        }
    }
}

impl Sum {
    fn words(self) -> String {
        match (self.purpose, self.learning_round) {
            (Purpose::Stats, _) => "the statistics".to_owned(),
            (Purpose::Update, Some(round)) => format!("learning round {round}"),
            (Purpose::Update, None) => "a learning round".to_owned(),
            (Purpose::Evaluation, Some(round)) => format!("the evaluation of round {round}"),
            (Purpose::Evaluation, None) => "an evaluation".to_owned(),
        }
    }
}

/// The kinds, each with a name for programs and the words for people, and a list of all.
macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $name:literal, $words:literal;)*) => {
        /// A kind of object.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Kind {
            $($(#[$doc])* $kind,)*
        }

        impl Kind {
            /// All of them, in the order in which a run has them.
            pub const ALL: &[Self] = &[$(Self::$kind,)*];

            /// The name in the file, and for programs.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$kind => $name,)*
                }
            }

            /// What it is for. Of those about a sum, the sum's words follow.
            pub(super) const fn words(self) -> &'static str {
                match self {
                    $(Self::$kind => $words,)*
                }
            }
        }
    };
}

kinds! {
    /// First on every connection.
    Hello = "hello", "introduces this hospital";
    /// Public keys of a session.
    Join = "join", "joins a session";
    /// Half of a pair's key.
    Encapsulation = "encapsulation", "exchanges keys with another hospital";
    /// The key that hospitals share and the coordinator does not have.
    GroupKey = "group-key", "hands the hospitals' common key to the others";
    /// Everybody's keys were seen.
    Ready = "ready", "confirms the keys of a session";
    /// With which the coordinator multiplies.
    EvaluationKey = "evaluation-key", "public key for products of encrypted features";
    /// Clinical features.
    Features = "features", "encrypted features";
    /// W, to be multiplied.
    FilterRequest = "filter-request", "encrypted filter, to be multiplied with the features";
    /// Masked numbers of this hospital.
    Contribution = "contribution", "sealed contribution to";
    /// Boxes were opened.
    BoxAck = "box-ack", "acknowledges the others' sealed shares in";
    /// Shares that open a sum.
    Answer = "answer", "answer that helps to open the sum of";
    /// A sum was opened.
    Closed = "closed", "confirms what was opened in";
    /// A sum does not open.
    Failed = "failed", "reports that the sum does not open of";
    /// A part of a round is refused.
    Refusal = "refusal", "says why this hospital does not do its part in";
    /// The common model, for hospitals that come late.
    State = "state", "common model and statistics, for hospitals that come late";
    /// Whether a handed over model could be used.
    StateAnswer = "state-answer", "says whether the common model that was handed over can be used";
    /// A sign of life.
    Heartbeat = "heartbeat", "heartbeat";
    /// Why this hospital stays out of a run: the policy's words, or those of a person here.
    LastWord = "last-word", "says why this hospital stays out of the run";
    /// A correction: what was announced and broke off.
    NotSent = "not-sent", "taken back, did not leave:";
}

/// How what is in an object is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// Masked numbers: what a sealed sum is made of.
    Sealed {
        /// So many hospitals open the sum.
        opened_by: usize,
    },
    /// A ciphertext under this hospital's own key.
    Ckks(Profile),
    /// Sealed for the hospitals of the session.
    ForHospitals,
    /// Public keys, hashes and signatures.
    SignedPublic,
    /// No data of patients, in words or numbers.
    NoPatients,
    /// Something that no vault sends in such a run.
    Unknown,
}

impl Protection {
    /// In words.
    pub fn words(self) -> String {
        match self {
            Self::Sealed { opened_by } => {
                format!("sealed: only the sum can be opened, by {opened_by} hospitals")
            }
            Self::Ckks(profile) => {
                format!("CKKS ciphertext, profile {profile}, under this hospital's own key")
            }
            Self::ForHospitals => "sealed for the hospitals of the run".to_owned(),
            Self::SignedPublic => "signed public value".to_owned(),
            Self::NoPatients => "none: contains no data of patients".to_owned(),
            Self::Unknown => "unknown: this should not have been sent; report it".to_owned(),
        }
    }

    /// Whether what is in it comes from patients' data, however protected.
    pub const fn is_of_patients(self) -> bool {
        matches!(
            self,
            Self::Sealed { .. } | Self::Ckks(_) | Self::ForHospitals | Self::Unknown
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_told_in_whole_phrases() {
        let purpose = |kind, purpose, round: Option<u32>| {
            let learning_round = round.map(LearningRound::new);
            let sum = Sum {
                purpose,
                learning_round,
            };
            let object = Object {
                kind,
                sum: Some(sum),
                protection: Protection::NoPatients,
            };
            object.purpose()
        };
        assert_eq!(
            purpose(Kind::Contribution, Purpose::Update, Some(3)),
            "sealed contribution to learning round 3"
        );
        assert_eq!(
            purpose(Kind::Answer, Purpose::Evaluation, Some(3)),
            "answer that helps to open the sum of the evaluation of round 3"
        );
        assert_eq!(
            purpose(Kind::Closed, Purpose::Stats, Some(0)),
            "confirms what was opened in the statistics"
        );
        assert_eq!(
            purpose(Kind::BoxAck, Purpose::Update, None),
            "acknowledges the others' sealed shares in a learning round"
        );
    }

    #[test]
    fn no_two_kinds_have_one_name() {
        let names: std::collections::BTreeSet<_> =
            Kind::ALL.iter().map(|kind| kind.name()).collect();
        assert_eq!(names.len(), Kind::ALL.len());
    }
}
