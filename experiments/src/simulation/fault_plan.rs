//! Which hospitals vanish when, and whether the others can go on.

use std::{collections::BTreeSet, fmt, str::FromStr};

use crypto::sealed_sum::{HospitalId, min_contributors, threshold};
use participant::interruption::Moment;
use protocol::counted::counted;

/// One `--drop`: a hospital vanishes at a moment of a learning round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlannedDrop {
    /// The hospital concerned.
    pub hospital: HospitalId,
    /// When in the round.
    pub moment: Moment,
    /// Learning round, from 1.
    pub round: u32,
}

/// All of them, checked to leave every round enough hospitals.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FaultPlan(Vec<PlannedDrop>);

impl FaultPlan {
    /// Checks the drops for a federation of `hospitals` and a run of `rounds`.
    ///
    /// # Errors
    /// [`FaultPlanError`] names the drop or the round.
    pub fn new(
        drops: Vec<PlannedDrop>,
        hospitals: u8,
        rounds: u32,
    ) -> Result<Self, FaultPlanError> {
        for (place, drop) in drops.iter().enumerate() {
            if drop.hospital.get() > hospitals {
                return Err(FaultPlanError::NoSuchHospital {
                    drop: *drop,
                    hospitals,
                });
            }
            if drop.round == 0 || drop.round > rounds {
                return Err(FaultPlanError::NoSuchRound {
                    drop: *drop,
                    rounds,
                });
            }
            let again =
                |other: &&PlannedDrop| (other.hospital, other.round) == (drop.hospital, drop.round);
            if let Some(first) = drops[..place].iter().find(again) {
                return Err(FaultPlanError::Twice {
                    first: *first,
                    second: *drop,
                });
            }
        }
        let plan = Self(drops);
        let rounds_with_drops: BTreeSet<u32> = plan.0.iter().map(|drop| drop.round).collect();
        for round in rounds_with_drops {
            plan.check_round(round, usize::from(hospitals))?;
        }
        Ok(plan)
    }

    /// The drops of one hospital.
    pub fn of(&self, hospital: HospitalId) -> Vec<PlannedDrop> {
        self.0
            .iter()
            .copied()
            .filter(|drop| drop.hospital == hospital)
            .collect()
    }

    /// Whether the hospital's update is in the sum of this round.
    pub fn contributes(&self, hospital: HospitalId, round: u32) -> bool {
        !self
            .0
            .iter()
            .any(|drop| drop.hospital == hospital && drop.round == round && drop.loses_update())
    }

    /// Whether nobody vanishes.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A hospital that vanishes answers no unlock request of that round, whenever it went.
    fn check_round(&self, round: u32, hospitals: usize) -> Result<(), FaultPlanError> {
        let of_round = || self.0.iter().filter(|drop| drop.round == round);
        let contributors = hospitals - of_round().filter(|drop| drop.loses_update()).count();
        let answers = hospitals - of_round().count();
        let (m_min, t) = (min_contributors(hospitals), threshold(hospitals));
        if contributors < m_min || answers < t {
            return Err(FaultPlanError::TooFew {
                round,
                contributors,
                answers,
                m_min,
                t,
                hospitals,
            });
        }
        Ok(())
    }
}

impl PlannedDrop {
    fn loses_update(&self) -> bool {
        matches!(self.moment, Moment::BeforeUpload | Moment::MidUpload)
    }
}

impl FromStr for PlannedDrop {
    type Err = FaultPlanError;

    fn from_str(text: &str) -> Result<Self, FaultPlanError> {
        let read = || {
            let (hospital, rest) = text.split_once('@')?;
            let (moment, round) = rest.split_once(':')?;
            let (_, moment) = MOMENTS.into_iter().find(|(name, _)| *name == moment)?;
            Some(Self {
                hospital: HospitalId::new(hospital.parse().ok()?)?,
                moment,
                round: round.parse().ok()?,
            })
        };
        read().ok_or_else(|| FaultPlanError::Unreadable {
            text: text.to_owned(),
        })
    }
}

/// As it is typed.
impl fmt::Display for PlannedDrop {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let moment = MOMENTS
            .into_iter()
            .find(|(_, moment)| *moment == self.moment);
        let (name, _) = moment.expect("every moment has a name");
        write!(formatter, "{}@{name}:{}", self.hospital, self.round)
    }
}

