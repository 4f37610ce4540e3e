//! The literal bytes of everything that travels, field by field, of the roster and of a signature: what another implementation has to
//! write, and what this one must go on writing. A change here is another wire version. Hashes over several parts are in
//! `known_hashes`.

use std::{fmt::Debug, num::NonZeroU32};

use crypto::hash::labelled_hash;

use crate::{
    HospitalId,
    codec::{self, Bytes, Decode, Encode, Id, List, WIRE_VERSION},
    counters::CounterSpec,
    digests::{LearningRound, RoundNumber, SessionId},
    features::{FeatureKind, FeatureSchema, FeatureSpec},
    identity::Signed,
    keeping::Verdict,
    manifest::{Manifest, MemberWeight},
    message::{
        EncryptedFeatures, EvaluationKey, FilterRequest, Hello, Products, RefusedPart, Resume,
        ToCoordinator, ToVault, Welcome,
    },
    network::{ModelLayout, TensorKind, TensorSpec},
    roster::testing::federation,
    round::{
        contribution::{
            BoxAck, BoxForward, Contribution, ContributionManifest, ShareAnswer, ShareBox,
        },
        header::RoundOpen,
        null_step::NullStep,
        outcome::{Outcome, ReceivedOutcome, RoundClosed, RoundFailed},
        unlock::{Contributor, UnlockRequest, UnlockShare},
    },
    session::{
        Encapsulation, GroupKey, Join, Ready, SealedGroupKey, SealedState, SeenEncapsulation,
    },
    strategy::{Adaptive, Strategy},
    vocabulary::{Conditioning, ConditioningForm, Keep, LabelScheme, Purpose, Task},
};

/// Encodes to these bytes and is read from them.
fn check<T: Encode + Decode<()> + PartialEq + Debug>(value: &T, fields: &[&[u8]]) {
    let bytes = fields.concat();
    assert_eq!(codec::encode(value), bytes, "{value:?}");
    assert_eq!(codec::decode::<T>(&bytes).as_ref(), Ok(value));
}

fn id(number: u8) -> Id {
    Id(HospitalId::new(number).expect("in range"))
}

/// Any 32 bytes of one kind.
fn digest<T: From<[u8; 32]>>(byte: u8) -> T {
    [byte; 32].into()
}

const SESSION: SessionId = SessionId::from_bytes([0x5e; 16]);

/// A signed message as it travels: the length of its bytes, the bytes, the signature. What the bytes say is not looked at.
const SIGNED: &[u8] = &{
    let mut bytes = [0x51; 4 + 2 + 64];
    // Length of the body, and the body.
    [bytes[0], bytes[1], bytes[2], bytes[3]] = 2_u32.to_le_bytes();
    [bytes[4], bytes[5]] = [0xb0, 0xd1];
    bytes
};

fn signed<T: crate::identity::Message>() -> Signed<T> {
    codec::decode(SIGNED).expect("the form of a signed message")
}

#[test]
fn join() {
    let join = Join {
        roster_hash: digest(1),
        session: SESSION,
        id: id(2),
        x25519: [3; 32],
        kem_key: [4; 1184],
        nonce: [5; 32],
    };
    check(
        &join,
        &[
            &[1; 32],    // roster_hash
            &[0x5e; 16], // session
            &[2],        // id
            &[3; 32],    // x25519
            &[4; 1184],  // kem_key
            &[5; 32],    // nonce
        ],
    );
}

#[test]
fn encapsulation() {
    let encapsulation = Encapsulation {
        session: SESSION,
        from: id(1),
        to: id(2),
        from_join: digest(3),
        to_join: digest(4),
        roster_hash: digest(5),
        ciphertext: [6; 1088],
    };
    check(
        &encapsulation,
        &[
            &[0x5e; 16], // session
            &[1],        // from
            &[2],        // to
            &[3; 32],    // from_join
            &[4; 32],    // to_join
            &[5; 32],    // roster_hash
            &[6; 1088],  // ciphertext
        ],
    );
}

