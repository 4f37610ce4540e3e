//! Where this hospital stands in its run, as its events tell it.

use host::web::unix_secs;
use protocol::{counters::EvaluationCounters, digests::RunId, manifest::Purpose};
use serde::Serialize;

use crate::{
    own_results::{OwnEvaluation, OwnResult},
    shell::{ParticipantEvent, RunCost},
    vault::{OpenedRound, ResumedRun, VaultEvent},
};

/// What the page shows of the run that this process is in.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Board {
    connected: bool,
    /// In words.
    phase: String,
    training: Option<Steps>,
    uploading: Option<Bytes>,
    rounds: Vec<Round>,
    /// This hospital alone, by learning round.
    own: Vec<OwnRound>,
    heat: Option<Heat>,
    /// Whether it has joined a session, and which run that is of, where an event has told.
    #[serde(skip)]
    in_run: bool,
    #[serde(skip)]
    run: Option<RunId>,
    #[serde(skip)]
    cost: RunCost,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
struct Steps {
    done: usize,
    total: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
struct Bytes {
    sent: u64,
    total: u64,
}

/// A learning round whose sum was opened here.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Round {
    learning_round: u32,
    contributors: usize,
    model_hash: Option<String>,
    validation: Option<Validation>,
    /// Seconds since 1970.
    at: f64,
}

/// Of the common model, over the validation slices of all that took part.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
struct Validation {
    loss: f64,
    accuracy: f64,
    slices: u64,
}

impl Validation {
    fn of(counters: &EvaluationCounters) -> Self {
        Self {
            loss: counters.validation_loss(),
            accuracy: counters.accuracy(),
            slices: counters.slices(),
        }
    }
}

/// What this hospital's own data say of a learning round.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct OwnRound {
    learning_round: u32,
    training_loss: Option<f64>,
    validation: Option<OwnValidation>,
}

/// Of the common model, over the validation slices of this hospital alone.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct OwnValidation {
    loss: f64,
    accuracy: f64,
    slices: u64,
    patients: usize,
    /// Why the accuracy says little, if it does.
    caution: Option<String>,
}

impl From<&OwnEvaluation> for OwnValidation {
    fn from(own: &OwnEvaluation) -> Self {
        Self {
            loss: own.loss,
            accuracy: own.accuracy,
            slices: own.slices,
            patients: own.patients,
            caution: own.caution(),
        }
    }
}

/// That there are pictures, which are [elsewhere](super::LastPictures).
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Heat {
    learning_round: u32,
    slices: usize,
    /// Seconds since 1970.
    at: f64,
}

impl Board {
    /// Before anything has happened.
    pub fn new() -> Self {
        let mut board = Self::default();
        board.start();
        board
    }

    /// The hospital begins to take part, or begins again.
    pub(super) fn start(&mut self) {
        self.is_now("starts");
    }

    /// It takes no part until then, in words.
    pub(super) fn rest(&mut self, until: &str) {
        (self.connected, self.in_run) = (false, false);
        self.is_now(&format!(
            "is outside its hours (policy.hours) until {until}, and takes no part"
        ));
    }

    /// Whether the coordinator is connected.
    pub fn is_connected(&self) -> bool {
        self.connected
    }

    /// Whether this hospital is in a run.
    pub fn is_in_run(&self) -> bool {
        self.in_run
    }

    /// Which run, where an event has told.
    pub fn run(&self) -> Option<&RunId> {
        self.run.as_ref()
    }

    /// What the run has cost so far.
    pub fn cost(&self) -> &RunCost {
        &self.cost
    }

    /// The learning round whose update was opened last.
    pub fn learning_round(&self) -> u32 {
        self.rounds.last().map_or(0, |round| round.learning_round)
    }

    /// Takes note of an event.
    pub fn note(&mut self, event: &ParticipantEvent) {
        match event {
            ParticipantEvent::Waiting(_) => self.is_now("waits for the coordinator"),
            ParticipantEvent::Connected => {
                self.connected = true;
                self.is_now("is connected, and waits for a run");
            }
            ParticipantEvent::Disconnected { .. } => {
                self.connected = false;
                self.is_now("has lost the connection, and dials again");
            }
            // What comes of it is told by the vault.
            ParticipantEvent::Offered { .. } => {}
            ParticipantEvent::Training { done, total } => {
                self.is_now("trains");
                self.training = Some(Steps {
                    done: *done,
                    total: *total,
                });
            }
            ParticipantEvent::Uploading { sent, total } => {
                self.is_now("sends its sealed contribution");
                self.uploading = Some(Bytes {
                    sent: *sent,
                    total: *total,
                });
            }
            ParticipantEvent::Spent(cost) => self.cost = *cost,
            ParticipantEvent::Own(result) => self.note_own(result),
            ParticipantEvent::Vault(event) => self.note_vault(event),
        }
    }

