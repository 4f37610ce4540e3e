//! How long things take: nothing at all, or drawn from a seed.

use rand_chacha::{
    ChaCha20Rng,
    rand_core::{Rng, SeedableRng},
};

/// How much time passes between a cause and its effect.
pub(crate) enum Timing {
    /// None: only `Cohort::wait` moves the clock. Nobody needs a heartbeat.
    Immediate,
    /// Drawn anew for every message, transfer and training.
    Drawn(Box<ChaCha20Rng>),
}

impl Timing {
    pub(crate) fn drawn(seed: u64) -> Self {
        let mut bytes = [0x71; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        Self::Drawn(Box::new(ChaCha20Rng::from_seed(bytes)))
    }

    /// Milliseconds of a control frame or of a request.
    pub(crate) fn latency(&mut self) -> u64 {
        // Mostly a network of hospitals, now and then a packet that had to be sent again.
        if self.draw(0, 9) == 9 {
            self.draw(100, 900)
        } else {
            self.draw(5, 80)
        }
    }

    /// Milliseconds of a transfer of so many bytes.
    pub(crate) fn transfer(&mut self, bytes: usize) -> u64 {
        self.draw(20, 400) + self.draw(0, bytes as u64 / 100)
    }

    /// Milliseconds of local training.
    pub(crate) fn training(&mut self) -> u64 {
        self.draw(100, 4_000)
    }

    /// Milliseconds of an evaluation.
    pub(crate) fn evaluation(&mut self) -> u64 {
        self.draw(20, 800)
    }

    /// Milliseconds between two heartbeats: those of the participant.
    pub(crate) fn heartbeat(&self) -> Option<u64> {
        match self {
            Self::Immediate => None,
            Self::Drawn(_) => Some(2_000),
        }
    }

    /// Milliseconds until a participant dials again.
    pub(crate) fn before_dialling_again(&mut self) -> u64 {
        self.draw(300, 1_000)
    }

    fn draw(&mut self, from: u64, to: u64) -> u64 {
        match self {
            Self::Immediate => 0,
            Self::Drawn(rng) => from + rng.next_u64() % (to - from + 1),
        }
    }
}
