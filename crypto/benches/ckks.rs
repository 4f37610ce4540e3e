//! CKKS by profile: keys, the steps of a conditioning job, and the wire forms.
//!
//! `experiments bench crypto` measures the same beside TenSEAL.

use crypto::ckks::{
    Ciphertext, Context, Evaluator, Plaintext, Profile, PublicKey, RelinearisationKey, SecretKey,
    decrypt, encrypt, encrypt_symmetric,
};
use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use getrandom::SysRng;
use rand_core::UnwrapErr;

fn main() {
    divan::main();
}

#[divan::bench(args = PROFILES)]
fn prepare_a_context(profile: Profile) -> Context {
    Context::new(profile)
}

#[divan::bench(args = PROFILES)]
fn generate_a_secret_and_a_public_key(bencher: Bencher<'_, '_>, profile: Profile) {
    let context = Context::new(profile);
    bencher.bench(|| {
        let secret = SecretKey::generate(&context, &mut system());
        (PublicKey::generate(&secret, &mut system()), secret)
    });
}

#[divan::bench(args = PROFILES)]
fn generate_a_relinearisation_key(bencher: Bencher<'_, '_>, profile: Profile) {
    let hospital = Hospital::new(profile);
    bencher.bench(|| RelinearisationKey::generate(&hospital.secret, &mut system()));
}

#[divan::bench(args = PROFILES)]
fn encode(bencher: Bencher<'_, '_>, profile: Profile) {
    let hospital = Hospital::new(profile);
    bencher
        .counter(ItemsCount::new(hospital.values.len()))
        .bench(|| hospital.encoded());
}

/// As a vault encrypts: the second polynomial stays a seed.
#[divan::bench(args = PROFILES)]
fn encrypt_with_the_secret_key(bencher: Bencher<'_, '_>, profile: Profile) {
    let hospital = Hospital::new(profile);
    let plaintext = hospital.encoded();
    bencher
        .counter(ItemsCount::new(hospital.values.len()))
        .bench(|| encrypt_symmetric(&hospital.secret, &plaintext, &mut system()));
}

#[divan::bench(args = PROFILES)]
fn encrypt_with_a_public_key(bencher: Bencher<'_, '_>, profile: Profile) {
    let hospital = Hospital::new(profile);
    let public = PublicKey::generate(&hospital.secret, &mut system());
    let plaintext = hospital.encoded();
    bencher
        .counter(ItemsCount::new(hospital.values.len()))
        .bench(|| encrypt(&public, &plaintext, &mut system()));
}

#[divan::bench(args = PROFILES)]
fn multiply_relinearise_rescale(bencher: Bencher<'_, '_>, profile: Profile) {
    let hospital = Hospital::new(profile);
    let key = RelinearisationKey::generate(&hospital.secret, &mut system());
    let (left, right) = (hospital.encrypted(), hospital.encrypted());
    let mut evaluator = Evaluator::new(&hospital.context);
    bencher
        .counter(ItemsCount::new(hospital.values.len()))
        .bench_local(|| evaluator.multiply_relinearise_rescale(&left, &right, &key));
}

#[divan::bench(args = PROFILES)]
fn decrypt_and_decode_a_product(bencher: Bencher<'_, '_>, profile: Profile) {
    let hospital = Hospital::new(profile);
    let product = hospital.product();
    bencher
        .counter(ItemsCount::new(hospital.values.len()))
        .bench(|| {
            let plaintext = decrypt(&hospital.secret, &product).expect("of this key");
            hospital.context.decode(&plaintext)
        });
}

#[divan::bench(args = PROFILES)]
fn write_a_ciphertext(bencher: Bencher<'_, '_>, profile: Profile) {
    let ciphertext = Hospital::new(profile).encrypted();
    bencher
        .counter(BytesCount::new(ciphertext.to_bytes().len()))
        .bench(|| ciphertext.to_bytes());
}

#[divan::bench(args = PROFILES)]
fn read_a_ciphertext(bencher: Bencher<'_, '_>, profile: Profile) {
    let hospital = Hospital::new(profile);
    let bytes = hospital.encrypted().to_bytes();
    bencher
        .counter(BytesCount::new(bytes.len()))
        .bench(|| Ciphertext::from_bytes(&hospital.context, &bytes));
}

/// Who has the secret key, and a value for every slot.
struct Hospital {
    context: Context,
    secret: SecretKey,
    values: Vec<f64>,
}

impl Hospital {
    fn new(profile: Profile) -> Self {
        let context = Context::new(profile);
        Self {
            secret: SecretKey::generate(&context, &mut system()),
            values: (0..context.slots()).map(|k| (k as f64).sin()).collect(),
            context,
        }
    }

    fn encoded(&self) -> Plaintext {
        self.context.encode(&self.values).expect("small values")
    }

    fn encrypted(&self) -> Ciphertext {
        let seeded = encrypt_symmetric(&self.secret, &self.encoded(), &mut system());
        seeded.expect("of one context").expand()
    }

    fn product(&self) -> Ciphertext {
        let key = RelinearisationKey::generate(&self.secret, &mut system());
        let (left, right) = (self.encrypted(), self.encrypted());
        Evaluator::new(&self.context)
            .multiply_relinearise_rescale(&left, &right, &key)
            .expect("fresh ciphertexts of one key")
    }
}

/// The operating system's randomness, as a vault takes it.
fn system() -> UnwrapErr<SysRng> {
    UnwrapErr(SysRng)
}

const PROFILES: [Profile; 2] = [Profile::Hardened, Profile::Study];
