//! What an operator follows a run by, in the log. Nothing here is secret: the coordinator knows no secret.

use std::collections::BTreeMap;

use crypto::sealed_sum::HospitalId;
use host::output::log_structured;
use protocol::message::RefusedPart;
use serde_json::{Map, Value, json};
use tracing::{Span, debug, error, error_span, info, warn};

use crate::machine::{Event, WaitingReport, with_name};

/// The hospital that lines within are about, with its name: a number alone is nobody whom one can telephone.
pub(super) fn span_of(hospital: HospitalId, names: &BTreeMap<HospitalId, String>) -> Span {
    let name = names.get(&hospital).map_or("", String::as_str);
    error_span!("hospital", number = hospital.get(), name)
}

/// The hospital that an event is about, if it is about one.
fn hospital_of(event: &Event) -> Option<HospitalId> {
    match event {
        Event::Joined { hospital, .. }
        | Event::SetUpAgain { hospital }
        | Event::Outside { hospital }
        | Event::GoesOnWithout { hospital }
        | Event::StateRefused { hospital }
        | Event::StateHandedOver { hospital }
        | Event::Declined { hospital, .. }
        | Event::TooSlow { hospital, .. }
        | Event::Contributed { hospital, .. }
        | Event::Ignored { hospital, .. }
        | Event::Rejected { hospital, .. } => Some(*hospital),
        Event::Suspected { finding, .. } => Some(finding.hospital()),
        Event::SessionFollows { .. }
        | Event::SessionReady
        | Event::Waiting { .. }
        | Event::Opened { .. }
        | Event::Unlocking { .. }
        | Event::OutcomeOut { .. }
        | Event::DidNotOpen { .. }
        | Event::Settled(_)
        | Event::Abandoned { .. }
        | Event::EndedEarly { .. }
        | Event::EndsAfter { .. }
        | Event::Complete { .. }
        | Event::Failed { .. } => None,
    }
}

/// Writes an event to the log, at the level of what it asks of people.
pub(super) fn log(event: &Event, names: &BTreeMap<HospitalId, String>) {
    let span = hospital_of(event).map(|hospital| span_of(hospital, names));
    let _within = span.map(Span::entered);
    match event {
        Event::Joined { .. }
        | Event::SessionReady
        | Event::Waiting { .. }
        | Event::Opened { .. }
        | Event::Contributed { .. }
        | Event::Unlocking { .. }
        | Event::OutcomeOut { .. }
        | Event::Settled(_)
        | Event::EndedEarly { .. }
        | Event::EndsAfter { .. }
        | Event::Complete { .. } => log_progress(event, names),
        Event::SetUpAgain { hospital } => {
            warn!(%hospital, "a hospital has lost its keys, or is gone, before a round was opened with them: all hospitals join anew");
        }
        Event::SessionFollows { hospitals } => {
            let hospitals = numbers(hospitals);
            info!(
                ?hospitals,
                "hospitals that have come late take part from here on: all hospitals exchange keys again"
            );
        }
        Event::Outside { hospital } => {
            info!(%hospital, "a hospital has come while rounds are under way: it takes part once the round at hand is settled");
        }
        Event::GoesOnWithout { hospital } => {
            warn!(%hospital, "the operator goes on without a hospital, until this coordinator is started again");
        }
        Event::StateRefused { hospital } => {
            warn!(%hospital, "a hospital cannot use the state of the run that another has handed over: it gets it from another one, in the next session");
        }
        Event::StateHandedOver { hospital } => {
            info!(%hospital, "the state of the run has been handed over, sealed for the hospitals that do not have it");
        }
        Event::Declined {
            hospital,
            round,
            part,
            reason,
        } => {
            let (round, part) = (round.get(), declined(*part));
            warn!(%hospital, round, reason, "a hospital {part} this round");
        }
        Event::TooSlow {
            hospital,
            round,
            waited_secs,
        } => {
            let round = round.get();
            warn!(%hospital, round, waited_secs, "this round goes on without a hospital that is too slow; see run.straggler_floor_secs and run.straggler_factor");
        }
        Event::Suspected { round, finding } => {
            warn!(round = round.get(), hospital = %finding.hospital(), "{finding}");
        }
        Event::DidNotOpen {
            round,
            contributors,
        } => {
            let (round, contributors) = (round.get(), numbers(contributors));
            warn!(
                round,
                ?contributors,
                "an update opens at no hospital: a contribution or an answer in it is wrong. The model stays as it is, and the update is tried \
                 again. If it happens again, ask the contributors to check their participants, and go on without the one that it is due \
                 to (coordinator run without)"
            );
        }
        Event::Abandoned {
            round,
            purpose,
            reason,
        } => {
            let (round, purpose) = (round.get(), purpose.name());
            warn!(round, purpose, reason, "abandoned a round");
        }
        Event::Ignored {
            hospital,
            message,
            phase,
            reason,
        } => {
            debug!(%hospital, %message, %phase, reason, "ignored a message");
        }
        Event::Rejected { hospital, reason } => {
            warn!(%hospital, reason, "rejected a message");
        }
        Event::Failed { reason } => error!(reason, "the run has failed"),
    }
}

/// What a hospital does not do, before the words "this round".
pub(crate) fn declined(part: RefusedPart) -> &'static str {
    match part {
        RefusedPart::Header | RefusedPart::Contribution => "does not contribute to",
        RefusedPart::Answer => "does not help to open the sum of",
        RefusedPart::NullStep => "does not go on after",
    }
}

