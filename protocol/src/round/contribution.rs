//! A hospital's contribution: manifest, sealed share boxes, masked chunks (PROTOCOL.md 3.5).

use std::collections::BTreeMap;

use crypto::{
    hash::{
        Digest,
        tree::{Tree, leaf_hash, root_of_leaf_hashes, tree_root, verify_path},
    },
    sealed_sum::{CHUNK_BYTES, DealerAnswer, HospitalId, SHARE_BYTES, check_chunk},
};

use super::RoundError;
use crate::{
    codec::{self, BorrowDecode, BorrowedBytes, Bytes, Decode, Encode, Id, List},
    digests::{BoxesRoot, ChunksRoot, ClipCommit, ContributionDigest, HeaderHash},
    identity::{Message, Signed},
    roster::Roster,
};

/// Bytes of a sealed share: the share and the AEAD's tag.
pub const BOX_BYTES: usize = SHARE_BYTES + 16;

/// `M_i`: what a contribution consists of. Its digest is `D_i`.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ContributionManifest {
    /// hh.
    pub header: HeaderHash,
    /// Who contributes.
    pub id: Id,
    /// Counts up when a blob was lost and made anew.
    pub attempt: u8,
    /// Root over the chunks.
    pub chunks_root: ChunksRoot,
    /// Root over the boxes, by recipient.
    pub boxes_root: BoxesRoot,
    /// HMAC(G, `model_hash` || round || c); [`ClipCommit::NONE`] in a sum without real values.
    pub commit: ClipCommit,
}

impl Message for ContributionManifest {
    const TYPE: &'static str = "contribution";
    type Digest = ContributionDigest;
}

/// A share sealed for one vault.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ShareBox {
    /// For whom.
    pub to: Id,
    /// AEAD of the share.
    pub sealed: Bytes,
}

/// A whole contribution, as uploaded: manifest, boxes sorted by recipient, chunks.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Contribution {
    /// The signed manifest.
    pub manifest: Signed<ContributionManifest>,
    /// One box for every joined vault but the contributor.
    pub boxes: List<ShareBox>,
    /// The chunks, one behind the other.
    pub chunks: Bytes,
}

/// A contribution as the coordinator has checked it. Its chunks stay where they were read.
#[derive(Debug, PartialEq, Eq)]
pub struct CheckedContribution<'a> {
    /// The signed manifest.
    pub signed: Signed<ContributionManifest>,
    /// What is signed.
    pub manifest: ContributionManifest,
    /// One box for every joined vault but the contributor.
    pub boxes: List<ShareBox>,
    /// The chunks, one behind the other.
    pub chunks: &'a [u8],
}

/// A [`Contribution`] whose chunks stay where they are read.
#[derive(BorrowDecode)]
struct BorrowedContribution<'a> {
    manifest: Signed<ContributionManifest>,
    boxes: List<ShareBox>,
    chunks: BorrowedBytes<'a>,
}

/// A box on its way to its vault, with the proof that it is the one the contributor signed.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct BoxForward {
    /// The contributor's signed manifest.
    pub manifest: Signed<ContributionManifest>,
    /// The box.
    pub sealed: Bytes,
    /// From the box's leaf to `boxes_root`.
    pub path: List<Digest>,
}

/// Whose boxes a vault has opened so far, and what it says of the shares in them.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct BoxAck {
    /// hh.
    pub header: HeaderHash,
    /// Who acknowledges.
    pub id: Id,
    /// Sorted by contributor; the vault itself is among them when it contributed.
    pub answers: List<ShareAnswer>,
}

/// The answer of the dealer check for one contributor: a vault gives at most one in a round.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ShareAnswer {
    /// Whose share.
    pub contributor: Id,
    /// See [`DealerAnswer`].
    pub answer: [u8; DealerAnswer::BYTES],
}

impl Message for BoxAck {
    const TYPE: &'static str = "box-ack";
    type Digest = Digest;
}

impl BoxAck {
    /// A vault's acknowledgement of all the boxes it has opened.
    pub fn new(
        header: HeaderHash,
        vault: HospitalId,
        answers: &BTreeMap<HospitalId, DealerAnswer>,
    ) -> Self {
        let answers = answers.iter().map(|(&contributor, answer)| ShareAnswer {
            contributor: Id(contributor),
            answer: answer.to_bytes(),
        });
        Self {
            header,
            id: Id(vault),
            answers: answers.collect(),
        }
    }

    /// The answers by contributor.
    ///
    /// # Errors
    /// [`RoundError::BadAnswers`] if they are not sorted and distinct, or one is not eight numbers of the share field.
    pub fn read_answers(&self) -> Result<BTreeMap<HospitalId, DealerAnswer>, RoundError> {
        let bad = || RoundError::BadAnswers { id: self.id.0 };
        if self
            .answers
            .windows(2)
            .any(|pair| pair[0].contributor >= pair[1].contributor)
        {
            return Err(bad());
        }
        self.answers
            .iter()
            .map(|entry| {
                let answer = DealerAnswer::from_bytes(&entry.answer).map_err(|_| bad())?;
                Ok((entry.contributor.0, answer))
            })
            .collect()
    }
}

