//! Compressed frames: JPEG 2000, reversible or not (PS3.5, annex A.4.4).

mod codestream;

use hayro_jpeg2000::{DecodeSettings, DecoderContext, Image};

use self::codestream::Samples;
use super::{FileError, compressed::damaged};

/// Cells of a frame of one grey channel, of which at most `cell_bits` count; its own size must be the declared one. A
/// signed cell is in two's complement.
///
/// A stream that was cut is refused; one in which the packets of the finest details were never written is not.
pub(super) fn jpeg_2000(
    frame: &[u8],
    rows: usize,
    columns: usize,
    cell_bits: u16,
) -> Result<Vec<u32>, FileError> {
    let samples = codestream::samples(frame, rows, columns)?;
    let settings = DecodeSettings {
        strict: true,
        ..DecodeSettings::default()
    };
    let refused = |error| damaged(&format!("JPEG 2000: {error}"));
    let image = Image::new(frame, &settings).map_err(refused)?;
    let mut context = DecoderContext::default();
    let decoded = image.decode(&mut context).map_err(refused)?;
    match decoded.components() {
        [grey] if grey.samples().len() == rows * columns => {
            let cells = grey.samples().iter();
            Ok(cells
                .map(|&sample| samples.cell(sample, cell_bits))
                .collect())
        }
        _ => Err(damaged("JPEG 2000: not the image that was declared")),
    }
}

impl Samples {
    /// The decoder raises signed samples, too, by half their range. Where it was lossy, they can lie outside of it.
    fn cell(&self, sample: f32, cell_bits: u16) -> u32 {
        let half = |bits: u16| 1_i32 << (bits - 1);
        let bits = u16::from(self.bits);
        let range = 2 * half(bits.min(cell_bits));
        let (lowest, raised_by) = if self.signed {
            (-range / 2, half(bits))
        } else {
            (0, 0)
        };
        let sample = sample.round() as i32 - raised_by;
        sample.clamp(lowest, lowest + range - 1) as u32
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{codestream::tests::TWO_TILES, *};

    proptest! {
        #[test]
        fn damaged_frames_are_an_error_or_cells_and_never_a_panic(
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        ) {
            for stream in [&UNSIGNED[..], &TWO_TILES] {
                let mut frame = stream.to_vec();
                for (place, byte) in &damage {
                    frame[place.index(stream.len())] = *byte;
                }
                if let Ok(cells) = jpeg_2000(&frame, 4, 5, 12) {
                    prop_assert_eq!(cells.len(), 20);
                }
            }
        }
    }

    #[test]
    fn reversible_frames_are_exact() {
        let unsigned = jpeg_2000(&UNSIGNED, 4, 5, 12).expect("decodes");
        assert_eq!(unsigned, UNSIGNED_CELLS);
        let signed = jpeg_2000(&SIGNED, 2, 3, 16).expect("decodes");
        assert_eq!(signed, SIGNED_CELLS.map(|cell| cell as u32));
        // A fragment has an even length.
        let padded = [&UNSIGNED[..], &[0]].concat();
        assert_eq!(
            jpeg_2000(&padded, 4, 5, 12).expect("decodes"),
            UNSIGNED_CELLS
        );
    }

    #[test]
    fn what_ends_early_is_refused() {
        for length in 0..UNSIGNED.len() {
            assert!(
                jpeg_2000(&UNSIGNED[..length], 4, 5, 12).is_err(),
                "{length}"
            );
        }
    }

    #[test]
    fn lossy_samples_are_rounded_and_stay_within_their_range() {
        let samples = |signed| Samples { bits: 12, signed };
        let cells = |cell_bits| {
            let of = |sample| samples(false).cell(sample, cell_bits);
            [-22.3, 0.4, 0.6, 4094.6, 4116.9].map(of)
        };
        assert_eq!(cells(12), [0, 0, 1, 4095, 4095]);
        assert_eq!(cells(16), cells(12));
        // Or 4094 and 4095 would be 1022 and 1023 for a reader of ten bits, and 1024 nothing.
        assert_eq!(cells(10), [0, 0, 1, 1023, 1023]);
        let cells = |cell_bits| {
            let of = |sample| samples(true).cell(sample, cell_bits) as i32;
            [-1.0, 2047.4, 2048.6, 5000.0].map(of)
        };
        assert_eq!(cells(12), [-2048, -1, 1, 2047]);
        assert_eq!(cells(10), [-512, -1, 1, 511]);
    }

    #[test]
    fn tiles_are_put_together() {
        assert_eq!(
            jpeg_2000(&TWO_TILES, 4, 5, 8).expect("decodes"),
            TILED_CELLS
        );
    }

    /// 4 x 5 samples of 12 bits, written by OpenJPEG 2.5.4 without its comment.
    const UNSIGNED: [u8; 118] = [
        255, 79, 255, 81, 0, 41, 0, 0, 0, 0, 0, 5, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5,
        0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 11, 1, 1, 255, 82, 0, 12, 0, 0, 0, 1, 0, 0, 4, 4,
        0, 1, 255, 92, 0, 4, 64, 96, 255, 144, 0, 10, 0, 0, 0, 0, 0, 51, 0, 1, 255, 147, 207, 228,
        136, 19, 125, 118, 152, 114, 129, 110, 233, 124, 171, 137, 161, 83, 56, 210, 164, 98, 252,
        175, 3, 218, 9, 28, 85, 192, 140, 51, 0, 130, 248, 227, 191, 81, 191, 255, 217,
    ];
    const TILED_CELLS: [u32; 20] = [
        207, 21, 45, 60, 46, 205, 222, 149, 10, 24, 85, 110, 159, 122, 67, 40, 177, 188, 8, 29,
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
