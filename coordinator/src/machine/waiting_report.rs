//! What a run waits for, since when, and from whom: for the line that an operator reads while nothing seems to happen.
//!
//! Derived from the phase and the peers when somebody asks. Nothing is kept for it, and asking changes nothing.

use std::fmt;

use crypto::sealed_sum::HospitalId;
use protocol::{digests::RoundNumber, manifest::Purpose, roster::Member};

use super::{PhaseName, Timestamp};

/// What a run waits for at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitingReport {
    /// Where the run is.
    pub phase: PhaseName,
    /// The round at hand, if one is open or its outcome not settled.
    pub round: Option<RoundNumber>,
    /// So long the run has been where it is.
    pub waited_secs: u64,
    /// So much longer it waits at the most; none when it waits until those below have done their part.
    pub ends_in_secs: Option<u64>,
    /// Whether its operator has paused it.
    pub paused: bool,
    /// Whom it waits for; nobody when it is time alone that has to pass.
    pub hospitals: Vec<WaitedFor>,
}

/// A hospital that is waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitedFor {
    /// Which.
    pub hospital: HospitalId,
    /// As the roster calls it.
    pub name: String,
    /// What it is doing, as far as the coordinator can tell.
    pub state: WaitState,
    /// How long ago it was heard, or its connection lost; none if it has not connected yet.
    pub last_heard_secs: Option<u64>,
}

/// What a hospital that is waited for is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitState {
    /// It has never connected to this process.
    NotConnected,
    /// Its connection is lost.
    Away,
    /// Its connection stands, but it says nothing, not even that it is alive.
    Silent,
    /// It is there; this is its part.
    Busy(Part),
}

/// What a hospital has to do so that the run goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// To join the session.
    Join,
    /// To send its messages of the key exchange.
    ExchangeKeys,
    /// To seal the state of the run for hospitals that do not have it.
    HandOver,
    /// To fetch and open the outcomes that it has missed.
    CatchUp,
    /// To count its data, for the first sum.
    Count,
    /// To train, and to upload what it has learnt.
    Train,
    /// To measure the common model on its own data.
    Evaluate,
    /// To say which shares it has got.
    Acknowledge,
    /// To answer for the sum, so that it can be opened.
    Answer,
    /// To fetch and open the outcome, and say what came of it.
    Open,
}

/// How a coordinator stands with a hospital.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Contact {
    NeverSeen,
    Connected { last_heard: Timestamp },
    Gone { since: Timestamp },
}

/// What a phase waits for, before it is known how the hospitals are.
#[derive(Default)]
pub(super) struct Wait {
    pub(super) round: Option<RoundNumber>,
    pub(super) ends: Option<Timestamp>,
    pub(super) parts: Vec<(HospitalId, Part)>,
}

impl Part {
    /// Of a hospital that has to contribute to a sum.
    pub(super) fn of(purpose: Purpose) -> Self {
        match purpose {
            Purpose::Stats => Self::Count,
            Purpose::Update => Self::Train,
            Purpose::Evaluation => Self::Evaluate,
        }
    }
}

impl WaitedFor {
    pub(super) fn new(member: &Member, part: Part, contact: Contact, now: Timestamp) -> Self {
        let secs_since = |then: Timestamp| now.0.saturating_sub(then.0) / 1000;
        let (state, last_heard_secs) = match contact {
            Contact::NeverSeen => (WaitState::NotConnected, None),
            Contact::Gone { since } => (WaitState::Away, Some(secs_since(since))),
            Contact::Connected { last_heard } => match secs_since(last_heard) {
                secs if secs >= SILENT_SECS => (WaitState::Silent, Some(secs)),
                secs => (WaitState::Busy(part), Some(secs)),
            },
        };
        Self {
            hospital: member.id,
            name: member.name.clone(),
            state,
            last_heard_secs,
        }
    }
}

