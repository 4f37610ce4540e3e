//! What goes wrong in a run, as a list that a seed makes and that can be printed, shortened and played again.

use rand_chacha::{ChaCha20Rng, rand_core::Rng};

use crate::kept_upload::Damage;

/// One thing that goes wrong. `at` counts what has happened in the run, heartbeats and mere passing of time apart; an operation whose
/// time does not come because the run waits takes effect then.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "the fields are the hospital, the moment, and the measure that their names say"
)]
pub enum Operation {
    /// The hospital's connection is lost. Its two ends notice at different times; the hospital dials again.
    Cut { hospital: u8, at: u64 },
    /// These hospitals lose their connections and cannot dial for a while.
    Partition {
        hospitals: Vec<u8>,
        at: u64,
        for_ms: u64,
    },
    /// Nothing arrives on the hospital's connection for a while, in either direction, and then everything does.
    Stall { hospital: u8, at: u64, for_ms: u64 },
    /// The hospital sends no heartbeats for a while.
    Silence { hospital: u8, at: u64, for_ms: u64 },
    /// The connection is lost when so much of the hospital's next upload has arrived.
    CutUpload {
        hospital: u8,
        at: u64,
        permille: u64,
    },
    /// The connection is lost when so much of the hospital's next download has arrived.
    CutDownload {
        hospital: u8,
        at: u64,
        permille: u64,
    },
    /// The hospital sends again the message that it sent so many messages ago.
    RepeatToCoordinator { hospital: u8, at: u64, back: u64 },
    /// The coordinator sends again what it sent to the hospital so many messages ago.
    RepeatToVault { hospital: u8, at: u64, back: u64 },
    /// The hospital offers its last contribution again.
    RepeatUpload { hospital: u8, at: u64 },
    /// The next training of the hospital comes to no number.
    Diverge { hospital: u8, at: u64 },
    /// The next training of the hospital takes so much longer.
    SlowTraining { hospital: u8, at: u64, for_ms: u64 },
    /// Somebody who is not of the federation connects and speaks.
    Stranger { number: u8, at: u64 },
    /// From then on the coordinator cannot read an upload of the hospital a second time.
    DamageUploads {
        hospital: u8,
        at: u64,
        damage: Damage,
    },
    /// The hospital's participant stands still after so many effects, and goes on with its memory.
    SuspendHospital {
        hospital: u8,
        after_effect: u32,
        for_ms: u64,
        loses_connection: bool,
    },
    /// The coordinator stands still after so many effects, and goes on with its memory.
    SuspendCoordinator {
        after_effect: u32,
        for_ms: u64,
        loses_connections: bool,
    },
    /// The hospital's participant ends after so many effects; after a while another process goes on from what is on disk.
    RestartHospital {
        hospital: u8,
        after_effect: u32,
        for_ms: u64,
    },
    /// The hospital's participant ends in the midst of something, before its next write after so many; after a while another process
    /// goes on from what is on disk.
    RestartAtWrite {
        hospital: u8,
        after_write: u64,
        for_ms: u64,
    },
    /// The coordinator's process ends after so many effects; after a while another goes on from what is on disk.
    RestartCoordinator { after_effect: u32, for_ms: u64 },
    /// The hospital's participant ends after so many effects; after a while another process begins without anything on disk.
    LoseState {
        hospital: u8,
        after_effect: u32,
        for_ms: u64,
    },
    /// The hospital's participant ends after so many effects, for good.
    Crash { hospital: u8, after_effect: u32 },
}

/// How large a run is, for operations that fall into it.
#[derive(Clone, Copy)]
pub(crate) struct Extent {
    pub(crate) size: u8,
    pub(crate) sums: u64,
    pub(crate) silence_ms: u64,
}

impl Extent {
    /// About what happens in the run.
    fn happenings(self) -> u64 {
        let size = u64::from(self.size);
        4 * size * size + self.sums * size * (2 * size + 11)
    }

    /// About what one hospital does in it.
    fn effects(self) -> u64 {
        2 * u64::from(self.size) + self.sums * (u64::from(self.size) + 9)
    }

    /// About how often one hospital writes in it.
    fn writes(self) -> u64 {
        1 + self.sums * (u64::from(self.size) + 5)
    }
}

impl Operation {
    /// When it takes effect; none if something that its party does decides that.
    pub(crate) fn at(&self) -> Option<u64> {
        match self {
            Self::Cut { at, .. }
            | Self::Partition { at, .. }
            | Self::Stall { at, .. }
            | Self::Silence { at, .. }
            | Self::CutUpload { at, .. }
            | Self::CutDownload { at, .. }
            | Self::RepeatToCoordinator { at, .. }
            | Self::RepeatToVault { at, .. }
            | Self::RepeatUpload { at, .. }
            | Self::Diverge { at, .. }
            | Self::SlowTraining { at, .. }
            | Self::Stranger { at, .. }
            | Self::DamageUploads { at, .. } => Some(*at),
            Self::SuspendHospital { .. }
            | Self::SuspendCoordinator { .. }
            | Self::RestartHospital { .. }
            | Self::RestartAtWrite { .. }
            | Self::RestartCoordinator { .. }
            | Self::LoseState { .. }
            | Self::Crash { .. } => None,
        }
    }

