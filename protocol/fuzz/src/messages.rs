use std::num::NonZeroU32;

use protocol::HospitalId;
use protocol::codec::{self, Bytes, Decode, Encode, Id, List};
use protocol::digests::{LearningRound, RoundNumber, SessionId};
use protocol::enrolment::{
    Ask, Code, EnrolmentReply, EnrolmentRequest, Invitation, JoinRequest, MemberRequest,
};
use protocol::features::FeatureSchema;
use protocol::identity::{Message, Signed, SigningKey};
use protocol::keeping::Verdict;
use protocol::manifest::{
    Conditioning, ConditioningForm, FIXED_CLIPS, Keep, LabelScheme, Manifest, MemberWeight,
    Purpose, Task,
};
use protocol::message::{
    EncryptedFeatures, EvaluationKey, FilterRequest, Hello, Products, RefusedPart, Resume,
    ToCoordinator, ToVault, Welcome,
};
use protocol::network::ModelLayout;
use protocol::roster::{MemberEntry, PeerKeys, RosterFile, RosterSignature};
use protocol::round::contribution::{
    BoxAck, BoxForward, Contribution, ContributionManifest, ShareAnswer, ShareBox,
};
use protocol::round::header::RoundOpen;
use protocol::round::null_step::NullStep;
use protocol::round::outcome::{Outcome, RoundClosed, RoundFailed};
use protocol::round::unlock::{Contributor, UnlockRequest, UnlockShare};
use protocol::session::{
    Encapsulation, GroupKey, Join, KEM_CIPHERTEXT_BYTES, KEM_KEY_BYTES, Ready, SealedGroupKey,
    SeenEncapsulation,
};
use protocol::strategy::Strategy;

use super::decoder::{Decoder, Forms};

/// The frames of the control stream, the bodies of all that is signed, and the two blobs.
pub const ALL: [&Decoder; 18] = [
    &frame::<ToCoordinator>("frame to the coordinator", || {
        to_coordinator().iter().map(codec::encode_frame).collect()
    }),
    &frame::<ToVault>("frame to a vault", || {
        to_vault().iter().map(codec::encode_frame).collect()
    }),
    &body::<Manifest>("manifest of a run", || encoded(&manifest())),
    &body::<Join>("join", || encoded(&join())),
    &body::<Encapsulation>("encapsulation", || encoded(&encapsulation())),
    &body::<GroupKey>("group key", || encoded(&group_key())),
    &body::<Ready>("ready", || encoded(&ready())),
    &body::<RoundOpen>("header of a round", || encoded(&header())),
    &body::<ContributionManifest>("manifest of a contribution", || {
        encoded(&contribution_manifest())
    }),
    &body::<Contribution>("contribution", || encoded(&contribution())),
    &body::<BoxAck>("acknowledgement of boxes", || encoded(&box_ack())),
    &body::<UnlockRequest>("unlock request", || encoded(&unlock_request())),
    &body::<UnlockShare>("unlock share", || encoded(&unlock_share())),
    &body::<Outcome>("outcome", || encoded(&outcome())),
    &body::<RoundClosed>("word on a round that opened", || encoded(&round_closed())),
    &body::<RoundFailed>("word on a round that did not open", || {
        encoded(&round_failed())
    }),
    &body::<EnrolmentRequest>("enrolment request", || {
        enrolment_requests().iter().map(codec::encode).collect()
    }),
    &body::<EnrolmentReply>("enrolment reply", || {
        enrolment_replies().iter().map(codec::encode).collect()
    }),
];

/// What people and files hand on as text, with white space where it came from a mail program.
pub const TEXTS: [&Decoder; 2] = [
    &Decoder {
        name: "invitation",
        forms: Forms::Several,
        accepted: || vec![invitation().to_token().as_bytes().to_vec()],
        decode_and_encode: |bytes| {
            let text = std::str::from_utf8(bytes).ok()?;
            let invitation = Invitation::from_token(text).ok()?;
            Some(invitation.to_token().as_bytes().to_vec())
        },
    },
    &Decoder {
        name: "roster",
        forms: Forms::Several,
        accepted: || vec![roster().to_json().into_bytes()],
        decode_and_encode: |bytes| {
            let text = std::str::from_utf8(bytes).ok()?;
            let file = RosterFile::from_json(text).ok()?;
            // Whatever is in it, it is a roster or an error.
            let _ = file.check();
            let _ = file.check_draft();
            Some(file.to_json().into_bytes())
        },
    },
];

