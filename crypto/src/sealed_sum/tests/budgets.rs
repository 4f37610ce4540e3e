//! Property 17 of PROTOCOL 8: what goes over the wire, in bytes.

use super::*;

/// A sealed box or answer: the plaintext and the tag of the AEAD.
const AEAD_BYTES: usize = 16;

/// The contribution's manifest (PROTOCOL 3.5).
const MANIFEST_BYTES: usize = 195;

fn upload_bytes(values: usize, joined: usize) -> usize {
    let shape = SumShape::new(values, &[3, 4], FieldFormat::TwoBy24, joined).expect("valid");
    let boxes = (joined - 1) * (SHARE_BYTES + AEAD_BYTES);
    MANIFEST_BYTES + boxes + shape.chunks() * CHUNK_BYTES
}

#[test]
fn an_update_costs_little_more_than_its_floats() {
    let values = 4_200_000;
    let floats = (4 * values) as f64;
    for (joined, most) in [(10, 1.01), (100, 1.06), (127, 1.07)] {
        let ratio = upload_bytes(values, joined) as f64 / floats;
        assert!(ratio <= most, "{ratio} with {joined} hospitals");
    }
}

#[test]
fn counters_alone_cost_two_chunks() {
    let boxes = 9 * (SHARE_BYTES + AEAD_BYTES);
    assert!(upload_bytes(0, 10) - boxes <= 66_000);
}

#[test]
fn what_is_sealed_has_the_stated_sizes() {
    let shape = SumShape::new(9000, &[3], FieldFormat::TwoBy24, 3).expect("a valid shape");
    let setting = Setting::new(shape, 2);
    let mut fields = vec![1; 9000];
    fields.push(1);
    let contribution = setting.seal_fields(1, &fields);
    assert_eq!(
        contribution.chunks.len(),
        setting.shape.chunks() * CHUNK_BYTES
    );
    let share = &contribution.shares[0].1;
    assert_eq!(share.to_bytes().len(), SHARE_BYTES);
    assert_eq!(share.answer(&[0; 32]).to_bytes().len(), 16);
    let unlock = add_shares([share].into_iter()).to_bytes();
    assert!(unlock.len() + AEAD_BYTES + 130 <= 8_500);
    assert_eq!(unlock.len(), UNLOCK_BYTES);
}
