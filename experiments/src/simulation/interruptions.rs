//! Plays the planned drops: a hospital's socket falls silent, and stays so until the round has closed.

use std::{
    future::Future,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use participant::interruption::{Interruptions, Moment};
use protocol::digests::LearningRound;
use tokio::sync::watch;
use transport::{
    TransportError,
    faults::{AsyncUdpSocket, Silenceable, Silencer},
};

use super::fault_plan::PlannedDrop;

/// The drops of one hospital.
pub struct PlannedInterruptions {
    state: Mutex<State>,
    /// The last learning round whose update is out.
    closed: watch::Receiver<u32>,
}

struct State {
    /// Those that are still to come.
    drops: Vec<PlannedDrop>,
    /// Cuts the present socket off.
    silencer: Option<Silencer>,
    /// The learning round in which the hospital vanished, until it returns.
    vanished_in: Option<u32>,
}

impl PlannedInterruptions {
    /// For one hospital; `closed` tells the last learning round whose update is out.
    pub fn new(drops: Vec<PlannedDrop>, closed: watch::Receiver<u32>) -> Self {
        Self {
            state: Mutex::new(State {
                drops,
                silencer: None,
                vanished_in: None,
            }),
            closed,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Interruptions for PlannedInterruptions {
    fn socket(&self) -> Result<Option<Arc<dyn AsyncUdpSocket>>, TransportError> {
        let (socket, silencer) = Silenceable::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let mut state = self.state();
        state.silencer = Some(silencer);
        state.vanished_in = None;
        Ok(Some(socket))
    }

    fn interrupts(&self, moment: Moment, learning_round: LearningRound) -> bool {
        let learning_round = learning_round.get();
        let mut state = self.state();
        let Some(place) = state
            .drops
            .iter()
            .position(|drop| (drop.moment, drop.round) == (moment, learning_round))
        else {
            return false;
        };
        // Once: a hospital that is back in a round that had to be repeated stays.
        state.drops.remove(place);
        state.vanished_in = Some(learning_round);
        if let Some(silencer) = &state.silencer {
            silencer.silence();
        }
        true
    }

    fn is_cut_off(&self) -> bool {
        self.state().vanished_in.is_some()
    }

    fn returned(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        let vanished_in = self.state().vanished_in;
        Box::pin(async move {
            if let Some(round) = vanished_in {
                // An end of the run, well or not, drops the sender: then there is nothing to wait for either.
                let _ = self
                    .closed
                    .clone()
                    .wait_for(|closed| *closed >= round)
                    .await;
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_hospital_vanishes_once_and_returns_when_its_round_has_closed() {
        let (close, closed) = watch::channel(0);
        let interruptions =
            PlannedInterruptions::new(vec!["2@mid-upload:3".parse().expect("a drop")], closed);
        assert!(interruptions.socket().expect("a socket").is_some());
        assert!(!interruptions.interrupts(Moment::MidUpload, LearningRound::new(2)));
        assert!(!interruptions.interrupts(Moment::AfterUpload, LearningRound::new(3)));
        assert!(!interruptions.is_cut_off());
        assert!(interruptions.interrupts(Moment::MidUpload, LearningRound::new(3)));
        assert!(interruptions.is_cut_off());
        close.send(2).expect("listened to");
        let early = tokio::time::timeout(
            std::time::Duration::from_millis(20),
            interruptions.returned(),
        )
        .await;
        assert!(early.is_err());
        close.send(3).expect("listened to");
        interruptions.returned().await;
        assert!(interruptions.socket().expect("a socket").is_some());
        assert!(!interruptions.is_cut_off());
        assert!(!interruptions.interrupts(Moment::MidUpload, LearningRound::new(3)));
    }
}
