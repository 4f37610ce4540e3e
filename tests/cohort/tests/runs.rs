//! Whole runs, drop-outs, and what each side refuses.

mod fixtures;

use std::{
    cell::{Cell, RefCell},
    num::NonZeroU32,
    rc::Rc,
};

use cohort::{Cohort, CohortVault, Event, Violation, id, small_change};
use crypto::sealed_sum::HospitalId;
use fixtures::manifest;
use participant::vault::{
    VaultEvent, VaultOutput,
    policy::{Policy, RepeatedSums},
};
use protocol::{
    codec::{self, Bytes},
    digests::LearningRound,
    features::FeatureSchema,
    identity::{Signed, SigningKey},
    keeping::Verdict,
    kept_model::{initial_model_hash, weights_hash},
    manifest::{Conditioning, ConditioningForm, Keep, Manifest, Purpose},
    message::{ToCoordinator, ToVault},
    network::ModelLayout,
    roster::testing::federation,
    round::{header::RoundOpen, unlock::UnlockRequest},
};

#[test]
fn three_hospitals_train_to_one_model_and_the_mean_is_exact() {
    let manifest = manifest(2, Conditioning::None);
    let mut run = Cohort::immediate(3, &manifest);
    run.connect_all();
    let hash = run.completed().expect("the run completes");
    assert!(run.refusals.is_empty(), "{:?}", run.refusals);
    assert_eq!(run.contributors(Purpose::Update), vec![vec![1, 2, 3]; 2]);
    assert_eq!(
        run.contributors(Purpose::Evaluation),
        vec![vec![1, 2, 3]; 2]
    );
    assert_eq!(run.finished.len(), 3);
    for opened in run.opened.values() {
        assert_eq!(opened.last().expect("rounds were opened").model_hash, hash);
        let update = opened
            .iter()
            .find(|opened| opened.purpose == Purpose::Update)
            .expect("an update");
        // 4 clips of 1e-3 * 10 steps, 22 bits: one step is far below what is asserted.
        let mean = update.mean.as_ref().expect("of an update").to_vec();
        for (index, mean) in mean.iter().enumerate() {
            let expected = (1..=3)
                .map(|number| f64::from(small_change(id(number), index)))
                .sum::<f64>()
                / 3.0;
            assert!(
                (mean - expected).abs() < 4e-6,
                "value {index}: {mean} for {expected}"
            );
        }
        let evaluation = opened
            .iter()
            .find(|opened| opened.purpose == Purpose::Evaluation)
            .expect("an evaluation");
        assert_eq!(&evaluation.sum.counters[..5], [3, 12, 3, 6, 6]);
    }
}

#[test]
fn encrypted_and_plain_conditioning_give_the_same_model_and_none_another() {
    let hash = |manifest: &Manifest| {
        let mut run = Cohort::immediate(2, manifest);
        run.connect_all();
        assert!(run.refusals.is_empty(), "{:?}", run.refusals);
        run.completed().expect("the run completes")
    };
    let none = hash(&manifest(2, Conditioning::None));
    let mut hashes = vec![none];
    // Some of what the hospitals read, in another order.
    let few = FeatureSchema::parse(&["disease duration", "age", "sex"]).expect("of the study");
    let forms = ConditioningForm::ALL.iter();
    let all = forms.map(|&form| (form, FeatureSchema::study()));
    for (form, features) in all.chain([(ConditioningForm::Late, few)]) {
        let of_form = |conditioning| {
            hash(&Manifest {
                conditioning_form: form,
                layout: ModelLayout::of(2, form, features.count()),
                features: features.clone(),
                ..manifest(2, conditioning)
            })
        };
        let encrypted = of_form(Conditioning::EncryptedHardened);
        assert_eq!(encrypted, of_form(Conditioning::Plain), "{form}");
        assert!(!hashes.contains(&encrypted), "{form}");
        hashes.push(encrypted);
    }
}

/// Products are asked for once for each version of the weights.
#[test]
fn weights_that_stand_still_are_not_asked_about_again() {
    for (every, versions) in [(1, 4), (2, 2), (5, 1)] {
        let manifest = Manifest {
            conditioning_every: every,
            ..manifest(3, Conditioning::Plain)
        };
        assert_eq!(manifest.conditioning_versions(), versions);
        let mut run = Cohort::immediate(2, &manifest);
        run.connect_all();
        assert!(run.completed().is_some());
        assert_eq!(run.conditioned, 2 * versions as usize, "every {every}");
    }
}

