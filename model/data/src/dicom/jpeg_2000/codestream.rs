//! What a JPEG 2000 codestream declares (ISO/IEC 15444-1, annex A), read before anything is decoded.
//!
//! The decoder believes a stream: it sets memory aside for every tile, precinct, code block and layer that a few bytes
//! declare, and leaves a tile without data grey. So every segment is looked at here: of those that may follow SIZ, the
//! ones that cannot multiply work are let through, and the stream must have data for each tile.

use super::super::{FileError, compressed::damaged};

/// How the samples of the one grey channel are written.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Samples {
    pub(super) bits: u8,
    pub(super) signed: bool,
}

/// Checks a stream of an image of this size.
pub(super) fn samples(stream: &[u8], rows: usize, columns: usize) -> Result<Samples, FileError> {
    let mut rest = stream
        .strip_prefix(&START.to_be_bytes())
        .ok_or_else(|| broken("no codestream"))?;
    let siz = Segment::take(&mut rest)?;
    if siz.marker != SIZ {
        return Err(broken("no size at the start"));
    }
    let size = Size::read(siz.body)?;
    if (size.height as usize, size.width as usize) != (rows, columns) {
        return Err(broken("another size than the file declares"));
    }
    // A tile has one part or more, of a SOT and a SOD at least.
    let tiles = size.tiles();
    if tiles > (stream.len() / MIN_TILE_PART) as u64 {
        return Err(broken("less data than tiles"));
    }
    let mut work = 0_u64;
    while !rest.starts_with(&SOT.to_be_bytes()) {
        let segment = Segment::take(&mut rest)?;
        match segment.marker {
            COD => work = work.saturating_add(size.work(segment.body)?),
            QCD if segment.body.len() <= LONGEST_QCD => {}
            TLM | COM => {}
            _ => return Err(unsupported()),
        }
    }
    if work > size.max_work() {
        return Err(broken("too many code blocks"));
    }
    let mut with_data = vec![false; tiles as usize];
    while rest.get(..2) != Some(&END.to_be_bytes()) {
        let tile = tile_part(&mut rest)?;
        *with_data
            .get_mut(tile)
            .ok_or_else(|| broken("a tile outside of the image"))? = true;
    }
    if with_data.contains(&false) {
        return Err(broken("a tile without data"));
    }
    Ok(size.samples)
}

/// Goes over a part of a tile (A.4.2) and says of which.
fn tile_part(rest: &mut &[u8]) -> Result<usize, FileError> {
    let whole = *rest;
    let start = Segment::take(rest)?;
    if start.marker != SOT {
        return Err(broken("something between tiles"));
    }
    let fields = || {
        let (tile, rest) = start.body.split_first_chunk()?;
        let (length, numbers) = rest.split_first_chunk()?;
        let fields = (u16::from_be_bytes(*tile), u32::from_be_bytes(*length));
        (numbers.len() == 2).then_some(fields)
    };
    let (tile, length) = fields().ok_or_else(|| broken("a damaged tile"))?;
    if length == 0 {
        let what = "JPEG 2000 with a tile of unstated length";
        return Err(FileError::Unsupported { what });
    }
    let (part, after) = whole
        .split_at_checked(length as usize)
        .ok_or_else(|| broken("it ends within a tile"))?;
    let mut header = part
        .get(whole.len() - rest.len()..)
        .ok_or_else(|| broken("a damaged tile"))?;
    while !header.starts_with(&DATA.to_be_bytes()) {
        match Segment::take(&mut header)?.marker {
            PLT | COM => {}
            _ => return Err(unsupported()),
        }
    }
    *rest = after;
    Ok(usize::from(tile))
}

/// A marker and what belongs to it.
struct Segment<'a> {
    marker: u16,
    body: &'a [u8],
}

