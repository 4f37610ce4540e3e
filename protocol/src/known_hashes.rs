//! The hashes of PROTOCOL.md 3.3 to 3.7 that are made of several parts, against those of `vectors/make_hashes.py`, which has nothing but
//! the text and Python's hashlib. The keys of a vault are compared in `participant`.

use serde_json::Value;

use crate::{
    codec::{self, Id, List},
    common_model::CommonModel,
    digests::{ChunksRoot, HeaderHash, ModelHash, Transcript},
    identity::{Message, Signed},
    manifest::{Manifest, testing::manifest},
    network::{ModelLayout, TensorKind, TensorSpec},
    roster::testing::federation,
    round::{
        contribution::ContributionManifest,
        header::RoundOpen,
        next_transcript,
        outcome::outcome_name,
        unlock::{Contributor, UnlockRequest},
    },
    strategy::Strategy,
};

fn expected(name: &str) -> Value {
    let text = include_str!("../vectors/hashes.json");
    let all: Value = serde_json::from_str(text).expect("JSON");
    all[name].clone()
}

fn bytes(name: &str) -> Vec<u8> {
    let value = expected(name);
    hex::decode(value.as_str().expect("text")).expect("hexadecimal")
}

fn assert_is(found: impl AsRef<[u8]>, name: &str) {
    assert_eq!(hex::encode(found), expected(name), "{name}");
}

/// The digest of a signed message does not depend on who has signed it.
fn digest_of<T: Message>(body: &T) -> T::Digest {
    Signed::sign(body, &federation(2).coordinator_key).digest()
}

#[test]
fn header_contribution_contributors_and_transcript() {
    let header: RoundOpen = codec::decode(&bytes("round_open")).expect("a header");
    let hh: HeaderHash = digest_of(&header);
    assert_is(hh, "hh");
    let manifest = bytes("contribution_manifest");
    let manifest: ContributionManifest = codec::decode(&manifest).expect("a manifest");
    assert_eq!((manifest.header, manifest.attempt), (hh, 1));
    let digest = digest_of(&manifest);
    assert_is(digest, "contribution_digest");
    let contributor = |number, digest| Contributor {
        id: Id(crate::HospitalId::new(number).expect("in range")),
        digest,
        signature: [0; 64],
    };
    let request = UnlockRequest {
        header: hh,
        contributors: List(vec![
            contributor(1, [0x14; 32].into()),
            contributor(2, digest),
        ]),
    };
    let uh = request.hash();
    assert_is(uh, "uh");
    let (before, model): (Transcript, ModelHash) = ([0x02; 32].into(), [0x16; 32].into());
    let after = |root| next_transcript(&before, &hh, &uh, &root, &model);
    assert_is(after([0x15; 32].into()), "t_r");
    assert_is(after(ChunksRoot::NONE), "t_r_of_a_null_step");
    assert_is(outcome_name(&hh, &uh), "outcome_name");
}

#[test]
fn the_common_model() {
    let tensor = |name: &str, values| TensorSpec {
        name: name.into(),
        shape: List(vec![values]),
        kind: TensorKind::Weight,
    };
    let model = |strategy, moments, null_steps| {
        let manifest = Manifest {
            strategy,
            layout: ModelLayout {
                tensors: List(vec![tensor("a", 1), tensor("b", 2)]),
            },
            ..manifest()
        };
        let (values, clips) = (vec![1.0, -2.5, 0.0], vec![0.5, 0.25]);
        let model = CommonModel::restored(&manifest, values, moments, clips, null_steps);
        model.expect("of this layout").hash()
    };
    assert_is(model(Strategy::FedAvg, vec![], 0), "model_hash");
    let moments = vec![vec![0.5; 3], vec![2.0; 3]];
    assert_is(
        model(Strategy::FEDADAM, moments, 0),
        "model_hash_with_moments",
    );
    assert_is(
        model(Strategy::FedAvg, vec![], 2),
        "model_hash_after_two_null_steps",
    );
}
