//! The others' shares for this vault (PROTOCOL.md 3.5): opened at once, kept, acknowledged.

use crypto::sealed_sum::{HospitalId, Share};
use protocol::{
    message::ToCoordinator,
    round::{
        RoundError,
        contribution::{BoxAck, BoxForward, ContributionManifest, check_forward},
    },
};

use super::{HeldShare, OpenRound, Round, RoundWork, contribute::box_key};
use crate::{
    journal::Journal,
    vault::{
        aead,
        hospital::Hospital,
        input::InputKind,
        session_state::Session,
        step::{Reaction, StepResult},
    },
};

impl<W: RoundWork> Round<W> {
    /// "A vault stores a box by (hh, i, `D_i`); the first valid one for (hh, i) wins. It opens it at once and keeps the share."
    pub(in crate::vault) fn on_box_forward<J: Journal>(
        &mut self,
        forward: &BoxForward,
        session: &Session,
        hospital: &mut Hospital<J>,
    ) -> StepResult {
        // Once answered, shares of contributors outside U were erased and do not come back.
        let takes_no_more = matches!(self, Self::Answered(_));
        let idle = self.wrong_phase(InputKind::BoxForward);
        let Some(open) = self.open_round_mut() else {
            return idle;
        };
        let manifest = check_forward(
            forward,
            hospital.id(),
            &open.hash,
            &session.keys.joined(),
            hospital.roster(),
        )?;
        let from = manifest.id.0;
        let digest = forward.manifest.digest();
        match open.shares.get(&from) {
            _ if takes_no_more => {}
            Some(held) if held.digest == digest => {}
            Some(_) => {
                return Err(RoundError::Second {
                    id: from,
                    message: "box",
                }
                .into());
            }
            None => {
                let share = open.open_box(forward, &manifest, session, hospital.id())?;
                open.keep_share(from, HeldShare::new(digest, manifest.commit, share));
                if let Some(kept) = open.kept_box(from) {
                    hospital.journal.record_box(&open.hash, &kept)?;
                }
            }
        }
        open.acknowledge(hospital);
        Ok(Reaction::Handled)
    }
}

impl OpenRound {
    fn open_box(
        &self,
        forward: &BoxForward,
        manifest: &ContributionManifest,
        session: &Session,
        own_id: HospitalId,
    ) -> Result<Share, RoundError> {
        let from = manifest.id.0;
        let pair = session
            .keys
            .pair_key(from)
            .ok_or(RoundError::NotJoined { id: from })?;
        let key = box_key(
            pair,
            from,
            own_id,
            &self.hash,
            manifest.attempt,
            &manifest.chunks_root,
        );
        let plain = aead::open(&key, &forward.sealed.0)
            .map_err(|_| RoundError::BoxDoesNotOpen { id: from })?;
        Share::from_bytes(&plain).map_err(|_| RoundError::BoxDoesNotOpen { id: from })
    }

    /// Keeps the first share of a contributor and answers for it: two answers with different digests would cancel what hides the
    /// share in them.
    pub(super) fn keep_share(&mut self, from: HospitalId, held: HeldShare) {
        self.answers
            .entry(from)
            .or_insert_with(|| held.share.answer(held.digest.as_bytes()));
        self.shares.insert(from, held);
    }

    /// "`BoxAck` (vault -> coordinator, signed): hh, contributors whose box opened correctly, each with the answer of the dealer
    /// check."
    pub(in crate::vault) fn acknowledge<J>(&self, hospital: &mut Hospital<J>) {
        let ack = BoxAck::new(self.hash, hospital.id(), &self.answers);
        hospital.send(ToCoordinator::BoxAck(hospital.sign(&ack)));
    }
}
