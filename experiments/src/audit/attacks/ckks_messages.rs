//! Attack 2: the clinical features from what a hospital sends to the coordinator to be multiplied.

use anyhow::{Context as _, ensure};
use crypto::ckks::{
    Ciphertext, Evaluator, Plaintext, Profile, SecretKey, SeededCiphertext, decrypt,
    encrypt_symmetric,
};
use model_data::FEATURES;
use participant::vault::conditioning::weights::ConditioningWeights;
use protocol::vocabulary::ConditioningForm;
use rand::RngExt;
use rand_chacha::ChaCha20Rng;

use super::{
    super::{
        effort::Effort,
        finding::{Finding, Measured, Verdict},
    },
    encrypted::Exchange,
    patients::{FLAGS, RawFeatures, complete_patients, scaled, statistics},
    randomness,
};
use crate::simulation::Progress;

/// Runs it.
///
/// # Errors
/// A vault or a product that is not as it must be.
pub fn run(effort: Effort, seed: u64, progress: &Progress) -> anyhow::Result<Finding> {
    let exchanges = effort.of(3, 25);
    let population = complete_patients(exchanges * PATIENTS, seed);
    let stage = progress.stage("exchanges with a coordinator", 2 * exchanges);
    let (mut control, mut claim) = (Vec::new(), Vec::new());
    let (mut control_won, mut holds) = (true, true);
    for profile in [Profile::Hardened, Profile::Study] {
        let mut rng = randomness(seed, &format!("ckks messages, {profile}"));
        let mut read = Read::default();
        for patients in population.chunks_exact(PATIENTS) {
            read.exchange(profile, patients, effort.of(8, 64), &mut rng)?;
            stage.step();
        }
        for (words, scores) in [
            ("the key given", &read.with_key),
            ("one mask used for features and weights", &read.one_mask),
            (
                "told whether altered products were right",
                &read.told_of_altered,
            ),
        ] {
            let measured = auroc(profile, words, scores)?;
            control_won &= measured.value >= MIN_AUROC;
            control.push(measured);
        }
        for (words, scores) in [
            ("features read without a key", &read.without_key),
            ("the best of guessed keys", &read.guessed_keys),
            (
                "features less the weights, which are known",
                &read.less_weights,
            ),
            ("products over the weights, which are known", &read.products),
            (
                "what the vault asks after altered products",
                &read.after_altered,
            ),
        ] {
            let measured = auroc(profile, words, scores)?;
            holds &= is_chance(scores, measured.value);
            claim.push(measured);
        }
    }
    Ok(Finding {
        number: 2,
        attack: "clinical features from CKKS messages",
        attacker_holds: "all that a hospital sends to the coordinator, the products, and W, from a hospital that helps",
        claimed: "the coordinator does not learn the clinical features, as long as A2 and A3 hold (sections 1 and 3)",
        control,
        control_won,
        claim,
        verdict: match holds {
            true => Verdict::Holds,
            false => Verdict::Broken,
        },
        explanation: "The messages are a vault's own. Read is whether a patient has a feature: the area under the ROC curve of the decoded \
                slots, which is 1/2 for somebody who has nothing. That nothing better than chance can be had is what the assumptions \
                say (section 1, with the bits that they are good for); what is looked for here is whether the code keeps to \
                them: a message that is not masked, a mask that is used twice, a small or a constant key. And what a coordinator \
                can do that answers with other products: with something added to the weight of one patient's flag they are wrong \
                only if the patient has it. So the vault must not show whether they were."
            .to_owned(),
        literature: "ring-LWE and CKKS: Cheon, Kim, Kim and Song 2017",
    })
}

fn auroc(profile: Profile, words: &str, scores: &[(f32, bool)]) -> anyhow::Result<Measured> {
    let measured = Measured::auroc(format!("{profile}, {words}"), "AUROC of flags", scores);
    measured.context("a flag that nobody has, or that all have")
}

/// Decoded slots of flags, and whether the patient has the feature.
#[derive(Default)]
struct Read {
    with_key: Vec<(f32, bool)>,
    one_mask: Vec<(f32, bool)>,
    without_key: Vec<(f32, bool)>,
    guessed_keys: Vec<(f32, bool)>,
    less_weights: Vec<(f32, bool)>,
    products: Vec<(f32, bool)>,
    told_of_altered: Vec<(f32, bool)>,
    after_altered: Vec<(f32, bool)>,
}

