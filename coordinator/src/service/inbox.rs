//! What the owner has yet to handle: the queue that the link tasks feed, and what was taken from it while the run stood still.
//!
//! While nothing can be handled the queue must not fill up with signs of life: a link that cannot hand over its messages would slow
//! its hospital down. So it is emptied all the same, and what matters later is held, in its order.
//!
//! Where there is no room, the tasks of two connections of one hospital wait side by side: what an old one has to say may come after the
//! new one. It is dropped then.

use std::collections::{BTreeMap, VecDeque};

use crypto::sealed_sum::HospitalId;
use protocol::message::ToCoordinator;
use tokio::sync::mpsc;

use super::inputs::{Input, LinkNumber};
use crate::control::Asked;

pub(super) struct Inbox {
    queue: mpsc::Receiver<Input>,
    /// Taken from the queue and not handled.
    held: VecDeque<Input>,
    /// Of each hospital, the last connection that was handed on.
    latest: BTreeMap<HospitalId, LinkNumber>,
}

impl Inbox {
    pub(super) fn new(queue: mpsc::Receiver<Input>) -> Self {
        Self {
            queue,
            held: VecDeque::new(),
            latest: BTreeMap::new(),
        }
    }

    /// How many inputs are there to be handled.
    pub(super) fn len(&self) -> usize {
        self.held.len() + self.queue.len()
    }

    /// The next input; none when nobody is left who could say anything. Cancel-safe.
    pub(super) async fn next(&mut self) -> Option<Input> {
        loop {
            let input = match self.held.pop_front() {
                Some(input) => input,
                None => self.queue.recv().await?,
            };
            if self.is_up_to_date(&input) {
                return Some(input);
            }
        }
    }

    /// The next input that is there already.
    pub(super) fn try_next(&mut self) -> Option<Input> {
        loop {
            let held = self.held.pop_front();
            let input = held.or_else(|| self.queue.try_recv().ok())?;
            if self.is_up_to_date(&input) {
                return Some(input);
            }
        }
    }

    /// Whether an input does not come from a connection that another one has followed: a hospital that is back says again what may not
    /// have arrived. Notes which connection is the last one.
    fn is_up_to_date(&mut self, input: &Input) -> bool {
        match input {
            Input::Connected { hospital, link, .. } => {
                let latest = self.latest.entry(*hospital).or_insert(*link);
                let is_newer = *link >= *latest;
                *latest = (*latest).max(*link);
                is_newer
            }
            Input::Message { hospital, link, .. } | Input::Disconnected { hospital, link, .. } => {
                self.latest.get(hospital) == Some(link)
            }
            // Their tasks end before the next connection is let in, and what they have handed over comes before it.
            Input::OfferUpload { .. } | Input::Progress { .. } | Input::Upload { .. } => true,
            Input::Operator { .. } | Input::TurnedAway { .. } => true,
        }
    }

    /// Takes in what comes while nothing can be handled, until the operator asks something, or with none when nobody is left who could
    /// say anything. Once so much is held that memory counts, the rest waits in the queue. Cancel-safe.
    pub(super) async fn hold(&mut self) -> Option<Asked> {
        while self.held.len() < MAX_HELD {
            match self.queue.recv().await? {
                Input::Operator { request, answer } => return Some((request, answer)),
                input if matters_later(&input) => {
                    if let Input::Connected { hospital, .. } = &input {
                        self.forget_words_of(*hospital);
                    }
                    self.held.push_back(input);
                }
                _ => {}
            }
        }
        std::future::pending().await
    }
}

impl Inbox {
    /// A hospital that is back says again what counts; what it said before must not take its room.
    fn forget_words_of(&mut self, back: HospitalId) {
        self.held
            .retain(|input| !matches!(input, Input::Message { hospital, .. } if *hospital == back));
    }
}

