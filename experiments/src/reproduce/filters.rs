//! Where the filters of a batch come from: CKKS products, or products without encryption, which are the plaintext reference.
//!
//! Both release what a vault releases (PROTOCOL.md 5.4, step 6): the product, rounded to a multiple of 2^-12, then
//! clipped. What is decrypted differs from the product in the clear by about 2^-36 (`hardened`) or 2^-30 (`study`), so that both
//! round to the same filter, unless the product lies that near to the boundary between two multiples: about one value in 2^24, or
//! in 2^17. Such values are counted.

use std::{error::Error, time::Instant};

use crypto::ckks::{self, Ciphertext, Context, Evaluator, Profile, RelinearisationKey, SecretKey};
use model::train::{Filter, FilterSource};
use participant::vault::conditioning::{
    ConditionedWeights, MAX_ERROR, MAX_FEATURE, MAX_RELEASES, PATIENTS_PER_BLOCK, local_product,
    release, weight_gradient,
};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use super::cell::CellConditioning;

/// Scaled clinical features of every patient of a cohort.
pub type Features = Vec<ConditionedWeights>;

/// `plain-conditioned`: multiplies in the clear.
pub struct InTheClear {
    features: Features,
    account: CellConditioning,
}

/// `hybrid`: multiplies under CKKS.
pub struct Encrypted {
    features: Features,
    context: Context,
    evaluator: Evaluator,
    keys: Keys,
    rng: ChaCha20Rng,
    account: CellConditioning,
}

/// A key with the features under it: each patient nine slots, as many patients to a ciphertext as there is room for.
struct Keys {
    secret: SecretKey,
    relinearisation: RelinearisationKey,
    blocks: Vec<Ciphertext>,
    /// Products decrypted with it.
    releases: usize,
}

impl InTheClear {
    /// Takes the features.
    pub fn new(features: Features) -> Self {
        Self {
            features: bounded(features),
            account: CellConditioning::default(),
        }
    }

    /// What was done so far.
    pub fn account(&self) -> CellConditioning {
        self.account
    }
}

impl FilterSource for InTheClear {
    fn filters(
        &mut self,
        weight: &Filter,
        patients: &[usize],
    ) -> Result<Vec<Filter>, Box<dyn Error + Send + Sync>> {
        let began = Instant::now();
        let weights = wide(weight);
        let of_patient =
            |&patient: &usize| release(&local_product(&weights, &self.features[patient]));
        let filters: Vec<Filter> = patients.iter().map(of_patient).collect();
        self.account.values += filters.as_flattened().len() as u64;
        self.account.seconds += began.elapsed().as_secs_f64();
        Ok(filters)
    }

    fn weight_gradient(&self, patients: &[usize], filter_gradients: &[Filter]) -> Filter {
        gradient(&self.features, patients, filter_gradients)
    }
}

impl Encrypted {
    /// Makes a key and encrypts the features, once for all batches.
    pub fn new(features: Features, profile: Profile, seed: [u8; 32]) -> Self {
        let features = bounded(features);
        let context = Context::new(profile);
        let mut rng = ChaCha20Rng::from_seed(seed);
        Self {
            keys: Keys::new(&context, &features, &mut rng),
            evaluator: Evaluator::new(&context),
            context,
            features,
            rng,
            account: CellConditioning::default(),
        }
    }

    /// What was done so far.
    pub fn account(&self) -> CellConditioning {
        self.account
    }

