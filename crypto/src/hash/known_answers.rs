use serde::Deserialize;

use super::tree::tree_root;
use super::{SecretKey32, derive_key, hmac, labelled_hash};
use crate::known_answers::{Bytes, read};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Hashes {
    secret: Bytes<32>,
    cases: Vec<Case>,
    trees: Vec<Tree>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    label: String,
    parts: Vec<String>,
    labelled_hash: Bytes<32>,
    derived_key: Bytes<32>,
    hmac: Bytes<32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tree {
    leaves: u8,
    root: Bytes<32>,
}

fn hashes() -> Hashes {
    read(include_str!("../../vectors/hashes.json"))
}

#[test]
fn labelled_hashes_and_derived_keys_are_those_of_the_specification() {
    let Hashes { secret, cases, .. } = hashes();
    assert_eq!(cases.len(), 4);
    for case in cases {
        let parts: Vec<Vec<u8>> = case
            .parts
            .iter()
            .map(|part| hex::decode(part).expect("hexadecimal"))
            .collect();
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        assert_eq!(labelled_hash(&case.label, &parts), case.labelled_hash.0);
        assert_eq!(
            *derive_key(&secret.0, &case.label, &parts).as_bytes(),
            case.derived_key.0
        );
        assert_eq!(
            hmac(&SecretKey32::from_bytes(secret.0), &parts),
            case.hmac.0
        );
    }
}

/// Leaf i of each tree is i + 1 bytes, all i.
#[test]
fn roots_are_those_of_the_specification() {
    let trees = hashes().trees;
    assert_eq!(trees.len(), 8);
    for tree in trees {
        let leaves: Vec<Vec<u8>> = (0..tree.leaves)
            .map(|leaf| vec![leaf; usize::from(leaf) + 1])
            .collect();
        assert_eq!(
            tree_root(leaves.iter().map(Vec::as_slice)),
            tree.root.0,
            "{} leaves",
            tree.leaves
        );
    }
}