impl Read {
    fn exchange(
        &mut self,
        profile: Profile,
        patients: &[RawFeatures],
        guesses: usize,
        rng: &mut ChaCha20Rng,
    ) -> anyhow::Result<()> {
        let form = ConditioningForm::Study;
        let features = scaled(patients, &statistics(patients), form);
        let known: [f32; FEATURES] = std::array::from_fn(|_| rng.random_range(0.1..0.3));
        let weights = ConditioningWeights::from_kept(form, FEATURES, &known);
        let tiled = weights.factors().repeat(patients.len());
        let mut exchange = Exchange::run(profile, form, &features, weights.clone(), rng)?;
        self.alter(&mut exchange, &weights, patients, rng)?;
        let context = &exchange.context;
        ensure!(exchange.features.len() == 1, "the patients fit one block");
        let sent = exchange.features[0].expand();
        let nothing = no_key(&sent)?;

        let slots = read(&exchange.vaults_key, &sent)?;
        push(&mut self.with_key, patients, &slots);

        let slots = read(&nothing, &sent)?;
        push(&mut self.without_key, patients, &slots);

        let mut best: Option<(f64, Vec<f64>)> = None;
        for _ in 0..guesses {
            let guess = SecretKey::generate(context, rng);
            let key = key_of(&sent, guess.expose_evaluations().to_vec())?;
            let slots = read(&key, &sent)?;
            let unlikeness = unlikeness(patients.len(), &slots);
            if best.as_ref().is_none_or(|(least, _)| unlikeness < *least) {
                best = Some((unlikeness, slots));
            }
        }
        let (_, slots) = best.context("a key was guessed")?;
        push(&mut self.guessed_keys, patients, &slots);

        // Were both under one mask, the difference would be that of the plaintexts.
        let between = difference(&sent, &exchange.weights.expand())?;
        let slots = read(&nothing, &between)?;
        push(&mut self.less_weights, patients, &plus(&slots, &tiled));

        let product = &exchange.products[0];
        let slots = read(&no_key(product)?, product)?;
        let quotients: Vec<f64> = slots
            .iter()
            .zip(&tiled)
            .map(|(slot, weight)| slot / weight)
            .collect();
        push(&mut self.products, patients, &quotients);

        // The control of that: two messages from the same randomness.
        let encrypted = |values: &[f64]| -> anyhow::Result<SeededCiphertext> {
            let plaintext = context.encode(values)?;
            Ok(encrypt_symmetric(
                &exchange.vaults_key,
                &plaintext,
                &mut rng.clone(),
            )?)
        };
        let one = encrypted(&features.concat())?.expand();
        let other = encrypted(&tiled)?.expand();
        let slots = read(&nothing, &difference(&one, &other)?)?;
        push(&mut self.one_mask, patients, &plus(&slots, &tiled));
        Ok(())
    }

    /// Asks of some patients, flag by flag, by altering the weight that it meets.
    fn alter(
        &mut self,
        exchange: &mut Exchange,
        weights: &ConditioningWeights,
        patients: &[RawFeatures],
        rng: &mut ChaCha20Rng,
    ) -> anyhow::Result<()> {
        let mut usual = None;
        for (patient, raw) in patients.iter().enumerate().take(ASKED_PATIENTS) {
            for place in FLAGS {
                let mut added = vec![0.0; Profile::SLOTS];
                added[patient * FEATURES + place] = ADDED_WEIGHT;
                let added = exchange.context.encode(&added)?;
                let mut of_attacker = rng.clone();
                of_attacker.set_stream(1);
                let add = |weights: &Ciphertext| with_added(weights, &added, &mut of_attacker);
                let reaction = exchange.altered(weights, add, rng)?;
                let usual = usual.get_or_insert_with(|| reaction.seen.clone());
                let has_flag = raw[place] != 0.0;
                let score = |is_other: bool| (f32::from(u8::from(is_other)), has_flag);
                self.told_of_altered.push(score(!reaction.is_right));
                self.after_altered.push(score(*usual != reaction.seen));
            }
        }
        Ok(())
    }
}

/// The key 0, under which a masked polynomial is read as if it were not masked.
fn no_key(ciphertext: &Ciphertext) -> anyhow::Result<SecretKey> {
    let context = ciphertext.context();
    let words = context.key_plans().len() * context.degree();
    key_of(ciphertext, vec![0; words])
}

/// A key of the attacker's making, which passes for the one that the ciphertext is under.
fn key_of(ciphertext: &Ciphertext, words: Vec<u64>) -> anyhow::Result<SecretKey> {
    let key = SecretKey::from_evaluations(ciphertext.context(), ciphertext.key_id(), words.into());
    key.context("a key of the attacker's")
}

