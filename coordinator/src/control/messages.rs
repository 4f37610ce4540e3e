//! What is asked and answered.

use serde::{Deserialize, Serialize};

/// One question or order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// Where the run stands.
    Status,
    /// The run is to go on without this hospital, until the coordinator is started again.
    Without {
        /// Its number.
        hospital: u8,
    },
    /// A coordinator without a run is to begin this one.
    Start {
        /// The text of the file that `coordinator run sign` has written.
        file: String,
    },
    /// The run that is under way is to open no further sum, until it is to resume or this process is started again.
    Pause {
        /// H of its manifest, in hexadecimal, or the beginning of it.
        run: String,
    },
    /// The run that is paused is to go on.
    Resume {
        /// As for [`Request::Pause`].
        run: String,
    },
    /// The run that is under way is to end, for all.
    Stop {
        /// As for [`Request::Pause`].
        run: String,
        /// Not at once but after the round at hand, and well. Left out where it is not so: releases before 0.2 know no such field.
        #[serde(default, skip_serializing_if = "is_false")]
        keep_best: bool,
    },
}

/// The answer to one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub enum Answer {
    /// To [`Request::Status`].
    Status(Box<Status>),
    /// To [`Request::Status`]: no run is under way.
    Idle {
        /// Numbers of the hospitals that are connected and wait for one.
        #[serde(default)]
        waiting: Vec<u8>,
    },
    /// It is done.
    Done,
    /// It cannot be done.
    Refused {
        /// Why, and what to do.
        reason: String,
    },
}

impl From<Result<(), String>> for Answer {
    fn from(done: Result<(), String>) -> Self {
        match done {
            Ok(()) => Self::Done,
            Err(reason) => Self::Refused { reason },
        }
    }
}

/// Where a run stands, for people and scripts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Of this form.
    pub schema: u32,
    /// The name of the run.
    pub name: String,
    /// H of its manifest, in hexadecimal.
    pub run: String,
    /// Learning rounds of the run: of the manifest, or fewer if its operator ends it before.
    pub rounds: u32,
    /// The present phase, in the words of the log.
    pub phase: String,
    /// The number of the last sum that was opened for contributions, of any purpose; none before the first.
    pub sum: Option<u32>,
    /// The learning round of the sum that comes next or is at hand; none once all are done.
    pub learning_round: Option<u32>,
    /// How long the present phase has lasted.
    pub phase_secs: u64,
    /// How much longer it waits at the most, if there is a limit.
    pub ends_in_secs: Option<u64>,
    /// Whether the run stands still, because something cannot be written.
    pub stands_still: bool,
    /// Whether the operator has paused it.
    #[serde(default)]
    pub paused: bool,
    /// Every hospital of the roster.
    pub hospitals: Vec<HospitalStatus>,
}

/// A hospital in a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HospitalStatus {
    /// Its number.
    pub hospital: u8,
    /// Its name on the roster.
    pub name: String,
    /// Where it is connected from, if it is.
    pub address: Option<String>,
    /// What the run waits for it to do, in one word, or "not-connected", "away", "silent"; none if it is not waited for.
    pub waited_for: Option<String>,
    /// How long ago it was heard, if it is waited for.
    pub last_heard_secs: Option<u64>,
    /// Message bytes from it, over all connections of this process.
    pub bytes_up: u64,
    /// The same to it.
    pub bytes_down: u64,
}

fn is_false(value: &bool) -> bool {
    !value
}

impl Status {
    /// The form that this release writes.
    pub const SCHEMA: u32 = 1;
}