#[test]
fn a_hospital_that_vanishes_before_its_upload_is_left_out_and_catches_up() {
    let mut run = Cohort::immediate(4, &manifest(2, Conditioning::None));
    run.drop_before_upload.push((id(2), LearningRound::new(1)));
    run.connect_all();
    assert_eq!(run.contributors(Purpose::Update), [vec![1, 3, 4]]);
    assert!(
        run.completed().is_none(),
        "the evaluation waits for the missing hospital"
    );
    run.connect(id(2));
    assert!(run.completed().is_some());
    assert_eq!(
        run.contributors(Purpose::Update),
        [vec![1, 3, 4], vec![1, 2, 3, 4]]
    );
    assert_eq!(
        run.contributors(Purpose::Evaluation),
        vec![vec![1, 2, 3, 4]; 2]
    );
    assert_eq!(run.opened[&id(2)].len(), 5);
}

/// What the coordinator tells people when a run has failed.
fn failure<'a>(run: &'a Cohort<'_>) -> Option<&'a str> {
    run.events.iter().find_map(|event| match event {
        Event::Failed { reason } => Some(reason.as_str()),
        _ => None,
    })
}

#[test]
fn a_sum_that_could_be_subtracted_from_one_of_another_run_is_not_opened_unless_the_policy_says_so()
{
    let first = manifest(1, Conditioning::None);
    let mut before = Cohort::immediate(4, &first);
    before
        .drop_before_upload
        .push((id(2), LearningRound::new(1)));
    before.connect_all();
    before.connect(id(2));
    before.completed().expect("the first run completes");
    assert_eq!(before.contributors(Purpose::Update), [vec![1, 3, 4]]);

    // The same statistics over the same hospitals can be had again; the first update, now with hospital 2, would show what it gave.
    let again = Manifest {
        nonce: [9; 32],
        ..first.clone()
    };
    let mut refused = Cohort::immediate(4, &again).after(&before, &Policy::default());
    refused.connect_all();
    assert_eq!(refused.contributors(Purpose::Stats), [vec![1, 2, 3, 4]]);
    assert!(refused.contributors(Purpose::Update).is_empty());
    let reason = failure(&refused).expect("the run ends");
    for words in [
        "round 2 cannot be opened",
        "hospital 1: another run has summed the same",
    ] {
        assert!(reason.contains(words), "{reason}");
    }

    let other_seed = Manifest {
        nonce: [11; 32],
        init_seed: [8; 32],
        ..again.clone()
    };
    let mut run = Cohort::immediate(4, &other_seed).after(&before, &Policy::default());
    run.connect_all();
    let why = (failure(&run), &run.refusals);
    assert!(run.completed().is_some(), "another model: {why:?}");

    let allowing = Policy {
        repeated_sums: RepeatedSums::Allow,
        ..Policy::default()
    };
    let third = Manifest {
        nonce: [10; 32],
        ..again
    };
    let mut run = Cohort::immediate(4, &third).after(&before, &allowing);
    run.connect_all();
    assert!(run.completed().is_some(), "{:?}", failure(&run));
}

#[test]
fn a_run_without_one_of_the_hospitals_before_does_not_show_its_statistics() {
    let first = manifest(1, Conditioning::None);
    let mut before = Cohort::immediate(4, &first);
    before.connect_all();
    before.completed().expect("the first run completes");
    let again = Manifest {
        nonce: [9; 32],
        init_seed: [8; 32],
        ..first
    };
    let mut run = Cohort::immediate(4, &again).after(&before, &Policy::default());
    run.drop_before_upload
        .push((id(4), LearningRound::default()));
    run.connect_all();
    for _ in 0..5 {
        run.wait();
    }
    let reason = failure(&run).expect("the run ends");
    assert!(reason.contains("round 1 cannot be opened"), "{reason}");
    assert!(run.opened.values().all(Vec::is_empty));
}

#[test]
fn a_hospital_that_is_gone_for_good_does_not_stop_the_others() {
    let mut run = Cohort::immediate(4, &manifest(2, Conditioning::None));
    run.drop_before_upload.push((id(4), LearningRound::new(2)));
    run.connect_all();
    for _ in 0..20 {
        run.wait();
    }
    assert_eq!(
        run.contributors(Purpose::Update),
        [vec![1, 2, 3, 4], vec![1, 2, 3]]
    );
    // Another evaluation would single hospital 4 out.
    assert_eq!(run.contributors(Purpose::Evaluation), [vec![1, 2, 3, 4]]);
    let complete = run
        .events
        .iter()
        .any(|event| matches!(event, Event::Complete { missing, .. } if *missing == [id(4)]));
    assert!(complete && run.coordinator.is_over());
}

