//! One DICOM file, token by token: the attributes that a volume needs, and the bytes of its pixels.
//!
//! The tokens come from dicom-parser. An object of dicom-object would be shorter here, but it is
//! built by recursion, which a file of nested sequences turns into a stack overflow, and it
//! reserves whatever length an element declares. This reader recurses nowhere and holds every length
//! against what the file has left.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufReader, Cursor, Read, Seek, SeekFrom},
    path::Path,
};

use dicom_core::{Tag, VR};
use dicom_dictionary_std::tags;
use dicom_parser::{
    StatefulDecode,
    dataset::{LazyDataToken, lazy_read::LazyDataSetReader},
};
use flate2::read::DeflateDecoder;

use super::{FileError, preface::Preface, syntax::Syntax, unknown_sequences};

/// Longer values than any of the attributes looked at have.
const MAX_VALUE_BYTES: u32 = 1 << 12;
/// Pixels of one file, and a deflated data set once inflated: what 512 cubed voxels of 32 bits take.
const MAX_PIXEL_BYTES: u64 = 1 << 29;
/// Frames of an enhanced object; a volume has fewer planes.
const MAX_FRAMES: usize = 1 << 16;

/// How far a file is read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Depth {
    /// Up to the pixels.
    Header,
    /// The pixels, too.
    Pixels,
}

/// What a file says of itself.
#[derive(Debug)]
pub(super) struct Dataset {
    pub syntax: Syntax,
    /// Attributes of the object.
    root: Attributes,
    /// Attributes that all frames of an enhanced object share.
    shared: Attributes,
    /// Attributes of each frame of an enhanced object.
    frames: Vec<Attributes>,
    pub pixels: PixelData,
}

/// Values as they stand in the file.
type Attributes = BTreeMap<Tag, Vec<u8>>;

/// The bytes of the pixels.
#[derive(Debug, PartialEq)]
pub(super) enum PixelData {
    /// The file has none.
    Absent,
    /// There are some; they were not asked for.
    Unread,
    /// Uncompressed; `words` when the element is one of 16-bit words (OW).
    Native { bytes: Vec<u8>, words: bool },
    /// Compressed. `offsets` of the frames among the fragments; may be empty.
    Encapsulated {
        offsets: Vec<u32>,
        fragments: Vec<Vec<u8>>,
    },
}

/// Attributes looked at, of the object and of its frames.
const WANTED: [Tag; 33] = [
    tags::STUDY_DATE,
    tags::BODY_PART_EXAMINED,
    tags::SCANNING_SEQUENCE,
    tags::ECHO_TIME,
    tags::INVERSION_TIME,
    tags::SERIES_NUMBER,
    tags::IMAGE_TYPE,
    tags::SOP_CLASS_UID,
    tags::SOP_INSTANCE_UID,
    tags::SERIES_DESCRIPTION,
    tags::PATIENT_ID,
    tags::SEQUENCE_NAME,
    tags::SLICE_THICKNESS,
    tags::SPACING_BETWEEN_SLICES,
    tags::PROTOCOL_NAME,
    tags::SERIES_INSTANCE_UID,
    tags::IMAGE_POSITION_PATIENT,
    tags::IMAGE_ORIENTATION_PATIENT,
    tags::SAMPLES_PER_PIXEL,
    tags::PHOTOMETRIC_INTERPRETATION,
    tags::NUMBER_OF_FRAMES,
    tags::ROWS,
    tags::COLUMNS,
    tags::PIXEL_SPACING,
    tags::BITS_ALLOCATED,
    tags::BITS_STORED,
    tags::HIGH_BIT,
    tags::PIXEL_REPRESENTATION,
    tags::RESCALE_INTERCEPT,
    tags::RESCALE_SLOPE,
    tags::TRANSFER_SYNTAX_UID,
    tags::FLOAT_PIXEL_DATA,
    tags::DOUBLE_FLOAT_PIXEL_DATA,
];