impl<'a> Segment<'a> {
    fn take(rest: &mut &'a [u8]) -> Result<Self, FileError> {
        let segment = || {
            let (&[m, n, high, low], after) = rest.split_first_chunk()?;
            // The length counts itself.
            let length = usize::from(u16::from_be_bytes([high, low])).checked_sub(2)?;
            let (body, after) = after.split_at_checked(length)?;
            let marker = u16::from_be_bytes([m, n]);
            Some((Self { marker, body }, after))
        };
        let (segment, after) = segment().ok_or_else(|| broken("it ends within its header"))?;
        *rest = after;
        Ok(segment)
    }
}

/// SIZ (A.5.1).
struct Size {
    width: u32,
    height: u32,
    tile_width: u32,
    tile_height: u32,
    samples: Samples,
}

impl Size {
    fn read(body: &[u8]) -> Result<Self, FileError> {
        let short = || broken("a damaged size");
        let (_capabilities, body) = body.split_at_checked(2).ok_or_else(short)?;
        let (extents, channels) = body.split_first_chunk::<32>().ok_or_else(short)?;
        let (words, _) = extents.as_chunks();
        let mut numbers = [0; 8];
        for (number, word) in numbers.iter_mut().zip(words) {
            *number = u32::from_be_bytes(*word);
        }
        let [
            width,
            height,
            left,
            top,
            tile_width,
            tile_height,
            tile_left,
            tile_top,
        ] = numbers;
        let &[0, 1, precision, 1, 1] = channels else {
            let what = "JPEG 2000 in colours, or of fewer samples than pixels";
            return Err(FileError::Unsupported { what });
        };
        if [left, top, tile_left, tile_top] != [0; 4] {
            return Err(unsupported());
        }
        if [width, height, tile_width, tile_height].contains(&0) {
            return Err(short());
        }
        let bits = (precision & 0x7F) + 1;
        if bits > MAX_BITS {
            let what = "JPEG 2000 of more than 16 bits";
            return Err(FileError::Unsupported { what });
        }
        Ok(Self {
            width,
            height,
            tile_width: tile_width.min(width),
            tile_height: tile_height.min(height),
            samples: Samples {
                bits,
                signed: precision & 0x80 != 0,
            },
        })
    }

    fn tiles(&self) -> u64 {
        let across = self.width.div_ceil(self.tile_width);
        let down = self.height.div_ceil(self.tile_height);
        u64::from(across) * u64::from(down)
    }

    /// What the decoder sets up for a COD (A.6.1), at most: precincts, and code blocks with their layers.
    fn work(&self, cod: &[u8]) -> Result<u64, FileError> {
        let damaged = || broken("a damaged coding style");
        let (&[style, _, high, low, _, levels, width, height, _, _], precincts) =
            cod.split_first_chunk().ok_or_else(damaged)?;
        let layers = u64::from(u16::from_be_bytes([high, low]));
        let given = if style & 1 == 1 {
            usize::from(levels) + 1
        } else {
            0
        };
        if levels > MAX_LEVELS || precincts.len() != given {
            return Err(damaged());
        }
        let mut work = 0_u64;
        for level in 0..=levels {
            let (across, down) = precincts
                .get(usize::from(level))
                .map_or((15, 15), |&both| (both & 15, both >> 4));
            let halvings = u32::from(levels - level);
            let count = |extent: u32, exponent: u8, precinct: u8, bands: u8| {
                let extent = u64::from(extent) >> halvings;
                // Bands are half as large as what they make.
                let block = (exponent.min(8) + 2).min(precinct.saturating_sub(bands));
                let precincts = (extent >> precinct) + 2;
                let blocks = (extent >> bands >> block) + 2;
                (precincts, blocks)
            };
            let bands = u8::from(level > 0);
            let (precincts_across, blocks_across) = count(self.tile_width, width, across, bands);
            let (precincts_down, blocks_down) = count(self.tile_height, height, down, bands);
            // The decoder's tree over blocks takes as long as if they filled a square.
            let blocks = blocks_across.max(blocks_down).pow(2);
            let precincts = precincts_across * precincts_down;
            work = work
                .saturating_add(blocks.saturating_mul(3 * (layers + 4)))
                .saturating_add(precincts.saturating_mul(4));
        }
        Ok(work.saturating_mul(self.tiles()))
    }