/// Bytes first, then texts.
pub fn all() -> impl Iterator<Item = &'static Decoder> + Clone {
    ALL.into_iter().chain(TEXTS)
}

/// What is signed, or fetched as a whole.
const fn body<T: Encode + Decode<()>>(
    name: &'static str,
    accepted: fn() -> Vec<Vec<u8>>,
) -> Decoder {
    Decoder {
        name,
        forms: Forms::One,
        accepted,
        decode_and_encode: |bytes| {
            let message: T = codec::decode(bytes).ok()?;
            Some(codec::encode(&message))
        },
    }
}

/// What travels on the control stream.
const fn frame<T: Encode + Decode<()>>(
    name: &'static str,
    accepted: fn() -> Vec<Vec<u8>>,
) -> Decoder {
    Decoder {
        name,
        forms: Forms::One,
        accepted,
        decode_and_encode: |bytes| {
            let message: T = codec::decode_frame(bytes).ok()?;
            Some(codec::encode_frame(&message))
        },
    }
}

fn encoded(message: &impl Encode) -> Vec<Vec<u8>> {
    vec![codec::encode(message)]
}

fn to_coordinator() -> Vec<ToCoordinator> {
    let resume = Resume {
        session: SESSION,
        transcript: digest(9),
    };
    vec![
        ToCoordinator::Hello(Hello { resume: None }),
        ToCoordinator::Hello(Hello {
            resume: Some(resume),
        }),
        ToCoordinator::Join(signed(&join())),
        ToCoordinator::Encapsulation(signed(&encapsulation())),
        ToCoordinator::GroupKey(signed(&group_key())),
        ToCoordinator::Ready(signed(&ready())),
        ToCoordinator::EvaluationKey(EvaluationKey {
            key: 1,
            bytes: bytes(40),
        }),
        ToCoordinator::EncryptedFeatures(EncryptedFeatures {
            key: 1,
            block: 2,
            bytes: bytes(30),
        }),
        ToCoordinator::FilterRequest(FilterRequest {
            session: SESSION,
            id: id(2),
            key: 1,
            version: 7,
            features: List(vec![digest(1), digest(2)]),
            bytes: bytes(30),
        }),
        ToCoordinator::Heartbeat,
        ToCoordinator::HeaderRefused {
            header: digest(3),
            part: RefusedPart::Contribution,
            reason: "another model".into(),
        },
        ToCoordinator::BoxAck(signed(&box_ack())),
        ToCoordinator::UnlockShare(signed(&unlock_share())),
        ToCoordinator::RoundClosed(signed(&round_closed())),
        ToCoordinator::RoundFailed(signed(&round_failed())),
        ToCoordinator::StateTaken { session: SESSION },
        ToCoordinator::StateRefused { session: SESSION },
    ]
}

fn to_vault() -> Vec<ToVault> {
    vec![
        ToVault::Welcome(Welcome {
            session: SESSION,
            roster_hash: digest(1),
            manifest: signed(&manifest()),
            after: Some(digest(8)),
        }),
        ToVault::Joins(List(vec![signed(&join()), signed(&join())])),
        ToVault::Encapsulation(signed(&encapsulation())),
        ToVault::GroupKey(signed(&group_key())),
        ToVault::Ready(signed(&ready())),
        ToVault::Products(Products {
            request: digest(4),
            blocks: List(vec![bytes(20), bytes(0)]),
        }),
        ToVault::RoundOpen(signed(&header())),
        ToVault::BoxForward(BoxForward {
            manifest: signed(&contribution_manifest()),
            sealed: bytes(50),
            path: List(vec![digest(5); 3]),
        }),
        ToVault::UnlockRequest(signed(&unlock_request())),
        ToVault::OutcomeReady { name: digest(6) },
        ToVault::Finished,
        ToVault::Refused {
            reason: "the session is full".into(),
        },
        ToVault::NotYet {
            reason: "a round is open".into(),
        },
        ToVault::StateWanted { session: SESSION },
        ToVault::StateReady { name: digest(7) },
        ToVault::NullStep(NullStep {
            header: signed(&header()),
            request: signed(&unlock_request()),
            failed: List(vec![signed(&round_failed()); 2]),
        }),
        ToVault::Rejected {
            reason: "of another round".into(),
        },
        ToVault::EndedByOperator {
            after: LearningRound::new(3),
        },
    ]
}

