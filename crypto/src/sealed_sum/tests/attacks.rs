//! Each attack that PROTOCOL 3.10 is made against fails, and names the culprit as far as anything can.

use super::*;
use crate::ring::Modulus;
use crate::sealed_sum::field::inverse;
use crate::sealed_sum::shamir::{lagrange_at_zero, rebuild};

/// DELTA: the step between two neighbouring messages.
const STEP: u64 = 1 << 13;

/// Adds to one word of a sum or contribution.
fn shift_word(bytes: &mut [u8], word: usize, by: u64) {
    let place = &mut bytes.as_chunks_mut::<8>().0[word];
    let shifted = Modulus::new(MODULUS).add(u64::from_le_bytes(*place), by);
    *place = shifted.to_le_bytes();
}

/// The share with one element larger; elements from 4096 are the mask scalars.
fn shifted_share(share: &Share, element: usize, by: u32) -> Share {
    let mut bytes = share.to_bytes();
    let pair = [bytes[2 * element], bytes[2 * element + 1]];
    let changed = (u32::from(u16::from_le_bytes(pair)) + by) % SHARE_MODULUS;
    bytes[2 * element..2 * element + 2].copy_from_slice(&(changed as u16).to_le_bytes());
    Share::from_bytes(&bytes).expect("still below p")
}

fn share_off_by_one(share: &Share, element: usize) -> Share {
    shifted_share(share, element, 1)
}

fn shifted(answer: &UnlockVector, element: usize, by: u32) -> UnlockVector {
    let mut bytes = answer.to_bytes().to_vec();
    bytes.extend([0; 16]);
    let share = Share::from_bytes(&bytes).expect("a valid share");
    let changed = shifted_share(&share, element, by).to_bytes();
    UnlockVector::from_bytes(&changed[..UNLOCK_BYTES]).expect("still below p")
}

fn off_by_one(answer: &UnlockVector, element: usize) -> UnlockVector {
    shifted(answer, element, 1)
}

fn ids(places: &[usize]) -> Vec<HospitalId> {
    places.iter().map(|place| hospital(place + 1)).collect()
}

/// Property 18: whatever multiple of a step a coordinator adds, and wherever, the noise check passes and the tag does not.
#[test]
fn a_multiple_of_the_step_added_to_the_sum_is_caught_by_the_tag() {
    let round = Scenario::new();
    let seven = round.answers(0..7);
    let tag_chunk = 2 * RING_DEGREE;
    for word in [
        0,
        4095,
        4096,
        4500,
        tag_chunk,
        tag_chunk + 1,
        tag_chunk + 2,
        tag_chunk + 4095,
    ] {
        // One step up, one down, and one in the second field.
        for by in [STEP, MODULUS - STEP, STEP << 24] {
            let mut sum = round.sum.clone();
            shift_word(&mut sum, word, by);
            let fault = round.fault(&sum, &seven);
            // Zero less one is no message any more.
            let below_zero = by == MODULUS - STEP && word > tag_chunk + 1;
            let noise = OpenFault::Noise { chunk: 2 };
            let expected = if below_zero { noise } else { OpenFault::Tag };
            assert_eq!(fault, expected, "word {word}, by {by}");
        }
    }
    // Two changes that cancel in the sum of all values.
    let mut sum = round.sum.clone();
    shift_word(&mut sum, 1, STEP);
    shift_word(&mut sum, 2, MODULUS - STEP);
    assert_eq!(round.fault(&sum, &seven), OpenFault::Tag);
    // Unused fields are not tagged, but must be 0.
    let mut sum = round.sum.clone();
    shift_word(&mut sum, 4600, STEP);
    assert_eq!(round.fault(&sum, &seven), OpenFault::Padding);
}

/// Who leaves a contribution out of the sum, or replaces one by its own of the same values, has not the secret either.
#[test]
fn a_contribution_left_out_or_doubled_is_caught() {
    let round = Scenario::new();
    let seven = round.answers(0..7);
    for copies in [0, 2] {
        let mut sum = RunningSum::new(round.setting.shape.chunks());
        for (place, contribution) in round.contributions.iter().enumerate() {
            for _ in 0..if place == 3 { copies } else { 1 } {
                sum.add(&contribution.chunks).expect("valid words");
            }
        }
        assert!(matches!(
            round.fault(sum.as_bytes(), &seven),
            OpenFault::SecretDoesNotFit { tried: 1, .. }
        ));
    }
}