    /// The products of a block with the tiled W, decrypted and checked slot by slot.
    fn products(
        &mut self,
        block: usize,
        tiled: &Ciphertext,
        weights: &ConditionedWeights,
    ) -> Result<Vec<[f64; 9]>, Box<dyn Error + Send + Sync>> {
        let Keys {
            secret,
            relinearisation,
            blocks,
            releases,
        } = &mut self.keys;
        let product =
            self.evaluator
                .multiply_relinearise_rescale(tiled, &blocks[block], relinearisation)?;
        let plaintext = ckks::decrypt(secret, &product)?;
        *releases += 1;
        let decoded = self.context.decode(&plaintext)?;
        let patients = block_of(&self.features, block);
        let (used, unused) = decoded.split_at(patients.len() * 9);
        let rows = used.as_chunks::<9>().0;
        let of_patients = patients.iter().zip(rows).flat_map(|(features, row)| {
            let local = local_product(weights, features);
            std::array::from_fn::<f64, 9, _>(|entry| row[entry] - local[entry])
        });
        let errors = of_patients.chain(unused.iter().copied()).map(f64::abs);
        let mut largest = 0.0;
        for error in errors {
            if error.is_nan() || error >= MAX_ERROR {
                return Err("a decrypted product is not W * f".into());
            }
            largest = f64::max(largest, error);
        }
        self.account.products += 1;
        self.account.max_abs_error = self.account.max_abs_error.max(largest);
        Ok(rows.to_vec())
    }
}

impl FilterSource for Encrypted {
    /// W is encrypted anew, and multiplied with every block that one of the patients is in.
    fn filters(
        &mut self,
        weight: &Filter,
        patients: &[usize],
    ) -> Result<Vec<Filter>, Box<dyn Error + Send + Sync>> {
        let began = Instant::now();
        let weights = wide(weight);
        if !weights.iter().all(|weight| weight.abs() <= MAX_WEIGHT) {
            return Err(format!(
                "W has left [-{MAX_WEIGHT}, {MAX_WEIGHT}], which the encryption has room for"
            )
            .into());
        }
        if self.keys.releases + self.keys.blocks.len() > MAX_RELEASES {
            self.keys = Keys::new(&self.context, &self.features, &mut self.rng);
        }
        let tiled = weights.repeat(PATIENTS_PER_BLOCK);
        let tiled = encrypt(&self.context, &self.keys.secret, &tiled, &mut self.rng)?;
        let mut blocks: Vec<Option<Vec<[f64; 9]>>> = vec![None; self.keys.blocks.len()];
        let mut filters = Vec::with_capacity(patients.len());
        for &patient in patients {
            let (block, row) = (patient / PATIENTS_PER_BLOCK, patient % PATIENTS_PER_BLOCK);
            let products = match blocks[block].take() {
                Some(products) => products,
                None => self.products(block, &tiled, &weights)?,
            };
            let filter = release(&products[row]);
            blocks[block] = Some(products);
            let local = release(&local_product(&weights, &self.features[patient]));
            let differing = filter
                .iter()
                .zip(&local)
                .filter(|(ours, local)| ours != local);
            self.account.values_that_differ += differing.count() as u64;
            filters.push(filter);
        }
        self.account.values += filters.as_flattened().len() as u64;
        self.account.seconds += began.elapsed().as_secs_f64();
        Ok(filters)
    }

    fn weight_gradient(&self, patients: &[usize], filter_gradients: &[Filter]) -> Filter {
        gradient(&self.features, patients, filter_gradients)
    }
}

impl Keys {
    fn new(context: &Context, features: &Features, rng: &mut ChaCha20Rng) -> Self {
        let secret = SecretKey::generate(context, rng);
        let relinearisation = RelinearisationKey::generate(&secret, rng);
        let mut encrypted = |patients: &[ConditionedWeights]| {
            encrypt(context, &secret, patients.as_flattened(), rng)
                .expect("features are bounded and fit the slots")
        };
        let blocks = features
            .chunks(PATIENTS_PER_BLOCK)
            .map(&mut encrypted)
            .collect();
        Self {
            blocks,
            secret,
            relinearisation,
            releases: 0,
        }
    }
}

fn block_of(features: &Features, block: usize) -> &[ConditionedWeights] {
    let mut blocks = features.chunks(PATIENTS_PER_BLOCK);
    blocks.nth(block).unwrap_or_default()
}

fn encrypt(
    context: &Context,
    secret: &SecretKey,
    slots: &[f64],
    rng: &mut ChaCha20Rng,
) -> Result<Ciphertext, crypto::ckks::CkksError> {
    Ok(ckks::encrypt_symmetric(secret, &context.encode(slots)?, rng)?.expand())
}

