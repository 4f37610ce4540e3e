use serde::Deserialize;

use super::{Clip, FieldBits, Weights, update_values};
use crate::hash::{SecretKey32, sha256};
use crate::known_answers::{Bytes, Digested, SplitMix, read};
use crate::ring::{Prg, centred_binomial};
use crate::sealed_sum::shamir::{Dealing, lagrange_at_zero, rebuild};
use crate::sealed_sum::{
    ClippedTensor, FieldFormat, HospitalId, RING_DEGREE, SumShape, Weight, add_shares,
    min_contributors, pack, threshold, value_bits,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rosters {
    columns: [String; 5],
    rows: Vec<(usize, usize, usize, u32, u32)>,
}

#[test]
fn thresholds_and_value_bits_are_those_of_the_specification() {
    let Rosters { columns, rows } = read(include_str!("../../../vectors/rosters.json"));
    let expected = [
        "n",
        "t",
        "m_min",
        "B of 24-bit fields",
        "B of 16-bit fields",
    ];
    assert_eq!(columns, expected);
    assert!(rows.iter().map(|row| row.0).eq(2..=127));
    for row in rows {
        let n = row.0;
        let bits = |format| value_bits(format, n);
        let found = (
            n,
            threshold(n),
            min_contributors(n),
            bits(FieldFormat::TwoBy24),
            bits(FieldFormat::ThreeBy16),
        );
        assert_eq!(found, row);
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Quantised {
    cases: Vec<Packed>,
    rounding: Rounding,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Packed {
    seed: u64,
    field_bits: FieldBits,
    joined: usize,
    clips: Vec<Clip>,
    weight: Weights,
    /// The counts and their digits.
    counters: Vec<(u64, u8)>,
    words: Digested<u64>,
    cut_values: u64,
    cut_counters: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rounding {
    values: Vec<f64>,
    clip: f64,
    joined: usize,
    fields: Vec<u64>,
    cut_values: u64,
}

#[test]
fn messages_are_those_of_the_specification() {
    let Quantised { cases, rounding } = read(include_str!("../../../vectors/quantised.json"));
    assert_eq!(cases.len(), 5);
    for case in cases {
        let clips = Clip::tensors(&case.clips);
        let length = clips.iter().map(|tensor| tensor.values).sum();
        let (counts, digits): (Vec<u64>, Vec<u8>) = case.counters.iter().copied().unzip();
        let shape = SumShape::new(length, &digits, case.field_bits.format(), case.joined)
            .expect("a valid shape");
        let values = update_values(&mut SplitMix::new(case.seed), length);
        let (message, saturation) =
            pack(&shape, &values, &clips, case.weight.weight(), &counts).expect("packs");
        case.words.check("message", message.words());
        assert_eq!(saturation.values, case.cut_values);
        assert_eq!(saturation.counters, case.cut_counters);
    }

    let clips = [ClippedTensor {
        values: rounding.values.len(),
        clip: rounding.clip,
    }];
    let (format, weight) = (FieldFormat::TwoBy24, Weight { own: 1, largest: 1 });
    let shape =
        SumShape::new(clips[0].values, &[3], format, rounding.joined).expect("a valid shape");
    let (message, saturation) =
        pack(&shape, &rounding.values, &clips, weight, &[1]).expect("packs");
    let words = message.words().iter();
    let fields: Vec<u64> = words
        .flat_map(|word| [word & 0xff_ffff, word >> 24])
        .collect();
    assert_eq!(fields[..clips[0].values], rounding.fields);
    assert_eq!(saturation.values, rounding.cut_values);
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sharing {
    secret_key: Bytes<32>,
    key: Bytes<32>,
    secret: Digested<i64>,
    cases: Vec<Shared>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Shared {
    threshold: usize,
    hospitals: u8,
    /// Of some hospitals, the hash of the share.
    shares: Vec<(u8, Bytes<32>)>,
    all_shares: Digested<u16>,
    chosen: Vec<u8>,
    lagrange_at_zero: Vec<u64>,
}

#[test]
fn shares_are_those_of_the_specification() {
    let sharing: Sharing = read(include_str!("../../../vectors/sharing.json"));
    let key = |bytes: &Bytes<32>| SecretKey32::from_bytes(bytes.0);
    let secret = centred_binomial(&mut Prg::new(&key(&sharing.secret_key), 0), 32, RING_DEGREE);
    sharing.secret.check("secret", &secret);
    let cases = sharing
        .cases
        .iter()
        .map(|case| (case.threshold, case.hospitals));
    assert!(cases.eq([(2, 2), (2, 3), (7, 10), (67, 100)]));
    let hospital = |id| HospitalId::new(id).expect("a valid id");
    for case in &sharing.cases {
        let recipients: Vec<_> = (1..=case.hospitals).map(hospital).collect();
        // The mask scalars of the dealer check are those of whole sums.
        let unused = SecretKey32::from_bytes([0; 32]);
        let shares = Dealing::new(&secret, case.threshold, &key(&sharing.key), &unused)
            .share_out(&recipients);
        let unlock = |id: u8| add_shares([&shares[usize::from(id) - 1].1].into_iter());
        assert_eq!(case.shares.len(), 3);
        for &(id, expected) in &case.shares {
            assert_eq!(Bytes(sha256(&unlock(id).to_bytes())), expected);
        }
        let all: Vec<u8> = (1..=case.hospitals)
            .flat_map(|id| unlock(id).to_bytes().to_vec())
            .collect();
        case.all_shares.check_bytes("all shares", &all);

        let chosen: Vec<_> = case
            .chosen
            .iter()
            .map(|&id| (hospital(id), unlock(id)))
            .collect();
        let chosen: Vec<_> = chosen.iter().map(|(id, vector)| (*id, vector)).collect();
        assert_eq!(lagrange_at_zero(&chosen), case.lagrange_at_zero);
        assert_eq!(*rebuild(&chosen, 0..RING_DEGREE), *secret);
    }
}