/// A contributor that tags other values than it sends spoils the sum, and is not told from the coordinator.
#[test]
fn a_forged_tag_is_caught() {
    let round = Scenario::new();
    let mut sum = round.sum.clone();
    // The tag of the first value being larger by one is larger by rho_0: a guess of it is wrong.
    shift_word(&mut sum, 0, STEP);
    shift_word(&mut sum, 2 * RING_DEGREE, 12_345 * STEP);
    shift_word(&mut sum, 2 * RING_DEGREE + 1, 54_321 * STEP);
    assert_eq!(
        round.refusal(&sum, &round.answers(0..7)),
        OpenFault::Tag.into()
    );
}

/// Property 18: one wrong share is detected with one answer above the threshold, and named with two.
#[test]
fn a_dealer_with_one_inconsistent_share_is_detected_and_the_row_named() {
    let round = Scenario::new();
    let digest = [9; 32];
    // The smallest error there is, in the secret's shares and in the mask's.
    for (place, element) in [(0, 0), (3, 4095), (6, 4096 + 7)] {
        let mut answers = round.dealer_answers(2, &digest);
        assert_eq!(judge_dealer(7, &answers), DealerVerdict::Consistent);
        let share = &round.contributions[2].shares[place].1;
        answers[place].1 = share_off_by_one(share, element).answer(&digest);

        assert_eq!(judge_dealer(7, &answers[..7]), DealerVerdict::TooFew);
        assert_eq!(judge_dealer(7, &answers[..8]), DealerVerdict::Inconsistent);
        let named = DealerVerdict::Deviating(ids(&[place]));
        assert_eq!(judge_dealer(7, &answers[..9]), named);
        assert_eq!(judge_dealer(7, &answers), named);
        // A second answer of a hospital does not count, whatever it says.
        answers.extend(answers[..4].to_vec());
        assert_eq!(judge_dealer(7, &answers), named);
    }
}

#[test]
fn a_dealer_with_two_inconsistent_shares_is_undecodable_until_four_answers_are_to_spare() {
    // Ten hospitals and a threshold of six, so that all answers are four to spare.
    let shape = SumShape::new(3, &[1], FieldFormat::TwoBy24, 10).expect("a valid shape");
    let contribution = Setting::new(shape, 6).seal_fields(4, &[1, 2, 3, 1]);
    let digest = [1; 32];
    let mut answers: Vec<_> = contribution
        .shares
        .iter()
        .map(|(id, share)| (*id, share.answer(&digest)))
        .collect();
    for place in [1, 5] {
        let share = &contribution.shares[place].1;
        answers[place].1 = share_off_by_one(share, 10 + place).answer(&digest);
    }
    assert_eq!(judge_dealer(6, &answers[..7]), DealerVerdict::Inconsistent);
    for count in [8, 9] {
        assert_eq!(
            judge_dealer(6, &answers[..count]),
            DealerVerdict::Undecodable
        );
    }
    let named = DealerVerdict::Deviating(ids(&[1, 5]));
    assert_eq!(judge_dealer(6, &answers), named);
}

/// An answer for another manifest is as good as a wrong one.
#[test]
fn a_recipient_that_answers_wrongly_is_named() {
    let round = Scenario::new();
    let digest = [9; 32];
    let mut answers = round.dealer_answers(0, &digest);
    answers[5].1 = round.contributions[0].shares[5].1.answer(&[10; 32]);
    let named = DealerVerdict::Deviating(ids(&[5]));
    assert_eq!(judge_dealer(7, &answers), named);
}

/// The mask: without it, answers would tell the coordinator sums of the shares, and so of the secret.
#[test]
fn an_answer_hides_the_share_behind_the_mask() {
    let round = Scenario::new();
    let share = &round.contributions[0].shares[0].1;
    let mut unmasked = share.to_bytes();
    unmasked[UNLOCK_BYTES..].fill(0);
    let bare = Share::from_bytes(&unmasked)
        .expect("valid")
        .answer(&[9; 32]);
    let answer = share.answer(&[9; 32]);
    let element = |bytes: &[u8], row: usize| {
        u32::from(u16::from_le_bytes([bytes[2 * row], bytes[2 * row + 1]]))
    };
    let bytes = share.to_bytes();
    for row in 0..8 {
        let mask = element(&bytes[UNLOCK_BYTES..], row);
        let sum = (element(&bare.to_bytes(), row) + mask) % SHARE_MODULUS;
        assert_eq!(element(&answer.to_bytes(), row), sum);
    }
    assert_ne!(answer, bare);
}

