//! What an accepted input has done, and the common reasons for which one is ignored.

use protocol::codec::Text;

/// What an input that is not an error has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reaction {
    /// What it is for.
    Handled,
    /// Nothing, for this reason.
    Ignored(&'static str),
}

/// A hospital's reason, as it may stand in a log: not at any length.
pub(super) fn readable(reason: &Text) -> String {
    let printed = reason.0.chars().filter(|sign| !sign.is_control());
    printed.take(MAX_REASON_CHARS).collect()
}

const MAX_REASON_CHARS: usize = 500;

/// A vault that is not sure what has arrived sends it again.
pub(super) const REPEATED: &str = "it repeats what is known";
/// The round was closed without this message.
pub(super) const OVERTAKEN: &str = "its round has its outcome already";
/// A header that was replaced, or is not known.
pub(super) const OTHER_ROUND: &str = "its round is not the one at hand";
/// U does not change any more.
pub(super) const FIXED: &str = "the contributors are fixed already";
/// Neither products nor keys serve a round any more.
pub(super) const NO_MORE_ROUNDS: &str = "no round follows";
/// Nothing is expected of anybody.
pub(super) const RUN_FAILED: &str = "the run has failed";
/// Another session has begun while this message was on its way.
pub(super) const FORMER_SESSION: &str = "it is of a session before this one";
/// A vault speaks of a state that it does not await.
pub(super) const GIVEN_NO_STATE: &str = "it awaits no state in this session";
