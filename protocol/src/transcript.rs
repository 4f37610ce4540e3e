//! The signed hash chain of a run: a line of `transcript.jsonl` for each settled round, and the check that anybody with the roster can
//! make of it, without the network and without any secret (PROTOCOL.md 3.7). Its runs may be of several epochs of the roster.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use crypto::sealed_sum::HospitalId;
use serde::{Deserialize, Serialize};

use crate::{
    codec::{self, Decode},
    counted::counted,
    digests::{
        ChunksRoot, ContributorsHash, HeaderHash, ModelHash, RoundNumber, RunId, SessionId,
        Transcript,
    },
    identity::Signed,
    keeping::Verdict,
    manifest::Purpose,
    roster::Roster,
    round::{
        header::RoundOpen,
        next_transcript,
        null_step::check_failed,
        outcome::{RoundClosed, RoundFailed},
        unlock::UnlockRequest,
    },
    session::first_transcript,
};

/// One line of `transcript.jsonl`: enough for anybody with the roster to follow the hash chain and check who signed it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TranscriptEntry {
    /// Number of the sum in its session.
    pub round: RoundNumber,
    /// What it was for.
    pub purpose: Cow<'static, str>,
    /// U.
    pub contributors: Vec<u8>,
    /// T before the round, in hexadecimal like all digests and bytes below.
    pub transcript_before: String,
    /// hh.
    pub header_hash: String,
    /// uh.
    pub contributors_hash: String,
    /// Root over the summed chunks.
    pub sum_root: String,
    /// The common model's hash from now on.
    pub model_hash: String,
    /// `T_r`.
    pub transcript: String,
    /// The signed header, as sent.
    pub header: String,
    /// The signed unlock request, as sent.
    pub request: String,
    /// The signed `RoundClosed` of the vaults that closed it by the time it was settled.
    pub closed: BTreeMap<u8, String>,
    /// Of a null step: the signed `RoundFailed` of the vaults that could not open the sum.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub failed: BTreeMap<u8, String>,
}

/// A chain that was followed to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedChain {
    /// Settled rounds.
    pub rounds: usize,
    /// The sessions they are of, each with a new set of keys.
    pub sessions: usize,
    /// The least number of hospitals that signed a round's end alike.
    pub fewest_signatures: usize,
    /// The run and T of the last round; none of an empty chain.
    pub last: Option<(RunId, Transcript, ModelHash)>,
}

/// Why a chain does not hold.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("line {line}{round}: {reason}")]
pub struct BrokenChain {
    /// Which line, from 1.
    pub line: usize,
    /// Its round, if it could be read.
    pub round: InRound,
    /// What is wrong.
    pub reason: String,
}

/// The round of a line, in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InRound(Option<RoundNumber>);

impl fmt::Display for InRound {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(round) => write!(formatter, " (round {round})"),
            None => Ok(()),
        }
    }
}

/// What of a line the next one must follow from.
struct Place {
    /// Which of the rosters.
    epoch: usize,
    run: RunId,
    session: SessionId,
    round: RoundNumber,
    transcript: Transcript,
    model_hash: ModelHash,
    verdict: Verdict,
}

/// Follows a chain from its beginning: every signature, every hash, and that each round goes on from the one before, also where the
/// hospitals have gone on in another session. A line of another run begins a chain of its own. A session is of one of `rosters`, all of
/// its rounds of the same.
///
/// # Errors
/// [`BrokenChain`] names the first line that does not hold.
pub fn verify<E: fmt::Display>(
    entries: impl IntoIterator<Item = Result<TranscriptEntry, E>>,
    rosters: &[Roster],
) -> Result<VerifiedChain, BrokenChain> {
    let mut chain = VerifiedChain {
        rounds: 0,
        sessions: 0,
        fewest_signatures: usize::MAX,
        last: None,
    };
    let mut before: Option<Place> = None;
    for (index, entry) in entries.into_iter().enumerate() {
        let line = index + 1;
        let broken = |round, reason| BrokenChain {
            line,
            round: InRound(round),
            reason,
        };
        let entry = entry.map_err(|error| broken(None, error.to_string()))?;
        let checked = check_line_in_any(&entry, before.as_ref(), rosters);
        let (place, signatures) = checked.map_err(|reason| broken(Some(entry.round), reason))?;
        if before
            .as_ref()
            .is_none_or(|before| before.session != place.session)
        {
            chain.sessions += 1;
        }
        chain.rounds += 1;
        chain.fewest_signatures = chain.fewest_signatures.min(signatures);
        chain.last = Some((place.run, place.transcript, place.model_hash));
        before = Some(place);
    }
    if chain.rounds == 0 {
        chain.fewest_signatures = 0;
    }
    Ok(chain)
}