#[test]
fn group_key() {
    let group_key = GroupKey {
        session: SESSION,
        origin: id(1),
        generation: 2,
        first_round: RoundNumber::new(0x0304),
        gid: digest(5),
        sealed: List(vec![SealedGroupKey {
            to: id(6),
            sealed: [7; 48],
        }]),
    };
    check(
        &group_key,
        &[
            &[0x5e; 16],         // session
            &[1],                // origin
            &[2, 0, 0, 0],       // generation
            &[0x04, 0x03, 0, 0], // first_round
            &[5; 32],            // gid
            &[1, 0, 0, 0],       // sealed: how many
            &[6],                // sealed[0].to
            &[7; 48],            // sealed[0].sealed
        ],
    );
}

#[test]
fn ready() {
    let ready = Ready {
        session: SESSION,
        id: id(1),
        joined_set: digest(2),
        gid: digest(3),
        encapsulations: List(vec![SeenEncapsulation {
            peer: id(4),
            digest: digest(5),
        }]),
        state: Some(digest(6)),
    };
    check(
        &ready,
        &[
            &[0x5e; 16],   // session
            &[1],          // id
            &[2; 32],      // joined_set
            &[3; 32],      // gid
            &[1, 0, 0, 0], // encapsulations: how many
            &[4],          // encapsulations[0].peer
            &[5; 32],      // encapsulations[0].digest
            &[1],          // state: there is one
            &[6; 32],      // state
        ],
    );
}

#[test]
fn sealed_state() {
    let state = SealedState {
        session: SESSION,
        sealer: id(1),
        digest: [2; 32],
        sealed: Bytes(vec![3]),
    };
    check(
        &state,
        &[
            &[0x5e; 16],   // session
            &[1],          // sealer
            &[2; 32],      // digest
            &[1, 0, 0, 0], // sealed: how many bytes
            &[3],          // sealed
        ],
    );
}

