//! Attack 3: one hospital's update from its upload to a sealed sum.

use anyhow::{Context, ensure};
use crypto::{
    hash::{Digest, derive_key},
    ring::{Coefficients, Modulus, NttPlan, Prg, uniform},
    sealed_sum::{
        CHUNK_BYTES, ClippedTensor, FieldFormat, HospitalId, MODULUS, RING_DEGREE, SHARE_MODULUS,
        Share, UNLOCK_BYTES, threshold,
    },
};
use rand::RngExt;
use rand_chacha::ChaCha20Rng;

use super::{
    super::{
        effort::Effort,
        finding::{Finding, Measured, Verdict},
    },
    randomness,
    sealed::SealedSum,
};
use crate::simulation::Progress;

/// Runs it.
///
/// # Errors
/// A sum that cannot be sealed, or that opens to something else than this attack's own reading of it.
pub fn run(effort: Effort, seed: u64, progress: &Progress) -> anyhow::Result<Finding> {
    let trials = effort.of(4, 60);
    let values = effort.of(16_000, 64_000);
    let mut rng = randomness(seed, "one upload");
    let stage = progress.stage("sealed sums", trials);
    let mut read = Read::default();
    for _ in 0..trials {
        read.trial(values, effort.of(4, 16), &mut rng)?;
        stage.step();
    }
    let control = vec![
        read.with_all.measured("t shares of one upload"),
        read.difference_with_all
            .measured("two uploads with their secrets"),
    ];
    let claim = vec![
        read.without.measured("the coordinator alone"),
        read.with_fewer.measured("t-1 shares, taken for all"),
        read.guessed
            .measured("t-1 shares, the missing one guessed (the best)"),
        read.secret.measured("t-1 shares, the secret of the mask"),
        read.difference
            .measured("t-1 shares and the opened sum: the difference of two honest uploads"),
    ];
    let tried = [
        &read.without,
        &read.with_fewer,
        &read.guessed,
        &read.secret,
        &read.difference,
    ];
    let control_won = control
        .iter()
        .all(|measured| measured.value >= MIN_CORRELATION);
    Ok(Finding {
        number: 3,
        attack: "one update from its upload to a sealed sum",
        attacker_holds: "the coordinator's uploads, t-1 of the shares of each, and the opened sum",
        claimed: "up to t-1 hospitals together with the coordinator learn no more than the sum, as long as two honest ones are in it (sections 3 and 4)",
        control,
        control_won,
        claim,
        verdict: match tried.iter().all(|pairs| pairs.is_chance()) {
            true => Verdict::Holds,
            false => Verdict::Broken,
        },
        explanation: format!(
            "{HOSPITALS} hospitals, t = {}: correlation of what is read with what was uploaded. The attack unmasks with its own program, \
             written from PROTOCOL.md, which reads what `open` reads where it has t shares. That nothing can be had is what section 4 \
             proves from A1; what is looked for here is whether the code keeps to it: an upload that is not masked, shares that \
             depend on the secret, masks that two hospitals have in common.",
            threshold(HOSPITALS)
        ),
        literature: "Shamir 1979; ring-LWE: Lyubashevsky, Peikert and Regev 2010",
    })
}

/// What was read, and the truth.
#[derive(Default)]
struct Pairs(Vec<[f64; 2]>);

impl Pairs {
    fn extend(&mut self, found: &[f64], truth: &[f64]) {
        self.0.extend(
            found
                .iter()
                .zip(truth)
                .map(|(&found, &truth)| [found, truth]),
        );
    }

    fn measured(&self, setting: &str) -> Measured {
        Measured::correlation(setting, "correlation with the truth", &self.0).against(0.0)
    }

    /// Within five deviations of what has nothing to do with the truth.
    fn is_chance(&self) -> bool {
        self.measured("").value.abs() <= 5.0 / (self.0.len() as f64).sqrt()
    }
}

#[derive(Default)]
struct Read {
    with_all: Pairs,
    difference_with_all: Pairs,
    without: Pairs,
    with_fewer: Pairs,
    guessed: Pairs,
    secret: Pairs,
    difference: Pairs,
}