/// The first line in which two chains differ, from 1, and in what. None when one is the beginning of the other, or both are alike.
pub fn first_difference(
    left: &[TranscriptEntry],
    right: &[TranscriptEntry],
) -> Option<(usize, &'static str)> {
    let pairs = left.iter().zip(right).enumerate();
    pairs
        .filter_map(|(index, (left, right))| Some((index + 1, difference(left, right)?)))
        .next()
}

fn difference(left: &TranscriptEntry, right: &TranscriptEntry) -> Option<&'static str> {
    let fields = [
        ("the number of the round", left.round == right.round),
        ("the header", left.header_hash == right.header_hash),
        (
            "the contributors",
            left.contributors_hash == right.contributors_hash,
        ),
        ("the sum", left.sum_root == right.sum_root),
        ("the model", left.model_hash == right.model_hash),
        ("the transcript", left.transcript == right.transcript),
    ];
    let differs = fields.into_iter().find(|(_, alike)| !alike);
    differs.map(|(name, _)| name)
}

/// With the roster of the session, or, for its first round, with the last one with which the line holds.
fn check_line_in_any(
    entry: &TranscriptEntry,
    before: Option<&Place>,
    rosters: &[Roster],
) -> Result<(Place, usize), String> {
    let mut refused = None;
    for (epoch, roster) in rosters.iter().enumerate().rev() {
        match check_line(entry, before, epoch, roster) {
            Ok(checked) => return Ok(checked),
            Err(reason) => _ = refused.get_or_insert(reason),
        }
    }
    Err(refused.unwrap_or_else(|| "there is no roster to check it with".to_owned()))
}

/// The place that a line leads to, and how many hospitals have signed it.
fn check_line(
    entry: &TranscriptEntry,
    before: Option<&Place>,
    epoch: usize,
    roster: &Roster,
) -> Result<(Place, usize), String> {
    let (header, header_hash) = check_header(entry, roster)?;
    if before.is_some_and(|before| before.session == header.session && before.epoch != epoch) {
        return Err("its session began with another roster".into());
    }
    check_order(&header, before, roster)?;
    let contributors = check_request(entry, &header_hash, roster)?;
    let sum_root = ChunksRoot::from_bytes(array_of("sum_root", &entry.sum_root)?);
    check_null_step(
        entry,
        &header,
        &header_hash,
        &contributors,
        &sum_root,
        roster,
    )?;
    let model_hash = ModelHash::from_bytes(array_of("model_hash", &entry.model_hash)?);
    let transcript = next_transcript(
        &header.transcript,
        &header_hash,
        &contributors,
        &sum_root,
        &model_hash,
    );
    agree("transcript", &entry.transcript, transcript)?;
    let mut words = BTreeMap::<Verdict, usize>::new();
    for (&number, closed) in &entry.closed {
        let closed = closing_of(number, closed, roster, &header_hash)?;
        if closed.transcript == transcript && closed.model_hash == model_hash {
            *words.entry(closed.verdict).or_default() += 1;
        }
    }
    let most = words.into_iter().max_by_key(|(_, signatures)| *signatures);
    let (verdict, signatures) = most.unwrap_or_default();
    if signatures < roster.threshold() {
        return Err(format!(
            "{} signed it where {} are needed",
            counted(signatures, ["hospital has", "hospitals have"]),
            roster.threshold()
        ));
    }
    let place = Place {
        epoch,
        run: header.run,
        session: header.session,
        round: header.round,
        transcript,
        model_hash,
        verdict,
    };
    Ok((place, signatures))
}

/// The header, and that the line says of it what it says.
fn check_header(
    entry: &TranscriptEntry,
    roster: &Roster,
) -> Result<(RoundOpen, HeaderHash), String> {
    let signed: Signed<RoundOpen> = bytes_of("header", &entry.header)?;
    let header = signed
        .verify(roster.coordinator_key(), "the coordinator")
        .map_err(|error| error.to_string())?;
    let header_hash = signed.digest();
    agree("header_hash", &entry.header_hash, header_hash)?;
    agree(
        "transcript_before",
        &entry.transcript_before,
        header.transcript,
    )?;
    if header.round != entry.round || header.purpose.name() != entry.purpose {
        return Err("round or purpose is not that of its header".into());
    }
    Ok((header, header_hash))
}