#[test]
fn manifest() {
    let manifest = Manifest {
        name: "run".into(),
        task: Task::Multiclass,
        label_scheme: LabelScheme::AsCounted,
        conditioning: Conditioning::Plain,
        conditioning_form: ConditioningForm::Late,
        conditioning_every: 3,
        features: FeatureSchema {
            features: List(vec![FeatureSpec {
                name: "f".into(),
                kind: FeatureKind::Number,
                from: 1.0,
                to: 2.0,
            }]),
        },
        layout: ModelLayout {
            tensors: List(vec![TensorSpec {
                name: "w".into(),
                shape: List(vec![1, 0x0203]),
                kind: TensorKind::RunningVariance,
            }]),
        },
        nonce: [4; 32],
        init_seed: [5; 32],
        rounds: 6,
        local_epochs: 7,
        batch_size: 8,
        learning_rate: 1.0,
        weight_decay: 0.5,
        conditioning_rate: 2.0,
        strategy: Strategy::FedAdam(Adaptive {
            rate: 0.5,
            beta1: 1.0,
            beta2: 2.0,
            tau: 0.25,
        }),
        local_steps: 9,
        silence_secs: 10,
        straggler_floor_secs: 13,
        straggler_factor: 1.5,
        weights: List(vec![MemberWeight {
            id: id(11),
            weight: 12,
        }]),
        clip_rule: 2,
        keep: Keep::BestAccuracy,
        early_stop: NonZeroU32::new(13),
        initial_model: Some(digest(14)),
        start_with: NonZeroU32::new(15),
    };
    check(
        &manifest,
        &[
            &[3, 0, 0, 0],                   // name: how many bytes
            b"run",                          // name
            &[1],                            // task
            &[1],                            // label_scheme
            &[2],                            // conditioning
            &[2],                            // conditioning_form
            &[3, 0, 0, 0],                   // conditioning_every
            &[1, 0, 0, 0],                   // features: how many
            &[1, 0, 0, 0],                   // features[0].name: how many bytes
            b"f",                            // features[0].name
            &[2],                            // features[0].kind
            &[0, 0, 0, 0, 0, 0, 0xf0, 0x3f], // features[0].from
            &[0, 0, 0, 0, 0, 0, 0x00, 0x40], // features[0].to
            &[1, 0, 0, 0],                   // layout.tensors: how many
            &[1, 0, 0, 0],                   // tensors[0].name: how many bytes
            b"w",                            // tensors[0].name
            &[2, 0, 0, 0],                   // tensors[0].shape: how many
            &[1, 0, 0, 0, 0x03, 0x02, 0, 0], // tensors[0].shape
            &[3],                            // tensors[0].kind
            &[4; 32],                        // nonce
            &[5; 32],                        // init_seed
            &[6, 0, 0, 0],                   // rounds
            &[7, 0, 0, 0],                   // local_epochs
            &[8, 0, 0, 0],                   // batch_size
            &[0, 0, 0, 0, 0, 0, 0xf0, 0x3f], // learning_rate
            &[0, 0, 0, 0, 0, 0, 0xe0, 0x3f], // weight_decay
            &[0, 0, 0, 0, 0, 0, 0x00, 0x40], // conditioning_rate
            &[2, 0, 0, 0],                   // strategy: its number
            &[0, 0, 0, 0, 0, 0, 0xe0, 0x3f], // strategy.rate
            &[0, 0, 0, 0, 0, 0, 0xf0, 0x3f], // strategy.beta1
            &[0, 0, 0, 0, 0, 0, 0x00, 0x40], // strategy.beta2
            &[0, 0, 0, 0, 0, 0, 0xd0, 0x3f], // strategy.tau
            &[9, 0, 0, 0],                   // local_steps
            &[10, 0, 0, 0],                  // silence_secs
            &[13, 0, 0, 0],                  // straggler_floor_secs
            &[0, 0, 0, 0, 0, 0, 0xf8, 0x3f], // straggler_factor
            &[1, 0, 0, 0],                   // weights: how many
            &[11],                           // weights[0].id
            &[12, 0, 0, 0],                  // weights[0].weight
            &[2],                            // clip_rule
            &[1],                            // keep
            &[1, 13, 0, 0, 0],               // early_stop: there is one, and which
            &[1],                            // initial_model: there is one
            &[14; 32],                       // initial_model
            &[1, 15, 0, 0, 0],               // start_with: there is one, and which
        ],
    );
    let plain = Manifest {
        early_stop: None,
        initial_model: None,
        start_with: None,
        ..manifest
    };
    assert!(codec::encode(&plain).ends_with(&[2, 1, 0, 0, 0]));
    // An early stop after no evaluation at all is no number that can be read.
    let mut bytes = codec::encode(&plain);
    bytes.truncate(bytes.len() - 3);
    bytes.extend([1, 0, 0, 0, 0, 0, 0]);
    assert!(codec::decode::<Manifest>(&bytes).is_err());
}

#[test]
fn counter() {
    let spec = CounterSpec {
        name: "n".into(),
        digits: 3,
    };
    check(
        &spec,
        &[
            &[1, 0, 0, 0], // name: how many bytes
            b"n",          // name
            &[3],          // digits
        ],
    );
}

#[test]
fn header() {
    let header = RoundOpen {
        version: WIRE_VERSION,
        suite: 1,
        session: SESSION,
        run: digest(1),
        purpose: Purpose::Evaluation,
        round: RoundNumber::new(0x0405_0607),
        transcript: digest(2),
        joined_set: digest(3),
        gid: digest(4),
        model_hash: digest(5),
        layout_hash: digest(6),
        values: 7,
        counter_digits: List(vec![3, 6]),
        fields: 2,
        field_bits: 24,
        value_bits: 22,
        largest_weight: 8,
        clip_rule: 1,
        threshold: 9,
        min_contributors: 10,
        silence_secs: 11,
        nonce: [12; 32],
    };
    check(
        &header,
        &[
            &[6],                      // version
            &[1, 0],                   // suite
            &[0x5e; 16],               // session
            &[1; 32],                  // run
            &[2],                      // purpose
            &[0x07, 0x06, 0x05, 0x04], // round
            &[2; 32],                  // transcript
            &[3; 32],                  // joined_set
            &[4; 32],                  // gid
            &[5; 32],                  // model_hash
            &[6; 32],                  // layout_hash
            &[7, 0, 0, 0],             // values
            &[2, 0, 0, 0],             // counter_digits: how many
            &[3, 6],                   // counter_digits
            &[2],                      // fields
            &[24],                     // field_bits
            &[22],                     // value_bits
            &[8, 0, 0, 0],             // largest_weight
            &[1],                      // clip_rule
            &[9],                      // threshold
            &[10],                     // min_contributors
            &[11, 0, 0, 0],            // silence_secs
            &[12; 32],                 // nonce
        ],
    );
}

