//! Which headers a vault accepts (PROTOCOL.md 3.3).

use protocol::{
    identity::Signed,
    keeping::Verdict,
    manifest::Purpose,
    round::{RoundError, header::RoundOpen},
};

use super::OpenRound;
use crate::{
    journal::Journal,
    vault::{error::StepError, hospital::Hospital, session_state::Session},
};

/// The ratchet steps through every number; a header that skips more than a long run has is not believed.
const MAX_ROUNDS_AT_ONCE: u32 = 4096;

/// Round numbers go on through the sessions of a run, and the keys of each begin at zero.
const MAX_ROUNDS_BEFORE_A_SESSION: u32 = 65_536;

impl Session {
    /// Every check of a header, whether it opens a round or comes with the outcome of one that was missed; then the keys step to its
    /// number.
    ///
    /// "Accepting a header ends every older header on that key for this vault: it will never answer those."
    pub(in crate::vault) fn accept_header<J: Journal>(
        &mut self,
        signed: &Signed<RoundOpen>,
        statistics_are_known: bool,
        hospital: &Hospital<J>,
    ) -> Result<OpenRound, StepError> {
        // "The vault refuses the header unless: signature, session, run, t, m_min, gid equal its own; T_{r-1} and model_hash equal its
        // own; round > last seen (so one header per round number); t <= n_joined <= 127; B is that of n_joined; omega_max, clip rule
        // and counters are the manifest's; every omega >= 1 ..."
        let roster = hospital.roster();
        let header = signed
            .verify(roster.coordinator_key(), "the coordinator")
            .map_err(RoundError::from)?;
        self.context(roster).check(&header, self.chain.last_round)?;
        if self.verdict() == Verdict::Stop {
            return Err(RoundError::RunStopped.into());
        }
        // A session after the end only hands the model on.
        if hospital.journal.ended_run(&header.run)?.is_some() {
            return Err(RoundError::RunEnded.into());
        }
        self.check_number(&header)?;
        // "... the journal of 3.6 allows the key (run, purpose, model_hash)."
        check_key_is_free(&header, &hospital.journal)?;
        self.check_purpose(header.purpose, statistics_are_known)?;
        if header.purpose == Purpose::Evaluation && self.chain.validation.is_some() {
            // "at most once per model", also where a null step has given the model another hash.
            return Err(RoundError::KeySpent {
                purpose: header.purpose.name(),
            }
            .into());
        }

        self.chain.last_round = header.round;
        self.keys.advance_to(header.round);
        let learning_round = self.chain.learning_round(header.purpose);
        Ok(OpenRound::new(header, signed.digest(), learning_round))
    }

    fn check_number(&self, header: &RoundOpen) -> Result<(), RoundError> {
        let skipped = header.round.get().saturating_sub(self.keys.round().get());
        let most = match self.is_at_its_beginning() {
            true => MAX_ROUNDS_BEFORE_A_SESSION,
            false => MAX_ROUNDS_AT_ONCE,
        };
        if skipped > most {
            return Err(RoundError::HeaderMismatch { field: "round" });
        }
        Ok(())
    }

    /// `stats` is the first sum and is opened once; "a vault accepts as many updates as the manifest has rounds, and no more": the
    /// operator signed, and our policy accepted, so many.
    fn check_purpose(
        &self,
        purpose: Purpose,
        statistics_are_known: bool,
    ) -> Result<(), RoundError> {
        let is_due = match purpose {
            Purpose::Stats => !statistics_are_known,
            Purpose::Update => {
                statistics_are_known && self.chain.updates.get() < self.run.manifest.rounds
            }
            Purpose::Evaluation => statistics_are_known,
        };
        if is_due {
            Ok(())
        } else {
            Err(RoundError::HeaderMismatch { field: "purpose" })
        }
    }
}

/// "A vault that has answered for a key accepts no other header on that key unless the answered one is settled" (PROTOCOL.md 3.6).
fn check_key_is_free(header: &RoundOpen, journal: &impl Journal) -> Result<(), StepError> {
    let key = header.key();
    if journal.is_spent(&key)? || journal.answer(&key)?.is_some() {
        return Err(RoundError::KeySpent {
            purpose: key.purpose.name(),
        }
        .into());
    }
    Ok(())
}
