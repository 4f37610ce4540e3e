//! The round at hand as it is kept on disk, and the way back: in the phase that the journal shows.

use crypto::sealed_sum::{HospitalId, Share};
use protocol::{
    codec,
    digests::{HeaderHash, LearningRound},
    identity::Signed,
    round::{contribution::Contribution, header::RoundOpen, unlock::UnlockShare},
};

use super::{HeldShare, OpenRound, OwnContribution, Round};
use crate::{
    journal::{Journal, KeptBox, KeptContribution},
    vault::{error::VaultError, hospital::Hospital},
};

impl OpenRound {
    /// The round whose header was accepted last, with the shares that were acknowledged.
    pub(in crate::vault) fn restored<J: Journal>(
        header: RoundOpen,
        hash: HeaderHash,
        learning_round: LearningRound,
        hospital: &Hospital<J>,
    ) -> Result<Self, VaultError> {
        let mut open = Self::new(header, hash, learning_round);
        for kept in hospital.journal.boxes(&hash)? {
            open.answers.insert(kept.from, kept.answer);
            if let Some(share) = &kept.share {
                let share = Share::from_bytes(share).map_err(VaultError::damaged)?;
                let held = HeldShare::new(kept.digest, kept.commit, share);
                open.shares.insert(kept.from, held);
            }
        }
        Ok(open)
    }

    /// As it is kept.
    pub(super) fn kept_box(&self, from: HospitalId) -> Option<KeptBox> {
        let held = self.shares.get(&from)?;
        Some(KeptBox {
            from,
            digest: held.digest,
            commit: held.commit,
            answer: *self.answers.get(&from)?,
            share: Some(held.share.to_bytes()),
        })
    }
}

impl<W> Round<W> {
    /// Answered, contributed, or with its work still to do.
    pub(in crate::vault) fn restored<J: Journal>(
        open: Option<OpenRound>,
        contribution: Option<KeptContribution>,
        hospital: &Hospital<J>,
    ) -> Result<Self, VaultError> {
        let Some(open) = open else {
            return Ok(Self::Idle);
        };
        let own = match contribution {
            Some(KeptContribution { blob, .. }) => {
                let contribution: Contribution =
                    codec::decode(&blob).map_err(VaultError::damaged)?;
                Some(OwnContribution {
                    digest: contribution.manifest.digest(),
                    blob: blob.into(),
                })
            }
            None => None,
        };
        let answer = hospital.journal.answer(&open.header.key())?;
        let answer = answer.filter(|answer| answer.header == open.hash);
        Ok(match (answer, own) {
            (Some(answer), own) => {
                let share: Signed<UnlockShare> =
                    codec::decode(&answer.share).map_err(VaultError::damaged)?;
                Self::answered_before(open, own, share)
            }
            (None, Some(own)) => Self::Contributed(open, own),
            (None, None) => Self::Interrupted(open),
        })
    }
}