fn enrolment_requests() -> [EnrolmentRequest; 2] {
    let join = JoinRequest {
        authority: [1; 32],
        code: Code::from_bytes([2; 16]),
        signing_key: key().public(),
        certificate_request: bytes(60),
    };
    let ask = MemberRequest {
        authority: [1; 32],
        signing_key: key().public(),
        ask: Ask::Sign {
            roster: digest(2),
            signature: [3; 64],
        },
    };
    [
        EnrolmentRequest::Join(signed(&join)),
        EnrolmentRequest::Ask(signed(&ask)),
    ]
}

fn enrolment_replies() -> [EnrolmentReply; 6] {
    [
        EnrolmentReply::Waiting,
        EnrolmentReply::Certificate {
            hospital: id(3),
            certificate: "PEM".into(),
            authority: "PEM".into(),
        },
        EnrolmentReply::Roster {
            file: bytes(40),
            is_published: true,
        },
        EnrolmentReply::NoRoster,
        EnrolmentReply::Signed {
            missing: List(vec![id(1), id(2)]),
            missing_of_previous: 1,
        },
        EnrolmentReply::Refused {
            reason: "another federation".into(),
        },
    ]
}

fn invitation() -> Invitation {
    Invitation {
        address: "coordinator.example:7443".into(),
        authority: [1; 32],
        name: "St. Mary's".into(),
        expires: 1_900_000_000,
        code: Code::from_bytes([2; 16]),
    }
}

fn manifest() -> Manifest {
    Manifest {
        name: "a run".into(),
        task: Task::Binary,
        label_scheme: LabelScheme::AsCounted,
        conditioning: Conditioning::EncryptedHardened,
        layout: ModelLayout::hybrid_cnn(2),
        nonce: digest(1),
        init_seed: digest(2),
        rounds: 8,
        local_epochs: 2,
        batch_size: 32,
        learning_rate: 1e-3,
        weight_decay: 1e-4,
        conditioning_form: ConditioningForm::Study,
        conditioning_every: 1,
        features: FeatureSchema::study(),
        conditioning_rate: 1e-2,
        strategy: Strategy::FEDYOGI,
        local_steps: 30,
        silence_secs: 30,
        straggler_floor_secs: 600,
        straggler_factor: 10.0,
        weights: List(vec![MemberWeight {
            id: id(1),
            weight: 3,
        }]),
        clip_rule: FIXED_CLIPS,
        keep: Keep::BestLoss,
        early_stop: NonZeroU32::new(3),
        initial_model: Some(digest(3)),
        start_with: NonZeroU32::new(2),
    }
}

fn join() -> Join {
    Join {
        roster_hash: digest(1),
        session: SESSION,
        id: id(1),
        x25519: digest(2),
        kem_key: [3; KEM_KEY_BYTES],
        nonce: digest(4),
    }
}

fn encapsulation() -> Encapsulation {
    Encapsulation {
        session: SESSION,
        from: id(1),
        to: id(2),
        from_join: digest(1),
        to_join: digest(2),
        roster_hash: digest(3),
        ciphertext: [4; KEM_CIPHERTEXT_BYTES],
    }
}

fn group_key() -> GroupKey {
    GroupKey {
        session: SESSION,
        origin: id(1),
        generation: 1,
        first_round: RoundNumber::new(1),
        gid: digest(1),
        sealed: List(vec![SealedGroupKey {
            to: id(2),
            sealed: [5; 48],
        }]),
    }
}

fn ready() -> Ready {
    Ready {
        session: SESSION,
        id: id(2),
        joined_set: digest(1),
        gid: digest(2),
        encapsulations: List(vec![SeenEncapsulation {
            peer: id(1),
            digest: digest(3),
        }]),
        state: Some(digest(4)),
    }
}