#[test]
fn too_few_hospitals_make_the_round_wait_and_a_replaced_round_is_not_trained_twice() {
    let mut run = Cohort::immediate(3, &manifest(1, Conditioning::None));
    run.drop_before_upload = vec![
        (id(2), LearningRound::new(1)),
        (id(3), LearningRound::new(1)),
    ];
    run.connect_all();
    for _ in 0..5 {
        run.wait();
    }
    assert!(run.contributors(Purpose::Update).is_empty());
    assert!(run.events.iter().any(|event| matches!(
        event,
        Event::Abandoned {
            purpose: Purpose::Update,
            ..
        }
    )));
    run.connect(id(2));
    run.connect(id(3));
    for _ in 0..20 {
        run.wait();
    }
    assert!(run.completed().is_some(), "{:?}", run.events);
    assert_eq!(run.trained, 3, "each hospital trains once for one model");
}

#[test]
fn an_altered_sum_does_not_open_and_ends_the_run_with_the_model_unchanged() {
    let mut run = Cohort::immediate(3, &manifest(1, Conditioning::None));
    run.spoil_outcome = Box::new(|outcome| {
        if outcome.header.read_unverified().expect("ours").purpose == Purpose::Update {
            // Bit 12 of a word: half a step, which no noise reaches. (A whole step is for the integrity tag to catch.)
            outcome.sum.0[8 * 12_500 + 1] ^= 0x10;
        }
    });
    run.connect_all();
    assert!(run.refused_with("does not open"), "{:?}", run.refusals);
    assert!(run.events.iter().any(
        |event| matches!(event, Event::Failed { reason } if reason.contains("does not open"))
    ));
    assert!(
        run.opened
            .values()
            .flatten()
            .all(|opened| opened.purpose == Purpose::Stats)
    );
}

#[test]
fn an_altered_box_is_refused_and_its_sender_left_out() {
    let mut run = Cohort::immediate(4, &manifest(1, Conditioning::None));
    run.interference = Box::new(|_, message| match message {
        ToVault::BoxForward(mut forward)
            if forward.manifest.read_unverified().expect("ours").id.0 == id(3) =>
        {
            forward.sealed.0[17] ^= 1;
            Some(ToVault::BoxForward(forward))
        }
        other => Some(other),
    });
    run.connect_all();
    for _ in 0..5 {
        run.wait();
    }
    assert!(run.refused_with("do not fit their signed root"));
    assert!(
        run.contributors(Purpose::Stats)
            .iter()
            .all(|contributors| contributors == &[1, 2, 4])
    );
}

/// Changes the unlock request that hospital 1 gets in the stats round and signs it as the coordinator would.
fn refusal_of(size: u8, spoil: impl Fn(&mut UnlockRequest)) -> Vec<(HospitalId, String)> {
    let key = federation(size).coordinator_key;
    let mut run = Cohort::immediate(size, &manifest(1, Conditioning::None));
    run.interference = Box::new(move |to, message| match message {
        ToVault::UnlockRequest(request) if to == id(1) => {
            let mut body = request.read_unverified().expect("ours");
            spoil(&mut body);
            Some(ToVault::UnlockRequest(Signed::sign(&body, &key)))
        }
        other => Some(other),
    });
    run.connect_all();
    run.refusals
}

#[test]
fn a_vault_does_not_answer_for_a_set_of_contributors_that_is_not_in_order() {
    let refused = |refusals: Vec<(HospitalId, String)>, words: &str| {
        assert!(
            refusals
                .iter()
                .any(|(who, reason)| *who == id(1) && reason.contains(words)),
            "{words}: {refusals:?}"
        );
    };
    refused(
        refusal_of(4, |request| request.contributors.0.truncate(2)),
        "2 contributors where at least 3",
    );
    refused(
        refusal_of(4, |request| {
            request.contributors.0[2] = request.contributors.0[1].clone()
        }),
        "not sorted and distinct",
    );
    refused(
        refusal_of(4, |request| {
            request.contributors.0[1].digest = [9; 32].into()
        }),
        "signature",
    );
    refused(
        refusal_of(4, |request| request.header = [9; 32].into()),
        "another round",
    );
}

