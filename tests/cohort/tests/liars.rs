//! Hospitals and a coordinator that lie well, with their own keys: what comes of it, and who is named (PROTOCOL.md 3.10, section 8,
//! point 18).

mod fixtures;

use std::{cell::RefCell, rc::Rc, sync::Arc};

use cohort::{Cohort, CohortVault, Event, id, small_change};
use crypto::{
    hash::derive_key,
    sealed_sum::{CHUNK_BYTES, DealerVerdict, HospitalId, MODULUS, Reals as _, SHARE_MODULUS},
};
use fixtures::manifest;
use participant::vault::{VaultEvent, VaultOutput, aead, testing};
use protocol::{
    codec::{self, Bytes, Id},
    identity::{Signed, SigningKey},
    manifest::{Conditioning, Purpose},
    message::{ToCoordinator, ToVault},
    roster::testing::federation,
    round::{
        contribution::{BoxAck, Contribution, boxes_root, forwards},
        dealer_check::Finding,
        unlock::UnlockShare,
    },
};

fn ids(numbers: &[u8]) -> Vec<HospitalId> {
    numbers.iter().copied().map(id).collect()
}

/// The key that a hospital signs with.
fn signing_key(hospital: HospitalId) -> SigningKey {
    let all = federation(hospital.get().max(2)).hospital_keys;
    all.into_iter()
        .nth(usize::from(hospital.get()) - 1)
        .expect("one for each")
}

fn is_update(vault: &CohortVault) -> bool {
    testing::header(vault).purpose == Purpose::Update
}

/// Another number of the share field.
fn off_by_one(number: &mut [u8]) {
    let value = u32::from(u16::from_le_bytes([number[0], number[1]]));
    let other = ((value + 1) % SHARE_MODULUS) as u16;
    number[..2].copy_from_slice(&other.to_le_bytes());
}

/// A contribution of this vault's with shares for `victims` that do not belong to the others'; whole and signed like any other.
fn with_wrong_shares(
    from: HospitalId,
    vault: &CohortVault,
    blob: &[u8],
    victims: &[u8],
) -> Contribution {
    let mut contribution: Contribution = codec::decode(blob).expect("our own contribution");
    let mut manifest = contribution.manifest.read_unverified().expect("ours");
    for entry in &mut contribution.boxes.0 {
        let to = entry.to.0;
        if !victims.contains(&to.get()) {
            continue;
        }
        // HKDF(K_ij, 'box' || i || j || hh || attempt || b_root), PROTOCOL.md 3.5.
        let pair = testing::pair_key(vault, to).as_bytes();
        let (header, root) = (&manifest.header, &manifest.chunks_root);
        let (dealer, recipient, attempt) = ([from.get()], [to.get()], [manifest.attempt]);
        let parts: [&[u8]; 5] = [
            &dealer,
            &recipient,
            header.as_ref(),
            &attempt,
            root.as_ref(),
        ];
        let key = || derive_key(pair, "box", &parts);
        let mut share = aead::open(&key(), &entry.sealed.0).expect("sealed by us");
        off_by_one(&mut share);
        entry.sealed = Bytes(aead::seal_once(key(), share));
    }
    manifest.boxes_root = boxes_root(&contribution.boxes);
    contribution.manifest = Signed::sign(&manifest, &signing_key(from));
    contribution
}

/// Uploads wrong shares for `victims`, itself perhaps, and keeps to them: to itself and to the others it has contributed nothing
/// else.
fn deal_wrongly(
    id: HospitalId,
    vault: &mut CohortVault,
    output: VaultOutput,
    victims: &[u8],
) -> VaultOutput {
    let VaultOutput::Upload {
        bytes,
        purpose,
        learning_round,
        ..
    } = output
    else {
        return output;
    };
    let contribution = with_wrong_shares(id, vault, &bytes, victims);
    let (name, bytes) = (
        contribution.manifest.digest(),
        Arc::<[u8]>::from(codec::encode(&contribution)),
    );
    let deceives_itself = victims.contains(&id.get());
    testing::replace_contribution(vault, name, bytes.clone(), |share| {
        if deceives_itself {
            off_by_one(share);
        }
    });
    VaultOutput::Upload {
        name,
        bytes,
        purpose,
        learning_round,
    }
}