#[test]
fn answers_off_the_wire_are_checked() {
    let good = [7; DealerAnswer::BYTES];
    assert_eq!(
        DealerAnswer::from_bytes(&good).expect("valid").to_bytes(),
        good
    );
    assert!(matches!(
        DealerAnswer::from_bytes(&good[1..]),
        Err(SumError::Length { found: 15, .. })
    ));
    let mut outside = good;
    outside[14..].copy_from_slice(&65_521_u16.to_le_bytes());
    assert!(matches!(
        DealerAnswer::from_bytes(&outside),
        Err(SumError::Word { index: 7, .. })
    ));
}

/// Property 18: shares of another secret than the mask's agree with each other; the sum does not open, and nobody is named.
#[test]
fn a_dealer_that_shares_another_secret_spoils_the_sum_unseen() {
    let round = Scenario::new();
    let other = round.setting.seal_fields(8, &[1; 9000]);
    let digest = [9; 32];
    let answers: Vec<_> = (other.shares.iter())
        .map(|(id, share)| (*id, share.answer(&digest)))
        .collect();
    assert_eq!(judge_dealer(7, &answers), DealerVerdict::Consistent);

    let mut contributions: Vec<_> = round.contributions.iter().collect();
    contributions[7] = &other;
    let unlocked: Vec<_> = (0..JOINED)
        .map(|place| {
            let held = contributions.iter().map(|c| &c.shares[place].1);
            (hospital(place + 1), add_shares(held))
        })
        .collect();
    let refused = round.refusal(&round.sum, &unlocked);
    let fault = OpenFault::SecretDoesNotFit {
        threshold: 7,
        found: 10,
        tried: 1,
    };
    assert_eq!(refused, fault.into());
}

/// Property 4: the smallest error in any one coefficient of an answer, with none, one and two answers to spare.
#[test]
fn one_wrong_answer_is_refused_or_left_out_and_named() {
    let round = Scenario::new();
    for (place, element) in [(0, 0), (3, 77), (6, 4095)] {
        let mut answers = round.answers(0..7);
        answers[place].1 = off_by_one(&answers[place].1, element);
        let refused = round.refusal(&round.sum, &answers);
        let fault = OpenFault::SecretDoesNotFit {
            threshold: 7,
            found: 7,
            tried: 1,
        };
        assert_eq!(refused, fault.into());
        for spare in [7, 8] {
            answers.extend(round.answers([spare]));
            let result = opened(round.open(&round.sum, &answers));
            assert_eq!(result.counters[0], 8);
            assert_eq!(result.wrong_answers, ids(&[place]));
        }
    }
    // A wrong answer that is not needed is named as well.
    let mut answers = round.answers(0..8);
    answers[7].1 = off_by_one(&answers[7].1, 5);
    assert_eq!(
        opened(round.open(&round.sum, &answers)).wrong_answers,
        ids(&[7])
    );
}

/// Property 4: the summed secret off by one in a single coefficient is as small as before, and the noise tells.
#[test]
fn a_secret_off_by_one_in_one_coefficient_does_not_fit() {
    let round = Scenario::new();
    let mut answers = round.answers(0..7);
    let rebuilt = |answers: &[(HospitalId, UnlockVector)]| {
        let answers: Vec<_> = answers.iter().map(|(id, vector)| (*id, vector)).collect();
        (
            rebuild(&answers, 0..RING_DEGREE),
            lagrange_at_zero(&answers),
        )
    };
    let (right, factors) = rebuilt(&answers);
    let element = (0..RING_DEGREE)
        .find(|&k| right[k] == 0)
        .expect("a small secret");
    // What one answer has to be off by for the secret to be off by one.
    let change = inverse(factors[2]) as u32;
    answers[2].1 = shifted(&answers[2].1, element, change);
    let (wrong, _) = rebuilt(&answers);
    let differences = (0..RING_DEGREE).map(|k| wrong[k] - right[k]);
    let expected = (0..RING_DEGREE).map(|k| i64::from(k == element));
    assert!(differences.eq(expected));

    let fault = round.fault(&round.sum, &answers);
    assert!(matches!(
        fault,
        OpenFault::SecretDoesNotFit { tried: 1, .. }
    ));
}