#[test]
fn a_vault_answers_for_one_set_only() {
    let key = federation(4).coordinator_key;
    let mut run = Cohort::immediate(4, &manifest(1, Conditioning::None));
    // The first vault answers for all four in the stats round; nobody else gets to, so the round stays open.
    let asked: Rc<RefCell<Option<UnlockRequest>>> = Rc::default();
    let seen = asked.clone();
    run.interference = Box::new(move |to, message| {
        if let (ToVault::UnlockRequest(request), true) = (&message, to == id(1)) {
            seen.borrow_mut()
                .replace(request.read_unverified().expect("ours"));
        }
        (to == id(1) || !matches!(message, ToVault::UnlockRequest(_))).then_some(message)
    });
    run.connect_all();
    let original = asked.borrow_mut().take().expect("asked once");

    // Then it is asked for three of them.
    let mut less_one = original.clone();
    less_one.contributors.0.pop();
    let vault = run.vault(id(1));
    vault
        .handle_message(ToVault::UnlockRequest(Signed::sign(&less_one, &key)))
        .expect("nothing fatal");
    let reasons = drain(vault);
    assert!(
        reasons
            .iter()
            .any(|reason| reason.contains("another set of contributors was already answered for")),
        "{reasons:?}"
    );

    // The same set again gets an answer.
    vault
        .handle_message(ToVault::UnlockRequest(Signed::sign(&original, &key)))
        .expect("nothing fatal");
    let is_share = |output: &VaultOutput| matches!(output, VaultOutput::Send(message) if matches!(**message, ToCoordinator::UnlockShare(_)));
    assert_eq!(
        std::iter::from_fn(|| vault.poll_output())
            .filter(is_share)
            .count(),
        1
    );
}

fn drain(vault: &mut CohortVault) -> Vec<String> {
    std::iter::from_fn(|| vault.poll_output())
        .filter_map(|output| match output {
            VaultOutput::Event(VaultEvent::Refused { reason }) => Some(reason),
            _ => None,
        })
        .collect()
}

/// Changes the first header that hospital 1 gets.
fn refusal_of_header(spoil: impl Fn(&mut RoundOpen), key: SigningKey) -> Vec<(HospitalId, String)> {
    let mut run = Cohort::immediate(3, &manifest(1, Conditioning::None));
    run.interference = Box::new(move |to, message| match message {
        ToVault::RoundOpen(header) if to == id(1) => {
            let mut body = header.read_unverified().expect("ours");
            spoil(&mut body);
            Some(ToVault::RoundOpen(Signed::sign(&body, &key)))
        }
        other => Some(other),
    });
    run.connect_all();
    run.refusals
}

#[test]
fn a_vault_refuses_headers_that_are_not_of_its_state() {
    let coordinator = || federation(3).coordinator_key;
    let refused = |refusals: Vec<(HospitalId, String)>, words: &str| {
        assert!(
            refusals
                .iter()
                .any(|(who, reason)| *who == id(1) && reason.contains(words)),
            "{words}: {refusals:?}"
        );
    };
    refused(
        refusal_of_header(|header| header.model_hash = [9; 32].into(), coordinator()),
        "model_hash",
    );
    refused(
        refusal_of_header(|header| header.gid = [9; 32].into(), coordinator()),
        "gid",
    );
    refused(
        refusal_of_header(|header| header.round = 0.into(), coordinator()),
        "round 0",
    );
    refused(
        refusal_of_header(|header| header.min_contributors = 1, coordinator()),
        "min_contributors",
    );
    refused(
        refusal_of_header(|_| {}, SigningKey::from_secret_bytes(&[66; 32])),
        "signature",
    );
    // A header for an update before the statistics: right in every field, wrong in its time.
    let manifest = manifest(1, Conditioning::None);
    refused(
        refusal_of_header(
            move |header| {
                header.purpose = Purpose::Update;
                header.layout_hash = manifest.layout_hash(Purpose::Update);
                header.values = manifest.values(Purpose::Update) as u32;
                header.counter_digits = manifest
                    .counters(Purpose::Update)
                    .iter()
                    .map(|counter| counter.digits)
                    .collect();
            },
            coordinator(),
        ),
        "purpose",
    );
}