    fn note_own(&mut self, result: &OwnResult) {
        match result {
            OwnResult::Trained {
                learning_round,
                loss,
            } => self.own_round(learning_round.get()).training_loss = Some(*loss),
            OwnResult::Evaluated(own) => {
                self.own_round(own.learning_round.get()).validation = Some(own.into());
            }
            OwnResult::Heated(heat) => {
                self.heat = Some(Heat {
                    learning_round: heat.learning_round.get(),
                    slices: heat.slices.0.len(),
                    at: unix_secs(),
                });
            }
        }
    }

    /// A round that is repeated takes the place of what it repeats.
    fn own_round(&mut self, learning_round: u32) -> &mut OwnRound {
        let place = self
            .own
            .iter()
            .position(|own| own.learning_round == learning_round);
        let place = place.unwrap_or_else(|| {
            if self.own.len() >= MAX_ROUNDS {
                self.own.remove(0);
            }
            self.own.push(OwnRound {
                learning_round,
                training_loss: None,
                validation: None,
            });
            self.own.len() - 1
        });
        &mut self.own[place]
    }

    fn note_vault(&mut self, event: &VaultEvent) {
        match event {
            VaultEvent::AwaitingApproval { .. } => {
                self.is_now("waits until somebody here approves the run");
            }
            VaultEvent::Approved => self.is_now("joins the run"),
            VaultEvent::SessionReady => {
                self.in_run = true;
                self.is_now("has agreed on keys with the other hospitals");
            }
            VaultEvent::NotYet { .. } => {
                self.is_now("takes part later: the run is under way");
            }
            VaultEvent::Resumed(run) => {
                self.is_now("goes on in its run");
                self.resume_from(run);
            }
            VaultEvent::StateTaken(run) => {
                self.is_now("has been given the common model");
                self.resume_from(run);
            }
            VaultEvent::LeftSession { .. } => self.is_now("joins another session of the run"),
            VaultEvent::EndedByOperator { .. } => {
                self.is_now("has the run's end, which its operator has brought about");
            }
            VaultEvent::EndedBefore(ended) => {
                (self.in_run, self.run) = (false, Some(ended.run));
                self.is_now("has taken part in this run to its end");
            }
            VaultEvent::Conditioned { .. } | VaultEvent::ProductsRefused { .. } => {
                self.is_now("has the filters for this model");
            }
            VaultEvent::Sealed { .. } => self.is_now("has sealed its contribution"),
            VaultEvent::Opened(opened) => self.note_opened(opened),
            _ => {}
        }
    }

    /// What was reached before this process, or without this hospital.
    fn resume_from(&mut self, run: &ResumedRun) {
        (self.in_run, self.run) = (true, Some(run.run));
        let learning_round = run.learning_round.get();
        if learning_round > self.learning_round() {
            self.rounds.push(Round {
                learning_round,
                contributors: run.contributors.len(),
                model_hash: Some(hex::encode(run.model_hash)),
                validation: run.validation.as_ref().map(Validation::of),
                at: unix_secs(),
            });
        }
    }

    fn note_opened(&mut self, opened: &OpenedRound) {
        self.is_now("has opened a sum, and waits for the next one");
        let learning_round = opened.learning_round.get();
        match opened.purpose {
            Purpose::Stats => {}
            Purpose::Update => self.rounds.push(Round {
                learning_round,
                contributors: opened.contributors.len(),
                model_hash: Some(hex::encode(opened.model_hash)),
                validation: None,
                at: unix_secs(),
            }),
            Purpose::Evaluation => {
                let counters = EvaluationCounters::read(&opened.sum.counters).ok();
                let rounds = self.rounds.iter_mut().rev();
                let mut rounds = rounds.filter(|round| round.learning_round == learning_round);
                if let (Some(round), Some(counters)) = (rounds.next(), counters) {
                    round.validation = Some(Validation::of(&counters));
                }
            }
        }
        if self.rounds.len() > MAX_ROUNDS {
            self.rounds.remove(0);
        }
    }

    fn is_now(&mut self, phase: &str) {
        if self.phase != phase {
            phase.clone_into(&mut self.phase);
            self.training = None;
            self.uploading = None;
        }
    }
}

