//! From the bytes of a file to the numbers of a frame.

use super::{
    FileError, compressed,
    dataset::{Dataset, PixelData},
    image::Image,
    jpeg_2000::jpeg_2000,
    syntax::Syntax,
};

/// The values of a frame, row by row: scaled by its slope and intercept.
pub(super) fn frame(data: &Dataset, image: &Image, frame: usize) -> Result<Vec<f32>, FileError> {
    let pixels = image.rows * image.columns;
    let cells = match &data.pixels {
        PixelData::Absent | PixelData::Unread => {
            let attribute = "PixelData";
            return Err(FileError::Missing { attribute });
        }
        PixelData::Native { bytes, words } => {
            let cell_bytes = usize::from(image.cells.allocated / 8);
            let start = frame * pixels * cell_bytes;
            let bytes = bytes
                .get(start..start + pixels * cell_bytes)
                .ok_or(FileError::Truncated)?;
            native(bytes, cell_bytes, data.syntax, *words)
        }
        PixelData::Encapsulated { offsets, fragments } => {
            let bytes = frame_bytes(frame, image.planes.len(), offsets, fragments)?;
            match data.syntax {
                Syntax::Rle => compressed::rle(&bytes, pixels, image.cells.allocated)?,
                Syntax::Jpeg => compressed::jpeg(&bytes, image.rows, image.columns)?,
                Syntax::Jpeg2000 => {
                    jpeg_2000(&bytes, image.rows, image.columns, image.cells.high + 1)?
                }
                _ => return Err(FileError::Damaged),
            }
        }
    };
    let [slope, intercept] = image.scales[frame];
    let scaled = |&cell: &u32| (image.cells.value(cell) * slope + intercept) as f32;
    Ok(cells.iter().map(scaled).collect())
}

/// Uncompressed cells. Bytes that are stored as big-endian words come in pairs the wrong way round.
fn native(bytes: &[u8], cell_bytes: usize, syntax: Syntax, words: bool) -> Vec<u32> {
    let cell = |place: usize| {
        let bytes = &bytes[place * cell_bytes..][..cell_bytes];
        let widen = |value: u32, &byte: &u8| value << 8 | u32::from(byte);
        if syntax.is_big_endian() {
            bytes.iter().fold(0, widen)
        } else {
            bytes.iter().rev().fold(0, widen)
        }
    };
    let cells = bytes.len() / cell_bytes;
    let swapped = cell_bytes == 1 && words && syntax.is_big_endian();
    let partner = |place: usize| {
        if swapped {
            (place ^ 1).min(cells - 1)
        } else {
            place
        }
    };
    (0..cells).map(|place| cell(partner(place))).collect()
}

/// The fragments of a frame, one after the other (PS3.5, A.4).
fn frame_bytes(
    frame: usize,
    frames: usize,
    offsets: &[u32],
    fragments: &[Vec<u8>],
) -> Result<Vec<u8>, FileError> {
    if frames == 1 {
        return Ok(fragments.concat());
    }
    if fragments.len() == frames {
        return Ok(fragments[frame].clone());
    }
    if offsets.len() != frames {
        let what = "compressed frames without a table of their offsets";
        return Err(FileError::Unsupported { what });
    }
    let start = u64::from(offsets[frame]);
    let end = offsets
        .get(frame + 1)
        .map_or(u64::MAX, |&end| u64::from(end));
    let mut place = 0;
    let mut bytes = vec![];
    for fragment in fragments {
        if (start..end).contains(&place) {
            bytes.extend_from_slice(fragment);
        }
        // Offsets count the tag and the length of each item.
        place += 8 + fragment.len() as u64;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_of_one_two_and_four_bytes_in_both_orders() {
        let bytes = [1, 2, 3, 4];
        let cells = |size, syntax, words| native(&bytes, size, syntax, words);
        assert_eq!(cells(2, Syntax::ExplicitLittle, true), [0x0201, 0x0403]);
        assert_eq!(cells(2, Syntax::ExplicitBig, true), [0x0102, 0x0304]);
        assert_eq!(cells(4, Syntax::ExplicitBig, true), [0x0102_0304]);
        assert_eq!(cells(1, Syntax::ExplicitBig, false), [1, 2, 3, 4]);
        assert_eq!(cells(1, Syntax::ExplicitBig, true), [2, 1, 4, 3]);
        assert_eq!(cells(1, Syntax::ImplicitLittle, true), [1, 2, 3, 4]);
    }

    #[test]
    fn fragments_find_their_frame_by_the_offsets() {
        let fragments = [vec![1, 1], vec![2, 2], vec![3, 3]];
        let bytes =
            |frame, frames, offsets: &[u32]| frame_bytes(frame, frames, offsets, &fragments);
        assert_eq!(bytes(0, 1, &[]).expect("one"), [1, 1, 2, 2, 3, 3]);
        assert_eq!(bytes(1, 3, &[]).expect("each its own"), [2, 2]);
        assert_eq!(bytes(0, 2, &[0, 20]).expect("by offset"), [1, 1, 2, 2]);
        assert_eq!(bytes(1, 2, &[0, 20]).expect("by offset"), [3, 3]);
        assert!(bytes(1, 2, &[]).is_err());
    }
}