#[test]
fn wrong_products_change_nothing_but_what_the_hospital_is_told() {
    let run = |is_spoilt: bool| {
        let mut run = Cohort::immediate(2, &manifest(2, Conditioning::EncryptedHardened));
        let asked = Rc::new(Cell::new(0));
        let count = asked.clone();
        run.interference = Box::new(move |to, message| match message {
            ToVault::Products(mut products) if to == id(1) => {
                count.set(count.get() + 1);
                if is_spoilt {
                    let Bytes(bytes) = &mut products.blocks.0[0];
                    // Bit 48 of coefficient 100, of 60 bits each: a quarter at the scale of a product. The lowest bits would be lost in
                    // the noise.
                    bytes[27 + (60 * 100 + 48) / 8] ^= 1;
                }
                Some(ToVault::Products(products))
            }
            other => Some(other),
        });
        run.connect_all();
        let model = run.completed().expect("it ends");
        let refused = run.refusals.iter().filter(|(who, _)| *who == id(1)).count();
        (model, asked.get(), refused)
    };
    let (model, asked, refused) = run(false);
    assert_eq!(refused, 0);
    assert_eq!(
        run(true),
        (model, asked, asked),
        "refused each time, asked as often"
    );
}

#[test]
fn who_waits_without_a_word_is_not_given_up() {
    let mut run = Cohort::immediate(2, &manifest(1, Conditioning::None));
    run.drop_before_upload = vec![(id(2), LearningRound::new(1))];
    run.connect_all();
    // Hospital 1 has nothing to do and says nothing for as long as anybody is waited for.
    for _ in 0..5 {
        run.wait();
    }
    assert!(run.completed().is_none());
    run.connect(id(2));
    for _ in 0..10 {
        run.wait();
    }
    assert!(run.completed().is_some(), "{:?}", run.events);
    assert_eq!(run.contributors(Purpose::Update), [vec![1, 2]]);
}

#[test]
fn a_lost_word_on_the_last_round_is_repeated() {
    let mut run = Cohort::immediate(2, &manifest(1, Conditioning::None));
    let mut is_lost = false;
    run.lose = Box::new(move |who, message| {
        let loses = !is_lost && who == id(2) && matches!(message, ToCoordinator::RoundClosed(_));
        is_lost |= loses;
        loses
    });
    run.connect_all();
    assert!(run.completed().is_none(), "two of two must close the round");
    run.disconnect(id(2));
    run.connect(id(2));
    assert!(run.completed().is_some(), "{:?}", run.events);
}

#[test]
fn one_wrong_answer_among_more_than_enough_does_not_matter() {
    let mut run = Cohort::immediate(4, &manifest(1, Conditioning::None));
    run.spoil_outcome = Box::new(|outcome| {
        // Sealed bytes that nobody can open, under a signature that does not stand any more.
        let mut spoilt = codec::encode(&outcome.shares.0[0]);
        let last = spoilt.len() - 1;
        spoilt[last] ^= 1;
        outcome.shares.0[0] = codec::decode(&spoilt).expect("the same form");
    });
    run.connect_all();
    assert!(run.completed().is_some(), "{:?}", run.refusals);
}

#[test]
fn a_hospital_whose_training_diverges_says_so_and_is_not_waited_for() {
    let mut run = Cohort::immediate(4, &manifest(1, Conditioning::None));
    run.spoil_update = Box::new(|who, update| {
        if who == id(3) {
            update.model[7] = f32::NAN;
        }
    });
    run.connect_all();
    assert!(
        run.completed().is_some(),
        "without any time passing: {:?}",
        run.events
    );
    assert_eq!(run.contributors(Purpose::Update), [vec![1, 2, 4]]);
    assert!(run.refused_with("not finite"), "{:?}", run.refusals);
}

#[test]
fn a_run_whose_hospitals_all_diverge_fails_instead_of_trying_for_ever() {
    let mut run = Cohort::immediate(2, &manifest(1, Conditioning::None));
    run.spoil_update = Box::new(|who, update| {
        if who == id(2) {
            update.model[7] = f32::NAN;
        }
    });
    run.connect_all();
    for _ in 0..40 {
        run.wait();
    }
    assert!(
        run.events
            .iter()
            .any(|event| matches!(event, Event::Failed { .. })),
        "{:?}",
        run.events
    );
}

/// A run whose evaluations are all alike: the first is the best, and one without gain is enough.
fn without_gain(rounds: u32) -> Manifest {
    Manifest {
        early_stop: NonZeroU32::new(1),
        ..manifest(rounds, Conditioning::None)
    }
}