impl WaitState {
    /// One word for programs, which does not change.
    pub fn name(self) -> &'static str {
        match self {
            Self::NotConnected => "not-connected",
            Self::Away => "away",
            Self::Silent => "silent",
            Self::Busy(Part::Join) => "joining",
            Self::Busy(Part::ExchangeKeys) => "exchanging-keys",
            Self::Busy(Part::HandOver) => "handing-over",
            Self::Busy(Part::CatchUp) => "catching-up",
            Self::Busy(Part::Count) => "counting",
            Self::Busy(Part::Train) => "training",
            Self::Busy(Part::Evaluate) => "evaluating",
            Self::Busy(Part::Acknowledge) => "acknowledging",
            Self::Busy(Part::Answer) => "answering",
            Self::Busy(Part::Open) => "opening",
        }
    }
}

/// "hospital 3 (Charite)": a number alone is nobody whom one can telephone.
pub(crate) fn with_name(hospital: HospitalId, name: &str) -> String {
    let number = format!("hospital {hospital}");
    match name {
        "" => number,
        // As the hospitals of a demonstration are called.
        name if name == number => number,
        name => format!("{number} ({name})"),
    }
}

impl fmt::Display for WaitedFor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secs = self.last_heard_secs.unwrap_or_default();
        write!(formatter, "{}: ", with_name(self.hospital, &self.name))?;
        match self.state {
            WaitState::NotConnected => write!(formatter, "not connected yet"),
            WaitState::Away => write!(formatter, "connection lost {secs} s ago"),
            WaitState::Silent => write!(formatter, "silent {secs} s"),
            WaitState::Busy(part) => {
                let doing = match part {
                    Part::Join => "joining",
                    Part::ExchangeKeys => "exchanging keys",
                    Part::HandOver => "handing over the state of the run",
                    Part::CatchUp => "fetching what it has missed",
                    Part::Count => "counting its data",
                    Part::Train => "training",
                    Part::Evaluate => "evaluating the model",
                    Part::Acknowledge => "acknowledging shares",
                    Part::Answer => "answering for the sum",
                    Part::Open => "opening the outcome",
                };
                write!(formatter, "{doing}, last heard {secs} s ago")
            }
        }
    }
}

impl fmt::Display for WaitingReport {
    /// "round 7 waits for hospital 3 (Charite): training, last heard 2 s ago; hospital 5 (Karolinska): silent 20 s (45 s so far)"
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.round, self.phase) {
            (Some(round), _) => write!(formatter, "round {round} waits")?,
            (None, PhaseName::Waiting) if self.paused => {
                return write!(
                    formatter,
                    "its operator has paused the run ({} s so far); `coordinator run resume` has it go on",
                    self.waited_secs
                );
            }
            (None, PhaseName::Waiting) => write!(formatter, "the next round waits")?,
            (None, PhaseName::Finishing) => {
                write!(formatter, "all rounds are done; the last outcomes are kept")?
            }
            (None, PhaseName::KeyExchange) => write!(formatter, "the key exchange waits")?,
            _ => write!(formatter, "the run waits")?,
        }
        for (place, waited_for) in self.hospitals.iter().take(MAX_NAMED_HOSPITALS).enumerate() {
            let before = if place == 0 { " for " } else { "; " };
            write!(formatter, "{before}{waited_for}")?;
        }
        match self.hospitals.len().saturating_sub(MAX_NAMED_HOSPITALS) {
            0 => {}
            more => write!(formatter, "; and {more} more")?,
        }
        write!(formatter, " ({} s so far", self.waited_secs)?;
        match self.ends_in_secs {
            Some(secs) => write!(formatter, ", {secs} s more at the most)"),
            None => write!(formatter, ")"),
        }
    }
}

/// A participant that is there says so every two seconds.
const SILENT_SECS: u64 = 10;
/// A line is for people.
const MAX_NAMED_HOSPITALS: usize = 12;
