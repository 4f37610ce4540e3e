//! Keys and hashes of a vault against those that `protocol/vectors/make_hashes.py` has computed from PROTOCOL.md.

use crypto::hash::SecretKey32;
use protocol::{
    digests::{ContributorsHash, HeaderHash, ModelHash, RoundNumber, Transcript},
    session::group_key_id,
};
use serde_json::Value;

use super::super::{
    learning::stream_after,
    round::{contribute::clip_commit, unlock::unlock_key},
};

fn expected() -> Value {
    let text = include_str!("../../../../protocol/vectors/hashes.json");
    serde_json::from_str(text).expect("JSON")
}

fn digest<T: From<[u8; 32]>>(name: &str) -> T {
    let mut bytes = [0; 32];
    let text = expected()[name].as_str().expect("text").to_owned();
    hex::decode_to_slice(text, &mut bytes).expect("32 bytes");
    bytes.into()
}

#[test]
fn group_commit_and_unlock_key_are_those_of_the_specification() {
    let assert_is = |found: &[u8], name: &str| {
        assert_eq!(hex::encode(found), expected()[name], "{name}");
    };
    let group = SecretKey32::from_bytes([0x21; 32]);
    assert_is(group_key_id(group.as_bytes()).as_ref(), "gid");
    let model = ModelHash::from_bytes([0x16; 32]);
    let commit = clip_commit(&group, &model, RoundNumber::new(7), &[0.5, 0.25]);
    assert_is(commit.as_ref(), "commit");
    let transcript = Transcript::from_bytes([0x02; 32]);
    let (header, contributors): (HeaderHash, ContributorsHash) = (digest("hh"), digest("uh"));
    let third = crypto::sealed_sum::HospitalId::new(3).expect("in range");
    let key = unlock_key(&group, &transcript, &header, &contributors, third);
    assert_is(key.as_bytes(), "unlock_key");
    assert_is(&stream_after([0x23; 32], 2), "stream_after_two_null_steps");
    assert_eq!(stream_after([0x23; 32], 0), [0x23; 32]);
}
