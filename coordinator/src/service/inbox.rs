//! What the owner has yet to handle: the queue that the link tasks feed, and what was taken from it while the run stood still.
//!
//! While nothing can be handled the queue must not fill up with signs of life: a link that cannot hand over its messages would slow
//! its hospital down. So it is emptied all the same, and what matters later is held, in its order.

use std::collections::VecDeque;

use protocol::message::ToCoordinator;
use tokio::sync::mpsc;

use super::inputs::Input;

pub(super) struct Inbox {
    queue: mpsc::Receiver<Input>,
    /// Taken from the queue and not handled.
    held: VecDeque<Input>,
}

impl Inbox {
    pub(super) fn new(queue: mpsc::Receiver<Input>) -> Self {
        Self {
            queue,
            held: VecDeque::new(),
        }
    }

    /// How many inputs are there to be handled.
    pub(super) fn len(&self) -> usize {
        self.held.len() + self.queue.len()
    }

    /// The next input; none when nobody is left who could say anything. Cancel-safe.
    pub(super) async fn next(&mut self) -> Option<Input> {
        match self.held.pop_front() {
            Some(input) => Some(input),
            None => self.queue.recv().await,
        }
    }

    /// The next input that is there already.
    pub(super) fn try_next(&mut self) -> Option<Input> {
        let held = self.held.pop_front();
        held.or_else(|| self.queue.try_recv().ok())
    }

    /// Takes in what comes while nothing can be handled, and ends only when nobody is left who could say anything. Once so much is
    /// held that memory counts, the rest waits in the queue. Cancel-safe.
    pub(super) async fn hold(&mut self) {
        while self.held.len() < MAX_HELD {
            match self.queue.recv().await {
                Some(input) if matters_later(&input) => self.held.push_back(input),
                Some(_) => {}
                None => return,
            }
        }
        std::future::pending().await
    }
}

/// Signs of life come again, and a refusal is only for the records, which cannot be written now.
fn matters_later(input: &Input) -> bool {
    match input {
        Input::Message { message, .. } => !matches!(**message, ToCoordinator::Heartbeat),
        Input::Progress { .. } | Input::TurnedAway { .. } => false,
        Input::Connected { .. }
        | Input::OfferUpload { .. }
        | Input::Upload { .. }
        | Input::Disconnected { .. } => true,
    }
}

/// In an hour of a standstill each of ten hospitals may lose its connection sixty times.
const MAX_HELD: usize = 2048;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crypto::sealed_sum::HospitalId;
    use protocol::message::Hello;
    use tokio::time::timeout;

    use super::*;
    use crate::service::inputs::LinkNumber;

    fn says(message: ToCoordinator) -> Input {
        Input::Message {
            hospital: HospitalId::new(1).expect("in range"),
            link: LinkNumber::default(),
            message: Box::new(message),
        }
    }

    fn asks(bytes: u64) -> Input {
        Input::OfferUpload {
            hospital: HospitalId::new(1).expect("in range"),
            bytes,
            answer: tokio::sync::oneshot::channel().0,
        }
    }

    #[tokio::test]
    async fn in_a_standstill_signs_of_life_are_dropped_and_the_rest_is_held_in_order() {
        let (inputs, queue) = mpsc::channel(2);
        let mut inbox = Inbox::new(queue);
        let feed = async {
            for place in 0..100 {
                for _ in 0..9 {
                    let sent = inputs.send(says(ToCoordinator::Heartbeat)).await;
                    sent.expect("the inbox is there");
                }
                inputs.send(asks(place)).await.expect("the inbox is there");
            }
            while inputs.capacity() < inputs.max_capacity() {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            () = inbox.hold() => panic!("the senders are there"),
            () = feed => {}
        }
        for expected in 0..100 {
            match inbox.try_next() {
                Some(Input::OfferUpload { bytes, .. }) => assert_eq!(bytes, expected),
                _ => panic!("offer {expected} is lost"),
            }
        }
        assert_eq!(inbox.len(), 0);
    }

    #[tokio::test]
    async fn what_is_held_is_bounded_and_comes_before_the_queue() {
        let (inputs, queue) = mpsc::channel(2);
        let mut inbox = Inbox::new(queue);
        let feed = async {
            for _ in 0..MAX_HELD {
                let hello = ToCoordinator::Hello(Hello { resume: None });
                inputs.send(says(hello)).await.expect("the inbox is there");
            }
            for bytes in 0.. {
                inputs.send(asks(bytes)).await.expect("the inbox is there");
            }
        };
        let both = async {
            tokio::join!(inbox.hold(), feed);
        };
        assert!(timeout(Duration::from_millis(300), both).await.is_err());
        assert_eq!(inbox.held.len(), MAX_HELD);
        for _ in 0..MAX_HELD {
            assert!(matches!(inbox.next().await, Some(Input::Message { .. })));
        }
        assert!(matches!(
            inbox.next().await,
            Some(Input::OfferUpload { bytes: 0, .. })
        ));
    }
}