#[test]
fn contribution() {
    let manifest = ContributionManifest {
        header: digest(1),
        id: id(2),
        attempt: 3,
        chunks_root: digest(4),
        boxes_root: digest(5),
        commit: digest(6),
    };
    check(
        &manifest,
        &[
            &[1; 32], // header
            &[2],     // id
            &[3],     // attempt
            &[4; 32], // chunks_root
            &[5; 32], // boxes_root
            &[6; 32], // commit
        ],
    );
    let contribution = Contribution {
        manifest: signed(),
        boxes: List(vec![ShareBox {
            to: id(7),
            sealed: Bytes(vec![8, 9]),
        }]),
        chunks: Bytes(vec![10]),
    };
    check(
        &contribution,
        &[
            SIGNED,        // manifest
            &[1, 0, 0, 0], // boxes: how many
            &[7],          // boxes[0].to
            &[2, 0, 0, 0], // boxes[0].sealed: how many bytes
            &[8, 9],       // boxes[0].sealed
            &[1, 0, 0, 0], // chunks: how many bytes
            &[10],         // chunks
        ],
    );
}

fn box_forward() -> (BoxForward, Vec<u8>) {
    let forward = BoxForward {
        manifest: signed(),
        sealed: Bytes(vec![1]),
        path: List(vec![digest(2)]),
    };
    let bytes: [&[u8]; 5] = [
        SIGNED,        // manifest
        &[1, 0, 0, 0], // sealed: how many bytes
        &[1],          // sealed
        &[1, 0, 0, 0], // path: how many
        &[2; 32],      // path[0]
    ];
    (forward, bytes.concat())
}

#[test]
fn acknowledgement() {
    let ack = BoxAck {
        header: digest(1),
        id: id(2),
        answers: List(vec![ShareAnswer {
            contributor: id(3),
            answer: [4; 16],
        }]),
    };
    check(
        &ack,
        &[
            &[1; 32],      // header
            &[2],          // id
            &[1, 0, 0, 0], // answers: how many
            &[3],          // answers[0].contributor
            &[4; 16],      // answers[0].answer
        ],
    );
}

#[test]
fn unlock() {
    let request = UnlockRequest {
        header: digest(1),
        contributors: List(vec![Contributor {
            id: id(2),
            digest: digest(3),
            signature: [4; 64],
        }]),
    };
    check(
        &request,
        &[
            &[1; 32],      // header
            &[1, 0, 0, 0], // contributors: how many
            &[2],          // contributors[0].id
            &[3; 32],      // contributors[0].digest
            &[4; 64],      // contributors[0].signature
        ],
    );
    let share = UnlockShare {
        header: digest(1),
        contributors: digest(2),
        id: id(3),
        sealed: Bytes(vec![4]),
    };
    check(
        &share,
        &[
            &[1; 32],      // header
            &[2; 32],      // contributors
            &[3],          // id
            &[1, 0, 0, 0], // sealed: how many bytes
            &[4],          // sealed
        ],
    );
}