#[test]
fn a_run_without_gain_ends_early_and_all_keep_the_model_of_the_same_round() {
    for keep in [Keep::BestLoss, Keep::BestAccuracy] {
        let manifest = Manifest {
            keep,
            ..without_gain(5)
        };
        let mut run = Cohort::immediate(3, &manifest);
        run.connect_all();
        assert!(run.completed().is_some(), "{:?}", run.events);
        assert!(run.refusals.is_empty(), "{:?}", run.refusals);
        assert_eq!(run.contributors(Purpose::Update).len(), 2);
        assert_eq!(run.contributors(Purpose::Evaluation).len(), 2);
        assert_eq!(run.finished.len(), 3);
        for opened in run.opened.values() {
            let last = opened.last().expect("rounds were opened");
            assert_eq!(last.verdict, Verdict::Stop);
            assert_eq!(last.kept_round, Some(LearningRound::new(1)));
            let best = last.best.expect("an evaluation");
            assert_eq!(best.round, LearningRound::new(1));
            // 1.5 for each hospital, over 8 + 9 + 10 slices; of them 4 + i are seen right.
            let expected = match keep {
                Keep::BestAccuracy => 18.0 / 27.0,
                _ => 4.5 / 27.0,
            };
            assert!((best.value - expected).abs() < 1e-4, "{best:?}");
        }
    }
}

#[test]
fn of_a_run_that_keeps_the_last_model_each_round_is_the_kept_one() {
    let manifest = Manifest {
        keep: Keep::Last,
        ..manifest(2, Conditioning::None)
    };
    let mut run = Cohort::immediate(2, &manifest);
    run.connect_all();
    assert!(run.completed().is_some());
    for opened in run.opened[&id(1)].iter().skip(1) {
        assert_eq!(opened.kept_round, Some(opened.learning_round));
        assert_eq!(opened.best, None);
    }
}

#[test]
fn a_hospital_that_was_away_when_the_run_ended_early_learns_it_from_the_outcome() {
    let mut run = Cohort::immediate(4, &without_gain(5));
    run.drop_before_upload.push((id(4), LearningRound::new(2)));
    run.connect_all();
    run.connect(id(4));
    for _ in 0..5 {
        run.wait();
    }
    assert!(run.completed().is_some(), "{:?}", run.events);
    assert_eq!(run.contributors(Purpose::Update).len(), 2);
    assert_eq!(run.finished.len(), 4);
}

/// Says "go on" in the place of a vault that has computed that the run has to stop.
fn says_go_on(who: HospitalId, output: VaultOutput) -> VaultOutput {
    let VaultOutput::Send(message) = &output else {
        return output;
    };
    let ToCoordinator::RoundClosed(closed) = message.as_ref() else {
        return output;
    };
    let mut body = closed.read_unverified().expect("our own");
    body.verdict = Verdict::GoOn;
    let keys = federation(3).hospital_keys;
    let key = keys.into_iter().nth(usize::from(who.get()) - 1);
    let signed = Signed::sign(&body, &key.expect("one for each"));
    VaultOutput::Send(Box::new(ToCoordinator::RoundClosed(signed)))
}

#[test]
fn a_coordinator_that_goes_on_after_the_end_gets_no_contribution() {
    let mut run = Cohort::immediate(3, &without_gain(5));
    run.lie = Box::new(|who, _, output| says_go_on(who, output));
    run.connect_all();
    for _ in 0..30 {
        run.wait();
    }
    assert!(run.completed().is_none());
    assert_eq!(run.contributors(Purpose::Update).len(), 2);
    for hospital in 1..=3 {
        let refused = run.refusals.iter().any(|(who, reason)| {
            *who == id(hospital) && reason.contains("no further round follows")
        });
        assert!(refused, "{hospital}: {:?}", run.refusals);
    }
}

#[test]
fn t_vaults_must_agree_that_the_run_stops() {
    let mut run = Cohort::immediate(3, &without_gain(5));
    // t = 2 of 3: one that says otherwise changes nothing.
    run.lie = Box::new(|who, _, output| {
        if who == id(3) {
            says_go_on(who, output)
        } else {
            output
        }
    });
    run.connect_all();
    assert!(run.completed().is_some(), "{:?}", run.events);
    assert_eq!(run.contributors(Purpose::Update).len(), 2);
}

