//! What the coordinator can check of a message of the set-up (PROTOCOL.md 3.2) before it holds or relays it: the signature, whose name
//! it is in, the session and the roster, and whom its lists name. As the fields of a message have fixed lengths, this fixes its length
//! too. What is sealed in it only vaults can read.

use std::collections::BTreeSet;

use crypto::sealed_sum::HospitalId;
use protocol::{
    digests::{RoundNumber, SessionId},
    identity::{Message, Signed},
    session::{Encapsulation, GroupKey, Join, Ready, SessionError, check_join},
};

use super::{MachineError, context::Context};

/// A Join.
pub(super) fn join<R>(
    context: &Context<R>,
    from: HospitalId,
    message: &Signed<Join>,
) -> Result<(), MachineError> {
    let body = check_join(message, &context.roster, &context.session);
    let own = body.and_then(|body| own(from, body.id.0));
    own.map_err(MachineError::session(from))
}

/// An Encapsulation, but for the Joins that it names.
pub(super) fn encapsulation<R>(
    context: &Context<R>,
    from: HospitalId,
    message: &Signed<Encapsulation>,
) -> Result<Encapsulation, MachineError> {
    let rejected = MachineError::session(from);
    let body = verify(context, from, message)?;
    own(from, body.from.0).map_err(&rejected)?;
    of_this_session(context, from, body.session).map_err(&rejected)?;
    if body.roster_hash != context.roster.hash() {
        return Err(rejected(SessionError::OtherRoster { id: from }));
    }
    let to = body.to.0;
    if to <= from || context.roster.member(to).is_none() {
        return Err(rejected(SessionError::Malformed(format!(
            "hospital {from} encapsulates for hospital {to}, which is not a member with a larger number"
        ))));
    }
    Ok(body)
}

/// The group key, which the hospital with the smallest number draws for all others. Before it is known who has joined, whether all are
/// named, and whose turn it is, is not looked at; nor below.
pub(super) fn group_key<R>(
    context: &Context<R>,
    from: HospitalId,
    message: &Signed<GroupKey>,
    joined: Option<&BTreeSet<HospitalId>>,
) -> Result<GroupKey, MachineError> {
    let rejected = MachineError::session(from);
    let body = verify(context, from, message)?;
    own(from, body.origin.0).map_err(&rejected)?;
    of_this_session(context, from, body.session).map_err(&rejected)?;
    if joined.is_some_and(|joined| joined.first() != Some(&from)) {
        return Err(rejected(SessionError::TooEarly {
            id: from,
            message: GroupKey::TYPE,
            missing: "it was its turn",
        }));
    }
    if (body.generation, body.first_round) != (GENERATION, FIRST_ROUND) {
        return Err(rejected(SessionError::Malformed(format!(
            "hospital {from} sent a group key of generation {} from round {} on, where there is one, generation {GENERATION} from round \
             {FIRST_ROUND} on",
            body.generation, body.first_round
        ))));
    }
    let recipients = body.sealed.iter().map(|sealed| sealed.to.0);
    names_others_once(context, from, recipients, joined, GroupKey::TYPE).map_err(rejected)?;
    Ok(body)
}

/// A Ready, but for what it says of the Joins, the group key and the Encapsulations.
pub(super) fn ready<R>(
    context: &Context<R>,
    from: HospitalId,
    message: &Signed<Ready>,
    joined: Option<&BTreeSet<HospitalId>>,
) -> Result<Ready, MachineError> {
    let rejected = MachineError::session(from);
    let body = verify(context, from, message)?;
    own(from, body.id.0).map_err(&rejected)?;
    of_this_session(context, from, body.session).map_err(&rejected)?;
    if body.state.is_some() && context.beginning.after.is_none() {
        return Err(rejected(SessionError::Malformed(format!(
            "hospital {from} brings something of the run into its first session"
        ))));
    }
    let peers = body.encapsulations.iter().map(|seen| seen.peer.0);
    names_others_once(context, from, peers, joined, Ready::TYPE).map_err(rejected)?;
    Ok(body)
}

fn verify<T: Message, R>(
    context: &Context<R>,
    from: HospitalId,
    message: &Signed<T>,
) -> Result<T, MachineError> {
    let key = &context.member(from)?.signing_key;
    let body = message.verify(key, format_args!("hospital {from}"));
    body.map_err(|error| MachineError::session(from)(SessionError::Malformed(error.to_string())))
}

/// A hospital speaks for itself only.
fn own(from: HospitalId, named: HospitalId) -> Result<(), SessionError> {
    if named == from {
        Ok(())
    } else {
        Err(SessionError::Malformed(format!(
            "hospital {from} speaks for hospital {named}"
        )))
    }
}

fn of_this_session<R>(
    context: &Context<R>,
    from: HospitalId,
    session: SessionId,
) -> Result<(), SessionError> {
    if session == context.session {
        Ok(())
    } else {
        Err(SessionError::OtherSession { id: from })
    }
}

/// Each other hospital that has joined once; before it is known who has, members of the roster.
fn names_others_once<R>(
    context: &Context<R>,
    from: HospitalId,
    named: impl ExactSizeIterator<Item = HospitalId>,
    joined: Option<&BTreeSet<HospitalId>>,
    message: &str,
) -> Result<(), SessionError> {
    let count = named.len();
    let named: BTreeSet<_> = named.collect();
    let others: BTreeSet<_> = match joined {
        Some(joined) => joined.iter().copied().filter(|&id| id != from).collect(),
        None => {
            let members = context.roster.members().map(|member| member.id);
            members.filter(|&id| id != from).collect()
        }
    };
    let names_them = match joined {
        Some(_) => named == others,
        None => named.is_subset(&others),
    };
    if count == named.len() && names_them {
        return Ok(());
    }
    Err(SessionError::Malformed(format!(
        "the {message} of hospital {from} does not name each of the {} other hospitals once",
        others.len()
    )))
}

/// There is one group key in a session.
const GENERATION: u32 = 1;

/// It serves all rounds.
const FIRST_ROUND: RoundNumber = RoundNumber::new(1);