/// The functional groups of an enhanced object that place and scale a frame.
const FRAME_GROUPS: [Tag; 4] = [
    tags::PLANE_POSITION_SEQUENCE,
    tags::PLANE_ORIENTATION_SEQUENCE,
    tags::PIXEL_MEASURES_SEQUENCE,
    tags::PIXEL_VALUE_TRANSFORMATION_SEQUENCE,
];

impl Dataset {
    /// Reads a DICOM file: what [`Preface`] knows, then the data set.
    pub(super) fn read(path: &Path, depth: Depth) -> Result<Self, FileError> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        Self::parse(BufReader::new(file), length, depth)
    }

    /// Values of the object itself as they stand in the file, of those of `wanted` that are there and come before the pixels.
    pub(super) fn read_values(
        path: &Path,
        wanted: &[Tag],
    ) -> Result<BTreeMap<Tag, Vec<u8>>, FileError> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        let data = Self::parse_wanted(BufReader::new(file), length, Depth::Header, wanted)?;
        Ok(data.root)
    }

    /// `length` is that of the whole source.
    pub(super) fn parse(
        source: impl Read + Seek,
        length: u64,
        depth: Depth,
    ) -> Result<Self, FileError> {
        Self::parse_wanted(source, length, depth, &WANTED)
    }

    fn parse_wanted(
        mut source: impl Read + Seek,
        length: u64,
        depth: Depth,
        wanted: &[Tag],
    ) -> Result<Self, FileError> {
        let Preface { syntax, data_at } = Preface::read(&mut source)?;
        source.seek(SeekFrom::Start(data_at))?;
        let reader = if syntax == Syntax::Deflated {
            let mut inflated = vec![];
            let mut source = DeflateDecoder::new(source).take(MAX_PIXEL_BYTES + 1);
            source.read_to_end(&mut inflated)?;
            let length = inflated.len() as u64;
            if length > MAX_PIXEL_BYTES {
                return Err(FileError::TooLarge);
            }
            let mut reader = Reader::new(depth, length, wanted);
            reader.run(Cursor::new(inflated), syntax)?;
            reader
        } else {
            let mut reader = Reader::new(depth, length, wanted);
            match reader.run(&mut source, syntax) {
                Err(FileError::Damaged | FileError::Truncated)
                    if syntax.is_explicit_little() && length <= MAX_PIXEL_BYTES =>
                {
                    let mut data = vec![];
                    source.seek(SeekFrom::Start(data_at))?;
                    source.read_to_end(&mut data)?;
                    let readable = unknown_sequences::cut_out(&data).unwrap_or(data);
                    reader = Reader::new(depth, readable.len() as u64, wanted);
                    reader.run(Cursor::new(readable), syntax)?;
                }
                read => read?,
            }
            reader
        };
        Ok(Self {
            syntax,
            root: reader.root,
            shared: reader.shared,
            frames: reader.frames,
            pixels: reader.pixels,
        })
    }

    /// Frames that say, one by one, where they lie; 0 in a classic object.
    pub(super) fn frames(&self) -> usize {
        self.frames.len()
    }

    /// A text of the object, trimmed; `None` if absent or empty.
    pub(super) fn text(&self, tag: Tag) -> Option<String> {
        text(&self.root, tag)
    }

    /// Whether the object has the attribute, whatever its value.
    pub(super) fn has(&self, tag: Tag) -> bool {
        self.root.contains_key(&tag)
    }

    /// A 16-bit number of the object.
    pub(super) fn number(&self, tag: Tag) -> Option<u16> {
        let bytes = self.root.get(&tag)?.first_chunk()?;
        Some(if self.syntax.is_big_endian() {
            u16::from_be_bytes(*bytes)
        } else {
            u16::from_le_bytes(*bytes)
        })
    }

    /// `N` decimal numbers for a frame, from its own groups, else the shared ones, else the object.
    /// `Some(None)` when the attribute is there and is not `N` finite numbers.
    pub(super) fn decimals<const N: usize>(
        &self,
        frame: usize,
        tag: Tag,
    ) -> Option<Option<[f64; N]>> {
        let places = [self.frames.get(frame), Some(&self.shared), Some(&self.root)];
        let text = places
            .into_iter()
            .flatten()
            .find_map(|place| text(place, tag))?;
        let numbers: Option<Vec<f64>> = text
            .split('\\')
            .map(|part| {
                // A converter that minds the locale writes a comma, which can mean nothing else here.
                let number = part.trim().replace(',', ".");
                number
                    .parse()
                    .ok()
                    .filter(|number: &f64| number.is_finite())
            })
            .collect();
        Some(numbers.and_then(|numbers| numbers.try_into().ok()))
    }
}