/// Two wrong answers of ten, with three to spare: more than the redundancy places, and every choice is tried.
#[test]
fn two_wrong_answers_are_found_by_trying() {
    let round = Scenario::new();
    let mut answers = round.answers(0..10);
    for place in [2, 5] {
        answers[place].1 = off_by_one(&answers[place].1, place);
    }
    let result = opened(round.open(&round.sum, &answers));
    assert_eq!(result.wrong_answers, ids(&[2, 5]));
    // With two to spare the choice is the only one that fits; not in the same element, where errors can cancel.
    answers.pop();
    let result = opened(round.open(&round.sum, &answers));
    assert_eq!(result.wrong_answers, ids(&[2, 5]));
    answers[0].1 = off_by_one(&answers[0].1, 0);
    let refused = round.refusal(&round.sum, &answers);
    let fault = OpenFault::SecretDoesNotFit {
        threshold: 7,
        found: 9,
        tried: 36,
    };
    assert_eq!(refused, fault.into());
}

/// 100 hospitals, a threshold of 67, 33 to spare: 16 liars among the first are found where trying would take 10^17 choices.
#[test]
fn sixteen_liars_of_a_hundred_are_named_at_once() {
    let shape = SumShape::new(2, &[1], FieldFormat::TwoBy24, 100).expect("a valid shape");
    let setting = Setting::new(shape, 67);
    let contributions = [1, 2, 3].map(|id| setting.seal_fields(id, &[id as u64, 7, 1]));
    let (sum, mut answers) = gather(&contributions, 100);
    let liars: Vec<usize> = (0..16).map(|liar| 4 * liar + 1).collect();
    for &place in &liars {
        answers[place].1 = off_by_one(&answers[place].1, place);
    }
    let result = opened(open(&setting.round(), 3, &sum, &answers));
    assert_eq!(result.values, [6, 21]);
    assert_eq!(result.wrong_answers, ids(&liars));
}

/// Four liars of ten with a threshold of six: two are placed where four answers are to spare, more are not.
#[test]
fn two_liars_are_named_with_four_to_spare() {
    let shape = SumShape::new(2, &[1], FieldFormat::TwoBy24, 10).expect("a valid shape");
    let setting = Setting::new(shape, 6);
    let contributions = [1, 2].map(|id| setting.seal_fields(id, &[id as u64, 7, 1]));
    let (sum, mut answers) = gather(&contributions, 10);
    for place in [0, 4] {
        answers[place].1 = UnlockVector::from_bytes(&[1; UNLOCK_BYTES]).expect("a valid vector");
    }
    let result = opened(open(&setting.round(), 2, &sum, &answers));
    assert_eq!(result.wrong_answers, ids(&[0, 4]));
}

/// A liar does not hide behind a wrong sum, nor a wrong sum behind a liar.
#[test]
fn a_liar_and_a_wrong_sum_are_told_apart() {
    let round = Scenario::new();
    let mut answers = round.answers(0..9);
    answers[4].1 = off_by_one(&answers[4].1, 4);

    let mut wrong = round.sum.clone();
    shift_word(&mut wrong, 3, STEP);
    let refused = round.refusal(&wrong, &answers);
    let expected = OpenError {
        fault: OpenFault::Tag,
        wrong_answers: ids(&[4]),
    };
    assert_eq!(refused, expected);
    let text =
        "the sum was altered: its integrity tag does not match; wrong unlock shares of hospital 5";
    assert_eq!(refused.to_string(), text);

    // When the first chunk is wrong no choice fits; the others still agree about who does not.
    let mut wrong = round.sum.clone();
    shift_word(&mut wrong, 3, STEP / 2);
    let refused = round.refusal(&wrong, &answers);
    assert!(matches!(refused.fault, OpenFault::SecretDoesNotFit { .. }));
    assert_eq!(refused.wrong_answers, ids(&[4]));
}

/// Liars that agree with each other and outnumber the honest: it is not the majority but the sum that decides.
#[test]
fn a_majority_of_liars_does_not_hide_the_right_secret() {
    let shape = SumShape::new(1, &[1], FieldFormat::TwoBy24, 6).expect("a valid shape");
    let setting = Setting::new(shape, 2);
    let contributions = [1, 2, 3].map(|id| setting.seal_fields(id, &[7, 1]));
    let (sum, mut answers) = gather(&contributions, 6);
    // Of answers that are 0 everywhere every two give the secret 0.
    for (_, answer) in &mut answers[..4] {
        *answer = UnlockVector::from_bytes(&[0; UNLOCK_BYTES]).expect("a valid vector");
    }
    let result = opened(open(&setting.round(), 3, &sum, &answers));
    assert_eq!(result.values, [21]);
    assert_eq!(result.wrong_answers, ids(&[0, 1, 2, 3]));
    let refused = open(&setting.round(), 3, &sum, &answers[..4]).err();
    let fault = OpenFault::SecretDoesNotFit {
        threshold: 2,
        found: 4,
        tried: 1,
    };
    assert_eq!(refused, Some(fault.into()));
}
