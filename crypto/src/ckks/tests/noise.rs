//! What each operation adds to the error: measured, and held against what the distributions predict. The standard deviation
//! has to be within a tenth of a bit of the predicted one, and the largest of some thousand errors below six of them.
//!
//! Secrets and blinds are uniform in {-1, 0, 1}: variance 2/3. Errors are binomials of 42 coins: variance 21/2. What is
//! rounded is off by a number uniform in [-1/2, 1/2]: variance 1/12. A coefficient of a product of two polynomials is
//! a sum of N products; the real part of a slot is a sum of N coefficients times cosines, whose squares are 1/2 on average.

use super::*;
use crate::ckks::rns::{Coefficient, RnsPolynomial};

const ERROR: f64 = 10.5;
const LARGEST_ERROR: f64 = 21.0;
const ROUNDING: f64 = 1.0 / 12.0;

/// One or minus one in every slot: every slot of a product has an error of the same size.
fn signs(stream: u64) -> Vec<f64> {
    let values = uniform_values(stream, 1.0);
    values.iter().map(|value| value.signum()).collect()
}

/// The variance of what comes of rounding both polynomials of a ciphertext: `r0 + r1 s`.
fn rounded_ciphertext(context: &Context) -> f64 {
    ROUNDING * (1.0 + squared_norm_of_secret(context))
}

fn squared_norm_of_secret(context: &Context) -> f64 {
    context.degree() as f64 * 2.0 / 3.0
}

/// The variance of a slot whose coefficients have this variance.
fn in_slots(context: &Context, variance: f64) -> f64 {
    context.degree() as f64 / 2.0 * variance
}

/// The variance of a slot from the rounding of an encoder: twice that of independent coefficients. Real slots make
/// coefficient N - j the negative of coefficient j, and of what is rounded off too: no part of it is imaginary.
fn encoding_in_slots(context: &Context) -> f64 {
    context.degree() as f64 * ROUNDING
}

fn assert_predicted(what: &str, errors: impl IntoIterator<Item = f64>, variance: f64) {
    let errors: Vec<f64> = errors.into_iter().collect();
    let (standard, largest) = log2_error(&errors, &vec![0.0; errors.len()]);
    let predicted = variance.sqrt().log2();
    assert!(
        (standard - predicted).abs() < 0.1,
        "{what}: 2^{standard:.2}, where 2^{predicted:.2} is predicted"
    );
    assert!(
        largest < predicted + 6_f64.log2(),
        "{what}: an error of 2^{largest:.2}, where 2^{predicted:.2} is their standard deviation"
    );
}

/// The coefficients of a difference that is small. They must be the same modulo every prime.
fn small_difference(left: &Plaintext, right: &Plaintext) -> Vec<f64> {
    let plans = left.context.plans(left.level);
    let mut difference: RnsPolynomial<Coefficient> = left.polynomial.duplicate();
    difference.subtract_assign(&right.polynomial, plans);
    let mut rows = difference.rows().zip(plans).map(|(row, plan)| -> Vec<f64> {
        let centred = row.iter().map(|&word| plan.modulus().centred(word) as f64);
        centred.collect()
    });
    let first = rows.next().expect("at least one prime");
    assert!(
        rows.all(|row| row == first),
        "the residues are of one polynomial"
    );
    first
}

/// `d0 + d1 s + d2 s^2`.
fn decrypt_quadratic(secret: &SecretKey, product: &QuadraticCiphertext) -> Plaintext {
    let label = &product.label;
    let plans = label.context.plans(label.level);
    let square = RnsPolynomial::product(&secret.polynomial, &secret.polynomial, plans);
    let mut sum = RnsPolynomial::product(&product.quadratic, &square, plans);
    sum.add_product(&product.linear, &secret.polynomial, plans);
    sum.add_assign(&product.constant, plans);
    Plaintext {
        context: label.context.clone(),
        level: label.level,
        scale: label.scale,
        polynomial: sum.into_coefficients(plans),
    }
}

impl Vault {
    fn opened(&self, ciphertext: &Ciphertext) -> Plaintext {
        decrypt(&self.secret, ciphertext).expect("the own key")
    }

    /// The errors of the slots of a plaintext.
    fn slot_errors(&self, plaintext: &Plaintext, expected: &[f64]) -> Vec<f64> {
        let decoded = self.context.decode(plaintext).expect("the own context");
        decoded.iter().zip(expected).map(|(a, b)| a - b).collect()
    }
}

fn vaults() -> impl Iterator<Item = (Profile, Vault)> {
    [Profile::Hardened, Profile::Study]
        .map(|profile| (profile, Vault::new(profile, 21)))
        .into_iter()
}

/// Encoding rounds each coefficient, and decoding adds nothing that would be seen beside it.
#[test]
fn encoding_costs_a_rounding() {
    for (profile, vault) in vaults() {
        let values = uniform_values(20, 1.0);
        let plaintext = vault.encode(&values);
        let scale = vault.context.fresh_scale();
        let variance = encoding_in_slots(&vault.context) / scale.powi(2);
        let errors = vault.slot_errors(&plaintext, &values);
        assert_predicted(&format!("{profile}, encode"), errors, variance);
    }
}