fn header() -> RoundOpen {
    RoundOpen {
        version: 1,
        suite: 1,
        session: SESSION,
        run: digest(1),
        purpose: Purpose::Update,
        round: RoundNumber::new(3),
        transcript: digest(2),
        joined_set: digest(3),
        gid: digest(4),
        model_hash: digest(5),
        layout_hash: digest(6),
        values: 4_200_000,
        counter_digits: List(vec![3, 4]),
        fields: 2,
        field_bits: 24,
        value_bits: 22,
        largest_weight: 1,
        clip_rule: FIXED_CLIPS,
        threshold: 2,
        min_contributors: 2,
        silence_secs: 30,
        nonce: digest(7),
    }
}

fn contribution_manifest() -> ContributionManifest {
    ContributionManifest {
        header: digest(1),
        id: id(1),
        attempt: 0,
        chunks_root: digest(2),
        boxes_root: digest(3),
        commit: digest(4),
    }
}

fn contribution() -> Contribution {
    let sealed = |to| ShareBox {
        to: id(to),
        sealed: bytes(60),
    };
    Contribution {
        manifest: signed(&contribution_manifest()),
        boxes: List(vec![sealed(2), sealed(3)]),
        chunks: bytes(80),
    }
}

fn box_ack() -> BoxAck {
    let answer = |contributor| ShareAnswer {
        contributor: id(contributor),
        answer: [contributor; 16],
    };
    BoxAck {
        header: digest(1),
        id: id(2),
        answers: List(vec![answer(1), answer(3)]),
    }
}

fn unlock_request() -> UnlockRequest {
    let contributor = |number| Contributor {
        id: id(number),
        digest: digest(number),
        signature: [number; 64],
    };
    UnlockRequest {
        header: digest(1),
        contributors: List(vec![contributor(1), contributor(2)]),
    }
}

fn unlock_share() -> UnlockShare {
    UnlockShare {
        header: digest(1),
        contributors: digest(2),
        id: id(3),
        sealed: bytes(70),
    }
}

fn outcome() -> Outcome {
    Outcome {
        header: signed(&header()),
        request: signed(&unlock_request()),
        shares: List(vec![signed(&unlock_share()), signed(&unlock_share())]),
        sum: bytes(90),
    }
}

fn round_closed() -> RoundClosed {
    RoundClosed {
        id: id(1),
        header: digest(1),
        contributors: digest(2),
        transcript: digest(3),
        model_hash: digest(4),
        result_commit: digest(5),
        verdict: Verdict::Stop,
    }
}

fn round_failed() -> RoundFailed {
    RoundFailed {
        id: id(1),
        header: digest(1),
        contributors: digest(2),
    }
}

/// What decoders look at is the form: the signature is of a key that anybody can have.
fn roster() -> RosterFile {
    let first = RosterFile {
        suite: 1,
        epoch: 1,
        hospitals: vec![MemberEntry {
            id: 1,
            name: "Motol".into(),
            signing_key: [1; 32],
            tls_fingerprint: [2; 32],
        }],
        coordinator: PeerKeys {
            signing_key: [3; 32],
            tls_fingerprint: [4; 32],
        },
        operator_key: [5; 32],
        signatures: vec![RosterSignature {
            id: 1,
            signature: [6; 64],
        }],
        history: Vec::new(),
    };
    RosterFile {
        epoch: 2,
        history: vec![first.clone()],
        ..first
    }
}

fn signed<T: Message>(message: &T) -> Signed<T> {
    Signed::sign(message, &key())
}

fn key() -> SigningKey {
    SigningKey::from_secret_bytes(&[7; 32])
}

fn id(number: u8) -> Id {
    Id(HospitalId::new(number).expect("1 to 127"))
}

fn digest<T: From<[u8; 32]>>(byte: u8) -> T {
    [byte; 32].into()
}

fn bytes(length: usize) -> Bytes {
    Bytes((0..length).map(|place| place as u8).collect())
}

const SESSION: SessionId = SessionId::from_bytes([8; 16]);
