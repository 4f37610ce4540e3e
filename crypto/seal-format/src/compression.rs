//! Zstandard frames of strangers, which may hold a secret key.

use std::io::Read;

use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
use zeroize::Zeroizing;

use super::SealError;

/// Decompresses a frame of at most `most` bytes.
///
/// What is read here are words of 64 bits, uniform below primes of 33 bits and more, which nothing halves: a frame
/// that stands for more than [`LARGEST_RATIO`] times its length is refused. So the file bounds the memory, however
/// many objects it holds.
///
/// # Security
/// Decompression branches on what it decompresses. It is the only work on a secret key that is not constant-time. The
/// decoder's buffers are taken at their full size before and overwritten after, so that no copy of the key is left
/// in them.
pub(super) fn decompress(
    what: &'static str,
    frame: &[u8],
    most: usize,
) -> Result<Zeroizing<Vec<u8>>, SealError> {
    let most = most.min(LARGEST_RATIO * frame.len() + SMALL);
    let mut decoder = FrameDecoder::new();
    let overwriting = OverwritingFrame::new(most);
    overwriting.decode(&mut decoder);
    let decompressed = decode(&mut decoder, frame, most);
    // After an error too: what came before it may be part of a key.
    overwriting.decode(&mut decoder);
    match decompressed {
        Ok(decompressed) => Ok(decompressed),
        Err(Refused::Damaged) => Err(SealError::Damaged { what }),
        Err(Refused::TooLarge) => Err(SealError::TooLarge { what, most }),
    }
}

enum Refused {
    Damaged,
    TooLarge,
}

/// The content of a frame that ends where the bytes end.
fn decode(
    decoder: &mut FrameDecoder,
    frame: &[u8],
    most: usize,
) -> Result<Zeroizing<Vec<u8>>, Refused> {
    let mut rest = frame;
    decoder.set_max_window_size(most.max(LARGEST_WINDOW) as u64);
    decoder.reset(&mut rest).map_err(|_| Refused::Damaged)?;
    if decoder.content_size() > most as u64 {
        return Err(Refused::TooLarge);
    }
    let mut content = Zeroizing::new(vec![0; most]);
    let mut filled = 0;
    while !decoder.is_finished() {
        let one = BlockDecodingStrategy::UptoBlocks(1);
        decoder
            .decode_blocks(&mut rest, one)
            .map_err(|_| Refused::Damaged)?;
        filled += decoder
            .read(&mut content[filled..])
            .map_err(|_| Refused::Damaged)?;
        if decoder.can_collect() > 0 {
            return Err(Refused::TooLarge);
        }
    }
    content.truncate(filled);
    if rest.is_empty() {
        Ok(content)
    } else {
        Err(Refused::Damaged)
    }
}

/// A frame of zeros that fills each buffer of a decoder from end to end: that of the blocks, that of the literals, and
/// the window.
struct OverwritingFrame {
    frame: Vec<u8>,
    content: usize,
}

impl OverwritingFrame {
    /// For contents of at most `most` bytes.
    fn new(most: usize) -> Self {
        const RAW_LITERALS: usize = LARGEST_BLOCK - 4;
        let runs = most.div_ceil(LARGEST_BLOCK).max(1);
        let content = RAW_LITERALS + (1 + runs) * LARGEST_BLOCK;
        // One segment, its length in four bytes.
        let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0xa0];
        frame.extend((content as u32).to_le_bytes());
        let block = |kind: usize, length: usize, last: bool| {
            let header = length << 3 | kind << 1 | usize::from(last);
            [header as u8, (header >> 8) as u8, (header >> 16) as u8]
        };
        let literals = |kind: usize, length: usize| {
            let header = length << 4 | 3 << 2 | kind;
            [header as u8, (header >> 8) as u8, (header >> 16) as u8]
        };
        let no_sequences = [0];
        frame.extend(block(COMPRESSED, LARGEST_BLOCK, false));
        frame.extend(literals(RAW, RAW_LITERALS));
        frame.resize(frame.len() + RAW_LITERALS, 0);
        frame.extend(no_sequences);
        frame.extend(block(COMPRESSED, 5, false));
        frame.extend(literals(RUN, LARGEST_BLOCK));
        frame.extend([0]);
        frame.extend(no_sequences);
        for run in 1..=runs {
            frame.extend(block(RUN, LARGEST_BLOCK, run == runs));
            frame.extend([0]);
        }
        Self { frame, content }
    }

    fn decode(&self, decoder: &mut FrameDecoder) {
        let zeros = decode(decoder, &self.frame, self.content);
        assert!(
            zeros.is_ok_and(|zeros| zeros.len() == self.content),
            "a frame of our own"
        );
    }
}

/// Uniform words below 2^33 shrink to about half.
const LARGEST_RATIO: usize = 4;

/// Parameters have long runs of zeros, and are short.
const SMALL: usize = 4096;

/// What zstd uses up to level 19; SEAL uses level 3, with 2 MiB.
const LARGEST_WINDOW: usize = 1 << 23;

/// Of the format: RFC 8878, section 3.1.1.2.4.
const LARGEST_BLOCK: usize = 1 << 17;

/// The kinds of blocks and of literals, sections 3.1.1.2.2 and 3.1.1.3.1.1.
const RAW: usize = 0;
const RUN: usize = 1;
const COMPRESSED: usize = 2;

#[cfg(test)]
mod tests {
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};

    use super::*;
    use crypto::hash::SecretKey32;
    use crypto::ring::{Modulus, Prg, uniform};

    /// Bytes without a pattern, but only ten of them.
    fn digits(length: usize) -> Vec<u8> {
        let mut prg = Prg::new(&SecretKey32::from_bytes([1; 32]), 0);
        let words = uniform(&mut prg, Modulus::new(1_099_510_890_497), length);
        words.words().iter().map(|word| (word % 10) as u8).collect()
    }

    fn compressed(content: &[u8]) -> Vec<u8> {
        compress_to_vec(content, CompressionLevel::Fastest)
    }

    fn error(frame: &[u8], most: usize) -> Option<SealError> {
        decompress("word", frame, most).err()
    }

    #[test]
    fn a_frame_is_its_content() {
        for length in [0, 1, 1000, 300_000] {
            let content = digits(length);
            let read = decompress("word", &compressed(&content), length);
            assert!(read.is_ok_and(|read| *read == content), "{length}");
        }
    }

    #[test]
    fn a_longer_content_is_refused() {
        let what = "word";
        let frame = compressed(&[7; 1000]);
        let most = 999;
        assert_eq!(
            error(&frame, most),
            Some(SealError::TooLarge { what, most })
        );
        // However much the parameters allow: an encryption does not shrink so.
        let frame = compressed(&[7; 10_000_000]);
        assert!(frame.len() < 10_000);
        assert!(matches!(
            error(&frame, 20_000_000),
            Some(SealError::TooLarge { .. })
        ));
        // Nor may the header announce it.
        let announced = [&b"\x28\xb5\x2f\xfd\xe0"[..], &[0xff; 8], &[1, 0, 0]].concat();
        assert!(error(&announced, 1000).is_some());
    }

    #[test]
    fn what_is_no_whole_frame_is_damaged() {
        let damaged = Some(SealError::Damaged { what: "word" });
        let frame = compressed(&digits(1000));
        for length in 0..frame.len() {
            assert_eq!(error(&frame[..length], 1000), damaged, "{length}");
        }
        assert_eq!(error(&[&frame[..], &[0]].concat(), 1000), damaged);
        assert_eq!(error(&[&frame[..], &frame].concat(), 1000), damaged);
    }
}