/// `e`, and decryption adds nothing: what is decrypted differs from what was encrypted by whole numbers of the sampler's.
#[test]
fn encryption_under_the_secret_key_costs_one_error() {
    for (profile, mut vault) in vaults() {
        let plaintext = vault.encode(&uniform_values(21, 1.0));
        let fresh = encrypt_symmetric(&vault.secret, &plaintext, &mut vault.rng);
        let fresh = fresh.expect("the own context").expand();
        let errors = small_difference(&vault.opened(&fresh), &plaintext);
        assert!(errors.iter().all(|error| error.abs() <= LARGEST_ERROR));
        assert_predicted(&format!("{profile}, encrypt (secret key)"), errors, ERROR);
    }
}

/// `e v + e0 + e1 s`.
#[test]
fn encryption_under_the_public_key_costs_two_products_more() {
    for (profile, mut vault) in vaults() {
        let public = PublicKey::generate(&vault.secret, &mut vault.rng);
        let plaintext = vault.encode(&uniform_values(22, 1.0));
        let fresh = encrypt(&public, &plaintext, &mut vault.rng).expect("the own context");
        let errors = small_difference(&vault.opened(&fresh), &plaintext);
        let variance = ERROR * (1.0 + 2.0 * squared_norm_of_secret(&vault.context));
        assert_predicted(
            &format!("{profile}, encrypt (public key)"),
            errors,
            variance,
        );
    }
}

/// The errors add up, and nothing comes to them.
#[test]
fn addition_costs_nothing() {
    for (profile, mut vault) in vaults() {
        let plaintexts = [23, 24].map(|stream| vault.encode(&uniform_values(stream, 1.0)));
        let fresh = plaintexts.each_ref().map(|plaintext| {
            let fresh = encrypt_symmetric(&vault.secret, plaintext, &mut vault.rng);
            fresh.expect("the own context").expand()
        });
        let sum = Evaluator::new(&vault.context).add(&fresh[0], &fresh[1]);
        let sum = vault.opened(&sum.expect("same everything"));
        let plans = vault.context.plans(vault.context.top_level());
        let [mut of_messages, second] = plaintexts;
        of_messages.polynomial.add_assign(&second.polynomial, plans);
        let mut of_opened = vault.opened(&fresh[0]);
        of_opened
            .polynomial
            .add_assign(&vault.opened(&fresh[1]).polynomial, plans);

        assert!(
            small_difference(&sum, &of_opened)
                .iter()
                .all(|&error| error == 0.0)
        );
        let errors = small_difference(&sum, &of_messages);
        assert!(
            errors
                .iter()
                .all(|error| error.abs() <= 2.0 * LARGEST_ERROR)
        );
        assert_predicted(&format!("{profile}, add"), errors, 2.0 * ERROR);
    }
}

/// The operations of a product one after another: `m1 e2 + m2 e1` of the multiplication, the digits times the errors of
/// the key divided by P of the relinearisation, and a rounding of each division.
#[test]
fn multiplication_relinearisation_and_rescaling_cost_what_is_predicted() {
    for (profile, mut vault) in vaults() {
        let (left, right) = (signs(25), signs(26));
        let expected = products(&left, &right);
        let (a, b) = (vault.encrypt(&left), vault.encrypt(&right));
        let context = vault.context.clone();
        let parameters = context.parameters();
        let mut evaluator = Evaluator::new(&context);

        let quadratic = evaluator.multiply(&a, &b).expect("same everything");
        let multiplied = decrypt_quadratic(&vault.secret, &quadratic);
        let of_fresh = (in_slots(&context, ERROR) + encoding_in_slots(&context))
            / context.fresh_scale().powi(2);
        let of_multiplication = 2.0 * of_fresh;
        let errors = vault.slot_errors(&multiplied, &expected);
        assert_predicted(&format!("{profile}, multiply"), errors, of_multiplication);

        let relinearised = evaluator.relinearise(&quadratic, &vault.relinearisation);
        let relinearised = relinearised.expect("the own key");
        let errors = small_difference(&vault.opened(&relinearised), &multiplied);
        // Digits are centred residues: uniform, of variance q^2 / 12.
        let special = parameters.special_prime() as f64;
        let digits = parameters.data_primes().iter();
        let digits: f64 = digits
            .map(|&q| (q as f64 / special).powi(2) * ROUNDING)
            .sum();
        let of_relinearisation =
            context.degree() as f64 * digits * ERROR + rounded_ciphertext(&context);
        assert_predicted(
            &format!("{profile}, relinearise"),
            errors,
            of_relinearisation,
        );

        let rescaled = evaluator.rescale(&relinearised).expect("a prime to drop");
        assert_eq!(rescaled.scale(), context.product_scale());
        let (before, after) = (vault.opened(&relinearised), vault.opened(&rescaled));
        let first = context.plans(0)[0].modulus();
        let dropped = parameters.data_primes()[context.top_level()];
        let errors = before.polynomial.row(0).iter().zip(after.polynomial.row(0));
        let errors = errors.map(|(&before, &after)| {
            let back = first.multiply(after, first.reduce(dropped));
            first.centred(first.subtract(back, before)) as f64 / dropped as f64
        });
        let of_rescaling = rounded_ciphertext(&context);
        assert_predicted(&format!("{profile}, rescale"), errors, of_rescaling);

        let all = of_multiplication
            + in_slots(&context, of_relinearisation) / relinearised.scale().powi(2)
            + in_slots(&context, of_rescaling) / rescaled.scale().powi(2);
        let errors = vault.slot_errors(&after, &expected);
        assert_predicted(&format!("{profile}, all of it"), errors, all);
    }
}