/// Root over chunks that lie one behind the other.
pub fn chunks_root(chunks: &[u8]) -> ChunksRoot {
    tree_root(chunks.chunks(CHUNK_BYTES)).into()
}

/// Root over boxes, sorted by recipient.
pub fn boxes_root(boxes: &[ShareBox]) -> BoxesRoot {
    root_of_leaf_hashes(&box_leaves(boxes)).into()
}

/// Bytes of a contribution to a sum of `chunks` chunks among `joined` vaults: lengths are fixed, so an upload of any other length is
/// refused before it starts.
pub fn contribution_bytes(chunks: usize, joined: usize) -> usize {
    let manifest = 4 + (32 + 1 + 1 + 3 * 32) + 64;
    manifest + 4 + (joined - 1) * (1 + 4 + BOX_BYTES) + 4 + chunks * CHUNK_BYTES
}

/// Reads and checks an upload as the coordinator does: signature, roots, lengths, recipients, every word below q.
///
/// # Errors
/// [`RoundError`] says what is wrong and whose it is.
pub fn check_contribution<'a>(
    bytes: &'a [u8],
    from: HospitalId,
    header: &HeaderHash,
    chunks: usize,
    joined: &[HospitalId],
    roster: &Roster,
) -> Result<CheckedContribution<'a>, RoundError> {
    let BorrowedContribution {
        manifest: signed,
        boxes,
        chunks: BorrowedBytes(found),
    } = codec::decode_borrowed(bytes).map_err(crate::identity::SignedError::from)?;
    let manifest = verify_manifest(&signed, from, header, roster)?;
    let wrong = |part, found, expected| {
        Err(RoundError::WrongLength {
            id: from,
            part,
            found,
            expected,
        })
    };
    if found.len() != chunks * CHUNK_BYTES {
        return wrong("bytes of chunks", found.len(), chunks * CHUNK_BYTES);
    }
    let recipients = joined.iter().filter(|&&id| id != from);
    if !boxes.iter().map(|entry| entry.to.0).eq(recipients.copied()) {
        return wrong("boxes in order", boxes.len(), joined.len() - 1);
    }
    if let Some(entry) = boxes.iter().find(|entry| entry.sealed.0.len() != BOX_BYTES) {
        return wrong("bytes in a box", entry.sealed.0.len(), BOX_BYTES);
    }
    if boxes_root(&boxes) != manifest.boxes_root {
        return Err(RoundError::WrongRoot {
            id: from,
            part: "boxes",
        });
    }
    if chunks_root(found) != manifest.chunks_root {
        return Err(RoundError::WrongRoot {
            id: from,
            part: "chunks",
        });
    }
    if found
        .chunks(CHUNK_BYTES)
        .any(|chunk| check_chunk(chunk).is_err())
    {
        return Err(RoundError::WordOutOfRange { id: from });
    }
    Ok(CheckedContribution {
        signed,
        manifest,
        boxes,
        chunks: found,
    })
}

/// The box for each recipient, with its path.
pub fn forwards(
    manifest: &Signed<ContributionManifest>,
    boxes: &[ShareBox],
) -> impl Iterator<Item = (HospitalId, BoxForward)> {
    let tree = Tree::new(box_leaves(boxes));
    boxes.iter().enumerate().map(move |(index, entry)| {
        let forward = BoxForward {
            manifest: manifest.clone(),
            sealed: entry.sealed.clone(),
            path: List(tree.path(index)),
        };
        (entry.to.0, forward)
    })
}

/// Checks a forwarded box as its recipient does and gives the contributor's manifest.
///
/// # Errors
/// [`RoundError`].
pub fn check_forward(
    forward: &BoxForward,
    recipient: HospitalId,
    header: &HeaderHash,
    joined: &[HospitalId],
    roster: &Roster,
) -> Result<ContributionManifest, RoundError> {
    let from = forward
        .manifest
        .read_unverified()
        .map_err(crate::identity::SignedError::from)?
        .id
        .0;
    if !joined.contains(&from) || from == recipient {
        return Err(RoundError::NotJoined { id: from });
    }
    let manifest = verify_manifest(&forward.manifest, from, header, roster)?;
    if forward.sealed.0.len() != BOX_BYTES {
        return Err(RoundError::WrongLength {
            id: from,
            part: "bytes in a box",
            found: forward.sealed.0.len(),
            expected: BOX_BYTES,
        });
    }
    let index = joined
        .iter()
        .filter(|&&id| id != from)
        .position(|&id| id == recipient);
    let index = index.ok_or(RoundError::NotJoined { id: recipient })?;
    let leaf = box_leaf(recipient, &forward.sealed.0);
    if !verify_path(
        manifest.boxes_root.as_bytes(),
        index,
        joined.len() - 1,
        &leaf,
        &forward.path,
    ) {
        return Err(RoundError::WrongRoot {
            id: from,
            part: "boxes",
        });
    }
    Ok(manifest)
}