fn read(key: &SecretKey, ciphertext: &Ciphertext) -> anyhow::Result<Vec<f64>> {
    let context = ciphertext.context();
    Ok(context.decode(&decrypt(key, ciphertext)?)?.to_vec())
}

fn difference(left: &Ciphertext, right: &Ciphertext) -> anyhow::Result<Ciphertext> {
    let context = left.context();
    let plans = context.key_plans();
    let subtract = |left: &[u64], right: &[u64]| -> Vec<u64> {
        let pairs = left.iter().zip(right).enumerate();
        let words = pairs.map(|(place, (&left, &right))| {
            plans[place / context.degree()]
                .modulus()
                .subtract(left, right)
        });
        words.collect()
    };
    let [constant, linear] = left.evaluations();
    let [other_constant, other_linear] = right.evaluations();
    let words = [
        subtract(constant, other_constant),
        subtract(linear, other_linear),
    ];
    let difference =
        Ciphertext::from_evaluations(context, left.key_id(), left.level(), left.scale(), words);
    Ok(difference?)
}

/// With something added to its plaintext, which needs no key: the first half of a ciphertext under the key 0 is a plaintext and noise.
fn with_added(
    ciphertext: &Ciphertext,
    added: &Plaintext,
    rng: &mut ChaCha20Rng,
) -> anyhow::Result<Ciphertext> {
    let context = ciphertext.context();
    let added = encrypt_symmetric(&no_key(ciphertext)?, added, rng)?.expand();
    let [constant, linear] = added.evaluations();
    let words = [constant.to_vec(), vec![0; linear.len()]];
    let (key, level, scale) = (added.key_id(), added.level(), added.scale());
    let added = Ciphertext::from_evaluations(context, key, level, scale, words)?;
    Ok(Evaluator::new(context).add(ciphertext, &added)?)
}

fn plus(slots: &[f64], tiled: &[f64]) -> Vec<f64> {
    slots
        .iter()
        .zip(tiled)
        .map(|(slot, weight)| slot + weight)
        .collect()
}

fn push(scores: &mut Vec<(f32, bool)>, patients: &[RawFeatures], slots: &[f64]) {
    for (raw, slots) in patients.iter().zip(slots.chunks_exact(FEATURES)) {
        scores.extend(FLAGS.map(|place| (slots[place] as f32, raw[place] != 0.0)));
    }
}

/// How far decoded slots are from flags that are 0 or 1.
fn unlikeness(patients: usize, slots: &[f64]) -> f64 {
    let rows = slots.chunks_exact(FEATURES).take(patients);
    let distances =
        rows.flat_map(|row| FLAGS.map(|place| row[place].abs().min((row[place] - 1.0).abs())));
    distances.sum()
}

/// Within five deviations of 1/2, of a score that has nothing to do with the flags: beyond once in two million times.
fn is_chance(scores: &[(f32, bool)], value: f64) -> bool {
    let positive = scores.iter().filter(|(_, is_set)| *is_set).count() as f64;
    let negative = scores.len() as f64 - positive;
    let deviation = ((positive + negative + 1.0) / (12.0 * positive * negative)).sqrt();
    (value - 0.5).abs() <= 5.0 * deviation
}

/// One block of patients, and not a full one.
const PATIENTS: usize = 400;
/// Of a block, those whose flags are asked for one by one.
const ASKED_PATIENTS: usize = 8;
/// Thousands of times what a vault takes for an error.
const ADDED_WEIGHT: f64 = 0.01;
/// Decryption is exact to 2^-30.
const MIN_AUROC: f64 = 0.999;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_opens_the_features_and_so_does_a_mask_that_is_used_twice() {
        let patients = complete_patients(60, 4);
        let mut rng = randomness(4, "ckks messages, a test");
        let mut read = Read::default();
        read.exchange(Profile::Study, &patients, 2, &mut rng)
            .expect("an exchange");
        let auroc = |scores: &[(f32, bool)]| auroc(Profile::Study, "", scores).expect("both").value;
        assert_eq!(auroc(&read.with_key), 1.0);
        assert_eq!(auroc(&read.one_mask), 1.0);
        assert_eq!(auroc(&read.told_of_altered), 1.0);
        assert_eq!(auroc(&read.after_altered), 0.5);
        for scores in [
            &read.without_key,
            &read.guessed_keys,
            &read.less_weights,
            &read.products,
        ] {
            assert!(is_chance(scores, auroc(scores)), "{}", auroc(scores));
        }
        assert!(!is_chance(&read.with_key, 1.0));
    }
}