fn acknowledgement(output: &VaultOutput) -> Option<BoxAck> {
    match output {
        VaultOutput::Send(message) => match message.as_ref() {
            ToCoordinator::BoxAck(ack) => Some(ack.read_unverified().expect("our own")),
            _ => None,
        },
        _ => None,
    }
}

/// Answers wrongly for the shares of these contributors.
fn acknowledge_wrongly(id: HospitalId, output: VaultOutput, contributors: &[u8]) -> VaultOutput {
    let Some(mut ack) = acknowledgement(&output) else {
        return output;
    };
    for entry in &mut ack.answers.0 {
        if contributors.contains(&entry.contributor.0.get()) {
            off_by_one(&mut entry.answer);
        }
    }
    let signed = Signed::sign(&ack, &signing_key(id));
    VaultOutput::Send(Box::new(ToCoordinator::BoxAck(signed)))
}

/// Gives a share of the summed secret that is off by one in one place.
fn unlock_wrongly(id: HospitalId, vault: &CohortVault, output: VaultOutput) -> VaultOutput {
    let VaultOutput::Send(message) = &output else {
        return output;
    };
    let ToCoordinator::UnlockShare(share) = message.as_ref() else {
        return output;
    };
    let body = share.read_unverified().expect("our own");
    // HKDF(G, 'unlock' || T_{r-1} || hh || uh || j), PROTOCOL.md 3.6.
    let group = testing::group_key(vault).as_bytes();
    let transcript = &testing::header(vault).transcript;
    let (header, contributors, own) = (&body.header, &body.contributors, [id.get()]);
    let parts: [&[u8]; 4] = [
        transcript.as_ref(),
        header.as_ref(),
        contributors.as_ref(),
        &own,
    ];
    let key = || derive_key(group, "unlock", &parts);
    let mut vector = aead::open(&key(), &body.sealed.0).expect("sealed by us");
    off_by_one(&mut vector);
    let sealed = Bytes(aead::seal_once(key(), vector));
    let body = UnlockShare {
        sealed,
        id: Id(id),
        ..body
    };
    let signed = Signed::sign(&body, &signing_key(id));
    VaultOutput::Send(Box::new(ToCoordinator::UnlockShare(signed)))
}

/// A run of one round in which one hospital lies, after as much time as anybody is waited for.
fn run_with<'a>(
    size: u8,
    liar: u8,
    mut lie: impl FnMut(HospitalId, &mut CohortVault, VaultOutput) -> VaultOutput + 'a,
) -> Cohort<'a> {
    let mut run = Cohort::immediate(size, &manifest(1, Conditioning::None));
    run.lie = Box::new(move |who, vault, output| {
        if who == id(liar) {
            lie(who, vault, output)
        } else {
            output
        }
    });
    run.connect_all();
    for _ in 0..5 {
        run.wait();
    }
    run
}

/// The mean of the update that all have opened is that of these contributors.
fn assert_mean_of(run: &Cohort<'_>, contributors: &[u8]) {
    let opened: Vec<_> = run
        .opened
        .values()
        .flatten()
        .filter(|opened| opened.purpose == Purpose::Update)
        .collect();
    assert_eq!(opened.len(), run.ids().len(), "every vault opens it");
    for opened in opened {
        for index in [0, 77, 100_003] {
            let changes = contributors
                .iter()
                .map(|&number| f64::from(small_change(id(number), index)));
            let expected = changes.sum::<f64>() / contributors.len() as f64;
            let mut mean = [0.0];
            let of_sum = opened.mean.as_ref().expect("of an update");
            of_sum.read(index, &mut mean);
            assert!((mean[0] - expected).abs() < 4e-6);
        }
    }
}