/// Names are compared by their ASCII letters alone, so the character set does not matter.
fn text(attributes: &Attributes, tag: Tag) -> Option<String> {
    let value = String::from_utf8_lossy(attributes.get(&tag)?);
    let trimmed = value.trim_matches(|c: char| c == '\0' || c.is_whitespace());
    (!trimmed.is_empty()).then(|| trimmed.to_owned())
}

/// Follows the tokens of a data set and keeps what is wanted.
struct Reader<'a> {
    depth: Depth,
    wanted: &'a [Tag],
    /// Where the source ends.
    length: u64,
    levels: Vec<Level>,
    root: Attributes,
    shared: Attributes,
    frames: Vec<Attributes>,
    pixels: PixelData,
}

/// A step down into a sequence.
#[derive(Clone, Copy, PartialEq)]
enum Level {
    Sequence { tag: Tag, items: usize },
    Item,
}

impl<'a> Reader<'a> {
    fn new(depth: Depth, length: u64, wanted: &'a [Tag]) -> Self {
        Self {
            depth,
            wanted,
            length,
            levels: vec![],
            root: Attributes::new(),
            shared: Attributes::new(),
            frames: vec![],
            pixels: PixelData::Absent,
        }
    }

    fn run(&mut self, source: impl Read + Seek, syntax: Syntax) -> Result<(), FileError> {
        let mut tokens = LazyDataSetReader::new_with_ts(source, &syntax.encoding())
            .map_err(|_| FileError::Damaged)?;
        let mut fragments: Option<Vec<Vec<u8>>> = None;
        while let Some(token) = tokens.advance() {
            match token.map_err(|_| FileError::Damaged)? {
                LazyDataToken::ElementHeader(_) => {}
                LazyDataToken::LazyValue { header, decoder } => {
                    let length = header.len.get().ok_or(FileError::Damaged)?;
                    let left = self.length.saturating_sub(decoder.position());
                    if u64::from(length) > left {
                        return Err(FileError::Truncated);
                    }
                    if header.tag == tags::PIXEL_DATA && self.levels.is_empty() {
                        if self.depth == Depth::Header {
                            self.pixels = PixelData::Unread;
                        } else {
                            let bytes = bytes(decoder, length)?;
                            let words = header.vr == VR::OW;
                            self.pixels = PixelData::Native { bytes, words };
                        }
                        return Ok(());
                    }
                    let wanted = self.wanted.contains(&header.tag) && length <= MAX_VALUE_BYTES;
                    match self.place().filter(|_| wanted) {
                        Some(place) => {
                            place.insert(header.tag, bytes(decoder, length)?);
                        }
                        None => decoder.skip_bytes(length).map_err(|_| FileError::Damaged)?,
                    }
                }
                LazyDataToken::LazyItemValue { len, decoder } => {
                    if u64::from(len) > self.length.saturating_sub(decoder.position()) {
                        return Err(FileError::Truncated);
                    }
                    match &mut fragments {
                        Some(fragments) => fragments.push(bytes(decoder, len)?),
                        None => decoder.skip_bytes(len).map_err(|_| FileError::Damaged)?,
                    }
                }
                LazyDataToken::SequenceStart { tag, .. } => {
                    if tag == tags::MODALITY_LUT_SEQUENCE && self.levels.is_empty() {
                        let what = "a modality look-up table";
                        return Err(FileError::Unsupported { what });
                    }
                    self.levels.push(Level::Sequence { tag, items: 0 });
                }
                LazyDataToken::PixelSequenceStart => {
                    if self.levels.is_empty() {
                        if self.depth == Depth::Header {
                            self.pixels = PixelData::Unread;
                            return Ok(());
                        }
                        fragments = Some(vec![]);
                    }
                    let tag = tags::PIXEL_DATA;
                    self.levels.push(Level::Sequence { tag, items: 0 });
                }
                LazyDataToken::ItemStart { len } => {
                    self.enter_item()?;
                    // An empty item has no value to be told of.
                    if len.0 == 0
                        && let Some(fragments) = &mut fragments
                    {
                        fragments.push(vec![]);
                    }
                }
                // An end without a beginning would have the parser panic at the next item.
                LazyDataToken::ItemEnd => match self.levels.pop() {
                    Some(Level::Item) => {}
                    _ => return Err(FileError::Damaged),
                },
                LazyDataToken::SequenceEnd => {
                    match self.levels.pop() {
                        Some(Level::Sequence { .. }) => {}
                        _ => return Err(FileError::Damaged),
                    }
                    if self.levels.is_empty()
                        && let Some(fragments) = fragments.take()
                    {
                        self.pixels = encapsulated(fragments);
                        return Ok(());
                    }
                }
                _ => return Err(FileError::Damaged),
            }
        }
        // The parser takes the end of the file for the end of the data set.
        if self.levels.is_empty() {
            Ok(())
        } else {
            Err(FileError::Truncated)
        }
    }