fn verify_manifest(
    manifest: &Signed<ContributionManifest>,
    from: HospitalId,
    header: &HeaderHash,
    roster: &Roster,
) -> Result<ContributionManifest, RoundError> {
    let member = roster
        .member(from)
        .ok_or(RoundError::NotJoined { id: from })?;
    let body = manifest.verify(&member.signing_key, format_args!("hospital {from}"))?;
    if body.header != *header || body.id.0 != from {
        return Err(RoundError::OtherRound {
            message: "a contribution",
        });
    }
    Ok(body)
}

fn box_leaves(boxes: &[ShareBox]) -> Vec<Digest> {
    boxes
        .iter()
        .map(|entry| box_leaf(entry.to.0, &entry.sealed.0))
        .collect()
}

/// The recipient is part of the leaf, so that a box cannot be passed off as another's.
fn box_leaf(to: HospitalId, sealed: &[u8]) -> Digest {
    leaf_hash(&[&[to.get()], sealed].concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        manifest::{Purpose, testing::manifest},
        roster::testing::federation,
        round::unlock::UnlockShare,
    };
    use crypto::sealed_sum::UNLOCK_BYTES;

    /// The budgets of PROTOCOL.md, section 8, point 17.
    #[test]
    fn uploads_and_answers_stay_within_their_budgets() {
        let manifest = manifest();
        let plain = 4 * manifest.values(Purpose::Update);
        for (joined, percent) in [(10, 101), (100, 106)] {
            let shape = manifest.shape(Purpose::Update, joined).expect("fits");
            let upload = contribution_bytes(shape.chunks(), joined);
            assert!(100 * upload <= percent * plain, "{upload} for {plain}");
            for purpose in [Purpose::Stats, Purpose::Evaluation] {
                let shape = manifest.shape(purpose, joined).expect("fits");
                let boxes = (joined - 1) * (5 + BOX_BYTES);
                assert!(contribution_bytes(shape.chunks(), joined) - boxes <= 66 << 10);
            }
        }

        let key = &federation(2).hospital_keys[0];
        let own = HospitalId::new(1).expect("in range");
        let share = UnlockShare {
            header: [1; 32].into(),
            contributors: [2; 32].into(),
            id: Id(own),
            sealed: Bytes(vec![0; UNLOCK_BYTES + 16]),
        };
        assert!(codec::encode(&Signed::sign(&share, key)).len() <= 8_500);
        let zero = DealerAnswer::from_bytes(&[0; DealerAnswer::BYTES]).expect("below p");
        for contributors in [0, 10, 100] {
            let answers = (1..=contributors).filter_map(HospitalId::new);
            let ack = BoxAck::new([1; 32].into(), own, &answers.map(|id| (id, zero)).collect());
            let bytes = codec::encode(&Signed::sign(&ack, key));
            assert_eq!(bytes.len(), 105 + 17 * usize::from(contributors));
        }
    }

    #[test]
    fn a_contribution_has_the_bytes_that_are_announced_for_it() {
        let federation = federation(3);
        let id = |number| HospitalId::new(number).expect("in range");
        let joined = [1, 2, 3].map(id);
        let sealed = |to| ShareBox {
            to: Id(id(to)),
            sealed: Bytes(vec![to; BOX_BYTES]),
        };
        let boxes: List<_> = [1, 3].map(sealed).into_iter().collect();
        let chunks = vec![0; 2 * CHUNK_BYTES];
        let manifest = ContributionManifest {
            header: [7; 32].into(),
            id: Id(id(2)),
            attempt: 0,
            chunks_root: chunks_root(&chunks),
            boxes_root: boxes_root(&boxes),
            commit: ClipCommit::NONE,
        };
        let contribution = Contribution {
            manifest: Signed::sign(&manifest, &federation.hospital_keys[1]),
            boxes,
            chunks: Bytes(chunks),
        };
        let bytes = codec::encode(&contribution);
        assert_eq!(bytes.len(), contribution_bytes(2, 3));
        let checked = check_contribution(
            &bytes,
            id(2),
            &[7; 32].into(),
            2,
            &joined,
            &federation.roster,
        );
        let expected = CheckedContribution {
            signed: contribution.manifest,
            manifest,
            boxes: contribution.boxes,
            chunks: &contribution.chunks.0,
        };
        assert_eq!(checked, Ok(expected));
    }
}