#[test]
fn a_vault_that_was_dealt_a_wrong_share_is_not_asked_and_the_round_opens() {
    let run = run_with(7, 2, |who, vault, output| {
        deal_wrongly(who, vault, output, &[6])
    });
    assert!(run.completed().is_some(), "{:?}", run.events);
    assert_eq!(
        run.contributors(Purpose::Update),
        [vec![1, 2, 3, 4, 5, 6, 7]]
    );
    let left_out = Finding::VaultLeftOut {
        vault: id(6),
        contributors: ids(&[2]),
    };
    assert_eq!(run.findings(), vec![left_out; 3], "in each of three sums");
    assert!(run.wrong_answers.is_empty(), "its answer was not used");
    assert!(run.refusals.is_empty(), "{:?}", run.refusals);
    assert_mean_of(&run, &[1, 2, 3, 4, 5, 6, 7]);
}

#[test]
fn a_contributor_that_deals_many_wrong_shares_is_left_out_and_the_others_sum_opens() {
    let run = run_with(7, 2, |who, vault, output| {
        if matches!(
            output,
            VaultOutput::Upload {
                purpose: Purpose::Update,
                ..
            }
        ) {
            deal_wrongly(who, vault, output, &[5, 6, 7])
        } else {
            output
        }
    });
    assert!(run.completed().is_some(), "{:?}", run.events);
    assert_eq!(run.contributors(Purpose::Update), [vec![1, 3, 4, 5, 6, 7]]);
    assert_eq!(
        run.contributors(Purpose::Evaluation),
        [vec![1, 2, 3, 4, 5, 6, 7]]
    );
    assert_eq!(
        run.findings(),
        [Finding::ContributorLeftOut {
            contributor: id(2),
            verdict: DealerVerdict::Undecodable
        }]
    );
    assert_eq!(
        run.refusals,
        [(
            id(2),
            "our complete contribution was left out of the sum".to_owned()
        )]
    );
    assert_mean_of(&run, &[1, 3, 4, 5, 6, 7]);
}

/// All shares are off by one: they belong together, and to another secret than the one that masks the contribution.
#[test]
fn a_contributor_that_shares_another_secret_passes_the_check_and_the_sum_does_not_open() {
    let all = [1, 2, 3, 4];
    let run = run_with(4, 2, |who, vault, output| {
        deal_wrongly(who, vault, output, &all)
    });
    assert!(run.findings().is_empty(), "{:?}", run.findings());
    assert!(run.wrong_answers.is_empty(), "nobody else is blamed for it");
    let mut refusing: Vec<_> = run.refusals.iter().map(|(who, _)| *who).collect();
    refusing.sort();
    assert_eq!(refusing, ids(&all), "{:?}", run.refusals);
    assert!(run.failed_with("does not open") && run.opened.is_empty());
}

#[test]
fn a_vault_that_answers_wrongly_for_all_contributors_throws_nobody_out() {
    let all = [1, 2, 3, 4, 5, 6, 7];
    let run = run_with(7, 3, |who, _, output| {
        acknowledge_wrongly(who, output, &all)
    });
    assert!(run.completed().is_some(), "{:?}", run.events);
    assert_eq!(run.contributors(Purpose::Update), [all]);
    let left_out = Finding::VaultLeftOut {
        vault: id(3),
        contributors: ids(&all),
    };
    assert_eq!(run.findings(), vec![left_out; 3]);
}

#[test]
fn among_four_a_vault_that_answers_wrongly_for_all_stops_nothing_and_for_one_costs_its_update() {
    let run = run_with(4, 3, |who, _, output| {
        acknowledge_wrongly(who, output, &[1, 2, 3, 4])
    });
    assert!(run.completed().is_some(), "{:?}", run.events);
    assert_eq!(run.contributors(Purpose::Update), [vec![1, 2, 3, 4]]);
    let kept = |contributor| Finding::ContributorKept {
        contributor: id(contributor),
        verdict: DealerVerdict::Inconsistent,
    };
    assert_eq!(run.findings()[..4], [1, 2, 3, 4].map(kept));

    let run = run_with(4, 3, |who, vault, output| {
        if acknowledgement(&output).is_some() && is_update(vault) {
            acknowledge_wrongly(who, output, &[1])
        } else {
            output
        }
    });
    assert!(run.completed().is_some(), "{:?}", run.events);
    assert_eq!(run.contributors(Purpose::Update), [vec![2, 3, 4]]);
    assert_eq!(
        run.findings(),
        [Finding::ContributorLeftOut {
            contributor: id(1),
            verdict: DealerVerdict::Inconsistent
        }]
    );
    assert_mean_of(&run, &[2, 3, 4]);
}