fn log_progress(event: &Event, names: &BTreeMap<HospitalId, String>) {
    match event {
        Event::Joined { hospital, missing } => info!(%hospital, missing, "a hospital has joined"),
        Event::SessionReady => info!("all hospitals hold each other's keys"),
        Event::Waiting { present, needed } => info!(present, needed, "waiting for hospitals"),
        Event::Opened {
            round,
            purpose,
            learning_round,
        } => {
            let (round, learning_round) = (round.get(), learning_round.get());
            let purpose = purpose.name();
            info!(round, purpose, learning_round, "opened a round");
        }
        Event::Contributed {
            hospital,
            round,
            bytes,
        } => {
            let round = round.get();
            info!(%hospital, round, bytes, "a contribution is complete");
        }
        Event::Unlocking {
            round,
            contributors,
        } => {
            let (round, contributors) = (round.get(), numbers(contributors));
            info!(
                round,
                ?contributors,
                "the sum is complete; waiting for the answers that open it"
            );
        }
        Event::OutcomeOut {
            round,
            purpose,
            learning_round,
            contributors,
        } => {
            let (round, learning_round) = (round.get(), learning_round.get());
            let (purpose, contributors) = (purpose.name(), numbers(contributors));
            info!(
                round,
                purpose,
                learning_round,
                ?contributors,
                "the outcome can be downloaded"
            );
        }
        Event::Settled(entry) => {
            info!(
                round = entry.round.get(),
                model_hash = entry.model_hash,
                "the round is settled: enough hospitals report the same model"
            );
        }
        Event::EndedEarly { rounds_left } => {
            info!(
                rounds_left,
                "the hospitals end the run: their evaluations bring no gain any more, and no further round follows"
            );
        }
        Event::EndsAfter { learning_round } => {
            info!(
                learning_round = learning_round.get(),
                "the operator ends the run after this round: no further one follows"
            );
        }
        Event::Complete {
            model_hash,
            missing,
        } => {
            let name = |hospital| names.get(hospital).map_or("", String::as_str);
            let without_it = missing.iter();
            let without_it = without_it.map(|hospital| with_name(*hospital, name(hospital)));
            let without_it: Vec<_> = without_it.collect();
            let (model_hash, missing) = (hex::encode(model_hash), numbers(missing));
            info!(model_hash, ?missing, "the run is complete");
            if !without_it.is_empty() {
                let without_it = without_it.join(", ");
                warn!("{without_it}: never came for the last outcome, and holds an older model");
            }
        }
        _ => {}
    }
}

/// Writes what the run waits for: a line for people, or an object with the event "waiting".
pub(super) fn log_waiting(report: &WaitingReport) {
    log_structured(report, waiting_fields(report));
}

fn waiting_fields(report: &WaitingReport) -> Map<String, Value> {
    let waited_for = report.hospitals.iter().map(|waited_for| {
        json!({
            "hospital": waited_for.hospital.get(),
            "name": waited_for.name,
            "state": waited_for.state.name(),
            "last_heard_secs": waited_for.last_heard_secs,
        })
    });
    let fields = [
        ("event", json!("waiting")),
        ("round", json!(report.round)),
        ("phase", json!(report.phase.to_string())),
        ("for", waited_for.collect()),
        ("waited_secs", json!(report.waited_secs)),
        ("ends_in_secs", json!(report.ends_in_secs)),
        ("paused", json!(report.paused)),
    ];
    let fields = fields.into_iter();
    fields.map(|(key, value)| (key.to_owned(), value)).collect()
}

fn numbers(ids: &[HospitalId]) -> Vec<u8> {
    ids.iter().map(|id| id.get()).collect()
}

#[cfg(test)]
mod tests {
    use protocol::digests::RoundNumber;

    use super::*;
    use crate::machine::{Part, PhaseName, WaitState, WaitedFor};

    #[test]
    fn a_wait_is_one_line_for_people_and_one_object_for_programs() {
        let waited_for = |hospital, name: &str, state, last_heard_secs| WaitedFor {
            hospital: HospitalId::new(hospital).expect("in range"),
            name: name.to_owned(),
            state,
            last_heard_secs,
        };
        let report = WaitingReport {
            phase: PhaseName::Collecting,
            round: Some(RoundNumber::new(7)),
            waited_secs: 45,
            ends_in_secs: None,
            paused: false,
            hospitals: vec![
                waited_for(3, "Charite", WaitState::Busy(Part::Train), Some(2)),
                waited_for(5, "hospital 5", WaitState::Silent, Some(20)),
            ],
        };
        assert_eq!(
            report.to_string(),
            "round 7 waits for hospital 3 (Charite): training, last heard 2 s ago; hospital 5: silent 20 s (45 s so far)"
        );
        assert_eq!(
            Value::Object(waiting_fields(&report)),
            json!({
                "event": "waiting",
                "round": 7,
                "phase": "collecting",
                "for": [
                    {"hospital": 3, "name": "Charite", "state": "training", "last_heard_secs": 2},
                    {"hospital": 5, "name": "hospital 5", "state": "silent", "last_heard_secs": 20},
                ],
                "waited_secs": 45,
                "ends_in_secs": null,
                "paused": false,
            })
        );
    }
}
