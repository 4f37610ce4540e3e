//! Which run and round this hospital is in, for whoever writes a line of the log. Clones share it.
//!
//! Known from what the coordinator says, before the vault has looked at it: one that lies puts lines of this log under another run.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use host::spans;
use protocol::{
    HospitalId,
    digests::{RoundNumber, RunId},
    manifest::Purpose,
    message::ToVault,
};
use tracing::Span;

use crate::vault::VaultEvent;

/// The spans at hand.
#[derive(Clone)]
pub struct RunSpans {
    hospital: HospitalId,
    within: Arc<Mutex<Within>>,
}

/// What a line of the log is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// The run, or nothing in particular.
    Run,
    /// The last round which was opened.
    RoundAtHand,
    /// This one.
    Round(RoundNumber),
}

struct Within {
    run: Option<RunId>,
    of_run: Span,
    round: Option<(RoundNumber, Purpose)>,
    of_round: Span,
}

impl RunSpans {
    /// In no run yet.
    pub fn new(hospital: HospitalId) -> Self {
        let within = Within {
            run: None,
            of_run: Span::none(),
            round: None,
            of_round: Span::none(),
        };
        Self {
            hospital,
            within: Arc::new(Mutex::new(within)),
        }
    }

    /// That of the run; none before there is one.
    pub fn of_run(&self) -> Span {
        self.lock().of_run.clone()
    }

    /// That of the last round which was opened, or else that of the run.
    pub fn of_round(&self) -> Span {
        self.of(About::RoundAtHand)
    }

    /// What a line is about: the round that it names, if that is the one at hand, or else the run.
    pub fn of(&self, about: About) -> Span {
        let within = self.lock();
        match (about, within.round) {
            (About::RoundAtHand, Some(_)) => within.of_round.clone(),
            (About::Round(named), Some((round, _))) if round == named => within.of_round.clone(),
            _ => within.of_run.clone(),
        }
    }

    /// The vault has gone on in a run before the coordinator has said anything.
    pub(crate) fn see(&self, event: &VaultEvent) {
        if let VaultEvent::Resumed(run) = event {
            self.begin(run.run);
        }
    }

    /// The coordinator has said something.
    pub(crate) fn hear(&self, message: &ToVault) {
        match message {
            ToVault::Welcome(welcome) => self.begin(welcome.manifest.digest()),
            ToVault::RoundOpen(header) => {
                if let Ok(header) = header.read_unverified() {
                    self.open(header.round, header.purpose);
                }
            }
            _ => {}
        }
    }

    /// A header is repeated on a new connection: its round is the same, and so is its span.
    fn open(&self, round: RoundNumber, purpose: Purpose) {
        let mut within = self.lock();
        if within.round != Some((round, purpose)) {
            within.round = Some((round, purpose));
            within.of_round = spans::round(&within.of_run, round, purpose);
        }
    }

    fn begin(&self, run: RunId) {
        let mut within = self.lock();
        if within.run != Some(run) {
            *within = Within {
                run: Some(run),
                of_run: spans::run_at(self.hospital, &run),
                round: None,
                of_round: Span::none(),
            };
        }
    }

    fn lock(&self) -> MutexGuard<'_, Within> {
        // Plain values: nothing in them is half done.
        self.within.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::registry;

    use super::*;

    #[test]
    fn a_run_that_is_welcomed_again_keeps_its_span_and_another_one_begins_without_a_round() {
        tracing::subscriber::with_default(registry(), || {
            let spans = RunSpans::new(HospitalId::new(2).expect("in range"));
            assert!(spans.of_round().is_none());
            let (first, second) = (RunId::from([1; 32]), RunId::from([2; 32]));
            spans.begin(first);
            let run = spans.of_run();
            assert_eq!(spans.of_round(), run);
            spans.open(RoundNumber::new(1), Purpose::Stats);
            let round = spans.of_round();
            assert_ne!(round, run);
            spans.begin(first);
            spans.open(RoundNumber::new(1), Purpose::Stats);
            assert_eq!(
                (spans.of_run(), spans.of_round()),
                (run.clone(), round.clone())
            );
            let of_sealed = |number| spans.of(About::Round(RoundNumber::new(number)));
            assert_eq!(of_sealed(1), round);
            spans.open(RoundNumber::new(2), Purpose::Update);
            assert_ne!(spans.of_round(), round);
            // Of a round that is over: the run is what both have in common.
            assert_eq!(of_sealed(1), run);
            spans.begin(second);
            assert_ne!(spans.of_run(), run);
            assert_eq!(spans.of_round(), spans.of_run());
        });
    }
}
