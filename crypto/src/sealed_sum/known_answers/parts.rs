use serde::Deserialize;

use super::{Clip, FieldBits, Weights, update_values};
use crate::known_answers::{Digested, SplitMix, read};
use crate::sealed_sum::{
    ClippedTensor, FieldFormat, SumShape, Weight, min_contributors, pack, threshold, value_bits,
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
