//! Tissues, what MRI sees of them, and the signal of a spin echo.

/// What a head is made of, as far as the pictures go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tissue {
    /// Air and everything else without signal.
    Air,
    /// Muscle and skin.
    Muscle,
    /// Fat of the scalp and of the marrow.
    Fat,
    /// Cortical bone.
    Bone,
    /// Cerebrospinal fluid.
    Csf,
    /// Cortex.
    GreyMatter,
    /// Thalamus and basal ganglia: iron shortens their T2.
    DeepGrey,
    /// White matter.
    WhiteMatter,
    /// Demyelinated, oedematous white matter.
    Lesion,
}

/// Number of tissues.
const TISSUES: usize = 9;

/// Shares of the tissues in one voxel; they add up to 1.
#[derive(Clone, Copy)]
pub struct Mixture([f32; TISSUES]);

impl Mixture {
    /// One tissue only.
    pub fn of(tissue: Tissue) -> Self {
        let mut shares = [0.0; TISSUES];
        shares[tissue as usize] = 1.0;
        Self(shares)
    }

    /// Covers `share` (0 to 1) of what is there with `tissue`.
    pub fn paint(&mut self, tissue: Tissue, share: f32) {
        if share > 0.0 {
            for part in &mut self.0 {
                *part *= 1.0 - share;
            }
            self.0[tissue as usize] += share;
        }
    }

    /// Share of one tissue.
    pub fn share(&self, tissue: Tissue) -> f32 {
        self.0[tissue as usize]
    }

    /// Signal of the mixture.
    pub fn signal(&self, table: &SignalTable) -> f32 {
        self.0
            .iter()
            .zip(table.0)
            .map(|(share, signal)| share * signal)
            .sum()
    }
}

/// Field strength, which sets relaxation times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// 1.5 tesla.
    OneAndAHalfTesla,
    /// 3 tesla.
    ThreeTesla,
}

/// Timing of a spin-echo sequence, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sequence {
    /// Repetition time TR.
    pub repetition_ms: f32,
    /// Echo time TE.
    pub echo_ms: f32,
    /// Inversion time TI, where there is an inversion pulse.
    pub inversion_ms: Option<f32>,
}

/// Signal of each tissue under one sequence.
pub struct SignalTable([f32; TISSUES]);

impl SignalTable {
    /// Magnitude of the spin-echo signal of every tissue, fat weakened by `fat_suppression`.
    ///
    /// PD |1 - 2 exp(-TI/T1) + exp(-TR/T1)| exp(-TE/T2) with an inversion pulse, else
    /// PD (1 - exp(-TR/T1)) exp(-TE/T2) (Bernstein, Handbook of MRI Pulse Sequences, 14.2).
    pub fn new(field: Field, sequence: Sequence, fat_suppression: f32) -> Self {
        let mut signals = RELAXATION.map(|(density, at_1_5_tesla, at_3_tesla)| {
            let [t1, t2] = match field {
                Field::OneAndAHalfTesla => at_1_5_tesla,
                Field::ThreeTesla => at_3_tesla,
            };
            let recovered = (-sequence.repetition_ms / t1).exp();
            let along = match sequence.inversion_ms {
                Some(inversion) => (1.0 - 2.0 * (-inversion / t1).exp() + recovered).abs(),
                None => 1.0 - recovered,
            };
            density * along * (-sequence.echo_ms / t2).exp()
        });
        signals[Tissue::Fat as usize] *= 1.0 - fat_suppression;
        Self(signals)
    }

    /// Signal of one tissue.
    pub fn of(&self, tissue: Tissue) -> f32 {
        self.0[tissue as usize]
    }
}

/// Proton density, [T1, T2] in ms at 1.5 T and at 3 T, in the order of [`Tissue`].
///
/// At 3 T, and all T2 of white matter, grey matter and muscle: Stanisz et al. 2005, Magn Reson Med
/// 54:507, table 1. T1 at 1.5 T of both matters, the putamen and the fluid: Rooney et al. 2007, Magn
/// Reson Med 57:308. Fat: Gold et al. 2004, AJR 183:343. Lesions lie between white matter and fluid:
/// theirs are mid-range of what is reported for chronic plaques. Deep grey matter has a shorter T2
/// than cortex because of its iron.
const RELAXATION: [(f32, [f32; 2], [f32; 2]); TISSUES] = [
    (0.0, [1000.0, 100.0], [1000.0, 100.0]),
    (0.75, [1008.0, 44.0], [1412.0, 50.0]),
    (0.95, [288.0, 165.0], [371.0, 133.0]),
    (0.05, [300.0, 20.0], [300.0, 20.0]),
    (1.0, [4300.0, 1800.0], [4300.0, 1700.0]),
    (0.82, [1188.0, 95.0], [1820.0, 99.0]),
    (0.80, [981.0, 84.0], [1500.0, 84.0]),
    (0.70, [656.0, 72.0], [1084.0, 69.0]),
    (0.83, [1400.0, 170.0], [2000.0, 180.0]),
];

#[cfg(test)]
mod tests {
    use super::*;

    const FLAIR: Sequence = Sequence {
        repetition_ms: 9000.0,
        echo_ms: 120.0,
        inversion_ms: Some(2500.0),
    };

    #[test]
    fn painting_keeps_the_sum_of_the_shares() {
        let mut mixture = Mixture::of(Tissue::Air);
        mixture.paint(Tissue::Csf, 0.5);
        mixture.paint(Tissue::GreyMatter, 0.25);
        assert_eq!(mixture.share(Tissue::Air), 0.375);
        assert_eq!(mixture.share(Tissue::Csf), 0.375);
        assert_eq!(mixture.share(Tissue::GreyMatter), 0.25);
        assert_eq!(mixture.0.iter().sum::<f32>(), 1.0);
    }

    #[test]
    fn flair_nulls_the_fluid_and_shows_the_lesion() {
        for field in [Field::OneAndAHalfTesla, Field::ThreeTesla] {
            let table = SignalTable::new(field, FLAIR, 0.5);
            let white = table.of(Tissue::WhiteMatter);
            assert!(table.of(Tissue::Csf) < 0.15 * white);
            let cortex = table.of(Tissue::GreyMatter) / white;
            let lesion = table.of(Tissue::Lesion) / white;
            assert!((1.1..1.5).contains(&cortex), "{field:?}: {cortex}");
            assert!(
                (1.15 * cortex..2.2).contains(&lesion),
                "{field:?}: {lesion}"
            );
        }
    }

    #[test]
    fn t1_and_t2_order_the_tissues_as_textbooks_do() {
        let spin_echo = |repetition_ms, echo_ms| Sequence {
            repetition_ms,
            echo_ms,
            inversion_ms: None,
        };
        let order = [
            Tissue::WhiteMatter,
            Tissue::GreyMatter,
            Tissue::Lesion,
            Tissue::Csf,
        ];
        for field in [Field::OneAndAHalfTesla, Field::ThreeTesla] {
            let t1 = SignalTable::new(field, spin_echo(600.0, 10.0), 0.0);
            let t2 = SignalTable::new(field, spin_echo(5000.0, 100.0), 0.0);
            let falls = |table: &SignalTable, order: [Tissue; 4]| {
                order
                    .map(|tissue| table.of(tissue))
                    .windows(2)
                    .all(|pair| pair[0] > pair[1])
            };
            assert!(falls(&t1, [order[0], order[1], order[2], order[3]]));
            assert!(falls(&t2, [order[3], order[2], order[1], order[0]]));
        }
    }
}