#[test]
fn a_wrong_unlock_share_is_named_and_the_round_opens_without_it() {
    for size in [3, 4] {
        let run = run_with(size, 2, |who, vault, output| {
            unlock_wrongly(who, vault, output)
        });
        assert!(run.completed().is_some(), "{:?}", run.events);
        assert!(
            run.findings().is_empty(),
            "it has answered rightly for all shares"
        );
        let [(hospital, says)] = Vec::from_iter(&run.wrong_answers)[..] else {
            panic!("one is named: {:?}", run.wrong_answers);
        };
        assert_eq!(*hospital, id(2));
        assert_eq!(
            says.len(),
            3 * usize::from(size),
            "by all, in each of three sums"
        );
    }
}

#[test]
fn more_wrong_unlock_shares_than_can_be_told_apart_end_the_run_with_the_model_unchanged() {
    let mut run = Cohort::immediate(4, &manifest(1, Conditioning::None));
    run.lie = Box::new(|who, vault, output| {
        if who >= id(3) && matches!(output, VaultOutput::Send(_)) {
            unlock_wrongly(who, vault, output)
        } else {
            output
        }
    });
    run.connect_all();
    for _ in 0..5 {
        run.wait();
    }
    assert!(run.failed_with("does not open"), "{:?}", run.events);
    assert!(run.refused_with("unlock shares"), "{:?}", run.refusals);
    assert!(run.opened.is_empty());
}

/// Adds `steps` times DELTA to a word of the sum of the update, as a coordinator could that knows no key.
fn alter_sum<'a>(word: usize, steps: u64) -> Cohort<'a> {
    let mut run = Cohort::immediate(3, &manifest(1, Conditioning::None));
    run.spoil_outcome = Box::new(move |outcome| {
        if outcome.header.read_unverified().expect("ours").purpose != Purpose::Update {
            return;
        }
        let bytes = &mut outcome.sum.0[8 * word..8 * word + 8];
        let old = u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
        let new = (old + (steps << 13)) % MODULUS;
        bytes.copy_from_slice(&new.to_le_bytes());
    });
    run.connect_all();
    run
}

#[test]
fn a_sum_altered_by_whole_steps_is_refused_by_every_vault_for_its_tag() {
    let tag_chunk = 513 * CHUNK_BYTES / 8;
    // The first value, one value high in the second field, and the tag itself.
    for (word, steps) in [(0, 1), (100_000, 5 << 24), (tag_chunk, 1)] {
        let run = alter_sum(word, steps);
        let mut refusing: Vec<_> = run
            .refusals
            .iter()
            .filter(|(_, reason)| reason.contains("the sum was altered") && reason.contains("tag"))
            .map(|(who, _)| *who)
            .collect();
        refusing.sort();
        // Each follows four null steps, and the fifth failure ends the run.
        assert_eq!(refusing.len(), 3 * 5, "word {word}: {:?}", run.refusals);
        refusing.dedup();
        assert_eq!(refusing, ids(&[1, 2, 3]), "word {word}: {:?}", run.refusals);
        assert!(run.failed_with("does not open"), "{:?}", run.events);
        assert!(
            run.opened
                .values()
                .flatten()
                .all(|opened| opened.purpose == Purpose::Stats)
        );
    }
}