    /// Any operation but a crash, of which a run bears few.
    pub(crate) fn draw(draw: &mut Draw, extent: Extent) -> Self {
        let hospital = draw.from(1, u64::from(extent.size)) as u8;
        let at = draw.below(extent.happenings());
        let for_ms = draw.below(2 * extent.silence_ms);
        let permille = draw.below(1000);
        let back = draw.below(30);
        match draw.below(37) {
            0..=3 => Self::Cut { hospital, at },
            4..=5 => {
                let hospitals = (1..=extent.size).filter(|_| draw.below(2) == 0).collect();
                Self::Partition {
                    hospitals,
                    at,
                    for_ms,
                }
            }
            6..=7 => Self::Stall {
                hospital,
                at,
                for_ms,
            },
            8 => Self::Silence {
                hospital,
                at,
                for_ms,
            },
            9..=11 => Self::CutUpload {
                hospital,
                at,
                permille,
            },
            12..=13 => Self::CutDownload {
                hospital,
                at,
                permille,
            },
            14..=16 => Self::RepeatToCoordinator { hospital, at, back },
            17..=19 => Self::RepeatToVault { hospital, at, back },
            20 => Self::RepeatUpload { hospital, at },
            21 => Self::Diverge { hospital, at },
            22 => Self::SlowTraining {
                hospital,
                at,
                for_ms,
            },
            23 => Self::Stranger {
                number: extent.size + 1 + draw.below(20) as u8,
                at,
            },
            24..=26 => Self::SuspendHospital {
                hospital,
                after_effect: draw.below(extent.effects()) as u32,
                for_ms,
                loses_connection: draw.below(2) == 0,
            },
            31..=33 => Self::RestartHospital {
                hospital,
                after_effect: draw.below(extent.effects()) as u32,
                for_ms,
            },
            34..=36 => Self::RestartAtWrite {
                hospital,
                after_write: draw.below(extent.writes()),
                for_ms,
            },
            27..=29 => Self::RestartCoordinator {
                after_effect: draw.below(extent.effects() * u64::from(extent.size)) as u32,
                for_ms,
            },
            _ => Self::SuspendCoordinator {
                after_effect: draw.below(extent.effects() * u64::from(extent.size)) as u32,
                for_ms,
                loses_connections: draw.below(2) == 0,
            },
        }
    }

    /// Of one hospital: what more could be lost at a time a run does not bear.
    pub(crate) fn draw_loss(draw: &mut Draw, extent: Extent) -> Self {
        Self::LoseState {
            hospital: draw.from(1, u64::from(extent.size)) as u8,
            after_effect: draw.below(extent.effects()) as u32,
            for_ms: draw.below(2 * extent.silence_ms),
        }
    }

    /// It shows only where a contribution is left out of its sum.
    pub(crate) fn draw_damage(draw: &mut Draw, extent: Extent) -> Self {
        Self::DamageUploads {
            hospital: draw.from(1, u64::from(extent.size)) as u8,
            at: draw.below(extent.happenings()),
            damage: draw.one_of(&[Damage::Gone, Damage::Altered]),
        }
    }

    /// Hospitals that come after the others.
    pub(crate) fn draw_late(draw: &mut Draw, extent: Extent, start_with: u32) -> Self {
        let count = u64::from(extent.size) - u64::from(start_with);
        let first = draw.from(1, u64::from(extent.size) - count) as u8;
        Self::Partition {
            hospitals: (first..).take(count as usize).collect(),
            at: 0,
            for_ms: draw.below(3 * extent.silence_ms),
        }
    }

    pub(crate) fn draw_crash(draw: &mut Draw, extent: Extent) -> Self {
        Self::Crash {
            hospital: draw.from(1, u64::from(extent.size)) as u8,
            after_effect: draw.below(extent.effects()) as u32,
        }
    }
}

/// Numbers that follow from a seed.
pub(crate) struct Draw(pub(crate) ChaCha20Rng);

impl Draw {
    /// From 0 to `bound`, without it.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0.next_u64() % bound.max(1)
    }

    /// From `first` to `last`, both included.
    pub(crate) fn from(&mut self, first: u64, last: u64) -> u64 {
        first + self.below(last - first + 1)
    }

    /// One of these.
    pub(crate) fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }

    pub(crate) fn bytes(&mut self) -> [u8; 32] {
        let mut bytes = [0; 32];
        self.0.fill_bytes(&mut bytes);
        bytes
    }
}
