//! The vaults' word on an outcome: t that close it alike settle the round, too many that cannot open it end the run.

use crypto::sealed_sum::HospitalId;
use rand_core::CryptoRng;

use super::{Coordinator, Event, Output};
use protocol::{
    identity::Signed,
    round::outcome::{RoundClosed, RoundFailed},
    session::first_transcript,
};

impl<R: CryptoRng> Coordinator<R> {
    pub(super) fn take_closed(
        &mut self,
        from: HospitalId,
        closed: Signed<RoundClosed>,
    ) -> Result<(), String> {
        let member = self.roster.member(from).ok_or("not on the roster")?;
        let body = closed
            .verify(&member.signing_key, format_args!("hospital {from}"))
            .map_err(|error| error.to_string())?;
        let threshold = self.roster.threshold();
        let index = self
            .chain
            .iter()
            .position(|settled| settled.is_for(&body))
            .ok_or("closes a round that we do not know")?;
        let (transcript, model_before) = match index.checked_sub(1) {
            Some(before) => self.chain[before]
                .consensus(threshold)
                .ok_or("closes a round before the one before it is settled")?,
            None => (
                first_transcript(&self.roster, &self.session, &self.setup.joined_set()),
                self.initial_model,
            ),
        };
        let members = self.setup.joins();
        let settled = &mut self.chain[index];
        let was_settled = settled.consensus(threshold).is_some();
        settled.take_closed(from, closed, &body, &transcript, &model_before)?;
        if !was_settled && settled.consensus(threshold).is_some() {
            let entry = Box::new(settled.transcript_entry(&transcript, threshold));
            self.event(Event::Settled(entry));
        }
        let stuck = self.chain[index].is_stuck(members, threshold);
        if let Some(peer) = self.peers.get_mut(&from) {
            peer.position = peer.position.max(index + 1);
        }
        if stuck {
            self.fail_opening();
        }
        if self.peers.values().all(|peer| peer.position > index) {
            self.outputs.push_back(Output::Retract {
                name: self.chain[index].name(),
            });
        }
        Ok(())
    }

    pub(super) fn take_failed(
        &mut self,
        from: HospitalId,
        failed: &Signed<RoundFailed>,
    ) -> Result<(), String> {
        let member = self.roster.member(from).ok_or("not on the roster")?;
        let body = failed
            .verify(&member.signing_key, format_args!("hospital {from}"))
            .map_err(|error| error.to_string())?;
        let threshold = self.roster.threshold();
        let settled = self
            .chain
            .iter_mut()
            .find(|settled| settled.header_is(&body.header))
            .ok_or("fails a round that we do not know")?;
        settled.take_failed(from);
        if settled.consensus(threshold).is_none() && settled.is_stuck(self.setup.joins(), threshold)
        {
            self.fail_opening();
        }
        Ok(())
    }

    /// The last round can no longer be settled: too many vaults could not open it, or made different things of it.
    fn fail_opening(&mut self) {
        if let Some(settled) = self.chain.last().filter(|_| !self.over) {
            let reason = format!(
                "round {} does not open: a contribution or a share in it is wrong. The model is unchanged; start a new run from it, and ask \
                 the contributors {:?} to check their participants",
                settled.number(),
                settled
                    .contributors()
                    .iter()
                    .map(|id| id.get())
                    .collect::<Vec<_>>(),
            );
            self.event(Event::Failed { reason });
            self.over = true;
        }
    }
}