    /// So much for any image, and more for a larger one.
    fn max_work(&self) -> u64 {
        ALWAYS_FINE + u64::from(self.width) * u64::from(self.height) / 4
    }
}

fn broken(what: &str) -> FileError {
    damaged(&format!("JPEG 2000: {what}"))
}

fn unsupported() -> FileError {
    let what = "JPEG 2000 with an offset, regions of interest, or headers that are packed or change from tile to tile";
    FileError::Unsupported { what }
}

const START: u16 = 0xFF4F;
const SIZ: u16 = 0xFF51;
const COD: u16 = 0xFF52;
const TLM: u16 = 0xFF55;
const PLT: u16 = 0xFF58;
const QCD: u16 = 0xFF5C;
const COM: u16 = 0xFF64;
const SOT: u16 = 0xFF90;
const DATA: u16 = 0xFF93;
const END: u16 = 0xFFD9;

/// SOT is 12 bytes, SOD two.
const MIN_TILE_PART: usize = 14;
/// A step for each band of 32 levels, of two bytes each, after the style.
const LONGEST_QCD: usize = 1 + 2 * 97;
/// A unit stands for some tens of bytes. An image of 512 by 512 in one tile, with blocks of 64 by 64 and one layer, has
/// some 1,200.
const ALWAYS_FINE: u64 = 1 << 18;
/// More decompositions than that are not defined.
const MAX_LEVELS: u8 = 32;
/// Numbers of the decoder have 24, and its transform needs some more than the image.
const MAX_BITS: u8 = 16;

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// What it says of the stream with some bytes replaced, for an image of 4 rows and 5 columns.
    fn answer(stream: &[u8], edits: &[(usize, &[u8])]) -> String {
        let mut stream = stream.to_vec();
        for (place, bytes) in edits {
            stream[*place..place + bytes.len()].copy_from_slice(bytes);
        }
        let samples = samples(&stream, 4, 5);
        samples.map_or_else(|error| error.to_string(), |samples| format!("{samples:?}"))
    }

    #[test]
    fn samples_are_those_of_the_size() {
        let eight = Samples {
            bits: 8,
            signed: false,
        };
        assert_eq!(samples(&TWO_TILES, 4, 5).expect("fine"), eight);
        let signed = answer(&TWO_TILES, &[(42, &[0x8B])]);
        assert_eq!(signed, "Samples { bits: 12, signed: true }");
        // After the end comes what the file needs to be even.
        assert!(samples(&[&TWO_TILES[..], &[0]].concat(), 4, 5).is_ok());
    }

    #[test]
    fn what_is_declared_and_not_there_or_not_read_is_named() {
        for (edits, why) in [
            (&[(0, &[0][..])][..], "no codestream"),
            (&[(3, &[0x52])], "no size at the start"),
            (&[(8, &[255])], "another size"),
            (&[(40, &[64])], "colours"),
            (&[(41, &[3])], "colours"),
            (&[(43, &[2])], "fewer samples than pixels"),
            (&[(42, &[16])], "more than 16 bits"),
            (&[(16, &[255]), (8, &[255])], "offset"),
            (&[(24, &[0, 0, 0, 0])], "a damaged size"),
            (&[(24, &[0, 0, 0, 1, 0, 0, 0, 1])], "less data than tiles"),
            (&[(27, &[2])], "a tile without data"),
            (&[(27, &[5])], "a tile outside"),
            (&[(51, &[255])], "too many code blocks"),
            (&[(54, &[33])], "coding style"),
            (&[(49, &[1])], "coding style"),
            (&[(59, &[0xFF, 0x5F])], "regions of interest"),
            (&[(SECOND, &[0])], "between tiles"),
            (&[(SECOND + 1, &[0x64])], "between tiles"),
            (&[(SECOND + 4, &[0, 2])], "a tile outside"),
            (&[(SECOND + 4, &[0, 0])], "a tile without data"),
            (&[(SECOND + 6, &[0, 0, 0, 0])], "unstated length"),
            (&[(SECOND + 6, &[0, 0, 9, 0])], "ends within a tile"),
            (&[(SECOND + 6, &[0, 0, 0, 9])], "a damaged tile"),
        ] {
            let answer = answer(&TWO_TILES, edits);
            assert!(answer.contains(why), "{edits:?}: {answer}");
        }
    }

    #[test]
    fn a_tile_that_was_cut_out_is_missed() {
        let end = TWO_TILES.len() - 2;
        let one = [&TWO_TILES[..SECOND], &TWO_TILES[end..]].concat();
        let answer = answer(&one, &[]);
        assert!(answer.contains("a tile without data"), "{answer}");
    }

    /// The coding styles of usual encoders pass; those that would take gigabytes for a few bytes do not.
    #[test]
    fn work_is_bounded_by_the_size_of_the_image() {
        let size = |extent: u32, tile: u32| Size {
            width: extent,
            height: extent,
            tile_width: tile,
            tile_height: tile,
            samples: Samples {
                bits: 16,
                signed: false,
            },
        };
        let work = |size: &Size, layers: u8, levels: u8, block: u8, precincts: &[u8]| {
            let style = u8::from(!precincts.is_empty());
            let cod = [style, 0, 0, layers, 0, levels, block, block, 0, 1];
            size.work(&[&cod, precincts].concat()).expect("fine")
        };
        for (size, layers, levels, block, precincts) in [
            (size(64, 64), 1, 5, 4, &[][..]),
            (size(512, 512), 25, 5, 4, &[]),
            (
                size(512, 512),
                1,
                5,
                3,
                &[0x77, 0x88, 0x88, 0x88, 0x88, 0x88],
            ),
            (size(2048, 256), 12, 5, 4, &[]),
            (size(512, 64), 1, 5, 4, &[]),
        ] {
            let work = work(&size, layers, levels, block, precincts);
            assert!(work <= size.max_work(), "{work}");
        }
        for (size, layers, levels, block, precincts) in [
            (size(8192, 8192), 32, 0, 4, &[0][..]),
            (size(8192, 8192), 32, 1, 0, &[]),
            (size(512, 2), 1, 32, 4, &[]),
            (size(8192, 8192), 1, 1, 4, &[0x0F, 0x1F]),
        ] {
            let work = work(&size, layers, levels, block, precincts);
            assert!(work > size.max_work(), "{work}");
        }
    }

    /// Where the part of the second tile begins.
    const SECOND: usize = 110;

    /// 4 x 5 samples of 8 bits in tiles of 4 x 3, written by OpenJPEG 2.5.4 without its comment.
    pub(in super::super) const TWO_TILES: [u8; 150] = [
        255, 79, 255, 81, 0, 41, 0, 0, 0, 0, 0, 5, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3,
        0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 7, 1, 1, 255, 82, 0, 12, 0, 0, 0, 1, 0, 1, 4, 4,
        0, 1, 255, 92, 0, 7, 64, 64, 72, 72, 80, 255, 144, 0, 10, 0, 0, 0, 0, 0, 42, 0, 1, 255,
        147, 207, 180, 20, 2, 194, 53, 154, 179, 195, 234, 3, 143, 180, 22, 31, 104, 24, 9, 120,
        95, 3, 138, 246, 152, 231, 1, 117, 7, 255, 144, 0, 10, 0, 1, 0, 0, 0, 38, 0, 1, 255, 147,
        207, 180, 12, 8, 57, 159, 193, 243, 131, 143, 180, 14, 31, 104, 24, 10, 126, 127, 11, 221,
        61, 11, 222, 101, 255, 217,
    ];
}
