//! Where what is given of the patients of a batch comes from: CKKS products, or products without encryption, which are the plaintext
//! reference.
//!
//! Both release what a vault releases (PROTOCOL.md 5.4, step 6): the product, rounded to a multiple of 2^-12, then
//! clipped. What is decrypted differs from the plaintext product by about 2^-36 (`hardened`) or 2^-30 (`study`), so that both
//! round to the same filter, unless the product lies that near to the boundary between two multiples: about one value in 2^24, or
//! in 2^17. Such values are counted.

use std::{error::Error, time::Instant};

use crypto::ckks::{self, Ciphertext, Context, Evaluator, Profile, RelinearisationKey, SecretKey};
use model::train::InputSource;
use model_data::FEATURES;
use participant::vault::conditioning::{
    MAX_ERROR, MAX_RELEASES,
    release::ReleaseLevels,
    weights::{ConditioningWeights, ScaledFeatures, bound, weight_gradient},
};
use protocol::{training_job::PatientValues, vocabulary::ConditioningForm};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use super::cell::CellConditioning;

/// Scaled clinical features of every patient of a cohort, and what they do to the network.
#[derive(Clone)]
pub struct Features {
    form: ConditioningForm,
    patients: Vec<ScaledFeatures>,
}

impl Features {
    /// Bounds the features as a vault does.
    pub fn new(form: ConditioningForm, mut patients: Vec<ScaledFeatures>) -> Self {
        for features in &mut patients {
            bound(features);
        }
        Self { form, patients }
    }

    /// Those of a patient.
    #[cfg(test)]
    pub fn of(&self, patient: usize) -> &ScaledFeatures {
        &self.patients[patient]
    }

    fn gradient(&self, patients: &[usize], input_gradients: &PatientValues) -> Vec<f32> {
        let of_patients = patients.iter().map(|&patient| &self.patients[patient]);
        let width = input_gradients.per_patient();
        let rows = of_patients.zip(input_gradients.rows());
        let gradient = weight_gradient(self.form, width, rows);
        gradient.into_iter().map(|sum| sum as f32).collect()
    }
}

/// `plain-conditioned`: multiplies in plaintext.
pub struct PlaintextProducts {
    features: Features,
    account: CellConditioning,
}

/// `hybrid`: multiplies under CKKS.
pub struct Encrypted {
    features: Features,
    context: Context,
    evaluator: Evaluator,
    /// Slots of each patient.
    width: usize,
    keys: Keys,
    rng: ChaCha20Rng,
    account: CellConditioning,
}

/// A key with the features under it: each patient nine slots or nine a class, as many patients to a ciphertext as there is room for.
struct Keys {
    secret: SecretKey,
    relinearisation: RelinearisationKey,
    blocks: Vec<Ciphertext>,
    /// Products decrypted with it.
    releases: usize,
}

impl PlaintextProducts {
    /// Takes the features.
    pub fn new(features: Features) -> Self {
        Self {
            features,
            account: CellConditioning::default(),
        }
    }

    /// What was done so far.
    pub fn account(&self) -> CellConditioning {
        self.account
    }
}

impl InputSource for PlaintextProducts {
    fn inputs(
        &mut self,
        weights: &[f32],
        patients: &[usize],
    ) -> Result<PatientValues, Box<dyn Error + Send + Sync>> {
        let began = Instant::now();
        let weights = ConditioningWeights::from_kept(self.features.form, FEATURES, weights);
        let of_batch: Vec<_> = patients
            .iter()
            .map(|&patient| self.features.patients[patient].clone())
            .collect();
        let inputs = weights.local_inputs(&of_batch, ReleaseLevels::FINEST);
        self.account.values += inputs.flat().len() as u64;
        self.account.seconds += began.elapsed().as_secs_f64();
        Ok(inputs)
    }

    fn gradient(&self, patients: &[usize], input_gradients: &PatientValues) -> Vec<f32> {
        self.features.gradient(patients, input_gradients)
    }
}

