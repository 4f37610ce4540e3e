use serde::Deserialize;

use super::ciphertext::Label;
use super::keys::relinearisation::Digit;
use super::rns::{Coefficient, RnsPolynomial};
use super::*;
use crate::known_answers::{Bytes, Digested, SplitMix, read};
use crate::ring::NttPlan;

/// A slot and its value.
#[derive(Deserialize)]
struct Slot(usize, f64);

impl Slot {
    #[track_caller]
    fn check(what: &str, expected: &[Self], values: &[f64], tolerance: f64) {
        assert_eq!(expected.len(), 11);
        for &Self(slot, value) in expected {
            let found = values[slot];
            assert!(
                (found - value).abs() <= tolerance,
                "{what}, slot {slot}: {found} for {value}"
            );
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Encodings {
    degree: usize,
    cases: Vec<Encoding>,
    any_polynomial: Decoding,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Encoding {
    seed: u64,
    values: usize,
    log2_scale: i32,
    first_values: Vec<f64>,
    /// By how much coefficients may differ: not at all where floats are precise enough for the margin.
    tolerance: i64,
    log2_margin: f64,
    coefficients: Digested<i64>,
    first_coefficients: Vec<i64>,
    decoded: Vec<Slot>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Decoding {
    seed: u64,
    log2_scale: i32,
    decoded: Vec<Slot>,
}

#[test]
fn encodings_are_those_of_exact_arithmetic() {
    let encodings: Encodings = read(include_str!("../../vectors/encodings.json"));
    let context = Context::new(Profile::Study);
    assert_eq!(encodings.degree, context.degree());
    assert_eq!(encodings.cases.len(), 12);
    for case in &encodings.cases {
        let mut source = SplitMix::new(case.seed);
        let value = |word: u64| ((word >> 43) as f64 - 1_048_576.0) / 262_144.0;
        let values: Vec<f64> = (0..case.values).map(|_| value(source.word())).collect();
        assert!(values.starts_with(&case.first_values));
        let scale = 2_f64.powi(case.log2_scale);
        let plaintext = context
            .encode_at(&values, context.top_level(), scale)
            .expect("encodes");
        let found = signed(&plaintext);
        for (&found, &expected) in found.iter().zip(&case.first_coefficients) {
            assert!(
                (found - expected).abs() <= case.tolerance,
                "{found} for {expected}"
            );
        }
        assert_eq!(case.tolerance, i64::from(case.log2_scale == 45));
        if case.tolerance == 0 {
            assert!(case.log2_margin > -19.0);
            case.coefficients.check("coefficients", &found);
        } else {
            assert_eq!(found.len(), case.coefficients.count);
        }
        let decoded = context.decode(&plaintext).expect("decodes");
        // A coefficient that was rounded the other way moves a slot by one unit at most.
        let tolerance = 1e-13 + 2.0 * case.tolerance as f64 / scale;
        Slot::check("decoded", &case.decoded, &decoded, tolerance);
    }

    let Decoding {
        seed,
        log2_scale,
        decoded,
    } = encodings.any_polynomial;
    let mut source = SplitMix::new(seed);
    let coefficients: Vec<i64> = (0..context.degree())
        .map(|_| (source.word() >> 24) as i64 - (1 << 39))
        .collect();
    let plaintext = plaintext(&context, &coefficients, 2_f64.powi(log2_scale));
    let found = context.decode(&plaintext).expect("decodes");
    Slot::check("any polynomial", &decoded, &found, 1e-11);
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Products {
    cases: Vec<Product>,
}

/// Polynomials stand as residues modulo one prime after another.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Product {
    profile: String,
    message_shift: u32,
    secret: Digested<i64>,
    left: Digested<i64>,
    right: Digested<i64>,
    left_slots: Vec<Slot>,
    right_slots: Vec<Slot>,
    public_key: Digested<u64>,
    relinearisation_key: Vec<Digested<u64>>,
    seed: Bytes<32>,
    symmetric: [Digested<u64>; 2],
    asymmetric: [Digested<u64>; 2],
    product: [Digested<u64>; 3],
    relinearised: [Digested<u64>; 2],
    rescaled: [Digested<u64>; 2],
    rescaled_scale: f64,
    decrypted: Digested<i64>,
    decrypted_slots: Vec<Slot>,
    log2_worst_error: f64,
    wire: Wire,
}

/// The wire forms. The public key and the relinearisation key have no seeds.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    key_id: Bytes<16>,
    seeded_ciphertext: Digested<u8>,
    ciphertext: Digested<u8>,
    product: Digested<u8>,
    public_key: Digested<u8>,
    relinearisation_key: Digested<u8>,
}

#[test]
fn products_are_those_of_large_integers() {
    let Products { cases } = read(include_str!("../../vectors/ckks_products.json"));
    assert!(
        cases
            .iter()
            .map(|case| case.profile.as_str())
            .eq(["hardened", "study"])
    );
    for case in &cases {
        case.check();
    }
}

impl Product {
    fn check(&self) {
        let context = Context::new(self.profile.parse().expect("a profile"));
        let inputs = Inputs { context: &context };
        let secret = self.secret_key(&inputs);
        let public = self.public_key(&inputs, &secret);
        let key = self.relinearisation_key(&inputs, &secret);
        let [left, right] = self.messages(&inputs);
        let left_encrypted = self.encrypt_left(&inputs, &secret, &left);
        let right_encrypted = self.encrypt_right(&inputs, &public, &right);

        let mut evaluator = Evaluator::new(&context);
        let (plans, below) = (
            context.plans(context.top_level()),
            context.plans(context.top_level() - 1),
        );
        let product = evaluator
            .multiply(&left_encrypted, &right_encrypted)
            .expect("multiplies");
        let parts = [&product.constant, &product.linear, &product.quadratic];
        check("product", &self.product, parts, plans);
        let relinearised = evaluator.relinearise(&product, &key).expect("relinearises");
        let parts = [&relinearised.constant, &relinearised.linear];
        check("relinearised", &self.relinearised, parts, plans);
        let rescaled = evaluator.rescale(&relinearised).expect("rescales");
        check(
            "rescaled",
            &self.rescaled,
            [&rescaled.constant, &rescaled.linear],
            below,
        );
        assert_eq!(rescaled.scale(), self.rescaled_scale);
        assert!(rescaled.is_product_of_fresh(&context));
        self.wire
            .product
            .check("wire form of the product", &rescaled.to_bytes());

        // Joint division rounds otherwise than one after the other with a chance of 2^-27.
        let at_once =
            evaluator.multiply_relinearise_rescale(&left_encrypted, &right_encrypted, &key);
        self.wire
            .product
            .check("the same at once", &at_once.expect("all of it").to_bytes());

        let decrypted = decrypt(&secret, &rescaled).expect("decrypts");
        self.decrypted.check("decrypted", &signed(&decrypted));
        let values = context.decode(&decrypted).expect("decodes");
        Slot::check("product", &self.decrypted_slots, &values, 1e-12);
        let factors = [left, right].map(|message| context.decode(&message).expect("decodes"));
        let products = factors[0].iter().zip(factors[1].iter()).map(|(a, b)| a * b);
        let errors = products
            .zip(values.iter())
            .map(|(product, value)| (product - value).abs());
        let log2_worst = errors.fold(0.0, f64::max).log2();
        assert!(
            (log2_worst - self.log2_worst_error).abs() < 0.02,
            "{log2_worst}"
        );
    }

    fn key_id(&self) -> KeyId {
        KeyId::from_bytes(self.wire.key_id.0)
    }

    fn secret_key(&self, inputs: &Inputs<'_>) -> SecretKey {
        let coefficients = inputs.ternary(10);
        self.secret.check("secret", &coefficients);
        let polynomial = evaluations(&coefficients, inputs.context.key_plans());
        SecretKey::from_parts(inputs.context, self.key_id(), polynomial)
    }

    fn public_key(&self, inputs: &Inputs<'_>, secret: &SecretKey) -> PublicKey {
        let plans = inputs.context.key_plans();
        let uniform = inputs.uniform(11, plans);
        let masked = masked(secret, &uniform, &inputs.error(12), plans);
        check(
            "public key",
            std::array::from_ref(&self.public_key),
            [&masked],
            plans,
        );
        let key = PublicKey::from_parts(inputs.context, self.key_id(), None, masked, uniform);
        self.wire
            .public_key
            .check("wire form of the public key", &key.to_bytes());
        key
    }

    fn relinearisation_key(&self, inputs: &Inputs<'_>, secret: &SecretKey) -> RelinearisationKey {
        let plans = inputs.context.key_plans();
        let square = RnsPolynomial::product(&secret.polynomial, &secret.polynomial, plans);
        let digit = |(place, expected): (usize, &Digested<u64>)| {
            let uniform = inputs.uniform(30 + place as u64, plans);
            let mut masked = masked(secret, &uniform, &inputs.error(40 + place as u64), plans);
            let modulus = plans[place].modulus();
            let special = modulus.reduce(inputs.context.parameters().special_prime());
            for (word, &square) in masked.row_mut(place).iter_mut().zip(square.row(place)) {
                *word = modulus.add(*word, modulus.multiply(special, square));
            }
            check(
                "relinearisation key",
                std::array::from_ref(expected),
                [&masked],
                plans,
            );
            Digit {
                seed: None,
                masked,
                uniform,
            }
        };
        let digits = self
            .relinearisation_key
            .iter()
            .enumerate()
            .map(digit)
            .collect();
        let key = RelinearisationKey::from_parts(inputs.context, self.key_id(), digits);
        let wire = &self.wire.relinearisation_key;
        wire.check("wire form of the relinearisation key", &key.to_bytes());
        key
    }

    fn messages(&self, inputs: &Inputs<'_>) -> [Plaintext; 2] {
        let context = inputs.context;
        let sides = [
            (20, &self.left, &self.left_slots),
            (21, &self.right, &self.right_slots),
        ];
        sides.map(|(seed, expected, slots)| {
            let coefficients = inputs.message(seed, self.message_shift);
            expected.check("message", &coefficients);
            let message = plaintext(context, &coefficients, context.fresh_scale());
            let values = context.decode(&message).expect("decodes");
            Slot::check("message", slots, &values, 1e-13);
            // What has these values is this polynomial.
            let again = context.encode(&values).expect("encodes");
            assert_eq!(signed(&again), coefficients);
            message
        })
    }

    /// With the secret key: `(-a s + e + m, a)`, a from its seed.
    fn encrypt_left(
        &self,
        inputs: &Inputs<'_>,
        secret: &SecretKey,
        message: &Plaintext,
    ) -> Ciphertext {
        let plans = inputs.context.plans(inputs.context.top_level());
        let uniform = RnsPolynomial::from_seed(&self.seed.0, plans);
        let mut constant = masked(secret, &uniform, &inputs.error(14), plans);
        constant.add_assign(
            &message.polynomial.duplicate().into_evaluations(plans),
            plans,
        );
        let seeded = SeededCiphertext {
            label: self.fresh(inputs.context),
            seed: self.seed.0,
            constant,
        };
        self.wire
            .seeded_ciphertext
            .check("wire form of a seeded ciphertext", &seeded.to_bytes());
        let expanded = seeded.expand();
        check(
            "symmetric",
            &self.symmetric,
            [&expanded.constant, &expanded.linear],
            plans,
        );
        expanded
    }

    /// With the public key: `(b v + e0 + m, a v + e1)`.
    fn encrypt_right(
        &self,
        inputs: &Inputs<'_>,
        public: &PublicKey,
        message: &Plaintext,
    ) -> Ciphertext {
        let plans = inputs.context.plans(inputs.context.top_level());
        let blind = evaluations(&inputs.ternary(15), plans);
        let mut constant = evaluations(&inputs.error(16), plans);
        constant.add_product(&public.masked, &blind, plans);
        constant.add_assign(
            &message.polynomial.duplicate().into_evaluations(plans),
            plans,
        );
        let mut linear = evaluations(&inputs.error(17), plans);
        linear.add_product(&public.uniform, &blind, plans);
        check("asymmetric", &self.asymmetric, [&constant, &linear], plans);
        let label = self.fresh(inputs.context);
        let encrypted = Ciphertext {
            label,
            constant,
            linear,
        };
        self.wire
            .ciphertext
            .check("wire form of a ciphertext", &encrypted.to_bytes());
        encrypted
    }

    fn fresh(&self, context: &Context) -> Label {
        Label {
            context: context.clone(),
            key: self.key_id(),
            level: context.top_level(),
            scale: context.fresh_scale(),
        }
    }
}

/// `-a s + e`.
fn masked(
    secret: &SecretKey,
    uniform: &RnsPolynomial,
    error: &[i64],
    plans: &[NttPlan],
) -> RnsPolynomial {
    let mut masked = evaluations(error, plans);
    masked.subtract_assign(
        &RnsPolynomial::product(uniform, &secret.polynomial, plans),
        plans,
    );
    masked
}

/// The inputs of a product, each from its own seed.
struct Inputs<'a> {
    context: &'a Context,
}

impl Inputs<'_> {
    fn words<Item>(&self, seed: u64, item: impl Fn(u64) -> Item) -> Vec<Item> {
        let mut source = SplitMix::new(seed);
        (0..self.context.degree())
            .map(|_| item(source.word()))
            .collect()
    }

    fn ternary(&self, seed: u64) -> Vec<i64> {
        self.words(seed, |word| (word % 3) as i64 - 1)
    }

    fn error(&self, seed: u64) -> Vec<i64> {
        self.words(seed, |word| i64::from((word << 22).count_ones()) - 21)
    }

    fn uniform(&self, seed: u64, plans: &[NttPlan]) -> RnsPolynomial {
        let mut source = SplitMix::new(seed);
        let primes = plans.iter().map(|plan| plan.modulus().value());
        let mut words = vec![];
        for prime in primes {
            words.extend((0..self.context.degree()).map(|_| source.below(prime)));
        }
        RnsPolynomial::<Coefficient>::from_words(words, self.context.degree())
            .into_evaluations(plans)
    }

    /// Coefficients with `c_(N-i) = -c_i`: all slots are real.
    fn message(&self, seed: u64, shift: u32) -> Vec<i64> {
        let half = self.context.degree() / 2;
        let mut message = self.words(seed, |word| (word >> shift) as i64 - (1 << (63 - shift)));
        message.truncate(half);
        message.push(0);
        for place in (1..half).rev() {
            message.push(-message[place]);
        }
        message
    }
}

fn evaluations(coefficients: &[i64], plans: &[NttPlan]) -> RnsPolynomial {
    RnsPolynomial::from_signed(coefficients, plans).into_evaluations(plans)
}

fn plaintext(context: &Context, coefficients: &[i64], scale: f64) -> Plaintext {
    let level = context.top_level();
    Plaintext {
        context: context.clone(),
        level,
        scale,
        polynomial: RnsPolynomial::from_signed(coefficients, context.plans(level)),
    }
}

/// The coefficients of a plaintext, all below half its first prime in magnitude.
fn signed(plaintext: &Plaintext) -> Vec<i64> {
    let modulus = plaintext.context.plans(0)[0].modulus();
    let residues = plaintext.polynomial.row(0).iter();
    let coefficients: Vec<i64> = residues.map(|&word| modulus.centred(word)).collect();
    let plans = plaintext.context.plans(plaintext.level);
    let again = RnsPolynomial::<Coefficient>::from_signed(&coefficients, plans);
    assert!(
        again.rows().eq(plaintext.polynomial.rows()),
        "small coefficients"
    );
    coefficients
}

#[track_caller]
fn check<const PARTS: usize>(
    what: &str,
    expected: &[Digested<u64>; PARTS],
    found: [&RnsPolynomial; PARTS],
    plans: &[NttPlan],
) {
    for (expected, polynomial) in expected.iter().zip(found) {
        let coefficients = polynomial.duplicate().into_coefficients(plans);
        let words: Vec<u64> = coefficients.rows().flatten().copied().collect();
        expected.check(what, &words);
    }
}