/// That a round goes on from the one before, in its session or in another one that follows it, or begins a run.
fn check_order(header: &RoundOpen, before: Option<&Place>, roster: &Roster) -> Result<(), String> {
    let begins_after = |transcript: Option<&Transcript>| {
        let first = first_transcript(roster, &header.session, &header.joined_set, transcript);
        header.transcript == first
    };
    let wrong = match before.filter(|before| before.run == header.run) {
        Some(before) if header.round <= before.round => {
            "its number is not above that of the line before"
        }
        Some(before) if before.verdict == Verdict::Stop => {
            "the hospitals ended the run with the line before"
        }
        Some(before)
            if before.session != header.session && !begins_after(Some(&before.transcript)) =>
        {
            "the session that it begins does not follow from the line before"
        }
        Some(before)
            if before.session == header.session && header.transcript != before.transcript =>
        {
            "it does not follow from the line before: T is another"
        }
        Some(before) if header.model_hash != before.model_hash => {
            "it does not go on from the model of the line before"
        }
        Some(_) => return Ok(()),
        None if begins_after(None) => return Ok(()),
        None => {
            "the first round of a session does not follow from its beginning: lines before it are missing, or the roster is not the one that \
             held then. After a change of members, verify with the roster that is published now"
        }
    };
    Err(wrong.into())
}

/// uh, and that the line says of U what the request says.
fn check_request(
    entry: &TranscriptEntry,
    header_hash: &HeaderHash,
    roster: &Roster,
) -> Result<ContributorsHash, String> {
    let signed: Signed<UnlockRequest> = bytes_of("request", &entry.request)?;
    let request = signed
        .verify(roster.coordinator_key(), "the coordinator")
        .map_err(|error| error.to_string())?;
    let everybody: Vec<_> = roster.members().map(|member| member.id).collect();
    request
        .check(header_hash, &everybody, roster)
        .map_err(|error| error.to_string())?;
    agree(
        "contributors_hash",
        &entry.contributors_hash,
        request.hash(),
    )?;
    let members = request.members().into_iter().map(HospitalId::get);
    if !members.eq(entry.contributors.iter().copied()) {
        return Err("contributors are not those of its request".into());
    }
    Ok(request.hash())
}

/// That a line without a sum is an update which t hospitals could not open, and that no other line says so.
fn check_null_step(
    entry: &TranscriptEntry,
    header: &RoundOpen,
    header_hash: &HeaderHash,
    contributors: &ContributorsHash,
    sum_root: &ChunksRoot,
    roster: &Roster,
) -> Result<(), String> {
    let has_sum = *sum_root != ChunksRoot::NONE;
    if has_sum && entry.failed.is_empty() {
        return Ok(());
    }
    if has_sum || header.purpose != Purpose::Update {
        return Err("only an update that did not open is without a sum".into());
    }
    let everybody: Vec<_> = roster.members().map(|member| member.id).collect();
    let words = entry.failed.values();
    let words = words.map(|word| bytes_of::<Signed<RoundFailed>>("failed", word));
    let words: Vec<_> = words.collect::<Result<_, _>>()?;
    check_failed(&words, header_hash, contributors, &everybody, roster)
        .map_err(|error| error.to_string())
}

/// What this hospital has signed of the round's end. A signature that is not its own is an error.
fn closing_of(
    number: u8,
    closed: &str,
    roster: &Roster,
    header: &HeaderHash,
) -> Result<RoundClosed, String> {
    let signed: Signed<RoundClosed> = bytes_of("closed", closed)?;
    let member = HospitalId::new(number).and_then(|id| roster.member(id));
    let member = member.ok_or_else(|| format!("hospital {number} is not on the roster"))?;
    let closed = signed
        .verify(&member.signing_key, format_args!("hospital {number}"))
        .map_err(|error| error.to_string())?;
    if closed.id.0 != member.id || closed.header != *header {
        return Err(format!(
            "what hospital {number} has signed is about another round"
        ));
    }
    Ok(closed)
}

fn bytes_of<T: Decode<()>>(field: &str, text: &str) -> Result<T, String> {
    let bytes = hex::decode(text).map_err(|_| format!("{field} is not hexadecimal"))?;
    codec::decode(&bytes).map_err(|error| format!("{field}: {error}"))
}

fn array_of(field: &str, text: &str) -> Result<[u8; 32], String> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(text, &mut bytes)
        .map_err(|_| format!("{field} is not 64 hexadecimal digits"))?;
    Ok(bytes)
}

fn agree(field: &str, text: &str, found: impl AsRef<[u8]>) -> Result<(), String> {
    if text == hex::encode(found) {
        Ok(())
    } else {
        Err(format!("{field} is not what its messages give"))
    }
}
