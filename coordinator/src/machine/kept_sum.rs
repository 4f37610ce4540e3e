//! What is kept of a round whose U is fixed: its sum, and behind it the boxes of U that their recipients have not acknowledged. After a
//! restart these vaults could not answer without them, and nobody uploads to a round whose U is fixed.

use std::sync::Arc;

use crypto::sealed_sum::{CHUNK_BYTES, HospitalId};
use protocol::{
    codec::{self, Id, List},
    digests::ChunksRoot,
    round::contribution::{BoxForward, chunks_root},
};

/// A box by its contributor and its recipient.
pub(super) type AddressedBox = (Id, Id, BoxForward);

/// A sum that was kept, and the boxes with it.
pub(super) struct KeptSum {
    pub(super) sum: Arc<[u8]>,
    pub(super) boxes: Vec<(HospitalId, HospitalId, BoxForward)>,
}

/// The bytes to keep. Mostly everybody has every box: then they are the sum.
pub(super) fn to_bytes(sum: &Arc<[u8]>, boxes: Vec<AddressedBox>) -> Arc<[u8]> {
    if boxes.is_empty() {
        return sum.clone();
    }
    let mut bytes = sum.to_vec();
    bytes.extend(codec::encode(&List(boxes)));
    bytes.into()
}

/// Reads what [`to_bytes`] has made of a sum of so many chunks; none if it is not that of `root`, or the boxes are no boxes.
pub(super) fn from_bytes(bytes: &[u8], chunks: usize, root: ChunksRoot) -> Option<KeptSum> {
    let (sum, rest) = bytes.split_at_checked(chunks.checked_mul(CHUNK_BYTES)?)?;
    if chunks_root(sum) != root {
        return None;
    }
    let boxes: List<AddressedBox> = if rest.is_empty() {
        List::default()
    } else {
        codec::decode(rest).ok()?
    };
    let boxes = boxes.0.into_iter();
    Some(KeptSum {
        sum: sum.into(),
        boxes: boxes
            .map(|(Id(from), Id(to), forward)| (from, to, forward))
            .collect(),
    })
}
