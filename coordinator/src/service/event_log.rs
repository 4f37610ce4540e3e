//! What an operator follows a run by, in the log. Nothing here is secret: the coordinator knows no secret.

use crypto::sealed_sum::HospitalId;
use tracing::{debug, error, info, warn};

use crate::machine::Event;

/// Writes an event to the log, at the level of what it asks of people.
pub(super) fn log(event: &Event) {
    match event {
        Event::Joined { .. }
        | Event::SessionReady
        | Event::Waiting { .. }
        | Event::Opened { .. }
        | Event::Contributed { .. }
        | Event::Unlocking { .. }
        | Event::OutcomeOut { .. }
        | Event::Settled(_)
        | Event::Complete { .. } => log_progress(event),
        Event::SetUpAgain { hospital } => {
            warn!(%hospital, "a hospital has lost its keys before the first round: all hospitals join anew");
        }
        Event::Declined {
            hospital,
            round,
            reason,
        } => {
            let round = round.get();
            warn!(%hospital, round, reason, "a hospital does not contribute to this round");
        }
        Event::Suspected { round, finding } => {
            warn!(round = round.get(), hospital = %finding.hospital(), "{finding}");
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

fn log_progress(event: &Event) {
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
        Event::Complete {
            model_hash,
            missing,
        } => {
            let (model_hash, missing) = (hex::encode(model_hash), numbers(missing));
            info!(model_hash, ?missing, "the run is complete");
        }
        _ => {}
    }
}

fn numbers(ids: &[HospitalId]) -> Vec<u8> {
    ids.iter().map(|id| id.get()).collect()
}