#[test]
fn outcome() {
    let outcome = Outcome {
        header: signed(),
        request: signed(),
        shares: List(vec![signed()]),
        sum: Bytes(vec![1, 2]),
    };
    check(
        &outcome,
        &[
            SIGNED,        // header
            SIGNED,        // request
            &[1, 0, 0, 0], // shares: how many
            SIGNED,        // shares[0]
            &[2, 0, 0, 0], // sum: how many bytes
            &[1, 2],       // sum
        ],
    );
    let bytes = codec::encode(&outcome);
    let received = ReceivedOutcome::read(&bytes).expect("the same form");
    assert_eq!(received.sum.0, outcome.sum.0);
    assert_eq!(received.header, outcome.header);
    assert_eq!(received.request, outcome.request);
    assert_eq!(received.shares, outcome.shares);
    for length in 0..bytes.len() {
        assert!(ReceivedOutcome::read(&bytes[..length]).is_err());
    }
    let closed = RoundClosed {
        id: id(1),
        header: digest(2),
        contributors: digest(3),
        transcript: digest(4),
        model_hash: digest(5),
        result_commit: digest(6),
        verdict: Verdict::Stop,
    };
    check(
        &closed,
        &[
            &[1],     // id
            &[2; 32], // header
            &[3; 32], // contributors
            &[4; 32], // transcript
            &[5; 32], // model_hash
            &[6; 32], // result_commit
            &[1],     // verdict
        ],
    );
    let failed = RoundFailed {
        id: id(1),
        header: digest(2),
        contributors: digest(3),
    };
    check(
        &failed,
        &[
            &[1],     // id
            &[2; 32], // header
            &[3; 32], // contributors
        ],
    );
}

/// What a roster's members sign, and every session is bound to.
#[test]
fn roster() {
    let federation = federation(2);
    let public = |key: &crate::identity::SigningKey| key.public().0;
    let (first, second) = (&federation.hospital_keys[0], &federation.hospital_keys[1]);
    let fields: [&[u8]; 15] = [
        &[1, 0],                              // suite
        &[1, 0, 0, 0],                        // epoch
        &[2, 0, 0, 0],                        // members: how many
        &[1],                                 // members[0].id
        &[10, 0, 0, 0],                       // members[0].name: how many bytes
        b"hospital 1",                        // members[0].name
        &public(first),                       // members[0].signing_key
        &[1; 32],                             // members[0].tls_fingerprint
        &[2],                                 // members[1].id
        &[10, 0, 0, 0],                       // members[1].name: how many bytes
        b"hospital 2",                        // members[1].name
        &public(second),                      // members[1].signing_key
        &[2; 32],                             // members[1].tls_fingerprint
        &public(&federation.coordinator_key), // coordinator_key
        &[201; 32],                           // coordinator_tls_fingerprint
    ];
    let operator_key = public(&federation.operator_key);
    let bytes = [&fields.concat()[..], &operator_key].concat();
    let hash = labelled_hash("roster", &[&bytes]);
    assert_eq!(federation.roster.hash().as_bytes(), &hash);
}

/// What is signed of a message: a digest of its type and its bytes, under another label.
#[test]
fn signature() {
    let federation = federation(2);
    let key = &federation.hospital_keys[0];
    let failed = RoundFailed {
        id: id(1),
        header: digest(2),
        contributors: digest(3),
    };
    let body = [&[1][..], &[2; 32], &[3; 32]].concat();
    let digest = labelled_hash("round-failed", &[&body]);
    let signature = key.sign_digest(&labelled_hash("sign", &[b"round-failed", &digest]));
    check(
        &Signed::sign(&failed, key),
        &[
            &[65, 0, 0, 0], // how many bytes
            &body,          // the message
            &signature,     // over H('sign' || type || H(type || bytes))
        ],
    );
}

