//! `RoundOpen`: what a round is. Its hash is bound into every key of the round (PROTOCOL.md 3.3).

use crypto::sealed_sum::value_bits;

use super::RoundError;
use crate::{
    codec::{Decode, Encode, List},
    digests::{
        GroupKeyId, HeaderHash, JoinedSet, LayoutHash, ModelHash, RoundNumber, RunId, SessionId,
        Transcript,
    },
    identity::Message,
    manifest::{Manifest, Purpose},
    roster::{Roster, SUITE},
};

/// The header of a round, signed by the coordinator.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct RoundOpen {
    /// Protocol version.
    pub version: u8,
    /// See [`SUITE`].
    pub suite: u16,
    /// The session.
    pub session: SessionId,
    /// H(manifest).
    pub run: RunId,
    /// What the sum is for.
    pub purpose: Purpose,
    /// Rises by at least one with every header of a session, whatever its purpose.
    pub round: RoundNumber,
    /// `T_{r-1}`: the T of the last round that was opened.
    pub transcript: Transcript,
    /// H(sorted Joins).
    pub joined_set: JoinedSet,
    /// The group key.
    pub gid: GroupKeyId,
    /// The common model.
    pub model_hash: ModelHash,
    /// Names, shapes and kinds of the tensors, names and digits of the counters.
    pub layout_hash: LayoutHash,
    /// d, the number of real values.
    pub values: u32,
    /// The digits of each counter.
    pub counter_digits: List<u8>,
    /// FIELDS.
    pub fields: u8,
    /// `FIELD_BITS`.
    pub field_bits: u8,
    /// B.
    pub value_bits: u8,
    /// The largest weight.
    pub largest_weight: u32,
    /// The clip rule's number.
    pub clip_rule: u8,
    /// t.
    pub threshold: u8,
    /// `m_min`.
    pub min_contributors: u8,
    /// Seconds of silence after which the coordinator stops waiting for a hospital.
    pub silence_secs: u32,
    /// Makes every header unlike any other.
    pub nonce: [u8; 32],
}

impl Message for RoundOpen {
    const TYPE: &'static str = "round-open";
    type Digest = HeaderHash;
}

/// The key of a sum: at most one is opened for each (PROTOCOL.md 3.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SumKey {
    /// The run.
    pub run: RunId,
    /// The purpose.
    pub purpose: Purpose,
    /// The common model it is computed on.
    pub model_hash: ModelHash,
}

/// What a header must agree with: the state of a session as one party sees it.
pub struct RoundContext<'a> {
    /// The federation.
    pub roster: &'a Roster,
    /// The run.
    pub manifest: &'a Manifest,
    /// H(manifest).
    pub run: RunId,
    /// The session.
    pub session: SessionId,
    /// H(sorted Joins).
    pub joined_set: JoinedSet,
    /// Number of share holders.
    pub joined: usize,
    /// The group key.
    pub gid: GroupKeyId,
    /// `T_{r-1}`.
    pub transcript: Transcript,
    /// The common model.
    pub model_hash: ModelHash,
}

