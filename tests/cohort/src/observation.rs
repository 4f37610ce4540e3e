//! What an onlooker who sees every party and every plaintext notes down. The checks of a run are made on these notes alone, so a test
//! can change a note and see whether it is missed.

use std::collections::BTreeSet;

use crypto::sealed_sum::HospitalId;
use participant::vault::OpenedRound;
use protocol::{
    digests::{ContributionDigest, ContributorsHash, HeaderHash, ModelHash, Transcript},
    round::header::RoundOpen,
};

/// One note.
#[derive(Clone)]
pub enum Observation {
    /// A vault's session has its keys: it may follow another.
    InSession {
        /// Which.
        by: HospitalId,
    },
    /// A vault has the state that its session goes on from from another one.
    StateTaken {
        /// Which.
        by: HospitalId,
        /// The common model.
        model: ModelHash,
        /// `T_0` of the session.
        transcript: Transcript,
    },
    /// The coordinator says something to a hospital.
    Said {
        /// To whom.
        to: HospitalId,
        /// Whether it takes this hospital for connected.
        connected: bool,
        /// Whom the message itself names as its recipient, if it names one.
        meant_for: Option<HospitalId>,
    },
    /// The coordinator opens a round.
    HeaderOpened {
        /// hh.
        hash: HeaderHash,
        /// What it is.
        header: Box<RoundOpen>,
    },
    /// The coordinator asks for the answers that open a sum.
    Requested {
        /// hh.
        header: HeaderHash,
        /// U, each with its `D_i`.
        contributors: Vec<(HospitalId, ContributionDigest)>,
    },
    /// A vault takes a header for that of its round.
    HeaderAccepted {
        /// The hospital concerned.
        by: HospitalId,
        /// hh.
        header: HeaderHash,
    },
    /// A vault has made its contribution, or offers it again.
    Contributed {
        /// The hospital concerned.
        by: HospitalId,
        /// hh.
        header: HeaderHash,
        /// `D_i`.
        digest: ContributionDigest,
    },
    /// A vault acknowledges boxes.
    Acknowledged {
        /// The hospital concerned.
        by: HospitalId,
        /// hh.
        header: HeaderHash,
    },
    /// A vault answers for a set of contributors.
    Answered {
        /// The hospital concerned.
        by: HospitalId,
        /// hh.
        header: HeaderHash,
        /// uh.
        contributors: ContributorsHash,
    },
    /// A vault gets the result of a training.
    Trained {
        /// The hospital concerned.
        by: HospitalId,
        /// The model that it was trained from.
        model: ModelHash,
        /// Mean loss.
        loss: f64,
        /// Batches.
        batches: u32,
    },
    /// A hospital's process has ended, and another goes on from its disk.
    Restarted {
        /// The hospital concerned.
        by: HospitalId,
    },
    /// A vault has opened a sum.
    Opened {
        /// The hospital concerned.
        by: HospitalId,
        /// What it opened.
        opened: Box<OpenedRound>,
    },
    /// Somebody is said to have done wrong.
    Blamed {
        /// By whom, whom and for what.
        what: String,
    },
    /// A vault cannot go on.
    Stopped {
        /// The hospital concerned.
        by: HospitalId,
        /// The reason, for people.
        reason: String,
    },
    /// The coordinator has been told the time and wants to know it at once again.
    TimerSpins,
    /// The coordinator ends the run well.
    Completed {
        /// The model's hash.
        model: ModelHash,
        /// Hospitals that it has not heard of the last round from.
        missing: BTreeSet<HospitalId>,
    },
}