/// One value of every kind for the coordinator, with its bytes after the number of its kind.
fn to_coordinator() -> Vec<(ToCoordinator, Vec<u8>)> {
    let resume = Resume {
        session: SESSION,
        transcript: digest(1),
    };
    let features: [&[u8]; 4] = [
        &[1, 0, 0, 0], // key
        &[2, 0, 0, 0], // block
        &[1, 0, 0, 0], // bytes: how many
        &[3],          // bytes
    ];
    let request: [&[u8]; 8] = [
        &[0x5e; 16],   // session
        &[1],          // id
        &[2, 0, 0, 0], // key
        &[3, 0, 0, 0], // version
        &[1, 0, 0, 0], // features: how many
        &[4; 32],      // features[0]
        &[1, 0, 0, 0], // bytes: how many
        &[5],          // bytes
    ];
    vec![
        // resume: there is none
        (ToCoordinator::Hello(Hello { resume: None }), vec![0]),
        // resume: there is one; session, transcript
        (
            ToCoordinator::Hello(Hello {
                resume: Some(resume),
            }),
            [&[1][..], &[0x5e; 16], &[1; 32]].concat(),
        ),
        (ToCoordinator::Join(signed()), SIGNED.to_vec()),
        (ToCoordinator::Encapsulation(signed()), SIGNED.to_vec()),
        (ToCoordinator::GroupKey(signed()), SIGNED.to_vec()),
        (ToCoordinator::Ready(signed()), SIGNED.to_vec()),
        // key; bytes: how many; bytes
        (
            ToCoordinator::EvaluationKey(EvaluationKey {
                key: 1,
                bytes: Bytes(vec![2]),
            }),
            vec![1, 0, 0, 0, 1, 0, 0, 0, 2],
        ),
        (
            ToCoordinator::EncryptedFeatures(EncryptedFeatures {
                key: 1,
                block: 2,
                bytes: Bytes(vec![3]),
            }),
            features.concat(),
        ),
        (
            ToCoordinator::FilterRequest(FilterRequest {
                session: SESSION,
                id: id(1),
                key: 2,
                version: 3,
                features: List(vec![digest(4)]),
                bytes: Bytes(vec![5]),
            }),
            request.concat(),
        ),
        (ToCoordinator::Heartbeat, vec![]),
        // header; part; reason: how many bytes; reason
        (
            ToCoordinator::HeaderRefused {
                header: digest(1),
                part: RefusedPart::Answer,
                reason: "no".into(),
            },
            [&[1; 32][..], &[2], &[2, 0, 0, 0], b"no"].concat(),
        ),
        (ToCoordinator::BoxAck(signed()), SIGNED.to_vec()),
        (ToCoordinator::UnlockShare(signed()), SIGNED.to_vec()),
        (ToCoordinator::RoundClosed(signed()), SIGNED.to_vec()),
        (ToCoordinator::RoundFailed(signed()), SIGNED.to_vec()),
        (
            ToCoordinator::StateTaken { session: SESSION },
            vec![0x5e; 16],
        ),
        (
            ToCoordinator::StateRefused { session: SESSION },
            vec![0x5e; 16],
        ),
    ]
}

/// The number of a message's kind. A kind that is added does not compile until it has one, and bytes above.
fn number_to_coordinator(message: &ToCoordinator) -> u32 {
    match message {
        ToCoordinator::Hello(_) => 0,
        ToCoordinator::Join(_) => 1,
        ToCoordinator::Encapsulation(_) => 2,
        ToCoordinator::GroupKey(_) => 3,
        ToCoordinator::Ready(_) => 4,
        ToCoordinator::EvaluationKey(_) => 5,
        ToCoordinator::EncryptedFeatures(_) => 6,
        ToCoordinator::FilterRequest(_) => 7,
        ToCoordinator::Heartbeat => 8,
        ToCoordinator::HeaderRefused { .. } => 9,
        ToCoordinator::BoxAck(_) => 10,
        ToCoordinator::UnlockShare(_) => 11,
        ToCoordinator::RoundClosed(_) => 12,
        ToCoordinator::RoundFailed(_) => 13,
        ToCoordinator::StateTaken { .. } => 14,
        ToCoordinator::StateRefused { .. } => 15,
    }
}

