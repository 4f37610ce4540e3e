//! The form in which a session is kept on disk, so that the vault goes on after its process was ended at any moment: plain records and
//! their bytes. When each part is written stands in [`crate::journal`]; each type of the vault knows its own way to its record and back.
//!
//! A trained update is not kept: the same stream trains it again. Nor is a CKKS key: a new one is announced with the features under it.
//! Before all keys are here nothing is kept: such a vault joins anew. From its Ready on, the others may open rounds with it.

use std::collections::BTreeSet;

use crypto::{hash::Digest, sealed_sum::HospitalId};
use protocol::{
    codec::{self, CodecError, Id, List, Secret},
    digests::{
        EncapsulationDigest, GroupKeyId, HeaderHash, LearningRound, ModelHash, RoundNumber, RunId,
        SessionId, StateCommit, Transcript,
    },
    identity::Signed,
    keeping::Standing,
    manifest::Manifest,
    message::ToCoordinator,
    roster::Roster,
    round::{header::RoundOpen, outcome::RoundClosed},
    session::Join,
};
use zeroize::Zeroizing;

use super::{
    keys::{Confirmed, KeyRecord, SetUpRecord},
    statistics::Statistics,
};
use crate::journal::KeptSession;

/// A session, as it was kept.
pub(super) struct SessionRecord {
    pub(super) manifest: Signed<Manifest>,
    pub(super) set_up: SetUpRecord,
    pub(super) keys: KeyRecord,
    /// T of the round that the session goes on after; none in the first session of a run.
    pub(super) after: Option<Transcript>,
    /// Whether the session's rounds may begin here. Before, Readies or the common state are awaited.
    pub(super) has_begun: bool,
    /// Of the session; before it has begun, what this vault brings of the run.
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
    pub(super) evaluated: Vec<BTreeSet<HospitalId>>,
    pub(super) given: Option<ModelHash>,
}

/// What the vault knows once the statistics are opened.
pub(super) struct LearningRecord {
    pub(super) statistics: Statistics,
    /// Loss and steps of the last training.
    pub(super) last_training: (f64, u32),
    /// None before a round of this session was opened.
    pub(super) closed: Option<Signed<RoundClosed>>,
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
    List<List<Id>>,
    Option<ModelHash>,
);
/// Class counts, means, deviations.
pub(super) type StatisticsForm = (List<u64>, List<f64>, List<f64>);
type LearningForm = (StatisticsForm, f64, u32, Option<Signed<RoundClosed>>);
type ProgressForm = (
    ChainForm,
    Option<LearningForm>,
    Option<(RoundOpen, HeaderHash)>,
);

impl SessionRecord {
    /// The bytes to keep.
    pub(super) fn into_kept(self) -> KeptSession {
        KeptSession {
            set_up: set_up_bytes(&self.manifest, &self.set_up, self.after),
            position: position(self.keys, self.has_begun, self.progress),
        }
    }

    /// Whether it was kept under a roster that `roster` follows. What cannot be read is not.
    pub(super) fn is_of_earlier_roster(kept: &KeptSession, roster: &Roster) -> bool {
        let first_join = set_up_of(&kept.set_up)
            .ok()
            .and_then(|(_, set_up, _)| set_up.joins.first()?.read_unverified().ok());
        first_join.is_some_and(|join| roster.comes_after(&join.roster_hash))
    }