impl Encrypted {
    /// Makes a key and encrypts the features, once for all batches.
    pub fn new(features: Features, classes: usize, profile: Profile, seed: [u8; 32]) -> Self {
        let context = Context::new(profile);
        let mut rng = ChaCha20Rng::from_seed(seed);
        let width = features.form.products_per_patient(classes, FEATURES);
        Self {
            keys: Keys::new(&context, &features.patients, width, &mut rng),
            evaluator: Evaluator::new(&context),
            width,
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

    fn patients_per_block(&self) -> usize {
        patients_per_block(self.width)
    }

    /// The products of a block with the tiled weights, decrypted and checked slot by slot: those of each patient.
    fn products(
        &mut self,
        block: usize,
        tiled: &Ciphertext,
        weights: &ConditioningWeights,
    ) -> Result<Vec<f64>, Box<dyn Error + Send + Sync>> {
        let mut patients = self
            .features
            .patients
            .chunks(patients_per_block(self.width));
        let patients = patients.nth(block).unwrap_or_default();
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
        let (used, unused) = decoded.split_at(patients.len() * self.width);
        let rows = used.chunks_exact(self.width);
        let of_patients = patients.iter().zip(rows).flat_map(|(features, row)| {
            let local = weights.products(features);
            let errors = row.iter().zip(local.iter()).map(|(row, local)| row - local);
            errors.collect::<Vec<f64>>()
        });
        let errors = of_patients.chain(unused.iter().copied()).map(f64::abs);
        let mut largest = 0.0;
        for error in errors {
            if error.is_nan() || error >= MAX_ERROR {
                return Err(
                    "a decrypted product is not that of the weights and the features".into(),
                );
            }
            largest = f64::max(largest, error);
        }
        self.account.products += 1;
        self.account.max_abs_error = self.account.max_abs_error.max(largest);
        Ok(used.to_vec())
    }
}

impl InputSource for Encrypted {
    /// The weights are encrypted anew, and multiplied with every block that one of the patients is in.
    fn inputs(
        &mut self,
        weights: &[f32],
        patients: &[usize],
    ) -> Result<PatientValues, Box<dyn Error + Send + Sync>> {
        let began = Instant::now();
        let weights = ConditioningWeights::from_kept(self.features.form, FEATURES, weights);
        if !weights
            .factors()
            .iter()
            .all(|weight| weight.abs() <= MAX_WEIGHT)
        {
            return Err(format!(
                "a weight has left [-{MAX_WEIGHT}, {MAX_WEIGHT}], which the encryption has room for"
            )
            .into());
        }
        if self.keys.releases + self.keys.blocks.len() > MAX_RELEASES {
            let features = &self.features.patients;
            self.keys = Keys::new(&self.context, features, self.width, &mut self.rng);
        }
        let per_block = self.patients_per_block();
        let tiled = weights.factors().repeat(per_block);
        let tiled = encrypt(&self.context, &self.keys.secret, &tiled, &mut self.rng)?;
        let mut blocks: Vec<Option<Vec<f64>>> = vec![None; self.keys.blocks.len()];
        let (mut released, mut local) = (Vec::new(), Vec::new());
        for &patient in patients {
            let (block, row) = (patient / per_block, patient % per_block);
            let products = match blocks[block].take() {
                Some(products) => products,
                None => self.products(block, &tiled, &weights)?,
            };
            let of_patient = &products[row * self.width..][..self.width];
            weights.release(of_patient, ReleaseLevels::FINEST, &mut released);
            blocks[block] = Some(products);
            let products = weights.products(&self.features.patients[patient]);
            weights.release(&products, ReleaseLevels::FINEST, &mut local);
        }
        let differing = released.iter().zip(&local);
        let differing = differing.filter(|(ours, local)| ours != local);
        self.account.values_that_differ += differing.count() as u64;
        self.account.values += released.len() as u64;
        self.account.seconds += began.elapsed().as_secs_f64();
        Ok(PatientValues::new(weights.values_per_patient(), released))
    }

    fn gradient(&self, patients: &[usize], input_gradients: &PatientValues) -> Vec<f32> {
        self.features.gradient(patients, input_gradients)
    }
}

impl Keys {
    fn new(
        context: &Context,
        features: &[ScaledFeatures],
        width: usize,
        rng: &mut ChaCha20Rng,
    ) -> Self {
        let secret = SecretKey::generate(context, rng);
        let relinearisation = RelinearisationKey::generate(&secret, rng);
        let mut encrypted = |patients: &[ScaledFeatures]| {
            let slots = patients
                .iter()
                .flat_map(|features| features.repeat(width / FEATURES));
            encrypt(context, &secret, &slots.collect::<Vec<f64>>(), rng)
                .expect("features are bounded and fit the slots")
        };
        let blocks = features
            .chunks(patients_per_block(width))
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

fn patients_per_block(width: usize) -> usize {
    (Profile::SLOTS - 1) / width
}

fn encrypt(
    context: &Context,
    secret: &SecretKey,
    slots: &[f64],
    rng: &mut ChaCha20Rng,
) -> Result<Ciphertext, crypto::ckks::CkksError> {
    Ok(ckks::encrypt_symmetric(secret, &context.encode(slots)?, rng)?.expand())
}

/// What the projection of PROTOCOL.md 3.7 keeps the weights to.
const MAX_WEIGHT: f64 = 16.0;

#[cfg(test)]
mod tests {
    use protocol::network::ModelLayout;

    use super::*;

    /// In [0, 1], as unit scaling gives them; some are whole.
    fn features(form: ConditioningForm, patients: usize) -> Features {
        let feature = |place: usize| (place * 7919 % 1009) as f64 / 1008.0;
        let patients: Vec<ScaledFeatures> = (0..patients)
            .map(|patient| (0..9).map(|entry| feature(9 * patient + entry)).collect())
            .collect();
        Features::new(form, patients)
    }

    const WEIGHT: [f32; 9] = [0.3, -0.7, 1.9, -2.4, 0.011, 0.5, -0.25, 0.0, 15.9];

    /// As many weights as the form has.
    fn weights(form: ConditioningForm, classes: usize) -> Vec<f32> {
        let layout = ModelLayout::of(classes as u32, form, FEATURES);
        let kept = form.tensors().iter();
        let kept: usize = kept
            .map(|name| layout.range(name).expect("its own").len())
            .sum();
        WEIGHT.into_iter().cycle().take(kept).collect()
    }

    #[test]
    fn both_sources_release_the_same_in_every_form_and_both_profiles_and_beyond_one_block() {
        for &form in ConditioningForm::ALL {
            for (profile, classes) in [(Profile::Hardened, 2), (Profile::Study, 3)] {
                let block = form.patients_per_block(classes, FEATURES);
                let count = block + 5;
                let patients = [0, 3, block - 1, block, count - 1];
                let weights = weights(form, classes);
                let mut plaintext = PlaintextProducts::new(features(form, count));
                let expected = plaintext.inputs(&weights, &patients).expect("never fails");
                let mut encrypted =
                    Encrypted::new(features(form, count), classes, profile, [3; 32]);
                let inputs = encrypted.inputs(&weights, &patients).expect("decrypts");
                assert!(inputs == expected, "{form}, {profile}");
                let account = encrypted.account();
                let values = 5 * form.values_per_patient(classes) as u64;
                assert_eq!((account.products, account.values), (2, values));
                assert!(account.max_abs_error > 0.0 && account.max_abs_error < 1e-6);
                let one = encrypted.inputs(&weights, &[1, 2]).expect("decrypts");
                assert_eq!((one.len(), encrypted.account().products), (2, 3));
            }
        }
        let mut plaintext = PlaintextProducts::new(features(ConditioningForm::Study, 3));
        let clipped = plaintext.inputs(&WEIGHT, &[0, 1, 2]).expect("never fails");
        assert!(clipped.flat().iter().any(|tap| tap.abs() == 1.0));
    }

    fn hardened(patients: usize, seed: u8) -> Encrypted {
        let features = features(ConditioningForm::Study, patients);
        Encrypted::new(features, 2, Profile::Hardened, [seed; 32])
    }

    #[test]
    fn the_same_seed_encrypts_alike_and_another_key_follows_after_a_thousand_products() {
        let ask = |source: &mut Encrypted| source.inputs(&WEIGHT, &[0, 1]).expect("decrypts");
        let (mut one, mut other) = (hardened(3, 5), hardened(3, 5));
        ask(&mut one);
        ask(&mut other);
        assert_eq!(one.account().max_abs_error, other.account().max_abs_error);
        one.keys.releases = MAX_RELEASES - 1;
        let before = one.keys.secret.id();
        ask(&mut one);
        assert_eq!(one.keys.secret.id(), before);
        ask(&mut one);
        assert_ne!(one.keys.secret.id(), before);
        assert_eq!(one.keys.releases, 1);
    }

    #[test]
    fn a_weight_that_the_encryption_has_no_room_for_is_an_error() {
        for wrong in [16.5, f32::NAN] {
            let error = hardened(2, 1).inputs(&[wrong; 9], &[0]).err();
            assert!(error.expect("refused").to_string().contains("16"));
        }
    }

    #[test]
    fn the_gradient_of_w_is_that_of_the_patients_of_the_batch() {
        let features = features(ConditioningForm::Study, 4);
        let source = PlaintextProducts::new(features.clone());
        let gradients = PatientValues::from(vec![[0.5_f32; 9], [-2.0; 9]]);
        let gradient = source.gradient(&[1, 3], &gradients);
        for (entry, found) in gradient.iter().enumerate() {
            let [one, three] = [1, 3].map(|patient: usize| features.patients[patient][entry]);
            let expected = 0.5 * one - 2.0 * three;
            assert!((f64::from(*found) - expected).abs() < 1e-6);
        }
    }
}