impl Read {
    fn trial(
        &mut self,
        values: usize,
        guesses: usize,
        rng: &mut ChaCha20Rng,
    ) -> anyhow::Result<()> {
        let sum = SealedSum::new(HOSPITALS, values, &[3], rng)?;
        let threshold = sum.threshold();
        let updates: [Vec<f64>; 2] =
            std::array::from_fn(|_| (0..values).map(|_| rng.random_range(-1.0..1.0)).collect());
        let clips = [ClippedTensor { values, clip: 1.0 }];
        let mut sealed = |place: usize| sum.contribution(place, &updates[place], &clips, &[1], rng);
        let uploads = [sealed(0)?, sealed(1)?];

        // The colluders are the last ones; t of the hospitals are one more.
        let all = &uploads[0].shares[HOSPITALS - threshold..];
        let fewer = &all[1..];
        let reader = Reader::new(&sum.header_hash, sum.shape.message_chunks(), values);
        let secrets = uploads.each_ref().map(|upload| {
            centred(&interpolated(&points(
                &upload.shares[HOSPITALS - threshold..],
            )))
        });
        let first = &uploads[0].chunks;

        let found = reader.values(first, &secrets[0]);
        let opened = sum.opened(&uploads[..1])?;
        let offset = (1_u64 << (sum.shape.value_bits() - 1)) as f64;
        ensure!(
            opened
                .values
                .iter()
                .zip(&found)
                .all(|(opened, found)| *opened as f64 == *found),
            "the attack reads an upload otherwise than `open` does, with values around {offset}"
        );
        self.with_all.extend(&found, &updates[0]);

        let nothing = vec![0; RING_DEGREE];
        self.without
            .extend(&reader.values(first, &nothing), &updates[0]);

        let interpolated_from_fewer = centred(&interpolated(&points(fewer)));
        self.with_fewer
            .extend(&reader.values(first, &interpolated_from_fewer), &updates[0]);
        let as_numbers =
            |secret: &[i64]| -> Vec<f64> { secret.iter().map(|&s| s as f64).collect() };
        self.secret.extend(
            &as_numbers(&interpolated_from_fewer),
            &as_numbers(&secrets[0]),
        );

        let mut best: Option<(f64, Vec<i64>)> = None;
        for _ in 0..guesses {
            let mut known = points(fewer);
            let guess = (0..RING_DEGREE).map(|_| rng.random_range(0..u64::from(SHARE_MODULUS)));
            known.push((all[0].0.get().into(), guess.collect()));
            let secret = centred(&interpolated(&known));
            let size: f64 = secret.iter().map(|&s| (s * s) as f64).sum();
            if best.as_ref().is_none_or(|(least, _)| size < *least) {
                best = Some((size, secret));
            }
        }
        let (_, secret) = best.context("a share was guessed")?;
        self.guessed
            .extend(&reader.values(first, &secret), &updates[0]);

        // What the sum leaves open is the difference of the honest ones.
        let truth: Vec<f64> = updates[0]
            .iter()
            .zip(&updates[1])
            .map(|(one, other)| one - other)
            .collect();
        let between = reader.subtracted(first, &uploads[1].chunks);
        let of_secrets: Vec<i64> = secrets[0]
            .iter()
            .zip(&secrets[1])
            .map(|(one, other)| one - other)
            .collect();
        self.difference_with_all
            .extend(&reader.values(&between, &of_secrets), &truth);
        self.difference
            .extend(&reader.values(&between, &nothing), &truth);
        Ok(())
    }
}

/// Reads uploads with a secret, right or wrong (PROTOCOL.md 3.3 to 3.7): written beside the code that it attacks.
struct Reader {
    plan: NttPlan,
    /// The public polynomials of all chunks.
    public: Vec<Coefficients>,
    values: usize,
}

impl Reader {
    fn new(header_hash: &Digest, chunks: usize, values: usize) -> Self {
        let key = derive_key(header_hash, "a", &[]);
        let modulus = Modulus::new(MODULUS);
        let public = (0..chunks as u64)
            .map(|chunk| uniform(&mut Prg::new(&key, chunk), modulus, RING_DEGREE));
        Self {
            plan: NttPlan::new(RING_DEGREE, modulus),
            public: public.collect(),
            values,
        }
    }