/// One value of every kind for a vault, with its bytes after the number of its kind.
fn to_vault() -> Vec<(ToVault, Vec<u8>)> {
    let (forward, forward_bytes) = box_forward();
    vec![
        // session, roster_hash, manifest; after: there is one, T
        (
            ToVault::Welcome(Welcome {
                session: SESSION,
                roster_hash: digest(1),
                manifest: signed(),
                after: Some(digest(2)),
            }),
            [&[0x5e; 16][..], &[1; 32], SIGNED, &[1], &[2; 32]].concat(),
        ),
        // how many; Joins
        (
            ToVault::Joins(List(vec![signed(), signed()])),
            [&[2, 0, 0, 0][..], SIGNED, SIGNED].concat(),
        ),
        (ToVault::Encapsulation(signed()), SIGNED.to_vec()),
        (ToVault::GroupKey(signed()), SIGNED.to_vec()),
        (ToVault::Ready(signed()), SIGNED.to_vec()),
        // request; blocks: how many; blocks[0]: how many bytes; blocks[0]
        (
            ToVault::Products(Products {
                request: digest(1),
                blocks: List(vec![Bytes(vec![2])]),
            }),
            [&[1; 32][..], &[1, 0, 0, 0], &[1, 0, 0, 0], &[2]].concat(),
        ),
        (ToVault::RoundOpen(signed()), SIGNED.to_vec()),
        (ToVault::BoxForward(forward), forward_bytes),
        (ToVault::UnlockRequest(signed()), SIGNED.to_vec()),
        // name
        (ToVault::OutcomeReady { name: digest(1) }, vec![1; 32]),
        (ToVault::Finished, vec![]),
        // reason: how many bytes; reason
        (
            ToVault::Refused {
                reason: "no".into(),
            },
            vec![2, 0, 0, 0, b'n', b'o'],
        ),
        (
            ToVault::NotYet {
                reason: "no".into(),
            },
            vec![2, 0, 0, 0, b'n', b'o'],
        ),
        (ToVault::StateWanted { session: SESSION }, vec![0x5e; 16]),
        (ToVault::StateReady { name: digest(1) }, vec![1; 32]),
        // header; request; failed: how many; failed[0]
        (
            ToVault::NullStep(NullStep {
                header: signed(),
                request: signed(),
                failed: List(vec![signed()]),
            }),
            [SIGNED, SIGNED, &[1, 0, 0, 0], SIGNED].concat(),
        ),
        (
            ToVault::Rejected {
                reason: "no".into(),
            },
            vec![2, 0, 0, 0, b'n', b'o'],
        ),
        // after
        (
            ToVault::EndedByOperator {
                after: LearningRound::new(0x0102),
            },
            vec![2, 1, 0, 0],
        ),
    ]
}

/// As [`number_to_coordinator`].
fn number_to_vault(message: &ToVault) -> u32 {
    match message {
        ToVault::Welcome(_) => 0,
        ToVault::Joins(_) => 1,
        ToVault::Encapsulation(_) => 2,
        ToVault::GroupKey(_) => 3,
        ToVault::Ready(_) => 4,
        ToVault::Products(_) => 5,
        ToVault::RoundOpen(_) => 6,
        ToVault::BoxForward(_) => 7,
        ToVault::UnlockRequest(_) => 8,
        ToVault::OutcomeReady { .. } => 9,
        ToVault::Finished => 10,
        ToVault::Refused { .. } => 11,
        ToVault::NotYet { .. } => 12,
        ToVault::StateWanted { .. } => 13,
        ToVault::StateReady { .. } => 14,
        ToVault::NullStep(_) => 15,
        ToVault::Rejected { .. } => 16,
        ToVault::EndedByOperator { .. } => 17,
    }
}

/// A frame is the version, the number of the message's kind and its fields; every number up to the last kind's is there, and the
/// next one is no message.
fn check_frames<T: Encode + Decode<()> + PartialEq + Debug>(
    messages: &[(T, Vec<u8>)],
    number: fn(&T) -> u32,
) {
    let mut kinds = std::collections::BTreeSet::new();
    for (message, fields) in messages {
        kinds.insert(number(message));
        let frame = [&[6][..], &number(message).to_le_bytes(), fields].concat();
        assert_eq!(codec::encode_frame(message), frame, "{message:?}");
        assert_eq!(codec::decode_frame::<T>(&frame).as_ref(), Ok(message));
    }
    let count = kinds.len() as u32;
    assert!(kinds.into_iter().eq(0..count), "a kind has no bytes here");
    let next = [&[6][..], &count.to_le_bytes(), &[0; 2000]].concat();
    let error = codec::decode_frame::<T>(&next).expect_err("no such kind");
    assert!(error.to_string().contains(&count.to_string()), "{error}");
}

#[test]
fn frames() {
    check_frames(&to_coordinator(), number_to_coordinator);
    check_frames(&to_vault(), number_to_vault);
}