fn bounded(mut features: Features) -> Features {
    for value in features.as_flattened_mut() {
        *value = value.clamp(-MAX_FEATURE, MAX_FEATURE);
    }
    features
}

fn wide(weight: &Filter) -> ConditionedWeights {
    weight.map(f64::from)
}

fn gradient(features: &Features, patients: &[usize], filter_gradients: &[Filter]) -> Filter {
    let of_patients = patients.iter().map(|&patient| &features[patient]);
    weight_gradient(of_patients.zip(filter_gradients)).map(|sum| sum as f32)
}

/// What the projection of PROTOCOL.md 3.7 keeps W to.
const MAX_WEIGHT: f64 = 16.0;

#[cfg(test)]
mod tests {
    use super::*;

    /// In [0, 1], as unit scaling gives them; some are whole.
    fn features(patients: usize) -> Features {
        let feature = |place: usize| (place * 7919 % 1009) as f64 / 1008.0;
        (0..patients)
            .map(|patient| std::array::from_fn(|entry| feature(9 * patient + entry)))
            .collect()
    }

    const WEIGHT: Filter = [0.3, -0.7, 1.9, -2.4, 0.011, 0.5, -0.25, 0.0, 15.9];

    #[test]
    fn both_sources_release_the_same_filters_in_both_profiles_and_beyond_one_block() {
        let count = PATIENTS_PER_BLOCK + 5;
        let patients = [0, 3, PATIENTS_PER_BLOCK - 1, PATIENTS_PER_BLOCK, count - 1];
        let mut clear = InTheClear::new(features(count));
        let expected = clear.filters(&WEIGHT, &patients).expect("never fails");
        assert!(expected.as_flattened().iter().any(|tap| tap.abs() == 1.0));
        for profile in [Profile::Hardened, Profile::Study] {
            let mut encrypted = Encrypted::new(features(count), profile, [3; 32]);
            let filters = encrypted.filters(&WEIGHT, &patients).expect("decrypts");
            assert!(filters == expected, "{profile}");
            let account = encrypted.account();
            assert_eq!((account.products, account.values), (2, 45));
            assert!(account.max_abs_error > 0.0 && account.max_abs_error < 1e-6);
            let one = encrypted.filters(&WEIGHT, &[1, 2]).expect("decrypts");
            assert_eq!((one.len(), encrypted.account().products), (2, 3));
        }
    }

    #[test]
    fn the_same_seed_encrypts_alike_and_another_key_follows_after_a_thousand_products() {
        let filters = |source: &mut Encrypted| source.filters(&WEIGHT, &[0, 1]).expect("decrypts");
        let source = || Encrypted::new(features(3), Profile::Hardened, [5; 32]);
        let (mut one, mut other) = (source(), source());
        filters(&mut one);
        filters(&mut other);
        assert_eq!(one.account().max_abs_error, other.account().max_abs_error);
        one.keys.releases = MAX_RELEASES - 1;
        let before = one.keys.secret.id();
        filters(&mut one);
        assert_eq!(one.keys.secret.id(), before);
        filters(&mut one);
        assert_ne!(one.keys.secret.id(), before);
        assert_eq!(one.keys.releases, 1);
    }

    #[test]
    fn a_weight_that_the_encryption_has_no_room_for_is_an_error() {
        for wrong in [16.5, f32::NAN] {
            let mut source = Encrypted::new(features(2), Profile::Study, [1; 32]);
            let error = source.filters(&[wrong; 9], &[0]).expect_err("refused");
            assert!(error.to_string().contains("16"));
        }
    }

    #[test]
    fn the_gradient_of_w_is_that_of_the_patients_of_the_batch() {
        let source = InTheClear::new(features(4));
        let gradients = [[0.5_f32; 9], [-2.0; 9]];
        let gradient = source.weight_gradient(&[1, 3], &gradients);
        let features = features(4);
        for entry in 0..9 {
            let expected = 0.5 * features[1][entry] - 2.0 * features[3][entry];
            assert!((f64::from(gradient[entry]) - expected).abs() < 1e-6);
        }
    }
}