/// Why drops cannot be played.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FaultPlanError {
    /// Not of the form.
    #[error(
        "{text:?} is not H@PHASE:ROUND, with a hospital's number, before-upload, mid-upload, after-upload or before-unlock, \
         and a learning round; for example 2@before-upload:1"
    )]
    Unreadable {
        /// What was given.
        text: String,
    },
    /// A hospital that is not there.
    #[error("--drop {drop}: there is no hospital {}; they have the numbers 1 to {hospitals} (--hospitals)", drop.hospital)]
    NoSuchHospital {
        /// Which drop.
        drop: PlannedDrop,
        /// How many there are.
        hospitals: u8,
    },
    /// A round that does not come.
    #[error("--drop {drop}: there is no round {}; they have the numbers 1 to {rounds} (--rounds)", drop.round)]
    NoSuchRound {
        /// Which drop.
        drop: PlannedDrop,
        /// How many there are.
        rounds: u32,
    },
    /// One hospital vanishes twice in a round.
    #[error("--drop {first} and --drop {second}: a hospital can disconnect only once in a round")]
    Twice {
        /// The first.
        first: PlannedDrop,
        /// The second.
        second: PlannedDrop,
    },
    /// A sum that could not be opened.
    #[error(
        "--drop leaves round {round} with {} and {}; a federation of {hospitals} needs \
         m_min = {m_min} contributors and t = {t} answers. Drop fewer hospitals in that round, or raise --hospitals",
        counted(*contributors, ["contributor", "contributors"]),
        counted(*answers, ["answer", "answers"])
    )]
    TooFew {
        /// Which round.
        round: u32,
        /// Contributors it would have.
        contributors: usize,
        /// Hospitals that could answer.
        answers: usize,
        /// Contributors needed.
        m_min: usize,
        /// Answers needed.
        t: usize,
        /// Size of the federation.
        hospitals: usize,
    },
}

const MOMENTS: [(&str, Moment); 4] = [
    ("before-upload", Moment::BeforeUpload),
    ("mid-upload", Moment::MidUpload),
    ("after-upload", Moment::AfterUpload),
    ("before-unlock", Moment::BeforeUnlock),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn drops(texts: &[&str]) -> Vec<PlannedDrop> {
        texts
            .iter()
            .map(|text| text.parse().expect("a drop"))
            .collect()
    }

    fn plan(texts: &[&str], hospitals: u8) -> Result<FaultPlan, FaultPlanError> {
        FaultPlan::new(drops(texts), hospitals, 3)
    }

    #[test]
    fn drops_are_read_and_written_alike() {
        for text in [
            "2@before-upload:1",
            "3@mid-upload:2",
            "4@after-upload:2",
            "127@before-unlock:30",
        ] {
            assert_eq!(
                text.parse::<PlannedDrop>().map(|drop| drop.to_string()),
                Ok(text.to_owned())
            );
        }
        for text in [
            "",
            "2",
            "2@before-upload",
            "0@before-upload:1",
            "128@mid-upload:1",
            "2@later:1",
            "2@mid-upload:x",
            "2@mid-upload:-1",
        ] {
            assert!(
                matches!(
                    text.parse::<PlannedDrop>(),
                    Err(FaultPlanError::Unreadable { .. })
                ),
                "{text}"
            );
        }
    }

    #[test]
    fn seven_hospitals_bear_one_lost_update_and_two_missing_answers() {
        let plan = plan(
            &[
                "2@before-upload:1",
                "3@mid-upload:2",
                "4@after-upload:2",
                "5@before-unlock:3",
            ],
            7,
        )
        .expect("playable");
        let contributors = |round| {
            let all = (1..=7).filter_map(HospitalId::new);
            let those = all.filter(|&id| plan.contributes(id, round));
            those.map(HospitalId::get).collect::<Vec<_>>()
        };
        assert_eq!(contributors(1), [1, 3, 4, 5, 6, 7]);
        assert_eq!(contributors(2), [1, 2, 4, 5, 6, 7]);
        assert_eq!(contributors(3), [1, 2, 3, 4, 5, 6, 7]);
    }

    #[test]
    fn too_few_contributors_or_answers_name_m_min_and_t() {
        let two_lost = plan(&["1@before-upload:2", "2@mid-upload:2"], 7).expect_err("m_min is 6");
        assert_eq!(
            two_lost,
            FaultPlanError::TooFew {
                round: 2,
                contributors: 5,
                answers: 5,
                m_min: 6,
                t: 5,
                hospitals: 7
            }
        );
        assert!(
            two_lost.to_string().contains("m_min = 6") && two_lost.to_string().contains("t = 5")
        );
        let three_silent = plan(
            &["1@after-upload:1", "2@after-upload:1", "3@before-unlock:1"],
            7,
        );
        assert!(matches!(
            three_silent,
            Err(FaultPlanError::TooFew {
                contributors: 7,
                answers: 4,
                ..
            })
        ));
        assert!(plan(&["1@after-upload:1", "2@before-unlock:1"], 7).is_ok());
        assert!(plan(&["1@after-upload:1", "2@before-unlock:2"], 3).is_ok());
        assert!(plan(&["1@after-upload:1", "2@before-unlock:1"], 3).is_err());
    }

    #[test]
    fn hospitals_and_rounds_that_do_not_exist_are_refused() {
        assert!(matches!(
            plan(&["4@mid-upload:1"], 3),
            Err(FaultPlanError::NoSuchHospital { .. })
        ));
        assert!(matches!(
            plan(&["3@mid-upload:4"], 3),
            Err(FaultPlanError::NoSuchRound { .. })
        ));
        assert!(matches!(
            plan(&["3@mid-upload:0"], 3),
            Err(FaultPlanError::NoSuchRound { .. })
        ));
        assert!(matches!(
            plan(&["3@mid-upload:1", "3@after-upload:1"], 3),
            Err(FaultPlanError::Twice { .. })
        ));
    }
}