    /// The fields of an upload, or of a difference of two, under this secret; those of the counters are left out.
    fn values(&self, upload: &[u8], secret: &[i64]) -> Vec<f64> {
        let modulus = self.plan.modulus();
        let secret = self.plan.forward(Coefficients::from_small(secret, modulus));
        let mut values = Vec::with_capacity(self.values);
        for (public, chunk) in self.public.iter().zip(upload.chunks_exact(CHUNK_BYTES)) {
            let mut mask = self
                .plan
                .forward(Coefficients::from_words(public.words().to_vec()));
            mask.multiply_assign(&secret, modulus);
            let mask = self.plan.inverse(mask);
            for (bytes, &mask) in chunk.as_chunks::<8>().0.iter().zip(mask.words()) {
                let noisy = modulus.centred(modulus.subtract(u64::from_le_bytes(*bytes), mask));
                // Noise is below half of 2^13. A field of a difference may be negative.
                let message = (noisy + (1 << 12)) >> 13;
                let low = message << (64 - FIELD_BITS) >> (64 - FIELD_BITS);
                values.extend([low as f64, ((message - low) >> FIELD_BITS) as f64]);
            }
        }
        values.truncate(self.values);
        values
    }

    fn subtracted(&self, left: &[u8], right: &[u8]) -> Vec<u8> {
        let modulus = self.plan.modulus();
        let pairs = left.as_chunks::<8>().0.iter().zip(right.as_chunks::<8>().0);
        let words = pairs.map(|(&left, &right)| {
            modulus.subtract(u64::from_le_bytes(left), u64::from_le_bytes(right))
        });
        words.flat_map(u64::to_le_bytes).collect()
    }
}

/// Places and values of shares.
fn points(shares: &[(HospitalId, Share)]) -> Vec<(u64, Vec<u64>)> {
    let of_share = |(hospital, share): &(HospitalId, Share)| {
        let bytes = share.to_bytes();
        let elements = bytes[..UNLOCK_BYTES].as_chunks::<2>().0.iter();
        let values = elements.map(|&pair| u16::from_le_bytes(pair).into());
        (u64::from(hospital.get()), values.collect())
    };
    shares.iter().map(of_share).collect()
}

/// The values at 0 of the polynomials of the lowest degree through these points, modulo p.
fn interpolated(points: &[(u64, Vec<u64>)]) -> Vec<u64> {
    const P: u64 = SHARE_MODULUS as u64;
    let power = |base: u64, mut exponent: u64| {
        let (mut result, mut square) = (1, base % P);
        while exponent > 0 {
            if exponent & 1 == 1 {
                result = result * square % P;
            }
            square = square * square % P;
            exponent >>= 1;
        }
        result
    };
    let mut sum = vec![0; RING_DEGREE];
    for (place, values) in points {
        let others = points
            .iter()
            .map(|(other, _)| *other)
            .filter(|other| other != place);
        let factor = others.fold(1, |factor, other| {
            factor * other % P * power(other + P - place, P - 2) % P
        });
        for (sum, value) in sum.iter_mut().zip(values) {
            *sum = (*sum + factor * value) % P;
        }
    }
    sum
}

fn centred(residues: &[u64]) -> Vec<i64> {
    let modulus = i64::from(SHARE_MODULUS);
    let centre = |&residue: &u64| {
        let residue = residue as i64;
        if residue > modulus / 2 {
            residue - modulus
        } else {
            residue
        }
    };
    residues.iter().map(centre).collect()
}

/// t is 4: three collude, and two honest ones are in the sum.
const HOSPITALS: usize = 5;
const FIELD_BITS: u32 = FieldFormat::TwoBy24.field_bits();
/// What is read is the update but for its quantisation, less than a part in a million.
const MIN_CORRELATION: f64 = 0.999_99;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t_shares_open_an_upload_and_fewer_say_nothing() {
        let mut read = Read::default();
        let mut rng = randomness(6, "one upload, a test");
        read.trial(6000, 2, &mut rng).expect("a sealed sum");
        assert!(read.with_all.measured("").value > MIN_CORRELATION);
        assert!(read.difference_with_all.measured("").value > MIN_CORRELATION);
        for pairs in [
            &read.without,
            &read.with_fewer,
            &read.guessed,
            &read.secret,
            &read.difference,
        ] {
            assert!(pairs.is_chance(), "{}", pairs.measured("").value);
        }
        assert!(!read.with_all.is_chance());
    }

    #[test]
    fn a_polynomial_is_found_at_zero() {
        // 7 + 5 x + 3 x^2 in every coefficient.
        let at = |x: u64| (x, vec![7 + 5 * x + 3 * x * x; RING_DEGREE]);
        let found = interpolated(&[at(2), at(5), at(9)]);
        assert_eq!(centred(&found), vec![7; RING_DEGREE]);
        assert_eq!(centred(&[65_520, 32_760, 32_761]), [-1, 32_760, -32_760]);
    }
}
