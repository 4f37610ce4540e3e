//! Sequences that an archive did not know: VR UN of undefined length in a data set of explicit VR.
//!
//! Their items are of implicit VR (PS3.5, section 6.2.2, note 2), which dicom-parser does not follow. They are private; nothing in
//! them is looked for, so they are cut out before the data set is parsed.

/// A data set of explicit VR, little-endian, without such sequences; `None` if it has none, or cannot be followed.
pub(super) fn cut_out(data: &[u8]) -> Option<Vec<u8>> {
    let mut kept = vec![];
    let mut from = 0;
    for (start, end) in find(data)? {
        kept.extend_from_slice(&data[from..start]);
        from = end;
    }
    if from == 0 {
        return None;
    }
    kept.extend_from_slice(&data[from..]);
    Some(kept)
}

/// A sequence or an item that has been entered.
struct Level {
    /// Where it ends, unless a delimiter says so.
    end: Option<usize>,
    implicit: bool,
    /// Where an unknown sequence began.
    cut_from: Option<usize>,
}

/// From where to where the unknown sequences stand, in order.
fn find(data: &[u8]) -> Option<Vec<(usize, usize)>> {
    let mut cuts = vec![];
    let mut levels: Vec<Level> = vec![];
    let mut at = 0;
    while at < data.len() {
        if levels
            .last()
            .is_some_and(|level| level.end.is_some_and(|end| at >= end))
        {
            levels.pop();
            continue;
        }
        let implicit = levels.last().is_some_and(|level| level.implicit);
        let Element {
            tag,
            vr,
            length,
            value,
        } = Element::read(data, at, implicit)?;
        match (tag, length) {
            (ITEM_END | SEQUENCE_END, _) => {
                if let Some(start) = levels.pop()?.cut_from {
                    cuts.push((start, value));
                }
                at = value;
                continue;
            }
            (PIXELS, _) if levels.is_empty() => break,
            (ITEM, length) => levels.push(Level {
                end: length.map(|length| value + length),
                implicit,
                cut_from: None,
            }),
            (_, Some(length)) => {
                at = value.checked_add(length)?;
                continue;
            }
            (_, None) => {
                let unknown = vr == Some(*b"UN");
                let within = levels.iter().any(|level| level.cut_from.is_some());
                levels.push(Level {
                    end: None,
                    implicit: implicit || unknown,
                    cut_from: (unknown && !within).then_some(at),
                });
            }
        }
        if levels.len() > DEEPEST {
            return None;
        }
        at = value;
    }
    Some(cuts)
}

/// The head of an element.
struct Element {
    tag: [u8; 4],
    vr: Option<[u8; 2]>,
    /// `None` if undefined.
    length: Option<usize>,
    /// Where its value begins.
    value: usize,
}

impl Element {
    fn read(data: &[u8], at: usize, implicit: bool) -> Option<Self> {
        let tag: [u8; 4] = *data.get(at..)?.first_chunk()?;
        let long = |at: usize| -> Option<Option<usize>> {
            let length = u32::from_le_bytes(*data.get(at..)?.first_chunk()?);
            Some((length != u32::MAX).then_some(length as usize))
        };
        let (vr, length, value) = if implicit || tag[..2] == ITEM[..2] {
            (None, long(at + 4)?, at + 8)
        } else {
            let vr: [u8; 2] = *data.get(at + 4..)?.first_chunk()?;
            match &vr {
                b"OB" | b"OD" | b"OF" | b"OL" | b"OV" | b"OW" | b"SQ" | b"SV" | b"UC" | b"UN"
                | b"UR" | b"UT" | b"UV" => (Some(vr), long(at + 8)?, at + 12),
                _ => {
                    let length = u16::from_le_bytes(*data.get(at + 6..)?.first_chunk()?);
                    (Some(vr), Some(usize::from(length)), at + 8)
                }
            }
        };
        Some(Self {
            tag,
            vr,
            length,
            value,
        })
    }
}

const ITEM: [u8; 4] = *b"\xFE\xFF\x00\xE0";
const ITEM_END: [u8; 4] = *b"\xFE\xFF\x0D\xE0";
const SEQUENCE_END: [u8; 4] = *b"\xFE\xFF\xDD\xE0";
const PIXELS: [u8; 4] = *b"\xE0\x7F\x10\x00";
/// Sequences in sequences; real files have three or four.
const DEEPEST: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    const UNDEFINED: &[u8] = b"\xFF\xFF\xFF\xFF";

    #[test]
    fn unknown_sequences_are_cut_out_and_nothing_else() {
        let before: &[u8] = b"\x08\0\x60\0CS\x02\0MR";
        let item: Vec<u8> = [
            &ITEM[..],
            UNDEFINED,
            b"\x05\x20\x01\0\x02\0\0\0ab",
            &ITEM_END,
            &[0; 4],
        ]
        .concat();
        let unknown = [
            b"\x05\x20\x0E\0UN\0\0",
            UNDEFINED,
            &item,
            // One of implicit VR within it, with an item of known length.
            &ITEM,
            UNDEFINED,
            b"\x05\x20\x02\0",
            UNDEFINED,
            &ITEM,
            b"\x0A\0\0\0\x05\x20\x03\0\x02\0\0\0cd",
            &SEQUENCE_END,
            &[0; 4],
            &ITEM_END,
            &[0; 4],
            &SEQUENCE_END,
            &[0; 4],
        ]
        .concat();
        let known = [b"\x40\0\x30\xA7SQ\0\0", UNDEFINED, &SEQUENCE_END, &[0; 4]].concat();
        let pixels: &[u8] = b"\xE0\x7F\x10\0OW\0\0\x02\0\0\0xy";
        let data = [before, &unknown, &known, &unknown, pixels].concat();
        assert_eq!(cut_out(&data), Some([before, &known, pixels].concat()));
        assert_eq!(cut_out(&[before, &known, pixels].concat()), None);
        for end in 0..data.len() {
            cut_out(&data[..end]);
        }
        let nested = [b"\x05\x20\x0E\0UN\0\0", UNDEFINED, &ITEM, UNDEFINED].concat();
        assert_eq!(cut_out(&nested.repeat(1000)), None);
    }
}
