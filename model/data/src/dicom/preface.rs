//! What stands before the data set of a DICOM file (PS3.10, section 7.1): preamble, "DICM" and the file meta information.
//!
//! Old archives leave out the preamble, or all of it; some writers leave out the group length (0002,0000), or name the wrong
//! transfer syntax. Such files are read as pydicom reads them: what is there decides, not what is announced.

use std::io::{Read, Seek, SeekFrom};

use super::{FileError, syntax::Syntax};

/// How the data set of a file is encoded, and where it begins.
#[derive(Debug, PartialEq)]
pub(super) struct Preface {
    pub syntax: Syntax,
    pub data_at: u64,
}

impl Preface {
    /// Reads it from the start of a source.
    pub(super) fn read(mut source: impl Read + Seek) -> Result<Self, FileError> {
        let mut start = vec![];
        source.by_ref().take(MAX_BYTES).read_to_end(&mut start)?;
        let meta_at = match Beginning::of(&start).ok_or(FileError::NotDicom)? {
            Beginning::Preamble => PREAMBLE,
            Beginning::Meta => 0,
            Beginning::DataSet => {
                return Ok(Self {
                    syntax: spoken(&start, Syntax::ImplicitLittle),
                    data_at: 0,
                });
            }
        };
        let (uid, data_at) = meta(&start, meta_at)?;
        let uid = uid.ok_or(FileError::Missing {
            attribute: "TransferSyntaxUID",
        })?;
        let declared = Syntax::from_uid(&uid)?;
        source.seek(SeekFrom::Start(data_at as u64))?;
        Ok(Self {
            syntax: spoken(&start[data_at..], declared),
            data_at: data_at as u64,
        })
    }
}

/// How a file begins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Beginning {
    /// 128 bytes and "DICM".
    Preamble,
    /// The file meta information.
    Meta,
    /// The data set.
    DataSet,
}

impl Beginning {
    /// `None` if it is no DICOM file; `start` should have [`PREAMBLE`] bytes.
    pub(super) fn of(start: &[u8]) -> Option<Self> {
        if start.get(128..PREAMBLE) == Some(b"DICM") {
            return Some(Self::Preamble);
        }
        let header = start.first_chunk::<8>()?;
        let [_, _, element, high, ..] = *header;
        let length = u32::from_le_bytes([header[4], header[5], header[6], header[7]]);
        // The first element of an image is one of the lowest of group 0008, and short.
        let is_short = is_explicit(header) || length <= LONGEST_FIRST;
        match (header[0], header[1]) {
            (2, 0) if is_explicit(header) => Some(Self::Meta),
            (8, 0) if high == 0 && element <= 0x18 && is_short => Some(Self::DataSet),
            _ => None,
        }
    }
}

/// The transfer syntax, if it is named, and where the meta information ends. The group length is not relied on.
fn meta(start: &[u8], mut at: usize) -> Result<(Option<String>, usize), FileError> {
    let mut uid = None;
    let mut elements = 0;
    while let Some(element) = start.get(at..).filter(|rest| rest.len() >= 8) {
        if element[..2] != [2, 0] {
            break;
        }
        if !is_explicit(element) {
            return Err(FileError::Meta);
        }
        let (header, length) = match &element[4..6] {
            b"OB" | b"OW" | b"UN" | b"SQ" | b"UT" => match element.get(8..12) {
                Some(&[a, b, c, d]) => (12, u32::from_le_bytes([a, b, c, d]) as usize),
                _ => return Err(FileError::Truncated),
            },
            _ => (8, usize::from(u16::from_le_bytes([element[6], element[7]]))),
        };
        let end = header + length;
        let value = element.get(header..end);
        let value = value.ok_or(if start.len() < MAX_BYTES as usize {
            FileError::Truncated
        } else {
            FileError::Meta
        })?;
        if element[2..4] == [0x10, 0] {
            let text = String::from_utf8_lossy(value);
            let name = text.trim_matches(|c: char| c == '\0' || c.is_whitespace());
            uid = Some(name.to_owned());
        }
        at += end;
        elements += 1;
    }
    if elements == 0 {
        return Err(FileError::Meta);
    }
    Ok((uid, at))
}

