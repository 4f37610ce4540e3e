//! Compressed frames: JPEG 2000, reversible or not (PS3.5, annex A.4.4).

use hayro_jpeg2000::{DecodeSettings, DecoderContext, Image};

use super::{FileError, compressed::damaged};

/// Cells of a frame of one grey channel; its own size must be the declared one. A signed cell is in two's complement.
pub(super) fn jpeg_2000(frame: &[u8], rows: usize, columns: usize) -> Result<Vec<u32>, FileError> {
    let samples = Samples::of_one_grey_channel(frame, rows, columns)?;
    let settings = DecodeSettings {
        // Or what is missing would be zeros.
        strict: true,
        ..DecodeSettings::default()
    };
    let refused = |error| damaged(&format!("JPEG 2000: {error}"));
    let image = Image::new(frame, &settings).map_err(refused)?;
    let mut context = DecoderContext::default();
    let decoded = image.decode(&mut context).map_err(refused)?;
    match decoded.components() {
        [grey] if grey.samples().len() == rows * columns => {
            let cells = grey.samples().iter().map(|&sample| samples.cell(sample));
            Ok(cells.collect())
        }
        _ => Err(damaged("the JPEG 2000 image ends early")),
    }
}

/// How the samples of a frame are to be understood.
struct Samples {
    bits: u8,
    signed: bool,
}

impl Samples {
    /// Reads the first segment, SIZ (ISO/IEC 15444-1, A.5.1), before anything is set aside for what it declares.
    fn of_one_grey_channel(frame: &[u8], rows: usize, columns: usize) -> Result<Self, FileError> {
        const START_AND_SIZ: [u8; 4] = [0xFF, 0x4F, 0xFF, 0x51];
        const EXTENTS: usize = 8;
        const CHANNELS: usize = EXTENTS + 8 * 4;

        let header: &[u8; CHANNELS + 5] = frame
            .first_chunk()
            .filter(|header| header.starts_with(&START_AND_SIZ))
            .ok_or_else(|| damaged("no JPEG 2000 codestream"))?;
        let (words, _) = header[EXTENTS..CHANNELS].as_chunks();
        let [right, bottom, left, top, tile_width, tile_height, ..] = words else {
            return Err(damaged("no JPEG 2000 codestream"));
        };
        let number = |word: &[u8; 4]| u32::from_be_bytes(*word);
        let width = number(right).saturating_sub(number(left));
        let height = number(bottom).saturating_sub(number(top));
        let [high, low, precision, across, down] = header[CHANNELS..] else {
            return Err(damaged("no JPEG 2000 codestream"));
        };
        if [high, low] != [0, 1] {
            let what = "colours";
            return Err(FileError::Unsupported { what });
        }
        if (height as usize, width as usize, across, down) != (rows, columns, 1, 1) {
            return Err(damaged(
                "the JPEG 2000 image has another size than the file declares",
            ));
        }
        let tiles = |extent: u32, tile: &[u8; 4]| match number(tile) {
            0 => u64::MAX,
            tile => u64::from(extent.div_ceil(tile)),
        };
        let tiles =
            tiles(number(right), tile_width).saturating_mul(tiles(number(bottom), tile_height));
        if tiles > MOST_TILES {
            return Err(damaged("a JPEG 2000 image of too many tiles"));
        }
        let samples = Self {
            bits: (precision & 0x7F) + 1,
            signed: precision & 0x80 != 0,
        };
        if samples.bits > MOST_BITS {
            let what = "JPEG 2000 of more than 16 bits";
            return Err(FileError::Unsupported { what });
        }
        Ok(samples)
    }

    /// The decoder raises signed samples, too, by half their range; where it was lossy, they can lie outside.
    fn cell(&self, sample: f32) -> u32 {
        let range = 1_i32 << self.bits;
        let lowest = if self.signed { range / 2 } else { 0 };
        let raised = (sample.round() as i32).clamp(0, range - 1);
        (raised - lowest) as u32
    }
}

/// The number of a tile has 16 bits.
const MOST_TILES: u64 = 65_535;

