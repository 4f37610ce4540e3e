use std::sync::Arc;

use serde::Deserialize;

use super::{Clip, FieldBits, update_values};
use crate::hash::SecretKey32;
use crate::hash::tree::tree_root;
use crate::known_answers::{Bytes, Digested, SplitMix, hash_of, read};
use crate::sealed_sum::mask::MaskKey;
use crate::sealed_sum::shamir::rebuild;
use crate::sealed_sum::{
    CHUNK_BYTES, ClippedTensor, Contribution, HospitalId, RING_DEGREE, Round, RunningSum, Seed,
    Share, SumRing, SumShape, TagKey, UnlockVector, Weight, add_shares, next_clip, open, pack,
    seal, threshold,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sums {
    cases: Vec<Sum>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sum {
    seed: u64,
    header_hash: Bytes<32>,
    group_key: Bytes<32>,
    field_bits: FieldBits,
    joined: Vec<u8>,
    threshold: usize,
    clips: Vec<Clip>,
    digits: Vec<u8>,
    /// `a_j` for every chunk, the tag's included.
    masks: Vec<Digested<u64>>,
    contributions: Vec<Contributor>,
    sum: Digested<u64>,
    sum_root: Bytes<32>,
    /// By hospital.
    unlock_vectors: Vec<(u8, Digested<u16>)>,
    answering: Vec<u8>,
    /// S.
    secret: Digested<i64>,
    values: Digested<u64>,
    counters: Vec<u64>,
    largest_noise: u32,
    mean: Mean,
    next_clips: Vec<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Contributor {
    hospital: u8,
    weight: u32,
    attempt: u8,
    seed: Bytes<32>,
    manifest_hash: Bytes<32>,
    counters: Vec<u64>,
    cut_values: u64,
    message: Digested<u64>,
    chunks: Digested<u64>,
    chunks_root: Bytes<32>,
    tag_chunk: Digested<u64>,
    /// By recipient, the mask scalars of the dealer check last.
    shares: Vec<Digested<u16>>,
    dealer_answers: Vec<[u16; 8]>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Mean {
    first: Vec<f64>,
    sha256: Bytes<32>,
}

#[test]
fn sums_of_three_hospitals_are_those_of_the_specification() {
    let Sums { cases } = read(include_str!("../../../vectors/sealed_sums.json"));
    assert_eq!(cases.len(), 2);
    for case in &cases {
        case.check();
    }
}

impl Sum {
    fn check(&self) {
        let mut source = SplitMix::new(self.seed);
        assert_eq!(source.bytes(), self.header_hash.0);
        assert_eq!(source.bytes(), self.group_key.0);
        let joined: Vec<HospitalId> = self.joined.iter().map(|&id| hospital(id)).collect();
        let tensors = Clip::tensors(&self.clips);
        let length = tensors.iter().map(|tensor| tensor.values).sum();
        let shape = SumShape::new(length, &self.digits, self.field_bits.format(), joined.len())
            .expect("a valid shape");
        assert_eq!(threshold(joined.len()), self.threshold);
        let round = Round {
            ring: &SumRing::new(),
            header_hash: &self.header_hash.0,
            shape: &shape,
            threshold: self.threshold,
            tag_key: &TagKey::derive(
                &SecretKey32::from_bytes(self.group_key.0),
                &self.header_hash.0,
            ),
        };
        assert_eq!(self.masks.len(), shape.chunks());
        for (chunk, expected) in self.masks.iter().enumerate() {
            let mut mask = vec![0; RING_DEGREE];
            MaskKey::new(round.header_hash).polynomial(chunk, &mut mask);
            expected.check("mask", &mask);
        }

        let contributions: Vec<Contribution> = (self.contributions.iter())
            .map(|contributor| self.check_contribution(contributor, &round, &joined, &mut source))
            .collect();
        let mut sum = RunningSum::new(shape.chunks());
        for contribution in &contributions {
            sum.add(&contribution.chunks).expect("valid chunks");
        }
        self.sum.check_bytes("sum", sum.as_bytes());
        assert_eq!(
            tree_root(sum.as_bytes().chunks(CHUNK_BYTES)),
            self.sum_root.0
        );

        let held = |place: usize| -> Vec<&Share> {
            contributions
                .iter()
                .map(|contribution| &contribution.shares[place].1)
                .collect()
        };
        assert!(
            self.unlock_vectors
                .iter()
                .map(|(id, _)| id)
                .eq(&self.joined)
        );
        for (place, (_, expected)) in self.unlock_vectors.iter().enumerate() {
            let vector = add_shares(held(place).into_iter());
            expected.check_bytes("unlock vector", &vector.to_bytes());
        }
        let answers: Vec<_> = (self.answering.iter())
            .map(|&id| {
                let place = self.joined.iter().position(|&other| other == id);
                let place = place.expect("who answers has joined");
                (hospital(id), add_shares(held(place).into_iter()))
            })
            .collect();
        self.check_secret(&answers);
        self.check_opened(&round, &tensors, sum.as_bytes(), &answers);
    }

    fn check_contribution(
        &self,
        expected: &Contributor,
        round: &Round<'_>,
        joined: &[HospitalId],
        source: &mut SplitMix,
    ) -> Contribution {
        // In the order in which the program draws them.
        assert_eq!((source.word() % 256) as u8, expected.attempt);
        assert_eq!(source.bytes(), expected.seed.0);
        assert_eq!(source.bytes(), expected.manifest_hash.0);
        let values = update_values(source, round.shape.values());
        let others = self.digits[1..]
            .iter()
            .map(|&digits| source.word() % (1 << (8 * digits)));
        let counters: Vec<u64> = [1].into_iter().chain(others).collect();
        assert_eq!(counters, expected.counters);

        let weight = Weight {
            own: expected.weight,
            largest: self.largest_weight(),
        };
        let (message, saturation) = pack(
            round.shape,
            &values,
            &Clip::tensors(&self.clips),
            weight,
            &counters,
        )
        .expect("packs");
        assert_eq!(saturation.values, expected.cut_values);
        expected.message.check("message", message.words());

        let seed = Seed::from_bytes(expected.seed.0);
        let id = hospital(expected.hospital);
        let contribution =
            seal(round, joined, id, expected.attempt, &seed, &message).expect("seals");
        let chunks = &contribution.chunks;
        expected.chunks.check_bytes("chunks", chunks);
        expected
            .tag_chunk
            .check_bytes("tag chunk", &chunks[chunks.len() - CHUNK_BYTES..]);
        assert_eq!(
            tree_root(chunks.chunks(CHUNK_BYTES)),
            expected.chunks_root.0
        );

        assert!(contribution.shares.iter().map(|(id, _)| id).eq(joined));
        assert_eq!(expected.shares.len(), joined.len());
        assert_eq!(expected.dealer_answers.len(), joined.len());
        let answers = expected.shares.iter().zip(&expected.dealer_answers);
        for ((_, share), (expected_share, answer)) in contribution.shares.iter().zip(answers) {
            expected_share.check_bytes("share", &share.to_bytes());
            let bytes: Vec<u8> = answer
                .iter()
                .flat_map(|element| element.to_le_bytes())
                .collect();
            assert_eq!(
                share.answer(&expected.manifest_hash.0).to_bytes()[..],
                bytes
            );
        }
        contribution
    }

    fn check_secret(&self, answers: &[(HospitalId, UnlockVector)]) {
        let answers: Vec<_> = answers.iter().map(|(id, vector)| (*id, vector)).collect();
        self.secret
            .check("summed secret", &rebuild(&answers, 0..RING_DEGREE));
    }

    fn check_opened(
        &self,
        round: &Round<'_>,
        tensors: &[ClippedTensor],
        sum: &[u8],
        answers: &[(HospitalId, UnlockVector)],
    ) {
        let contributors = self.contributions.len();
        let opened = Arc::new(open(round, contributors, sum, answers).expect("opens"));
        let values: Vec<u64> = opened.values.iter().copied().map(u64::from).collect();
        self.values.check("opened values", &values);
        assert_eq!(opened.counters, self.counters);
        assert_eq!(opened.largest_noise, self.largest_noise);
        assert_eq!(opened.wrong_answers, []);

        let weights = self
            .contributions
            .iter()
            .map(|contributor| u64::from(contributor.weight));
        let mean = opened
            .mean(round.shape, tensors, self.largest_weight(), weights.sum())
            .expect("a mean")
            .to_vec();
        assert_eq!(mean[..self.mean.first.len()], self.mean.first);
        assert_eq!(hash_of(&mean), self.mean.sha256);
        let mut rest = &mean[..];
        assert_eq!(self.next_clips.len(), tensors.len());
        for (tensor, &expected) in tensors.iter().zip(&self.next_clips) {
            let (own, others) = rest.split_at(tensor.values);
            assert_eq!(next_clip(tensor.clip, contributors, own), expected);
            rest = others;
        }
    }

    fn largest_weight(&self) -> u32 {
        let weights = self
            .contributions
            .iter()
            .map(|contributor| contributor.weight);
        weights.max().expect("a contributor")
    }
}

fn hospital(id: u8) -> HospitalId {
    HospitalId::new(id).expect("a valid id")
}