/// As many as a policy lets a run have by default.
const MAX_ROUNDS: usize = 1000;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use protocol::{
        codec::List,
        digests::LearningRound,
        labels::Task,
        training_job::{HeatedSlice, HeatedSlices},
    };

    use super::*;
    use crate::own_results::OwnHeat;

    fn evaluated(learning_round: u32, accuracy: f64) -> ParticipantEvent {
        ParticipantEvent::Own(OwnResult::Evaluated(OwnEvaluation {
            learning_round: LearningRound::new(learning_round),
            loss: 0.5,
            accuracy,
            slices: 20,
            patients: 4,
            classes: 2,
        }))
    }

    fn trained(learning_round: u32, loss: f64) -> ParticipantEvent {
        ParticipantEvent::Own(OwnResult::Trained {
            learning_round: LearningRound::new(learning_round),
            loss,
        })
    }

    #[test]
    fn what_is_of_this_hospital_alone_stands_beside_the_sums_by_learning_round() {
        let mut board = Board::new();
        for event in [
            trained(1, 0.75),
            evaluated(1, 0.25),
            trained(2, 0.5),
            // The round was replaced.
            evaluated(1, 0.75),
        ] {
            board.note(&event);
        }
        let shown = serde_json::to_value(&board).expect("JSON");
        assert_eq!(shown["rounds"], serde_json::json!([]));
        let first = &shown["own"][0];
        assert_eq!(first["learning_round"], 1);
        assert_eq!(first["training_loss"], 0.75);
        assert_eq!(first["validation"]["accuracy"], 0.75);
        let caution = first["validation"]["caution"].as_str();
        assert!(caution.is_some_and(|said| said.contains("4 patients")));
        let second = &shown["own"][1];
        assert_eq!(second["training_loss"], 0.5);
        assert!(second["validation"].is_null());
    }

    #[test]
    fn of_more_rounds_than_a_page_can_show_the_first_are_forgotten() {
        let mut board = Board::new();
        for round in 1..=MAX_ROUNDS + 3 {
            board.note(&trained(u32::try_from(round).expect("few"), 0.5));
        }
        assert_eq!(board.own.len(), MAX_ROUNDS);
        assert_eq!(board.own[0].learning_round, 4);
    }

    #[test]
    fn the_state_tells_that_there_are_pictures_and_has_no_pixel_of_them() {
        let mut board = Board::new();
        let slice = HeatedSlice {
            truth: 0,
            prediction: 1,
            per_mille: 700,
            pixels: vec![213; 128 * 128],
            heat: vec![214; 128 * 128],
        };
        board.note(&ParticipantEvent::Own(OwnResult::Heated(Arc::new(
            OwnHeat {
                learning_round: LearningRound::new(3),
                task: Task::Binary,
                slices: HeatedSlices(List(vec![slice])),
            },
        ))));
        let shown = serde_json::to_value(&board).expect("JSON");
        assert_eq!(shown["heat"]["learning_round"], 3);
        assert_eq!(shown["heat"]["slices"], 1);
        let text = shown.to_string();
        assert!(text.len() < 1000 && !text.contains("213,213"), "{text}");
    }

    #[test]
    fn a_bar_is_shown_while_its_work_is_done() {
        let mut board = Board::new();
        board.note(&ParticipantEvent::Connected);
        assert!(board.is_connected());
        board.note(&ParticipantEvent::Training { done: 1, total: 4 });
        board.note(&ParticipantEvent::Training { done: 2, total: 4 });
        assert_eq!(board.training, Some(Steps { done: 2, total: 4 }));
        board.note(&ParticipantEvent::Uploading { sent: 1, total: 9 });
        assert_eq!(board.training, None);
        let reason = "the peer fell silent".to_owned();
        board.note(&ParticipantEvent::Disconnected { reason });
        assert_eq!((board.uploading, board.is_connected()), (None, false));
    }

    #[test]
    fn a_hospital_that_rests_is_in_no_run_and_says_until_when() {
        let mut board = Board::new();
        board.note(&ParticipantEvent::Connected);
        board.note(&ParticipantEvent::Vault(VaultEvent::SessionReady));
        board.note(&ParticipantEvent::Training { done: 1, total: 4 });
        board.rest("2026-12-01 19:00 CET");
        assert!(!board.is_connected() && !board.is_in_run());
        assert_eq!(board.training, None);
        assert!(
            board.phase.contains("until 2026-12-01 19:00 CET"),
            "{}",
            board.phase
        );
        board.start();
        assert_eq!(board.phase, "starts");
    }
}
