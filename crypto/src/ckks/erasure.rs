//! That nothing secret of CKKS stays in memory once it is dropped (PROTOCOL 7).

use rand::{SeedableRng, rngs::StdRng};
use zeroize::Zeroizing;

use super::{
    Context, Evaluator, Profile, PublicKey, RelinearisationKey, SecretKey, decrypt, encrypt,
    encrypt_symmetric,
};
use side_channels::memory::Needle;

#[test]
fn keys_and_values_leave_nothing_behind() {
    let context = Context::new(Profile::Study);
    let mut rng = StdRng::seed_from_u64(0x5eed);
    let secret = SecretKey::generate(&context, &mut rng);
    let public = PublicKey::generate(&secret, &mut rng);
    let key = RelinearisationKey::generate(&secret, &mut rng);

    let mut needles = vec![];
    let of_words = |words: &[u64]| Needle::from_words(words[..64].iter().copied());
    for row in secret.polynomial.rows() {
        needles.push(("secret key, transformed", of_words(row)));
    }
    let plans = context.key_plans();
    let coefficients = secret.polynomial.duplicate().into_coefficients(plans);
    for (row, plan) in coefficients.rows().zip(plans) {
        needles.push(("secret key, residues", of_words(row)));
        let small = row[..64]
            .iter()
            .map(|&word| plan.modulus().centred(word) as u64);
        needles.push(("secret key, coefficients", Needle::from_words(small)));
    }
    drop(coefficients);

    let values: Zeroizing<Vec<f64>> =
        Zeroizing::new((1..=context.slots()).map(|k| (k as f64).sin()).collect());
    needles.push(("values", Needle::from_reals(values[..64].iter().copied())));
    let plaintext = context.encode(&values).expect("small values");
    for row in plaintext.polynomial.rows() {
        needles.push(("plaintext", of_words(row)));
    }
    let seeded = encrypt_symmetric(&secret, &plaintext, &mut rng).expect("of one context");
    let fresh = encrypt(&public, &plaintext, &mut rng).expect("of one context");
    let product = Evaluator::new(&context)
        .multiply_relinearise_rescale(&seeded.expand(), &fresh, &key)
        .expect("of one key");
    let decrypted = decrypt(&secret, &product).expect("of one key");
    for row in decrypted.polynomial.rows() {
        needles.push(("decrypted polynomial", of_words(row)));
    }
    let decoded = context.decode(&decrypted).expect("of one context");
    needles.push((
        "decoded values",
        Needle::from_reals(decoded[..64].iter().copied()),
    ));

    let alive = needles
        .iter()
        .filter(|(_, needle)| needle.occurrences() > 0)
        .count();
    assert!(alive >= 7, "only {alive} of what is still in use was found");
    drop((secret, values, plaintext, decrypted, decoded));
    let left: Vec<_> = (needles.iter())
        .map(|(name, needle)| (*name, needle.occurrences()))
        .filter(|(_, occurrences)| *occurrences > 0)
        .collect();
    assert!(left.is_empty(), "left in memory: {left:?}");
}
