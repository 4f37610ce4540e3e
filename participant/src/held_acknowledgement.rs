//! An acknowledgement that waits a moment for the next one, which says all that it says.
//!
//! In a round of n hospitals a vault gets n boxes, one after another, and acknowledges all that it has each time. A coordinator that heard
//! each of these messages would have n^2 signatures to check, over n^3 answers.

use std::{future::pending, time::Duration};

use protocol::{digests::HeaderHash, message::ToCoordinator};
use tokio::time::Instant;

/// Of one connection.
pub(crate) struct HeldAcknowledgement {
    /// So many boxes there can be.
    hospitals: usize,
    held: Option<Held>,
    /// What the last one says, whether it was sent or is held.
    said: Option<Said>,
}

/// Of an acknowledgement: what has been said of a header once stays in all that follow, so this tells one from another.
#[derive(Clone, Copy, PartialEq)]
struct Said {
    header: HeaderHash,
    boxes: usize,
    /// The hospital's own contribution is among them.
    own: bool,
}

struct Held {
    message: ToCoordinator,
    until: Instant,
}

impl HeldAcknowledgement {
    pub(crate) fn new(hospitals: usize) -> Self {
        Self {
            hospitals,
            held: None,
            said: None,
        }
    }

    /// What is to be sent now: the message, unless it is an acknowledgement that others may follow, or one that says nothing new. That of
    /// the own contribution does not wait: a hospital that is lost right after its upload has said it.
    pub(crate) fn pass(&mut self, message: ToCoordinator) -> Option<ToCoordinator> {
        let ToCoordinator::BoxAck(ack) = &message else {
            return Some(message);
        };
        let Ok(ack) = ack.read_unverified() else {
            return Some(message);
        };
        let said = Said {
            header: ack.header,
            boxes: ack.answers.len(),
            own: ack
                .answers
                .iter()
                .any(|answer| answer.contributor == ack.id),
        };
        let before = self.said.replace(said);
        if before == Some(said) {
            return None;
        }
        let knows_own = before.is_some_and(|before| before.header == said.header && before.own);
        let earlier = self.held.take();
        if said.boxes >= self.hospitals || (said.own && !knows_own) {
            return Some(message);
        }
        let until = earlier.map_or_else(|| Instant::now() + MOMENT, |earlier| earlier.until);
        self.held = Some(Held { message, until });
        None
    }

    /// The one that is held, when its moment has passed; while there is none, for ever. Nothing is lost with a future that is dropped.
    pub(crate) async fn due(&mut self) -> ToCoordinator {
        loop {
            match self.held.take_if(|held| held.until <= Instant::now()) {
                Some(held) => return held.message,
                None => match &self.held {
                    Some(held) => tokio::time::sleep_until(held.until).await,
                    None => pending().await,
                },
            }
        }
    }
}

/// Uploads of many hospitals take longer than this, one after another, and a round takes minutes.
const MOMENT: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use crypto::sealed_sum::{DealerAnswer, HospitalId};
    use protocol::{
        digests::HeaderHash,
        identity::{Signed, SigningKey},
        round::contribution::BoxAck,
    };

    use super::*;

    /// Of hospital 4, for as many of the others as `boxes`, or of all four.
    fn acknowledgement(boxes: u8) -> ToCoordinator {
        acknowledgement_of(&Vec::from_iter(1..=boxes))
    }

    fn acknowledgement_of(contributors: &[u8]) -> ToCoordinator {
        let id = |number| HospitalId::new(number).expect("in range");
        let zero = || DealerAnswer::from_bytes(&[0; DealerAnswer::BYTES]).expect("below p");
        let answers = contributors.iter().map(|&from| (id(from), zero()));
        let answers: BTreeMap<_, _> = answers.collect();
        let ack = BoxAck::new(HeaderHash::from([7; 32]), id(4), &answers);
        let key = SigningKey::from_secret_bytes(&[1; 32]);
        ToCoordinator::BoxAck(Signed::sign(&ack, &key))
    }

    fn boxes(message: &ToCoordinator) -> usize {
        match message {
            ToCoordinator::BoxAck(ack) => ack.read_unverified().expect("ours").answers.len(),
            _ => panic!("another message"),
        }
    }

    #[tokio::test]
    async fn of_those_of_a_moment_the_last_is_sent_and_one_of_all_boxes_at_once() {
        let mut held = HeldAcknowledgement::new(4);
        let until = |held: &HeldAcknowledgement| held.held.as_ref().expect("one is held").until;
        assert!(held.pass(acknowledgement(1)).is_none());
        let of_first = until(&held);
        tokio::time::sleep(MOMENT / 10).await;
        assert!(held.pass(acknowledgement(3)).is_none());
        assert_eq!(until(&held), of_first, "nothing waits longer for the next");
        assert_eq!(boxes(&held.due().await), 3);
        assert!(Instant::now() >= of_first);

        let whole = held.pass(acknowledgement(4)).expect("nothing can follow");
        assert_eq!(boxes(&whole), 4);
        let nothing = tokio::time::timeout(2 * MOMENT, held.due()).await;
        assert!(nothing.is_err(), "what it replaces is not sent");
        assert!(held.pass(acknowledgement(4)).is_none(), "it was said");
    }

    #[tokio::test]
    async fn the_first_with_the_own_contribution_does_not_wait() {
        let mut held = HeldAcknowledgement::new(4);
        assert!(held.pass(acknowledgement_of(&[1])).is_none());
        let own = held.pass(acknowledgement_of(&[1, 4]));
        assert_eq!(own.as_ref().map(boxes), Some(2));
        assert!(held.pass(acknowledgement_of(&[1, 2, 4])).is_none());
        assert_eq!(boxes(&held.due().await), 3);
    }

    #[tokio::test]
    async fn nothing_else_waits_and_nothing_is_lost_when_something_else_happens() {
        let mut held = HeldAcknowledgement::new(4);
        assert!(held.pass(acknowledgement(2)).is_none());
        let heartbeat = held.pass(ToCoordinator::Heartbeat);
        assert!(matches!(heartbeat, Some(ToCoordinator::Heartbeat)));
        let dropped = tokio::time::timeout(Duration::ZERO, held.due()).await;
        assert!(dropped.is_err());
        assert_eq!(boxes(&held.due().await), 2);
    }
}
