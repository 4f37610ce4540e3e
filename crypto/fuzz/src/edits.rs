/// `bytes` after the edits that `script` describes, eight of its bytes each.
///
/// Any script is valid, so a fuzzer or a property test can make one up and shorten it.
pub fn edited(bytes: &[u8], script: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for edit in script.as_chunks().0 {
        apply(*edit, &mut bytes);
    }
    bytes
}

fn apply([kind, place @ .., first, second, third]: [u8; 8], bytes: &mut Vec<u8>) {
    let place = u32::from_le_bytes(place) as usize;
    let length = bytes.len();
    match kind % 8 {
        // Where the fields of a header are.
        0 => overwrite(bytes, place % 64, &[first]),
        1 => overwrite(bytes, place % (length + 1), &[first]),
        2 => {
            if let Some(byte) = bytes.get_mut(place % (length + 1)) {
                *byte ^= 1 << (first % 8);
            }
        }
        3 => {
            let word = SPECIAL_WORDS[usize::from(first) % SPECIAL_WORDS.len()];
            let width = [1, 2, 4, 8][usize::from(second % 4)];
            let place = place % (length + 1) / width * width;
            overwrite(bytes, place, &word.to_le_bytes()[..width]);
        }
        4 => bytes.truncate(place % (length + 1)),
        5 => bytes.extend(std::iter::repeat_n(first, usize::from(second))),
        6 => {
            let start = place % (length + 1);
            let end = length.min(start + usize::from(u16::from_le_bytes([second, third])));
            bytes.drain(start..end);
        }
        _ => {
            let start = place % (length + 1);
            let end = length.min(start + usize::from(second));
            let copy = bytes[start..end].to_vec();
            bytes.splice(start..start, copy);
        }
    }
}

/// Writes as much as there is room for.
fn overwrite(bytes: &mut [u8], place: usize, with: &[u8]) {
    for (byte, with) in bytes.iter_mut().skip(place).zip(with) {
        *byte = *with;
    }
}

/// The ends of the types, the moduli, and what lies one beside them.
const SPECIAL_WORDS: [u64; 16] = [
    0,
    1,
    u64::MAX,
    u64::MAX >> 1,
    1 << 63,
    1 << 32,
    u32::MAX as u64,
    crypto::sealed_sum::MODULUS,
    crypto::sealed_sum::MODULUS - 1,
    crypto::sealed_sum::SHARE_MODULUS as u64,
    crypto::sealed_sum::SHARE_MODULUS as u64 - 1,
    (1 << 60) - 1,
    (1 << 40) - 1,
    f64::INFINITY.to_bits(),
    f64::NAN.to_bits(),
    f64::MIN_POSITIVE.to_bits(),
];
