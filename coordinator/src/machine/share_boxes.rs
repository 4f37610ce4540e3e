//! The share boxes of a round on their way to the vaults.
//!
//! After every input each connected vault is looked at for what it is owed, and in a round of n hospitals n^2 inputs acknowledge boxes.
//! So the boxes of a vault have numbers, and one number says which of them its connection has carried: all below it.

use std::collections::{BTreeMap, BTreeSet};

use crypto::sealed_sum::HospitalId;
use protocol::{
    codec::Id,
    round::contribution::{BoxAck, BoxForward},
};

use super::kept_sum::AddressedBox;

/// Those of all uploads that their recipients have not acknowledged. A vault keeps a box on disk before it acknowledges it.
#[derive(Default)]
pub(super) struct ShareBoxes(BTreeMap<HospitalId, Waiting>);

/// Of one recipient.
#[derive(Default)]
struct Waiting {
    /// By number, in the order in which they came, each with its contributor.
    boxes: BTreeMap<usize, (HospitalId, BoxForward)>,
    /// The number of the next one that comes.
    next: usize,
}

impl ShareBoxes {
    /// One more of this contributor, which has given none before.
    pub(super) fn keep(&mut self, from: HospitalId, to: HospitalId, forward: BoxForward) {
        let waiting = self.0.entry(to).or_default();
        waiting.boxes.insert(waiting.next, (from, forward));
        waiting.next += 1;
    }

    /// A vault has these.
    pub(super) fn drop_acknowledged(&mut self, to: HospitalId, acknowledged: &BoxAck) {
        let Some(waiting) = self.0.get_mut(&to) else {
            return;
        };
        let answers = acknowledged.answers.iter();
        let have: BTreeSet<HospitalId> = answers.map(|answer| answer.contributor.0).collect();
        waiting.boxes.retain(|_, (from, _)| !have.contains(from));
    }

    /// Those from number `next_box` on, which a hospital's connection has not carried; all are carried from now on.
    pub(super) fn owed(
        &self,
        to: HospitalId,
        next_box: &mut usize,
    ) -> impl Iterator<Item = &BoxForward> {
        let boxes = self.0.get(&to).map(|waiting| {
            let from = std::mem::replace(next_box, waiting.next);
            waiting.boxes.range(from..)
        });
        boxes.into_iter().flatten().map(|(_, (_, forward))| forward)
    }

    /// Those of these contributors.
    pub(super) fn of(&self, contributors: &BTreeSet<HospitalId>) -> Vec<AddressedBox> {
        let mut found = Vec::new();
        for (&to, waiting) in &self.0 {
            let wanted = waiting.boxes.values();
            let wanted = wanted.filter(|(from, _)| contributors.contains(from));
            found.extend(wanted.map(|(from, forward)| (Id(*from), Id(to), forward.clone())));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use crypto::sealed_sum::DealerAnswer;
    use protocol::{
        codec::{self, Bytes, List},
        digests::HeaderHash,
        round::contribution::ShareAnswer,
    };

    use super::*;

    fn id(number: u8) -> HospitalId {
        HospitalId::new(number).expect("in range")
    }

    /// That can be told from others.
    fn share_box(number: u8) -> BoxForward {
        let manifest = (Bytes(Vec::new()), [0_u8; 64]);
        let parts = (manifest, Bytes(vec![number]), List::<[u8; 32]>::default());
        codec::decode(&codec::encode(&parts)).expect("nothing is checked yet")
    }

    fn acknowledge(boxes: &mut ShareBoxes, by: u8, contributors: &[u8]) {
        let answers = contributors.iter().map(|&from| ShareAnswer {
            contributor: Id(id(from)),
            answer: [0; DealerAnswer::BYTES],
        });
        let ack = BoxAck {
            header: HeaderHash::from([0; 32]),
            id: Id(id(by)),
            answers: List(answers.collect()),
        };
        boxes.drop_acknowledged(id(by), &ack);
    }

    fn owed(boxes: &ShareBoxes, to: u8, next_box: &mut usize) -> Vec<u8> {
        let owed = boxes.owed(id(to), next_box);
        owed.map(|forward| forward.sealed.0[0]).collect()
    }

    #[test]
    fn a_connection_carries_each_box_once_and_a_new_one_what_was_not_acknowledged() {
        let mut boxes = ShareBoxes::default();
        let mut connection = 0;
        assert_eq!(owed(&boxes, 4, &mut connection), [0; 0]);
        for from in [3, 1, 2] {
            boxes.keep(id(from), id(4), share_box(from));
        }
        boxes.keep(id(1), id(2), share_box(12));
        assert_eq!(owed(&boxes, 4, &mut connection), [3, 1, 2]);
        assert_eq!(owed(&boxes, 4, &mut connection), [0; 0]);
        acknowledge(&mut boxes, 4, &[3, 1]);
        acknowledge(&mut boxes, 9, &[2]);
        boxes.keep(id(5), id(4), share_box(5));
        assert_eq!(owed(&boxes, 4, &mut connection), [5]);
        assert_eq!(owed(&boxes, 4, &mut 0), [2, 5], "on another connection");
        acknowledge(&mut boxes, 4, &[1, 2, 3, 5]);
        assert_eq!(owed(&boxes, 4, &mut 0), [0; 0]);
        assert_eq!(owed(&boxes, 2, &mut 0), [12]);
    }

    #[test]
    fn what_is_kept_over_a_restart_are_the_boxes_of_the_contributors() {
        let mut boxes = ShareBoxes::default();
        for (from, to) in [(3, 4), (1, 4), (2, 4), (1, 2)] {
            boxes.keep(id(from), id(to), share_box(10 * from + to));
        }
        acknowledge(&mut boxes, 4, &[1]);
        let kept = boxes.of(&BTreeSet::from([id(1), id(3)]));
        let kept: Vec<u8> = kept
            .iter()
            .map(|(.., forward)| forward.sealed.0[0])
            .collect();
        assert_eq!(kept, [12, 34]);
    }
}
