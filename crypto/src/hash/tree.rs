//! SHA-256 trees over chunks and boxes (PROTOCOL 3.5).
//!
//! A leaf is `H('leaf' || bytes)`, an inner node `H('node' || left || right)`. A node without a sibling moves up
//! unchanged, so a tree of one leaf is that leaf. The root of nothing is `H('no leaves')`. A path lists the
//! siblings from the leaf upwards; a level without a sibling adds none.
//!
//! ```
//! use crypto::hash::tree::{Tree, leaf_hash, tree_root, verify_path};
//!
//! let boxes: [&[u8]; 3] = [b"to hospital 2", b"to hospital 3", b"to hospital 4"];
//! let tree = Tree::new(boxes.map(leaf_hash).into());
//! let root = tree.root();
//! assert_eq!(root, tree_root(boxes.into_iter()));
//!
//! // Whoever is given one box and two hashes sees that it is the second of the three.
//! let path = tree.path(1);
//! assert!(verify_path(&root, 1, 3, &leaf_hash(b"to hospital 3"), &path));
//! assert!(!verify_path(&root, 0, 3, &leaf_hash(b"to hospital 3"), &path));
//! ```

use super::{Digest, constant_time_eq, labelled_hash};

/// The root over the bytes of the leaves.
pub fn tree_root<'a>(leaves: impl Iterator<Item = &'a [u8]>) -> Digest {
    root_of_leaf_hashes(&leaves.map(leaf_hash).collect::<Vec<_>>())
}

/// The hash of one leaf.
pub fn leaf_hash(bytes: &[u8]) -> Digest {
    labelled_hash("leaf", &[bytes])
}

/// The root over leaves that are hashed already.
pub fn root_of_leaf_hashes(leaves: &[Digest]) -> Digest {
    let mut level = leaves.to_vec();
    while level.len() > 1 {
        level = level_above(&level);
    }
    level
        .pop()
        .unwrap_or_else(|| labelled_hash("no leaves", &[]))
}

/// All nodes of a tree: each is hashed once, however many paths are asked for.
pub struct Tree {
    /// From the leaves upwards; the last has one node, if there are leaves.
    levels: Vec<Vec<Digest>>,
}

impl Tree {
    /// Over leaves that are hashed already.
    pub fn new(leaves: Vec<Digest>) -> Self {
        let mut levels = vec![leaves];
        while let Some(level) = levels.last().filter(|level| level.len() > 1) {
            let above = level_above(level);
            levels.push(above);
        }
        Self { levels }
    }

    /// As [`root_of_leaf_hashes`].
    pub fn root(&self) -> Digest {
        let top = self.levels.last().and_then(|level| level.first());
        top.copied()
            .unwrap_or_else(|| labelled_hash("no leaves", &[]))
    }

    /// The siblings on the way from leaf `index` to the root.
    ///
    /// # Panics
    /// If there is no such leaf.
    pub fn path(&self, index: usize) -> Vec<Digest> {
        let leaves = self.levels.first().map_or(0, Vec::len);
        assert!(index < leaves, "leaf {index} of {leaves}");
        let mut path = vec![];
        let mut index = index;
        for level in &self.levels {
            path.extend(level.get(index ^ 1));
            index /= 2;
        }
        path
    }
}

/// Whether `path` leads from `leaf`, at place `index` of `leaves`, to `root`. Takes anything, also from strangers.
pub fn verify_path(
    root: &Digest,
    index: usize,
    leaves: usize,
    leaf: &Digest,
    path: &[Digest],
) -> bool {
    if index >= leaves {
        return false;
    }
    let (mut node, mut index, mut width) = (*leaf, index, leaves);
    let mut siblings = path.iter();
    while width > 1 {
        if index ^ 1 < width {
            let Some(sibling) = siblings.next() else {
                return false;
            };
            node = if index % 2 == 0 {
                inner_node(&node, sibling)
            } else {
                inner_node(sibling, &node)
            };
        }
        index /= 2;
        width = width.div_ceil(2);
    }
    siblings.next().is_none() && constant_time_eq(&node, root)
}

fn level_above(level: &[Digest]) -> Vec<Digest> {
    level
        .chunks(2)
        .map(|nodes| match nodes {
            [left, right] => inner_node(left, right),
            alone => alone[0],
        })
        .collect()
}

fn inner_node(left: &Digest, right: &Digest) -> Digest {
    labelled_hash("node", &[left, right])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(count: u8) -> Vec<Digest> {
        (0..count).map(|index| leaf_hash(&[index])).collect()
    }

    #[test]
    fn root_of_nothing_is_as_defined() {
        let nothing = labelled_hash("no leaves", &[]);
        assert_eq!(Tree::new(vec![]).root(), nothing);
        assert_eq!(root_of_leaf_hashes(&[]), nothing);
    }

    #[test]
    fn root_of_three_leaves_is_as_defined() {
        let bytes: [&[u8]; 3] = [b"a", b"b", b"c"];
        let [a, b, c] = bytes.map(leaf_hash);
        let expected = inner_node(&inner_node(&a, &b), &c);
        assert_eq!(tree_root(bytes.into_iter()), expected);
        assert_eq!(tree_root([&b"a"[..]].into_iter()), a);
    }

    #[test]
    fn every_path_verifies_at_its_own_place_only() {
        for count in 1..=20 {
            let leaves = leaves(count);
            let root = root_of_leaf_hashes(&leaves);
            let tree = Tree::new(leaves.clone());
            assert_eq!(tree.root(), root);
            for (index, leaf) in leaves.iter().enumerate() {
                let path = tree.path(index);
                let width = leaves.len();
                assert!(verify_path(&root, index, width, leaf, &path));
                assert!(!verify_path(&root, width, width, leaf, &path));
                for other in (0..width).filter(|&other| other != index) {
                    assert!(!verify_path(&root, other, width, leaf, &path));
                }
                if let Some((last, shorter)) = path.split_last() {
                    assert!(!verify_path(&root, index, width, leaf, shorter));
                    let mut longer = path.clone();
                    longer.push(*last);
                    assert!(!verify_path(&root, index, width, leaf, &longer));
                }
            }
        }
    }

    #[test]
    fn a_flipped_bit_anywhere_is_seen() {
        let leaves = leaves(7);
        let root = root_of_leaf_hashes(&leaves);
        let path = Tree::new(leaves.clone()).path(5);
        for level in 0..path.len() {
            let mut wrong = path.clone();
            wrong[level][31] ^= 1;
            assert!(!verify_path(&root, 5, 7, &leaves[5], &wrong));
        }
        let mut wrong_leaf = leaves[5];
        wrong_leaf[0] ^= 0x80;
        assert!(!verify_path(&root, 5, 7, &wrong_leaf, &path));
    }
}