    /// Reads what was kept.
    pub(super) fn from_kept(kept: &KeptSession) -> Result<Self, CodecError> {
        let (manifest, set_up, after) = set_up_of(&kept.set_up)?;
        let (keys, has_begun, progress): (KeyForm, bool, Option<ProgressForm>) =
            codec::decode(&kept.position)?;
        let (round, pairs, group) = keys;
        Ok(Self {
            manifest,
            set_up,
            after,
            has_begun,
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
pub(super) fn position(
    keys: KeyRecord,
    has_begun: bool,
    progress: Option<ProgressRecord>,
) -> Zeroizing<Vec<u8>> {
    let keys: KeyForm = (keys.round, keys.pairs, keys.group);
    codec::encode_secret(&(keys, has_begun, progress.map(ProgressRecord::form)))
}

/// The run of a session that is kept; none where another release has written it.
pub fn run_of_session(kept: &KeptSession) -> Option<RunId> {
    let (manifest, ..) = set_up_of(&kept.set_up).ok()?;
    Some(manifest.digest())
}

/// Whether this is what was kept of that session.
pub(super) fn is_of_session(kept: &KeptSession, session: SessionId) -> bool {
    set_up_of(&kept.set_up).is_ok_and(|(_, set_up, _)| set_up.session == session)
}

fn set_up_bytes(
    manifest: &Signed<Manifest>,
    record: &SetUpRecord,
    after: Option<Transcript>,
) -> Vec<u8> {
    let readies = record.readies.iter();
    let readies: List<(Id, Digest, Option<StateCommit>)> = readies
        .map(|(id, ready)| (Id(*id), ready.digest, ready.state))
        .collect();
    codec::encode(&(
        manifest,
        record.session,
        List(record.joins.clone()),
        numbered(&record.encapsulations),
        record.gid,
        readies,
        record.own_state,
        List(record.sent.clone()),
        after,
    ))
}

type SetUpForm = (
    Signed<Manifest>,
    SessionId,
    List<Signed<Join>>,
    List<(Id, EncapsulationDigest)>,
    GroupKeyId,
    List<(Id, Digest, Option<StateCommit>)>,
    Option<StateCommit>,
    List<ToCoordinator>,
    Option<Transcript>,
);

fn set_up_of(
    bytes: &[u8],
) -> Result<(Signed<Manifest>, SetUpRecord, Option<Transcript>), CodecError> {
    let form: SetUpForm = codec::decode(bytes)?;
    let (manifest, session, joins, encapsulations, gid, readies, own_state, sent, after) = form;
    let encapsulations = encapsulations.0.into_iter();
    let readies = readies.0.into_iter();
    let record = SetUpRecord {
        session,
        joins: joins.0,
        encapsulations: encapsulations.map(|(id, digest)| (id.0, digest)).collect(),
        gid,
        readies: readies
            .map(|(id, digest, state)| (id.0, Confirmed { digest, state }))
            .collect(),
        own_state,
        sent: sent.0,
    };
    Ok((manifest, record, after))
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
            listed_sets(&chain.evaluated),
            chain.given,
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
            evaluated,
            given,
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
            evaluated: sets_of(&evaluated),
            given,
        };
        Ok(Self {
            chain,
            learning: learning.map(learning_record),
            open,
        })
    }
}

fn learning_form(record: LearningRecord) -> LearningForm {
    let (loss, steps) = record.last_training;
    (
        statistics_form(record.statistics),
        loss,
        steps,
        record.closed,
    )
}

fn learning_record((form, loss, steps, closed): LearningForm) -> LearningRecord {
    LearningRecord {
        statistics: statistics(form),
        last_training: (loss, steps),
        closed,
    }
}

pub(super) fn statistics_form(statistics: Statistics) -> StatisticsForm {
    let Statistics {
        class_counts,
        means,
        deviations,
    } = statistics;
    (List(class_counts), List(means), List(deviations))
}

pub(super) fn statistics((class_counts, means, deviations): StatisticsForm) -> Statistics {
    Statistics {
        class_counts: class_counts.0,
        means: means.0,
        deviations: deviations.0,
    }
}

pub(super) fn listed_sets(sets: &[BTreeSet<HospitalId>]) -> List<List<Id>> {
    let list = |set: &BTreeSet<HospitalId>| set.iter().copied().map(Id).collect();
    sets.iter().map(list).collect()
}

pub(super) fn sets_of(lists: &[List<Id>]) -> Vec<BTreeSet<HospitalId>> {
    let set = |list: &List<Id>| list.iter().map(|id| id.0).collect();
    lists.iter().map(set).collect()
}

fn numbered<T: Clone>(pairs: &[(HospitalId, T)]) -> List<(Id, T)> {
    pairs
        .iter()
        .map(|(id, value)| (Id(*id), value.clone()))
        .collect()
}
