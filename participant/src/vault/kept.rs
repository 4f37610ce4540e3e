//! The form in which a session is kept on disk, so that the vault goes on after its process was ended at any moment: plain records and
//! their bytes. When each part is written stands in [`crate::journal`]; each type of the vault knows its own way to its record and back.
//!
//! A trained update is not kept: the same stream trains it again. Nor is a CKKS key: a new one is announced with the features under it.
//! Before all keys are here nothing is kept: such a vault joins anew. From its Ready on, the others may open rounds with it.

use crypto::sealed_sum::HospitalId;
use protocol::{
    codec::{self, CodecError, Id, List, Secret},
    digests::{HeaderHash, LearningRound, ModelHash, RoundNumber, SessionId, Transcript},
    identity::Signed,
    keeping::Standing,
    manifest::Manifest,
    round::{header::RoundOpen, outcome::RoundClosed},
};
use zeroize::Zeroizing;

use super::{
    keys::{KeyRecord, SetUpRecord},
    statistics::Statistics,
};
use crate::journal::KeptSession;

/// A session, as it was kept.
pub(super) struct SessionRecord {
    pub(super) manifest: Signed<Manifest>,
    pub(super) set_up: SetUpRecord,
    pub(super) keys: KeyRecord,
    /// None while Readies are awaited.
    pub(super) progress: Option<ProgressRecord>,
}

/// How far the rounds of a session are.
pub(super) struct ProgressRecord {
    pub(super) chain: ChainRecord,
    /// None before the statistics are opened.
    pub(super) learning: Option<LearningRecord>,
    /// The header that was accepted last, and hh, until its round is settled.
    pub(super) open: Option<(RoundOpen, HeaderHash)>,
}

/// Where in the chain of opened rounds. The model's values are a file of their own.
pub(super) struct ChainRecord {
    pub(super) transcript: Transcript,
    pub(super) last_round: RoundNumber,
    pub(super) updates: LearningRound,
    pub(super) model_hash: ModelHash,
    pub(super) clips: Vec<f64>,
    pub(super) null_steps: u32,
    pub(super) contributors: Vec<HospitalId>,
    pub(super) validation: Option<Vec<u64>>,
    pub(super) standing: Standing,
}

/// What the vault knows once the statistics are opened.
pub(super) struct LearningRecord {
    pub(super) statistics: Statistics,
    /// Loss and steps of the last training.
    pub(super) last_training: (f64, u32),
    pub(super) closed: Signed<RoundClosed>,
}

type KeyForm = (RoundNumber, List<(Id, Secret)>, Secret);
type ChainForm = (
    Transcript,
    RoundNumber,
    LearningRound,
    ModelHash,
    List<f64>,
    u32,
    List<Id>,
    Option<List<u64>>,
    Standing,
);
type LearningForm = (
    List<u64>,
    List<f64>,
    List<f64>,
    f64,
    u32,
    Signed<RoundClosed>,
);
type ProgressForm = (
    ChainForm,
    Option<LearningForm>,
    Option<(RoundOpen, HeaderHash)>,
);

impl SessionRecord {
    /// The bytes to keep.
    pub(super) fn into_kept(self) -> KeptSession {
        KeptSession {
            set_up: set_up_bytes(&self.manifest, &self.set_up),
            position: position(self.keys, self.progress),
        }
    }

    /// Reads what was kept.
    pub(super) fn from_kept(kept: &KeptSession) -> Result<Self, CodecError> {
        let (manifest, set_up) = set_up_of(&kept.set_up)?;
        let (keys, progress): (KeyForm, Option<ProgressForm>) = codec::decode(&kept.position)?;
        let (round, pairs, group) = keys;
        Ok(Self {
            manifest,
            set_up,
            keys: KeyRecord {
                round,
                pairs,
                group,
            },
            progress: progress.map(ProgressRecord::read).transpose()?,
        })
    }
}

/// The part that changes from round to round.
pub(super) fn position(keys: KeyRecord, progress: Option<ProgressRecord>) -> Zeroizing<Vec<u8>> {
    let keys: KeyForm = (keys.round, keys.pairs, keys.group);
    codec::encode_secret(&(keys, progress.map(ProgressRecord::form)))
}

/// Whether this is what was kept of that session.
pub(super) fn is_of_session(kept: &KeptSession, session: SessionId) -> bool {
    set_up_of(&kept.set_up).is_ok_and(|(_, set_up)| set_up.session == session)
}

fn set_up_bytes(manifest: &Signed<Manifest>, record: &SetUpRecord) -> Vec<u8> {
    codec::encode(&(
        manifest,
        record.session,
        List(record.joins.clone()),
        numbered(&record.encapsulations),
        record.gid,
        numbered(&record.readies),
        List(record.sent.clone()),
    ))
}

fn set_up_of(bytes: &[u8]) -> Result<(Signed<Manifest>, SetUpRecord), CodecError> {
    let (manifest, session, List(joins), encapsulations, gid, readies, List(sent)) =
        codec::decode(bytes)?;
    let record = SetUpRecord {
        session,
        joins,
        encapsulations: hospitals(encapsulations),
        gid,
        readies: hospitals(readies),
        sent,
    };
    Ok((manifest, record))
}

impl ProgressRecord {
    fn form(self) -> ProgressForm {
        let chain = self.chain;
        let chain: ChainForm = (
            chain.transcript,
            chain.last_round,
            chain.updates,
            chain.model_hash,
            List(chain.clips),
            chain.null_steps,
            chain.contributors.into_iter().map(Id).collect(),
            chain.validation.map(List),
            chain.standing,
        );
        (chain, self.learning.map(learning_form), self.open)
    }

    fn read((chain, learning, open): ProgressForm) -> Result<Self, CodecError> {
        let (
            transcript,
            last_round,
            updates,
            model_hash,
            clips,
            null_steps,
            ids,
            validation,
            standing,
        ) = chain;
        let chain = ChainRecord {
            transcript,
            last_round,
            updates,
            model_hash,
            clips: clips.0,
            null_steps,
            contributors: ids.iter().map(|id| id.0).collect(),
            validation: validation.map(|counters| counters.0),
            standing,
        };
        Ok(Self {
            chain,
            learning: learning.map(learning_record).transpose()?,
            open,
        })
    }
}

fn learning_form(record: LearningRecord) -> LearningForm {
    let Statistics {
        class_counts,
        means,
        deviations,
    } = record.statistics;
    let (loss, steps) = record.last_training;
    (
        List(class_counts),
        List(means.to_vec()),
        List(deviations.to_vec()),
        loss,
        steps,
        record.closed,
    )
}

fn learning_record(form: LearningForm) -> Result<LearningRecord, CodecError> {
    let (class_counts, means, deviations, loss, steps, closed) = form;
    let features = |values: List<f64>| {
        let number = values.len();
        values.0.try_into().map_err(|_| CodecError::Malformed {
            message: "kept statistics",
            reason: format!("{number} features"),
        })
    };
    Ok(LearningRecord {
        statistics: Statistics {
            class_counts: class_counts.0,
            means: features(means)?,
            deviations: features(deviations)?,
        },
        last_training: (loss, steps),
        closed,
    })
}

fn numbered<T: Clone>(pairs: &[(HospitalId, T)]) -> List<(Id, T)> {
    pairs
        .iter()
        .map(|(id, value)| (Id(*id), value.clone()))
        .collect()
}

fn hospitals<T>(list: List<(Id, T)>) -> Vec<(HospitalId, T)> {
    let pairs = list.0.into_iter();
    pairs.map(|(id, value)| (id.0, value)).collect()
}