/// Beyond, samples of the decoder, which are of single precision, would not be exact.
const MOST_BITS: u8 = 16;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn damaged_frames_are_an_error_or_cells_and_never_a_panic(
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        ) {
            let mut frame = UNSIGNED;
            for (place, byte) in damage {
                frame[place.index(UNSIGNED.len())] = byte;
            }
            if let Ok(cells) = jpeg_2000(&frame, 4, 5) {
                prop_assert_eq!(cells.len(), 20);
            }
        }
    }

    #[test]
    fn reversible_frames_are_exact() {
        let unsigned = jpeg_2000(&UNSIGNED, 4, 5).expect("decodes");
        assert_eq!(unsigned, UNSIGNED_CELLS);
        let signed = jpeg_2000(&SIGNED, 2, 3).expect("decodes");
        assert_eq!(signed, SIGNED_CELLS.map(|cell| cell as u32));
        // A fragment has an even length.
        let padded = [&UNSIGNED[..], &[0]].concat();
        assert_eq!(jpeg_2000(&padded, 4, 5).expect("decodes"), UNSIGNED_CELLS);
    }

    #[test]
    fn what_ends_early_is_refused() {
        for length in 0..UNSIGNED.len() {
            assert!(jpeg_2000(&UNSIGNED[..length], 4, 5).is_err(), "{length}");
        }
    }

    #[test]
    fn what_is_declared_is_checked_before_it_is_decoded() {
        let refusal = |place: usize, bytes: &[u8]| {
            let mut frame = UNSIGNED;
            frame[place..place + bytes.len()].copy_from_slice(bytes);
            let error = jpeg_2000(&frame, 4, 5).expect_err("refused");
            error.to_string()
        };
        for (place, bytes, why) in [
            (0, &[0][..], "no JPEG 2000 codestream"),
            (8, &[255, 255, 255, 255], "another size"),
            (19, &[1], "another size"),
            (40, &[64, 0], "colours"),
            (42, &[16], "more than 16 bits"),
            (43, &[2], "another size"),
            (24, &[0, 0, 0, 0], "too many tiles"),
        ] {
            let refusal = refusal(place, bytes);
            assert!(refusal.contains(why), "{place}: {refusal}");
        }
    }

    #[test]
    fn lossy_samples_are_rounded_and_stay_within_their_range() {
        let unsigned = Samples {
            bits: 12,
            signed: false,
        };
        let cells = [-22.3, 0.4, 0.6, 4094.6, 4116.9].map(|sample| unsigned.cell(sample));
        assert_eq!(cells, [0, 0, 1, 4095, 4095]);
        let signed = Samples {
            bits: 12,
            signed: true,
        };
        let cells = [-1.0, 2047.4, 2048.6, 5000.0].map(|sample| signed.cell(sample) as i32);
        assert_eq!(cells, [-2048, -1, 1, 2047]);
    }

    /// 4 x 5 samples of 12 bits, written by OpenJPEG 2.5.4 without its comment.
    const UNSIGNED: [u8; 118] = [
        255, 79, 255, 81, 0, 41, 0, 0, 0, 0, 0, 5, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5,
        0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 11, 1, 1, 255, 82, 0, 12, 0, 0, 0, 1, 0, 0, 4, 4,
        0, 1, 255, 92, 0, 4, 64, 96, 255, 144, 0, 10, 0, 0, 0, 0, 0, 51, 0, 1, 255, 147, 207, 228,
        136, 19, 125, 118, 152, 114, 129, 110, 233, 124, 171, 137, 161, 83, 56, 210, 164, 98, 252,
        175, 3, 218, 9, 28, 85, 192, 140, 51, 0, 130, 248, 227, 191, 81, 191, 255, 217,
    ];
    const UNSIGNED_CELLS: [u32; 20] = [
        3870, 2560, 2802, 3674, 2368, 3177, 3414, 922, 227, 1229, 1167, 3578, 3738, 21, 2047, 3363,
        538, 3264, 487, 1916,
    ];
    /// 2 x 3 signed samples of 16 bits, likewise.
    const SIGNED: [u8; 96] = [
        255, 79, 255, 81, 0, 41, 0, 0, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3,
        0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 143, 1, 1, 255, 82, 0, 12, 0, 0, 0, 1, 0, 0, 4,
        4, 0, 1, 255, 92, 0, 4, 64, 128, 255, 144, 0, 10, 0, 0, 0, 0, 0, 29, 0, 1, 255, 147, 223,
        248, 144, 88, 7, 214, 200, 37, 98, 147, 209, 220, 242, 217, 127, 255, 217,
    ];
    const SIGNED_CELLS: [i32; 6] = [-32768, -1, 0, 1, 32767, -300];
}