/// Signs of life come again, and a refusal is only for the records, which cannot be written now.
fn matters_later(input: &Input) -> bool {
    match input {
        Input::Message { message, .. } => !matches!(**message, ToCoordinator::Heartbeat),
        Input::Operator { .. } => false,
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

    use protocol::message::Hello;
    use tokio::time::timeout;
    use transport::{Disconnect, TrafficCounts};

    use super::*;
    use crate::service::{byte_budget::ByteBudget, inputs::Outbox};

    fn hospital() -> HospitalId {
        HospitalId::new(1).expect("in range")
    }

    fn connects(link: LinkNumber) -> Input {
        Input::Connected {
            hospital: hospital(),
            link,
            address: ([127, 0, 0, 1], 1).into(),
            outbox: Outbox::new().0,
        }
    }

    fn says_on(link: LinkNumber, message: ToCoordinator) -> Input {
        Input::Message {
            hospital: hospital(),
            link,
            message: Box::new(message),
            room: ByteBudget::new(1).reserve(1).expect("all is free"),
        }
    }

    fn says(message: ToCoordinator) -> Input {
        says_on(LinkNumber::default(), message)
    }

    fn is_gone(link: LinkNumber) -> Input {
        Input::Disconnected {
            hospital: hospital(),
            link,
            disconnect: Disconnect::ByUs,
            traffic: TrafficCounts::default(),
        }
    }

    fn asks(bytes: u64) -> Input {
        Input::OfferUpload {
            hospital: hospital(),
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
            _ = inbox.hold() => panic!("the senders are there"),
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
        inbox.latest.insert(hospital(), LinkNumber::default());
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

    #[tokio::test]
    async fn a_hospital_that_is_back_in_a_standstill_has_its_room_back() {
        let (inputs, queue) = mpsc::channel(8);
        let mut inbox = Inbox::new(queue);
        let budget = ByteBudget::new(5);
        let mut number = LinkNumber::default();
        let [first, second] = [(); 2].map(|()| number.take());
        inputs.send(connects(first)).await.expect("room");
        let mut message = says_on(first, ToCoordinator::Hello(Hello { resume: None }));
        if let Input::Message { room, .. } = &mut message {
            *room = budget.reserve(5).expect("all is free");
        }
        inputs.send(message).await.expect("room");
        inputs.send(is_gone(first)).await.expect("room");
        inputs.send(connects(second)).await.expect("room");
        let held = timeout(Duration::from_millis(300), inbox.hold()).await;
        assert!(held.is_err(), "the senders are there");
        assert!(budget.reserve(5).is_some());
        assert_eq!(inbox.len(), 3);
    }

    #[tokio::test]
    async fn what_comes_of_an_old_connection_after_the_new_one_changes_nothing() {
        let (inputs, queue) = mpsc::channel(16);
        let mut inbox = Inbox::new(queue);
        let mut number = LinkNumber::default();
        let [first, second, third] = [(); 3].map(|()| number.take());
        for input in [
            connects(first),
            says_on(first, ToCoordinator::Heartbeat),
            connects(third),
            // All of the second and the end of the first had to wait for room.
            connects(second),
            says_on(second, ToCoordinator::Heartbeat),
            is_gone(first),
            says_on(third, ToCoordinator::Heartbeat),
            is_gone(second),
            is_gone(third),
        ] {
            inputs.send(input).await.expect("the inbox is there");
        }
        drop(inputs);
        let mut seen = Vec::new();
        while let Some(input) = inbox.next().await {
            seen.push(match input {
                Input::Connected { link, .. } => (link, "connected"),
                Input::Message { link, .. } => (link, "message"),
                Input::Disconnected { link, .. } => (link, "disconnected"),
                _ => panic!("nothing else was said"),
            });
        }
        let expected = [
            (first, "connected"),
            (first, "message"),
            (third, "connected"),
            (third, "message"),
            (third, "disconnected"),
        ];
        assert_eq!(seen, expected);
    }
}
