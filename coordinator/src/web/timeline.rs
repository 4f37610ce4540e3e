//! The sums of the run under way, with the moments of their phases: for the page's lanes.

use std::collections::VecDeque;

use host::web::unix_secs;
use serde::Serialize;

use crate::{machine::Event, service::declined};

/// The last sums of the run that is under way in this process.
#[derive(Default)]
pub(super) struct Timeline {
    sums: VecDeque<SumTimes>,
    /// Settled in the life of this process.
    settled: u64,
}

/// One sum. Moments are seconds since 1970.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct SumTimes {
    round: u32,
    purpose: &'static str,
    learning_round: u32,
    opened_at: f64,
    contributions: Vec<Contribution>,
    declined: Vec<Declined>,
    unlocking_at: Option<f64>,
    outcome_at: Option<f64>,
    ended_at: Option<f64>,
    end: Option<&'static str>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Contribution {
    hospital: u8,
    at: f64,
    bytes: usize,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Declined {
    hospital: u8,
    why: String,
}

impl Timeline {
    /// Another run begins, or goes on.
    pub(super) fn begin(&mut self) {
        self.sums.clear();
    }

    pub(super) fn sums(&self) -> &VecDeque<SumTimes> {
        &self.sums
    }

    pub(super) fn settled(&self) -> u64 {
        self.settled
    }

    pub(super) fn note(&mut self, event: &Event) {
        self.note_at(event, unix_secs());
    }

    fn note_at(&mut self, event: &Event, at: f64) {
        match event {
            Event::Opened {
                round,
                purpose,
                learning_round,
            } => self.open(SumTimes {
                round: round.get(),
                purpose: purpose.name(),
                learning_round: learning_round.get(),
                opened_at: at,
                contributions: Vec::new(),
                declined: Vec::new(),
                unlocking_at: None,
                outcome_at: None,
                ended_at: None,
                end: None,
            }),
            Event::Contributed {
                hospital,
                round,
                bytes,
            } => self.change(round.get(), |sum| {
                sum.contributions.push(Contribution {
                    hospital: hospital.get(),
                    at,
                    bytes: *bytes,
                });
            }),
            Event::Declined {
                hospital,
                round,
                part,
                reason,
            } => self.change(round.get(), |sum| {
                sum.declined.push(Declined {
                    hospital: hospital.get(),
                    why: format!("{} this round: {reason}", declined(*part)),
                });
            }),
            Event::TooSlow {
                hospital, round, ..
            } => self.change(round.get(), |sum| {
                sum.declined.push(Declined {
                    hospital: hospital.get(),
                    why: "is too slow".to_owned(),
                });
            }),
            Event::Unlocking { round, .. } => {
                self.change(round.get(), |sum| sum.unlocking_at = Some(at));
            }
            Event::OutcomeOut { round, .. } => {
                self.change(round.get(), |sum| sum.outcome_at = Some(at));
            }
            Event::Settled(entry) => {
                self.settled += 1;
                self.change(entry.round.get(), |sum| sum.end(at, "settled"));
            }
            Event::Abandoned { round, .. } => {
                self.change(round.get(), |sum| sum.end(at, "abandoned"));
            }
            Event::DidNotOpen { round, .. } => {
                self.change(round.get(), |sum| sum.end(at, "did not open"));
            }
            _ => {}
        }
    }

    fn open(&mut self, sum: SumTimes) {
        self.sums.push_back(sum);
        if self.sums.len() > MAX_SUMS {
            self.sums.pop_front();
        }
    }

    /// One that is too old, or older than this process, is not looked for.
    fn change(&mut self, round: u32, change: impl FnOnce(&mut SumTimes)) {
        let sum = self.sums.iter_mut().rev().find(|sum| sum.round == round);
        if let Some(sum) = sum {
            change(sum);
        }
    }
}

impl SumTimes {
    /// The first ending counts: an update that did not open is settled without its sum.
    fn end(&mut self, at: f64, how: &'static str) {
        if self.end.is_none() {
            (self.ended_at, self.end) = (Some(at), Some(how));
        }
    }
}

const MAX_SUMS: usize = 60;

#[cfg(test)]
mod tests {
    use crypto::sealed_sum::HospitalId;
    use protocol::{
        digests::{LearningRound, RoundNumber},
        manifest::Purpose,
    };

    use super::*;

    #[test]
    fn a_sum_has_the_moments_of_its_phases_and_old_ones_go() {
        let mut timeline = Timeline::default();
        let round = RoundNumber::new(1);
        let hospital = HospitalId::new(2).expect("in range");
        let opened = |round| Event::Opened {
            round,
            purpose: Purpose::Update,
            learning_round: LearningRound::new(1),
        };
        timeline.note_at(&opened(round), 10.0);
        let contributors = vec![hospital];
        for (event, at) in [
            (
                Event::Contributed {
                    hospital,
                    round,
                    bytes: 7,
                },
                11.0,
            ),
            (
                Event::Unlocking {
                    round,
                    contributors: contributors.clone(),
                },
                12.0,
            ),
            (
                Event::DidNotOpen {
                    round,
                    contributors,
                },
                13.0,
            ),
            (
                Event::Abandoned {
                    round,
                    purpose: Purpose::Update,
                    reason: String::new(),
                },
                14.0,
            ),
        ] {
            timeline.note_at(&event, at);
        }
        let sum = &timeline.sums()[0];
        assert_eq!(sum.contributions[0].at, 11.0);
        assert_eq!(sum.unlocking_at, Some(12.0));
        assert_eq!((sum.ended_at, sum.end), (Some(13.0), Some("did not open")));
        for number in 2..100 {
            timeline.note_at(&opened(RoundNumber::new(number)), 20.0);
        }
        assert_eq!(timeline.sums().len(), MAX_SUMS);
        timeline.begin();
        assert!(timeline.sums().is_empty());
    }
}