#[test]
fn a_vault_takes_one_box_of_a_contributor_and_answers_for_it_once() {
    let mut run = Cohort::immediate(4, &manifest(1, Conditioning::None));
    // The round stays open: nobody is asked to answer for U.
    run.interference =
        Box::new(|_, message| (!matches!(message, ToVault::UnlockRequest(_))).then_some(message));
    let last: Rc<RefCell<Option<Vec<u8>>>> = Rc::default();
    let sent = last.clone();
    run.lie = Box::new(move |who, _, output| {
        if who == id(1) && acknowledgement(&output).is_some() {
            sent.replace(Some(sent_bytes(&output)));
        }
        output
    });
    run.connect_all();
    let first = last.borrow().clone().expect("it has acknowledged all");

    let dealer = run.vault(id(2));
    let blob = testing::contribution(dealer);
    let original: Contribution = codec::decode(&blob).expect("its own");
    let other = with_wrong_shares(id(2), dealer, &blob, &[1]);
    let to_first = |contribution: &Contribution| {
        let (to, forward) = forwards(&contribution.manifest, &contribution.boxes)
            .next()
            .expect("a box");
        assert_eq!(to, id(1));
        ToVault::BoxForward(forward)
    };
    let vault = run.vault(id(1));
    vault
        .handle_message(to_first(&other))
        .expect("nothing fatal");
    let outputs: Vec<_> = std::iter::from_fn(|| vault.poll_output()).collect();
    assert!(
        matches!(&outputs[..], [VaultOutput::Event(VaultEvent::Refused { reason })] if reason.contains("a second, different box of hospital 2")),
        "no answer for the second"
    );
    vault
        .handle_message(to_first(&original))
        .expect("nothing fatal");
    let outputs: Vec<_> = std::iter::from_fn(|| vault.poll_output()).collect();
    assert_eq!(outputs.len(), 1);
    assert_eq!(sent_bytes(&outputs[0]), first, "the identical bytes");
}

fn sent_bytes(output: &VaultOutput) -> Vec<u8> {
    let VaultOutput::Send(message) = output else {
        panic!("a message");
    };
    codec::encode_frame(message.as_ref())
}

#[test]
fn a_second_different_answer_of_a_vault_is_refused_and_the_round_goes_on_with_the_first() {
    let mut honest = 3;
    let run = run_with(7, 3, move |who, _, output| {
        if acknowledgement(&output).is_none() {
            return output;
        }
        // Some answers are given rightly, and are then taken back.
        if honest > 0 {
            honest -= 1;
            return output;
        }
        acknowledge_wrongly(who, output, &[1, 2, 3, 4, 5, 6, 7])
    });
    assert!(run.completed().is_some(), "{:?}", run.events);
    assert!(run.events.iter().any(|event| matches!(
        event,
        Event::Rejected { hospital, reason } if *hospital == id(3)
            && reason == "a second, different answer of the dealer check of hospital 3 in one round"
    )));
    assert_eq!(
        run.contributors(Purpose::Update),
        [vec![1, 2, 3, 4, 5, 6, 7]]
    );
}

/// Hospital 2 shares another secret than the one that masks its update, once. All vaults take the null step, and try again with all.
#[test]
fn an_update_that_does_not_open_is_tried_again_on_the_same_weights_with_other_trainings() {
    let all = [1, 2, 3, 4];
    let mut run = Cohort::immediate(4, &manifest(1, Conditioning::None));
    let mut has_lied = false;
    run.lie = Box::new(move |who, vault, output| {
        let is_its_update = matches!(
            output,
            VaultOutput::Upload {
                purpose: Purpose::Update,
                ..
            }
        );
        if who == id(2) && is_its_update && !has_lied {
            has_lied = true;
            deal_wrongly(who, vault, output, &all)
        } else {
            output
        }
    });
    run.connect_all();
    for _ in 0..8 {
        run.wait();
    }
    assert!(run.completed().is_some(), "{:?}", run.events);
    assert_eq!(run.contributors(Purpose::Update), vec![all.to_vec(); 2]);
    assert_eq!(run.trained, 8, "each trains twice");
    for vault in ids(&all) {
        let [(round, after)] = &run.null_steps[&vault][..] else {
            panic!("one null step");
        };
        let [(first, of_first)] = &run.null_steps[&id(1)][..] else {
            panic!("one null step");
        };
        assert_eq!((round, after.model_hash), (first, of_first.model_hash));
        let hashes = |vault: &HospitalId| {
            let opened = run.opened[vault].iter();
            opened.map(|opened| opened.model_hash).collect::<Vec<_>>()
        };
        assert_eq!(hashes(&vault), hashes(&id(1)));
        assert_eq!(hashes(&vault).len(), 3, "statistics, update, evaluation");
        assert_ne!(hashes(&vault)[0], after.model_hash);
    }
}