/// Whether the elements of an uncompressed data set name their VR is seen in the first: the meta information may be wrong.
fn spoken(data: &[u8], declared: Syntax) -> Syntax {
    match declared {
        Syntax::ImplicitLittle | Syntax::ExplicitLittle if data.len() >= 8 => {
            if is_explicit(data) {
                Syntax::ExplicitLittle
            } else {
                Syntax::ImplicitLittle
            }
        }
        declared => declared,
    }
}

/// Whether an element has a VR: two capital letters. As a length, they would be one of more than 16,000 bytes.
fn is_explicit(element: &[u8]) -> bool {
    element
        .get(4..6)
        .is_some_and(|vr| vr.iter().all(u8::is_ascii_uppercase))
}

/// The preamble and "DICM".
pub(super) const PREAMBLE: usize = 132;
/// File meta information holds a few names; real files need some hundred bytes.
const MAX_BYTES: u64 = 1 << 16;
/// Of the first element of an image: a group length, a character set, an image type.
const LONGEST_FIRST: u32 = 1 << 10;

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    const EXPLICIT: &[u8] = b"\x08\0\x08\0CS\x04\0ABCD";
    const IMPLICIT: &[u8] = b"\x08\0\x08\0\x04\0\0\0ABCD";

    fn uid(name: &str) -> Vec<u8> {
        let length = (name.len() as u16).to_le_bytes();
        [b"\x02\0\x10\0UI", &length[..], name.as_bytes()].concat()
    }

    fn read(parts: &[&[u8]]) -> Result<Preface, String> {
        Preface::read(Cursor::new(parts.concat())).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_left_out_is_not_needed() {
        let preamble = [&[0; 128][..], b"DICM"].concat();
        let length: &[u8] = b"\x02\0\0\0UL\x04\0\x63\0\0\0";
        let meta = uid("1.2.840.10008.1.2.1\0");
        for (parts, data_at) in [
            (&[&preamble, length, &meta, EXPLICIT][..], 132 + 12 + 28),
            (&[&preamble, &meta, EXPLICIT], 132 + 28),
            (&[length, &meta, EXPLICIT], 12 + 28),
            (&[EXPLICIT], 0),
        ] {
            let syntax = Syntax::ExplicitLittle;
            assert_eq!(read(parts), Ok(Preface { syntax, data_at }), "{data_at}");
        }
        let bare = read(&[IMPLICIT]).map(|preface| preface.syntax);
        assert_eq!(bare, Ok(Syntax::ImplicitLittle));
    }

    #[test]
    fn the_first_element_says_how_it_is_encoded() {
        let implicit = uid("1.2.840.10008.1.2\0");
        let explicit = uid("1.2.840.10008.1.2.1\0");
        let big = uid("1.2.840.10008.1.2.2\0");
        for (meta, data, syntax) in [
            (&implicit, EXPLICIT, Syntax::ExplicitLittle),
            (&implicit, IMPLICIT, Syntax::ImplicitLittle),
            (&explicit, IMPLICIT, Syntax::ImplicitLittle),
            (&big, b"\0\x08\0\x08CS\0\x04ABCD", Syntax::ExplicitBig),
        ] {
            let found = read(&[meta, data]).map(|preface| preface.syntax);
            assert_eq!(found, Ok(syntax));
        }
    }

    #[test]
    fn other_files_are_told_apart() {
        for (bytes, words) in [
            (&b""[..], "not a DICOM file"),
            (b"\x08\0\x08\0", "not a DICOM file"),
            (b"%PDF-1.7 and more", "not a DICOM file"),
            (b"\x02\0\x10\0UI\x40\0short", "truncated"),
            (
                b"\x02\0\x12\0UI\x02\0ab\x08\0\x08\0",
                "TransferSyntaxUID is missing",
            ),
        ] {
            let refusal = read(&[bytes]).expect_err("refused");
            assert!(refusal.contains(words), "{bytes:?}: {refusal}");
        }
    }
}