impl RoundContext<'_> {
    /// The header of round `round`.
    pub fn open(&self, purpose: Purpose, round: RoundNumber, nonce: [u8; 32]) -> RoundOpen {
        let digits = self
            .manifest
            .counters(purpose)
            .iter()
            .map(|counter| counter.digits)
            .collect();
        RoundOpen {
            version: crate::codec::WIRE_VERSION,
            suite: SUITE,
            session: self.session,
            run: self.run,
            purpose,
            round,
            transcript: self.transcript,
            joined_set: self.joined_set,
            gid: self.gid,
            model_hash: self.model_hash,
            layout_hash: self.manifest.layout_hash(purpose),
            values: self.manifest.values(purpose) as u32,
            counter_digits: digits,
            fields: FIELDS,
            field_bits: FIELD_BITS,
            value_bits: value_bits(crypto::sealed_sum::FieldFormat::TwoBy24, self.joined) as u8,
            largest_weight: self.manifest.largest_weight(),
            clip_rule: self.manifest.clip_rule,
            threshold: self.roster.threshold() as u8,
            min_contributors: self.roster.min_contributors() as u8,
            silence_secs: self.manifest.silence_secs,
            nonce,
        }
    }

    /// Refuses a header that differs from what this party would have written, in anything but number and nonce.
    ///
    /// # Errors
    /// [`RoundError::HeaderMismatch`] names the first field that differs; [`RoundError::OldRound`] when the number does not rise.
    pub fn check(&self, header: &RoundOpen, last_round: RoundNumber) -> Result<(), RoundError> {
        let expected = self.open(header.purpose, header.round, header.nonce);
        macro_rules! same {
            ($($field:ident),*) => {
                $(if header.$field != expected.$field {
                    return Err(RoundError::HeaderMismatch { field: stringify!($field) });
                })*
            };
        }
        // An exhaustive pattern: a new field cannot be forgotten here.
        let RoundOpen {
            version: _,
            suite: _,
            session: _,
            run: _,
            purpose: _,
            round: _,
            transcript: _,
            joined_set: _,
            gid: _,
            model_hash: _,
            layout_hash: _,
            values: _,
            counter_digits: _,
            fields: _,
            field_bits: _,
            value_bits: _,
            largest_weight: _,
            clip_rule: _,
            threshold: _,
            min_contributors: _,
            silence_secs: _,
            nonce: _,
        } = header;
        same!(
            version,
            suite,
            session,
            run,
            joined_set,
            gid,
            layout_hash,
            values,
            counter_digits,
            fields,
            field_bits,
            value_bits
        );
        same!(
            largest_weight,
            clip_rule,
            threshold,
            min_contributors,
            silence_secs
        );
        if header.round <= last_round {
            return Err(RoundError::OldRound {
                round: header.round,
                last: last_round,
            });
        }
        same!(transcript, model_hash);
        if self.joined < self.roster.threshold() {
            return Err(RoundError::HeaderMismatch {
                field: "joined_set",
            });
        }
        Ok(())
    }
}

impl RoundOpen {
    /// The key of this sum.
    pub fn key(&self) -> SumKey {
        SumKey {
            run: self.run,
            purpose: self.purpose,
            model_hash: self.model_hash,
        }
    }
}

const FIELDS: u8 = 2;
const FIELD_BITS: u8 = 24;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{manifest::testing::manifest, roster::testing::federation};

    #[test]
    fn a_header_of_the_same_state_passes_and_any_other_field_is_refused_by_name() {
        let federation = federation(4);
        let manifest = manifest();
        let context = RoundContext {
            roster: &federation.roster,
            manifest: &manifest,
            run: [1; 32].into(),
            session: [2; 16].into(),
            joined_set: [3; 32].into(),
            joined: 4,
            gid: [4; 32].into(),
            transcript: [5; 32].into(),
            model_hash: [6; 32].into(),
        };
        let good = context.open(Purpose::Update, RoundNumber::new(9), [7; 32]);
        assert_eq!(context.check(&good, RoundNumber::new(8)), Ok(()));
        assert_eq!(
            context.check(&good, RoundNumber::new(9)),
            Err(RoundError::OldRound {
                round: RoundNumber::new(9),
                last: RoundNumber::new(9)
            })
        );
        type Fault = (&'static str, fn(&mut RoundOpen));
        let faults: [Fault; 11] = [
            ("version", |header| header.version += 1),
            ("suite", |header| header.suite = 2),
            ("session", |header| header.session = [3; 16].into()),
            ("run", |header| header.run = [9; 32].into()),
            ("gid", |header| header.gid = [9; 32].into()),
            ("transcript", |header| header.transcript = [9; 32].into()),
            ("model_hash", |header| header.model_hash = [9; 32].into()),
            ("layout_hash", |header| header.purpose = Purpose::Stats),
            ("value_bits", |header| header.value_bits += 1),
            ("threshold", |header| header.threshold -= 1),
            ("min_contributors", |header| header.min_contributors = 1),
        ];
        for (field, spoil) in faults {
            let mut header = good.clone();
            spoil(&mut header);
            assert_eq!(
                context.check(&header, RoundNumber::new(8)),
                Err(RoundError::HeaderMismatch { field })
            );
        }
    }
}
