//! Three scanners that show the same head differently.

use rand::{Rng, RngExt};
use rand_distr::StandardNormal;

use model_data::Contrast;

use super::tissue::{Field, Sequence, SignalTable, Tissue};

/// A scanner and the protocol it runs. Hospitals that own different ones see different pictures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScannerProfile {
    /// Name for reports.
    pub name: &'static str,
    field: Field,
    flair: Sequence,
    t1: Sequence,
    t2: Sequence,
    /// Share of the fat's signal that is suppressed, 0 to 1.
    fat_suppression: f32,
    /// Signal of white matter over the standard deviation of the noise in either channel.
    signal_to_noise: f32,
    /// Root mean square of the logarithm of the receive sensitivity over the head.
    pub(super) bias: f32,
    /// Arbitrary units that white matter comes out at.
    white_matter_units: f32,
}

impl ScannerProfile {
    /// Every scanner of the cohort; patient `index` lies in scanner `index % 3`.
    pub const ALL: [Self; 3] = [
        Self {
            name: "3 T, short echo",
            field: Field::ThreeTesla,
            flair: inversion_recovery(9000.0, 115.0, 2500.0),
            t1: spin_echo(650.0, 10.0),
            t2: spin_echo(5000.0, 100.0),
            fat_suppression: 0.85,
            signal_to_noise: 32.0,
            bias: 0.05,
            white_matter_units: 240.0,
        },
        Self {
            name: "1.5 T",
            field: Field::OneAndAHalfTesla,
            flair: inversion_recovery(9000.0, 105.0, 2400.0),
            t1: spin_echo(500.0, 12.0),
            t2: spin_echo(4500.0, 95.0),
            fat_suppression: 0.7,
            signal_to_noise: 24.0,
            bias: 0.03,
            white_matter_units: 75.0,
        },
        Self {
            name: "3 T, long echo",
            field: Field::ThreeTesla,
            flair: inversion_recovery(8000.0, 140.0, 2350.0),
            t1: spin_echo(600.0, 9.0),
            t2: spin_echo(6000.0, 110.0),
            fat_suppression: 0.78,
            signal_to_noise: 28.0,
            bias: 0.06,
            white_matter_units: 600.0,
        },
    ];

    /// Signals of all tissues in one contrast, before scaling.
    pub fn signals(&self, contrast: Contrast) -> SignalTable {
        let sequence = match contrast {
            Contrast::Flair => self.flair,
            Contrast::T1 => self.t1,
            Contrast::T2 => self.t2,
        };
        SignalTable::new(self.field, sequence, self.fat_suppression)
    }

    /// From signals to this scanner's units, with noise.
    pub(super) fn receiver(&self, table: &SignalTable) -> Receiver {
        Receiver {
            units_per_signal: self.white_matter_units / table.of(Tissue::WhiteMatter),
            noise_units: self.white_matter_units / self.signal_to_noise,
        }
    }
}

/// The last step of a scan: gain, and the noise of two channels of which the magnitude is kept.
pub(super) struct Receiver {
    units_per_signal: f32,
    noise_units: f32,
}

impl Receiver {
    /// Rician: normal noise in the real and the imaginary part, then the magnitude
    /// (Gudbjartsson and Patz 1995, Magn Reson Med 34:910).
    pub fn receive(&self, signal: f32, rng: &mut impl Rng) -> f32 {
        let mut noise = || self.noise_units * rng.sample::<f32, _>(StandardNormal);
        let (real, imaginary) = (signal * self.units_per_signal + noise(), noise());
        real.hypot(imaginary)
    }
}

const fn inversion_recovery(repetition_ms: f32, echo_ms: f32, inversion_ms: f32) -> Sequence {
    Sequence {
        repetition_ms,
        echo_ms,
        inversion_ms: Some(inversion_ms),
    }
}

const fn spin_echo(repetition_ms: f32, echo_ms: f32) -> Sequence {
    Sequence {
        repetition_ms,
        echo_ms,
        inversion_ms: None,
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::SeedableRng;

    use super::*;

    #[test]
    fn noise_without_signal_is_rayleigh_and_with_signal_is_normal() {
        let receiver = Receiver {
            units_per_signal: 100.0,
            noise_units: 5.0,
        };
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let mut mean = |signal: f32| {
            let received = (0..20_000).map(|_| receiver.receive(signal, &mut rng));
            received.sum::<f32>() / 20_000.0
        };
        let rayleigh = 5.0 * (std::f32::consts::PI / 2.0).sqrt();
        assert!((mean(0.0) - rayleigh).abs() < 0.1);
        assert!((mean(1.0) - 100.0).abs() < 0.3);
    }

    #[test]
    fn scanners_differ_in_every_contrast() {
        for contrast in [Contrast::Flair, Contrast::T1, Contrast::T2] {
            let ratios = ScannerProfile::ALL.map(|scanner| {
                let table = scanner.signals(contrast);
                table.of(Tissue::GreyMatter) / table.of(Tissue::WhiteMatter)
            });
            for (a, b) in [(0, 1), (0, 2), (1, 2)] {
                assert!(
                    (ratios[a] - ratios[b]).abs() > 0.002,
                    "{contrast:?} {ratios:?}"
                );
            }
        }
    }
}
