//! The evaluator and the running sum allocate nothing but their results: no room is made for a digit, a prime or a row.

use allocation_counter::measure;
use crypto::ckks::{
    Ciphertext, Context, Evaluator, Profile, RelinearisationKey, SecretKey, encrypt_symmetric,
};
use crypto::sealed_sum::{CHUNK_BYTES, RunningSum};
use rand::{SeedableRng, rngs::StdRng};

/// How often and for how many bytes the work asks the allocator, the second time it is done.
fn asked<T>(mut work: impl FnMut() -> T) -> (u64, u64) {
    work();
    let asked = measure(|| drop(work()));
    (asked.count_total, asked.bytes_total)
}

#[test]
fn the_evaluator_allocates_one_block_for_each_polynomial_of_its_results() {
    for profile in [Profile::Hardened, Profile::Study] {
        let (context, mut rng) = (Context::new(profile), StdRng::seed_from_u64(1));
        let secret = SecretKey::generate(&context, &mut rng);
        let key = RelinearisationKey::generate(&secret, &mut rng);
        let mut encrypted = || -> Ciphertext {
            let plaintext = context.encode(&[0.5; 9]).expect("small values");
            let fresh = encrypt_symmetric(&secret, &plaintext, &mut rng);
            fresh.expect("of one context").expand()
        };
        let (left, right) = (encrypted(), encrypted());
        let row = 8 * context.degree() as u64;
        let polynomial = row * (context.top_level() as u64 + 1);

        let mut evaluator = Evaluator::new(&context);
        let product = evaluator.multiply(&left, &right).expect("of one key");
        let relinearised = evaluator.relinearise(&product, &key).expect("of one key");
        let added = asked(|| evaluator.add(&left, &right).expect("of one key"));
        assert_eq!(added, (2, 2 * polynomial), "{profile}, add");
        let multiplied = asked(|| evaluator.multiply(&left, &right).expect("of one key"));
        assert_eq!(multiplied, (3, 3 * polynomial), "{profile}, multiply");
        let switched = asked(|| evaluator.relinearise(&product, &key).expect("of one key"));
        assert_eq!(switched, (2, 2 * polynomial), "{profile}, relinearise");
        let rescaled = asked(|| evaluator.rescale(&relinearised).expect("a prime to drop"));
        assert_eq!(rescaled, (2, 2 * polynomial), "{profile}, rescale");
        let all = asked(|| {
            let product = evaluator.multiply_relinearise_rescale(&left, &right, &key);
            product.expect("of one key")
        });
        assert_eq!(all, (2, 2 * (polynomial - row)), "{profile}, all of it");
    }
}

#[test]
fn adding_a_contribution_allocates_nothing() {
    let mut sum = RunningSum::new(20);
    let contribution = vec![7; 20 * CHUNK_BYTES];
    assert_eq!(asked(|| sum.add(&contribution).is_ok()), (0, 0));
    // Refused at its last word, after nineteen chunks that have to be taken out again.
    let mut refused = contribution;
    refused[20 * CHUNK_BYTES - 8..].fill(0xff);
    assert_eq!(asked(|| sum.add(&refused).is_err()), (0, 0));
}

/// That what is counted is counted.
#[test]
fn an_allocation_is_seen() {
    assert_eq!(asked(|| std::hint::black_box(vec![1_u8; 1000])), (1, 1000));
}