#[test]
fn an_end_without_a_reason_is_not_believed() {
    for manifest in [
        manifest(3, Conditioning::None),
        Manifest {
            early_stop: NonZeroU32::new(3),
            ..without_gain(3)
        },
    ] {
        let mut run = Cohort::immediate(3, &manifest);
        run.check_invariants(&manifest);
        let mut headers = 0;
        run.interference = Box::new(move |who, message| {
            let is_header = who == id(2) && matches!(message, ToVault::RoundOpen(_));
            headers += u32::from(is_header);
            // In the place of the header of the second update.
            Some(if is_header && headers == 4 {
                ToVault::Finished
            } else {
                message
            })
        });
        run.connect_all();
        let is_missing = |violation: &Violation| matches!(violation, Violation::Stopped { by, reason } if *by == id(2) && reason.contains("2 of its updates are missing"));
        assert!(
            run.violations().iter().any(is_missing),
            "{:?}",
            run.violations()
        );
    }
}

#[test]
fn the_operators_end_is_believed_by_a_hospital_that_has_all_updates_up_to_it() {
    // The fourth header is that of the second update.
    for (after, missing) in [(0, None), (1, None), (2, Some("1 of its updates"))] {
        let manifest = manifest(3, Conditioning::None);
        let mut run = Cohort::immediate(3, &manifest);
        run.check_invariants(&manifest);
        let mut headers = 0;
        run.interference = Box::new(move |who, message| {
            let is_header = who == id(2) && matches!(message, ToVault::RoundOpen(_));
            headers += u32::from(is_header);
            Some(if is_header && headers == 4 {
                let after = LearningRound::new(after);
                ToVault::EndedByOperator { after }
            } else {
                message
            })
        });
        run.connect_all();
        let stopped = run
            .violations()
            .iter()
            .find_map(|violation| match violation {
                Violation::Stopped { by, reason } if *by == id(2) => Some(reason.as_str()),
                _ => None,
            });
        let has_finished = run.finished.contains(&id(2));
        match missing {
            Some(words) => assert!(
                stopped.is_some_and(|reason| reason.contains(words)) && !has_finished,
                "{after}: {stopped:?}"
            ),
            None => assert!(has_finished && stopped.is_none(), "{after}: {stopped:?}"),
        }
    }
}

/// A run that starts from a kept model, and the values of that model.
fn from_a_kept_model() -> (Manifest, Vec<f32>) {
    let manifest = manifest(1, Conditioning::None);
    let values = manifest.layout.initial_values(&[77; 32]);
    let weights = weights_hash(&manifest.layout, &values);
    let manifest = Manifest {
        initial_model: Some(weights),
        ..manifest
    };
    (manifest, values)
}

#[test]
fn a_run_starts_from_the_model_that_all_hospitals_have_kept() {
    let (manifest, values) = from_a_kept_model();
    let mut run = Cohort::immediate(3, &manifest);
    for number in 1..=3 {
        run.give_model(id(number), vec![0.0; values.len()]);
        run.give_model(id(number), values.clone());
    }
    run.connect_all();
    assert!(run.completed().is_some(), "{:?}", run.events);
    assert!(run.refusals.is_empty(), "{:?}", run.refusals);
    let opened = &run.opened[&id(1)];
    assert_eq!(opened[0].model_hash, initial_model_hash(&manifest));
    assert_eq!(**opened[0].model.values(), values);
    let update = &opened[1];
    // The first value of all is a weight: it has moved by the mean from where the kept model had it.
    let mean = update.mean.as_ref().expect("of an update").to_vec();
    let moved = f64::from(values[0]) + mean[0];
    assert_eq!(update.model.values()[0], moved as f32);
    assert_eq!(update.model_hash, update.model.hash());
}

#[test]
fn a_hospital_without_the_kept_model_says_which_and_does_not_join() {
    let (manifest, values) = from_a_kept_model();
    let mut run = Cohort::immediate(3, &manifest);
    run.check_invariants(&manifest);
    for number in 1..=2 {
        run.give_model(id(number), values.clone());
    }
    run.connect_all();
    assert!(run.opened.is_empty());
    // Its first digits.
    let weights = manifest.initial_model.expect("one").to_string();
    let is_named = |violation: &Violation| matches!(violation, Violation::Stopped { by, reason } if *by == id(3) && reason.contains(&weights) && reason.contains("Copy"));
    assert!(
        run.violations().iter().any(is_named),
        "{:?}",
        run.violations()
    );
}