    fn enter_item(&mut self) -> Result<(), FileError> {
        let Some(Level::Sequence { tag, items }) = self.levels.last_mut() else {
            return Err(FileError::Damaged);
        };
        *items += 1;
        if *tag == tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE && self.levels.len() == 1 {
            if self.frames.len() == MAX_FRAMES {
                return Err(FileError::TooLarge);
            }
            self.frames.push(Attributes::new());
        }
        self.levels.push(Level::Item);
        Ok(())
    }

    /// Where an attribute at this level belongs; `None` where nobody looks, as inside an icon.
    fn place(&mut self) -> Option<&mut Attributes> {
        let sequence = |level: &Level| match level {
            Level::Sequence { tag, .. } => Some(*tag),
            Level::Item => None,
        };
        match self.levels.as_slice() {
            [] => Some(&mut self.root),
            [groups, Level::Item, group, Level::Item]
                if sequence(group).is_some_and(|tag| FRAME_GROUPS.contains(&tag)) =>
            {
                match sequence(groups)? {
                    tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE => Some(&mut self.shared),
                    tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE => self.frames.last_mut(),
                    _ => None,
                }
            }
            _ => None,
        }
    }
}

/// The value at hand; no more is allocated than the source delivers.
fn bytes(mut decoder: impl StatefulDecode, length: u32) -> Result<Vec<u8>, FileError> {
    if u64::from(length) > MAX_PIXEL_BYTES {
        return Err(FileError::TooLarge);
    }
    let mut bytes = vec![];
    decoder
        .read_to_vec(length, &mut bytes)
        .map_err(|_| FileError::Damaged)?;
    if bytes.len() == length as usize {
        Ok(bytes)
    } else {
        Err(FileError::Truncated)
    }
}

/// The first item is the table of offsets, the others are fragments (PS3.5, A.4).
fn encapsulated(mut items: Vec<Vec<u8>>) -> PixelData {
    if items.is_empty() {
        return PixelData::Absent;
    }
    let fragments = items.split_off(1);
    let offsets = items[0]
        .chunks_exact(4)
        .map(|offset| u32::from_le_bytes([offset[0], offset[1], offset[2], offset[3]]))
        .collect();
    PixelData::Encapsulated { offsets, fragments }
}
