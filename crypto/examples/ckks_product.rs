//! A CKKS product, as the conditioning takes it: a hospital encrypts its patients' features and its filters, a coordinator
//! multiplies them slot by slot without being able to read either, and the hospital decrypts.
//!
//! ```sh
//! cargo run --release --package crypto --example ckks_product
//! ```

#![expect(clippy::print_stdout, reason = "it is a program for people")]

use std::error::Error;

use crypto::ckks::{
    Ciphertext, CkksError, Context, Evaluator, Profile, RelinearisationKey, SecretKey,
    SeededCiphertext, decrypt, encrypt_symmetric,
};
use getrandom::SysRng;
use rand_core::UnwrapErr;

fn main() -> Result<(), Box<dyn Error>> {
    for profile in [Profile::Hardened, Profile::Study] {
        let context = Context::new(profile);
        let features: Vec<f64> = (0..context.slots()).map(|k| (k as f64).sin()).collect();
        let filters: Vec<f64> = (0..context.slots()).map(|k| (k as f64).cos()).collect();

        // The hospital. The secret key stays with it; the relinearisation key is for the coordinator, once.
        let mut randomness = UnwrapErr(SysRng);
        let secret = SecretKey::generate(&context, &mut randomness);
        let key = RelinearisationKey::generate(&secret, &mut randomness).to_bytes();
        let mut sent = |values: &[f64]| -> Result<Vec<u8>, CkksError> {
            let plaintext = context.encode(values)?;
            Ok(encrypt_symmetric(&secret, &plaintext, &mut randomness)?.to_bytes())
        };
        let (sent_features, sent_filters) = (sent(&features)?, sent(&filters)?);

        let returned = multiply(profile, &key, &sent_features, &sent_filters)?;

        // The hospital again. What came back says of itself what it is: that is checked before it is decrypted.
        let product = Ciphertext::from_bytes(&context, &returned)?;
        if !product.is_product_of_fresh(&context) || product.key_id() != secret.id() {
            return Err("the coordinator returned something else than a product".into());
        }
        let values = context.decode(&decrypt(&secret, &product)?)?;
        let error = values
            .iter()
            .zip(features.iter().zip(&filters))
            .map(|(found, (feature, filter))| (found - feature * filter).abs())
            .fold(0.0, f64::max);
        println!(
            "{profile}: {} products with an error of at most {error:.1e}; {} bytes for each factor, {} for the product, {} for the key",
            values.len(),
            sent_features.len(),
            returned.len(),
            key.len(),
        );
        if error > 1e-6 {
            return Err(format!("{profile}: a product is off by {error:e}").into());
        }
    }
    Ok(())
}

/// The coordinator, which has bytes and no secret.
fn multiply(
    profile: Profile,
    key: &[u8],
    features: &[u8],
    filters: &[u8],
) -> Result<Vec<u8>, CkksError> {
    let context = Context::new(profile);
    let key = RelinearisationKey::from_bytes(&context, key)?;
    let features = SeededCiphertext::from_bytes(&context, features)?.expand();
    let filters = SeededCiphertext::from_bytes(&context, filters)?.expand();
    let mut evaluator = Evaluator::new(&context);
    let product = evaluator.multiply_relinearise_rescale(&features, &filters, &key)?;
    Ok(product.to_bytes())
}
