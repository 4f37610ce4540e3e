//! The 16 bytes before every object of SEAL, on its own or inside another.
//!
//! ```text
//! 5e a1 | 10 | major | minor | compression | 00 00 | u64 length of all, this header included
//! ```
//!
//! Only the outermost object is ever compressed, everything behind its header as one block. Each inner one states the
//! version again.

use zeroize::Zeroizing;

use super::SealError;
use super::bytes::{Reader, Writer};
use super::compression;

/// The length of a header.
pub(super) const HEADER_BYTES: usize = 16;

/// Which release of SEAL wrote something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Version {
    major: u8,
    minor: u8,
}

impl Version {
    /// What is written: every release from 3.7 on reads it, whereas those of 4.x before 4.4 refuse each other's files.
    const WRITTEN: Self = Self { major: 3, minor: 7 };

    /// 3.4 has another header, 3.4 and 3.5 expand seeds in another way.
    fn is_read(self) -> bool {
        matches!((self.major, self.minor), (3, 6..) | (4, _))
    }

    /// Whether a ciphertext has the field that BGV brought.
    pub(super) fn has_correction_factor(self) -> bool {
        self.major >= 4
    }
}

/// An object whose header was read, decompressed where that was needed.
pub(super) struct Object<'a> {
    what: &'static str,
    version: Version,
    members: Members<'a>,
}

enum Members<'a> {
    Stored(&'a [u8]),
    /// Perhaps a secret key.
    Decompressed(Zeroizing<Vec<u8>>),
}

impl<'a> Object<'a> {
    /// Reads the header of all of `bytes`, and decompresses at most `most` bytes of members.
    pub(super) fn open(
        what: &'static str,
        bytes: &'a [u8],
        most: usize,
    ) -> Result<Self, SealError> {
        let mut reader = Reader::new(what, bytes);
        let Header {
            version,
            compression,
            members,
        } = Header::read(&mut reader)?;
        reader.finish()?;
        let members = match compression {
            NONE => Members::Stored(members),
            ZSTD => Members::Decompressed(compression::decompress(what, members, most)?),
            mode => return Err(SealError::Compression { what, mode }),
        };
        Ok(Self {
            what,
            version,
            members,
        })
    }

    /// Who wrote it.
    pub(super) fn version(&self) -> Version {
        self.version
    }

    /// What stands behind the header.
    pub(super) fn members(&self) -> Reader<'_> {
        let bytes = match &self.members {
            Members::Stored(bytes) => bytes,
            Members::Decompressed(bytes) => &bytes[..],
        };
        Reader::new(self.what, bytes)
    }
}

/// The next member, which is an object itself.
pub(super) fn inner<'a>(outer: &mut Reader<'a>) -> Result<(Version, Reader<'a>), SealError> {
    let what = outer.what();
    let header = Header::read(outer)?;
    match header.compression {
        NONE => Ok((header.version, Reader::new(what, header.members))),
        mode => Err(SealError::Compression { what, mode }),
    }
}

/// Writes a header and the members that `members` writes, uncompressed: every reader takes that.
pub(super) fn write(writer: &mut Writer, members: impl FnOnce(&mut Writer)) {
    let start = writer.position();
    let Version { major, minor } = Version::WRITTEN;
    writer
        .bytes(&MAGIC)
        .bytes(&[major, minor, NONE, 0, 0])
        .word(0);
    members(writer);
    writer.patch_word(start + 8, (writer.position() - start) as u64);
}

struct Header<'a> {
    version: Version,
    compression: u8,
    members: &'a [u8],
}

impl<'a> Header<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, SealError> {
        let what = reader.what();
        let found = reader.array()?;
        if found != MAGIC {
            return Err(SealError::NotSeal { what, found });
        }
        let [major, minor, compression, _, _] = reader.array()?;
        let version = Version { major, minor };
        if !version.is_read() {
            return Err(SealError::Version { what, major, minor });
        }
        let length = reader.word()?;
        let members = length.checked_sub(HEADER_BYTES as u64);
        let members = members.ok_or(SealError::Length {
            what,
            expected: HEADER_BYTES as u64,
            found: length,
        })?;
        Ok(Self {
            version,
            compression,
            members: reader.bytes(members)?,
        })
    }
}

/// The magic number, and the header's length.
const MAGIC: [u8; 3] = [0x5e, 0xa1, HEADER_BYTES as u8];

const NONE: u8 = 0;
const ZSTD: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    fn object(version: [u8; 2], compression: u8, members: &[u8]) -> Vec<u8> {
        let length = (HEADER_BYTES + members.len()) as u64;
        let header = [0x5e, 0xa1, 16, version[0], version[1], compression, 0, 0];
        [&header, &length.to_le_bytes()[..], members].concat()
    }

    #[test]
    fn literal_bytes() {
        let mut writer = Writer::new(21);
        write(&mut writer, |writer| {
            writer.bytes(b"hello");
        });
        let bytes = writer.finish_public();
        assert_eq!(bytes, b"\x5e\xa1\x10\x03\x07\0\0\0\x15\0\0\0\0\0\0\0hello");
        let read = Object::open("word", &bytes, 5).expect("our own header");
        assert_eq!(read.version(), Version::WRITTEN);
        assert_eq!(read.members().bytes(5), Ok(&b"hello"[..]));
    }

    #[test]
    fn releases_from_3_6_on_are_read() {
        let accepted = |version| Object::open("word", &object(version, 0, b"x"), 1).is_ok();
        for version in [[3, 6], [3, 7], [4, 0], [4, 1], [4, 4]] {
            assert!(accepted(version), "{version:?}");
        }
        for version in [[3, 4], [3, 5], [2, 9], [5, 0], [0, 0]] {
            assert!(!accepted(version), "{version:?}");
        }
    }

    #[test]
    fn every_wrong_field_is_named() {
        let error = |bytes: &[u8]| Object::open("word", bytes, 5).err();
        let good = object([4, 3], 0, b"hello");
        for length in 0..good.len() {
            assert!(
                matches!(error(&good[..length]), Some(SealError::Short { .. })),
                "{length}"
            );
        }
        let longer = [&good[..], b"!"].concat();
        assert!(matches!(error(&longer), Some(SealError::Length { .. })));
        let mut short = good.clone();
        short[8] = 15;
        assert!(matches!(error(&short), Some(SealError::Length { .. })));
        let mut huge = good.clone();
        huge[15] = 0xff;
        assert!(matches!(error(&huge), Some(SealError::Short { .. })));
        let found = [b'h', b'e', b'l'];
        let what = "word";
        assert_eq!(
            error(b"hello, who is there?"),
            Some(SealError::NotSeal { what, found })
        );
        for mode in [1, 3, 0xff] {
            let bytes = object([4, 3], mode, b"hello");
            assert_eq!(error(&bytes), Some(SealError::Compression { what, mode }));
        }
        let zlib = error(&object([4, 3], 1, b"hello")).expect("not read");
        assert!(zlib.to_string().contains("zlib"), "{zlib}");
    }
}
