//! Compressed frames: RLE Lossless (PS3.5, annex G) and JPEG (annex A.4.1); JPEG 2000 has a file of its own.
//!
//! dicom-pixeldata would do both, but indexes into fragments as long as it hopes and leaves frames that are
//! not there as zeros; JPEG goes to the decoder that it uses, too, and RLE is a page.

use jpeg_decoder::{Decoder, PixelFormat, UnsupportedFeature};

use super::FileError;

/// The header of an RLE frame: a count and 15 offsets.
const RLE_HEADER: usize = 64;

/// Cells of an RLE frame: one segment for each byte of a cell, the highest first.
pub(super) fn rle(frame: &[u8], pixels: usize, allocated: u16) -> Result<Vec<u32>, FileError> {
    let word = |place: usize| {
        let bytes = frame.get(4 * place..)?.first_chunk()?;
        Some(u32::from_le_bytes(*bytes) as usize)
    };
    let segments = usize::from(allocated / 8);
    if frame.len() < RLE_HEADER || word(0) != Some(segments) {
        return Err(damaged("not as many RLE segments as a pixel has bytes"));
    }
    let mut cells = vec![0; pixels];
    for segment in 0..segments {
        let start = word(1 + segment).unwrap_or(0);
        let end = if segment + 1 < segments {
            word(2 + segment).unwrap_or(0)
        } else {
            frame.len()
        };
        let bytes = frame
            .get(start..end)
            .filter(|_| start >= RLE_HEADER)
            .ok_or_else(|| damaged("an RLE segment lies outside of its frame"))?;
        unpack(bytes, &mut cells)?;
    }
    Ok(cells)
}

/// Runs and literals of one segment; each byte becomes the lowest of its cell.
fn unpack(mut bytes: &[u8], cells: &mut [u32]) -> Result<(), FileError> {
    let mut filled = 0;
    let short = || damaged("an RLE segment ends early");
    while filled < cells.len() {
        let (&control, rest) = bytes.split_first().ok_or_else(short)?;
        let left = cells.len() - filled;
        let mut push = |byte: u8, cell: usize| {
            cells[filled + cell] = cells[filled + cell] << 8 | u32::from(byte);
        };
        match control {
            0..=127 => {
                let count = usize::from(control) + 1;
                let literals = rest.get(..count).ok_or_else(short)?;
                for (cell, &byte) in literals.iter().take(left).enumerate() {
                    push(byte, cell);
                }
                filled += count.min(left);
                bytes = &rest[count..];
            }
            128 => bytes = rest,
            129..=255 => {
                let count = 257 - usize::from(control);
                let &byte = rest.first().ok_or_else(short)?;
                for cell in 0..count.min(left) {
                    push(byte, cell);
                }
                filled += count.min(left);
                bytes = &rest[1..];
            }
        }
    }
    Ok(())
}

/// Cells of a JPEG frame of one grey channel; its own size must be the declared one.
pub(super) fn jpeg(frame: &[u8], rows: usize, columns: usize) -> Result<Vec<u32>, FileError> {
    let mut decoder = Decoder::new(frame);
    // Its largest cell has 4 bytes while it works.
    decoder.set_max_decoding_buffer_size(4 * rows * columns);
    let refusal = |error| match error {
        // A frame that is whole, of a kind that the decoder does not know: 12 bits with loss.
        jpeg_decoder::Error::Unsupported(UnsupportedFeature::SamplePrecision(bits)) => {
            let name = format!("JPEG of {bits} bits");
            FileError::Syntax { name }
        }
        jpeg_decoder::Error::Unsupported(feature) => FileError::Syntax {
            name: format!("JPEG with {feature:?}"),
        },
        error => damaged(&error.to_string()),
    };
    decoder.read_info().map_err(refusal)?;
    let info = decoder.info().ok_or_else(|| damaged("no JPEG header"))?;
    if (usize::from(info.height), usize::from(info.width)) != (rows, columns) {
        return Err(damaged(
            "the JPEG image has another size than the file declares",
        ));
    }
    let cell_bytes = match info.pixel_format {
        PixelFormat::L8 => 1,
        PixelFormat::L16 => 2,
        PixelFormat::RGB24 | PixelFormat::CMYK32 => {
            let what = "colours";
            return Err(FileError::Unsupported { what });
        }
    };
    let bytes = decoder.decode().map_err(refusal)?;
    if bytes.len() != rows * columns * cell_bytes {
        return Err(damaged("the JPEG image ends early"));
    }
    // 16-bit cells come in the machine's own order.
    let cell = |cell: &[u8]| match *cell {
        [byte] => u32::from(byte),
        [first, second] => u32::from(u16::from_ne_bytes([first, second])),
        _ => 0,
    };
    Ok(bytes.chunks_exact(cell_bytes).map(cell).collect())
}

pub(super) fn damaged(reason: &str) -> FileError {
    FileError::Compressed {
        reason: reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(segments: &[&[u8]]) -> Vec<u8> {
        let mut header = vec![0; RLE_HEADER];
        header[0] = segments.len() as u8;
        let mut start = RLE_HEADER;
        for (place, segment) in segments.iter().enumerate() {
            header[4 + 4 * place] = start as u8;
            start += segment.len();
        }
        [header, segments.concat()].concat()
    }

    #[test]
    fn runs_and_literals_are_unpacked_highest_byte_first() {
        let high: &[u8] = &[0xFD, 1];
        let low: &[u8] = &[128, 1, 5, 6, 0xFF, 7, 0];
        let cells = rle(&frame(&[high, low]), 4, 16).expect("unpacks");
        assert_eq!(cells, [0x105, 0x106, 0x107, 0x107]);
        let single = rle(&frame(&[low]), 4, 8).expect("unpacks");
        assert_eq!(single, [5, 6, 7, 7]);
    }

    #[test]
    fn what_ends_early_is_refused() {
        for (segment, why) in [
            (&[0xFF_u8, 7][..], "a run of two"),
            (&[5, 1, 2], "three literals missing"),
            (&[0xFF], "a run of nothing"),
            (&[], "nothing"),
        ] {
            assert!(rle(&frame(&[segment]), 4, 8).is_err(), "{why}");
        }
        assert!(
            rle(&frame(&[&[0xFD, 1]]), 4, 16).is_err(),
            "one segment for two bytes"
        );
        assert!(rle(&[1, 0, 0], 4, 8).is_err());
        assert!(jpeg(b"\xFF\xD8\xFF\xD9", 4, 4).is_err());
        assert!(jpeg(b"", 4, 4).is_err());
    }
}
